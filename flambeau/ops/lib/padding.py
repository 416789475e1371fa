"""torch.nn.functional.pad: constants, reflections, edges, wrapping around."""

from __future__ import annotations

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import make
from ...ir.op import Op, apply
from ...ir.view import VIEW_SET, broadcast, view
from ..core import operand
from ..prim.elementwise import clone
from ..prim.window import Taps, resampler


def _pairs(pad, rank):
    """(left, right) per axis from PyTorch's list, which starts at the last axis."""
    pairs = [(0, 0)] * rank
    for i in range(len(pad) // 2):
        pairs[rank - 1 - i] = (int(pad[2 * i]), int(pad[2 * i + 1]))
    return tuple(pairs)


def _constant_lower(x, pairs, value):
    cut = tuple((max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, pairs, strict=True))
    steps = sh.contiguous_strides(x.shape)
    inner = tuple(max(b - a, 0) for a, b in cut)
    if inner != x.shape:
        x = view(x, inner, steps, sum(a * s for (a, _), s in zip(cut, steps, strict=True)))
    shape = tuple(n + max(a, 0) + max(b, 0) for n, (a, b) in zip(inner, pairs, strict=True))
    base = broadcast(operand(value, x.dtype), shape)
    strides = sh.contiguous_strides(shape)
    if 0 in inner:
        return base
    offset = sum(max(a, 0) * s for (a, _), s in zip(pairs, strides, strict=True))
    return make(VIEW_SET, (base, x), (strides, offset))


_constant: Op = Op("constant_pad_nd", _constant_lower, lambda ctx, g: (
    apply(_constant, g, pairs=tuple((-a, -b) for a, b in ctx.pairs), value=0),),
                   layout=layouts.SPATIAL)


@api(dtypes="any", cases=lambda t: [t.call(t.f(2, 3), (1, 2)), t.call(t.f(3, 3), (-1, 1), 2.0)])
def constant_pad_nd(input, pad, value=0):  # noqa: A002
    """The last axes grown by ``value`` (or cut, where a pad is negative)."""
    rank = len(input.shape)
    pad = [int(p) for p in pad]
    if len(pad) % 2:
        raise RuntimeError("Length of pad must be even but instead it equals " + str(len(pad)))
    if len(pad) > 2 * rank:
        raise RuntimeError(
            f"Length of pad should be no more than twice the number of dimensions of the input. "
            f"Pad length is {len(pad)} while the input has {rank} dimensions.")
    pairs = _pairs(pad, rank)
    for i, (n, (a, b)) in enumerate(zip(input.shape, pairs, strict=True)):
        if n + a + b < 0 or (n + min(a, 0) + min(b, 0) < 0):
            raise RuntimeError(f"The input size {n}, plus negative padding {a} and {b}, resulted "
                               "in a negative output size, which is invalid. Check dimension "
                               f"{i} of your input.")
    if not any(a or b for a, b in pairs):
        return clone(input)
    return apply(_constant, input, pairs=pairs, value=value)


_NAMES = {"reflect": "ReflectionPad", "replicate": "ReplicationPad", "circular": "CircularPad"}
_OPS = {(mode, rank): resampler(f"{mode}_pad{rank}d", f"{_NAMES[mode]}{rank}DBackward0",
                                None if mode == "circular" else layouts.SPATIAL,
                                guards=() if mode == "circular" else (0,))
        for mode in _NAMES for rank in (1, 2, 3)}


def _positions(mode: str, n: int, left: int, right: int, dim: int, shape) -> np.ndarray:
    """Which element each place of a padded axis shows."""
    at = np.arange(-left, n + right)
    if mode == "replicate":
        return np.clip(at, 0, n - 1)
    if mode == "reflect":
        if max(left, right) >= n:
            raise RuntimeError(
                "Argument #4: Padding size should be less than the corresponding input dimension, "
                f"but got: padding ({left}, {right}) at dimension {dim} of input {list(shape)}")
        at = np.abs(at)
        return np.where(at >= n, 2 * (n - 1) - at, at)
    if max(left, right) > n:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    at = np.clip(at, max(-left, 0), n - 1 - max(-right, 0))  # what is cut does not come back
    size, more = len(at), max(right, 0)
    if left > 0:
        at[:left] = at[size - left - more:size - more]
    if right > 0:
        at[size - right:] = at[max(left, 0):max(left, 0) + right]
    return at


@api(torch=False, functional=True, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3, 4), (1, 2)), t.call(t.f(2, 3, 4), (1, 2), "reflect"),
                      t.call(t.f(2, 3, 4), (1, 2), "replicate"),
                      t.call(t.f(2, 3, 4), (1, 2), "circular")])
def pad(input, pad, mode="constant", value=None):  # noqa: A002
    """The last axes grown: ``pad`` is (left, right) of the last axis, then of the one before...

    ``mode``: "constant" (any axes; negative pads cut), "reflect", "replicate", "circular" (the
    last 1, 2 or 3 axes of a (N, C, ...) or (C, ...) tensor).
    """
    pad = [int(p) for p in pad]
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if mode == "constant":
        return constant_pad_nd(input, pad, 0 if value is None else value)
    if mode not in _NAMES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise RuntimeError(f"Padding mode \"{mode}\" doesn't take in value argument")
    rank, count = len(input.shape), len(pad) // 2
    if count not in (1, 2, 3) or rank not in (count + 1, count + 2):
        raise NotImplementedError(
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now: got "
            f"{len(pad)} pads for a {rank}D input")
    shape = tuple(input.shape)
    if any(n == 0 for n in shape[-count - 1:]):
        raise RuntimeError(f"Expected {count + 1}D or {count + 2}D (batch mode) tensor with "
                           f"possibly 0 batch size and other non-zero dimensions for input, but "
                           f"got: {list(shape)}")
    if input.dtype is dt.bool_ and mode != "circular":
        raise NotImplementedError(f'"{mode}_padding" not implemented for {input.dtype}')
    maps = []
    for dim, (left, right) in enumerate(_pairs(pad, rank)):
        if left or right:
            index = _positions(mode, shape[dim], left, right, dim, shape)
            if not len(index):
                raise RuntimeError(f"input (W: {shape[dim]}) is too small. Calculated output W: 0")
            maps.append((dim, Taps(index[None], None, shape[dim])))
    if not maps:
        return clone(input)
    return apply(_OPS[mode, count], input, maps=tuple(maps))
