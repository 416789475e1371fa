"""Gradient clipping."""

from __future__ import annotations

import types
import warnings

from ...tensor.follow import one_operation
from ..core import Tensor, no_grad, stack, tensor, vector_norm


def _listed(tensors) -> list:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


@no_grad()
def _norm(tensors, norm_type: float) -> Tensor:
    norms = [vector_norm(t, norm_type) for t in tensors]
    device, dtype = norms[0].device, norms[0].dtype
    norms = [n if n.device == device and n.dtype is dtype else n.to(device) for n in norms]
    return vector_norm(stack(norms), norm_type)


@no_grad()
def _scale(grads, total_norm: Tensor, *, max_norm: float) -> None:
    factor = (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
    for grad in grads:
        grad.mul_(factor if grad.device == factor.device else factor.to(grad.device))


@no_grad()
def _clamp(grads, limit: float) -> None:
    for grad in grads:
        grad.clamp_(min=-limit, max=limit)


# each is one call to the trace follower, however many gradients there are
_norm = one_operation(_norm)
_scale = one_operation(_scale, ("max_norm",))
_clamp = one_operation(_clamp)


def _grads_of(parameters) -> list[Tensor]:
    return [p.grad for p in _listed(parameters) if p.grad is not None]


@no_grad()
def get_total_norm(tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False,
                   foreach: bool | None = None) -> Tensor:
    """The norm of all tensors together, as if they were one vector.

    Raises:
        RuntimeError: it is not finite, and ``error_if_nonfinite`` is set.
    """
    tensors = _listed(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return tensor(0.0)
    total = _norm(tensors, norm_type)
    if error_if_nonfinite and bool(total.isnan() | total.isinf()):
        raise RuntimeError(f"The total norm of order {norm_type} for gradients from `parameters` is"
                           " non-finite, so it cannot be clipped. To disable this error and scale "
                           "the gradients by the non-finite norm anyway, set "
                           "`error_if_nonfinite=False`")
    return total


def clip_grads_with_norm_(parameters, max_norm: float, total_norm: Tensor,
                          foreach: bool | None = None) -> None:
    """Scale the gradients by max_norm / total_norm where that is below 1, in place."""
    grads = _grads_of(parameters)
    if grads:
        _scale(grads, total_norm, max_norm=float(max_norm))


def clip_grad_norm_(parameters, max_norm: float, norm_type: float = 2.0,
                    error_if_nonfinite: bool = False, foreach: bool | None = None) -> Tensor:
    """Scale all gradients, in place, so that their norm together is at most ``max_norm``.

    Args:
        parameters: tensors with gradients, or one tensor.
        norm_type: the p of the norm; may be inf.

    Returns:
        The norm before clipping.
    """
    generated = isinstance(parameters, types.GeneratorType)
    parameters = _listed(parameters)
    if generated and not parameters:
        warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.",
                      stacklevel=2)
    grads = _grads_of(parameters)
    total = get_total_norm(grads, norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(parameters, max_norm, total, foreach)
    return total


def clip_grad_norm(parameters, max_norm: float, norm_type: float = 2.0,
                   error_if_nonfinite: bool = False, foreach: bool | None = None) -> Tensor:
    """The older name of :func:`clip_grad_norm_`."""
    warnings.warn("`torch.nn.utils.clip_grad_norm` is now deprecated in favor of "
                  "`torch.nn.utils.clip_grad_norm_`.", FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(parameters, clip_value: float, foreach: bool | None = None) -> None:
    """Keep every element of the gradients within [-clip_value, clip_value], in place."""
    grads = _grads_of(parameters)
    if grads:
        _clamp(grads, float(clip_value))
