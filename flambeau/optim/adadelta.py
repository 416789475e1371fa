"""Adadelta."""

from __future__ import annotations

from .algorithm import Algorithm, check_lr, check_not_negative, scalar, step_tensor
from .functions import view_as_complex, view_as_real, zeros_like


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

    def update(self, group, found):
        """``d = sqrt(u + eps) / sqrt(s + eps) g``; u and s are mean squares of d and g."""
        self.counted(found)
        lr, rho, eps = scalar(group["lr"]), group["rho"], group["eps"]
        rows = zip(found.params, found.grads, *found.lists, strict=True)
        for param, grad, square, acc, step in rows:
            step.add_(1)
            if group["maximize"]:
                grad = -grad
            if group["weight_decay"] != 0:
                grad = grad.add(param, alpha=group["weight_decay"])
            is_complex = param.is_complex()
            if is_complex:
                square, acc, grad = map(view_as_real, (square, acc, grad))
            square.mul_(rho).addcmul_(grad, grad, value=1 - rho)
            root = square.add(eps).sqrt_()
            delta = acc.add(eps).sqrt_()
            if group["differentiable"]:
                delta = delta.clone()
            delta.div_(root).mul_(grad)
            acc.mul_(rho).addcmul_(delta, delta, value=1 - rho)
            param.add_(view_as_complex(delta) if is_complex else delta, alpha=-lr)
