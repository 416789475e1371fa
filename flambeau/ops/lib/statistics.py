"""Norms and summaries that are compositions of other functions."""

from __future__ import annotations

from ...base import dtype as dt
from ...ir.api import api
from ..prim.statistics import vector_norm


@api(method=True, out=1,
     cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), 1, 1), t.call(t.f(2, 3), 3, 0, True)])
def norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    """Vector norm of order ``p`` over ``dim`` (all when None); "fro" is order 2.

    Raises:
        RuntimeError: a tensor of integers, or an unknown order.
    """
    if input.dtype.category < dt.dtype.FLOAT and dtype is None:
        raise RuntimeError("linalg.vector_norm: Expected a floating point or complex tensor as "
                           f"input. Got {input.dtype}")
    if isinstance(p, str):
        if p == "nuc":
            raise NotImplementedError("torch.norm(p='nuc') needs singular values")
        if p != "fro":
            raise RuntimeError(f"Unknown norm order {p!r}: a number, 'fro' or 'nuc'")
        p = 2
    return vector_norm(input, 2 if p is None else p, dim, keepdim, dtype=dtype)
