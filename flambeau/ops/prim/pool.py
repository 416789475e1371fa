"""Max pooling: values and where they came from. Averages stand in window.py."""

from __future__ import annotations

import itertools

import numpy as np

from ...base import dtype as dt
from ...ir.node import Node, OpClass, Prim, make_many
from ...ir.op import Op, apply
from ...ir.view import broadcast
from ..core import operand
from .index import along, scatter_add_zeros, scatter_node
from .shape import reshape

LIB = OpClass.LIBRARY


def _lowest(d: np.dtype):
    if d.kind in "iu":
        return np.iinfo(d).min
    return -np.inf


def _pool_infer(x: Node, kernel, out, stride, padding, dilation):
    shape = (*x.shape[:2], *out)
    return (shape, x.dtype), (shape, dt.int64)


def _pool_numpy(x, kernel, out, stride, padding, dilation):
    """One pass per kernel element; the first of equal values wins, NaN beats all."""
    size = x.shape[2:]
    narrow = x.dtype.kind == "V"
    source = x.astype(np.float32) if narrow else x
    right = [max((m - 1) * s + d * (k - 1) + 1 - n - p, 0) for m, s, d, k, n, p in zip(
        out, stride, dilation, kernel, size, padding, strict=True)]
    if any(padding) or any(right):
        source = np.pad(source, [(0, 0), (0, 0), *zip(padding, right, strict=True)],
                        constant_values=_lowest(source.dtype))
    best = where = None
    for at in itertools.product(*map(range, kernel)):
        spots = tuple(slice(a * d, a * d + (m - 1) * s + 1, s)
                      for a, d, m, s in zip(at, dilation, out, stride, strict=True))
        part = source[(slice(None), slice(None), *spots)]
        place = np.zeros((), np.int64)
        valid = np.ones((), bool)
        for axis, (a, d, m, s, p, n) in enumerate(
                zip(at, dilation, out, stride, padding, size, strict=True)):
            line = np.arange(m) * s + a * d - p
            lone = [1] * len(out)
            lone[axis] = m
            place = place * n + line.reshape(lone)
            valid = valid & ((line >= 0) & (line < n)).reshape(lone)
        if best is None:
            best = np.where(valid, part, _lowest(part.dtype)).astype(part.dtype)
            where = np.broadcast_to(np.where(valid, place, -1), part.shape).copy()
            continue
        better = valid & ((part > best) | (where < 0))
        if part.dtype.kind == "f":
            better |= valid & np.isnan(part)
        np.copyto(best, part, where=better)
        np.copyto(where, np.broadcast_to(place, where.shape), where=better)
    return best.astype(x.dtype, copy=False), where


MAX_POOL = Prim("max_pool", LIB, _pool_infer, _pool_numpy,
                doc="largest of each window and its position in the flattened spatial axes")


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


def _pool_lower(x, kernel, out, stride, padding, dilation):
    return make_many(MAX_POOL, (x,), (kernel, out, stride, padding, dilation))


def _pool_vjp(ctx, g, _):
    return (spread_back(g, ctx.result(1), ctx.shape(0)),)


MAX_POOL_OP = {
    rank: Op(f"max_pool{rank}d_with_indices", _pool_lower, _pool_vjp, saves=("result1",),
             nondiff_results=(1,), grad_name=f"MaxPool{rank}DWithIndicesBackward0")
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


BOX_POOL = Prim("box_pool", LIB, _boxes_infer, _boxes_numpy,
                doc="max pooling over boxes given by their bounds along each axis")
BOX_POOL_OP = {
    rank: Op(f"adaptive_max_pool{rank}d",
             lambda x, starts, ends: make_many(BOX_POOL, (x,), (starts, ends)), _pool_vjp,
             saves=("result1",), nondiff_results=(1,),
             grad_name=f"AdaptiveMaxPool{rank}DBackward0")
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


FRACTION = Prim("fractional_pool", LIB, _fraction_infer, _fraction_numpy,
                doc="max pooling over windows whose places come from random samples")
FRACTION_OP = {
    rank: Op(f"fractional_max_pool{rank}d",
             lambda x, samples, kernel, out: make_many(FRACTION, (x, samples), (kernel, out)),
             lambda ctx, g, _: (spread_back(g, ctx.result(1), ctx.shape(0)), None),
             saves=("result1",), nondiff_results=(1,),
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
             grad_name=f"MaxUnpool{rank}DBackward0")
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
