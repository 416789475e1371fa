"""What nn uses of the layers below, in one place."""

from __future__ import annotations

from ..autograd.modes import is_grad_enabled as is_grad_enabled
from ..autograd.modes import no_grad as no_grad
from ..autograd.tape import RemovableHandle as RemovableHandle
from ..base.dtype import bool_ as bool_
from ..base.dtype import int64 as int64
from ..ir.api import API
from ..tensor import Tensor as Tensor
from ..tensor import factories
from ..tensor.function import Function as Function
from ..tensor.methods import with_out

_made = factories.namespace()
arange, as_tensor, empty, empty_like = (_made[n] for n in ("arange", "as_tensor", "empty",
                                                           "empty_like"))
full, ones, randn, randperm = (_made[n] for n in ("full", "ones", "randn", "randperm"))
tensor, zeros = _made["tensor"], _made["zeros"]


def public(name: str):
    """The function of the registry, as programs call it."""
    return with_out(API[name].function, API[name])


cat, stack, bmm, baddbmm = (public(n) for n in ("cat", "stack", "bmm", "baddbmm"))


def linalg_qr(a: Tensor):
    """Q and R of the QR decomposition."""
    return public("linalg.qr")(a)


def make_subclass(cls, data: Tensor, requires_grad: bool) -> Tensor:
    """A tensor of class ``cls`` on the memory of ``data``, as a leaf."""
    result = object.__new__(cls)
    result.data = data
    if requires_grad:
        result.requires_grad_(True)
    return result
