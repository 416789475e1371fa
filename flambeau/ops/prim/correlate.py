"""What every convolution becomes: sums of products over channels and taps, at stride 1.

A *tap* is one element of the kernel: a plane of the operand and a shift along each spatial axis;
what it reads outside of the plane is zero. Padding and dilation are shifts, flipped kernels are
negative shifts, and a stride divides the operand into planes (:func:`planes`), so that neighbouring
outputs always read neighbouring elements.

Layout: x (N, G C, P, *S) with P planes, w (G O, C, T) with T taps, y (N, G O, *L).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...base import dtype as dt
from ...base import shape as sh
from ...ir.node import Node, OpClass, Prim, make
from ...ir.view import broadcast, view
from ..core import operand
from . import batch_rules
from .elementwise import COPY
from .regions import REGIONS, padded
from .shape import reshape

C = OpClass.CONTRACT

Tap = tuple[int, ...]


def _wide(x: np.ndarray) -> np.ndarray:
    """16-bit floats are multiplied and summed in float32."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x


def shifted(x: np.ndarray, tap: Tap, out: tuple[int, ...]) -> np.ndarray:
    """What a tap reads of x (N, C, P, *S): (N, C, *out)."""
    plane, *shifts = tap
    y = np.zeros((*x.shape[:2], *out), x.dtype)
    to, source = [], []
    for shift, n, m in zip(shifts, x.shape[3:], out, strict=True):
        low, high = max(0, -shift), min(m, n - shift)
        if high <= low:
            return y
        to.append(slice(low, high))
        source.append(slice(low + shift, high + shift))
    target: Any = (..., *to)
    wanted: Any = (..., *source)
    y[target] = x[:, :, plane][wanted]
    return y


def _columns(x: np.ndarray, out, taps, groups: int) -> np.ndarray:
    """What all taps read: (N, groups, C T, L)."""
    n, c = x.shape[:2]
    found = np.stack([shifted(x, t, out) for t in taps], 2)
    return found.reshape(n, groups, c // groups * len(taps), math.prod(out))


def _infer(x: Node, w: Node, out, taps, groups):
    return (x.shape[0], w.shape[0], *out), x.dtype


def _numpy(x, w, out, taps, groups):
    n, o = x.shape[0], w.shape[0]
    columns = _columns(_wide(x), out, taps, groups)
    y = np.matmul(_wide(w).reshape(groups, o // groups, columns.shape[2]), columns)
    return y.reshape(n, o, *out).astype(x.dtype, copy=False)


CORRELATE = Prim("correlate", C, _infer, _numpy, batch=batch_rules.correlate,
                 doc="y[n, o, l] = sum over (c, t) of w[o, c, t] x[n, c, place of tap t at l]")


def _weight_infer(x: Node, y: Node, taps, groups, parts):
    return (parts, y.shape[1], x.shape[1] // groups, len(taps)), x.dtype


def _weight_numpy(x, y, taps, groups, parts):
    n, o = y.shape[:2]
    columns = _columns(_wide(x), y.shape[2:], taps, groups)
    flat = _wide(y).reshape(n, groups, o // groups, math.prod(y.shape[2:]))
    w = np.zeros((parts, groups, o // groups, columns.shape[2]), flat.dtype)
    for p in range(parts):
        mine = slice(n * p // parts, n * (p + 1) // parts)
        w[p] = np.matmul(flat[mine], columns[mine].swapaxes(2, 3)).sum(0)
    return w.reshape(parts, o, x.shape[1] // groups, len(taps)).astype(x.dtype, copy=False)


CORRELATE_WEIGHT = Prim(
    "correlate_weight", C, _weight_infer, _weight_numpy, batch=batch_rules.correlate_weight,
    doc="w[p, o, c, t] = sum over (n, l) of y[n, o, l] x[n, c, place of tap t at l], the batch in "
        "parts p")

#: tasks that the weights' gradient has at least, if the batch allows it
_TASKS = 16


def parts_of(rows: int, columns: int, groups: int, images: int, positions: int) -> int:
    """In how many parts of the batch :data:`CORRELATE_WEIGHT` sums: enough for many threads where
    the weights are few."""
    work = images * positions * rows * columns * groups
    return max(1, min(images, _TASKS // (groups * -(-columns // 128)), work >> 21))


# --- strides --------------------------------------------------------------------------------------


def planes(x: Node, offsets: Sequence[Sequence[int]],
           stride: Sequence[int]) -> tuple[Node, tuple[Tap, ...]] | None:
    """x (N, C, *S) as planes, and the taps that read ``x[stride * l + offset]``.

    Args:
        offsets: along each axis, those of the kernel's elements.

    Returns:
        The planes (N, C, P, *S') and the taps in row-major order of the kernel; None if all taps
        are outside of x.
    """
    n, c, *size = x.shape
    if all(s == 1 for s in stride):
        return (reshape(x, (n, c, 1, *size)),
                tuple((0, *at) for at in itertools.product(*offsets)))
    starts, counts, ends = [], [], []
    for mine, s, length in zip(offsets, stride, size, strict=True):
        rests = sorted({o % s for o in mine})
        lone = len(rests) == 1
        starts.append(rests[0] if lone else 0)
        counts.append(1 if lone else s)
        ends.append(-(-(length - rests[0]) // s) if lone else -(-length // s))
        if ends[-1] <= 0:
            return None
    if stride[-1] == 2:
        return _parted(x, offsets, stride, starts, counts, ends)
    x = padded(x, (0,) * len(size), tuple(
        0 if k == 1 else m * s - length
        for k, m, s, length in zip(counts, ends, stride, size, strict=True)))
    steps = sh.contiguous_strides(x.shape)
    inner = steps[2:]
    split = view(x, (n, c, *counts, *ends),
                 (*steps[:2], *inner, *[a * s for a, s in zip(inner, stride, strict=True)]),
                 sum(a * b for a, b in zip(starts, inner, strict=True)))
    taps = _taps(offsets, stride, counts)
    return reshape(make(COPY, (split,)), (n, c, math.prod(counts), *ends)), taps


def _taps(offsets, stride, counts) -> tuple[Tap, ...]:
    taps = []
    for at in itertools.product(*offsets):
        plane = 0
        for o, s, k in zip(at, stride, counts, strict=True):
            plane = plane * k + (o % s if k > 1 else 0)
        taps.append((plane, *[o // s for o, s in zip(at, stride, strict=True)]))
    return tuple(taps)


def _parted(x: Node, offsets, stride, starts, counts, ends) -> tuple[Node, tuple[Tap, ...]]:
    """Planes as regions: the rows of two planes are every second element of a row of x each."""
    lead, size = x.shape[:2], x.shape[2:]
    steps = sh.contiguous_strides(x.shape)
    shape = (*lead, math.prod(counts), *ends)
    to = sh.contiguous_strides(shape)
    pieces, regions = [], []
    for plane, at in enumerate(itertools.product(*map(range, counts))):
        first = [a + b for a, b in zip(starts, at, strict=True)]
        have = [min(-(-(n - a) // s), m) for n, a, s, m in zip(size, first, stride, ends,
                                                               strict=True)]
        if min(have) <= 0:
            continue
        pieces.append(view(x, (*lead, *have),
                           (*steps[:2], *[a * s for a, s in zip(steps[2:], stride, strict=True)]),
                           sum(a * b for a, b in zip(first, steps[2:], strict=True))))
        regions.append(((*to[:2], *to[3:]), plane * to[2]))
    parted = make(REGIONS, (operand(0, x.dtype), *pieces), (shape, tuple(regions)))
    return parted, _taps(offsets, stride, counts)


def zeros(shape, dtype: dt.dtype) -> Node:
    """A block of zeros."""
    return broadcast(operand(0, dtype), shape)
