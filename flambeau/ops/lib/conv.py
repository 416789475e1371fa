"""torch.nn.functional's convolutions: argument rules over the operations of prim/conv.py."""

from __future__ import annotations

import numpy as np

from ...base.errors import ShapeError
from ...ir.api import api
from ...ir.node import make
from ...ir.op import Op, apply
from ...ir.view import VIEW_SET, broadcast
from ..core import operand
from ..prim.conv import CONV_OP, INPUT_OP, out_size
from ..prim.shape import _slice, slice_dim, squeeze, unsqueeze
from ..where import c_name, channels_last_hint, double_hint, made


def tuple_of(name: str, value, count: int) -> tuple[int, ...]:
    """A number for all axes, or one per axis."""
    if isinstance(value, (tuple, list)) and len(value) == 1:
        value = value[0]
    if isinstance(value, (int, np.integer)):
        return (int(value),) * count
    value = tuple(int(v) for v in value)
    if len(value) != count:
        raise RuntimeError(f"expected {name} to be a single integer value or a list of {count} "
                           f"values to match the convolution dimensions, but got "
                           f"{name}={list(value)}")
    return value


def _ranks(name, x, w, rank, transposed=False):
    """Batch axis added where it is missing."""
    if len(w.shape) != rank + 2:
        raise RuntimeError(f"{name}: expected weight of {rank + 2} dimensions, got shape "
                           f"{tuple(w.shape)}")
    if len(x.shape) not in (rank + 1, rank + 2):
        raise RuntimeError(f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to "
                           f"{name}, but got input of size: {list(x.shape)}")
    if x.dtype is not w.dtype:
        raise RuntimeError(f"Input type ({c_name(x.dtype)}) and weight type ({c_name(w.dtype)}) "
                           "should be the same" + double_hint(x, w))
    batched = len(x.shape) == rank + 2
    return (x if batched else unsqueeze(x, 0)), batched


def _check(name, x, w, bias, groups, stride, padding, dilation, transposed):
    if groups <= 0:
        raise RuntimeError(f"{name}: non-positive groups is not supported, got {groups}")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError("dilation should be greater than zero")
    outs, per = (w.shape[1] * groups, None) if transposed else (w.shape[0], w.shape[1])
    channels = x.shape[1]
    if transposed:
        if channels != w.shape[0]:
            raise ShapeError(
                f"Given transposed={int(transposed)}, weight of size {list(w.shape)}, expected "
                f"input{list(x.shape)} to have {w.shape[0]} channels, but got {channels} channels "
                "instead")
        if channels % groups:
            raise RuntimeError(f"{name}: {channels} input channels are not divisible by "
                               f"groups={groups}")
    elif channels != per * groups:
        hint = channels_last_hint(tuple(x.shape), per * groups)
        raise ShapeError(
            f"Given groups={groups}, weight of size {list(w.shape)}, expected input"
            f"{list(x.shape)} to have {per * groups} channels, but got {channels} channels instead"
            + hint + made(x, "input made"))
    elif outs % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be divisible by {groups} at "
                           f"dimension 0, but got weight of size {list(w.shape)} instead")
    if bias is not None and tuple(bias.shape) != (outs,):
        raise RuntimeError(f"Given weight of size {list(w.shape)}, expected bias to be "
                           f"1-dimensional with {outs} elements, but got bias of size "
                           f"{list(bias.shape)} instead")
    if bias is not None and bias.dtype is not x.dtype:
        raise RuntimeError(f"Input type ({c_name(x.dtype)}) and bias type "
                           f"({c_name(bias.dtype)}) should be the same" + double_hint(x, bias))


def _same_padding(x, w, stride, dilation):
    """Padding "same": symmetric part, and how much more is needed on the right."""
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for d, k in zip(dilation, w.shape[2:], strict=True)]
    return tuple(t // 2 for t in total), [t % 2 for t in total]


def conv_nd(name, rank, input, weight, bias, stride, padding, dilation, groups):  # noqa: A002
    """A convolution over ``rank`` spatial axes; see conv1d, conv2d, conv3d."""
    x, batched = _ranks(name, input, weight, rank)
    stride = tuple_of("stride", stride, rank)
    dilation = tuple_of("dilation", dilation, rank)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise RuntimeError(f"Invalid padding string: '{padding}'")
        if padding == "same":
            padding, extra = _same_padding(x, weight, stride, dilation)
            for i, more in enumerate(extra):
                if more:
                    x = grown(x, i + 2, 0, 1)
        else:
            padding = (0,) * rank
    padding = tuple_of("padding", padding, rank)
    _check(name, x, weight, bias, groups, stride, padding, dilation, False)
    for n, k, p, d in zip(x.shape[2:], weight.shape[2:], padding, dilation, strict=True):
        if n + 2 * p < d * (k - 1) + 1:
            sizes = " x ".join(str(m + 2 * q) for m, q in zip(x.shape[2:], padding, strict=True))
            kernel = " x ".join(str(e * (m - 1) + 1)
                                for m, e in zip(weight.shape[2:], dilation, strict=True))
            raise RuntimeError(f"Calculated padded input size per channel: ({sizes}). Kernel size: "
                               f"({kernel}). Kernel size can't be greater than actual input size")
    out = apply(CONV_OP, x, weight, bias, stride=stride, padding=padding, dilation=dilation,
                groups=groups)
    return out if batched else squeeze(out, 0)


def _grow_lower(x, dim, left, right):
    n = x.shape[dim]
    shape = x.shape[:dim] + (left + n + right,) + x.shape[dim + 1:]
    base = broadcast(operand(0, x.dtype), shape)
    _, strides, offset = _slice.geometry(base.shape, base.strides, 0, dim, left, left + n, 1)
    return make(VIEW_SET, (base, x), (strides, offset))


_grow = Op("grow", _grow_lower, lambda ctx, g: (
    slice_dim(g, ctx.dim, ctx.left, ctx.left + ctx.shape(0)[ctx.dim]),),
    grad_name="ConstantPadNdBackward0")


def grown(x, dim, left, right):
    """Zeros on both sides of an axis."""
    return apply(_grow, x, dim=dim, left=left, right=right) if left or right else x


def _conv_cases(rank):
    size = (5, 6, 4)[:rank]
    k = (3, 2, 2)[:rank]
    return lambda t: [
        t.call(t.f(2, 3, *size), t.f(4, 3, *k), t.f(4)),
        t.call(t.f(2, 4, *size), t.f(6, 2, *k), None, 2, 1, 1, 2),
        t.call(t.f(3, *size), t.f(4, 3, *k), padding="same")]


@api(functional=True, cases=_conv_cases(1))
def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):  # noqa: A002
    """Cross-correlation of (N, C, L) with weights (O, C / groups, K)."""
    return conv_nd("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@api(functional=True, cases=_conv_cases(2),
     errors=lambda t: [(RuntimeError, "channels", t.call(t.f(1, 3, 4, 4), t.f(2, 4, 2, 2)))])
def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):  # noqa: A002
    """Cross-correlation of (N, C, H, W) with weights (O, C / groups, KH, KW)."""
    return conv_nd("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@api(functional=True, cases=_conv_cases(3))
def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):  # noqa: A002
    """Cross-correlation of (N, C, D, H, W) with weights (O, C / groups, KD, KH, KW)."""
    return conv_nd("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose_nd(name, rank, input, weight, bias, stride, padding,  # noqa: A002
                      output_padding, groups, dilation):
    """The transpose of a convolution over ``rank`` spatial axes."""
    x, batched = _ranks(name, input, weight, rank, True)
    stride = tuple_of("stride", stride, rank)
    padding = tuple_of("padding", padding, rank)
    extra = tuple_of("output_padding", output_padding, rank)
    dilation = tuple_of("dilation", dilation, rank)
    _check(name, x, weight, bias, groups, stride, padding, dilation, True)
    for e, s, d in zip(extra, stride, dilation, strict=True):
        if e < 0:
            raise RuntimeError("negative output_padding is not supported")
        if e >= s and e >= d:
            raise RuntimeError("output padding must be smaller than either stride or dilation, but "
                               f"got output_padding: {list(extra)} stride: {list(stride)} "
                               f"dilation: {list(dilation)}")
    size = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 + e for n, s, p, d, k, e in zip(
        x.shape[2:], stride, padding, dilation, weight.shape[2:], extra, strict=True))
    if any(n <= 0 for n in size):
        raise RuntimeError(f"{name}: the output would have size {list(size)}: too small")
    out = _transposed(x, weight, bias, size, stride, padding, dilation, groups)
    return out if batched else squeeze(out, 0)


def _transposed(x, weight, bias, size, stride, padding, dilation, groups):
    """INPUT_OP, with output padding of a whole stride or more written as rows of zeros."""
    fits = tuple(map(out_size, size, weight.shape[2:], stride, padding, dilation))
    for i, (have, want) in enumerate(zip(x.shape[2:], fits, strict=True)):
        x = grown(x, i + 2, 0, want - have)
    return apply(INPUT_OP, x, weight, bias, size=size, stride=stride, padding=padding,
                 dilation=dilation, groups=groups)


def _transpose_cases(rank):
    size = (5, 4, 3)[:rank]
    k = (3, 2, 2)[:rank]
    return lambda t: [t.call(t.f(2, 4, *size), t.f(4, 3, *k), t.f(3)),
                      t.call(t.f(2, 4, *size), t.f(4, 3, *k), t.f(6), 2, 1, 1, 2)]


@api(functional=True, cases=_transpose_cases(1))
def conv_transpose1d(input, weight, bias=None, stride=1, padding=0,  # noqa: A002
                     output_padding=0, groups=1, dilation=1):
    """Transposed convolution of (N, C, L) with weights (C, O / groups, K)."""
    return conv_transpose_nd("conv_transpose1d", 1, input, weight, bias, stride, padding,
                             output_padding, groups, dilation)


@api(functional=True, cases=_transpose_cases(2))
def conv_transpose2d(input, weight, bias=None, stride=1, padding=0,  # noqa: A002
                     output_padding=0, groups=1, dilation=1):
    """Transposed convolution of (N, C, H, W) with weights (C, O / groups, KH, KW)."""
    return conv_transpose_nd("conv_transpose2d", 2, input, weight, bias, stride, padding,
                             output_padding, groups, dilation)


@api(functional=True, cases=_transpose_cases(3))
def conv_transpose3d(input, weight, bias=None, stride=1, padding=0,  # noqa: A002
                     output_padding=0, groups=1, dilation=1):
    """Transposed convolution of (N, C, D, H, W) with weights (C, O / groups, KD, KH, KW)."""
    return conv_transpose_nd("conv_transpose3d", 3, input, weight, bias, stride, padding,
                             output_padding, groups, dilation)
