"""Functions of nn.functional that are made of others and drawn or assembled here."""

from __future__ import annotations

import math
import warnings

from . import functional as F
from .core import Tensor, empty_like, zeros_like


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10,
                   dim: int = -1) -> Tensor:
    """softmax((logits + g) / tau) with g from the Gumbel distribution.

    Args:
        tau: temperature.
        hard: one-hot results, with the gradient of the soft ones.
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    noise = -empty_like(logits).exponential_().log()
    soft = F.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    return zeros_like(logits).scatter_(dim, index, 1.0) - soft.detach() + soft


def _check_linear(input, weight, target, bias, ignore_index) -> None:
    """Raise RuntimeError where the sizes of linear_cross_entropy's operands do not fit."""
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if weight.dim() < 2:
        raise RuntimeError("expected linear_weight with dimensionality at least 2, got "
                           f"{weight.dim()}")
    if input.shape[-1] != weight.shape[-1]:
        raise RuntimeError("expected equal input and linear_weight last dimensions (in_features), "
                           f"got {input.shape[-1]} and {weight.shape[-1]}, respectively")
    shape = tuple(weight.shape[:-1])
    if bias is not None and tuple(bias.shape) != shape:
        raise RuntimeError(f"expected linear_bias shape {shape}, got {tuple(bias.shape)}")
    if len(shape) > 1 and input.dim() == 1:
        raise RuntimeError("K-dimensional loss defined by linear_weight shape "
                           f"{tuple(weight.shape)} requires batched input, "
                           f"(N, {input.shape[-1]}), got unbatched input with shape "
                           f"{tuple(input.shape)}")
    if tuple(target.shape) == (*input.shape[:-1], *shape) and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")


def linear_cross_entropy(input: Tensor, linear_weight: Tensor, target: Tensor, *,
                         linear_bias: Tensor | None = None, weight: Tensor | None = None,
                         reduction: str = "mean", ignore_index: int | None = None,
                         label_smoothing: float = 0.0, options=None) -> Tensor:
    """cross_entropy(linear(input, linear_weight, linear_bias), target).

    Shapes: input (N, in_features) or (in_features), linear_weight (C, *, in_features), target
    (N, *) classes or (N, C, *) probabilities.

    Args:
        options: accepted; the fused kernels need no choice of chunks.
    """
    _check_linear(input, linear_weight, target, linear_bias, ignore_index)
    shape = linear_weight.shape[:-1]
    if len(shape) > 1:
        rows = math.prod(shape)
        linear_weight = linear_weight.reshape(rows, linear_weight.size(-1))
        linear_bias = None if linear_bias is None else linear_bias.reshape(rows)
    logits = F.linear(input, linear_weight, linear_bias)
    if len(shape) > 1:
        logits = logits.unflatten(-1, tuple(shape))
    return F.cross_entropy(logits, target, weight=weight, reduction=reduction,
                           ignore_index=-100 if ignore_index is None else ignore_index,
                           label_smoothing=label_smoothing)


def relu_(input: Tensor) -> Tensor:
    """max(0, x), in place."""
    return F.relu(input, inplace=True)


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3,
           training: bool = False) -> Tensor:
    """F.rrelu, in place."""
    return F.rrelu(input, lower, upper, training, inplace=True)
