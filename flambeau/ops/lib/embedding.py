"""Embedding tables: embedding, embedding_bag, one_hot."""

from __future__ import annotations

import numpy as np

from ...base import dtype as dt
from ...ir.api import api
from ...ir.node import Node, OpClass, Prim, make
from ...ir.op import Op, apply
from ...ir.view import VIEW_SET, broadcast, view
from ...base.errors import IndexValueError
from ..core import elementwise, operand
from ..prim.elementwise import DIV, add, cast, div, eq, gt, mul, ne, where
from ..prim.index import PUT, TAKE, check_early, check_index_dtype, first_bad, host, on_host
from ..prim.order import searchsorted
from ..prim.reduce import expand  # noqa: A004
from ..prim.scatter import index_add, scatter_reduce
from ..prim.shape import reshape, unsqueeze
from ..prim.source import iota


def _rows(weight: Node, index: Node) -> Node:
    check_early(index, weight.shape[0], 0, error=IndexError, text="index out of range in self")
    return make(TAKE, (weight, index), (0,))


def _lookup(weight, index, padding_idx, by_freq):
    return _rows(weight, index)


def _lookup_back(g, index, count, padding_idx, by_freq):
    width = g.shape[len(index.shape):]
    n = int(np.prod(index.shape))
    flat, rows = reshape(index, (n,)), reshape(g, (n, *width))
    if by_freq:
        ones = broadcast(operand(1, g.dtype), (n,))
        often = make(PUT, (broadcast(operand(0, g.dtype), (count,)), ones, flat), ((0,), True))
        share = reshape(_rows(often, flat), (n,) + (1,) * len(width))
        rows = elementwise(DIV, g.dtype, rows, share)
    out = make(PUT, (broadcast(operand(0, g.dtype), (count, *width)), rows, flat), ((0,), True))
    if padding_idx >= 0:
        steps = out.strides
        zero = broadcast(operand(0, g.dtype), width)
        out = make(VIEW_SET, (out, zero), (steps[1:], padding_idx * steps[0]))
    return out


def _lookup_back_vjp(ctx, g):
    index = ctx.operand(1)
    rows = apply(_embedding, g, index, padding_idx=-1, by_freq=False)
    if ctx.padding_idx >= 0:
        keep = ne(index, ctx.padding_idx)
        for _ in range(len(rows.shape) - len(index.shape)):
            keep = unsqueeze(keep, -1)
        rows = where(keep, rows, 0)
    return rows, None


_embedding = Op("embedding", _lookup, lambda ctx, g: (
    apply(_embedding_back, g, ctx.operand(1), count=ctx.shape(0)[0], padding_idx=ctx.padding_idx,
          by_freq=ctx.by_freq), None), saves=(1,))
_embedding_back: Op = Op("embedding_dense_backward", _lookup_back, _lookup_back_vjp, saves=(1,))


def _renormalise(weight, index, max_norm, norm_type):
    """Rows that are used are scaled down to ``max_norm``, in the table itself."""
    table = host(weight)
    used = np.unique(host(index))
    norms = np.linalg.norm(table[used], norm_type, 1)
    new = table.copy()
    long = norms > max_norm
    new[used[long]] *= (max_norm / (norms[long] + 1e-7))[:, None]
    weight.detach().copy_(on_host(new, weight))


def _row_number(padding_idx, weight):
    """``padding_idx`` as a row of the table, -1 for none."""
    if padding_idx is None:
        return -1
    n = weight.shape[0]
    if not -n <= padding_idx < n:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx % n


@api(functional=True, torch=False, cases=lambda t: [t.call(t.ints(2, 3, low=0, high=4), t.f(4, 5))])
def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0,  # noqa: A002
              scale_grad_by_freq=False, sparse=False):
    """Rows of ``weight`` (number, width) at the positions ``input``: (*, width).

    ``padding_idx``: a row that gets no gradient. ``max_norm``: longer rows are scaled down first,
    in place. ``scale_grad_by_freq``: gradients are divided by how often a row is used.
    """
    check_index_dtype("embedding", input,
                      "Expected tensor for argument #1 'indices' to have one of the following "
                      f"scalar types: Long, Int; but got {input.dtype} instead (while checking "
                      "arguments for embedding); convert the indices with .long()")
    row = _row_number(padding_idx, weight)
    if len(weight.shape) != 2:
        raise RuntimeError("'weight' must be 2-D")
    if max_norm is not None:
        _renormalise(weight, input, max_norm, norm_type)
    return apply(_embedding, weight, input, padding_idx=row, by_freq=bool(scale_grad_by_freq))


@api("embedding", cases=None)
def torch_embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    """``torch.embedding``: like nn.functional's with the operands exchanged."""
    return apply(_embedding, weight, indices, padding_idx=padding_idx,
                 by_freq=bool(scale_grad_by_freq))


# --- bags -----------------------------------------------------------------------------------------


def _bag_numbers(index, offsets):
    """To which bag each position belongs."""
    places = on_host(np.arange(index.shape[0]), index)
    return add(searchsorted(cast(offsets, dt.int64), places, right=True), -1)


def _check_bag(index, offsets, weights, mode, include_last):
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if weights is not None:
        if mode != "sum":
            raise NotImplementedError("embedding_bag: per_sample_weights was not None. "
                                      "per_sample_weights is only supported for mode='sum' (got "
                                      f"mode='{mode}').")
        if tuple(weights.shape) != tuple(index.shape):
            raise ValueError(f"embedding_bag: If per_sample_weights ({list(weights.shape)}) is not "
                             f"None, then it must have the same shape as the input "
                             f"({list(index.shape)})")
    if len(index.shape) == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None, as input is treated is "
                             "a mini-batch of fixed length sequences.")
    elif len(index.shape) == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if len(offsets.shape) != 1:
            raise ValueError("offsets has to be a 1D Tensor")
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension "
                         f"{len(index.shape)}")


@api(functional=True, torch=False,
     cases=lambda t: [t.call(t.ints(2, 3, low=0, high=4), t.f(4, 5))])
def embedding_bag(input, weight, offsets=None, max_norm=None, norm_type=2,  # noqa: A002
                  scale_grad_by_freq=False, mode="mean", sparse=False, per_sample_weights=None,
                  include_last_offset=False, padding_idx=None):
    """Sums, means or maxima of bags of rows of ``weight``.

    ``input``: (bags, length), or all bags one after another with their starts in ``offsets``.
    ``per_sample_weights`` (mode "sum"): a factor for each row.
    """
    _check_bag(input, offsets, per_sample_weights, mode, include_last_offset)
    if len(input.shape) == 2:
        bags, length = input.shape
        numbers = on_host(np.repeat(np.arange(bags), length), input)
        index = reshape(input, (bags * length,))
        if per_sample_weights is not None:
            per_sample_weights = reshape(per_sample_weights, (bags * length,))
    else:
        bags = offsets.shape[0] - (1 if include_last_offset else 0)
        index, numbers = input, _bag_numbers(input, offsets)
        if include_last_offset:
            numbers = _at_most(numbers, bags - 1)
    row = _row_number(padding_idx, weight)
    rows = embedding(index, weight, None if row < 0 else row, max_norm, norm_type,
                     scale_grad_by_freq)
    if per_sample_weights is not None:
        rows = mul(rows, unsqueeze(per_sample_weights, 1))
    return _bagged(rows, index, numbers, bags, weight.shape[1], mode, row)


def _at_most(x, high):
    return where(gt(x, high), high, x)


def _bagged(rows, index, numbers, bags, width, mode, row):
    zeros = on_host(np.zeros((bags, width), rows.dtype.np), rows)
    if row >= 0 and mode != "max":
        rows = mul(rows, unsqueeze(cast(ne(index, row), rows.dtype), 1))
    if mode == "max":
        wide = expand(unsqueeze(numbers, 1), tuple(rows.shape))
        if row >= 0:
            rows = where(unsqueeze(ne(index, row), 1), rows, float("-inf"))
        out = scatter_reduce(zeros, 0, wide, rows, "amax", include_self=False)
        return where(eq(out, float("-inf")), 0, out)
    out = index_add(zeros, 0, numbers, rows)
    if mode == "sum":
        return out
    used = cast(ne(index, row), rows.dtype)
    counts = index_add(on_host(np.zeros(bags, rows.dtype.np), rows), 0, numbers, used)
    return div(out, unsqueeze(where(gt(counts, 1), counts, 1), 1))


# --- one hot --------------------------------------------------------------------------------------


def _check_classes(x, classes, _):
    found = first_bad(x, 0, classes)
    if found is not None:
        value, at = found
        raise IndexValueError(
            ("Class values must be non-negative" if value < 0 else
             "Class values must be smaller than num_classes") +
            f": {value} at position {list(at)}, with {classes} classes")
    return x


CHECK_CLASSES = Prim("check_classes", OpClass.LIBRARY, lambda x, *_: (x.shape, x.dtype),
                     _check_classes, batch="leading",
                     doc="the operand, refused when a value is outside 0..classes-1")


def _hot_lower(x, classes):
    size = (*x.shape, classes)
    checked = make(CHECK_CLASSES, (x,), (classes, None))
    places = view(iota(classes), size, (*(0 for _ in x.shape), 1))
    return cast(eq(broadcast(reshape(checked, (*x.shape, 1)), size), places), dt.int64)


_hot = Op("one_hot", _hot_lower, nondiff="class numbers have no gradient")


@api(torch=False, functional=True, dtypes="any",
     cases=lambda t: [t.call(t.ints(2, 3, low=0, high=4), 4)])
def one_hot(tensor, num_classes=-1):
    """Zeros with a 1 at each class number, along a new last axis: int64."""
    if tensor.dtype is not dt.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor, got "
                           f"{tensor.dtype}; convert it with .long()")
    if num_classes == -1:
        value = host(tensor)
        if not value.size:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        num_classes = int(value.max()) + 1
    elif num_classes < 1 and tensor.numel():
        raise RuntimeError("num_classes should be positive")
    elif num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    return apply(_hot, tensor, classes=int(num_classes))
