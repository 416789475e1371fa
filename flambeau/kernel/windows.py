"""Which elements the taps of a convolution read: tables that the packing kernels walk.

A convolution reads, for tap ``t`` and output position ``l``, one element of each channel's plane,
or nothing where the window hangs over the border. Neighbouring positions mostly read neighbouring
elements, so a vector of positions is one masked load, or a few where it spans rows of the output.
Which ones depends on sizes alone and not on image or channel: a table, made with the plan.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np


class Windows(NamedTuple):
    """The geometry of a convolution's reads.

    Attributes:
        taps: for each tap the shift along each spatial axis, after the number of its plane.
        out: spatial sizes of the output.
        size: spatial sizes of a plane.
        steps: strides in elements of image, plane and each spatial axis.
        images: images in the batch.
    """

    taps: tuple[tuple[int, ...], ...]
    out: tuple[int, ...]
    size: tuple[int, ...]
    steps: tuple[int, ...]
    images: int


class Table(NamedTuple):
    """What the kernels walk.

    Attributes:
        words: int64 (vectors, taps, entries, 2): offset in elements of lane 0, and the mask.
        entries: masked loads that make a vector.
        together: images whose positions are numbered through: a *set*.
    """

    words: np.ndarray
    entries: int
    together: int


#: positions above which an image is a set by itself although its last panel is not full
LONG = 8


def together_of(positions: int, images: int, width: int) -> int:
    """Images in a set: enough to fill panels of ``width`` positions."""
    if positions % width == 0 or positions > LONG * width:
        return 1
    return min(images, width // math.gcd(positions, width))


@lru_cache(maxsize=64)
def table(g: Windows, width: int, lanes: int) -> Table:
    """The table for panels of ``width`` positions and vectors of ``lanes``."""
    positions = math.prod(g.out)
    together = together_of(positions, g.images, width)
    image_step, plane_step, *steps = g.steps
    places = np.indices(g.out).reshape(len(g.out), positions)
    offsets = np.empty((together, positions, len(g.taps)), np.int64)
    valid = np.empty_like(offsets, bool)
    for t, (plane, *shifts) in enumerate(g.taps):
        at, fits = np.full(positions, plane * plane_step), np.full(positions, True)
        for x, shift, n, step in zip(places, shifts, g.size, steps, strict=True):
            moved = x + shift
            fits &= (moved >= 0) & (moved < n)
            at += moved * step
        offsets[:, :, t] = at
        valid[:, :, t] = fits
    offsets += np.arange(together)[:, None, None] * image_step
    return _entries(offsets.reshape(-1, len(g.taps)), valid.reshape(-1, len(g.taps)), lanes,
                    together)


def _entries(offsets: np.ndarray, valid: np.ndarray, lanes: int, together: int) -> Table:
    """Lanes that continue each other become one entry."""
    count, taps = offsets.shape
    vectors = -(-count // lanes)
    grown = ((0, vectors * lanes - count), (0, 0))
    bases = np.pad(offsets, grown).reshape(vectors, lanes, taps).swapaxes(1, 2)
    bases = bases - np.arange(lanes)
    left = np.pad(valid, grown).reshape(vectors, lanes, taps).swapaxes(1, 2)
    bits = 1 << np.arange(lanes, dtype=np.int64)
    rows: list[np.ndarray] = []
    while not rows or left.any():
        first = np.take_along_axis(bases, left.argmax(2)[..., None], 2)
        mine = left & (bases == first)
        mask = (mine * bits).sum(2)
        rows.append(np.stack([np.where(mask, first[..., 0], 0), mask], 2))
        left = left & ~mine
    words = np.ascontiguousarray(np.stack(rows, 2), np.int64)
    return Table(words, len(rows), together)
