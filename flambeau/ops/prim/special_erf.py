"""The error function's family in NumPy, to full float64 accuracy.

erf on [-1, 1] is x times a Chebyshev series in 2x^2 - 1; beyond, everything comes from the scaled
complement erfcx(x) = exp(x^2) erfc(x) = t C(2t - 1) with t = 3 / (3 + x) for x >= 0. Both series
were interpolated at 40 digits and cut at 3e-18 of their largest term. The inverses start from
M. Giles, "Approximating the erfinv function" (2012) and take Halley steps.
"""

from __future__ import annotations

import math

import numpy as np

from ...base.late import late

_chebyshev = late("numpy.polynomial.chebyshev")

_ERF_SMALL = (
    0.9754769393826541, -0.14226120510371365, 0.010035582187599796, -0.0005768764699767485,
    2.741993125219606e-05, -1.1043175507344507e-06, 3.8488755420345036e-08,
    -1.1808582533875466e-09, 3.2334215826050907e-11, -7.991015947004549e-13,
    1.7990725113961456e-14, -3.718635487818693e-16, 7.103599003714253e-18)
_ERFCX = (
    0.4711460746602906, 0.37715894969156577, 0.11803603344749546, 0.028362346699695153,
    0.004871757757605546, 0.00045985238787654427, -2.143022238105315e-05, -1.301447369924135e-05,
    -8.809283582853514e-07, 2.7464800479702846e-07, 4.415991899223785e-08,
    -6.398408385575483e-09, -1.6768357212484645e-09, 1.9473354700890025e-10,
    6.247441303469389e-11, -8.124557552244496e-12, -2.330314613222566e-12, 4.191038539225333e-13,
    8.19333526881303e-14, -2.3352472107929263e-14, -2.2442585649165363e-15,
    1.2811435298050507e-15, 1.1054582965396302e-18, -6.44579513564904e-17, 6.525175975538486e-18,
    2.679550553424818e-18)
#: float32: x p(x^2) below 1, 1 - exp(q(x)) above (least squares fits, 2.4 ulp at worst)
_SMALL32 = (1.12837917, -.376126258, .112835853, -.0268538156, .00518833377, -.00080102419,
            7.85400876e-05)
_LARGE32 = (.000193706358, -1.12960733, -.633156519, -.10849651, .0252670209, -.00423237075,
            .000449398593, -2.29956161e-05, 9.10563077e-08)
_GILES_NEAR = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
               -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)
_GILES_FAR = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
              -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)


def chebval(x, coefficients):
    """A Chebyshev series at ``x``."""
    return _chebyshev.chebval(x, coefficients)


def in_float64(function):
    """Compute in float64, give back the first operand's dtype."""

    def numpy(x, *rest):
        wide = [np.asarray(a, np.float64) for a in rest]
        return np.asarray(function(np.asarray(x, np.float64), *wide)).astype(x.dtype)

    return numpy


def _horner(coefficients, x):
    """Coefficients from the highest power down."""
    total = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        total = total * x + x.dtype.type(c)
    return total


def _erf32(x):
    size = np.minimum(np.abs(x), np.float32(4))
    small = x * _horner(_SMALL32[::-1], size * size)
    large = np.copysign(1 - np.exp(_horner(_LARGE32[::-1], size)), x)
    return np.where(size < 1, small, large)


def erf_numpy(x):
    """erf of a float array; float32 has its own cheaper approximation."""
    if x.dtype == np.float32:
        return _erf32(x)
    wide = np.asarray(x, np.float64)
    size = np.minimum(np.abs(wide), 6)
    inside = np.minimum(size, 1)
    small = wide * chebval(2 * inside * inside - 1, _ERF_SMALL)
    large = np.copysign(1 - np.exp(-size * size) * _scaled(size), wide)
    return np.where(size < 1, small, large).astype(x.dtype)


def _scaled(x):
    """exp(x^2) erfc(x) for x >= 0."""
    t = 3 / (3 + x)
    return t * chebval(2 * t - 1, _ERFCX)


def _exp_minus_square(x):
    """exp(-x^2) without the rounding error of x^2: x split into a short part and a rest."""
    short = x.astype(np.float32).astype(np.float64)
    short = np.where(np.isfinite(short), short, 0)
    return np.exp(-short * short) * np.exp(-(x - short) * (x + short))


def erfc64(x):
    """1 - erf(x) with small relative error."""
    size = np.minimum(np.abs(x), 30)
    tail = _exp_minus_square(size) * _scaled(size)
    return np.where(np.isnan(x), x, np.where(np.abs(x) < 0.5, 1 - erf_numpy(x),
                                             np.where(x < 0, 2 - tail, tail)))


def erfcx64(x):
    """exp(x^2) erfc(x)."""
    size = np.abs(x)
    scaled = _scaled(size)
    reflected = 2 / _exp_minus_square(np.minimum(size, 30)) - scaled
    return np.where(x < 0, reflected, np.where(np.isinf(x), 0, scaled))


def _erfc_inverse(q):
    """z >= 0 with erfc(z) = q, for 0 < q <= 1."""
    w = -np.log(q * (2 - q))
    near = _horner(_GILES_NEAR, w - 2.5) * (1 - q)
    far = _horner(_GILES_FAR, np.sqrt(np.clip(w, 5, 16)) - 3) * (1 - q)
    wide = np.maximum(w, 4)
    beyond = np.sqrt(wide + math.log(2) - 0.5 * np.log(math.pi * wide))
    z = np.where(w < 5, near, np.where(w < 16, far, beyond))
    log_q = np.log(q)
    for _ in range(3):
        step = 0.5 * math.sqrt(math.pi) * (_scaled(np.maximum(z, 0)) - np.exp(z * z + log_q))
        z = z + step / (1 - z * step)
    return z


def erfinv64(x):
    """The inverse of erf; +-inf at +-1, NaN outside."""
    size = np.abs(x)
    inside = np.where(size < 1, size, 0)
    w = -np.log1p(-inside * inside)
    near = _horner(_GILES_NEAR, w - 2.5) * inside
    for _ in range(2):
        step = (erf_numpy(near) - inside) * (0.5 * math.sqrt(math.pi)) * np.exp(near * near)
        near = near - step / (1 + near * step)
    tail = _erfc_inverse(np.where(size < 1, 1 - inside, 0.5))
    out = np.copysign(np.where(inside < 0.5, near, tail), x)
    return np.where(size < 1, out, np.where(size == 1, np.copysign(np.inf, x), np.nan))


def ndtri64(p):
    """The normal quantile: x with ndtr(x) = p."""
    ok = (p > 0) & (p < 1)
    lower = np.where(ok, np.minimum(p, 1 - p), 0.25)
    z = math.sqrt(2) * _erfc_inverse(2 * lower)
    out = np.where(p < 0.5, -z, z)
    edge = np.where(p == 0, -np.inf, np.where(p == 1, np.inf, np.nan))
    return np.where(ok, np.where(p == 0.5, 0, out), edge)


def log_ndtr64(x):
    """log of the normal distribution function, exact far into the lower tail."""
    z = x * math.sqrt(0.5)
    tail = np.log(0.5 * erfcx64(np.maximum(-z, 0))) - z * z
    return np.where(x < -1, tail, np.log1p(-0.5 * erfc64(z)))


erfc_numpy = in_float64(erfc64)
