"""RMSprop."""

from __future__ import annotations

from typing import ClassVar

from .algorithm import Algorithm, check_lr, check_not_negative, scalar, step_tensor
from .functions import view_as_real, zeros_like


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
    LATER_OPTIONS: ClassVar[dict] = {**Algorithm.LATER_OPTIONS, "momentum": 0, "centered": False}

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

    def update(self, group, found):
        """``s = alpha s + (1 - alpha) g**2``; ``p -= lr g / (sqrt(s) + eps)``."""
        self.counted(found)
        lr, alpha, eps = scalar(group["lr"]), group["alpha"], group["eps"]
        rows = zip(found.params, found.grads, *found.lists, strict=True)
        for param, grad, square, buffer, mean, step in rows:
            step.add_(1)
            if group["maximize"]:
                grad = -grad
            if group["weight_decay"] != 0:
                grad = grad.add(param, alpha=group["weight_decay"])
            if param.is_complex():
                param, grad, square = map(view_as_real, (param, grad, square))
                buffer = buffer if buffer is None else view_as_real(buffer)
                mean = mean if mean is None else view_as_real(mean)
            square.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
            if group["centered"]:
                mean.lerp_(grad, 1 - alpha)
                root = square.addcmul(mean, mean, value=-1).sqrt_()
            else:
                root = square.sqrt()
            root = root.add(eps) if group["differentiable"] else root.add_(eps)
            if group["momentum"] > 0:
                buffer.mul_(group["momentum"]).addcdiv_(grad, root)
                param.add_(buffer, alpha=-lr)
            else:
                param.addcdiv_(grad, root, value=-lr)
