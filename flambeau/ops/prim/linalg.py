"""Matrix decompositions: LIBRARY primitives on NumPy's LAPACK and their gradients.

Gradients follow Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation" (2008), and Townsend, "Differentiating the singular value
decomposition" (2016); they are written in operations, so that higher derivatives come free.
Matrices that have no inverse or factor are refused at the user's line.
"""

from __future__ import annotations

import numpy as np

from ...base import dtype as dt
from ...base.errors import LinAlgError
from ...ir.batch import bottom
from ...ir.node import Node, OpClass, Prim, make, make_many, realize
from ...ir.op import Op, apply
from .contract import matmul
from . import batch_rules
from .elementwise import add, cast, conj, div, mul, neg, sub
from .index import on_host
from .join import cat
from .reduce import sum, sum_to  # noqa: A004
from .shape import slice_dim, transpose, unsqueeze

LIB = OpClass.LIBRARY


def h(x):
    """Conjugate transpose of matrices."""
    return conj(transpose(x, -2, -1))


def eye_like(x, n: int):
    """The identity with the dtype of ``x``."""
    return on_host(np.eye(n, dtype=x.dtype.np), x)


def mask_like(x, array):
    """A constant factor with the dtype of ``x``."""
    return on_host(array.astype(x.dtype.np), x)


def eager(nodes):
    """Compute now, so that a refusal is raised at the line that asked for it."""
    for n in nodes if isinstance(nodes, tuple) else (nodes,):
        realize(bottom(n))
    return nodes


def _refusing(name: str, function, text: str):
    """NumPy's refusal in PyTorch's class and words."""

    def numpy(*args):
        try:
            return function(*args)
        except np.linalg.LinAlgError as error:
            raise LinAlgError(f"{name}: {text} ({error})") from None

    return numpy


def same(x, *_):
    """Shape rule: that of the operand."""
    return x.shape, x.dtype


# --- inverse, solve, determinant ------------------------------------------------------------------

_SINGULAR = "The diagonal element of the factor is zero, the inversion could not be completed " \
            "because the input matrix is singular."
INV = Prim("inv", LIB, same, _refusing("linalg.inv", np.linalg.inv, _SINGULAR),
           batch="leading", doc="inverses of matrices")


def _inv_vjp(ctx, g):
    x = h(ctx.result())
    return (neg(matmul(x, matmul(g, x))),)


INV_OP = Op("linalg_inv_ex", lambda x: eager(make(INV, (x,))), _inv_vjp, saves=("result",))


def _solve_infer(a: Node, b: Node):
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return (*lead, *b.shape[-2:]), a.dtype


SOLVE = Prim("solve", LIB, _solve_infer, _refusing(
    "torch.linalg.solve", np.linalg.solve, "The solver failed because the input matrix is "
    "singular."), batch=batch_rules.matrices, doc="x with a @ x = b, b of matrices")


def _solve_vjp(ctx, g):
    a, x = ctx.operand(0), ctx.result()
    gb = apply(SOLVE_OP, h(a), g)
    return sum_to(neg(matmul(gb, h(x))), ctx.shape(0)) if ctx.needs(0) else None, gb


SOLVE_OP = Op("linalg_solve_ex", lambda a, b: eager(make(SOLVE, (a, b))), _solve_vjp,
              saves=(0, "result"))


def _cofactor_numpy(x):
    """conj(det(x)) * inv(x)^H, also where x is singular (by singular values)."""
    if not x.size:
        return x
    u, s, vh = np.linalg.svd(x)
    n = s.shape[-1]
    others = np.stack([np.prod(np.delete(s, i, -1), -1) for i in range(n)], -1)
    sign = np.conj(np.linalg.det(u) * np.linalg.det(vh))
    return sign[..., None, None] * ((u * others[..., None, :]) @ vh)


COFACTOR = Prim("cofactor", LIB, same, _cofactor_numpy, batch="leading",
                doc="the derivative of the determinant")


def _cofactor_vjp(ctx, g):
    """By the product rule on det(x) inv(x)^T; for invertible matrices."""
    x = ctx.operand(0)
    d, xi = unsqueeze(unsqueeze(apply(DET_OP, x), -1), -1), apply(INV_OP, x)
    inner = sum(mul(g, transpose(xi, -2, -1)), (-2, -1), True)
    part = transpose(matmul(xi, matmul(g, xi)), -2, -1)
    return (mul(d, sub(mul(inner, transpose(xi, -2, -1)), part)),)


_cofactor = Op("cofactor", lambda x: make(COFACTOR, (x,)), _cofactor_vjp, saves=(0,))
DET = Prim("det", LIB, lambda x: (x.shape[:-2], x.dtype), np.linalg.det, batch="leading",
           doc="determinants")
DET_OP = Op("linalg_det", lambda x: make(DET, (x,)), lambda ctx, g: (
    mul(unsqueeze(unsqueeze(g, -1), -1), apply(_cofactor, ctx.operand(0))),), saves=(0,),
            guards=(0, "result"))


def _slogdet_infer(x: Node):
    return (x.shape[:-2], x.dtype), (x.shape[:-2], x.dtype.to_real())


SLOGDET = Prim("slogdet", LIB, _slogdet_infer, lambda x: tuple(np.linalg.slogdet(x)),
               batch="leading", doc="sign and logarithm of the absolute value of determinants")
def _slogdet_vjp(ctx, g_sign, g):
    a = ctx.operand(0)
    if a.dtype.is_complex:  # the sign turns by the imaginary part of tr(inv(a) da)
        turn = mul(conj(g_sign), ctx.result(0))
        g = sub(g, mul(sub(turn, conj(turn)), 0.5))
    return (mul(unsqueeze(unsqueeze(g, -1), -1), h(apply(INV_OP, a))),)


SLOGDET_OP = Op("linalg_slogdet", lambda x: make_many(SLOGDET, (x,)), _slogdet_vjp,
                saves=(0, "result0"), guards=(0, "result0"), grad_name="LinalgSlogdetBackward0")


# --- triangular systems ---------------------------------------------------------------------------


def triangular_solve(a: np.ndarray, b: np.ndarray, upper: bool, unit: bool) -> np.ndarray:
    """Substitution, one row at a time for all matrices of a batch."""
    n = a.shape[-1]
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.array(np.broadcast_to(b, (*lead, *b.shape[-2:])), order="C")
    for i in (range(n - 1, -1, -1) if upper else range(n)):
        known = slice(i + 1, n) if upper else slice(0, i)
        if known.start < known.stop:
            x[..., i, :] -= (a[..., i, None, known] @ x[..., known, :])[..., 0, :]
        if not unit:
            x[..., i, :] /= a[..., i, i, None]
    return x


TRISOLVE = Prim("solve_triangular", LIB, lambda a, b, upper, unit: _solve_infer(a, b),
                triangular_solve, batch=batch_rules.matrices,
                doc="x with a @ x = b, a triangular")


def triangle(x, upper: bool, unit: bool = False):
    """A triangle of matrices (without the diagonal where that counts as 1)."""
    n, m = x.shape[-2:]
    keep = np.tri(n, m, 0 if upper is False and not unit else -1) if not upper else \
        1 - np.tri(n, m, 0 if unit else -1)
    return mul(x, mask_like(x, keep))


def _trisolve_vjp(ctx, g):
    a, x = ctx.operand(0), ctx.result()
    gb = apply(TRISOLVE_OP, h(a), g, upper=not ctx.upper, unit=ctx.unit)
    ga = None
    if ctx.needs(0):
        ga = triangle(sum_to(neg(matmul(gb, h(x))), ctx.shape(0)), ctx.upper, ctx.unit)
    return ga, gb


TRISOLVE_OP = Op("linalg_solve_triangular", lambda a, b, upper, unit: make(
    TRISOLVE, (a, b), (upper, unit)), _trisolve_vjp, saves=(0, "result"))


# --- Cholesky -------------------------------------------------------------------------------------

_NOT_POSITIVE = "The factorization could not be completed because the input is not " \
                "positive-definite."
CHOLESKY = Prim("cholesky", LIB, same, _refusing("linalg.cholesky", np.linalg.cholesky,
                                                 _NOT_POSITIVE), batch="leading",
                doc="lower Cholesky factors")


def _mirrored(x):
    """The lower triangle and its mirror image."""
    n = x.shape[-1]
    low = mul(x, mask_like(x, np.tri(n)))
    strict = mul(x, mask_like(x, np.tri(n, k=-1)))
    return add(low, h(strict))


def _cholesky_vjp(ctx, g):
    factor = ctx.result()
    if ctx.upper:
        factor, g = h(factor), h(g)
    middle = _mirrored(matmul(h(factor), g))
    left = apply(TRISOLVE_OP, h(factor), middle, upper=True, unit=False)
    both = h(apply(TRISOLVE_OP, h(factor), h(left), upper=True, unit=False))
    return (mul(both, 0.5),)


def _cholesky_lower(x, upper):
    return h(eager(make(CHOLESKY, (h(x),)))) if upper else eager(make(CHOLESKY, (x,)))


CHOLESKY_OP = Op("linalg_cholesky_ex", _cholesky_lower, _cholesky_vjp, saves=("result",))


# --- QR -------------------------------------------------------------------------------------------


def _qr_infer(x: Node, mode):
    *lead, m, n = x.shape
    k = m if mode == "complete" else min(m, n)
    q = (*lead, m, k) if mode != "r" else (0,)
    return (q, x.dtype), ((*lead, k, n), x.dtype)


def _qr_numpy(x, mode):
    if mode == "r":
        return np.zeros(0, x.dtype), np.linalg.qr(x, "r")
    return tuple(np.linalg.qr(x, mode))


QR = Prim("qr", LIB, _qr_infer, _qr_numpy, batch=batch_rules.qr,
          doc="orthogonal and upper triangular factors")


def _qr_vjp(ctx, gq, gr):
    m, n = ctx.shape(0)[-2:]
    if ctx.mode == "r":
        raise RuntimeError("The derivative of linalg.qr depends on Q, which is not computed when "
                           "mode='r'. Please use linalg.qr(A, mode='reduced') if you are going to "
                           "require gradients.")
    if ctx.mode == "complete" and m > n:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and "
                           "nrows > ncols.")
    q, r = ctx.result(0), ctx.result(1)
    if m >= n:
        return (_qr_tall(q, r, gq, gr),)
    left, right = slice_dim(r, -1, 0, m), slice_dim(ctx.operand(0), -1, m)
    g_right = slice_dim(gr, -1, m)
    ga = _qr_tall(q, left, add(gq, matmul(right, h(g_right))), slice_dim(gr, -1, 0, m))
    return (cat([ga, matmul(q, g_right)], -1),)


def _qr_tall(q, r, gq, gr):
    n = r.shape[-1]
    inner = sub(matmul(gr, h(r)), matmul(h(q), gq))
    half = mul(inner, mask_like(inner, 1 - (np.tri(n) + np.tri(n, k=-1)) / 2))
    right = add(gq, matmul(q, add(half, h(half))))
    # right @ r^-H
    return h(apply(TRISOLVE_OP, r, h(right), upper=True, unit=False))


QR_OP = Op("linalg_qr", lambda x, mode: make_many(QR, (x,), (mode,)), _qr_vjp,
           saves=(0, "result0", "result1"), grad_name="LinalgQrBackward0")


# --- singular values ------------------------------------------------------------------------------


def _svd_infer(x: Node, full):
    *lead, m, n = x.shape
    k = min(m, n)
    return (((*lead, m, m if full else k), x.dtype), ((*lead, k), x.dtype.to_real()),
            ((*lead, n if full else k, n), x.dtype))


SVD = Prim("svd", LIB, _svd_infer, lambda x, full: tuple(np.linalg.svd(x, full)),
           batch="leading", doc="singular value decomposition")


def _rows(x):
    return unsqueeze(x, -2)


def _columns(x):
    return unsqueeze(x, -1)


def _svd_vjp(ctx, gu, gs, gvh):
    u, s, vh = ctx.result(0), ctx.result(1), ctx.result(2)
    m, n = ctx.shape(0)[-2:]
    k = min(m, n)
    if ctx.full:
        u, gu = slice_dim(u, -1, 0, k), slice_dim(gu, -1, 0, k)
        vh, gvh = slice_dim(vh, -2, 0, k), slice_dim(gvh, -2, 0, k)
    v = h(vh)
    wide = cast(s, u.dtype)

    def skew(x):
        return sub(x, h(x))

    gap = sub(_rows(mul(wide, wide)), _columns(mul(wide, wide)))
    gap = add(gap, eye_like(gap, k))
    gv = h(gvh)
    left = skew(matmul(h(u), gu))
    inner = add(mul(div(left, gap), _rows(wide)),
                mul(_columns(wide), div(skew(matmul(h(v), gv)), gap)))
    diagonal = mul(_columns(cast(gs, u.dtype)), eye_like(inner, k))
    if u.dtype.is_complex:  # the diagonal of what is skew is imaginary
        diagonal = add(diagonal, div(mul(left, eye_like(inner, k)), _columns(mul(wide, 2))))
    inner = add(inner, diagonal)
    out = matmul(u, matmul(inner, vh))
    if m > k:
        part = div(sub(gu, matmul(u, matmul(h(u), gu))), _rows(wide))
        out = add(out, matmul(part, vh))
    if n > k:
        part = div(sub(gvh, matmul(matmul(gvh, v), vh)), _columns(wide))
        out = add(out, matmul(u, part))
    return (out,)


SVD_OP = Op("linalg_svd", lambda x, full: make_many(SVD, (x,), (full,)), _svd_vjp,
            saves=("result0", "result1", "result2"), grad_name="LinalgSvdBackward0")
SVDVALS = Prim("svdvals", LIB, lambda x: ((*x.shape[:-2], min(x.shape[-2:])), x.dtype.to_real()),
               lambda x: np.linalg.svd(x, compute_uv=False), batch="leading", doc="singular values")


def _svdvals_vjp(ctx, g):
    u, _, vh = apply(SVD_OP, ctx.operand(0), full=False)
    return (matmul(mul(u, _rows(cast(g, u.dtype))), vh),)


SVDVALS_OP = Op("linalg_svdvals", lambda x: make(SVDVALS, (x,)), _svdvals_vjp, saves=(0,),
                guards=("result",), grad_name="LinalgSvdBackward0")


# --- eigenvalues ----------------------------------------------------------------------------------


def _eigh_infer(x: Node, lower):
    return (x.shape[:-1], x.dtype.to_real()), (x.shape, x.dtype)


EIGH = Prim("eigh", LIB, _eigh_infer, lambda x, lower: tuple(
    np.linalg.eigh(x, "L" if lower else "U")), batch="leading",
    doc="eigenvalues and vectors, symmetric matrices")


def _eigh_vjp(ctx, gl, gv):
    values, v = cast(ctx.result(0), ctx.result(1).dtype), ctx.result(1)
    n = v.shape[-1]
    gap = add(sub(_rows(values), _columns(values)), eye_like(v, n))
    turn = matmul(h(v), gv)
    turn = mul(sub(turn, h(turn)), 0.5)  # vectors can only turn: the gradient is symmetric
    inner = mul(div(turn, gap), mask_like(v, 1 - np.eye(n)))
    inner = add(inner, mul(_columns(cast(gl, v.dtype)), eye_like(v, n)))
    return (matmul(v, matmul(inner, h(v))),)


EIGH_OP = Op("linalg_eigh", lambda x, lower: make_many(EIGH, (x,), (lower,)), _eigh_vjp,
             saves=("result0", "result1"), grad_name="LinalgEighBackward0")


def _eig_infer(x: Node):
    d = x.dtype.to_complex()
    return (x.shape[:-1], d), (x.shape, d)


def _eig_numpy(x):
    values, vectors = np.linalg.eig(x)
    d = np.complex64 if x.dtype in (np.float32, np.complex64) else np.complex128
    return values.astype(d), vectors.astype(d)


EIG = Prim("eig", LIB, _eig_infer, _eig_numpy, batch="leading", doc="eigenvalues and vectors")


def _eig_vjp(ctx, gl, gv):
    values, v = ctx.result(0), ctx.result(1)
    n = v.shape[-1]
    gap = add(conj(sub(_rows(values), _columns(values))), eye_like(v, n))
    vh_gv = matmul(h(v), gv)
    own = sum(mul(vh_gv, eye_like(v, n)), -2, True)
    real = mul(add(own, conj(own)), 0.5)
    inner = div(sub(vh_gv, mul(matmul(h(v), v), real)), gap)
    inner = mul(inner, mask_like(v, 1 - np.eye(n)))
    inner = add(inner, mul(_columns(gl), eye_like(v, n)))
    return (apply(SOLVE_OP, h(v), matmul(inner, h(v))),)


EIG_OP = Op("linalg_eig", lambda x: make_many(EIG, (x,)), _eig_vjp,
            saves=("result0", "result1"), grad_name="LinalgEigBackward0")


# --- pseudo-inverse and least squares -------------------------------------------------------------


def _pinv_infer(x: Node, tol: Node, hermitian):
    return (*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype


def _pinv_numpy(x, tol, hermitian):
    """Singular values up to ``tol`` (one per matrix) count as zero."""
    if hermitian:
        s, u = np.linalg.eigh(x)
        keep = np.abs(s) > tol[..., None]
        inverse = np.where(keep, 1 / np.where(keep, s, 1), 0).astype(s.dtype)
        return (u * inverse[..., None, :]) @ np.conj(np.swapaxes(u, -1, -2))
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    keep = s > tol[..., None]
    inverse = np.where(keep, 1 / np.where(keep, s, 1), 0).astype(s.dtype)
    return np.swapaxes(vh, -1, -2).conj() @ (inverse[..., None] * np.swapaxes(u, -1, -2).conj())


PINV = Prim("pinv", LIB, _pinv_infer, _pinv_numpy, batch="leading", doc="Moore-Penrose inverses")


def _pinv_vjp(ctx, g, *_):
    """Golub and Pereyra (1973)."""
    a, p = ctx.operand(0), ctx.result()
    m, n = ctx.shape(0)[-2:]
    gh, ph = h(g), h(p)
    out = neg(matmul(ph, matmul(g, ph)))
    outside = sub(eye_like(a, m), matmul(a, p))
    inside = sub(eye_like(a, n), matmul(p, a))
    out = add(out, matmul(outside, matmul(gh, matmul(p, ph))))
    return add(out, matmul(matmul(ph, p), matmul(gh, inside))), None


PINV_OP = Op("linalg_pinv", lambda x, tol, hermitian: make(PINV, (x, tol), (hermitian,)),
             _pinv_vjp, saves=(0, "result"), guards=(0, "result"), grad_name="LinalgPinvBackward0")


# --- LU -------------------------------------------------------------------------------------------


def lu_numpy(x: np.ndarray):
    """Partial pivoting on a batch: packed factors and pivots counted from 1 (LAPACK's)."""
    m, n = x.shape[-2:]
    a = np.array(x, order="C").reshape(int(np.prod(x.shape[:-2])), m, n)
    k = min(m, n)
    pivots = np.empty((len(a), k), np.int32)
    rows = np.arange(len(a))
    for j in range(k):
        size = np.abs(a[:, j:, j].real) + np.abs(a[:, j:, j].imag)  # LAPACK's measure
        best = j + size.argmax(-1) if len(a) else np.empty(0, np.int64)
        pivots[:, j] = best + 1
        a[rows, j], a[rows, best] = a[rows, best].copy(), a[rows, j].copy()
        head = a[:, j, j, None]
        safe = np.where(head == 0, 1, head)
        a[:, j + 1:, j] /= safe
        a[:, j + 1:, j + 1:] -= a[:, j + 1:, j, None] * a[:, j, None, j + 1:]
    return a.reshape(x.shape), pivots.reshape(*x.shape[:-2], k)


def _lu_infer(x: Node):
    return (x.shape, x.dtype), ((*x.shape[:-2], min(x.shape[-2:])), dt.int32)


LU = Prim("lu_factor", LIB, _lu_infer, lu_numpy, batch="leading",
          doc="packed LU factors and pivots")


def permutation(pivots: np.ndarray, m: int) -> np.ndarray:
    """The row order that pivots stand for: ``a[order] = l @ u``."""
    flat = pivots.reshape(int(np.prod(pivots.shape[:-1])), pivots.shape[-1])
    order = np.tile(np.arange(m), (len(flat), 1))
    for row, swaps in zip(order, flat, strict=True):
        for i, p in enumerate(swaps):
            row[[i, p - 1]] = row[[p - 1, i]]
    return order.reshape(*pivots.shape[:-1], m)


def permutation_matrix(pivots: np.ndarray, m: int, dtype) -> np.ndarray:
    """P with ``a = P @ l @ u``."""
    order = permutation(pivots, m)
    return np.swapaxes(np.eye(m, dtype=dtype)[order], -1, -2)


PERMUTATION = Prim("permutation", LIB, lambda pivots, m, to: (
    (*pivots.shape[:-1], m, m), to), lambda pivots, m, to: permutation_matrix(pivots, m, to.np),
    batch="leading", doc="permutation matrices of LU pivots")
PERMUTATION_OP = Op("permutation", lambda pivots, m, to: make(PERMUTATION, (pivots,), (m, to)),
                    nondiff="pivots have no gradient")


def _lu_square(low, up, gl, gu):
    """The gradient of P^H A from those of square factors."""
    inner = add(triangle(matmul(h(low), gl), False, True), triangle(matmul(gu, h(up)), True))
    left = apply(TRISOLVE_OP, h(low), inner, upper=True, unit=True)
    return h(apply(TRISOLVE_OP, up, h(left), upper=True, unit=False))


def _lu_vjp(ctx, g, _):
    """The square part first; what is beside or below it follows by substitution."""
    packed, pivots = ctx.result(0), ctx.result(1)
    m, n = ctx.shape(0)[-2:]
    k = min(m, n)
    square, g_square = (slice_dim(slice_dim(x, -1, 0, k), -2, 0, k) for x in (packed, g))
    low = add(triangle(square, False, True), eye_like(packed, k))
    up = triangle(square, True)
    gl, gu = triangle(g_square, False, True), triangle(g_square, True)
    if m < n:
        beside, g_beside = slice_dim(packed, -1, k), slice_dim(g, -1, k)
        ga = apply(TRISOLVE_OP, h(low), g_beside, upper=True, unit=True)
        gl = sub(gl, matmul(ga, h(beside)))
        out = cat([_lu_square(low, up, gl, gu), ga], -1)
    elif m > n:
        below, g_below = slice_dim(packed, -2, k), slice_dim(g, -2, k)
        ga = h(apply(TRISOLVE_OP, up, h(g_below), upper=True, unit=False))
        gu = sub(gu, matmul(h(below), ga))
        out = cat([_lu_square(low, up, gl, gu), ga], -2)
    else:
        out = _lu_square(low, up, gl, gu)
    return (matmul(apply(PERMUTATION_OP, pivots, m=m, to=packed.dtype), out),)


LU_OP = Op("linalg_lu_factor_ex", lambda x: make_many(LU, (x,)), _lu_vjp,
           saves=("result0", "result1"), nondiff_results=(1,))


# --- systems with a known Cholesky factor ---------------------------------------------------------


def _factored_numpy(b, factor, upper):
    conj_t = np.conj(np.swapaxes(factor, -1, -2))
    first, second = (conj_t, factor) if upper else (factor, conj_t)
    return triangular_solve(second, triangular_solve(first, b, False, False), True, False)


FACTORED = Prim("cholesky_solve", LIB, lambda b, factor, upper: _solve_infer(factor, b),
                _factored_numpy, batch=batch_rules.matrices,
                doc="x with a @ x = b, given a's Cholesky factor")


def _factored_vjp(ctx, g):
    factor, x = ctx.operand(1), ctx.result()
    gb = apply(FACTORED_OP, g, factor, upper=ctx.upper)
    gf = None
    if ctx.needs(1):
        common = matmul(gb, h(x))
        common = add(common, h(common))
        gf = neg(matmul(factor, common) if ctx.upper else matmul(common, factor))
        gf = sum_to(gf, ctx.shape(1))
    return gb, gf


FACTORED_OP = Op("cholesky_solve", lambda b, factor, upper: make(FACTORED, (b, factor), (upper,)),
                 _factored_vjp, saves=(1, "result"), guards=(0, 1, "result"))


def _factored_inverse(factor, upper):
    n = factor.shape[-1]
    eye = np.broadcast_to(np.eye(n, dtype=factor.dtype), factor.shape)
    return _factored_numpy(eye, factor, upper)


FACTORED_INV = Prim("cholesky_inverse", LIB, lambda x, upper: (x.shape, x.dtype),
                    _factored_inverse, batch="leading",
                    doc="the inverse of a, given its Cholesky factor")


def _factored_inv_vjp(ctx, g):
    factor, x = ctx.operand(0), ctx.result()
    common = matmul(x, matmul(add(g, h(g)), x))
    return (neg(matmul(factor, common) if ctx.upper else matmul(common, factor)),)


FACTORED_INV_OP = Op("cholesky_inverse", lambda x, upper: make(FACTORED_INV, (x,), (upper,)),
                     _factored_inv_vjp, saves=(0, "result"))
