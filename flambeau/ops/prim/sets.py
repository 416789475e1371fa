"""Values as sets: unique, counts, histograms."""

from __future__ import annotations

import numpy as np

from ...base import dtype as dt
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import OpClass, Prim, leaf, make, realize
from ...ir.op import Op, apply
from ..core import is_number, result_type
from . import batch_rules
from .elementwise import cast
from .index import on_host

LIB = OpClass.LIBRARY


def _restored(values: np.ndarray, d: dt.dtype) -> np.ndarray:
    return values.astype(d.np)


def _runs(x: np.ndarray) -> np.ndarray:
    """Where a run of equal slices (first axis) starts."""
    n = len(x)
    start = np.ones(n, bool)
    if n > 1:
        start[1:] = (x[1:] != x[:-1]).reshape(n - 1, -1).any(1)
    return np.flatnonzero(start)


def _unique_lower(x, dim, consecutive):
    value = realize(x)
    plain = value.astype(np.float32) if value.dtype.kind == "V" else value
    flat = plain.reshape(-1) if dim is None else np.moveaxis(plain, dim, 0)
    if consecutive:
        first = _runs(flat)
        inverse = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(flat))))
        counts = np.diff(np.append(first, len(flat)))
        found = flat[first]
    elif dim is None:
        found, inverse, counts = np.unique(flat, return_inverse=True, return_counts=True,
                                           equal_nan=False)
    elif flat[:1].size == 0:
        found, inverse, counts = _empty_slices(flat)
    else:
        found, inverse, counts = np.unique(flat, return_inverse=True, return_counts=True, axis=0)
    if dim is None:
        places: np.ndarray = inverse.reshape(value.shape)
    else:
        found, places = np.moveaxis(found, 0, dim), inverse.reshape(-1)
    return (leaf(_restored(found, x.dtype), x.dtype), leaf(places.astype(np.int64)),
            leaf(counts.astype(np.int64)))


def _empty_slices(flat):
    """Slices without elements are all equal."""
    n = len(flat)
    return flat[:1], np.zeros(n, np.int64), np.full(min(n, 1), n, np.int64)


_unique = Op("_unique2", _unique_lower, nondiff="unique's gradient is not defined",
             grad_name="Unique2Backward0")


def _picked(parts, return_inverse, return_counts):
    out: tuple = (parts[0],)
    if return_inverse:
        out += (parts[1],)
    if return_counts:
        out += (parts[2],)
    return out[0] if len(out) == 1 else out


@api(method=True, dtypes="any", cases=lambda t: [
    t.call(t.ints(3, 4, low=0, high=4)),
    t.call(t.ints(3, 4, low=0, high=2), return_inverse=True, return_counts=True, dim=0)])
def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):  # noqa: A002
    """The different values (or slices of ``dim``), in ascending order.

    Returns:
        the values, and on request for each element of ``input`` its place among them, and how
        often each occurs.
    """
    if dim is not None:
        dim = sh.wrap_dim(dim, len(input.shape))
        _check_slices(input, dim)
    return _picked(apply(_unique, input, dim=dim, consecutive=False), return_inverse,
                   return_counts)


def _check_slices(x, dim):
    shape = tuple(x.shape)
    if shape and shape[dim] == 0 and sh.numel(shape[:dim] + shape[dim + 1:]) == 0:
        raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique "
                           "cannot be applied")
    if shape and shape[dim] and sh.numel(shape) == 0:
        raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique "
                           "cannot be applied")


@api(method=True, dtypes="any", cases=lambda t: [t.call(t.ints(9, low=0, high=2))])
def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):  # noqa: A002
    """Every run of equal values (or slices of ``dim``) replaced by one."""
    if dim is not None:
        dim = sh.wrap_dim(dim, len(input.shape))
        _check_slices(input, dim)
    if dim is not None and not input.shape:
        dim = None
    return _picked(apply(_unique, input, dim=dim, consecutive=True), return_inverse,
                   return_counts)


# --- counting -------------------------------------------------------------------------------------


def _bincount_lower(x, weights, minlength):
    value = realize(x)
    if value.size and value.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None:
        return leaf(np.bincount(value, minlength=minlength).astype(np.int64))
    out = np.bincount(value, realize(weights).astype(np.float64), minlength)
    return leaf(out.astype(np.float32 if weights.dtype is dt.float32 else np.float64))


_bincount = Op("bincount", _bincount_lower, nondiff="counts have no gradient")


@api(method=True, dtypes="any", cases=lambda t: [t.call(t.ints(9, low=0, high=5))])
def bincount(input, weights=None, minlength=0):  # noqa: A002
    """How often (or with how much weight) each non-negative integer occurs in a vector."""
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if len(input.shape) != 1 or input.dtype.category >= dt.dtype.FLOAT:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and tuple(weights.shape) != tuple(input.shape):
        raise RuntimeError("weights should be 1-d and have the same length as input")
    return apply(_bincount, input, weights, minlength=minlength)


def _histc_numpy(x, bins, low, high):
    x = x.astype(np.float64).reshape(-1)
    if low == high and x.size:
        low, high = x.min(), x.max()
    if not np.isfinite([low, high]).all():
        raise RuntimeError(f"range of [{low}, {high}] is not finite")
    if low == high:
        low, high = low - 1, high + 1
    inside = x[(x >= low) & (x <= high)]
    at = np.minimum(((inside - low) / (high - low) * bins).astype(np.int64), bins - 1)
    return np.bincount(at, minlength=bins)


HISTC = Prim("histc", LIB, lambda x, bins, low, high: ((bins,), x.dtype), _histc_numpy,
             doc="number of elements in each of `bins` equal intervals")
_histc = Op("histc", lambda x, bins, low, high: make(HISTC, (x,), (bins, low, high)),
            nondiff="counts have no gradient")


@api(method=True, out=1, cases=lambda t: [t.call(t.f(9), 4), t.call(t.f(9), 4, -1, 1)])
def histc(input, bins=100, min=0, max=0):  # noqa: A002
    """How many elements fall in each of ``bins`` equal intervals of [min, max].

    The range is that of the data when ``min`` equals ``max``.
    """
    if input.dtype.category < dt.dtype.FLOAT:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for {input.dtype}")
    if bins <= 0:
        raise RuntimeError("bins must be > 0")
    if min > max:
        raise RuntimeError("max must be larger than min")
    if not np.isfinite([float(min), float(max)]).all():
        raise RuntimeError(f"range of [{min}, {max}] is not finite")
    return apply(_histc, input, bins=int(bins), low=float(min), high=float(max))



ISIN = Prim("isin", LIB, lambda x, test, invert: (x.shape, dt.bool_),
            lambda x, test, invert: np.isin(x, test, invert=invert),
            batch=batch_rules.membership, doc="membership in a set")
_isin = Op("isin", lambda x, test, invert: make(ISIN, (x, test), (invert,)),
           nondiff="a truth value has no gradient")


@api(out=1, dtypes="number",
     cases=lambda t: [t.call(t.ints(2, 3, low=0, high=5), t.ints(4, low=0, high=5))])
def isin(elements, test_elements, *, assume_unique=False, invert=False):
    """Whether each element is among ``test_elements`` (or is not, with ``invert``)."""
    like = test_elements if is_number(elements) else elements
    common = result_type(elements, test_elements)
    pair = [on_host(np.asarray(v, common.np), like) if is_number(v) else cast(v, common)
            for v in (elements, test_elements)]
    return apply(_isin, *pair, invert=bool(invert))
