"""Matrix products: the contraction primitive and PyTorch's product functions."""

from __future__ import annotations

import numpy as np

from ...base import shape as sh
from ...base.errors import ShapeError
from ...ir.api import api
from ...ir.node import Node, OpClass, Prim, make
from ...ir.op import Op, apply
from ...ir.view import view
from .. import where
from ..core import cast_node, elementwise, widened_node
from . import batch_rules
from .elementwise import ADD, MUL, add, conj, conj_or_number, mul, saves_other
from .reduce import INNER_SUM, PLAIN_SUM, SUM, expand, reduce
from .shape import UNSAFE_VIEW, VIEW_OP, reshape, transpose, unsqueeze
from .shape import t as t_


def _dot_infer(a: Node, b: Node):
    return a.shape[:-1] + b.shape[-1:], a.dtype


def _dot_numpy(a, b):
    if a.dtype.itemsize == 2 and a.dtype.kind in "fV":
        return np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype)
    return np.matmul(a, b)


DOT = Prim("dot", OpClass.CONTRACT, _dot_infer, _dot_numpy,
           batch=batch_rules.dot, doc="a[..B, M, K] @ b[..B, K, N]; batch axes equal")


def _check_dtypes(name, a, b):
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: expected m1 and m2 to have the same dtype, but got: {where.c_name(a.dtype)} "
            f"!= {where.c_name(b.dtype)} for shapes {tuple(a.shape)} and {tuple(b.shape)}"
            + where.double_hint(a, b))


def _check_layer_dtypes(name, a, b):
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: mat1 and mat2 must have the same dtype, but got "
            f"{where.scalar_name(a.dtype)} {tuple(a.shape)} and {where.scalar_name(b.dtype)} "
            f"{tuple(b.shape)}" + where.double_hint(a, b))


def _sizes_differ(name, a, b):
    batch = ""
    if len(a.shape) == len(b.shape) == 3:
        batch = (f"Expected size for first two dimensions of batch2 tensor to be: "
                 f"{[a.shape[0], a.shape[2]]} but got: {list(b.shape[:2])}. ")
    return ShapeError(
        f"{batch}{name}: mat1 and mat2 shapes cannot be multiplied ({'x'.join(map(str, a.shape))} "
        f"and {'x'.join(map(str, b.shape))}): the inner sizes {a.shape[-1]} and {b.shape[-2]} "
        "differ"
        f"; mat1 {tuple(a.shape)}{where.made(a)}, mat2 {tuple(b.shape)}{where.made(b)}")


def _h(x):
    """Conjugate transpose of the last two axes."""
    return conj(transpose(x, -2, -1))


def _product_vjp(ctx, g):
    a = dot(g, _h(ctx.operand(1))) if ctx.needs(0) else None
    b = dot(_h(ctx.operand(0)), g) if ctx.needs(1) else None
    return a, b


def dot(a, b):
    """Matrix product of equally batched matrices, as the op of their rank."""
    return apply(_mm if len(a.shape) == 2 else _bmm, a, b)


def _lower(a, b):
    return make(DOT, (a, b))


#: multiplications from which PyTorch's batched product is a library's, which rounds a product and
#: its sum once; below, it is a plain loop
_LIBRARY = 400


def _batched_lower(a, b):
    (count, n, k), m = a.shape, b.shape[2]
    if k * n * m >= _LIBRARY or not k or not a.dtype.is_floating_point:
        return make(DOT, (a, b))
    rows = view(widened_node(a), (k, count, n, m), (1, n * k, k, 0))
    columns = view(widened_node(b), (k, count, n, m), (m, k * m, 0, 1))
    return cast_node(make(PLAIN_SUM, (make(MUL, (rows, columns)),), ((0,),)), a.dtype)


_mm = Op("mm", _lower, _product_vjp, saves=saves_other)
_bmm = Op("bmm", _batched_lower, _product_vjp, saves=saves_other)


@api(method=True, out=1, dtypes="number", cases=lambda t: [t.call(t.f(2, 3), t.f(3, 4))],
     errors=lambda t: [(RuntimeError, "cannot be multiplied", t.call(t.f(2, 3), t.f(2, 3)))])
def mm(input, mat2):  # noqa: A002
    """Product of two matrices (n, m) and (m, p)."""
    for x, which in ((input, "self"), (mat2, "mat2")):
        if len(x.shape) != 2:
            raise RuntimeError(f"mm: {which} must be a matrix, got shape {tuple(x.shape)}; "
                               "torch.matmul takes any number of dimensions")
    _check_dtypes("mm", input, mat2)
    if input.shape[1] != mat2.shape[0]:
        raise _sizes_differ("mm", input, mat2)
    return apply(_mm, input, mat2)


@api(method=True, out=1, dtypes="number", cases=lambda t: [t.call(t.f(2, 3, 4), t.f(2, 4, 5))])
def bmm(input, mat2):  # noqa: A002
    """Products of a batch of matrices (b, n, m) and (b, m, p)."""
    if len(input.shape) != 3 or len(mat2.shape) != 3:
        raise RuntimeError(f"bmm: batch1 and batch2 must be 3D tensors, got {tuple(input.shape)} "
                           f"and {tuple(mat2.shape)}")
    _check_dtypes("bmm", input, mat2)
    if input.shape[0] != mat2.shape[0] or input.shape[2] != mat2.shape[1]:
        raise RuntimeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{input.shape[0]}, {input.shape[2]}] but got: [{mat2.shape[0]}, {mat2.shape[1]}].")
    return apply(_bmm, input, mat2)


_mv = Op("mv", lambda a, v: reshape(make(DOT, (a, reshape(v, (v.shape[0], 1)))), (a.shape[0],)),
         lambda ctx, g: (mul(unsqueeze(g, 1), conj(ctx.operand(1))) if ctx.needs(0) else None,
                         mv(_h(ctx.operand(0)), g) if ctx.needs(1) else None),
         saves=saves_other)


@api(method=True, out=1, dtypes="number", cases=lambda t: [t.call(t.f(2, 3), t.f(3))])
def mv(input, vec):  # noqa: A002
    """Product of a matrix (n, m) and a vector (m,)."""
    if len(input.shape) != 2 or len(vec.shape) != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {len(input.shape)}, "
                           f"{len(vec.shape)}")
    _check_dtypes("mv", input, vec)
    if input.shape[1] != vec.shape[0]:
        raise ShapeError(f"size mismatch, got input ({input.shape[0]}), mat "
                         f"({input.shape[0]}x{input.shape[1]}), vec ({vec.shape[0]})")
    return apply(_mv, input, vec)


def _dot_lower(a, b):
    n = a.shape[0]
    if a.dtype.is_floating_point and a.dtype.itemsize >= 4:
        return reduce(INNER_SUM if n else SUM, elementwise(MUL, a.dtype, a, b), (0,), False)
    return reshape(make(DOT, (reshape(a, (1, n)), reshape(b, (n, 1)))), ())


_vdot = Op("dot", _dot_lower,
           lambda ctx, g: (mul(conj(ctx.operand(1)), g) if ctx.needs(0) else None,
                           mul(conj(ctx.operand(0)), g) if ctx.needs(1) else None),
           saves=saves_other)


@api("dot", method=True, out=1, dtypes="number", cases=lambda t: [t.call(t.f(3), t.f(3))])
def vector_dot(input, tensor):  # noqa: A002
    """Inner product of two vectors of equal length."""
    if len(input.shape) != 1 or len(tensor.shape) != 1:
        raise RuntimeError(f"1D tensors expected, but got {len(input.shape)}D and "
                           f"{len(tensor.shape)}D tensors")
    _check_dtypes("dot", input, tensor)
    if input.shape != tensor.shape:
        raise RuntimeError(f"inconsistent tensor size, expected tensor [{input.shape[0]}] and src "
                           f"[{tensor.shape[0]}] to have the same number of elements, but got "
                           f"{input.shape[0]} and {tensor.shape[0]} elements respectively")
    return apply(_vdot, input, tensor)


@api(method=True, out=1, dtypes="number", aliases=("linalg.matmul",),
     cases=lambda t: [t.call(t.f(2, 3), t.f(3, 4)), t.call(t.f(3), t.f(3)),
                      t.call(t.f(2, 1, 3, 4), t.f(5, 4, 2)), t.call(t.f(5, 2, 3), t.f(3))],
     errors=lambda t: [(RuntimeError, "cannot be multiplied", t.call(t.f(2, 3), t.f(4, 3)))])
def matmul(input, other):  # noqa: A002
    """Matrix product with broadcasting of the batch axes; vectors are rows or columns."""
    a, b = input, other
    da, db = len(a.shape), len(b.shape)
    if da == 0 or db == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {da}D "
                           f"and {db}D")
    _check_dtypes("matmul", a, b)
    if da == 1 and db == 1:
        return vector_dot(a, b)
    if da == 2 and db == 1:
        return mv(a, b)
    if a.shape[-1] != b.shape[-2 if db > 1 else 0]:
        raise _sizes_differ("matmul", a if da > 1 else unsqueeze(a, 0),
                            b if db > 1 else unsqueeze(b, 1))
    if da == 1:
        return reshape(matmul(unsqueeze(a, 0), b), b.shape[:-2] + b.shape[-1:])
    if da == 2 and db == 2:
        return apply(_mm, a, b)
    if db <= 2:  # the batch folds into the rows
        n = a.shape[-1]
        rows = reshape(a, (sh.numel(a.shape[:-1]), n))
        out = mv(rows, b) if db == 1 else apply(_mm, rows, b)
        return apply(UNSAFE_VIEW, out, size=tuple(a.shape[:-1] + b.shape[1:]))
    batch = sh.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    count = sh.numel(batch)
    fold = [reshape(expand(x, batch + tuple(x.shape[-2:])), (count,) + tuple(x.shape[-2:]))
            for x in (a, b)]
    return apply(UNSAFE_VIEW, apply(_bmm, *fold), size=batch + (a.shape[-2], b.shape[-1]))


# --- with an addend -------------------------------------------------------------------------------


def _addmm_lower(c, a, b, beta=1, alpha=1):
    dtype = a.dtype
    out = make(DOT, (widened_node(a), widened_node(b)))  # 16-bit floats are rounded once
    if alpha != 1:
        out = elementwise(MUL, out.dtype, out, alpha)
    if beta != 0:
        c = cast_node(c, out.dtype)
        if beta != 1:
            c = elementwise(MUL, c.dtype, c, beta)
        out = elementwise(ADD, out.dtype, out, c)
    return cast_node(out, dtype)


def _addmm_vjp(ctx, g):
    scaled = g if ctx.alpha == 1 else mul(g, conj_or_number(ctx.alpha))
    return (g if ctx.beta == 1 else mul(g, conj_or_number(ctx.beta)),
            dot(scaled, _h(ctx.operand(2))) if ctx.needs(1) else None,
            dot(_h(ctx.operand(1)), scaled) if ctx.needs(2) else None)


def _saves_factors(needs, params):
    return tuple(i for i in (1, 2) if needs[3 - i])


_addmm = Op("addmm", _addmm_lower, _addmm_vjp, saves=_saves_factors)


@api(method=True, inplace=True, out=1, dtypes="number",
     cases=lambda t: [t.call(t.f(4), t.f(2, 3), t.f(3, 4)),
                      t.call(t.f(2, 4), t.f(2, 3), t.f(3, 4), beta=0.5, alpha=2.0)])
def addmm(input, mat1, mat2, *, beta=1, alpha=1):  # noqa: A002
    """``beta * input + alpha * (mat1 @ mat2)``; ``input`` is broadcast."""
    if len(mat1.shape) != 2 or len(mat2.shape) != 2:
        raise RuntimeError(f"addmm: mat1 and mat2 must be matrices, got {tuple(mat1.shape)} and "
                           f"{tuple(mat2.shape)}")
    _check_dtypes("addmm", mat1, mat2)
    _check_dtypes("addmm", input, mat1)
    if mat1.shape[1] != mat2.shape[0]:
        raise _sizes_differ("addmm", mat1, mat2)
    out = (mat1.shape[0], mat2.shape[1])
    if sh.broadcast_shapes(input.shape, out) != out:
        raise ShapeError(f"The expanded size of the tensor {out} must match the existing size "
                         f"{tuple(input.shape)}")
    return apply(_addmm, input, mat1, mat2, beta=beta, alpha=alpha)


@api("linear", torch=False, functional=True, out=1, dtypes="number",
     cases=lambda t: [t.call(t.f(5, 3), t.f(4, 3), t.f(4)), t.call(t.f(2, 5, 3), t.f(4, 3))])
def linear(input, weight, bias=None):  # noqa: A002
    """``input @ weight.T + bias`` for input (*, in), weight (out, in) and bias (out,)."""
    if not input.shape or not weight.shape:
        raise RuntimeError("both arguments to linear need to be at least 1D, but they are "
                           f"{len(input.shape)}D and {len(weight.shape)}D")
    if input.shape[-1] != weight.shape[-1]:
        shape = tuple(input.shape)
        rows = sh.numel(shape[:-1])
        hint = ""
        if len(shape) > 2 and sh.numel(shape[1:]) == weight.shape[-1]:
            hint = f"; x.flatten(1) has the {weight.shape[-1]} features this layer expects"
        raise ShapeError(
            f"linear: mat1 and mat2 shapes cannot be multiplied ({rows}x{shape[-1]} and "
            f"{weight.shape[-1]}x{weight.shape[0]}): the input {shape} has {shape[-1]} features in "
            f"its last dimension, the weight {tuple(weight.shape)} expects {weight.shape[-1]}"
            + (hint or f"; in_features={shape[-1]} would fit") + where.made(input, "input made"))
    _check_layer_dtypes("linear", input, weight)
    rank = len(input.shape)
    if rank == 1:
        out = mv(weight, input)
        return out if bias is None else add(out, bias)
    wt = t_(weight) if len(weight.shape) == 2 else weight
    if len(weight.shape) == 1:
        out = matmul(input, weight)
        return out if bias is None else add(out, bias)
    flat = input if rank == 2 else reshape(input, (-1 if input.shape[-1] else
                                                   sh.numel(input.shape[:-1]), input.shape[-1]))
    out = apply(_mm, flat, wt) if bias is None else addmm(bias, flat, wt)
    return out if rank == 2 else apply(UNSAFE_VIEW if bias is None else VIEW_OP, out,
                                       size=tuple(input.shape[:-1]) + (weight.shape[0],))

