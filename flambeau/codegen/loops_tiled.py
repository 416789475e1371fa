"""Loops that read some operands along another axis than they write: transposed copies and the like.

Read lane by lane such an operand costs a cache line for every element. So the two axes are walked
in squares of one vector: its rows are loaded where they are contiguous, transposed in registers and
kept on the stack, from where the kernel's body reads them as ordinary vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..base import dtype as dt
from ..kernel.ir import OUTER, Kernel
from .emit import Value
from .emit_types import ELEMENT
from .gemm_pack import transpose
from .loops_memory import Lanes, Memory
from .scalar import memory_type

#: squares between the one that is read and the one that is fetched from memory
AHEAD = 2


def tiled_axis(kernel: Kernel) -> tuple[int, list[int]] | None:
    """The axis along which operands are contiguous while lanes lie along the last one, and these
    operands' buffers; None where lanes suit all of them."""
    last = kernel.outer - 1
    if kernel.lanes != OUTER or kernel.inner or kernel.split:
        return None
    body = [i for s in kernel.sections for i in s.body]
    found: dict[int, int] = {}
    for n in sorted({i[2] for i in body if i[0] == "load"}):
        b = kernel.buffers[n]
        if b.role == "in" and b.steps[last] == 2 and 1 in b.steps[:last]:
            found[n] = b.steps.index(1)
    if not found:
        return None
    axis = Counter(found.values()).most_common(1)[0][0]
    return axis, [n for n, a in found.items() if a == axis]


class Tiles(Memory):
    """Memory with operands that are read through squares on the stack."""

    width: int  # lanes of a vector; the loops' author sets it

    def __init__(self, *args):
        super().__init__(*args)
        self.tile_rows: dict[int, Value] = {}  # addresses of the square's current row, by buffer

    def _load(self, n: int, place: dict[int, Value], lanes: Lanes) -> list[Value]:
        row = self.tile_rows.get(n)
        if row is not None:
            return [self._read(self.k.buffers[n].dtype, row, lanes.width, None)]
        return super()._load(n, place, lanes)

    def run_tiled(self, axis: int, buffers: list[int],
                  row_place: Callable[[list[int], Value], dict[int, Value]],
                  body: Callable[[dict[int, Value], Lanes], None],
                  rest: Callable[[Value, Value, Callable[[Lanes], None]], None]) -> None:
        """The whole kernel: ``body`` for each row of each square, ``rest`` at the edges."""
        k, f, width = self.k, self.f, self.width
        last = k.outer - 1
        others = [a for a in range(last) if a != axis]
        squares = (self.sizes[axis] + (width - 1)) / width
        blocks = (self.sizes[last] + (width - 1)) / width
        total = squares * blocks
        for a in others:
            total = total * self.sizes[a]
        lo, hi = f.chunk_range(total)
        with f.if_(hi > lo), f.loop(lo / blocks, (hi - 1) / blocks + 1) as loop:
            outer = f.udiv(loop.i, squares)
            first = (loop.i - outer * squares) * width
            place = row_place(others, outer) if others else dict(enumerate(self.pointer))
            place = {n: self.moved(n, p, axis, first) for n, p in place.items()}
            begin = f.max(lo - loop.i * blocks, 0) * width
            end = f.min(f.min(hi - loop.i * blocks, blocks) * width, self.sizes[last])
            rows = f.min(self.sizes[axis] - first, width)
            full = f.select(rows.eq(width), begin + (end - begin) / width * width, begin)
            with f.loop(begin, full, width) as columns:
                self._square(axis, buffers, place, columns.i, body)
            with f.loop(0, rows) as row:
                at = {n: self.moved(n, p, axis, row.i) for n, p in place.items()}
                rest(full, end, lambda lanes: body(at, lanes))

    def _square(self, axis: int, buffers: list[int], place: dict[int, Value], column: Value,
                body: Callable[[dict[int, Value], Lanes], None]) -> None:
        """One square: read, transpose, and the body for each of its rows."""
        f, width, lanes = self.f, self.width, Lanes(self.width, 1, None, column)
        dtypes = {n: dt.BY_NAME[self.k.buffers[n].dtype] for n in buffers}
        tiles = {n: f.alloca(memory_type(d, width), width) for n, d in dtypes.items()}
        for n, d in dtypes.items():
            for r, x in enumerate(self._transposed(n, place[n], column)):
                f.store(x, f.gep(tiles[n], r * width, ELEMENT[d.name]))
        with f.loop(0, width) as row:
            self.tile_rows = {n: f.gep(tiles[n], row.i * width, ELEMENT[d.name])
                              for n, d in dtypes.items()}
            body({n: self.moved(n, p, axis, row.i) for n, p in place.items()}, lanes)
        self.tile_rows = {}

    def _transposed(self, n: int, place: Value, column: Value) -> list[Value]:
        """A square of an operand, its rows along the lanes."""
        f, width, axis = self.f, self.width, self.k.outer - 1
        t = memory_type(dt.BY_NAME[self.k.buffers[n].dtype], width)
        rows = [f.load(self.moved(n, place, axis, column + c), t) for c in range(width)]
        self._prefetch([self.moved(n, place, axis, column + (AHEAD * width + c))
                        for c in range(width)])
        return transpose(f, rows)

    def _prefetch(self, places: list[Value]) -> None:
        """Ask for lines that are read soon: no processor foresees such steps."""
        self.f.module.declare("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        for p in places:  # to be read, kept, data
            self.f.emit(f"call void @llvm.prefetch.p0(ptr {p}, i32 0, i32 3, i32 1)")
