"""Sliding windows over spatial axes: a strided view, its transpose, and what pools through them.

``windows`` gives (N, C, *K, *L) of x (N, C, *S); ``folded`` adds windows back where they came from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...ir.node import Node, OpClass, Prim, leaf, make
from ...ir.op import Op, apply
from ...ir.view import broadcast, view
from ..core import cast_node, elementwise, operand
from .elementwise import ADD, COPY, DIV, MUL, TRUNCDIV
from .index import PUT, TAKE
from .pointwise import widened
from .reduce import PLAIN_SUM
from .regions import REGIONS, Piece, interleaved, padded, pieces_of
from .shape import reshape

Sizes = tuple[int, ...]


#: pieces above which windows are not taken apart
MAX_PIECES = 16
#: rows of windows that fill a vector
SHORT_ROW = 16


def pool_size(n: int, k: int, stride: int, padding: int, dilation: int, ceil: bool) -> int:
    """Number of windows along an axis; with ``ceil`` a last one may hang over the right end, if it
    starts inside the input or the left padding."""
    span = n + 2 * padding - dilation * (k - 1) - 1
    out = -(-span // stride) + 1 if ceil else span // stride + 1
    if ceil and (out - 1) * stride >= n + padding:
        out -= 1
    return out


def windows(x: Node, kernel: Sizes, out: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes,
            value=0) -> Node:
    """Windows as a view of the padded operand: (N, C, *K, *L). Short rows with gaps are copied, an
    element of the windows after the other, since vectors would be mostly empty."""
    right = tuple(max((m - 1) * s + d * (k - 1) + 1 - n - p, 0) for m, s, d, k, n, p in zip(
        out, stride, dilation, kernel, x.shape[2:], padding, strict=True))
    x = padded(x, padding, right, value)
    steps = sh.contiguous_strides(x.shape)
    shape = (*x.shape[:2], *kernel, *out)
    inner = [s * d for s, d in zip(steps[2:], dilation, strict=True)]
    outer = (*steps[:2], *[s * t for s, t in zip(steps[2:], stride, strict=True)])
    if out[-1] >= SHORT_ROW or stride[-1] == 1 or math.prod(kernel) > MAX_PIECES or 0 in shape:
        return view(x, shape, (*outer[:2], *inner, *outer[2:]))
    at, to, rank = list(np.ndindex(*kernel)), sh.contiguous_strides(shape), len(kernel)
    pieces = [view(x, (*x.shape[:2], *out), outer, int(np.dot(a, inner))) for a in at]
    regions = tuple(((*to[:2], *to[2 + rank:]), int(np.dot(a, to[2:2 + rank]))) for a in at)
    return make(REGIONS, (operand(value, x.dtype), *pieces), (shape, regions))


def folded(sources: Sequence[tuple[Node, float]], value: Callable[..., Node], taps: bool,
           size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Node:
    """The transpose of :func:`windows`: each place of (N, C, *size) gets the sum over the windows
    that read it.

    Args:
        sources: for each window, or for each of its taps, (N, C, *L) or (N, C, *K, *L); and what
            is outside of it.
        value: ``value(*views, places)`` is the summand, of the views' shape; ``places`` are those
            along each axis, as arrays that broadcast to the views' axes after the first two.
        taps: sources have a value for each tap.
    """
    rank, lead = len(size), sources[0][0].shape[:2]
    out = sources[0][0].shape[-rank:]
    if 0 in (*lead, *size, *out):
        return broadcast(operand(0, sources[0][0].dtype), (*lead, *size))
    if stride == kernel and math.prod(kernel) > MAX_PIECES and not taps and not any(padding) \
            and all(d == 1 for d in dilation):
        return _side_by_side(sources, value, size, kernel)
    found = list(pieces_of(size, kernel, stride, padding, dilation))
    left = tuple(max(max(-min(p.shifts[k]) for p in found), 0) for k in range(rank))
    right = tuple(max(max(max(p.shifts[k]) + p.size[k] for p in found) - out[k], 0)
                  for k in range(rank))
    none = (0,) * rank if taps else ()
    grown = [padded(x, none + left, none + right, fill) for x, fill in sources]
    axes = tuple(range(2, 2 + rank))
    pieces = {}
    for p in found:
        places = [np.arange(m) * s + a for m, s, a in zip(p.size, stride, p.at, strict=True)]
        part = value(*[_reading(x, p, left, taps) for x in grown], places)
        pieces[p.at] = make(PLAIN_SUM, (part,), (axes,)) if math.prod(map(len, p.taps)) > 1 else \
            reshape(part, (*lead, *p.size))
    return interleaved(pieces, lead, size, stride, next(iter(pieces.values())).dtype)


def _side_by_side(sources, value: Callable[..., Node], size: Sizes, kernel: Sizes) -> Node:
    """The same for large windows that do not overlap: each place has one."""
    lead, out = sources[0][0].shape[:2], sources[0][0].shape[2:]
    views = []
    for x, _ in sources:
        steps = sh.contiguous_strides(x.shape)
        pairs = zip(out, kernel, steps[2:], strict=True)
        shape, strides = zip(*[p for m, k, s in pairs for p in ((m, s), (k, 0))], strict=True)
        views.append(view(x, (*lead, *shape), (*steps[:2], *strides)))
    places = [np.arange(m * k).reshape(m, k) for m, k in zip(out, kernel, strict=True)]
    whole = tuple(m * k for m, k in zip(out, kernel, strict=True))
    block = reshape(value(*views, places), (*lead, *whole))
    kept = tuple(map(min, whole, size))  # the last windows may hang over the end
    block = view(block, (*lead, *kept), block.strides)
    return padded(block, (0,) * len(size), tuple(n - m for n, m in zip(size, kept, strict=True)))


def _reading(x: Node, p: Piece, left: Sizes, taps: bool) -> Node:
    """The windows that read the places of a piece: (N, C, *T, *J). Without values for each tap,
    taps are taken from the last to the first, which is along the windows."""
    rank = len(left)
    steps = sh.contiguous_strides(x.shape)
    strides, offset = [], 0
    for k, (mine, shifts) in enumerate(zip(p.taps, p.shifts, strict=True)):
        along, tap = steps[k - rank], steps[2 + k] if taps else 0
        at = [r * tap + (shift + left[k]) * along for r, shift in zip(mine, shifts, strict=True)]
        if not taps:
            at.reverse()
        strides.append(at[1] - at[0] if len(at) > 1 else 0)
        offset += at[0]
    return view(x, (*x.shape[:2], *map(len, p.taps), *p.size),
                (*steps[:2], *strides, *steps[-rank:]), offset)


# --- im2col and col2im ----------------------------------------------------------------------------


def _im2col_lower(x, kernel, out, stride, padding, dilation):
    w = windows(x, kernel, out, stride, padding, dilation)
    rows = x.shape[1] * math.prod(kernel)
    return reshape(make(COPY, (w,)), (x.shape[0], rows, math.prod(out)))


def _geometry(ctx):
    return {"kernel": ctx.kernel, "out": ctx.out, "stride": ctx.stride, "padding": ctx.padding,
            "dilation": ctx.dilation}


IM2COL = Op("im2col", _im2col_lower, lambda ctx, g: (
    apply(COL2IM, g, size=tuple(ctx.shape(0)[2:]), **_geometry(ctx)),),
    grad_name="Im2ColBackward0")


def _fold_infer(w: Node, size, stride, padding):
    return (*w.shape[:2], *size), w.dtype


def _fold_numpy(w, size, stride, padding):
    rank = len(size)
    kernel, out = w.shape[2:2 + rank], w.shape[2 + rank:]
    full = tuple(max(n + 2 * p, (m - 1) * s + k) for n, p, m, s, k in zip(
        size, padding, out, stride, kernel, strict=True))
    narrow = w.dtype.itemsize == 2 and w.dtype.kind in "fV"
    x = np.zeros((*w.shape[:2], *full), np.float32 if narrow else w.dtype)
    both = (slice(None), slice(None))
    for at in np.ndindex(kernel):
        spots = tuple(slice(a, a + (m - 1) * s + 1, s)
                      for a, m, s in zip(at, out, stride, strict=True))
        if 0 not in out:
            x[both + spots] += w[both + at]
    inner = tuple(slice(p, p + n) for p, n in zip(padding, size, strict=True))
    return x[both + inner].astype(w.dtype, copy=False)


FOLD = Prim("fold", OpClass.LIBRARY, _fold_infer, _fold_numpy, batch="folded",
            doc="windows (N, C, *K, *L) added up where they came from in (N, C, *size)")


def _col2im_lower(x, size, kernel, out, stride, padding, dilation):
    n, rows = x.shape[:2]
    w = reshape(x, (n, rows // math.prod(kernel), *kernel, *out))
    if math.prod(stride) > MAX_PIECES and all(d == 1 for d in dilation):
        return make(FOLD, (w,), (size, stride, padding))
    return folded([(w, 0)], lambda part, _: part, True, size, kernel, stride, padding, dilation)


COL2IM: Op = Op("col2im", _col2im_lower, lambda ctx, g: (apply(IM2COL, g, **_geometry(ctx)),),
                grad_name="Col2ImBackward0")


# --- average pooling ------------------------------------------------------------------------------


def _counts(size, kernel, out, stride, padding, include_pad) -> list[np.ndarray]:
    """Per axis, how many elements each window averages over."""
    counts = []
    for n, k, m, s, p in zip(size, kernel, out, stride, padding, strict=True):
        start = np.arange(m) * s - p
        end = np.minimum(start + k, n + p)
        if not include_pad:
            start, end = np.maximum(start, 0), np.minimum(end, n)
        counts.append(end - start)
    return counts


def _divided(x: Node, size, kernel, out, stride, padding, include_pad, divisor) -> Node:
    """(N, C, *L) divided by the windows' sizes."""
    div = DIV if x.dtype.category >= dt.dtype.FLOAT else TRUNCDIV
    if divisor is not None:
        return elementwise(div, x.dtype, x, divisor)
    counts = _counts(size, kernel, out, stride, padding, include_pad)
    if all(c.size == 0 or (c == c[0]).all() for c in counts):
        total = math.prod(int(c[0]) if c.size else 1 for c in counts)
        if total == 1:
            return x
        return elementwise(div, x.dtype, x, total)
    table = np.ones((), np.int64)
    for c in counts:
        table = np.multiply.outer(table, c)
    table = table.reshape(out).astype(x.dtype.np)
    return make(div, (x, broadcast(leaf(table, x.dtype), x.shape)))


def _avg_lower(x, kernel, out, stride, padding, include_pad, divisor):
    ones = (1,) * len(kernel)
    w = windows(x, kernel, out, stride, padding, ones)
    total = make(PLAIN_SUM, (w,), (tuple(range(2, 2 + len(kernel))),))
    return _divided(total, x.shape[2:], kernel, out, stride, padding, include_pad, divisor)


def _avg_params(ctx):
    return {"kernel": ctx.kernel, "out": ctx.out, "stride": ctx.stride, "padding": ctx.padding,
            "include_pad": ctx.include_pad, "divisor": ctx.divisor}


def _avg_back_lower(g, size, kernel, out, stride, padding, include_pad, divisor):
    g = _divided(g, size, kernel, out, stride, padding, include_pad, divisor)
    return folded([(g, 0)], lambda part, _: part, False, size, kernel, stride, padding,
                  (1,) * len(kernel))


def average_pool(name: str, grad_name: str, layout: layouts.Rule | None = layouts.POOLED) -> Op:
    """The op of one rank (PyTorch names each)."""
    back = Op(name + "_backward", _avg_back_lower,
              lambda ctx, g: (apply(op, g, **_avg_params(ctx)),))
    op = Op(name, _avg_lower, lambda ctx, g: (
        apply(back, g, size=tuple(ctx.shape(0)[2:]), **_avg_params(ctx)),), guards=(0,),
            grad_name=grad_name, layout=layout)
    return op


AVG_POOL = {1: average_pool("avg_pool1d", "AvgPool1DBackward0"),
            2: average_pool("avg_pool2d", "AvgPool2DBackward0"),
            3: average_pool("avg_pool3d", "AvgPool3DBackward0", None)}


# --- resampling one axis --------------------------------------------------------------------------


class Taps:
    """A linear map of one axis: ``out[i] = sum_k weight[k, i] * x[index[k, i]]``."""

    __slots__ = ("_transposed", "index", "size", "weight")

    def __init__(self, index: np.ndarray, weight: np.ndarray | None, size: int):
        self.index, self.weight, self.size = index.astype(np.int64), weight, size
        self._transposed: Taps | None = None

    def transposed(self) -> Taps:
        """The transposed map; where an element is read less often than others, by 0 times what read
        it before."""
        if self._transposed is None:
            count, length = self.index.shape
            weight = np.ones(self.index.shape) if self.weight is None else self.weight
            read, by = self.index.ravel(), np.tile(np.arange(length), count)
            factors = weight.ravel()
            used = np.flatnonzero(factors)
            used = used[np.argsort(read[used], kind="stable")]
            read, by, factors = read[used], by[used], factors[used]
            times = np.bincount(read, minlength=self.size)
            first = np.cumsum(times) - times
            place = np.arange(len(read)) - first[read]
            most = max(1, int(times.max(initial=0)))
            start = by[np.minimum(first, max(len(by) - 1, 0))] if len(by) else np.zeros_like(times)
            index = np.tile(np.where(times > 0, start, 0), (most, 1))
            spread = np.zeros((most, self.size))
            index[place, read], spread[place, read] = by, factors
            plain = self.weight is None and bool((times == most).all())
            self._transposed = Taps(index, None if plain else spread, length)
        return self._transposed


def _weighted(x: Node, taps: Taps, k: int, dim: int) -> Node:
    if taps.weight is None:
        return x
    lone = [1] * len(x.shape)
    lone[dim] = -1
    w = leaf(taps.weight[k].astype(x.dtype.np).reshape(lone), x.dtype)
    return elementwise(MUL, x.dtype, x, w)


def _resample_lower(x, maps):
    dtype = x.dtype
    if any(taps.weight is not None for _, taps in maps):
        x = widened(x)  # 16-bit floats are rounded once
    for dim, taps in maps:
        out = None
        for k in range(len(taps.index)):
            part = _weighted(make(TAKE, (x, leaf(taps.index[k])), (dim,)), taps, k, dim)
            out = part if out is None else make(ADD, (out, part))
        x = out
    return cast_node(x, dtype)


#: readers of one element above which gradients are added at positions
MAX_READERS = 16


def _resample_back_lower(g, maps):
    dtype, g = g.dtype, widened(g)
    for dim, taps in reversed(maps):
        if len(taps.transposed().index) <= MAX_READERS:
            g = _resample_lower(g, ((dim, taps.transposed()),))
            continue
        shape = g.shape[:dim] + (taps.size,) + g.shape[dim + 1:]
        out = broadcast(operand(0, g.dtype), shape)
        for k in range(len(taps.index)):
            part = _weighted(g, taps, k, dim)
            out = make(PUT, (out, part, leaf(taps.index[k])), ((dim,), True))
        g = out
    return cast_node(g, dtype)


def resampler(name: str, grad_name: str, layout: layouts.Rule | None = layouts.SPATIAL,
              guards: tuple[int, ...] = ()) -> Op:
    """An op ``op(x, maps=((axis, taps), ..))`` that applies linear maps to some axes."""
    back = Op(name + "_backward", _resample_back_lower,
              lambda ctx, g: (apply(op, g, maps=ctx.maps),))
    op = Op(name, _resample_lower, lambda ctx, g: (apply(back, g, maps=ctx.maps),),
            guards=guards, grad_name=grad_name, layout=layout)
    return op
