"""Elementwise functions of one tensor: rounding, powers, exponentials, trigonometry."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...ir.api import api
from ...ir.node import OpClass, Prim, const, make
from ...ir.op import Op, apply
from ...ir.view import broadcast
from ..core import elementwise, is_number, same_dtype, to_float
from .elementwise import (COPY, DIV, MUL, SUB, add, cast, conj, div, eq, exp, mul, neg, pow, sub,
                          unary, where)
from .special_erf import erf_numpy, erfc_numpy

E = OpClass.ELEMENTWISE


def not_implemented(name: str, dtype: dt.dtype) -> NotImplementedError:
    """PyTorch's refusal of a dtype, in its exception class."""
    label = {"bool": "Bool", "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char",
             "uint8": "Byte", "float16": "Half", "bfloat16": "BFloat16", "float32": "Float",
             "float64": "Double", "complex64": "ComplexFloat",
             "complex128": "ComplexDouble"}.get(dtype.name, dtype.name)
    return NotImplementedError(f'"{name}_cpu" not implemented for \'{label}\'')


def refuse_complex(name: str, x) -> None:
    """Raise where a function needs ordered operands."""
    if x.dtype.is_complex:
        raise not_implemented(name, x.dtype)


_zeros_of = Op("zeros_of", lambda x: broadcast(const(0, x.dtype), x.shape), lambda ctx, g: (None,),
               layout=layouts.COPY)


def zeros_of(x):
    """Zeros of the shape and dtype of ``x``: the gradient of steps."""
    return apply(_zeros_of, x)


def flat(ctx, g):
    """Gradient rule of functions that are constant between steps."""
    return (zeros_of(g),)


def _pos(t):
    return [t.call(t.pos(2, 3))]


def _unit(t):
    return [t.call(t.unit(2, 3))]


# --- sign and magnitude -------------------------------------------------------------------------


ABS = Prim("abs", E, lambda x: (x.shape, x.dtype.to_real()), np.abs, lambda b, x: b.abs(x),
           doc="magnitude")
_abs = Op("abs", lambda x: make(COPY if x.dtype is dt.bool_ else ABS, (x,)),
          lambda ctx, g: (mul(g, sgn(ctx.operand(0))),), saves=(0,), layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="number", aliases=("absolute",),
     cases=lambda t: [t.call(t.f(2, 3))])
def abs(input):  # noqa: A001, A002
    """Magnitude of each element; real for complex tensors."""
    return apply(_abs, input)


def _sign_lower(x):
    if x.dtype.is_complex:
        raise RuntimeError("Unlike NumPy, torch.sign doesn't allow complex inputs; "
                           "torch.sgn gives x / |x|")
    return make(COPY if x.dtype is dt.bool_ else SIGN, (x,))


def _sign_numpy(x):
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


def _sign_llvm(b, x):
    one, zero = b.const(1, x.dtype), b.const(0, x.dtype)
    if not x.dtype.is_signed:
        return b.select(b.gt(x, 0), one, zero)
    return b.select(b.gt(x, 0), one, b.select(b.lt(x, 0), b.const(-1, x.dtype), zero))


SIGN = Prim("sign", E, same_dtype, _sign_numpy, _sign_llvm, doc="-1, 0 or 1; 0 of NaN")
_sign = Op("sign", _sign_lower, flat, layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="any", cases=lambda t: [t.call(t.f(2, 3))])
def sign(input):  # noqa: A002
    """-1, 0 or 1 by the sign of each element."""
    return apply(_sign, input)


def _sgn_numpy(x):
    size = np.abs(x)
    return np.where(size == 0, 0, x / np.where(size == 0, 1, size)).astype(x.dtype)


SGN = Prim("sgn", E, same_dtype, _sgn_numpy, doc="x / |x| of complex numbers, 0 at 0")


def _sgn_vjp(ctx, g):
    if not g.dtype.is_complex:
        return (zeros_of(g),)
    out, size = ctx.result(), abs(ctx.operand(0))
    zero = eq(size, 0)
    part = div(sub(g, mul(mul(out, out), conj(g))), mul(where(zero, 1, size), 2))
    return (where(zero, 0, part),)


_sgn = Op("sgn", lambda x: make(SGN, (x,)) if x.dtype.is_complex else _sign_lower(x), _sgn_vjp,
          saves=(0, "result"), guards=(0, "result"), layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="any", cases=lambda t: [t.call(t.f(2, 3))])
def sgn(input):  # noqa: A002
    """``sign`` of real tensors, ``x / |x|`` of complex ones."""
    return apply(_sgn, input)


@api(method=True, dtypes="number", cases=lambda t: [t.call(t.f(2, 3))])
def positive(input):  # noqa: A002
    """``input`` itself.

    Raises:
        RuntimeError: a bool tensor.
    """
    if input.dtype is dt.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


# --- rounding -----------------------------------------------------------------------------------


def _rounding(name: str, numpy, llvm, doc: str):
    """floor, ceil and trunc: integers are whole already."""
    prim = Prim(name, E, same_dtype, numpy, llvm, doc=doc)

    def lower(x):
        if x.dtype is dt.bool_ or x.dtype.is_complex:
            raise not_implemented(name, x.dtype)
        return make(prim if x.dtype.is_floating_point else COPY, (x,))

    op = Op(name, lower, flat, layout=layouts.ELEMENTWISE)

    def function(input):  # noqa: A002
        return apply(op, input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    api(name, method=True, inplace=True, out=1, dtypes="number",
        aliases=("fix",) if name == "trunc" else (), cases=lambda t: [t.call(t.f(2, 3))])(function)
    return prim, function


FLOOR, floor = _rounding("floor", np.floor, lambda b, x: b.floor(x),
                         "The largest whole number that is not above.")
CEIL, ceil = _rounding("ceil", np.ceil, lambda b, x: b.ceil(x),
                       "The smallest whole number that is not below.")
TRUNC, trunc = _rounding("trunc", np.trunc, lambda b, x: b.trunc(x),
                         "The whole part, towards zero.")
ROUND = Prim("round", E, same_dtype, np.rint, lambda b, x: b.round(x), doc="to nearest, ties even")


def _round_lower(x, decimals=0):
    if x.dtype is dt.bool_ or x.dtype.is_complex:
        raise not_implemented("round", x.dtype)
    if not x.dtype.is_floating_point:
        if decimals:
            raise not_implemented("round_vml", x.dtype)
        return make(COPY, (x,))
    if decimals == 0:
        return make(ROUND, (x,))
    up, down = (MUL, DIV) if decimals > 0 else (DIV, MUL)
    ten = 10.0 ** builtins.abs(decimals)
    return elementwise(down, x.dtype, make(ROUND, (elementwise(up, x.dtype, x, ten),)), ten)


_round = Op("round", _round_lower, flat, layout=layouts.ELEMENTWISE)
_round_decimals = Op("round_decimals", _round_lower, flat, grad_name="RoundBackward1",
                     layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="number", aliases=("special.round",),
     cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), decimals=2)])
def round(input, *, decimals=0):  # noqa: A001, A002
    """To the nearest whole number (ties to even), or to ``decimals`` decimal places."""
    return apply(_round_decimals if decimals else _round, input, decimals=decimals)


def _frac_lower(x):
    if not x.dtype.is_floating_point:
        raise not_implemented("frac", x.dtype)
    return elementwise(SUB, x.dtype, x, make(TRUNC, (x,)))


_frac = Op("frac", _frac_lower, lambda ctx, g: (g,), layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, cases=lambda t: [t.call(t.f(2, 3))])
def frac(input):  # noqa: A002
    """The part after the point, with the sign of ``input``."""
    return apply(_frac, input)


# --- powers, exponentials, logarithms -----------------------------------------------------------


@api(method=True, inplace=True, out=1, dtypes="number", cases=lambda t: [t.call(t.f(2, 3))])
def square(input):  # noqa: A002
    """``input * input``."""
    return pow(input, 2)


reciprocal = unary("reciprocal", lambda x: (1 / x).astype(x.dtype), lambda b, x: b.reciprocal(x),
                   lambda ctx, g: (neg(mul(g, conj(pow(ctx.result(), 2)))),), saves=("result",),
                   cases=_pos, doc="1 / x.")
rsqrt = unary("rsqrt", lambda x: (1 / np.sqrt(x)).astype(x.dtype), lambda b, x: b.rsqrt(x),
              lambda ctx, g: (mul(mul(g, -0.5), conj(pow(ctx.result(), 3))),), saves=("result",),
              cases=_pos, doc="1 / sqrt(x).")
exp2 = unary("exp2", np.exp2, lambda b, x: b.exp2(x),
             lambda ctx, g: (mul(mul(g, conj(ctx.result())), math.log(2)),), saves=("result",),
             aliases=("special.exp2",), doc="2 to the power of each element.")
expm1 = unary("expm1", np.expm1, lambda b, x: b.expm1(x),
              lambda ctx, g: (mul(g, conj(add(ctx.result(), 1))),), saves=("result",),
              aliases=("special.expm1",), doc="exp(x) - 1, exact near 0.")


def _log_vjp(scale):
    def vjp(ctx, g):
        x = conj(ctx.operand(0))
        return (div(g, x if scale is None else mul(x, scale)),)

    return vjp


log2 = unary("log2", np.log2, lambda b, x: b.log2(x), _log_vjp(math.log(2)), saves=(0,),
             cases=_pos, doc="Logarithm to base 2.")
log10 = unary("log10", np.log10, lambda b, x: b.log10(x), _log_vjp(math.log(10)), saves=(0,),
              cases=_pos, doc="Logarithm to base 10.")
log1p = unary("log1p", np.log1p, lambda b, x: b.log1p(x),
              lambda ctx, g: (div(g, conj(add(ctx.operand(0), 1))),), saves=(0,), cases=_pos,
              aliases=("special.log1p",), grad_name="Log1PBackward0",
              doc="log(1 + x), exact near 0.")

# --- trigonometry -------------------------------------------------------------------------------


sin = unary("sin", np.sin, lambda b, x: b.sin(x),
            lambda ctx, g: (mul(g, conj(cos(ctx.operand(0)))),), saves=(0,), doc="Sine.")
cos: Callable = unary("cos", np.cos, lambda b, x: b.cos(x),
                      lambda ctx, g: (mul(g, neg(conj(sin(ctx.operand(0))))),), saves=(0,),
                      doc="Cosine.")
tan = unary("tan", np.tan, lambda b, x: b.tan(x),
            lambda ctx, g: (mul(g, conj(add(pow(ctx.result(), 2), 1))),), saves=("result",),
            doc="Tangent.")


def _one_minus_square(x):
    return sub(1, pow(x, 2))


asin = unary("asin", np.arcsin, lambda b, x: b.asin(x),
             lambda ctx, g: (mul(g, conj(rsqrt(_one_minus_square(ctx.operand(0))))),), saves=(0,),
             aliases=("arcsin",), cases=_unit, doc="Inverse sine, in [-pi/2, pi/2].")
acos = unary("acos", np.arccos, lambda b, x: b.acos(x),
             lambda ctx, g: (mul(g, neg(conj(rsqrt(_one_minus_square(ctx.operand(0)))))),),
             saves=(0,), aliases=("arccos",), cases=_unit, doc="Inverse cosine, in [0, pi].")
atan = unary("atan", np.arctan, lambda b, x: b.atan(x),
             lambda ctx, g: (div(g, conj(add(pow(ctx.operand(0), 2), 1))),), saves=(0,),
             aliases=("arctan",), doc="Inverse tangent, in [-pi/2, pi/2].")
sinh = unary("sinh", np.sinh, lambda b, x: b.sinh(x),
             lambda ctx, g: (mul(g, conj(cosh(ctx.operand(0)))),), saves=(0,),
             doc="Hyperbolic sine.")
cosh: Callable = unary("cosh", np.cosh, lambda b, x: b.cosh(x),
                       lambda ctx, g: (mul(g, conj(sinh(ctx.operand(0)))),), saves=(0,),
                       doc="Hyperbolic cosine.")
asinh = unary("asinh", np.arcsinh, lambda b, x: b.asinh(x),
              lambda ctx, g: (mul(g, conj(rsqrt(add(pow(ctx.operand(0), 2), 1)))),), saves=(0,),
              aliases=("arcsinh",), doc="Inverse hyperbolic sine.")


def _acosh_vjp(ctx, g):
    x = ctx.operand(0)
    if x.dtype.is_complex:
        return (mul(g, conj(mul(rsqrt(sub(x, 1)), rsqrt(add(x, 1))))),)
    return (mul(g, rsqrt(sub(square(x), 1))),)


acosh = unary("acosh", np.arccosh, lambda b, x: b.acosh(x), _acosh_vjp, saves=(0,),
              aliases=("arccosh",), cases=lambda t: [t.call(add(t.pos(2, 3), 1))],
              doc="Inverse hyperbolic cosine, for x >= 1.")
atanh = unary("atanh", np.arctanh, lambda b, x: b.atanh(x),
              lambda ctx, g: (div(g, conj(_one_minus_square(ctx.operand(0)))),), saves=(0,),
              aliases=("arctanh",), cases=_unit, doc="Inverse hyperbolic tangent, for |x| < 1.")


def _scaled_angle(name: str, factor: float, grad_name: str, doc: str):
    op = Op(name, lambda x: elementwise(MUL, to_float(x.dtype), x, factor),
            lambda ctx, g: (mul(g, factor),), grad_name=grad_name, layout=layouts.ELEMENTWISE)

    def function(input):  # noqa: A002
        if input.dtype.is_complex:
            raise RuntimeError(f"{name} is not supported for complex tensors.")
        return apply(op, input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return api(name, method=True, inplace=True, out=1, dtypes="any",
               cases=lambda t: [t.call(t.f(2, 3))])(function)


deg2rad = _scaled_angle("deg2rad", math.pi / 180, "Deg2RadBackward0", "Degrees as radians.")
rad2deg = _scaled_angle("rad2deg", 180 / math.pi, "Rad2DegBackward0", "Radians as degrees.")


def _sinc_lower(x):
    d = to_float(x.dtype)
    angle = elementwise(MUL, d, x, math.pi)
    zero = eq(x, 0)
    return where(zero, 1, div(sin(angle), where(zero, 1, angle)))


def _sinc_vjp(ctx, g):
    x = ctx.operand(0)
    zero = eq(x, 0)
    angle = mul(x, math.pi)
    slope = div(sub(mul(cos(angle), angle), sin(angle)), mul(where(zero, 1, mul(x, angle)), 1))
    return (mul(g, conj(where(zero, 0, slope))),)


_sinc = Op("sinc", _sinc_lower, _sinc_vjp, saves=(0,), layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="any", aliases=("special.sinc",),
     cases=lambda t: [t.call(t.f(2, 3))])
def sinc(input):  # noqa: A002
    """``sin(pi x) / (pi x)``, 1 at 0."""
    return apply(_sinc, input)


# --- the error function -------------------------------------------------------------------------


def _gauss(x):
    """2 / sqrt(pi) exp(-x^2), the slope of erf."""
    return mul(exp(neg(pow(x, 2))), 2 / math.sqrt(math.pi))


erf = unary("erf", erf_numpy, lambda b, x: b.erf(x),
            lambda ctx, g: (mul(g, _gauss(ctx.operand(0))),), saves=(0,),
            aliases=("special.erf",), doc="The error function.")
erfc = unary("erfc", erfc_numpy, lambda b, x: b.erfc(x),
             lambda ctx, g: (mul(g, neg(_gauss(ctx.operand(0)))),), saves=(0,),
             aliases=("special.erfc",), doc="1 - erf(x), exact for large x.")


# --- replacing what is not a number -------------------------------------------------------------

ISNAN = Prim("isnan", E, lambda x: (x.shape, dt.bool_), np.isnan, lambda b, x: b.isnan(x),
             doc="whether it is NaN")


def _nan_to_num_lower(x, nan=None, posinf=None, neginf=None):
    d = x.dtype
    if d.category < dt.dtype.FLOAT:
        return make(COPY, (x,))
    if d.is_complex:
        raise NotImplementedError("nan_to_num of complex tensors")
    top = float(np.finfo(d.np).max) if d is not dt.bfloat16 else 3.3895313892515355e38
    out = where(make(ISNAN, (x,)), const(0.0 if nan is None else nan, d), x)
    out = where(eq(x, math.inf), const(top if posinf is None else posinf, d), out)
    return where(eq(x, -math.inf), const(-top if neginf is None else neginf, d), out)


def _nan_to_num_vjp(ctx, g):
    x = ctx.operand(0)
    return (where(eq(sub(x, x), 0), g, 0),)  # x - x is NaN for NaN and infinities


_nan_to_num = Op("nan_to_num", _nan_to_num_lower, _nan_to_num_vjp, saves=(0,),
                 layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="any", cases=lambda t: [t.call(t.f(2, 3))])
def nan_to_num(input, nan=None, posinf=None, neginf=None):  # noqa: A002
    """NaN replaced by ``nan`` (0), infinities by ``posinf`` and ``neginf`` (the largest finite)."""
    return apply(_nan_to_num, input, nan=nan, posinf=posinf, neginf=neginf)


def _is_narrow(x) -> bool:
    return x.dtype.itemsize == 2 and x.dtype.is_floating_point


def widened(x):
    """A 16-bit float operand as float32, others as they are: for ops that round once."""
    return cast(x, dt.float32) if _is_narrow(x) else x


class _WideCtx:
    """A gradient rule's context whose 16-bit values are float32."""

    def __init__(self, ctx):
        self._ctx = ctx

    def __getattr__(self, name):
        return getattr(self._ctx, name)

    def _value(self, x):
        return x if x is None or is_number(x) else widened(x)

    def operand(self, i):
        """Operand ``i``."""
        return self._value(self._ctx.operand(i))

    def result(self, i=0):
        """Result ``i``."""
        return self._value(self._ctx.result(i))


def in_float32(vjp):
    """A gradient rule that computes 16-bit floats in float32 and rounds once."""

    def rule(ctx, *grads):
        if not _is_narrow(grads[0]):
            return vjp(ctx, *grads)
        return vjp(_WideCtx(ctx), *[widened(g) for g in grads])

    return rule
