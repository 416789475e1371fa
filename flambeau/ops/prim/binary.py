"""Elementwise functions of two and three tensors beyond plain arithmetic."""

from __future__ import annotations

import math

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...ir.api import api
from ...ir.node import OpClass, Prim, make
from ...ir.op import Op, apply
from ..results import return_type
from ..core import elementwise, is_number, no_derivative, result_type, same_dtype, to_float
from .elementwise import (MAXIMUM, MINIMUM, add, cast, check_tensor, conj, div, division, eq, exp,
                          ge, gt, le, log, lt, mul, neg, pow, sub, where)
from .pointwise import in_float32, not_implemented, zeros_of

E = OpClass.ELEMENTWISE


def _two(t):
    return [t.call(t.f(2, 3), t.f(3)), t.call(t.f(2, 1), t.f(3))]


def pair(name, lower, vjp, *, saves=(), guards=None, nondiff=None, doc="", cases=_two,
         aliases=(), method=True, inplace=True, out=1, torch=True, namespaces=(),
         dtypes="number", grad_name=None, scalar_grad_name=None, numbers=False):
    """Declare a function of two operands.

    ``numbers``: ``other`` may be a number; with ``scalar_grad_name``, PyTorch names that step
    differently.
    """
    op = Op(name, lower, vjp, saves=saves, guards=guards, nondiff=nondiff, doc=doc,
            grad_name=grad_name, layout=layouts.ELEMENTWISE)
    scalar = op
    if scalar_grad_name:
        scalar = Op(name + "_scalar", lower, vjp, saves=saves, grad_name=scalar_grad_name,
                    layout=layouts.ELEMENTWISE)

    def function(input, other):
        check_tensor(name, "input", 1, input)
        if not numbers:
            check_tensor(name, "other", 2, other)
        return apply(scalar if is_number(other) else op, input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    api(name, torch=torch, method=method, inplace=inplace, out=out, namespaces=namespaces,
        aliases=aliases, cases=cases, dtypes=dtypes)(function)
    return function


def _promoting(prim, floats=False, refuse=()):
    """Lowering of a primitive in the operands' common dtype."""

    def lower(x, y):
        d = result_type(x, y)
        if d.name in refuse or (d.is_complex and "complex" in refuse) \
                or (d.category < dt.dtype.FLOAT and "int" in refuse):
            raise not_implemented(prim.name, d)
        return elementwise(prim, to_float(d) if floats else d, x, y)

    return lower


# --- remainders ---------------------------------------------------------------------------------


_, _fmod_lower = division("fmod", np.fmod, lambda b, x, y: b.fmod(x, y),
                          "remainder with the sign of x")
_, _remainder_lower = division("remainder", np.mod, lambda b, x, y: b.remainder(x, y),
                               "remainder with the sign of y")


def _mod_vjp(rounded):
    def vjp(ctx, g):
        y = None
        if ctx.needs(1):
            y = mul(neg(g), div(ctx.operand(0), ctx.operand(1), rounding_mode=rounded))
        return g, y

    return vjp


def _saves_if_second(needs, params):
    return (0, 1) if needs[1] else ()


fmod = pair("fmod", _fmod_lower, _mod_vjp("trunc"),
            saves=_saves_if_second, grad_name="FmodBackward1", numbers=True,
            scalar_grad_name="FmodBackward0",
            cases=lambda t: [t.call(t.f(2, 3), t.pos(3)), t.call(t.f(4), 1.5)],
            doc="Remainder of the division, with the sign of ``input`` (C's fmod).")
_remainder = Op("remainder", _remainder_lower, _mod_vjp("floor"),
                saves=_saves_if_second, grad_name="RemainderBackward1", layout=layouts.ELEMENTWISE)
_remainder_scalar = Op("remainder_scalar", _remainder_lower, _mod_vjp("floor"),
                       saves=_saves_if_second, grad_name="RemainderBackward0",
                       layout=layouts.ELEMENTWISE)
_remainder_of = Op("remainder_of_scalar", _remainder_lower, no_derivative("remainder"),
                   grad_name="NotImplemented", layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="number",
     cases=lambda t: [t.call(t.f(2, 3), t.pos(3)), t.call(t.f(4), 1.5), t.call(2.5, t.pos(3))])
def remainder(input, other):
    """Remainder of the division, with the sign of ``other`` (Python's ``%``)."""
    if is_number(other):
        check_tensor("remainder", "input", 1, input)
        return apply(_remainder_scalar, input, other)
    return apply(_remainder_of if is_number(input) else _remainder, input, other)


# --- larger and smaller -------------------------------------------------------------------------


def _half_ties(first_wins):
    """Gradient of maximum/minimum: ties are shared."""

    def vjp(ctx, g):
        x, y = ctx.operand(0), ctx.operand(1)
        half = where(eq(x, y), mul(g, 0.5), g)
        wins = first_wins(x, y)
        return where(wins, half, 0), where(first_wins(y, x), half, 0)

    return vjp


def _not(condition):
    return eq(condition, False)


maximum = pair("maximum", _promoting(MAXIMUM, refuse=("complex",)),
               _half_ties(lambda x, y: _not(lt(x, y))), saves=(0, 1), inplace=False, dtypes="any",
               doc="The larger of two elements; NaN if either is.")
minimum = pair("minimum", _promoting(MINIMUM, refuse=("complex",)),
               _half_ties(lambda x, y: _not(gt(x, y))), saves=(0, 1), inplace=False, dtypes="any",
               doc="The smaller of two elements; NaN if either is.")


def _f_extreme(name, numpy, extreme, order):
    """fmax and fmin: NaN only where both are."""
    prim = Prim(name, E, same_dtype, numpy,
                lambda b, x, y: b.select(b.isnan(x), y, b.select(b.isnan(y), x,
                                                                 getattr(b, extreme)(x, y))),
                doc=f"{extreme}, the other operand where one is NaN")

    def vjp(ctx, g):
        x, y = ctx.operand(0), ctx.operand(1)
        first = where(order(x, y), True, ne_self(y))
        return where(first, g, 0), where(first, 0, g)

    return pair(name, _promoting(prim, refuse=("complex",)), vjp, saves=(0, 1), inplace=False,
                dtypes="any", doc=f"The {'larger' if extreme == 'max' else 'smaller'} of two "
                "elements; a NaN loses against a number.")


def ne_self(x):
    """Whether each element is NaN."""
    return eq(eq(x, x), False)


fmax = _f_extreme("fmax", np.fmax, "max", ge)
fmin = _f_extreme("fmin", np.fmin, "min", le)

# --- geometry -----------------------------------------------------------------------------------

ATAN2 = Prim("atan2", E, same_dtype, np.arctan2, lambda b, x, y: b.atan2(x, y),
             doc="angle of (y, x)")


@in_float32
def _atan2_vjp(ctx, g):
    x, y = ctx.operand(0), ctx.operand(1)
    scale = div(g, add(mul(x, x), mul(y, y)))
    scale = where(eq(add(mul(x, x), mul(y, y)), 0), 0, scale)
    return mul(scale, y), neg(mul(scale, x))


atan2 = pair("atan2", _promoting(ATAN2, floats=True, refuse=("complex",)), _atan2_vjp,
             saves=(0, 1), aliases=("arctan2",), dtypes="any",
             doc="The angle of the point (other, input), in (-pi, pi].")
HYPOT = Prim("hypot", E, same_dtype, np.hypot, doc="sqrt(x^2 + y^2) without overflow")


def _hypot_vjp(ctx, g):
    scale = div(g, ctx.result())
    return (mul(scale, ctx.operand(0)) if ctx.needs(0) else None,
            mul(scale, ctx.operand(1)) if ctx.needs(1) else None)


hypot = pair("hypot", _promoting(HYPOT, refuse=("complex", "int")), _hypot_vjp,
             saves=lambda needs, params: ("result", *(i for i in (0, 1) if needs[i])),
             dtypes="float", doc="``sqrt(input^2 + other^2)`` without overflow in between.")
COPYSIGN = Prim("copysign", E, same_dtype, np.copysign, doc="|x| with the sign of y")


def _copysign_vjp(ctx, g):
    gx = None
    if ctx.needs(0):
        x = ctx.operand(0)
        gx = mul(g, where(eq(x, 0), 0, div(ctx.result(), where(eq(x, 0), 1, x))))
    return gx, (zeros_of(g) if ctx.needs(1) else None)


copysign = pair("copysign", _promoting(COPYSIGN, floats=True, refuse=("complex",)), _copysign_vjp,
                saves=lambda needs, params: (0, "result") if needs[0] else (),
                guards=lambda needs, params: (0, "result") if needs[0] else ("result",),
                grad_name="CopysignBackward0", dtypes="any",
                scalar_grad_name="CopysignBackward1", numbers=True,
                doc="The magnitude of ``input`` with the sign of ``other``.")


def _nextafter_numpy(x, y):
    return np.nextafter(x, y.astype(x.dtype))


NEXTAFTER = Prim("nextafter", OpClass.LIBRARY, same_dtype, _nextafter_numpy,
                 batch="elementwise", doc="the next number towards y")


def _nextafter_lower(x, y):
    d = result_type(x, y)
    if not d.is_floating_point:
        raise not_implemented("nextafter", d)
    return elementwise(NEXTAFTER, d, x, y)


def _nextafter_vjp(ctx, g):
    gx = where(eq(ctx.operand(0), ctx.operand(1)), 0, g) if ctx.needs(0) else None
    return gx, (zeros_of(g) if ctx.needs(1) else None)


nextafter = pair("nextafter", _nextafter_lower, _nextafter_vjp, dtypes="float",
                 saves=lambda needs, params: (0, 1) if needs[0] else (),
                 doc="The next representable number after ``input`` towards ``other``.")

# --- logarithms of sums, products with logarithms -----------------------------------------------


def log_add_exp(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``log(exp x + exp y)``, of complex numbers too: the one with the larger real part stands
    outside. Where both real parts are -inf, so is the sum; both +inf: their angles add."""
    if x.dtype.kind != "c":
        return np.logaddexp(x, y)
    swap = np.isnan(x.real) | (x.real >= y.real)
    high, low = np.where(swap, x, y), np.where(swap, y, x)
    out = high + np.log1p(np.exp(low - high))
    same = np.isinf(low.real) & (low.real == high.real)
    if same.any():
        both = np.where(low.real < 0, low, np.log(np.exp(low) + np.exp(high)))
        out = np.where(same, both, out)
    unknown = np.isnan(low.real) | np.isnan(high.real)
    return np.where(unknown, x.dtype.type(complex(math.nan, math.nan)), out)


LOGADDEXP = Prim("logaddexp", E, same_dtype, log_add_exp, doc="log(exp x + exp y)")
LOGADDEXP2 = Prim("logaddexp2", E, same_dtype, np.logaddexp2, doc="log2(2^x + 2^y)")


def _logaddexp_lower(prim):
    def lower(x, y):
        d = result_type(x, y)
        if d.category < dt.dtype.FLOAT or d.is_complex and prim is not LOGADDEXP:
            raise not_implemented(prim.name, d)
        return elementwise(prim, d, x, y)

    return lower


def _logaddexp_vjp(base):
    def vjp(ctx, g):
        def share(mine, other):
            return div(g, conj(add(exp(mul(sub(other, mine), base)), 1)))

        x, y = ctx.operand(0), ctx.operand(1)
        return share(x, y), share(y, x)

    return vjp


logaddexp = pair("logaddexp", _logaddexp_lower(LOGADDEXP), _logaddexp_vjp(1.0),
                 saves=(0, 1), inplace=False, dtypes="float",
                 doc="``log(exp(input) + exp(other))`` without overflow.")
logaddexp2 = pair("logaddexp2", _logaddexp_lower(LOGADDEXP2), _logaddexp_vjp(math.log(2)),
                  saves=(0, 1), inplace=False, dtypes="float",
                  doc="``log2(2^input + 2^other)`` without overflow.")


def _times_log(name, shifted, grad_name, aliases, torch, namespaces, scalar_names):
    """xlogy and xlog1py: x log(y), 0 where x is 0 (unless y is NaN)."""

    def numpy(x, y):
        value = x * (np.log1p(y) if shifted else np.log(y))
        return np.where((x == 0) & ~np.isnan(y), np.zeros((), x.dtype), value)

    def llvm(b, x, y):
        value = b.mul(x, b.log1p(y) if shifted else b.log(y))
        zero = b.and_(b.eq(x, b.const(0, x.dtype)), b.not_(b.isnan(y)))
        return b.select(zero, b.const(0, x.dtype), value)

    prim = Prim(name, E, same_dtype, numpy, llvm, doc="x log y, 0 where x is 0")

    def vjp(ctx, g):
        x, y = ctx.operand(0), ctx.operand(1)
        inner = (y + 1 if is_number(y) else add(y, 1)) if shifted else y
        gx = gy = None
        if ctx.needs(0):
            known = math.log(inner) if is_number(inner) else log(inner)
            zero = where(eq(x, 0), le(y, -1 if shifted else 0) if not is_number(y)
                         else bool(y <= (-1 if shifted else 0)), False)
            gx = where(zero, 0, mul(g, known))
        if ctx.needs(1):
            gy = div(mul(g, x), inner)
        return gx, gy

    ops = [Op(name + suffix, _promoting(prim, floats=True, refuse=("complex",)), vjp, saves=(0, 1),
              grad_name=label, layout=layouts.ELEMENTWISE)
           for suffix, label in zip(("", "_self", "_other"), scalar_names, strict=True)]

    def function(input, other):
        if is_number(other):
            check_tensor(name, "input", 1, input)
        return apply(ops[1] if is_number(input) else ops[2] if is_number(other) else ops[0],
                     input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = ("``input * log" + ("1p" if shifted else "") +
                        "(other)``; 0 where ``input`` is 0, NaN where ``other`` is.")
    return api(name, torch=torch, method=torch, inplace=torch, out=1, namespaces=namespaces,
               aliases=aliases, dtypes="any",
               cases=lambda t: [t.call(t.f(2, 3), t.pos(3))])(function)


xlogy = _times_log("xlogy", False, "Xlogy", ("special.xlogy",), True, (),
                   ("XlogyBackward0", "XlogyBackward1", "XlogyBackward2"))
xlog1py = _times_log("xlog1py", True, "SpecialXlog1Py", (), False, ("special",),
                     ("SpecialXlog1PyBackward0", "SpecialXlog1PyBackward1",
                      "SpecialXlog1PyBackward2"))

# --- steps, exponents, divisors -----------------------------------------------------------------

HEAVISIDE = Prim("heaviside", E, same_dtype, lambda x, y: np.where(x == 0, y, (x > 0).astype(
    x.dtype)), lambda b, x, y: b.select(b.eq(x, b.const(0, x.dtype)), y, b.select(
        b.gt(x, b.const(0, x.dtype)), b.const(1, x.dtype), b.const(0, x.dtype))),
    doc="0 below 0, y at 0, 1 above")


def _heaviside_lower(x, y):
    if is_number(y) or x.dtype is not y.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    if x.dtype.is_complex:
        raise RuntimeError("heaviside is not yet implemented for complex tensors.")
    return elementwise(HEAVISIDE, x.dtype, x, y)


@api(method=True, inplace=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3), t.f(3))])
def heaviside(input, values):
    """0 where ``input`` is negative, ``values`` where it is 0, 1 where it is positive."""
    check_tensor("heaviside", "input", 1, input)
    check_tensor("heaviside", "values", 2, values)
    return apply(_heaviside, input, values)


_heaviside = Op("heaviside", _heaviside_lower, no_derivative("heaviside"),
                grad_name="NotImplemented", layout=layouts.ELEMENTWISE)


def _ldexp_vjp(ctx, g):
    gx = mul(g, conj(pow(2.0, ctx.operand(1)))) if ctx.needs(0) else None
    gy = mul(mul(g, conj(ctx.result())), math.log(2)) if ctx.needs(1) else None
    return gx, gy


_ldexp = Op("ldexp", lambda x, y: mul(x, pow(2.0, y)), _ldexp_vjp, layout=layouts.ELEMENTWISE,
            saves=lambda needs, params: (*((1,) if needs[0] else ()), "result"),
            guards=lambda needs, params: (*((1,) if needs[0] else ()), "result"))


@api(method=True, inplace=True, out=1, dtypes="number",
     cases=lambda t: [t.call(t.f(2, 3), t.ints(3, low=-3, high=4))])
def ldexp(input, other):
    """``input * 2 ** other``."""
    check_tensor("ldexp", "input", 1, input)
    return apply(_ldexp, input, other)


def _frexp_infer(dtype):
    def infer(x):
        return x.shape, dtype or x.dtype

    return infer


def _frexp_part(part):
    def numpy(x):
        return np.frexp(x.astype(np.float32) if x.dtype.itemsize == 2 else x)[part]

    return numpy


MANTISSA = Prim("frexp_mantissa", E, same_dtype, _frexp_part(0), doc="x / 2^exponent, in [0.5, 1)")
EXPONENT = Prim("frexp_exponent", E, _frexp_infer(dt.int32), _frexp_part(1),
                doc="exponent of x = mantissa * 2^exponent")


def frexp_lower(x):
    """Mantissa and exponent of a float node."""
    if not x.dtype.is_floating_point:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return make(MANTISSA, (x,)), make(EXPONENT, (x,))


def frexp_vjp(ctx, g, _):
    """The mantissa scales with 2 ** -exponent."""
    return (mul(g, pow(2.0, cast(neg(ctx.result(1)), g.dtype))),)


_frexp = Op("frexp", frexp_lower, frexp_vjp, saves=("result1",), nondiff_results=(1,),
            layout=layouts.COPY)
_FREXP = return_type("frexp", "mantissa", "exponent")


@api(method=True, out=2, cases=lambda t: [t.call(t.f(2, 3))])
def frexp(input):
    """``input = mantissa * 2 ** exponent``, the mantissa in [0.5, 1): (mantissa, exponent)."""
    return _FREXP(apply(_frexp, input))


def _whole(name, numpy, doc):
    prim = Prim(name, E, same_dtype, numpy, doc=doc)

    def lower(x, y):
        d = result_type(x, y)
        if d.category != dt.dtype.INT:
            raise not_implemented(name, d)
        return elementwise(prim, d, x, y)

    return pair(name, lower, None, nondiff="whole numbers", doc=doc,
                cases=lambda t: [t.call(t.ints(5, low=1, high=30), t.ints(5, low=1, high=30))])


gcd = _whole("gcd", np.gcd, "Greatest common divisor, never negative.")
lcm = _whole("lcm", np.lcm, "Least common multiple, never negative.")


def _float_power_dtype(*operands):
    known = [x for x in operands if not is_number(x) or isinstance(x, complex)]
    return dt.complex128 if any(isinstance(x, complex) or x.dtype.is_complex for x in known) \
        else dt.float64


@api("float_power", torch=False, inplace=True)
def float_power_in_place(input, exponent):
    """``input ** exponent`` of a float64 (or complex128) tensor."""
    to = _float_power_dtype(input, exponent)
    if input.dtype is not to:
        raise RuntimeError(f"the base given to float_power_ has dtype {input.dtype} but the "
                           f"operation's result requires dtype {to}")
    return float_power(input, exponent)


@api(method=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.pos(2, 3), 2), t.call(t.pos(2, 3), t.f(3))])
def float_power(input, exponent):
    """``input ** exponent`` in float64 (complex128 for complex operands)."""
    if is_number(exponent):
        check_tensor("float_power", "input", 1, input)
    to = _float_power_dtype(input, exponent)
    return pow(*(x if is_number(x) else cast(x, to) for x in (input, exponent)))
