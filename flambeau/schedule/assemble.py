"""Values put together from pieces: concatenation, writing a region, adding rows at positions.

An *assemble* group is one record whose memory is written by a few simple kernels in order:
copies of operands into regions, and for the gradient of a table lookup a scatter of rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..base import shape as sh
from ..graph.access import Access
from ..ir.node import CONST
from .build import Step
from .copies import Region, Rows, copies
from .group import Group, Grouping, operands


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
        parts: copies and scatters.
        scratch: always 0.
        work: element operations.
    """

    parts: list[Step | Rows | Scatter]
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
    """Whether an index_put adds whole rows at positions that lie one after another."""
    node, nodes = g.graph.nodes[i], g.graph.nodes
    if len(node.srcs) != 3 or node.params[0] != (0,) or node.params[1] is not True \
            or not g.graph.from_zero:
        return False
    rows, index = g.reads[i][1], g.reads[i][2]
    positions, value = nodes[index.root], nodes[node.srcs[1]]
    return (node.dtype.name in ("float32", "float64") and value.numel() > 0
            and positions.prim is not CONST and positions.dtype.name in ("int64", "int32")
            and all(sh.is_contiguous(a.shape, a.strides) for a in (rows, index))
            and value.shape == (*nodes[node.srcs[2]].shape, *node.shape[1:]))


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
    parts: list[Step | Rows | Scatter] = []
    if node.prim.name == "cat":
        axis, at = node.params[0], 0
        for a in reads:
            parts += copies(g, i, [Region(a, strides, at * strides[axis])])
            at += a.shape[axis]
    elif node.prim.name == "regions":
        rest, *pieces = reads
        if sum(sh.numel(a.shape) for a in pieces) < node.numel():
            rest = Access(rest.root, node.shape, (0,) * len(node.shape), rest.offset, False)
            parts += copies(g, i, [Region(rest, strides, 0)])
        parts += copies(g, i, [Region(a, *where)
                               for a, where in zip(pieces, node.params[1], strict=True)])
    else:
        if not overwrite:
            parts += copies(g, i, [Region(reads[0], strides, 0)])
        if node.prim.name == "view_set":
            region, offset = node.params
            parts += copies(g, i, [Region(reads[1], region, offset)])
        else:
            count, size = math.prod(reads[2].shape), node.dtype.itemsize
            index = nodes[reads[2].root].dtype
            parts.append(Scatter(node.dtype.name, index.name, count,
                                 math.prod(node.shape[1:]),
                                 (reads[1].root, reads[1].offset * size),
                                 (reads[2].root, reads[2].offset * index.itemsize), i))
    return Assemble(parts, 0, sum(4 * p.rows * p.width if isinstance(p, Scatter) else p.work
                                  for p in parts))
