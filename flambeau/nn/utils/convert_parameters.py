"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ..core import Tensor, cat


def _one_device(param: Tensor, device):
    if device is not None and param.device != device:
        raise TypeError("Found two parameters on different devices, this is currently not "
                        f"supported: {device} and {param.device}.")
    return param.device


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, flattened, one after the other."""
    device, flat = None, []
    for param in parameters:
        device = _one_device(param, device)
        flat.append(param.view(-1))
    return cat(flat)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make the parameters views of the pieces of ``vec``.

    Raises:
        TypeError: ``vec`` is not a tensor.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    device, at = None, 0
    for param in parameters:
        device = _one_device(param, device)
        size = param.numel()
        param.data = vec[at:at + size].view_as(param).data
        at += size
