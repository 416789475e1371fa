"""Vector mathematics in LLVM IR: exponentials, logarithms, tanh, sigmoid, erf for both precisions.

Each function takes the text builder's function and values of type float or double (any lanes).
Coefficients come from ``tools/fit_coefficients.py``. Errors (largest seen, in units of the last
place) are checked by tests/codegen/test_vmath.py: float32 within 2.5, float64 within 4.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flambeau.codegen import coefficients as C
from flambeau.codegen import vmath_tables
from flambeau.codegen.vmath_core import (
    bits,
    clamp,
    copysign,
    frexp,
    horner,
    is_double,
    magic,
    on_registers,
    pow2,
    scale,
)

if TYPE_CHECKING:
    from flambeau.codegen.emit import Function, Value

#: ln 2 in two parts; whole multiples of the first by any exponent are exact
LN2 = {False: C.LN2_32, True: (6.93147180369123816490e-01, 1.90821492927058770002e-10)}
#: log10 of 2 in two parts, likewise
LOG10_2 = {False: (3.0102920532e-01, 7.9034151668e-07),
           True: (3.01029995663611771306e-01, 3.69423907715893078616e-13)}


def expm1_parts(f: Function, x: Value) -> tuple[Value, Value]:
    """(n, e) with exp(x) = 2**n (1 + e), n whole, |e| <= sqrt(2) - 1; x must be clamped."""
    n = f.fma(x, 1 / math.log(2), magic(x)) - magic(x)
    high, low = LN2[is_double(x)]
    r = f.fma(n, -high, x)
    r = f.fma(n, -low, r)
    return n, expm1_small(f, r)


def expm1_small(f: Function, r: Value) -> Value:
    """expm1 on |r| <= ln(2)/2."""
    return f.fma(r * r, horner(f, C.EXP64 if is_double(r) else C.EXP32, r), r)


def exp(f: Function, x: Value) -> Value:
    """e**x."""
    if _has_tables(f, x):
        return on_registers(f, vmath_tables.exp, x, width=16)
    return _exp(f, clamp(f, x, -746.0, 710.0) if is_double(x) else clamp(f, x, -104.0, 89.0))


def exp_nonpositive(f: Function, x: Value) -> Value:
    """e**x for x <= 0."""
    if _has_tables(f, x):
        return on_registers(f, vmath_tables.exp, x, width=16)
    return _exp(f, f.max(-746.0 if is_double(x) else -104.0, x))


def _exp(f: Function, x: Value) -> Value:
    """e**x of a clamped x."""
    n, e = expm1_parts(f, x)
    return scale(f, e + 1.0, n)


def _has_tables(f: Function, x: Value) -> bool:
    """Whether tables in registers are at hand for the type of x."""
    return not is_double(x) and f.module.host.kind == "avx512"


def half_exp(f: Function, x: Value) -> Value:
    """e**x / 2, without overflow before the result does."""
    x = clamp(f, x, -746.0, 712.0) if is_double(x) else clamp(f, x, -104.0, 90.0)
    n, e = expm1_parts(f, x)
    return scale(f, e + 1.0, n - 1.0)


def exp2(f: Function, x: Value) -> Value:
    """2**x; exact for whole x."""
    x = clamp(f, x, -1080.0, 1025.0) if is_double(x) else clamp(f, x, -151.0, 129.0)
    n = (x + magic(x)) - magic(x)
    return scale(f, expm1_small(f, (x - n) * math.log(2)) + 1.0, n)


def expm1(f: Function, x: Value) -> Value:
    """e**x - 1, precise near zero."""
    y = clamp(f, x, -40.0, 710.0) if is_double(x) else clamp(f, x, -20.0, 89.0)
    n, e = expm1_parts(f, y)
    s = pow2(f, n - 1.0)  # half of 2**n, which may be infinite
    return copysign(f, f.fma(e, s, s - 0.5) * 2.0, x)


def tanh(f: Function, x: Value) -> Value:
    """expm1(2|x|) / (expm1(2|x|) + 2) with the sign of x: one path, one division; AVX-512 looks
    up pieces."""
    if _has_tables(f, x):
        return on_registers(f, vmath_tables.tanh, x, width=16)
    size = f.abs(x)
    size = f.min(20.0 if is_double(x) else 9.2, size)
    n, e = expm1_parts(f, size + size)
    s = pow2(f, n)
    m = f.fma(e, s, s - 1.0)
    return copysign(f, m / (m + 2.0), x)


def sigmoid(f: Function, x: Value) -> Value:
    """1 / (1 + e**-x); by e**-|x|, so that both tails are precise."""
    e = exp_nonpositive(f, -f.abs(x))
    return f.select(x < 0.0, e, 1.0) / (e + 1.0)


def log_parts(f: Function, x: Value) -> tuple[Value, Value]:
    """(g, e): x = (1 + g) 2**e for positive x, subnormal ones too."""
    tiny, up, shift = ((2.0**-1022, 2.0**54, 54.0) if is_double(x) else (2.0**-126, 2.0**23, 23.0))
    small = x < tiny
    m, e = frexp(f, f.select(small, x * up, x))
    return m - 1.0, e - f.select(small, shift, f.zero(x.type))


def _log1p_small(f: Function, g: Value) -> Value:
    """log(1 + g) for g in [sqrt(1/2) - 1, sqrt(2) - 1]."""
    return _log_sum(f, g, None, 0.0, 0.0)


def _log_sum(f: Function, g: Value, e: Value | None, high: float, low: float) -> Value:
    """log(1 + g) + e (high + low), small terms first; e None: zero."""
    if is_double(g):
        s = g / (g + 2.0)
        z = s * s
        half = g * g * 0.5
        tail = s * (half + z * horner(f, C.LOG64, z))
        if e is None:
            return g - (half - tail)
        return e * high - ((half - f.fma(e, low, tail)) - g)
    z = g * g
    r = z * g * horner(f, C.LOG32, g)
    if e is not None:
        r = f.fma(e, low, r)
    r = f.fma(z, -0.5, r) + g
    return r if e is None else f.fma(e, high, r)


def _log_special(f: Function, x: Value, result: Value) -> Value:
    """-inf at zero, NaN below, inf and NaN unchanged."""
    result = f.select(x < math.inf, result, x)
    return f.select(x <= 0.0, f.select(x.eq(0.0), -math.inf, f.const(math.nan, x.type)), result)


def log(f: Function, x: Value) -> Value:
    """Natural logarithm."""
    g, e = log_parts(f, x)
    return _log_special(f, x, _log_sum(f, g, e, *LN2[is_double(x)]))


def log2(f: Function, x: Value) -> Value:
    """Base 2; exact at powers of two."""
    g, e = log_parts(f, x)
    return _log_special(f, x, f.fma(_log1p_small(f, g), 1 / math.log(2), e))


def log10(f: Function, x: Value) -> Value:
    """Base 10."""
    g, e = log_parts(f, x)
    high, low = LOG10_2[is_double(x)]
    rest = f.fma(e, low, _log1p_small(f, g) * (1 / math.log(10)))
    return _log_special(f, x, f.fma(e, high, rest))


def log1p(f: Function, x: Value) -> Value:
    """log(1 + x), precise near zero: the mantissa of 1 + x is rounded once, from x itself."""
    u = x + 1.0
    m, e = frexp(f, u)
    t = pow2(f, -f.min(60.0, e))
    g = f.select(e > 50.0, m - 1.0, f.fma(x, t, t - 1.0))
    result = _log_sum(f, g, e, *LN2[is_double(x)])
    result = f.select(x.eq(0.0), x, result)
    return _log_special(f, u, result)


def erf(f: Function, x: Value) -> Value:
    """The error function: an odd polynomial below 1, 1 - erfc above; AVX-512 looks up pieces."""
    if is_double(x):
        return _erf64(f, x)
    if _has_tables(f, x):
        return on_registers(f, vmath_tables.erf, x, width=16)
    size = f.abs(x)
    near = f.fma(x, horner(f, C.ERF32, x * x), x)
    tail = exp_nonpositive(f, horner(f, C.LOGERFC32, f.min(4.0, size)))
    return f.select(size < 1.0, near, copysign(f, 1.0 - tail, x))


def gelu(f: Function, x: Value) -> Value:
    """x Phi(x), Phi the normal distribution function; at least as precise as by 1 + erf."""
    if _has_tables(f, x):
        return on_registers(f, vmath_tables.gelu, x, width=16)
    return x * 0.5 * (erf(f, x * math.sqrt(0.5)) + 1.0)


def _erf64(f: Function, x: Value) -> Value:
    size = f.abs(x)
    near = f.fma(x, horner(f, C.ERF64, x * x), x)
    tail = _erfc_positive(f, f.min(6.0, size))
    return f.select(size < 1.0, near, copysign(f, 1.0 - tail, x))


def _erfc_positive(f: Function, a: Value) -> Value:
    """erfc on [0.4, 27.3] in float64: exp(-a^2) p((a - 3)/(a + 3)) / (1 + 2a)."""
    p = horner(f, C.ERFCX64, (a - 3.0) / (a + 3.0)) / f.fma(a, 2.0, 1.0)
    # a^2 = cut^2 + low, and the square of the upper half of a's bits is exact
    cut = f.bitcast(bits(f, a) & -(1 << 27), a.type)
    low = (a - cut) * (a + cut)
    n, e = expm1_parts(f, f.max(-760.0, -(cut * cut)))
    return scale(f, (e + 1.0) * exp(f, -low) * p, n)


def erfc(f: Function, x: Value) -> Value:
    """1 - erf(x), precise in the right tail (computed in float64)."""
    if not is_double(x):
        return f.convert(erfc(f, f.convert(x, "double")), "float")
    size = f.abs(x)
    near = 1.0 - f.fma(x, horner(f, C.ERF64, x * x), x)
    tail = _erfc_positive(f, clamp(f, size, 0.4, 27.4))
    return f.select(size < 0.5, near, f.select(x < 0.0, 2.0 - tail, tail))
