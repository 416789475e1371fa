"""Adamax."""

from __future__ import annotations

from .algorithm import (
    Algorithm,
    check_betas,
    check_lr,
    check_not_negative,
    scalar,
    step_tensor,
)
from .functions import maximum, view_as_real, zeros_like


class Adamax(Algorithm):
    """Adam with the infinity norm in place of the root of the mean square (Kingma and Ba).

    Args:
        params: tensors or parameter groups.
        lr: learning rate.
        betas: decay rates of the mean and of the norm.
        eps: added to the size of the gradient.
        weight_decay: adds ``weight_decay * p`` to the gradient.
        foreach, capturable: accepted.
        maximize: climb instead of descend.
        differentiable: gradients flow through the step.
    """

    STATE = ("exp_avg", "exp_inf", "step")

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 foreach=None, *, maximize=False, differentiable=False, capturable=False):
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check_not_negative("weight_decay", weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
            "capturable": capturable})

    def initial_state(self, param, group):
        """Zero mean and norm."""
        return {"step": step_tensor(), "exp_avg": zeros_like(param),
                "exp_inf": zeros_like(param)}

    def update(self, group, found):
        """``u = max(beta2 u, |g| + eps)``; ``p -= lr / (1 - beta1**t) m / u``."""
        counts = self.counted(found)
        lr, eps, (beta1, beta2) = scalar(group["lr"]), group["eps"], group["betas"]
        rows = zip(found.params, found.grads, *found.lists, counts, strict=True)
        for param, grad, mean, norm, step, count in rows:
            step.add_(1)
            if group["maximize"]:
                grad = -grad
            if group["weight_decay"] != 0:
                grad = grad.add(param, alpha=group["weight_decay"])
            if param.is_complex():
                param, grad, mean, norm = map(view_as_real, (param, grad, mean, norm))
            mean.lerp_(grad, 1 - beta1)
            norm.copy_(maximum(norm.mul_(beta2), grad.abs().add_(eps)))
            param.addcdiv_(mean, norm, value=-(lr / (1 - beta1 ** count)))
