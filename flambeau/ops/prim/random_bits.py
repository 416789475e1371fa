"""The counter-based random source: bits that depend on a seed and on the element's place only.

Philox4x32-7 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, 2011). The
generator has no state, so that it fuses with what uses it, runs in any order and is recomputed in
backward instead of being stored. Element ``64 k + 16 w + l`` of the row-major result is word ``w``
of counter ``16 k + l``; the compiled form is :mod:`flambeau.codegen.random_bits`.
"""

from __future__ import annotations

import math

import numpy as np

from ...base import dtype as dt
from ...ir.node import Node, OpClass, Prim, make

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 7
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox_words(counter: np.ndarray, seed: int) -> list[np.ndarray]:
    """Four uint32 words for each uint64 counter."""
    c = [counter & _LOW, counter >> _HALF, np.zeros_like(counter), np.zeros_like(counter)]
    seed = int(seed) % 2**64
    keys = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(_ROUNDS):
        first, second = c[0] * _MULTIPLIERS[0], c[2] * _MULTIPLIERS[1]
        c = [(second >> _HALF) ^ c[1] ^ np.uint64(keys[0]), second & _LOW,
             (first >> _HALF) ^ c[3] ^ np.uint64(keys[1]), first & _LOW]
        keys = [(k + step) & 0xFFFFFFFF for k, step in zip(keys, _KEY_STEPS, strict=True)]
    return [word.astype(np.uint32) for word in c]


def philox_numpy(seed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """uint32 bits for every element of ``shape``."""
    count = math.prod(shape)
    blocks = -(-count // 64)
    words = philox_words(np.arange(16 * blocks, dtype=np.uint64), int(seed))
    parts = [w.reshape(blocks, 16) for w in words]
    return np.stack(parts, axis=1).reshape(-1)[:count].reshape(shape)


def _infer(seed: Node, shape: tuple[int, ...]):
    return shape, dt.uint32


RANDOM_BITS = Prim("random_bits", OpClass.SOURCE, _infer, philox_numpy,
                   lambda b, seed, shape: b.random_bits(seed), batch="random",
                   doc="32 random bits per element from a 0-d int64 seed and the element's index.")


def random_bits(seed: Node, shape: tuple[int, ...]) -> Node:
    """uint32 random bits of ``shape``; ``seed`` is a 0-d int64 node."""
    return make(RANDOM_BITS, (seed,), (tuple(shape),))
