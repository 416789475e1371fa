"""Binomial numbers in PyTorch's order of draws.

Few expected successes: gaps between successes are geometric. Many: transformed rejection with
squeeze (Hörmann, The generation of binomial random variates, 1993). Above one half failures are
counted.
"""

from __future__ import annotations

import math

import numpy as np

from .batching import drawing, drawn, values_of
from .generator import Generator
from .options import generator_of, type_name
from .random import unit
from .tensor import Tensor

#: log(k!) less Stirling's main terms, for small k
_TAIL = (0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509,
         0.0166446911898211, 0.0138761288230707, 0.0118967099458917, 0.0104112652619720,
         0.00925546218271273, 0.00833056343336287)


def _stirling_tail(k: float) -> float:
    if k <= 9:
        return _TAIL[int(k)]
    square = (k + 1) * (k + 1)
    return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1)


def _by_gaps(u: Generator, count: float, p: float) -> float:
    total, found, log_miss = 0.0, 0, math.log1p(-p)
    while True:
        x = float(unit(u, 1)[0])
        total += math.ceil(math.log(x) / log_miss) if x else math.inf
        if total > count:
            return found
        found += 1


def _by_rejection(u: Generator, count: float, p: float) -> float:
    spread = math.sqrt(count * p * (1 - p))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c, squeeze, ratio = count * p + 0.5, 0.92 - 4.2 / b, p / (1 - p)
    alpha, m = (2.83 + 5.1 / b) * spread, math.floor((count + 1) * p)
    while True:
        x = float(unit(u, 1)[0]) - 0.5
        v = float(unit(u, 1)[0])
        us = 0.5 - abs(x)
        k = math.floor((2 * a / us + b) * x + c) if us else -1
        if us >= 0.07 and v <= squeeze:
            return k
        if k < 0 or k > count:
            continue
        bound = ((m + 0.5) * math.log((m + 1) / (ratio * (count - m + 1)))
                 + (count + 1) * math.log((count - m + 1) / (count - k + 1))
                 + (k + 0.5) * math.log(ratio * (count - k + 1) / (k + 1))
                 + _stirling_tail(m) + _stirling_tail(count - m) - _stirling_tail(k)
                 - _stirling_tail(count - k))
        if math.log(v * alpha / (a / (us * us) + b)) <= bound:
            return k


def _one(u: Generator, count: float, p: float) -> float:
    if count <= 0 or p <= 0:
        return 0.0
    if p >= 1:
        return count
    if p != p:
        return math.nan
    q = p if p <= 0.5 else 1 - p
    found = (_by_rejection if count * q >= 10 else _by_gaps)(u, count, q)
    return found if p <= 0.5 else count - found


def binomial(count: Tensor, prob: Tensor, generator=None) -> Tensor:
    """How many of ``count`` trials succeed with probability ``prob``, elements side by side.

    Raises:
        RuntimeError: the tensors' dtypes differ or are not floating.
    """
    if count.dtype is not prob.dtype or not prob.is_floating_point():
        raise RuntimeError("binomial: Found dtype "
                           f"{type_name(count.dtype)} but expected {type_name(prob.dtype)}"
                           if prob.is_floating_point() else
                           "binomial only supports floating-point dtypes for prob, got: "
                           f"{type_name(prob.dtype)}")
    stack, g = drawing(), generator_of(generator, "binomial")
    counts, chances = np.broadcast_arrays(values_of(count, stack), values_of(prob, stack))
    flat = [_one(g, n, p) for n, p in zip(counts.reshape(-1).tolist(),
                                          chances.reshape(-1).tolist(), strict=True)]
    values = np.array(flat, np.float64).reshape(counts.shape).astype(prob.dtype.np)
    return Tensor._wrap(drawn(values, stack, prob.dtype))
