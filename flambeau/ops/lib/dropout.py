"""The dropout family: PyTorch's masks for the same seed.

What is random is drawn when the function is called, in the order of the calls; it comes from
``source``, which the tensor layer installs, as an array that the operation reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...base import dtype as dt
from ...ir.api import api
from ...ir.node import const, make
from ...ir.op import Op, apply
from ..core import operand
from ..prim.elementwise import WHERE, add, mul
from ..prim.shape import squeeze, unsqueeze

#: ``source[0](kind, shape, value, x) -> Tensor`` draws from the default generator: kind "keep"
#: gives True with probability ``value``, "uniform" numbers of [0, 1) of the dtype ``value``;
#: where the shape is that of ``x``, the order is that of its memory. "slopes" gives 1 where ``x``
#: is positive, else numbers between the two of ``value``, in float32 or more.
source: list[Callable[..., Any]] = []


def draw(kind: str, shape, value, x):
    """What ``source`` gives."""
    if not source:
        raise RuntimeError("no random generator is loaded (import flambeau, not only its ops)")
    return source[0](kind, tuple(shape), value, x)


def uniform_like(x, size):
    """Uniform numbers of [0, 1) with the dtype of ``x``."""
    return draw("uniform", size, x.dtype, x)


def _factor(p: float, dtype: dt.dtype) -> float:
    """``1 / (1 - p)`` as PyTorch rounds it."""
    if dtype is dt.float64 or dtype.is_complex:
        return 1.0 / (1.0 - p)
    return float(np.float32(1.0) / np.float32(1.0 - p))


#: a mask as a factor: ``value`` where it is True, else 0
_noise = Op("dropout_noise", lambda keep, value, dtype: make(WHERE, (
    keep, const(value, dtype), operand(0, dtype))), nondiff="a mask is random")


def _finish(x, out, inplace: bool):
    """The result, written into the operand where the caller asks for it."""
    return x.copy_(out) if inplace and out is not x else out


def _check_p(name: str, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _dropped(x, p, mask_shape):
    if p == 1.0:
        return mul(x, 0)
    keep = draw("keep", mask_shape, 1.0 - p, x)
    return mul(x, apply(_noise, keep, value=_factor(p, x.dtype), dtype=x.dtype))


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
    keep = apply(_noise, draw("keep", shape, 1.0 - p, x), value=1.0, dtype=x.dtype)
    # kept: scale * x + shift; dropped: shift - scale * alpha
    shift = add(mul(add(keep, -1), _ALPHA * scale), _ALPHA * scale * p)
    return add(mul(x, mul(keep, scale)), shift)


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
