"""Inverse trigonometric and hyperbolic functions.

Computed in float64 for float32 operands too: they are rare, and the result is then correctly
rounded but for the closest ties.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING

from flambeau.codegen import coefficients as C
from flambeau.codegen.vmath import exp, expm1, half_exp, log, log1p
from flambeau.codegen.vmath_core import copysign, horner, is_double, is_negative

if TYPE_CHECKING:
    from flambeau.codegen.emit import Function, Value

_PI_LOW = 1.2246467991473532e-16  # pi - math.pi
_TAN_EIGHTH = math.sqrt(2) - 1  # tan(pi/8); tan(3 pi/8) is its inverse


def _in_double(rule: Callable) -> Callable:
    """float32 operands are widened, the result is rounded."""
    @wraps(rule)
    def wide(f: Function, *operands: Value) -> Value:
        if is_double(operands[0]):
            return rule(f, *operands)
        result = rule(f, *(f.cast("fpext", x, "double") for x in operands))
        return f.cast("fptrunc", result, "float")
    return wide


def _angle(f: Function, up: Value, along: Value) -> Value:
    """atan(up / along) in [0, pi/2] for up, along >= 0 (along > 0 or up > 0), one division."""
    steep = up > along * (1 / _TAN_EIGHTH)
    middle = up > along * _TAN_EIGHTH
    top = f.select(steep, -along, f.select(middle, up - along, up))
    bottom = f.select(steep, up, f.select(middle, up + along, along))
    t = top / bottom
    z = t * t
    small = f.fma(t * z, horner(f, C.ATAN64, z), t)
    base = f.select(steep, math.pi / 2, f.select(middle, math.pi / 4, f.zero(t.type)))
    low = f.select(steep, _PI_LOW / 2, f.select(middle, _PI_LOW / 4, f.zero(t.type)))
    return base + (small + low)


@_in_double
def atan(f: Function, x: Value) -> Value:
    """Inverse tangent."""
    size = f.abs(x)
    angle = _angle(f, size, f.const(1.0, x.type))
    return copysign(f, angle, x)


@_in_double
def atan2(f: Function, y: Value, x: Value) -> Value:
    """The angle of the point (x, y) in [-pi, pi]; signs of zeros count as in C."""
    up, along = f.abs(y), f.abs(x)
    # scaled so that neither the sum nor the products overflow or lose bits
    huge = (up > 1e300) | (along > 1e300)
    tiny = (up < 1e-290) & (along < 1e-290)
    factor = f.select(huge, 2.0**-60, f.select(tiny, 2.0**120, f.const(1.0, x.type)))
    up, along = up * factor, along * factor
    equal = (up.eq(math.inf) & along.eq(math.inf))
    up, along = f.select(equal, 1.0, up), f.select(equal, 1.0, along)
    along = f.select(up.eq(0.0) & along.eq(0.0), 1.0, along)
    angle = _angle(f, up, along)
    angle = f.select(is_negative(f, x), (math.pi - angle) + _PI_LOW, angle)
    angle = f.select(f.is_nan(x), x, f.select(f.is_nan(y), y, angle))
    return copysign(f, angle, y)


def _arcsine_parts(f: Function, x: Value) -> tuple[Value, Value, Value]:
    """(size > 1/2, s, r): asin(|x|) = r, or pi/2 - 2 r beyond 1/2."""
    size = f.abs(x)
    outer = size > 0.5
    z = f.select(outer, (1.0 - size) * 0.5, size * size)
    s = f.select(outer, f.sqrt(z), size)
    return outer, s, f.fma(s * z, horner(f, C.ASIN64, z), s)


@_in_double
def asin(f: Function, x: Value) -> Value:
    """Inverse sine; NaN outside [-1, 1]."""
    outer, _, r = _arcsine_parts(f, x)
    far = (math.pi / 2 - (r + r)) + _PI_LOW / 2
    return copysign(f, f.select(outer, far, r), x)


@_in_double
def acos(f: Function, x: Value) -> Value:
    """Inverse cosine; NaN outside [-1, 1]."""
    outer, _, r = _arcsine_parts(f, x)
    double = r + r
    near = math.pi / 2 - (copysign(f, r, x) - _PI_LOW / 2)
    return f.select(outer, f.select(x < 0.0, (math.pi - double) + _PI_LOW, double), near)


@_in_double
def sinh(f: Function, x: Value) -> Value:
    """Hyperbolic sine."""
    size = f.abs(x)
    t = expm1(f, f.min(2.0, size))
    near = (t + t / (t + 1.0)) * 0.5
    far = half_exp(f, size) - half_exp(f, -size)
    return copysign(f, f.select(size < 1.0, near, far), x)


@_in_double
def cosh(f: Function, x: Value) -> Value:
    """Hyperbolic cosine."""
    size = f.abs(x)
    return half_exp(f, size) + exp(f, -size) * 0.5


@_in_double
def asinh(f: Function, x: Value) -> Value:
    """Inverse hyperbolic sine."""
    size = f.abs(x)
    square = size * size
    near = log1p(f, size + square / (f.sqrt(square + 1.0) + 1.0))
    far = log(f, size) + math.log(2)
    return copysign(f, f.select(size < 1e9, near, far), x)


@_in_double
def acosh(f: Function, x: Value) -> Value:
    """Inverse hyperbolic cosine; NaN below 1."""
    t = x - 1.0
    near = log1p(f, t + f.sqrt(t * 2.0 + t * t))
    far = log(f, x) + math.log(2)
    result = f.select(x > 1e9, far, near)
    return f.select(x < 1.0, f.const(math.nan, x.type), result)


@_in_double
def atanh(f: Function, x: Value) -> Value:
    """Inverse hyperbolic tangent; infinite at 1, NaN beyond."""
    size = f.abs(x)
    return copysign(f, log1p(f, (size + size) / (1.0 - size)) * 0.5, x)
