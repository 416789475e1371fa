"""What all operations share: operand rules (promotion, broadcasting, casts) on nodes and tensors.

"Operand" means a Node, a Tensor (anything with shape and dtype) or a Python number.
"""

from __future__ import annotations

import math
import numbers

import numpy as np

from ..base import dtype as dt
from ..base import shape as sh
from ..base.layout import LIKE_FIRST
from ..base.limits import finfo, iinfo
from ..ir.node import CONST, Node, OpClass, Prim, Tagged, const, make, pend
from ..ir.op import Op
from ..ir.view import broadcast

NUMBER = (numbers.Number, np.generic)


class _NumberTypes(dict):
    """Whether a type is one of numbers; asking the abstract class each time is slow."""

    def __missing__(self, cls: type) -> bool:
        found = self[cls] = issubclass(cls, NUMBER)
        return found


_number_types = _NumberTypes()


def is_number(x) -> bool:
    """Whether ``x`` is a Python or NumPy number (not a tensor)."""
    return _number_types[type(x)]


def fitting(value, dtype: dt.dtype):
    """A number as memory of ``dtype`` can hold it: fractions are cut off, small negative numbers
    wrap around in unsigned integers.

    Raises:
        RuntimeError: it does not fit.
    """
    if dtype is dt.bool_:
        return bool(value)
    if isinstance(value, complex) and not dtype.is_complex:
        if value.imag:
            raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow: "
                               "it has an imaginary part")
        value = value.real
    if dtype.category == dt.dtype.INT:
        if not math.isfinite(value):
            raise RuntimeError(f"value cannot be converted to type {dtype.name}_t without overflow")
        info = iinfo(dtype)
        low = info.min if dtype.is_signed or isinstance(value, float) else -info.max
        if value < low:
            raise RuntimeError(f"value cannot be converted to type {dtype.name}_t without overflow")
        value = int(value)
        if not low <= value <= info.max:
            raise RuntimeError(f"value cannot be converted to type {dtype.name}_t without overflow")
        return value if value >= info.min else value % (info.max + 1)
    if dtype.is_floating_point and 65504 < abs(value) < math.inf \
            and abs(value) > finfo(dtype).max:
        raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow")
    return value


def result_type(*operands) -> dt.dtype:
    """PyTorch's promotion: tensors with dimensions decide, then 0-d tensors, then numbers; a
    weaker group only counts when it is of a higher category (bool < int < float < complex)."""
    if len(operands) == 2:
        x, y = operands
        if _number_types[type(y)]:  # a number no stronger than a float leaves floats as they are
            if not _number_types[type(x)] and x is not None \
                    and x.dtype.category >= _WEAKER_THAN.get(type(y), 9):
                return x.dtype
        elif x is not None and y is not None and not _number_types[type(x)] \
                and x.dtype is y.dtype:
            return x.dtype
    groups: list[dt.dtype | None] = [None, None, None]
    for x in operands:
        if x is None:
            continue
        if _number_types[type(x)]:
            at, d = 2, dt.of_scalar(x)
        else:
            at, d = (0 if x.shape else 1), x.dtype
        have = groups[at]
        groups[at] = d if have is None else dt.promote_types(have, d)
    result = groups[0]
    for d in groups[1:]:
        if d is not None and (result is None or d.category > result.category):
            result = d if result is None else dt.promote_types(result, d)
    assert result is not None, "no operands"
    return result


#: the category of the dtype that a number of this type becomes
_WEAKER_THAN = {bool: dt.dtype.BOOL, int: dt.dtype.INT, float: dt.dtype.FLOAT,
                Tagged: dt.dtype.FLOAT, complex: dt.dtype.COMPLEX}


def to_float(d: dt.dtype) -> dt.dtype:
    """The dtype a float function computes in: integers and bool become the default dtype."""
    return d if d.category >= dt.dtype.FLOAT else dt.get_default_dtype()


# --- graph level: nodes only -----------------------------------------------------------------


def _cast_infer(x: Node, to: dt.dtype):
    return x.shape, to


def _cast_numpy(x: np.ndarray, to: dt.dtype) -> np.ndarray:
    if to.np == x.dtype:
        return x
    if x.dtype.kind in "fV" and to.category == dt.dtype.INT:
        # as the CPU converts, so that narrow types wrap as PyTorch's do
        wide = np.asarray(x, np.float64) if x.dtype.kind == "V" else x
        narrow = to.itemsize <= 2 or to is dt.int32
        return wide.astype(np.int32 if narrow else np.int64).astype(to.np)
    if x.dtype.kind == "c" and not to.is_complex:
        x = x.real
    if to is dt.bool_:
        return x != np.zeros((), x.dtype)
    return x.astype(to.np)


CAST = Prim("cast", OpClass.ELEMENTWISE, _cast_infer, _cast_numpy,
            lambda b, x, to: b.cast(x, to), doc="Converted to another dtype.")


def cast_node(x: Node, to: dt.dtype) -> Node:
    """``x`` as dtype ``to``; a number stays a run-time constant."""
    if x.dtype is to:
        return x
    if x.prim is CONST:
        return const(_cast_numpy(x.value, to), to)
    return make(CAST, (x,), (to,))


def widened_node(x: Node) -> Node:
    """A 16-bit float operand as float32, others as they are: for what rounds once."""
    narrow = x.dtype.itemsize == 2 and x.dtype.is_floating_point
    return cast_node(x, dt.float32) if narrow else x


def operand(x, dtype: dt.dtype) -> Node:
    """A number or node as a node of ``dtype``."""
    if _number_types[type(x)]:
        return const(x, dtype)
    return x if x.dtype is dtype else cast_node(x, dtype)


def elementwise(prim: Prim, dtype: dt.dtype, *operands, params: tuple = ()) -> Node:
    """Cast operands to ``dtype``, broadcast them and apply an elementwise primitive.

    0-d operands are left as they are: the primitive repeats them.
    """
    nodes: tuple[Node, ...]
    if len(operands) == 2:  # the usual case
        x, y = operands
        if type(x) is not Node or x.dtype is not dtype:
            x = operand(x, dtype)
        if type(y) is not Node or y.dtype is not dtype:
            y = operand(y, dtype)
        nodes, shape = (x, y), x.shape or y.shape
        fits = y.shape == shape or not y.shape
    else:
        nodes = tuple([operand(x, dtype) for x in operands])
        fits, shape = False, ()
    if not fits:
        nodes = tuple(spread(*nodes))
        shape = shape_of(*nodes)
    if prim.infer is same_dtype:
        return pend(prim, nodes, params, shape, dtype)
    if prim.infer is to_bool:
        return pend(prim, nodes, params, shape, dt.bool_)
    return make(prim, nodes, params)


def spread(*nodes: Node) -> list[Node]:
    """Nodes broadcast to their common shape, except 0-d ones."""
    shape = sh.broadcast_shapes(*[n.shape for n in nodes])
    return [n if not n.shape or n.shape == shape else broadcast(n, shape) for n in nodes]


def shape_of(*nodes: Node) -> tuple[int, ...]:
    """The shape of an elementwise result: that of the operand with most dimensions."""
    shape: tuple[int, ...] = ()
    for n in nodes:
        if len(n.shape) > len(shape):
            shape = n.shape
    return shape


def same_dtype(*nodes_and_params):
    """Shape rule: the operands' shape and dtype."""
    first = nodes_and_params[0]
    if len(nodes_and_params) == 1:
        return first.shape, first.dtype
    return shape_of(*[n for n in nodes_and_params if type(n) is Node]), first.dtype


def to_bool(*nodes_and_params):
    """Shape rule of comparisons."""
    return shape_of(*[n for n in nodes_and_params if type(n) is Node]), dt.bool_


# --- checks used by many functions ------------------------------------------------------------


def no_derivative(name: str):
    """The gradient rule of an operation for which PyTorch has none: it raises in backward."""

    def vjp(ctx, *grads):
        raise RuntimeError(f"derivative for aten::{name} is not implemented")

    return vjp


def check_float(name: str, x) -> None:
    """Raise where a function is only defined for floating (or complex) tensors."""
    if x.dtype.category < dt.dtype.FLOAT:
        raise RuntimeError(f"{name}(): expected a floating point or complex tensor, got "
                           f"{x.dtype}; convert it first, for example with .float()")


def one_step(name: str, grad_name: str, guards) -> Op:
    """An op for what is composed of several here and one step of PyTorch's tape: applied to
    ``(out, *operands)`` it is ``out``. ``guards`` (see Op) number the operands from 1."""
    return Op(name, lambda out, *operands: out,
              lambda ctx, g: (g, *[None] * (ctx.operands - 1)), guards=guards,
              grad_name=grad_name, layout=LIKE_FIRST)
