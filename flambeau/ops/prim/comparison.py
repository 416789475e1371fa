"""Tests of values, logic and bitwise functions; the six comparisons stand in elementwise.py."""

from __future__ import annotations

import math

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...ir.api import api
from ...ir.node import Node, OpClass, Prim, make
from ...ir.op import Op, apply
from ..core import elementwise, is_number, operand, result_type, same_dtype, spread
from .elementwise import add, check_tensor, eq, le, lt, mul, ne, sub, where
from .index import host
from .pointwise import ABS, ISNAN, abs, not_implemented

E = OpClass.ELEMENTWISE
_NO_GRADIENT = "a truth value has no gradient"


def _pairs_of(kind):
    return {"bools": lambda t: [t.call(t.bools(2, 3), t.bools(3))],
            "ints": lambda t: [t.call(t.ints(2, 3, low=0, high=9), t.ints(3, low=0, high=9))],
            "floats": lambda t: [t.call(t.f(2, 3), t.f(3))]}[kind]


# --- what kind of number ------------------------------------------------------------------------


def _constant(x: Node, value: bool) -> Node:
    """A truth value for every element of ``x``."""
    return (eq if value else ne)(x, x)


def question(name, answer, on_integers, *, on_complex=None, torch=True, method=True,
             doc="", aliases=(), out=0):
    """Declare a test of each element; ``answer(x)`` builds it for floats, integers always answer
    ``on_integers``."""
    complex_prim = None
    if on_complex is not None:
        complex_prim = Prim(name + "_complex", E, lambda x: (x.shape, dt.bool_), on_complex,
                            doc=f"{name} of complex numbers")

    def lower(x):
        if x.dtype.is_complex:
            if complex_prim is None:
                raise RuntimeError(f"{name} does not support complex inputs.")
            return make(complex_prim, (x,))
        return answer(x) if x.dtype.is_floating_point else _constant(x, on_integers)

    op = Op(name, lower, nondiff=_NO_GRADIENT, layout=layouts.ELEMENTWISE)

    def function(input):
        return apply(op, input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return api(name, torch=torch, method=method, dtypes="any", aliases=aliases, out=out,
               cases=lambda t: [t.call(t.f(2, 3))])(function)


isnan = question("isnan", lambda x: make(ISNAN, (x,)), False, on_complex=np.isnan,
                 doc="Whether each element is NaN.")
isinf = question("isinf", lambda x: eq(make(ABS, (x,)), math.inf), False, on_complex=np.isinf,
                 doc="Whether each element is infinite.")
isfinite = question("isfinite", lambda x: lt(make(ABS, (x,)), math.inf), True,
                    on_complex=np.isfinite, doc="Whether each element is neither infinite nor NaN.")
isposinf = question("isposinf", lambda x: eq(x, math.inf), False, out=1,
                    doc="Whether each element is +inf.")
isneginf = question("isneginf", lambda x: eq(x, -math.inf), False, out=1,
                    doc="Whether each element is -inf.")
isreal = question("isreal", lambda x: _constant(where(ne(x, x), 0, x), True), True,
                  on_complex=lambda x: np.imag(x) == 0,
                  doc="Whether each element has no imaginary part.")

SIGNBIT = Prim("signbit", E, lambda x: (x.shape, dt.bool_), np.signbit, doc="the sign bit")
_signbit = Op("signbit", lambda x: make(SIGNBIT, (x,)) if x.dtype.is_floating_point else
              lt(x, 0), nondiff=_NO_GRADIENT, layout=layouts.ELEMENTWISE)


@api(method=True, out=1, dtypes="any", cases=lambda t: [t.call(t.f(2, 3))])
def signbit(input):
    """Whether the sign bit is set: negative numbers and -0.0."""
    if input.dtype.is_complex:
        raise RuntimeError("signbit is not implemented for complex tensors.")
    return apply(_signbit, input)


# --- logic and bits -----------------------------------------------------------------------------

AND = Prim("bitwise_and", E, same_dtype, np.bitwise_and, lambda b, x, y: b.and_(x, y),
           commutative=True, doc="x & y of integers or bools")
OR = Prim("bitwise_or", E, same_dtype, np.bitwise_or, lambda b, x, y: b.or_(x, y),
          commutative=True, doc="x | y of integers or bools")
XOR = Prim("bitwise_xor", E, same_dtype, np.bitwise_xor, lambda b, x, y: b.xor(x, y),
           commutative=True, doc="x ^ y of integers or bools")
NOT = Prim("bitwise_not", E, same_dtype, np.bitwise_not, lambda b, x: b.not_(x),
           doc="~x of integers or bools")


def _truth(x) -> Node:
    """A node or number as bool: whether it is not 0."""
    if is_number(x):
        return operand(bool(x), dt.bool_)
    return x if x.dtype is dt.bool_ else ne(x, 0)


def _logical(name, prim):
    name = "logical_" + name
    op = Op(name, lambda x, y: make(prim, tuple(spread(_truth(x), _truth(y)))),
            nondiff=_NO_GRADIENT, layout=layouts.ELEMENTWISE)

    def function(input, other):
        check_tensor(name, "input", 1, input)
        check_tensor(name, "other", 2, other)
        return apply(op, input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``{name}`` of two tensors, where 0 is False; a bool tensor."
    return api(name, method=True, inplace=True, out=1, dtypes="any",
               cases=_pairs_of("bools"))(function)


logical_and, logical_or, logical_xor = (_logical("and", AND), _logical("or", OR),
                                        _logical("xor", XOR))
_logical_not = Op("logical_not", lambda x: make(NOT, (x,)) if x.dtype is dt.bool_ else eq(x, 0),
                  nondiff=_NO_GRADIENT, layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="any", cases=lambda t: [t.call(t.bools(2, 3))])
def logical_not(input):
    """Whether each element is 0 (False); a bool tensor."""
    return apply(_logical_not, input)


def _whole_dtype(name, *operands):
    d = result_type(*operands)
    if d.category > dt.dtype.INT:
        raise not_implemented(name, d)
    return d


def _bitwise(name, prim, sign):
    op = Op(prim.name, lambda x, y: elementwise(prim, _whole_dtype(prim.name, x, y), x, y),
            nondiff="whole numbers", layout=layouts.ELEMENTWISE)

    def function(input, other):
        if is_number(other):
            check_tensor(prim.name, "input", 1, input)
        return apply(op, input, other)

    function.__name__ = function.__qualname__ = prim.name
    function.__doc__ = f"``input {sign} other`` of integers or bools."
    return api(prim.name, method=True, inplace=True, out=1, dtypes="int",
               cases=_pairs_of("ints"))(function)


bitwise_and, bitwise_or, bitwise_xor = (_bitwise("and", AND, "&"), _bitwise("or", OR, "|"),
                                        _bitwise("xor", XOR, "^"))


def _bitwise_not_lower(x):
    _whole_dtype("bitwise_not", x)
    return make(NOT, (x,))


_bitwise_not = Op("bitwise_not", _bitwise_not_lower, nondiff="whole numbers",
                  layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="int",
     cases=lambda t: [t.call(t.ints(2, 3, low=0, high=9)), t.call(t.bools(3))])
def bitwise_not(input):
    """``~input`` of integers or bools."""
    return apply(_bitwise_not, input)


def _shift_numpy(left):
    def numpy(x, by):
        bits = x.dtype.itemsize * 8
        out = (by < 0) | (by >= bits)
        count = np.where(out, 0, by).astype(x.dtype)
        if left:
            return np.where(out, np.zeros((), x.dtype), np.left_shift(x, count))
        # a shift by too much gives what remains after shifting by the width less one
        return np.where(out, np.right_shift(x, np.asarray(bits - 1, x.dtype)),
                        np.right_shift(x, count))

    return numpy


SHL = Prim("shl", E, same_dtype, _shift_numpy(True), doc="x << y, 0 when y is out of range")
SHR = Prim("shr", E, same_dtype, _shift_numpy(False),
           doc="x >> y, the sign alone when y is out of range")


def _shift(name, prim, sign):
    def lower(x, y):
        d = result_type(x, y)
        if d.category != dt.dtype.INT:
            raise not_implemented(name, d)
        return elementwise(prim, d, x, y)

    op = Op(name, lower, nondiff="whole numbers", layout=layouts.ELEMENTWISE)

    def function(input, other):
        if is_number(other):
            check_tensor(name, "input", 1, input)
        return apply(op, input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``input {sign} other`` of integers."
    return api(name, method=True, inplace=True, out=1, dtypes="int",
               cases=lambda t: [t.call(t.ints(5, low=1, high=30), t.ints(5, low=0, high=4))]
               )(function)


bitwise_left_shift = _shift("bitwise_left_shift", SHL, "<<")
bitwise_right_shift = _shift("bitwise_right_shift", SHR, ">>")


# --- whole tensors ------------------------------------------------------------------------------

ALL_TRUE = Prim("all_true", OpClass.LIBRARY, lambda x: ((), dt.bool_), lambda x: np.all(x),
                doc="whether every element is true")
_all_true = Op("all_true", lambda x: make(ALL_TRUE, (x,)), nondiff=_NO_GRADIENT)


def _decide(x) -> bool:
    """The truth of a whole bool tensor, computed now."""
    return bool(host(apply(_all_true, x)))


@api(method=True, dtypes="any")
def equal(input, other) -> bool:
    """Whether two tensors have the same shape and equal elements (NaN equals nothing)."""
    if tuple(input.shape) != tuple(other.shape):
        return False
    return _decide(eq(input, other))


@api(method=True, dtypes="any", cases=lambda t: [t.call(t.f(2, 3), t.f(2, 3))])
def isclose(input, other, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether ``|input - other| <= atol + rtol * |other|``, elementwise.

    Raises:
        RuntimeError: different dtypes, or a negative tolerance.
    """
    check_tensor("isclose", "input", 1, input)
    check_tensor("isclose", "other", 2, other)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype} did not match {other.dtype}: isclose compares tensors "
                           "of one dtype")
    if rtol < 0 or atol < 0:
        name, value = ("rtol", rtol) if rtol < 0 else ("atol", atol)
        raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    close = eq(input, other)
    floats = input.dtype.category >= dt.dtype.FLOAT
    if equal_nan and floats:
        close = logical_or(close, logical_and(isnan(input), isnan(other)))
    if rtol == 0 and atol == 0:
        return close
    if input.dtype is dt.bool_:
        return close
    allowed = add(abs(mul(other, rtol)), atol)
    gap = abs(sub(input, other))
    return logical_or(close, logical_and(isfinite(gap), le(gap, allowed)))


@api(method=True, dtypes="any")
def allclose(input, other, rtol=1e-5, atol=1e-8, equal_nan=False) -> bool:
    """Whether every element is close (see :func:`isclose`)."""
    return _decide(isclose(input, other, rtol, atol, equal_nan))
