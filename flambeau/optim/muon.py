"""Muon."""

from __future__ import annotations

import math

from ..tensor import Tensor
from .algorithm import Algorithm, end_weighs_more
from .functions import add_scaled_, one_operation, zeros_like


def _update(grads, params, buffers, options, *, step_size, shrink, momentum, share) -> None:
    """``m = lerp(m, g, 1 - momentum)``; ``p -= rate * orthogonal(m)``."""
    coefficients, steps, eps, nesterov, *_ = options
    for param, grad, buffer in zip(params, grads, buffers, strict=True):
        buffer.lerp_(grad, share)
        change = grad.lerp(buffer, momentum) if nesterov else buffer
        change = orthogonal(change, coefficients, steps, eps)
        param.mul_(shrink)
        add_scaled_(param, change, step_size)


class Muon(Algorithm):
    """Momentum whose matrices are made orthogonal before they are applied (Jordan et al.).

    Args:
        params: matrices or parameter groups of them.
        lr: learning rate.
        weight_decay: shrink the parameters by ``lr * weight_decay`` in every step.
        momentum: share of the old momentum that is kept.
        nesterov: look ahead along the momentum.
        ns_coefficients: the polynomial ``a x + b x**3 + c x**5`` of one Newton-Schulz iteration.
        eps: smallest norm to divide by.
        ns_steps: how many iterations.
        adjust_lr_fn: "original" (the default) scales the rate by ``sqrt(max(1, rows / columns))``,
            "match_rms_adamw" by ``0.2 sqrt(max(rows, columns))``.
    """

    STATE = ("momentum_buffer",)
    OPTIONS = ("momentum", "weight_decay", "ns_coefficients", "ns_steps", "eps", "nesterov",
               "adjust_lr_fn")
    operation = staticmethod(one_operation(_update, (
        "step_size", "shrink", "momentum", "share")))

    def __init__(self, params, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True,
                 ns_coefficients=(3.4445, -4.7750, 2.0315), eps=1e-7, ns_steps=5,
                 adjust_lr_fn=None):
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        for what, value in (("Learning rate", lr), ("momentum", momentum),
                            ("weight decay", weight_decay)):
            if not 0.0 <= value:
                raise ValueError(f"{what} should be >= 0 but is: {value}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(params, {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn})
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError("Muon only supports 2D parameters whereas we found a "
                                     f"parameter with size: {p.size()}")

    def _check_gradient(self, param, grad, group):
        if param.is_complex():
            raise RuntimeError("Muon does not support complex parameters")

    def initial_state(self, param, group):
        """No momentum."""
        return {"momentum_buffer": zeros_like(param)}

    def settings(self, group):
        """Muon's constants."""
        momentum, weight_decay, coefficients, *told, _ = self._options_of(group)
        share = 1 - momentum
        numbers = {"share": share, "momentum": momentum if group["nesterov"] else None}
        return (coefficients, *told, end_weighs_more(share),
                end_weighs_more(momentum)), numbers, weight_decay

    def kind(self, param, state, group):
        """The factor of the learning rate that the matrix's shape gives."""
        return _rate_factor(group["adjust_lr_fn"], *param.shape)

    def numbers(self, numbers, lr, cohort, weight_decay):
        """The step size of this step, and what decay leaves."""
        numbers["step_size"] = -lr * cohort.kind
        numbers["shrink"] = 1 - lr * weight_decay


def _rate_factor(name: str | None, rows: int, columns: int) -> float:
    if name == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))


def orthogonal(matrix: Tensor, coefficients, steps: int, eps: float) -> Tensor:
    """Roughly the nearest matrix with orthonormal rows or columns, in bfloat16 precision.

    Each iteration replaces every singular value x (of the matrix divided by its norm) by
    ``a x + b x**3 + c x**5``, which drives them towards 1.

    Raises:
        ValueError: not a matrix, 100 iterations or more, or not three coefficients.
    """
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if matrix.ndim != 2:
        raise ValueError("Input tensor gradient must be a 2D matrix")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = matrix.size(0) > matrix.size(1)
    x = _rounded(matrix.T if tall else matrix)
    x = _rounded(x.div(_rounded(x.norm()).clamp(min=eps)))
    for _ in range(steps):
        gram = _rounded(x @ x.T)
        x = _rounded(a * x + _rounded(b * gram + c * (gram @ gram)) @ x)
    return x.T if tall else x


def _rounded(x: Tensor) -> Tensor:
    """float32 numbers that bfloat16 can hold: products are summed in float32, as PyTorch does."""
    return x.bfloat16().float()
