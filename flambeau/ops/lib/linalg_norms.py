"""Matrix norms, powers and what else torch.linalg builds on decompositions."""

from __future__ import annotations

import math

import numpy as np

from ...base import dtype as dt
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import OpClass, Prim, make, make_many
from ...ir.op import Op, apply
from ..core import one_step
from ..prim.contract import matmul
from ..prim.elementwise import add, cast, conj, div, log, mul, sqrt, sub
from ..prim.extremes import amax, amin
from ..prim.index import on_host
from ..prim.join import cat, stack
from ..prim.linalg import eye_like, h, mask_like
from ..prim.pointwise import abs, cos  # noqa: A004
from ..prim.reduce import expand, mean, sum  # noqa: A004
from ..prim.shape import permute, reshape, slice_dim, squeeze, unsqueeze, unsqueeze_all
from ..prim.statistics import vector_norm
from ..results import return_type
from .dropout import uniform_like
from .linalg import LA, _float, _matrices, inv, linalg_qr, linalg_svd, solve, svdvals
from .shape import contiguous, movedim

ORDERS = ("fro", "nuc", math.inf, -math.inf, 1, -1, 2, -2)


# --- norms ----------------------------------------------------------------------------------------


def _check_order(ord):
    if ord not in ORDERS:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")


@api(out=1, **LA)
def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None):
    """Norms of matrices: "fro", "nuc" (sum of singular values), 1, -1, 2, -2, inf, -inf."""
    if len(A.shape) < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 "
                           "dimensions.")
    if A.dtype.category < dt.dtype.FLOAT:
        raise RuntimeError("linalg.matrix_norm: Expected a floating point or complex tensor as "
                           f"input. Got {A.dtype}")
    _check_order(ord)
    if len(dim) != 2:
        raise RuntimeError("linalg.matrix_norm: dim must be a 2-tuple. Got " + str(tuple(dim)))
    rank = len(A.shape)
    rows, columns = (sh.wrap_dim(d, rank) for d in dim)
    if rows == columns:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    if dtype is not None:
        A = cast(A, dtype)
    if ord == "fro":
        return vector_norm(A, 2, (rows, columns), keepdim)
    if ord in ("nuc", 2, -2):
        s = svdvals(movedim(A, (rows, columns), (-2, -1)))
        empty = ord == 2 and not s.shape[-1]  # no singular values: 0
        out = sum(s, -1) if empty or ord == "nuc" else (amax if ord == 2 else amin)(s, -1)
        return unsqueeze_all(out, tuple(sorted((rows, columns)))) if keepdim else out
    inner, outer = (rows, columns) if ord in (1, -1) else (columns, rows)
    total = vector_norm(A, 1, inner, True)
    if ord > 0 and not A.shape[outer]:
        out = sum(total, outer, True)  # no rows or columns: 0
        return out if keepdim else squeeze(out, (rows, columns))
    out = (amax if ord > 0 else amin)(total, outer, True)
    return out if keepdim else squeeze(out, (rows, columns))


@api("norm", out=1, **LA)
def linalg_norm(A, ord=None, dim=None, keepdim=False, *, dtype=None):
    """Vector norms (one axis, or all when ``ord`` is None) and matrix norms (two axes)."""
    if dim is not None and not isinstance(dim, int):
        dim = tuple(dim)
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None:
        if len(A.shape) > 2:
            raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be "
                               f"1D or 2D. Got {len(A.shape)}D.")
        dim = (0, 1) if len(A.shape) == 2 else 0
    if not isinstance(dim, int) and len(dim) not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got "
                           f"{list(dim)}")
    if not isinstance(dim, int) and len(dim) == 2:
        return matrix_norm(A, ord, dim, keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: norm order {ord} is not supported for vectors")
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


@api(out=1, **LA)
def cond(A, p=None):
    """Condition numbers in the norm ``p`` (ratio of the extreme singular values when None)."""
    _matrices("linalg.cond", A)
    if p in (None, 2, -2):
        s = svdvals(A)
        return div(amin(s, -1), amax(s, -1)) if p == -2 else div(amax(s, -1), amin(s, -1))
    if A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"linalg.cond with p={p} only works with square matrices: A must be "
                           f"batches of square matrices, but they are {A.shape[-2]} by "
                           f"{A.shape[-1]} matrices")
    _check_order(p)
    return mul(matrix_norm(A, p), matrix_norm(inv(A), p))


# --- powers ---------------------------------------------------------------------------------------


def _power(A, n, name):
    if len(A.shape) < 2 or A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"{name}: A must be batches of square matrices, got shape "
                           f"{tuple(A.shape)}")
    if n < 0:
        _float(name, A)
        return _power(inv(A), -n, name)
    if n == 0:
        return add(mul(A, 0), eye_like(A, A.shape[-1]))
    out, square = None, A
    while n:
        if n & 1:
            out = square if out is None else matmul(out, square)
        n >>= 1
        square = matmul(square, square) if n else square
    return out


@api("matrix_power", out=1, **LA)
def linalg_matrix_power(A, n):
    """``A @ A @ ..`` (n times); inverses for negative n."""
    return _power(A, n, "linalg.matrix_power")


@api("matrix_power", method=True, out=1, dtypes="number")
def torch_matrix_power(input, n):  # noqa: A002
    """``A @ A @ ..`` (n times); inverses for negative n."""
    return _power(input, n, "linalg.matrix_power")


_PADE = (64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000,
         10559470521600, 670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1)


def _exp_numpy(x):
    """Scaling and squaring with the Pade approximant of degree 13 (Higham 2005)."""
    if not x.size:
        return x
    wide = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    norm = np.abs(wide).sum(-2).max(-1)
    with np.errstate(all="ignore"):
        s = np.maximum(np.ceil(np.log2(np.maximum(norm, 1e-300) / 5.37)), 0).astype(int)
    wide = wide / (2.0 ** s)[..., None, None]
    c = np.array(_PADE, np.float64)
    eye = np.eye(x.shape[-1])
    a2 = wide @ wide
    a4, a6 = a2 @ a2, a2 @ a2 @ a2
    u = wide @ (a6 @ (c[13] * a6 + c[11] * a4 + c[9] * a2) + c[7] * a6 + c[5] * a4 + c[3] * a2
                + c[1] * eye)
    v = a6 @ (c[12] * a6 + c[10] * a4 + c[8] * a2) + c[6] * a6 + c[4] * a4 + c[2] * a2 + c[0] * eye
    out = np.linalg.solve(v - u, v + u)
    for i in range(int(s.max(initial=0))):
        out = np.where((i < s)[..., None, None], out @ out, out)
    return out.astype(x.dtype)


MATRIX_EXP = Prim("matrix_exp", OpClass.LIBRARY, lambda x: (x.shape, x.dtype), _exp_numpy,
                  batch="leading", doc="exponentials of matrices")


def _exp_vjp(ctx, g):
    """exp of [[A^H, G], [0, A^H]] holds the gradient in its corner (Mathias 1996)."""
    a = h(ctx.operand(0))
    n = a.shape[-1]
    zero = mul(a, mask_like(a, np.zeros((n, n))))
    block = cat([cat([a, g], -1), cat([zero, a], -1)], -2)
    return (slice_dim(slice_dim(apply(_matrix_exp, block), -1, n), -2, 0, n),)


_matrix_exp = Op("linalg_matrix_exp", lambda x: make(MATRIX_EXP, (x,)), _exp_vjp, saves=(0,))


@api(method=True)
def matrix_exp(input):  # noqa: A002
    """Exponentials of square matrices."""
    if len(input.shape) < 2 or input.shape[-1] != input.shape[-2]:
        raise RuntimeError("linalg.matrix_exp: A must be batches of square matrices, got shape "
                           f"{tuple(input.shape)}")
    if input.dtype.category < dt.dtype.FLOAT:
        raise RuntimeError("linalg.matrix_exp: Expected a floating point or complex tensor as "
                           f"input. Got {input.dtype}")
    return apply(_matrix_exp, input)


@api("matrix_exp", **LA)
def linalg_matrix_exp(A):
    """Exponentials of square matrices."""
    return matrix_exp(A)


# --- tensor equations, special matrices -----------------------------------------------------------


@api(out=1, **LA)
def tensorinv(A, ind=2):
    """The inverse of A seen as a matrix from its last axes to its first ``ind`` ones."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    first, last = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if math.prod(first) != math.prod(last):
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[ind:]) == "
                           f"prod(self.shape[:ind]), but got {math.prod(last)} != "
                           f"{math.prod(first)}")
    n = math.prod(first)
    return reshape(inv(reshape(A, (n, n))), last + first)


@api(out=1, **LA)
def tensorsolve(A, B, dims=None):
    """X with ``tensordot(A, X, X.ndim) == B``."""
    if dims is not None:
        moved = [sh.wrap_dim(d, len(A.shape)) for d in dims]
        A = permute(A, tuple(i for i in range(len(A.shape)) if i not in moved) + tuple(moved))
    out = tuple(A.shape[len(B.shape):])
    n = math.prod(B.shape)
    if math.prod(out) != n:
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[other.ndim:]) "
                           f"== prod(self.shape[:other.ndim]), but got {math.prod(out)} != "
                           f"{math.prod(A.shape[:len(B.shape)])}")
    return reshape(solve(reshape(A, (n, n)), reshape(B, (n,))), out)


def _vander(x, n, increasing):
    n = x.shape[-1] if n is None else n
    if x.dtype.category < dt.dtype.FLOAT:
        x = cast(x, dt.int64)
    one = on_host(np.ones(tuple(x.shape), x.dtype.np), x)
    columns = [one]
    for _ in range(n - 1):
        columns.append(mul(columns[-1], x))
    columns = columns[:n] if increasing else columns[:n][::-1]
    if not columns:
        return on_host(np.zeros((*x.shape, 0), x.dtype.np), x)
    return stack(columns, -1)


@api("vander", dtypes="number", cases=lambda t: [t.call(t.f(3))], **LA)
def linalg_vander(x, *, N=None):
    """Vandermonde matrices: powers 0, 1, .. of each element along a new last axis."""
    if N is not None and N <= 1:
        raise RuntimeError(f"N must be greater than 1, got {N}")
    return _vander(x if x.shape else reshape(x, (1,)), N, True)


@api(dtypes="number", cases=lambda t: [t.call(t.f(3))])
def vander(x, N=None, increasing=False):
    """A Vandermonde matrix of a vector: powers in falling (or rising) order."""
    if len(x.shape) != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    if N is not None and N < 0:
        raise RuntimeError("N must be non-negative.")
    return _vander(x, N, increasing)


# --- weight normalisation -------------------------------------------------------------------------


@api(cases=lambda t: [t.call(t.f(2, 3), 2, 1)])
def norm_except_dim(v, pow=2, dim=0):
    """The norm over all dimensions but ``dim``, kept for broadcasting; a scalar for -1."""
    if dim == -1:
        return vector_norm(v, pow)
    rank = len(v.shape)
    others = [d for d in range(rank) if d != dim % rank]
    return vector_norm(v, pow, others, keepdim=True) if others else abs(v)


_weighted = one_step("_weight_norm", "WeightNormInterfaceBackward0", (1, 2))


@api("_weight_norm", cases=lambda t: [t.call(t.f(2, 3), t.f(2, 1)), t.call(t.f(2, 3), t.f(1), -1)])
def weight_norm(v, g, dim=0):
    """``g v / |v|`` with the norm over all dimensions but ``dim`` (Salimans and Kingma, 2016)."""
    x = contiguous(v)
    out = mul(x, div(g, norm_except_dim(x, 2, dim)))
    return apply(_weighted, out, v, g) if dim in (0, len(v.shape) - 1) else out


_reflections = one_step("linalg_householder_product", "LinalgHouseholderProductBackward0",
                        (1, 2, "result"))


@api(out=1, **LA)
def householder_product(A, tau):
    """The first columns of a product of Householder reflections ``I - tau v v^H``."""
    _matrices("torch.linalg.householder_product", A)
    m, n = A.shape[-2:]
    k = tau.shape[-1]
    if m < n:
        raise RuntimeError("torch.linalg.householder_product: input.shape[-2] must be greater than "
                           f"or equal to input.shape[-1], got {m} and {n}")
    if n < k:
        raise RuntimeError("torch.linalg.householder_product: input.shape[-1] must be greater than "
                           f"or equal to tau.shape[-1], got {n} and {k}")
    if len(A.shape) - len(tau.shape) != 1 or tuple(A.shape[:-2]) != tuple(tau.shape[:-1]):
        raise RuntimeError("torch.linalg.householder_product: Expected tau to have one dimension "
                           f"less than input, got {tuple(tau.shape)} for {tuple(A.shape)}")
    if A.dtype is not tau.dtype:
        raise RuntimeError(f"torch.linalg.householder_product: tau dtype {tau.dtype} does not "
                           f"match input dtype {A.dtype}")
    rows = np.arange(m)[:, None]
    v = add(mul(A, mask_like(A, rows > np.arange(n))), mask_like(A, np.eye(m, n)))
    out = add(mul(A, 0), mask_like(A, np.eye(m, n)))
    for i in reversed(range(k)):
        column = v[..., :, i:i + 1]
        scaled = mul(column, unsqueeze(tau[..., i:i + 1], -1))
        out = sub(out, matmul(scaled, matmul(h(column), out)))
    return apply(_reflections, out, A, tau)


@api("orgqr", method=True, out=1)
def orgqr(input, input2):  # noqa: A002
    """The older name of ``linalg.householder_product``."""
    return householder_product(input, input2)


# --- low rank -------------------------------------------------------------------------------------


def _range_basis(A, q, niter):
    """Orthonormal columns that span most of A's range (Halko, Martinsson, Tropp 2009)."""
    random = _normal_like(A, (*A.shape[:-2], A.shape[-1], q))
    basis = linalg_qr(matmul(A, random))[0]
    for _ in range(niter):
        basis = linalg_qr(matmul(h(A), basis))[0]
        basis = linalg_qr(matmul(A, basis))[0]
    return basis


def _normal_like(x, size):
    """Standard normal numbers by Box and Muller."""
    u, v = uniform_like(x, size), uniform_like(x, size)
    return mul(sqrt(mul(log(sub(1, u)), -2)), cos(mul(v, 2 * math.pi)))


def _low_rank(A, q, niter, M):
    q = 6 if q is None else q
    m, n = A.shape[-2:]
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)="
                         f"{min(m, n)}")
    a = A if M is None else sub(A, expand(M, tuple(A.shape)))
    flip = m < n
    work = h(a) if flip else a
    basis = _range_basis(work, q, niter)
    u, s, vh = linalg_svd(matmul(h(basis), work), False)
    left, right = matmul(basis, u), h(vh)
    return (right, s, left) if flip else (left, s, right)


@api("svd_lowrank", out=0)
def svd_lowrank(A, q=6, niter=2, M=None):
    """An approximate SVD of rank ``q``: (U, S, V)."""
    return _low_rank(A, q, niter, M)


@api("pca_lowrank", out=0)
def pca_lowrank(A, q=None, center=True, niter=2):
    """Principal components of the rows of A: (U, S, V)."""
    m, n = A.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)="
                         f"{min(m, n)}")
    if not niter >= 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return _low_rank(sub(A, mean(A, -2, True)) if center else A, q, niter, None)


def _geqrf_numpy(x):
    """LAPACK's form: R above the diagonal, the reflections' vectors below it."""
    packed, tau = np.linalg.qr(x, "raw")
    return np.ascontiguousarray(np.swapaxes(packed, -1, -2)), tau


GEQRF = Prim("geqrf", OpClass.LIBRARY, lambda x: (
    (x.shape, x.dtype), ((*x.shape[:-2], min(x.shape[-2:])), x.dtype)), _geqrf_numpy,
    batch="leading", doc="packed Householder QR")
_geqrf = Op("geqrf", lambda x: make_many(GEQRF, (x,)),
            nondiff="geqrf is not differentiable; use linalg.qr")


@api(method=True, out=2)
def geqrf(input):  # noqa: A002
    """Householder QR in packed form: (a, tau)."""
    _matrices("torch.geqrf", input)
    return return_type("geqrf", "a", "tau")(apply(_geqrf, input))


_ormqr = one_step("ormqr", "OrmqrBackward0", (1, 2, 3, "result"))


@api(method=True, out=1)
def ormqr(input, tau, other, left=True, transpose=False):  # noqa: A002
    """``other`` multiplied by the Q of ``geqrf`` (its conjugate transpose with ``transpose``)."""
    _matrices("torch.ormqr", input)
    if len(tau.shape) != len(input.shape) - 1 or tuple(tau.shape[:-1]) != tuple(input.shape[:-2]):
        raise RuntimeError(f"torch.ormqr: Expected tau to have one dimension less than input, got "
                           f"{tuple(tau.shape)} and {tuple(input.shape)}")
    if len(other.shape) != len(input.shape):
        raise RuntimeError("torch.ormqr: Expected other to have the same number of dimensions as "
                           f"input, got {tuple(other.shape)} and {tuple(input.shape)}")
    m, k = input.shape[-2], tau.shape[-1]
    if other.shape[-2 if left else -1] != m:
        raise RuntimeError(f"torch.ormqr: other.shape[{-2 if left else -1}] must be equal to "
                           f"input.shape[-2], got {tuple(other.shape)} and {tuple(input.shape)}")
    if not left:
        return h(ormqr(input, tau, h(other), True, not transpose))
    n = input.shape[-1]
    v = add(mul(input, mask_like(input, np.arange(m)[:, None] > np.arange(n))),
            mask_like(input, np.eye(m, n)))
    out = other
    for i in (range(k) if transpose else reversed(range(k))):
        column = slice_dim(v, -1, i, i + 1)
        factor = unsqueeze(slice_dim(tau, -1, i, i + 1), -1)
        factor = conj(factor) if transpose else factor
        out = sub(out, matmul(mul(column, factor), matmul(h(column), out)))
    return apply(_ormqr, out, input, tau, other)
