"""torch.nn.functional's pooling functions."""

from __future__ import annotations

import math

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...ir.api import api
from ...ir.op import apply
from ..prim.elementwise import mul, pow, relu  # noqa: A004
from ..prim.pointwise import abs, sign  # noqa: A004
from ..prim.pool import BOX_POOL_OP, FRACTION_OP, MAX_POOL_OP, UNPOOL_OP
from ..prim.reduce import mean
from ..prim.shape import slice_dim, squeeze, unsqueeze
from ..prim.window import AVG_POOL, Taps, pool_size, resampler
from .dropout import uniform_like


def per_axis(name: str, value, rank: int) -> tuple[int, ...]:
    """A number for all axes, or one per axis."""
    if isinstance(value, (int, np.integer)):
        return (int(value),) * rank
    value = tuple(int(v) for v in value)
    if len(value) == 1:
        return value * rank
    if len(value) != rank:
        raise RuntimeError(f"{name} must either be a single int, or a tuple of {rank} ints, got "
                           f"{value}")
    return value


def _batched(name, x, rank):
    """(N, C, *S) and whether the batch axis was there."""
    if len(x.shape) not in (rank + 1, rank + 2):
        raise RuntimeError(f"{name}: Expected {rank + 1}D or {rank + 2}D input tensor, got shape "
                           f"{tuple(x.shape)}")
    full = len(x.shape) == rank + 2
    shape = tuple(x.shape)
    if any(n == 0 for n in shape[(1 if full else 0):]):
        raise RuntimeError(f"{name}: Expected {rank + 1}D or {rank + 2}D (batch mode) tensor with "
                           f"optional 0 dim batch size for input, but got: {list(shape)}")
    return (x if full else unsqueeze(x, 0)), full


def _unbatched(x, full):
    return x if full else squeeze(x, 0)


def _geometry(name, x, kernel, stride, padding, dilation, ceil, rank):
    kernel = per_axis("kernel_size", kernel, rank)
    stride = kernel if stride is None or stride in ((), []) else per_axis("stride", stride, rank)
    padding = per_axis("padding", padding, rank)
    dilation = per_axis("dilation", dilation, rank)
    if any(k <= 0 for k in kernel):
        raise RuntimeError(f"{name}: kernel size should be greater than zero, but got "
                           f"kernel_size={list(kernel)}")
    if any(s <= 0 for s in stride):
        raise RuntimeError(f"{name}: stride should not be zero, got stride={list(stride)}")
    if any(d <= 0 for d in dilation):
        raise RuntimeError(f"{name}: dilation should be greater than zero, got "
                           f"dilation={list(dilation)}")
    for k, p, d in zip(kernel, padding, dilation, strict=True):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > ((k - 1) * d + 1) // 2:
            raise RuntimeError("pad should be at most half of effective kernel size, but got "
                               f"pad={p}, kernel_size={k} and dilation={d}")
    size = x.shape[2:]
    out = tuple(pool_size(n, k, s, p, d, ceil) for n, k, s, p, d in zip(
        size, kernel, stride, padding, dilation, strict=True))
    if any(m < 1 for m in out):
        raise RuntimeError(f"Given input size: ({'x'.join(map(str, x.shape[1:]))}). Calculated "
                           f"output size: ({'x'.join(map(str, (x.shape[1], *out)))}). Output size "
                           "is too small")
    return kernel, out, stride, padding, dilation


# --- max ------------------------------------------------------------------------------------------


def _max_pool(rank, x, kernel_size, stride, padding, dilation, ceil_mode):
    name = f"max_pool{rank}d"
    x, full = _batched(name, x, rank)
    if x.dtype is dt.bool_ or x.dtype.is_complex:
        raise NotImplementedError(f'"{name}" not implemented for {x.dtype}')
    kernel, out, stride, padding, dilation = _geometry(
        name, x, kernel_size, stride, padding, dilation, ceil_mode, rank)
    values, index = apply(MAX_POOL_OP[rank], x, kernel=kernel, out=out, stride=stride,
                          padding=padding, dilation=dilation)
    return _unbatched(values, full), _unbatched(index, full)


def _declare_max(rank):
    def with_indices(input, kernel_size, stride=None, padding=0, dilation=1,  # noqa: A002
                     ceil_mode=False, return_indices=False):
        return _max_pool(rank, input, kernel_size, stride, padding, dilation, ceil_mode)

    def pool(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,  # noqa: A002
             return_indices=False):
        values, index = _max_pool(rank, input, kernel_size, stride, padding, dilation, ceil_mode)
        return (values, index) if return_indices else values

    size = (7, 6, 5)[:rank]
    cases = lambda t: [t.call(t.f(2, 3, *size), 2), t.call(t.f(2, 3, *size), 3, 2, 1)]  # noqa: E731
    for function, name in ((pool, f"max_pool{rank}d"),
                           (with_indices, f"max_pool{rank}d_with_indices")):
        function.__name__ = function.__qualname__ = name
        function.__doc__ = f"Largest value of windows over {rank} spatial axes."
        api(name, torch=function is pool or rank == 1, functional=True, dtypes="float",
            cases=cases)(function)
    return pool


max_pool1d, max_pool2d, max_pool3d = map(_declare_max, (1, 2, 3))


# --- average --------------------------------------------------------------------------------------


def _avg_pool(rank, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor):
    name = f"avg_pool{rank}d"
    x, full = _batched(name, x, rank)
    if divisor is not None and divisor == 0:
        raise RuntimeError("divisor must be not zero")
    if x.dtype is dt.bool_:
        raise NotImplementedError(f'"{name}" not implemented for {x.dtype}')
    kernel, out, stride, padding, _ = _geometry(
        name, x, kernel_size, stride, padding, 1, ceil_mode, rank)
    y = apply(AVG_POOL[rank], x, kernel=kernel, out=out, stride=stride, padding=padding,
              include_pad=bool(count_include_pad), divisor=divisor)
    return _unbatched(y, full)


@api(functional=True, cases=lambda t: [t.call(t.f(2, 3, 7), 2), t.call(t.f(2, 3, 7), 3, 2, 1)])
def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False,  # noqa: A002
               count_include_pad=True):
    """Mean of windows of (N, C, L)."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@api(functional=True, torch=False, out=1,
     cases=lambda t: [t.call(t.f(2, 3, 6, 5), 2), t.call(t.f(2, 3, 6, 5), 3, 2, 1)])
def avg_pool2d(input, kernel_size, stride=None, padding=0, ceil_mode=False,  # noqa: A002
               count_include_pad=True, divisor_override=None):
    """Mean of windows of (N, C, H, W)."""
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)


@api(functional=True, torch=False, out=1,
     cases=lambda t: [t.call(t.f(2, 3, 4, 4, 5), 2), t.call(t.f(2, 3, 4, 4, 5), 3, 2, 1)])
def avg_pool3d(input, kernel_size, stride=None, padding=0, ceil_mode=False,  # noqa: A002
               count_include_pad=True, divisor_override=None):
    """Mean of windows of (N, C, D, H, W)."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)


def _lp_pool(rank, x, norm_type, kernel_size, stride, ceil_mode):
    """(sum x^p)^(1/p), signs kept as PyTorch keeps them."""
    kernel = per_axis("kernel_size", kernel_size, rank)
    pooled = _avg_pool(rank, pow(x, norm_type), kernel, stride, 0, ceil_mode, True, None)
    signed = mul(sign(pooled), relu(abs(pooled)))
    return pow(mul(signed, math.prod(kernel)), 1.0 / norm_type)


def _declare_lp(rank):
    def pool(input, norm_type, kernel_size, stride=None, ceil_mode=False):  # noqa: A002
        return _lp_pool(rank, input, norm_type, kernel_size, stride, ceil_mode)

    size = (7, 6, 5)[:rank]
    pool.__name__ = pool.__qualname__ = f"lp_pool{rank}d"
    pool.__doc__ = f"Power mean (sum form) of windows over {rank} spatial axes."
    return api(pool.__name__, torch=False, functional=True,
               cases=lambda t: [t.call(t.pos(2, 3, *size), 2.0, 2)])(pool)


lp_pool1d, lp_pool2d, lp_pool3d = map(_declare_lp, (1, 2, 3))


# --- adaptive -------------------------------------------------------------------------------------


def _bounds(n: int, m: int):
    """Starts and ends of ``m`` boxes that cover ``n`` elements."""
    return (tuple(i * n // m for i in range(m)),
            tuple(-(-(i + 1) * n // m) for i in range(m)))


def _targets(name, x, output_size, rank):
    if isinstance(output_size, (int, np.integer)):
        output_size = (output_size,) * rank
    sizes = tuple(output_size)
    if len(sizes) == 1:
        sizes *= rank
    if len(x.shape) <= len(sizes):
        raise ValueError(f"Input dimension should be at least {len(sizes) + 1}, got "
                         f"{len(x.shape)} in {name}")
    if len(sizes) != rank:
        raise RuntimeError(f"{name}: output_size must be {rank}")
    sizes = tuple(int(n) if n is not None else have
                  for n, have in zip(sizes, x.shape[-rank:], strict=True))
    if any(n < 0 for n in sizes):
        raise RuntimeError(f"{name}: elements of output_size must be greater than or equal to 0")
    return sizes


def _averaging(n: int, m: int) -> Taps:
    """The linear map of adaptive averaging along one axis."""
    starts, ends = map(np.array, _bounds(n, m))
    width = int((ends - starts).max(initial=1))
    index = starts + np.arange(width)[:, None]
    weight = np.where(index < ends, 1.0 / np.maximum(ends - starts, 1), 0.0)
    return Taps(np.minimum(index, n - 1), weight, n)


_ADAPTIVE_AVG = {rank: resampler(f"adaptive_avg_pool{rank}d", f"AdaptiveAvgPool{rank}DBackward0",
                                 layouts.POOLED if rank < 3 else None, guards=(0,))
                 for rank in (1, 2, 3)}


def _adaptive_avg(rank, x, output_size):
    name = f"adaptive_avg_pool{rank}d"
    sizes = _targets(name, x, output_size, rank)
    if len(x.shape) not in (rank + 1, rank + 2):
        raise RuntimeError(f"{name}: Expected {rank + 1}D or {rank + 2}D tensor, but got "
                           f"{list(x.shape)}")
    if any(n == 0 for n in x.shape[-rank:]):
        raise RuntimeError(f"{name}(): Expected input to have non-zero size for non-batch "
                           f"dimensions, but input has sizes {list(x.shape)}")
    if all(m == 1 for m in sizes):
        return mean(x, tuple(range(-rank, 0)), True)
    if all(m and n % m == 0 for n, m in zip(x.shape[-rank:], sizes, strict=True)):
        kernel = tuple(n // m for n, m in zip(x.shape[-rank:], sizes, strict=True))
        return _avg_pool(rank, x, kernel, kernel, 0, False, True, None) if x.numel() else x
    lead = len(x.shape) - rank
    maps = tuple((lead + i, _averaging(x.shape[lead + i], m)) for i, m in enumerate(sizes))
    return apply(_ADAPTIVE_AVG[rank], x, maps=maps)


def _adaptive_max(rank, x, output_size):
    name = f"adaptive_max_pool{rank}d"
    sizes = _targets(name, x, output_size, rank)
    if len(x.shape) not in (rank + 1, rank + 2):
        raise RuntimeError(f"{name}(): Expected {rank + 1}D or {rank + 2}D tensor, but got: "
                           f"{list(x.shape)}")
    if any(n == 0 for n in x.shape[-rank:]):
        raise RuntimeError(f"{name}(): Expected input to have non-zero size for non-batch "
                           f"dimensions, but input has sizes {list(x.shape)}")
    full = len(x.shape) == rank + 2
    x = x if full else unsqueeze(x, 0)
    bounds = [_bounds(n, m) for n, m in zip(x.shape[2:], sizes, strict=True)]
    values, index = apply(BOX_POOL_OP[rank], x, starts=tuple(b[0] for b in bounds),
                          ends=tuple(b[1] for b in bounds))
    return _unbatched(values, full), _unbatched(index, full)


def _declare_adaptive(rank):
    def average(input, output_size):  # noqa: A002
        return _adaptive_avg(rank, input, output_size)

    def largest(input, output_size, return_indices=False):  # noqa: A002
        found = _adaptive_max(rank, input, output_size)
        return found if return_indices else found[0]

    def with_indices(input, output_size, return_indices=False):  # noqa: A002
        return _adaptive_max(rank, input, output_size)

    size = (7, 6, 5)[:rank]
    for function, name, word in (
            (average, f"adaptive_avg_pool{rank}d", "Mean"),
            (largest, f"adaptive_max_pool{rank}d", "Largest value"),
            (with_indices, f"adaptive_max_pool{rank}d_with_indices", "Largest value")):
        function.__name__ = function.__qualname__ = name
        function.__doc__ = f"{word} of boxes that cover the input, ``output_size`` of them."
        api(name, torch=rank == 1 and function is not with_indices, functional=True,
            cases=lambda t: [t.call(t.f(2, 3, *size), 3)])(function)
    return average, largest


adaptive_avg_pool1d, adaptive_max_pool1d = _declare_adaptive(1)
adaptive_avg_pool2d, adaptive_max_pool2d = _declare_adaptive(2)
adaptive_avg_pool3d, adaptive_max_pool3d = _declare_adaptive(3)


# --- fractional -----------------------------------------------------------------------------------


def _fractional(rank, x, kernel_size, output_size, output_ratio, samples):
    name = f"fractional_max_pool{rank}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    x, full = _batched(name, x, rank)
    kernel = per_axis("kernel_size", kernel_size, rank)
    if output_size is None:
        ratio = (output_ratio,) * rank if isinstance(output_ratio, float) else tuple(output_ratio)
        output_size = tuple(int(n * r) for n, r in zip(x.shape[2:], ratio, strict=True))
    out = per_axis("output_size", output_size, rank)
    for n, m, k in zip(x.shape[2:], out, kernel, strict=True):
        if m + k - 1 > n:
            raise RuntimeError(f"{name}(): pool size {k} too large relative to input size {n}")
    if samples is None:
        samples = uniform_like(x, (*x.shape[:2], rank))
    elif samples.shape[0] > x.shape[0]:
        samples = slice_dim(samples, 0, 0, x.shape[0])
    values, index = apply(FRACTION_OP[rank], x, samples, kernel=kernel, out=out)
    return _unbatched(values, full), _unbatched(index, full)


def _declare_fractional(rank):
    def with_indices(input, kernel_size, output_size=None, output_ratio=None,  # noqa: A002
                     return_indices=False, _random_samples=None):
        return _fractional(rank, input, kernel_size, output_size, output_ratio, _random_samples)

    def pool(input, kernel_size, output_size=None, output_ratio=None,  # noqa: A002
             return_indices=False, _random_samples=None):
        found = with_indices(input, kernel_size, output_size, output_ratio, return_indices,
                             _random_samples)
        return found if return_indices else found[0]

    for function, name in ((pool, f"fractional_max_pool{rank}d"),
                           (with_indices, f"fractional_max_pool{rank}d_with_indices")):
        function.__name__ = function.__qualname__ = name
        function.__doc__ = ("Largest value of windows at pseudo-random places (Graham 2014) over "
                            f"{rank} axes.")
        api(name, torch=False, functional=True)(function)
    return pool


fractional_max_pool2d, fractional_max_pool3d = map(_declare_fractional, (2, 3))


# --- unpooling ------------------------------------------------------------------------------------


def _unpool(rank, x, indices, kernel_size, stride, padding, output_size):
    name = f"max_unpool{rank}d"
    kernel = per_axis("kernel_size", kernel_size, rank)
    stride = kernel if stride is None else per_axis("stride", stride, rank)
    padding = per_axis("padding", padding, rank)
    if tuple(x.shape) != tuple(indices.shape):
        raise RuntimeError(f"Expected shape of indices to be same as that of the input tensor "
                           f"({list(x.shape)}) but got indices tensor with shape: "
                           f"{list(indices.shape)}")
    if indices.dtype is not dt.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {indices.dtype}")
    x, full = _batched(name, x, rank)
    indices = indices if full else unsqueeze(indices, 0)
    default = tuple((n - 1) * s - 2 * p + k for n, s, p, k in zip(
        x.shape[2:], stride, padding, kernel, strict=True))
    size = default
    if output_size is not None:
        size = tuple(output_size)[-rank:]
        for n, d, s in zip(size, default, stride, strict=True):
            if not d - s < n < d + s:
                raise ValueError(f"invalid output_size {list(output_size)}: each size must lie "
                                 f"within a stride of {list(default)}")
    return _unbatched(apply(UNPOOL_OP[rank], x, indices, size=size), full)


def _declare_unpool(rank):
    def pool(input, indices, kernel_size, stride=None, padding=0, output_size=None):  # noqa: A002
        return _unpool(rank, input, indices, kernel_size, stride, padding, output_size)

    pool.__name__ = pool.__qualname__ = f"max_unpool{rank}d"
    pool.__doc__ = "Zeros with pooled values put back where max pooling found them."
    return api(pool.__name__, torch=False, functional=True)(pool)


max_unpool1d, max_unpool2d, max_unpool3d = map(_declare_unpool, (1, 2, 3))
