"""Products, spread, norms and log-sum-exp over axes: each one step on the tape, built of sums."""

from __future__ import annotations

import math
import warnings

from ...base import dtype as dt
from ...base import layout as layouts
from ...ir.api import api
from ...ir.node import Node, make
from ...ir.op import Op, apply
from ..core import cast_node, elementwise, to_float
from .elementwise import (ADD, DIV, SQUARE, SUB, add, cast, conj, div, eq, exp, log, mul, ne, pow,
                          sqrt, sub, where)
from .pointwise import ABS, abs, sgn, widened
from .reduce import (AMAX, AMIN, PLAIN_SUM, PROD, SUM, mean, reduce, reduce_axes, restore, sum,
                     sum_dtype)
from .join import cat
from .scan import running_product
from .shape import permute, reshape, slice_dim

# --- products -----------------------------------------------------------------------------------


def _other_products(x, axes):
    """The product of all others for each element, by running products from both ends: slower, but
    its own derivative is right at zeros too."""
    shape = tuple(x.shape)
    order = (*[i for i in range(len(shape)) if i not in axes], *axes)
    lead = tuple(shape[i] for i in order[:len(shape) - len(axes)])
    n = math.prod(shape[i] for i in axes)
    rows = reshape(permute(x, order), (*lead, n))
    dim = len(lead)
    one = add(mul(slice_dim(rows, dim, 0, 1), 0), 1)
    before = running_product(cat([one, slice_dim(rows, dim, 0, n - 1)], dim), dim)
    after = running_product(cat([slice_dim(rows, dim, 1, n), one], dim), dim, True)
    back = tuple(sorted(range(len(order)), key=order.__getitem__))
    return permute(reshape(mul(before, after), tuple(shape[i] for i in order)), back)


def _prod_vjp(ctx, g):
    """out / x without zeros; with one 0, only it has a gradient: the product of the others."""
    x, axes, keepdim = ctx.operand(0), ctx.axes, ctx.keepdim
    shape = ctx.shape(0)
    if not isinstance(g, Node) and axes and math.prod(shape):
        return (mul(restore(g, shape, axes, keepdim), conj(_other_products(x, axes))),)
    zero = eq(x, 0)
    others = where(zero, 1, x)
    rest = restore(apply(_prod, others, axes=axes, keepdim=keepdim, dtype=others.dtype), shape,
                   axes, keepdim)
    zeros = restore(sum(zero, axes, keepdim) if axes else cast(zero, dt.int64), shape, axes,
                    keepdim)
    slope = where(eq(zeros, 0), div(rest, others), where(zero, rest, 0))
    slope = where(eq(zeros, 1), where(zero, rest, 0), where(eq(zeros, 0), slope, 0))
    return (mul(restore(g, shape, axes, keepdim), conj(slope)),)


def _prod_lower(x, axes, keepdim, dtype):
    return reduce(PROD, cast_node(x, dtype), axes, keepdim)


_prod, _prod_full = (Op(name, _prod_lower, _prod_vjp, saves=(0,), guards=(0, "result"),
                        grad_name=grad_name) for name, grad_name in (
    ("prod", "ProdBackward1"), ("prod_full", "ProdBackward0")))


@api(method=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), 1), t.call(t.f(2, 3), 0, True)])
def prod(input, dim=None, keepdim=False, *, dtype=None):
    """Product of all elements or along ``dim``; integers are multiplied in int64."""
    return apply(_prod_full if dim is None else _prod, input,
                 axes=reduce_axes(dim, input.ndim), keepdim=keepdim,
                 dtype=sum_dtype(input, dtype))


# --- variance and standard deviation ------------------------------------------------------------


def moments(x: Node, axes, correction):
    """Mean and variance of a node over ``axes``, both with the axes kept; two passes."""
    d = x.dtype
    count = math.prod(x.shape[i] for i in axes)
    mean_ = elementwise(DIV, d, reduce(PLAIN_SUM, x, axes, True), count if count else math.nan)
    spread = elementwise(SUB, d, x, mean_)
    if d.is_complex:
        square = cast_node(make(SQUARE, (make(ABS, (spread,)),)), d.to_real())
    else:
        square = make(SQUARE, (spread,))
    freedom = count - correction
    total = reduce(PLAIN_SUM, square, axes, True)
    # no freedom left: 0 / 0 is NaN, as PyTorch has it
    return mean_, elementwise(DIV, square.dtype, total, freedom if freedom > 0 else 0.0)


def _dropped(x: Node, axes, keepdim) -> Node:
    """A result whose reduced axes were kept, without them on request."""
    if keepdim or not axes:
        return x
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    return x if shape == x.shape else reshape(x, shape)


def _var_lower(x, axes, correction, keepdim):
    var_ = moments(widened(x), axes, correction)[1]
    return cast_node(_dropped(var_, axes, keepdim), x.dtype.to_real())


def _std_lower(x, axes, correction, keepdim):
    var_ = moments(widened(x), axes, correction)[1]
    return cast_node(_dropped(sqrt(var_), axes, keepdim), x.dtype.to_real())


def _var_grad(x, g, ctx):
    """Gradient of the variance: 2 (x - mean) / (n - correction)."""
    shape, axes = ctx.shape(0), ctx.axes
    count = math.prod(shape[i] for i in axes)
    centred = sub(x, mean(x, axes, True) if axes else x)
    freedom = count - ctx.correction
    scale = 2.0 / freedom if freedom > 0 else math.nan if freedom == 0 else math.inf
    return mul(restore(g, shape, axes, ctx.keepdim), mul(centred, scale))


def _std_grad(x, out, g, ctx):
    safe = div(g, mul(out, 2))
    return _var_grad(x, where(eq(out, 0), 0, safe), ctx)


_var = Op("var", _var_lower, lambda ctx, g: (_var_grad(ctx.operand(0), g, ctx),), saves=(0,),
          layout=layouts.REDUCED)
_std = Op("std", _std_lower, lambda ctx, g: (_std_grad(ctx.operand(0), ctx.result(), g, ctx),),
          saves=(0, "result"), layout=layouts.REDUCED)


def _with_mean(root: bool):
    def lower(x, axes, correction, keepdim):
        mean_, var_ = moments(widened(x), axes, correction)
        spread = sqrt(var_) if root else var_
        return (cast_node(_dropped(spread, axes, keepdim), x.dtype.to_real()),
                cast_node(_dropped(mean_, axes, keepdim), x.dtype))

    def vjp(ctx, g, g_mean):
        x, shape = ctx.operand(0), ctx.shape(0)
        count = math.prod(shape[i] for i in ctx.axes)
        part = _std_grad(x, ctx.result(), g, ctx) if root else _var_grad(x, g, ctx)
        return (add(part, div(restore(g_mean, shape, ctx.axes, ctx.keepdim), count or 1)),)

    return Op("std_mean" if root else "var_mean", lower, vjp,
              saves=(0, "result") if root else (0,))


_var_mean, _std_mean = _with_mean(False), _with_mean(True)


def _spread_arguments(name, input, dim, unbiased, correction, keepdim):
    """PyTorch's two signatures: (dim, unbiased, keepdim) and (unbiased)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if input.dtype.category < dt.dtype.FLOAT:
        raise RuntimeError(f"{name} only support floating point and complex dtypes, got "
                           f"{input.dtype}; convert it first, for example with .float()")
    if unbiased is not None:
        correction = 1 if unbiased else 0
    elif correction is None:
        correction = 1
    axes = reduce_axes(dim, input.ndim)
    if math.prod(input.shape[i] for i in axes) <= correction and input.numel():
        warnings.warn(f"{name}(): degrees of freedom is <= 0. Correction should be strictly less "
                      "than the reduction factor (input numel divided by output numel).",
                      UserWarning, stacklevel=4)
    return {"axes": axes, "correction": correction, "keepdim": keepdim}


def _declare_spread(name: str, op: Op, what: str, results: int):
    def function(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
        return apply(op, input, **_spread_arguments(name, input, dim, unbiased, correction,
                                                    keepdim))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (f"{what} over ``dim`` (all when None), with n - ``correction`` in the "
                        "denominator (1 unless told).")
    return api(name, method=results == 1, out=1 if results == 1 else 0,
               cases=lambda t: [t.call(t.f(3, 4)), t.call(t.f(3, 4), 1, keepdim=True),
                                t.call(t.f(3, 4), 0, correction=0)])(function)


var = _declare_spread("var", _var, "Variance", 1)
std = _declare_spread("std", _std, "Standard deviation", 1)
var_mean = _declare_spread("var_mean", _var_mean, "Variance and mean", 2)
std_mean = _declare_spread("std_mean", _std_mean, "Standard deviation and mean", 2)

# --- log-sum-exp --------------------------------------------------------------------------------


def shifted_exp(x: Node, axes):
    """(exp(x - m), m) with m the maximum (of the real parts) over ``axes``, kept, and 0 where it is
    infinite."""
    top = reduce(AMAX, cast_node(x, x.dtype.to_real()), axes, True)
    top = where(eq(make(ABS, (top,)), math.inf), 0, top)
    top = cast_node(top, x.dtype)
    return exp(elementwise(SUB, x.dtype, x, top)), top


def _logsumexp_lower(x, axes, keepdim):
    x = cast_node(x, to_float(x.dtype))
    if not x.numel():
        out = log(reduce(SUM, exp(x), axes, True))
    else:
        part, top = shifted_exp(x, axes)  # 16-bit floats are rounded after each of these
        out = elementwise(ADD, x.dtype, log(reduce(SUM, part, axes, True)), top)
    return _dropped(out, axes, keepdim)


def _logsumexp_vjp(ctx, g):
    shape, axes, keepdim = ctx.shape(0), ctx.axes, ctx.keepdim
    out = restore(ctx.result(), shape, axes, keepdim)
    gap = sub(ctx.operand(0), out)
    return (mul(restore(g, shape, axes, keepdim), conj(exp(where(ne(gap, gap), 0, gap)))),)


_logsumexp = Op("logsumexp", _logsumexp_lower, _logsumexp_vjp, saves=(0, "result"),
                layout=layouts.REDUCED)


@api(method=True, out=1, aliases=("special.logsumexp",), dtypes="number",
     cases=lambda t: [t.call(t.f(2, 3), 1), t.call(t.f(2, 3), (0, 1), True)])
def logsumexp(input, dim, keepdim=False):
    """``log(sum(exp(input), dim))`` without overflow."""
    return apply(_logsumexp, input, axes=reduce_axes(dim, input.ndim), keepdim=keepdim)


# --- vector norms -------------------------------------------------------------------------------


def _norm_lower(x, ord, axes, keepdim, dtype):
    d = dtype.to_real()
    wide = widened(cast_node(x, dtype))
    size = make(ABS, (wide,)) if ord != 2 or wide.dtype.is_complex else wide
    if ord == math.inf or ord == -math.inf:
        out = reduce(AMAX if ord > 0 else AMIN, size, axes, True)
    elif ord == 0:
        out = reduce(SUM, cast_node(ne(size, 0), size.dtype), axes, True)
    elif ord == 1:
        out = reduce(SUM, size, axes, True)
    elif ord == 2:
        out = sqrt(reduce(SUM, make(SQUARE, (size,)), axes, True))
    else:
        out = pow(reduce(SUM, pow(size, ord), axes, True), 1.0 / ord)
    return cast_node(_dropped(out, axes, keepdim), d)


def _norm_vjp(ctx, g):
    """PyTorch's choice where the norm has a kink: 0 at 0, ties of the maximum share."""
    x, order, shape, axes = ctx.operand(0), ctx.ord, ctx.shape(0), ctx.axes
    g = restore(g, shape, axes, ctx.keepdim)
    out = restore(ctx.result(), shape, axes, ctx.keepdim)
    if order == 0:
        return (mul(x, 0),)
    if order == 1:
        return (mul(g, sgn(x)),)
    if order == 2:
        ratio = div(x, where(eq(out, 0), 1, out))
        return (mul(where(eq(out, 0), 0, ratio), g),)
    if math.isinf(order):
        size = abs(x)
        mask = where(ne(out, out), ne(size, size), eq(size, out))
        count = sum(mask, axes, True) if axes else 1
        return (where(mask, mul(sgn(x), div(g, count)), 0),)
    size = abs(x)
    if order < 1:
        # rounded in this order, 16-bit floats give what PyTorch gives
        scale = where(eq(size, 0), 0, div(1.0, pow(where(eq(size, 0), 1, size), 1 - order)))
        return (mul(mul(mul(sgn(x), scale), g), pow(out, 1 - order)),)
    if order < 2:
        scale = mul(sgn(x), pow(size, order - 1))
    else:
        scale = mul(x, pow(size, order - 2))
    factor = where(eq(out, 0), 0, div(g, pow(where(eq(out, 0), 1, out), order - 1)))
    return (mul(scale, factor),)


_vector_norm = Op("linalg_vector_norm", _norm_lower, _norm_vjp, saves=(0, "result"),
                  layout=layouts.REDUCED)


@api("vector_norm", torch=False, namespaces=("linalg",), out=1,
     cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), 3, 1), t.call(t.f(2, 3), 1, 0, True)])
def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None):
    """``sum(|x| ** ord) ** (1 / ord)`` over ``dim`` (all when None); inf: the largest magnitude.

    Raises:
        RuntimeError: a tensor of integers, or an empty axis that has no norm of this order.
    """
    if x.dtype.category < dt.dtype.FLOAT:
        raise RuntimeError("linalg.vector_norm: Expected a floating point or complex tensor as "
                           f"input. Got {x.dtype}")
    if dtype is not None and (dtype.category < dt.dtype.FLOAT
                              or dtype.is_complex != x.dtype.is_complex):
        raise RuntimeError(f"linalg.vector_norm expects a floating point or complex dtype of the "
                           f"input's kind; got {dtype} for {x.dtype}")
    order = float(ord)
    axes = reduce_axes(dim, x.ndim)
    if (order < 0 or order == math.inf) and not x.numel():
        if any_empty(x.shape, axes) or dim is None:
            raise RuntimeError(f"linalg.vector_norm cannot compute the {order} norm on an empty "
                               "dimension because the operation does not have an identity")
    return apply(_vector_norm, x, ord=order, axes=axes, keepdim=keepdim, dtype=dtype or x.dtype)


def any_empty(shape, axes) -> bool:
    """Whether one of the axes has size 0."""
    return 0 in (shape[i] for i in axes)

