"""The Mersenne twister of NumPy's generators, many words at a time; the numbers are the same.

Formula: Matsumoto and Nishimura, Mersenne Twister: A 623-dimensionally equidistributed uniform
pseudorandom number generator (1998). Word i of the next block depends on the words i, i + 1 and
i + 397 of this one, so that blocks can be made in vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from ..codegen.emit import Function, Module, Value
from ..runtime import jit

#: words of a block, and how far apart the words are that meet
_SIZE, _APART = 624, 397
_LANES = 16
_WORDS, _PAIRS = f"<{_LANES} x i32>", f"<{_LANES // 2} x i64>"


def words(bits: np.random.MT19937, n: int) -> np.ndarray:
    """The next ``n`` words (uint32)."""
    out = np.empty(n, np.uint32)
    with bits.lock:
        _functions()["words"](bits.ctypes.state_address, out.ctypes.data, n)
    return out


def chances(bits: np.random.MT19937, n: int, p: float) -> np.ndarray:
    """``n`` bools that are True with probability ``p``: 53 bits of two words each are below it."""
    drawn, out = words(bits, 2 * n), np.empty(n, np.bool_)
    _functions()["chances"](drawn.ctypes.data, out.ctypes.data, n, math.ceil(p * 2.0**53))
    return out


@cache
def _functions() -> dict[str, Callable]:
    module = Module()
    _emit_words(module)
    _emit_chances(module)
    return jit.functions(str(module), {"words": 3, "chances": 4})


def _emit_words(module: Module) -> None:
    f = module.function("words", (("ptr", "state"), ("ptr", "out"), ("i64", "count")))
    state, out, count = f.args
    place = f.gep(state, _SIZE, "i32")
    start = f.cast("zext", f.load(place, "i32"), "i64")
    with f.while_([f.const(0, "i64"), start]) as w:
        done, at = w.carried
        w.leave_unless(done < count)
        used_up = at.eq(_SIZE)
        with f.if_(used_up):
            _twist(f, state)
        at = f.select(used_up, f.const(0, "i64"), at)
        n = f.min(_SIZE - at, count - done)
        source, target = f.gep(state, at, "i32"), f.gep(out, done, "i32")
        whole = n & -_LANES
        for first, last, t in ((0, whole, _WORDS), (whole, n, "i32")):
            with f.loop(first, last, _LANES if t == _WORDS else 1) as loop:
                word = f.load(f.gep(source, loop.i, "i32"), t, 4)
                f.store(_tempered(word), f.gep(target, loop.i, "i32"), 4)
        w.next(done + n, at + n)
    f.store(f.cast("trunc", w.carried[1], "i32"), place)


def _twist(f: Function, state: Value) -> None:
    """The next block in the place of this one, from front to back."""
    turn = _SIZE - _APART
    for first, last, apart in ((0, turn, _APART), (turn, _SIZE - 1, -turn)):
        whole = first + (last - first) // _LANES * _LANES
        for begin, end, t in ((first, whole, _WORDS), (whole, last, "i32")):
            with f.loop(begin, end, _LANES if t == _WORDS else 1) as loop:
                here = f.gep(state, loop.i, "i32")
                following = f.load(f.gep(here, 1, "i32"), t, 4)
                other = f.load(f.gep(here, apart, "i32"), t, 4)
                f.store(_next(f.load(here, t, 4), following, other), here, 4)
    last = f.gep(state, _SIZE - 1, "i32")
    other = f.load(f.gep(state, _APART - 1, "i32"), "i32")
    f.store(_next(f.load(last, "i32"), f.load(state, "i32"), other), last)


def _next(word: Value, following: Value, other: Value) -> Value:
    mixed = (word & -0x80000000) | (following & 0x7FFFFFFF)
    odd = 0 - (following & 1)
    return other ^ (mixed >> 1) ^ (odd & -0x66F74F21)  # 0x9908B0DF


def _tempered(y: Value) -> Value:
    y = y ^ (y >> 11)
    y = y ^ ((y << 7) & -0x62D3A980)  # 0x9D2C5680
    y = y ^ ((y << 15) & -0x103A0000)  # 0xEFC60000
    return y ^ (y >> 18)


def _emit_chances(module: Module) -> None:
    f = module.function("chances", (("ptr", "words"), ("ptr", "out"), ("i64", "n"),
                                    ("i64", "limit")))
    drawn, out, n, limit = f.args
    lanes = _LANES // 2
    whole = n & -lanes
    for first, last, t in ((0, whole, _PAIRS), (whole, n, "i64")):
        with f.loop(first, last, lanes if t == _PAIRS else 1) as loop:
            pair = f.load(f.gep(drawn, loop.i, "i64"), t, 4)
            number = ((pair << 32) | (pair >> 32)) & (2**53 - 1)  # the first word is in front
            low = f.cast("zext", number < f.const(limit, t), "i8")
            f.store(low, f.gep(out, loop.i, "i8"), 1)
