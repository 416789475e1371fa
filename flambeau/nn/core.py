"""What nn uses of the layers below, in one place."""

from __future__ import annotations

from ..autograd.modes import is_grad_enabled as is_grad_enabled
from ..autograd.modes import no_grad as no_grad
from ..autograd.tape import RemovableHandle as RemovableHandle
from ..base.dtype import bool_ as bool_
from ..base.dtype import float32 as float32
from ..base.dtype import float64 as float64
from ..base.dtype import int64 as int64
from ..ir import autocast
from ..ir.api import API
from ..ops.prim.recurrence import recurrence as _recurrence
from ..tensor import Tensor as Tensor
from ..tensor import factories
from ..tensor.function import Function as Function
from ..tensor.methods import callable_as, with_out

_made = factories.namespace()
arange, as_tensor, empty, empty_like, eye, full = (
    _made[n] for n in ("arange", "as_tensor", "empty", "empty_like", "eye", "full"))
ones, ones_like, rand_like, randn, randperm = (
    _made[n] for n in ("ones", "ones_like", "rand_like", "randn", "randperm"))
tensor, zeros, zeros_like = (_made[n] for n in ("tensor", "zeros", "zeros_like"))


def public(*names: str):
    """The function of the registry under the first of these names it has, as programs call it.

    What the registry lacks raises NotImplementedError when it is called.
    """
    for name in names:
        if name in API:
            return with_out(API[name].function, API[name])

    def missing(*args, **kwargs):
        raise NotImplementedError(f"{names[0]} is not implemented")

    return missing


cat, stack, bmm, baddbmm, topk = (public(n) for n in ("cat", "stack", "bmm", "baddbmm", "topk"))
recurrence = callable_as(_recurrence)
vector_norm = public("linalg.vector_norm", "vector_norm")
norm_except_dim, weight_norm = public("norm_except_dim"), public("_weight_norm")
linalg_qr, linalg_solve = public("linalg.qr", "qr"), public("linalg.solve", "solve")
matrix_exp, geqrf = public("matrix_exp", "linalg.matrix_exp"), public("geqrf")
householder_product = public("linalg.householder_product", "householder_product")


def is_autocast_on() -> bool:
    """Whether this thread computes in mixed precision."""
    return autocast.state.dtype is not None


def make_subclass(cls, data: Tensor, requires_grad: bool) -> Tensor:
    """A tensor of class ``cls`` on the memory of ``data``, as a leaf."""
    result = object.__new__(cls)
    result.data = data
    if requires_grad:
        result.requires_grad_(True)
    return result
