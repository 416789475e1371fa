"""RAdam."""

from __future__ import annotations

from typing import ClassVar

from .algorithm import (
    Algorithm,
    check_betas,
    check_lr,
    check_not_negative,
    end_weighs_more,
    step_tensor,
)
from .functions import one_operation, view_as_real, zeros_like


def _update(grads, params, means, squares, steps, options, *, lr, correction, correction_root,
            rectify, shrink, share) -> None:
    """Adam's step times ``rectify``; where that is None, the variance is large: plain momentum.

    ``correction`` is that of the mean, ``correction_root`` the root of that of the mean square.
    """
    beta2, eps, weight_decay, maximize, differentiable, _ = options
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        mean, square = means[i], squares[i]
        steps[i].add_(1)
        if param.is_complex():
            param, grad, mean, square = map(view_as_real, (param, grad, mean, square))
        if shrink is not None:
            param.mul_(shrink)
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        mean.lerp_(grad, share)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        step_mean = mean / correction
        if rectify is None:
            param.add_(step_mean * lr, alpha=-1.0)
            continue
        root = square.sqrt()
        root = root.add(eps) if differentiable else root.add_(eps)
        param.add_(step_mean * lr * (correction_root / root) * rectify, alpha=-1.0)


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
    KNOWN = ("step",)
    OPTIONS = ("betas", "eps", "weight_decay", "decoupled_weight_decay", "maximize",
               "differentiable")
    LATER_OPTIONS: ClassVar[dict] = {**Algorithm.LATER_OPTIONS, "decoupled_weight_decay": False}
    operation = staticmethod(one_operation(_update, (
        "lr", "correction", "correction_root", "rectify", "shrink", "share")))

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

    def settings(self, group):
        """RAdam's constants."""
        ((beta1, beta2), eps, weight_decay, decoupled, maximize,
         differentiable) = self._options_of(group)
        share = 1 - beta1
        told = (beta2, eps, 0 if decoupled else weight_decay, maximize, differentiable,
                end_weighs_more(share))
        return told, {"share": share, "shrink": None}, (
            beta1, beta2, weight_decay if decoupled else 0)

    def numbers(self, numbers, lr, cohort, constants):
        """The corrections of the means; the rectification when the variance is small enough."""
        beta1, beta2, decoupled_decay = constants
        count = cohort.known[0] = cohort.known[0] + 1.0
        correction = 1 - beta2 ** count
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * count * (beta2 ** count) / correction
        numbers["lr"], numbers["correction"] = lr, 1 - beta1 ** count
        numbers["correction_root"] = numbers["rectify"] = None
        if rho > 5.0:
            numbers["correction_root"] = correction ** 0.5
            numbers["rectify"] = ((rho - 4) * (rho - 2) * rho_inf
                                  / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
        if decoupled_decay != 0:
            numbers["shrink"] = 1 - lr * decoupled_decay
