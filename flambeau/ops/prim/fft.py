"""Fourier transforms: three LIBRARY primitives and their adjoints.

``norm`` is NumPy's name of the scaling ("backward": none forward, "ortho", "forward": 1/n forward).
The adjoint of a transform is the transform the other way, with the scalings exchanged.
"""

from __future__ import annotations

import numpy as np

from ...ir.node import Node, OpClass, Prim, make
from ...ir.op import Op, apply
from .elementwise import mul
from .index import on_host

LIB = OpClass.LIBRARY
SWAP = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def _precise(function, x, *args):
    """In the operand's precision (NumPy's older versions widen to float64)."""
    out = function(x, *args)
    single = x.dtype in (np.float32, np.complex64)
    if single:
        return out.astype(np.complex64 if out.dtype.kind == "c" else np.float32, copy=False)
    return out


def _c2c_numpy(x, axes, norm, forward):
    if not axes:
        return x
    return _precise(np.fft.fftn if forward else np.fft.ifftn, x, None, axes, norm)


C2C = Prim("fft_c2c", LIB, lambda x, axes, norm, forward: (x.shape, x.dtype), _c2c_numpy,
           batch="axis", doc="complex transform over axes")
C2C_OP: Op = Op("_fft_c2c", lambda x, axes, norm, forward: make(C2C, (x,), (axes, norm, forward)),
                lambda ctx, g: (apply(C2C_OP, g, axes=ctx.axes, norm=SWAP[ctx.norm],
                                      forward=not ctx.forward),), grad_name="FftC2CBackward0")


def _half(shape, axis: int, n: int):
    return shape[:axis] + (n,) + shape[axis + 1:]


def _r2c_infer(x: Node, axes, norm):
    return _half(x.shape, axes[-1], x.shape[axes[-1]] // 2 + 1), x.dtype.to_complex()


R2C = Prim("fft_r2c", LIB, _r2c_infer, lambda x, axes, norm: _precise(
    np.fft.rfftn, x, None, axes, norm), batch="axis",
    doc="transform of real values, half of the last axis")


def _c2r_infer(x: Node, axes, norm, n):
    return _half(x.shape, axes[-1], n), x.dtype.to_real()


def _c2r_numpy(x, axes, norm, n):
    return _precise(np.fft.irfftn, x, [*(x.shape[a] for a in axes[:-1]), n], axes, norm)


C2R = Prim("fft_c2r", LIB, _c2r_infer, _c2r_numpy, batch="axis",
           doc="inverse transform to real values")


def _weights(x, axis: int, n: int, inner: float):
    """A factor along the half axis: 1 for the values that have no mirror image, else ``inner``."""
    m = n // 2 + 1
    w = np.full(m, inner)
    w[0] = 1
    if n % 2 == 0:
        w[-1] = 1
    lone = [1] * len(x.shape)
    lone[axis] = m
    return on_host(w.reshape(lone).astype(x.dtype.np), x)


def _r2c_vjp(ctx, g):
    """Each mirrored value stands for two in the inverse transform, but for one here."""
    axis = ctx.axes[-1]
    n = ctx.shape(0)[axis]
    g = mul(g, _weights(g, axis, n, 0.5))
    return (apply(C2R_OP, g, axes=ctx.axes, norm=SWAP[ctx.norm], n=n),)


def _c2r_vjp(ctx, g):
    out = apply(R2C_OP, g, axes=ctx.axes, norm=SWAP[ctx.norm])
    return (mul(out, _weights(out, ctx.axes[-1], ctx.n, 2.0)),)


R2C_OP = Op("_fft_r2c", lambda x, axes, norm: make(R2C, (x,), (axes, norm)), _r2c_vjp,
            guards=(0,), grad_name="FftR2CBackward0")
C2R_OP = Op("_fft_c2r", lambda x, axes, norm, n: make(C2R, (x,), (axes, norm, n)), _c2r_vjp,
            grad_name="FftC2RBackward0")
