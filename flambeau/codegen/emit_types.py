"""LLVM types and constants as text.

A type is the text LLVM prints for it: ``"float"``, ``"i64"``, ``"ptr"``, ``"<16 x float>"``.
"""

from __future__ import annotations

import struct
from functools import cache

import ml_dtypes
import numpy as np

#: LLVM type of one stored element, by flambeau dtype name (bool is stored as a byte)
ELEMENT = {
    "bool": "i8", "uint8": "i8", "int8": "i8", "uint16": "i16", "int16": "i16", "uint32": "i32",
    "int32": "i32", "uint64": "i64", "int64": "i64", "float16": "half", "bfloat16": "bfloat",
    "float32": "float", "float64": "double",
}
_BYTES = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "half": 2, "bfloat": 2, "float": 4,
          "double": 8, "ptr": 8}
_SUFFIX = {"half": "f16", "bfloat": "bf16", "float": "f32", "double": "f64", "ptr": "p0"}


@cache
def vector(elem: str, lanes: int) -> str:
    """``<lanes x elem>``; one lane is the scalar type itself."""
    return f"<{lanes} x {elem}>" if lanes > 1 else elem


@cache
def element(t: str) -> str:
    """The element type of a vector type; a scalar type is its own element."""
    return t[t.index(" x ") + 3:-1] if t[0] == "<" else t


@cache
def lanes(t: str) -> int:
    """The number of lanes; 1 for a scalar type."""
    return int(t[1:t.index(" x ")]) if t[0] == "<" else 1


@cache
def is_float(t: str) -> bool:
    """Whether the elements are floating-point numbers."""
    return element(t) in ("half", "bfloat", "float", "double")


@cache
def with_element(t: str, elem: str) -> str:
    """The type with as many lanes and another element type."""
    return vector(elem, lanes(t))


@cache
def itemsize(t: str) -> int:
    """Bytes of one element in memory."""
    return _BYTES[element(t)]


@cache
def suffix(t: str) -> str:
    """How the type is spelled in the name of an intrinsic: ``v16f32``."""
    e = element(t)
    e = _SUFFIX.get(e, e)
    return f"v{lanes(t)}{e}" if t[0] == "<" else e


def literal(value, t: str) -> str:
    """A constant of scalar or vector type ``t`` (the same value in every lane).

    Integers wrap to the width of the type; floats round to nearest even.
    """
    e = element(t)
    if e == "double":
        text = _hex_double(float(value))
    elif e == "float":
        with np.errstate(over="ignore"):
            text = _hex_double(float(np.float32(value)))
    elif e == "half":
        with np.errstate(over="ignore"):
            text = f"0xH{np.float16(value).view(np.uint16):04X}"
    elif e == "bfloat":
        pattern = np.asarray(value, ml_dtypes.bfloat16).view(np.uint16)
        text = f"0xR{int(pattern):04X}"
    elif e == "i1":
        text = "true" if value else "false"
    elif e == "ptr":
        text = "null" if value == 0 else f"inttoptr (i64 {int(value)} to ptr)"
    else:
        bits = int(e[1:])
        number = int(value) & ((1 << bits) - 1)
        text = str(number - (1 << bits) if number >> (bits - 1) else number)
    return f"splat ({e} {text})" if t[0] == "<" else text


def _hex_double(value: float) -> str:
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
