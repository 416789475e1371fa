"""Elements added or written at positions, and running sums: descriptions of single kernels.

Sizes are three axes: what lies before the axis in question, the axis, and what lies behind it. See
``codegen/scatter.py`` and ``codegen/scan.py`` for the kernels and their arguments.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..graph.access import Access
from ..graph.graph import GNode


class Places(NamedTuple):
    """``target[o, p[o, i, j], j] += source[o, i, j]`` for each ``i`` in order.

    Attributes:
        mode: "add" or "set".
        outer, length, width: sizes of o, i, j.
        size: of the target's second axis.
        source, positions: their steps along o, i, j.
    """

    mode: str
    outer: int
    length: int
    width: int
    size: int
    source: tuple
    positions: tuple

    @property
    def words(self) -> list:
        """The kernel's arguments; addresses are 0."""
        return [self.outer, self.length, self.width, self.size, 0, 0, 0, *self.source,
                *self.positions]

    @property
    def units(self) -> int:
        """The most chunks that make sense."""
        return self.outer * -(-self.width // 64)

    @property
    def work(self) -> int:
        """Element operations."""
        return 4 * self.outer * self.length * self.width


class Scatter(NamedTuple):
    """A kernel that adds or writes at positions.

    Attributes:
        dtype, index_dtype: element types.
        places: where.
        source, positions: (root, byte offset).
        target: root of the memory that is written.
    """

    dtype: str
    index_dtype: str
    places: Places
    source: tuple[int, int]
    positions: tuple[int, int]
    target: int

    @property
    def work(self) -> int:
        """Element operations."""
        return self.places.work


class Scan(NamedTuple):
    """A kernel of running sums or products.

    Attributes:
        dtype: element type.
        op: "add" or "mul".
        sizes: before the axis, of it, behind it.
        reverse: from the end.
        source: (root, byte offset).
        target: root of the memory that is written.
    """

    dtype: str
    op: str
    sizes: tuple[int, int, int]
    reverse: bool
    source: tuple[int, int]
    target: int

    @property
    def units(self) -> int:
        """The most chunks that make sense."""
        return self.sizes[0] * -(-self.sizes[2] // 64)

    @property
    def work(self) -> int:
        """Element operations."""
        return 4 * math.prod(self.sizes)


def places_of(prim: str, params: tuple, shape: tuple[int, ...], index: Access,
              source: Access) -> Places | None:
    """The geometry of index_put or scatter; None: not one for the kernel.

    Args:
        shape: of the target, which is row-major.
        index, source: how positions and values are read.
    """
    rank = len(index.shape)
    if prim == "index_put":
        (dims, accumulate), count = params, math.prod(index.shape)
        axis, mode = dims[0], "add" if accumulate else "set"
        if len(dims) != 1 or source.shape != (*shape[:axis], *index.shape, *shape[axis + 1:]):
            return None
        positions: list[int | None] = [0, run_step(index, 0, rank), 0]
    else:
        axis, mode = params
        beside = (*index.shape[:axis], *index.shape[axis + 1:])
        if mode not in ("add", "set") or not rank or source.shape not in (index.shape, ()) \
                or beside != (*shape[:axis], *shape[axis + 1:]):
            return None
        count, rank = index.shape[axis], 1
        positions = _three(index, axis, 1)
    outer, width = math.prod(shape[:axis]), math.prod(shape[axis + 1:])
    values = _three(source, axis, rank) if source.shape else [0, 0, 0]
    if not outer * count * width or None in values or None in positions:
        return None
    return Places(mode, outer, count, width, shape[axis], tuple(values), tuple(positions))


def run_step(a: Access, first: int, end: int) -> int | None:
    """The step by which a read walks through axes [first, end); None if there is not one."""
    step, size = 0, 1
    for n, s in zip(reversed(a.shape[first:end]), reversed(a.strides[first:end]), strict=True):
        if n == 1:
            continue
        if size == 1:
            step = s
        elif s != step * size:
            return None
        size *= n
    return step


def _three(a: Access, axis: int, count: int) -> list[int | None]:
    """Steps before ``length`` axes from ``axis``, along them, and behind them."""
    return [run_step(a, 0, axis), run_step(a, axis, axis + count),
            run_step(a, axis + count, len(a.shape))]


def scan_of(node: GNode, record: int, a: Access) -> Scan:
    """The kernel of a cumsum or cumprod record that reads its operand by ``a``."""
    axis, reverse = node.params
    shape = node.shape or (1,)
    sizes = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1:])
    return Scan(node.dtype.name, "add" if node.prim.name == "cumsum" else "mul", sizes, reverse,
                (a.root, a.offset * node.dtype.itemsize), record)
