"""Running sums and products along an axis."""

from __future__ import annotations

from .emit import Function, Module, Value
from .emit_types import itemsize, vector

#: columns in a unit of work
BLOCK = 64
#: words of the argument block
OUTER, COUNT, WIDTH, REVERSE, SOURCE, TARGET = range(6)


def emit_scan(elem: str, op: str) -> Module:
    """``target[o, i, j] = target[o, i - 1, j] + source[o, i, j]``, as function ``scan``.

    Arguments: sizes of o, i and j, whether i runs from its end, two addresses. The sums are made in
    order, of float32 in float64, as PyTorch's are. Chunks divide o and j.

    Args:
        elem: LLVM type of the elements.
        op: "add" or "mul".
    """
    m = Module()
    f = m.kernel("scan")
    outer, count, width, reverse = (f.arg(n) for n in (OUTER, COUNT, WIDTH, REVERSE))
    source, target = f.arg(SOURCE, "ptr"), f.arg(TARGET, "ptr")
    lanes = m.host.lanes(itemsize(elem))
    blocks = (width + BLOCK - 1) / BLOCK
    lo, hi = f.chunk_range(outer * blocks)
    back = reverse.ne(0)
    first = f.select(back, (count - 1) * width, 0)
    step = f.select(back, -width, width)
    with f.loop(lo, hi) as unit:
        begin = unit.i % blocks * BLOCK
        end = f.min(begin + BLOCK, width)
        start = unit.i / blocks * count * width + first
        whole = begin + (end - begin) / lanes * lanes
        for t, low, high, by in ((vector(elem, lanes), begin, whole, lanes), (elem, whole, end, 1)):
            with f.loop(low, high, by) as j:
                at = start + j.i
                _column(f, t, f.gep(source, at, elem), f.gep(target, at, elem), step, count, elem,
                        op)
    return m


def _column(f: Function, t: str, a: Value, b: Value, step: Value, count: Value, elem: str,
            op: str) -> None:
    """One run along the axis."""
    wide = "double" if elem == "float" else elem
    x = f.load(a, t)
    f.store(x, b)
    with f.loop(1, count, carry=[f.convert(x, wide)]) as i:
        x = f.convert(f.load(f.gep(a, i.i * step, elem), t), wide)
        (total,) = i.carried
        total = total + x if op == "add" else total * x
        f.store(f.convert(total, elem), f.gep(b, i.i * step, elem))
        i.next(total)
