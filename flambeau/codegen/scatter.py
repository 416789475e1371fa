"""Adding or writing elements at positions: gradients of lookups, scatter, index_put."""

from __future__ import annotations

from .emit import Function, Module, Value
from .emit_types import itemsize, vector

#: columns in a unit of work
BLOCK = 64
#: words of the argument block
OUTER, COUNT, WIDTH, SIZE, SOURCE, POSITIONS, TARGET, SOURCE_STEPS, POSITION_STEPS = (
    0, 1, 2, 3, 4, 5, 6, 7, 10)
WORDS = 13


def emit_scatter(elem: str, index: str, mode: str) -> Module:
    """``target[o, p[o, i, j], j] += source[o, i, j]`` for ``i`` in order, as function ``scatter``.

    Arguments: sizes of o, i, j and of the target's second axis; three addresses; three steps of the
    source and three of the positions, in elements. Chunks divide o and j, so that each sum is made
    by one thread in the order of ``i``.

    Args:
        elem: LLVM type of the elements.
        index: LLVM type of the positions (i32 or i64, signed), which must be in range.
        mode: "add", or "set": the last one stays.
    """
    m = Module()
    f = m.kernel("scatter")
    outer, count, width, size = (f.arg(n) for n in (OUTER, COUNT, WIDTH, SIZE))
    source, positions, target = (f.arg(n, "ptr") for n in (SOURCE, POSITIONS, TARGET))
    s = [f.arg(SOURCE_STEPS + k) for k in range(3)]
    p = [f.arg(POSITION_STEPS + k) for k in range(3)]
    blocks = (width + BLOCK - 1) / BLOCK
    lo, hi = f.chunk_range(outer * blocks)
    rows = p[2].eq(0) & s[2].eq(1)
    with f.loop(lo, hi) as unit:
        o, begin = unit.i / blocks, unit.i % blocks * BLOCK
        end = f.min(begin + BLOCK, width)
        to = f.gep(target, o * size * width, elem)
        with f.loop(0, count) as i:
            a = f.gep(source, o * s[0] + i.i * s[1], elem)
            at = f.gep(positions, o * p[0] + i.i * p[1], index)
            with f.if_(rows) as branch:
                place = f.convert(f.load(at, index), "i64") * width
                _row(f, elem, a, f.gep(to, place, elem), begin, end, mode)
                branch.else_()
                with f.loop(begin, end) as j:
                    place = f.convert(f.load(f.gep(at, j.i * p[2], index), index), "i64")
                    _put(f, elem, f.gep(a, j.i * s[2], elem),
                         f.gep(to, place * width + j.i, elem), mode)
    return m


def _row(f: Function, elem: str, a: Value, b: Value, begin: Value, end: Value, mode: str) -> None:
    """One row's columns."""
    lanes = f.module.host.lanes(itemsize(elem))
    whole = begin + (end - begin) / lanes * lanes
    with f.loop(begin, whole, lanes) as j:
        _put(f, vector(elem, lanes), f.gep(a, j.i, elem), f.gep(b, j.i, elem), mode)
    with f.loop(whole, end) as j:
        _put(f, elem, f.gep(a, j.i, elem), f.gep(b, j.i, elem), mode)


def _put(f: Function, t: str, a: Value, b: Value, mode: str) -> None:
    x = f.load(a, t)
    f.store(f.load(b, t) + x if mode == "add" else x, b)
