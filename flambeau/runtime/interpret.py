"""Tier 0: the graph run node by node, with NumPy and single kernels (``library.py``).

This is what runs once-only code. Compiled code gives the same results, bit by bit.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..base import dtype as dt
from ..base.errors import IndexValueError
from ..base.late import late
from ..base.processor import fuses
from ..ir.node import Node, OpClass, Prim, settle
from ..ir.view import VIEW_SET, strided
from ..ops.prim.contract import DOT
from ..ops.prim.correlate import CORRELATE, CORRELATE_WEIGHT
from ..ops.prim.elementwise import FMA
from ..ops.prim.index import PUT, SCATTER
from ..ops.prim.recurrence import RECURRENCE, RECURRENCE_BACK
from . import ordered

if TYPE_CHECKING:
    from . import convolution, library, recurrence
else:
    convolution = late(".convolution", __package__)
    library = late(".library", __package__)
    recurrence = late(".recurrence", __package__)

#: elementwise primitives that NumPy computes exactly (or rounds once)
EXACT = frozenset((
    "cast", "copy", "add", "sub", "mul", "div", "square", "neg", "abs", "sign", "sqrt", "rsqrt",
    "reciprocal", "maximum", "minimum", "fmax", "fmin", "eq", "ne", "lt", "le", "gt", "ge", "where",
    "isnan", "heaviside", "floor", "ceil", "trunc", "round", "bitwise_and", "bitwise_or",
    "bitwise_xor", "bitwise_not"))
_NARROW = 2


class Operand(Protocol):
    """What has a value."""

    @property
    def value(self) -> np.ndarray: ...


class Computed(Protocol):
    """A node, or a plan's record that looks like one."""

    @property
    def prim(self) -> Prim: ...

    @property
    def srcs(self) -> Sequence[Operand]: ...

    @property
    def params(self) -> tuple: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> dt.dtype: ...


def evaluate(node: Computed) -> np.ndarray:
    """The value of a node whose sources have values. The node is left as it is."""
    prim = node.prim
    arrays = [s.value for s in node.srcs]
    if prim.cls is OpClass.ELEMENTWISE:
        return _elementwise(node, arrays)
    value = None
    if prim.cls is OpClass.REDUCE and node.dtype.is_floating_point:
        if "llvmlite" not in sys.modules:
            value = ordered.reduce(prim, arrays[0], node.params[0], node.dtype)
        if value is None:
            value = library.reduce(prim, arrays[0], node.params[0], node.dtype)
    elif prim is DOT:
        a, b = arrays
        value = library.dot(a, b, node.dtype)
    elif prim is RECURRENCE or prim is RECURRENCE_BACK:
        return recurrence.run(prim.name, node.params, arrays, node.shape, node.dtype)
    elif prim is PUT or prim is SCATTER:
        value = library.put(prim, arrays, node.params, node.dtype)
    elif prim is CORRELATE or prim is CORRELATE_WEIGHT:
        a, b = arrays
        value = convolution.run(prim, a, b, node.params, node.shape)
    if value is None:
        value = prim.numpy(*arrays, *node.params)
    if type(value) is tuple:
        return value
    if type(value) is not np.ndarray or value.dtype != node.dtype.np:
        value = np.asarray(value, node.dtype.np)
    if prim.cls is OpClass.VIEW or value.flags.c_contiguous:
        return value
    return np.ascontiguousarray(value)


def _elementwise(node: Computed, arrays: list) -> np.ndarray:
    """16-bit floats are computed in float32 and rounded once."""
    if node.prim.name not in EXACT and not (node.prim is FMA and _fused_by_numpy(node)):
        value = library.elementwise(node.prim, arrays, node.params, node.shape, node.dtype)
        if value is not None:
            return value
    narrow = [a.dtype.itemsize == _NARROW and a.dtype.kind in "fV" for a in arrays]
    if any(narrow) and node.prim.name != "cast":
        arrays = [a.astype(np.float32) if n else a for a, n in zip(arrays, narrow, strict=True)]
    value = node.prim.numpy(*arrays, *node.params)
    if type(value) is not np.ndarray or value.dtype != node.dtype.np:
        value = np.asarray(value, node.dtype.np)
    if value.shape != node.shape:
        value = np.broadcast_to(value, node.shape).copy()
    # ufuncs keep the order of their operands; a value is row-major
    return value if value.flags.c_contiguous else np.ascontiguousarray(value)


def _fused_by_numpy(node: Computed) -> bool:
    """Whether NumPy is to compute a fused multiply-add: of few elements, it is no reason to load
    the compiler."""
    return ("llvmlite" not in sys.modules and math.prod(node.shape) <= ordered.MOST
            and fuses() is not None)


def run(nodes: list[Node]) -> None:
    """Give every node of a topologically ordered list its value."""
    with np.errstate(all="ignore"):
        for node in nodes:
            if node.prim is VIEW_SET and _may_write_in_place(node):
                base, value = node.srcs
                strided(base.value, value.shape, *node.params)[...] = value.value
                result = base.value
            else:
                try:
                    result = evaluate(node)
                except (IndexError, IndexValueError) as error:
                    raise located(error, node.loc) from None
            settle(node, result)


def located(error: Exception, loc) -> Exception:
    """An error found while running, as PyTorch's class and with the line that made the node."""
    cls = RuntimeError if isinstance(error, IndexValueError) else type(error)
    where = f" (made at {loc}: {loc.source()})" if loc is not None else ""
    return cls(f"{error}{where}")


def _may_write_in_place(node: Node) -> bool:
    """Whether nobody but this node can still see the base's memory.

    Two references to the base node (its place in ``srcs`` and the local name here) and, for the
    array, one from the base node; an array that views other memory is never written.
    """
    base = node.srcs[0]
    array = base.value
    return (sys.getrefcount(base) <= 3 and sys.getrefcount(array) <= 3 and array.base is None
            and array.flags.writeable and array.flags.c_contiguous)
