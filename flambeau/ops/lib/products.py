"""Products: batched and accumulated matrix products, tensordot, outer forms, distances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...base import dtype as dt
from ...base import shape as sh
from ...base.errors import ShapeError
from ...ir.api import api
from ...ir.op import apply
from ..core import one_step, result_type
from ..prim.contract import _check_dtypes, bmm, matmul, mm, mv, vector_dot
from ..prim.elementwise import (
    add,
    cast,
    conj,
    div,
    eq,
    gt,
    le,
    mul,
    ne,
    pow,  # noqa: A004
    sub,
    where,
)
from ..prim.extremes import amax
from ..prim.index import index_select, on_host
from ..prim.pointwise import abs, widened  # noqa: A004
from ..prim.reduce import expand, sum  # noqa: A004
from ..prim.shape import permute, reshape, transpose, unsqueeze
from .shape import roll

OUT: dict[str, Any] = {"method": True, "out": 1, "dtypes": "number"}


def _plus(product, c, beta, alpha, first=False):
    """``beta * c + alpha * product``; ``c`` is not read where beta is 0.

    Args:
        first: the result's memory is in the order of ``c``'s.
    """
    if product.dtype.category < dt.dtype.FLOAT:
        beta, alpha = int(beta), int(alpha)  # as PyTorch truncates them
    out = product if alpha == 1 else mul(product, alpha)
    if beta == 0:
        return out
    c = c if beta == 1 else mul(c, beta)
    return add(c, out) if first else add(out, c)


def _fits(name, c, shape):
    try:
        fits = sh.broadcast_shapes(tuple(c.shape), shape) == shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ShapeError(f"{name}: The expanded size of the tensor {shape} must match the existing "
                         f"size {tuple(c.shape)}")


@api(inplace=True, cases=lambda t: [t.call(t.f(2, 3, 5), t.f(2, 3, 4), t.f(2, 4, 5), beta=.5)],
     **OUT)
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):  # noqa: A002
    """``beta * input + alpha * (batch1 @ batch2)`` for batches of matrices."""
    _check_dtypes("baddbmm", input, batch1)
    _check_dtypes("baddbmm", batch1, batch2)
    product = bmm(widened(batch1), widened(batch2))  # 16-bit floats are rounded once, at the end
    _fits("baddbmm", input, tuple(product.shape))
    return cast(_plus(product, widened(input), beta, alpha), input.dtype)


@api(inplace=True, cases=lambda t: [t.call(t.f(3, 5), t.f(2, 3, 4), t.f(2, 4, 5), alpha=2)], **OUT)
def addbmm(input, batch1, batch2, *, beta=1, alpha=1):  # noqa: A002
    """``beta * input + alpha * sum of (batch1 @ batch2)`` over the batch."""
    _check_dtypes("addbmm", input, batch1)
    product = bmm(widened(batch1), widened(batch2))
    _fits("addbmm", input, tuple(product.shape[1:]))
    total = sum(product, 0, dtype=product.dtype)
    return cast(_plus(total, widened(input), beta, alpha), input.dtype)


@api(inplace=True, cases=lambda t: [t.call(t.f(3), t.f(3, 4), t.f(4), beta=2.0)], **OUT)
def addmv(input, mat, vec, *, beta=1, alpha=1):  # noqa: A002
    """``beta * input + alpha * (mat @ vec)``."""
    _check_dtypes("addmv", input, mat)
    product = mv(widened(mat), widened(vec))
    _fits("addmv", input, tuple(product.shape))
    return cast(_plus(product, widened(input), beta, alpha), input.dtype)


@api(inplace=True, cases=lambda t: [t.call(t.f(3, 4), t.f(3), t.f(4), beta=2.0)],
     method=True, out=1, dtypes="any")
def addr(input, vec1, vec2, *, beta=1, alpha=1):  # noqa: A002
    """``beta * input + alpha * outer(vec1, vec2)``."""
    for x, which in ((vec1, "vec1"), (vec2, "vec2")):
        if len(x.shape) != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {which}, but got {len(x.shape)}-D")
    product = mul(reshape(vec1, (vec1.shape[0], 1)), vec2)
    _fits("addr", input, tuple(product.shape))
    if product.dtype is dt.bool_ and input.dtype is dt.bool_:
        if isinstance(alpha, float) or isinstance(beta, float):
            raise RuntimeError("For boolean tensors, alpha and beta must be bool")
        product = product if alpha else mul(product, False)
        return add(product, input) if beta else product
    d = result_type(input, product)
    if d.category < dt.dtype.FLOAT and (isinstance(alpha, float) or isinstance(beta, float)):
        raise RuntimeError("For integral input tensors, argument alpha and beta must not be "
                           "floating point numbers.")
    return _plus(cast(product, d), cast(input, d), beta, alpha, first=True)


@api(inplace=False, cases=lambda t: [t.call(t.f(3), t.f(3))], **OUT)
def vdot(input, other):  # noqa: A002
    """Inner product of vectors, the first one conjugated."""
    return vector_dot(conj(input), other)


@api(cases=lambda t: [t.call(t.f(2, 3), t.f(4, 3))], **OUT)
def inner(input, other):  # noqa: A002
    """Sums of products over the last axes; plain product with a number."""
    if not input.shape or not other.shape:
        return mul(input, other)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner() the last dimension must match on both input tensors but got "
                           f"shapes {list(input.shape)} and {list(other.shape)}")
    return tensordot(input, other, ([-1], [-1]))


#: an operand's value under a version of its own
_OPERAND = one_step("_unsafe_copy", "UnsafeViewBackward0", ())


@api(cases=lambda t: [t.call(t.f(2, 3), t.f(4, 5)), t.call(t.f(2), t.f(2, 3))], **OUT)
def kron(input, other):  # noqa: A002
    """Kronecker product."""
    rank = max(len(input.shape), len(other.shape))
    a = (1,) * (rank - len(input.shape)) + tuple(input.shape)
    b = (1,) * (rank - len(other.shape)) + tuple(other.shape)
    wide = mul(reshape(apply(_OPERAND, input), tuple(n for s in a for n in (s, 1))),
               reshape(apply(_OPERAND, other), tuple(n for s in b for n in (1, s))))
    return reshape(wide, tuple(x * y for x, y in zip(a, b, strict=True)))


@api(out=1, dtypes="number",
     cases=lambda t: [t.call(t.f(2, 3, 4), t.f(3, 4, 5), 2),
                      t.call(t.f(2, 3, 4), t.f(4, 5, 3), ([1, 2], [2, 0]))])
def tensordot(a, b, dims=2):
    """Sums of products over the axes ``dims``: a number (last of a, first of b) or two lists."""
    if not isinstance(dims, (list, tuple)) and hasattr(dims, "tolist"):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(len(a.shape), len(b.shape)):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        left, right = list(range(len(a.shape) - dims, len(a.shape))), list(range(dims))
    else:
        left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    _check_dtypes("tensordot", a, b)
    if len(left) != len(right):
        raise RuntimeError("both dimension lists should have same length")
    left = [sh.wrap_dim(d, len(a.shape)) for d in left]
    right = [sh.wrap_dim(d, len(b.shape)) for d in right]
    for i, j in zip(left, right, strict=True):
        if a.shape[i] != b.shape[j] and a.shape[i] != 1 and b.shape[j] != 1:
            raise RuntimeError(f"contracted dimensions need to match, but first has size "
                               f"{a.shape[i]} in dim {i} and second has size {b.shape[j]} in dim "
                               f"{j}")
    for i, j in zip(left, right, strict=True):  # size 1 meets any size
        if a.shape[i] != b.shape[j]:
            if a.shape[i] == 1:
                b = sum(b, j, True, dtype=b.dtype)
            else:
                a = sum(a, i, True, dtype=a.dtype)
    keep_a = [i for i in range(len(a.shape)) if i not in left]
    keep_b = [i for i in range(len(b.shape)) if i not in right]
    n = math.prod(a.shape[i] for i in left)
    rows, columns = (math.prod(x.shape[i] for i in keep) for x, keep in ((a, keep_a), (b, keep_b)))
    out = mm(reshape(permute(a, (*keep_a, *left)), (rows, n)),
             reshape(permute(b, (*right, *keep_b)), (n, columns)))
    return reshape(out, (*[a.shape[i] for i in keep_a], *[b.shape[i] for i in keep_b]))


_trilinear = one_step("_trilinear", "ViewBackward0", lambda needs, params: tuple(
    i for i in (1, 2, 3) if needs[1:].count(True) > needs[i]))


@api(torch=True, functional=True, cases=lambda t: [t.call(t.f(5, 2), t.f(5, 3), t.f(4, 2, 3))])
def bilinear(input1, input2, weight, bias=None):
    """``out[.., o] = input1 @ weight[o] @ input2 + bias[o]``."""
    if tuple(input1.shape[:-1]) != tuple(input2.shape[:-1]):
        raise RuntimeError("bilinear(): input dimensions do not match: got "
                           f"{tuple(input1.shape)} and {tuple(input2.shape)}")
    if input1.shape[-1] != weight.shape[1] or input2.shape[-1] != weight.shape[2]:
        raise RuntimeError(f"bilinear(): input sizes {input1.shape[-1]} and {input2.shape[-1]} do "
                           f"not match the weight {tuple(weight.shape)}")
    if bias is not None and bias.shape[0] != weight.shape[0]:
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got "
                           f"{bias.shape[0]} but expected {weight.shape[0]}")
    lead = tuple(input1.shape[:-1])
    rows = math.prod(lead)
    o, m, n = weight.shape
    x = reshape(input1, (rows, m))
    y = reshape(input2, (rows, n))
    half = reshape(mm(x, reshape(permute(weight, (1, 0, 2)), (m, o * n))), (rows, o, n))
    out = reshape(matmul(half, unsqueeze(y, 2)), (*lead, o))
    out = apply(_trilinear, out, input1, input2, weight)
    return out if bias is None else add(out, bias)


@api(cases=lambda t: [t.call(t.f(2, 3), t.f(2, 3)), t.call(t.f(3, 2), t.f(3, 2), 0)], **OUT)
def cross(input, other, dim=None):  # noqa: A002
    """Vector product along an axis of size 3 (the first one when ``dim`` is None)."""
    if dim is None:
        shape = sh.broadcast_shapes(tuple(input.shape), tuple(other.shape))
        dim = next((i for i, n in enumerate(shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    return linalg_cross(input, other, dim=dim)


_cross = one_step("linalg_cross", "LinalgCrossBackward0", lambda needs, params: tuple(
    i for i in (1, 2) if needs[3 - i]))


@api("cross", torch=False, namespaces=("linalg",), out=1, dtypes="number",
     cases=lambda t: [t.call(t.f(2, 3), t.f(2, 3))])
def linalg_cross(input, other, *, dim=-1):  # noqa: A002
    """Vector product along ``dim``, which has size 3."""
    if len(input.shape) != len(other.shape):
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    dim = sh.wrap_dim(dim, len(input.shape))
    if input.shape[dim] != 3 or other.shape[dim] != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got "
                           f"{input.shape[dim]} and {other.shape[dim]}")
    shape = sh.broadcast_shapes(tuple(input.shape), tuple(other.shape))
    a, b = expand(input, shape), expand(other, shape)
    turn = {s: (lambda x, s=s: roll(x, s, dim)) for s in (1, 2)}
    out = sub(mul(turn[2](a), turn[1](b)), mul(turn[1](a), turn[2](b)))
    return apply(_cross, out, input, other)


# --- chains ---------------------------------------------------------------------------------------


def _best_order(sizes):
    """Split points of the cheapest order of a matrix chain (dynamic programming)."""
    n = len(sizes) - 1
    cost = [[0] * n for _ in range(n)]
    at = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i][j], at[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j))
    return at


@api("multi_dot", torch=False, namespaces=("linalg",), out=1,
     cases=lambda t: [t.call([t.f(2, 3), t.f(3, 4), t.f(4, 2)])])
def multi_dot(tensors):
    """The product of a chain of matrices in the cheapest order; the ends may be vectors."""
    tensors = list(tensors)
    if len(tensors) < 2:
        raise RuntimeError("multi_dot(): expected at least 2 tensors but got " + str(len(tensors)))
    first, last = len(tensors[0].shape) == 1, len(tensors[-1].shape) == 1
    if first:
        tensors[0] = unsqueeze(tensors[0], 0)
    if last:
        tensors[-1] = unsqueeze(tensors[-1], 1)
    for i, x in enumerate(tensors):
        if len(x.shape) != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {len(x.shape)}D")
        if x.dtype is not tensors[0].dtype:
            raise RuntimeError("multi_dot(): all tensors must have be the same dtype but tensor 0 "
                               f"is {tensors[0].dtype} and tensor {i} {x.dtype}")
        if i and x.shape[0] != tensors[i - 1].shape[1]:
            raise RuntimeError(f"multi_dot(): tensors {i - 1} and {i} with shapes "
                               f"{list(tensors[i - 1].shape)} and {list(x.shape)} cannot be "
                               "multiplied")
    at = _best_order([tensors[0].shape[0], *[x.shape[1] for x in tensors]])

    out = _product(tensors, at, 0, len(tensors) - 1)
    shape = tuple(out.shape)[(1 if first else 0):(1 if last else 2)]
    return reshape(out, shape) if first or last else out


def _product(tensors, at, i, j):
    """The product of the tensors from ``i`` to ``j``, split at ``at[i][j]``."""
    if i == j:
        return tensors[i]
    return mm(_product(tensors, at, i, at[i][j]), _product(tensors, at, at[i][j] + 1, j))


@api(cases=lambda t: [t.call(t.f(2, 3), t.f(3, 4), t.f(4, 2))])
def chain_matmul(*matrices):
    """``linalg.multi_dot`` with the matrices as arguments."""
    if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)):
        matrices = tuple(matrices[0])
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices)


@api("vecdot", torch=False, namespaces=("linalg",), out=1,
     cases=lambda t: [t.call(t.f(2, 3), t.f(2, 3))])
def vecdot(x, y, *, dim=-1):
    """Inner products along ``dim``, the first operand conjugated."""
    return sum(mul(conj(x), y), dim)


# --- distances ------------------------------------------------------------------------------------


def _power_sum(d, p):
    """Norms of order ``p`` over the last axis."""
    a = abs(d)
    if p == 0:
        return sum(add(mul(a, 0), cast(ne(a, 0), d.dtype)), -1)
    if p == 1:
        return sum(a, -1)
    if math.isinf(p):
        return amax(a, -1)
    total = sum(mul(a, a) if p == 2 else pow(a, p), -1)
    zero = eq(total, 0)  # the slope at 0 is taken as 0
    return where(zero, 0, pow(where(zero, 1, total), 1 / p))


_cdist = one_step("cdist", "CdistBackward0", (1, 2, "result"))
_pdist = one_step("pdist", "PdistBackward0", (1, "result"))


@api(cases=lambda t: [t.call(t.f(3, 4), t.f(5, 4)), t.call(t.f(3, 4), t.f(5, 4), 1.0)])
def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """Distances of order ``p`` between all rows of x1 (.., P, M) and x2 (.., R, M): (.., P, R)."""
    for x, which in ((x1, "X1"), (x2, "X2")):
        if len(x.shape) < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {which} got: "
                               f"{len(x.shape)}D")
        if x.dtype.category < dt.dtype.FLOAT:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {which} got: "
                               f"{x.dtype}")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} "
                           f"X2: {x2.shape[-1]}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    sh.broadcast_shapes(tuple(x1.shape[:-2]), tuple(x2.shape[:-2]))
    if not x1.shape[-1]:
        p = 1.0  # nothing to add up
    large = x1.shape[-2] > 25 or x2.shape[-2] > 25
    if p == 2 and large and compute_mode != "donot_use_mm_for_euclid_dist":
        squares = add(sum(mul(x1, x1), -1, True), transpose(sum(mul(x2, x2), -1, True), -2, -1))
        total = sub(squares, mul(matmul(x1, transpose(x2, -2, -1)), 2))
        zero = le(total, 0)
        out = where(zero, 0, pow(where(zero, 1, total), 0.5))
    else:
        out = _power_sum(sub(unsqueeze(x1, -2), unsqueeze(x2, -3)), p)
    return apply(_cdist, out, x1, x2)


@api(functional=True, cases=lambda t: [t.call(t.f(5, 4))])
def pdist(input, p=2.0):  # noqa: A002
    """Distances of order ``p`` between all pairs of rows, as a vector."""
    if len(input.shape) != 2:
        raise RuntimeError("pdist only supports 2D tensors, got: "
                           f"{len(input.shape)}D")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    n = input.shape[0]
    rows, columns = (on_host(i, input) for i in np.triu_indices(n, 1))
    out = _power_sum(sub(index_select(input, 0, rows), index_select(input, 0, columns)),
                     p if input.shape[1] else 1.0)
    return apply(_pdist, out, input)


@api(functional=True, cases=lambda t: [t.call(t.f(5, 4), t.f(5, 4)), t.call(t.f(5, 4), t.f(4), -1)])
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """``x1 . x2 / (max(|x1|, eps) max(|x2|, eps))`` along ``dim``."""
    d = result_type(x1, x2)
    if d.category < dt.dtype.FLOAT:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {d}")
    x1, x2 = cast(x1, d), cast(x2, d)
    shape = sh.broadcast_shapes(tuple(x1.shape), tuple(x2.shape))
    x1, x2 = expand(x1, shape), expand(x2, shape)

    def unit(x):
        size = pow(sum(mul(x, x), dim, True), 0.5)
        return div(x, where(gt(size, eps), size, eps))

    return sum(mul(unit(x1), unit(x2)), dim)
