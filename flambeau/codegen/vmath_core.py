"""Building blocks of the vector mathematics: polynomials, rounding, scaling by powers of two.

All functions take the text builder's ``Function`` and values of type float or double, any number of
lanes. They rely on strict arithmetic (``f.fast == ""``): error terms must not be simplified away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from flambeau.codegen.emit_types import element, itemsize, lanes, with_element

if TYPE_CHECKING:
    from flambeau.codegen.emit import Function, Value

#: mantissa bits, exponent bias and 1.5 * 2**mantissa bits, whose unit is 1, by element type
_MANTISSA = {"float": 23, "double": 52}
_BIAS = {"float": 127, "double": 1023}
#: the bits of sqrt(1/2)
_ROOT_HALF = {"float": 0x3F3504F3, "double": 0x3FE6A09E667F3BCD}


def is_double(x: Value) -> bool:
    """Whether the elements are float64."""
    return element(x.type) == "double"


def mantissa_bits(x: Value) -> int:
    """Stored bits of the mantissa: 23 or 52."""
    return _MANTISSA[element(x.type)]


def magic(x: Value) -> float:
    """Adding this number rounds |x| < 2**(mantissa bits - 1) to a whole number, whose value then
    stands in the low bits of the sum."""
    return 1.5 * 2.0 ** mantissa_bits(x)


def integer_type(x: Value) -> str:
    """The integer vector type of the same size."""
    return with_element(x.type, f"i{8 * itemsize(x.type)}")


def bits(f: Function, x: Value) -> Value:
    """The bits of floats as integers."""
    return f.bitcast(x, integer_type(x))


def horner(f: Function, coefficients: Sequence[float], x: Value) -> Value:
    """The polynomial with these coefficients, lowest power first."""
    result = f.const(coefficients[-1], x.type)
    for c in reversed(coefficients[:-1]):
        result = f.fma(result, x, c)
    return result


def clamp(f: Function, x: Value, low: float, high: float) -> Value:
    """Limit to [low, high]; NaN stays (min and max give their second operand then)."""
    return f.min(high, f.max(low, x))


def copysign(f: Function, size: Value, sign: Value) -> Value:
    """The magnitude of one and the sign of the other."""
    return f.intrinsic("copysign", size, sign)


def is_negative(f: Function, x: Value) -> Value:
    """Whether the sign bit is set (true for -0.0)."""
    return bits(f, x) < 0


def any_lane(f: Function, mask: Value) -> Value:
    """Whether the condition holds in some lane, as one i1."""
    return f.reduce("or", mask) if lanes(mask.type) > 1 else mask


def _lacks_rounding(f: Function) -> bool:
    """Plain SSE2 has no rounding instructions; LLVM would call the C library lane by lane."""
    return f.module.host.kind == "sse2"


def rint(f: Function, x: Value) -> Value:
    """To the nearest whole number, ties to even; keeps -0.0."""
    if not _lacks_rounding(f):
        return f.intrinsic("rint", x)
    big = 2.0 ** mantissa_bits(x)
    size = f.abs(x)
    rounded = f.select(size < big, (size + big) - big, x)  # NaN and whole numbers stay
    return copysign(f, rounded, x)


def trunc(f: Function, x: Value) -> Value:
    """Towards zero; keeps -0.0."""
    if not _lacks_rounding(f):
        return f.intrinsic("trunc", x)
    size = f.abs(x)
    near = rint(f, size)
    return copysign(f, f.select(near > size, near - 1.0, near), x)


def floor(f: Function, x: Value) -> Value:
    """Downwards; keeps -0.0."""
    if not _lacks_rounding(f):
        return f.intrinsic("floor", x)
    near = rint(f, x)
    return copysign(f, f.select(near > x, near - 1.0, near), x)


def ceil(f: Function, x: Value) -> Value:
    """Upwards; keeps -0.0."""
    if not _lacks_rounding(f):
        return f.intrinsic("ceil", x)
    near = rint(f, x)
    return copysign(f, f.select(near < x, near + 1.0, near), x)


def pow2(f: Function, n: Value) -> Value:
    """2**n for floats that are whole numbers within the range of normal exponents."""
    m = mantissa_bits(n)
    low = bits(f, n + magic(n))
    return f.bitcast((low << m) + (_BIAS[element(n.type)] << m), n.type)


def scale(f: Function, x: Value, n: Value) -> Value:
    """x * 2**n for whole n up to twice the exponent range."""
    if f.module.host.kind == "avx512":
        return on_registers(f, _scalef, x, n)
    half = (n * 0.5 + magic(n)) - magic(n)
    return (x * pow2(f, half)) * pow2(f, n - half)


def _scalef(f: Function, x: Value, n: Value) -> Value:
    """The instruction: one rounding, into subnormals and infinity too."""
    count, t, total = lanes(x.type), x.type, 8 * lanes(x.type) * itemsize(x.type)
    mask = f"i{max(8, count)}"
    name = f"@llvm.x86.avx512.mask.scalef.{'pd' if is_double(x) else 'ps'}.{total}"
    rounding, rounding_type = (", i32 4", ", i32") if total == 512 else ("", "")
    f.module.declare(f"declare {t} {name}({t}, {t}, {t}, {mask}{rounding_type})")
    return f.emit_value(t, f"call {t} {name}({t} {x}, {t} {n}, {t} zeroinitializer, "
                           f"{mask} -1{rounding})")


def on_registers(f: Function, rule: Callable[..., Value], *operands: Value,
                 width: int = 0) -> Value:
    """Apply a rule that exists for whole registers only (128, 256 or 512 bits; or ``width`` lanes).

    Fewer lanes are padded, more are halved, so that results do not depend on the number of lanes.
    """
    n = lanes(operands[0].type)
    most = 64 // itemsize(operands[0].type)
    if n > most:
        low, high = (on_registers(f, rule, *(f.shuffle(x, None, part) for x in operands))
                     for part in (range(n // 2), range(n // 2, n)))
        return f.shuffle(low, high, range(n))
    full = width or max(most // 4, 1 << (n - 1).bit_length())
    if n == full:
        return rule(f, *operands)
    if n == 1:
        wide = [f.splat(x, full) for x in operands]
        return f.extract(rule(f, *wide), 0)
    wide = [f.shuffle(x, None, [min(k, n - 1) for k in range(full)]) for x in operands]
    return f.shuffle(rule(f, *wide), None, range(n))


def frexp(f: Function, x: Value) -> tuple[Value, Value]:
    """(m, e) with x = m * 2**e, m in [sqrt(1/2), sqrt(2)); x normal and positive. e is a float."""
    m = mantissa_bits(x)
    root = _ROOT_HALF[element(x.type)]
    raw = bits(f, x)
    if is_double(x):  # i64 to double has no AVX2 instruction: through the mantissa of 2**52
        above = (raw - root + (1024 << m)) >> m
        exponent = f.bitcast(above | 0x4330000000000000, x.type) - (2.0**52 + 1024)
        return f.bitcast(raw - ((above - 1024) << m), x.type), exponent
    whole = f.ashr(raw - root, m)
    return f.bitcast(raw - (whole << m), x.type), f.cast("sitofp", whole, "float")


def two_sum(f: Function, a: Value, b: Value) -> tuple[Value, Value]:
    """a + b as rounded sum and error (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def fast_two_sum(f: Function, a: Value, b: Value) -> tuple[Value, Value]:
    """The same for |a| >= |b| or a = 0 (Dekker)."""
    total = a + b
    return total, b - (total - a)


def two_product(f: Function, a: Value, b: Value) -> tuple[Value, Value]:
    """a * b as rounded product and error (float64; no overflow in intermediate steps assumed)."""
    product = a * b
    if f.module.host.has_fma:
        return product, f.fma(a, b, -product)
    (a1, a2), (b1, b2) = _split(f, a), _split(f, b)
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def _split(f: Function, a: Value) -> tuple[Value, Value]:
    """Upper 26 bits and rest (Veltkamp)."""
    c = a * (2.0**27 + 1 if is_double(a) else 2.0**12 + 1)
    upper = c - (c - a)
    return upper, a - upper
