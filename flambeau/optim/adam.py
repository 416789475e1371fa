"""Adam."""

from __future__ import annotations

from typing import ClassVar

from ..tensor import Tensor
from .algorithm import (
    Algorithm,
    check_betas,
    check_implementation,
    check_lr,
    check_not_negative,
    end_weighs_more,
    scalar,
    step_tensor,
)
from .functions import add_quotient_, maximum, one_operation, view_as_real, zeros_like


def _update(grads, params, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps, options, *, step_size,
            root, shrink, share) -> None:
    """Adam's step: ``m = lerp(m, g, 1 - beta1)``; ``v = beta2 v + (1 - beta2) g**2``;
    ``p -= lr / (1 - beta1**t) m / (sqrt(v) / sqrt(1 - beta2**t) + eps)``.

    ``step_size`` is the negative factor of m, ``root`` the inner divisor; ``shrink`` is the factor
    of decoupled weight decay or None.
    """
    beta2, eps, weight_decay, amsgrad, maximize, _ = options
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        exp_avg, exp_avg_sq = exp_avgs[i], exp_avg_sqs[i]
        steps[i].add_(1)
        if shrink is not None:
            param.mul_(shrink)
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        highest = max_exp_avg_sqs[i] if amsgrad else None
        if param.is_complex():
            param, grad, exp_avg, exp_avg_sq = map(
                view_as_real, (param, grad, exp_avg, exp_avg_sq))
            highest = view_as_real(highest) if amsgrad else None
        exp_avg.lerp_(grad, share)
        exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        second = exp_avg_sq
        if highest is not None:
            second = highest.copy_(maximum(highest, exp_avg_sq))
        denom = (second.sqrt() / root).add_(eps)
        add_quotient_(param, exp_avg, denom, step_size)


_update = one_operation(_update, ("step_size", "root", "shrink", "share"))


def _settings(beta1, beta2, eps, weight_decay, decoupled, amsgrad, maximize) -> tuple:
    """See :meth:`Algorithm.settings`."""
    share = 1 - beta1
    told = (beta2, eps, 0 if decoupled else weight_decay, amsgrad, maximize,
            end_weighs_more(share))
    return told, {"share": share, "shrink": None}, (
        beta1, beta2, weight_decay if decoupled else 0)


def _set_numbers(numbers: dict, lr, count: float, constants: tuple) -> None:
    beta1, beta2, decoupled_decay = constants
    numbers["step_size"] = -(lr / (1 - beta1 ** count))
    numbers["root"] = (1 - beta2 ** count) ** 0.5
    if decoupled_decay != 0:
        numbers["shrink"] = 1 - lr * decoupled_decay


class Adam(Algorithm):
    """Adam: steps by the mean of the gradients over the root of their mean square.

    Formula: Kingma and Ba, Adam: A Method for Stochastic Optimization.

    Args:
        params: tensors or parameter groups.
        lr: learning rate.
        betas: decay rates of the two running means.
        eps: added to the root.
        weight_decay: adds ``weight_decay * p`` to the gradient.
        amsgrad: divide by the largest root so far.
        foreach, fused, capturable: accepted; the update is one operation in any case.
        maximize: climb instead of descend.
        differentiable: gradients flow through the step.
        decoupled_weight_decay: shrink the parameters instead (AdamW).
    """

    STATE = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")
    KNOWN = ("step",)
    OPTIONS = ("betas", "eps", "weight_decay", "decoupled_weight_decay", "amsgrad", "maximize")
    LATER_OPTIONS: ClassVar[dict] = {**Algorithm.LATER_OPTIONS, "amsgrad": False, "fused": None,
                     "decoupled_weight_decay": False}
    operation = staticmethod(_update)

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 amsgrad=False, *, foreach=None, maximize=False, capturable=False,
                 differentiable=False, fused=None, decoupled_weight_decay=False):
        check_lr(lr, foreach=foreach, capturable=capturable)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check_not_negative("weight_decay", weight_decay)
        _check_beta_types(betas, foreach and not capturable)
        super().__init__(params, {
            "lr": lr, "betas": tuple(map(scalar, betas)), "eps": eps,
            "weight_decay": weight_decay, "amsgrad": amsgrad, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay})
        check_implementation(foreach, fused, differentiable)

    def initial_state(self, param, group):
        """Zero means and a step number of zero."""
        state = {"step": step_tensor(), "exp_avg": zeros_like(param),
                 "exp_avg_sq": zeros_like(param)}
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_like(param)
        return state

    def settings(self, group):
        """Adam's constants; the decay of the parameters depends on the learning rate."""
        (beta1, beta2), *others = self._options_of(group)
        return _settings(scalar(beta1), scalar(beta2), *others)

    def numbers(self, numbers, lr, cohort, constants):
        """The step size and the corrections of the means for this step."""
        count = cohort.known[0] = cohort.known[0] + 1.0
        _set_numbers(numbers, lr, count, constants)


def _check_beta_types(betas, no_tensors: bool) -> None:
    """Both betas are floats, or both one-element tensors."""
    tensors = [isinstance(b, Tensor) for b in betas]
    if not all(tensors) and not all(isinstance(b, float) for b in betas):
        raise ValueError("betas must be either both floats or both Tensors")
    for i, beta in enumerate(betas):
        if tensors[i]:
            if no_tensors:
                raise ValueError(f"betas[{i}] as a Tensor is not supported for capturable=False "
                                 "and foreach=True")
            if beta.numel() != 1:
                raise ValueError(f"Tensor betas[{i}] must be 1-element")


def adam(params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, foreach=None,
         capturable=False, differentiable=False, fused=None, grad_scale=None, found_inf=None,
         has_complex=False, decoupled_weight_decay=False, *, amsgrad, beta1, beta2, lr,
         weight_decay, eps, maximize) -> None:
    """PyTorch's functional form of :class:`Adam`: changes the parameters in place."""
    if grad_scale is not None or found_inf is not None:
        raise NotImplementedError("adam(): grad_scale and found_inf")
    told, numbers, constants = _settings(scalar(beta1), scalar(beta2), eps, weight_decay,
                                         decoupled_weight_decay, amsgrad, maximize)
    lists = [grads, params, exp_avgs, exp_avg_sqs, max_exp_avg_sqs if amsgrad else (), state_steps]
    counts = [float(s) + 1 for s in state_steps]
    for count in dict.fromkeys(counts):
        _set_numbers(numbers, scalar(lr), count, constants)
        chosen = [i for i, c in enumerate(counts) if c == count]
        _update(*[[x[i] for i in chosen] if len(x) else () for x in lists], told, **numbers)
