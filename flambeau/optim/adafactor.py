"""Adafactor."""

from __future__ import annotations

import ml_dtypes

from ..tensor import Tensor
from .algorithm import Algorithm, scalar, step_tensor
from .functions import zeros_like


class Adafactor(Algorithm):
    """Adam-like steps whose mean squares are kept as a row and a column (Shazeer and Stern).

    Args:
        params: tensors or parameter groups; real ones.
        lr: largest relative step size, and the rate of weight decay.
        beta2_decay: power by which the mean squares' decay rate approaches 1.
        eps: (smallest root of a mean square, None for the dtype's epsilon; smallest scale of a
            parameter).
        d: steps whose root mean square is larger are scaled down.
        weight_decay: shrink the parameters by ``lr * weight_decay`` in every step.
        foreach: accepted.
        maximize: climb instead of descend.
    """

    STATE = ("row_var", "col_var", "variance", "step")

    def __init__(self, params, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0,
                 weight_decay=0.0, *, foreach=None, maximize=False):
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        for text, good in (
                (f"Learning rate should be >= 0 but is: {lr}", 0.0 <= lr),
                (f"beta2_decay should be <= 0 but is: {beta2_decay}", beta2_decay <= 0.0),
                (f"epsilon1 should be >= 0 but is: {eps[0]}", eps[0] is None or 0.0 <= eps[0]),
                (f"epsilon2 should be >= 0 but is: {eps[1]}", 0.0 <= eps[1]),
                (f"Clipping threshold d should be >= 1 but is: {d}", 1.0 <= d),
                (f"weight_decay should be >= 0 but is: {weight_decay}", 0.0 <= weight_decay)):
            if not good:
                raise ValueError(text)
        super().__init__(params, {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d,
            "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize})

    def _check_gradient(self, param, grad, group):
        if param.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters")

    def initial_state(self, param, group):
        """Zero mean squares: a row and a column for matrices, all of them for vectors."""
        if param.dim() <= 1:
            return {"step": step_tensor(), "variance": zeros_like(param)}
        *outer, rows, columns = param.shape
        return {"step": step_tensor(), "row_var": param.new_zeros((*outer, rows, 1)),
                "col_var": param.new_zeros((*outer, 1, columns))}

    def update(self, group, found):
        """``p -= max(eps2, rms(p)) min(lr, 1/sqrt(t)) u / max(1, rms(u)/d)``, ``u = g/sqrt(v)``."""
        counts = self.counted(found)
        lr, (eps1, eps2) = scalar(group["lr"]), group["eps"]
        rows = zip(found.params, found.grads, *found.lists, counts, strict=True)
        for param, grad, row, column, variance, step, count in rows:
            step.add_(1)
            if group["maximize"]:
                grad = -grad
            least = float(ml_dtypes.finfo(param.dtype.np).eps) if eps1 is None else eps1
            new_share = count ** group["beta2_decay"]
            size = param.norm(2).item() / (param.numel() ** 0.5)
            rate = max(eps2, size) * min(lr, 1 / (count ** 0.5))
            if group["weight_decay"] != 0:
                param.mul_(1 - lr * group["weight_decay"])
            if grad.dim() > 1:
                for mean, dim in ((row, -1), (column, -2)):
                    new = grad.norm(dim=dim, keepdim=True).square_().div_(grad.size(dim))
                    mean.lerp_(new, new_share)
                square = row @ column
                square.div_(row.mean(dim=-2, keepdim=True).clamp_(min=least))
            else:
                variance.lerp_(grad * grad, new_share)
                square = variance.clone()
            change = square.clamp_(min=least * least).rsqrt_().mul_(grad)
            root = change.norm(2).item() / ((change.numel() ** 0.5) * group["d"])
            param.add_(change, alpha=-rate / max(1.0, root))
