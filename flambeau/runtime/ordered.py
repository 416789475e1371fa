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
from ..kernel.sums import (BLOCKS, LANES, PLAIN, PRODUCTS, STEPS, VECTOR, Kind, accumulator,
                           accumulators, along, column_border, kind_of, order_of, parts_of,
                           reduced_runs)

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
        out = ufunc.reduce(x, axis=axes)
        if out.size < x.size:
            out = out + x.dtype.type(0)  # no zero is negative: any order will do
    else:
        kind = kind_of(prim.name, dtype, x.size)
        out = _sum(ufunc, x, kept, axes, kind)
    return None if out is None else out.reshape(shape).astype(dtype.np, copy=False)


def _sum(ufunc: np.ufunc, x: np.ndarray, kept: list[int], axes: tuple[int, ...],
         kind: Kind | None) -> np.ndarray | None:
    runs = reduced_runs(x.shape, axes)
    if not runs:
        return x
    rows = x.size // math.prod([n for _, n in runs])
    lanes = along(runs, rows, kind)
    order, last = order_of(lanes, runs, 1, kind), runs[-1][1]
    if order == BLOCKS or parts_of(x.size, rows, runs, kind) > 1:
        return None
    # terms of a run first, then its number, then the result
    terms = x.transpose(*axes, *kept).reshape(-1, last, rows).swapaxes(0, 1)
    if order == PLAIN:
        return _plain(ufunc, terms, lanes)
    assert kind is not None
    if order == LANES:
        parts = _products(terms, PRODUCTS // x.itemsize)
    elif last < 4:  # one after another in the other orders
        parts = _chain(ufunc, terms)
    elif lanes == "outer":
        columns, border = column_border(runs, kind)
        parts = np.empty(terms.shape[1:], x.dtype)
        cut = terms.reshape(*terms.shape[:2], rows // columns, columns)
        into = parts.reshape(cut.shape[1:])
        if border:
            into[..., :border] = _cascade(ufunc, cut[..., :border])
        if border < columns:
            into[..., border:] = _by_fours(ufunc, cut[..., border:])
    else:
        parts = _along(ufunc, terms, VECTOR // x.itemsize)
    return _chain(ufunc, parts[1:], parts[0])


def _plain(ufunc: np.ufunc, terms: np.ndarray, lanes: str) -> np.ndarray | None:
    """The order of large reductions; None where it is not known without the compiler."""
    if lanes == "outer":
        return _chain(ufunc, terms.swapaxes(0, 1).reshape(-1, terms.shape[2]))
    last = len(terms)
    width = 1 << (last - 1).bit_length()
    if width > accumulators(PLAIN, 0, min(VECTOR_BYTES.values())):
        size = vector_bytes()
        if size is None:
            return None
        width = min(width, accumulators(PLAIN, 0, size))
    if last % width:
        rest = np.full((width - last % width, *terms.shape[1:]), ufunc.identity, terms.dtype)
        terms = np.concatenate([terms, rest])
    sums = _chain(ufunc, terms.reshape(-1, width, *terms.shape[1:]).transpose(2, 0, 1, 3).reshape(
        -1, width, terms.shape[2]))
    while width > 1:
        width //= 2
        sums = ufunc(sums[:width], sums[width:])
    return sums[0]


def _chain(ufunc: np.ufunc, terms: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Terms of the first axis, one after another, from ``start`` or the identity on."""
    if start is None:
        if not len(terms):
            return np.full(terms.shape[1:], ufunc.identity, terms.dtype)
        start, terms = ufunc(ufunc.identity, terms[0]), terms[1:]
    for term in terms:
        start = ufunc(start, term)
    return start


def _cascade(ufunc: np.ufunc, terms: np.ndarray) -> np.ndarray:
    """A cascade over the first axis."""
    if len(terms) <= STEPS:
        return _chain(ufunc, terms)
    whole = len(terms) // STEPS
    blocks = terms[:whole * STEPS].reshape(whole, STEPS, *terms.shape[1:]).swapaxes(0, 1)
    blocks, rest = _chain(ufunc, blocks), _chain(ufunc, terms[whole * STEPS:])
    # blocks of blocks: what is finished at each level, from the lowest one
    level, finished = blocks, []
    for _ in range(2):
        whole = len(level) // STEPS
        finished.append(_chain(ufunc, level[whole * STEPS:]))
        level = _chain(ufunc, level[:whole * STEPS].reshape(
            whole, STEPS, *terms.shape[1:]).swapaxes(0, 1))
    finished.append(_chain(ufunc, level))
    for total in finished:
        rest = ufunc(rest, total)
    return rest


def _by_fours(ufunc: np.ufunc, terms: np.ndarray) -> np.ndarray:
    """A row by fours over the first axis."""
    if len(terms) < 4:
        return _chain(ufunc, terms)
    full = len(terms) // 4 * 4
    sums = _cascade(ufunc, terms[:full].reshape(full // 4, 4, *terms.shape[1:]))
    return _chain(ufunc, sums[1:], _chain(ufunc, terms[full:], sums[0]))


def _along(ufunc: np.ufunc, terms: np.ndarray, unit: int) -> np.ndarray:
    """Neighbours, the first axis, in vectors of ``unit``."""
    if len(terms) < unit:
        return _by_fours(ufunc, terms)
    full = len(terms) // unit * unit
    vector = _by_fours(ufunc, terms[:full].reshape(full // unit, unit, *terms.shape[1:]))
    return _chain(ufunc, vector, _chain(ufunc, terms[full:]))


def _products(terms: np.ndarray, each: int) -> np.ndarray:
    """The order of ``inner_sum``, with ``each`` accumulators."""
    full, unit = len(terms) // each * each, each // 4
    sums = _chain(np.add, terms[:full].reshape(full // each, each, *terms.shape[1:]))
    for width in (2 * unit, unit) if unit == 4 else (unit,) * 3:
        if full + width <= len(terms):
            sums[:width] += terms[full:full + width]
            full += width
    for term in terms[full:]:
        sums[0] += term
    out = _chain(np.add, sums.reshape(4, unit, *terms.shape[1:])[1:], sums[:unit])
    while len(out) > 1:
        half = len(out) // 2
        out = out[:half] + out[half:]
    return out[0]
