"""Functions of float32 that AVX-512 looks up: a permute instruction picks from 16 or 32 numbers.

Rules for sixteen lanes; ``vmath_core.on_registers`` applies them to any number of lanes. Each
permute stands right before the multiply-add that takes its numbers, which is 3 to 10 % faster than
all permutes first (Zen 5: both compete for the reading of third operands).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flambeau.codegen import coefficients as C
from flambeau.codegen.emit_types import literal
from flambeau.codegen.vmath_core import bits, copysign, magic, scale

if TYPE_CHECKING:
    from flambeau.codegen.emit import Function, Value

_T, _WHOLE = "<16 x float>", "<16 x i32>"
#: operands of ``vrangeps``: the operand of smaller size, with the first one's sign or without it
_SMALLER, _SMALLER_SIZE = 2, 10


def exp(f: Function, x: Value) -> Value:
    """2**n (1 + e) with n in sixteenths: its fraction is permuted out of a register, its whole part
    is what the scaling instruction takes, and a short polynomial is left.

    e holds what rounding took from the table's numbers, so one result in a hundred is not the
    nearest number. Only the polynomial needs a limit: scaling takes any n, infinite and NaN too.
    """
    nearest = f.fma(x, 1 / math.log(2), magic(x) / 16)
    n = nearest - magic(x) / 16
    high, low = C.LN2_32
    r = _range(f, f.fma(n, -low, f.fma(n, -high, x)), 0.0226, _SMALLER)
    column = bits(f, nearest)
    p = f.fma(r, C.EXP_SHORT32[1], C.EXP_SHORT32[0])
    e = f.fma(f.fma(p, r, 1.0), r, _pick(f, C.POWERS_LOST32, column))
    power = _pick(f, C.POWERS_OF_TWO32, column)
    return scale(f, f.fma(power, e, power), n)


def erf(f: Function, x: Value) -> Value:
    """By pieces: a third of the work of two branches and an exponential."""
    size = f.min(3.93, f.abs(x))
    return copysign(f, _pieces(f, C.ERF_TABLE32, size, 3), x)


def tanh(f: Function, x: Value) -> Value:
    """By pieces of 7/8 of the size."""
    size = f.min(7.8, f.abs(x) * 0.875)
    return copysign(f, _pieces(f, C.TANH_TABLE32, size, 2), x)


def gelu(f: Function, x: Value) -> Value:
    """max(x, 0) + |x| h(|x|) with h(a) = -erfc(a / sqrt 2) / 2; far to the left it is -0.0."""
    h = _pieces(f, C.GELU_TABLE32, _range(f, x, 7.8, _SMALLER_SIZE), 2)
    return f.fma(h, f.abs(x), _positive(f, x))


def _pieces(f: Function, table: tuple[tuple[float, ...], ...], x: Value, places: int) -> Value:
    """A function by 32 polynomials around the multiples of 2**-places from 0 on, their coefficients
    permuted out of registers."""
    t = _fraction(f, x, places)
    column = bits(f, x + magic(x) / 2**places)  # the instruction reads the low five bits
    p = _pick(f, table[-1], column)
    for row in reversed(table[:-1]):
        p = f.fma(p, t, _pick(f, row, column))
    return p


def _fraction(f: Function, x: Value, places: int) -> Value:
    """What is left of x after rounding to a multiple of 2**-places (ties to even)."""
    name = "@llvm.x86.avx512.mask.reduce.ps.512"
    f.module.declare(f"declare {_T} {name}({_T}, i32, {_T}, i16, i32)")
    return f.emit_value(_T, f"call {_T} {name}({_T} {x}, i32 {places << 4}, {_T} zeroinitializer, "
                            "i16 -1, i32 4)")


def _range(f: Function, x: Value, limit: float, what: int) -> Value:
    """x limited to ``limit`` in size; NaN becomes the limit."""
    name = "@llvm.x86.avx512.mask.range.ps.512"
    f.module.declare(f"declare {_T} {name}({_T}, {_T}, i32, {_T}, i16, i32)")
    return f.emit_value(_T, f"call {_T} {name}({_T} {x}, {_T} {f.const(limit, _T)}, i32 {what}, "
                            f"{_T} zeroinitializer, i16 -1, i32 4)")


def _positive(f: Function, x: Value) -> Value:
    """max(-0.0, x), NaN stays; as an instruction, since LLVM would join a comparison and a choice
    with what follows into a masked operation more."""
    name = "@llvm.x86.avx512.max.ps.512"
    f.module.declare(f"declare {_T} {name}({_T}, {_T}, i32)")
    return f.emit_value(_T, f"call {_T} {name}({_T} {f.const(-0.0, _T)}, {_T} {x}, i32 4)")


def _pick(f: Function, table: tuple[float, ...], index: Value) -> Value:
    """Entries of a table of 16 or 32 numbers, by the low bits of the index."""
    numbers = [f"float {literal(c, 'float')}" for c in table]
    parts = [f"<{', '.join(numbers[k:k + 16])}>" for k in range(0, len(table), 16)]
    if len(parts) == 1:
        name, types = "@llvm.x86.avx512.permvar.sf.512", f"{_T}, {_WHOLE}"
        operands = f"{_T} {parts[0]}, {_WHOLE} {index}"
    else:
        name, types = "@llvm.x86.avx512.vpermi2var.ps.512", f"{_T}, {_WHOLE}, {_T}"
        operands = f"{_T} {parts[0]}, {_WHOLE} {index}, {_T} {parts[1]}"
    f.module.declare(f"declare {_T} {name}({types})")
    return f.emit_value(_T, f"call {_T} {name}({operands})")
