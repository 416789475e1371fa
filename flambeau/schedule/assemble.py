"""Values put together from pieces: concatenation, writing a region, adding rows at positions.

An *assemble* group is one record whose memory is written by a few simple kernels in order:
copies of operands into regions, and for the gradient of a table lookup a scatter of rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..base import shape as sh
from ..graph.access import Access
from ..kernel.ir import OUTER, Buffer, Kernel, Section
from .build import Step, merge_axes
from .group import Group, Grouping, Guard, operands


class Scatter(NamedTuple):
    """Rows added at positions: ``out[index[i], :] += rows[i, :]`` for each ``i`` in order.

    Attributes:
        dtype, index_dtype: element types of the rows and of the positions.
        rows, width: sizes.
        source, positions: (root, byte offset).
        target: root of the memory that is added to.
    """

    dtype: str
    index_dtype: str
    rows: int
    width: int
    source: tuple[int, int]
    positions: tuple[int, int]
    target: int


class Assemble(NamedTuple):
    """The kernels of an assemble group, in order.

    Attributes:
        parts: copies (steps) and scatters.
        scratch: always 0.
        work: element operations.
    """

    parts: list[Step | Scatter]
    scratch: int
    work: int


def can_assemble(g: Grouping, i: int) -> bool:
    """Whether a record is one of those this file builds."""
    node, nodes = g.graph.nodes[i], g.graph.nodes
    name = node.prim.name
    if 0 in node.shape or node.dtype.is_complex:
        return False
    if name in ("cat", "regions"):
        return all(0 not in nodes[s].shape for s in node.srcs)
    if name == "view_set":
        return 0 not in nodes[node.srcs[1]].shape
    return name == "index_put" and _is_row_sum(g, i)


def _is_row_sum(g: Grouping, i: int) -> bool:
    """Whether an index_put adds whole rows at positions that are a leaf's."""
    node, nodes = g.graph.nodes[i], g.graph.nodes
    if len(node.srcs) != 3 or node.params[0] != (0,) or node.params[1] is not True:
        return False
    rows, index = g.reads[i][1], g.reads[i][2]
    leaf = nodes[index.root]
    value = nodes[node.srcs[1]]
    return (node.dtype.name in ("float32", "float64") and leaf.is_leaf and index.plain
            and leaf.dtype.name in ("int64", "int32") and rows.plain and value.numel() > 0
            and value.shape == (*nodes[node.srcs[2]].shape, *node.shape[1:]))


def guard_of(g: Grouping, i: int) -> Guard | None:
    """What the positions of a row sum must satisfy."""
    node = g.graph.nodes[i]
    if node.prim.name != "index_put":
        return None
    return Guard(g.reads[i][2].root, 0, node.shape[0], None)


def in_place(g: Grouping, i: int, leaf: int) -> bool:
    """Whether a record only changes a region of a leaf and reads it nowhere else."""
    base, *others = g.reads[i]
    return (g.graph.nodes[i].prim.name in ("view_set", "index_put") and base.root == leaf
            and base.plain and all(a.root != leaf and a.root not in g.inline for a in others))


def build_assemble(g: Grouping, group: Group, overwrite: bool = False) -> Assemble:
    """The kernels of an assemble group; ``overwrite``: its memory holds the base already."""
    i = group.members[0]
    node, nodes = g.graph.nodes[i], g.graph.nodes
    reads = operands(g, i)
    strides = sh.contiguous_strides(node.shape)
    parts: list[Step | Scatter] = []
    if node.prim.name == "cat":
        axis, at = node.params[0], 0
        for a in reads:
            parts.append(copy_step(g, a, i, strides, at * strides[axis]))
            at += a.shape[axis]
    elif node.prim.name == "regions":
        rest, *pieces = reads
        if sum(sh.numel(a.shape) for a in pieces) < node.numel():
            rest = Access(rest.root, node.shape, (0,) * len(node.shape), rest.offset, False)
            parts.append(copy_step(g, rest, i, strides, 0))
        for a, (region, offset) in zip(pieces, node.params[1], strict=True):
            parts.append(copy_step(g, a, i, region, offset))
    else:
        if not overwrite:
            parts.append(copy_step(g, reads[0], i, strides, 0))
        if node.prim.name == "view_set":
            region, offset = node.params
            parts.append(copy_step(g, reads[1], i, region, offset))
        else:
            count, size = math.prod(reads[2].shape), node.dtype.itemsize
            index = nodes[reads[2].root].dtype
            parts.append(Scatter(node.dtype.name, index.name, count,
                                 math.prod(node.shape[1:]),
                                 (reads[1].root, reads[1].offset * size),
                                 (reads[2].root, reads[2].offset * index.itemsize), i))
    return Assemble(parts, 0, sum(p.work if isinstance(p, Step) else 4 * p.rows * p.width
                                  for p in parts))


def copy_step(g: Grouping, a: Access, to: int, strides: tuple[int, ...], offset: int) -> Step:
    """A kernel that copies what ``a`` reads into memory of record ``to``."""
    dtype = g.graph.nodes[to].dtype
    steps = [list(a.strides), list(strides)]
    sizes = merge_axes(list(a.shape), steps, 0)
    if not sizes:
        sizes, steps = [1], [[1], [1]]
    words, pointers, buffers = list(sizes), [], []
    for s, root, at, role in ((steps[0], a.root, a.offset, "in"), (steps[1], to, offset, "out")):
        classes = tuple(x if x in (0, 1) else 2 for x in s)
        buffers.append(Buffer(dtype.name, classes, role))
        pointers.append((len(words), root, at * dtype.itemsize))
        words.append(0)
        words.extend(x for x, c in zip(s, classes, strict=True) if c == 2)
    body = (("load", 0, 0), ("store", 1, 0))
    kernel = Kernel(len(sizes), 0, OUTER, False, False, tuple(buffers), (Section("row", body),))
    total = math.prod(sizes)
    return Step(kernel, words, pointers, 0, max(1, total // 64), 2 * total)
