"""Rprop."""

from __future__ import annotations

from .algorithm import Algorithm, check_lr, scalar, step_tensor
from .functions import full_like, one_operation, view_as_real, zeros_like


def _update(grads, params, befores, sizes, steps, options) -> None:
    """A changed sign shrinks the step size and skips this step; a kept one lets it grow."""
    (shrink, grow), (low, high), maximize = options
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        before, size = befores[i], sizes[i]
        steps[i].add_(1)
        if param.is_complex():
            param, grad, before, size = map(view_as_real, (param, grad, before, size))
        product = grad.mul(before)
        back = product < 0
        factor = product.sign().masked_fill_(product > 0, grow)
        factor.masked_fill_(back, shrink).masked_fill_(product == 0, 1)
        size.mul_(factor).clamp_(low, high)
        grad = grad.masked_fill(back, 0)
        param.addcmul_(grad.sign(), size, value=-1)
        before.copy_(grad)


class Rprop(Algorithm):
    """Steps by the sign of the gradient; sizes grow while the sign stays (Riedmiller, Braun).

    Args:
        params: tensors or parameter groups.
        lr: the first step size.
        etas: factors on the step size after a change of sign and without one.
        step_sizes: smallest and largest step size.
        foreach, capturable: accepted.
        maximize: climb instead of descend.
        differentiable: gradients flow through the step.
    """

    STATE = ("prev", "step_size", "step")
    OPTIONS = ("etas", "step_sizes", "maximize")
    operation = staticmethod(one_operation(_update))

    def __init__(self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *,
                 capturable=False, foreach=None, maximize=False, differentiable=False):
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable})

    def initial_state(self, param, group):
        """No gradient seen; every step size is the learning rate."""
        size = scalar(group["lr"])
        if param.is_complex():
            size = complex(size, size)
        return {"step": step_tensor(), "prev": zeros_like(param),
                "step_size": full_like(param, size)}

    def settings(self, group):
        """Rprop's constants."""
        return self._options_of(group), {}, None
