"""Complex numbers: parts, angle, conjugate, and making them.

``real``, ``imag``, ``view_as_real`` and ``view_as_complex`` are views: they read the same memory as
another dtype. Differs from PyTorch: ``conj`` of complex tensors gives values of their own.
"""

from __future__ import annotations

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...ir.api import api
from ...ir.node import Node, OpClass, Prim, const, make
from ...ir.op import Op, apply
from ..core import cast_node, is_number, spread, to_float
from ..prim.elementwise import CONJ, conj, div, eq, lt, mul, neg, where
from ..prim.pointwise import abs, cos, sin, zeros_of

E = OpClass.ELEMENTWISE


def _real_shape(x: Node):
    return x.shape, x.dtype.to_real()


REAL = Prim("real", E, _real_shape, lambda x: np.array(x.real), doc="real part")
IMAG = Prim("imag", E, _real_shape, lambda x: np.array(x.imag), doc="imaginary part")


def _complex_shape(x: Node, y: Node):
    return (x.shape if len(x.shape) >= len(y.shape) else y.shape), x.dtype.to_complex()


def _complex_numpy(x, y):
    out = np.empty(np.broadcast_shapes(x.shape, y.shape), dt.from_numpy(x.dtype).to_complex().np)
    out.real, out.imag = x, y
    return out


COMPLEX = Prim("complex", E, _complex_shape, _complex_numpy, doc="x + i y")


def _times_i(g):
    return complex(mul(g, 0), g)


def _parts(first: int):
    """Geometry of every second real number of the pairs that complex numbers are made of."""
    def geometry(shape, strides, offset):
        return shape, tuple([2 * s for s in strides]), 2 * offset + first

    return geometry


_real = Op("real", lambda x: make(REAL, (x,)), lambda ctx, g: (complex(g, mul(g, 0)),),
           geometry=_parts(0), retypes=dt.dtype.to_real)
_imag = Op("imag", lambda x: make(IMAG, (x,)), lambda ctx, g: (_times_i(g),),
           geometry=_parts(1), retypes=dt.dtype.to_real)


@api(dtypes="any", cases=lambda t: [t.call(t.f(2, 3))])
def real(input):
    """The real part, a view; real tensors are returned as they are."""
    return apply(_real, input) if input.dtype.is_complex else input


@api(cases=None)
def imag(input):
    """The imaginary part, a view.

    Raises:
        RuntimeError: a real tensor.
    """
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return apply(_imag, input)


def _complex_lower(x, y):
    if x.dtype is not y.dtype:
        raise RuntimeError(f"Expected object of scalar type {x.dtype} but got scalar type "
                           f"{y.dtype} for second argument")
    if not x.dtype.is_floating_point:
        raise RuntimeError("Expected both inputs to be Half, Float or Double tensors but got "
                           f"{x.dtype} and {y.dtype}")
    return make(COMPLEX, tuple(spread(x, y)))


_complex = Op("complex", _complex_lower, lambda ctx, g: (real(g), imag(g)),
              guards=lambda needs, params: tuple(i for i in (0, 1) if needs[i]),
              layout=layouts.ELEMENTWISE)


@api(out=1, cases=lambda t: [t.call(t.f(2, 3), t.f(2, 3))])
def complex(real, imag):  # noqa: A001
    """``real + i * imag`` of two float tensors of one dtype."""
    return apply(_complex, real, imag)


def _polar_vjp(ctx, g):
    size, angle = ctx.operand(0), ctx.operand(1)
    along, across = (real(mul(conj(g), complex(a, b))) for a, b in (
        (cos(angle), sin(angle)), (neg(sin(angle)), cos(angle))))
    return along, mul(size, across)


_polar = Op("polar", lambda size, angle: _complex_lower(*(
    mul(size, part(angle)) for part in (cos, sin))), _polar_vjp,
    saves=(0, 1), guards=("result",), layout=layouts.ELEMENTWISE)


@api(out=1, cases=lambda t: [t.call(t.pos(2, 3), t.f(2, 3))])
def polar(abs, angle):
    """``abs * exp(i * angle)`` of two float tensors of one dtype."""
    for at, (name, x) in enumerate((("abs", abs), ("angle", angle)), 1):
        if is_number(x):
            raise TypeError(f"polar(): argument '{name}' (position {at}) must be Tensor, not "
                            f"{type(x).__name__}")
    return apply(_polar, abs, angle)


# --- angle and conjugate ------------------------------------------------------------------------


ANGLE = Prim("angle", E, _real_shape, np.angle, doc="argument of a complex number")


def _angle_lower(x):
    if x.dtype.is_complex:
        return make(ANGLE, (x,))
    x = cast_node(x, to_float(x.dtype))
    return where(lt(x, 0), const(np.pi, x.dtype), where(eq(x, x), 0, x))


def _angle_vjp(ctx, g):
    x = ctx.operand(0)
    if not x.dtype.is_complex:
        return (zeros_of(g),)
    size = abs(x)
    square = mul(size, size)
    square = where(eq(square, 0), 1, square)
    return (complex(div(neg(mul(g, imag(x))), square), div(mul(g, real(x)), square)),)


_angle = Op("angle", _angle_lower, _angle_vjp, saves=(0,), layout=layouts.ELEMENTWISE)


@api(method=True, out=1, dtypes="any", cases=lambda t: [t.call(t.f(2, 3))])
def angle(input):
    """The argument of each element: 0 or pi for real ones, NaN for NaN."""
    return apply(_angle, input)


@api("conj", method=True, dtypes="any", cases=lambda t: [t.call(t.f(2, 3))])
def conjugate(input):
    """The complex conjugate; real tensors are returned as they are."""
    return conj(input)


_conj_physical = Op("conj_physical", lambda x: make(CONJ, (x,)),
                    lambda ctx, g: (conj(g),), layout=layouts.ELEMENTWISE)


@api(method=True, inplace=True, out=1, dtypes="any", cases=lambda t: [t.call(t.f(2, 3))])
def conj_physical(input):
    """The complex conjugate, computed; real tensors are returned as they are."""
    return apply(_conj_physical, input) if input.dtype.is_complex else input


@api(method=True, dtypes="any", cases=lambda t: [t.call(t.f(2, 3))])
def resolve_conj(input):
    """``input``: conjugates are always computed."""
    return input


@api(method=True, dtypes="any", cases=lambda t: [t.call(t.f(2, 3))])
def resolve_neg(input):
    """``input``: negatives are always computed."""
    return input


@api(method=True, dtypes="any")
def is_conj(input) -> bool:
    """False: conjugates are always computed."""
    return False


@api(method=True, dtypes="any")
def is_neg(input) -> bool:
    """False: negatives are always computed."""
    return False


# --- pairs of floats ----------------------------------------------------------------------------


def _as_real_shape(x: Node):
    return (*x.shape, 2), x.dtype.to_real()


def _as_complex_shape(x: Node):
    return x.shape[:-1], x.dtype.to_complex()


AS_REAL = Prim("as_real", OpClass.LIBRARY, _as_real_shape,
               lambda x: np.stack([x.real, x.imag], -1), batch="leading",
               doc="(real, imaginary) on a last axis")
AS_COMPLEX = Prim("as_complex", OpClass.LIBRARY, _as_complex_shape,
                  lambda x: _complex_numpy(x[..., 0], x[..., 1]),
                  batch="leading", doc="complex numbers from (real, imaginary) on the last axis")


def _pairs_geometry(shape, strides, offset):
    return (*shape, 2), (*[2 * s for s in strides], 1), 2 * offset


def _complex_geometry(shape, strides, offset):
    if strides[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(s % 2 for n, s in zip(shape[:-1], strides[:-1], strict=True) if n != 1):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if offset % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    return shape[:-1], tuple([s // 2 for s in strides[:-1]]), offset // 2


_view_as_real = Op("view_as_real", lambda x: make(AS_REAL, (x,)),
                   lambda ctx, g: (apply(_from_pairs, g),),
                   geometry=_pairs_geometry, retypes=dt.dtype.to_real)
_from_pairs: Op = Op("from_pairs", lambda x: make(AS_COMPLEX, (x,)),
                 lambda ctx, g: (view_as_real(g),))
_view_as_complex = Op("view_as_complex", lambda x: make(AS_COMPLEX, (x,)),
                      lambda ctx, g: (view_as_real(g),),
                      geometry=_complex_geometry, retypes=dt.dtype.to_complex)


@api()
def view_as_real(input):
    """A complex tensor (*) as floats (*, 2), a view.

    Raises:
        RuntimeError: a real tensor.
    """
    if not input.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return apply(_view_as_real, input)


@api()
def view_as_complex(input):
    """A float tensor (*, 2) as complex numbers (*), a view.

    Raises:
        RuntimeError: the last axis does not have size 2, the dtype is not a float, or the pairs
            do not lie one after the other in memory.
    """
    if not input.dtype.is_floating_point:
        raise RuntimeError("view_as_complex is only supported for half, float and double tensors, "
                           f"but got a tensor of scalar type: {input.dtype}")
    if not input.shape or input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if input.dtype.itemsize < 4:
        raise NotImplementedError("complex numbers of two float16 (complex32) are not supported; "
                                  "convert with .float() first")
    return apply(_view_as_complex, input)

