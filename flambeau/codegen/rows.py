"""Copies of rows whose elements are not neighbours: strided ones, and two rows that interleave.

A gather or scatter instruction takes longer than the loads and stores of its lanes, so rows are
copied element by element; where every second element belongs to one of two rows, which is what
strides of 2 make, vectors are shuffled.

Both kernels walk four outer axes, the fourth without a division.
"""

from __future__ import annotations

from .emit import Function, Module, Value
from .emit_types import vector

#: outer axes of the kernels
AXES = 4


def emit_strided(size: int) -> Module:
    """``strided``: sizes of the outer axes, width; source, its steps; target, its steps; the last
    step is that along the row. ``size``: bytes of an element."""
    m = Module()
    f = m.kernel("strided")
    elem = f"i{8 * size}"
    width = f.arg(AXES)
    source, target = f.arg(AXES + 1, "ptr"), f.arg(2 * AXES + 3, "ptr")
    steps = [f.arg(AXES + 2 + i) for i in range(AXES + 1)]
    moves = [f.arg(2 * AXES + 4 + i) for i in range(AXES + 1)]

    def row(index: list[Value]) -> None:
        a, b = _at(f, source, index, steps, elem), _at(f, target, index, moves, elem)
        with f.loop(0, width) as j:
            x = f.load(f.gep(a, j.i * steps[-1], elem), elem)
            f.store(x, f.gep(b, j.i * moves[-1], elem))

    _rows(f, row)
    return m


def emit_zip(size: int) -> Module:
    """``zip``: sizes of the outer axes; lengths of the two rows, of which the second may be one
    shorter; whether to divide (else to interleave); the long row, its steps; the two rows, which
    share their steps."""
    m = Module()
    f = m.kernel("zip")
    elem = f"i{8 * size}"
    lanes = m.host.lanes(size)
    t, first, second, divide = vector(elem, lanes), f.arg(AXES), f.arg(AXES + 1), f.arg(AXES + 2)
    whole, even, odd = (f.arg(AXES + n, "ptr") for n in (3, 8, 9))
    steps = [f.arg(AXES + 4 + i) for i in range(AXES)]
    moves = [f.arg(AXES + 10 + i) for i in range(AXES)]

    def row(index: list[Value]) -> None:
        x = _at(f, whole, index, steps, elem)
        a, b = (_at(f, p, index, moves, elem) for p in (even, odd))
        full = second & -lanes
        with f.if_(divide.ne(0)) as way:
            with f.loop(0, full, lanes) as j:
                low = f.load(f.gep(x, j.i * 2, elem), t)
                high = f.load(f.gep(x, j.i * 2 + lanes, elem), t)
                f.store(f.shuffle(low, high, range(0, 2 * lanes, 2)), f.gep(a, j.i, elem))
                f.store(f.shuffle(low, high, range(1, 2 * lanes, 2)), f.gep(b, j.i, elem))
            with f.loop(full, first) as j:
                f.store(f.load(f.gep(x, j.i * 2, elem), elem), f.gep(a, j.i, elem))
            with f.loop(full, second) as j:
                f.store(f.load(f.gep(x, j.i * 2 + 1, elem), elem), f.gep(b, j.i, elem))
            way.else_()
            with f.loop(0, full, lanes) as j:
                low, high = f.load(f.gep(a, j.i, elem), t), f.load(f.gep(b, j.i, elem), t)
                for half in range(2):
                    picks = [n // 2 + half * lanes // 2 + n % 2 * lanes for n in range(lanes)]
                    f.store(f.shuffle(low, high, picks), f.gep(x, j.i * 2 + half * lanes, elem))
            with f.loop(full, first) as j:
                f.store(f.load(f.gep(a, j.i, elem), elem), f.gep(x, j.i * 2, elem))
            with f.loop(full, second) as j:
                f.store(f.load(f.gep(b, j.i, elem), elem), f.gep(x, j.i * 2 + 1, elem))

    _rows(f, row)
    return m


def _at(f: Function, p: Value, index: list[Value], steps: list[Value], elem: str) -> Value:
    at = index[0] * steps[0]
    for i, s in zip(index[1:], steps[1:AXES], strict=True):
        at = at + i * s
    return f.gep(p, at, elem)


def _rows(f: Function, row) -> None:
    """``row`` for each index of the outer axes; chunks divide the first three."""
    sizes = [f.arg(i) for i in range(AXES)]
    lo, hi = f.chunk_range(sizes[0] * sizes[1] * sizes[2])
    with f.loop(lo, hi) as outer:
        rest = outer.i / sizes[2]
        index = [rest / sizes[1], rest % sizes[1], outer.i % sizes[2]]
        with f.loop(0, sizes[3]) as last:
            row([*index, last.i])
