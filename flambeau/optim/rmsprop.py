"""RMSprop."""

from __future__ import annotations

from typing import ClassVar

from .algorithm import Algorithm, check_lr, check_not_negative, step_tensor
from .functions import add_quotient_, add_scaled_, one_operation, view_as_real, zeros_like


def _update(grads, params, squares, buffers, means, steps, options, *, step_size,
            momentum) -> None:
    """``s = alpha s + (1 - alpha) g**2``; ``p -= lr g / (sqrt(s) + eps)``."""
    alpha, eps, weight_decay, centered, maximize, differentiable = options
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        square = squares[i]
        steps[i].add_(1)
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        if param.is_complex():
            param, grad, square = map(view_as_real, (param, grad, square))
        square.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        if centered:
            mean = _real(means[i])
            mean.lerp_(grad, 1 - alpha)
            root = square.addcmul(mean, mean, value=-1).sqrt_()
        else:
            root = square.sqrt()
        root = root.add(eps) if differentiable else root.add_(eps)
        if momentum is not None:
            buffer = _real(buffers[i])
            buffer.mul_(momentum).addcdiv_(grad, root)
            add_scaled_(param, buffer, step_size)
        else:
            add_quotient_(param, grad, root, step_size)


def _real(x):
    return view_as_real(x) if x.is_complex() else x


class RMSprop(Algorithm):
    """Steps by the gradient over the root of its running mean square (Hinton's lecture 6).

    Args:
        params: tensors or parameter groups.
        lr: learning rate.
        alpha: decay rate of the mean square.
        eps: added to the root.
        weight_decay: adds ``weight_decay * p`` to the gradient.
        momentum: share of the old velocity that is kept.
        centered: divide by the running standard deviation instead.
        capturable, foreach: accepted.
        maximize: climb instead of descend.
        differentiable: gradients flow through the step.
    """

    STATE = ("square_avg", "momentum_buffer", "grad_avg", "step")
    OPTIONS = ("momentum", "alpha", "eps", "weight_decay", "centered", "maximize",
               "differentiable")
    LATER_OPTIONS: ClassVar[dict] = {**Algorithm.LATER_OPTIONS, "momentum": 0, "centered": False}
    operation = staticmethod(one_operation(_update, ("step_size", "momentum")))

    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0,
                 centered=False, capturable=False, foreach=None, maximize=False,
                 differentiable=False):
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_not_negative("momentum", momentum)
        check_not_negative("weight_decay", weight_decay)
        check_not_negative("alpha", alpha)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable})

    def initial_state(self, param, group):
        """Zero means."""
        state = {"step": step_tensor(), "square_avg": zeros_like(param)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_like(param)
        if group["centered"]:
            state["grad_avg"] = zeros_like(param)
        return state

    def settings(self, group):
        """RMSprop's constants."""
        momentum, *told = self._options_of(group)
        return tuple(told), {"momentum": momentum if momentum > 0 else None}, None

    def numbers(self, numbers, lr, cohort, constants):
        """The step size of this step."""
        numbers["step_size"] = -lr
