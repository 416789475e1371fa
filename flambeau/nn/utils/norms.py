"""What weight and spectral normalisation, old and as parametrizations, share."""

from __future__ import annotations

from .. import functional as F
from ..core import Tensor, no_grad


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight as a matrix whose rows are along ``dim``."""
    if dim != 0:
        weight = weight.permute(dim, *(d for d in range(weight.dim()) if d != dim))
    return weight.flatten(1)


def power_method(matrix: Tensor, u: Tensor, v: Tensor, steps: int, eps: float, *,
                 v_first: bool = False) -> None:
    """Move ``u`` and ``v``, in place, towards the first singular vectors."""
    with no_grad():
        for _ in range(steps):
            if v_first:
                v.copy_(F.normalize(matrix.t().mv(u), dim=0, eps=eps))
            u.copy_(F.normalize(matrix.mv(v), dim=0, eps=eps))
            if not v_first:
                v.copy_(F.normalize(matrix.t().mv(u), dim=0, eps=eps))


def random_unit(matrix: Tensor, size: int, eps: float) -> Tensor:
    """A random direction."""
    with no_grad():
        return F.normalize(matrix.new_empty(size).normal_(0, 1), dim=0, eps=eps)
