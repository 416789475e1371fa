"""Values put together from regions of a block: padding, and pieces that interleave."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...base import shape as sh
from ...ir.node import Node, OpClass, Prim, make
from ...ir.view import VIEW_SET, broadcast, strided
from ..core import operand
from . import batch_rules

Sizes = tuple[int, ...]


def padded(x: Node, left: Sizes, right: Sizes, value=0) -> Node:
    """Spatial axes grown by a constant."""
    if not any(left) and not any(right):
        return x
    inner = x.shape[2:]
    shape = x.shape[:2] + tuple(a + n + b for a, n, b in zip(left, inner, right, strict=True))
    base = broadcast(operand(value, x.dtype), shape)
    strides = sh.contiguous_strides(shape)
    offset = int(np.dot(left, strides[2:])) if left else 0
    return make(VIEW_SET, (base, x), (strides, offset))


def _regions_infer(rest: Node, *srcs):
    shape, _ = srcs[-2:]
    return shape, rest.dtype


def _regions_numpy(rest, *srcs):
    *pieces, shape, regions = srcs
    out = np.empty(shape, rest.dtype)
    out[...] = rest
    for piece, (strides, offset) in zip(pieces, regions, strict=True):
        strided(out, piece.shape, strides, offset)[...] = piece
    return out


REGIONS = Prim("regions", OpClass.INDEX, _regions_infer, _regions_numpy,
               batch=batch_rules.regions,
               doc="A block of disjoint regions (strides, offset), one for each operand after the "
                   "first; the first one, 0-d, fills the rest.")


def interleaved(pieces: dict[Sizes, Node], lead: Sizes, size: Sizes, stride: Sizes, dtype) -> Node:
    """A block (*lead, *size): piece ``a`` holds its elements ``stride * j + a``; zero elsewhere."""
    shape = (*lead, *size)
    steps = sh.contiguous_strides(shape)
    first, inner = steps[:len(lead)], steps[len(lead):]
    regions = tuple(((*first, *[a * s for a, s in zip(inner, stride, strict=True)]),
                     sum(x * y for x, y in zip(at, inner, strict=True))) for at in pieces)
    if len(pieces) == 1 and all(s == 1 for s in stride):
        return next(iter(pieces.values()))
    return make(REGIONS, (operand(0, dtype), *pieces.values()), (shape, regions))


class Piece(NamedTuple):
    """Every ``stride``-th element of what windows are taken of, and the windows that read them.

    Attributes:
        at: the elements ``stride * j + at``.
        size: how many of them along each axis.
        taps: along each axis the kernel's elements that read them.
        shifts: of each tap, the window ``j + shift``.
    """

    at: Sizes
    size: Sizes
    taps: list[list[int]]
    shifts: list[list[int]]


def pieces_of(size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes,
              dilation: Sizes) -> Iterator[Piece]:
    """The pieces that some window reads."""
    for at in itertools.product(*map(range, stride)):
        count = tuple(-(-(n - a) // s) for n, a, s in zip(size, at, stride, strict=True))
        taps = [[r for r in range(k) if (a + p - r * d) % s == 0] for k, a, p, d, s in zip(
            kernel, at, padding, dilation, stride, strict=True)]
        if min(count, default=1) <= 0 or not all(taps):
            continue
        yield Piece(at, count, taps, [[(a + p - r * d) // s for r in mine] for mine, a, p, d, s
                                      in zip(taps, at, padding, dilation, stride, strict=True)])
