"""Normalisation layers' functions: one step on the tape each, row-wise expressions that fuse.

The gradient rules use the statistics that the forward pass kept. When the backward pass is itself
recorded (operands are tensors, not nodes), they are computed again from the operand, so that second
derivatives flow through them.
"""

from __future__ import annotations

import math

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import Node
from ...ir.op import Op, apply
from ..core import cast_node, elementwise
from ..prim.elementwise import ADD, MUL, SUB, add, cast, conj, div, mul, pow, sub
from ..prim.pointwise import in_float32, rsqrt, square, widened
from ..prim.reduce import expand, mean, plain_mean, plain_sum
from ..prim.shape import reshape
from ..prim.statistics import moments
from ..prim.ternary import clamp_min
from ..where import channels_last_hint
from .padding import pad
from .pooling import avg_pool2d
from .statistics import norm


def _normalized(x: Node, axes, eps: float):
    """((x - mean) * rstd, mean, rstd, variance) of a node, the statistics with axes kept."""
    mean_, var_ = moments(x, axes, 0)
    rstd = rsqrt(add(var_, eps))
    return mul(elementwise(SUB, x.dtype, x, mean_), rstd), mean_, rstd, var_


def _affine(y: Node, weight, bias, shape) -> Node:
    """``y * weight + bias`` with the parameters seen in ``shape``."""
    d = y.dtype
    if weight is not None:
        y = elementwise(MUL, d, y, reshape(weight, shape))
    if bias is not None:
        y = elementwise(ADD, d, y, reshape(bias, shape))
    return y


def _statistics(ctx, x, axes):
    """Mean and 1 / standard deviation: kept, or computed again where they must be recorded."""
    if isinstance(x, Node):
        return ctx.result(1), ctx.result(2)
    mean_ = plain_mean(x, axes, True)
    return mean_, rsqrt(add(plain_mean(square(sub(x, mean_)), axes, True), ctx.eps))


def _input_gradient(g, centred, rstd, axes):
    """Gradient through (x - mean) * rstd when both statistics are the operand's own."""
    inner = plain_mean(mul(g, centred), axes, True)
    return mul(sub(sub(g, plain_mean(g, axes, True)), mul(centred, inner)), rstd)


# --- layer norm ---------------------------------------------------------------------------------


def _last_axes(rank: int, count: int) -> tuple[int, ...]:
    return tuple(range(rank - count, rank))


def _layer_norm_lower(x, weight, bias, count, eps):
    axes = _last_axes(len(x.shape), count)
    y, mean_, rstd, _ = _normalized(widened(x), axes, eps)
    y = _affine(y, weight, bias, x.shape[len(x.shape) - count:])
    return cast_node(y, x.dtype), mean_, rstd


@in_float32
def _layer_norm_vjp(ctx, g, *_):
    x, weight = ctx.operand(0), ctx.operand(1)
    axes = _last_axes(len(x.shape), ctx.count)
    mean_, rstd = _statistics(ctx, x, axes)
    centred = mul(sub(x, mean_), rstd)
    gx = None
    if ctx.needs(0):
        gx = _input_gradient(g if weight is None else mul(g, weight), centred, rstd, axes)
    rows = tuple(range(len(x.shape) - ctx.count))
    gw, gb = (each() if ctx.needs(k) else None
              for k, each in ((1, lambda: mul(g, centred)), (2, lambda: g)))
    if rows:
        gw, gb = (None if each is None else plain_sum(each, rows) for each in (gw, gb))
    return gx, gw, gb


_layer_norm = Op("native_layer_norm", _layer_norm_lower, _layer_norm_vjp,
                 saves=(0, 1, "result1", "result2"), guards=(0, 1, 2, "result1", "result2"),
                 nondiff_results=(1, 2))


def _check_normalized(name: str, input, normalized_shape, *parameters) -> tuple[int, ...]:
    """The trailing sizes that are normalised over, checked against the operands."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., "
                           f"containing at least one element, but got normalized_shape = {shape}")
    for label, p in zip(("weight", "bias"), parameters, strict=False):
        if p is not None and tuple(p.shape) != shape:
            raise RuntimeError(f"Expected {label} to be of same shape as normalized_shape, but got "
                               f"{label} of shape {list(p.shape)} and normalized_shape = "
                               f"{list(shape)}")
    if tuple(input.shape[-len(shape):]) != shape or len(input.shape) < len(shape):
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*, "
            f"{', '.join(map(str, shape))}], but got input of size{list(input.shape)}: {name} "
            "normalises over the last dimensions")
    return shape


def _cases_layer(t):
    return [t.call(t.f(2, 3), (3,)), t.call(t.f(2, 3, 4), (3, 4), t.f(3, 4), t.f(3, 4))]


@api(functional=True, cases=_cases_layer)
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last dimensions.

    Args:
        input: (*, *normalized_shape).
        normalized_shape: the trailing sizes to normalise over; ``weight`` and ``bias`` have them.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    shape = _check_normalized("layer_norm", input, normalized_shape, weight, bias)
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f'"LayerNormKernelImpl" not implemented for {input.dtype}')
    return apply(_layer_norm, input, weight, bias, count=len(shape), eps=eps)[0]


@api()
def native_layer_norm(input, normalized_shape, weight, bias, eps):
    """``layer_norm`` with the mean and 1 / standard deviation it used."""
    shape = _check_normalized("layer_norm", input, normalized_shape, weight, bias)
    return apply(_layer_norm, input, weight, bias, count=len(shape), eps=eps)


def _rms_lower(x, weight, count, eps):
    wide = widened(x)
    axes = _last_axes(len(x.shape), count)
    scale = rsqrt(add(mean(mul(wide, wide), axes, True), eps))
    return cast_node(_affine(mul(wide, scale), weight, None, x.shape[-count:]), x.dtype)


@in_float32
def _rms_vjp(ctx, g):
    x, weight = ctx.operand(0), ctx.operand(1)
    axes = _last_axes(len(x.shape), ctx.count)
    scale = rsqrt(add(mean(mul(x, x), axes, True), ctx.eps))
    scaled = mul(x, scale)
    gx = None
    if ctx.needs(0):
        # of complex numbers the square, not the squared magnitude: a holomorphic function
        inner = g if weight is None else mul(g, conj(weight))
        gx = mul(sub(inner, mul(conj(scaled), mean(mul(inner, conj(scaled)), axes, True))),
                 conj(scale))
    return gx, (mul(g, conj(scaled)) if ctx.needs(1) else None)


_rms_norm = Op("rms_norm", _rms_lower, _rms_vjp, saves=(0, 1), grad_name="MulBackward0",
               guards=lambda needs, params: (0, 1) if needs[0] else ())  # else a copy is kept


@api(functional=True, cases=lambda t: [t.call(t.f(2, 3), (3,)),
                                       t.call(t.f(2, 3, 4), (4,), t.f(4))])
def rms_norm(input, normalized_shape, weight=None, eps=None):
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last dimensions; ``eps`` None: the dtype's.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    shape = _check_normalized("rms_norm", input, normalized_shape, weight)
    if eps is None:
        eps = {2: 1.1920928955078125e-07, 4: 1.1920928955078125e-07}.get(
            input.dtype.itemsize, 2.220446049250313e-16)
    return apply(_rms_norm, input, weight, count=len(shape), eps=eps)


# --- batch norm ---------------------------------------------------------------------------------


def _channels(x, n: int | None = None) -> tuple[int, ...]:
    """The shape in which per-channel parameters meet ``x``."""
    return (1, x.shape[1] if n is None else n) + (1,) * (len(x.shape) - 2)


def _all_but_channel(x) -> tuple[int, ...]:
    return (0, *range(2, len(x.shape)))


def _batch_norm_lower(x, weight, bias, running_mean, running_var, training, eps):
    wide = widened(x)
    shape = _channels(x)
    if training:
        y, mean_, rstd, var_ = _normalized(wide, _all_but_channel(x), eps)
        if wide is not x and (weight is None or weight.dtype is x.dtype):
            # PyTorch keeps 16-bit statistics for parameters of 16 bits, and reads these
            mean_, rstd = (cast_node(cast_node(s, x.dtype), wide.dtype) for s in (mean_, rstd))
            y = mul(sub(wide, mean_), rstd)
    else:
        mean_ = reshape(cast_node(running_mean, wide.dtype), shape)
        var_ = reshape(cast_node(running_var, wide.dtype), shape)
        rstd = rsqrt(add(var_, eps))
        y = mul(sub(wide, mean_), rstd)
    flat = (x.shape[1],)
    return (cast_node(_affine(y, weight, bias, shape), x.dtype), reshape(mean_, flat),
            reshape(rstd, flat), reshape(var_, flat))


@in_float32
def _batch_norm_vjp(ctx, g, *_):
    x, weight = ctx.operand(0), ctx.operand(1)
    axes, shape = _all_but_channel(x), _channels(x)
    if ctx.training:
        mean_, rstd = (reshape(s, shape) for s in _statistics(ctx, x, axes))
    else:
        mean_ = reshape(cast(ctx.operand(3), x.dtype), shape)
        rstd = rsqrt(add(reshape(cast(ctx.operand(4), x.dtype), shape), ctx.eps))
    centred = mul(sub(x, mean_), rstd)
    gx = gw = gb = None
    if ctx.needs(0):
        inner = g if weight is None else mul(g, reshape(weight, shape))
        gx = _input_gradient(inner, centred, rstd, axes) if ctx.training else mul(inner, rstd)
    if ctx.needs(1):
        gw = plain_sum(mul(g, centred), axes)
    if ctx.needs(2):
        gb = plain_sum(g, axes)
    return gx, gw, gb, None, None


def _batch_norm_saves(needs, params):
    for label, i in (("running_mean", 3), ("running_var", 4)):
        if needs[i]:
            raise RuntimeError("The function 'native_batch_norm' is not differentiable with "
                               f"respect to argument '{label}'. This input cannot have "
                               "requires_grad True; detach() it")
    return (0, 1, "result1", "result2") if params["training"] else (0, 1, 3, 4)


_batch_norm = Op("native_batch_norm", _batch_norm_lower, _batch_norm_vjp,
                 saves=_batch_norm_saves, nondiff_results=(1, 2, 3), layout=layouts.SPATIAL)


def _check_channels(input, **parameters) -> None:
    channels = input.shape[1]
    for name, p in parameters.items():
        if p is not None and sh.numel(p.shape) != channels:
            raise RuntimeError(
                f"{name} should contain {channels} elements not {sh.numel(p.shape)}: the input "
                f"{tuple(input.shape)} has {channels} channels on axis 1"
                + channels_last_hint(tuple(input.shape), sh.numel(p.shape)))


def _check_dtypes(input, *parameters) -> None:
    """All of one dtype; with float16 and bfloat16, parameters may be float32."""
    narrow = input.dtype in (dt.float16, dt.bfloat16)
    for p in parameters:
        if p is not None and p.dtype is not input.dtype and not (narrow and p.dtype is dt.float32):
            raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype: batch_norm "
                               f"got an input of {input.dtype} and a parameter of {p.dtype}")


def _move_towards(running, value, momentum: float) -> None:
    """The running statistic moved towards a new value, in place."""
    if running is not None:
        running.copy_(add(mul(cast(running, value.dtype), 1 - momentum), mul(value, momentum)))


def _cases_batch(t):
    return [t.call(t.f(4, 3), t.f(3), t.pos(3)), t.call(t.f(2, 3, 4), None, None, t.f(3), t.f(3),
                                                        training=True)]


@api(torch=False, functional=True, cases=_cases_batch)
def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False,
               momentum=0.1, eps=1e-5):
    """Each channel (axis 1) normalised by the batch's statistics, or the running ones.

    Args:
        input: (N, C, *).
        running_mean, running_var: (C,), moved towards the batch's when ``training``.

    Raises:
        ValueError: a single value per channel in training, or an ``eps`` that is not positive.
        RuntimeError: parameters that do not have C elements.
    """
    if training:
        count = sh.numel(input.shape[:1]) * sh.numel(input.shape[2:])
        if count == 1:
            raise ValueError("Expected more than 1 value per channel when training, got input "
                             f"size torch.Size({list(input.shape)})")
    if eps < 0 or (training and eps == 0):
        kind = "positive during training" if training else "non-negative"
        raise ValueError(f"batch_norm eps must be {kind}, but got {eps}")
    return _batch_normalized(input, running_mean, running_var, weight, bias, training, momentum,
                             eps)


def _batch_normalized(input, running_mean, running_var, weight, bias, training, momentum, eps):
    if len(input.shape) < 2 and not sh.numel(input.shape):
        return mul(input, 1)
    if len(input.shape) < 2:
        raise RuntimeError(f"batch_norm: expected an input (N, C, *), got {tuple(input.shape)}")
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when training is "
                           "False")
    _check_channels(input, running_mean=running_mean, running_var=running_var, weight=weight,
                    bias=bias)
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f'"batch_norm" not implemented for {input.dtype}')
    _check_dtypes(input, running_mean, running_var, weight, bias)
    y, mean_, _, var_ = apply(_batch_norm, input, weight, bias,
                              None if training else running_mean,
                              None if training else running_var, training=training, eps=eps)
    if training and sh.numel(input.shape) and (running_mean is not None
                                               or running_var is not None):
        count = sh.numel(input.shape) // input.shape[1] if input.shape[1] else 0
        momentum = 0.0 if momentum is None else momentum
        _move_towards(running_mean, mean_, momentum)
        unbiased = mul(var_, count / (count - 1)) if count > 1 else mul(var_, math.nan)
        _move_towards(running_var, unbiased, momentum)
    return y


def _repeated(p, times: int):
    """A per-channel vector once per sample."""
    if p is None:
        return None
    n = sh.numel(p.shape)
    return reshape(expand(reshape(p, (1, n)), (times, n)), (times * n,))


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(2, 3, 4))])
def instance_norm(input, running_mean=None, running_var=None, weight=None, bias=None,
                  use_input_stats=True, momentum=0.1, eps=1e-5):
    """Each channel of each sample normalised by its own statistics (or the running ones).

    Args:
        input: (N, C, *).

    Raises:
        ValueError: a single value per channel.
    """
    shape = tuple(input.shape)
    if use_input_stats and sh.numel(shape[2:]) == 1:
        raise ValueError("Expected more than 1 spatial element when training, got input size "
                         f"torch.Size({list(shape)})")
    if use_input_stats is False and running_mean is None:
        raise RuntimeError("Expected running_mean and running_var to be defined when "
                           "use_input_stats is false")
    n, c = shape[:2]
    _check_channels(input, running_mean=running_mean, running_var=running_var, weight=weight,
                    bias=bias)
    each_mean, each_var = _repeated(running_mean, n), _repeated(running_var, n)
    flat = reshape(input, (1, n * c, *shape[2:]))
    y = _batch_normalized(flat, each_mean, each_var, _repeated(weight, n), _repeated(bias, n),
                          use_input_stats, momentum, eps)
    if use_input_stats:
        for running, each in ((running_mean, each_mean), (running_var, each_var)):
            if running is not None:
                running.copy_(mean(reshape(each, (n, c)), 0))
    return reshape(y, shape)


# --- group norm ---------------------------------------------------------------------------------


def _grouped(x, groups: int):
    n, c = x.shape[:2]
    return reshape(x, (n, groups, (c // groups) * sh.numel(x.shape[2:])))


def _group_norm_lower(x, weight, bias, groups, eps):
    wide = widened(x)
    y, mean_, rstd, _ = _normalized(_grouped(wide, groups), (2,), eps)
    y = _affine(reshape(y, x.shape), weight, bias, _channels(x))
    return cast_node(y, x.dtype), mean_, rstd


@in_float32
def _group_norm_vjp(ctx, g, *_):
    x, weight = ctx.operand(0), ctx.operand(1)
    rows = _grouped(x, ctx.groups)
    mean_, rstd = _statistics(ctx, rows, (2,))
    centred = mul(sub(rows, mean_), rstd)
    gx = gw = gb = None
    if ctx.needs(0):
        inner = g if weight is None else mul(g, reshape(weight, _channels(x)))
        gx = reshape(_input_gradient(_grouped(inner, ctx.groups), centred, rstd, (2,)), x.shape)
    if ctx.needs(1):
        gw = plain_sum(mul(g, reshape(centred, x.shape)), _all_but_channel(x))
    if ctx.needs(2):
        gb = plain_sum(g, _all_but_channel(x))
    return gx, gw, gb


_group_norm = Op("native_group_norm", _group_norm_lower, _group_norm_vjp,
                 saves=(0, 1, "result1", "result2"), nondiff_results=(1, 2),
                 layout=layouts.SPATIAL)


@api(functional=True, cases=lambda t: [t.call(t.f(2, 4, 3), 2), t.call(t.f(2, 4), 2, t.f(4),
                                                                       t.f(4))])
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Groups of channels of each sample normalised together.

    Args:
        input: (N, C, *), C divisible by ``num_groups``; ``weight`` and ``bias``: (C,).

    Raises:
        RuntimeError: C is not divisible, or the parameters do not have C elements.
    """
    if len(input.shape) < 2:
        raise RuntimeError("Expected at least 2 dimensions for input tensor but received "
                           f"{len(input.shape)}")
    c = input.shape[1]
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if c % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, "
                           f"but got input of shape {list(input.shape)} and "
                           f"num_groups={num_groups}")
    if math.prod(input.shape) == num_groups:
        raise ValueError("Expected more than 1 value per channel when training, got input size "
                         f"{[input.shape[0] * c // num_groups, num_groups, *input.shape[2:]]}: "
                         "each group has a single number")
    for name, p in (("weight", weight), ("bias", bias)):
        if p is not None and tuple(p.shape) != (c,):
            raise RuntimeError(f"Expected {name} to be a vector of size equal to the number of "
                               f"channels in input, but got {name} of shape {list(p.shape)} and "
                               f"input of shape {list(input.shape)}")
    return apply(_group_norm, input, weight, bias, groups=num_groups, eps=eps)[0]


# --- to unit length -----------------------------------------------------------------------------


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), 1, 0)])
def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    """``input / max(norm(input, p, dim), eps)``."""
    length = clamp_min(norm(input, p, dim, True), eps)
    if out is None:
        return div(input, expand(length, tuple(input.shape)))
    return out.copy_(div(input, length))


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(2, 4, 3), 2)])
def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """``input / (k + alpha * mean of squares over size neighbouring channels) ** beta``.

    Args:
        input: (N, C, *).

    Raises:
        ValueError: fewer than 3 dimensions.
    """
    shape = tuple(input.shape)
    if len(shape) < 3:
        raise ValueError("Expected 3D or higher dimensionality                          input (got "
                         f"{len(shape)} dimensions)")
    if not sh.numel(shape):
        return input
    rows = reshape(square(input), (shape[0], 1, shape[1], sh.numel(shape[2:])))
    rows = pad(rows, (0, 0, size // 2, (size - 1) // 2))
    means = reshape(avg_pool2d(rows, (size, 1), 1), shape)
    return div(input, pow(add(mul(means, alpha), k), beta))
