"""torch.linalg: argument rules over the decompositions of prim/linalg.py, and the older names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...base import dtype as dt
from ...base import shape as sh
from ...ir.api import api
from ...ir.op import apply
from ..core import is_number, one_step
from ..prim.contract import matmul
from ..prim.elementwise import add, clone, eq, gt, log, mul, sub, where
from ..prim.extremes import amax
from ..prim.index import host, on_host
from ..prim.linalg import (
    CHOLESKY_OP,
    DET_OP,
    EIG_OP,
    EIGH_OP,
    FACTORED_INV_OP,
    FACTORED_OP,
    INV_OP,
    LU_OP,
    PERMUTATION_OP,
    PINV_OP,
    QR_OP,
    SLOGDET_OP,
    SOLVE_OP,
    SVD_OP,
    SVDVALS_OP,
    TRISOLVE_OP,
    eye_like,
    h,
    triangle,
)
from ..prim.pointwise import abs  # noqa: A004
from ..prim.reduce import expand, sum  # noqa: A004
from ..prim.shape import reshape, slice_dim, squeeze, transpose, unsqueeze
from ..results import return_type
from .joining import zeros_like_shape

LA: dict[str, Any] = {"torch": False, "namespaces": ("linalg",)}
_pair = return_type


def _float(name, x):
    if x.dtype.category < dt.dtype.FLOAT or x.dtype in (dt.float16, dt.bfloat16):
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got "
                           f"{x.dtype}; LAPACK knows float32, float64 and their complex forms")


def _matrices(name, x, square=False):
    if len(x.shape) < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if square and x.shape[-1] != x.shape[-2]:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but they are "
                           f"{x.shape[-2]} by {x.shape[-1]} matrices")
    _float(name, x)


def _spd(t):
    """Case operand: a symmetric positive-definite matrix."""
    return t.spd(3) if hasattr(t, "spd") else t.f(3, 3)


# --- inverse, determinant, solve ------------------------------------------------------------------


@api(out=1, **LA)
def inv(A):
    """Inverses of square matrices."""
    _matrices("linalg.inv", A, True)
    return apply(INV_OP, A)


@api(method=True, out=1)
def inverse(input):  # noqa: A002
    """Inverses of square matrices (``linalg.inv``)."""
    return inv(input)


@api(out=1, **LA)
def det(A):
    """Determinants of square matrices."""
    _matrices("linalg.det", A, True)
    return apply(DET_OP, A)


@api("det", method=True)
def torch_det(input):  # noqa: A002
    """Determinants of square matrices."""
    return det(input)


@api(out=2, **LA)
def slogdet(A):
    """Sign and logarithm of the absolute value of determinants: (sign, logabsdet)."""
    _matrices("linalg.slogdet", A, True)
    return _pair("slogdet", "sign", "logabsdet")(apply(SLOGDET_OP, A))


@api("slogdet", method=True, out=2)
def torch_slogdet(input):  # noqa: A002
    """Sign and logarithm of the absolute value of determinants: (sign, logabsdet)."""
    return slogdet(input)


@api(method=True)
def logdet(input):  # noqa: A002
    """Logarithm of determinants; nan where they are negative."""
    sign, value = slogdet(input)
    if input.dtype.is_complex:
        return add(log(sign), value)
    return where(gt(sign, 0), value, where(eq(sign, 0), -math.inf, math.nan))


def _is_vector(a, b):
    """Whether ``b`` is a (batch of) vectors for the matrices ``a``."""
    return len(b.shape) == 1 or (len(a.shape) - 1 == len(b.shape)
                                 and tuple(b.shape) == tuple(a.shape[:-1]))


@api(out=1, **LA)
def solve(A, B, *, left=True):
    """X with ``A @ X = B`` (``X @ A = B`` when not ``left``)."""
    _matrices("linalg.solve", A, True)
    if A.dtype is not B.dtype:
        raise RuntimeError(f"linalg.solve: Expected A and B to have the same dtype, but found A of "
                           f"type {A.dtype} and B of type {B.dtype} instead")
    vector = _is_vector(A, B)
    if vector and not left:
        raise RuntimeError("linalg.solve: Vector broadcasting of the left hand side is not "
                           "supported for left=False. In this case linalg.solve is equivalent to "
                           "B / A.squeeze(-1)")
    rows = B.shape[-1] if vector else (B.shape[-2] if left else B.shape[-1])
    if rows != A.shape[-1]:
        raise RuntimeError(f"linalg.solve: Incompatible shapes of A and B for the equation "
                           f"{'AX = B' if left else 'XA = B'} ({tuple(A.shape)} and "
                           f"{tuple(B.shape)})")
    if vector:
        return squeeze(apply(SOLVE_OP, A, unsqueeze(B, -1)), -1)
    if not left:
        return transpose(apply(SOLVE_OP, transpose(A, -2, -1), transpose(B, -2, -1)), -2, -1)
    return apply(SOLVE_OP, A, B)


@api(out=1, **LA)
def solve_triangular(A, B, *, upper, left=True, unitriangular=False):
    """X with ``A @ X = B`` for triangular A; only that triangle is read."""
    _matrices("linalg.solve_triangular", A, True)
    _matrices("linalg.solve_triangular", B)
    if B.shape[-2 if left else -1] != A.shape[-1]:
        raise RuntimeError("linalg.solve_triangular: Incompatible shapes of A and B for the "
                           f"equation {'AX = B' if left else 'XA = B'} ({A.shape[-2]}x"
                           f"{A.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})")
    lead = sh.broadcast_shapes(tuple(A.shape[:-2]), tuple(B.shape[:-2]))
    B = expand(B, (*lead, *B.shape[-2:]))
    if not left:
        out = apply(TRISOLVE_OP, transpose(A, -2, -1), transpose(B, -2, -1), upper=not upper,
                    unit=unitriangular)
        return transpose(out, -2, -1)
    return apply(TRISOLVE_OP, A, B, upper=bool(upper), unit=bool(unitriangular))


_TRIANGULAR = one_step("triangular_solve", "TriangularSolveBackward0", (1, 2, "result"))


@api("triangular_solve", method=True, out=2)
def triangular_solve_(input, A, upper=True, transpose_=False, unitriangular=False,  # noqa: A002
                      **kwargs):
    """The older form of ``linalg.solve_triangular``: (solution, A)."""
    turned = kwargs.pop("transpose", transpose_)
    matrix = transpose(A, -2, -1) if turned else A
    x = solve_triangular(matrix, input, upper=bool(upper) != bool(turned),
                         unitriangular=unitriangular)
    x = apply(_TRIANGULAR, x, input, A)
    return _pair("triangular_solve", "solution", "cloned_coefficient")((x, clone(A)))


def _no_info(x):
    return on_host(np.zeros(tuple(x.shape[:-2]), np.int32), x)


def _info_of(x, test) -> np.ndarray:
    """Per matrix, 0 where ``test(matrix)`` passes, else the number of the leading minor."""
    value = host(x)
    out = np.zeros(value.shape[:-2], np.int32)
    for at in np.ndindex(out.shape):
        out[at] = test(value[at])
    return out


def _singular(matrix) -> int:
    try:
        np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return matrix.shape[-1]
    return 0


def _not_positive(matrix) -> int:
    for k in range(1, matrix.shape[-1] + 1):
        try:
            np.linalg.cholesky(matrix[:k, :k])
        except np.linalg.LinAlgError:
            return k
    return 0


@api("inv_ex", out=2, **LA)
def inv_ex(A, *, check_errors=False):
    """Inverses, and which matrices have none: (inverse, info)."""
    _matrices("linalg.inv_ex", A, True)
    info = _info_of(A, _singular)
    if info.any() and not check_errors:
        bad = on_host((info != 0)[..., None, None], A)
        safe = where(bad, eye_like(A, A.shape[-1]), A)
        return _pair("linalg_inv_ex", "inverse", "info")(
            (where(bad, math.inf, apply(INV_OP, safe)), on_host(info, A)))
    return _pair("linalg_inv_ex", "inverse", "info")((inv(A), on_host(info, A)))


@api("solve_ex", out=2, **LA)
def solve_ex(A, B, *, left=True, check_errors=False):
    """Solutions, and which matrices are singular: (result, info)."""
    _matrices("linalg.solve", A, True)
    info = on_host(_info_of(A, _singular), A)
    return _pair("linalg_solve_ex", "result", "info")((solve(A, B, left=left), info))


@api("cholesky_ex", out=2, **LA)
def cholesky_ex(A, *, upper=False, check_errors=False):
    """Cholesky factors, and which matrices have none: (L, info)."""
    _matrices("linalg.cholesky_ex", A, True)
    info = _info_of(A, _not_positive)
    if info.any() and not check_errors:
        bad = on_host((info != 0)[..., None, None], A)
        factor = linalg_cholesky(where(bad, eye_like(A, A.shape[-1]), A), upper=upper)
    else:
        factor = linalg_cholesky(A, upper=upper)
    return _pair("linalg_cholesky_ex", "L", "info")((factor, on_host(info, A)))


# --- factorisations -------------------------------------------------------------------------------


@api("cholesky", out=1, **LA)
def linalg_cholesky(A, *, upper=False):
    """L with ``A = L @ L^H`` (or its conjugate transpose) of positive-definite matrices."""
    _matrices("linalg.cholesky", A, True)
    return apply(CHOLESKY_OP, A, upper=upper)


@api(method=True, out=1)
def cholesky(input, upper=False):  # noqa: A002
    """The older form of ``linalg.cholesky``."""
    return linalg_cholesky(input, upper=upper)


@api(method=True, out=1)
def cholesky_solve(input, L, upper=False):  # noqa: A002
    """X with ``A @ X = input``, given A's Cholesky factor."""
    _matrices("cholesky_solve", input)
    _matrices("cholesky_solve", L, True)
    if input.shape[-2] != L.shape[-1]:
        raise RuntimeError(f"Incompatible matrix sizes for cholesky_solve: each A matrix is "
                           f"{L.shape[-1]} by {L.shape[-1]} but each b matrix is "
                           f"{input.shape[-2]} by {input.shape[-1]}")
    return apply(FACTORED_OP, input, L, upper=bool(upper))


@api(method=True, out=1)
def cholesky_inverse(input, upper=False):  # noqa: A002
    """The inverse of A, given its Cholesky factor."""
    _matrices("cholesky_inverse", input, True)
    return apply(FACTORED_INV_OP, input, upper=bool(upper))


@api("qr", out=2, **LA)
def linalg_qr(A, mode="reduced"):
    """Q with orthonormal columns and upper triangular R: (Q, R)."""
    _matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' "
                           "(default), 'r', or 'complete'")
    return _pair("linalg_qr", "Q", "R")(apply(QR_OP, A, mode=mode))


@api(method=True, out=2)
def qr(input, some=True):  # noqa: A002
    """The older form of ``linalg.qr``: (Q, R)."""
    return _pair("qr", "Q", "R")(linalg_qr(input, "reduced" if some else "complete"))


@api("svd", out=3, **LA)
def linalg_svd(A, full_matrices=True, *, driver=None):
    """``A = U @ diag(S) @ Vh``: (U, S, Vh)."""
    _matrices("linalg.svd", A)
    return _pair("linalg_svd", "U", "S", "Vh")(apply(SVD_OP, A, full=bool(full_matrices)))


@api(method=True, out=3)
def svd(input, some=True, compute_uv=True):  # noqa: A002
    """The older form of ``linalg.svd``: (U, S, V)."""
    _matrices("svd", input)
    if not compute_uv:
        m, n = input.shape[-2:]
        lead = tuple(input.shape[:-2])
        return _pair("svd", "U", "S", "V")((
            zeros_like_shape(input, (*lead, m, m)), apply(SVDVALS_OP, input),
            zeros_like_shape(input, (*lead, n, n))))
    u, s, vh = apply(SVD_OP, input, full=not some)
    return _pair("svd", "U", "S", "V")((u, s, h(vh)))


@api(out=1, **LA)
def svdvals(A, *, driver=None):
    """Singular values, largest first."""
    _matrices("linalg.svdvals", A)
    return apply(SVDVALS_OP, A)


def _triangle_side(uplo):
    if not isinstance(uplo, str) or uplo.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {uplo}")
    return uplo.upper() == "L"


@api(out=2, **LA)
def eigh(A, UPLO="L"):
    """Eigenvalues (ascending) and vectors of symmetric matrices: (eigenvalues, eigenvectors)."""
    lower = _triangle_side(UPLO)
    _matrices("linalg.eigh", A, True)
    return _pair("linalg_eigh", "eigenvalues", "eigenvectors")(apply(EIGH_OP, A, lower=lower))


@api(out=1, **LA)
def eigvalsh(A, UPLO="L"):
    """Eigenvalues of symmetric matrices, ascending."""
    lower = _triangle_side(UPLO)
    _matrices("linalg.eigvalsh", A, True)
    return apply(EIGH_OP, A, lower=lower)[0]


@api(out=2, **LA)
def eig(A):
    """Eigenvalues and vectors, complex: (eigenvalues, eigenvectors)."""
    _matrices("linalg.eig", A, True)
    if not np.isfinite(host(A)).all():
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    return _pair("linalg_eig", "eigenvalues", "eigenvectors")(apply(EIG_OP, A))


@api(out=1, **LA)
def eigvals(A):
    """Eigenvalues, complex."""
    return eig(A)[0]


# --- LU -------------------------------------------------------------------------------------------


@api("lu_factor", out=2, **LA)
def lu_factor(A, *, pivot=True):
    """Packed LU factors and pivots: (LU, pivots)."""
    _matrices("linalg.lu_factor", A)
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    return _pair("linalg_lu_factor", "LU", "pivots")(apply(LU_OP, A))


@api("lu_factor_ex", out=3, **LA)
def lu_factor_ex(A, *, pivot=True, check_errors=False):
    """Packed LU factors, pivots, and which matrices are singular: (LU, pivots, info)."""
    packed, pivots = lu_factor(A, pivot=pivot)
    return _pair("linalg_lu_factor_ex", "LU", "pivots", "info")((packed, pivots, _no_info(A)))


def _unpacked(packed, pivots):
    m, n = packed.shape[-2:]
    k = min(m, n)
    low = add(triangle(slice_dim(packed, -1, 0, k), False, True), eye_rectangle(packed, m, k))
    up = triangle(slice_dim(packed, -2, 0, k), True)
    return apply(PERMUTATION_OP, pivots, m=m, to=packed.dtype), low, up


def eye_rectangle(x, m, n):
    """Ones on the diagonal of an m by n matrix."""
    return on_host(np.eye(m, n, dtype=x.dtype.np), x)


@api("lu", out=3, **LA)
def linalg_lu(A, *, pivot=True):
    """``A = P @ L @ U``: (P, L, U)."""
    if not pivot:
        raise RuntimeError("linalg.lu: LU without pivoting is not implemented on the CPU")
    _matrices("linalg.lu", A)
    return _pair("linalg_lu", "P", "L", "U")(_unpacked(*apply(LU_OP, A)))


@api("lu_unpack", out=3)
def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True):
    """(P, L, U) of packed factors and pivots."""
    if LU_pivots.dtype is not dt.int32:
        raise RuntimeError("torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of "
                           "torch.int32 dtype. Note: this function is intended to be used with the "
                           "output produced by torch.linalg.lu_factor")
    p, low, up = _unpacked(LU_data, LU_pivots)
    none = zeros_like_shape(LU_data, (0,))
    return _pair("lu_unpack", "P", "L", "U")((
        p if unpack_pivots else none, low if unpack_data else none, up if unpack_data else none))


@api("lu_solve", out=1, **LA)
def linalg_lu_solve(LU, pivots, B, *, left=True, adjoint=False):
    """X with ``A @ X = B``, given A's packed LU factors."""
    p, low, up = _unpacked(LU, pivots)
    if not left:
        return h(linalg_lu_solve(LU, pivots, h(B), adjoint=not adjoint))
    if adjoint:
        y = solve_triangular(h(up), B, upper=False)
        return matmul(p, solve_triangular(h(low), y, upper=True, unitriangular=True))
    y = solve_triangular(low, matmul(h(p), B), upper=False, unitriangular=True)
    return solve_triangular(up, y, upper=True)


@api("lu_solve", method=True, out=1)
def torch_lu_solve(input, LU_data, LU_pivots):  # noqa: A002
    """The older form of ``linalg.lu_solve``."""
    return linalg_lu_solve(LU_data, LU_pivots, input)


@api("lu", method=True, out=0)
def torch_lu(input, pivot=True, get_infos=False):  # noqa: A002
    """Packed LU factors and pivots (and, on request, which matrices are singular)."""
    packed, pivots = lu_factor(input, pivot=pivot)
    if get_infos:
        return _pair("_lu_with_info", "LU", "pivots", "info")((packed, pivots, _no_info(input)))
    return _pair("lu", "LU", "pivots")((packed, pivots))


# --- pseudo-inverse, rank, least squares ----------------------------------------------------------


def _largest(A, hermitian):
    """Absolute singular values, and the largest of each matrix."""
    s = abs(eigvalsh(A)) if hermitian else svdvals(A)
    return s, amax(s, -1)


def _tolerance(A, hermitian, atol, rtol):
    """Per matrix, up to where singular values count as zero."""
    s, top = _largest(A, hermitian)
    eps = float(np.finfo(s.dtype.np).eps) * max(A.shape[-2:])
    if rtol is None:
        rtol = eps if atol is None or (is_number(atol) and atol == 0) else 0.0
    if atol is None:
        atol = 0.0
    if is_number(rtol):
        bound = mul(top, float(rtol))
    else:
        bound = mul(rtol, top)
    atol = on_host(np.asarray(atol, s.dtype.np), s) if is_number(atol) else atol
    return s, where(gt(bound, atol), bound, atol)


@api(out=1, **LA)
def pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None):
    """Moore-Penrose inverses; singular values up to max(atol, rtol * largest) count as zero."""
    _matrices("linalg.pinv", A)
    if rcond is not None and rtol is None:
        rtol = rcond
    if not A.numel():
        return transpose(A, -2, -1)
    with_rule = A.detach() if hasattr(A, "detach") else A
    tol = _tolerance(with_rule, hermitian, atol, rtol)[1]
    return apply(PINV_OP, A, tol, hermitian=bool(hermitian))


@api(method=True)
def pinverse(input, rcond=1e-15):  # noqa: A002
    """The older form of ``linalg.pinv``."""
    return pinv(input, rcond)


@api(out=1, **LA)
def matrix_rank(A, tol=None, hermitian=False, *, atol=None, rtol=None):
    """Numbers of singular values above the tolerance (see ``pinv``)."""
    _matrices("linalg.matrix_rank", A)
    if tol is not None:
        atol, rtol = tol, 0.0
    if not A.numel():
        return on_host(np.zeros(tuple(A.shape[:-2]), np.int64), A)
    s, bound = _tolerance(A, hermitian, atol, rtol)
    return sum(gt(s, unsqueeze(bound, -1)), -1)


@api(out=4, **LA)
def lstsq(A, B, rcond=None, *, driver=None):
    """X that minimises ``|A @ X - B|``: (solution, residuals, rank, singular_values)."""
    _matrices("torch.linalg.lstsq", A)
    if len(B.shape) < 1:
        raise RuntimeError("torch.linalg.lstsq: other must have at least 1 dimension.")
    if A.dtype is not B.dtype:
        raise RuntimeError("torch.linalg.lstsq: Expected input and other to have the same dtype, "
                           f"but got input's dtype {A.dtype} and other's dtype {B.dtype}")
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError("torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, "
                           f"gelsd, gelss), got {driver}")
    vector = _is_vector(A, B) and len(B.shape) == len(A.shape) - 1
    b = unsqueeze(B, -1) if vector else B
    if b.shape[-2] != A.shape[-2]:
        raise RuntimeError(f"torch.linalg.lstsq: input.size(-2) should match other.size("
                           f"{'-1' if vector else '-2'})")
    driver = driver or "gelsy"
    m, n = A.shape[-2:]
    x = matmul(pinv(A, rtol=rcond), b)
    values = on_host(np.zeros(0, x.dtype.to_real().np), x)
    residuals = abs(slice_dim(reshape(x, (x.numel(),)), 0, 0, 0))
    rank = on_host(np.zeros(0, np.int64), A) if driver == "gels" else matrix_rank(A, rtol=rcond)
    if m > n and driver != "gelsy" and (driver == "gels" or bool((host(rank) == n).all())):
        d = sub(matmul(A, x), b)
        residuals = sum(mul(abs(d), abs(d)), -2)
    if driver in ("gelsd", "gelss"):
        values = svdvals(A)
    x = squeeze(x, -1) if vector else x
    return _pair("linalg_lstsq", "solution", "residuals", "rank", "singular_values")(
        (x, residuals, rank, values))
