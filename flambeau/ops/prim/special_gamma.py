"""The gamma function's family in NumPy, to float64 accuracy.

log gamma: on [1, 2] it is (x - 1)(x - 2) times a Chebyshev series (interpolated at 40 digits);
below 8 the recurrence leads there, above it Stirling's series (Abramowitz & Stegun 6.1.41) is
used, and negative arguments are reflected (6.1.17). digamma: recurrence to 10 and A&S 6.3.18.
Hurwitz zeta: Euler-Maclaurin (DLMF 25.11.5). Incomplete gamma: the power series (A&S 6.5.29) below
x = a + 1 and the continued fraction (6.5.31, by Lentz's method) above.
"""

from __future__ import annotations

import math

import numpy as np

from .special_erf import chebval

_LGAMMA = (
    0.49141539302938714, -0.07611416167043585, 0.008432324965932778, -0.001079493726328608,
    0.00014900748003692963, -2.1512399888556784e-05, 3.1979329860862186e-06,
    -4.851693012139927e-07, 7.47148782116316e-08, -1.1638296700170518e-08, 1.829400437118668e-09,
    -2.8969180607129607e-10, 4.61570140620909e-11, -7.392810230497983e-12,
    1.1894280008333085e-12, -1.9212068676522805e-13, 3.113975526387164e-14,
    -5.0628432984486114e-15, 8.254150281631144e-16, -1.3490578987574844e-16,
    2.209876116782623e-17, -3.6274129549239766e-18)
#: B(2k) / (2k (2k - 1)), Stirling's series
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156,
             -3617 / 122400)
#: B(2k) / 2k, digamma's series
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)
#: B(2k) / (2k)!, Euler-Maclaurin
_BERNOULLI = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000,
              1 / 74724249600, -3617 / 10670622842880000, 43867 / 5109094217170944000,
              -174611 / 802857662698291200000, 77683 / 14101100039391805440000,
              -236364091 / 1693824136731743669452800000)
_LARGE = 8.0
_MAX_TERMS = 2000


def stirling_rest(x):
    """log gamma(x) less (x - 1/2) log x - x + log(2 pi) / 2, for x >= 8."""
    total, inverse = np.zeros_like(x), 1 / x
    square = inverse * inverse
    for c in reversed(_STIRLING):
        total = total * square + c
    return total * inverse


def _positive_lgamma(x):
    """log gamma for x > 0."""
    big = np.maximum(x, _LARGE)
    stirling = (big - 0.5) * np.log(big) - big + 0.5 * math.log(2 * math.pi) + stirling_rest(big)
    # move (0, 8) into [1, 2]: above by dividing out factors, below by one step up
    low, factor = np.clip(x, 1e-300, _LARGE), np.ones_like(x)
    for _ in range(int(_LARGE) - 2):
        over = low > 2
        low = np.where(over, low - 1, low)
        factor = np.where(over, factor * low, factor)
    under = low < 1
    shifted = np.where(under, low + 1, low)
    near = (shifted - 1) * (shifted - 2) * chebval(2 * shifted - 3, _LGAMMA)
    near = near + np.log(factor) - np.where(under, np.log(np.where(under, low, 1)), 0)
    return np.where(x < _LARGE, near, stirling)


def lgamma64(x):
    """log |gamma(x)|; inf at 0 and the negative integers."""
    finite = np.isfinite(x)
    y = np.where(finite, x, 1.0)
    size = np.where(y < 0, 1 - y, y)
    direct = _positive_lgamma(np.where(size == 0, 1.0, size))
    part = np.abs(y) - np.floor(np.abs(y))
    sine = np.abs(np.sin(math.pi * part))
    with np.errstate(divide="ignore"):
        reflected = math.log(math.pi) - np.log(sine) - direct
    pole = (y <= 0) & (np.floor(y) == y)
    out = np.where(pole, np.inf, np.where(y < 0, reflected, direct))
    return np.where(finite, out, np.where(np.isnan(x), x, np.inf))


def digamma64(x):
    """The logarithmic derivative of gamma; NaN at the negative integers, -+inf at +-0."""
    negative = x < 0
    y = np.where(negative, 1 - x, x)
    y = np.where((y > 0) & np.isfinite(y), y, 1.0)
    shift = np.zeros_like(y)
    for _ in range(10):
        small = y < 10
        shift = np.where(small, shift - 1 / y, shift)
        y = np.where(small, y + 1, y)
    square, series = 1 / (y * y), np.zeros_like(y)
    for c in reversed(_DIGAMMA):
        series = (series + c) * square
    out = np.log(y) - 0.5 / y - series + shift
    part = x - np.rint(x)
    cotangent = math.pi / np.tan(math.pi * part)
    out = np.where(negative, out - cotangent, out)
    out = np.where(negative & (part == 0), np.nan, out)
    out = np.where(x == 0, np.copysign(np.inf, -x), out)
    return np.where(np.isposinf(x), np.inf, np.where(np.isnan(x) | np.isneginf(x), np.nan, out))


def zeta64(s, q):
    """Hurwitz zeta: the sum of (q + k)^-s over k >= 0."""
    s, q = np.broadcast_arrays(s, q)
    whole = np.floor(q) == q
    bad = (s < 1) | ((q <= 0) & ~whole & (np.floor(s) != s))
    ok = (s > 1) & ~((q <= 0) & whole)
    x, base = np.where(ok, s, 2.0), np.where(ok, q, 1.0)
    total = np.zeros_like(base, dtype=np.float64)
    at = base.astype(np.float64)
    for _ in range(10):
        total = total + at ** -x
        at = at + 1
    while (at < 10).any():  # far below 0: on until the tail's series holds
        more = at < 10
        total = np.where(more, total + np.where(more, at, 1.0) ** -x, total)
        at = np.where(more, at + 1, at)
    total = total + at ** (1 - x) / (x - 1) + 0.5 * at ** -x
    rise, power = x, at ** (-x - 1)
    for k, c in enumerate(_BERNOULLI):
        total = total + c * rise * power
        rise = rise * (x + 2 * k + 1) * (x + 2 * k + 2)
        power = power / (at * at)
    out = np.where(ok, total, np.inf)
    return np.where(bad | np.isnan(s) | np.isnan(q), np.nan, out)


def trigamma64(x):
    """The second derivative of log gamma."""
    low = x < 0.5
    y = np.where(low, 1 - x, x)
    value = zeta64(np.full_like(y, 2.0), y)
    sine = np.sin(math.pi * (x - np.rint(x)))
    return np.where(low, (math.pi / sine) ** 2 - value, value)


def polygamma64(x, n: int):
    """The ``n``-th derivative of digamma."""
    if n == 0:
        return digamma64(x)
    if n == 1:
        return trigamma64(x)
    scale = math.exp(math.lgamma(n + 1)) * (1 if n % 2 else -1)
    return scale * zeta64(np.full_like(x, n + 1.0), x)


def _gamma_density(a, x):
    """x^a exp(-x) / gamma(a + 1), accurate for large a near x."""
    d = (x - a) / np.maximum(a, 1)
    # a (log(1 + d) - d) without cancellation where d is small
    near = np.abs(d) < 0.4
    u = np.where(near, d, 0.0)
    w = u / (2 + u)
    odd = np.zeros_like(w)
    for k in range(41, 1, -2):
        odd = (odd + 2 / k) * w * w
    gap = w * odd - u * w  # log1p(u) = 2 w + 2 w^3 / 3 + ..., and 2 w - u = -u w
    big = np.maximum(a, _LARGE)
    large = np.exp(big * gap - stirling_rest(big)) / np.sqrt(2 * math.pi * big)
    plain = np.exp(a * np.log(np.where(x > 0, x, 1.0)) - x - lgamma64(a + 1))
    return np.where(x <= 0, np.where(a == 0, 1.0, 0.0), np.where(near & (a >= _LARGE), large,
                                                                  plain))


def _lower_series(a, x):
    term = np.ones_like(x)
    total, n = np.ones_like(x), a.copy()
    for _ in range(_MAX_TERMS):
        n = n + 1
        term = term * x / n
        total = total + term
        if not (term > 1e-17 * total).any():
            break
    return total * _gamma_density(a, x)


def _upper_fraction(a, x):
    """Q(a, x) by Lentz's continued fraction."""
    tiny = 1e-300
    b = x + 1 - a
    c = np.full_like(x, 1 / tiny)
    d = 1 / np.where(b == 0, tiny, b)
    h = d
    for i in range(1, _MAX_TERMS):
        an = -i * (i - a)
        b = b + 2
        d = an * d + b
        d = 1 / np.where(np.abs(d) < tiny, tiny, d)
        c = b + an / c
        c = np.where(np.abs(c) < tiny, tiny, c)
        step = c * d
        h = h * step
        if not (np.abs(step - 1) > 1e-16).any():
            break
    return h * _gamma_density(a, x) * np.where(a == 0, 1.0, a)


def _incomplete(a, x, upper: bool):
    a, x = (v.astype(np.float64) for v in np.broadcast_arrays(a, x))
    bad = (a < 0) | (x < 0) | np.isnan(a) | np.isnan(x)
    edge = bad | (a == 0) | (x == 0) | np.isinf(a) | np.isinf(x)
    sa, sx = np.where(edge, 1.0, a), np.where(edge, 1.0, x)
    series = sx < sa + 1
    lower = _lower_series(sa, np.where(series, sx, np.minimum(sx, sa)))
    tail = _upper_fraction(sa, np.where(series, sa + 2, sx))
    out = np.where(series, 1 - lower, tail) if upper else np.where(series, lower, 1 - tail)
    zero, one = (1.0, 0.0) if upper else (0.0, 1.0)
    # P(a, 0) = 0, P(0, x) = 1, P(a, inf) = 1, P(inf, x) = 0
    out = np.where(np.isinf(x), np.where(np.isinf(a), np.nan, one), out)
    out = np.where(np.isinf(a) & ~np.isinf(x), zero, out)
    out = np.where(x == 0, np.where(a == 0, np.nan, zero), np.where(a == 0, one, out))
    return np.where(bad, np.nan, out)


def igamma64(a, x):
    """The regularised lower incomplete gamma function."""
    return _incomplete(np.asarray(a), np.asarray(x), False)


def igammac64(a, x):
    """The regularised upper incomplete gamma function."""
    return _incomplete(np.asarray(a), np.asarray(x), True)
