"""Random numbers: PyTorch's CPU recipes over the words of a :class:`Generator`, bit for bit.

Each function takes a generator, a number of elements, a dtype and the distribution's parameters and
returns a flat NumPy array. Which words a recipe takes, and in which order, is part of its meaning:
what is drawn first shifts what follows.

float64 results of logarithms, exponentials and tangents go through the C library, as PyTorch's do;
for narrower dtypes NumPy's float64 functions are as good, since the last bit is rounded away.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..base import dtype as dt
from ..base.flags import values as flags
from ..base.late import late
from ..runtime import aligned
from .boxmuller import transform
from .generator import Generator as Generator
from .generator import default_generator as default_generator
from .generator import fork_rng as fork_rng
from .generator import initial_seed as initial_seed
from .generator import manual_seed as manual_seed
from .generator import seed as seed

if TYPE_CHECKING:
    from . import mersenne
    from . import random_native as native
else:
    mersenne = late(".mersenne", __package__)
    native = late(".random_native", __package__)

_2_53 = np.uint64(2**53 - 1)
_TWO_PI = 2.0 * math.pi
#: from this range on a whole number takes two words, so that ``%`` stays nearly even
_WIDE_RANGE = 1 << 28
#: numbers drawn by NumPy before compiling pays
_ENOUGH = 1 << 15

_drawn = 0


def _worthwhile(n: int) -> bool:
    """Whether to use compiled forms for ``n`` more numbers (counts what was drawn so far)."""
    global _drawn
    if flags.tier == "0":
        return False
    if _drawn < _ENOUGH:
        _drawn += n + 64  # a call costs NumPy about as much as 64 numbers
    return _drawn >= _ENOUGH and native.runs_here()


def _exact(function, x: np.ndarray) -> np.ndarray:
    """``function`` (of ``math``) of the C library for every element."""
    if len(x) >= 64 and _worthwhile(len(x)):
        return native.library(function.__name__, x)
    return np.fromiter(map(function, x.tolist()), np.float64, len(x))


def _narrow(x: np.ndarray, dtype: dt.dtype) -> np.ndarray:
    """float64 values in ``dtype``; 16-bit types are rounded by way of float32."""
    if dtype.itemsize == 2 and dtype.is_floating_point:
        x = x.astype(np.float32)
    return x.astype(dtype.np, copy=False)


def fma(a: np.ndarray, b: float, c: float | np.ndarray) -> np.ndarray:
    """``a * b + c`` of float64 numbers with one rounding (Dekker's exact product, Knuth's sum)."""
    if b == 1.0:
        return a + c
    if isinstance(c, float) and c == 0.0:
        return a * b
    p = a * b
    big = a * 134217729.0
    ah = big - (big - a)
    al = a - ah
    bh = b * 134217729.0 - (b * 134217729.0 - b)
    bl = b - bh
    low = ((ah * bh - p) + ah * bl + al * bh) + al * bl
    s = p + c
    t = s - p
    return s + ((p - (s - t)) + (c - t) + low)


def unit(generator: Generator, n: int) -> np.ndarray:
    """``n`` float64 uniforms in [0, 1), 53 bits each."""
    w = generator.words64(n)
    w &= _2_53
    x = w.astype(np.float64)
    x *= 2.0**-53
    return x


def unit32(generator: Generator, n: int) -> np.ndarray:
    """``n`` float32 uniforms in [0, 1), 24 bits each."""
    w = generator.words(n)
    w &= 0xFFFFFF
    x = w.astype(np.float32)
    x *= np.float32(2.0**-24)
    return x


def uniform(generator: Generator, n: int, dtype: dt.dtype, low: float = 0.0,
            high: float = 1.0) -> np.ndarray:
    """Uniform numbers in [low, high).

    Formula: ``u * (high - low) + low``; what rounds up to ``high`` becomes ``low``.

    Raises:
        RuntimeError: ``low > high`` or a bound outside the dtype's range.
    """
    if low == 0.0 and high == 1.0 and dtype.itemsize > 2:
        return unit(generator, n) if dtype is dt.float64 else unit32(generator, n)
    if dtype is dt.float64:
        x = fma(unit(generator, n), float(high) - float(low), float(low))
    else:
        a, b = np.float32(low), np.float32(high)
        # float64 holds the product exactly, so this is one fused multiply-add of float32 numbers
        x = unit32(generator, n).astype(np.float64)
        x *= float(b - a)
        x += float(a)
        x = x.astype(np.float32).astype(dtype.np, copy=False)
    np.copyto(x, dtype.np.type(low), where=x == dtype.np.type(high))
    return x


def normal(generator: Generator, n: int, dtype: dt.dtype, mean: float = 0.0, std: float = 1.0, *,
           contiguous: bool = True) -> np.ndarray:
    """Normal numbers: by blocks of sixteen from sixteen elements on, else pair by pair.

    Args:
        contiguous: whether PyTorch would write into contiguous memory (else always pair by pair).

    Raises:
        RuntimeError: ``std`` is negative.
    """
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    if n < 16 or not contiguous:
        exact = dtype is dt.float64
        return _narrow(fma(_pairs(generator, n, exact), float(std), float(mean)), dtype)
    if dtype is dt.float64:
        return _blocks64(generator, n, mean, std)
    # float32 draws all its words, then transforms; 16-bit types draw for whole blocks only
    whole = n - n % 16
    drawn = n if dtype is dt.float32 else whole
    if _worthwhile(n):
        x = aligned.empty((n,), np.uint32)
        x[:drawn] = generator.words(drawn)
        native.normal(x[:whole], mean, std)
        x = x.view(np.float32)
    else:
        x = aligned.empty((n,), np.float32)
        x[:drawn] = unit32(generator, drawn)
        transform(x[:whole].reshape(-1, 16), mean, std)
    if whole != n:  # the last sixteen are drawn once more
        x[n - 16:] = _block(generator, mean, std)
    return x.astype(dtype.np, copy=False)


def _block(generator: Generator, mean: float, std: float) -> np.ndarray:
    """One block of sixteen normals in float32."""
    if _worthwhile(16):
        words = generator.words(16).astype(np.uint32)
        native.normal(words, mean, std)
        return words.view(np.float32)
    u = unit32(generator, 16)
    transform(u.reshape(1, 16), mean, std)
    return u


def _pairs(generator: Generator, n: int, exact: bool) -> np.ndarray:
    """``n`` standard normals in float64, two from each pair; an odd one out is kept for later."""
    if n < 64:
        return np.array(_few_pairs(generator, n))
    out = np.empty(n)
    start = 0
    if generator.cached_normal is not None:
        out[0] = generator.cached_normal
        generator.cached_normal = None
        start = 1
    count = (n - start + 1) // 2
    u = unit(generator, 2 * count)
    angle = u[0::2] * _TWO_PI
    x = -u[1::2]
    radius = np.sqrt(-2.0 * (_exact(math.log1p, x) if exact else np.log1p(x)))
    out[start::2] = radius * (_exact(math.cos, angle) if exact else np.cos(angle))
    second = radius * (_exact(math.sin, angle) if exact else np.sin(angle))
    odd = (n - start) % 2
    out[start + 1::2] = second[:count - odd]
    if odd:  # kept in full precision, whatever this call needs
        last = math.sqrt(-2.0 * math.log1p(float(x[-1])))
        generator.cached_normal = last * math.sin(float(angle[-1]))
    return out


def _few_pairs(generator: Generator, n: int) -> list[float]:
    out = []
    if n and generator.cached_normal is not None:
        out.append(generator.cached_normal)
        generator.cached_normal = None
    missing = n - len(out)
    u = iter(unit(generator, missing + missing % 2).tolist())
    for first in u:
        radius = math.sqrt(-2.0 * math.log1p(-next(u)))
        angle = _TWO_PI * first
        out.append(radius * math.cos(angle))
        out.append(radius * math.sin(angle))
    if missing % 2:
        generator.cached_normal = out.pop()
    return out


def _blocks64(generator: Generator, n: int, mean: float, std: float) -> np.ndarray:
    """The block form for float64, whose functions are the C library's."""
    whole = n - n % 16
    x = unit(generator, n)

    def turn(u):
        radius = np.sqrt(-2.0 * _exact(math.log, 1.0 - u[:, :8].reshape(-1)))
        angle = _TWO_PI * u[:, 8:].reshape(-1)
        u[:, :8] = fma(radius * _exact(math.cos, angle), std, mean).reshape(-1, 8)
        u[:, 8:] = fma(radius * _exact(math.sin, angle), std, mean).reshape(-1, 8)

    turn(x[:whole].reshape(-1, 16))
    if whole != n:
        tail = unit(generator, 16).reshape(1, 16)
        turn(tail)
        x[n - 16:] = tail[0]
    return x


def integers(generator: Generator, n: int, dtype: dt.dtype, low: int, high: int) -> np.ndarray:
    """Whole numbers in [low, high), as any dtype: ``word % (high - low) + low``."""
    span = high - low
    if span >= _WIDE_RANGE:
        w = generator.words64(n)
        w %= np.uint64(span)
        return (w + np.uint64(low % 2**64)).view(np.int64).astype(dtype.np, copy=False)
    w = generator.words(n)
    if span & (span - 1) == 0:
        w &= span - 1
    else:
        w %= span
    w = w.astype(np.int64)
    if low:
        w += low
    return w.astype(dtype.np, copy=False)


def full_range(generator: Generator, n: int, dtype: dt.dtype) -> np.ndarray:
    """Whole numbers in [0, largest of the dtype]; for floats up to 2**digits."""
    if dtype.is_floating_point:
        digits = {dt.float16: 11, dt.bfloat16: 8, dt.float32: 24, dt.float64: 53}[dtype]
        span = 2**digits + 1
    else:
        span = 2 if dtype is dt.bool_ else int(np.iinfo(dtype.np).max) + 1
    if dtype is dt.float64 or dtype is dt.int64:
        return (generator.words64(n) % np.uint64(span)).astype(dtype.np)
    w = generator.words(n).astype(np.uint64) % np.uint64(span)
    return (w.astype(np.float32) if dtype.is_floating_point else w).astype(dtype.np)


def full_range_64(generator: Generator, n: int, dtype: dt.dtype) -> np.ndarray:
    """Whole numbers in [-2**63, 2**63)."""
    return generator.words64(n).view(np.int64).astype(dtype.np, copy=False)


def permutation(generator: Generator, n: int) -> np.ndarray:
    """A random order of 0 ... n - 1 (int64): Fisher and Yates' shuffle, front to back."""
    if n < 2:
        return np.arange(n, dtype=np.int64)
    words = generator.words(n - 1)
    if _worthwhile(n):
        order = np.arange(n)
        native.shuffle(order, words.astype(np.uint32, copy=False))
        return order
    order = list(range(n))
    for i, z in enumerate((words % np.arange(n, 1, -1, dtype=np.uint32)).tolist()):
        if z:
            z += i
            order[i], order[z] = order[z], order[i]
    return np.array(order, np.int64)


def bernoulli(generator: Generator, n: int, p: float) -> np.ndarray:
    """``n`` draws (bool) that are true with probability ``p``."""
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    if n >= 64 and _worthwhile(n):
        return mersenne.chances(generator.twister(), n, p)
    return unit(generator, n) < p


def bernoulli_each(generator: Generator, p: np.ndarray) -> np.ndarray:
    """One draw (bool) for every probability of a floating array, in the array's shape."""
    flat = np.ascontiguousarray(p).reshape(-1)
    if not bool(((flat >= 0) & (flat <= 1)).all()):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false: every "
                           "probability must lie in [0, 1]")
    if flat.dtype == np.float64:
        return (unit(generator, flat.size) < flat).reshape(p.shape)
    return (unit32(generator, flat.size) < flat.astype(np.float32)).reshape(p.shape)


def exponential(generator: Generator, n: int, dtype: dt.dtype, rate: float = 1.0) -> np.ndarray:
    """Exponential numbers: ``-log(1 - u) / rate``."""
    if not rate > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={rate}")
    u = -unit(generator, n)
    return _narrow(-1.0 / rate * (_exact(math.log1p, u) if dtype is dt.float64 else np.log1p(u)),
                   dtype)


def geometric(generator: Generator, n: int, dtype: dt.dtype, p: float) -> np.ndarray:
    """Number of trials up to the first success: ``ceil(log(u) / log(1 - p))``."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    u = unit(generator, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.ceil(np.log(u) / math.log1p(-p))
        return _narrow(x, dtype) if dtype.is_floating_point else x.astype(dtype.np)


def log_normal(generator: Generator, n: int, dtype: dt.dtype, mean: float = 1.0,
               std: float = 2.0) -> np.ndarray:
    """``exp`` of normal numbers, which are drawn pair by pair."""
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    exact = dtype is dt.float64
    x = fma(_pairs(generator, n, exact), float(std), float(mean))
    return _narrow(_exact(math.exp, x) if exact else np.exp(x), dtype)


def cauchy(generator: Generator, n: int, dtype: dt.dtype, median: float = 0.0,
           sigma: float = 1.0) -> np.ndarray:
    """``median + sigma * tan(pi * (u - 1/2))``."""
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    x = math.pi * (unit(generator, n) - 0.5)
    x = _exact(math.tan, x) if dtype is dt.float64 else np.tan(x)
    return _narrow(fma(x, float(sigma), float(median)), dtype)


def multinomial(generator: Generator, weights: np.ndarray, samples: int,
                replacement: bool = False) -> np.ndarray:
    """Category numbers (int64), shape (rows, samples), with probability in proportion to weights.

    Args:
        weights: (rows, categories), floating.

    Without replacement (or for one sample) every weight is divided by an exponential number and the
    largest are taken; with replacement the cumulated weights are searched for uniforms.

    Raises:
        RuntimeError: a negative, infinite or missing weight, a row that sums to zero, or more
            samples than categories without replacement.
    """
    rows, categories = weights.shape
    work = weights.astype(np.float32) if weights.dtype.itemsize == 2 else weights
    if not bool((np.isfinite(work) & (work >= 0)).all()):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if bool((work.sum(1) <= 0).any()):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if not replacement or samples == 1:
        dtype = dt.from_numpy(weights.dtype)
        draws = exponential(generator, rows * categories, dtype).reshape(rows, categories)
        scores = (work / draws.astype(work.dtype)).astype(weights.dtype).astype(work.dtype)
        if samples == 1:
            return scores.argmax(1, keepdims=True).astype(np.int64)
        return np.argsort(-scores, 1, kind="stable")[:, :samples].astype(np.int64)
    out = np.empty((rows, samples), np.int64)
    total = np.cumsum(work, 1, dtype=work.dtype)
    total /= total[:, -1:].copy()
    total[:, -1] = 1
    for i in range(rows):
        out[i] = np.searchsorted(total[i].astype(np.float64), unit(generator, samples))
    return out


def poisson(generator: Generator, rates: np.ndarray) -> np.ndarray:
    """One Poisson number for every rate, in the array's shape and dtype.

    Below 10 by Knuth's product of uniforms, from 10 on by Hormann's transformed rejection (PTRS,
    1993); both take a number of words that depends on what they draw.
    """
    flat = np.ascontiguousarray(rates).reshape(-1).astype(np.float64)
    if bool((flat < 0).any()):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    draw = generator.word64

    def uniform64():
        return (draw() & 0x1FFFFFFFFFFFFF) * 2.0**-53

    out = np.array([_poisson_ptrs(r, uniform64) if r >= 10 else _poisson_product(r, uniform64)
                    for r in flat.tolist()], np.float64)
    return out.reshape(rates.shape).astype(rates.dtype)


def _poisson_product(rate: float, uniform64) -> int:
    if rate == 0:
        return 0
    limit, count, product = math.exp(-rate), 0, 1.0
    while True:
        product *= uniform64()
        if product <= limit:
            return count
        count += 1


def _poisson_ptrs(rate: float, uniform64) -> float:
    root, log_rate = math.sqrt(rate), math.log(rate)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    ceiling = 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = uniform64() - 0.5, uniform64()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= ceiling:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        if (math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b)
                <= -rate + k * log_rate - math.lgamma(k + 1)):
            return k
