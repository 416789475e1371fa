"""Special functions: gamma and Bessel functions, normal distribution, their derivatives.

The numbers come from special_erf.py, special_gamma.py and special_bessel.py; these functions always
run through NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...ir.api import api
from ...ir.node import OpClass, Prim, make
from ...ir.op import Op, apply
from ..core import cast_node, elementwise, is_number, result_type, same_dtype, to_float
from .binary import xlogy
from .comparison import logical_or
from .elementwise import (add, check_tensor, div, eq, exp, gt, log, lt, mul, neg, pow, sub, unary,
                          where)
from .pointwise import abs, erf, erfc, not_implemented, sgn
from .special_bessel import i0_64, i0e64, i1_64, i1e64
from .special_erf import erfcx64, erfinv64, in_float64, log_ndtr64, ndtri64
from .special_gamma import digamma64, igamma64, igammac64, lgamma64, polygamma64, zeta64

E = OpClass.ELEMENTWISE


def _pos(t):
    return [t.call(t.pos(2, 3))]


def _unit(t):
    return [t.call(t.unit(2, 3))]


def special(name, function, vjp, *, saves=(0,), guards=None, torch=False, alias=True, cases=None,
            doc="", grad_name=None):
    """A float function of one tensor, as torch.special.name and, with ``torch``, torch.name."""
    return unary(name, in_float64(function), None, vjp, saves=saves, guards=guards, torch=torch,
                 method=torch, inplace=torch, namespaces=() if torch else ("special",),
                 aliases=("special." + name,) if torch and alias else (), cases=cases, doc=doc,
                 grad_name=grad_name)


# --- gamma --------------------------------------------------------------------------------------

lgamma = special("lgamma", lgamma64, lambda ctx, g: (mul(g, digamma(ctx.operand(0))),), torch=True,
                 alias=False, cases=_pos, doc="log |gamma(x)|.")
digamma: Callable = special("digamma", digamma64,
                            lambda ctx, g: (mul(g, polygamma(1, ctx.operand(0))),),
                            torch=True, cases=_pos, doc="The derivative of lgamma.")
POLYGAMMA = Prim("polygamma", E, lambda x, n: (x.shape, x.dtype), lambda x, n: polygamma64(
    np.asarray(x, np.float64), n).astype(x.dtype), doc="n-th derivative of digamma")
_polygamma = Op("polygamma", lambda x, n: make(POLYGAMMA, (cast_node(x, to_float(x.dtype)),), (n,)),
                lambda ctx, g: (mul(g, polygamma(ctx.n + 1, ctx.operand(0))),), saves=(0,),
                layout=layouts.ELEMENTWISE)


@api(aliases=("special.polygamma",), out=1, cases=lambda t: [t.call(1, t.pos(2, 3))])
def polygamma(n, input):
    """The ``n``-th derivative of digamma.

    Raises:
        RuntimeError: ``n`` is negative.
    """
    if n < 0:
        raise RuntimeError(f"polygamma(n, x) does not support negative n. Got {n}")
    return apply(_polygamma, input, n=int(n))


@api("polygamma", torch=False, method=True, inplace=True, cases=lambda t: [t.call(t.pos(2, 3), 1)])
def polygamma_method(input, n):
    """The ``n``-th derivative of digamma."""
    return polygamma(n, input)


@api("gammaln", torch=False, namespaces=("special",), out=1, dtypes="any", cases=_pos)
def gammaln(input):
    """log |gamma(x)|."""
    return lgamma(input)


@api("psi", torch=False, namespaces=("special",), out=1, dtypes="any", cases=_pos)
def psi(input):
    """The derivative of lgamma."""
    return digamma(input)


def _multi_lower(x, p):
    x = cast_node(x, to_float(x.dtype))
    total = p * (p - 1) / 4 * math.log(math.pi)
    for j in range(p):
        part = lgamma(sub(x, j / 2))
        total = add(part, total)
    return total


def _multi_vjp(ctx, g):
    x, total = ctx.operand(0), None
    for j in range(ctx.p):
        part = digamma(sub(x, j / 2))
        total = part if total is None else add(total, part)
    return (mul(g, total),)


_mvlgamma = Op("mvlgamma", _multi_lower, _multi_vjp, saves=(0,))


@api(method=True, inplace=True, out=1, aliases=("special.multigammaln",), dtypes="number",
     cases=lambda t: [t.call(add(t.pos(2, 3), 2), 3)])
def mvlgamma(input, p):
    """The multivariate log gamma function of dimension ``p``.

    Raises:
        RuntimeError: ``p`` is below 1, or a bool or complex tensor.
    """
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if input.dtype is dt.bool_ or input.dtype.is_complex:
        raise RuntimeError(f"mvlgamma is not implemented for {input.dtype}")
    return apply(_mvlgamma, input, p=int(p))


def _two_in_float64(function):
    def numpy(x, y):
        wide = (np.asarray(x, np.float64), np.asarray(y, np.float64))
        return np.asarray(function(*wide)).astype(x.dtype)

    return numpy


ZETA = Prim("zeta", E, same_dtype, _two_in_float64(zeta64), doc="Hurwitz zeta")


def _zeta_vjp(ctx, g):
    if ctx.needs(0):
        raise NotImplementedError("the derivative of zeta by its first argument is not implemented")
    x, q = ctx.operand(0), ctx.operand(1)
    up = x + 1 if is_number(x) else add(x, 1)
    slope = zeta(up, q)
    return None, mul(g, mul(slope, -x if is_number(x) else neg(x)))


_zeta = Op("special_zeta", lambda x, y: elementwise(ZETA, to_float(result_type(x, y)), x, y),
           _zeta_vjp, saves=(0, 1), layout=layouts.ELEMENTWISE)


@api("zeta", torch=False, namespaces=("special",), out=1, dtypes="any",
     cases=lambda t: [t.call(2.0, t.pos(2, 3))])
def zeta(input, other):
    """Hurwitz zeta: the sum of ``(other + k) ** -input`` over k >= 0."""
    if is_number(other):
        check_tensor("special_zeta", "input", 1, input)
    return apply(_zeta, input, other)


def _incomplete(name: str, function, sign: int):
    prim = Prim(name, E, same_dtype, _two_in_float64(function), doc="incomplete gamma function")

    def lower(a, x):
        d = result_type(a, x)
        if not d.is_floating_point:
            raise not_implemented(name, d)
        return elementwise(prim, d, a, x)

    def vjp(ctx, g):
        if ctx.needs(0):
            raise NotImplementedError(f"the derivative for '{name}: input' is not implemented.")
        a, x = ctx.operand(0), ctx.operand(1)
        density = exp(sub(sub(mul(log(x), sub(a, 1)), x), lgamma(a)))
        return None, mul(g, density if sign > 0 else neg(density))

    op = Op(name, lower, vjp, saves=(0, 1), layout=layouts.ELEMENTWISE)

    def incomplete(input, other):
        check_tensor(name, "input", 1, input)
        check_tensor(name, "other", 2, other)
        return apply(op, input, other)

    incomplete.__name__ = incomplete.__qualname__ = name
    side = "lower" if sign > 0 else "upper"
    incomplete.__doc__ = f"The regularised {side} incomplete gamma function of (input, other)."
    return api(name, method=True, inplace=True, out=1,
               aliases=("special.gammainc" if sign > 0 else "special.gammaincc",),
               cases=lambda t: [t.call(t.pos(2, 3), t.pos(2, 3))])(incomplete)


igamma = _incomplete("igamma", igamma64, 1)
igammac = _incomplete("igammac", igammac64, -1)

# --- modified Bessel functions ------------------------------------------------------------------


def _i1_slope(x, scaled: bool):
    """I1'(x) = I0(x) - I1(x) / x, 1/2 at 0; with ``scaled`` the same of exp(-|x|) I1."""
    zero = eq(x, 0)
    safe = where(zero, 1, x)
    if not scaled:
        return where(zero, 0.5, sub(i0(safe), div(i1(safe), safe)))
    return where(zero, 0.5, sub(i0e(safe), mul(i1e(safe), add(sgn(safe), div(1, safe)))))


i0 = special("i0", i0_64, lambda ctx, g: (mul(g, i1(ctx.operand(0))),), torch=True,
             doc="Modified Bessel function of the first kind, order 0.")
i0e = special("i0e", i0e64, lambda ctx, g: (
    mul(g, sub(i1e(ctx.operand(0)), mul(sgn(ctx.operand(0)), ctx.result()))),),
    saves=(0, "result"), grad_name="SpecialI0EBackward0", doc="exp(-|x|) I0(x).")
i1: Callable = special("i1", i1_64, lambda ctx, g: (mul(g, _i1_slope(ctx.operand(0), False)),),
                       guards=(0, "result"), grad_name="SpecialI1Backward0",
                       doc="Modified Bessel function of the first kind, order 1.")
i1e: Callable = special("i1e", i1e64, lambda ctx, g: (mul(g, _i1_slope(ctx.operand(0), True)),),
                        guards=(0, "result"), grad_name="SpecialI1EBackward0",
                        doc="exp(-|x|) I1(x).")

# --- error function and normal distribution -----------------------------------------------------

_HALF_ROOT_PI = 0.5 * math.sqrt(math.pi)
erfinv = special("erfinv", erfinv64, lambda ctx, g: (
    mul(mul(g, exp(pow(ctx.result(), 2))), _HALF_ROOT_PI),), saves=("result",), guards=(0,),
    torch=True, cases=_unit, doc="The inverse of the error function, on (-1, 1).")
erfcx = special("erfcx", erfcx64, lambda ctx, g: (
    mul(g, sub(mul(mul(ctx.operand(0), ctx.result()), 2), 2 / math.sqrt(math.pi))),),
    saves=(0, "result"), grad_name="SpecialErfcxBackward0", doc="exp(x^2) erfc(x).")
ndtri = special("ndtri", ndtri64, lambda ctx, g: (
    mul(mul(g, exp(div(pow(ctx.result(), 2), 2))), math.sqrt(2 * math.pi)),), saves=("result",),
    grad_name="SpecialNdtriBackward0",
    cases=lambda t: [t.call(div(t.pos(2, 3), 3))], doc="Quantiles of the normal distribution.")
log_ndtr = special("log_ndtr", log_ndtr64, lambda ctx, g: (
    mul(g, div(math.sqrt(2 / math.pi), erfcx(mul(ctx.operand(0), -math.sqrt(0.5))))),),
    guards=(0, "result"), grad_name="SpecialLogNdtrBackward0",
    doc="Logarithm of the normal distribution function, exact far into the tail.")


def _ndtr_lower(x):
    x = cast_node(x, to_float(x.dtype))
    scaled = mul(x, math.sqrt(0.5))
    middle = mul(add(erf(scaled), 1), 0.5)
    tail = mul(erfc(abs(scaled)), 0.5)
    tail = where(gt(scaled, 0), sub(1, tail), tail)
    return where(lt(abs(scaled), 1), middle, tail)


def _ndtr_vjp(ctx, g):
    bell = mul(exp(mul(pow(ctx.operand(0), 2), -0.5)), 1 / math.sqrt(2 * math.pi))
    return (mul(g, bell),)


_ndtr = Op("special_ndtr", _ndtr_lower, _ndtr_vjp, saves=(0,), guards=(), grad_name="MulBackward1",
           layout=layouts.ELEMENTWISE)


@api("ndtr", torch=False, namespaces=("special",), out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3))])
def ndtr(input):
    """The distribution function of the normal distribution."""
    return apply(_ndtr, input)


# --- entropy and log-odds -----------------------------------------------------------------------


def _entr_lower(x):
    x = cast_node(x, to_float(x.dtype))
    inside = neg(xlogy(x, x))
    return where(lt(x, 0), -math.inf, inside)


def _entr_vjp(ctx, g):
    x = ctx.operand(0)
    return (mul(g, where(lt(x, 0), math.nan, sub(neg(log(x)), 1))),)


_entr = Op("special_entr", _entr_lower, _entr_vjp, saves=(0,), layout=layouts.ELEMENTWISE)


@api("entr", torch=False, namespaces=("special",), out=1, dtypes="any", cases=_pos)
def entr(input):
    """``-x log(x)``: 0 at 0, -inf below."""
    return apply(_entr, input)


def _logit_lower(x, eps):
    x = cast_node(x, to_float(x.dtype))
    if eps is not None:
        x = where(lt(x, eps), eps, where(gt(x, 1 - eps), 1 - eps, x))
    return log(div(x, sub(1, x)))


def _logit_vjp(ctx, g):
    x, eps = ctx.operand(0), ctx.eps
    slope = div(g, mul(x, sub(1, x)))
    if eps is None:
        return (where(logical_or(lt(x, 0), gt(x, 1)), math.nan, slope),)
    return (where(logical_or(lt(x, eps), gt(x, 1 - eps)), 0, slope),)


_logit = Op("logit", _logit_lower, _logit_vjp, saves=(0,), layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, aliases=("special.logit",), dtypes="any",
     cases=lambda t: [t.call(div(t.pos(2, 3), 3)), t.call(t.f(2, 3), 0.1)])
def logit(input, eps=None):
    """``log(x / (1 - x))``, ``x`` limited to [eps, 1 - eps] when ``eps`` is given."""
    return apply(_logit, input, eps=eps)
