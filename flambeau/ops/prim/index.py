"""Gathers: reading at positions that are data. The writing counterparts stand in scatter.py.

Positions are checked when they are read: the first one outside the valid range is named with its
place, in PyTorch's exception class; the interpreter adds the user's line.
"""

from __future__ import annotations

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...base.errors import IndexValueError
from ...ir.api import api
from ...ir.node import PRIMS, Node, OpClass, Prim, leaf, make, realize
from ...ir.op import Op, apply
from ...ir.view import broadcast, view
from ..core import cast_node, elementwise, operand
from . import batch_rules
from .elementwise import ADD, WHERE
from .shape import reshape
from .source import iota

INDEX = OpClass.INDEX


# --- what all index operations share ----------------------------------------------------------


def host(x) -> np.ndarray:
    """The value of a node or tensor as an array, computed now."""
    return realize(x if isinstance(x, Node) else x.node())


def on_host(array, like):
    """An array as an operand that goes with ``like``: a node, or a tensor where ``like`` is one."""
    return apply(_FROM_HOST, like, data=_Data(np.asarray(array)))


class _Data:
    """An array as a parameter: compared by identity."""

    __slots__ = ("array",)

    def __init__(self, array):
        self.array = array


_FROM_HOST = Op("from_host", lambda like, data: leaf(data.array),
                nondiff="a new array from the host")


def first_bad(index: np.ndarray, low: int, high: int):
    """(value, position) of the first element outside [low, high), None when all are inside."""
    if index.size == 0:
        return None
    if index.min() >= low and index.max() < high:
        return None
    bad = (index < low) | (index >= high)
    at = np.unravel_index(int(bad.argmax()), index.shape)
    return index[at].item(), tuple(int(i) for i in at)


def check_index(index: np.ndarray, size: int, dim: int, *, negative: bool = False,
                error=IndexError, text: str | None = None) -> None:
    """Raise where ``index`` points outside an axis of ``size`` elements."""
    found = first_bad(index, -size if negative else 0, size)
    if found is not None:
        value, at = found
        text = text or f"index {value} is out of bounds for dimension {dim} with size {size}"
        where = f"at position {list(at)} of the index" if at else "the index"
        raise error(f"{text}: {value} {where}; valid are {-size if negative else 0} to {size - 1}")


_EARLY = 1 << 20  # positions of an index that exists already are checked at the user's line


def check_early(index: Node, size: int, dim: int, *, error=RuntimeError, **options) -> None:
    """Refuse a bad position now where the index has its value already; else it is found later."""
    value = index.value
    if value is not None and value.size <= _EARLY:
        check_index(value, size, dim, error=error, **options)


def check_index_dtype(name: str, index, text: str | None = None) -> None:
    """Index tensors are int64 (int32 is taken where PyTorch takes it)."""
    if index.dtype not in (dt.int64, dt.int32):
        raise RuntimeError(text or f"{name}(): Expected dtype int32/int64 for index, got "
                                   f"{index.dtype}; convert it with .long()")


def at_axis(axis: int, index) -> tuple:
    """A NumPy key with ``index`` on ``axis``."""
    return (slice(None),) * axis + (index,)


# --- whole slices along one axis ------------------------------------------------------------------


def _take_infer(x: Node, index: Node, axis: int):
    return x.shape[:axis] + index.shape + x.shape[axis + 1:], x.dtype


def _take_numpy(x, index, axis):
    check_index(index, x.shape[axis], axis, text="index out of range in self")
    return np.take(x, index, axis)


TAKE = Prim("take", INDEX, _take_infer, _take_numpy,
            batch=batch_rules.take,
            doc="slices of axis `axis` at the positions of an index of any rank")


def _index_select_lower(x, index, dim):
    if not x.shape:
        return reshape(make(TAKE, (reshape(x, (1,)), reshape(index, (-1,))), (0,)), ())
    check_early(index, x.shape[dim], dim, error=IndexError, text="index out of range in self")
    return make(TAKE, (x, reshape(index, (index.numel(),))), (dim,))


_index_select = Op(
    "index_select", _index_select_lower,
    lambda ctx, g: (put_zeros(reshape(g, (1,)) if not ctx.shape(0) else g, (ctx.operand(1),),
                              ctx.shape(0) or (1,), (ctx.dim,)), None),
    saves=(1,))


@api(method=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), 1, t.ints(2, low=0, high=4))],
     errors=lambda t: [(IndexError, "Dimension out of range",
                        t.call(t.f(3), 1, t.ints(2, low=0, high=3)))])
def index_select(input, dim, index):  # noqa: A002
    """Slices of ``dim`` at the positions of a 1-d ``index``."""
    dim = sh.wrap_dim(dim, len(input.shape))
    if len(index.shape) > 1:
        raise IndexError("index_select(): Index is supposed to be a vector, got shape "
                         f"{tuple(index.shape)}")
    check_index_dtype("index_select", index)
    if not input.shape and index.numel() != 1:
        raise RuntimeError("index_select(): Index to scalar can have only 1 value, got "
                           f"{index.numel()} value(s)")
    return apply(_index_select, input, index, dim=dim)


# --- single elements along one axis ---------------------------------------------------------------


def _along_infer(x: Node, index: Node, axis: int):
    return index.shape, x.dtype


def _along_numpy(x, index, axis):
    check_index(index, x.shape[axis], axis, error=IndexValueError)
    if index.size == 0:
        return np.empty(index.shape, x.dtype)
    trimmed = tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(index.shape))
    return np.take_along_axis(x[trimmed], index, axis)


TAKE_ALONG = Prim("take_along", INDEX, _along_infer, _along_numpy, batch="axis",
                  doc="x[.., index[.., i, ..], ..] along axis `axis`; index may be smaller")


def along(x: Node, index: Node, dim: int) -> Node:
    """TAKE_ALONG that lets 0-d operands through."""
    check_early(index, x.shape[dim] if x.shape else 1, dim)
    index = cast_node(index, dt.int64)
    if x.shape and index.shape:
        return make(TAKE_ALONG, (x, index), (dim,))
    out = make(TAKE_ALONG, (reshape(x, (1,)) if not x.shape else x,
                            reshape(index, (1,)) if not index.shape else index), (0,))
    return reshape(out, index.shape)


_gather = Op("gather", lambda x, index, dim: along(x, index, dim),
             lambda ctx, g: (scatter_add_zeros(g, ctx.operand(1), ctx.shape(0), ctx.dim), None),
             saves=(1,), guards=(0, 1))


def check_along(name: str, x, index, dim: int, src=None) -> int:
    """Rules of gather and scatter for ranks and sizes; the wrapped axis."""
    dim = sh.wrap_dim(dim, len(x.shape))
    if index.numel() == 0:
        return dim
    check_index_dtype(name, index)
    rank = max(len(x.shape), 1)
    if max(len(index.shape), 1) != rank:
        raise RuntimeError(f"Index tensor must have the same number of dimensions as "
                           f"{'input' if name == 'gather' else 'self'} tensor: index "
                           f"{tuple(index.shape)}, {tuple(x.shape)}")
    if src is not None and max(len(src.shape), 1) != rank:
        raise RuntimeError(f"Index tensor must have the same number of dimensions as src tensor: "
                           f"index {tuple(index.shape)}, src {tuple(src.shape)}")
    for i, n in enumerate(index.shape):
        if i != dim and x.shape and n > x.shape[i]:
            raise RuntimeError(
                f"Size does not match at dimension {i} expected index {list(index.shape)} to be "
                f"no larger than self {list(x.shape)} apart from dimension {dim}"
                + (f" and to be no larger size than src {list(src.shape)}" if src is not None
                   else ""))
        if src is not None and src.shape and n > src.shape[i]:
            raise RuntimeError(
                f"Expected index {list(index.shape)} to be no larger than src {list(src.shape)} "
                f"in all dimensions (dimension {i})")
    return dim


@api(method=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), 1, t.ints(3, 2, low=0, high=4))],
     errors=lambda t: [(RuntimeError, "same number of dimensions",
                        t.call(t.f(3, 4), 1, t.ints(2, low=0, high=3)))])
def gather(input, dim, index, *, sparse_grad=False):  # noqa: A002
    """``out[i][j] = input[i][index[i][j]]`` for dim 1, and so for every rank and axis."""
    dim = check_along("gather", input, index, dim)
    return apply(_gather, input, index, dim=dim)


@api("take_along_dim", method=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), t.ints(3, 2, low=0, high=4), 1)])
def take_along_dim(input, indices, dim=None):  # noqa: A002
    """``gather`` with the other axes broadcast; over the flattened tensor when ``dim`` is None.

    Raises:
        RuntimeError: the ranks differ, or ``indices`` is not int64.
    """
    if indices.dtype is not dt.int64:
        raise RuntimeError("torch.take_along_dim(): dtype of indices should be Long but got "
                           f"{indices.dtype}")
    if dim is None:
        input, dim = reshape(input, (input.numel(),)), 0  # noqa: A001
        indices = reshape(indices, (indices.numel(),))
    if len(input.shape) != len(indices.shape):
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {len(input.shape)} dimensions for input, and {len(indices.shape)} dimensions "
            "for indices")
    dim = sh.wrap_dim(dim, len(input.shape))
    drop = lambda s: s[:dim] + (1,) + s[dim + 1:]  # noqa: E731
    common = sh.broadcast_shapes(drop(tuple(input.shape)), drop(tuple(indices.shape)))
    fit = lambda s: common[:dim] + (s[dim],) + common[dim + 1:]  # noqa: E731
    indices = apply(_wrap, indices, size=input.shape[dim])
    return gather(_grown(input, fit(input.shape)), dim, _grown(indices, fit(indices.shape)))


def _wrap_lower(index, size):
    """Negative positions count from the end."""
    if index.value is not None and index.value.size and index.value.min() >= 0:
        return index
    shifted = elementwise(ADD, dt.int64, index, size)
    low = elementwise(PRIMS["lt"], dt.int64, index, 0)
    return make(WHERE, (low, shifted, index))


_wrap = Op("wrap_index", _wrap_lower, nondiff="positions have no gradient")


_grow = Op("broadcast_gather",
           geometry=lambda shape, strides, offset, size: (
               size, sh.broadcast_strides(shape, strides, size), offset),
           vjp=lambda ctx, g: (g,), grad_name="ExpandBackward0")


def _grown(x, size):
    return x if tuple(x.shape) == size else apply(_grow, x, size=size)


# --- elements of the flattened tensor -------------------------------------------------------------


def _flat_infer(x: Node, index: Node):
    return index.shape, x.dtype


def _flat_numpy(x, index):
    found = first_bad(index, -x.size, x.size)
    if found is not None:
        raise IndexError(f"out of range: tried to access index {found[0]} on a tensor of {x.size} "
                         f"elements, at position {list(found[1])} of the index")
    return np.take(x, index)


TAKE_FLAT = Prim("take_flat", INDEX, _flat_infer, _flat_numpy,
                 batch=batch_rules.take_flat, doc="elements of the flattened operand")
_take = Op("take", lambda x, index: make(TAKE_FLAT, (x, index)),
           lambda ctx, g: (reshape(put_zeros(reshape(g, (-1,)),
                                             (reshape(ctx.operand(1), (-1,)),),
                                             (sh.numel(ctx.shape(0)),), (0,)),
                                   ctx.shape(0)), None), saves=(1,), guards=(0, 1))


@api(method=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), t.ints(5, low=0, high=12))])
def take(input, index):  # noqa: A002
    """Elements of ``input`` as if it were 1-d, in ``index``'s shape."""
    if index.dtype is not dt.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype}")
    if input.numel() == 0 and index.numel() != 0:
        raise IndexError("take(): tried to take from an empty tensor")
    return apply(_take, input, index)


# --- advanced indexing ----------------------------------------------------------------------------


def numpy_key(dims, indices, rank: int) -> tuple:
    """Index arrays at their axes, whole slices elsewhere."""
    key: list = [slice(None)] * rank
    for d, i in zip(dims, indices, strict=True):
        key[d] = i
    return tuple(key)


def index_shape(shape, dims, index: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of an advanced index: at the first indexed axis when they are adjacent, else first."""
    rest = [n for i, n in enumerate(shape) if i not in dims]
    adjacent = dims[-1] - dims[0] + 1 == len(dims)
    at = dims[0] if adjacent else 0
    return (*rest[:at], *index, *rest[at:])


def _index_infer(x, *rest):
    dims, indices = rest[-1], rest[:-1]
    return index_shape(x.shape, dims, sh.broadcast_shapes(*[i.shape for i in indices])), x.dtype


def check_indices(shape, dims, indices) -> None:
    """Bounds of advanced indices; negative positions count from the end."""
    for d, i in zip(dims, indices, strict=True):
        check_index(i, shape[d], d, negative=True)


def _index_numpy(x, *rest):
    dims, indices = rest[-1], rest[:-1]
    shape, _ = _index_infer(x, *rest)
    if 0 in shape:
        return np.empty(shape, x.dtype)
    check_indices(x.shape, dims, indices)
    return x[numpy_key(dims, indices, x.ndim)]


INDEX_GET = Prim("index", INDEX, _index_infer, _index_numpy,
                 batch=batch_rules.index, doc="x[i, j, ..] with index arrays at the axes `dims`")


def _index_lower(x, *indices, dims):
    for d, i in zip(dims, indices, strict=True):
        check_early(i, x.shape[d], d, error=IndexError, negative=True)
    return make(INDEX_GET, (x, *[cast_node(i, dt.int64) for i in indices]), (dims,))


INDEX_OP = Op("index", _index_lower,
              lambda ctx, g: (put_zeros(g, [ctx.operand(i) for i in range(1, ctx.operands)],
                                        ctx.shape(0), ctx.dims), *[None] * (ctx.operands - 1)),
              saves=lambda needs, params: tuple(range(1, len(needs))), layout=layouts.INDEXED)


# --- gradients of gathers: zeros with the values added where they came from --------------------


def _put_infer(base: Node, value: Node, *rest):
    return base.shape, base.dtype


def _put_numpy(base, value, *rest):
    *indices, dims, accumulate = rest
    if not value.size:
        return base
    check_indices(base.shape, dims, indices)
    out = np.array(base, order="C")
    key = numpy_key(dims, indices, out.ndim)
    if not accumulate:
        out[key] = value
    elif out.dtype == np.bool_:
        np.logical_or.at(out, key, value)
    else:
        np.add.at(out, key, value)
    return out


PUT = Prim("index_put", INDEX, _put_infer, _put_numpy, batch=batch_rules.index_put,
           doc="base with value written (or added) at index arrays on the axes `dims`")


def put_node(base: Node, value: Node, indices, dims, accumulate: bool) -> Node:
    """PUT with the value broadcast to the region's shape."""
    indices = tuple(cast_node(i, dt.int64) for i in indices)
    region = index_shape(base.shape, dims, sh.broadcast_shapes(*[i.shape for i in indices]))
    value = broadcast(cast_node(value, base.dtype), region)
    return make(PUT, (base, value, *indices), (dims, accumulate))


_put_zeros = Op(
    "index_backward",
    lambda g, *indices, size, dims: put_node(broadcast(operand(0, g.dtype), size), g, indices,
                                             dims, True),
    lambda ctx, g: (apply(INDEX_OP, g, *[ctx.operand(i) for i in range(1, ctx.operands)],
                          dims=ctx.dims), *[None] * (ctx.operands - 1)),
    saves=lambda needs, params: tuple(range(1, len(needs))))


def put_zeros(g, indices, size, dims):
    """Zeros of ``size`` with ``g`` added at the indices."""
    return apply(_put_zeros, g, *indices, size=tuple(size), dims=tuple(dims))


def _scatter_infer(base: Node, index: Node, src: Node, axis: int, mode: str):
    return base.shape, base.dtype


_AT = {"add": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _scatter_numpy(base, index, src, axis, mode):
    check_index(index, base.shape[axis], axis, error=IndexValueError)
    out = np.array(base, order="C")
    if index.size == 0:
        return out
    where = list(np.indices(index.shape, sparse=True))
    where[axis] = index
    key = tuple(where)
    src = src[tuple(slice(n) for n in index.shape)] if src.ndim else src
    if mode == "set":
        out[key] = src
    elif out.dtype == np.bool_:
        (np.logical_and if mode in ("prod", "amin") else np.logical_or).at(out, key, src)
    else:
        _AT[mode].at(out, key, src)
    return out


SCATTER = Prim("scatter", INDEX, _scatter_infer, _scatter_numpy, batch=batch_rules.scatter,
               doc="base[.., index[..], ..] = / += / *= / max= / min= src along an axis")


def scatter_node(base: Node, index: Node, src: Node, dim: int, mode: str) -> Node:
    """SCATTER that lets 0-d operands through; a number as ``src`` stays 0-d."""
    check_early(index, base.shape[dim] if base.shape else 1, dim)
    if base.shape:
        if not index.shape:
            index = reshape(index, (1,))
            src = reshape(src, (1,)) if not src.shape else src
        return make(SCATTER, (base, cast_node(index, dt.int64), src), (dim, mode))
    flat = [reshape(x, (x.numel(),)) for x in (base, index)]
    src = reshape(src, (src.numel(),))
    return reshape(make(SCATTER, (flat[0], cast_node(flat[1], dt.int64), src), (0, mode)), ())


def _scatter_zeros_lower(g, index, size, dim):
    if size and index.shape == (*size[:dim], 1, *size[dim + 1:]):  # one place each: compared
        strides = tuple(int(i == dim) for i in range(len(size)))
        places = view(iota(size[dim]), size, strides)
        at = elementwise(PRIMS["eq"], dt.int64, places, broadcast(index, size))
        return make(WHERE, (at, broadcast(g, size), operand(0, g.dtype)))
    return scatter_node(broadcast(operand(0, g.dtype), size), index, g, dim, "add")


_scatter_zeros = Op(
    "gather_backward", _scatter_zeros_lower,
    lambda ctx, g: (apply(_gather, g, ctx.operand(1), dim=ctx.dim), None), saves=(1,))


def scatter_add_zeros(g, index, size, dim):
    """Zeros of ``size`` with ``g`` added at ``index`` along ``dim``."""
    return apply(_scatter_zeros, g, index, size=tuple(size), dim=dim)


# --- positions of non-zero elements ---------------------------------------------------------------


def _nonzero_lower(x):
    value = realize(x)
    found = np.nonzero(np.atleast_1d(value))
    if not value.ndim:
        return leaf(np.empty((len(found[0]), 0), np.int64))
    return leaf(np.stack(found, 1))


_nonzero = Op("nonzero", _nonzero_lower, nondiff="positions have no gradient",
              layout=layouts.COLUMNS)
_nonzero_column = Op(
    "nonzero_column", lambda x, dim: leaf(np.nonzero(np.atleast_1d(realize(x)))[dim]),
    nondiff="positions have no gradient")


@api(method=True, out=1, dtypes="any", cases=lambda t: [t.call(t.ints(3, 4, low=0, high=2))])
def nonzero(input, *, as_tuple=False):  # noqa: A002
    """Positions of the non-zero elements: a matrix (n, rank), or one vector per axis."""
    if as_tuple:
        return tuple(apply(_nonzero_column, input, dim=i) for i in range(len(input.shape) or 1))
    return apply(_nonzero, input)


@api(method=True, dtypes="any", cases=lambda t: [t.call(t.ints(3, 4, low=0, high=2))])
def argwhere(input):  # noqa: A002
    """Positions of the non-zero elements, one row each."""
    return apply(_nonzero, input)
