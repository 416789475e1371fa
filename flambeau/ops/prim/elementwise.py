"""Elementwise arithmetic: graph primitives, their gradients and public functions together.

This file holds the arithmetic that everything else is written with; further elementwise functions
stand in pointwise.py, comparisons and logic in comparison.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base.fused import fma
from ...ir.api import api
from ...ir.node import OpClass, Prim, make
from ...ir.op import Op, apply
from ..core import (cast_node, elementwise, is_number, no_derivative, operand, result_type,
                    same_dtype, spread, to_float)

E = OpClass.ELEMENTWISE


def unary(name, numpy, llvm, vjp=None, *, saves=(), guards=None, floats=True, nondiff=None,
          cases=None, errors=None, doc="", torch=True, method=True, inplace=True, out=1,
          functional=False, namespaces=(), aliases=(), dtypes=None, grad_name=None):
    """Declare an elementwise function of one tensor: primitive, operation and public function.

    ``floats``: integer operands become the default floating dtype first. The other arguments are
    those of Prim, Op and api.
    """
    prim = Prim(name, E, same_dtype, numpy, llvm, doc=doc)

    def lower(x):
        return make(prim, (cast_node(x, to_float(x.dtype)) if floats else x,))

    op = Op(name, lower, vjp, saves=saves, guards=guards, nondiff=nondiff, doc=doc,
            grad_name=grad_name, layout=layouts.ELEMENTWISE)

    def function(input):  # noqa: A002
        return apply(op, input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    api(name, torch=torch, method=method, inplace=inplace, out=out, functional=functional,
        namespaces=namespaces, aliases=aliases, cases=cases or (lambda t: [t.call(t.f(2, 3))]),
        errors=errors, dtypes=dtypes or ("any" if floats else "number"))(function)
    return function


def check_tensor(name: str, label: str, position: int, x) -> None:
    """Raise where PyTorch takes tensors only."""
    if is_number(x):
        raise TypeError(f"{name}(): argument '{label}' (position {position}) must be Tensor, not "
                        f"{type(x).__name__}")


# --- sums and differences -----------------------------------------------------------------------

ADD = Prim("add", E, same_dtype, np.add, lambda b, x, y: b.add(x, y), commutative=True, doc="x + y")
SUB = Prim("sub", E, same_dtype, np.subtract, lambda b, x, y: b.sub(x, y), doc="x - y")
MUL = Prim("mul", E, same_dtype, np.multiply, lambda b, x, y: b.mul(x, y), commutative=True,
           doc="x * y")
DIV = Prim("div", E, same_dtype, np.divide, lambda b, x, y: b.div(x, y), doc="x / y of floats")
FMA = Prim("fma", E, same_dtype, fma, lambda b, x, y, z: b.fma(x, y, z),
           doc="x * y + z of floats, rounded once")


def scaled_sum(dtype: dt.dtype, x, y, factor):
    """``x + y * factor`` in ``dtype``: of floats rounded once, as PyTorch's kernels do; of 16-bit
    floats, too, which its kernels round twice where they do not fill a vector."""
    if dtype.is_floating_point:
        return elementwise(FMA, dtype, y, factor, x)
    return elementwise(ADD, dtype, x, elementwise(MUL, dtype, y, factor))


def _check_alpha(name, dtype, alpha):
    if is_number(alpha):
        if isinstance(alpha, bool) and dtype is not dt.bool_:
            raise RuntimeError("Boolean alpha only supported for Boolean results.")
        if isinstance(alpha, float) and dtype.category < dt.dtype.FLOAT:
            raise RuntimeError("For integral input tensors, argument alpha must not be a floating "
                               f"point number: {name}(..., alpha={alpha}) gives {dtype}")


def _add_lower(x, y, alpha=1):
    d = result_type(x, y)
    if type(alpha) is not int or alpha != 1:
        _check_alpha("add", d, alpha)
        return scaled_sum(d, x, y, alpha)
    return elementwise(ADD, d, x, y)


_add = Op("add", _add_lower, lambda ctx, g: (g, g if ctx.alpha == 1 else mul(g, ctx.alpha)),
          layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3), t.f(3)), t.call(t.f(2, 1), t.f(3), alpha=2),
                      t.call(t.f(4), 1.5)],
     errors=lambda t: [(RuntimeError, "must match the size", t.call(t.f(2), t.f(3)))])
def add(input, other, *, alpha=1):  # noqa: A002
    """``input + alpha * other`` with broadcasting and type promotion."""
    return apply(_add, input, other, alpha=alpha if is_number(alpha) else alpha.item())


def _sub_lower(x, y, alpha=1):
    d = result_type(x, y)
    if d is dt.bool_ or not is_number(x) and x.dtype is dt.bool_ \
            or not is_number(y) and y.dtype is dt.bool_:
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying "
            "to invert a mask, use the `~` or `logical_not()` operator instead.")
    if type(alpha) is not int or alpha != 1:
        _check_alpha("sub", d, alpha)
        if d.is_floating_point:  # the number itself is left as it is: a step may have another one
            return scaled_sum(d, x, y, make(NEG, (operand(alpha, d),)))
        y = elementwise(MUL, d, y, alpha)
    return elementwise(SUB, d, x, y)


_sub = Op("sub", _sub_lower,
          lambda ctx, g: (g, neg(g) if ctx.alpha == 1 else mul(g, -ctx.alpha)),
          layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="number", aliases=("subtract",),
     cases=lambda t: [t.call(t.f(2, 3), t.f(3)), t.call(t.f(2, 1), t.f(3), alpha=2)],
     errors=lambda t: [(RuntimeError, "bool tensor is not supported",
                        t.call(t.bools(2), t.bools(2)))])
def sub(input, other, *, alpha=1):  # noqa: A002
    """``input - alpha * other`` with broadcasting and type promotion."""
    return apply(_sub, input, other, alpha=alpha if is_number(alpha) else alpha.item())


@api(method=True, dtypes="number", cases=lambda t: [t.call(t.f(2, 3), t.f(3))])
def rsub(input, other, *, alpha=1):  # noqa: A002
    """``other - alpha * input``."""
    if input.dtype is dt.bool_ and is_number(other):
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported.")
    return apply(_rsub, input, other, alpha=alpha if is_number(alpha) else alpha.item())


_rsub = Op("rsub", lambda x, y, alpha=1: _sub_lower(y, x, alpha),
           lambda ctx, g: (neg(g) if ctx.alpha == 1 else mul(g, -ctx.alpha), g),
           layout=layouts.ELEMENTWISE)


# --- products -----------------------------------------------------------------------------------


def saves_other(needs, params):
    """A product needs each operand only for the other's gradient."""
    return tuple(i for i in (0, 1) if needs[1 - i])


def conj(x):
    """Complex conjugate for gradients: the identity on real dtypes."""
    return apply(_conj, x) if x.dtype.is_complex else x


CONJ = Prim("conj", E, same_dtype, np.conjugate, doc="complex conjugate")
_conj = Op("conj", lambda x: make(CONJ, (x,)) if x.dtype.is_complex else x,
           lambda ctx, g: (conj(g),), layout=layouts.COPY)


_mul = Op("mul", lambda x, y: elementwise(MUL, result_type(x, y), x, y),
          lambda ctx, g: (mul(g, conj_or_number(ctx.operand(1))) if ctx.needs(0) else None,
                          mul(g, conj_or_number(ctx.operand(0))) if ctx.needs(1) else None),
          saves=saves_other, layout=layouts.ELEMENTWISE)


def conj_or_number(x):
    """``conj`` that lets Python numbers through."""
    if is_number(x):
        return x.conjugate()
    return conj(x)


@api(method=True, inplace=True, out=1, dtypes="any", aliases=("multiply",),
     cases=lambda t: [t.call(t.f(2, 3), t.f(3)), t.call(t.f(2, 3), 2.5)])
def mul(input, other):  # noqa: A002
    """``input * other`` with broadcasting and type promotion."""
    return apply(_mul, input, other)


def _div_lower(x, y):
    return elementwise(DIV, to_float(result_type(x, y)), x, y)


def _div_vjp(ctx, g):
    y = ctx.operand(1)
    gx = div(g, conj_or_number(y)) if ctx.needs(0) else None
    gy = None
    if ctx.needs(1):
        gy = mul(neg(g), conj_or_number(div(div(ctx.operand(0), y), y)))
    return gx, gy


_div = Op("div", _div_lower, _div_vjp, saves=lambda needs, params: (0, 1) if needs[1] else (1,),
          layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="any", aliases=("divide",),
     cases=lambda t: [t.call(t.f(2, 3), t.pos(3)), t.call(t.f(4), 2.5),
                      t.call(t.f(4), t.pos(4), rounding_mode="floor"),
                      t.call(t.f(4), t.pos(4), rounding_mode="trunc")],
     errors=lambda t: [(RuntimeError, "rounding_mode", t.call(t.f(2), t.f(2), rounding_mode="x"))])
def div(input, other, *, rounding_mode=None):  # noqa: A002
    """``input / other``; ``rounding_mode`` None (true division), "trunc" or "floor"."""
    if rounding_mode is None:
        return apply(_div, input, other)
    if rounding_mode == "floor":
        return apply(_div_floor, input, other)
    if rounding_mode == "trunc":
        return apply(_div_trunc, input, other)
    raise RuntimeError("div expected rounding_mode to be one of None, 'trunc', or 'floor' "
                       f"but found '{rounding_mode}'")


@api(method=True, inplace=True, out=1, dtypes="any")
def true_divide(input, other):  # noqa: A002
    """``input / other``: ints become floats."""
    return apply(_div, input, other)


def _integer_checked(function):
    """Integer division: C's rules where NumPy would warn, ZeroDivisionError as PyTorch."""

    def divide(x, y):
        if x.dtype.kind in "iu" and (np.asarray(y) == 0).any():
            raise RuntimeError("ZeroDivisionError")
        return function(x, y)

    return divide


def _trunc_numpy(x, y):
    if x.dtype.kind in "iu":
        quotient = np.floor_divide(x, y)
        return quotient + ((quotient < 0) & (quotient * y != x)).astype(x.dtype)
    return np.trunc(np.divide(x, y))


def _floor_numpy(x, y):
    if x.dtype.kind in "iu":
        return np.floor_divide(x, y)
    plain = np.divide(x, y)
    return np.where(np.isfinite(plain) & (np.asarray(y) != 0), np.floor_divide(x, y), plain)


def division(name, numpy, rule, doc):
    """A rounded division or remainder, as (primitive, lowering): compiled for floats and for
    divisors that are known, run by NumPy where an integer divisor may turn out to be 0."""
    fast = Prim(name, E, same_dtype, numpy, rule, doc=doc)
    checked = Prim(name + "_checked", E, same_dtype, _integer_checked(numpy), doc=doc)

    def lower(x, y):
        d = result_type(x, y)
        if d is dt.bool_ or d.is_complex:
            raise NotImplementedError(f'"{name}_cpu" not implemented for {d}')
        if d.category == dt.dtype.INT:
            if not is_number(y):
                return elementwise(checked, d, x, y)
            if y == 0:
                raise RuntimeError("ZeroDivisionError")
        return elementwise(fast, d, x, y)

    return fast, lower


def _zero_grads(ctx, *grads):
    """Steps have slope 0 wherever they have one."""
    return tuple(mul(grads[0], 0) if ctx.needs(i) else None for i in range(ctx.operands))


FLOORDIV, _floor_lower = division("floordiv", _floor_numpy, lambda b, x, y: b.floordiv(x, y),
                                  "floor(x / y)")
def _trunc_rule(b, x, y):
    """Of floats the truncated quotient, which 16-bit ones have rounded before."""
    return b.trunc(b.div(x, y)) if x.dtype.is_floating_point else b.truncdiv(x, y)


TRUNCDIV, _trunc_lower = division("truncdiv", _trunc_numpy, _trunc_rule, "trunc(x / y)")
_div_floor, _div_trunc = (Op(
    name, lower, _zero_grads, grad_name="DivBackward2", layout=layouts.ELEMENTWISE,
    guards=lambda needs, params: (0, 1) if needs[1] else (1,))
    for name, lower in (("div_floor", _floor_lower), ("div_trunc", _trunc_lower)))


@api(method=True, inplace=True, out=1, dtypes="number",
     cases=lambda t: [t.call(t.f(2, 3), t.pos(3)), t.call(t.ints(5, low=-9, high=9), 2)])
def floor_divide(input, other):  # noqa: A002
    """``floor(input / other)``."""
    return apply(_floor_divide, input, other)


_floor_divide = Op("floor_divide", _floor_lower, no_derivative("floor_divide"),
                   grad_name="NotImplemented", layout=layouts.ELEMENTWISE)


# --- powers -------------------------------------------------------------------------------------


def _pow_numpy(x, y):
    if x.dtype.kind in "iu":
        y = np.asarray(y)
        negative = y < 0
        if negative.any():  # C's rule: 1/x truncated
            base = np.power(x, np.where(negative, 0, y))
            inverse = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y % 2), 0))
            return np.where(negative, inverse, base).astype(x.dtype)
    return np.power(x, y)


POW = Prim("pow", E, same_dtype, _pow_numpy, lambda b, x, y: b.pow(x, y), doc="x ** y")
SQUARE = Prim("square", E, same_dtype, np.square, lambda b, x: b.mul(x, x), doc="x * x")


def _pow_lower(x, y):
    d = result_type(x, y)
    if d is dt.bool_:
        d = dt.int64 if is_number(x) or is_number(y) else dt.bool_
    if is_number(y) and not is_number(x):
        if y == 2:
            return make(SQUARE, (cast_node(x, d),))
        if y == 1:
            return make(COPY, (x,)) if x.dtype is d else cast_node(x, d)
        if d.category == dt.dtype.INT and y < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
    return elementwise(POW, d, x, y)


def _pow_vjp(ctx, g):
    x, y = ctx.operand(0), ctx.operand(1)
    gx = gy = None
    if ctx.needs(0):
        if is_number(y):
            gx = mul(g, 0) if y == 0 else mul(g, conj(mul(pow(x, y - 1), y)))
        else:
            slope = mul(y, pow(x, sub(y, 1)))
            gx = mul(g, conj(where(eq(y, 0), 0, slope)))
    if ctx.needs(1):
        out = ctx.result()
        if is_number(x):
            gy = mul(g, conj(mul(out, np.log(x).item() if x else 0.0)))
        else:
            # 0 ** y is 0 for every y >= 0; below it is infinite and so is its slope
            flat = eq(x, 0) if out.dtype.is_complex else where(ge(y, 0), eq(x, 0), False)
            gy = mul(g, conj(where(flat, 0, mul(out, log(where(flat, 1, x))))))
    return gx, gy


def _pow_saves(needs, params):
    return (0, 1, "result") if needs[1] else (0, 1)


_pow = Op("pow", _pow_lower, _pow_vjp, saves=_pow_saves, guards=(0, 1, "result"),
          grad_name="PowBackward1", layout=layouts.ELEMENTWISE)
_pow_number = Op("pow_scalar", _pow_lower, _pow_vjp, saves=_pow_saves, grad_name="PowBackward0",
                 layout=layouts.OF_TENSORS)
_number_pow = Op("pow_of_scalar", _pow_lower, _pow_vjp, saves=_pow_saves,
                 grad_name="PowBackward2")


@api(method=True, inplace=True, out=1, dtypes="number",
     cases=lambda t: [t.call(t.pos(2, 3), 3), t.call(t.pos(2, 3), t.f(3)), t.call(t.f(4), 2),
                      t.call(2.0, t.f(3))])
def pow(input, exponent):  # noqa: A001, A002
    """``input ** exponent`` with broadcasting; either may be a number."""
    if is_number(input) and is_number(exponent):
        raise TypeError("pow() received an invalid combination of arguments: one of the operands "
                        "must be a Tensor")
    op = _pow_number if is_number(exponent) else _number_pow if is_number(input) else _pow
    return apply(op, input, exponent)


# --- signs, exponentials and what activations need ------------------------------------------------


def _no_bool(name):
    def check(x):
        if x.dtype is dt.bool_:
            raise RuntimeError(f"{name} on a bool tensor is not supported; "
                               "use `~` or logical_not() to invert a mask")
        return x

    return check


NEG = Prim("neg", E, same_dtype, np.negative, lambda b, x: b.neg(x), doc="-x")
_neg = Op("neg", lambda x: make(NEG, (_no_bool("Negation, the `-` operator,")(x),)),
          lambda ctx, g: (neg(g),), layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="number", aliases=("negative",),
     cases=lambda t: [t.call(t.f(2, 3))])
def neg(input):  # noqa: A002
    """``-input``."""
    return apply(_neg, input)


exp = unary("exp", np.exp, lambda b, x: b.exp(x), lambda ctx, g: (mul(g, conj(ctx.result())),),
            saves=("result",), doc="e to the power of each element.")
log = unary("log", np.log, lambda b, x: b.log(x), lambda ctx, g: (div(g, conj(ctx.operand(0))),),
            saves=(0,), cases=lambda t: [t.call(t.pos(2, 3))],
            doc="Natural logarithm; -inf at 0, nan below.")
sqrt = unary("sqrt", np.sqrt, lambda b, x: b.sqrt(x),
             lambda ctx, g: (div(g, mul(conj(ctx.result()), 2)),), saves=("result",),
             cases=lambda t: [t.call(t.pos(2, 3))], doc="Square root; nan below 0.")
tanh = unary("tanh", np.tanh, lambda b, x: b.tanh(x),
             lambda ctx, g: (mul(g, sub(1, conj(mul(ctx.result(), ctx.result())))),),
             saves=("result",), functional=True, doc="Hyperbolic tangent.")


def _sigmoid_numpy(x):
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-x))).astype(x.dtype)


sigmoid = unary("sigmoid", _sigmoid_numpy, lambda b, x: b.sigmoid(x),
                lambda ctx, g: (mul(g, conj(mul(ctx.result(), sub(1, ctx.result())))),),
                saves=("result",), functional=True, namespaces=(), aliases=("special.expit",),
                doc="Logistic function, 1 / (1 + exp(-x)).")

MAXIMUM = Prim("maximum", E, same_dtype, np.maximum, lambda b, x, y: b.max(x, y), commutative=True,
               doc="the larger, NaN if either is")
MINIMUM = Prim("minimum", E, same_dtype, np.minimum, lambda b, x, y: b.min(x, y), commutative=True,
               doc="the smaller, NaN if either is")

_relu = Op("relu", lambda x: elementwise(MAXIMUM, x.dtype, x, 0),
           lambda ctx, g: (where(le(ctx.result(), 0), 0, g),), saves=("result",),
           layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, functional=False, dtypes="number",
     cases=lambda t: [t.call(t.f(2, 3))])
def relu(input):  # noqa: A002
    """``max(input, 0)``, elementwise."""
    if input.dtype is dt.bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    return apply(_relu, input)


# --- comparisons and selection --------------------------------------------------------------------


def _compare(name, numpy, aliases):
    from_pair = Prim(name, E, lambda x, y: (spread_shape(x, y), dt.bool_), numpy,
                     lambda b, x, y: getattr(b, name)(x, y), doc=f"{name} comparison")

    def lower(x, y):
        return elementwise(from_pair, result_type(x, y), x, y)

    op = Op(name, lower, nondiff="a truth value has no gradient", layout=layouts.ELEMENTWISE)

    def function(input, other):  # noqa: A002
        if is_number(input):
            raise TypeError(f"{name}() received an invalid combination of arguments: 'input' must "
                            f"be Tensor, not {type(input).__name__}")
        return apply(op, input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Elementwise comparison ``{name}`` with broadcasting; a bool tensor."
    api(name, method=True, inplace=True, out=1, dtypes="any", aliases=aliases,
        cases=lambda t: [t.call(t.f(2, 3), t.f(3)), t.call(t.f(4), 0)])(function)
    return function


def spread_shape(x, y):
    """The shape of a result of two operands of which one may be 0-d."""
    return x.shape if len(x.shape) >= len(y.shape) else y.shape


eq = _compare("eq", np.equal, ())
ne = _compare("ne", np.not_equal, ("not_equal",))
lt = _compare("lt", np.less, ("less",))
le: Callable = _compare("le", np.less_equal, ("less_equal",))
gt = _compare("gt", np.greater, ("greater",))
ge = _compare("ge", np.greater_equal, ("greater_equal",))


def _where_infer(c, x, y):
    shape = c.shape
    for n in (x, y):
        if len(n.shape) > len(shape):
            shape = n.shape
    return shape, x.dtype


WHERE = Prim("where", E, _where_infer, np.where, lambda b, c, x, y: b.select(c, x, y),
             doc="x where c, else y")


def _where_lower(c, x, y):
    d = result_type(x, y)
    return make(WHERE, tuple(spread(c, operand(x, d), operand(y, d))))


_where = Op("where", _where_lower,
            lambda ctx, g: (None, where(ctx.operand(0), g, 0), where(ctx.operand(0), 0, g)),
            saves=(0,), layout=layouts.ELEMENTWISE)


def where(condition, input, other):  # noqa: A002
    """``input`` where ``condition`` holds, else ``other``; broadcasting and promotion."""
    return apply(_where, condition, input, other)


# --- identity-like --------------------------------------------------------------------------------

COPY = Prim("copy", E, same_dtype, lambda x: np.array(x, order="C"), lambda b, x: x,
            doc="the same values in memory of their own")
_clone = Op("clone", lambda x: make(COPY, (x,)), lambda ctx, g: (g,), layout=layouts.COPY)


_strided = Op("strided_clone", lambda x, strides: make(COPY, (x,)), lambda ctx, g: (g,),
              grad_name="CloneBackward0", layout=layouts.STRIDED)


@api(method=True, dtypes="any", cases=lambda t: [t.call(t.f(2, 3))])
def clone(input, *, memory_format=None):  # noqa: A002
    """A copy that is part of the graph: its gradient flows back to ``input``.

    Args:
        memory_format: the order of its memory; None: that of ``input``'s.
    """
    if memory_format is None or memory_format.name == "preserve_format":
        return apply(_clone, input)
    strides = layouts.strides_of_format(tuple(input.shape), memory_format)
    return apply(_strided, input, strides=strides)


def clone_strided(input, strides):  # noqa: A002
    """A copy with these strides, which leave no gaps."""
    return apply(_strided, input, strides=tuple(strides))


_rows = Op("row_major_clone", lambda x: make(COPY, (x,)), lambda ctx, g: (g,),
           grad_name="CloneBackward0")


def rows(input):  # noqa: A002
    """A row-major copy."""
    return apply(_rows, input)


_to_copy = Op("_to_copy", lambda x, dtype: cast_node(x, dtype) if x.dtype is not dtype
              else make(COPY, (x,)),
              lambda ctx, g: (cast(g, ctx.dtype_of(0)),), grad_name="ToCopyBackward0",
              layout=layouts.COPY)


def cast(x, dtype):
    """``x`` as another dtype (itself where nothing changes)."""
    return x if x.dtype is dtype else apply(_to_copy, x, dtype=dtype)
