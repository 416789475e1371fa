"""Joining and splitting functions written with cat, stack and split."""

from __future__ import annotations

import itertools

import numpy as np

from ...base import dtype as dt
from ...base import shape as sh
from ...ir.api import api
from ...ir.op import apply
from ..core import one_step
from ..prim.binary import remainder
from ..prim.elementwise import cast, floor_divide
from ..prim.index import host, index_select, nonzero, on_host
from ..prim.join import cat, check_list, joined_dtype, stack
from ..prim.shape import reshape, slice_dim
from .padding import constant_pad_nd
from .shape import atleast_1d, atleast_2d, atleast_3d, contiguous, meshgrid


@api(out=1, dtypes="any",
     cases=lambda t: [t.call([t.f(2, 3), t.f(2, 1)]), t.call([t.f(3), t.f(2)])])
def hstack(tensors):
    """Side by side: along axis 1, vectors along their only axis."""
    tensors = [atleast_1d(t) for t in check_list("hstack", tensors)]
    return cat(tensors, 0 if len(tensors[0].shape) == 1 else 1)


@api(out=1, dtypes="any", aliases=("row_stack",),
     cases=lambda t: [t.call([t.f(2, 3), t.f(1, 3)]), t.call([t.f(3), t.f(3)])])
def vstack(tensors):
    """One above the other: along axis 0, vectors as rows."""
    return cat([atleast_2d(t) for t in check_list("vstack", tensors)], 0)


@api(out=1, dtypes="any", cases=lambda t: [t.call([t.f(2, 3), t.f(2, 3)])])
def dstack(tensors):
    """In depth: along axis 2."""
    return cat([atleast_3d(t) for t in check_list("dstack", tensors)], 2)


@api(out=1, dtypes="any", cases=lambda t: [t.call([t.f(3), t.f(3, 2)])])
def column_stack(tensors):
    """Vectors as the columns of a matrix; matrices side by side."""
    tensors = [t if len(t.shape) > 1 else reshape(t, (t.numel(), 1))
               for t in check_list("column_stack", tensors)]
    return hstack(tensors)


def _from_indices(input, indices, dim):  # noqa: A002
    n = input.shape[dim]
    out, start = [], 0
    for end in [*indices, n]:
        out.append(slice_dim(input, dim, start, end))
        start = end
    return tuple(out)


@api(method=True, dtypes="any",
     cases=lambda t: [t.call(t.f(7), 3), t.call(t.f(7), (1, 5)), t.call(t.f(2, 7), 2, 1)])
def tensor_split(input, indices_or_sections, dim=0):  # noqa: A002
    """Parts of as equal a size as can be (a number), or cut at positions (a list)."""
    if not input.shape:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a "
                           "tensor with 0 dims")
    dim = sh.wrap_dim(dim, len(input.shape))
    cuts = indices_or_sections
    if hasattr(cuts, "shape"):
        if len(cuts.shape) > 1:
            raise RuntimeError("tensor_split expected tensor_indices_or_sections to be a "
                               "zero-dimensional or one-dimensional tensor, but got a tensor with "
                               f"{len(cuts.shape)} dims")
        array = host(cuts)
        if array.dtype != np.int64:
            raise RuntimeError("tensor_split expected tensor_indices_or_sections to have dtype of "
                               f"long, but got {cuts.dtype}")
        cuts = array.tolist()
    if isinstance(cuts, (list, tuple)):
        return _from_indices(input, cuts, dim)
    if cuts <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {cuts}")
    low, more = divmod(input.shape[dim], cuts)
    ends = list(itertools.accumulate(low + (i < more) for i in range(cuts)))
    return _from_indices(input, ends[:-1], dim)


def _split_along(name, rank, axis_of, word):
    def function(input, indices_or_sections):  # noqa: A002
        if len(input.shape) < rank:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {rank} dimension"
                               f"{'s' if rank > 1 else ''}, but got a tensor with "
                               f"{len(input.shape)} dimensions!")
        dim = axis_of(len(input.shape))
        n = indices_or_sections
        if isinstance(n, int) and (n == 0 or input.shape[dim] % n):
            raise RuntimeError(f"torch.{name} attempted to split along dimension {dim}, but the "
                               f"size of the dimension {input.shape[dim]} is not divisible by the "
                               f"split_size {n}!")
        return tensor_split(input, n, dim)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Split {word} into equal parts, or at positions: a tuple of views."
    return api(name, method=True, dtypes="any",
               cases=lambda t: [t.call(t.f(4, 4, 2), 2)])(function)


hsplit = _split_along("hsplit", 1, lambda rank: 0 if rank == 1 else 1, "side by side")
vsplit = _split_along("vsplit", 2, lambda rank: 0, "rows")
dsplit = _split_along("dsplit", 3, lambda rank: 2, "in depth")


@api(dtypes="any", cases=lambda t: [t.call(t.f(2, 3), t.f(1, 2))])
def block_diag(*tensors):
    """A matrix with the tensors (numbers, vectors as rows, matrices) along its diagonal."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    for i, t in enumerate(tensors):
        if len(t.shape) > 2:
            raise RuntimeError("torch.block_diag: Input tensors must have 2 or fewer dimensions. "
                               f"Input {i} has {len(t.shape)} dimensions")
    if not tensors:
        raise RuntimeError("torch.block_diag: at least one tensor is expected")
    d = joined_dtype(tensors)
    blocks = [cast(atleast_2d(t), d) for t in tensors]
    width = sum(b.shape[1] for b in blocks)
    rows, left = [], 0
    for b in blocks:
        n, m = b.shape
        parts = [p for p in (zeros_like_shape(b, (n, left)), b,
                             zeros_like_shape(b, (n, width - left - m)))
                 if p.shape[1] or p is b]
        rows.append(cat(parts, 1) if len(parts) > 1 else b)
        left += m
    return cat(rows, 0)


def zeros_like_shape(x, shape):
    """Zeros with the dtype of ``x``."""
    return on_host(np.zeros(shape, x.dtype.np), x)


@api(dtypes="any", cases=lambda t: [t.call(t.f(2), t.f(3))])
def cartesian_prod(*tensors):
    """Every combination of the vectors' elements, one row each."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    for t in tensors:
        if len(t.shape) != 1:
            raise RuntimeError("Expect a 1D vector, but got shape "
                               f"{list(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    grids = meshgrid(*tensors, indexing="ij")
    return stack([reshape(g, (g.numel(),)) for g in grids], 1)


_combined = one_step("combinations", "StackBackward0", (1,))


@api(dtypes="any", cases=lambda t: [t.call(t.f(4), 2), t.call(t.f(3), 2, True)])
def combinations(input, r=2, with_replacement=False):  # noqa: A002
    """Combinations of ``r`` elements of a vector, one row each."""
    if len(input.shape) != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return zeros_like_shape(input, (0,))
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    index = np.array(list(pick(range(input.shape[0]), r)), np.int64).reshape(-1, r)
    flat = index_select(input, 0, on_host(index.reshape(-1), input))
    return apply(_combined, reshape(flat, index.shape), input)


@api(dtypes="any", cases=lambda t: [t.call(t.ints(4, low=0, high=6), (2, 3))])
def unravel_index(indices, shape):
    """Positions in a flattened tensor as one index per axis of ``shape``: a tuple."""
    if indices.dtype.category != dt.dtype.INT:
        raise ValueError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if isinstance(shape, int):
        shape = (shape,)
    elif hasattr(shape, "tolist"):
        shape = shape.tolist()
        shape = tuple(shape) if isinstance(shape, list) else (shape,)
    if any(n < 0 for n in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {tuple(shape)}")
    out, step = [], 1
    indices = cast(indices, dt.int64)
    for n in reversed(shape):
        out.append(remainder(floor_divide(indices, step), n))
        step *= n
    return tuple(reversed(out))


@api(method=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.ints(3, 4, low=0, high=2), size=5)])
def nonzero_static(input, *, size, fill_value=-1):  # noqa: A002
    """``nonzero`` cut or filled to ``size`` rows."""
    if size < 0:
        raise RuntimeError(f"nonzero_static: 'size' must be an non-negative integer, got {size}")
    found = nonzero(input)
    count = found.shape[0]
    if count >= size:
        return contiguous(slice_dim(found, 0, 0, size))
    return constant_pad_nd(found, [0, 0, 0, size - count], fill_value)
