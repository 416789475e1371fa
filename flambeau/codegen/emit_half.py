"""Conversions of the 16-bit float types, in integer arithmetic where the host has no instruction.

LLVM would otherwise call library functions that need not exist in the process. All conversions go
through float32 (as PyTorch's do), round to nearest even, keep NaN a NaN and saturate to infinity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambeau.codegen.emit_types import element, with_element

if TYPE_CHECKING:
    from flambeau.codegen.emit import Function, Value

_INF32 = 0x7F800000


def convert_half(f: Function, x: Value, elem: str, signed: bool) -> Value:
    """Convert ``x`` to elements ``elem``, one of the two being half or bfloat."""
    source = element(x.type)
    if source == "half":
        return f.convert(half_to_float(f, x), elem, signed)
    if source == "bfloat":
        return f.convert(bfloat_to_float(f, x), elem, signed)
    x = f.convert(x, "float", signed)
    return float_to_half(f, x) if elem == "half" else float_to_bfloat(f, x)


def bfloat_to_float(f: Function, x: Value) -> Value:
    """A bfloat16 is the upper half of a float32."""
    bits = f.convert(f.bitcast(x, with_element(x.type, "i16")), "i32", signed=False)
    return f.bitcast(bits << 16, with_element(x.type, "float"))


def float_to_bfloat(f: Function, x: Value) -> Value:
    """Add half a unit (less one bit, if the result would become odd) and cut."""
    bits = f.bitcast(x, with_element(x.type, "i32"))
    rounded = (bits + ((bits >> 16) & 1) + 0x7FFF) >> 16
    rounded = f.select(f.is_nan(x), (bits >> 16) | 0x40, rounded)
    return f.bitcast(f.cast("trunc", rounded, "i16"), with_element(x.type, "bfloat"))


def half_to_float(f: Function, x: Value) -> Value:
    """Move exponent and mantissa into place and rescale by 2**112 (exact for subnormals too)."""
    if f.module.host.has_f16:
        return f.cast("fpext", x, "float")
    floats = with_element(x.type, "float")
    bits = f.convert(f.bitcast(x, with_element(x.type, "i16")), "i32", signed=False)
    magnitude = bits & 0x7FFF
    scaled = f.bitcast(f.bitcast(magnitude << 13, floats) * 2.0**112, with_element(x.type, "i32"))
    scaled = f.select(magnitude >= 0x7C00, scaled | _INF32, scaled)
    return f.bitcast(scaled | ((bits & 0x8000) << 16), floats)


def float_to_half(f: Function, x: Value) -> Value:
    """Round by integer addition; subnormal results by adding a float whose unit is theirs."""
    if f.module.host.has_f16:
        return f.cast("fptrunc", x, "half")
    ints = with_element(x.type, "i32")
    bits = f.bitcast(x, ints)
    sign, magnitude = (bits >> 16) & 0x8000, bits & 0x7FFFFFFF
    normal = (magnitude - (112 << 23) + 0xFFF + ((magnitude >> 13) & 1)) >> 13
    # float32 at 0.5 has the unit 2**-24, the smallest half
    small = f.bitcast(f.bitcast(magnitude, x.type) + 0.5, ints) - (126 << 23)
    result = f.select(magnitude < (113 << 23), small, normal)
    result = f.select(magnitude >= (143 << 23), 0x7C00, result)
    result = f.select(magnitude > _INF32, 0x7E00, result)
    return f.bitcast(f.cast("trunc", result | sign, "i16"), with_element(x.type, "half"))
