"""Averaged stochastic gradient descent."""

from __future__ import annotations

from .algorithm import Algorithm, check_lr, check_not_negative, scalar, step_tensor
from .functions import as_tensor, ones, view_as_real, zeros_like


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

    def update(self, group, found):
        """``p = (1 - lambd eta) p - eta g``; ``ax += mu (p - ax)``."""
        counts = self.counted(found)
        lr, lambd = scalar(group["lr"]), group["lambd"]
        rows = zip(found.params, found.grads, *found.lists, counts, strict=True)
        for param, grad, average, mu, eta, step, count in rows:
            step.add_(1)
            if group["maximize"]:
                grad = -grad
            if param.is_complex():
                param, grad, average = map(view_as_real, (param, grad, average))
            if group["weight_decay"] != 0:
                grad = grad.add(param, alpha=group["weight_decay"])
            rate = eta.item()
            param.mul_(1 - lambd * rate)
            param.add_(grad, alpha=-rate)
            if mu.item() != 1:
                average.add_(param.sub(average).mul_(mu))
            else:
                average.copy_(param)
            # PyTorch's foreach form computes the rate in the precision of the step number
            time = step if group["foreach"] else count
            eta.copy_(as_tensor(lr / ((1 + lambd * lr * time) ** group["alpha"])))
            mu.fill_(1 / max(1, count - group["t0"]))
