"""View operations: PyTorch's shape functions as arithmetic on (shape, strides, offset).

``geometry`` works on a tensor's real strides (so that ``stride()``, ``is_contiguous()`` and errors
are PyTorch's) and on a node's logical row-major strides alike.
"""

from __future__ import annotations

from typing import Any

from ...base import shape as sh
from ...base.errors import ShapeError
from ...ir.api import api
from ...ir.marks import begin
from ...ir.node import const, make
from ...ir.op import Op, apply
from ...ir.view import VIEW_SET, broadcast
from .elementwise import rows


def sizes_of(sizes) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    return tuple(int(n) for n in sizes)


# --- view and reshape ---------------------------------------------------------------------------


def _view_geometry(shape, strides, offset, size):
    new = sh.infer_size(size, sh.numel(shape))
    new_strides = sh.view_strides(shape, strides, new)
    if new_strides is None:
        raise ShapeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            f"dimension spans across two contiguous subspaces): shape {tuple(shape)} with strides "
            f"{tuple(strides)} cannot be seen as {tuple(new)} without copying. "
            "Use .reshape(...) or .contiguous().view(...) instead.")
    return new, new_strides, offset


VIEW_OP = Op("view", geometry=_view_geometry, vjp=lambda ctx, g: (reshape(g, ctx.shape(0)),))


def reshape(input, *sizes, shape=None):  # noqa: A002
    """The same elements in another shape; a view where strides allow it, else a copy."""
    sizes = sizes if shape is None else (shape,)
    size = sh.infer_size(sizes_of(sizes), sh.numel(input.shape))
    if sh.view_strides(input.shape, input.strides, size) is not None:
        return apply(VIEW_OP, input, size=size)
    return apply(UNSAFE_VIEW, rows(input), size=size)


UNSAFE_VIEW = Op("_unsafe_view", geometry=_view_geometry,
                 vjp=lambda ctx, g: (reshape(g, ctx.shape(0)),), grad_name="UnsafeViewBackward0")


# --- axes -----------------------------------------------------------------------------------------


def _permute_geometry(shape, strides, offset, dims):
    return (tuple(shape[d] for d in dims), tuple(strides[d] for d in dims), offset)


def _inverse(dims):
    back = [0] * len(dims)
    for i, d in enumerate(dims):
        back[d] = i
    return tuple(back)


_permute: Op = Op("permute", geometry=_permute_geometry,
                  vjp=lambda ctx, g: (apply(_permute, g, dims=_inverse(ctx.dims)),))


def permute(input, *order, dims=None):  # noqa: A002
    """Axes in the order ``dims``; a view.

    Raises:
        RuntimeError: ``dims`` does not name every axis once.
    """
    dims = sizes_of(order if dims is None else (dims,))
    rank = len(input.shape)
    if len(dims) != rank:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {rank} is not equal "
            f"to len(dims) = {len(dims)}")
    wrapped = tuple(sh.wrap_dim(d, rank) for d in dims)
    if len(set(wrapped)) != rank:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return apply(_permute, input, dims=wrapped)


def _swapped(rank, a, b):
    order = list(range(rank))
    if rank:
        order[a], order[b] = order[b], order[a]
    return tuple(order)


_transpose: Op = Op("transpose",
                    geometry=lambda shape, strides, offset, dim0, dim1: _permute_geometry(
                        shape, strides, offset, _swapped(len(shape), dim0, dim1)),
                    vjp=lambda ctx, g: (apply(_transpose, g, dim0=ctx.dim0, dim1=ctx.dim1),))


def transpose(input, dim0, dim1):  # noqa: A002
    """Two axes exchanged; a view."""
    rank = len(input.shape)
    return apply(_transpose, input, dim0=sh.wrap_dim(dim0, rank), dim1=sh.wrap_dim(dim1, rank))


_t: Op = Op("t", geometry=lambda shape, strides, offset: (shape[::-1], strides[::-1], offset),
            vjp=lambda ctx, g: (apply(_t, g),))


def t(input):  # noqa: A002
    """The transpose of a matrix; vectors and numbers unchanged.

    Raises:
        RuntimeError: more than 2 dimensions.
    """
    if len(input.shape) > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is "
                           f"{len(input.shape)}D; use .mT or transpose(-2, -1)")
    return apply(_t, input)


def _unsqueeze_geometry(shape, strides, offset, dim):
    step = shape[dim] * strides[dim] if dim < len(shape) else 1
    return shape[:dim] + (1,) + shape[dim:], strides[:dim] + (step,) + strides[dim:], offset


_unsqueeze = Op("unsqueeze", geometry=_unsqueeze_geometry,
                vjp=lambda ctx, g: (squeeze(g, ctx.dim),))


def unsqueeze(input, dim):  # noqa: A002
    """A new axis of size 1 at ``dim``; a view."""
    return apply(_unsqueeze, input, dim=sh.wrap_dim(dim, len(input.shape) + 1))


def unsqueeze_all(x, axes):
    """Axes of size 1 inserted so that they end up at positions ``axes`` (ascending)."""
    if not axes:
        return x
    out = list(x.shape)
    for a in axes:
        out.insert(a, 1)
    return reshape(x, tuple(out))


def _squeeze_geometry(shape, strides, offset, dims):
    keep = [i for i in range(len(shape)) if i not in dims or shape[i] != 1]
    return tuple(shape[i] for i in keep), tuple(strides[i] for i in keep), offset


#: of all axes, of one, of several: PyTorch's tape tells them apart
_squeezes = tuple(Op(name, geometry=_squeeze_geometry, grad_name=f"SqueezeBackward{i}",
                     vjp=lambda ctx, g: (reshape(g, ctx.shape(0)),))
                  for i, name in enumerate(("squeeze", "squeeze_dim", "squeeze_dims")))


def squeeze(input, dim=None):  # noqa: A002
    """Without axes of size 1 (all of them, or those of ``dim``); a view."""
    rank = len(input.shape)
    if dim is None:
        op, dims = _squeezes[0], tuple(range(rank))
    elif isinstance(dim, (tuple, list)):
        op, dims = _squeezes[2], sh.wrap_dims(dim, rank)
    else:
        op, dims = _squeezes[1], (sh.wrap_dim(dim, rank),)
    return apply(op, input, dims=dims)


# --- parts ----------------------------------------------------------------------------------------


def _select_geometry(shape, strides, offset, dim, index):
    return (shape[:dim] + shape[dim + 1:], strides[:dim] + strides[dim + 1:],
            offset + index * strides[dim])


_select: Op = Op("select", geometry=_select_geometry,
                 vjp=lambda ctx, g: (
                     embed(g, ctx.shape(0), _select, dim=ctx.dim, index=ctx.index),))


def select(input, dim, index):  # noqa: A002
    """The slice ``index`` along ``dim``, without that axis; a view.

    Raises:
        IndexError: ``index`` is out of range, or the tensor is 0-d.
    """
    rank = len(input.shape)
    if rank == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = sh.wrap_dim(dim, rank)
    n = input.shape[dim]
    if not -n <= index < n:
        raise IndexError(f"select(): index {index} out of range for tensor of size "
                         f"{list(input.shape)} at dimension {dim}")
    return apply(_select, input, dim=dim, index=begin(int(index + n if index < 0 else index)))


def _slice_geometry(shape, strides, offset, dim, start, end, step):
    count = max(0, -(-(end - start) // step))
    return (shape[:dim] + (count,) + shape[dim + 1:],
            strides[:dim] + (strides[dim] * step,) + strides[dim + 1:],
            offset + (start * strides[dim] if count else 0))


_slice: Op = Op("slice", geometry=_slice_geometry,
                vjp=lambda ctx, g: (embed(g, ctx.shape(0), _slice, dim=ctx.dim, start=ctx.start,
                                          end=ctx.end, step=ctx.step),))


def slice_dim(input, dim=0, start=None, end=None, step=1):  # noqa: A002
    """``input[..., start:end:step, ...]`` along ``dim``; a view."""
    dim = sh.wrap_dim(dim, len(input.shape), scalar_ok=False)
    if step <= 0:
        raise ValueError("step must be greater than zero: PyTorch has no negative slices, "
                         "use flip()")
    n = input.shape[dim]
    start, end, _ = slice(start, end, step).indices(n)
    at = begin(start)
    return apply(_slice, input, dim=dim, start=at, end=at + max(0, end - start), step=step)


def as_strided_geometry(shape, strides, offset, size, stride, storage_offset):
    """Sizes, strides and offset given outright."""
    return tuple(size), tuple(stride), storage_offset


def embed(g, shape, op: Op, **params):
    """Zeros of ``shape`` with ``g`` where the view ``op(**params)`` of it would read."""
    return apply(_embed, g, shape=tuple(shape), op=op, params=tuple(params.items()))


def _embed_lower(g, shape, op, params):
    size, strides, offset = op.geometry(shape, sh.contiguous_strides(shape), 0, **dict(params))
    zeros = broadcast(const(0, g.dtype), shape)
    return make(VIEW_SET, (zeros, g), (tuple(strides), offset))


_embed = Op("view_backward", _embed_lower,
            lambda ctx, g: (apply(ctx.op, g, **dict(ctx.params["params"])),))



def _declare():
    """Public names; one place because several take either ``*sizes`` or one tuple."""
    both: dict[str, Any] = {"method": True, "dtypes": "any"}
    api("reshape", cases=lambda t: [t.call(t.f(2, 6), (3, -1))], **both)(reshape)
    api("permute", cases=lambda t: [t.call(t.f(2, 3, 4), (2, 0, 1))], **both)(permute)
    api("transpose", aliases=("swapaxes", "swapdims"), inplace=True,
        cases=lambda t: [t.call(t.f(2, 3, 4), 0, -1)], **both)(transpose)
    api("t", inplace=True, cases=lambda t: [t.call(t.f(2, 3))], **both)(t)
    api("unsqueeze", inplace=True, cases=lambda t: [t.call(t.f(2, 3), 1)], **both)(unsqueeze)
    api("squeeze", inplace=True, cases=lambda t: [t.call(t.f(2, 1, 3)), t.call(t.f(1, 2, 1), 0)],
        **both)(squeeze)
    api("select", cases=lambda t: [t.call(t.f(2, 3), 1, -1)], **both)(select)


_declare()
