"""Ordering: sort, topk, searching in sorted sequences.

The primitives give positions; the values are gathered, so that gradients are those of gather.
NaN counts as the greatest value, as in PyTorch.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import Node, OpClass, Prim, make
from ...ir.op import Op, apply
from ..core import is_number, result_type
from ..results import return_type
from . import batch_rules
from .elementwise import cast
from .index import along, on_host, scatter_add_zeros
from .shape import reshape, unsqueeze

LIB = OpClass.LIBRARY
_SMALL = 64  # below this a full sort is as fast as a partition


def _comparable(x: np.ndarray) -> np.ndarray:
    """16-bit floats as float32, which NumPy orders with NaN last."""
    return x.astype(np.float32) if x.dtype.kind == "V" else x


def _argsort_numpy(x, axis, descending):
    x = _comparable(x)
    if not descending:
        return np.argsort(x, axis, kind="stable")
    back = np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    return x.shape[axis] - 1 - back


ARGSORT = Prim("argsort", LIB, lambda x, axis, descending: (x.shape, dt.int64), _argsort_numpy,
               batch="axis", doc="positions in stable order along an axis")


def _positions(x: Node, prim: Prim, axis: int, *params) -> Node:
    """An ordering primitive that lets 0-d operands through."""
    if x.shape:
        return make(prim, (x,), (axis, *params))
    return reshape(make(prim, (reshape(x, (1,)),), (0, *params)), ())


def _with_values(prim):
    def lower(x, dim, **params):
        index = _positions(x, prim, dim, *params.values())
        return along(x, index, dim), index

    return lower


def _values_vjp(ctx, g, _):
    return (scatter_add_zeros(g, ctx.result(1), ctx.shape(0), ctx.dim),)


def _refuse_complex(name, x):
    if x.dtype.is_complex:
        raise RuntimeError(f"{name}(): complex tensors have no order")


_sort = Op("sort", _with_values(ARGSORT), _values_vjp, saves=("result1",), nondiff_results=(1,),
           layout=layouts.LIKE_FIRST)


@api(method=True, out=2, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4)), t.call(t.f(3, 4), 0, True)])
def sort(input, dim=-1, descending=False, *, stable=False):  # noqa: A002
    """Values in order along ``dim`` and where they were: (values, indices). Always stable."""
    _refuse_complex("sort", input)
    dim = sh.wrap_dim(dim, len(input.shape))
    return return_type("sort", "values", "indices")(
        apply(_sort, input, dim=dim, descending=bool(descending)))


@api(method=True, dtypes="any", cases=lambda t: [t.call(t.f(3, 4)), t.call(t.f(3, 4), 0, True)])
def argsort(input, dim=-1, descending=False, *, stable=False):  # noqa: A002
    """The positions that sort ``input`` along ``dim``."""
    return sort(input, dim, descending)[1]


@api(method=True, out=1, dtypes="any", cases=lambda t: [t.call(t.f(3, 4))])
def msort(input):  # noqa: A002
    """Values in order along the first axis."""
    return sort(input, 0)[0] if input.shape else sort(input)[0]


# --- topk -------------------------------------------------------------------------


def _topk_numpy(x, axis, k, largest):
    x = _comparable(x)
    n = x.shape[axis]
    cut = [slice(None)] * x.ndim
    if n <= _SMALL or k * 4 > n:
        cut[axis] = slice(k)
        return _argsort_numpy(x, axis, largest)[tuple(cut)]
    cut[axis] = slice(n - k, None) if largest else slice(k)
    part = np.argpartition(x, n - k if largest else k - 1 if k else 0, axis)[tuple(cut)]
    order = _argsort_numpy(np.take_along_axis(x, part, axis), axis, largest)
    return np.take_along_axis(part, order, axis)


TOPK = Prim("topk", LIB, lambda x, axis, k, largest: (
    x.shape[:axis] + (k,) + x.shape[axis + 1:], dt.int64), _topk_numpy,
    batch="axis", doc="positions of the k largest (smallest) along an axis, best first")


def _topk_lower(x, dim, k, largest):
    if not x.shape:
        index = reshape(make(TOPK, (reshape(x, (1,)),), (0, k, largest)), () if k else (0,))
    else:
        index = make(TOPK, (x,), (dim, k, largest))
    return along(x, index, dim), index


_topk = Op("topk", _topk_lower, _values_vjp, saves=("result1",), nondiff_results=(1,))


@api(method=True, out=2, dtypes="number",
     cases=lambda t: [t.call(t.f(3, 5), 2), t.call(t.f(5), 3, largest=False)],
     errors=lambda t: [(RuntimeError, "out of range", t.call(t.f(3), 4))])
def topk(input, k, dim=-1, largest=True, sorted=True):  # noqa: A002
    """The ``k`` largest (or smallest) along ``dim``: (values, indices), best first."""
    _refuse_complex("topk", input)
    dim = sh.wrap_dim(dim, len(input.shape))
    n = input.shape[dim] if input.shape else 1
    if not 0 <= k <= n:
        raise RuntimeError(f"selected index k out of range: k={k} for {n} elements along dim "
                           f"{dim} of shape {tuple(input.shape)}")
    return return_type("topk", "values", "indices")(
        apply(_topk, input, dim=dim, k=int(k), largest=bool(largest)))


# --- k-th value and mode --------------------------------------------------------------------------


def _one_infer(x: Node, axis: int, *_):
    return x.shape[:axis] + (1,) + x.shape[axis + 1:], dt.int64


def _kth_numpy(x, axis, k):
    return np.take(_argsort_numpy(x, axis, False), [k - 1], axis)


KTH = Prim("kthvalue", LIB, _one_infer, _kth_numpy,
           batch="axis", doc="position of the k-th smallest along an axis (axis kept)")


def _mode_numpy(x, axis):
    """The most frequent value's last position (of several values, the smallest)."""
    x = np.moveaxis(_comparable(x), axis, -1)
    rows = x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1])
    out = np.empty(len(rows), np.int64)
    for i, row in enumerate(rows):
        values, counts = np.unique(row, return_counts=True)
        out[i] = np.flatnonzero(row == values[counts.argmax()])[-1]
    return np.expand_dims(out.reshape(x.shape[:-1]), axis)


MODE = Prim("mode", LIB, _one_infer, _mode_numpy,
            batch="axis", doc="position of the most frequent value along an axis (axis kept)")


def _one_position(prim):
    """Lower of functions that pick one position per slice."""

    def lower(x, dim, keepdim, **params):
        index = _positions(x, prim, dim, *params.values())
        values = along(x, index, dim)
        if keepdim or not x.shape:
            return values, index
        shape = x.shape[:dim] + x.shape[dim + 1:]
        return reshape(values, shape), reshape(index, shape)

    return lower


def _one_vjp(ctx, g, _):
    index = ctx.result(1)
    if not ctx.keepdim and ctx.shape(0):
        g, index = unsqueeze(g, ctx.dim), unsqueeze(index, ctx.dim)
    return (scatter_add_zeros(g, index, ctx.shape(0), ctx.dim),)


_kth = Op("kthvalue", _one_position(KTH), _one_vjp, saves=("result1",), nondiff_results=(1,))
_mode = Op("mode", _one_position(MODE), _one_vjp, saves=("result1",), nondiff_results=(1,))


def _axis_of(name, x, dim):
    dim = sh.wrap_dim(dim, len(x.shape))
    if x.shape and x.shape[dim] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
    return dim


@api(method=True, out=2, dtypes="number", cases=lambda t: [t.call(t.f(3, 5), 2, 1)])
def kthvalue(input, k, dim=-1, keepdim=False):  # noqa: A002
    """The k-th smallest along ``dim``: (values, indices)."""
    dim = _axis_of("kthvalue", input, dim)
    if not 1 <= k <= (input.shape[dim] if input.shape else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}: "
                           f"k={k}, shape {tuple(input.shape)}")
    return return_type("kthvalue", "values", "indices")(
        apply(_kth, input, dim=dim, keepdim=keepdim, k=int(k)))


@api(method=True, out=2, dtypes="any", cases=lambda t: [t.call(t.ints(3, 5, low=0, high=3))])
def mode(input, dim=-1, keepdim=False):  # noqa: A002
    """The most frequent value along ``dim`` (the smallest of several): (values, indices)."""
    dim = _axis_of("mode", input, dim)
    return return_type("mode", "values", "indices")(
        apply(_mode, input, dim=dim, keepdim=keepdim))


# --- searching ------------------------------------------------------------------------------------


def _search_infer(sequence: Node, values: Node, right, to):
    return values.shape, to


def _search_numpy(sequence, values, right, to):
    side: Literal["left", "right"] = "right" if right else "left"
    sequence, values = _comparable(sequence), _comparable(values)
    if sequence.ndim <= 1:
        return np.searchsorted(sequence.reshape(-1), values, side).astype(to.np)
    out = np.empty(values.shape, to.np)
    for at in np.ndindex(sequence.shape[:-1]):
        out[at] = np.searchsorted(sequence[at], values[at], side)
    return out


SEARCH = Prim("searchsorted", LIB, _search_infer, _search_numpy,
              batch=batch_rules.searched,
              doc="where values would be inserted in sorted sequences (last axis)")
_search = Op("searchsorted", lambda s, v, right, to: make(SEARCH, (s, v), (right, to)),
             nondiff="positions have no gradient")


def _as_tensor(value, like):
    if not is_number(value):
        return value
    return on_host(np.asarray(value, dt.of_scalar(value).np), like)


@api(out=1, dtypes="number", cases=lambda t: [t.call(t.f(5), t.f(2, 3))])
def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None,  # noqa: A002
                 sorter=None):
    """Where the elements of ``input`` belong in sorted sequences (the last axis).

    Raises:
        RuntimeError: the leading axes differ, or ``side`` contradicts ``right``.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got "
                           f"{side}")
    if side == "left" and right:
        raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, got "
                           f"side of {side} while right was True")
    if not sorted_sequence.shape:
        raise RuntimeError("torch.searchsorted(): input value can be a scalar, but boundaries "
                           "tensor should have positive dimension")
    lone = is_number(input)
    input = _as_tensor(input, sorted_sequence)  # noqa: A001
    if len(sorted_sequence.shape) != 1 and (
            lone or tuple(sorted_sequence.shape[:-1]) != tuple(input.shape[:-1])):
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
            "dimensions of boundaries tensor and input value tensor must match, but we got "
            f"boundaries tensor {list(sorted_sequence.shape)} and input value tensor "
            f"{list(input.shape)}")
    if sorter is not None:
        if tuple(sorter.shape) != tuple(sorted_sequence.shape):
            raise RuntimeError("torch.searchsorted(): boundary and sorter must have the same size, "
                               f"but got boundary tensor {list(sorted_sequence.shape)} and got "
                               f"sorter tensor {list(sorter.shape)}")
        if sorter.dtype is not dt.int64:
            raise RuntimeError("torch.searchsorted(): sorter must be a tensor of long dtype but "
                               f"got dtype {sorter.dtype}")
        sorted_sequence = apply(_sorter_op, sorted_sequence, sorter)
    if sorted_sequence.dtype is not input.dtype:
        common = result_type(sorted_sequence, input)
        if not lone and sorted_sequence.dtype is not input.dtype:
            raise RuntimeError(
                "torch.searchsorted(): boundary tensor and input value tensor should have same "
                f"dtype, but got boundary tensor dtype {sorted_sequence.dtype} and input value "
                f"tensor dtype {input.dtype}")
        sorted_sequence, input = cast(sorted_sequence, common), cast(input, common)  # noqa: A001
    return apply(_search, sorted_sequence, input, right=bool(right or side == "right"),
                 to=dt.int32 if out_int32 else dt.int64)


_sorter_op = Op("take_sorter", lambda x, i: along(x, i, len(x.shape) - 1),
                nondiff="only feeds searchsorted")



@api(out=1, dtypes="number", cases=lambda t: [t.call(t.f(2, 3), t.f(5))])
def bucketize(input, boundaries, *, out_int32=False, right=False):  # noqa: A002
    """Number of the bucket between ``boundaries`` (sorted, 1-d) that each element falls in."""
    if len(boundaries.shape) != 1:
        raise RuntimeError("bucketize(): boundaries tensor must be 1 dimension, but got dim("
                           f"{len(boundaries.shape)})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
