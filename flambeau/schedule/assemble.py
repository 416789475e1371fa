"""Values put together from pieces: concatenation, writing a region, elements at positions; scans.

An *assemble* group is one record whose memory is written by a few simple kernels in order:
copies of operands into regions, and for the gradient of a lookup a scatter; or by a running sum.
"""

from __future__ import annotations

from typing import NamedTuple

from ..base import shape as sh
from ..graph.access import Access
from ..ir.node import CONST
from .build import Step
from .copies import Region, Rows, copies
from .group import Group, Grouping, operands
from .positions import Places, Scan, Scatter, places_of, scan_of


class Assemble(NamedTuple):
    """The kernels of an assemble group, in order.

    Attributes:
        parts: copies and scatters.
        scratch: always 0.
        work: element operations.
    """

    parts: list[Step | Rows | Scatter | Scan]
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
    if name in ("cumsum", "cumprod"):
        a = g.reads[i][0]
        return node.dtype.name in ADDED and sh.is_contiguous(a.shape, a.strides)
    return places(g, i) is not None


#: element types that are added at positions, and summed in order
ADDED = ("float32", "float64", "int32", "int64")


def places(g: Grouping, i: int) -> Places | None:
    """Where a record adds or writes elements, if a kernel can do it."""
    node, nodes = g.graph.nodes[i], g.graph.nodes
    if node.prim.name not in ("index_put", "scatter") or not g.graph.from_zero \
            or node.dtype.name not in ADDED or len(node.srcs) != 3:
        return None
    source, index = _source_and_index(g, i)
    positions = nodes[index.root]
    if positions.prim is CONST or positions.dtype.name not in ("int64", "int32"):
        return None
    return places_of(node.prim.name, node.params, node.shape, index, source)


def _source_and_index(g: Grouping, i: int) -> tuple[Access, Access]:
    _, first, second = g.reads[i]
    return (second, first) if g.graph.nodes[i].prim.name == "scatter" else (first, second)


def in_place(g: Grouping, i: int, leaf: int) -> bool:
    """Whether a record only changes a region of a leaf and reads it nowhere else."""
    base, *others = g.reads[i]
    return (g.graph.nodes[i].prim.name in ("view_set", "index_put", "scatter") and base.root == leaf
            and base.plain and all(a.root != leaf and a.root not in g.inline for a in others))


def build_assemble(g: Grouping, group: Group, overwrite: bool = False) -> Assemble:
    """The kernels of an assemble group; ``overwrite``: its memory holds the base already."""
    i = group.members[0]
    node, nodes = g.graph.nodes[i], g.graph.nodes
    reads = operands(g, i)
    strides = sh.contiguous_strides(node.shape)
    parts: list[Step | Rows | Scatter | Scan] = []
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
    elif node.prim.name in ("cumsum", "cumprod"):
        parts.append(scan_of(node, i, reads[0]))
    else:
        if not overwrite:
            parts += copies(g, i, [Region(reads[0], strides, 0)])
        if node.prim.name == "view_set":
            region, offset = node.params
            parts += copies(g, i, [Region(reads[1], region, offset)])
        else:
            source, index = _source_and_index(g, i)
            found, dtype = places(g, i), nodes[index.root].dtype
            assert found is not None, "a record became an assemble group that no kernel can make"
            parts.append(Scatter(node.dtype.name, dtype.name, found,
                                 (source.root, source.offset * node.dtype.itemsize),
                                 (index.root, index.offset * dtype.itemsize), i))
    return Assemble(parts, 0, sum(p.work for p in parts))
