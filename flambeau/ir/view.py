"""The view primitives: index arithmetic over a contiguous block.

``view`` reads its source's row-major elements through (shape, strides, offset); every reshape,
permute, slice, expand (stride 0) and flip (negative stride, internal only) is one. ``view_set`` is
its counterpart for writing: the source with the region replaced; it is how an assignment through a
view becomes a value again.
"""

from __future__ import annotations

import numpy as np

from ..base import shape as sh
from .marks import Marked
from .node import BUFFER, CONST, Node, OpClass, Prim, leaf, make


def strided(array: np.ndarray, shape, strides, offset: int) -> np.ndarray:
    """A NumPy view of a contiguous array's elements; strides and offset count elements."""
    size = array.itemsize
    if 0 in shape:
        return np.empty(shape, array.dtype)
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    if min(strides, default=0) < 0:
        return np.lib.stride_tricks.as_strided(
            array.reshape(-1)[offset:], shape, tuple(s * size for s in strides))
    # the view's base is the array itself: who counts references relies on it
    return np.ndarray(shape, array.dtype, array, offset * size, tuple(s * size for s in strides))


def _view_infer(src: Node, shape, strides, offset):
    return shape, src.dtype


VIEW = Prim("view", OpClass.VIEW, _view_infer, strided,
            doc="The source's elements through (shape, strides, offset).")


def view(src: Node, shape, strides, offset: int = 0) -> Node:
    """``src`` read through strides; collapses onto an existing array when there is one.

    A view of an array that exists is itself a leaf, so that offsets that change from step to step
    only change which memory is read (the ``params`` of such a leaf hold an offset that is marked).
    """
    shape, strides = tuple(shape), tuple(strides)
    if shape == src.shape and offset == 0 and sh.is_contiguous(shape, strides):
        return src
    if src.value is not None and src.prim is not CONST:
        # a strided leaf has no row-major block to view, unless the two compose
        if src.value.flags.c_contiguous:
            return _leaf(strided(src.value, shape, strides, offset), src, offset)
        if sh.numel(shape) == src.value.size and offset == 0:
            order = _order(src.shape, shape, strides)
            if order is not None:
                return _leaf(src.value.transpose(order), src)
    elif src.prim is VIEW and offset == 0 and sh.numel(shape) == sh.numel(src.shape):
        order = _order(src.shape, shape, strides)  # so that w.t().t() is w here, too
        if order is not None:
            _, inner, begin = src.params
            return view(src.srcs[0], shape, [inner[d] for d in order], begin)
    return make(VIEW, (src,), (shape, strides, offset))


def _leaf(array: np.ndarray, src: Node, offset: int = 0) -> Node:
    """A leaf that is part of another one; it knows what the place where it begins follows from."""
    out = leaf(array, src.dtype)
    begin = src.params[0] + offset if src.prim is BUFFER and src.params else offset
    if type(begin) is Marked:
        out.params = (begin,)
    return out


def _order(before: tuple[int, ...], shape, strides) -> list[int] | None:
    """The order of the axes of a row-major block that a view of all of it gives them; None where it
    does more than that."""
    if len(shape) != len(before):
        return None
    logical = sh.contiguous_strides(before)
    free = list(range(len(before)))
    order = []
    for n, s in zip(shape, strides, strict=True):
        at = next((d for d in free if before[d] == n and (logical[d] == s or n == 1)), None)
        if at is None:
            return None
        free.remove(at)
        order.append(at)
    return order


def broadcast(src: Node, shape) -> Node:
    """``src`` repeated to ``shape`` (stride 0 on repeated axes)."""
    shape = tuple(shape)
    if src.shape == shape:
        return src
    if src.value is not None and src.prim is not CONST:
        return _leaf(_repeated(src.value, shape), src)
    return make(VIEW, (src,), (shape, sh.broadcast_strides(src.shape, src.strides, shape), 0))


def _repeated(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``np.broadcast_to``, which takes its time."""
    flags = array.flags
    if not flags.c_contiguous or not flags.writeable or 0 in shape:
        return np.broadcast_to(array, shape)
    lead = len(shape) - array.ndim
    strides = (0,) * lead + tuple(
        [0 if n == 1 else s for n, s in zip(array.shape, array.strides, strict=True)])
    return np.ndarray(shape, array.dtype, array, 0, strides)


def _set_infer(base: Node, value: Node, strides, offset):
    return base.shape, base.dtype


def _set_numpy(base: np.ndarray, value: np.ndarray, strides, offset):
    out = np.array(base, order="C")
    strided(out, value.shape, strides, offset)[...] = value
    return out


VIEW_SET = Prim("view_set", OpClass.EFFECT, _set_infer, _set_numpy,
                doc="The first operand with the region (value's shape, strides, offset) replaced.")
