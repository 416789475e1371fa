"""Largest and smallest values and their places; any and all; medians.

The gradient of a selected value goes to its place alone: a comparison of the place with an iota,
which fuses, instead of a scatter.
"""

from __future__ import annotations

import numpy as np

from ...base import dtype as dt
from ...base import layout as layouts
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import PRIMS, Node, OpClass, Prim, const, make, make_many
from ...ir.op import Op, apply
from ...ir.view import broadcast, view
from ..core import cast_node, is_number
from ..results import return_type
from .binary import maximum, minimum
from .comparison import OR, logical_and, logical_or
from .elementwise import WHERE, add, clone, div, eq, ne, where
from .index import along
from .pointwise import not_implemented
from .reduce import AMAX, AMIN, R, reduce, reduce_axes, restore, sum, to_bool
from .shape import reshape
from .source import iota

# --- places -------------------------------------------------------------------------------------


#: larger than any place
_FAR = {dt.int32: (1 << 31) - 1, dt.int64: (1 << 63) - 1}


def extreme(prim: Prim, x: Node, axes: tuple[int, ...], keepdim: bool) -> tuple[Node, Node]:
    """The largest (AMAX) or smallest (AMIN) elements and their first places in row-major order of
    the axes; NaN beats all. Places are sums of comparisons, so that they fuse."""
    best = make(prim, (x,), (axes,))
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    shape = kept if keepdim else best.shape
    if not axes or 0 in x.shape:
        return reshape(best, shape), broadcast(const(0, dt.int64), shape)
    strides, count = [0] * len(x.shape), 1
    for i in reversed(axes):
        strides[i], count = count, count * x.shape[i]
    kind = dt.int32 if count <= _FAR[dt.int32] else dt.int64
    places = view(iota(count, dtype=kind), x.shape, strides, 0)
    found = make(PRIMS["eq"], (x, broadcast(reshape(best, kept), x.shape)))
    if x.dtype.is_floating_point:
        found = make(OR, (found, make(PRIMS["ne"], (x, x))))
    first = make(AMIN, (make(WHERE, (found, places, const(_FAR[kind], kind))),), (axes,))
    return reshape(best, shape), reshape(cast_node(first, dt.int64), shape)


def kept_shape(shape, dim: int) -> tuple[int, ...]:
    """``shape`` with size 1 at ``dim``."""
    return tuple(shape[:dim]) + (1,) + tuple(shape[dim + 1:]) if shape else ()


def place_mask(index: Node, shape, dim: int) -> Node:
    """A bool node of ``shape``: whether the position along ``dim`` is ``index`` (which lacks
    that axis, or has it with size 1)."""
    shape = tuple(shape)
    strides = tuple(1 if i == dim else 0 for i in range(len(shape)))
    places = view(iota(shape[dim]), shape, strides, 0)
    return eq(places, broadcast(reshape(index, kept_shape(shape, dim)), shape))


def _place_lower(g, index, shape, dim):
    if not shape:
        return g
    value = broadcast(reshape(g, kept_shape(shape, dim)), shape)
    return make(WHERE, (place_mask(index, shape, dim), value, const(0, g.dtype)))


def _pick_lower(x, index, dim):
    if not x.shape:
        return x
    return reshape(along(x, reshape(index, kept_shape(x.shape, dim)), dim), index.shape)


PLACE = Op("value_selecting_reduction_backward", _place_lower,
           lambda ctx, g: (apply(_PICK, g, ctx.operand(1), dim=ctx.dim), None), saves=(1,))
_PICK: Op = Op("pick", _pick_lower,
               lambda ctx, g: (
                   apply(PLACE, g, ctx.operand(1), shape=ctx.shape(0), dim=ctx.dim), None),
               saves=(1,))


def selected_vjp(ctx, g, *_):
    """Gradient of (values, indices) results: to the places that were selected."""
    return (apply(PLACE, g, ctx.result(1), shape=ctx.shape(0), dim=ctx.dim),)


def shared_vjp(ctx, g):
    """Gradient of a full reduction to one value: shared by all that equal it."""
    x, out = ctx.operand(0), ctx.result()
    mask = logical_or(eq(x, out), logical_and(ne(x, x), ne(out, out)))
    return (where(mask, div(g, sum(mask)), 0),)


# --- max and min --------------------------------------------------------------------------------


def no_zero_axis(name: str, x, dim) -> None:
    """Refuse an empty axis, where there is nothing to select from."""
    if x.numel():
        return
    if dim is None:
        raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == "
                           "0. Specify the reduction dim with the 'dim' argument.")
    for d in (dim,) if isinstance(dim, int) else dim:
        if x.shape and x.shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def _ordered(name: str, x) -> None:
    if x.dtype.is_complex:
        raise not_implemented(name, x.dtype)


def _declare_extreme(name: str, value_prim: Prim, pairwise):
    result = return_type(name, "values", "indices")
    camel = name.capitalize()
    full = Op(name + "_full", lambda x: reduce(value_prim, x, tuple(range(len(x.shape))), False),
              shared_vjp, saves=(0, "result"), grad_name=f"{camel}Backward1")

    def lower(x, dim, keepdim):
        return extreme(value_prim, x, (dim,) if x.shape else (), keepdim)

    along_dim = Op(name + "_dim", lower, selected_vjp, saves=("result1",), nondiff_results=(1,),
                   grad_name=f"{camel}Backward0")

    def function(input, dim=None, keepdim=False, *, other=None):
        if other is not None or (dim is not None and not is_number(dim)):
            return pairwise(input, dim if other is None else other)
        _ordered(name, input)
        if dim is None:
            no_zero_axis(name, input, None)
            return apply(full, input)
        dim = sh.wrap_dim(dim, len(input.shape))
        no_zero_axis(name, input, dim)
        return result(apply(along_dim, input, dim=dim, keepdim=keepdim))

    function.__name__ = function.__qualname__ = name
    word = "largest" if name == "max" else "smallest"
    function.__doc__ = (f"The {word} element; with ``dim`` the {word} along it and their places, "
                        f"as (values, indices); with another tensor the {word} of each pair.")
    api(name, method=True, out=2, dtypes="any",
        cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), 1), t.call(t.f(2, 3), 0, True),
                         t.call(t.f(2, 3), t.f(3))])(function)
    return function


max = _declare_extreme("max", AMAX, maximum)  # noqa: A001
min = _declare_extreme("min", AMIN, minimum)  # noqa: A001


def _amax_vjp(ctx, g):
    x, shape = ctx.operand(0), ctx.shape(0)
    mask = eq(x, restore(ctx.result(), shape, ctx.axes, ctx.keepdim))
    share = div(where(mask, restore(g, shape, ctx.axes, ctx.keepdim), 0),
                sum(mask, ctx.axes, True) if ctx.axes else 1)
    return (share,)


def _declare_a_extreme(name: str, prim: Prim):
    op = Op(name, lambda x, axes, keepdim: reduce(prim, x, axes, keepdim), _amax_vjp,
            saves=(0, "result"), layout=layouts.REDUCED)

    def function(input, dim=(), keepdim=False):
        _ordered(name, input)
        axes = reduce_axes(dim, input.ndim)
        no_zero_axis(name, input, None if dim is None or dim == () else axes)
        return apply(op, input, axes=axes, keepdim=keepdim)

    function.__name__ = function.__qualname__ = name
    word = "Largest" if name == "amax" else "Smallest"
    function.__doc__ = f"{word} element over ``dim`` (all when empty); ties share the gradient."
    return api(name, method=True, out=1, dtypes="any",
               cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3, 4), (0, 2), True)])(function)


amax = _declare_a_extreme("amax", AMAX)
amin = _declare_a_extreme("amin", AMIN)


def _declare_arg(name: str, prim: Prim):
    op = Op(name, lambda x, axes, keepdim: extreme(prim, x, axes, keepdim)[1],
            nondiff="places have no gradient")

    def function(input, dim=None, keepdim=False):
        _ordered(name, input)
        if input.dtype is dt.bool_:
            raise not_implemented(name, input.dtype)
        if dim is None and not input.numel():
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() "
                             "== 0. Specify the reduction dim with the 'dim' argument.")
        axes = reduce_axes(dim, input.ndim)
        if dim is not None:
            no_zero_axis(name, input, sh.wrap_dim(dim, input.ndim))
        return apply(op, input, axes=axes, keepdim=keepdim)

    function.__name__ = function.__qualname__ = name
    word = "largest" if name == "argmax" else "smallest"
    function.__doc__ = f"Place of the {word} element along ``dim`` (of the flattened tensor: None)."
    return api(name, method=True, out=1, dtypes="number",
               cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), 1, True)])(function)


argmax = _declare_arg("argmax", AMAX)
argmin = _declare_arg("argmin", AMIN)


def _aminmax_lower(x, axes, keepdim):
    return reduce(AMIN, x, axes, keepdim), reduce(AMAX, x, axes, keepdim)


def _aminmax_vjp(ctx, low, high):
    x, shape = ctx.operand(0), ctx.shape(0)
    total = None
    for i, g in enumerate((low, high)):
        mask = eq(x, restore(ctx.result(i), shape, ctx.axes, ctx.keepdim))
        count = sum(mask, ctx.axes, True) if ctx.axes else 1
        part = div(where(mask, restore(g, shape, ctx.axes, ctx.keepdim), 0), count)
        total = part if total is None else add(total, part)
    return (total,)


_aminmax = Op("aminmax", _aminmax_lower, _aminmax_vjp, saves=(0, "result", "result1"))
_AMINMAX = return_type("aminmax", "min", "max")


@api(method=True, out=2, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), dim=1, keepdim=True)])
def aminmax(input, *, dim=None, keepdim=False):
    """The smallest and the largest element, over all or along ``dim``, as (min, max)."""
    _ordered("aminmax", input)
    if dim is not None:
        dim = sh.wrap_dim(dim, len(input.shape))
    no_zero_axis("aminmax", input, dim)
    return _AMINMAX(apply(_aminmax, input, axes=reduce_axes(dim, input.ndim), keepdim=keepdim))


# --- any and all --------------------------------------------------------------------------------

ANY = Prim("any", R, to_bool, lambda x, axes: np.any(x, axis=axes), fold=(False, "bitwise_or"),
           doc="whether one element is true")
ALL = Prim("all", R, to_bool, lambda x, axes: np.all(x, axis=axes), fold=(True, "bitwise_and"),
           doc="whether every element is true")


def _declare_quantifier(name: str, prim: Prim):
    def lower(x, axes, keepdim):
        out = reduce(prim, x if x.dtype is dt.bool_ else ne(x, 0), axes, keepdim)
        return where(out, const(1, dt.uint8), const(0, dt.uint8)) if x.dtype is dt.uint8 else out

    op = Op(name, lower, nondiff="a truth value has no gradient", layout=layouts.REDUCED)

    def function(input, dim=None, keepdim=False):
        return apply(op, input, axes=reduce_axes(dim, input.ndim), keepdim=keepdim)

    function.__name__ = function.__qualname__ = name
    word = "one element is" if name == "any" else "all elements are"
    function.__doc__ = f"Whether {word} not 0, over ``dim`` (one, several, or all when None)."
    return api(name, method=True, out=1, dtypes="any",
               cases=lambda t: [t.call(t.bools(2, 3)), t.call(t.bools(2, 3), 1, True)])(function)


any = _declare_quantifier("any", ANY)  # noqa: A001
all = _declare_quantifier("all", ALL)  # noqa: A001

_count_nonzero = Op("count_nonzero", lambda x, axes: sum(ne(x, 0), axes),
                    nondiff="a number of elements has no gradient")


@api(method=True, dtypes="any",
     cases=lambda t: [t.call(t.bools(2, 3)), t.call(t.bools(2, 3), 1)])
def count_nonzero(input, dim=None):
    """How many elements are not 0, over ``dim`` (one, several, or all when None)."""
    return apply(_count_nonzero, input, axes=reduce_axes(dim, input.ndim))


# --- order statistics ---------------------------------------------------------------------------


def _along_infer(x: Node, axis: int, *_):
    shape = x.shape[:axis] + x.shape[axis + 1:]
    return (shape, x.dtype), (shape, dt.int64)


def _comparable(x):
    """bfloat16 has no fast order of its own."""
    return x.astype(np.float32) if x.dtype.kind == "V" else x


def _taken(x, index, axis):
    return np.take_along_axis(x, np.expand_dims(index, axis), axis).squeeze(axis), index


def _median_numpy(x, axis, ignore_nan):
    wide = _comparable(x)
    order = np.argsort(wide, axis=axis, kind="stable")
    nan = wide != wide
    if ignore_nan:
        k = np.maximum((x.shape[axis] - nan.sum(axis) - 1) // 2, 0)
        index = np.take_along_axis(order, np.expand_dims(k, axis), axis).squeeze(axis)
    else:
        middle = np.take(order, (x.shape[axis] - 1) // 2, axis)
        index = np.where(nan.any(axis), nan.argmax(axis), middle)
    return _taken(x, index, axis)


MEDIAN = Prim("median", OpClass.LIBRARY, _along_infer, _median_numpy, batch="axis",
              doc="middle along an axis")


def _selecting(prim: Prim):
    """Lowering to (values, indices) along ``dim``; 0-d operands as one element."""

    def lower(x, dim, keepdim, rest=()):
        if not x.shape:
            value, place = make_many(prim, (reshape(x, (1,)),), (0, *rest))
        else:
            value, place = make_many(prim, (x,), (dim, *rest))
            if keepdim:
                shape = kept_shape(x.shape, dim)
                value, place = reshape(value, shape), reshape(place, shape)
        return value, place

    return lower


def _selection(name: str, prim: Prim, grad_name: str) -> Op:
    return Op(name, _selecting(prim), selected_vjp, saves=("result1",), nondiff_results=(1,),
              grad_name=grad_name)


def _declare_median(name: str, ignore_nan: bool, camel: str):
    along_dim = _selection(name + "_dim", MEDIAN, f"{camel}Backward1")

    def full_lower(x):
        flat = reshape(x, (x.numel(),))
        return make_many(MEDIAN, (flat,), (0, ignore_nan))[0]

    full = Op(name, full_lower, shared_vjp, saves=(0, "result"), grad_name=f"{camel}Backward0")
    result = return_type(name, "values", "indices")

    def function(input, dim=None, keepdim=False):
        if input.dtype is dt.bool_ or input.dtype.is_complex:
            raise not_implemented("median_out", input.dtype)
        if dim is None:
            if not input.numel():  # NaN, or the smallest integer
                return apply(_nothing, input)
            return apply(full, input)
        dim = sh.wrap_dim(dim, len(input.shape))
        no_zero_axis("median", input, dim)
        return result(apply(along_dim, input, dim=dim, keepdim=keepdim, rest=(ignore_nan,)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = ("The middle element (the lower of two); with ``dim`` along it, as (values, "
                        "indices). " + ("NaN are passed over." if ignore_nan else
                                        "NaN if there is one."))
    return api(name, method=True, out=2, dtypes="number",
               cases=lambda t: [t.call(t.f(2, 3)), t.call(t.f(2, 3), 1, True)])(function)


def _nothing_lower(x):
    floats = x.dtype.is_floating_point
    return const(np.nan if floats else np.iinfo(x.dtype.np).min, x.dtype)


_nothing = Op("median_of_nothing", lambda x: clone(_nothing_lower(x)), nondiff="no elements")
median = _declare_median("median", False, "Median")
nanmedian = _declare_median("nanmedian", True, "Nanmedian")
