"""Adadelta."""

from __future__ import annotations

from .algorithm import Algorithm, check_lr, check_not_negative, step_tensor
from .functions import add_scaled_, one_operation, view_as_complex, view_as_real, zeros_like


def _update(grads, params, squares, accs, steps, options, *, step_size) -> None:
    """``d = sqrt(u + eps) / sqrt(s + eps) g``; u and s are mean squares of d and g."""
    rho, eps, weight_decay, maximize, differentiable = options
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        square, acc = squares[i], accs[i]
        steps[i].add_(1)
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        is_complex = param.is_complex()
        if is_complex:
            square, acc, grad = map(view_as_real, (square, acc, grad))
        square.mul_(rho).addcmul_(grad, grad, value=1 - rho)
        root = square.add(eps).sqrt_()
        delta = acc.add(eps).sqrt_()
        if differentiable:
            delta = delta.clone()
        delta.div_(root).mul_(grad)
        acc.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        add_scaled_(param, view_as_complex(delta) if is_complex else delta, step_size)


class Adadelta(Algorithm):
    """Steps whose unit is that of the parameters (Zeiler, ADADELTA).

    Args:
        params: tensors or parameter groups.
        lr: factor on the step.
        rho: decay rate of the mean squares, in [0, 1].
        eps: added below both roots.
        weight_decay: adds ``weight_decay * p`` to the gradient.
        foreach, capturable: accepted.
        maximize: climb instead of descend.
        differentiable: gradients flow through the step.
    """

    STATE = ("square_avg", "acc_delta", "step")
    OPTIONS = ("rho", "eps", "weight_decay", "maximize", "differentiable")
    operation = staticmethod(one_operation(_update, ("step_size",)))

    def __init__(self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, foreach=None, *,
                 capturable=False, maximize=False, differentiable=False):
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_not_negative("weight_decay", weight_decay)
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable})

    def initial_state(self, param, group):
        """Zero means."""
        return {"step": step_tensor(), "square_avg": zeros_like(param),
                "acc_delta": zeros_like(param)}

    def settings(self, group):
        """Adadelta's constants."""
        return self._options_of(group), {}, None

    def numbers(self, numbers, lr, cohort, constants):
        """The step size of this step."""
        numbers["step_size"] = -lr
