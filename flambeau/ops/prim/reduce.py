"""Reductions over axes: graph primitives, gradients and public functions.

At graph level a reduction drops the reduced axes; ``keepdim`` is a view of the result.
"""

from __future__ import annotations

import math

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...base.errors import ShapeError
from ...ir.api import api
from ...ir.node import Node, OpClass, Prim, make
from ...ir.op import Op, apply
from ...ir.view import view
from ..core import cast_node, is_number, widened_node
from .elementwise import div
from .shape import reshape, sizes_of, unsqueeze_all

R = OpClass.REDUCE


def _reduced(x: Node, axes):
    return tuple(n for i, n in enumerate(x.shape) if i not in axes)


def keeps_dtype(x: Node, axes):
    """Shape rule of a reduction in the operand's dtype."""
    return _reduced(x, axes), x.dtype


def to_bool(x: Node, axes):
    """Shape rule of any and all."""
    return _reduced(x, axes), dt.bool_


def _wide(function):
    """16-bit floats are summed in float32."""

    def numpy(x, axes):
        if x.dtype.itemsize == 2 and x.dtype.kind in "fV":
            return function(x.astype(np.float32), axes).astype(x.dtype)
        return function(x, axes)

    return numpy


def _sum_numpy(x, axes):
    return np.add.reduce(x, axis=axes, dtype=x.dtype)


SUM = Prim("sum", R, keeps_dtype, _wide(_sum_numpy), fold=(0, "add"), doc="sum over axes")
INNER_SUM = Prim("inner_sum", R, keeps_dtype, _wide(_sum_numpy), fold=(0, "add"),
                 doc="sum over axes in the order of an inner product")
PLAIN_SUM = Prim("plain_sum", R, keeps_dtype, _wide(_sum_numpy), fold=(0, "add"),
                 doc="sum over axes in the order that costs least")
PROD = Prim("prod", R, keeps_dtype, _wide(lambda x, axes: np.prod(x, axis=axes, dtype=x.dtype)),
            fold=(1, "mul"), doc="product over axes")
AMAX = Prim("amax", R, keeps_dtype, lambda x, axes: np.maximum.reduce(x, axis=axes),
            fold=(-math.inf, "maximum"), doc="largest, NaN if any")
AMIN = Prim("amin", R, keeps_dtype, lambda x, axes: np.minimum.reduce(x, axis=axes),
            fold=(math.inf, "minimum"), doc="smallest, NaN if any")


def reduce_axes(dim, rank: int) -> tuple[int, ...]:
    """``dim`` (None, int, or several) as sorted axes; None and () mean all."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(rank))
    if isinstance(dim, int):
        dim = (dim,)
    axes = sh.wrap_dims(dim, rank)
    return tuple(sorted(axes)) if rank else ()


def reduce(prim: Prim, x: Node, axes, keepdim: bool) -> Node:
    """Apply a reduction primitive, with the reduced axes kept as size 1 on request."""
    out = make(prim, (x,), (axes,))
    if keepdim and axes:
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        out = view(out, shape, sh.contiguous_strides(shape), 0)
    return out


# --- broadcasting, the adjoint of sum -----------------------------------------------------------


def _expand_geometry(shape, strides, offset, size):
    lead = len(size) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand(torch.FloatTensor{list(shape)}, size={list(size)}): the number of sizes "
            f"provided ({len(size)}) must be greater or equal to the number of dimensions in the "
            f"tensor ({len(shape)})")
    full, out = [], []
    for i, n in enumerate(size):
        have, step = (shape[i - lead], strides[i - lead]) if i >= lead else (1, 0)
        if n == -1:
            if i < lead:
                raise RuntimeError(
                    f"expand(): the expanded size of the tensor ({n}) isn't allowed in a leading, "
                    f"non-existing dimension {i}")
            n = have
        if have != n and have != 1:
            raise ShapeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at "
                f"non-singleton dimension {i}.  Target sizes: {list(size)}.  "
                f"Tensor sizes: {list(shape)}")
        full.append(n)
        out.append(step if have == n and i >= lead else 0)
    return tuple(full), tuple(out), offset


_expand = Op("expand", geometry=_expand_geometry,
             vjp=lambda ctx, g: (sum_to(g, ctx.shape(0)),))


@api(torch=False, method=True, dtypes="any", cases=lambda t: [t.call(t.f(2, 1), 4, 2, 3)])
def expand(input, *size):  # noqa: A002
    """Axes of size 1 repeated without copying (stride 0); -1 keeps a size."""
    size = sizes_of(size)
    if tuple(input.shape) == size and not hasattr(input, "_apply_op"):
        return input
    return apply(_expand, input, size=size)


def restore(g, shape, axes, keepdim: bool):
    """A reduction's gradient repeated over the axes that were reduced."""
    if not keepdim:
        g = unsqueeze_all(g, axes)
    return expand(g, shape)


def sum_dtype(x, dtype) -> dt.dtype:
    """Sums of integers and bool are int64 unless told otherwise."""
    if dtype is not None:
        return dtype
    return dt.int64 if x.dtype.category < dt.dtype.FLOAT else x.dtype


def _sum_lower(x, axes, keepdim, dtype):
    return reduce(SUM, cast_node(x, dtype), axes, keepdim)


def _sum_vjp(ctx, g):
    return (restore(g, ctx.shape(0), ctx.axes, ctx.keepdim),)


_sum = Op("sum", _sum_lower, _sum_vjp, layout=layouts.REDUCED)
_sum_dim = Op("sum_dim", _sum_lower, _sum_vjp, grad_name="SumBackward1",
              layout=layouts.REDUCED)


@api(method=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), 1), t.call(t.f(2, 3, 4), (0, 2)),
                      t.call(t.f(2, 3), -1, True), t.call(t.f(0, 3), 0)],
     errors=lambda t: [(IndexError, "Dimension out of range", t.call(t.f(2, 3), 2))])
def sum(input, dim=None, keepdim=False, *, dtype=None):  # noqa: A001, A002
    """Sum over ``dim`` (all when None); integers are summed in int64."""
    return apply(_sum if dim is None else _sum_dim, input, axes=reduce_axes(dim, input.ndim),
                 keepdim=keepdim, dtype=sum_dtype(input, dtype))


def _mean_lower(x, axes, keepdim, dtype, prim=SUM):
    count = math.prod(x.shape[i] for i in axes)
    total = reduce(prim, widened_node(cast_node(x, dtype)), axes, keepdim)
    return cast_node(div(total, count if count else math.nan), dtype)


def _mean_vjp(ctx, g):
    count = math.prod(ctx.shape(0)[i] for i in ctx.axes)
    return (div(restore(g, ctx.shape(0), ctx.axes, ctx.keepdim), max(count, 1)),)


_mean = Op("mean", _mean_lower, _mean_vjp, layout=layouts.REDUCED)
_mean_dim = Op("mean_dim", _mean_lower, _mean_vjp, grad_name="MeanBackward1",
               layout=layouts.REDUCED)


@api(method=True, out=1,
     cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), 1, True), t.call(t.f(2, 3, 4), (0, 2))],
     errors=lambda t: [(RuntimeError, "floating point", t.call(t.ints(2, 3)))])
def mean(input, dim=None, keepdim=False, *, dtype=None):  # noqa: A002
    """Mean over ``dim`` (all when None).

    Raises:
        RuntimeError: the tensor holds integers and no floating ``dtype`` is given.
    """
    dtype = dtype or input.dtype
    if dtype.category < dt.dtype.FLOAT:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or "
            f"complex dtype. Got: {input.dtype.name}; use x.float().mean() or mean(dtype=...)")
    return apply(_mean if dim is None else _mean_dim, input, axes=reduce_axes(dim, input.ndim),
                 keepdim=keepdim, dtype=dtype)


_plain_sum = Op("plain_sum", lambda x, axes, keepdim: reduce(PLAIN_SUM, x, axes, keepdim),
                _sum_vjp, layout=layouts.REDUCED)
_plain_mean = Op("plain_mean", lambda x, axes, keepdim: _mean_lower(
    x, axes, keepdim, x.dtype, PLAIN_SUM), _mean_vjp, layout=layouts.REDUCED)


def plain_sum(x, dim, keepdim: bool = False):
    """``sum`` of floats in the order that costs least, for what PyTorch has its own kernels for."""
    return apply(_plain_sum, x, axes=reduce_axes(dim, x.ndim), keepdim=keepdim)


def plain_mean(x, dim, keepdim: bool = False):
    """``mean`` of floats in the order that costs least."""
    return apply(_plain_mean, x, axes=reduce_axes(dim, x.ndim), keepdim=keepdim)


def sum_to(g, shape):
    """``g`` summed over the axes along which ``shape`` was broadcast to g's shape."""
    if is_number(g) or g.shape == tuple(shape):
        return g
    lead = len(g.shape) - len(shape)
    axes = tuple(range(lead)) + tuple(
        i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1)
    kept = apply(_sum, g, axes=axes, keepdim=True, dtype=g.dtype) if axes else g
    return reshape(kept, shape) if lead else kept
