"""Short reductions by NumPy, in the order in which kernels add up (:mod:`flambeau.kernel.sums`).

A program that adds up a few numbers needs no compiler for it. (With the compiler loaded, its code
is quicker.)
"""

from __future__ import annotations

import math

import numpy as np

from ..base import dtype as dt
from ..base.processor import VECTOR_BYTES, vector_bytes
from ..ir.node import Prim
from ..kernel.sums import accumulator, accumulators, along, is_long, parts_of, reduced_runs

#: elements of a reduction that is short
MOST = 4096

_FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))
_UFUNCS = {"add": np.add, "mul": np.multiply, "maximum": np.maximum, "minimum": np.minimum}


def reduce(prim: Prim, x: np.ndarray, axes: tuple[int, ...], dtype: dt.dtype) -> np.ndarray | None:
    """A reduction of a float array over sorted ``axes``; None: too long for this."""
    ufunc = _UFUNCS.get(prim.fold[1]) if prim.fold is not None else None
    if ufunc is None or not 0 < x.size <= MOST or dtype.name not in _FLOATS:
        return None
    wide = accumulator(dtype)
    if x.dtype != wide.np:
        x = x.astype(wide.np)
    kept = [k for k in range(x.ndim) if k not in axes]
    shape = tuple([x.shape[k] for k in kept])
    if ufunc is np.maximum or ufunc is np.minimum:
        out = _extreme(ufunc, x, axes)
    else:
        out = _sum(ufunc, x, kept, axes)
    return None if out is None else out.reshape(shape).astype(dtype.np, copy=False)


def _extreme(ufunc: np.ufunc, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray | None:
    """Any order will do, unless a zero's sign depends on it."""
    out = ufunc.reduce(x, axis=axes)
    if not np.all(out) and np.signbit(x[x == 0]).any():
        return None
    return np.asarray(out)


def _sum(ufunc: np.ufunc, x: np.ndarray, kept: list[int],
         axes: tuple[int, ...]) -> np.ndarray | None:
    runs = reduced_runs(x.shape, axes)
    if not runs:
        return x
    depth = math.prod([n for _, n in runs])
    rows = x.size // depth
    lanes = along(runs, rows)
    terms: np.ndarray
    out: np.ndarray
    if parts_of(x.size, rows, runs) > 1 or is_long(lanes, depth, 1):
        return None
    if lanes == "outer":
        terms = x.transpose(*axes, *kept).reshape(depth, rows)
        out = ufunc.accumulate(terms, axis=0)[-1]
    else:
        last = runs[-1][1]
        width = _width(last)
        if width is None:
            return None
        terms = x.transpose(*kept, *axes).reshape(rows, depth // last, last)
        rounds = -(-last // width)
        if rounds * width > last:
            whole = np.full((rows, depth // last, rounds * width), ufunc.identity, x.dtype)
            whole[:, :, :last] = terms
            terms = whole
        terms = terms.reshape(rows, -1, width)
        if terms.shape[1] <= max(rows, 2):
            out = terms[:, 0]
            for k in range(1, terms.shape[1]):
                out = ufunc(out, terms[:, k])
        else:
            out = ufunc.accumulate(terms, axis=1)[:, -1]
        while width > 1:
            width //= 2
            out = ufunc(out[:, :width], out[:, width:])
    # kernels start from zero, which makes a sum of negative zeros positive
    return out + 0.0 if ufunc is np.add else out


def _width(last: int) -> int | None:
    """Accumulators for a run of ``last`` positions; those that nothing is added to are left out."""
    few = 1 << (last - 1).bit_length()
    if few <= accumulators(min(VECTOR_BYTES.values())):
        return few
    size = vector_bytes()
    return None if size is None else min(few, accumulators(size))
