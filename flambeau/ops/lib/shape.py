"""Shape functions written with the view operations of prim/shape.py, and views with more rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...base.errors import ShapeError
from ...ir.api import api
from ...ir.node import Node, make
from ...ir.op import Op, apply
from ...ir.view import view
from ..prim.elementwise import COPY, cast, clone, conj, rows
from ..prim.index import host, index_select, on_host, put_zeros
from ..prim.join import cat_nodes
from ..prim.reduce import expand, sum, sum_to  # noqa: A004
from ..prim.shape import VIEW_OP, permute, reshape, sizes_of, slice_dim, transpose, unsqueeze

ANY: dict[str, Any] = {"method": True, "dtypes": "any"}


# --- the same elements in another shape -----------------------------------------------------------


@api("view_as", torch=False, cases=lambda t: [t.call(t.f(2, 6), t.f(3, 4))], **ANY)
def view_as(input, other):  # noqa: A002
    """``input`` seen in ``other``'s shape."""
    return apply(VIEW_OP, input, size=tuple(other.shape))


@api("reshape_as", torch=False, cases=lambda t: [t.call(t.f(2, 6), t.f(3, 4))], **ANY)
def reshape_as(input, other):  # noqa: A002
    """``input`` in ``other``'s shape; a view where strides allow it."""
    return reshape(input, tuple(other.shape))


@api(cases=lambda t: [t.call(t.f(2, 3, 4), 1), t.call(t.f(2, 3, 4)), t.call(t.f(()))], **ANY)
def flatten(input, start_dim=0, end_dim=-1):  # noqa: A002
    """Axes ``start_dim`` to ``end_dim`` made one; a view where strides allow it."""
    rank = len(input.shape)
    start, end = sh.wrap_dim(start_dim, rank), sh.wrap_dim(end_dim, rank)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if rank == 0:
        return reshape(input, (1,))
    if start == end:
        return input
    shape = tuple(input.shape)
    size = sh.numel(shape[start:end + 1])
    return reshape(input, (*shape[:start], size, *shape[end + 1:]))


@api(cases=lambda t: [t.call(t.f(2, 3))], **ANY)
def ravel(input):  # noqa: A002
    """All elements as a vector; a view of row-major memory, else a copy."""
    return reshape(contiguous(input), (-1,)) if input.numel() else reshape(input, (0,))


@api(cases=lambda t: [t.call(t.f(2, 6), 1, (2, -1))], **ANY)
def unflatten(input, dim, sizes):  # noqa: A002
    """Axis ``dim`` taken apart into ``sizes`` (one may be -1)."""
    sizes = tuple(sizes) if isinstance(sizes, (tuple, list)) else (sizes,)
    dim = sh.wrap_dim(dim, len(input.shape), scalar_ok=False)
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    n = input.shape[dim]
    try:
        sizes = sh.infer_size(sizes, n)
    except ShapeError:
        raise RuntimeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size "
                           f"of dim {dim} ({n}) in the input tensor") from None
    shape = tuple(input.shape)
    return apply(VIEW_OP, input, size=shape[:dim] + sizes + shape[dim + 1:])


@api(cases=lambda t: [t.call(t.f(2, 3))], torch=False, **ANY)
def contiguous(input, *, memory_format=None):  # noqa: A002
    """Itself when its memory has the format already, else a copy."""
    if isinstance(input, Node) or input.is_contiguous(memory_format):
        return input
    return rows(input) if memory_format is None else clone(input, memory_format=memory_format)


# --- axes -----------------------------------------------------------------------------------------


@api(aliases=("moveaxis",), cases=lambda t: [t.call(t.f(2, 3, 4), 0, -1),
                                             t.call(t.f(2, 3, 4), (0, 1), (2, 0))], **ANY)
def movedim(input, source, destination):  # noqa: A002
    """Axes ``source`` moved to places ``destination``; a view."""
    rank = len(input.shape)
    source = (source,) if isinstance(source, int) else tuple(source)
    destination = (destination,) if isinstance(destination, int) else tuple(destination)
    if len(source) != len(destination):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(source)} dims) should "
            f"contain the same number of dims as destination ({list(destination)} dims)")
    src = [sh.wrap_dim(d, rank) for d in source]
    dst = [sh.wrap_dim(d, rank) for d in destination]
    for name, dims, given in (("source", src, source), ("destination", dst, destination)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({list(given)})")
    order = [-1] * rank
    for s, d in zip(src, dst, strict=True):
        order[d] = s
    rest = iter(i for i in range(rank) if i not in src)
    return permute(input, tuple(next(rest) if i < 0 else i for i in order)) if rank else input


def matrix_transpose(input):  # noqa: A002
    """``x.mT``: the last two axes exchanged."""
    if len(input.shape) < 2:
        raise RuntimeError("tensor.mT is only supported on matrices or batches of matrices. Got "
                           f"{len(input.shape)}-D tensor.")
    return transpose(input, -2, -1)


def reversed_axes(input):  # noqa: A002
    """``x.T``: all axes in reverse order."""
    return permute(input, tuple(reversed(range(len(input.shape)))))


@api(cases=lambda t: [t.call(t.f(2, 3, 4))], method=True, dtypes="any")
def adjoint(input):  # noqa: A002
    """Conjugate transposes of the last two axes (``x.mH``)."""
    if len(input.shape) == 1:
        raise RuntimeError("tensor.adjoint() is only supported on matrices or batches of matrices. "
                           "Got 1-D tensor.")
    return conj(transpose(input, -2, -1)) if input.shape else conj(input)


def hermitian(input):  # noqa: A002
    """The conjugate transpose of a matrix (``x.H``)."""
    if len(input.shape) not in (0, 2):
        raise RuntimeError("tensor.H is only supported on matrices (2-D tensors). Got "
                           f"{len(input.shape)}-D tensor.")
    return adjoint(input)


# --- repeating ------------------------------------------------------------------------------------


@api(torch=False, cases=lambda t: [t.call(t.f(3, 1), t.f(3, 4))], **ANY)
def expand_as(input, other):  # noqa: A002
    """``input`` expanded to ``other``'s shape; a view."""
    return expand(input, tuple(other.shape))


@api(torch=False, cases=lambda t: [t.call(t.f(4, 3), (3,))], **ANY)
def sum_to_size(input, *size):  # noqa: A002
    """``input`` summed over the axes along which ``size`` would be broadcast."""
    size = sizes_of(size)
    try:
        fits = sh.broadcast_shapes(size, tuple(input.shape)) == tuple(input.shape)
    except RuntimeError:
        fits = False
    if not fits:
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size "
                           f"{{{list(input.shape)}}}.")
    if not size:
        return sum(input)
    if input.dtype.category < dt.dtype.FLOAT and size != tuple(input.shape):
        input = cast(input, dt.int64)  # noqa: A001 (as sums are)
    return sum_to(input, size)


@api(cases=lambda t: [t.call(t.f(3, 1), (2, 3, 4))], **ANY)
def broadcast_to(input, *sizes, size=None):  # noqa: A002
    """``input`` expanded to ``size``; a view."""
    return expand(input, *(sizes if size is None else (size,)))


@api(dtypes="any", cases=lambda t: [t.call(t.f(3, 1), t.f(4))])
def broadcast_tensors(*tensors):
    """The tensors expanded to their common shape: a tuple of views."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    shape = sh.broadcast_shapes(*[tuple(t.shape) for t in tensors])
    return tuple(expand(t, shape) for t in tensors)


def _repeat_lower(x, repeats):
    lead = len(repeats) - len(x.shape)
    shape = (1,) * lead + x.shape
    steps = sh.contiguous_strides(shape)
    size, strides = [], []
    for r, n, s in zip(repeats, shape, steps, strict=True):
        size += [r, n]
        strides += [0, s]
    full = tuple(r * n for r, n in zip(repeats, shape, strict=True))
    return reshape(make(COPY, (view(x, size, strides),)), full)


def _repeat_vjp(ctx, g):
    shape = tuple(ctx.shape(0))
    shape = (1,) * (len(ctx.repeats) - len(shape)) + shape
    pairs = [n for pair in zip(ctx.repeats, shape, strict=True) for n in pair]
    if 0 in ctx.repeats:
        pairs = pairs and [*pairs]
    axes = tuple(range(0, len(pairs), 2))
    return (reshape(sum(reshape(g, tuple(pairs)), axes) if axes else g, ctx.shape(0)),)


_repeat = Op("repeat", _repeat_lower, _repeat_vjp)


@api(torch=False, cases=lambda t: [t.call(t.f(2, 3), 2, 1, 2)], **ANY)
def repeat(input, *repeats):  # noqa: A002
    """The tensor laid out ``repeats`` times along each axis; a copy."""
    repeats = sizes_of(repeats)
    if len(repeats) < len(input.shape):
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of "
                           "dimensions of tensor")
    if any(r < 0 for r in repeats):
        raise RuntimeError(f"Trying to create tensor with negative dimension: repeats {repeats}")
    return apply(_repeat, input, repeats=repeats)


@api(cases=lambda t: [t.call(t.f(2, 3), (2, 2)), t.call(t.f(2, 3), (2,))], **ANY)
def tile(input, *counts, dims=None):  # noqa: A002
    """``repeat`` with missing leading counts taken as 1."""
    counts = sizes_of(counts) if dims is None else sizes_of((dims,))
    return repeat(input, (1,) * (len(input.shape) - len(counts)) + counts)


@api(cases=lambda t: [t.call(t.f(2, 3), 2), t.call(t.f(2, 3), 2, 1)], **ANY)
def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):  # noqa: A002
    """Each element (or slice of ``dim``) ``repeats`` times in a row.

    ``repeats`` is a number or one count per slice. With a single tensor of counts, the index that
    repeats each position so often.
    """
    if repeats is None:
        from_counts = np.repeat(np.arange(input.numel()), host_counts(input))
        return on_host(from_counts, input)
    if dim is None:
        input, dim = flatten(input), 0  # noqa: A001
    dim = sh.wrap_dim(dim, len(input.shape))
    if not input.shape:
        input = reshape(input, (1,))  # noqa: A001
    n = input.shape[dim]
    if isinstance(repeats, (list, tuple)):
        repeats = np.asarray(repeats, np.int64)
    elif not isinstance(repeats, int):
        repeats = host_counts(repeats)
    if isinstance(repeats, int) or repeats.size == 1:
        count = int(repeats)
        if count < 0:
            raise RuntimeError(f"Repeats must be non-negative, got {count}")
        shape = tuple(input.shape)
        grown = expand(unsqueeze(input, dim + 1),
                       shape[:dim + 1] + (count,) + shape[dim + 1:])
        return reshape(rows(grown), shape[:dim] + (n * count,) + shape[dim + 1:])
    if repeats.ndim != 1 or repeats.size != n:
        raise RuntimeError("repeats must have the same size as input along dim, but got "
                           f"repeats.size(0) = {repeats.size} and input.size({dim}) = {n}")
    index = on_host(np.repeat(np.arange(n), repeats), input)
    return index_select(input, dim, index)


def host_counts(repeats) -> np.ndarray:
    """Repeat counts on the host, checked."""
    counts = host(repeats)
    if counts.dtype not in (np.int64, np.int32):
        raise RuntimeError("repeats has to be Long or Int tensor")
    if counts.size and counts.min() < 0:
        raise RuntimeError(f"repeats can not be negative, got {int(counts.min())}")
    return counts


# --- turning around -------------------------------------------------------------------------------


def _flip_lower(x, dims):
    steps = sh.contiguous_strides(x.shape)
    offset = int(np.sum([(x.shape[d] - 1) * steps[d] for d in dims])) if x.numel() else 0
    turned = tuple(-s if i in dims and x.shape[i] > 1 else s for i, s in enumerate(steps))
    return make(COPY, (view(x, x.shape, turned, offset),))


_flip: Op = Op("flip", _flip_lower, lambda ctx, g: (apply(_flip, g, dims=ctx.dims),),
               layout=layouts.LIKE_FIRST)


@api(cases=lambda t: [t.call(t.f(2, 3), (0, 1))], **ANY)
def flip(input, *axes, dims=None):  # noqa: A002
    """Axes ``dims`` in reverse order; a copy."""
    axes = sizes_of(axes) if dims is None else sizes_of((dims,))
    return apply(_flip, input, dims=sh.wrap_dims(axes, len(input.shape)))


@api(cases=lambda t: [t.call(t.f(2, 3))], **ANY)
def fliplr(input):  # noqa: A002
    """The second axis in reverse order."""
    if len(input.shape) < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, (1,))


@api(cases=lambda t: [t.call(t.f(2, 3))], **ANY)
def flipud(input):  # noqa: A002
    """The first axis in reverse order."""
    if len(input.shape) < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, (0,))


def _roll_lower(x, shifts, dims):
    for shift, d in zip(shifts, dims, strict=True):
        n = x.shape[d]
        if n and shift % n:
            cut = n - shift % n
            x = cat_nodes([slice_dim(x, d, cut, n), slice_dim(x, d, 0, cut)], d)
    return x


_roll: Op = Op("roll", _roll_lower, lambda ctx, g: (
    apply(_roll, g, shifts=tuple(-s for s in ctx.shifts), dims=ctx.dims),),
                layout=layouts.SPATIAL)


@api(cases=lambda t: [t.call(t.f(2, 3), 1, 0), t.call(t.f(2, 3), 4),
                      t.call(t.f(2, 3), (1, -1), (0, 1))], **ANY)
def roll(input, shifts, dims=None):  # noqa: A002
    """Elements moved by ``shifts`` along ``dims``, what leaves at one end coming in at the other;
    over the flattened tensor when ``dims`` is None."""
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    dims = () if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    if not shifts:
        raise RuntimeError("`shifts` required")
    if not dims and len(shifts) == 1:
        return reshape(roll(flatten(input), shifts, 0), tuple(input.shape))
    if len(shifts) != len(dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:"
                           f"{len(dims)}")
    if not input.shape:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    dims = tuple(sh.wrap_dim(d, len(input.shape)) for d in dims)
    return apply(_roll, input, shifts=shifts, dims=dims)


@api(cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), -1, (0, 1))], **ANY)
def rot90(input, k=1, dims=(0, 1)):  # noqa: A002
    """Turned ``k`` times by 90 degrees from the first axis of ``dims`` towards the second."""
    rank = len(input.shape)
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if rank < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {rank}")
    a, b = (sh.wrap_dim(d, rank) for d in dims)
    if a == b:
        raise RuntimeError("expected rotation dims to be different, but got dim0 = "
                           f"{dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 1:
        return transpose(flip(input, (b,)), a, b)
    if k == 2:
        return flip(input, (a, b))
    if k == 3:
        return transpose(flip(input, (a,)), a, b)
    return clone(input)


# --- parts ----------------------------------------------------------------------------------------


@api(cases=lambda t: [t.call(t.f(5, 2), 0, 1, 3)], **ANY)
def narrow(input, dim, start, length):  # noqa: A002
    """``length`` slices of ``dim`` from ``start``; a view."""
    rank = len(input.shape)
    if rank == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = sh.wrap_dim(dim, rank)
    n = input.shape[dim]
    if not isinstance(start, (int, np.integer)):
        if len(start.shape) or start.dtype.category >= dt.dtype.FLOAT or start.dtype is dt.bool_:
            raise RuntimeError("start must be an 0-dim integral Tensor.")
        start = int(host(start))
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got "
                         f"{start})")
    start += n if start < 0 else 0
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return slice_dim(input, dim, start, start + length)


def _unfold_geometry(shape, strides, offset, dim, size, step):
    if not shape:
        return (size,), (1,), offset
    count = (shape[dim] - size) // step + 1
    return (shape[:dim] + (count,) + shape[dim + 1:] + (size,),
            strides[:dim] + (strides[dim] * step,) + strides[dim + 1:] + (strides[dim],), offset)


def _unfold_vjp(ctx, g):
    """Windows may overlap: their gradients add up."""
    shape, dim = tuple(ctx.shape(0)), ctx.dim
    if not shape:
        return (sum(g),)
    count = (shape[dim] - ctx.size) // ctx.step + 1
    at = np.arange(count)[:, None] * ctx.step + np.arange(ctx.size)
    return (put_zeros(movedim(g, -1, dim + 1), (on_host(at, g),), shape, (dim,)),)


_unfold = Op("unfold", geometry=_unfold_geometry, vjp=_unfold_vjp)


@api("unfold", torch=False, cases=lambda t: [t.call(t.f(7, 2), 0, 3, 2)], **ANY)
def unfold(input, dimension, size, step):  # noqa: A002
    """Windows of ``size`` along an axis, ``step`` apart, as a new last axis; a view."""
    dim = sh.wrap_dim(dimension, len(input.shape))
    n = input.shape[dim] if input.shape else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return apply(_unfold, input, dim=dim, size=size, step=step)


def _positions(size, stride, offset) -> np.ndarray:
    """Memory position of each element of a strided region."""
    at = np.full((1,) * len(size), offset, np.int64)
    for i, (n, s) in enumerate(zip(size, stride, strict=True)):
        lone = [1] * len(size)
        lone[i] = n
        at = at + (np.arange(n) * s).reshape(lone)
    return np.broadcast_to(at, size)


def _as_strided_vjp(ctx, g):
    """Added up in a memory of its own, then read as the operand reads its memory."""
    shape = tuple(ctx.shape(0))
    written = _positions(ctx.size, ctx.stride, ctx.storage_offset).reshape(-1)
    read = _positions(shape, *ctx.own).reshape(-1)
    size = int(max(written.max(initial=0), read.max(initial=0))) + 1
    memory = put_zeros(reshape(g, (g.numel(),)), (on_host(written, g),), (size,), (0,))
    return (reshape(index_select(memory, 0, on_host(read, g)), shape),)


AS_STRIDED_VIEW = Op(
    "as_strided_view", geometry=lambda shape, strides, offset, size, stride, storage_offset, own:
    (size, stride, offset if storage_offset is None else storage_offset),
    vjp=lambda ctx, g: _as_strided_vjp(ctx, g), grad_name="AsStridedBackward0")


@api(inplace=True, cases=lambda t: [t.call(t.f(9), (2, 2), (1, 2), 1)], **ANY)
def as_strided(input, size, stride, storage_offset=None):  # noqa: A002
    """The tensor's memory read with the sizes, strides and offset given; a view."""
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise RuntimeError("as_strided: Negative strides are not supported at the moment, got "
                           f"strides: {list(stride)}")
    if storage_offset is None:
        storage_offset = getattr(input, "offset", 0)
    return apply(AS_STRIDED_VIEW, input, size=size, stride=stride, storage_offset=storage_offset,
                 own=(tuple(input.strides), getattr(input, "offset", 0)))


@api(dtypes="any", cases=lambda t: [t.call(t.f(2), t.f(3), indexing="ij")])
def meshgrid(*tensors, indexing=None):
    """Coordinate grids of vectors; ``indexing`` "ij" (rows first) or "xy"."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError('torch.meshgrid: indexing must be one of "xy" or "ij", but received: '
                           f"{indexing}")
    for t in tensors:
        if len(t.shape) > 1:
            raise RuntimeError("torch.meshgrid: Expected 0D or 1D tensor in the tensor list but "
                               f"got: {list(t.shape)}")
        if t.dtype is not tensors[0].dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    swap = indexing == "xy" and len(tensors) > 1
    order = (tensors[1], tensors[0], *tensors[2:]) if swap else tensors
    shape = tuple(t.numel() for t in order)
    grids = [expand(reshape(t, tuple(-1 if j == i and t.numel() else n for j, n in enumerate(
        (t.numel() if k == i else 1) for k in range(len(order))))), shape)
        for i, t in enumerate(order)]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def _at_least(name, rank, grow):
    def function(*tensors):
        if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
            return tuple(grow(t) for t in tensors[0])
        return grow(tensors[0]) if len(tensors) == 1 else tuple(grow(t) for t in tensors)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Views with at least {rank} axes; a tuple for several tensors."
    return api(name, dtypes="any", cases=lambda t: [t.call(t.f(3))])(function)


atleast_1d = _at_least("atleast_1d", 1, lambda x: x if x.shape else reshape(x, (1,)))
atleast_2d = _at_least("atleast_2d", 2, lambda x: (
    reshape(x, (1, 1)) if not x.shape else unsqueeze(x, 0) if len(x.shape) == 1 else x))


def _grow3(x):
    if not x.shape:
        return reshape(x, (1, 1, 1))
    if len(x.shape) == 1:
        return unsqueeze(unsqueeze(x, 0), -1)
    return unsqueeze(x, -1) if len(x.shape) == 2 else x


atleast_3d = _at_least("atleast_3d", 3, _grow3)
