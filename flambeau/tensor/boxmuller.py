"""The block form of the Box-Muller transform, bit for bit as PyTorch's AVX2 kernel computes it.

PyTorch turns sixteen uniforms at a time into sixteen normals: elements j and j + 8 of a block are
one pair. Its logarithm and its sine and cosine are Cephes' single-precision polynomials, evaluated
with fused multiply-adds. A fused multiply-add of float32 numbers is reproduced here in float64: the
product is exact there, and the sum is rounded once more to float32 (a double rounding can differ
in about one of 2**29 steps).
"""

from __future__ import annotations

import math

import numpy as np

_f = np.float32

#: Cephes logf: log(1 + x) = x - x**2 / 2 + x**3 P(x); coefficients, highest power first
_LOG = tuple(float(_f(c)) for c in (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1))
_LN2_LOW, _LN2_HIGH = _f(-2.12194440e-4), _f(0.693359375)
_SQRT_HALF = _f(0.707106781186547524)
#: Cephes sinf and cosf on [-pi/4, pi/4]
_SIN = tuple(float(_f(c)) for c in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
_COS = tuple(float(_f(c)) for c in (2.443315711809948e-5, -1.388731625493765e-3,
                                    4.166664568298827e-2))
_FOUR_OVER_PI = _f(1.27323954473516)
#: pi/4 in three parts; the first two times a small integer are exact in float32
_PI4 = (_f(-0.78515625), _f(-2.4187564849853515625e-4), float(_f(-3.77489497744594108e-8)))
_TWO_PI = _f(2 * math.pi)

#: pairs per pass: the scratch arrays together stay inside a second-level cache
_BLOCK = 4096


class _Scratch:
    """Work arrays of one size; made once per call."""

    def __init__(self, n: int):
        self.f = np.empty((8, n), np.float32)
        self.d = np.empty((3, n), np.float64)


def _horner(y, x, coefficients, s, n) -> None:
    """``y = fma(...fma(c0, x, c1)..., x, cn)`` in float32, ``x`` given in float64."""
    d = s.d[0, :n]
    np.multiply(x, coefficients[0], out=d)
    d += coefficients[1]
    y[...] = d
    for c in coefficients[2:]:
        np.multiply(y, x, out=d)
        d += c
        y[...] = d


def _fma(out, a, b, c, s, n) -> None:
    """``out = a * b + c`` rounded once; ``b`` in float64."""
    d = s.d[0, :n]
    np.multiply(a, b, out=d)
    np.add(d, c, out=d)
    out[...] = d


def _log(x, out, s, n) -> None:
    """Natural logarithm of float32 ``x`` in (0, 1]."""
    e, m, z, y = (s.f[i, :n] for i in range(4))
    bits = x.view(np.int32)
    i = z.view(np.int32)
    np.right_shift(bits, 23, out=i)
    i -= 126
    e[...] = i
    mb = m.view(np.int32)
    np.bitwise_and(bits, 0x007FFFFF, out=mb)
    mb |= 0x3F000000
    small = m < _SQRT_HALF
    e -= small
    np.multiply(m, small, out=z)
    m -= 1
    m += z
    np.multiply(m, m, out=z)
    md = s.d[1, :n]
    md[...] = m
    _horner(y, md, _LOG, s, n)
    y *= m
    zd = s.d[1, :n]
    zd[...] = z
    np.multiply(e, _LN2_LOW, out=out)
    _fma(y, y, zd, out, s, n)
    z *= _f(0.5)  # exact, so that subtracting it equals the fused form
    y -= z
    m += y
    e *= _LN2_HIGH  # exact for the exponents of (0, 1]
    np.add(m, e, out=out)


def _sincos(theta, sin, cos, s, n) -> None:
    """Sine and cosine of float32 ``theta`` in [0, 2 pi); ``theta`` is overwritten."""
    y, z, p, q = (s.f[i, :n] for i in range(4))
    np.multiply(theta, _FOUR_OVER_PI, out=y)
    octant = p.view(np.int32)
    octant[...] = y
    octant += 1
    octant &= ~1
    y[...] = octant
    swap = (octant & 2) != 0
    flip_sin = (octant & 4) << 29
    flip_cos = ((octant + 2) & 4) << 29
    np.multiply(y, _PI4[0], out=z)
    theta += z
    np.multiply(y, _PI4[1], out=z)
    theta += z
    d = s.d[0, :n]
    np.multiply(y, _PI4[2], out=d, dtype=np.float64)
    d += theta
    theta[...] = d
    np.multiply(theta, theta, out=z)
    zd, td = s.d[1, :n], s.d[2, :n]
    zd[...] = z
    td[...] = theta
    _horner(p, zd, _COS, s, n)
    p *= z
    z *= _f(-0.5)
    _fma(p, p, zd, z, s, n)
    p += 1
    _horner(q, zd, _SIN, s, n)
    q *= np.multiply(td, td, out=d).astype(np.float32)
    _fma(q, q, td, theta, s, n)
    np.copyto(sin, q)
    np.copyto(sin, p, where=swap)
    np.copyto(cos, p)
    np.copyto(cos, q, where=swap)
    sin_bits, cos_bits = sin.view(np.int32), cos.view(np.int32)
    sin_bits ^= flip_sin
    cos_bits ^= flip_cos


def transform(u: np.ndarray, mean: float, std: float) -> None:
    """Turn float32 uniforms in [0, 1), shape (blocks, 16), into normals, in place.

    Formula: ``sqrt(-2 log(1 - u[j])) * {cos, sin}(2 pi u[j + 8]) * std + mean``.
    """
    rows = max(1, _BLOCK // 8)
    s = _Scratch(min(len(u), rows) * 8)
    for start in range(0, len(u), rows):
        _transform_rows(u[start:start + rows], mean, std, s)


def _transform_rows(u, mean, std, s) -> None:
    n = len(u) * 8
    a, b, radius, sin = (s.f[i, :n] for i in range(4, 8))
    np.subtract(_f(1), u[:, :8], out=a.reshape(-1, 8))
    _log(a, radius, s, n)
    radius *= _f(-2)
    np.sqrt(radius, out=radius)
    np.multiply(u[:, 8:], _TWO_PI, out=b.reshape(-1, 8))
    _sincos(b, sin, a, s, n)
    a *= radius
    sin *= radius
    if mean != 0 or std != 1:
        scale, shift = float(_f(std)), float(_f(mean))
        for part in (a, sin):
            d = s.d[0, :n]
            np.multiply(part, scale, out=d, dtype=np.float64)
            d += shift
            part[...] = d
    u[:, :8] = a.reshape(-1, 8)
    u[:, 8:] = sin.reshape(-1, 8)
