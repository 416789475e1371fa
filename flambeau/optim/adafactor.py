"""Adafactor."""

from __future__ import annotations

import ml_dtypes

from ..tensor import Tensor
from .algorithm import Algorithm, end_weighs_more, step_tensor
from .functions import one_operation, where, zeros_like


def _update(grads, params, rows, columns, variances, steps, options, *, rate, shrink, new_share,
            mostly_new) -> None:
    """``p -= max(eps2, rms(p)) min(lr, 1/sqrt(t)) u / max(1, rms(u)/d)``, ``u = g/sqrt(v)``.

    ``rate`` is the minimum. The root mean squares are 0-d float64 tensors, since PyTorch makes
    Python numbers of them. ``mostly_new`` goes with ``new_share``, see :func:`end_weighs_more`.
    """
    eps1, eps2, d, maximize = options
    for i, param in enumerate(params):
        grad = -grads[i] if maximize else grads[i]
        steps[i].add_(1)
        least = float(ml_dtypes.finfo(param.dtype.np).eps) if eps1 is None else eps1
        size = param.norm(2).double() / (param.numel() ** 0.5)
        scale = where(size > eps2, size, eps2) * rate
        if shrink is not None:
            param.mul_(shrink)
        if grad.dim() > 1:
            for mean, dim in ((rows[i], -1), (columns[i], -2)):
                new = grad.norm(dim=dim, keepdim=True).square_().div_(grad.size(dim))
                mean.lerp_(new, new_share)
            square = rows[i] @ columns[i]
            square.div_(rows[i].mean(dim=-2, keepdim=True).clamp_(min=least))
        else:
            variances[i].lerp_(grad * grad, new_share)
            square = variances[i].clone()
        change = square.clamp_(min=least * least).rsqrt_().mul_(grad)
        root = change.norm(2).double() / ((change.numel() ** 0.5) * d)
        param.add_(change * (-scale / where(root > 1.0, root, 1.0)))


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
    KNOWN = ("step",)
    OPTIONS = ("beta2_decay", "eps", "d", "weight_decay", "maximize")
    operation = staticmethod(one_operation(_update, ("rate", "shrink", "new_share")))

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

    def settings(self, group):
        """Adafactor's constants."""
        beta2_decay, eps, d, weight_decay, maximize = self._options_of(group)
        return (*eps, d, maximize), {"shrink": None}, (beta2_decay, weight_decay)

    def numbers(self, numbers, lr, cohort, constants):
        """The largest rate, and the share of the new mean squares."""
        beta2_decay, weight_decay = constants
        count = cohort.known[0] = cohort.known[0] + 1.0
        numbers["rate"] = min(lr, 1 / (count ** 0.5))
        share = numbers["new_share"] = count ** beta2_decay
        numbers["mostly_new"] = end_weighs_more(share)
        if weight_decay != 0:
            numbers["shrink"] = 1 - lr * weight_decay
