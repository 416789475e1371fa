"""Philox4x32-7 (Salmon et al. 2011) in vector code: random bits from a seed and an element's index.

Elements are taken in blocks of 64: element ``64 k + 16 w + l`` gets word ``w`` of counter
``16 k + l`` (64 bits; the other half of the counter is zero), under the key ``seed``. So one evaluation
for 16 counters serves four 16-lane vectors. A loop that walks whole blocks says so by setting
``b.random_block`` (:class:`Block`); elsewhere a vector computes four words and keeps one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flambeau.codegen.emit_types import vector

if TYPE_CHECKING:
    from flambeau.codegen.emit import Function, Value

ROUNDS = 7
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


@dataclass
class Block:
    """Promises that the vector being computed is part of a block of 64 elements.

    Its lanes are elements ``base + start + lane``; the same object is used for all vectors of a
    block, with ``start`` moved by ``lanes``, so that words are computed once.

    Attributes:
        base: i64, the first element of the block, a multiple of 64.
        start: where the vector begins in the block, a multiple of its lanes (which divide 16).
    """

    base: Value
    start: int = 0
    words: dict = field(default_factory=dict)


def philox_bits(f: Function, seed: Value, index: Callable[[], Value], lanes: int,
                block: Block | None) -> Value:
    """32 bits for each lane's element; ``seed`` an i64 (or a vector of one repeated)."""
    seed = f.extract(seed, 0)
    if block is not None and 16 % lanes == 0:
        key = (seed.name, block.start & 15)
        if key not in block.words:
            first = f.const((block.base >> 2) + (block.start & 15), vector("i64", lanes))
            block.words[key] = _philox(f, seed, first + f.iota(lanes, "i64"))
        return block.words[key][block.start >> 4]
    i = index()
    words = _philox(f, seed, ((i >> 6) << 4) | (i & 15))
    which = f.cast("trunc", i >> 4, "i32")
    low, high = (which & 1).ne(0), (which & 2).ne(0)
    return f.select(high, f.select(low, words[3], words[2]), f.select(low, words[1], words[0]))


def _philox(f: Function, seed: Value, counter: Value) -> list[Value]:
    """Four words per lane."""
    c = [f.cast("trunc", counter, "i32"), f.cast("trunc", counter >> 32, "i32")]
    c += [f.zero(c[0].type)] * 2
    keys = [f.cast("trunc", seed, "i32"), f.cast("trunc", seed >> 32, "i32")]
    for _ in range(ROUNDS):
        high0, low0 = _multiply(f, c[0], MULTIPLIERS[0])
        high1, low1 = _multiply(f, c[2], MULTIPLIERS[1])
        c = [high1 ^ c[1] ^ keys[0], low1, high0 ^ c[3] ^ keys[1], low0]
        keys = [k + step for k, step in zip(keys, KEY_STEPS, strict=True)]
    return c


def _multiply(f: Function, x: Value, factor: int) -> tuple[Value, Value]:
    """Upper and lower half of the 64-bit product."""
    product = f.cast("zext", x, "i64") * factor
    return f.cast("trunc", product >> 32, "i32"), f.cast("trunc", product, "i32")
