"""Adding rows at positions: the gradient of a table lookup."""

from __future__ import annotations

from .emit import Module
from .emit_types import itemsize, vector


def emit_scatter(elem: str, index: str) -> Module:
    """``target[index[i], :] += source[i, :]`` for ``i`` in order, as function ``scatter``.

    Arguments: rows, width, source, index, target; rows lie one after another. Chunks divide the
    width, so each sum is made by one thread in the order of ``i``.

    Args:
        elem: LLVM type of the rows.
        index: LLVM type of the positions (i32 or i64, signed), which must be in range.
    """
    m = Module()
    f = m.kernel("scatter")
    rows, width = f.arg(0), f.arg(1)
    source, positions, target = f.arg(2, "ptr"), f.arg(3, "ptr"), f.arg(4, "ptr")
    lanes = m.host.lanes(itemsize(elem))
    t = vector(elem, lanes)
    lo, hi = f.chunk_range(width, lanes)
    whole = lo + (hi - lo) / lanes * lanes
    with f.loop(0, rows) as row:
        at = f.convert(f.load(f.gep(positions, row.i, index), index), "i64")
        a = f.gep(source, row.i * width, elem)
        b = f.gep(target, at * width, elem)
        with f.loop(lo, whole, lanes) as j:
            p = f.gep(b, j.i, elem)
            f.store(f.load(p, t) + f.load(f.gep(a, j.i, elem), t), p)
        with f.loop(whole, hi) as j:
            p = f.gep(b, j.i, elem)
            f.store(f.load(p, elem) + f.load(f.gep(a, j.i, elem), elem), p)
    return m
