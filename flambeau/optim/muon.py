"""Muon."""

from __future__ import annotations

import math

from ..tensor import Tensor
from .algorithm import Algorithm, scalar
from .functions import zeros_like


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

    def update(self, group, found):
        """``m = lerp(m, g, 1 - momentum)``; ``p -= rate * orthogonal(m)``."""
        lr, momentum = scalar(group["lr"]), group["momentum"]
        for param, grad, buffer in zip(found.params, found.grads, found.lists[0], strict=True):
            buffer.lerp_(grad, 1 - momentum)
            change = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
            change = orthogonal(change, group["ns_coefficients"], group["ns_steps"], group["eps"])
            param.mul_(1 - lr * group["weight_decay"])
            param.add_(change, alpha=-lr * _rate_factor(group["adjust_lr_fn"], *param.shape))


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
