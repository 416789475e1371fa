"""Index arithmetic: how a value is read through a chain of views.

An :class:`Access` names the record whose memory is read and, for each axis of the reader, how many
elements to step. Chains of views compose into one access wherever that is possible; where it is
not, the inner view has to be stored first.
"""

from __future__ import annotations

from typing import NamedTuple

from ..base import shape as sh


class Access(NamedTuple):
    """Element ``i`` of a reader of shape ``shape`` is at ``offset + sum(i[k] * strides[k])`` in
    the memory of record ``root``. ``plain``: that is element ``i`` of a row-major block."""

    root: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    plain: bool


def whole(root: int, shape: tuple[int, ...], layout: tuple[int, ...] | None = None) -> Access:
    """A record read in its own shape; ``layout`` is its memory's strides if not row-major."""
    if layout is not None:
        return Access(root, shape, layout, 0, sh.is_contiguous(shape, layout))
    return Access(root, shape, sh.contiguous_strides(shape), 0, True)


def through(inner: Access, shape: tuple[int, ...], strides: tuple[int, ...],
            offset: int) -> Access | None:
    """What a view (shape, strides, offset) of the row-major block ``inner`` reads.

    Returns None when the two do not compose into one stride per axis.
    """
    if inner.plain:
        plain = (sh.numel(shape) == sh.numel(inner.shape) and sh.is_contiguous(shape, strides)
                 and inner.offset + offset == 0)
        return Access(inner.root, shape, strides, inner.offset + offset, plain)
    if 0 in shape:
        return Access(inner.root, shape, (0,) * len(shape), 0, False)
    runs = _runs(inner.shape, inner.strides)
    at, room = inner.offset, []
    for size, step, stride in reversed(runs):
        digit, offset = divmod(offset, step)
        at += digit * stride
        room.append(size - 1 - digit)
    room.reverse()
    out = []
    for n, s in zip(shape, strides, strict=True):
        if n == 1 or s == 0:
            out.append(0)
            continue
        for k in range(len(runs) - 1, -1, -1):
            if s >= runs[k][1]:
                break
        else:
            return None
        times, rest = divmod(s, runs[k][1])
        room[k] -= times * (n - 1)
        if rest or room[k] < 0:
            return None
        out.append(times * runs[k][2])
    return Access(inner.root, shape, tuple(out), at, False)


def _runs(shape, strides) -> list[tuple[int, int, int]]:
    """Axes merged where memory allows it, innermost first: (size, logical step, stride)."""
    runs: list[tuple[int, int, int]] = []
    step = 1
    for n, s in zip(reversed(shape), reversed(strides), strict=True):
        if n == 1:
            continue
        if runs and s == runs[-1][0] * runs[-1][2]:
            size, first, stride = runs[-1]
            runs[-1] = (size * n, first, stride)
        else:
            runs.append((n, step, s))
        step *= n
    return runs
