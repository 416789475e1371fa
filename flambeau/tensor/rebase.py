"""Histories of memory that is written through views.

A write through a view gives the tensor that the view looks at, its *base*, a new history: the
write is an operation on the base (``CopySlices``), and the view's own history starts at the base's
present one (``AsStrided``). Both know the view by its place in the base's memory; that memory holds
the base's elements row by row, unless :class:`Memory` says how else.
"""

from __future__ import annotations

from typing import NamedTuple

from ..autograd.tape import Ctx, GradFn
from ..base import shape as sh
from ..ir import node as ir
from ..ir.op import Op, apply
from ..ir.view import VIEW_SET, view
from ..ops.lib.complex import view_as_complex, view_as_real
from ..ops.lib.shape import AS_STRIDED_VIEW
from ..ops.prim.shape import as_strided_geometry, reshape
from .dispatch import record, record_view
from .storage import zeros_node
from .tensor import Tensor


class Memory(NamedTuple):
    """How a base lies in its memory, where that is not row by row.

    Attributes:
        size: elements of the memory.
        shape, stride, offset: where those of the base are.
        parts: a view reads "real" numbers in place of complex ones, or "complex" ones; else "".
    """

    size: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    parts: str

    @classmethod
    def of(cls, base: Tensor, t: Tensor) -> Memory | None:
        """That of a base as a view of it sees it."""
        parts = "" if t.dtype is base.dtype else "complex" if t.dtype.is_complex else "real"
        if not parts and not base.offset and base.is_contiguous():
            return None
        return cls(base.storage.numel, tuple(base.shape), base.strides, base.offset, parts)

    def filled(self, x):
        """The memory's content where ``x`` is that of the base; 0 elsewhere."""
        x = apply(PUT_REGION, x, shape=(self.size,), stride=self.stride,
                  storage_offset=self.offset)
        if self.parts == "real":
            return reshape(view_as_real(x), (2 * self.size,))
        return view_as_complex(reshape(x, (-1, 2))) if self.parts == "complex" else x

    def base_in(self, memory):
        """The base's content in that of its memory."""
        if self.parts == "real":
            memory = view_as_complex(reshape(memory, (self.size, 2)))
        elif self.parts == "complex":
            memory = reshape(view_as_real(memory), (self.size,))
        return apply(REGION, memory, size=self.shape, stride=self.stride,
                     storage_offset=self.offset)


# --- regions of a memory --------------------------------------------------------------------------


def _put(x, g, stride, storage_offset):
    return ir.make(VIEW_SET, (x, g), (tuple(stride), storage_offset))


def _of_region(ctx: Ctx) -> dict:
    return {"size": ctx.size, "stride": ctx.stride, "storage_offset": ctx.storage_offset}


REGION = Op("memory_region", lambda x, size, stride, storage_offset:
            view(x, tuple(size), tuple(stride), storage_offset),
            lambda ctx, g: (PUT_REGION(g, shape=ctx.shape(0), stride=ctx.stride,
                                       storage_offset=ctx.storage_offset),))
PUT_REGION = Op("put_region", lambda g, shape, stride, storage_offset:
                _put(zeros_node(tuple(shape), g.dtype), g, stride, storage_offset),
                lambda ctx, g: (REGION(g, size=ctx.shape(0), stride=ctx.stride,
                                       storage_offset=ctx.storage_offset),))
ZERO_REGION = Op("zero_region", lambda g, size, stride, storage_offset:
                 _put(g, zeros_node(size, g.dtype), stride, storage_offset),
                 lambda ctx, g: (ZERO_REGION(g, **ctx.params),))


def _copy_slices_lower(old, new, size, stride, storage_offset, memory):
    if memory is None:
        return _put(old, new, stride, storage_offset)
    return memory.base_in(_put(memory.filled(old), new, stride, storage_offset))


def _copy_slices_vjp(ctx: Ctx, g):
    region, memory = _of_region(ctx), ctx.memory
    inside = g if memory is None else memory.filled(g)
    old = None
    if ctx.needs(0):
        old = ZERO_REGION(inside, **region)
        old = old if memory is None else memory.base_in(old)
    return old, REGION(inside, **region)


COPY_SLICES = Op("copy_slices", _copy_slices_lower, _copy_slices_vjp, grad_name="CopySlices")


def _as_strided_vjp(ctx: Ctx, g):
    memory = ctx.memory
    if memory is None:
        return (PUT_REGION(g, shape=ctx.shape(0), stride=ctx.stride,
                           storage_offset=ctx.storage_offset),)
    size = memory.size
    if memory.parts:
        size = 2 * size if memory.parts == "real" else size // 2
    inside = PUT_REGION(g, shape=(size,), stride=ctx.stride, storage_offset=ctx.storage_offset)
    return (memory.base_in(inside),)


AS_STRIDED = Op(
    "as_strided", geometry=lambda shape, strides, offset, size, stride, storage_offset, memory:
    as_strided_geometry(shape, strides, offset, size, stride, storage_offset),
    vjp=_as_strided_vjp)


# --- histories ------------------------------------------------------------------------------------


def regenerate(t: Tensor) -> None:
    """A view whose memory was written anew starts its history at its base's present one."""
    base = t._base
    t._view_version = t._counter.version
    if base is t or not (base._requires or base.grad_fn is not None):
        return
    fn = t._fn
    if fn is not None and fn.op is not None and fn.op.geometries is not None:
        raise RuntimeError(
            f"Output {t._nr} of {fn.name().removesuffix('Backward0')} is a view and its "
            "base or another view of its base has been modified inplace. This view is the output "
            "of a function that returns multiple views. Such functions do not allow the output "
            "views to be modified inplace. You should replace the inplace operation by an "
            "out-of-place one.")
    params = {"size": tuple(t.shape), "stride": t.strides, "storage_offset": t.offset}
    memory = Memory.of(base, t)
    if not sh.overlaps(t.shape, t.strides):
        record_view(AS_STRIDED, base, {**params, "memory": memory}, t)
    elif memory is None or not memory.parts:  # gradients of one place add up
        own = tuple(base.strides), base.offset
        record_view(AS_STRIDED_VIEW, base, {**params, "own": own}, t)
    else:
        raise NotImplementedError(
            "the gradient of an expanded view of the parts of complex numbers that were written "
            "after it was made; make the view anew after the write")


def rebase(t: Tensor, fn: GradFn, nr: int) -> None:
    """After an in-place write: ``t`` (and the tensor it is a view of) came from ``fn``."""
    base = t._base
    if base is None:
        if t._retains and t._fn is not None and t._fn.retained:  # it wants that of what it is now
            fn.retained = {**(fn.retained or {}), nr: t._fn.retained.pop(t._nr)}
        t._fn, t._nr = fn, nr
        return
    old = _before_write(base)
    new = Tensor._wrap(t.node(), t.device)
    new._fn, new._nr = fn, nr
    params = {"size": tuple(t.shape), "stride": t.strides, "storage_offset": t.offset,
              "memory": Memory.of(base, t)}
    holder = Tensor._wrap(base.node(), base.device)
    record(COPY_SLICES, (old, new), params, (holder,), "CopySlices")
    base._fn, base._nr, base._requires = holder._fn, 0, base._requires
    regenerate(t)
    t._view_version = t._counter.version


def _before_write(base: Tensor) -> Tensor:
    """A stand-in for the base before the write: its shape and its place on the tape."""
    old = Tensor._wrap(zeros_node(tuple(base.shape), base.dtype), base.device)
    if base._base is None:
        old._fn, old._nr, old._requires = base._fn, base._nr, base._requires
    return old


Tensor._regenerate = regenerate
