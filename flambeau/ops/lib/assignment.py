"""What the in-place methods copy_, fill_ and zero_ compute."""

from __future__ import annotations

from ...base import layout as layouts
from ...base import shape as sh
from ...base.errors import ShapeError
from ...ir.api import api
from ...ir.node import make
from ...ir.op import Op, apply
from ...ir.view import broadcast
from ..core import cast_node, fitting, is_number, operand
from ..prim.elementwise import COPY


def _copy_lower(x, source):
    if sh.broadcast_shapes(source.shape, x.shape) != tuple(x.shape):
        raise ShapeError(f"The size of tensor a ({list(x.shape)}) must match the size of tensor b "
                         f"({list(source.shape)}): the source does not broadcast to the target")
    value = broadcast(cast_node(source, x.dtype), x.shape)
    return make(COPY, (value,)) if value is source else value  # memory of its own


_copy = Op("copy", _copy_lower, lambda ctx, g: (None, g), grad_name="CopyBackwards",
           layout=layouts.COPY)


@api("copy", torch=False, inplace=True, dtypes="any")
def copy(input, src, non_blocking=False):  # noqa: A002
    """``src`` in the shape and dtype of ``input``."""
    return apply(_copy, input, src)


def _fill_lower(x, value):
    if not is_number(value) and value.shape:
        raise RuntimeError("fill_ only supports 0-dimension value tensor but got tensor with "
                           f"{len(value.shape)} dimensions.")
    return broadcast(operand(value, x.dtype), x.shape)


_fill, _fill_tensor, _zero = (Op(
    name, _fill_lower, lambda ctx, g: (None, g), grad_name=grad_name, layout=layouts.COPY)
    for name, grad_name in (("fill", None), ("fill_tensor", "FillBackward1"), ("zero", None)))


@api(inplace=True, dtypes="any", cases=lambda t: [t.call(t.f(2, 3), 1.5)])
def fill(input, value):  # noqa: A002
    """Every element ``value``."""
    if is_number(value):
        return apply(_fill, input, fitting(value, input.dtype))
    return apply(_fill_tensor, input, value)


@api("zero", torch=False, inplace=True, dtypes="any")
def zero(input):  # noqa: A002
    """Every element 0."""
    return apply(_zero, input, 0)
