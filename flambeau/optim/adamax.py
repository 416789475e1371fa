"""Adamax."""

from __future__ import annotations

from .algorithm import (
    Algorithm,
    check_betas,
    check_lr,
    check_not_negative,
    end_weighs_more,
    step_tensor,
)
from .functions import add_quotient_, maximum, one_operation, view_as_real, zeros_like


def _update(grads, params, means, norms, steps, options, *, step_size, share) -> None:
    """``u = max(beta2 u, |g| + eps)``; ``p -= lr / (1 - beta1**t) m / u``."""
    beta2, eps, weight_decay, maximize, _ = options
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        mean, norm = means[i], norms[i]
        steps[i].add_(1)
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        if param.is_complex():
            param, grad, mean, norm = map(view_as_real, (param, grad, mean, norm))
        mean.lerp_(grad, share)
        norm.copy_(maximum(norm.mul_(beta2), grad.abs().add_(eps)))
        add_quotient_(param, mean, norm, step_size)


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
    KNOWN = ("step",)
    OPTIONS = ("betas", "eps", "weight_decay", "maximize")
    operation = staticmethod(one_operation(_update, ("step_size", "share")))

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

    def settings(self, group):
        """Adamax's constants."""
        (beta1, beta2), eps, weight_decay, maximize = self._options_of(group)
        share = 1 - beta1
        told = (beta2, eps, weight_decay, maximize, end_weighs_more(share))
        return told, {"share": share}, beta1

    def numbers(self, numbers, lr, cohort, beta1):
        """The step size with the correction of the mean."""
        count = cohort.known[0] = cohort.known[0] + 1.0
        numbers["step_size"] = -(lr / (1 - beta1 ** count))
