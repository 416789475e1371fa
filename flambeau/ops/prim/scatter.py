"""Writing at positions that are data: scatter, index_add, put, masks. Reading is in index.py."""

from __future__ import annotations

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import Node, OpClass
from ...ir.op import Op, apply
from ...ir.view import broadcast
from ..core import elementwise, fitting, is_number, operand
from .elementwise import DIV, FLOORDIV, MUL, cast, div, eq, mul, sub, where
from .index import (check_along, check_index_dtype, gather, index_select,
                    put_node, scatter_node, take)
from .reduce import expand, sum  # noqa: A004
from .shape import reshape

INDEX = OpClass.INDEX


def same_type(name: str, x, src) -> None:
    """scatter and its like do not promote."""
    if x.dtype is not src.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype, got "
                           f"{x.dtype} and {src.dtype}")


# --- scatter --------------------------------------------------------------------------------------


def _scatter_vjp(ctx, g):
    index = ctx.operand(1)
    g_self = apply(_scatter_number, g, index, 0, dim=ctx.dim) if ctx.needs(0) else None
    return g_self, None, gather(g, ctx.dim, index) if ctx.needs(2) else None


_scatter, _scatter_number = (Op(
    name, lambda x, index, src, dim: scatter_node(x, index, operand(src, x.dtype), dim, "set"),
    _scatter_vjp, saves=(1,), grad_name=grad_name) for name, grad_name in (
        ("scatter", "ScatterBackward0"), ("scatter_number", "ScatterBackward1")))
_scatter_mode = Op(
    "scatter_mode",
    lambda x, index, src, dim, mode: scatter_node(x, index, operand(src, x.dtype), dim, mode),
    nondiff="the derivative of scatter with reduce= is not defined; use scatter_reduce")


@api(method=True, inplace=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), 1, t.ints(3, 1, low=0, high=4), t.f(3, 2)),
                      t.call(t.f(3, 4), 0, t.ints(1, 4, low=0, high=3), 2.0)])
def scatter(input, dim, index, src=None, *, value=None, reduce=None):  # noqa: A002
    """``input`` with ``out[index[i][j]][j] = src[i][j]`` for dim 0, and so for every axis.

    ``src`` is a tensor or a number; ``reduce`` ("add", "multiply") combines instead of replacing.
    """
    src = value if src is None else src
    tensor = not is_number(src)
    dim = check_along("scatter", input, index, dim, src if tensor else None)
    if tensor:
        same_type("scatter", input, src)
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError("reduce argument must be either add or multiply.")
        mode = "add" if reduce == "add" else "prod"
        return apply(_scatter_mode, input, index, src, dim=dim, mode=mode)
    return apply(_scatter if tensor else _scatter_number, input, index, src, dim=dim)


_scatter_add = Op(
    "scatter_add", lambda x, index, src, dim: scatter_node(x, index, src, dim, "add"),
    lambda ctx, g: (g, None, gather(g, ctx.dim, ctx.operand(1)) if ctx.needs(2) else None),
    saves=lambda needs, params: (1,) if needs[2] else ())


@api(method=True, inplace=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), 0, t.ints(2, 4, low=0, high=3), t.f(2, 4))])
def scatter_add(input, dim, index, src):  # noqa: A002
    """``input`` with ``src`` added at ``index`` along ``dim``."""
    dim = check_along("scatter", input, index, dim, src)
    same_type("scatter", input, src)
    return apply(_scatter_add, input, index, src, dim=dim)


# --- scatter with a reduction ---------------------------------------------------------------------

MODES = {"sum": "add", "prod": "prod", "mean": "add", "amax": "amax", "amin": "amin"}


def start_value(reduce: str, d: dt.dtype):
    """What a reduction starts from where the tensor's own value does not count."""
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    high = reduce == "amin"
    if d.category >= dt.dtype.FLOAT:
        return float("inf") if high else float("-inf")
    if d is dt.bool_:
        return high
    info = np.iinfo(d.np)
    return int(info.max if high else info.min)


def _scatter_reduce_lower(x, index, src, dim, reduce, include_self):
    base = x
    if not include_self:
        base = scatter_node(x, index, operand(start_value(reduce, x.dtype), x.dtype), dim, "set")
    out = scatter_node(base, index, src, dim, MODES[reduce])
    if reduce == "mean":
        count = _counts(x, index, dim, include_self)
        return elementwise(DIV if x.dtype.category >= dt.dtype.FLOAT else FLOORDIV, x.dtype, out,
                           count)
    return out


def _counts(x: Node, index: Node, dim: int, include_self: bool) -> Node:
    """How many values meet in each element, at least 1."""
    one = operand(1, x.dtype)
    base = broadcast(one, x.shape)
    if not include_self:
        base = scatter_node(base, index, operand(0, x.dtype), dim, "set")
    return scatter_node(base, index, broadcast(one, index.shape), dim, "add")


_counts_op = Op("scatter_counts", lambda x, index, dim, include_self: _counts(
    x, index, dim, include_self), nondiff="a count has no gradient")


def _scatter_reduce_vjp(ctx, g):
    x, index, src, out = ctx.operand(0), ctx.operand(1), ctx.operand(2), ctx.result()
    dim, keep = ctx.dim, ctx.include_self
    if ctx.reduce in ("sum", "mean"):
        if ctx.reduce == "mean":
            g = div(g, apply(_counts_op, x, index, dim=dim, include_self=keep))
        g_self, g_src = g, gather(g, dim, index)
    elif ctx.reduce == "prod":
        g_self, g_src = _prod_grads(g, x, index, src, out, dim, keep)
    else:
        mine = cast(eq(x, out), g.dtype)
        theirs = cast(eq(src, gather(out, dim, index)), g.dtype)
        share = div(g, apply(_scatter_add, mine, index, theirs, dim=dim))
        g_self, g_src = mul(mine, share), mul(theirs, gather(share, dim, index))
    if not keep:
        g_self = apply(_scatter, g_self, index, 0, dim=dim)
    return g_self, None, g_src


def _prod_grads(g, x, index, src, out, dim, keep):
    """The product over the others, exact where one factor is zero."""
    safe = where(eq(x, 0), 1, x)
    rest = apply(_scatter_reduce, safe, index, src, dim=dim, reduce="prod", include_self=keep)
    g_self = div(mul(g, rest), safe)
    zero = eq(src, 0)
    zeros = apply(_scatter_add, mul(cast(eq(x, x), g.dtype), 0), index, cast(zero, g.dtype),
                  dim=dim)
    only = cast(zero, g.dtype)
    alone = mul(only, cast(eq(gather(zeros, dim, index), 1), g.dtype))
    masked = where(eq(alone, 1), 1, src)
    others = apply(_scatter_reduce, x, index, masked, dim=dim, reduce="prod", include_self=keep)
    g_src = where(eq(alone, 1), gather(mul(g, others), dim, index),
                  div(gather(mul(g, out), dim, index), where(zero, 1, src)))
    return g_self, g_src


_scatter_reduce = Op("scatter_reduce", _scatter_reduce_lower, _scatter_reduce_vjp,
                     saves=(0, 1, 2, "result"))


@api(method=True, inplace=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), 0, t.ints(2, 4, low=0, high=3), t.f(2, 4), "sum"),
                      t.call(t.f(3, 4), 0, t.ints(2, 4, low=0, high=3), t.f(2, 4), "amax",
                             include_self=False)])
def scatter_reduce(input, dim, index, src, reduce, *, include_self=True):  # noqa: A002
    """``input`` and ``src`` combined at ``index`` along ``dim``: sum, prod, mean, amax, amin."""
    if reduce not in MODES:
        raise RuntimeError("reduce argument must be either sum, prod, mean, amax or amin, got "
                           f"{reduce}.")
    dim = check_along("scatter_reduce", input, index, dim, src)
    same_type("scatter_reduce", input, src)
    return apply(_scatter_reduce, input, index, src, dim=dim, reduce=reduce,
                 include_self=include_self)


# --- whole slices: index_add, index_copy, index_fill, index_reduce --------------------------------


def _check_slices(name, x, dim, index, source):
    dim = sh.wrap_dim(dim, len(x.shape))
    check_index_dtype(name, index)
    if len(index.shape) > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, but got dim: "
                         f"{len(index.shape)}")
    if source is None:
        return dim
    same = name == "index_copy"
    if x.dtype is not source.dtype:
        raise RuntimeError(f"{name}(): self and source expected to have the same dtype, but got "
                           f"(self) {x.dtype} and (source) {source.dtype}")
    a = [n for i, n in enumerate(x.shape) if i != dim]
    b = [n for i, n in enumerate(source.shape) if i != dim]
    count = source.shape[dim] if source.shape else 1
    if count != index.numel():
        raise (IndexError if same else RuntimeError)(
            f"{name}(): Number of indices ({index.numel()}) should be equal to source.size(dim) "
            f"({count}), for dim {dim}")
    if source.shape and x.shape and a != b:
        raise RuntimeError(f"{name}(): Source/destination tensor must have same slice shapes. "
                           f"Destination slice shape: {a} and source slice shape: {b} at "
                           f"dimension {dim}.")
    return dim


def _row(x: Node) -> Node:
    return reshape(x, (1,)) if not x.shape else x


def _put_rows(x, index, source, dim, accumulate):
    """PUT on one axis; 0-d operands count as one row, a lone ``source`` is repeated."""
    base, index = _row(x), reshape(index, (index.numel(),))
    if x.shape and not source.shape:
        source = broadcast(source, (1,) * len(x.shape)) if len(x.shape) == 1 else source
    elif not x.shape:
        source = _row(source) if source.numel() == 1 else source
    return reshape(put_node(base, source, (index,), (dim,), accumulate), x.shape)


def _index_add_lower(x, index, source, dim, alpha):
    if alpha != 1:
        source = elementwise(MUL, source.dtype, source, alpha)
    return _put_rows(x, index, source, dim, True)


def _rows_of(g, index, dim, shape, size):
    """``g``'s rows in the source's shape."""
    if not size:
        return reshape(g, ())
    return index_select(g, dim, index)


_index_add = Op("index_add", _index_add_lower, lambda ctx, g: (
    g, None, mul(_rows_of(g, ctx.operand(1), ctx.dim, ctx.shape(0), ctx.shape(2)), ctx.alpha)
    if ctx.needs(2) else None), saves=lambda needs, params: (1,) if needs[2] else (),
    guards=lambda needs, params: (1, 2) if needs[2] else ())


@api(method=True, inplace=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), 0, t.ints(2, low=0, high=3), t.f(2, 4), alpha=2)])
def index_add(input, dim, index, source, *, alpha=1):  # noqa: A002
    """``input`` with ``alpha * source`` added to the slices ``index`` of ``dim``."""
    dim = _check_slices("index_add", input, dim, index, source)
    return apply(_index_add, input, index, source, dim=dim, alpha=alpha)


def _with_source(needs, params) -> tuple[int, ...]:
    return (1, 2) if needs[2] else (1,)


_index_copy = Op(
    "index_copy", lambda x, index, source, dim: _put_rows(x, index, source, dim, False),
    lambda ctx, g: (apply(_index_fill, g, ctx.operand(1), 0, dim=ctx.dim),
                    None, _rows_of(g, ctx.operand(1), ctx.dim, ctx.shape(0), ctx.shape(2))),
    saves=(1,), guards=_with_source)


@api(method=True, inplace=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), 0, t.ints(1, low=0, high=3), t.f(1, 4))])
def index_copy(input, dim, index, source):  # noqa: A002
    """``input`` with the slices ``index`` of ``dim`` replaced by those of ``source``."""
    dim = _check_slices("index_copy", input, dim, index, source)
    if index.dtype is not dt.int64:
        raise RuntimeError(f"index_copy_(): Expected a long tensor for index, got {index.dtype}")
    return apply(_index_copy, input, index, source, dim=dim)


def _index_fill_lower(x, index, value, dim):
    index = reshape(index, (index.numel(),))
    return reshape(put_node(_row(x), operand(value, x.dtype), (index,), (dim,), False), x.shape)


_index_fill: Op = Op(
    "index_fill", _index_fill_lower,
    lambda ctx, g: (apply(_index_fill, g, ctx.operand(1), 0, dim=ctx.dim), None,
                        _filled_sum(ctx, g) if ctx.needs(2) else None),
    saves=(1,), layout=layouts.LIKE_FIRST)


def _filled_sum(ctx, g):
    """Every filled place counts once, however often its slice is named."""
    return sum(sub(g, apply(_index_fill, g, ctx.operand(1), 0, dim=ctx.dim)))


@api(method=True, inplace=True, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), 0, t.ints(2, low=0, high=3), 1.5)])
def index_fill(input, dim, index, value):  # noqa: A002
    """``input`` with the slices ``index`` of ``dim`` set to a number or 0-d tensor."""
    dim = _check_slices("index_fill", input, dim, index, None)
    if index.dtype is not dt.int64:
        raise IndexError(f"index_fill_(): Expected dtype int64 for index, got {index.dtype}")
    _check_lone("index_fill_", value)
    if is_number(value):
        value = fitting(value, input.dtype)
    return apply(_index_fill, input, index, value, dim=dim)


def _check_lone(name, value):
    if not is_number(value) and len(value.shape):
        raise RuntimeError(f"{name} only supports a 0-dimensional value tensor, but got tensor "
                           f"with {len(value.shape)} dimension(s).")


def _widened(index, shape, dim):
    """A vector of slice numbers repeated to ``shape`` (for scatter)."""
    lone = [1] * len(shape)
    lone[dim] = -1
    return expand(reshape(index, tuple(lone)), shape)


@api(method=True, inplace=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), 0, t.ints(2, low=0, high=3), t.f(2, 4), "amax")])
def index_reduce(input, dim, index, source, reduce, *, include_self=True):  # noqa: A002
    """``input`` and the slices of ``source`` combined: prod, mean, amax, amin."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError("index_reduce(): Expected reduce to be one of prod, mean, amax or amin "
                           f"but got {reduce}.")
    dim = _check_slices("index_reduce", input, dim, index, source)
    if not input.shape:
        out = apply(_scatter_reduce, reshape(input, (1,)), reshape(index, (1,)),
                    reshape(source, (1,)), dim=0, reduce=reduce, include_self=include_self)
        return reshape(out, ())
    return apply(_scatter_reduce, input, _widened(index, tuple(source.shape), dim), source,
                 dim=dim, reduce=reduce, include_self=include_self)


# --- put ------------------------------------------------------------------------------------------


def _put_flat_lower(x, index, source, accumulate):
    flat = [reshape(n, (n.numel(),)) for n in (x, index, source)]
    return reshape(put_node(flat[0], flat[2], (flat[1],), (0,), accumulate), x.shape)


def _put_flat_vjp(ctx, g):
    index = ctx.operand(1)
    g_self = g
    if not ctx.accumulate:
        g_self = apply(_put, g, index, mul(take(g, index), 0), accumulate=False)
    return g_self, None, reshape(take(g, index), ctx.shape(2)) if ctx.needs(2) else None


_put = Op("put", _put_flat_lower, _put_flat_vjp, saves=(1,), guards=_with_source,
          layout=layouts.LIKE_FIRST)


@api(method=True, inplace=True, dtypes="any",
     cases=lambda t: [t.call(t.f(3, 4), t.ints(2, low=0, high=12), t.f(2))])
def put(input, index, source, accumulate=False):  # noqa: A002
    """``input`` with ``source`` written (or added) at positions of the flattened tensor."""
    if index.dtype is not dt.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {index.dtype}")
    if input.dtype is not source.dtype:
        raise RuntimeError("put_(): self and source expected to have the same dtype, but got "
                           f"self.dtype = {input.dtype} and source.dtype = {source.dtype}")
    if index.numel() != source.numel():
        raise RuntimeError(f"put_(): Expected source and index to have the same number of "
                           f"elements, but got source.numel() = {source.numel()}, index.numel() = "
                           f"{index.numel()}")
    if input.numel() == 0 and index.numel():
        raise IndexError("put_(): Attempt to put elements into an empty tensor")
    return apply(_put, input, index, source, accumulate=accumulate)
