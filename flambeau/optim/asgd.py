"""Averaged stochastic gradient descent."""

from __future__ import annotations

from ..base import dtype as dt
from .algorithm import (
    Algorithm,
    check_lr,
    check_not_negative,
    rounded,
    scalar,
    step_tensor,
)
from .functions import one_operation, ones, set_, view_as_real, zeros_like


def _update(grads, params, averages, mus, etas, steps, options, *, shrink, step_size, mu, next_mu,
            next_eta) -> None:
    """``p = (1 - lambd eta) p - eta g``; ``ax += mu (p - ax)``; a ``mu`` of 1 is None."""
    weight_decay, maximize = options
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        average = averages[i]
        steps[i].add_(1)
        if param.is_complex():
            param, grad, average = map(view_as_real, (param, grad, average))
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        param.mul_(shrink)
        param.add_(grad, alpha=step_size)
        if mu is not None:
            average.add_(param.sub(average).mul_(mu))
        else:
            average.copy_(param)
        set_(etas[i], next_eta, steps[i])
        set_(mus[i], next_mu, steps[i])


class ASGD(Algorithm):
    """Gradient descent whose iterates are averaged in ``state[p]["ax"]`` (Polyak, Juditsky).

    Args:
        params: tensors or parameter groups.
        lr: learning rate at the start.
        lambd: decay of the parameters.
        alpha: power by which the rate falls: ``lr / (1 + lambd lr t)**alpha``.
        t0: the step at which averaging starts.
        weight_decay: adds ``weight_decay * p`` to the gradient.
        foreach, capturable: accepted.
        maximize: climb instead of descend.
        differentiable: gradients flow through the step.
    """

    STATE = ("ax", "mu", "eta", "step")
    KNOWN = ("step", "mu", "eta")
    OPTIONS = ("lambd", "alpha", "t0", "weight_decay", "foreach", "maximize")
    operation = staticmethod(one_operation(_update, (
        "shrink", "step_size", "mu", "next_mu", "next_eta")))

    def __init__(self, params, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0,
                 foreach=None, maximize=False, differentiable=False, capturable=False):
        check_lr(lr)
        check_not_negative("weight_decay", weight_decay)
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
            "capturable": capturable})

    def initial_state(self, param, group):
        """An average of zero; the rate and the weight of the next iterate as tensors."""
        step = step_tensor()
        return {"step": step, "eta": ones((), dtype=step.dtype) * scalar(group["lr"]),
                "mu": ones((), dtype=step.dtype), "ax": zeros_like(param)}

    def settings(self, group):
        """ASGD's constants."""
        lambd, alpha, t0, weight_decay, foreach, maximize = self._options_of(group)
        return (weight_decay, maximize), {}, (lambd, alpha, t0, foreach)

    def kind(self, param, state, group):
        """The dtypes in which the weight and the rate of the next iterate are kept."""
        return state["mu"].dtype, state["eta"].dtype

    def numbers(self, numbers, lr, cohort, constants):
        """This step's rate and weight, and the next one's."""
        lambd, alpha, t0, foreach = constants
        count, mu, rate = cohort.known
        count += 1.0
        numbers["shrink"], numbers["step_size"] = 1 - lambd * rate, -rate
        numbers["mu"] = None if mu == 1 else mu
        mu_dtype, rate_dtype = cohort.kind
        # PyTorch's foreach form computes the rate in the precision of the step number
        exact = dt.get_default_dtype()
        pace = lambd * float(lr)
        if foreach:
            base = rounded(1 + rounded(rounded(pace, exact) * count, exact), exact)
            inverse = rounded(1 / rounded(base ** alpha, exact), exact)
            rate = inverse * rounded(float(lr), exact)
        else:
            rate = float(lr) / ((1 + pace * count) ** alpha)
        mu = rounded(1 / max(1, count - t0), mu_dtype)
        rate = rounded(rounded(rate, exact), rate_dtype)
        cohort.known = [count, mu, rate]
        numbers["next_mu"], numbers["next_eta"] = mu, rate
