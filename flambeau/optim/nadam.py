"""NAdam."""

from __future__ import annotations

from typing import ClassVar

from ..base import dtype as dt
from .algorithm import (
    Algorithm,
    check_betas,
    check_lr,
    check_not_negative,
    end_weighs_more,
    rounded,
    step_tensor,
)
from .functions import add_quotient_, one_operation, ones, set_, view_as_real, zeros_like


def _update(grads, params, means, squares, mu_products, steps, options, *, grad_factor,
            mean_factor, correction, shrink, share, mu_product) -> None:
    """Adam's step with this step's gradient and next step's momentum.

    The (negative) factors belong to the gradient and the mean; ``correction`` is that of the mean
    square; ``mu_product`` is the product of the momenta so far.
    """
    beta2, eps, weight_decay, maximize, differentiable, _ = options
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        mean, square = means[i], squares[i]
        steps[i].add_(1)
        set_(mu_products[i], mu_product, steps[i])
        if param.is_complex():
            param, grad, mean, square = map(view_as_real, (param, grad, mean, square))
        if shrink is not None:
            param.mul_(shrink)
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        mean.lerp_(grad, share)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        root = square.div(correction).sqrt()
        root = root.add(eps) if differentiable else root.add_(eps)
        add_quotient_(param, grad, root, grad_factor)
        add_quotient_(param, mean, root, mean_factor)


class NAdam(Algorithm):
    """Adam with Nesterov momentum (Dozat, Incorporating Nesterov Momentum into Adam).

    Args:
        params: tensors or parameter groups.
        lr: learning rate.
        betas: decay rates of the two running means.
        eps: added to the root.
        weight_decay: adds ``weight_decay * p`` to the gradient.
        momentum_decay: how fast the momentum warms up.
        decoupled_weight_decay: shrink the parameters instead (as AdamW).
        foreach, capturable: accepted.
        maximize: climb instead of descend.
        differentiable: gradients flow through the step.
    """

    STATE = ("exp_avg", "exp_avg_sq", "mu_product", "step")
    KNOWN = ("step", "mu_product")
    OPTIONS = ("betas", "eps", "weight_decay", "momentum_decay", "decoupled_weight_decay",
               "maximize", "differentiable")
    LATER_OPTIONS: ClassVar[dict] = {**Algorithm.LATER_OPTIONS, "decoupled_weight_decay": False}
    operation = staticmethod(one_operation(_update, (
        "grad_factor", "mean_factor", "correction", "shrink", "share", "mu_product")))

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 momentum_decay=4e-3, decoupled_weight_decay=False, *, foreach=None,
                 maximize=False, capturable=False, differentiable=False):
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check_not_negative("weight_decay", weight_decay)
        check_not_negative("momentum_decay", momentum_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable})

    def initial_state(self, param, group):
        """Zero means; the product of the momenta is one."""
        return {"step": step_tensor(),
                "mu_product": ones((), dtype=step_tensor().dtype, device=param.device),
                "exp_avg": zeros_like(param), "exp_avg_sq": zeros_like(param)}

    def settings(self, group):
        """NAdam's constants."""
        ((beta1, beta2), eps, weight_decay, momentum_decay, decoupled, maximize,
         differentiable) = self._options_of(group)
        share = 1 - beta1
        told = (beta2, eps, 0 if decoupled else weight_decay, maximize, differentiable,
                end_weighs_more(share))
        return told, {"share": share, "shrink": None}, (
            beta1, beta2, weight_decay if decoupled else 0, momentum_decay)

    def kind(self, param, state, group):
        """The dtype in which the product of the momenta is kept."""
        return state["mu_product"].dtype

    def numbers(self, numbers, lr, cohort, constants):
        """The factors that follow from the momenta of this step and the next."""
        beta1, beta2, decoupled_decay, decay = constants
        count, product = cohort.known
        count += 1.0
        mu = beta1 * (1.0 - 0.5 * (0.96 ** (count * decay)))
        mu_next = beta1 * (1.0 - 0.5 * (0.96 ** ((count + 1) * decay)))
        product = _product(product, mu, cohort.kind)
        cohort.known = [count, product]
        numbers["mu_product"] = product
        numbers["grad_factor"] = -lr * (1.0 - mu) / (1.0 - product)
        numbers["mean_factor"] = (-lr * mu_next) / (1.0 - product * mu_next)
        numbers["correction"] = 1 - beta2 ** count
        if decoupled_decay != 0:
            numbers["shrink"] = 1 - lr * decoupled_decay


def _product(product: float, mu: float, dtype: dt.dtype) -> float:
    """``product * mu`` as a tensor of this dtype computes it."""
    if dtype is dt.float64:
        return product * mu
    return rounded(rounded(product * rounded(mu, dt.float32), dt.float32), dtype)
