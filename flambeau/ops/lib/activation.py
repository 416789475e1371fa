"""Activation functions: each one step on the tape, built of elementwise primitives that fuse."""

from __future__ import annotations

import math

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import OpClass, Prim, make
from ...ir.op import Op, apply
from ..core import cast_node, same_dtype
from ..prim.comparison import logical_and, logical_or
from ..prim.elementwise import (add, cast, div, exp, ge, gt, le, lt, mul, neg, relu, sigmoid, sub,
                                tanh, where)
from ..prim.pointwise import abs, erf, expm1, log1p, in_float32, not_implemented, widened
from ..prim.special_erf import erf_numpy
from ..prim.ternary import clamp_max, clamp_min
from ..prim.shape import _slice as SLICE
from ..prim.shape import embed, reshape, slice_dim
from .dropout import draw

SQRT_HALF = math.sqrt(0.5)
SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
CUBIC = 0.044715  # of the tanh approximation of gelu
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def cases_plain(t):
    """One float operand."""
    return [t.call(t.f(2, 3))]


def rounded_once(function, *, floats: str | None = None):
    """A lowering that computes 16-bit floats in float32 and rounds the result; with ``floats``,
    integers are refused under that name."""

    def lower(x, **params):
        if floats and not x.dtype.is_floating_point:
            raise not_implemented(floats, x.dtype)
        return cast_node(function(widened(x), **params), x.dtype)

    return lower


def writes(name: str, input, *args):
    """The in-place form of an activation: ``Tensor.name_``."""
    return getattr(input, name + "_")(*args)


# --- rectifiers ---------------------------------------------------------------------------------


@api("relu", torch=False, functional=True, cases=cases_plain)
def relu_(input, inplace=False):
    """``max(input, 0)``, elementwise."""
    return writes("relu", input) if inplace else relu(input)


def _hardtanh_lower(x, min_val, max_val):
    if x.dtype is dt.bool_ or x.dtype.is_complex:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    return clamp_max(clamp_min(x, min_val), max_val)


def _hardtanh_vjp(ctx, g):
    x = ctx.operand(0)
    outside = logical_or(le(x, ctx.min_val), ge(x, ctx.max_val))
    return (where(outside, 0, g),)


_hardtanh = Op("hardtanh", _hardtanh_lower, _hardtanh_vjp, saves=(0,), layout=layouts.OF_TENSORS)


@api(torch=False, functional=True, inplace=True, cases=cases_plain)
def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """``input`` limited to [min_val, max_val].

    Raises:
        ValueError: ``min_val`` is above ``max_val``.
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if inplace:
        return writes("hardtanh", input, min_val, max_val)
    if not input.dtype.is_floating_point:
        min_val, max_val = int(min_val), int(max_val)
        if not input.dtype.is_signed and min_val < 0:
            raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return apply(_hardtanh, input, min_val=min_val, max_val=max_val)


@api(torch=False, functional=True, cases=cases_plain)
def relu6(input, inplace=False):
    """``min(max(input, 0), 6)``."""
    return hardtanh(input, 0.0, 6.0, inplace)


def _leaky_lower(x, negative_slope):
    if not x.dtype.is_floating_point:
        raise not_implemented("leaky_relu", x.dtype)
    return where(gt(x, 0), x, mul(x, negative_slope))


_leaky_relu, _middle_relu = (Op(
    name, _leaky_lower, lambda ctx, g: (
        where(gt(ctx.operand(0), 0), g, mul(g, ctx.negative_slope)),),
    saves=(0,), grad_name=grad_name, layout=layouts.OF_TENSORS)
    for name, grad_name in (("leaky_relu", None), ("rrelu", "RreluWithNoiseBackward0")))


@api(torch=False, functional=True, inplace=True, cases=cases_plain)
def leaky_relu(input, negative_slope=0.01, inplace=False):
    """``input`` where positive, ``negative_slope * input`` elsewhere."""
    if inplace:
        return writes("leaky_relu", input, negative_slope)
    return apply(_leaky_relu, input, negative_slope=negative_slope)


def _prelu_lower(x, weight):
    return where(gt(x, 0), x, mul(x, weight))


def _prelu_vjp(ctx, g):
    x, positive = ctx.operand(0), gt(ctx.operand(0), 0)
    return (where(positive, g, mul(g, ctx.operand(1))),
            where(positive, 0, mul(g, x)) if ctx.needs(1) else None)


_prelu = Op("_prelu_kernel", _prelu_lower, _prelu_vjp, saves=(0, 1),
            layout=layouts.ELEMENTWISE)


@api(method=True, functional=True, cases=lambda t: [t.call(t.f(2, 3), t.f(1)),
                                                    t.call(t.f(2, 3, 4), t.f(3))])
def prelu(input, weight):
    """``input`` where positive, ``weight * input`` elsewhere; one weight, or one per channel.

    Raises:
        RuntimeError: ``weight`` does not have 1 element or one per channel, or another dtype.
    """
    if input.dtype is not weight.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {input.dtype} and "
                           f"{weight.dtype}")
    rank = len(input.shape)
    if sh.numel(weight.shape) != 1:
        if rank == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if rank >= 2 else 1
        if channels != sh.numel(weight.shape):
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{sh.numel(weight.shape)} and channel size = {channels}.")
    if len(weight.shape) > 1:
        raise RuntimeError("prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = "
                           f"{len(weight.shape)}")
    if rank >= 2:
        weight = reshape(weight, (1, sh.numel(weight.shape)) + (1,) * (rank - 2))
    elif rank == 0:
        weight = reshape(weight, ())
    return apply(_prelu, input, weight)


def _threshold_lower(x, threshold, value):
    if x.dtype is dt.bool_ or x.dtype.is_complex:
        raise not_implemented("threshold", x.dtype)
    return where(le(x, threshold), value if x.dtype.is_floating_point else int(value), x)


_threshold = Op("threshold", _threshold_lower,
                lambda ctx, g: (where(le(ctx.operand(0), ctx.threshold), 0, g),), saves=(0,),
                layout=layouts.OF_TENSORS)


@api(torch=True, functional=True, inplace=True,
     cases=lambda t: [t.call(t.f(2, 3), 0.1, 2.0)])
def threshold(input, threshold, value, inplace=False):
    """``input`` where it is above ``threshold``, ``value`` elsewhere."""
    if inplace:
        return writes("threshold", input, threshold, value)
    return apply(_threshold, input, threshold=threshold, value=value)


@api(functional=True, inplace=True, cases=cases_plain)
def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False):
    """``leaky_relu`` with a random slope of [lower, upper) per negative element in training, with
    the middle one otherwise.

    Raises:
        RuntimeError: ``lower`` is above ``upper``.
    """
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if inplace:
        return writes("rrelu", input, lower, upper, training)
    if not input.dtype.is_floating_point:
        raise not_implemented("rrelu_with_noise_out", input.dtype)
    if not training:
        return apply(_middle_relu, input, negative_slope=(lower + upper) / 2)
    return apply(_rrelu, input, draw("slopes", input.shape, (lower, upper), input))


def _rrelu_lower(x, slopes):
    return cast_node(mul(cast_node(x, slopes.dtype), slopes), x.dtype)


_rrelu = Op("rrelu_with_noise", _rrelu_lower,
            lambda ctx, g: (mul(g, cast(ctx.operand(1), g.dtype)), None),
            saves=(1,), guards=(0, 1), layout=layouts.ELEMENTWISE)


# --- exponential units --------------------------------------------------------------------------


def _elu_lower(x, alpha, scale, input_scale):
    below = mul(expm1(x if input_scale == 1 else mul(x, input_scale)), alpha * scale)
    return where(gt(x, 0), x if scale == 1 else mul(x, scale), below)


@in_float32
def _elu_vjp(ctx, g):
    x, alpha, scale, inner = ctx.operand(0), ctx.alpha, ctx.scale, ctx.input_scale
    below = mul(exp(x if inner == 1 else mul(x, inner)), alpha * scale * inner)
    return (mul(g, where(le(x, 0), below, scale)),)


def _elu_op(name, grad_name):
    return Op(name, rounded_once(_elu_lower, floats="elu"), _elu_vjp, saves=(0,),
              grad_name=grad_name, layout=layouts.OF_TENSORS)


_elu, _celu = _elu_op("elu", "EluBackward0"), _elu_op("celu", "CeluBackward0")


@api(torch=False, functional=True, inplace=True, cases=cases_plain)
def elu(input, alpha=1.0, inplace=False):
    """``input`` where positive, ``alpha * (exp(input) - 1)`` elsewhere."""
    if inplace:
        return writes("elu", input, alpha)
    return apply(_elu, input, alpha=alpha, scale=1.0, input_scale=1.0)


@api(functional=True, inplace=True, cases=cases_plain)
def selu(input, inplace=False):
    """``elu`` scaled so that activations normalise themselves (Klambauer et al., 2017)."""
    if inplace:
        return writes("selu", input)
    return apply(_elu, input, alpha=SELU_ALPHA, scale=SELU_SCALE, input_scale=1.0)


@api(functional=True, inplace=True, cases=cases_plain)
def celu(input, alpha=1.0, inplace=False):
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``.

    Raises:
        RuntimeError: ``alpha`` is 0.
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    if inplace:
        return writes("celu", input, alpha)
    return apply(_celu, input, alpha=alpha, scale=1.0, input_scale=1.0 / alpha)


# --- smooth gates -------------------------------------------------------------------------------


def _gelu_lower(x, approximate):
    if approximate == "tanh":
        inner = mul(add(x, mul(mul(mul(x, x), x), CUBIC)), SQRT_2_OVER_PI)
        return mul(mul(x, 0.5), add(tanh(inner), 1))
    return make(GELU, (x,))


#: x Phi(x), with the normal distribution function Phi
GELU = Prim("gelu", OpClass.ELEMENTWISE, same_dtype,
            lambda x: x * x.dtype.type(0.5) * (erf_numpy(x * x.dtype.type(SQRT_HALF)) + 1),
            lambda b, x: b.gelu(x), doc="x times the normal distribution function")


@in_float32
def _gelu_vjp(ctx, g):
    x = ctx.operand(0)
    if ctx.approximate == "tanh":
        square = mul(x, x)
        t = tanh(mul(mul(x, add(mul(square, CUBIC), 1)), SQRT_2_OVER_PI))
        inner = mul(add(mul(square, 3 * CUBIC), 1), SQRT_2_OVER_PI)
        slope = add(mul(add(t, 1), 0.5), mul(mul(mul(x, 0.5), sub(1, mul(t, t))), inner))
    else:
        half = mul(add(erf(mul(x, SQRT_HALF)), 1), 0.5)
        bell = mul(exp(mul(mul(x, x), -0.5)), 1 / math.sqrt(2 * math.pi))
        slope = add(half, mul(x, bell))
    return (mul(g, slope),)


_gelu = Op("gelu", rounded_once(_gelu_lower, floats="GeluKernelImpl"), _gelu_vjp, saves=(0,),
           layout=layouts.ELEMENTWISE)


@api(torch=False, functional=True, out=1,
     cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), approximate="tanh")])
def gelu(input, approximate="none"):
    """``x * Phi(x)`` with the normal distribution function, exact or through tanh.

    Raises:
        RuntimeError: ``approximate`` is neither "none" nor "tanh".
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return apply(_gelu, input, approximate=approximate)


@in_float32
def _silu_vjp(ctx, g):
    x = ctx.operand(0)
    s = sigmoid(x)
    return (mul(g, mul(s, add(mul(x, sub(1, s)), 1))),)


def _silu_lower(x):
    if x.dtype.category < dt.dtype.FLOAT:
        raise not_implemented("silu", x.dtype)
    wide = widened(x)
    return cast_node(mul(wide, sigmoid(wide)), x.dtype)


_silu = Op("silu", _silu_lower, _silu_vjp, saves=(0,), layout=layouts.ELEMENTWISE)


@api(torch=False, functional=True, inplace=True, cases=cases_plain)
def silu(input, inplace=False):
    """``x * sigmoid(x)``."""
    return writes("silu", input) if inplace else apply(_silu, input)


def _softplus_plain(x):
    """log(1 + exp(x)) without overflow."""
    return add(clamp_min(x, 0), log1p(exp(neg(abs(x)))))


@in_float32
def _mish_vjp(ctx, g):
    x = ctx.operand(0)
    s, t = sigmoid(x), tanh(_softplus_plain(x))
    return (mul(g, add(t, mul(mul(x, s), sub(1, mul(t, t))))),)


_mish = Op("mish", rounded_once(lambda x: mul(x, tanh(_softplus_plain(x))), floats="mish"),
           _mish_vjp, saves=(0,), layout=layouts.ELEMENTWISE)


@api(torch=False, functional=True, inplace=True, cases=cases_plain)
def mish(input, inplace=False):
    """``x * tanh(log(1 + exp(x)))``."""
    return writes("mish", input) if inplace else apply(_mish, input)


def _softplus_lower(x, beta, threshold):
    scaled = x if beta == 1 else mul(x, beta)
    soft = log1p(exp(scaled))
    return where(gt(scaled, threshold), x, soft if beta == 1 else div(soft, beta))


@in_float32
def _softplus_vjp(ctx, g):
    scaled = mul(ctx.operand(0), ctx.beta)
    return (where(gt(scaled, ctx.threshold), g, mul(g, sigmoid(scaled))),)


_softplus = Op("softplus", rounded_once(_softplus_lower, floats="softplus"), _softplus_vjp,
               saves=(0,), layout=layouts.ELEMENTWISE)


@api(torch=False, functional=True, out=1, cases=cases_plain)
def softplus(input, beta=1, threshold=20):
    """``log(1 + exp(beta x)) / beta``; ``x`` itself where ``beta x`` is above ``threshold``."""
    return apply(_softplus, input, beta=beta, threshold=threshold)


@in_float32
def _logsigmoid_vjp(ctx, g):
    return (mul(g, sigmoid(neg(ctx.operand(0)))),)


_logsigmoid = Op("log_sigmoid", rounded_once(lambda x: neg(_softplus_plain(neg(x))),
                                             floats="log_sigmoid"), _logsigmoid_vjp, saves=(0,))


@api(torch=False, functional=True, out=1, cases=cases_plain)
def logsigmoid(input):
    """``log(sigmoid(x))`` without overflow."""
    return apply(_logsigmoid, input)


@api(torch=False, functional=True, cases=cases_plain)
def softsign(input):
    """``x / (1 + |x|)``."""
    return div(input, add(abs(input), 1))


@api(torch=False, functional=True, cases=cases_plain)
def tanhshrink(input):
    """``x - tanh(x)``."""
    return sub(input, tanh(input))


# --- hard versions ------------------------------------------------------------------------------


def _hardsigmoid_plain(x):
    return div(clamp_max(clamp_min(add(x, 3), 0), 6), 6)


#: as PyTorch's kernel has it, which is a float32 number for all dtypes
_SIXTH = float(np.float32(1) / np.float32(6))


def _inside(x, low, high):
    return logical_and(gt(x, low), lt(x, high))


_hardsigmoid = Op("hardsigmoid", rounded_once(_hardsigmoid_plain, floats="hardsigmoid"),
                  lambda ctx, g: (where(_inside(ctx.operand(0), -3, 3), mul(g, _SIXTH), 0),),
                  saves=(0,), layout=layouts.ELEMENTWISE)


@api(torch=False, functional=True, inplace=True, cases=cases_plain)
def hardsigmoid(input, inplace=False):
    """``relu6(x + 3) / 6``."""
    return writes("hardsigmoid", input) if inplace else apply(_hardsigmoid, input)


@in_float32
def _hardswish_vjp(ctx, g):
    x = ctx.operand(0)
    middle = mul(g, add(div(x, 3), 0.5))
    return (where(le(x, -3), 0, where(lt(x, 3), middle, g)),)


_hardswish = Op("hardswish", rounded_once(
    lambda x: div(mul(x, clamp_max(clamp_min(add(x, 3), 0), 6)), 6), floats="hardswish"),
    _hardswish_vjp, saves=(0,), layout=layouts.ELEMENTWISE)


@api(torch=False, functional=True, inplace=True, cases=cases_plain)
def hardswish(input, inplace=False):
    """``x * relu6(x + 3) / 6``."""
    return writes("hardswish", input) if inplace else apply(_hardswish, input)


def _within(x, lambd):
    return logical_and(ge(x, -lambd), le(x, lambd))


def _hardshrink_lower(x, lambd):
    if not x.dtype.is_floating_point:
        raise not_implemented("hardshrink", x.dtype)
    return where(_within(x, lambd), 0, x)


_hardshrink = Op("hardshrink", _hardshrink_lower,
                 lambda ctx, g: (where(_within(ctx.operand(0), ctx.lambd), 0, g),), saves=(0,),
                 layout=layouts.OF_TENSORS)


@api(method=True, functional=True, out=1, cases=cases_plain)
def hardshrink(input, lambd=0.5):
    """``input`` where it is outside [-lambd, lambd], 0 inside."""
    return apply(_hardshrink, input, lambd=lambd)


def _softshrink_lower(x, lambd):
    if not x.dtype.is_floating_point:
        raise not_implemented("softshrink", x.dtype)
    shrunk = where(gt(x, lambd), sub(x, lambd), where(lt(x, -lambd), add(x, lambd), mul(x, 0)))
    return shrunk


_softshrink = Op("softshrink", _softshrink_lower,
                 lambda ctx, g: (where(_within(ctx.operand(0), ctx.lambd), 0, g),), saves=(0,),
                 layout=layouts.OF_TENSORS)


@api(torch=False, functional=True, out=1, cases=cases_plain)
def softshrink(input, lambd=0.5):
    """``input`` moved towards 0 by ``lambd``, 0 within.

    Raises:
        RuntimeError: ``lambd`` is negative.
    """
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return apply(_softshrink, input, lambd=lambd)


# --- gated linear unit --------------------------------------------------------------------------


def _halves(x, dim):
    n = x.shape[dim] // 2
    return slice_dim(x, dim, 0, n), slice_dim(x, dim, n, 2 * n)


def _glu_lower(x, dim):
    if not x.dtype.is_floating_point:
        raise not_implemented("glu", x.dtype)
    a, b = _halves(x, dim)
    return cast_node(mul(widened(a), sigmoid(widened(b))), x.dtype)


@in_float32
def _glu_vjp(ctx, g):
    a, b = _halves(ctx.operand(0), ctx.dim)
    s = sigmoid(b)
    first, second = mul(g, s), mul(mul(mul(g, a), s), sub(1, s))
    return (_joined(first, second, ctx.shape(0), ctx.dim),)


def _joined(first, second, shape, dim):
    """Two halves next to each other along ``dim``."""
    n = shape[dim] // 2
    return add(embed(first, shape, SLICE, dim=dim, start=0, end=n, step=1),
               embed(second, shape, SLICE, dim=dim, start=n, end=2 * n, step=1))


_glu = Op("glu", _glu_lower, _glu_vjp, saves=(0,), layout=layouts.HALVED)


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(2, 4)), t.call(t.f(4, 3), 0)])
def glu(input, dim=-1):
    """The first half along ``dim`` times the sigmoid of the second.

    Raises:
        RuntimeError: the size along ``dim`` is odd, or the tensor is 0-d.
    """
    if not input.shape:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    dim = sh.wrap_dim(dim, len(input.shape))
    if input.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size "
                           f"{input.shape[dim]}")
    return apply(_glu, input, dim=dim)
