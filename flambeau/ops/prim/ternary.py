"""Elementwise functions of three operands: clamp, lerp, addcmul, addcdiv.

Where PyTorch's kernels round a product and a sum once, so do these (``scaled_sum``)."""

from __future__ import annotations

import math

from ...base import dtype as dt
from ...base import layout as layouts
from ...ir.api import api
from ...ir.op import Op, apply
from ..core import elementwise, fitting, is_number, operand, result_type
from .elementwise import (ADD, DIV, MAXIMUM, MINIMUM, MUL, SUB, cast_node, check_tensor, conj,
                          conj_or_number, div, ge, gt, le, lt, mul, neg, scaled_sum, sub, where)
from .pointwise import not_implemented

# --- clamp --------------------------------------------------------------------------------------


def _clamp_dtype(x, low, high):
    d = result_type(*(v for v in (x, low, high) if v is not None))
    if d.is_complex:
        raise RuntimeError("clamp is not supported for complex types")
    return d


def _clamp_lower(x, low, high):
    d = _clamp_dtype(x, low, high)
    if is_number(low) and math.isnan(low) or is_number(high) and math.isnan(high):
        return elementwise(MUL, d, cast_node(x, d), math.nan)
    out = x
    if low is not None:
        out = elementwise(MAXIMUM, d, out, low)
    if high is not None:
        out = elementwise(MINIMUM, d, out, high)
    return out


def _clamp_vjp(ctx, g):
    """The gradient passes where the value lies between the bounds (inclusive)."""
    x, low, high = ctx.operand(0), ctx.operand(1), ctx.operand(2)
    gx = g
    if low is not None:
        gx = where(ge(x, low), gx, 0)
    if high is not None:
        gx = where(le(x, high), gx, 0)
    glow = ghigh = None
    if ctx.needs(1):
        glow = where(lt(x, low), g, 0)
        if high is not None:
            glow = where(lt(low, high), glow, 0)
    if ctx.needs(2):
        ghigh = gt(x, high)
        if low is not None:
            ghigh = where(gt(low, high), True, ghigh)
        ghigh = where(ghigh, g, 0)
    return gx, glow, ghigh


_clamp = Op("clamp", _clamp_lower, _clamp_vjp, saves=(0, 1, 2), grad_name="ClampBackward1",
            layout=layouts.OF_TENSORS)
_clamp_tensor = Op("clamp_tensor", _clamp_lower, _clamp_vjp, saves=(0, 1, 2),
                   grad_name="ClampBackward0", layout=layouts.ELEMENTWISE)
_clamp_min = Op("clamp_min", _clamp_lower, _clamp_vjp, saves=(0, 1, 2),
                grad_name="ClampMinBackward0", layout=layouts.OF_TENSORS)
_clamp_max = Op("clamp_max", _clamp_lower, _clamp_vjp, saves=(0, 1, 2),
                grad_name="ClampMaxBackward0", layout=layouts.OF_TENSORS)


@api(method=True, inplace=True, out=1, dtypes="number", aliases=("clip",),
     cases=lambda t: [t.call(t.f(2, 3), -0.5, 0.5), t.call(t.f(2, 3), max=0.5),
                      t.call(t.f(2, 3), t.f(3), t.pos(3))],
     errors=lambda t: [(RuntimeError, "At least one of", t.call(t.f(2)))])
def clamp(input, min=None, max=None):  # noqa: A002
    """``input`` limited to [min, max]; numbers or tensors, either may be absent.

    Raises:
        RuntimeError: neither bound is given.
    """
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    bounds = [b for b in (min, max) if b is not None]
    if input.dtype is dt.bool_:
        raise not_implemented("clamp_scalar", input.dtype)
    tensors = [b for b in bounds if not is_number(b)]
    if tensors and len(tensors) != len(bounds):
        raise TypeError("clamp(): 'min' and 'max' must both be numbers or both be tensors")
    return apply(_clamp_tensor if tensors else _clamp, input, min, max)


@api(method=True, inplace=True, out=1, dtypes="number", cases=lambda t: [t.call(t.f(2, 3), 0.1)])
def clamp_min(input, min):  # noqa: A002
    """``input``, at least ``min``."""
    check_tensor("clamp_min", "input", 1, input)
    return apply(_clamp_min, input, min, None)


@api(method=True, inplace=True, out=1, dtypes="number", cases=lambda t: [t.call(t.f(2, 3), 0.1)])
def clamp_max(input, max):  # noqa: A002
    """``input``, at most ``max``."""
    check_tensor("clamp_max", "input", 1, input)
    return apply(_clamp_max, input, None, max)


# --- lerp ---------------------------------------------------------------------------------------


def _lerp_lower(x, end, weight):
    d = x.dtype
    if end.dtype is not d:
        raise RuntimeError(f"expected dtype {d} for `end` but got dtype {end.dtype}")
    if not is_number(weight) and weight.dtype is not d:
        raise RuntimeError(f"expected dtype {d} for `weight` but got dtype {weight.dtype}")
    if d.category < dt.dtype.FLOAT:
        raise not_implemented("lerp_scalar" if is_number(weight) else "lerp_tensor", d)
    number = is_number(weight)
    w, x, end, weight_ = _wide(d, x, end, 0 if number else weight)
    weight = weight if number else weight_
    gap = elementwise(SUB, w, end, x)

    def from_start():
        return scaled_sum(w, x, gap, weight)

    def from_end():
        return scaled_sum(w, end, gap, elementwise(SUB, w, weight, 1))

    if number or d.is_complex:
        return cast_node(from_end() if number and abs(weight) >= 0.5 else from_start(), d)
    near = lt(where(lt(weight, 0), neg(weight), weight), 0.5)
    return cast_node(where(near, from_start(), from_end()), d)


def _lerp_vjp(ctx, g):
    weight = ctx.operand(2)
    w = conj_or_number(weight)
    rest = 1 - w if is_number(w) else sub(1, w)
    gw = None
    if ctx.needs(2):
        gw = mul(g, conj(sub(ctx.operand(1), ctx.operand(0))))
    return mul(g, rest), mul(g, w), gw


def _lerp_saves(needs, params):
    return (0, 1, 2) if needs[2] else (2,)


_lerp = Op("lerp", _lerp_lower, _lerp_vjp, saves=_lerp_saves, layout=layouts.OF_TENSORS)
_lerp_tensor = Op("lerp_tensor", _lerp_lower, _lerp_vjp, saves=_lerp_saves,
                  grad_name="LerpBackward1", layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1,
     cases=lambda t: [t.call(t.f(2, 3), t.f(3), 0.3), t.call(t.f(2, 3), t.f(3), t.pos(3))])
def lerp(input, end, weight):  # noqa: A002
    """``input + weight * (end - input)``."""
    return apply(_lerp if is_number(weight) else _lerp_tensor, input, end, weight)


# --- addcmul, addcdiv ---------------------------------------------------------------------------


def _wide(d, *operands):
    """The dtype to compute in, and operands in it: 16-bit floats are rounded once, at the end."""
    if d.itemsize != 2 or not d.is_floating_point:
        return d, *operands
    return dt.float32, *(operand(x, dt.float32) for x in operands)


def _addcmul_lower(x, a, b, value=1):
    d = result_type(x, a, b)
    if d is dt.bool_:
        raise not_implemented("addcmul", d)
    if d.category < dt.dtype.FLOAT and is_number(value):
        value = fitting(value, d)
    w, x, a, b = _wide(d, x, a, b)
    if value != 1:
        a = elementwise(MUL, w, a, value)
    return cast_node(scaled_sum(w, x, a, b), d)


def _scaled(x, value):
    return x if is_number(value) and value == 1 else mul(x, value)


def _addcmul_vjp(ctx, g):
    return (g, mul(g, conj(_scaled(ctx.operand(2), ctx.value))) if ctx.needs(1) else None,
            mul(g, conj(_scaled(ctx.operand(1), ctx.value))) if ctx.needs(2) else None)


_addcmul = Op("addcmul", _addcmul_lower, _addcmul_vjp,
              saves=lambda needs, params: tuple(i for i in (1, 2) if needs[3 - i]),
              layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="number",
     cases=lambda t: [t.call(t.f(2, 3), t.f(3), t.f(2, 1)),
                      t.call(t.f(2, 3), t.f(3), t.f(3), value=0.5)])
def addcmul(input, tensor1, tensor2, *, value=1):  # noqa: A002
    """``input + value * tensor1 * tensor2``."""
    return apply(_addcmul, input, tensor1, tensor2, value=value)


def _addcdiv_lower(x, a, b, value=1):
    if a.dtype.category < dt.dtype.FLOAT and b.dtype.category < dt.dtype.FLOAT:
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release "
            "addcdiv will perform a true division of tensor1 and tensor2. The historic addcdiv "
            "behavior can be implemented as (input + value * torch.trunc(tensor1 / tensor2))"
            ".to(input.dtype)")
    d = result_type(x, a, b)
    w, x, a, b = _wide(d, x, a, b)
    quotient = a if value == 1 else elementwise(MUL, w, a, value)
    return cast_node(elementwise(ADD, w, x, elementwise(DIV, w, quotient, b)), d)


def _addcdiv_vjp(ctx, g):
    b = ctx.operand(2)
    gb = None
    if ctx.needs(2):
        gb = neg(mul(g, conj(div(_scaled(ctx.operand(1), ctx.value), mul(b, b)))))
    return g, mul(g, conj(div(ctx.value, b))) if ctx.needs(1) else None, gb


_addcdiv = Op("addcdiv", _addcdiv_lower, _addcdiv_vjp,
              saves=lambda needs, params: (1, 2) if needs[2] else (2,), layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1,
     cases=lambda t: [t.call(t.f(2, 3), t.f(3), t.pos(2, 1)),
                      t.call(t.f(2, 3), t.f(3), t.pos(3), value=0.5)])
def addcdiv(input, tensor1, tensor2, *, value=1):  # noqa: A002
    """``input + value * tensor1 / tensor2``."""
    return apply(_addcdiv, input, tensor1, tensor2, value=value)

