"""Philox4x32-7 (Salmon et al. 2011) in vector code: random bits from a seed and an element's index.

Elements are taken in blocks of 64: element ``64 k + 16 w + l`` gets word ``w`` of counter
``16 k + l`` (64 bits; the other half of the counter is zero), under the key ``seed``. So one
evaluation for 16 counters serves four 16-lane vectors: a loop that has several neighbouring vectors
in hand asks for all of them with :func:`philox_run`. A single vector (:func:`philox_bits`) computes
four words and keeps one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambeau.codegen.emit_types import vector

if TYPE_CHECKING:
    from flambeau.codegen.emit import Function, Value

ROUNDS = 7
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def philox_bits(f: Function, seed: Value, index: Value) -> Value:
    """32 bits for each lane's element; ``seed`` an i64 (or a vector of one repeated)."""
    words = _philox(f, f.extract(seed, 0), ((index >> 6) << 4) | (index & 15))
    return _choose(f, words, f.cast("trunc", index >> 4, "i32"))


def _choose(f: Function, words: list[Value], which: Value) -> Value:
    """The word whose number is in the low two bits of ``which`` (a vector or one for all lanes)."""
    low, high = (which & 1).ne(0), (which & 2).ne(0)
    return f.select(high, f.select(low, words[3], words[2]), f.select(low, words[1], words[0]))


def philox_run(f: Function, seed: Value, first: Value, lanes: int, count: int) -> list[Value]:
    """Bits of ``count`` neighbouring vectors: lane ``j`` of vector ``c`` is element
    ``first + c * lanes + j`` (``first`` an i64, any value; ``lanes`` divides 16).

    Whether the run lies well in a block is found out at run time; then the vectors share words.
    """
    size = count * lanes
    iota = f.iota(lanes, "i64")

    def apart() -> list[Value]:
        return [philox_bits(f, seed, f.const(first + c * lanes, iota.type) + iota)
                for c in range(count)]

    if size not in (32, 64):
        return apart()
    with f.if_((first & (size - 1)).eq(0)) as branch:
        words = {start: _philox(f, f.extract(seed, 0), f.const(
            ((first >> 6) << 4) + start, vector("i64", lanes)) + iota)
            for start in range(0, 16, lanes)}
        upper = (first & 32).ne(0)
        shared = []
        for c in range(count):
            w, number = words[c * lanes & 15], c * lanes >> 4
            shared.append(w[number] if size == 64 else f.select(upper, w[number + 2], w[number]))
        branch.give(*shared)
        branch.else_()
        branch.give(*apart())
    return branch.results


def _philox(f: Function, seed: Value, counter: Value) -> list[Value]:
    """Four words per lane. Words live in the lower halves of i64 lanes, where the widening
    multiplication finds them; what stands above is ignored."""
    zero = f.zero(counter.type)
    c = [counter, counter >> 32, zero, zero]
    keys = [seed & _LOW, seed >> 32]
    for _ in range(ROUNDS):
        first, second = (c[0] & _LOW) * MULTIPLIERS[0], (c[2] & _LOW) * MULTIPLIERS[1]
        c = [(second >> 32) ^ c[1] ^ keys[0], second, (first >> 32) ^ c[3] ^ keys[1], first]
        keys = [k + step for k, step in zip(keys, KEY_STEPS, strict=True)]
    return [f.cast("trunc", word, "i32") for word in c]
