"""Losses against label sets and of pairs: multi-label margins, embeddings, rankings, triplets."""

from __future__ import annotations

import numpy as np

from ...base import layout as layouts
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import OpClass, Prim, make
from ...ir.op import Op, apply
from ..prim.binary import minimum
from ..prim.elementwise import add, div, eq, exp, mul, neg, sigmoid, sqrt, sub, where
from ..prim.pointwise import log1p, not_implemented, widened, zeros_of
from ..prim.reduce import mean, sum
from ..prim.shape import reshape, unsqueeze
from ..prim.statistics import vector_norm
from ..prim.ternary import clamp_min
from .activation import logsigmoid
from .loss import fixed, folded, folded_node, reduction_of, unfolded

# --- two labels: 1 and -1 -----------------------------------------------------------------------


def _soft_lower(x, y, reduction):
    return folded_node(log1p(exp(neg(mul(widened(y), widened(x))))), reduction, x.dtype)


def _soft_vjp(ctx, g):
    x, y = ctx.operand(0), ctx.operand(1)
    return neg(mul(mul(unfolded(ctx, g), y), sigmoid(neg(mul(y, x))))), None


_soft_margin = Op("soft_margin_loss", _soft_lower, _soft_vjp,
                  saves=fixed("soft_margin_loss", (0, 1), target=1), layout=layouts.ELEMENTWISE)


def _sign_cases(t):
    return [t.call(t.f(2, 3), t.f(2, 3)), t.call(t.f(2, 3), t.f(2, 3), reduction="none")]


@api(torch=False, functional=True, cases=_sign_cases)
def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """``log(1 + exp(-target * input))`` for targets 1 and -1."""
    reduction = reduction_of(size_average, reduce, reduction)
    shape = sh.broadcast_shapes(tuple(input.shape), tuple(target.shape))
    x = input if tuple(input.shape) == shape else add(input, mul(target, 0))
    if not x.dtype.is_floating_point:
        raise not_implemented("soft_margin_loss", x.dtype)
    return apply(_soft_margin, x, target, reduction=reduction)


@api(functional=True, cases=_sign_cases)
def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None,
                         reduction="mean"):
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1."""
    reduction = reduction_of(size_average, reduce, reduction)
    apart = where(eq(target, 1), 0, clamp_min(sub(margin, input), 0))
    together = where(eq(target, -1), 0, input)
    return folded(add(apart, together), reduction)


@api(functional=True,
     cases=lambda t: [t.call(t.f(4), t.f(4), t.f(4))])
def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None,
                        reduction="mean"):
    """``max(0, -target * (input1 - input2) + margin)``.

    Raises:
        RuntimeError: the tensors do not have the same number of dimensions.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if not len(input1.shape) == len(input2.shape) == len(target.shape):
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {tuple(input1.shape)}, input2: {tuple(input2.shape)}, target: "
            f"{tuple(target.shape)} ")
    return folded(clamp_min(add(mul(neg(target), sub(input1, input2)), margin), 0), reduction)


@api(functional=True,
     cases=lambda t: [t.call(t.f(4, 3), t.f(4, 3), t.f(4))])
def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None,
                          reduction="mean"):
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1.

    Raises:
        RuntimeError: 0-d inputs, or more than 2 dimensions.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    rank = len(target.shape)
    if rank not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if len(input1.shape) != rank + 1 or len(input2.shape) != rank + 1:
        raise RuntimeError(f"{rank}D target tensor expects {rank + 1}D input tensors, but found "
                           f"inputs with sizes {list(input1.shape)} and {list(input2.shape)}.")
    tiny = 1e-12
    dot = sum(mul(input1, input2), rank)
    square1 = add(sum(mul(input1, input1), rank), tiny)
    square2 = add(sum(mul(input2, input2), rank), tiny)
    cos = div(dot, sqrt(mul(square1, square2)))
    alike = where(eq(target, 1), sub(1, cos), 0)
    apart = where(eq(target, -1), clamp_min(sub(cos, margin), 0), 0)
    return folded(add(alike, apart), reduction)


# --- sets of labels -----------------------------------------------------------------------------


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(2, 3), t.ints(2, 3, low=0, high=2))])
def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None,
                                reduction="mean"):
    """Binary cross entropy with logits averaged over the classes (the last axis)."""
    reduction = reduction_of(size_average, reduce, reduction)
    loss = neg(add(mul(target, logsigmoid(input)),
                   mul(sub(1, target), logsigmoid(neg(input)))))
    if weight is not None:
        loss = mul(loss, weight)
    return folded(mean(loss, -1), reduction)


def _label_rows(x, target):
    """Per row: which classes are labels, and the labels in order (up to the first -1)."""
    for i, row in enumerate(target):
        ends = np.flatnonzero(row < 0)
        labels = row[:ends[0]] if len(ends) else row
        mask = np.zeros(x.shape[1], bool)
        mask[labels] = True
        yield i, labels, mask


def _multilabel_numpy(x, target, gradient):
    wide = x.astype(np.float32) if x.dtype.itemsize == 2 else x
    if (target >= x.shape[1]).any() or (target < -1).any():
        raise RuntimeError(f"multilabel_margin_loss: target out of range [-1, {x.shape[1] - 1}]")
    loss, slope = np.zeros(len(x), wide.dtype), np.zeros_like(wide)
    for i, labels, mask in _label_rows(x, target):
        gap = 1 - wide[i, labels][:, None] + wide[i][None, :]
        active = (gap > 0) & ~mask
        loss[i] = np.where(active, gap, 0).sum() / x.shape[1]
        slope[i] = active.sum(0) / x.shape[1]
        np.subtract.at(slope[i], labels, active.sum(1) / x.shape[1])
    return (slope if gradient else loss).astype(x.dtype)


MULTILABEL = Prim("multilabel_margin", OpClass.LIBRARY, lambda x, t, gradient: (
    (x.shape if gradient else x.shape[:1]), x.dtype), _multilabel_numpy,
    doc="multi-label hinge loss of each row, or its slope")
_label_slope = Op("multilabel_margin_slope", lambda x, t: make(MULTILABEL, (x, t), (True,)),
                  lambda ctx, g: (zeros_of(g), None))


def _multilabel_vjp(ctx, g):
    slope = apply(_label_slope, ctx.operand(0), ctx.operand(1))
    if ctx.reduction == "mean":
        g = div(g, max(ctx.shape(0)[0], 1))
    return mul(slope, g if ctx.reduction != "none" else unsqueeze(g, 1)), None


_multilabel = Op("multilabel_margin_loss", lambda x, t, reduction: folded(
    make(MULTILABEL, (x, t), (False,)), reduction), _multilabel_vjp, saves=(0, 1))


@api(torch=False, functional=True,
     cases=lambda t: [t.call(t.f(2, 3), t.ints(2, 3, low=0, high=3))])
def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """``sum of max(0, 1 - x[label] + x[other]) / C`` over labels (up to the first -1) and others.

    Raises:
        RuntimeError: the shapes differ, or more than 2 dimensions.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    rank = len(input.shape)
    if rank > 2 or 0 in tuple(input.shape)[1 if rank == 2 else 0:]:
        raise RuntimeError("Expected non-empty vector or matrix with optional 0-dim batch size, "
                           f"but got: {list(input.shape)}")
    if tuple(target.shape) != tuple(input.shape):
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: "
                           f"{list(input.shape)}")
    rows = (1, sh.numel(input.shape)) if rank < 2 else tuple(input.shape)
    out = apply(_multilabel, reshape(input, rows), reshape(target, rows), reduction=reduction)
    return reshape(out, ()) if reduction == "none" and rank < 2 else out


# --- triplets -----------------------------------------------------------------------------------


@api(torch=True, functional=True,
     cases=lambda t: [t.call(t.f(2, 3), t.f(2, 3)), t.call(t.f(2, 3), t.f(2, 3), 1.0)])
def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """Norm of ``x1 - x2 + eps`` over the last axis."""
    gap = add(sub(x1, x2), eps)
    return vector_norm(gap, p, max(len(gap.shape) - 1, 0), keepdim)


@api(functional=True, cases=lambda t: [t.call(t.f(2, 3), t.f(2, 3), t.f(2, 3))])
def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False,
                        size_average=None, reduce=None, reduction="mean"):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``.

    Raises:
        ValueError: ``margin`` is not positive.
        RuntimeError: the tensors do not have the same number of dimensions.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not len(anchor.shape) == len(positive.shape) == len(negative.shape):
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have the "
                           f"same number of dimensions, but got: anchor {len(anchor.shape)}D, "
                           f"positive {len(positive.shape)}D, and negative "
                           f"{len(negative.shape)}D inputs")
    return _triplet(anchor, positive, negative, margin, swap, reduction,
                    lambda a, b: pairwise_distance(a, b, p, eps))


def _triplet(anchor, positive, negative, margin, swap, reduction, distance):
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return folded(clamp_min(add(sub(near, far), margin), 0), reduction)


@api(torch=False, functional=True, cases=lambda t: [t.call(t.f(2, 3), t.f(2, 3), t.f(2, 3))])
def triplet_margin_with_distance_loss(anchor, positive, negative, *, distance_function=None,
                                      margin=1.0, swap=False, reduction="mean"):
    """``triplet_margin_loss`` with any distance (pairwise_distance when None).

    Raises:
        ValueError: ``margin`` is not positive, or no such reduction.
        RuntimeError: the tensors do not have the same number of dimensions.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not len(anchor.shape) == len(positive.shape) == len(negative.shape):
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have the "
                           "same number of dimensions")
    return _triplet(anchor, positive, negative, margin, swap, reduction,
                    distance_function or pairwise_distance)

