"""The expression language that LLVM rules of elementwise primitives are written in.

A primitive's rule is ``llvm=lambda b, x, y: b.mul(x, y)``: ``b`` is a :class:`ScalarBuilder`, the
operands :class:`Scalar` values of any number of lanes that know their flambeau dtype. Python
numbers may stand for operands of two-operand functions, except for the first one of ``pow``,
``cast``.

Registers: float16 and bfloat16 are held as float32, and every result is rounded to the 16-bit
format (so that compiled code agrees with NumPy); bool is i1. Integers wrap; unsigned dtypes divide,
compare and shift as unsigned. Integer division by zero gives 0 (NumPy's result) and never traps.
Arithmetic is strict: no contraction, no reassociation, hence bitwise what NumPy computes for
``+ - * / sqrt``.

What has no vector form raises NotImplementedError while the kernel is built; the scheduler then
runs the node by NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from flambeau.base import dtype as dt
from flambeau.codegen import division, vmath, vmath_core, vmath_inverse, vmath_pow, vmath_trig
from flambeau.codegen.emit_types import ELEMENT, element, lanes, vector

if TYPE_CHECKING:
    from flambeau.codegen.emit import Function, Value

_REGISTER = {**ELEMENT, "bool": "i1", "float16": "float", "bfloat16": "float"}


class Scalar:
    """A value in registers and the flambeau dtype it stands for."""

    __slots__ = ("dtype", "v")

    def __init__(self, v: Value, dtype: dt.dtype):
        self.v, self.dtype = v, dtype

    def __repr__(self) -> str:
        return f"{self.dtype.name} {self.v!r}"


def register_type(dtype: dt.dtype, lanes: int) -> str:
    """The LLVM type values of ``dtype`` have in registers.

    Raises:
        NotImplementedError: complex dtypes have no vector form yet.
    """
    elem = _REGISTER.get(dtype.name)
    if elem is None:
        raise NotImplementedError(f"compiled code has no {dtype}")
    return vector(elem, lanes)


def memory_type(dtype: dt.dtype, lanes: int) -> str:
    """The LLVM type values of ``dtype`` have in memory (bool: a byte)."""
    elem = ELEMENT.get(dtype.name)
    if elem is None:
        raise NotImplementedError(f"compiled code has no {dtype}")
    return vector(elem, lanes)


def _unary(name: str, rule: Callable):
    """A method for a float function of one operand."""
    def method(self: ScalarBuilder, x: Scalar) -> Scalar:
        self._need_float(name, x)
        return self._rounded(rule(self.f, x.v), x.dtype)
    method.__name__ = name
    method.__doc__ = rule.__doc__
    return method


def _rounding(name: str, rule: Callable):
    """A method that gives whole numbers: integers are left alone."""
    def method(self: ScalarBuilder, x: Scalar) -> Scalar:
        return Scalar(rule(self.f, x.v), x.dtype) if x.dtype.is_floating_point else x
    method.__name__ = name
    method.__doc__ = rule.__doc__
    return method


def _comparison(op: str):
    def method(self: ScalarBuilder, x, y) -> Scalar:
        x, y = self._pair(x, y)
        code = op
        if not x.dtype.is_signed and op not in ("eq", "ne"):
            code = "u" + op
        return Scalar(self.f.compare(code, x.v, y.v), dt.bool_)
    method.__name__ = op
    method.__doc__ = f"Whether x {op} y, as bool; false with NaN (``ne``: true)."
    return method


class ScalarBuilder:
    """Writes expressions into a function of the text builder.

    Args:
        f: where instructions go; its floating-point flags are cleared.
        lanes: lanes of the vectors being computed (1 for scalar code).
        index: gives the int64 linear index of each lane's element in the node's row-major order;
            the loop generator provides it for primitives that ask (:meth:`index`).
    """

    def __init__(self, f: Function, lanes: int, index: Callable[[], Value] | None = None):
        self.f, self.lanes = f, lanes
        self._index = index
        f.fast = ""

    # -- making values ---------------------------------------------------------------------------

    def wrap(self, value: Value, dtype: dt.dtype) -> Scalar:
        """A register value as a Scalar (its type must be :func:`register_type`'s)."""
        return Scalar(value, dtype)

    def from_memory(self, raw: Value, dtype: dt.dtype) -> Scalar:
        """What was loaded (:func:`memory_type`) in its register form."""
        if dtype is dt.bool_:
            return Scalar(raw.ne(0), dtype)
        if dtype is dt.float16 or dtype is dt.bfloat16:
            return Scalar(self.f.convert(raw, "float"), dtype)
        return Scalar(raw, dtype)

    def to_memory(self, x: Scalar) -> Value:
        """The value in the form that is stored."""
        if x.dtype is dt.bool_:
            return self.f.cast("zext", x.v, "i8")
        if x.dtype is dt.float16 or x.dtype is dt.bfloat16:
            return self.f.convert(x.v, ELEMENT[x.dtype.name])
        return x.v

    def const(self, number, dtype: dt.dtype) -> Scalar:
        """A number that is part of the code, in every lane."""
        if dtype is dt.float16 or dtype is dt.bfloat16:
            number = float(dtype.np.type(number))
        return Scalar(self.f.const(number, register_type(dtype, self.lanes)), dtype)

    def index(self) -> Scalar:
        """The int64 linear index of each lane's element, row-major in the node's shape.

        Raises:
            NotImplementedError: this loop does not know it.
        """
        if self._index is None:
            raise NotImplementedError("this kernel's loop does not provide element indices")
        return Scalar(self._index(), dt.int64)

    def _need_float(self, name: str, *operands: Scalar) -> None:
        for x in operands:
            if not x.dtype.is_floating_point:
                raise NotImplementedError(f"{name} of {x.dtype} has no vector form; "
                                          "cast the operand to a floating dtype")

    def _pair(self, x, y) -> tuple[Scalar, Scalar]:
        """Numbers become constants of the other operand's dtype; one lane is repeated."""
        if not isinstance(x, Scalar):
            x = self.const(x, y.dtype)
        elif not isinstance(y, Scalar):
            y = self.const(y, x.dtype)
        if x.dtype is not y.dtype:
            raise TypeError(f"operands of different dtypes: {x.dtype} and {y.dtype}; "
                            "the primitive's shape rule must make them equal")
        if x.v.type != y.v.type:
            a, b = self.f.pair(x.v, y.v)
            return Scalar(a, x.dtype), Scalar(b, y.dtype)
        return x, y

    def _rounded(self, v: Value, dtype: dt.dtype) -> Scalar:
        """A float result rounded to the 16-bit format, where that is the dtype."""
        if dtype is dt.float16 or dtype is dt.bfloat16:
            v = self.f.convert(self.f.convert(v, ELEMENT[dtype.name]), "float")
        return Scalar(v, dtype)

    # -- arithmetic ------------------------------------------------------------------------------

    def add(self, x, y) -> Scalar:
        """x + y (bool: or)."""
        x, y = self._pair(x, y)
        if x.dtype is dt.bool_:
            return Scalar(x.v | y.v, x.dtype)
        return self._rounded(x.v + y.v, x.dtype)

    def sub(self, x, y) -> Scalar:
        """x - y (bool: exclusive or)."""
        x, y = self._pair(x, y)
        if x.dtype is dt.bool_:
            return Scalar(x.v ^ y.v, x.dtype)
        return self._rounded(x.v - y.v, x.dtype)

    def mul(self, x, y) -> Scalar:
        """x * y (bool: and)."""
        x, y = self._pair(x, y)
        if x.dtype is dt.bool_:
            return Scalar(x.v & y.v, x.dtype)
        return self._rounded(x.v * y.v, x.dtype)

    def div(self, x, y) -> Scalar:
        """x / y of floats."""
        x, y = self._pair(x, y)
        self._need_float("div", x)
        return self._rounded(x.v / y.v, x.dtype)

    def fma(self, x, y, z) -> Scalar:
        """x * y + z, rounded once where the host has the instruction; only for cost, not bits."""
        x, y = self._pair(x, y)
        y, z = self._pair(y, z)
        if not x.dtype.is_floating_point:
            return self.add(self.mul(x, y), z)
        return self._rounded(self.f.fma(x.v, y.v, z.v), x.dtype)

    def neg(self, x: Scalar) -> Scalar:
        """-x."""
        return Scalar(-x.v, x.dtype)

    def abs(self, x: Scalar) -> Scalar:
        """Absolute value; the smallest integer stays what it is."""
        return x if not x.dtype.is_signed else Scalar(self.f.abs(x.v), x.dtype)

    def sign(self, x: Scalar) -> Scalar:
        """-1, 0 or 1; NaN and zeros stay."""
        f = self.f
        if x.dtype is dt.bool_:
            return x
        if not x.dtype.is_signed:
            return Scalar(f.min(x.v, 1, signed=False), x.dtype)
        if not x.dtype.is_floating_point:
            return Scalar(f.min(f.max(x.v, -1), 1), x.dtype)
        one = f.const(1.0, x.v.type)
        return Scalar(f.select(x.v > 0.0, one, f.select(x.v < 0.0, -1.0, x.v)), x.dtype)

    def max(self, x, y) -> Scalar:
        """The greater; NaN if either is NaN."""
        return self._extreme("max", "gt", x, y)

    def min(self, x, y) -> Scalar:
        """The smaller; NaN if either is NaN."""
        return self._extreme("min", "lt", x, y)

    def _extreme(self, name: str, op: str, x, y) -> Scalar:
        number = x if not isinstance(x, Scalar) else y if not isinstance(y, Scalar) else None
        if not isinstance(x, Scalar):
            x, y = y, x
        x, y = self._pair(x, y)
        f = self.f
        if x.dtype is dt.bool_:
            return Scalar(x.v | y.v if name == "max" else x.v & y.v, x.dtype)
        if not x.dtype.is_floating_point:
            return Scalar(getattr(f, name)(x.v, y.v, signed=x.dtype.is_signed), x.dtype)
        if number is not None and not math.isnan(number):
            return Scalar(getattr(f, name)(y.v, x.v), x.dtype)  # gives x when that is NaN
        chosen = f.select(f.compare(op, x.v, y.v), x.v, y.v)  # gives y when either is NaN
        return Scalar(f.select(f.is_nan(x.v), x.v, chosen), x.dtype)

    def fmod(self, x, y) -> Scalar:
        """Remainder of division towards zero (the sign of x); integers: 0 for y = 0."""
        return self._division("fmod", x, y)

    def remainder(self, x, y) -> Scalar:
        """Remainder of floor division (the sign of y); integers: 0 for y = 0."""
        return self._division("remainder", x, y)

    def floordiv(self, x, y) -> Scalar:
        """The quotient rounded downwards; integers: 0 for y = 0."""
        return self._division("floordiv", x, y)

    def truncdiv(self, x, y) -> Scalar:
        """The quotient rounded towards zero; integers: 0 for y = 0."""
        return self._division("truncdiv", x, y)

    def _division(self, name: str, x, y) -> Scalar:
        x, y = self._pair(x, y)
        if x.dtype is dt.bool_:
            raise NotImplementedError(f"{name} of bool has no vector form")
        if x.dtype.is_floating_point:
            return self._rounded(getattr(division, "float_" + name)(self.f, x.v, y.v), x.dtype)
        rule = getattr(division, "int_" + name)
        return Scalar(rule(self.f, x.v, y.v, x.dtype.is_signed), x.dtype)

    def pow(self, x, y) -> Scalar:
        """x ** y; integers: a negative exponent gives 0, but 1 or -1 for those bases."""
        if isinstance(x, Scalar) and isinstance(y, Scalar) and x.dtype.is_floating_point \
                and lanes(y.v.type) == 1 < lanes(x.v.type) and x.dtype is y.dtype:
            return self._rounded(vmath_pow.pow_uniform(self.f, x.v, y.v), x.dtype)
        x, y = self._pair(x, y)
        if x.dtype is dt.bool_:
            raise NotImplementedError("pow of bool has no vector form")
        if x.dtype.is_floating_point:
            return self._rounded(vmath_pow.pow_(self.f, x.v, y.v), x.dtype)
        return Scalar(vmath_pow.int_pow(self.f, x.v, y.v, x.dtype.is_signed), x.dtype)

    def reciprocal(self, x: Scalar) -> Scalar:
        """1 / x."""
        self._need_float("reciprocal", x)
        return self._rounded(1.0 / x.v, x.dtype)

    def rsqrt(self, x: Scalar) -> Scalar:
        """1 / sqrt(x)."""
        self._need_float("rsqrt", x)
        return self._rounded(1.0 / self.f.sqrt(x.v), x.dtype)

    def sqrt(self, x: Scalar) -> Scalar:
        """Square root, correctly rounded; NaN below zero."""
        self._need_float("sqrt", x)
        return self._rounded(self.f.sqrt(x.v), x.dtype)

    def atan2(self, y, x) -> Scalar:
        """The angle of the point (x, y)."""
        y, x = self._pair(y, x)
        self._need_float("atan2", y)
        return self._rounded(vmath_inverse.atan2(self.f, y.v, x.v), y.dtype)

    exp = _unary("exp", vmath.exp)
    exp_nonpositive = _unary("exp_nonpositive", vmath.exp_nonpositive)
    exp2 = _unary("exp2", vmath.exp2)
    expm1 = _unary("expm1", vmath.expm1)
    log = _unary("log", vmath.log)
    log2 = _unary("log2", vmath.log2)
    log10 = _unary("log10", vmath.log10)
    log1p = _unary("log1p", vmath.log1p)
    tanh = _unary("tanh", vmath.tanh)
    sigmoid = _unary("sigmoid", vmath.sigmoid)
    erf = _unary("erf", vmath.erf)
    gelu = _unary("gelu", vmath.gelu)
    erfc = _unary("erfc", vmath.erfc)
    sin = _unary("sin", vmath_trig.sin)
    cos = _unary("cos", vmath_trig.cos)
    tan = _unary("tan", vmath_trig.tan)
    asin = _unary("asin", vmath_inverse.asin)
    acos = _unary("acos", vmath_inverse.acos)
    atan = _unary("atan", vmath_inverse.atan)
    sinh = _unary("sinh", vmath_inverse.sinh)
    cosh = _unary("cosh", vmath_inverse.cosh)
    asinh = _unary("asinh", vmath_inverse.asinh)
    acosh = _unary("acosh", vmath_inverse.acosh)
    atanh = _unary("atanh", vmath_inverse.atanh)
    floor = _rounding("floor", vmath_core.floor)
    ceil = _rounding("ceil", vmath_core.ceil)
    round = _rounding("round", vmath_core.rint)
    trunc = _rounding("trunc", vmath_core.trunc)

    # -- comparison, choice, bits -----------------------------------------------------------------

    eq, ne, lt = _comparison("eq"), _comparison("ne"), _comparison("lt")
    le, gt, ge = _comparison("le"), _comparison("gt"), _comparison("ge")

    def isnan(self, x: Scalar) -> Scalar:
        """Whether x is not a number."""
        if not x.dtype.is_floating_point:
            return self.const(False, dt.bool_)
        return Scalar(self.f.is_nan(x.v), dt.bool_)

    def isinf(self, x: Scalar) -> Scalar:
        """Whether x is infinite."""
        if not x.dtype.is_floating_point:
            return self.const(False, dt.bool_)
        return Scalar(self.f.abs(x.v).eq(math.inf), dt.bool_)

    def isfinite(self, x: Scalar) -> Scalar:
        """Whether x is neither infinite nor NaN."""
        if not x.dtype.is_floating_point:
            return self.const(True, dt.bool_)
        return Scalar(self.f.abs(x.v) < math.inf, dt.bool_)

    def signbit(self, x: Scalar) -> Scalar:
        """Whether x is negative; true for -0.0 and for NaN with that sign."""
        if x.dtype.is_floating_point:
            return Scalar(vmath_core.is_negative(self.f, x.v), dt.bool_)
        return self.lt(x, 0) if x.dtype.is_signed else self.const(False, dt.bool_)

    def copysign(self, x, y) -> Scalar:
        """The magnitude of x with the sign of y."""
        x, y = self._pair(x, y)
        self._need_float("copysign", x)
        return Scalar(vmath_core.copysign(self.f, x.v, y.v), x.dtype)

    def select(self, condition: Scalar, x, y) -> Scalar:
        """x where the (bool) condition holds, else y."""
        x, y = self._pair(x, y)
        return Scalar(self.f.select(self._truth(condition).v, x.v, y.v), x.dtype)

    def _truth(self, x: Scalar) -> Scalar:
        return x if x.dtype is dt.bool_ else self.cast(x, dt.bool_)

    def and_(self, x, y) -> Scalar:
        """Bitwise and; logical for bool."""
        return self._bitwise("and", x, y)

    def or_(self, x, y) -> Scalar:
        """Bitwise or; logical for bool."""
        return self._bitwise("or", x, y)

    def xor(self, x, y) -> Scalar:
        """Bitwise exclusive or; logical for bool."""
        return self._bitwise("xor", x, y)

    def _bitwise(self, op: str, x, y) -> Scalar:
        x, y = self._pair(x, y)
        if x.dtype.is_floating_point:
            raise NotImplementedError(f"bitwise {op} of {x.dtype} is not defined")
        return Scalar(self.f.binary(op, x.v, y.v), x.dtype)

    def not_(self, x: Scalar) -> Scalar:
        """Bitwise complement; logical for bool."""
        if x.dtype.is_floating_point:
            raise NotImplementedError(f"bitwise not of {x.dtype} is not defined")
        return Scalar(~x.v, x.dtype)

    def shl(self, x, y) -> Scalar:
        """x << y; 0 when y is negative or not below the width."""
        x, y = self._pair(x, y)
        width = 8 * x.dtype.itemsize
        valid = self.f.compare("ult", y.v, width)
        return Scalar(self.f.select(valid, x.v << (y.v & (width - 1)), 0), x.dtype)

    def shr(self, x, y) -> Scalar:
        """x >> y, keeping the sign of signed dtypes; all sign when y is out of range."""
        x, y = self._pair(x, y)
        width = 8 * x.dtype.itemsize
        valid = self.f.compare("ult", y.v, width)
        if x.dtype.is_signed:
            return Scalar(self.f.ashr(x.v, self.f.select(valid, y.v, width - 1)), x.dtype)
        return Scalar(self.f.select(valid, x.v >> (y.v & (width - 1)), 0), x.dtype)

    # -- casts -----------------------------------------------------------------------------------

    def cast(self, x: Scalar, dtype: dt.dtype) -> Scalar:
        """x as ``dtype``: floats towards zero to integers, integers wrap, to bool: is not zero.

        Floats out of range (and NaN) give what the CPU's conversion gives, as in PyTorch and NumPy:
        the smallest int32 for int32 and narrower (of which the low bits are kept), else int64's.
        """
        source, v, f = x.dtype, x.v, self.f
        if source is dtype:
            return x
        elem = element_of(dtype)
        if dtype is dt.bool_:
            return Scalar(v.ne(0.0 if source.is_floating_point else 0), dtype)
        if dtype.is_floating_point:
            if source.is_floating_point or source.is_signed:
                return self._rounded(f.convert(v, elem), dtype)
            return self._rounded(self._from_unsigned(v, elem, source), dtype)
        if source.is_floating_point:
            return Scalar(self._to_integer(v, dtype, elem), dtype)
        return Scalar(f.convert(v, elem, signed=source.is_signed), dtype)

    def _from_unsigned(self, v: Value, elem: str, source: dt.dtype) -> Value:
        """Narrow unsigned integers are converted as wider signed ones, which is cheaper."""
        if source.itemsize <= 2:
            v = self.f.cast("zext", v, "i32")
            return self.f.cast("sitofp", v, elem)
        return self.f.cast("uitofp", v, elem)

    def _to_integer(self, v: Value, dtype: dt.dtype, elem: str) -> Value:
        f = self.f
        wide = "i32" if dtype.itemsize <= 2 or dtype is dt.int32 else "i64"
        limit = 2.0**31 if wide == "i32" else 2.0**63
        above = -limit if element(v.type) == "float" or wide == "i64" else -limit - 1.0
        fits = (v < limit) & (v >= above if above == -limit else v > above)
        whole = f.cast("fptosi", f.select(fits, v, 0.0), wide)
        lowest = -(1 << (31 if wide == "i32" else 63))
        if dtype is dt.uint64:
            big = f.cast("fptoui", f.select(v >= limit, f.select(v < 2 * limit, v, 0.0), 0.0), wide)
            whole = f.select(fits, whole, f.select(big.ne(0), big, lowest))
        else:
            whole = f.select(fits, whole, lowest)
        return f.convert(whole, elem)


def element_of(dtype: dt.dtype) -> str:
    """The LLVM element type of ``dtype`` in registers."""
    return register_type(dtype, 1)


