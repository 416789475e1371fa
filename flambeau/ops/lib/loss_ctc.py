"""Connectionist temporal classification: the loss of sequences whose alignment is unknown.

A. Graves et al., "Connectionist temporal classification" (2006): forward variables over the labels
with blanks in between; the gradient from forward and backward variables. All samples of a batch
advance together.
"""

from __future__ import annotations

import numpy as np

from ...base import dtype as dt
from ...ir.api import api
from ...ir.node import OpClass, Prim, make
from ...ir.op import Op, apply
from ..prim.elementwise import cast, div, eq, mul, where
from ..prim.index import host, on_host
from ..prim.pointwise import not_implemented, zeros_of
from ..prim.reduce import mean, sum
from ..prim.shape import reshape, unsqueeze
from ..prim.ternary import clamp_min
from .loss import reduction_of

_NEVER = -np.inf


def _extended(targets, lengths, blank: int) -> np.ndarray:
    """Labels with blanks before, between and after: (N, 2 * longest + 1)."""
    longest = int(lengths.max()) if len(lengths) else 0
    out = np.full((len(lengths), 2 * longest + 1), blank, np.int64)
    at = 0
    for i, n in enumerate(lengths):
        row = targets[i, :n] if targets.ndim == 2 else targets[at:at + n]
        out[i, 1:2 * n:2] = row
        at += n
    return out


def _skips(labels) -> np.ndarray:
    """Where a label may follow the one two before: it differs from it (and is no blank)."""
    skip = np.zeros(labels.shape, bool)
    skip[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    return skip


def _shift(x, by: int):
    """Rows moved right by ``by`` places, filled with log 0."""
    out = np.full_like(x, _NEVER)
    if by < x.shape[1]:
        out[:, by:] = x[:, :x.shape[1] - by]
    return out


def _forward(scores, labels, input_lengths):
    """Log forward variables (T, N, S); rows after a sample's end repeat its last."""
    steps, (count, size) = scores.shape[0], labels.shape
    skip = np.where(_skips(labels), 0.0, _NEVER)
    alpha = np.full((steps, count, size), _NEVER)
    rows = np.arange(count)
    for t in range(steps):
        emit = np.take_along_axis(scores[t], labels, 1)
        if t == 0:
            alpha[0, :, :2] = emit[:, :2]
        else:
            last = alpha[t - 1]
            reach = np.logaddexp(np.logaddexp(last, _shift(last, 1)), _shift(last, 2) + skip)
            alpha[t] = np.where((t < input_lengths)[rows][:, None], reach + emit, last)
    return alpha


def _likelihood(alpha, target_lengths, input_lengths):
    """Log probability of each sample: the last two states at its last step."""
    count = alpha.shape[1]
    rows, end = np.arange(count), 2 * target_lengths
    if not len(alpha):
        return np.where(target_lengths == 0, 0.0, _NEVER)
    last = alpha[-1]
    total = last[rows, end]
    total = np.where(target_lengths > 0, np.logaddexp(total, last[rows, np.maximum(end - 1, 0)]),
                     total)
    return np.where((input_lengths == 0), np.where(target_lengths == 0, 0.0, _NEVER), total)


def _lengths(*arrays):
    return [np.asarray(a, np.int64) for a in arrays]


def _loss_numpy(scores, targets, input_lengths, target_lengths, blank):
    il, tl = _lengths(input_lengths, target_lengths)
    alpha = _forward(scores.astype(np.float64), _extended(targets, tl, blank), il)
    return (-_likelihood(alpha, tl, il)).astype(scores.dtype)


def _slope_numpy(scores, targets, input_lengths, target_lengths, blank):
    """exp(score) less the posterior of each class, of every step and sample (0 after its end)."""
    il, tl = _lengths(input_lengths, target_lengths)
    wide, labels = scores.astype(np.float64), _extended(targets, tl, blank)
    steps, count, classes = scores.shape
    alpha = _forward(wide, labels, il)
    total = _likelihood(alpha, tl, il)
    skip = np.where(_skips(labels), 0.0, _NEVER)
    rows = np.arange(count)
    slope, beta = np.zeros_like(wide), np.full(labels.shape, _NEVER)
    for t in range(steps - 1, -1, -1):
        emit = np.take_along_axis(wide[t], labels, 1)
        start = np.full_like(beta, _NEVER)
        start[rows, 2 * tl] = 0
        start[rows[tl > 0], 2 * tl[tl > 0] - 1] = 0
        after = beta + skip
        back = np.logaddexp(np.logaddexp(beta, _shift(beta[:, ::-1], 1)[:, ::-1]),
                            _shift(after[:, ::-1], 2)[:, ::-1])
        running = np.where((t == il - 1)[:, None], start, back)
        beta = np.where((t < il)[:, None], running + emit, _NEVER)
        joint = np.exp(alpha[t] + beta - emit - total[:, None])
        joint = np.where((t < il)[:, None] & np.isfinite(alpha[t] + beta), joint, 0)
        posterior = np.zeros((count, classes))
        np.add.at(posterior, (rows[:, None], labels), joint)
        slope[t] = np.where((t < il)[:, None], np.exp(wide[t]) - posterior, 0)
    slope[:, np.isneginf(total)] = np.nan
    return slope.astype(scores.dtype)


CTC = Prim("ctc_loss", OpClass.LIBRARY, lambda x, *rest: ((x.shape[1],), x.dtype), _loss_numpy,
           doc="negative log likelihood of each sample")
CTC_SLOPE = Prim("ctc_slope", OpClass.LIBRARY, lambda x, *rest: (x.shape, x.dtype), _slope_numpy,
                 doc="slope of ctc_loss by the log probabilities")


def _vjp(ctx, g):
    operands = [ctx.operand(i) for i in range(4)]
    slope = apply(_slope, *operands, blank=ctx.blank)
    if ctx.zero_infinity:
        impossible = reshape(eq(ctx.result(), float("inf")), (1, g.shape[0], 1))
        slope = where(impossible, 0, slope)
    return mul(slope, reshape(g, (1, g.shape[0], 1))), None, None, None


_slope = Op("ctc_slope", lambda x, *rest, blank: make(CTC_SLOPE, (x, *rest), (blank,)),
            lambda ctx, g: (zeros_of(g), None, None, None))
_ctc = Op("_ctc_loss", lambda x, *rest, blank, zero_infinity: make(CTC, (x, *rest), (blank,)), _vjp,
          saves=(0, 1, 2, 3, "result"), guards=(0, 1, "result"), grad_name="CtcLossBackward0")


def _as_lengths(lengths, like, name: str):
    """Lengths as an int64 vector that goes with ``like``, checked."""
    if isinstance(lengths, (list, tuple)):
        return on_host(np.asarray(lengths, np.int64).reshape(-1), like)
    if lengths.dtype.category != dt.dtype.INT:
        raise RuntimeError(f"{name} must be integral")
    return reshape(cast(lengths, dt.int64), (-1,)) if len(lengths.shape) != 1 else \
        cast(lengths, dt.int64)


def _check(log_probs, targets, input_lengths, target_lengths, blank: int) -> None:
    steps, count, classes = log_probs.shape
    if not log_probs.dtype.is_floating_point:
        raise not_implemented("ctc_loss", log_probs.dtype)
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range: {blank} is not in 0..{classes - 1}")
    il, tl = host(input_lengths), host(target_lengths)
    for name, lengths in (("input_lengths", il), ("target_lengths", tl)):
        if lengths.shape != (count,):
            raise RuntimeError(f"{name} must be of size batch_size: {lengths.shape} for a batch of "
                               f"{count}")
    if (il > steps).any() or (il < 0).any():
        raise RuntimeError(f"Expected input_lengths to have value at most {steps}, but got value "
                           f"{il.max()} (while checking arguments for ctc_loss)")
    if (tl < 0).any():
        raise RuntimeError("Expected target_lengths to have value at least 0, but got value "
                           f"{tl.min()}")
    if len(targets.shape) == 2 and (targets.shape[0] != count or (tl > targets.shape[1]).any()):
        raise RuntimeError(f"Expected tensor to have size at least {tl.max()} at dimension 1, but "
                           f"got size {tuple(targets.shape)} for argument targets")
    if len(targets.shape) == 1 and targets.shape[0] != tl.sum():
        raise RuntimeError(f"Expected tensor to have size {tl.sum()} at dimension 0, but got size "
                           f"{targets.shape[0]} for argument targets")


@api(torch=False, functional=True)
def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean",
             zero_infinity=False):
    """Minus the log probability of the target sequences over all alignments.

    Args:
        log_probs: (T, N, C) or (T, C), logarithms of probabilities.
        targets: (N, S), or all of them in one row; classes without the blank.
        input_lengths, target_lengths: (N), tensors or lists.
        zero_infinity: impossible alignments (a target longer than its input) count 0.

    Raises:
        RuntimeError: lengths or classes that do not fit.
    """
    reduction = reduction_of(None, None, reduction)
    single = len(log_probs.shape) == 2
    if single:
        log_probs = unsqueeze(log_probs, 1)
        targets = unsqueeze(targets, 0) if len(targets.shape) == 1 else targets
    il = _as_lengths(input_lengths, log_probs, "input_lengths")
    tl = _as_lengths(target_lengths, log_probs, "target_lengths")
    _check(log_probs, targets, il, tl, blank)
    loss = apply(_ctc, log_probs, targets, il, tl, blank=blank, zero_infinity=zero_infinity)
    if zero_infinity:
        loss = where(eq(loss, float("inf")), 0, loss)
    if reduction == "mean":
        return mean(div(loss, cast(clamp_min(tl, 1), loss.dtype)))
    if reduction == "sum":
        return sum(loss)
    return reshape(loss, ()) if single else loss
