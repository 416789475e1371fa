"""Norms, NaN-aware sums, quantiles, covariance, histograms."""

from __future__ import annotations

import math

import numpy as np

from ...base import dtype as dt
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import OpClass, Prim, make_many
from ...ir.op import Op, apply
from ..core import cast_node, is_number, no_derivative, one_step
from ..prim.comparison import isnan, logical_not
from ..prim.contract import matmul
from ..prim.elementwise import add, cast, conj, div, gt, mul, ne, sqrt, sub, where
from ..prim.extremes import any
from ..prim.index import gather, host, on_host
from ..prim.order import sort
from ..prim.pointwise import ceil, floor, not_implemented, round
from ..prim.reduce import SUM, expand, reduce, reduce_axes, restore, sum, sum_dtype
from ..prim.shape import permute, reshape, squeeze, transpose, unsqueeze
from ..prim.statistics import vector_norm
from ..prim.ternary import clamp, clamp_min, lerp
from ..results import return_type
from .linalg_norms import matrix_norm
from .shape import contiguous

# --- norms --------------------------------------------------------------------------------------


@api(method=True, out=1,
     cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), 1, 1), t.call(t.f(2, 3), 3, 0, True)])
def norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    """Vector norm of order ``p`` over ``dim`` (all when None); "fro" is order 2.

    Raises:
        RuntimeError: a tensor of integers, or an unknown order.
    """
    if input.dtype.category < dt.dtype.FLOAT and dtype is None:
        raise RuntimeError("linalg.vector_norm: Expected a floating point or complex tensor as "
                           f"input. Got {input.dtype}")
    if isinstance(p, str):
        if p == "nuc":
            return _nuclear(input, dim, keepdim)
        if p != "fro":
            raise RuntimeError(f"Unknown norm order {p!r}: a number, 'fro' or 'nuc'")
        p = 2
    return vector_norm(input, 2 if p is None else p, dim, keepdim, dtype=dtype)


def _nuclear(input, dim, keepdim):
    """The sum of singular values of a matrix, or of the matrices in two axes."""
    if dim is None:
        if len(input.shape) != 2:
            raise RuntimeError(f"norm: p='nuc' needs a matrix or two axes in dim, got shape "
                               f"{tuple(input.shape)}")
        dim = (0, 1)
    return matrix_norm(input, "nuc", dim, keepdim)


_dist = one_step("dist", "DistBackward0", (1, 2, "result"))


@api(method=True, cases=lambda t: [t.call(t.f(2, 3), t.f(3)), t.call(t.f(3), t.f(3), 1)])
def dist(input, other, p=2):
    """Norm of order ``p`` of the difference."""
    return apply(_dist, vector_norm(sub(input, other), p), input, other)


@api(method=True, inplace=True, out=1, cases=lambda t: [t.call(t.f(3, 4), 2, 0, 1.0)])
def renorm(input, p, dim, maxnorm):
    """Each slice of ``dim`` scaled down to norm ``maxnorm`` where its norm is larger.

    Raises:
        RuntimeError: ``p`` is not positive, ``maxnorm`` is negative, fewer than 2 dimensions.
    """
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    rank = len(input.shape)
    if rank < 2:
        raise RuntimeError("renorm: input needs at least 2 dimensions, got 1 dimensions"
                           if rank else "renorm: input needs at least 2 dimensions, got 0")
    dim = sh.wrap_dim(dim, rank)
    size = vector_norm(input, p, tuple(i for i in range(rank) if i != dim), True)
    factor = where(gt(size, maxnorm), div(maxnorm, add(size, 1e-7)), 1.0)
    return contiguous(mul(input, factor))


# --- sums without NaN ---------------------------------------------------------------------------


def _nansum_lower(x, axes, keepdim, dtype):
    if x.dtype.is_floating_point:
        x = where(isnan(x), 0, x)
    return reduce(SUM, cast_node(x, dtype), axes, keepdim)


def _nansum_vjp(ctx, g):
    x = ctx.operand(0)
    return (where(ne(x, x), 0, restore(g, ctx.shape(0), ctx.axes, ctx.keepdim)),)


_nansum = Op("nansum", _nansum_lower, _nansum_vjp, saves=(0,))


@api(method=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), 1, True)])
def nansum(input, dim=None, keepdim=False, *, dtype=None):
    """Sum in which NaN counts 0."""
    if input.dtype.is_complex:
        raise RuntimeError("nansum does not support complex inputs")
    return apply(_nansum, input, axes=reduce_axes(dim, input.ndim), keepdim=keepdim,
                 dtype=sum_dtype(input, dtype))


@api(method=True, out=1, cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), 1, True)])
def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    """Mean of the elements that are not NaN.

    Raises:
        RuntimeError: a tensor of integers.
    """
    if input.dtype.category < dt.dtype.FLOAT:
        raise RuntimeError("nanmean(): expected input to have floating point or complex dtype but "
                           f"got {input.dtype}")
    count = sum(logical_not(isnan(input)), dim, keepdim)
    return div(nansum(input, dim, keepdim, dtype=dtype), count)


# --- quantiles ----------------------------------------------------------------------------------

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _check_quantile(name, input, q, interpolation) -> None:
    if not sh.numel(input.shape):
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if input.dtype not in (dt.float32, dt.float64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(f"{name}() interpolation must be one of linear, lower, higher, midpoint "
                           f"or nearest, but got {interpolation}")
    if is_number(q):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
        return
    if len(q.shape) > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
    if q.dtype is not input.dtype:
        raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
    values = host(q)
    if ((values < 0) | (values > 1)).any():
        raise RuntimeError(f"{name}() q values must be in the range [0, 1]")


def _ranks(ordered, q, ignore_nan):
    """Real-valued places (.., q) in the sorted last axis."""
    size = ordered.shape[-1]
    missing = isnan(ordered)
    if ignore_nan:
        last = cast(sum(logical_not(missing), -1, True), ordered.dtype)
        return clamp_min(mul(sub(last, 1), q), 0)
    return where(any(missing, -1, True), float(size - 1), mul(q, float(size - 1)))


def _interpolated(ordered, ranks, interpolation):
    if interpolation in ("lower", "higher", "nearest"):
        whole = {"lower": floor, "higher": ceil, "nearest": round}[interpolation](ranks)
        return gather(ordered, -1, cast(whole, dt.int64))
    below = floor(ranks)
    low = gather(ordered, -1, cast(below, dt.int64))
    high = gather(ordered, -1, cast(ceil(ranks), dt.int64))
    return lerp(low, high, 0.5 if interpolation == "midpoint" else sub(ranks, below))


def _declare_quantile(name: str, ignore_nan: bool):
    def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
        _check_quantile(name, input, q, interpolation)
        rank = len(input.shape)
        scalar = is_number(q) or not q.shape
        if is_number(q):
            q = on_host(np.full((1,), q, input.dtype.np), input)
        elif scalar:
            q = reshape(q, (1,))
        if dim is None:
            x, kept = reshape(input, (-1,)), (1,) * rank
        else:
            dim = sh.wrap_dim(dim, rank)
            x = transpose(unsqueeze(input, -1), dim, -1) if rank else unsqueeze(input, -1)
            kept = tuple(1 if i == dim else n for i, n in enumerate(input.shape))
            x = reshape(x, (*kept, input.shape[dim])) if rank else x
        ordered = sort(x)[0]
        ranks = _ranks(ordered, q, ignore_nan)
        ranks = expand(ranks, (*x.shape[:-1], q.shape[0]))
        out = _interpolated(ordered, ranks, interpolation)
        shape = kept if keepdim else () if dim is None else tuple(
            n for i, n in enumerate(kept) if i != dim)
        out = permute(out, (len(out.shape) - 1, *range(len(out.shape) - 1)))
        return reshape(out, shape if scalar else (q.shape[0], *shape))

    quantile.__name__ = quantile.__qualname__ = name
    quantile.__doc__ = ("The ``q``-quantiles along ``dim`` (of all elements when None), " +
                        ("NaN passed over." if ignore_nan else "NaN if there is one.") +
                        " A 1-d ``q`` adds a first axis.")
    return api(name, method=True, out=1,
               cases=lambda t: [t.call(t.f(3, 4), 0.3), t.call(t.f(3, 4), 0.6, 1, True)])(quantile)


quantile = _declare_quantile("quantile", False)
nanquantile = _declare_quantile("nanquantile", True)

# --- covariance ---------------------------------------------------------------------------------


def _check_weights(name, weights, count: int, integer: bool) -> None:
    if weights is None:
        return
    if len(weights.shape) > 1:
        raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got "
                           f"{name} with {len(weights.shape)} dimensions")
    if integer != (weights.dtype.category == dt.dtype.INT):
        kind = "integral dtype" if integer else "floating point dtype"
        raise RuntimeError(f"cov(): expected {name} to have {kind} but got {name} with "
                           f"{weights.dtype} dtype")
    if sh.numel(weights.shape) != count:
        raise RuntimeError(f"cov(): expected {name} to have the same number of elements as there "
                           f"are observations in the input: {sh.numel(weights.shape)} != {count}")
    if (host(weights) < 0).any():
        raise RuntimeError(f"cov(): {name} cannot be negative")


@api(method=True, dtypes="number", cases=lambda t: [t.call(t.f(3, 5)), t.call(t.f(4))])
def cov(input, *, correction=1, fweights=None, aweights=None):
    """Covariance of the variables (rows) over the observations (columns).

    Raises:
        RuntimeError: more than 2 dimensions, a bool tensor, or weights that do not fit.
    """
    if len(input.shape) > 2:
        raise RuntimeError("cov(): expected input to have two or fewer dimensions but got an input "
                           f"with {len(input.shape)} dimensions")
    if input.dtype is dt.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input if len(input.shape) == 2 else reshape(input, (1, -1))
    count = x.shape[1]
    _check_weights("fweights", fweights, count, True)
    _check_weights("aweights", aweights, count, False)
    weights = fweights if aweights is None else aweights if fweights is None else \
        mul(fweights, aweights)
    total = count if weights is None else sum(weights)
    if weights is not None and float(host(total)) == 0 and count:
        raise RuntimeError("cov(): weights sum to zero, can't be normalized")
    centre = div(sum(x if weights is None else mul(x, weights), 1, True), total)
    if weights is None:
        freedom = max(count - correction, 0)
    elif aweights is None:
        freedom = clamp_min(sub(total, correction), 0)
    else:
        squares = sum(mul(weights, aweights))
        freedom = clamp_min(sub(total, mul(div(squares, total), correction)), 0)
    centred = sub(x, centre)
    other = centred if weights is None else mul(centred, weights)
    product = matmul(centred, conj(transpose(other, 0, 1)))
    return squeeze(div(product, freedom))


@api(method=True, dtypes="number", cases=lambda t: [t.call(t.f(3, 5))])
def corrcoef(input):
    """Correlation coefficients of the variables (rows).

    Raises:
        RuntimeError: more than 2 dimensions.
    """
    if len(input.shape) > 2:
        raise RuntimeError("corrcoef(): expected input to have two or fewer dimensions but got an "
                           f"input with {len(input.shape)} dimensions")
    c = cov(input)
    if not c.shape:
        return div(c, c)
    n = c.shape[0]
    places = on_host(np.arange(n, dtype=np.int64).reshape(n, 1), c)
    deviation = sqrt(reshape(gather(c, 1, places), (n,)))
    ratio = div(div(c, reshape(deviation, (n, 1))), deviation)
    return ratio if ratio.dtype.is_complex else clamp(ratio, -1, 1)


# --- histograms ---------------------------------------------------------------------------------


def _histogram_infer(x, *rest):
    bins = rest[-2]
    count = (rest[0].shape[0] - 1) if bins is None else bins[0]
    return ((count,), x.dtype), ((count + 1,), x.dtype)


def _histogram_numpy(x, *rest):
    bins, density = rest[-2], rest[-1]
    operands = rest[:-2]
    if bins is None:
        edges, operands = operands[0], operands[1:]
    else:
        count, low, high = bins
        if low is None:
            low, high = (x.min(), x.max()) if x.size else (0, 1)
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges = np.linspace(low, high, count + 1, dtype=x.dtype)
    weight = operands[0].reshape(-1) if operands else None
    flat = x.reshape(-1)
    inside = (flat >= edges[0]) & (flat <= edges[-1])
    at = np.minimum(np.searchsorted(edges, flat[inside], side="right") - 1, len(edges) - 2)
    kept = None if weight is None else weight[inside]
    counts = np.bincount(at, kept, len(edges) - 1).astype(x.dtype)
    if density:
        counts = counts / (counts.sum() * np.diff(edges))
    return counts.astype(x.dtype), edges.astype(x.dtype)


HISTOGRAM = Prim("histogram", OpClass.LIBRARY, _histogram_infer, _histogram_numpy,
                 doc="counts and edges of bins")
_histogram = Op("histogram", lambda x, *rest, bins, density: make_many(
    HISTOGRAM, (x, *rest), (bins, density)), no_derivative("histogram"),
                grad_name="NotImplemented")
_HISTOGRAM = return_type("histogram", "hist", "bin_edges")


@api(method=True, out=2, cases=lambda t: [t.call(t.f(10), 4), t.call(t.f(10), 3, range=(-1., 1.))])
def histogram(input, bins, *, range=None, weight=None, density=False):
    """How many elements (or how much ``weight``) fall into each bin, as (hist, bin_edges).

    Args:
        bins: a number of equal bins over ``range`` (that of the values when None), or the edges.

    Raises:
        RuntimeError: an integer tensor, a bad range, or sizes that do not fit.
    """
    if input.dtype not in (dt.float32, dt.float64):
        raise not_implemented("histogramdd", input.dtype)
    if weight is not None and tuple(weight.shape) != tuple(input.shape):
        raise RuntimeError("histogramdd: if weight tensor is provided it should have the same "
                           f"shape as the input tensor, got {tuple(weight.shape)} and "
                           f"{tuple(input.shape)}")
    if weight is not None and weight.dtype is not input.dtype:
        raise RuntimeError("histogramdd: if weight tensor is provided, input tensor and weight "
                           "tensor should have the same dtype")
    operands = [] if weight is None else [weight]
    if is_number(bins):
        if bins <= 0:
            raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins}")
        low, high = range or (None, None)
        if low is not None and not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(f"torch.histogram(): range [{low}, {high}] is not finite")
        if low is not None and low > high:
            raise RuntimeError("torch.histogram(): max must be larger than min")
        params = (int(bins), low, high)
    else:
        if bins.dtype is not input.dtype:
            raise RuntimeError("torch.histogramdd: input tensor and bins tensors should have the "
                               "same dtype")
        if len(bins.shape) != 1 or not sh.numel(bins.shape):
            raise RuntimeError("histogramdd: bins tensor should have one dimension and at least "
                               f"one element, got {tuple(bins.shape)}")
        operands.insert(0, bins)
        params = None
    return _HISTOGRAM(apply(_histogram, input, *operands, bins=params, density=density))

