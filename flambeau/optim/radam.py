"""RAdam."""

from __future__ import annotations

from typing import ClassVar

from .algorithm import (
    Algorithm,
    check_betas,
    check_lr,
    check_not_negative,
    scalar,
    step_tensor,
)
from .functions import view_as_real, zeros_like


class RAdam(Algorithm):
    """Adam whose adaptive rate is switched on when its variance is small enough (Liu et al.).

    Args:
        params: tensors or parameter groups.
        lr: learning rate.
        betas: decay rates of the two running means.
        eps: added to the root.
        weight_decay: adds ``weight_decay * p`` to the gradient.
        decoupled_weight_decay: shrink the parameters instead (as AdamW).
        foreach, capturable: accepted.
        maximize: climb instead of descend.
        differentiable: gradients flow through the step.
    """

    STATE = ("exp_avg", "exp_avg_sq", "step")
    LATER_OPTIONS: ClassVar[dict] = {**Algorithm.LATER_OPTIONS, "decoupled_weight_decay": False}

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 decoupled_weight_decay=False, *, foreach=None, maximize=False, capturable=False,
                 differentiable=False):
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check_not_negative("weight_decay", weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay, "differentiable": differentiable})

    def initial_state(self, param, group):
        """Zero means."""
        return {"step": step_tensor(), "exp_avg": zeros_like(param),
                "exp_avg_sq": zeros_like(param)}

    def update(self, group, found):
        """Adam's step times the rectification; plain momentum while the variance is large."""
        counts = self.counted(found)
        beta1, beta2 = group["betas"]
        lr, decay = scalar(group["lr"]), group["weight_decay"]
        rho_inf = 2 / (1 - beta2) - 1
        rows = zip(found.params, found.grads, *found.lists, counts, strict=True)
        for param, grad, mean, square, step, count in rows:
            step.add_(1)
            if group["maximize"]:
                grad = -grad
            if param.is_complex():
                param, grad, mean, square = map(view_as_real, (param, grad, mean, square))
            if decay != 0:
                if group["decoupled_weight_decay"]:
                    param.mul_(1 - lr * decay)
                else:
                    grad = grad.add(param, alpha=decay)
            mean.lerp_(grad, 1 - beta1)
            square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            correction = 1 - beta2 ** count
            step_mean = mean / (1 - beta1 ** count)
            rho = rho_inf - 2 * count * (beta2 ** count) / correction
            if rho <= 5.0:
                param.add_(step_mean * lr, alpha=-1.0)
                continue
            rectify = ((rho - 4) * (rho - 2) * rho_inf
                       / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
            root = square.sqrt()
            root = root.add(group["eps"]) if group["differentiable"] else root.add_(group["eps"])
            param.add_(step_mean * lr * (correction ** 0.5 / root) * rectify, alpha=-1.0)
