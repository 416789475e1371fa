"""Division with remainder of vectors: exact for floats of any ratio, safe for integers.

CPUs have no vector integer division: up to 32 bits it is done in floating point, which is exact
there (the quotient of two n-bit integers is at least 2**-n away from the next whole number); 64-bit
lanes are divided one by one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flambeau.codegen.emit_types import element, lanes
from flambeau.codegen.vmath_core import any_lane, copysign, floor, is_double, trunc

if TYPE_CHECKING:
    from flambeau.codegen.emit import Function, Value


# -- floats ---------------------------------------------------------------------------------------


def float_fmod(f: Function, x: Value, y: Value) -> Value:
    """x - y * trunc(x / y), exactly."""
    exact = f.module.host.has_fma if is_double(x) else True
    if not exact:
        return _fmod_by_lane(f, x, y)
    result, hard = _fmod_fast(f, x, y)
    with f.if_(any_lane(f, hard)) as branch:
        slow = _fmod_by_lane(f, x, y)
        branch.give(f.select(hard, slow, result))
        branch.else_()
        branch.give(result)
    return branch.results[0]


def _fmod_fast(f: Function, x: Value, y: Value) -> tuple[Value, Value]:
    """(result, lanes where the quotient is too large for it). float32 is computed in float64."""
    single = not is_double(x)
    if single:
        x, y = f.cast("fpext", x, "double"), f.cast("fpext", y, "double")
    a, d = f.abs(x), f.abs(y)
    ratio = a / d
    q = trunc(f, ratio)
    r = a - q * d if single else f.fma(-q, d, a)
    r = f.select(r < 0.0, r + d, r)  # the quotient was rounded up to a whole number
    r = f.select(d.eq(math.inf), a, r)
    r = f.select(a < math.inf, r, f.const(math.nan, a.type))
    hard = (ratio > (2.0**28 if single else 2.0**51)) & (d > 0.0)
    r = copysign(f, f.select(d.eq(0.0), f.const(math.nan, a.type), r), x)
    return (f.cast("fptrunc", r, "float") if single else r), hard


def _fmod_by_lane(f: Function, x: Value, y: Value) -> Value:
    """The C library's fmod, lane by lane."""
    return f.binary("rem", x, y)


def float_remainder(f: Function, x: Value, y: Value) -> Value:
    """fmod moved to the sign of y (PyTorch's rule; a zero keeps the sign of x)."""
    r = float_fmod(f, x, y)
    return f.select(_wrong_side(f, r, y), r + y, r)


def _wrong_side(f: Function, r: Value, y: Value) -> Value:
    return r.ne(0.0) & ((r < 0.0) ^ (y < 0.0))


def float_floordiv(f: Function, x: Value, y: Value) -> Value:
    """The whole number below x / y, from the exact remainder (Python's algorithm)."""
    r = float_fmod(f, x, y)
    q = (x - r) / y
    q = f.select(_wrong_side(f, r, y), q - 1.0, q)
    down = floor(f, q)
    down = f.select((q - down) > 0.5, down + 1.0, down)
    plain = x / y
    down = f.select(q.eq(0.0), copysign(f, f.zero(x.type), plain), down)
    return f.select(y.eq(0.0), plain, down)


def float_truncdiv(f: Function, x: Value, y: Value) -> Value:
    """trunc(x / y) (PyTorch's rule: of the rounded quotient)."""
    return trunc(f, x / y)


# -- integers -------------------------------------------------------------------------------------


def int_truncdiv(f: Function, x: Value, y: Value, signed: bool) -> Value:
    """The quotient towards zero; 0 for y = 0; the smallest integer / -1 wraps."""
    size = int(element(x.type)[1:])
    if size == 64 or lanes(x.type) == 1:
        return _divide_by_lane(f, x, y, signed)
    elem = "double" if size == 32 else "float"
    to, back = ("sitofp", "fptosi") if signed else ("uitofp", "fptoui")
    wide = {8: "i32", 16: "i32", 32: "i64" if not signed else "i32"}[size]
    zero = y.eq(0)
    safe = f.select(zero, 1, y)
    if signed and size == 32:  # -2**31 / -1 does not fit: negate by hand
        minus = y.eq(-1)
        safe = f.select(minus, 1, safe)
    a, b = f.cast(to, x, elem), f.cast(to, safe, elem)
    q = f.convert(f.cast(back, a / b, wide), element(x.type))
    if signed and size == 32:
        q = f.select(minus, -x, q)
    return f.select(zero, 0, q)


def _divide_by_lane(f: Function, x: Value, y: Value, signed: bool) -> Value:
    zero = y.eq(0)
    if not signed:
        return f.select(zero, 0, f.udiv(x, f.select(zero, 1, y)))
    minus = y.eq(-1)
    q = x / f.select(zero | minus, 1, y)
    return f.select(zero, 0, f.select(minus, -x, q))


def int_fmod(f: Function, x: Value, y: Value, signed: bool) -> Value:
    """x - y * truncdiv(x, y); 0 for y = 0."""
    r = x - int_truncdiv(f, x, y, signed) * y
    return f.select(y.eq(0), 0, r)


def int_remainder(f: Function, x: Value, y: Value, signed: bool) -> Value:
    """The remainder with the sign of y; 0 for y = 0."""
    r = int_fmod(f, x, y, signed)
    if not signed:
        return r
    return f.select(r.ne(0) & ((r ^ y) < 0), r + y, r)


def int_floordiv(f: Function, x: Value, y: Value, signed: bool) -> Value:
    """The quotient rounded downwards; 0 for y = 0."""
    q = int_truncdiv(f, x, y, signed)
    if not signed:
        return q
    r = f.select(y.eq(0), 0, x - q * y)
    return f.select(r.ne(0) & ((r ^ y) < 0), q - 1, q)
