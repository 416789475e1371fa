"""sin, cos and tan: argument reduction by multiples of pi/2, for any finite argument.

Up to ``LIMIT`` the multiple is subtracted in parts whose products are exact (Cody and Waite);
beyond, and where almost nothing is left, by 192 bits of 2/pi (Payne and Hanek) in a scalar function
that the vector code branches to when some lane needs it.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

from flambeau.codegen import coefficients as C
from flambeau.codegen.emit_types import lanes, with_element
from flambeau.codegen.vmath_core import (
    any_lane,
    bits,
    fast_two_sum,
    horner,
    is_double,
    magic,
    two_product,
    two_sum,
)

if TYPE_CHECKING:
    from flambeau.codegen.emit import Function, Value

#: largest argument of the fast reduction: the multiple has 20 bits, the parts of pi/2 have 33
LIMIT = 1.0e6
#: pi/2 = PART1 + PART2 + PART3: two times 33 bits and a rest, and the same as two doubles
PART1, PART2, PART3 = (float.fromhex("0x1.921fb544p+0"), float.fromhex("0x1.0b4611a6p-34"),
                       float.fromhex("0x1.3198a2e037073p-69"))
HALF_PI, HALF_PI_LOW = math.pi / 2, 6.123233995736766e-17
#: bits before the first bit of 2/pi in the table, and its length in 64-bit words
_LEAD, _WORDS = 64, 22
_REDUCE = "flambeau_reduce_half_pi"


@cache
def two_over_pi_bits() -> int:
    """2/pi * 2**(64 * _WORDS - _LEAD), cut to a whole number (Machin's formula for pi)."""
    count = 64 * _WORDS - _LEAD
    scale = 1 << (count + 32)

    def arctan_inverse(n: int) -> int:
        total = term = scale // n
        k, sign = 3, -1
        while term:
            term //= n * n
            total += sign * (term // k)
            k, sign = k + 2, -sign
        return total

    pi = 4 * (4 * arctan_inverse(5) - arctan_inverse(239))
    return int(Fraction(2 * scale, pi) * (1 << count))


def sin(f: Function, x: Value) -> Value:
    """Sine, for any argument."""
    return _sine(f, x, 0)


def cos(f: Function, x: Value) -> Value:
    """Cosine, for any argument."""
    return _sine(f, x, 1)


def _sine(f: Function, x: Value, quarter: int) -> Value:
    s, c, q = _sine_cosine(f, x)
    if quarter:
        q = q + quarter
    value = f.select((q & 1).ne(0), c, s)
    sign = (q & 2) << (62 if is_double(x) else 30)
    return f.bitcast(bits(f, value) ^ sign, x.type)


def tan(f: Function, x: Value) -> Value:
    """Tangent, for any argument (float32: the quotient of float64 values)."""
    if not is_double(x):
        return f.cast("fptrunc", tan(f, f.cast("fpext", x, "double")), "float")
    s, c, q = _sine_cosine(f, x)
    odd = (q & 1).ne(0)
    return f.select(odd, -c, s) / f.select(odd, s, c)


def _sine_cosine(f: Function, x: Value) -> tuple[Value, Value, Value]:
    """(sin r, cos r, q) for x = q pi/2 + r; q as integers of the size of x."""
    if is_double(x):
        high, low, q = _reduce(f, x, careful=True)
        s, c = _kernels64(f, high, low)
        return f.select(x.eq(0.0), x, s), c, q  # the sign of zero
    high, _, q = _reduce(f, f.cast("fpext", x, "double"), careful=False)
    r = f.cast("fptrunc", high, "float")
    z = r * r
    s = f.fma(z * r, horner(f, C.SIN32, z), r)
    c = f.fma(z * z, horner(f, C.COS32, z), f.fma(z, -0.5, 1.0))
    return f.select(x.eq(0.0), x, s), c, f.cast("trunc", q, "i32")


def _kernels64(f: Function, x: Value, y: Value) -> tuple[Value, Value]:
    """Sine and cosine of x + y, |x| <= pi/4, |y| below the unit of x."""
    z = x * x
    v = z * x
    half = z * 0.5
    s = x + (v * horner(f, C.SIN64, z) + y * (1.0 - half))
    w = 1.0 - half
    c = w + (((1.0 - w) - half) + (z * z * horner(f, C.COS64, z) - x * y))
    return s, c


def _reduce(f: Function, x: Value, careful: bool) -> tuple[Value, Value, Value]:
    """(r, its low part, q as i64): x = q pi/2 + r + low, |r| <= pi/4. x is double.

    ``careful`` keeps the low part and sends lanes with a tiny remainder the slow way.
    """
    t = f.fma(x, 2 / math.pi, magic(x))
    q = t - magic(x)
    size = f.abs(x)
    rest = x - q * PART1 if not f.module.host.has_fma else f.fma(q, -PART1, x)
    hard = size > LIMIT
    if careful:
        high, error = two_sum(f, rest, q * -PART2)
        high, low = fast_two_sum(f, high, f.fma(q, -PART3, error))
        hard = hard | ((f.abs(high) < 2.0**-36) & (size > 0.7))
    else:
        high, low = f.fma(q, -PART2, rest), f.zero(x.type)
    number = bits(f, t)
    with f.if_(any_lane(f, hard)) as branch:
        slow = _reduce_slowly(f, x)
        branch.give(*(f.select(hard, a, b) for a, b in zip(slow, (high, low, number), strict=True)))
        branch.else_()
        branch.give(high, low, number)
    high, low, number = branch.results
    return high, low, number


def _reduce_slowly(f: Function, x: Value) -> tuple[Value, Value, Value]:
    """The same for each lane with |x| >= 1 by the scalar function."""
    n = lanes(x.type)
    if _REDUCE not in f.module.signatures:
        _emit_reduction(f.module)
    cells = [f.alloca("double", n) for _ in range(4)]
    f.store(x, cells[0])
    f.call(_REDUCE, *cells, n)
    return (f.load(cells[1], x.type), f.load(cells[2], x.type),
            f.load(cells[3], with_element(x.type, "i64")))


def _emit_reduction(module) -> None:
    """``void reduce(x*, high*, low*, q*, n)``: multiply the mantissa with a window of 2/pi's bits.

    The window starts at the bit that counts 2 after scaling with the exponent (bits before it add
    multiples of 4), so the product's top two bits are the quadrant.
    """
    total = two_over_pi_bits()
    words = [(total >> (64 * k)) & (2**64 - 1) for k in range(_WORDS + 1)]
    table = module.table(_REDUCE + "_bits", "i64", words)
    f = module.function(_REDUCE, [("ptr", "x"), ("ptr", "high"), ("ptr", "low"), ("ptr", "q"),
                                  ("i64", "n")], internal=True, attributes="noinline")
    f.fast = ""
    xs, highs, lows, qs, n = f.args
    with f.loop(0, n) as loop:
        x = f.load(f.gep(xs, loop.i, "double"), "double")
        raw = f.bitcast(x, "i64")
        exponent = f.max((raw >> 52) & 0x7FF, 1023)
        mantissa = (raw & ((1 << 52) - 1)) | (1 << 52)
        # 192 bits from bit (exponent - 1075 + 62), counted from the table's top
        shift = 64 * _WORDS - 192 - (exponent - (1075 - 62))
        address = f.gep(f.named("ptr", table), shift >> 3)
        loaded = [f.load(f.gep(address, k, "i64"), "i64", align=1) for k in range(4)]
        w = [f.intrinsic("fshr", loaded[k + 1], loaded[k], shift & 7) for k in range(3)]
        high, low, quadrant = _window_product(f, mantissa, w)
        negative = raw < 0
        f.store(f.select(negative, -high, high) + (x - x), f.gep(highs, loop.i, "double"))
        f.store(f.select(negative, -low, low), f.gep(lows, loop.i, "double"))
        f.store(f.select(negative, -quadrant, quadrant), f.gep(qs, loop.i, "i64"))


def _window_product(f: Function, m: Value, w: list[Value]) -> tuple[Value, Value, Value]:
    """(high, low, quadrant) of m * w * 2**-190 quarter turns; w has its lowest word first."""
    wide = [f.cast("zext", v, "i128") for v in (m, *w)]
    p0 = wide[0] * wide[1]
    p1 = wide[0] * wide[2] + (p0 >> 64)
    p2 = wide[0] * wide[3] + (p1 >> 64)
    x2, x1 = f.cast("trunc", p2, "i64"), f.cast("trunc", p1, "i64")
    quadrant = (x2 + (1 << 61)) >> 62
    top = x2 - (quadrant << 62)  # signed: -1/2 .. 1/2 of a quarter turn
    negative = top < 0
    whole = (f.cast("zext", top, "i128") << 64) | f.cast("zext", x1, "i128")
    whole = f.select(negative, 0 - whole, whole)
    pieces = [f.cast("sitofp", f.cast("trunc", (whole >> s) & ((1 << 42) - 1), "i64"), "double")
              for s in (84, 42, 0)]
    a, rest = fast_two_sum(f, pieces[0] * 2.0**-42, pieces[1] * 2.0**-84)
    a, rest = fast_two_sum(f, a, rest + pieces[2] * 2.0**-126)
    high, error = two_product(f, a, f.const(HALF_PI, "double"))
    low = error + a * HALF_PI_LOW + rest * HALF_PI
    high, low = fast_two_sum(f, high, low)
    return f.select(negative, -high, high), f.select(negative, -low, low), quadrant
