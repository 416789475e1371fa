"""Differences, gradients on grids and integrals by the trapezoidal rule."""

from __future__ import annotations

from ...base import dtype as dt
from ...base import shape as sh
from ...ir.api import api
from ..core import is_number
from ..prim.comparison import logical_xor
from ..prim.elementwise import add, clone, div, mul, sub
from ..prim.join import cat
from ..prim.reduce import sum
from ..prim.scan import cumsum
from ..prim.shape import reshape, slice_dim, squeeze


def _steps(x, dim: int):
    """Each element less the one before."""
    n = x.shape[dim]
    later, earlier = slice_dim(x, dim, 1, n), slice_dim(x, dim, 0, max(n - 1, 0))
    return logical_xor(later, earlier) if x.dtype is dt.bool_ else sub(later, earlier)


@api(method=True, out=1, dtypes="any",
     cases=lambda t: [t.call(t.f(2, 5)), t.call(t.f(4, 3), 2, 0)])
def diff(input, n=1, dim=-1, prepend=None, append=None):
    """Differences of neighbours along ``dim``, taken ``n`` times.

    Raises:
        RuntimeError: a 0-d tensor, a negative ``n``, or parts that do not fit.
    """
    if not input.shape:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    dim = sh.wrap_dim(dim, len(input.shape))
    if n == 0:
        return clone(input)
    for name, part in (("prepend", prepend), ("append", append)):
        if part is not None:
            if len(part.shape) != len(input.shape):
                raise RuntimeError(f"diff expects {name} or append to be the same dimension as "
                                   "input")
            if any(a != b for i, (a, b) in enumerate(zip(part.shape, input.shape, strict=True))
                   if i != dim):
                raise RuntimeError("diff expects the shape of tensor to prepend or append to match "
                                   f"that of input except along the differencing dimension: "
                                   f"{tuple(part.shape)} and {tuple(input.shape)}")
    parts = [p for p in (prepend, input, append) if p is not None]
    x = cat(parts, dim) if len(parts) > 1 else input
    for _ in range(n):
        if not x.shape[dim]:
            break
        x = _steps(x, dim)
    return x


# --- gradients on a grid ------------------------------------------------------------------------


def _along(x, like, dim: int):
    """A 1-d tensor seen along axis ``dim`` of ``like``."""
    return reshape(x, tuple(-1 if i == dim else 1 for i in range(len(like.shape))))


def _uniform(x, h, dim: int, edge_order: int):
    n = x.shape[dim]

    def at(i):
        return slice_dim(x, dim, i % n, i % n + 1)

    inner = div(sub(slice_dim(x, dim, 2, n), slice_dim(x, dim, 0, n - 2)), mul_number(h, 2))
    if edge_order == 1:
        first, last = div(sub(at(1), at(0)), h), div(sub(at(-1), at(-2)), h)
    else:
        first = div(sub(sub(mul(at(1), 2), mul(at(0), 1.5)), mul(at(2), 0.5)), h)
        last = div(sub(add(mul(at(-1), 1.5), mul(at(-3), 0.5)), mul(at(-2), 2)), h)
    return cat([first, inner, last], dim)


def mul_number(h, factor):
    """A step, number or tensor, times a number."""
    return h * factor if is_number(h) else mul(h, factor)


def _uneven(x, places, dim: int, edge_order: int):
    """Second-order differences on the points ``places``."""
    n = x.shape[dim]
    steps = _steps(places, 0)

    def step(i, j):
        return _along(slice_dim(steps, 0, i % (n - 1), j), x, dim)

    def part(i, j):
        return slice_dim(x, dim, i % n, j)

    h1, h2 = step(0, n - 2), step(1, n - 1)
    both = add(h1, h2)
    inner = add(add(mul(part(0, n - 2), div(mul(h2, -1), mul(h1, both))),
                    mul(part(1, n - 1), div(sub(h2, h1), mul(h1, h2)))),
                mul(part(2, n), div(h1, mul(h2, both))))
    a, b = step(0, 1), step(n - 2, n - 1)
    if edge_order == 1:
        first = div(sub(part(1, 2), part(0, 1)), a)
        last = div(sub(part(n - 1, n), part(n - 2, n - 1)), b)
    else:
        c, d = step(1, 2), step(n - 3, n - 2)
        first = _edge(part(0, 1), part(1, 2), part(2, 3), a, c, -1)
        last = _edge(part(n - 1, n), part(n - 2, n - 1), part(n - 3, n - 2), b, d, 1)
    return cat([first, inner, last], dim)


def _edge(y0, y1, y2, near, far, sign: int):
    """One-sided second-order slope at y0 with steps ``near`` and then ``far``."""
    both = add(near, far)
    total = add(sub(mul(y0, div(add(mul(near, 2), far), mul(near, both))),
                    mul(y1, div(both, mul(near, far)))), mul(y2, div(near, mul(far, both))))
    return mul(total, sign)


def _spacings(spacing, axes):
    """One spacing per axis, from a number, a list of numbers or of coordinates."""
    if spacing is None:
        return [1.0] * len(axes)
    if isinstance(spacing, (list, tuple)):
        if len(spacing) != len(axes):
            raise RuntimeError(f"torch.gradient expected spacing to be unspecified, a scalar, or a "
                               f"list of length {len(axes)}, but got a list of length "
                               f"{len(spacing)}")
        return list(spacing)
    return [spacing] * len(axes)


@api(method=True, dtypes="number", cases=lambda t: [t.call(t.f(4, 5)), t.call(t.f(6), spacing=2.)])
def gradient(input, *, spacing=None, dim=None, edge_order=1):
    """Slopes along each axis of ``dim`` (all when None) by central differences, as a list.

    Args:
        spacing: the distance of the points: a number, one per axis, or their coordinates (1-d
            tensors).

    Raises:
        RuntimeError: too few points, or arguments that do not fit.
    """
    rank = len(input.shape)
    axes = tuple(range(rank)) if dim is None else sh.wrap_dims(
        (dim,) if isinstance(dim, int) else dim, rank)
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if input.dtype is dt.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
    spacings = _spacings(spacing, axes)
    for axis, h in zip(axes, spacings, strict=True):
        size = input.shape[axis] if rank else 1
        if size < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least "
                               f"edge_order+1, got {size} at dimension {axis}")
        if not is_number(h):
            if h.dtype is dt.bool_ or len(h.shape) > 1:
                raise RuntimeError("torch.gradient expected each element of spacing to have one "
                                   f"dimension, but got {tuple(h.shape)}")
            if h.shape and h.shape[0] != size:
                raise RuntimeError(f"torch.gradient expected each element of spacing to have as "
                                   f"many elements as the input has at dimension {axis}: "
                                   f"{h.shape[0]} and {size}")
    return tuple(_uniform(input, h, axis, edge_order) if is_number(h) or not h.shape
                 else _uneven(input, h, axis, edge_order)
                 for axis, h in zip(axes, spacings, strict=True))


# --- the trapezoidal rule -----------------------------------------------------------------------


def _pairs(y, dim: int):
    """Sums of neighbours along ``dim``."""
    n = y.shape[dim]
    return add(slice_dim(y, dim, 1, n), slice_dim(y, dim, 0, max(n - 1, 0)))


def _areas(name, y, x, dim: int):
    """Twice the area of each trapezoid along ``dim``."""
    n, pairs = y.shape[dim], _pairs(y, dim)
    if len(x.shape) == 1 and len(y.shape) > 1:
        if x.shape[0] != n:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point: "
                               f"{x.shape[0]} and {n}")
        return mul(pairs, _along(_steps(x, 0), y, dim))
    at = dim - len(y.shape) + len(x.shape)
    if x.shape and x.shape[at] not in (n, 1):
        raise RuntimeError(f"{name}: There must be one `x` value for each sample point: "
                           f"{x.shape[at]} and {n}")
    return mul(pairs, _steps(x, at))


def _integral(y, dx, dim: int):
    """With equal steps (PyTorch's formula: small integers wrap around in the sum of the ends)."""
    n = y.shape[dim]
    if not n:
        return mul(sum(y, dim), 1.0)
    ends = add(slice_dim(y, dim, 0, 1), slice_dim(y, dim, n - 1, n))
    return mul(sub(sum(y, dim), squeeze(mul(ends, 0.5), dim)), dx)


def _running_integral(y, dx, dim: int):
    return cumsum(mul(_pairs(y, dim), dx / 2), dim)


def _declare_rule(name: str, fold, even, doc: str):
    def rule(y, x=None, *, dx=None, dim=-1):
        if not y.shape:
            raise IndexError(f"{name}: Dimension out of range for a 0-d tensor")
        dim = sh.wrap_dim(dim, len(y.shape))
        if x is not None and is_number(x):
            x, dx = None, x
        if y.dtype is dt.bool_ or (x is not None and x.dtype is dt.bool_):
            raise RuntimeError(f"{name}: received a bool input for `y` or `x`, but bool is not "
                               "supported")
        if x is None:
            return even(y, 1.0 if dx is None else dx, dim)
        return div(fold(_areas(name, y, x, dim), dim), 2)

    rule.__name__ = rule.__qualname__ = name
    rule.__doc__ = doc
    return api(name, dtypes="number", aliases=("trapz",) if name == "trapezoid" else (),
               cases=lambda t: [t.call(t.f(2, 5)), t.call(t.f(2, 5), t.f(5))])(rule)


trapezoid = _declare_rule(
    "trapezoid", sum, _integral,
    "The integral along ``dim`` of samples ``y`` at ``x`` (or ``dx`` apart) by the trapezoidal "
    "rule.")
cumulative_trapezoid = _declare_rule(
    "cumulative_trapezoid", cumsum, _running_integral,
    "The integral up to each sample along ``dim`` by the trapezoidal rule.")
