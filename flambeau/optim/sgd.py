"""Stochastic gradient descent."""

from __future__ import annotations

from typing import ClassVar

from ..tensor import Tensor
from .algorithm import (
    Algorithm,
    check_implementation,
    check_lr,
    check_not_negative,
    scalar,
)
from .functions import add_scaled_, one_operation


def _update_each(grads, params, momentum_buffers, options, *, step_size, momentum) -> None:
    """``v = momentum v + (1 - dampening) g``; ``p -= lr v``, or ``p -= lr (g + momentum v)``.

    ``step_size`` is negative. A momentum buffer that is None (no step made yet) is replaced in the
    list by a new one.
    """
    dampening, weight_decay, nesterov, maximize = options
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        if isinstance(weight_decay, Tensor):
            grad = grad + param * weight_decay
        elif weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        if momentum is not None:
            buffer = momentum_buffers[i]
            if buffer is None:
                buffer = momentum_buffers[i] = grad.detach().clone()
            else:
                buffer.mul_(momentum).add_(grad, alpha=1 - dampening)
            grad = grad.add(buffer, alpha=momentum) if nesterov else buffer
        add_scaled_(param, grad, step_size)


def _update_together(grads, params, momentum_buffers, options, *, step_size, momentum) -> None:
    """The same where no buffer is missing."""
    _update_each(grads, params, momentum_buffers, options, step_size=step_size, momentum=momentum)


_update_together = one_operation(_update_together, ("step_size", "momentum"))


def _settings(dampening, weight_decay, nesterov, maximize, momentum) -> tuple:
    """See :meth:`Algorithm.settings`."""
    if momentum == 0:
        momentum = None
    elif momentum == 1:
        momentum = 1  # an integer: one where a multiplication is left out is no run-time number
    return (dampening, scalar(weight_decay), nesterov, maximize), {"momentum": momentum}, None


class SGD(Algorithm):
    """Stochastic gradient descent, with momentum, weight decay and Nesterov's variant.

    Args:
        params: tensors or parameter groups.
        lr: learning rate.
        momentum: share of the old velocity that is kept.
        dampening: share of the gradient that does not enter the velocity.
        weight_decay: adds ``weight_decay * p`` to the gradient.
        nesterov: look ahead along the velocity (needs momentum and no dampening).
        maximize: climb instead of descend.
        foreach, fused: accepted; the update is one operation in any case.
        differentiable: gradients flow through the step.
    """

    STATE = ("momentum_buffer",)
    OPTIONS = ("dampening", "weight_decay", "nesterov", "maximize", "momentum")
    LATER_OPTIONS: ClassVar[dict] = {**Algorithm.LATER_OPTIONS, "nesterov": False, "fused": None}
    operation = staticmethod(_update_together)

    def __init__(self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False,
                 *, maximize=False, foreach=None, differentiable=False, fused=None):
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        check_lr(lr)
        check_not_negative("momentum", momentum)
        check_not_negative("weight_decay", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach,
            "differentiable": differentiable, "fused": fused})
        check_implementation(foreach, fused, differentiable)

    def settings(self, group):
        """SGD's constants."""
        return _settings(*self._options_of(group))

    def numbers(self, numbers, lr, cohort, constants):
        """The step size of this step."""
        numbers["step_size"] = -lr

    def keeps_state(self, group):
        """Only with momentum."""
        return group["momentum"] != 0

    def kind(self, param, state, group):
        """Whether there is a momentum buffer."""
        return state.get("momentum_buffer") is not None

    def update(self, found, grads, lr):
        """Tensors without a momentum buffer get one."""
        group = found.group
        if group["momentum"] == 0 or all(cohort.kind for cohort in found.cohorts):
            super().update(found, grads, lr)
            return
        told, numbers, _ = self.settings(group)
        for cohort in found.cohorts:
            mine = grads if cohort.places is None else [grads[i] for i in cohort.places]
            params = cohort.args[0]
            buffers = [self._state[p].get("momentum_buffer") for p in params]
            _update_each(mine, params, buffers, told, step_size=-lr, **numbers)
            for p, buffer in zip(params, buffers, strict=True):
                self._state[p]["momentum_buffer"] = buffer
        del self._gathered[id(group)]


def sgd(params, d_p_list, momentum_buffer_list, has_sparse_grad=False, foreach=None, fused=None,
        grad_scale=None, found_inf=None, *, weight_decay, momentum, lr, dampening, nesterov,
        maximize) -> None:
    """PyTorch's functional form of :class:`SGD`: changes the parameters in place."""
    if has_sparse_grad or grad_scale is not None or found_inf is not None:
        raise NotImplementedError("sgd(): sparse gradients, grad_scale and found_inf")
    told, numbers, _ = _settings(dampening, weight_decay, nesterov, maximize, momentum)
    _update_each(d_p_list, params, momentum_buffer_list, told, step_size=-scalar(lr), **numbers)
