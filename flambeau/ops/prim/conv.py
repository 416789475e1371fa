"""Convolution of any number of spatial axes: three primitives, each the gradient of the others.

``conv``(x, w) -> y, ``conv_input``(y, w) -> x and ``conv_weight``(x, y) -> w are the three ways to
contract the same trilinear form, so that derivatives of every order stay among them. A transposed
convolution is ``conv_input`` used forward. NumPy meaning: windows (im2col) and a matrix product.

Layout: x (N, C, *S), w (O, C / groups, *K), y (N, O, *L);
L = (S + 2 * padding - dilation * (K - 1) - 1) // stride + 1.
"""

from __future__ import annotations

import numpy as np

from ...ir.node import Node, OpClass, Prim, make
from ...ir.op import Op, apply
from ...ir.view import broadcast
from ..core import cast_node
from .elementwise import ADD, conj
from .reduce import sum  # noqa: A004
from .shape import reshape

C = OpClass.CONTRACT


def out_size(n: int, k: int, stride: int, padding: int, dilation: int) -> int:
    """Length of a convolution's output along one axis."""
    return (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1


def _wide(x: np.ndarray) -> np.ndarray:
    """16-bit floats are multiplied and summed in float32."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x


def _padded(x: np.ndarray, padding) -> np.ndarray:
    if not any(padding):
        return x
    return np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]])


def _windows(x: np.ndarray, size, out, stride, dilation) -> np.ndarray:
    """Windows of padded x as a view: (N, C, *K, *L)."""
    spatial = x.strides[2:]
    shape = (*x.shape[:2], *size, *out)
    steps = (*x.strides[:2], *[s * d for s, d in zip(spatial, dilation, strict=True)],
             *[s * t for s, t in zip(spatial, stride, strict=True)])
    return np.lib.stride_tricks.as_strided(x, shape, steps, writeable=False)


def _columns(x, size, out, stride, padding, dilation, groups) -> np.ndarray:
    """im2col: (groups, N, C / groups * K, L)."""
    n, c = x.shape[:2]
    view = _windows(_padded(x, padding), size, out, stride, dilation)
    rows = c // groups * int(np.prod(size))
    return view.reshape(n, groups, rows, int(np.prod(out))).swapaxes(0, 1)


def _conv_infer(x: Node, w: Node, stride, padding, dilation, groups):
    spatial = tuple(map(out_size, x.shape[2:], w.shape[2:], stride, padding, dilation))
    return (x.shape[0], w.shape[0], *spatial), x.dtype


def _conv_numpy(x, w, stride, padding, dilation, groups):
    d = x.dtype
    x, w = _wide(x), _wide(w)
    out = tuple(map(out_size, x.shape[2:], w.shape[2:], stride, padding, dilation))
    n, o = x.shape[0], w.shape[0]
    if 0 in (n, o, *out) or x.shape[1] == 0:
        return np.zeros((n, o, *out), d)
    columns = _columns(x, w.shape[2:], out, stride, padding, dilation, groups)
    rows = w.reshape(groups, 1, o // groups, -1)
    y = np.matmul(rows, columns)  # (groups, N, O / groups, L)
    return y.swapaxes(0, 1).reshape(n, o, *out).astype(d, copy=False)


CONV = Prim("conv", C, _conv_infer, _conv_numpy, doc="cross-correlation y = conv(x, w)")


def _conv_input_infer(y: Node, w: Node, size, stride, padding, dilation, groups):
    return (y.shape[0], w.shape[1] * groups, *size), y.dtype


def _conv_input_numpy(y, w, size, stride, padding, dilation, groups):
    d = y.dtype
    y, w = _wide(y), _wide(w)
    n, o = y.shape[:2]
    c, kernel, out = w.shape[1] * groups, w.shape[2:], y.shape[2:]
    full = tuple(s + 2 * p for s, p in zip(size, padding, strict=True))
    x = np.zeros((n, c, *full), np.result_type(y, w))
    if y.size and w.size:
        rows = w.reshape(groups, 1, o // groups, -1).swapaxes(2, 3)
        flat = y.reshape(n, groups, o // groups, -1).swapaxes(0, 1)
        columns = np.matmul(rows, flat).swapaxes(0, 1).reshape(n, c, *kernel, *out)
        for at in np.ndindex(kernel):
            spots = tuple(slice(a * t, a * t + (m - 1) * s + 1, s)
                          for a, t, m, s in zip(at, dilation, out, stride, strict=True))
            x[(slice(None), slice(None), *spots)] += columns[(slice(None), slice(None), *at)]
    inner = tuple(slice(p, p + s) for p, s in zip(padding, size, strict=True))
    return x[(slice(None), slice(None), *inner)].astype(d, copy=False)


CONV_INPUT = Prim("conv_input", C, _conv_input_infer, _conv_input_numpy,
                  doc="the transpose of conv with respect to x, of spatial size `size`")


def _conv_weight_infer(x: Node, y: Node, kernel, stride, padding, dilation, groups):
    return (y.shape[1], x.shape[1] // groups, *kernel), x.dtype


def _conv_weight_numpy(x, y, kernel, stride, padding, dilation, groups):
    d = x.dtype
    x, y = _wide(x), _wide(y)
    n, o = y.shape[:2]
    c, out = x.shape[1], y.shape[2:]
    if not y.size or not x.size:
        return np.zeros((o, c // groups, *kernel), d)
    columns = _columns(x, kernel, out, stride, padding, dilation, groups)
    flat = y.reshape(n, groups, o // groups, -1).swapaxes(0, 1)
    w = np.matmul(flat, columns.swapaxes(2, 3)).sum(1)
    return w.reshape(o, c // groups, *kernel).astype(d, copy=False)


CONV_WEIGHT = Prim("conv_weight", C, _conv_weight_infer, _conv_weight_numpy,
                   doc="the transpose of conv with respect to w, of spatial size `kernel`")


# --- operations -----------------------------------------------------------------------------------


def _with_bias(y: Node, bias) -> Node:
    if bias is None:
        return y
    bias = reshape(cast_node(bias, y.dtype), (1, y.shape[1]) + (1,) * (len(y.shape) - 2))
    return make(ADD, (y, broadcast(bias, y.shape)))


def _bias_grad(ctx, g):
    """A bias is added to every place of its channel."""
    if ctx.operands < 3 or not ctx.needs(2):
        return None
    return sum(g, [i for i in range(len(g.shape)) if i != 1])


def _where(ctx):
    return {"stride": ctx.stride, "padding": ctx.padding, "dilation": ctx.dilation,
            "groups": ctx.groups}


def _conv_lower(x, w, bias, stride, padding, dilation, groups):
    return _with_bias(make(CONV, (x, w), (stride, padding, dilation, groups)), bias)


def _conv_vjp(ctx, g):
    where = _where(ctx)
    gx = apply(INPUT_OP, g, conj(ctx.operand(1)), None, size=tuple(ctx.shape(0)[2:]), **where) \
        if ctx.needs(0) else None
    gw = apply(WEIGHT_OP, conj(ctx.operand(0)), g, kernel=tuple(ctx.shape(1)[2:]), **where) \
        if ctx.needs(1) else None
    return gx, gw, _bias_grad(ctx, g)


def _other(needs, params):
    return tuple(i for i in (0, 1) if needs[1 - i])


CONV_OP = Op("convolution", _conv_lower, _conv_vjp, saves=_other)


def _input_lower(y, w, bias, size, stride, padding, dilation, groups):
    return _with_bias(make(CONV_INPUT, (y, w), (size, stride, padding, dilation, groups)), bias)


def _input_vjp(ctx, g):
    where = _where(ctx)
    gy = apply(CONV_OP, g, conj(ctx.operand(1)), None, **where) if ctx.needs(0) else None
    gw = apply(WEIGHT_OP, g, conj(ctx.operand(0)), kernel=tuple(ctx.shape(1)[2:]), **where) \
        if ctx.needs(1) else None
    return gy, gw, _bias_grad(ctx, g)


INPUT_OP = Op("convolution_transpose", _input_lower, _input_vjp, saves=_other,
              grad_name="ConvolutionBackward0")


def _weight_lower(x, y, kernel, stride, padding, dilation, groups):
    return make(CONV_WEIGHT, (x, y), (kernel, stride, padding, dilation, groups))


def _weight_vjp(ctx, g):
    where = _where(ctx)
    gx = apply(INPUT_OP, ctx.operand(1), conj(g), None, size=tuple(ctx.shape(0)[2:]), **where) \
        if ctx.needs(0) else None
    gy = apply(CONV_OP, ctx.operand(0), conj(g), None, **where) if ctx.needs(1) else None
    return gx, gy


WEIGHT_OP = Op("convolution_weight", _weight_lower, _weight_vjp, saves=_other)
