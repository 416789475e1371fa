"""The updates of whole lists of tensors: one call per parameter group and step.

Every function changes its tensors in place, in the order of operations of PyTorch's own
single-tensor code, so that trajectories agree to the last bits. Callers switch gradients off (or
leave them on, for differentiable optimizers). Numbers that change from step to step arrive as
Python numbers: the learning rate, and ``counts``, the number of the step being made per tensor.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..tensor.follow import one_operation
from ..tensor import Tensor
from .functions import maximum, view_as_real


def sgd_update_(params: Sequence[Tensor], grads: Sequence[Tensor],
                momentum_buffers: list[Tensor | None], *, lr, momentum: float, dampening: float,
                weight_decay, nesterov: bool, maximize: bool) -> None:
    """Stochastic gradient descent with momentum.

    ``v = momentum v + (1 - dampening) g``; ``p -= lr v`` (Nesterov: ``p -= lr (g + momentum v)``).

    Args:
        momentum_buffers: one per parameter; a None (no step made yet) is replaced by a new buffer.
    """
    if isinstance(lr, Tensor) or any(b is None for b in momentum_buffers) and momentum != 0:
        _sgd_each(params, grads, momentum_buffers, -lr, momentum, dampening, weight_decay,
                  nesterov, maximize)
    else:
        _sgd_together_(params, grads, momentum_buffers, step_size=-float(lr), momentum=momentum,
                       dampening=dampening, weight_decay=weight_decay, nesterov=nesterov,
                       maximize=maximize)


def _sgd_each(params, grads, momentum_buffers, step_size, momentum, dampening, weight_decay,
              nesterov, maximize) -> None:
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        if isinstance(weight_decay, Tensor):
            grad = grad + param * weight_decay
        elif weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        if momentum != 0:
            buffer = momentum_buffers[i]
            if buffer is None:
                buffer = momentum_buffers[i] = grad.detach().clone()
            else:
                buffer.mul_(momentum).add_(grad, alpha=1 - dampening)
            grad = grad.add(buffer, alpha=momentum) if nesterov else buffer
        if isinstance(step_size, Tensor):
            param.addcmul_(grad, step_size)
        else:
            param.add_(grad, alpha=step_size)


def _sgd_together_(params, grads, momentum_buffers, *, step_size, momentum, dampening,
                   weight_decay, nesterov, maximize) -> None:
    """The update as a single operation to the trace follower; ``step_size`` is negative."""
    _sgd_each(params, grads, momentum_buffers, step_size, momentum, dampening, weight_decay,
              nesterov, maximize)


_sgd_together_ = one_operation(_sgd_together_, ("step_size",))


def adam_update_(params: Sequence[Tensor], grads: Sequence[Tensor], exp_avgs: Sequence[Tensor],
                 exp_avg_sqs: Sequence[Tensor], max_exp_avg_sqs: Sequence[Tensor | None],
                 steps: Sequence[Tensor], *, lr, beta1: float, beta2: float, eps: float,
                 weight_decay: float, amsgrad: bool, maximize: bool, decoupled: bool,
                 counts: Sequence[float]) -> None:
    """Adam and, with ``decoupled`` weight decay, AdamW (Loshchilov and Hutter).

    ``m = lerp(m, g, 1 - beta1)``; ``v = beta2 v + (1 - beta2) g**2``;
    ``p -= lr / (1 - beta1**t) * m / (sqrt(v) / sqrt(1 - beta2**t) + eps)``.

    Args:
        max_exp_avg_sqs: running maxima of v; read only with ``amsgrad``.
        steps: 0-d step numbers, incremented here.
        counts: the same after the increment, as Python numbers.
    """
    lists = (params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs if amsgrad else (), steps)
    same = counts.count(counts[0]) == len(counts)
    for count in (counts[0],) if same else dict.fromkeys(counts):
        some = lists
        if not same:  # parameters that joined later
            chosen = [i for i, c in enumerate(counts) if c == count]
            some = tuple([x[i] for i in chosen] if x else x for x in lists)
        _adam_same_count_(
            *some, step_size=-(lr / (1 - beta1 ** count)), root=(1 - beta2 ** count) ** 0.5,
            shrink=1 - lr * weight_decay if decoupled and weight_decay else None,
            share=1 - beta1, beta2=beta2, square_share=1 - beta2, from_end=1 - beta1 >= 0.5,
            eps=eps, weight_decay=0 if decoupled else weight_decay, maximize=maximize)


def _adam_same_count_(params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps, *, step_size,
                      root, shrink, share, beta2, square_share, from_end, eps, weight_decay,
                      maximize) -> None:
    """The update of tensors that have made the same number of steps; ``step_size`` is negative.

    A single operation to the trace follower: ``step_size``, ``root`` and ``shrink`` differ from
    step to step, the shares where a schedule changes the betas; all are handed on unchanged.
    ``from_end`` says which of its two formulas lerp() takes for ``share``, so that the follower
    does not take one for the other.
    """
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        exp_avg, exp_avg_sq = exp_avgs[i], exp_avg_sqs[i]
        steps[i].add_(1)
        if shrink is not None:
            param.mul_(shrink)
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        highest = max_exp_avg_sqs[i] if max_exp_avg_sqs else None
        if param.is_complex():
            param, grad, exp_avg, exp_avg_sq = map(
                view_as_real, (param, grad, exp_avg, exp_avg_sq))
            highest = view_as_real(highest) if highest is not None else None
        exp_avg.lerp_(grad, share)
        exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=square_share)
        second = exp_avg_sq
        if highest is not None:
            second = highest.copy_(maximum(highest, exp_avg_sq))
        denom = (second.sqrt() / root).add_(eps)
        if isinstance(step_size, Tensor):
            param.addcdiv_(exp_avg * step_size, denom)
        else:
            param.addcdiv_(exp_avg, denom, value=step_size)


_adam_same_count_ = one_operation(
    _adam_same_count_, ("step_size", "root", "shrink", "share", "beta2", "square_share"))
