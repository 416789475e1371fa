"""Adagrad."""

from __future__ import annotations

from typing import ClassVar

from .algorithm import (
    Algorithm,
    check_implementation,
    check_lr,
    check_not_negative,
    step_tensor,
)
from .functions import add_quotient_, full_like, one_operation, view_as_real


def _update(grads, params, sums, steps, options, *, step_size) -> None:
    """``s += g**2``; ``p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)``."""
    eps, weight_decay, maximize, differentiable = options
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        total = sums[i]
        steps[i].add_(1)
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        if param.is_complex():
            param, grad, total = map(view_as_real, (param, grad, total))
        total.addcmul_(grad, grad, value=1)
        root = total.sqrt() + eps if differentiable else total.sqrt().add_(eps)
        add_quotient_(param, grad, root, step_size)


class Adagrad(Algorithm):
    """Steps by the gradient over the root of the sum of all squares so far (Duchi et al.).

    Args:
        params: tensors or parameter groups.
        lr: learning rate.
        lr_decay: the rate is ``lr / (1 + (t - 1) * lr_decay)`` in step t.
        weight_decay: adds ``weight_decay * p`` to the gradient.
        initial_accumulator_value: the sum of squares to begin with.
        eps: added to the root.
        foreach, fused: accepted.
        maximize: climb instead of descend.
        differentiable: gradients flow through the step.
    """

    STATE = ("sum", "step")
    KNOWN = ("step",)
    OPTIONS = ("lr_decay", "eps", "weight_decay", "maximize", "differentiable")
    LATER_OPTIONS: ClassVar[dict] = {**Algorithm.LATER_OPTIONS, "fused": None}
    operation = staticmethod(one_operation(_update, ("step_size",)))

    def __init__(self, params, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0,
                 eps=1e-10, foreach=None, *, maximize=False, differentiable=False, fused=None):
        check_lr(lr)
        check_not_negative("lr_decay", lr_decay)
        check_not_negative("weight_decay", weight_decay)
        check_not_negative("initial_accumulator_value", initial_accumulator_value)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "fused": fused})
        check_implementation(foreach, fused, differentiable)
        for group in self.param_groups:  # the state exists before the first step
            for p in group["params"]:
                self._state[p].update(self.initial_state(p, group))

    def initial_state(self, param, group):
        """The sum of squares at its initial value."""
        start = group.get("initial_accumulator_value", self.defaults["initial_accumulator_value"])
        if param.is_complex():
            start = complex(start, start)
        return {"step": step_tensor(), "sum": full_like(param, start)}

    def share_memory(self) -> None:
        """Move the sums of squares to memory that other processes share."""
        for state in self._state.values():
            state["sum"].share_memory_()

    def settings(self, group):
        """Adagrad's constants."""
        lr_decay, *told = self._options_of(group)
        return tuple(told), {}, lr_decay

    def numbers(self, numbers, lr, cohort, lr_decay):
        """The rate, which falls with the number of steps."""
        count = cohort.known[0] = cohort.known[0] + 1.0
        numbers["step_size"] = -(lr / (1 + (count - 1) * lr_decay))
