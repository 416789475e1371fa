"""The functions of the layers below that updates are made of."""

from __future__ import annotations

from ..ir.api import API
from ..ops.prim.binary import maximum as maximum
from ..ops.prim.elementwise import where as where
from ..ops.prim.join import cat as cat
from ..tensor import Tensor
from ..tensor.convert import as_tensor as as_tensor
from ..tensor.convert import tensor as tensor
from ..tensor.creation import full_like as full_like
from ..tensor.creation import ones as ones
from ..tensor.creation import zeros_like as zeros_like
from ..tensor.follow import one_operation as one_operation
from ..tensor.steps import Private as Private


def view_as_real(x: Tensor) -> Tensor:
    """A complex tensor's memory as pairs of numbers."""
    return _function("view_as_real")(x)


def view_as_complex(x: Tensor) -> Tensor:
    """Pairs of numbers as a complex tensor over the same memory."""
    return _function("view_as_complex")(x)


def _function(name: str):
    found = API.get(name)
    if found is None:
        raise NotImplementedError(f"optimizing complex parameters needs torch.{name}, which is "
                                  "not there yet")
    return found.function


def add_scaled_(x: Tensor, y: Tensor, factor) -> None:
    """``x += factor * y``, where the factor may be a tensor that wants a gradient."""
    if isinstance(factor, Tensor):
        x.addcmul_(y, factor)
    else:
        x.add_(y, alpha=factor)


def add_quotient_(x: Tensor, y: Tensor, z: Tensor, factor) -> None:
    """``x += factor * y / z``, where the factor may be a tensor that wants a gradient."""
    if isinstance(factor, Tensor):
        x.addcdiv_(y * factor, z)
    else:
        x.addcdiv_(y, z, value=factor)


def set_(x: Tensor, number: float, finite: Tensor) -> None:
    """``x.fill_(number)`` as a computation (``finite`` is any 0-d tensor that is not NaN), so that
    the trace follower finds the number's place in a plan."""
    x.masked_fill_(finite == finite, number)
