"""Triangles and diagonals of matrices, and writing into parts of a tensor (select_scatter etc.)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import make
from ...ir.op import Op, apply
from ...ir.view import VIEW_SET, broadcast
from ..core import cast_node, operand
from ..prim.elementwise import COPY, WHERE, le, mul
from ..prim.index import on_host
from ..prim.masks import masked_fill
from ..prim.reduce import SUM, reduce
from ..prim.shape import _select, _slice, embed, reshape
from ..prim.source import iota

ANY: dict[str, Any] = {"method": True, "dtypes": "any"}


# --- triangles ------------------------------------------------------------------------------------


def _triangle(x, diagonal, lower):
    """Elements on one side of a diagonal, by comparing row and column numbers."""
    n, m = x.shape[-2:]
    rows = broadcast(reshape(iota(n, diagonal), (n, 1)), (n, m))
    columns = broadcast(iota(m), (n, m))
    keep = le(columns, rows) if lower else le(rows, columns)
    return make(WHERE, (broadcast(keep, x.shape), x, operand(0, x.dtype)))


_tril: Op = Op("tril", lambda x, diagonal: _triangle(x, diagonal, True),
               lambda ctx, g: (apply(_tril, g, diagonal=ctx.diagonal),))
_triu: Op = Op("triu", lambda x, diagonal: _triangle(x, diagonal, False),
               lambda ctx, g: (apply(_triu, g, diagonal=ctx.diagonal),))


def _check_matrix(name, x):
    if len(x.shape) < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions, got shape "
                           f"{tuple(x.shape)}")


@api(inplace=True, out=1, cases=lambda t: [t.call(t.f(3, 4)), t.call(t.f(2, 3, 3), -1)], **ANY)
def tril(input, diagonal=0):  # noqa: A002
    """The elements on and below a diagonal; zeros above."""
    _check_matrix("tril", input)
    return apply(_tril, input, diagonal=int(diagonal))


@api(inplace=True, out=1, cases=lambda t: [t.call(t.f(3, 4)), t.call(t.f(2, 3, 3), 1)], **ANY)
def triu(input, diagonal=0):  # noqa: A002
    """The elements on and above a diagonal; zeros below."""
    _check_matrix("triu", input)
    return apply(_triu, input, diagonal=int(diagonal))


def triangle_indices(row: int, col: int, offset: int, lower: bool) -> np.ndarray:
    """Positions of a triangle's elements, a (2, n) array, rows first."""
    rows, columns = np.indices((row, col))
    keep = (columns <= rows + offset) if lower else (columns >= rows + offset)
    return np.stack([rows[keep], columns[keep]]).astype(np.int64)


# --- diagonals ------------------------------------------------------------------------------------


def _diagonal_geometry(shape, strides, offset, shift, dim1, dim2):
    n, m = shape[dim1], shape[dim2]
    count = max(min(n, m - shift) if shift >= 0 else min(n + shift, m), 0)
    if count:
        offset += shift * strides[dim2] if shift >= 0 else -shift * strides[dim1]
    rest = [i for i in range(len(shape)) if i not in (dim1, dim2)]
    return (tuple(shape[i] for i in rest) + (count,),
            tuple(strides[i] for i in rest) + (strides[dim1] + strides[dim2],), offset)


_diagonal: Op = Op("diagonal", geometry=_diagonal_geometry, vjp=lambda ctx, g: (
    embed(g, ctx.shape(0), _diagonal, shift=ctx.shift, dim1=ctx.dim1, dim2=ctx.dim2),))


def _two_axes(rank, dim1, dim2):
    a, b = sh.wrap_dim(dim1, rank), sh.wrap_dim(dim2, rank)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return a, b


@api(cases=lambda t: [t.call(t.f(3, 4)), t.call(t.f(2, 3, 4), 1, 0, 2)], **ANY)
def diagonal(input, offset=0, dim1=0, dim2=1):  # noqa: A002
    """A diagonal of the matrices in axes ``dim1`` and ``dim2``, as a new last axis; a view."""
    a, b = _two_axes(len(input.shape), dim1, dim2)
    return apply(_diagonal, input, shift=offset, dim1=a, dim2=b)


@api("diagonal", torch=False, namespaces=("linalg",), dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3, 3))])
def linalg_diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """``diagonal`` of the last two axes."""
    return diagonal(A, offset, dim1, dim2)


def _embed_size(shape, shift, dim1, dim2):
    rank = len(shape) + 1
    n = shape[-1] + abs(shift)
    rest = iter(shape[:-1])
    return tuple(n if i in (dim1, dim2) else next(rest) for i in range(rank))


_diag_embed = Op(
    "diag_embed",
    lambda x, shift, dim1, dim2: _put_region(
        broadcast(operand(0, x.dtype), _embed_size(x.shape, shift, dim1, dim2)), x,
        _diagonal_geometry, shift=shift, dim1=dim1, dim2=dim2),
    lambda ctx, g: (apply(_diagonal, g, shift=ctx.shift, dim1=ctx.dim1, dim2=ctx.dim2),),
    grad_name="DiagEmbedBackward0")


@api(cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(3), 1)], **ANY)
def diag_embed(input, offset=0, dim1=-2, dim2=-1):  # noqa: A002
    """Matrices of zeros with the last axis on a diagonal."""
    a, b = _two_axes(len(input.shape) + 1, dim1, dim2)
    if offset < 0:
        a, b, offset = b, a, -offset
    return apply(_diag_embed, input, shift=offset, dim1=a, dim2=b)


@api(out=1, cases=lambda t: [t.call(t.f(3)), t.call(t.f(3, 4), 1)], **ANY)
def diag(input, diagonal=0):  # noqa: A002
    """A vector as a diagonal matrix; a matrix's diagonal as a vector (a copy)."""
    rank = len(input.shape)
    if rank == 1:
        return diag_embed(input, diagonal)
    if rank != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {rank}D")
    return apply(_diagonal_copy, input, shift=diagonal, dim1=0, dim2=1)


_diagonal_copy = Op(
    "diagonal_copy", lambda x, **where: make(COPY, (apply(_diagonal, x, **where),)),
    lambda ctx, g: (embed(g, ctx.shape(0), _diagonal, shift=ctx.shift, dim1=ctx.dim1,
                          dim2=ctx.dim2),))


@api(cases=lambda t: [t.call(t.f(2, 2), 1)], **ANY)
def diagflat(input, offset=0):  # noqa: A002
    """The flattened tensor as a diagonal matrix."""
    return diag_embed(reshape(input, (input.numel(),)), offset)


def _trace_lower(x):
    part = apply(_diagonal, x, shift=0, dim1=0, dim2=1)
    d = x.dtype if x.dtype.category >= dt.dtype.FLOAT else dt.int64
    return reduce(SUM, cast_node(part, d), (0,), False)


def _trace_vjp(ctx, g):
    n, m = ctx.shape(0)
    ones = on_host(np.ones(min(n, m), np.bool_), g)
    return (embed(mul(g, ones), (n, m), _diagonal, shift=0, dim1=0, dim2=1),)


_trace = Op("trace", _trace_lower, _trace_vjp)


@api(cases=lambda t: [t.call(t.f(3, 4))], method=True, dtypes="number")
def trace(input):  # noqa: A002
    """Sum of a matrix's diagonal."""
    if len(input.shape) != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {len(input.shape)}")
    return apply(_trace, input)


@api(out=1, method=True, dtypes="any", aliases=("ger",), cases=lambda t: [t.call(t.f(3), t.f(4))])
def outer(input, vec2):  # noqa: A002
    """``out[i][j] = input[i] * vec2[j]``."""
    for x, which in ((input, "self"), (vec2, "vec2")):
        if len(x.shape) != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {which}, but got {len(x.shape)}-D")
    return mul(reshape(input, (input.numel(), 1)), vec2)


# --- writing into a part --------------------------------------------------------------------------


def _put_region(base, src, geometry, **params):
    shape, strides, offset = geometry(base.shape, base.strides, 0, **params)
    return make(VIEW_SET, (base, broadcast(src, shape)), (tuple(strides), offset))


def _region_op(name, view_op):
    """The op that replaces what ``view_op`` would read."""

    def lower(x, src, **params):
        if src is None:
            shape, _, _ = view_op.geometry(x.shape, x.strides, 0, **params)
            src = broadcast(operand(0, x.dtype), shape)
        return _put_region(x, src, view_op.geometry, **params)

    def vjp(ctx, g):
        params = ctx.params
        return (apply(op, g, None, **params) if ctx.needs(0) else None,
                apply(view_op, g, **params) if ctx.needs(1) else None)

    op = Op(name, lower, vjp, layout=layouts.LIKE_FIRST)
    return op


_select_scatter = _region_op("select_scatter", _select)
_slice_scatter = _region_op("slice_scatter", _slice)
_diagonal_scatter = _region_op("diagonal_scatter", _diagonal)


def _check_part(name, x, src, view_op, **params):
    shape, _, _ = view_op.geometry(tuple(x.shape), sh.contiguous_strides(tuple(x.shape)), 0,
                                   **params)
    if tuple(src.shape) != tuple(shape):
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = "
                           f"{list(src.shape)}, slice size = {list(shape)} ({name})")
    if src.dtype is not x.dtype:
        raise RuntimeError(f"{name}: expected src and self of the same dtype, got {src.dtype} and "
                           f"{x.dtype}")


@api(cases=lambda t: [t.call(t.f(3, 4), t.f(4), 0, 1)], **ANY)
def select_scatter(input, src, dim, index):  # noqa: A002
    """``input`` with the slice ``index`` of ``dim`` replaced."""
    dim = sh.wrap_dim(dim, len(input.shape))
    n = input.shape[dim]
    if not -n <= index < n:
        raise IndexError(f"select(): index {index} out of range for tensor of size "
                         f"{list(input.shape)} at dimension {dim}")
    index %= n
    _check_part("select_scatter", input, src, _select, dim=dim, index=index)
    return apply(_select_scatter, input, src, dim=dim, index=index)


@api(out=1, cases=lambda t: [t.call(t.f(5, 4), t.f(2, 4), 0, 1, 3)], **ANY)
def slice_scatter(input, src, dim=0, start=None, end=None, step=1):  # noqa: A002
    """``input`` with ``start:end:step`` of ``dim`` replaced."""
    dim = sh.wrap_dim(dim, len(input.shape))
    start, end, _ = slice(start, end, step).indices(input.shape[dim])
    params = {"dim": dim, "start": start, "end": max(start, end), "step": step}
    _check_part("slice_scatter", input, src, _slice, **params)
    return apply(_slice_scatter, input, src, **params)


@api(cases=lambda t: [t.call(t.f(3, 4), t.f(3))], **ANY)
def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):  # noqa: A002
    """``input`` with a diagonal replaced."""
    a, b = _two_axes(len(input.shape), dim1, dim2)
    _check_part("diagonal_scatter", input, src, _diagonal, shift=offset, dim1=a, dim2=b)
    return apply(_diagonal_scatter, input, src, shift=offset, dim1=a, dim2=b)


@api("fill_diagonal", torch=False, inplace=True, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), 2.0), t.call(t.f(7, 3), 1.0, True)])
def fill_diagonal(input, fill_value, wrap=False):  # noqa: A002
    """The main diagonal set to a number; with ``wrap`` it starts again below a tall matrix."""
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) != 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    step = int(np.sum(sh.contiguous_strides(shape)))
    mask = np.zeros(sh.numel(shape), np.bool_)
    end = mask.size if wrap or len(shape) > 2 else shape[1] * shape[1]
    mask[:end:step] = True
    return masked_fill(input, on_host(mask.reshape(shape), input), fill_value)
