"""Compiled forms of the random recipes that NumPy is slow at; the numbers are the same.

``normal`` is ``boxmuller.transform`` with the uniforms made on the way; ``shuffle`` is Fisher and
Yates' loop; ``library`` calls a function of the C library for every element. They are compiled the
first time a program draws many numbers, or often.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

import numpy as np

from ..codegen.emit import Function, Module, Value
from ..codegen.host import host
from ..runtime import jit
from . import boxmuller as bm

_LANES = 8
_F, _I = f"<{_LANES} x float>", f"<{_LANES} x i32>"
#: functions of the C library that :func:`library` knows
LIBRARY = ("log", "log1p", "exp", "sin", "cos", "tan")


def runs_here() -> bool:
    """Whether the processor multiplies and adds at once, as the recipes do."""
    return host().has_fma


def normal(words: np.ndarray, mean: float, std: float) -> None:
    """Turn 32-bit words (uint32, contiguous, a multiple of 16) into float32 normals, in place."""
    bits = struct.unpack("<q", struct.pack("<ff", mean, std))[0]
    _functions()["normal"](words.ctypes.data, words.size >> 4, bits)


def shuffle(order: np.ndarray, words: np.ndarray) -> None:
    """Swap element i with element ``i + words[i] % (n - i)``, for i from the front.

    Args:
        order: int64, n elements, permuted in place.
        words: uint32, n - 1 elements.
    """
    _functions()["shuffle"](order.ctypes.data, words.ctypes.data, order.size)


def library(name: str, x: np.ndarray) -> np.ndarray:
    """The C library's ``log log1p exp sin cos tan`` of float64 numbers."""
    x = np.ascontiguousarray(x)
    out = np.empty_like(x)
    _functions()["map_" + name](x.ctypes.data, out.ctypes.data, x.size)
    return out


@cache
def _functions() -> dict[str, Callable]:
    module = Module()
    _emit_normal(module)
    _emit_shuffle(module)
    for name in LIBRARY:
        _emit_map(module, name)
    names = ("normal", "shuffle", *("map_" + name for name in LIBRARY))
    return jit.functions(str(module), dict.fromkeys(names, 3))


def _emit_map(module: Module, name: str) -> None:
    module.external(name, "double", ("double",))
    f = module.function("map_" + name, (("ptr", "x"), ("ptr", "out"), ("i64", "n")))
    x, out, n = f.args
    with f.loop(0, n) as loop:
        y = f.call(name, f.load(f.gep(x, loop.i, "double"), "double"))
        f.store(y, f.gep(out, loop.i, "double"))


def _emit_shuffle(module: Module) -> None:
    f = module.function("shuffle", (("ptr", "order"), ("ptr", "words"), ("i64", "n")))
    order, words, n = f.args
    with f.loop(0, n - 1) as loop:
        word = f.load(f.gep(words, loop.i, "i32"), "i32")
        left = f.cast("trunc", n - loop.i, "i32")
        ahead = f.cast("zext", f.urem(word, left), "i64")
        here, there = f.gep(order, loop.i, "i64"), f.gep(order, loop.i + ahead, "i64")
        a, b = f.load(here, "i64"), f.load(there, "i64")
        f.store(b, here)
        f.store(a, there)


def _emit_normal(module: Module) -> None:
    f = module.function("normal", (("ptr", "data"), ("i64", "blocks"), ("i64", "bits")))
    f.fast = ""  # every rounding below is meant
    data, blocks, bits = f.args
    both = f.bitcast(bits, "<2 x float>")
    mean = f.splat(f.extract(both, 0), _LANES)
    std = f.splat(f.extract(both, 1), _LANES)
    with f.loop(0, blocks) as loop:
        first = f.gep(data, loop.i * 16, "i32")
        second = f.gep(first, _LANES, "i32")
        u1, u2 = (_uniform(f, f.load(p, _I, 4)) for p in (first, second))
        radius = f.sqrt(_log(f, 1.0 - u1) * -2.0)
        sin, cos = _sincos(f, u2 * float(bm._TWO_PI))
        f.store(f.fma(radius * cos, std, mean), first, 4)
        f.store(f.fma(radius * sin, std, mean), second, 4)


def _uniform(f: Function, words: Value) -> Value:
    return f.cast("sitofp", words & 0xFFFFFF, "float") * 2.0**-24


def _polynomial(f: Function, x: Value, coefficients) -> Value:
    y = f.const(coefficients[0], x.type)
    for c in coefficients[1:]:
        y = f.fma(y, x, c)
    return y


def _log(f: Function, x: Value) -> Value:
    """Natural logarithm of x in (0, 1]; see ``boxmuller._log``."""
    bits = f.bitcast(x, _I)
    e = f.cast("sitofp", (bits >> 23) - 126, "float")
    m = f.bitcast((bits & 0x007FFFFF) | 0x3F000000, _F)
    small = m < float(bm._SQRT_HALF)
    e = e - f.select(small, f.const(1.0, _F), 0.0)
    m = m - 1.0 + f.select(small, m, 0.0)
    z = m * m
    y = _polynomial(f, m, bm._LOG) * m
    y = f.fma(y, z, e * float(bm._LN2_LOW))
    m = m + (y - z * 0.5)
    return f.fma(e, float(bm._LN2_HIGH), m)


def _sincos(f: Function, theta: Value) -> tuple[Value, Value]:
    """Sine and cosine of theta in [0, 2 pi); see ``boxmuller._sincos``."""
    octant = f.cast("fptosi", theta * float(bm._FOUR_OVER_PI), "i32") + 1 & -2
    y = f.cast("sitofp", octant, "float")
    swap = (octant & 2).ne(0)
    for part in bm._PI4:
        theta = f.fma(y, float(part), theta)
    z = theta * theta
    p = _polynomial(f, z, bm._COS) * z
    p = f.fma(p, z, z * -0.5) + 1.0
    q = _polynomial(f, z, bm._SIN) * z
    q = f.fma(q, theta, theta)

    def signed(x: Value, flip: Value) -> Value:
        return f.bitcast(f.bitcast(x, _I) ^ (flip << 29), _F)

    return (signed(f.select(swap, p, q), octant & 4),
            signed(f.select(swap, q, p), octant + 2 & 4))
