"""The rest of torch.special: Bessel functions without gradients, orthogonal polynomials.

The polynomials follow their three-term recurrences (Abramowitz & Stegun, table 22.7), and
trigonometric forms (22.3.15) for Chebyshev polynomials of high degree inside (-1, 1).
"""

from __future__ import annotations

import numpy as np

from ...base import layout as layouts
from ...ir.api import api
from ...ir.node import OpClass, Prim
from ...ir.op import Op, apply
from ..core import elementwise, is_number, result_type, same_dtype, to_float
from .elementwise import check_tensor, unary
from .pointwise import not_implemented
from .special_bessel import i0_64, i1_64
from .special_bessel_jy import airy_ai64, j0_64, j1_64, k0_64, k1_64, spherical_j0_64, y0_64, y1_64
from .special_erf import in_float64

E = OpClass.ELEMENTWISE
_NO_GRADIENT = "PyTorch declares none"

for _name, _function, _doc in (
        ("airy_ai", airy_ai64, "The Airy function Ai."),
        ("bessel_j0", j0_64, "Bessel function of the first kind, order 0."),
        ("bessel_j1", j1_64, "Bessel function of the first kind, order 1."),
        ("bessel_y0", y0_64, "Bessel function of the second kind, order 0."),
        ("bessel_y1", y1_64, "Bessel function of the second kind, order 1."),
        ("modified_bessel_i0", i0_64, "Modified Bessel function of the first kind, order 0."),
        ("modified_bessel_i1", i1_64, "Modified Bessel function of the first kind, order 1."),
        ("modified_bessel_k0", k0_64, "Modified Bessel function of the second kind, order 0."),
        ("modified_bessel_k1", k1_64, "Modified Bessel function of the second kind, order 1."),
        ("scaled_modified_bessel_k0", lambda x: k0_64(x, True), "exp(x) K0(x)."),
        ("scaled_modified_bessel_k1", lambda x: k1_64(x, True), "exp(x) K1(x)."),
        ("spherical_bessel_j0", spherical_j0_64, "sin(x) / x.")):
    unary(_name, in_float64(_function), None, nondiff=_NO_GRADIENT, torch=False, method=False,
          inplace=False, namespaces=("special",), doc=_doc,
          cases=lambda t: [t.call(t.pos(2, 3))])


# --- orthogonal polynomials ---------------------------------------------------------------------


def _recurrence(x, n, second, step):
    """The polynomial of degree ``n`` (0 below degree 0): 1, ``second``, then ``step(k, x, q, p)``
    for degree k + 1 from degrees k and k - 1."""
    out = np.where(n < 0, 0.0, np.where(n == 0, 1.0, second))
    p, q = np.ones_like(x), second
    top = int(n.max()) if n.size else 0
    for k in range(1, top):
        p, q = q, step(k, x, q, p)
        out = np.where(n == k + 1, q, out)
    return out


def _chebyshev(x, n, kind: str):
    second = {"t": x, "u": 2 * x, "v": 2 * x - 1, "w": 2 * x + 1}[kind]
    inside = (np.abs(x) < 1) & (n > 8)
    out = _recurrence(x, np.where(inside, 0, n), second, lambda k, x, q, p: 2 * x * q - p)
    angle = np.arccos(np.clip(x, -1, 1))
    half = (n + 0.5) * angle
    wave = {"t": lambda: np.cos(n * angle), "u": lambda: np.sin((n + 1) * angle) / np.sin(angle),
            "v": lambda: np.cos(half) / np.cos(angle / 2),
            "w": lambda: np.sin(half) / np.sin(angle / 2)}[kind]()
    return np.where(inside, wave, out)


def _hermite(factor: int):
    def polynomial(x, n):
        return _recurrence(x, n, factor * x, lambda k, x, q, p: factor * (x * q - k * p))

    return polynomial


def _laguerre(x, n):
    return _recurrence(x, n, 1 - x, lambda k, x, q, p: ((2 * k + 1 - x) * q - k * p) / (k + 1))


def _legendre(x, n):
    return _recurrence(x, n, x, lambda k, x, q, p: ((2 * k + 1) * x * q - k * p) / (k + 1))


def _polynomial(name: str, function, doc: str) -> None:
    def numpy(x, n):
        wide, degree = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(n, np.float64))
        whole = np.trunc(np.where(np.isfinite(degree), degree, -1)).astype(np.int64)
        return function(wide, whole).astype(x.dtype)

    prim = Prim(name, E, same_dtype, numpy, doc=doc)

    def lower(x, n):
        d = result_type(x, n)
        if d.is_complex:
            raise not_implemented(name, d)
        return elementwise(prim, to_float(d), x, n)

    op = Op("special_" + name, lower, nondiff=_NO_GRADIENT, layout=layouts.ELEMENTWISE)

    def polynomial(input, n):
        if is_number(n):
            check_tensor("special_" + name, "input", 1, input)
        return apply(op, input, n)

    polynomial.__name__ = polynomial.__qualname__ = name
    polynomial.__doc__ = doc
    api(name, torch=False, namespaces=("special",), out=1, dtypes="any",
        cases=lambda t: [t.call(t.unit(2, 3), t.ints(3, low=0, high=6))])(polynomial)


for _kind, _ordinal in zip("tuvw", ("first", "second", "third", "fourth"), strict=True):
    _polynomial(f"chebyshev_polynomial_{_kind}",
                lambda x, n, kind=_kind: _chebyshev(x, n, kind),
                f"Chebyshev polynomial of the {_ordinal} kind and degree ``n``.")
    _polynomial(f"shifted_chebyshev_polynomial_{_kind}",
                lambda x, n, kind=_kind: _chebyshev(2 * x - 1, n, kind),
                f"Chebyshev polynomial of the {_ordinal} kind and degree ``n`` at ``2 x - 1``.")
_polynomial("hermite_polynomial_h", _hermite(2), "Hermite polynomial (physicists') of degree n.")
_polynomial("hermite_polynomial_he", _hermite(1), "Hermite polynomial (probabilists') of degree n.")
_polynomial("laguerre_polynomial_l", _laguerre, "Laguerre polynomial of degree ``n``.")
_polynomial("legendre_polynomial_p", _legendre, "Legendre polynomial of degree ``n``.")
