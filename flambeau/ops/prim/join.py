"""Joining and splitting: cat, stack and the views that take tensors apart."""

from __future__ import annotations

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...base.errors import ShapeError
from ...ir.api import api
from ...ir.node import Node, OpClass, Prim, make
from ...ir.op import Op, apply
from .. import where
from ..core import cast_node
from .elementwise import COPY
from .shape import _select_geometry, _slice_geometry, reshape, slice_dim


def _cat_infer(*nodes_and_axis):
    *nodes, axis = nodes_and_axis
    shape = list(nodes[0].shape)
    shape[axis] = int(np.sum([n.shape[axis] for n in nodes]))
    return tuple(shape), nodes[0].dtype


def _cat_numpy(*arrays_and_axis):
    *arrays, axis = arrays_and_axis
    return np.concatenate(arrays, axis)


CAT = Prim("cat", OpClass.INDEX, _cat_infer, _cat_numpy, batch="axis",
           doc="operands one after another along an axis")


def cat_nodes(nodes, axis: int) -> Node:
    """CAT of nodes of one dtype; a single one is itself."""
    nodes = tuple(nodes)
    return nodes[0] if len(nodes) == 1 else make(CAT, nodes, (axis,))


def _is_legacy_empty(x) -> bool:
    return len(x.shape) == 1 and x.shape[0] == 0


def _cat_lower(tensors, dim, dtype):
    parts = [cast_node(n, dtype) for n in tensors if not _is_legacy_empty(n)]
    if not parts:
        return cast_node(tensors[0], dtype)
    if len(parts) == 1:
        return make(COPY, (parts[0],))
    return make(CAT, tuple(parts), (dim,))


def _cat_vjp(ctx, g):
    out: list = []
    start = 0
    for shape in ctx.shape(0):
        if shape == (0,) and len(g.shape) != 1:
            out.append(None)
            continue
        n = shape[ctx.dim]
        out.append(slice_dim(g, ctx.dim, start, start + n))
        start += n
    return (out,)


_cat = Op("cat", _cat_lower, _cat_vjp, layout=layouts.JOINED)


def joined_dtype(tensors) -> dt.dtype:
    """The promoted dtype of a list; 0-d tensors count like the others."""
    d = tensors[0].dtype
    for t in tensors[1:]:
        d = dt.promote_types(d, t.dtype)
    return d


def check_list(name: str, tensors) -> list:
    """A non-empty sequence of tensors as a list."""
    if not isinstance(tensors, (list, tuple)):
        if hasattr(tensors, "shape") or not hasattr(tensors, "__iter__"):
            raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, "
                            f"not {type(tensors).__name__}")
        tensors = list(tensors)
    if not tensors:
        raise (ValueError if name == "cat" else RuntimeError)(
            f"{name}(): expected a non-empty list of Tensors")
    for i, t in enumerate(tensors):
        if not hasattr(t, "shape"):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got "
                            f"{type(t).__name__}")
    return list(tensors)


@api(out=1, dtypes="any", aliases=("concat", "concatenate"),
     cases=lambda t: [t.call([t.f(2, 3), t.f(1, 3)]), t.call([t.f(2, 3), t.f(2, 1)], 1)],
     errors=lambda t: [(RuntimeError, "Sizes of tensors must match",
                        t.call([t.f(2, 3), t.f(2, 4)]))])
def cat(tensors, dim=0):
    """Tensors one after another along ``dim``; the other sizes must agree.

    Raises:
        ShapeError: ranks or sizes differ.
        RuntimeError: the list is empty.
    """
    tensors = check_list("cat", tensors)
    for i, t in enumerate(tensors):
        if not t.shape:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated;"
                               " use stack()")
    first = next((t for t in tensors if not _is_legacy_empty(t)), tensors[0])
    dim = sh.wrap_dim(dim, len(first.shape))
    for i, t in enumerate(tensors):
        if _is_legacy_empty(t) or t is first:
            continue
        if len(t.shape) != len(first.shape):
            raise ShapeError(
                f"Tensors must have same number of dimensions: got {len(first.shape)} and "
                f"{len(t.shape)} (shapes {tuple(first.shape)} and {tuple(t.shape)}, number {i} in "
                "the list)")
        for d, (a, b) in enumerate(zip(first.shape, t.shape, strict=True)):
            if a != b and d != dim:
                raise ShapeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {a} but "
                    f"got size {b} for tensor number {i} in the list: shapes "
                    f"{tuple(first.shape)} and {tuple(t.shape)} differ in dimension {d}; number "
                    f"{i}{where.made(t)}")
    return apply(_cat, tensors, dim=dim, dtype=joined_dtype(tensors))


def _stack_lower(tensors, dim, dtype):
    shape = tensors[0].shape
    lone = shape[:dim] + (1,) + shape[dim:]
    return cat_nodes([reshape(cast_node(n, dtype), lone) for n in tensors], dim)


_stack = Op("stack", _stack_lower, lambda ctx, g: (unbind(g, ctx.dim),))


def _where_differ(a, b) -> str:
    if len(a) != len(b):
        return f": they have {len(a)} and {len(b)} dimensions"
    d = next(i for i, (m, n) in enumerate(zip(a, b, strict=True)) if m != n)
    return f": they differ in dimension {d}, {a[d]} and {b[d]}"


@api(out=1, dtypes="any", cases=lambda t: [t.call([t.f(2, 3), t.f(2, 3)], 1)],
     errors=lambda t: [(RuntimeError, "equal size", t.call([t.f(2), t.f(3)]))])
def stack(tensors, dim=0):
    """Tensors of one shape along a new axis."""
    tensors = check_list("stack", tensors)
    dim = sh.wrap_dim(dim, len(tensors[0].shape) + 1)
    for i, t in enumerate(tensors):
        if tuple(t.shape) != tuple(tensors[0].shape):
            raise ShapeError(f"stack expects each tensor to be equal size, but got "
                             f"{list(tensors[0].shape)} at entry 0 and {list(t.shape)} at entry "
                             f"{i}{_where_differ(tensors[0].shape, t.shape)}; entry "
                             f"{i}{where.made(t)}")
    return apply(_stack, tensors, dim=dim, dtype=joined_dtype(tensors))


# --- taking apart: views with several results -----------------------------------------------------


def _unbind_geometries(shape, strides, offset, dim):
    return [_select_geometry(shape, strides, offset, dim, i) for i in range(shape[dim])]


_unbind = Op("unbind", geometries=_unbind_geometries,
             vjp=lambda ctx, *grads: (stack(list(grads), ctx.dim),))


@api(method=True, dtypes="any", cases=lambda t: [t.call(t.f(2, 3), 1)])
def unbind(input, dim=0):  # noqa: A002
    """The slices along ``dim``, without that axis: a tuple of views."""
    if not input.shape:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return apply(_unbind, input, dim=sh.wrap_dim(dim, len(input.shape)))


def _split_geometries(shape, strides, offset, sizes, dim):
    out, start = [], 0
    for n in sizes:
        end = start + n
        size, steps, at = _slice_geometry(shape, strides, offset, dim, start, end, 1)
        out.append((size, steps, at))
        start = end
    return out


def _split_vjp(ctx, *grads):
    return (cat(list(grads), ctx.dim),)


_split = Op("split", geometries=_split_geometries, vjp=_split_vjp)
_split_sizes = Op("split_with_sizes", geometries=_split_geometries, vjp=_split_vjp)


def equal_parts(n: int, size: int) -> tuple[int, ...]:
    """``n`` in parts of ``size``, the last one smaller."""
    if size == 0:
        return (0,)
    return tuple(min(size, n - at) for at in range(0, n, size)) or (0,)


@api(method=True, dtypes="any",
     cases=lambda t: [t.call(t.f(5, 2), 2), t.call(t.f(2, 5), [1, 4], 1)])
def split(tensor, split_size_or_sections, dim=0):
    """Parts of one size (the last may be smaller), or of the sizes listed: a tuple of views."""
    if isinstance(split_size_or_sections, (list, tuple)):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    size = int(split_size_or_sections)
    if not tensor.shape:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = sh.wrap_dim(dim, len(tensor.shape))
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    n = tensor.shape[dim]
    if size == 0 and n != 0:
        raise RuntimeError("split_size can only be 0 if dimension size is 0, but got dimension "
                           f"size of {n}")
    return apply(_split, tensor, sizes=equal_parts(n, size), dim=dim)


@api(method=True, dtypes="any", cases=lambda t: [t.call(t.f(2, 5), [1, 4], 1)])
def split_with_sizes(input, split_sizes, dim=0):  # noqa: A002
    """Parts of the sizes listed, which must add up to the axis: a tuple of views."""
    if not input.shape:
        raise RuntimeError("split_with_sizes expects at least a 1-dimensional tensor")
    dim = sh.wrap_dim(dim, len(input.shape))
    sizes = tuple(int(n) for n in split_sizes)
    if any(n < 0 for n in sizes):
        raise RuntimeError("split_with_sizes expects split_sizes have only non-negative entries, "
                           f"but got split_sizes={list(sizes)}")
    total = int(np.sum(sizes)) if sizes else 0
    if total != input.shape[dim]:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {input.shape[dim]} (input "
            f"tensor's size at dimension {dim}), but got split_sizes={list(sizes)}")
    return apply(_split_sizes, input, sizes=sizes, dim=dim)


@api(method=True, dtypes="any", cases=lambda t: [t.call(t.f(5, 2), 3)])
def chunk(input, chunks, dim=0):  # noqa: A002
    """At most ``chunks`` parts of equal size (the last may be smaller): a tuple of views."""
    if not input.shape:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    dim = sh.wrap_dim(dim, len(input.shape))
    n = input.shape[dim]
    size = -(-n // chunks)
    if size == 0 and n == 0:
        return apply(_split_sizes, input, sizes=(0,) * chunks, dim=dim)
    return apply(_split, input, sizes=equal_parts(n, size), dim=dim)

