"""Convolution of any number of spatial axes: three operations, each the gradient of the others.

``convolution``(x, w) -> y, its transpose with respect to x, (y, w) -> x, and the one with respect
to w, (x, y) -> w, are the three ways to contract the same trilinear form, so that derivatives of
every order stay among them. A transposed convolution is the second one used forward. All are made
of the primitives of ``correlate.py``.

Layout: x (N, C, *S), w (O, C / groups, *K), y (N, O, *L);
L = (S + 2 * padding - dilation * (K - 1) - 1) // stride + 1.
"""

from __future__ import annotations

import itertools
import math

from ...base import layout as layouts
from ...base import shape as sh
from ...ir.node import Node, make
from ...ir.op import Op, apply
from ...ir.view import broadcast, view
from ..core import cast_node, operand, widened_node
from .correlate import CORRELATE, CORRELATE_WEIGHT, parts_of, planes, zeros
from .elementwise import ADD, conj
from .reduce import PLAIN_SUM
from .reduce import sum as sum_over
from .regions import REGIONS, interleaved, pieces_of
from .shape import reshape


def out_size(n: int, k: int, stride: int, padding: int, dilation: int) -> int:
    """Length of a convolution's output along one axis."""
    return (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1


def _offsets(kernel, padding, dilation) -> list[list[int]]:
    """Along each axis, where the kernel's elements read, seen from the output's place."""
    return [[r * d - p for r in range(k)] for k, p, d in zip(kernel, padding, dilation,
                                                             strict=True)]


def _conv(x: Node, w: Node, stride, padding, dilation, groups) -> Node:
    kernel = w.shape[2:]
    out = tuple(map(out_size, x.shape[2:], kernel, stride, padding, dilation))
    shape = (x.shape[0], w.shape[0], *out)
    found = None if 0 in (*shape, *x.shape, *w.shape) else \
        planes(x, _offsets(kernel, padding, dilation), stride)
    if found is None:
        return zeros(shape, x.dtype)
    source, taps = found
    return make(CORRELATE, (source, reshape(w, (*w.shape[:2], len(taps)))), (out, taps, groups))


def _conv_input(y: Node, w: Node, size, stride, padding, dilation, groups) -> Node:
    """x[i] = sum over taps t of w[t] y[l] where i = stride l + dilation t - padding: for each rest
    of i by the stride a correlation with some of the taps."""
    n, o = y.shape[:2]
    lead = (n, w.shape[1] * groups)
    if 0 in (*lead, *size, *y.shape, *w.shape):
        return zeros((*lead, *size), y.dtype)
    source = reshape(y, (n, o, 1, *y.shape[2:]))
    pieces = {}
    for at, count, chosen, shifts in pieces_of(size, w.shape[2:], stride, padding, dilation):
        taps = tuple((0, *s) for s in itertools.product(*shifts))
        pieces[at] = make(CORRELATE, (source, _turned(w, chosen, groups)), (count, taps, groups))
    return interleaved(pieces, lead, size, stride, y.dtype)


def _turned(w: Node, chosen: list[list[int]], groups: int) -> Node:
    """Some of the kernel's elements with inputs and outputs exchanged: (C, O / groups, taps)."""
    o, c = w.shape[0] // groups, w.shape[1]
    steps = sh.contiguous_strides(w.shape)
    inner = [(len(mine), s * (mine[1] - mine[0] if len(mine) > 1 else 0), s * mine[0])
             for mine, s in zip(chosen, steps[2:], strict=True)]
    shape = (groups, c, o, *[m for m, _, _ in inner])
    part = view(w, shape, (o * steps[0], steps[1], steps[0], *[s for _, s, _ in inner]),
                sum(a for _, _, a in inner))
    whole = ((sh.contiguous_strides(shape), 0),)
    copied = make(REGIONS, (operand(0, w.dtype), part), (shape, whole))
    return reshape(copied, (groups * c, o, math.prod(shape[3:])))


def _conv_weight(x: Node, y: Node, kernel, stride, padding, dilation, groups) -> Node:
    o, c = y.shape[1], x.shape[1] // groups
    shape = (o, c, *kernel)
    found = None if 0 in (*shape, *x.shape, *y.shape) else \
        planes(x, _offsets(kernel, padding, dilation), stride)
    if found is None:
        return zeros(shape, x.dtype)
    source, taps = found
    parts = parts_of(o // groups, c * len(taps), groups, x.shape[0], math.prod(y.shape[2:]))
    w = make(CORRELATE_WEIGHT, (source, y), (taps, groups, parts))
    return reshape(make(PLAIN_SUM, (w,), ((0,),)) if parts > 1 else w, shape)


def _computed(function, a: Node, b: Node, bias, *params) -> Node:
    """A convolution and its bias; 16-bit floats are summed in float32 and rounded once."""
    out = function(widened_node(a), widened_node(b), *params)
    if bias is not None:
        bias = reshape(cast_node(bias, out.dtype), (1, out.shape[1]) + (1,) * (len(out.shape) - 2))
        out = make(ADD, (out, broadcast(bias, out.shape)))
    return cast_node(out, a.dtype)


# --- operations -----------------------------------------------------------------------------------


def _bias_grad(ctx, g):
    """A bias is added to every place of its channel."""
    if ctx.operands < 3 or not ctx.needs(2):
        return None
    return sum_over(g, [i for i in range(len(g.shape)) if i != 1])


def _where(ctx):
    return {"stride": ctx.stride, "padding": ctx.padding, "dilation": ctx.dilation,
            "groups": ctx.groups}


def _conv_lower(x, w, bias, stride, padding, dilation, groups):
    return _computed(_conv, x, w, bias, stride, padding, dilation, groups)


def _conv_vjp(ctx, g):
    where = _where(ctx)
    gx = apply(INPUT_OP, g, conj(ctx.operand(1)), None, size=tuple(ctx.shape(0)[2:]), **where) \
        if ctx.needs(0) else None
    gw = apply(WEIGHT_OP, conj(ctx.operand(0)), g, kernel=tuple(ctx.shape(1)[2:]), **where) \
        if ctx.needs(1) else None
    return gx, gw, _bias_grad(ctx, g)


def _other(needs, params):
    return tuple(i for i in (0, 1) if needs[1 - i])


CONV_OP = Op("convolution", _conv_lower, _conv_vjp, saves=_other, guards=(0, 1),
             layout=layouts.CONVOLVED)


def _input_lower(y, w, bias, size, stride, padding, dilation, groups):
    return _computed(_conv_input, y, w, bias, size, stride, padding, dilation, groups)


def _input_vjp(ctx, g):
    where = _where(ctx)
    gy = apply(CONV_OP, g, conj(ctx.operand(1)), None, **where) if ctx.needs(0) else None
    gw = apply(WEIGHT_OP, g, conj(ctx.operand(0)), kernel=tuple(ctx.shape(1)[2:]), **where) \
        if ctx.needs(1) else None
    return gy, gw, _bias_grad(ctx, g)


INPUT_OP = Op("convolution_transpose", _input_lower, _input_vjp, saves=_other, guards=(0, 1),
              grad_name="ConvolutionBackward0", layout=layouts.CONVOLVED)


def _weight_lower(x, y, kernel, stride, padding, dilation, groups):
    return _computed(_conv_weight, x, y, None, kernel, stride, padding, dilation, groups)


def _weight_vjp(ctx, g):
    where = _where(ctx)
    gx = apply(INPUT_OP, ctx.operand(1), conj(g), None, size=tuple(ctx.shape(0)[2:]), **where) \
        if ctx.needs(0) else None
    gy = apply(CONV_OP, ctx.operand(0), conj(g), None, **where) if ctx.needs(1) else None
    return gx, gy


WEIGHT_OP = Op("convolution_weight", _weight_lower, _weight_vjp, saves=_other)
