"""Operations under a mask: masked_fill, masked_select, masked_scatter, where."""

from __future__ import annotations

import warnings

import numpy as np

from ...base import dtype as dt
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import Node, OpClass, Prim, leaf, make, realize
from ...ir.op import Op, apply
from ...ir.view import broadcast
from ..core import fitting, is_number, operand, result_type, spread
from .elementwise import WHERE, cast
from .elementwise import where as _where
from .index import TAKE_FLAT, nonzero
from .reduce import expand, sum  # noqa: A004

INDEX = OpClass.INDEX


def _check_mask(name: str, mask) -> None:
    if mask.dtype is not dt.bool_:
        raise RuntimeError(f"{name} only supports boolean masks, but got mask with dtype "
                           f"{mask.dtype}; compare first (mask != 0) or use .bool()")


# --- fill -----------------------------------------------------------------------------------------


def _fill_lower(x, mask, value):
    return make(WHERE, tuple(spread(mask, operand(value, x.dtype), x)))


def _fill_vjp(ctx, g):
    mask = ctx.operand(1)
    return (apply(_masked_fill, g, mask, 0) if ctx.needs(0) else None, None,
            sum(_where(mask, g, 0)) if ctx.needs(2) else None)


_masked_fill = Op("masked_fill", _fill_lower, _fill_vjp, saves=(1,))


@api(method=True, inplace=True, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3), t.bools(2, 3), 1.5), t.call(t.f(2, 3), t.bools(3), 0)],
     errors=lambda t: [(RuntimeError, "boolean masks", t.call(t.f(2), t.ints(2), 0))])
def masked_fill(input, mask, value):  # noqa: A002
    """``value`` (a number or 0-d tensor) where ``mask`` holds, else ``input``."""
    _check_mask("masked_fill", mask)
    if is_number(value):
        value = fitting(value, input.dtype)
    elif len(value.shape):
        raise RuntimeError("masked_fill only supports a 0-dimensional value tensor, but got "
                           f"tensor with {len(value.shape)} dimension(s).")
    elif value.dtype.category > input.dtype.category:
        raise RuntimeError(f"result type {value.dtype} can't be cast to the desired output type "
                           f"{input.dtype}")
    return apply(_masked_fill, input, mask, value)


# --- select ---------------------------------------------------------------------------------------


def _mask_gather_infer(x: Node, mask: Node, size):
    return size, x.dtype


def _mask_gather_numpy(x, mask, size):
    out = np.zeros(size, x.dtype)
    found = x[mask]
    out.reshape(-1)[:found.size] = found
    return out


MASK_GATHER = Prim("mask_gather", INDEX, _mask_gather_infer, _mask_gather_numpy,
                   doc="the selected elements one after another in zeros of shape `size`")


def _mask_scatter_infer(x: Node, mask: Node, source: Node):
    return x.shape, x.dtype


def _mask_scatter_numpy(x, mask, source):
    count = int(np.count_nonzero(mask))
    if source.size < count:
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes and at "
                           f"least {count} elements in source (the number of ones in mask), got "
                           f"{source.size}")
    out = np.array(x, order="C")
    out[mask] = source.reshape(-1)[:count]
    return out


MASK_SCATTER = Prim("mask_scatter", INDEX, _mask_scatter_infer, _mask_scatter_numpy,
                    doc="source's elements, in order, where the mask holds")


def _select_lower(x, mask):
    positions = np.flatnonzero(realize(mask))
    return make(TAKE_FLAT, (x, leaf(positions)))


_masked_select = Op(
    "masked_select", _select_lower,
    lambda ctx, g: (apply(_spill, g, ctx.operand(1), size=ctx.shape(0)), None),
    saves=(1,), guards=(0, 1))
_spill: Op = Op(
    "masked_select_backward",
    lambda g, mask, size: make(MASK_SCATTER, (broadcast(operand(0, g.dtype), size), mask, g)),
    lambda ctx, g: (apply(_masked_select, g, ctx.operand(1)), None), saves=(1,))


@api(method=True, out=1, dtypes="any", cases=lambda t: [t.call(t.f(2, 3), t.bools(2, 3))])
def masked_select(input, mask):  # noqa: A002
    """The elements where ``mask`` holds, as a vector; both are broadcast."""
    if mask.dtype is not dt.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask, got "
                           f"{mask.dtype}")
    size = sh.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    return apply(_masked_select, expand(input, size), expand(mask, size))


_masked_scatter = Op(
    "masked_scatter", lambda x, mask, source: make(MASK_SCATTER, (x, mask, source)),
    lambda ctx, g: (apply(_masked_fill, g, ctx.operand(1), 0) if ctx.needs(0) else None, None,
                    apply(_mask_gather, g, ctx.operand(1), size=ctx.shape(2))
                    if ctx.needs(2) else None), saves=(1,))
_mask_gather: Op = Op(
    "masked_scatter_backward",
    lambda g, mask, size: make(MASK_GATHER, (g, mask), (size,)),
    lambda ctx, g: (apply(_spill, g, ctx.operand(1), size=ctx.shape(0)), None), saves=(1,))


@api(method=True, inplace=True, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3), t.bools(2, 3), t.f(6))])
def masked_scatter(input, mask, source):  # noqa: A002
    """``source``'s elements, in order, where ``mask`` holds; else ``input``."""
    if input.dtype is not source.dtype:
        raise RuntimeError("masked_scatter: expected self and source to have same dtypes but got "
                           f"{input.dtype} and {source.dtype}")
    if mask.dtype is not dt.bool_:
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got {mask.dtype}")
    size = sh.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    return apply(_masked_scatter, expand(input, size), expand(mask, size), source)


# --- where ----------------------------------------------------------------------------------------


def _condition(condition):
    if condition.dtype is dt.uint8:
        warnings.warn("where received a uint8 condition tensor. This behavior is deprecated. Use "
                      "a boolean condition instead.", UserWarning, stacklevel=3)
        return cast(condition, dt.bool_)
    if condition.dtype is not dt.bool_:
        raise RuntimeError("where expected condition to be a boolean tensor, but got a tensor "
                           f"with dtype {condition.dtype}")
    return condition


@api(out=1, dtypes="any",
     cases=lambda t: [t.call(t.bools(2, 3), t.f(2, 3), t.f(3)), t.call(t.bools(3), 1.0, 2.0)])
def where(condition, input=None, other=None):  # noqa: A002
    """``input`` where ``condition`` holds, else ``other``; the positions when given alone."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    result_type(input, other)
    return _where(_condition(condition), input, other)


@api("where", torch=False, method=True, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3), t.bools(2, 3), 0.0)])
def where_method(input, condition, other):  # noqa: A002
    """``x.where(condition, other)``: the tensor where ``condition`` holds, else ``other``."""
    return _where(_condition(condition), input, other)
