"""Shape algebra: broadcasting, strides, axis numbers. Sizes and strides are in elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from .errors import DimError, ShapeError


def numel(shape: Sequence[int]) -> int:
    """Number of elements of a shape."""
    return math.prod(shape)


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides as PyTorch reports them (a size-0 axis counts as 1)."""
    try:
        return _row_major(shape)
    except TypeError:  # a list, or sizes that are no plain numbers
        return _row_major.__wrapped__(tuple(shape))


@lru_cache(maxsize=8192)
def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n if n > 1 else 1
    return tuple(reversed(strides))


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether strides are row-major without gaps (axes of size 1 do not matter, nor do any where
    there are no elements)."""
    step = 1
    for n, s in zip(reversed(shape), reversed(strides), strict=True):
        if n != 1:
            if n == 0:
                return True
            if s != step:
                return 0 in shape
            step *= n
    return True


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The common shape of operands under NumPy's broadcasting rules.

    Raises:
        ShapeError: two sizes differ and neither is 1.
    """
    first = shapes[0]
    for s in shapes:
        if s != first:
            return _common_shape(tuple(map(tuple, shapes)))
    return tuple(first)


@lru_cache(maxsize=8192)
def _common_shape(shapes: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    rank = max(map(len, shapes))
    out = [1] * rank
    for shape in shapes:
        lead = rank - len(shape)
        for i, n in enumerate(shape):
            have = out[lead + i]
            if n != have:
                if have == 1:
                    out[lead + i] = n
                elif n != 1:
                    _mismatch(shapes, lead + i, have, n)
    return tuple(out)


def _mismatch(shapes, axis, have, n):
    listed = " and ".join(str(tuple(s)) for s in shapes)
    raise ShapeError(
        f"The size of tensor a ({have}) must match the size of tensor b ({n}) at non-singleton "
        f"dimension {axis}: shapes {listed} do not broadcast. Sizes must be equal or 1, counted "
        "from the last dimension; unsqueeze() adds a dimension of size 1 where one is missing")


def broadcast_strides(shape, strides, target) -> tuple[int, ...]:
    """Strides that read ``shape`` as ``target`` (0 on every repeated axis)."""
    lead = len(target) - len(shape)
    return (0,) * lead + tuple(
        [0 if n != t else s for n, s, t in zip(shape, strides, target[lead:], strict=True)])


def wrap_dim(dim: int, rank: int, *, scalar_ok: bool = True) -> int:
    """A non-negative axis number.

    Raises:
        DimError: ``dim`` is not in [-rank, rank - 1] (a 0-d tensor accepts -1 and 0).
    """
    size = rank if rank > 0 or not scalar_ok else 1
    if not -size <= dim < size:
        raise DimError(f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], "
                       f"but got {dim})")
    return dim % size if size else dim


def wrap_dims(dims, rank: int) -> tuple[int, ...]:
    """Several axis numbers, sorted as given, each at most once.

    Raises:
        RuntimeError: an axis appears twice.
    """
    out = tuple(wrap_dim(d, rank) for d in dims)
    if len(set(out)) != len(out):
        twice = next(d for d in out if out.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return out


def infer_size(shape: Sequence[int], count: int) -> tuple[int, ...]:
    """Resolve one -1 in a shape given to view/reshape.

    Raises:
        ShapeError: the shape does not hold ``count`` elements.
        RuntimeError: two -1, a negative size, or an ambiguous -1.
    """
    return _inferred(tuple([n if type(n) is int else int(n) for n in shape]), count)


@lru_cache(maxsize=4096)
def _inferred(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    unknown = [i for i, n in enumerate(shape) if n == -1]
    if any(n < -1 for n in shape):
        raise RuntimeError(f"invalid shape dimension {next(n for n in shape if n < -1)}")
    if len(unknown) > 1:
        raise RuntimeError("only one dimension can be inferred")
    known = math.prod(n for n in shape if n != -1)
    if unknown:
        if known == 0:
            if count == 0:
                raise RuntimeError(f"cannot reshape tensor of 0 elements into shape {list(shape)} "
                                   "because the unspecified dimension size -1 can be any value and "
                                   "is ambiguous")
        elif count % known == 0:
            i = unknown[0]
            return shape[:i] + (count // known,) + shape[i + 1:]
    elif known == count:
        return shape
    raise ShapeError(f"shape '{list(shape)}' is invalid for input of size {count}")


def view_strides(shape, strides, new_shape) -> tuple[int, ...] | None:
    """Strides by which a strided block can be seen in another shape, None if it needs a copy."""
    return _view_strides(tuple(shape), tuple(strides), tuple(new_shape))


@lru_cache(maxsize=4096)
def _view_strides(shape: tuple[int, ...], strides: tuple[int, ...],
                  new_shape: tuple[int, ...]) -> tuple[int, ...] | None:
    if numel(shape) == 0:
        return tuple(strides) if tuple(shape) == tuple(new_shape) else contiguous_strides(new_shape)
    if not shape:
        return (1,) * len(new_shape)
    out = [0] * len(new_shape)
    at = len(new_shape) - 1
    chunk_stride, chunk, taken = strides[-1], 1, 1
    for i in range(len(shape) - 1, -1, -1):
        chunk *= shape[i]
        end = i == 0 or (shape[i - 1] != 1 and strides[i - 1] != chunk * chunk_stride)
        if end:
            while at >= 0 and (taken < chunk or new_shape[at] == 1):
                out[at] = taken * chunk_stride
                taken *= new_shape[at]
                at -= 1
            if taken != chunk:
                return None
            if i > 0:
                chunk_stride, chunk, taken = strides[i - 1], 1, 1
    return tuple(out) if at == -1 else None


def overlaps(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether some elements of a strided region may share memory (never False when they do)."""
    reach = 0
    for s, n in sorted((abs(s), n) for n, s in zip(shape, strides, strict=True) if n != 1):
        if s <= reach:
            return True
        reach += s * (n - 1)
    return False
