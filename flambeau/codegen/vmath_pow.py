"""Powers: float ** float by logarithm and exponential in about 68 bits, integers by squaring."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING

from flambeau.codegen import coefficients as C
from flambeau.codegen.vmath import LN2, exp, expm1_small, log, log_parts
from flambeau.codegen.vmath_core import (
    any_lane,
    clamp,
    fast_two_sum,
    horner,
    is_double,
    is_negative,
    magic,
    scale,
    trunc,
    two_product,
)

if TYPE_CHECKING:
    from flambeau.codegen.emit import Function, Value

_THIRD_LOW = 1.850371707708594e-17  # 1/3 less the double nearest to it


def pow_(f: Function, x: Value, y: Value) -> Value:
    """x ** y with C's special cases (float32: computed in float64).

    Exponents with a short form have that result, so that it is the same as :func:`pow_uniform`'s;
    roots only of positive numbers, since C's powers of -0.0 and -inf are not roots.
    """
    result = _pow_long(f, x, y)
    for p, short in _SHORT.items():
        chosen = y.eq(p)
        if abs(p) == 0.5:
            chosen = chosen & (x > 0.0)
        result = f.select(chosen, short(f, x), result)
    return result


def _pow_long(f: Function, x: Value, y: Value) -> Value:
    if not is_double(x):
        wide = _pow(f, f.cast("fpext", x, "double"), f.cast("fpext", y, "double"), True)
        return f.cast("fptrunc", wide, "float")
    return _pow(f, x, y, False)


#: exponents with a form of their own, as in PyTorch
_SHORT: dict[float, Callable[[Function, Value], Value]] = {
    3.0: lambda f, x: x * x * x,
    2.0: lambda f, x: x * x,
    0.5: lambda f, x: f.sqrt(x),
    -0.5: lambda f, x: 1.0 / f.sqrt(x),
    -1.0: lambda f, x: 1.0 / x,
    -2.0: lambda f, x: 1.0 / (x * x),
}


def pow_uniform(f: Function, x: Value, y: Value) -> Value:
    """x ** y of a vector and one exponent: small powers and roots are found out at run time."""
    short = reduce(lambda a, b: a | b, (y.eq(p) for p in _SHORT))
    with f.if_(short) as branch:
        branch.give(_one_of(f, x, y, list(_SHORT)))
        branch.else_()
        branch.give(_pow_long(f, x, f.const(y, x.type)))
    return branch.results[0]


def _one_of(f: Function, x: Value, y: Value, powers: list[float]) -> Value:
    first, *others = powers
    if not others:
        return _SHORT[first](f, x)
    with f.if_(y.eq(first)) as branch:
        branch.give(_SHORT[first](f, x))
        branch.else_()
        branch.give(_one_of(f, x, y, others))
    return branch.results[0]


def _pow(f: Function, x: Value, y: Value, single: bool) -> Value:
    size = f.abs(x)
    result = exp(f, y * log(f, size)) if single else _pow_positive(f, size, y)
    result = f.select(size.eq(1.0) & y.eq(y), 1.0, result)
    whole, half = trunc(f, y).eq(y), y * 0.5
    odd = whole & trunc(f, half).ne(half)
    result = f.select(odd & is_negative(f, x), -result, result)
    undefined = (x < 0.0) & (x > -math.inf) & ~whole
    result = f.select(undefined & y.eq(y), f.const(math.nan, x.type), result)
    return f.select(x.eq(1.0) | y.eq(0.0), 1.0, result)


def _pow_positive(f: Function, x: Value, y: Value) -> Value:
    """x ** y of float64 for x >= 0."""
    high, low = _log_pair(f, x)
    finite = (x > 0.0) & (x < math.inf)
    plain = f.select(x.eq(0.0), -math.inf, x)  # log of 0, inf, NaN
    high = f.select(finite, high, plain)
    p, error = two_product(f, y, high)
    error = f.select(f.abs(p) < 1000.0, f.fma(y, low, error), f.zero(x.type))
    p = clamp(f, p, -746.0, 710.0)
    n = f.fma(p, 1 / math.log(2), magic(x)) - magic(x)
    r = f.fma(n, -LN2[True][0], p)
    r = f.fma(n, -LN2[True][1], r) + error
    return scale(f, expm1_small(f, r) + 1.0, n)


def _log_pair(f: Function, x: Value) -> tuple[Value, Value]:
    """log x as two doubles: 2 atanh(s), s = g / (2 + g), with s and s^2/3 in two parts."""
    g, e = log_parts(f, x)
    d = g + 2.0
    d_low = g - (d - 2.0)
    s = g / d
    p, error = two_product(f, s, d)
    s_low = (((g - p) - error) - s * d_low) / d
    z, z_low = two_product(f, s, s)
    z_low = z_low + (s + s) * s_low
    t, t_low = two_product(f, z, f.const(1 / 3, z.type))
    t_low = t_low + (z * _THIRD_LOW + z_low * (1 / 3))
    u, u_low = fast_two_sum(f, t, z * z * horner(f, C.POWLOG64, z))
    u_low = u_low + t_low
    s, s_low = s + s, s_low + s_low
    q, q_low = two_product(f, s, u)
    q_low = q_low + (s * u_low + s_low * u)
    high, low = fast_two_sum(f, s, q)
    low = low + (s_low + q_low)
    high, error = fast_two_sum(f, e * LN2[True][0], high)
    return fast_two_sum(f, high, error + (low + e * LN2[True][1]))


def int_pow(f: Function, x: Value, y: Value, signed: bool) -> Value:
    """x ** y by repeated squaring, wrapping; y < 0 gives 0 unless x is 1 or -1."""
    one = f.const(1, x.type)
    exponent = f.max(y, 0) if signed else y
    with f.while_([one, x, exponent]) as loop:
        result, base, left = loop.carried
        loop.leave_unless(any_lane(f, left.ne(0)))
        odd = (left & 1).ne(0)
        loop.next(f.select(odd, result * base, result), base * base, left >> 1)
    result = loop.carried[0]
    if not signed:
        return result
    unit = f.select((y & 1).eq(0), one, x)
    inverse = f.select(x.eq(1) | x.eq(-1), unit, 0)
    return f.select(y < 0, inverse, result)
