"""``x[key]``: PyTorch's index expressions as view operations and at most one advanced index.

The tensor layer's ``__getitem__`` is :func:`getitem`; its ``__setitem__`` writes into the view that
:func:`parse_index` gives, with :func:`index_put` where the key holds index tensors.
"""

from __future__ import annotations

import warnings

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import Node, leaf
from ...ir.op import Op, apply
from ..prim.index import INDEX_OP, host, index_shape, nonzero, put_node
from ..prim.shape import VIEW_OP, reshape, select, slice_dim, unsqueeze

ALIAS = Op("alias", geometry=lambda shape, strides, offset: (shape, strides, offset),
           vjp=lambda ctx, g: (g,))

_INTS = (int, np.integer)
_LIST_LIMIT = 32  # longer lists are always taken as one index tensor


def _is_tensor(x) -> bool:
    return isinstance(x, Node) or hasattr(x, "_apply_op")


def _as_tuple(key) -> tuple:
    """PyTorch's rule for what counts as several indices."""
    if isinstance(key, tuple):
        return key
    if isinstance(key, list) and len(key) < _LIST_LIMIT and any(
            k is None or k is Ellipsis or isinstance(k, (slice, list, tuple)) or _is_tensor(k)
            for k in key):
        warnings.warn(
            "Using a non-tuple sequence for multidimensional indexing is deprecated: use "
            "x[tuple(seq)] instead of x[seq]", UserWarning, stacklevel=4)
        return tuple(key)
    return (key,)


def _mask_rank(item) -> int:
    """How many axes an index takes up."""
    if _is_tensor(item):
        return len(item.shape) if item.dtype in (dt.bool_, dt.uint8) else 1
    if isinstance(item, np.ndarray):
        return item.ndim if item.dtype == np.bool_ else 1
    if item is None or item is Ellipsis or isinstance(item, (bool, np.bool_)):
        return 0
    return 1


def _sequence_index(item):
    """A list, range or array as an index array."""
    if isinstance(item, np.ndarray):
        array = item
    else:
        array = np.asarray([host(i) if _is_tensor(i) else i for i in item]
                           if isinstance(item, (list, tuple)) else item)
        if array.size == 0:
            array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors, got an "
                         f"array of {array.dtype}")
    return leaf(array if array.dtype.kind == "b" else array.astype(np.int64))


class _Parsed:
    """The state while a key is read: the view so far, the next axis, the index tensors."""

    def __init__(self, x):
        self.view, self.dim, self.real_dim = x, 0, 0
        self.indices: list = []

    def record(self, index) -> None:
        self.indices.extend([None] * (self.dim - len(self.indices)))
        self.indices.append(index)
        self.dim += 1

    def integer(self, index: int) -> None:
        n = self.view.shape[self.dim]
        if not -n <= index < n:
            raise IndexError(f"index {index} is out of bounds for dimension {self.real_dim} with "
                             f"size {n}")
        self.view = select(self.view, self.dim, int(index))
        self.real_dim += 1

    def slice(self, item: slice, whole_key: bool) -> None:
        start, stop, step = (host(v).item() if _is_tensor(v) else v
                             for v in (item.start, item.stop, item.step))
        if step is not None and step <= 0:
            raise ValueError("step must be greater than zero: PyTorch has no negative slices, "
                             "use flip()")
        n = self.view.shape[self.dim]
        covers = (start in (None, 0) and (stop is None or stop >= n) and step in (None, 1))
        if not covers or whole_key:
            self.view = slice_dim(self.view, self.dim, start, stop, step or 1)
        self.dim += 1
        self.real_dim += 1

    def truth(self, value: bool) -> None:
        self.view = unsqueeze(self.view, self.dim)
        self.record(leaf(np.zeros(1 if value else 0, np.int64)))

    def tensor(self, item) -> None:
        if not item.shape and item.dtype.category <= dt.dtype.INT:
            value = host(item).item()
            if item.dtype in (dt.bool_, dt.uint8):
                self.truth(bool(value))
            else:
                self.integer(value)
            return
        self.array(item)

    def array(self, item) -> None:
        """An index tensor, or a mask as the positions of its true elements."""
        before = len(self.indices)
        self.indices.extend([None] * (self.dim - before))
        count = len(self.indices)
        self.indices = _expand_masks(self.view, [*self.indices, item])
        self.dim += len(self.indices) - count
        self.real_dim += len(self.indices) - count


def _outside(x):
    return IndexError(f"too many indices for tensor of dimension {len(x.shape)}: shape "
                      f"{tuple(x.shape)}")


def parse_index(x, key):
    """The basic part of ``key`` applied to ``x``, and what is left for an advanced index.

    Returns:
        ``(view, None)``, or ``(view, indices)`` with one entry (an index tensor or None) per
        leading axis of the view.

    Raises:
        IndexError: too many indices, a position out of range, an index of the wrong type.
        ValueError: a step that is not positive.
    """
    whole = not isinstance(key, tuple)
    if whole and type(key) is int:  # by far the most frequent
        if not x.shape:
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
                "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number")
        p = _Parsed(x)
        p.integer(key)
        return p.view, None
    items = _as_tuple(key)
    items = tuple(np.asarray(i) if hasattr(i, "__array__") and not _is_tensor(i)
                  and not isinstance(i, (np.ndarray, np.generic)) else i for i in items)
    taken = sum(map(_mask_rank, items))
    rank = len(x.shape)
    if taken > rank:
        if rank == 0 and all(isinstance(i, _INTS) for i in items):
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python to "
                             "convert a 0-dim tensor to a number")
        raise _outside(x)
    p = _Parsed(x)
    for item in items:
        _parse_one(p, item, rank - taken, whole)
    view = p.view
    if not p.indices:
        return (apply(ALIAS, view) if view is x else view), None
    return view, p.indices


def _parse_one(p: _Parsed, item, spare: int, whole: bool) -> None:
    if isinstance(item, (bool, np.bool_)):
        p.truth(bool(item))
    elif isinstance(item, _INTS):
        if p.dim >= len(p.view.shape):
            raise _outside(p.view)
        p.integer(int(item))
    elif isinstance(item, slice):
        if p.dim >= len(p.view.shape):
            raise _outside(p.view)
        p.slice(item, whole)
    elif item is None:
        p.view = unsqueeze(p.view, p.dim)
        p.dim += 1
    elif item is Ellipsis:
        p.dim += spare
        p.real_dim += spare
    elif _is_tensor(item):
        p.tensor(item)
    elif isinstance(item, np.ndarray) and not item.ndim:
        _parse_one(p, item.item(), spare, whole)
    elif isinstance(item, (list, tuple, range, np.ndarray)):
        p.array(_sequence_index(item))
    elif hasattr(item, "__index__"):
        p.integer(item.__index__())
    elif isinstance(item, str):
        raise TypeError("new(): invalid data type 'str': a tensor cannot be indexed by a string")
    else:
        raise IndexError("only integers, slices (`:`), ellipsis (`...`), None and long or byte "
                         f"Variables are valid indices (got {type(item).__name__})")


def _expand_masks(x, indices) -> list:
    """Every mask as the positions of its true elements, one index per axis of the mask."""
    out: list = []
    for at, index in enumerate(indices):
        if index is None:
            out.append(None)
            continue
        if index.dtype in (dt.bool_, dt.uint8):
            if index.dtype is dt.uint8:
                warnings.warn("indexing with dtype torch.uint8 is now deprecated, please use a "
                              "dtype torch.bool instead.", UserWarning, stacklevel=5)
            span = tuple(x.shape[len(out):len(out) + len(index.shape)])
            if tuple(index.shape) != span:
                raise IndexError(
                    f"The shape of the mask {list(index.shape)} at index {at} does not match the "
                    f"shape of the indexed tensor {list(x.shape)} at index {len(out)}")
            out.extend(nonzero(index, as_tuple=True))
        elif index.dtype in (dt.int64, dt.int32):
            out.append(index)
        else:
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors, "
                             f"got {index.dtype}")
    if len(out) > len(x.shape):
        raise IndexError(f"too many indices for tensor of dimension {len(x.shape)} (got "
                         f"{len(out)})")
    return out


def _used(x, indices):
    """The axes that are indexed and their index tensors, after checking that these broadcast."""
    dims = tuple(i for i, index in enumerate(indices) if index is not None)
    used = [indices[i] for i in dims]
    try:
        common = sh.broadcast_shapes(*[tuple(i.shape) for i in used])
    except RuntimeError:
        shapes = ", ".join(str(list(i.shape)) for i in used)
        raise IndexError("shape mismatch: indexing tensors could not be broadcast together with "
                         f"shapes {shapes}") from None
    if sh.numel(common):
        for d in dims:
            if x.shape[d] == 0:
                raise IndexError(f"index is out of bounds for dimension {d} with size 0")
    return dims, used, common


def index(x, indices):
    """``x`` at index tensors, one entry (None: the whole axis) per leading axis."""
    dims, used, _ = _used(x, indices)
    return apply(INDEX_OP, x, *used, dims=dims)


def getitem(x, key):
    """``x[key]``."""
    view, indices = parse_index(x, key)
    return view if indices is None else index(view, indices)


# --- writing --------------------------------------------------------------------------------------


def _index_put_lower(x, values, *indices, dims, accumulate):
    return put_node(x, values, indices, dims, accumulate)


def _index_put_vjp(ctx, g):
    count = ctx.operands - 2
    indices = [ctx.operand(i + 2) for i in range(count)]
    g_values = apply(INDEX_OP, g, *indices, dims=ctx.dims) if ctx.needs(1) else None
    g_self = g
    if ctx.needs(0) and not ctx.accumulate:
        g_self = apply(_PUT_OP, g, 0, *indices, dims=ctx.dims, accumulate=False)
    return (g_self, g_values, *[None] * count)


def _put_saves(needs, params):
    return tuple(range(2, len(needs)))


def _put_lower(x, values, *indices, dims, accumulate):
    if isinstance(values, (int, float, complex)):
        values = leaf(np.array(values, x.dtype.np))
    return _index_put_lower(x, values, *indices, dims=dims, accumulate=accumulate)


_PUT_OP = Op("index_put", _put_lower, _index_put_vjp, saves=_put_saves,
             layout=layouts.LIKE_FIRST)


@api(method=True, inplace=True, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), (t.ints(2, low=0, high=3),), t.f(2, 4)),
                      t.call(t.f(3, 4), (t.ints(2, low=0, high=3),), t.f(4), accumulate=True)])
def index_put(input, indices, values, accumulate=False):  # noqa: A002
    """``input`` with ``values`` written (or added) at index tensors, one per leading axis.

    Raises:
        RuntimeError: the dtypes differ, or ``values`` does not broadcast to the region.
    """
    if values.dtype is not input.dtype:
        raise RuntimeError("Index put requires the source and destination dtypes match, got "
                           f"{input.dtype} for the destination and {values.dtype} for the source.")
    indices = _expand_masks(input, list(indices))
    if all(i is None for i in indices):
        indices = [leaf(np.zeros(0, np.int64))] if not input.shape else [
            leaf(np.arange(input.shape[0]))]
    dims, used, common = _used(input, indices)
    region = index_shape(tuple(input.shape), dims, common)
    if tuple(values.shape) != region:
        lead = len(values.shape) - len(region)
        if lead > 0 and all(n == 1 for n in values.shape[:lead]):
            values = reshape(values, tuple(values.shape)[lead:])
        try:
            fits = sh.broadcast_shapes(tuple(values.shape), region) == region
        except RuntimeError:
            fits = False
        if not fits:
            raise RuntimeError(
                f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast "
                f"to indexing result of shape {list(region)}")
    return apply(_PUT_OP, input, values, *used, dims=dims, accumulate=accumulate)


__all__ = ["ALIAS", "VIEW_OP", "getitem", "index", "index_put", "parse_index"]
