"""Orders in memory: which strides results get. Sizes and strides are in elements.

PyTorch keeps the order of its operands' dimensions in memory: what is computed element by element
from a transposed matrix is a transposed matrix, without gaps. The rules here are those of its
documented iterator over tensors, found out in detail by experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from .shape import (
    broadcast_shapes,
    broadcast_strides,
    contiguous_strides,
    is_contiguous,
    view_strides,
)

#: an operand's shape and strides
Layout = tuple[tuple[int, ...], tuple[int, ...]]

#: dimensions of the memory formats that are not row-major, the slowest first
FORMATS = {"channels_last": (0, 2, 3, 1), "channels_last_3d": (0, 2, 3, 4, 1)}
_CHANNELS_LAST = FORMATS["channels_last"]


class Turned(NamedTuple):
    """A result whose memory is not in the order of its dimensions.

    Attributes:
        shape: the result's.
        strides: the result's.
        order: its dimensions from the slowest in memory to the fastest.
        memory: the sizes in that order: the shape of its memory.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    order: tuple[int, ...]
    memory: tuple[int, ...]


def stride_order(shape: Sequence[int], *strides: Sequence[int]) -> list[int]:
    """Dimensions from the one that changes fastest in memory to the slowest.

    Args:
        strides: of several operands; the first that tells two dimensions apart decides. Where none
            does (strides of 0, or equal ones), the later dimension counts as faster.
    """
    order = list(range(len(shape) - 1, -1, -1))
    for i in range(1, len(order)):
        at = i
        for k in range(i - 1, -1, -1):
            found = _compare(shape, strides, order[k], order[at])
            if found > 0:
                order[k], order[at] = order[at], order[k]
                at = k
            elif found < 0:
                break
    return order


def _compare(shape: Sequence[int], strides: Sequence[Sequence[int]], a: int, b: int) -> int:
    """Whether dimension ``a`` is slower (1) or faster (-1) than ``b``; 0 where nothing tells."""
    for steps in strides:
        if steps[a] == 0 or steps[b] == 0:
            continue
        if steps[a] != steps[b]:
            return 1 if steps[a] > steps[b] else -1
        if shape[a] > shape[b]:
            return 1
    return 0


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether every place of the memory belongs to just one element (in whatever order)."""
    step = 1
    for s, n in sorted((s, n) for n, s in zip(shape, strides, strict=True) if n >= 2):
        if s != step:
            return 0 in shape
        step *= n
    return True


def _without_gaps(shape: Sequence[int], order: Sequence[int], least: int) -> tuple[int, ...]:
    """Strides of memory in which dimension ``order[0]`` is the fastest, and so on."""
    out, step = [0] * len(shape), 1
    for d in order:
        out[d] = step
        step *= max(shape[d], least)
    return tuple(out)


def strides_like(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """Strides without gaps that keep the order in memory of a given tensor's."""
    if is_dense(shape, strides):
        return tuple(strides)
    return _without_gaps(shape, stride_order(shape, strides), 1)


def strides_of_format(shape: Sequence[int], memory_format) -> tuple[int, ...]:
    """Strides of a memory format; None is row-major.

    Raises:
        RuntimeError: the format is one of tensors with more or fewer dimensions.
    """
    order = None if memory_format is None else FORMATS.get(memory_format.name)
    if order is None:
        return contiguous_strides(shape)
    if len(order) != len(shape):
        raise RuntimeError(f"required rank {len(order)} tensor to use {memory_format.name} format")
    return _without_gaps(shape, order[::-1], 1)


def is_in_format(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether strides look like those of a channels-last image or volume (of a signal, it is an
    image of one row).

    Where sizes of 1 leave it open, row-major is what they look like.
    """
    if len(shape) == 3:
        shape, strides = (*shape[:2], 1, shape[2]), (*strides[:2], shape[2] * strides[2],
                                                     strides[2])
    if len(shape) not in (4, 5) or strides[1] == 0 or 0 in shape:
        return False
    least = 0
    for d in (1, *range(len(shape) - 1, 1, -1), 0):
        if strides[d] < least or d == 0 and least == strides[1]:
            return False
        least = strides[d] * max(shape[d], 1)
    return True


def _channels_last(shape: tuple[int, ...]) -> Turned | None:
    order = (0, *range(2, len(shape)), 1)
    return with_strides(shape, _without_gaps(shape, order[::-1], 1))


def with_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> Turned | None:
    """The layout of memory without gaps that has these strides; None for row-major."""
    if strides == contiguous_strides(shape):
        return None
    order = tuple(reversed(stride_order(shape, strides)))
    return Turned(shape, strides, order, tuple([shape[d] for d in order]))


@lru_cache(maxsize=4096)
def of_copy(layout: Layout) -> Turned | None:
    """The layout of a copy of a tensor; None for row-major."""
    shape, strides = layout
    return with_strides(shape, strides_like(shape, strides))


@lru_cache(maxsize=4096)
def of_gradient(layout: Layout) -> Turned | None:
    """The layout of the gradient of a leaf: its own, if it has no gaps; None for row-major."""
    return with_strides(*layout) if is_dense(*layout) else None


@lru_cache(maxsize=4096)
def of_elementwise(layouts: tuple[Layout, ...]) -> Turned | None:
    """The layout of what is computed element by element from operands; None for row-major.

    Raises:
        ShapeError: the operands do not broadcast.
    """
    shape = layouts[0][0]
    if all(s == shape for s, _ in layouts):
        if all(is_contiguous(*x) for x in layouts):
            return None
        strides = layouts[-1][1]
        if len(shape) == 4 and all(_is_channels_last(*x) for x in layouts):
            return with_strides(shape, _without_gaps(shape, _CHANNELS_LAST[::-1], 1))
        if all(s == strides for _, s in layouts) and is_dense(shape, strides):
            return with_strides(shape, strides)
    shape = broadcast_shapes(*[s for s, _ in layouts])
    order = stride_order(shape, *[broadcast_strides(s, steps, shape) for s, steps in layouts])
    if order == list(range(len(shape) - 1, -1, -1)):
        return None
    return with_strides(shape, _without_gaps(shape, order, 0))


def _is_channels_last(shape: Sequence[int], strides: Sequence[int]) -> bool:
    return is_contiguous([shape[d] for d in _CHANNELS_LAST], [strides[d] for d in _CHANNELS_LAST])


# --- what operations declare ----------------------------------------------------------------------


class Rule(NamedTuple):
    """Which layout an operation gives its results.

    Attributes:
        find: ``find(layouts, params, shape)`` for the operands' layouts (NUMBER for a number, None
            for what is absent, a tuple for a list) gives the result's, None for row-major.
        by_element: elements are computed one by one, wherever they are, so that the operation may
            work on its operands with their dimensions in another order; ``shape`` is then None.
        always: the layout does not depend on the operands alone: ask even where all are row-major.
        reduces: folds the dimensions ``axes`` of its one operand, which it may read in the order
            that ``find`` gives; results are row-major.
    """

    find: Callable[[tuple, dict, tuple[int, ...] | None], Turned | None]
    by_element: bool = False
    always: bool = False
    reduces: bool = False


#: the layout of a Python number
NUMBER: Layout = ((), ())


def _elementwise(layouts, params, shape):
    if None in layouts:
        layouts = tuple([x for x in layouts if x is not None])
    return of_elementwise(layouts)


def _of_tensors(layouts, params, shape):
    return of_elementwise(tuple([x for x in layouts if x is not None and x is not NUMBER]))


def _copy(layouts, params, shape):
    return of_copy(layouts[0])


def _strided(layouts, params, shape):
    return with_strides(layouts[0][0], params["strides"])


def _halved(layouts, params, shape):
    strides = layouts[0][1]
    return of_elementwise(((shape, strides), (shape, strides)))


def _like_second(layouts, params, shape):
    return of_elementwise((NUMBER, layouts[1]))


def _columns(layouts, params, shape):
    return with_strides(shape, (1, shape[0]))


def _image(layouts, params, shape):
    return _channels_last(shape) if len(shape) == 4 and is_in_format(*layouts[0]) else None


def _spatial(layouts, params, shape):
    return _channels_last(shape) if len(shape) in (4, 5) and is_in_format(*layouts[0]) else None


def _joined(layouts, params, shape):
    fits = len(shape) in (4, 5) and all(is_in_format(*x) for x in layouts[0])
    return _channels_last(shape) if fits else None


def _indexed(layouts, params, shape):
    (have, strides), dims = layouts[0], params["dims"]
    before, count = dims[0], len(dims)
    if dims != tuple(range(before, before + count)):  # what is indexed comes first
        order = (*dims, *(d for d in range(len(have)) if d not in dims))
        strides, before = tuple([strides[d] for d in order]), 0
    after = len(have) - before - count
    place = (0,) * (len(shape) - before - after)
    source = shape, strides[:before] + place + strides[before + count:]
    return of_elementwise((source, *[
        _seen_as(x, (1,) * before + x[0] + (1,) * after) for x in layouts[1:]]))


def _seen_as(layout: Layout, shape: tuple[int, ...]) -> Layout:
    strides = view_strides(*layout, shape)
    return shape, contiguous_strides(shape) if strides is None else strides


def _pooled(layouts, params, shape):
    return _channels_last(shape) if is_in_format(*layouts[0]) else None


def _convolved(layouts, params, shape):
    operands = layouts[len(shape) == 3:2]  # of signals, the weight alone decides
    return _channels_last(shape) if any(is_in_format(*x) for x in operands) else None


def _like_first(layouts, params, shape):
    have, strides = layouts[0]
    return of_copy((shape, strides)) if have == shape else None


#: computed element by element from tensors and numbers (which are operands like others)
ELEMENTWISE = Rule(_elementwise, by_element=True)
#: computed element by element from tensors; numbers among the operands are parameters in PyTorch
OF_TENSORS = Rule(_of_tensors, by_element=True)
#: computed element by element, in the order of the first operand, as a copy of it
COPY = Rule(_copy, by_element=True)
#: a copy with the strides that are asked for
STRIDED = Rule(_strided, by_element=True, always=True)
#: dimensions are folded, in the order of the operand's memory
REDUCED = Rule(_of_tensors, reduces=True)
#: elements change places; memory in the order of the first operand
LIKE_FIRST = Rule(_like_first)
#: computed element by element, in the order of a number and the second operand
LIKE_SECOND = Rule(_like_second, by_element=True)
#: of the two halves of the first operand along some dimension
HALVED = Rule(_halved)
#: a matrix with its columns next to each other in memory, whatever the operands
COLUMNS = Rule(_columns, always=True)
#: channels-last where the first operand is: images; volumes too; signals too
IMAGE, SPATIAL, POOLED = Rule(_image), Rule(_spatial), Rule(_pooled)
#: channels-last where all tensors of a list are
JOINED = Rule(_joined)
#: elements found by index tensors along the dimensions ``dims``
INDEXED = Rule(_indexed)
#: channels-last where the first or the second operand is
CONVOLVED = Rule(_convolved)
