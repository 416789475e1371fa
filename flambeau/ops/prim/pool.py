"""Max pooling: values and where they came from. Averages stand in window.py."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...ir.node import PRIMS, Node, OpClass, Prim, const, leaf, make, make_many
from ...ir.op import Op, apply
from ...ir.view import broadcast
from ..core import cast_node, operand
from .comparison import NOT
from .elementwise import ADD, WHERE
from .index import along, scatter_add_zeros, scatter_node
from .reduce import AMAX, AMIN
from .shape import reshape
from .window import folded, windows

LIB = OpClass.LIBRARY
EQ, NE, LT = (PRIMS[name] for name in ("eq", "ne", "lt"))


def _lowest(d: np.dtype):
    if d.kind in "iu":
        return np.iinfo(d).min
    return -np.inf


def _flat(x, spatial: int):
    """(N, C, *S) with the spatial axes as one."""
    return reshape(x, (*x.shape[:2], spatial))


def spread_back(g, index, shape):
    """Pooled gradients added at the positions they came from."""
    shape = tuple(shape)
    spatial = int(np.prod(shape[2:]))
    out = int(np.prod(tuple(index.shape)[2:]))
    back = scatter_add_zeros(_flat(g, out), _flat(index, out), (*shape[:2], spatial), 2)
    return reshape(back, shape)


#: larger than any position in a window
_FAR = (1 << 31) - 1


def _pool_lower(x, kernel, out, stride, padding, dilation):
    """Largest of each window, and its position in the flattened spatial axes: of equal values the
    first, of NaNs the last."""
    rank = len(kernel)
    w = windows(x, kernel, out, stride, padding, dilation, _lowest(x.dtype.np))
    axes = tuple(range(2, 2 + rank))
    best = make(AMAX, (w,), (axes,))
    ones = (1,) * rank
    rows = reshape(best, (*best.shape[:2], *ones, *out))
    here, first, inside = (None if a is None else leaf(a) for a in _positions(
        x.shape[2:], kernel, out, stride, padding, dilation))
    here = broadcast(here, w.shape)
    key = make(WHERE, (make(EQ, (w, broadcast(rows, w.shape))), here, const(_FAR, dt.int32)))
    if inside is not None:
        key = make(WHERE, (broadcast(inside, w.shape), key, const(_FAR, dt.int32)))
    if x.dtype.is_floating_point:
        last = make(NOT, (here,))  # -1 - position
        key = make(WHERE, (make(NE, (w, w)), last, key))
    at = make(AMIN, (key,), (axes,))
    if x.dtype.is_floating_point:
        at = make(WHERE, (make(LT, (at, const(0, dt.int32))), make(NOT, (at,)), at))
    return best, make(ADD, (cast_node(at, dt.int64), broadcast(first, best.shape)))


@lru_cache(maxsize=64)
def _positions(size, kernel, out, stride, padding, dilation):
    """Positions in a window (*K, *1) as int32, of windows' first elements (*L), and which elements
    of windows are inside of x (*K, *L); None: all."""
    rank = len(size)
    here, first, inside = np.zeros((), np.int32), np.zeros((), np.int64), np.ones((), bool)
    for n, k, m, s, p, d in zip(size, kernel, out, stride, padding, dilation, strict=True):
        taps, starts = np.arange(k) * d, np.arange(m) * s - p
        here = np.add.outer(here * n, taps.astype(np.int32))
        first = np.add.outer(first * n, starts)
        line = np.add.outer(taps, starts)
        inside = np.logical_and.outer(inside, (line >= 0) & (line < n))
    order = (*range(0, 2 * rank, 2), *range(1, 2 * rank, 2))
    return (here.reshape(*kernel, *(1,) * rank), first,
            None if inside.all() else np.ascontiguousarray(inside.transpose(order)))


def _pool_vjp(ctx, g, _):
    where = {"kernel": ctx.kernel, "stride": ctx.stride, "padding": ctx.padding,
             "dilation": ctx.dilation}
    return (apply(UNDO_OP, g, ctx.result(1), size=tuple(ctx.shape(0)[2:]), **where),)


def _undo_lower(g, index, size, kernel, stride, padding, dilation):
    """What a place gets is the gradient of the windows that found their largest there."""

    def taken(g, index, places):
        place = np.zeros((), np.int64)
        for n, line in zip(size, places, strict=True):
            place = np.add.outer(place * n, line)
        equal = make(EQ, (index, broadcast(leaf(place), index.shape)))
        return make(WHERE, (equal, g, const(0, g.dtype)))

    return folded([(g, 0), (index, -1)], taken, False, size, kernel, stride, padding, dilation)


UNDO_OP = Op("max_pool_backward", _undo_lower, lambda ctx, g: (pick(g, ctx.operand(1)), None),
             saves=(1,))

MAX_POOL_OP = {
    rank: Op(f"max_pool{rank}d_with_indices", _pool_lower, _pool_vjp, saves=("result1",),
             guards=(0, "result1"), nondiff_results=(1,),
             grad_name=f"MaxPool{rank}DWithIndicesBackward0", layout=layouts.POOLED)
    for rank in (1, 2, 3)}


# --- windows of different sizes: adaptive and fractional ------------------------------------------


def _boxes_infer(x: Node, starts, ends):
    shape = (*x.shape[:2], *map(len, starts))
    return (shape, x.dtype), (shape, dt.int64)


def _boxes_numpy(x, starts, ends):
    n, c, *size = x.shape
    plain = x.astype(np.float32) if x.dtype.kind == "V" else x
    out = tuple(map(len, starts))
    index = np.empty((n, c, *out), np.int64)
    for at in np.ndindex(*out):
        box = tuple(slice(s[i], e[i]) for i, s, e in zip(at, starts, ends, strict=True))
        part = plain[(slice(None), slice(None), *box)]
        inner = part.shape[2:]
        found = np.unravel_index(part.reshape(n, c, -1).argmax(-1), inner)
        place = np.zeros((n, c), np.int64)
        for p, s, length in zip(found, box, size, strict=True):
            place = place * length + p + s.start
        index[(slice(None), slice(None), *at)] = place
    values = np.take_along_axis(x.reshape(n, c, -1), index.reshape(n, c, -1), 2)
    return values.reshape(index.shape), index


BOX_POOL = Prim("box_pool", LIB, _boxes_infer, _boxes_numpy, batch="folded",
                doc="max pooling over boxes given by their bounds along each axis")


def _windows_of(starts, ends) -> dict | None:
    """The windows that boxes are, if they are of one size and side by side."""
    kernel = tuple(e[0] - s[0] if s else 0 for s, e in zip(starts, ends, strict=True))
    if not all(k > 0 and s == tuple(range(0, k * len(s), k)) and e == tuple(x + k for x in s)
               for k, s, e in zip(kernel, starts, ends, strict=True)):
        return None
    rank = len(kernel)
    return {"kernel": kernel, "stride": kernel, "padding": (0,) * rank, "dilation": (1,) * rank}


def _boxes_lower(x, starts, ends):
    where = _windows_of(starts, ends)
    if where is None or 0 in x.shape:
        return make_many(BOX_POOL, (x,), (starts, ends))
    return _pool_lower(x, out=tuple(map(len, starts)), **where)


def _boxes_vjp(ctx, g, _):
    where = _windows_of(ctx.starts, ctx.ends)
    if where is None:
        return (spread_back(g, ctx.result(1), ctx.shape(0)),)
    return (apply(UNDO_OP, g, ctx.result(1), size=tuple(ctx.shape(0)[2:]), **where),)


BOX_POOL_OP = {
    rank: Op(f"adaptive_max_pool{rank}d", _boxes_lower, _boxes_vjp,
             saves=("result1",), guards=(0, "result1"), nondiff_results=(1,),
             grad_name=f"AdaptiveMaxPool{rank}DBackward0",
             layout=layouts.POOLED if rank < 3 else None)
    for rank in (1, 2, 3)}


def interval_starts(sample: float, n: int, m: int, kernel: int) -> np.ndarray:
    """Pseudo-random window starts (Graham 2014), as PyTorch places them."""
    starts = np.full(m, n - kernel, np.int64)
    if m > 1:
        alpha = (n - kernel) / (m - 1)
        i = np.arange(m - 1)
        starts[:-1] = ((i + sample) * alpha).astype(np.int64) - int(sample * alpha)
        np.clip(starts, 0, n - kernel, starts)
    return starts


def _fraction_infer(x: Node, samples: Node, kernel, out):
    shape = (*x.shape[:2], *out)
    return (shape, x.dtype), (shape, dt.int64)


def _fraction_numpy(x, samples, kernel, out):
    rank = len(out)
    values, index = [], []
    order = (1, 0) if rank == 2 else (0, 1, 2)  # in 2-d the first sample is that of the width
    for plane, sample in zip(x.reshape(-1, *x.shape[2:]), samples.reshape(-1, rank), strict=True):
        starts = tuple(tuple(map(int, interval_starts(float(sample[i]), n, m, k)))
                       for i, n, m, k in zip(order, x.shape[2:], out, kernel, strict=True))
        ends = tuple(tuple(a + k for a in s) for s, k in zip(starts, kernel, strict=True))
        v, at = _boxes_numpy(plane[None, None], starts, ends)
        values.append(v)
        index.append(at)
    shape = (*x.shape[:2], *out)
    if not values:
        return np.empty(shape, x.dtype), np.empty(shape, np.int64)
    return np.concatenate(values).reshape(shape), np.concatenate(index).reshape(shape)


FRACTION = Prim("fractional_pool", LIB, _fraction_infer, _fraction_numpy, batch="folded",
                doc="max pooling over windows whose places come from random samples")
FRACTION_OP = {
    rank: Op(f"fractional_max_pool{rank}d",
             lambda x, samples, kernel, out: make_many(FRACTION, (x, samples), (kernel, out)),
             lambda ctx, g, _: (spread_back(g, ctx.result(1), ctx.shape(0)), None),
             saves=("result1",), guards=(0, "result1"), nondiff_results=(1,),
             grad_name=f"FractionalMaxPool{rank}DBackward0")
    for rank in (2, 3)}


def _unpool_lower(x, index, size):
    spatial, count = int(np.prod(size)), int(np.prod(x.shape[2:]))
    base = broadcast(operand(0, x.dtype), (*x.shape[:2], spatial))
    flat = scatter_node(base, _flat(index, count), _flat(x, count), 2, "set")
    return reshape(flat, (*x.shape[:2], *size))


UNPOOL_OP = {
    rank: Op(f"max_unpool{rank}d", _unpool_lower,
             lambda ctx, g: (pick(g, ctx.operand(1)), None), saves=(1,),
             grad_name=f"MaxUnpool{rank}DBackward0", layout=layouts.IMAGE)
    for rank in (1, 2, 3)}


# --- picking pooled positions again ---------------------------------------------------------------


def _pick_lower(x, index):
    spatial = int(np.prod(x.shape[2:]))
    flat = along(_flat(x, spatial), _flat(index, int(np.prod(index.shape[2:]))), 2)
    return reshape(flat, index.shape)


PICK_OP = Op("pool_pick", _pick_lower,
             lambda ctx, g: (spread_back(g, ctx.operand(1), ctx.shape(0)), None), saves=(1,))


def pick(x, index):
    """Elements of (N, C, *S) at positions of the flattened spatial axes."""
    return apply(PICK_OP, x, index)
