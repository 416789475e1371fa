"""Copies into regions of a record's memory.

Rows of neighbours are copied by a loop kernel; short rows, rows with steps, and pairs of rows that
interleave, by the kernels of ``codegen/rows.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..graph.access import Access
from ..kernel.ir import OUTER, Buffer, Kernel, Section
from ..kernel.sums import PLAIN
from .build import Step, merge_axes
from .group import Grouping
from .sizes import stride_class

#: outer axes of the row kernels
AXES = 4
#: rows of neighbours that are shorter are copied element by element
SHORT = 16


class Region(NamedTuple):
    """What is copied, and the strides and offset it is copied to."""

    source: Access
    strides: tuple[int, ...]
    offset: int


class Rows(NamedTuple):
    """A kernel of ``codegen/rows.py`` with its arguments.

    Attributes:
        kernel: "strided" or "zip".
        size: bytes of an element.
        words, pointers: as in :class:`Step`.
        units: the most chunks that make sense.
        work: element operations.
    """

    kernel: str
    size: int
    words: list[int]
    pointers: list[tuple[int, int | None, int]]
    units: int
    work: int


def copies(g: Grouping, to: int, regions: Sequence[Region]) -> list[Step | Rows]:
    """The kernels that copy to disjoint regions of the memory of record ``to``."""
    parts: list[Step | Rows] = []
    at = 0
    while at < len(regions):
        pair = _pair(g, to, *regions[at:at + 2]) if at + 1 < len(regions) else None
        if pair is None:
            parts.append(_strided(g, to, regions[at]) or copy_step(g, to, regions[at]))
        else:
            parts.append(pair)
        at += 1 if pair is None else 2
    return parts


def copy_step(g: Grouping, to: int, region: Region) -> Step:
    """A loop kernel that copies to a region of the memory of record ``to``."""
    a, strides, offset = region
    dtype = g.graph.nodes[to].dtype
    steps = [list(a.strides), list(strides)]
    sizes = merge_axes(list(a.shape), steps, 0)
    if not sizes:
        sizes, steps = [1], [[1], [1]]
    words, pointers, buffers = list(sizes), [], []
    for s, root, at, role in ((steps[0], a.root, a.offset, "in"), (steps[1], to, offset, "out")):
        classes = tuple(map(stride_class, s))
        buffers.append(Buffer(dtype.name, classes, role))
        pointers.append((len(words), root, at * dtype.itemsize))
        words.append(0)
        words.extend(x for x, c in zip(s, classes, strict=True) if c == 2)
    body = (("load", 0, 0), ("store", 1, 0))
    kernel = Kernel(len(sizes), 0, OUTER, False, PLAIN, tuple(buffers), (Section("row", body),))
    total = math.prod(sizes)
    return Step(kernel, words, pointers, 0, max(1, total // 64), 2 * total)


def _strided(g: Grouping, to: int, region: Region) -> Rows | None:
    """A copy of short rows or of rows with steps; None where a loop kernel does it as well or
    better."""
    a, strides, offset = region
    steps = [list(a.strides), list(strides)]
    sizes = merge_axes(list(a.shape), steps, 0)
    if not 0 < len(sizes) <= AXES + 1:
        return None
    source, target = steps[0][-1], steps[1][-1]
    if target == 1 and (source == 0 or source == 1 and sizes[-1] >= SHORT
                        or source != 1 and 1 in steps[0]):
        return None
    size = g.graph.nodes[to].dtype.itemsize
    lead = AXES + 1 - len(sizes)
    reads, writes = ([0] * lead + s for s in steps)
    words = [*[1] * lead, *sizes, 0, *reads, 0, *writes]
    pointers: list[tuple[int, int | None, int]] = [
        (AXES + 1, a.root, a.offset * size), (2 * AXES + 3, to, offset * size)]
    return Rows("strided", size, words, pointers, max(1, math.prod(words[:AXES - 1])),
                4 * math.prod(sizes))


def _pair(g: Grouping, to: int, p: Region, q: Region) -> Rows | None:
    """Two copies as one: to every second element each, or from it."""
    first, second = p.source.shape, q.source.shape
    if not first or first[:-1] != second[:-1] or first[-1] - second[-1] not in (0, 1) \
            or p.source.strides != q.source.strides or p.strides != q.strides \
            or second[-1] < 2:
        return None
    reads, writes = p.source.strides, p.strides
    joins = writes[-1] == 2 and reads[-1] == 1 and q.offset == p.offset + 1
    parts = reads[-1] == 2 and writes[-1] == 1 and p.source.root == q.source.root \
        and q.source.offset == p.source.offset + 1
    if not joins and not parts:
        return None
    size = g.graph.nodes[to].dtype.itemsize
    wide, narrow = list(writes[:-1]), list(reads[:-1])
    if parts:
        wide, narrow = narrow, wide
    sizes = merge_axes(list(first[:-1]), [wide, narrow], 0)
    if len(sizes) > AXES:
        return None
    lead = AXES - len(sizes)
    words = [*[1] * lead, *sizes, first[-1], second[-1], int(parts), 0, *[0] * lead, *wide, 0, 0,
             *[0] * lead, *narrow]
    sources = [(r.source.root, r.source.offset * size) for r in (p, q)]
    targets = [(to, r.offset * size) for r in (p, q)]
    whole, rows = (sources[0], targets) if parts else (targets[0], sources)
    pointers: list[tuple[int, int | None, int]] = [
        (AXES + 3, *whole), (2 * AXES + 4, *rows[0]), (2 * AXES + 5, *rows[1])]
    return Rows("zip", size, words, pointers, max(1, math.prod(words[:AXES - 1])),
                2 * math.prod(sizes) * (first[-1] + second[-1]))
