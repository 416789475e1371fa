"""Sampling images at positions: affine_grid and grid_sample."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np

from ...base import dtype as dt
from ...ir.api import api
from ...ir.node import make
from ...ir.op import Op, apply
from ..core import one_step
from ..prim.binary import fmod
from ..prim.comparison import logical_and
from ..prim.contract import matmul
from ..prim.elementwise import COPY, add, cast, div, eq, ge, le, mul, sub, where
from ..prim.index import gather, on_host
from ..prim.pointwise import abs, floor, round, zeros_of  # noqa: A004
from ..prim.reduce import expand
from ..prim.shape import reshape, select, transpose
from ..prim.ternary import clamp

# --- affine_grid ----------------------------------------------------------------------------------


def _line(n: int, align: bool) -> np.ndarray:
    """Positions of ``n`` elements in [-1, 1]."""
    if n <= 1:
        return np.zeros(n)
    at = np.linspace(-1, 1, n)
    return at if align else at * (n - 1) / n


@api(functional=True, torch=False, cases=lambda t: [t.call(t.f(2, 2, 3), (2, 3, 4, 5), False)])
def affine_grid(theta, size, align_corners=None):
    """Sampling positions of affine maps ``theta`` (N, 2, 3) or (N, 3, 4) for ``grid_sample``."""
    if align_corners is None:
        warnings.warn("Default grid_sample and affine_grid behavior has changed to "
                      "align_corners=False since 1.3.0. Please specify align_corners=True if the "
                      "old behavior is desired.", UserWarning, stacklevel=3)
        align_corners = False
    if theta.dtype.category < dt.dtype.FLOAT:
        raise ValueError("Expected theta to have floating point type, but got "
                         f"{theta.dtype}")
    size = tuple(int(n) for n in size)
    rank = len(size) - 2
    if rank not in (2, 3):
        raise NotImplementedError("affine_grid only supports 4D and 5D sizes, for 2D and 3D affine "
                                  f"transforms, respectively. Got size {size}")
    if tuple(theta.shape[1:]) != (rank, rank + 1) or len(theta.shape) != 3:
        raise ValueError(f"Expected a batch of {rank}D affine matrices of shape "
                         f"Nx{rank}x{rank + 1} for size {size}. Got {tuple(theta.shape)}.")
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    lines = [_line(n, bool(align_corners)) for n in size[2:]]
    grids = np.meshgrid(*lines, indexing="ij")
    base = np.stack([*reversed(grids), np.ones(size[2:])], -1).reshape(-1, rank + 1)
    flat = matmul(on_host(np.broadcast_to(base.astype(theta.dtype.np), (size[0], *base.shape)),
                          theta), transpose(theta, 1, 2))
    return reshape(flat, (size[0], *size[2:], rank))


# --- grid_sample ----------------------------------------------------------------------------------


def _place(grid, n: int, align: bool):
    """[-1, 1] as element numbers."""
    if align:
        return mul(add(grid, 1), (n - 1) / 2)
    return div(sub(mul(add(grid, 1), n), 1), 2)


def _reflected(at, low: float, high: float):
    """Positions folded back at both ends of [low, high]."""
    if low == high:
        return mul(at, 0)
    span = high - low
    off = abs(sub(at, low))
    extra = fmod(off, span)
    odd = eq(fmod(floor(div(off, span)), 2), 1)
    return where(odd, add(sub(span, extra), low), add(extra, low))


def _padded(at, n: int, mode: str, align: bool):
    """Positions outside the image moved inside, by the padding mode."""
    if mode == "reflection":
        at = _reflected(at, 0.0, float(n - 1)) if align else _reflected(at, -0.5, n - 0.5)
    return at if mode == "zeros" else clamp(at, 0, n - 1)


def _fetch(flat, places, size, shape):
    """Elements at whole positions (one list entry per axis); zero outside the image."""
    inside, index = None, None
    for at, n in zip(places, size, strict=True):
        ok = logical_and(ge(at, 0), le(at, n - 1))
        inside = ok if inside is None else logical_and(inside, ok)
        i = cast(clamp(at, 0, n - 1), dt.int64)
        index = i if index is None else add(mul(index, n), i)
    batch, channels = flat.shape[:2]
    count = math.prod(shape)
    index = reshape(where(inside, index, 0), (batch, 1, count))
    values = gather(flat, 2, expand(index, (batch, channels, count)))
    return where(reshape(inside, (batch, 1, count)), values, 0)


def _linear(flat, places, size, shape):
    """Sum over the corners of the cell around each position."""
    lows = [floor(at) for at in places]
    parts = [sub(at, low) for at, low in zip(places, lows, strict=True)]
    batch, count = flat.shape[0], math.prod(shape)
    out = None
    for corner in itertools.product((0, 1), repeat=len(places)):
        weight = None
        for c, part in zip(corner, parts, strict=True):
            w = part if c else sub(1, part)
            weight = w if weight is None else mul(weight, w)
        at = [add(low.detach() if hasattr(low, "detach") else low, c)
              for c, low in zip(corner, lows, strict=True)]
        term = mul(_fetch(flat, at, size, shape), reshape(weight, (batch, 1, count)))
        out = term if out is None else add(out, term)
    return out


def _cubic_weights(t):
    """Weights of the four neighbours (Keys 1981, a = -0.75)."""
    a = -0.75

    def near(d):
        return add(mul(mul(sub(mul(d, a + 2), a + 3), d), d), 1)

    def far(d):
        return sub(mul(add(mul(sub(mul(d, a), 5 * a), d), 8 * a), d), 4 * a)

    return far(add(t, 1)), near(t), near(sub(1, t)), far(sub(2, t))


def _cubic(flat, places, size, shape, padding, align):
    """Bicubic: neighbours are padded one by one."""
    lows = [floor(at) for at in places]
    weights = [_cubic_weights(sub(at, low)) for at, low in zip(places, lows, strict=True)]
    batch, count = flat.shape[0], math.prod(shape)
    out = None
    for i, j in itertools.product(range(4), repeat=2):
        at = [_padded(add(low.detach() if hasattr(low, "detach") else low, k - 1), n, padding,
                      align) for k, low, n in zip((i, j), lows, size, strict=True)]
        weight = mul(weights[0][i], weights[1][j])
        term = mul(_fetch(flat, at, size, shape), reshape(weight, (batch, 1, count)))
        out = term if out is None else add(out, term)
    return out


def _check(x, grid, mode, padding_mode):
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError("nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' "
                         f"or 'bicubic', but got: '{mode}'")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError("nn.functional.grid_sample(): expected padding_mode to be 'zeros', "
                         f"'border', or 'reflection', but got: '{padding_mode}'")
    rank = len(x.shape) - 2
    if rank not in (2, 3) or len(grid.shape) != len(x.shape):
        raise RuntimeError("grid_sampler(): expected 4D or 5D input and grid with same number of "
                           f"dimensions, but got input with sizes {list(x.shape)} and grid with "
                           f"sizes {list(grid.shape)}")
    if x.shape[0] != grid.shape[0]:
        raise RuntimeError("grid_sampler(): expected grid and input to have same batch size, but "
                           f"got input with sizes {list(x.shape)} and grid with sizes "
                           f"{list(grid.shape)}")
    if grid.shape[-1] != rank:
        raise RuntimeError(f"grid_sampler(): expected grid to have size {rank} in last dimension, "
                           f"but got grid with sizes {list(grid.shape)}")
    if any(n <= 0 for n in x.shape[2:]):
        raise RuntimeError("grid_sampler(): expected input to have non-empty spatial dimensions, "
                           f"but input has sizes {list(x.shape)}")
    if mode == "bicubic" and rank != 2:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if x.dtype is not grid.dtype:
        raise RuntimeError("grid_sampler(): expected input and grid to have same dtype, but input "
                           f"has {x.dtype} and grid has {grid.dtype}")
    return rank


@api(functional=True, torch=False,
     cases=lambda t: [t.call(t.f(2, 3, 4, 5), t.unit(2, 3, 3, 2), align_corners=False),
                      t.call(t.f(2, 3, 4, 5), t.unit(2, 3, 3, 2), "nearest", "border", True)])
def grid_sample(input, grid, mode="bilinear", padding_mode="zeros",  # noqa: A002
                align_corners=None):
    """Values of (N, C, H, W) at positions ``grid`` (N, H', W', 2) in [-1, 1], x first; 5-d alike.

    ``mode``: bilinear, nearest, bicubic; ``padding_mode``: zeros, border, reflection.
    """
    if align_corners is None:
        warnings.warn("Default grid_sample and affine_grid behavior has changed to "
                      "align_corners=False since 1.3.0. Please specify align_corners=True if the "
                      "old behavior is desired.", UserWarning, stacklevel=3)
        align_corners = False
    rank = _check(input, grid, mode, padding_mode)
    if input.dtype in (dt.float16, dt.bfloat16):
        out = grid_sample(cast(input, dt.float32), cast(grid, dt.float32), mode, padding_mode,
                          align_corners)
        return cast(out, input.dtype)
    size = tuple(input.shape[2:])
    shape = tuple(grid.shape[1:-1])
    batch, channels = input.shape[:2]
    flat = reshape(input, (batch, channels, math.prod(size)))
    places = [_place(select(grid, -1, rank - 1 - i), n, align_corners)
              for i, n in enumerate(size)]
    if mode == "bicubic":
        out = _cubic(flat, places, size, shape, padding_mode, align_corners)
    else:
        places = [_padded(at, n, padding_mode, align_corners)
                  for at, n in zip(places, size, strict=True)]
        if mode == "nearest":
            out = _steady(_fetch(flat, [round(at) for at in places], size, shape), grid)
        else:
            out = _linear(flat, places, size, shape)
    return apply(_SAMPLED[rank], reshape(out, (batch, channels, *shape)), input, grid)


_SAMPLED = {rank: one_step(f"grid_sampler_{rank}d", f"GridSampler{rank}DBackward0", (1, 2))
            for rank in (2, 3)}
#: the first operand; the gradient of the second is zero, not None
_steady = Op("steady", lambda x, grid: make(COPY, (x,)),
             lambda ctx, g: (g, zeros_of(ctx.operand(1))), saves=(1,),
             grad_name="GridSampler2DBackward0")

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def _numbered(name):
    def function(input, grid, interpolation_mode, padding_mode, align_corners):  # noqa: A002
        return grid_sample(input, grid, _MODES[interpolation_mode], _PADDINGS[padding_mode],
                           align_corners)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "``grid_sample`` with its modes given as numbers."
    return api(name)(function)


grid_sampler, grid_sampler_2d, grid_sampler_3d = map(
    _numbered, ("grid_sampler", "grid_sampler_2d", "grid_sampler_3d"))
