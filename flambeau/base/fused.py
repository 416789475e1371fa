"""Fused multiply-add by NumPy, which has none: ``x * y + z`` with one rounding.

The product is computed exactly, and so is what is lost in adding z; the sum is then rounded to odd
(its last bit tells that something was lost), from which one more rounding gives the right result.
Formulas: Boldo and Melquiond, Emulation of FMA and Correctly Rounded Sums (2008); Dekker's product
and Knuth's sum.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from .processor import fuses

#: beyond these sizes the parts of a float64 product overflow or are cut off
_LEAST, _MOST = 2.0**-900, 2.0**500


def fma(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """``x * y + z`` of equal dtypes; rounded once for float32 and float64 where the processor has
    such an instruction, else twice."""
    if x.dtype.kind != "f" or x.dtype.itemsize < 4 or not fuses():
        return x * y + z
    with np.errstate(all="ignore"):
        return _single(x, y, z) if x.dtype.itemsize == 4 else _double(x, y, z)


def _single(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """float32: products are exact in float64, which has more than twice the digits."""
    total = _odd(*_sum(np.multiply(x, y, dtype=np.float64), np.asarray(z, np.float64)))
    return total.astype(np.float32)


def _double(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    high, low = _product(x, y)
    rest, lost = _sum(low, z)
    total, more = _sum(high, rest)
    out = np.asarray(total + _odd(*_sum(lost, more)))
    size = np.abs(high)
    easy = (size > _LEAST) & (size < _MOST) & (np.abs(x) < _MOST) & (np.abs(y) < _MOST) \
        & (np.abs(z) < _MOST) & (np.abs(total) > _LEAST)
    if not easy.all():
        plain = np.asarray(x * y + z)
        x, y, z = np.broadcast_arrays(x, y, z)
        for at in zip(*np.nonzero(np.atleast_1d(~easy)), strict=True):
            at = at[:out.ndim]
            out[at] = _exactly(float(x[at]), float(y[at]), float(z[at]), float(plain[at]))
    return out


def _sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a + b and what its rounding lost."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _product(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x * y and what its rounding lost."""
    p = x * y
    a, b = x * 134217729.0, y * 134217729.0
    xh, yh = a - (a - x), b - (b - y)
    xl, yl = x - xh, y - yh
    return p, ((xh * yh - p) + xh * yl + xl * yh) + xl * yl


def _odd(s: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """A sum rounded to odd: where something was lost, the neighbour whose last bit is 1."""
    s = np.asarray(s)
    bits = s.view(np.int64)
    even = (lost != 0) & ((bits & 1) == 0) & np.isfinite(s)
    away = (lost > 0) == (s > 0)
    return np.where(even, np.where(away, bits + 1, bits - 1), bits).view(np.float64)


def _exactly(x: float, y: float, z: float, plain: float) -> float:
    """Very large, very small and special numbers."""
    if not np.isfinite((x, y)).all() or x == 0 or y == 0:
        return plain
    if not np.isfinite(z):
        return z  # also where the rounded product is infinite
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    if not exact:
        return plain if plain == 0 else 0.0
    try:
        out = float(exact)
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")
    return out if out else (0.0 if exact > 0 else -0.0)
