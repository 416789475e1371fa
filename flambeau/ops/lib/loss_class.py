"""Losses against class numbers and label sets: nll_loss, cross_entropy, margins.

The entry of the target class is picked by comparing an iota with the target and folding, and put
back the same way, so that cross entropy and its gradient stay row-wise expressions that fuse.
"""

from __future__ import annotations

import math

import numpy as np

from ...base import dtype as dt
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import Node, OpClass, Prim, const, make
from ...ir.op import Op, apply
from ...ir.view import broadcast
from ..core import cast_node
from ..prim.contract import linear
from ..prim.comparison import logical_and
from ..prim.elementwise import WHERE, add, cast, div, mul, ne, neg, where
from ..prim.extremes import place_mask
from ..prim.pointwise import not_implemented, zeros_of
from ..prim.reduce import PLAIN_SUM, reduce, sum
from ..prim.shape import reshape, unsqueeze
from ..prim.source import checked_range
from ..where import scalar_name
from .loss import fixed, folded, reduction_of
from .softmax import log_softmax

# --- picking the target's entry -----------------------------------------------------------------


def _class_mask(target: Node, shape, axis: int, ignore: int) -> Node:
    """Whether a class is the target's, of ``shape``; nowhere where the target is ``ignore``."""
    mask = place_mask(target, shape, axis)
    if 0 <= ignore < shape[axis]:
        kept = broadcast(reshape(ne(target, ignore), _kept(shape, axis)), shape)
        mask = logical_and(mask, kept)
    return mask


def _kept(shape, axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis + 1:])


def _pick_lower(x, target, shape, axis, ignore):
    mask = _class_mask(target, shape, axis, ignore)
    own = make(WHERE, (mask, broadcast(x, shape), const(0, x.dtype)))
    return reduce(PLAIN_SUM, own, (axis,), False)


def _put_lower(g, target, shape, axis, ignore):
    zero = const(0, g.dtype)
    mask = _class_mask(target, shape, axis, ignore)
    return make(WHERE, (mask, broadcast(reshape(g, _kept(shape, axis)), shape), zero))


_pick = Op("pick_class", _pick_lower, saves=(1,), vjp=lambda ctx, g: (
    apply(_put, g, ctx.operand(1), **ctx.params), None))
_put: Op = Op("put_class", _put_lower, saves=(1,), vjp=lambda ctx, g: (
    apply(_pick, g, ctx.operand(1), **ctx.params), None))


def _per_target(weight, target, shape, axis: int, ignore: int, dtype):
    """The weight of each target's class: 0 where it is ignored."""
    if weight is None:
        return cast(ne(target, ignore), dtype)
    seen = reshape(weight, tuple(shape[axis] if i == axis else 1 for i in range(len(shape))))
    return apply(_pick, seen, target, shape=tuple(shape), axis=axis, ignore=ignore)


# --- nll_loss -----------------------------------------------------------------------------------


def _nll_lower(x, target, weight, reduction, ignore):
    axis, shape = _class_axis(x.shape), x.shape
    target = checked_range(target, shape[axis], "Target", ignore)
    each = _per_target(weight, target, shape, axis, ignore, x.dtype)
    loss = neg(_pick_lower(x, target, shape, axis, ignore))
    total = reduce(PLAIN_SUM, each, tuple(range(len(each.shape))), False)
    if weight is not None:
        loss = mul(loss, each)
    if reduction != "none":
        loss = reduce(PLAIN_SUM, loss, tuple(range(len(loss.shape))), False)
        if reduction == "mean":
            loss = div(loss, total)
    return cast_node(loss, x.dtype), total


def _nll_vjp(ctx, g, _):
    target, weight, shape = ctx.operand(1), ctx.operand(2), ctx.shape(0)
    axis = _class_axis(shape)
    each = _per_target(weight, target, shape, axis, ctx.ignore, g.dtype)
    if ctx.reduction == "mean":
        g = div(g, ctx.result(1))
    g = neg(mul(each, g))
    return (apply(_put, g, target, shape=shape, axis=axis, ignore=ctx.ignore), None, None)


def _nll_op(name: str, grad_name: str) -> Op:
    return Op(name, _nll_lower, _nll_vjp, nondiff_results=(1,),
              saves=fixed("nll_loss_forward", (1, 2, "result1"), weight=2),
              guards=(0, 1, 2, "result1"), grad_name=grad_name)


_nll_loss = _nll_op("nll_loss", "NllLossBackward0")
_nll_loss_2d = _nll_op("nll_loss2d", "NllLoss2DBackward0")


def _class_axis(shape) -> int:
    return 0 if len(shape) == 1 else 1


def _check_target(name: str, input, target, weight) -> None:
    """Shapes and dtypes of class numbers; says what to call for the usual mistakes."""
    shape, rank = tuple(input.shape), len(input.shape)
    if rank == 0:
        raise ValueError(f"Expected 1 or more dimensions (got {rank})")
    classes = shape[_class_axis(shape)]
    wanted = shape[:1] + shape[2:] if rank > 1 else ()
    given = tuple(target.shape)
    if rank > 1 and given[:1] != shape[:1]:
        raise ValueError(f"Expected input batch_size ({shape[0]}) to match target batch_size "
                         f"({given[0] if given else 1}): {name} got input {shape} and target "
                         f"{given}")
    if given != wanted:
        hint = ""
        if len(given) == rank and given[-1] == 1:
            hint = f"; target.squeeze({rank - 1}) has the wanted shape"
        first = ("0D or 1D target tensor expected, multi-target not supported" if rank == 2
                 else f"Expected target size {list(wanted)}, got {list(given)}")
        raise RuntimeError(f"{first}: {name} takes class numbers of shape {wanted} for an input "
                           f"{shape} of {classes} classes on axis {_class_axis(shape)}, got "
                           f"{given}{hint}")
    if target.dtype not in (dt.int64, dt.uint8):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got "
                           f"{scalar_name(target.dtype)}: {name} takes class numbers as int64; "
                           f"convert the target {given} with .long()")
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError("weight tensor should be defined either for all or no classes: "
                           f"{classes} classes, weight {tuple(weight.shape)}")
    if weight is not None and weight.dtype is not input.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype} but found {weight.dtype}: {name} "
                           "takes a weight of the input's dtype")


def _nll_cases(t):
    return [t.call(t.f(4, 3), t.ints(4, low=0, high=3)),
            t.call(t.f(4, 3), t.ints(4, low=0, high=3), t.pos(3), reduction="sum"),
            t.call(t.f(2, 3, 4), t.ints(2, 4, low=0, high=3), reduction="none")]


def _nll_errors(t):
    return [(IndexError, "out of bounds", t.call(t.f(2, 3), t.ints(2, low=3, high=4)))]


@api(torch=False, functional=True, cases=_nll_cases, errors=_nll_errors)
def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None,
             reduction="mean"):
    """Minus the entry of the target class.

    Args:
        input: (C), (N, C) or (N, C, d1, ...) log-probabilities.
        target: (), (N) or (N, d1, ...) class numbers; ``ignore_index`` counts nothing.
        weight: (C), by which "mean" divides too.

    Raises:
        IndexError: a class number outside 0..C-1, when it runs.
        RuntimeError, ValueError: shapes or dtypes that do not fit.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    _check_target("nll_loss", input, target, weight)
    if not input.dtype.is_floating_point:
        raise not_implemented("nll_loss_out_frame", input.dtype)
    op = _nll_loss if len(input.shape) <= 2 else _nll_loss_2d
    return apply(op, input, target, weight, reduction=reduction, ignore=ignore_index)[0]


# --- cross entropy ------------------------------------------------------------------------------


def _smoothing(logp, target, weight, reduction, ignore, axis):
    """The part of label smoothing: minus the mean over all classes."""
    each = neg(sum(logp if weight is None else mul(logp, _as_classes(weight, logp, axis)), axis))
    kept = ne(target, ignore)
    each = where(kept, each, 0)
    if reduction == "mean":
        count = _per_target(weight, target, tuple(logp.shape), axis, ignore, logp.dtype)
        return div(sum(each), sum(count))
    return folded(each, reduction)


def _as_classes(weight, x, axis):
    return reshape(weight, tuple(x.shape[axis] if i == axis else 1 for i in range(len(x.shape))))


def _probability_target(input, target, weight, ignore, reduction, smoothing, axis):
    """Cross entropy against a distribution over the classes."""
    if not target.dtype.is_floating_point:
        raise RuntimeError("Expected floating point type for target with class probabilities, got "
                           f"{scalar_name(target.dtype)}: a target of the input's shape "
                           f"{tuple(input.shape)} holds probabilities; a one-hot target becomes "
                           f"class numbers with .argmax({axis}), or probabilities with .float()")
    if ignore >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    classes = input.shape[axis]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError("cross_entropy: weight tensor should be defined either for all "
                           f"{classes} classes or no classes but got weight tensor of shape: "
                           f"{list(weight.shape)}")
    logp = log_softmax(input, axis)
    if smoothing > 0:
        target = add(mul(target, 1 - smoothing), smoothing / classes)
    each = mul(logp, target)
    if weight is not None:
        each = mul(each, _as_classes(weight, logp, axis))
    if reduction == "mean":
        count = sh.numel(input.shape) // classes if classes else 0
        return div(neg(sum(each)), count if count else math.nan)
    return neg(sum(each)) if reduction == "sum" else neg(sum(each, axis))


@api(torch=False, functional=True, cases=_nll_cases, errors=_nll_errors)
def cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None,
                  reduction="mean", label_smoothing=0.0):
    """``nll_loss(log_softmax(input), target)``, or against class probabilities.

    Args:
        input: (C), (N, C) or (N, C, d1, ...) scores.
        target: class numbers without the class axis, or probabilities of the input's shape.

    Raises:
        IndexError: a class number outside 0..C-1, when it runs.
        RuntimeError, ValueError: shapes or dtypes that do not fit.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError("label_smoothing must be between 0.0 and 1.0. Got: "
                           f"{label_smoothing}")
    if not input.shape:
        raise IndexError("Dimension out of range (expected to be in range of [-1, 0], but got 1): "
                         "cross_entropy needs an axis of classes")
    axis = _class_axis(input.shape)
    if tuple(input.shape) == tuple(target.shape):
        return _probability_target(input, target, weight, ignore_index, reduction,
                                   label_smoothing, axis)
    if target.dtype.is_floating_point and tuple(input.shape[:axis]) == tuple(target.shape[:axis]):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got "
                           f"{scalar_name(target.dtype)}: class numbers are int64 (.long()); "
                           f"probabilities need the input's shape {tuple(input.shape)}, got "
                           f"{tuple(target.shape)}")
    _check_target("cross_entropy", input, target, weight)
    logp = log_softmax(input, axis)
    loss = nll_loss(logp, target, weight, ignore_index=ignore_index, reduction=reduction)
    if label_smoothing == 0:
        return loss
    smooth = _smoothing(logp, target, weight, reduction, ignore_index, axis)
    return add(mul(loss, 1 - label_smoothing),
               mul(smooth, label_smoothing / input.shape[axis]))


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(4, 5), t.f(3, 5),
                                                            t.ints(4, low=0, high=3))])
def linear_cross_entropy(input, linear_weight, target, *, linear_bias=None, weight=None,
                         reduction="mean", ignore_index=None, label_smoothing=0.0, options=None):
    """``cross_entropy(linear(input, linear_weight, linear_bias), target)``.

    Args:
        input: (*, in); linear_weight: (C, in), or (C, d1, ..., in) for targets with more axes.
        options: how PyTorch splits the work; the result does not depend on it.
    """
    if len(input.shape) not in (1, 2):
        raise RuntimeError("expected input with dimensionality 1 or 2, got "
                           f"{len(input.shape)}")
    features = linear_weight.shape[-1]
    rows = linear_weight.shape[:-1]
    flat = linear_weight if len(rows) == 1 else reshape(linear_weight, (-1, features))
    bias = linear_bias if linear_bias is None or len(linear_bias.shape) == 1 else \
        reshape(linear_bias, (-1,))
    scores = linear(input, flat, bias)
    if len(rows) != 1:
        scores = reshape(scores, (*input.shape[:-1], *rows))
    if ignore_index is not None and target.dtype.is_floating_point:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    ignore = -100 if ignore_index is None else ignore_index
    return cross_entropy(scores, target, weight, ignore_index=ignore, reduction=reduction,
                         label_smoothing=label_smoothing)


# --- margins over classes -----------------------------------------------------------------------


def _margin_numpy(x, target, weight, p, margin, gradient):
    """Loss of each sample, or its slope by every score."""
    rows = np.arange(len(x))
    gap = margin - x[rows, target][:, None] + x
    gap[rows, target] = 0
    positive = np.maximum(gap, 0)
    scale = (weight[target] if weight is not None else np.ones(len(x), x.dtype)) / x.shape[1]
    if not gradient:
        return ((positive if p == 1 else positive * positive).sum(1) * scale).astype(x.dtype)
    slope = np.where(gap > 0, 1 if p == 1 else 2 * positive, 0) * scale[:, None]
    slope[rows, target] = -slope.sum(1)
    return slope.astype(x.dtype)


def _margin_infer(x, target, weight, p, margin, gradient):
    return (x.shape if gradient else x.shape[:1]), x.dtype


def _margin_checked(x, target, *rest):
    weight, params = (rest[0], rest[1:]) if len(rest) == 4 else (None, rest)
    bad = (target < 0) | (target >= x.shape[1])
    if bad.any():
        raise RuntimeError(f"target out of range: class {target[bad][0]} of {x.shape[1]} classes")
    return _margin_numpy(x.astype(np.float32) if x.dtype.itemsize == 2 else x, target, weight,
                         *params).astype(x.dtype)


MARGIN = Prim("multi_margin", OpClass.LIBRARY,
              lambda x, t, *rest: _margin_infer(x, t, None, *rest[-3:]), _margin_checked,
              doc="multi-class hinge loss of each row, or its slope")


def _margin_node(x, target, weight, p, margin, gradient):
    operands = (x, target) if weight is None else (x, target, weight)
    return make(MARGIN, operands, (p, margin, gradient))


def _multi_margin_lower(x, target, weight, p, margin, reduction):
    out = _margin_node(x, target, weight, p, margin, False)
    return folded(out, reduction)


_margin_slope = Op("multi_margin_slope", lambda x, t, w, p, margin: _margin_node(
    x, t, w, p, margin, True), lambda ctx, g: (zeros_of(g), None, None))


def _multi_margin_vjp(ctx, g):
    slope = apply(_margin_slope, ctx.operand(0), ctx.operand(1), ctx.operand(2), p=ctx.p,
                  margin=ctx.margin)
    if ctx.reduction == "mean":
        g = div(g, max(ctx.shape(0)[0], 1))
    return mul(slope, g if ctx.reduction != "none" else unsqueeze(g, 1)), None, None


_multi_margin = Op("multi_margin_loss", _multi_margin_lower, _multi_margin_vjp,
                   saves=fixed("multi_margin_loss", (0, 1, 2), weight=2))


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(4, 3), t.ints(4, low=0, high=3))])
def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None,
                      reduction="mean"):
    """``sum over other classes of max(0, margin - x[target] + x)^p / C``; input (N, C) or (C).

    Raises:
        ValueError: ``p`` is not 1 or 2, or ``weight`` is not 1-d.
        RuntimeError: sizes or class numbers that do not fit.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and len(weight.shape) != 1:
        raise ValueError("weight must be one-dimensional")
    rank = len(input.shape)
    count = input.shape[0] if rank == 2 else 1
    if rank not in (0, 1, 2) or 0 in tuple(input.shape)[1:]:
        raise RuntimeError("Expected non-empty vector or matrix with optional 0-dim batch size, "
                           f"but got: {list(input.shape)}")
    if len(target.shape) > 1 or sh.numel(target.shape) != count:
        raise RuntimeError(f"inconsistent target size, expected {count} but got "
                           f"{list(target.shape)}")
    if target.dtype is not dt.int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype}")
    rows = reshape(input, (count, sh.numel(input.shape) // count if count else input.shape[-1]))
    if weight is not None and sh.numel(weight.shape) != rows.shape[1]:
        raise RuntimeError(f"inconsistent weight size, expected {rows.shape[1]} but got "
                           f"{list(weight.shape)}")
    out = apply(_multi_margin, rows, reshape(target, (count,)), weight, p=p, margin=float(margin),
                reduction=reduction)
    return reshape(out, ()) if reduction == "none" and rank < 2 else out
