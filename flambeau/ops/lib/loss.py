"""Losses that compare a prediction with a target element by element."""

from __future__ import annotations

import math
import warnings

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import Node, OpClass, Prim, make
from ...ir.op import Op, apply
from ..core import cast_node, elementwise, result_type
from ..prim.binary import xlogy
from ..prim.elementwise import DIV, add, div, exp, le, log, lt, mul, neg, sigmoid, sub, where
from ..prim.extremes import any
from ..prim.index import host
from ..prim.pointwise import abs, in_float32, log1p, sign, square, widened
from ..prim.reduce import SUM, expand, mean, reduce, sum
from ..prim.shape import unsqueeze
from ..prim.ternary import clamp_min
from .activation import logsigmoid

REDUCTIONS = ("none", "mean", "sum")


def reduction_of(size_average, reduce, reduction: str) -> str:
    """The reduction, with PyTorch's two former arguments translated.

    Raises:
        ValueError: no such reduction.
    """
    if size_average is not None or reduce is not None:
        average = True if size_average is None else size_average
        folded = True if reduce is None else reduce
        reduction = ("mean" if average else "sum") if folded else "none"
        warnings.warn("size_average and reduce args will be deprecated, please use "
                      f"reduction='{reduction}' instead.", UserWarning, stacklevel=3)
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def folded(loss, reduction: str):
    """A composite loss with its reduction applied."""
    if reduction == "mean":
        return mean(loss)
    return sum(loss) if reduction == "sum" else loss


def folded_node(loss: Node, reduction: str, dtype: dt.dtype) -> Node:
    """A lowered loss with its reduction applied, in ``dtype``."""
    if reduction != "none":
        axes = tuple(range(len(loss.shape)))
        count = loss.numel()
        loss = reduce(SUM, loss, axes, False)
        if reduction == "mean":
            loss = elementwise(DIV, loss.dtype, loss, count if count else math.nan)
    return cast_node(loss, dtype)


def unfolded(ctx, g):
    """The gradient of each element's loss from that of the reduced one."""
    shape = ctx.shape(0)
    if ctx.reduction == "mean":
        g = div(g, max(math.prod(shape), 1))
    return g if ctx.reduction == "none" else expand(g, shape)


def fixed(name: str, saved: tuple, **operands: int):
    """``saves`` of an operation without a gradient for some operands (names and numbers): refuses
    to record one that requires it."""

    def saves(needs, params):
        for label, i in operands.items():
            if needs[i]:
                raise RuntimeError(
                    f"The function '{name}' is not differentiable with respect to argument "
                    f"'{label}'. This input cannot have requires_grad True; detach() it")
        return saved

    return saves


def together(name: str, input, target):
    """Prediction and target in one shape; a warning where that needs broadcasting."""
    a, b = tuple(input.shape), tuple(target.shape)
    if a == b:
        return input, target
    warnings.warn(f"Using a target size (torch.Size({list(b)})) that is different to the input size"
                  f" (torch.Size({list(a)})). This will likely lead to incorrect results due to "
                  f"broadcasting. Please ensure they have the same size. ({name})", UserWarning,
                  stacklevel=3)
    shape = sh.broadcast_shapes(a, b)
    return tuple(x if tuple(x.shape) == shape else expand(x, shape) for x in (input, target))


def _pair_of_cases(t):
    return [t.call(t.f(2, 3), t.f(2, 3)), t.call(t.f(2, 3), t.f(2, 3), reduction="sum"),
            t.call(t.f(2, 3), t.f(2, 3), reduction="none")]


def _distance_op(name: str, value, slope, grad_name: str) -> Op:
    """A loss of the difference d = input - target: its value, and ``slope(d, g, norm)``, the
    gradient of ``norm`` times the value. It multiplies in the order of PyTorch's kernels."""

    def lower(x, y, reduction, **params):
        d = result_type(x, y)
        wide = [widened(cast_node(v, d)) for v in (x, y)]
        return folded_node(value(sub(*wide), **params), reduction, d)

    @in_float32
    def vjp(ctx, g):
        params = {k: v for k, v in ctx.params.items() if k != "reduction"}
        gap, norm = sub(ctx.operand(0), ctx.operand(1)), 1
        if ctx.reduction == "mean":
            norm = 1 / max(math.prod(ctx.shape(0)), 1)
        gx = slope(gap, g if ctx.reduction == "none" else expand(g, gap.shape), norm, **params)
        return gx, (neg(gx) if ctx.needs(1) else None)

    return Op(name, lower, vjp, saves=(0, 1), grad_name=grad_name,
              layout=layouts.ELEMENTWISE)


# --- distances ----------------------------------------------------------------------------------

_mse = _distance_op("mse_loss", square, lambda d, g, norm: mul(mul(d, 2 * norm), g),
                    "MseLossBackward0")


def _float_required(name: str, input, target) -> None:
    if result_type(input, target).category < dt.dtype.FLOAT:
        raise NotImplementedError(f'"{name}_cpu" not implemented for \'{input.dtype.name}\'')


@api(torch=False, functional=True, cases=_pair_of_cases)
def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """Squared difference, averaged, summed or as it is; ``weight`` multiplies it."""
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = together("mse_loss", input, target)
    if weight is not None:
        loss = mul(apply(_mse, x, y, reduction="none"), weight)
        return div(sum(loss), sum(weight)) if reduction == "mean" else folded(loss, reduction)
    _float_required("mse", x, y)
    return apply(_mse, x, y, reduction=reduction)


@api(torch=False, functional=True, cases=_pair_of_cases)
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """Magnitude of the difference; ``weight`` multiplies it."""
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = together("l1_loss", input, target)
    loss = abs(sub(x, y))
    if weight is not None:
        loss = mul(loss, weight)
        return div(sum(loss), sum(weight)) if reduction == "mean" else folded(loss, reduction)
    return folded(loss, reduction)


def _smooth_value(d, beta):
    size = abs(d)
    return where(lt(size, beta), div(mul(mul(d, d), 0.5), beta), sub(size, 0.5 * beta))


_smooth_l1 = _distance_op("smooth_l1_loss", _smooth_value, lambda d, g, norm, beta: mul(mul(where(
    lt(abs(d), beta), div(d, beta), sign(d)), norm), g), "SmoothL1LossBackward0")


@api(torch=False, functional=True, cases=_pair_of_cases)
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """Quadratic below ``beta``, linear above; ``beta`` 0 is l1_loss.

    Raises:
        RuntimeError: ``beta`` is negative.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = together("smooth_l1_loss", input, target)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(x, y, reduction=reduction)
    _float_required("smooth_l1", x, y)
    return apply(_smooth_l1, x, y, reduction=reduction, beta=beta)


def _huber_value(d, delta):
    size = abs(d)
    return where(le(size, delta), mul(mul(d, d), 0.5), mul(sub(size, 0.5 * delta), delta))


def _huber_slope(d, g, norm, delta):
    inside = le(abs(d), delta)
    slope = mul(mul(where(inside, d, sign(d)), norm), g)
    return where(inside, slope, mul(slope, delta))


_huber = _distance_op("huber_loss", _huber_value, _huber_slope, "HuberLossBackward0")


@api(torch=False, functional=True, cases=_pair_of_cases)
def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """Quadratic up to ``delta``, linear above.

    Raises:
        TypeError: ``delta`` is no real number.
        RuntimeError: ``delta`` is not positive.
    """
    reduction = reduction_of(None, None, reduction)
    if not isinstance(delta, (int, float)):
        raise TypeError(f"delta must be a float or int, got: {type(delta)}")
    x, y = together("huber_loss", input, target)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    if weight is not None:
        return folded(mul(apply(_huber, x, y, reduction="none", delta=delta), weight), reduction)
    _float_required("huber", x, y)
    return apply(_huber, x, y, reduction=reduction, delta=delta)


# --- binary cross entropy -----------------------------------------------------------------------


def _unit_numpy(x):
    bad = (x < 0) | (x > 1)
    if bad.any():
        raise RuntimeError("all elements of input should be between 0 and 1: binary_cross_entropy "
                           f"got {x[bad].flat[0]}; apply sigmoid() first, or use "
                           "binary_cross_entropy_with_logits")
    return x


CHECK_UNIT = Prim("check_unit", OpClass.LIBRARY, lambda x: (x.shape, x.dtype), _unit_numpy,
                  batch="leading", doc="the operand, refused when a value is outside [0, 1]")


def _weighted(loss, weight):
    return loss if weight is None else mul(loss, weight)


def _bce_lower(x, y, weight, reduction):
    if x.value is not None:
        _unit_numpy(x.value)  # at the user's line where the values are known
    p, t = widened(make(CHECK_UNIT, (x,))), widened(y)
    first = mul(t, clamp_min(log(p), -100.0))
    second = mul(sub(1, t), clamp_min(log1p(neg(p)), -100.0))
    return folded_node(_weighted(neg(add(first, second)), weight), reduction, x.dtype)


@in_float32
def _bce_vjp(ctx, g):
    x, y = ctx.operand(0), ctx.operand(1)
    g = _weighted(unfolded(ctx, g), ctx.operand(2))
    gx = gy = None
    if ctx.needs(0):
        gx = div(mul(g, sub(x, y)), clamp_min(mul(sub(1, x), x), 1e-12))
    if ctx.needs(1):
        gy = mul(g, sub(clamp_min(log1p(neg(x)), -100.0), clamp_min(log(x), -100.0)))
    return gx, gy, None


_bce = Op("binary_cross_entropy", _bce_lower, _bce_vjp,
          saves=fixed("binary_cross_entropy", (0, 1, 2), weight=2), layout=layouts.COPY)


@api(torch=False, functional=True,
     cases=lambda t: [t.call(sigmoid(t.f(2, 3)), sigmoid(t.f(2, 3)))])
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None,
                         reduction="mean"):
    """``-(t log p + (1 - t) log(1 - p))`` with the logarithms at least -100.

    Raises:
        ValueError: the shapes differ.
        RuntimeError: a value of ``input`` is outside [0, 1].
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"Using a target size (torch.Size({list(target.shape)})) that is different to the "
            f"input size (torch.Size({list(input.shape)})) is deprecated. Please ensure they have "
            "the same size; unsqueeze() or squeeze() one of them")
    if input.dtype is not target.dtype:
        raise RuntimeError(f"Found dtype {target.dtype} but expected {input.dtype}: convert the "
                           "target with .float() or .to(input.dtype)")
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f'"binary_cross_entropy" not implemented for {input.dtype}')
    if weight is not None:
        shape = sh.broadcast_shapes(tuple(weight.shape), tuple(target.shape))
        weight = weight if tuple(weight.shape) == shape else expand(weight, shape)
    return apply(_bce, input, target, weight, reduction=reduction)


def _logits_lower(x, y, weight, pos_weight, reduction):
    d = result_type(x, y)
    wide, t = (widened(cast_node(v, d)) for v in (x, y))
    soft = add(log1p(exp(neg(abs(wide)))), clamp_min(neg(wide), 0))
    if pos_weight is not None:
        soft = mul(soft, add(mul(sub(pos_weight, 1), t), 1))
    return folded_node(_weighted(add(mul(sub(1, t), wide), soft), weight), reduction, d)


@in_float32
def _logits_vjp(ctx, g):
    x, y, weight, pos_weight = (ctx.operand(i) for i in range(4))
    g = _weighted(unfolded(ctx, g), weight)
    gx = gy = None
    if ctx.needs(0):
        if pos_weight is None:
            slope = sub(sigmoid(x), y)
        else:
            positive = mul(pos_weight, y)
            slope = sub(mul(sub(add(positive, 1), y), sigmoid(x)), positive)
        gx = mul(g, slope)
    if ctx.needs(1):
        if pos_weight is None:
            gy = mul(g, neg(x))
        else:
            gy = mul(g, sub(logsigmoid(neg(x)), mul(pos_weight, logsigmoid(x))))
    return gx, gy, None, None


_logits = Op("binary_cross_entropy_with_logits", _logits_lower, _logits_vjp,
             saves=fixed("binary_cross_entropy_with_logits", (0, 1, 2, 3), weight=2,
                         pos_weight=3), layout=layouts.LIKE_SECOND)


@api(torch=False, functional=True, cases=_pair_of_cases)
def binary_cross_entropy_with_logits(input, target, weight=None, size_average=None, reduce=None,
                                     reduction="mean", pos_weight=None):
    """``binary_cross_entropy(sigmoid(input), target)`` without overflow.

    Raises:
        ValueError: the shapes differ.
        RuntimeError: the target is not floating.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(f"Target size (torch.Size({list(target.shape)})) must be the same as "
                         f"input size (torch.Size({list(input.shape)}))")
    if not target.dtype.is_floating_point:
        raise RuntimeError(f"result type {input.dtype} can't be cast to the desired output type "
                           f"{target.dtype}: give the target as floats, with .float()")
    return apply(_logits, input, target, weight, pos_weight, reduction=reduction)


# --- divergences and likelihoods ----------------------------------------------------------------


@api(torch=False, functional=True, cases=_pair_of_cases)
def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """``target * (log(target) - input)``: ``input`` holds log-probabilities, and ``target`` too
    when ``log_target``; "batchmean" divides the sum by the batch size."""
    if reduction != "batchmean" or size_average is not None or reduce is not None:
        reduction = reduction_of(size_average, reduce, reduction)
    if reduction == "mean":
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the "
                      "support size.'batchmean' divides only by the batch size, and aligns with "
                      "the KL div math definition.'mean' will be changed to behave the same as "
                      "'batchmean' in the next major release.", UserWarning, stacklevel=2)
    if log_target:
        loss = mul(exp(target), sub(target, input))
    else:
        loss = sub(xlogy(target, target), mul(target, input))
    if reduction == "batchmean":
        total = sum(loss)
        return div(total, input.shape[0]) if input.shape else total
    return folded(loss, reduction)


@api(functional=True,
     cases=lambda t: [t.call(t.f(2, 3), t.pos(2, 3)), t.call(t.f(2, 3), t.pos(2, 3), full=True)])
def poisson_nll_loss(input, target, log_input=True, full=False, size_average=None, eps=1e-8,
                     reduce=None, reduction="mean"):
    """Negative log likelihood of counts under a Poisson distribution with rate ``exp(input)`` (or
    ``input``); ``full`` adds Stirling's approximation of the constant."""
    reduction = reduction_of(size_average, reduce, reduction)
    if log_input:
        loss = sub(exp(input), mul(target, input))
    else:
        loss = sub(input, mul(target, log(add(input, eps))))
    if full:
        stirling = add(sub(mul(target, log(target)), target), mul(log(mul(target, 2 * math.pi)),
                                                                  0.5))
        loss = add(loss, where(le(target, 1), 0, stirling))
    return folded(loss, reduction)


# a limit that lets the whole gradient through
_at_least = Op("at_least", lambda x, eps: clamp_min(x, eps), lambda ctx, g: (g,),
               layout=layouts.ELEMENTWISE)


@api(torch=False, functional=True,
     cases=lambda t: [t.call(t.f(2, 3), t.f(2, 3), t.pos(2, 3))])
def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """Negative log likelihood under a normal distribution with mean ``input`` and variance
    ``var`` (a number, or a tensor that broadcasts), which counts as at least ``eps``.

    Raises:
        ValueError: ``var`` is negative or of the wrong size, or no such reduction.
    """
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = add(mul(input, 0), var)
    elif bool(host(any(lt(var, 0)))):
        raise ValueError("var has negative entry/entries")
    shape = tuple(input.shape)
    if tuple(var.shape) != shape:
        if shape[:-1] == tuple(var.shape):
            var = unsqueeze(var, -1)
        elif len(shape) != len(var.shape) or math.prod(
                m for n, m in zip(shape, var.shape, strict=True) if n != m) != 1:
            raise ValueError(f"var is of incorrect size: {tuple(var.shape)} against {shape}")
    if reduction not in REDUCTIONS:
        raise ValueError(reduction + " is not valid")
    var = apply(_at_least, var, eps=eps)
    loss = mul(add(log(var), div(square(sub(input, target)), var)), 0.5)
    if full:
        loss = add(loss, 0.5 * math.log(2 * math.pi))
    return folded(loss, reduction)

