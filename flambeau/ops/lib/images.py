"""Images: interpolate, grid_sample, affine_grid, pixel shuffles, unfold and fold."""

from __future__ import annotations

import math

import numpy as np

from ...base import dtype as dt
from ...ir.api import api
from ...ir.op import apply
from ..prim.elementwise import add, cast, rows
from ..prim.pointwise import floor
from ..prim.shape import permute, reshape, squeeze, unsqueeze
from ..prim.ternary import clamp
from ..prim.window import COL2IM, IM2COL, Taps, resampler
from .pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, per_axis

# --- linear maps of one axis ----------------------------------------------------------------------


def _nearest(n, m, scale, exact) -> Taps:
    at = np.arange(m, dtype=np.float32) + np.float32(0.5 if exact else 0)
    index = np.floor(at * np.float32(scale)).astype(np.int64)
    return Taps(np.minimum(index, n - 1)[None], None, n)


def _centres(m, scale, align):
    i = np.arange(m, dtype=np.float64)
    return i * scale if align else (i + 0.5) * scale - 0.5


def _linear(n, m, scale, align) -> Taps:
    at = np.maximum(_centres(m, scale, align), 0)
    low = np.minimum(at.astype(np.int64), n - 1)
    high = np.minimum(low + 1, n - 1)
    part = np.clip(at - low, 0, 1)
    return Taps(np.stack([low, high]), np.stack([1 - part, part]), n)


def _cubic_weight(d, a):
    d = np.abs(d)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _cubic(n, m, scale, align) -> Taps:
    at = _centres(m, scale, align)
    low = np.floor(at).astype(np.int64)
    offsets = np.arange(-1, 3)[:, None]
    weight = _cubic_weight(at - low - offsets, -0.75)
    return Taps(np.clip(low + offsets, 0, n - 1), weight, n)


def _antialiased(n, m, scale, align, cubic) -> Taps:
    """The kernel stretched over as many elements as one output element covers."""
    size = 4 if cubic else 2
    stretch = max(scale, 1.0)
    support = size * 0.5 * stretch
    centre = scale * (np.arange(m) + (0.0 if align else 0.5))
    if align:
        centre = centre + 0.5
    low = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    high = np.minimum((centre + support + 0.5).astype(np.int64), n)
    k = np.arange(int((high - low).max(initial=1)))[:, None]
    d = (k + low - centre + 0.5) / stretch
    weight = _cubic_weight(d, -0.5) if cubic else np.maximum(1 - np.abs(d), 0)
    weight = np.where(k < high - low, weight, 0)
    return Taps(np.minimum(low + k, n - 1), weight / weight.sum(0), n)


# --- interpolate ----------------------------------------------------------------------------------

_RANKS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
_OPS = {}
for _rank in (1, 2, 3):
    _OPS["nearest", _rank] = resampler(f"upsample_nearest{_rank}d",
                                       f"UpsampleNearest{_rank}DBackward0")
    _OPS["nearest-exact", _rank] = resampler(f"upsample_nearest_exact{_rank}d",
                                             f"UpsampleNearestExact{_rank}DBackward0")
for _mode, _rank in _RANKS.items():
    _OPS[_mode, _rank] = resampler(f"upsample_{_mode}{_rank}d",
                                   f"Upsample{_mode.capitalize()}{_rank}DBackward0")
    if _rank == 2:
        _OPS[_mode + "_aa", 2] = resampler(f"upsample_{_mode}2d_aa",
                                           f"Upsample{_mode.capitalize()}2DAaBackward0")


def _axis_map(mode, n, m, factor, align, antialias) -> Taps:
    if mode == "nearest":
        return _nearest(n, m, 1 / factor if factor else n / m, False)
    if mode == "nearest-exact":
        return _nearest(n, m, 1 / factor if factor else n / m, True)
    if align:
        scale = (n - 1) / (m - 1) if m > 1 else 0.0
    else:
        scale = 1 / factor if factor else n / m
    if antialias:
        return _antialiased(n, m, scale, align, mode == "bicubic")
    return (_cubic if mode == "bicubic" else _linear)(n, m, scale, align)


def _sizes(x, rank, size, scale_factor, recompute):
    """Output sizes and the factors that the coordinates use (None: the sizes' ratio)."""
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        if isinstance(size, (tuple, list)):
            if len(size) != rank:
                raise ValueError(
                    "Input and output must have the same number of spatial dimensions, but got "
                    f"input with spatial dimensions of {list(x.shape[2:])} and output size of "
                    f"{size}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and "
                    "output size in (o1, o2, ...,oK) format.")
            return tuple(int(n) for n in size), (None,) * rank
        return (int(size),) * rank, (None,) * rank
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    factors = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) \
        else (scale_factor,) * rank
    if len(factors) != rank:
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, but got input "
            f"with spatial dimensions of {list(x.shape[2:])} and scale_factor of shape {factors}.")
    out = tuple(int(math.floor(float(n) * f)) for n, f in zip(x.shape[2:], factors, strict=True))
    return out, (None,) * rank if recompute else tuple(float(f) for f in factors)


def _check_mode(x, rank, mode, align_corners, antialias):
    if mode in ("nearest", "area", "nearest-exact"):
        if align_corners is not None:
            raise ValueError("align_corners option can only be set with the interpolating modes: "
                             "linear | bilinear | bicubic | trilinear")
    if antialias and not (mode in ("bilinear", "bicubic") and rank == 2):
        raise ValueError("Anti-alias option is restricted to bilinear and bicubic modes and "
                         "requires a 4-D tensor as input")
    if rank not in (1, 2, 3):
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {rank + 2}D) for the "
            "modes: nearest | linear | bilinear | bicubic | trilinear | area | nearest-exact (got "
            f"{mode})")
    if mode in _RANKS and _RANKS[mode] != rank:
        raise NotImplementedError(f"Got {rank + 2}D input, but {mode} mode needs "
                                  f"{_RANKS[mode] + 2}D input")
    if mode not in _RANKS and mode not in ("nearest", "area", "nearest-exact"):
        raise NotImplementedError(f"Input Error: unknown interpolation mode {mode}")


@api(torch=False, functional=True,
     cases=lambda t: [t.call(t.f(2, 3, 4, 5), 7), t.call(t.f(2, 3, 4, 5), (6, 3), None, "bilinear"),
                      t.call(t.f(2, 3, 5), None, 1.7, "linear")])
def interpolate(input, size=None, scale_factor=None, mode="nearest",  # noqa: A002
                align_corners=None, recompute_scale_factor=None, antialias=False):
    """Spatial axes of (N, C, ...) resized to ``size`` or by ``scale_factor``.

    ``mode``: nearest, nearest-exact, linear (1 axis), bilinear, bicubic (2), trilinear (3), area.
    """
    rank = len(input.shape) - 2
    _check_mode(input, rank, mode, align_corners, antialias)
    out, factors = _sizes(input, rank, size, scale_factor, recompute_scale_factor)
    if any(n <= 0 for n in (*out, *input.shape[2:])):
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got input (sizes "
                           f"{list(input.shape[2:])}) output (sizes {list(out)})")
    if mode == "area":
        pool = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[rank - 1]
        return pool(input, out)
    maps = tuple((i + 2, _axis_map(mode, n, m, f, bool(align_corners), antialias))
                 for i, (n, m, f) in enumerate(zip(input.shape[2:], out, factors, strict=True)))
    op = _OPS[mode + "_aa" if antialias else mode, rank]
    if input.dtype is dt.uint8 and mode in _RANKS:  # rounded once, at the end
        return cast(clamp(floor(add(apply(
            op, cast(input, dt.float32), maps=maps), 0.5)), 0, 255), dt.uint8)
    return apply(op, input, maps=maps)


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(2, 3, 4, 5), None, 2)])
def upsample(input, size=None, scale_factor=None, mode="nearest",  # noqa: A002
             align_corners=None):
    """The older name of :func:`interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(2, 3, 4, 5), None, 2)])
def upsample_nearest(input, size=None, scale_factor=None):  # noqa: A002
    """``interpolate`` with mode "nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(2, 3, 4, 5), None, 2)])
def upsample_bilinear(input, size=None, scale_factor=None):  # noqa: A002
    """``interpolate`` with mode "bilinear" and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


# --- shuffles -------------------------------------------------------------------------------------


@api(functional=True, dtypes="any", cases=lambda t: [t.call(t.f(2, 8, 3, 2), 2)])
def pixel_shuffle(input, upscale_factor):  # noqa: A002
    """(*, C r r, H, W) rearranged to (*, C, H r, W r)."""
    r = upscale_factor
    if len(input.shape) < 3:
        raise RuntimeError("pixel_shuffle expects input to have at least 3 dimensions, but got "
                           f"input with {len(input.shape)} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError("pixel_shuffle expects its input's 'channel' dimension to be divisible "
                           f"by the square of upscale_factor, but input.size(-3)={c} is not "
                           f"divisible by {r * r}")
    x = reshape(input, (*lead, c // (r * r), r, r, h, w))
    k = len(lead)
    x = rows(permute(x, (*range(k), k, k + 3, k + 1, k + 4, k + 2)))
    return reshape(x, (*lead, c // (r * r), h * r, w * r))


@api(functional=True, dtypes="any", cases=lambda t: [t.call(t.f(2, 2, 4, 6), 2)])
def pixel_unshuffle(input, downscale_factor):  # noqa: A002
    """(*, C, H r, W r) rearranged to (*, C r r, H, W)."""
    r = downscale_factor
    if len(input.shape) < 3:
        raise RuntimeError("pixel_unshuffle expects input to have at least 3 dimensions, but got "
                           f"input with {len(input.shape)} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, c, h, w = input.shape
    for n, which, at in ((h, "height", -2), (w, "width", -1)):
        if n % r:
            raise RuntimeError(f"pixel_unshuffle expects {which} to be divisible by "
                               f"downscale_factor, but input.size({at})={n} is not divisible by "
                               f"{r}")
    x = reshape(input, (*lead, c, h // r, r, w // r, r))
    k = len(lead)
    x = rows(permute(x, (*range(k), k, k + 2, k + 4, k + 1, k + 3)))
    return reshape(x, (*lead, c * r * r, h // r, w // r))


@api(functional=True, dtypes="any", aliases=("native_channel_shuffle",),
     cases=lambda t: [t.call(t.f(2, 6, 3), 3)])
def channel_shuffle(input, groups):  # noqa: A002
    """Channels of ``groups`` groups interleaved."""
    if len(input.shape) < 3:
        raise RuntimeError("channel_shuffle expects input with > 2 dims, but got input with sizes "
                           f"{list(input.shape)}")
    n, c, *rest = input.shape
    if groups <= 0:
        raise RuntimeError("Number of groups to divide channels in must be positive. Value of "
                           f"groups:{groups}")
    if c % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {c} channels and "
                           f"{groups} groups.")
    x = permute(reshape(input, (n, groups, c // groups, *rest)),
                (0, 2, 1, *range(3, len(rest) + 3)))
    return reshape(x, (n, c, *rest))


# --- unfold and fold ------------------------------------------------------------------------------


def _window_geometry(name, size, kernel_size, dilation, padding, stride):
    kernel = per_axis("kernel_size", kernel_size, 2)
    dilation = per_axis("dilation", dilation, 2)
    padding = per_axis("padding", padding, 2)
    stride = per_axis("stride", stride, 2)
    for values, word in ((kernel, "kernel size"), (dilation, "dilation"), (stride, "stride")):
        if any(v <= 0 for v in values):
            raise RuntimeError(f"{word} should be greater than zero, but got {word.split()[0]}_"
                               f"height: {values[0]} {word.split()[0]}_width: {values[1]}")
    if any(p < 0 for p in padding):
        raise RuntimeError(f"padding should be non-negative, but got pad_height: {padding[0]} "
                           f"pad_width: {padding[1]}")
    out = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in zip(
        size, padding, dilation, kernel, stride, strict=True))
    if any(m < 1 for m in out):
        raise RuntimeError(
            f"Given input with spatial size ({', '.join(map(str, size))}), kernel_size={kernel}, "
            f"dilation={dilation}, padding={padding}, calculated shape of the array of sliding "
            f"blocks as ({', '.join(map(str, out))}), but its components must be at least one.")
    return {"kernel": kernel, "out": out, "stride": stride, "padding": padding,
            "dilation": dilation}


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(2, 3, 5, 4), 2)])
def unfold(input, kernel_size, dilation=1, padding=0, stride=1):  # noqa: A002
    """Sliding blocks of (N, C, H, W) as columns: (N, C * block, number of blocks)."""
    if len(input.shape) not in (3, 4):
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and "
                           f"other non-zero dimensions for input, but got: {list(input.shape)}")
    full = len(input.shape) == 4
    if any(n == 0 for n in input.shape[1 if full else 0:]):
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and "
                           f"other non-zero dimensions for input, but got: {list(input.shape)}")
    x = input if full else unsqueeze(input, 0)
    where = _window_geometry("unfold", x.shape[2:], kernel_size, dilation, padding, stride)
    out = apply(IM2COL, x, **where)
    return out if full else squeeze(out, 0)


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(2, 12, 12), (5, 4), 2)])
def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):  # noqa: A002
    """Columns of blocks added up where they came from: (N, C, *output_size)."""
    if len(input.shape) not in (2, 3):
        raise RuntimeError("Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch "
                           f"size and non-zero dimensions for input, but got: {list(input.shape)}")
    size = per_axis("output_size", output_size, 2)
    full = len(input.shape) == 3
    x = input if full else unsqueeze(input, 0)
    where = _window_geometry("fold", size, kernel_size, dilation, padding, stride)
    block, count = math.prod(where["kernel"]), math.prod(where["out"])
    if x.shape[1] % block:
        raise RuntimeError("Expected size of input's dimension 1 to be divisible by the product of "
                           f"kernel_size, but got input.size(1)={x.shape[1]} and kernel_size="
                           f"{where['kernel']}.")
    if x.shape[2] != count:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={where['kernel']}, dilation="
            f"{where['dilation']}, padding={where['padding']}, stride={where['stride']}, expected "
            f"size of input's dimension 2 to match the calculated number of sliding blocks "
            f"{' * '.join(map(str, where['out']))} = {count}, but got input.size(2)={x.shape[2]}.")
    out = apply(COL2IM, x, size=size, **where)
    return out if full else squeeze(out, 0)
