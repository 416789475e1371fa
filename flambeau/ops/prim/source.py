"""Source primitives: nodes that need no array to start from."""

from __future__ import annotations

import numpy as np

from ...base import dtype as dt
from ...ir.node import Node, OpClass, Prim, const, make


def _iota_infer(start: Node, step: Node, n: int):
    return (n,), start.dtype


def _iota_numpy(start: np.ndarray, step: np.ndarray, n: int) -> np.ndarray:
    if start.dtype.kind in "fV" and start.dtype.itemsize == 2:
        steps = np.arange(n, dtype=np.float64)
        return (start.astype(np.float64) + steps * step.astype(np.float64)).astype(start.dtype)
    return start + np.arange(n).astype(start.dtype) * step


IOTA = Prim("iota", OpClass.SOURCE, _iota_infer, _iota_numpy,
            lambda b, start, step, n: b.add(start, b.mul(b.cast(b.index(), start.dtype), step)),
            doc="start + i * step for i in range(n); start and step are 0-d nodes")


def iota(n: int, start=0, step=1, dtype: dt.dtype = dt.int64) -> Node:
    """``n`` numbers from ``start`` in steps of ``step``, as a node."""
    return make(IOTA, (const(start, dtype), const(step, dtype)), (n,))


def _check_infer(index: Node, size: int, ignore, what: str):
    return index.shape, index.dtype


def _check_numpy(index: np.ndarray, size: int, ignore, what: str) -> np.ndarray:
    bad = (index < 0) | (index >= size)
    if ignore is not None:
        bad &= index != ignore
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f" at position {list(at)}" if at else ""
        value = int(index[at])
        text = (f"{what} {value} is out of bounds{where}: the {size} classes are numbered from 0 "
                f"to {size - 1}")
        if value == size and not (index == 0).any():
            text += "; labels that count from 1 need 1 subtracted"
        raise IndexError(text)
    return index


CHECK_RANGE = Prim("check_range", OpClass.LIBRARY, _check_infer, _check_numpy, batch="leading",
                   doc="the operand, refused when a value is outside 0..size-1 (and not `ignore`)")


def checked_range(index: Node, size: int, what: str, ignore: int | None = None) -> Node:
    """``index`` itself; IndexError when a value is not in [0, size): at once where the values are
    known, else when it runs."""
    if index.value is not None:
        _check_numpy(index.value, size, ignore, what)
    return make(CHECK_RANGE, (index,), (size, ignore, what))
