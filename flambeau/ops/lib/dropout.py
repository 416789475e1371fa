"""The dropout family, on the counter-based generator: one seed per call, no stored mask.

The mask is computed from the seed again in backward, where it fuses with what uses it. The seed is
drawn from the default generator by ``seed_source``, which the tensor layer installs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ...base import dtype as dt
from ...base import layout as layouts
from ...ir.api import api
from ...ir.node import PRIMS, const, make
from ...ir.op import Op, apply
from ...ir.view import broadcast
from ..core import cast_node, elementwise, operand
from ..prim.elementwise import MUL, WHERE, add, mul
from ..prim.random_bits import random_bits
from ..prim.shape import squeeze, unsqueeze

#: ``seed_source[0]() -> int`` draws a seed of 63 bits from the default generator
seed_source: list[Callable[[], int]] = []


def draw_seed() -> int:
    """A seed for one counter-based random operation."""
    if not seed_source:
        raise RuntimeError("no random generator is loaded (import flambeau, not only its ops)")
    return seed_source[0]()


def keep_node(shape, seed: int, p: float):
    """True with probability ``1 - p``, independently for every element of ``shape``."""
    bits = random_bits(const(seed, dt.int64), shape)
    limit = min(round((1.0 - p) * 2**32), 2**32 - 1)
    return make(PRIMS["lt"], (bits, const(limit, dt.uint32)))


def _drop_lower(x, p, seed, shape):
    """``x / (1 - p)`` where kept, else 0; ``shape`` is the mask's (1 where it is repeated)."""
    keep = broadcast(keep_node(shape, seed, p), x.shape)
    scaled = elementwise(MUL, x.dtype, x, 1.0 / (1.0 - p))
    return make(WHERE, (keep, scaled, operand(0, x.dtype)))


_drop: Op = Op("dropout", _drop_lower, lambda ctx, g: (
    apply(_drop, g, p=ctx.p, seed=ctx.seed, shape=ctx.params["shape"]),),
    grad_name="MulBackward0", layout=layouts.LIKE_FIRST)
_mask = Op("dropout_mask", lambda x, p, seed, shape: cast_node(
    broadcast(keep_node(shape, seed, p), x.shape), x.dtype), nondiff="a mask is random")
_uniform = Op("uniform_like", lambda x, size, seed: _uniform_node(x, size, seed),
              nondiff="random numbers do not depend on the operand")


def _uniform_node(x, size, seed):
    bits = random_bits(const(seed, dt.int64), size)
    # 24 bits, so that float32 never rounds up to 1
    top = cast_node(elementwise(MUL, dt.float64, bits, 2.0**-8), dt.int64)
    wide = dt.float64 if x.dtype is dt.float64 else dt.float32
    return cast_node(elementwise(MUL, wide, top, 2.0**-24), x.dtype)


def uniform_like(x, size):
    """Uniform numbers of [0, 1) with the dtype of ``x``."""
    return apply(_uniform, x, size=tuple(size), seed=draw_seed())


def _finish(x, out, inplace: bool):
    """The result, written into the operand where the caller asks for it."""
    return x.copy_(out) if inplace and out is not x else out


def _check_p(name: str, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _dropped(x, p, mask_shape):
    if p == 1.0:
        return mul(x, 0)
    return apply(_drop, x, p=float(p), seed=draw_seed(), shape=mask_shape)


@api(functional=True, cases=lambda t: [t.call(t.f(2, 3), 0.5, False)])
def dropout(input, p=0.5, training=True, inplace=False):  # noqa: A002
    """Elements set to 0 with probability ``p``, the others divided by ``1 - p``."""
    _check_p("dropout", p)
    if not training or p == 0.0 or not input.numel():
        return input
    return _finish(input, _dropped(input, p, tuple(input.shape)), inplace)


def _feature_shape(x):
    """One decision per channel."""
    return tuple(x.shape[:2]) + (1,) * (len(x.shape) - 2)


def _feature_dropout(x, p, training):
    if not training or p == 0.0 or not x.numel():
        return x
    if len(x.shape) < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return _dropped(x, p, _feature_shape(x))


@api(torch=True, cases=lambda t: [t.call(t.f(2, 3, 4), 0.5, False)])
def feature_dropout(input, p, train):  # noqa: A002
    """Whole channels (axis 1) set to 0 with probability ``p``."""
    _check_p("feature_dropout", p)
    return _feature_dropout(input, p, train)


def _channel_dropout(rank, batch_first_rank):
    def function(input, p=0.5, training=True, inplace=False):  # noqa: A002
        _check_p(function.__name__, p)
        if rank != 2 and len(input.shape) == batch_first_rank - 1:  # no batch axis
            batched = unsqueeze(input, 0)
            out = _feature_dropout(batched, p, training)
            return input if out is batched else _finish(input, squeeze(out, 0), inplace)
        return _finish(input, _feature_dropout(input, p, training), inplace)

    function.__name__ = function.__qualname__ = f"dropout{rank}d"
    function.__doc__ = (f"Whole channels of {rank} spatial axes set to 0 with probability ``p``, "
                        "the others divided by ``1 - p``.")
    return api(function.__name__, torch=False, functional=True,
               cases=lambda t: [t.call(t.f(2, 3, 4), 0.5, False)])(function)


dropout1d = _channel_dropout(1, 3)
dropout2d = _channel_dropout(2, 4)
dropout3d = _channel_dropout(3, 5)

# alpha dropout keeps mean and variance of selu activations (Klambauer et al. 2017)
_ALPHA = 1.7580993408473766


def _alpha(x, p, training, shape):
    if not training or p == 0.0 or not x.numel():
        return x
    if p == 1.0:
        return mul(x, 0)
    scale = 1.0 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p))
    keep = apply(_mask, x, p=float(p), seed=draw_seed(), shape=shape)
    # kept: scale * x + shift; dropped: shift - scale * alpha
    shift = add(mul(add(keep, -1), _ALPHA * scale), _ALPHA * scale * p)
    return add(mul(mul(x, keep), scale), shift)


@api(functional=True, cases=lambda t: [t.call(t.f(2, 3), 0.5, False)])
def alpha_dropout(input, p=0.5, training=False, inplace=False):  # noqa: A002
    """Dropout for selu networks: dropped elements take selu's negative limit, rescaled."""
    _check_p("alpha_dropout", p)
    return _finish(input, _alpha(input, p, training, tuple(input.shape)), inplace)


@api(functional=True, cases=lambda t: [t.call(t.f(2, 3, 4), 0.5, False)])
def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):  # noqa: A002
    """``alpha_dropout`` of whole channels."""
    _check_p("feature_alpha_dropout", p)
    if training and p and len(input.shape) < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return _finish(input, _alpha(input, p, training, _feature_shape(input)), inplace)
