"""Running results along one axis: cumsum, cumprod, cummax, cummin, logcumsumexp."""

from __future__ import annotations

import numpy as np

from ...base import dtype as dt
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import Node, OpClass, Prim, make, make_many
from ...ir.op import Op, apply
from ..core import cast_node
from ..results import return_type
from .binary import log_add_exp
from .comparison import logical_and
from .elementwise import cast, add, conj, div, eq, exp, gt, log, lt, mul, ne, neg, sub, where
from .index import scatter_add_zeros
from .pointwise import not_implemented
from .reduce import sum_dtype

SCAN = OpClass.SCAN


def _same(x: Node, *_):
    return x.shape, x.dtype


def _accumulated(ufunc):
    """A scan in the next wider dtype, as PyTorch's; ``reverse`` starts at the end."""

    def numpy(x, axis, reverse):
        if not x.ndim:
            return np.array(x)
        narrow = x.dtype.itemsize <= 4 and x.dtype.kind in "fV"
        wide = x.astype(np.float32 if x.dtype.itemsize == 2 else np.float64) if narrow else x
        if reverse:
            wide = np.flip(wide, axis)
        out = ufunc.accumulate(wide, axis=axis, dtype=wide.dtype)
        if reverse:
            out = np.ascontiguousarray(np.flip(out, axis))
        return out.astype(x.dtype) if narrow else out

    return numpy


CUMSUM = Prim("cumsum", SCAN, _same, _accumulated(np.add), doc="running sum; (axis, reverse)")
CUMPROD = Prim("cumprod", SCAN, _same, _accumulated(np.multiply),
               doc="running product; params (axis, reverse)")
def _logaddexp_numpy(x, axis, reverse):
    """In float64: gradients are differences of two such sums."""
    if x.dtype.kind != "c":
        wide = x.astype(np.float64)
        return _accumulated(np.logaddexp)(wide, axis, reverse).astype(x.dtype)
    out = np.array(x, np.complex128)
    rows = np.moveaxis(out, axis, 0) if out.ndim else out[None]
    if reverse:
        rows = rows[::-1]
    for n in range(1, len(rows)):
        rows[n] = log_add_exp(rows[n - 1], rows[n])
    return out.astype(x.dtype)


LOGCUMSUMEXP = Prim("logcumsumexp", SCAN, _same, _logaddexp_numpy,
                    doc="log of the running sum of exp; params (axis, reverse)")


def _cumsum_lower(x, dim, dtype, reverse=False):
    return make(CUMSUM, (cast_node(x, dtype),), (dim, reverse))


def running_sum(x, dim: int, reverse: bool = False):
    """``cumsum`` in the operand's dtype, from the end when ``reverse``."""
    return apply(_cumsum, x, dim=dim, dtype=x.dtype, reverse=reverse)


_cumsum: Op = Op("cumsum", _cumsum_lower,
                 lambda ctx, g: (apply(_cumsum, g, dim=ctx.dim, dtype=g.dtype,
                                       reverse=not ctx.params.get("reverse", False)),))


@api(method=True, inplace=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3), 0), t.call(t.f(2, 3), -1)],
     errors=lambda t: [(IndexError, "Dimension out of range", t.call(t.f(2, 3), 2))])
def cumsum(input, dim, *, dtype=None):
    """Running sum along ``dim``; integers are summed in int64."""
    return apply(_cumsum, input, dim=sh.wrap_dim(dim, len(input.shape)),
                 dtype=sum_dtype(input, dtype))


def _cumprod_vjp(ctx, g):
    """Where nothing is 0: the reversed running sum of g * out, over x. At the first 0, the product
    of the others instead; nothing after it."""
    x, dim, reverse = ctx.operand(0), ctx.dim, ctx.params.get("reverse", False)
    zero = eq(x, 0)
    count = running_sum(cast(zero, dt.int64), dim, reverse)
    first = logical_and(zero, eq(count, 1))
    before = running_sum(mul(g, conj(ctx.result())), dim, not reverse)
    before = div(before, conj(where(zero, 1, x)))
    others = running_product(where(first, 1, x), dim, reverse)
    at_first = running_sum(mul(g, conj(others)), dim, not reverse)
    return (where(eq(count, 0), before, where(first, at_first, 0)),)


def _cumprod_lower(x, dim, dtype, reverse=False):
    return make(CUMPROD, (cast_node(x, dtype),), (dim, reverse))


def running_product(x, dim: int, reverse: bool = False):
    """``cumprod`` in the operand's dtype, from the end when ``reverse``."""
    return apply(_cumprod, x, dim=dim, dtype=x.dtype, reverse=reverse)


_cumprod = Op("cumprod", _cumprod_lower, _cumprod_vjp, saves=(0, "result"))


@api(method=True, inplace=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.pos(2, 3), 0), t.call(t.f(2, 3), -1)])
def cumprod(input, dim, *, dtype=None):
    """Running product along ``dim``; integers are multiplied in int64."""
    return apply(_cumprod, input, dim=sh.wrap_dim(dim, len(input.shape)),
                 dtype=sum_dtype(input, dtype))


def _logcumsumexp_vjp(ctx, g):
    """sum over later i of g_i exp(x - out_i), with positive and negative parts in logarithms;
    complex gradients have one."""
    x, out, dim = ctx.operand(0), ctx.result(), ctx.dim

    back = not ctx.params.get("reverse", False)

    def part(gradient):
        some = ne(gradient, 0)
        scaled = where(some, sub(log(where(some, gradient, 1)), out), -float("inf"))
        total = apply(_logcumsumexp, scaled, dim=dim, reverse=back)
        return exp(add(total, x))

    if g.dtype.is_complex:
        return (conj(part(conj(g))),)
    return (sub(part(where(gt(g, 0), g, 0)), part(where(lt(g, 0), neg(g), 0))),)


def _logcumsumexp_lower(x, dim, reverse=False):
    if x.dtype.category < dt.dtype.FLOAT:
        raise not_implemented("logcumsumexp", x.dtype)
    return make(LOGCUMSUMEXP, (x,), (dim, reverse))


_logcumsumexp = Op("logcumsumexp", _logcumsumexp_lower, _logcumsumexp_vjp, saves=(0, "result"))


@api(method=True, out=1, cases=lambda t: [t.call(t.f(2, 3), 0)])
def logcumsumexp(input, dim):
    """``log(cumsum(exp(input), dim))`` without overflow."""
    return apply(_logcumsumexp, input, dim=sh.wrap_dim(dim, len(input.shape)))


# --- running extremes ---------------------------------------------------------------------------


def _running_infer(x: Node, axis: int):
    return (x.shape, x.dtype), (x.shape, dt.int64)


def _running(beats):
    """Values and places of the running extreme; the last of equal ones; NaN stays."""

    def numpy(x, axis):
        if not x.ndim:
            return np.array(x), np.zeros((), np.int64)
        moved = np.moveaxis(x, axis, 0)
        values, places = np.empty_like(moved), np.empty(moved.shape, np.int64)
        if len(moved):
            best, place = moved[0].copy(), np.zeros(moved.shape[1:], np.int64)
            for i, row in enumerate(moved):
                # a NaN replaces everything and is replaced by another NaN only
                new = (beats(row, best) & (best == best)) | (row != row)
                best, place = np.where(new, row, best), np.where(new, i, place)
                values[i], places[i] = best, place
        return (np.ascontiguousarray(np.moveaxis(values, 0, axis)),
                np.ascontiguousarray(np.moveaxis(places, 0, axis)))

    return numpy


def _declare_running(name: str, beats, word: str):
    prim = Prim(name, OpClass.LIBRARY, _running_infer, _running(beats), batch="axis",
                doc=f"running {word} and its place")

    def lower(x, dim):
        return make_many(prim, (x,), (dim,))

    def vjp(ctx, g, _):
        g_, index = g, ctx.result(1)
        if not ctx.shape(0):
            return (g_,)
        return (scatter_add_zeros(g_, index, ctx.shape(0), ctx.dim),)

    op = Op(name, lower, vjp, saves=("result1",), guards=(0, "result1"), nondiff_results=(1,))
    result = return_type(name, "values", "indices")

    def function(input, dim):
        if input.dtype.is_complex:
            raise not_implemented(name, input.dtype)
        return result(apply(op, input, dim=sh.wrap_dim(dim, len(input.shape))))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The running {word} element along ``dim`` and its place."
    return api(name, method=True, out=2, dtypes="any",
               cases=lambda t: [t.call(t.f(2, 3), 1)])(function)


cummax = _declare_running("cummax", np.greater_equal, "largest")
cummin = _declare_running("cummin", np.less_equal, "smallest")
