"""Functions of the Array API standard where they differ from PyTorch's of the same meaning.

Mostly: other names (``axis``, ``keepdims``, ``concat``), results of mixed dtypes that do not depend
on an operand having no dimensions, and reductions over several axes or all.

Standard: https://data-apis.org/array-api/2024.12
"""

from __future__ import annotations

import builtins
import functools
import importlib
from collections import namedtuple

from ..base import dtype as dt
from ..tensor import Tensor

torch = importlib.import_module(__package__.rpartition(".")[0])

UniqueAllResult = namedtuple("UniqueAllResult", "values indices inverse_indices counts")
UniqueCountsResult = namedtuple("UniqueCountsResult", "values counts")
UniqueInverseResult = namedtuple("UniqueInverseResult", "values inverse_indices")

_UNSIGNED = (torch.uint8, torch.uint16, torch.uint32, torch.uint64)
_SIGNED = (torch.int8, torch.int16, torch.int32, torch.int64)
_REAL = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_COMPLEX = (torch.complex64, torch.complex128)
_KINDS = {
    "bool": (torch.bool,), "signed integer": _SIGNED, "unsigned integer": _UNSIGNED,
    "integral": _SIGNED + _UNSIGNED, "real floating": _REAL, "complex floating": _COMPLEX,
    "numeric": _SIGNED + _UNSIGNED + _REAL + _COMPLEX}


def result_type(*arrays_and_dtypes) -> dt.dtype:
    """The dtype of an operation on these arrays, dtypes and Python numbers: arrays of no dimensions
    count like others, Python numbers only by their kind."""
    found = [x.dtype if isinstance(x, Tensor) else x for x in arrays_and_dtypes
             if isinstance(x, (Tensor, dt.dtype))]
    if not found:
        raise ValueError("result_type() needs at least one array or dtype")
    out = functools.reduce(torch.promote_types, found)
    for x in arrays_and_dtypes:
        if not isinstance(x, (Tensor, dt.dtype)):
            out = torch.result_type(torch.empty(1, dtype=out), x)
    return out


def binary(function):
    """A function of two arrays whose dtypes count alike, whatever their dimensions."""

    @functools.wraps(function)
    def wrapper(x1, x2, /, **kwargs):
        if isinstance(x1, Tensor) and isinstance(x2, Tensor):
            if x1.dtype is not x2.dtype:
                common = torch.promote_types(x1.dtype, x2.dtype)
                x1, x2 = x1.to(common), x2.to(common)
        elif isinstance(x1, Tensor):
            x2 = torch.tensor(x2, dtype=result_type(x1, x2), device=x1.device)
        elif isinstance(x2, Tensor):
            x1 = torch.tensor(x1, dtype=result_type(x2, x1), device=x2.device)
        return function(x1, x2, **kwargs)

    return wrapper


def _axes(x: Tensor, axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    chosen = (axis,) if isinstance(axis, int) else tuple(axis)
    for a in chosen:
        if not -x.ndim <= a < x.ndim:
            raise IndexError(f"axis {a} is out of range for an array of {x.ndim} dimensions")
    return tuple(a % x.ndim for a in chosen)


def _one_by_one(function, x: Tensor, axis, keepdims: bool) -> Tensor:
    """A reduction that PyTorch does over one axis, over several."""
    for a in sorted(_axes(x, axis), reverse=True):
        x = function(x, a, keepdim=True)
    if keepdims or axis == ():
        return x
    return x


def _dropped(x: Tensor, axis, keepdims: bool) -> Tensor:
    return x if keepdims or not _axes(x, axis) else x.squeeze(_axes(x, axis))


# --- creation -------------------------------------------------------------------------------------


def asarray(obj, /, *, dtype=None, device=None, copy: bool | None = None) -> Tensor:
    """An array of ``obj``. ``copy=False``: share its memory or raise ValueError."""
    if copy is False and not isinstance(obj, Tensor) and not hasattr(obj, "__dlpack__"):
        raise ValueError("asarray(copy=False): Python values have no memory to share")
    if copy is False and isinstance(obj, Tensor) and dtype not in (None, obj.dtype):
        raise ValueError(f"asarray(copy=False): {obj.dtype} to {dtype} needs a copy")
    return torch.asarray(obj, dtype=dtype, device=device, copy=copy)


def astype(x: Tensor, dtype, /, *, copy: bool = True, device=None) -> Tensor:
    """``x`` with elements of another dtype."""
    return x.to(device=device, dtype=dtype, copy=copy)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype=None,
        device=None) -> Tensor:
    """Ones on a diagonal: the main one or the ``k``-th above it."""
    n_cols = n_rows if n_cols is None else n_cols
    rows, cols = torch.arange(n_rows), torch.arange(n_cols)
    return (cols - rows[:, None] == k).to(dtype or torch.get_default_dtype()).to(device)


def linspace(start, stop, /, num: int, *, dtype=None, device=None, endpoint: bool = True) -> Tensor:
    """``num`` values from ``start`` to ``stop``, which ``endpoint=False`` leaves out."""
    if not endpoint:
        return torch.linspace(start, stop, num + 1, dtype=dtype, device=device)[:num]
    return torch.linspace(start, stop, num, dtype=dtype, device=device)


def meshgrid(*arrays, indexing: str = "xy") -> list[Tensor]:
    """Coordinates of a grid; the first two axes are exchanged by "xy"."""
    return list(torch.meshgrid(*arrays, indexing=indexing)) if arrays else []


# --- dtypes ---------------------------------------------------------------------------------------


def can_cast(from_, to, /) -> bool:
    """Whether promotion ever turns ``from_`` (an array or dtype) into ``to``."""
    source = from_.dtype if isinstance(from_, Tensor) else from_
    return torch.promote_types(source, to) is to


def isdtype(dtype, kind, /) -> bool:
    """Whether a dtype is ``kind``: a dtype, a name such as "real floating", or one of several."""
    if isinstance(kind, tuple):
        return builtins.any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ValueError(f"unknown kind of dtype {kind!r}; known: {', '.join(_KINDS)}")
        return dtype in _KINDS[kind]
    return dtype is kind


# --- elementwise ----------------------------------------------------------------------------------


def sign(x: Tensor, /) -> Tensor:
    """-1, 0 or 1; x / |x| for complex numbers."""
    return torch.sgn(x) if x.is_complex() else torch.sign(x)


def clip(x: Tensor, /, min=None, max=None) -> Tensor:  # noqa: A002
    """``x`` limited to [min, max]; the result has the dtype of ``x``."""
    if min is None and max is None:
        return x.clone()
    return torch.clamp(x, min, max).to(x.dtype)


def _whole(function):
    """floor, ceil, trunc, round: integers are whole already."""

    @functools.wraps(function)
    def wrapper(x, /):
        return function(x) if x.is_floating_point() or x.is_complex() else x.clone()

    return wrapper


floor, ceil, trunc = _whole(torch.floor), _whole(torch.ceil), _whole(torch.trunc)


def round(x: Tensor, /) -> Tensor:  # noqa: A001
    """The nearest whole number, halves to even ones; of both parts of complex numbers."""
    if x.is_complex():
        return torch.complex(torch.round(x.real), torch.round(x.imag))
    return torch.round(x) if x.is_floating_point() else x.clone()


def real(x: Tensor, /) -> Tensor:
    """The real part."""
    return torch.real(x) if x.is_complex() else x.clone()


# --- statistics -----------------------------------------------------------------------------------


def _default_sum_dtype(x: Tensor):
    if x.dtype in _UNSIGNED:
        return torch.uint64
    return None


def sum(x: Tensor, /, *, axis=None, dtype=None, keepdims: bool = False) -> Tensor:  # noqa: A001
    """The sum; of small integers in 64 bits."""
    if axis == ():
        return x.to(dtype or _default_sum_dtype(x) or torch.sum(x[..., None], -1).dtype)
    out = torch.sum(x, _axes(x, axis), keepdim=keepdims, dtype=dtype) if x.ndim else \
        torch.sum(x, dtype=dtype)
    wanted = dtype or _default_sum_dtype(x)
    return out.to(wanted) if wanted is not None else out


def prod(x: Tensor, /, *, axis=None, dtype=None, keepdims: bool = False) -> Tensor:
    """The product; of small integers in 64 bits."""
    wanted = dtype or _default_sum_dtype(x)
    start = torch.prod(x[..., None], -1, dtype=dtype)
    out = _one_by_one(lambda t, a, keepdim: torch.prod(t, a, keepdim), start, axis, keepdims)
    out = _dropped(out, axis, keepdims)
    return out.to(wanted) if wanted is not None else out


def _extreme(function):
    def wrapper(x, /, *, axis=None, keepdims=False):
        return x.clone() if axis == () or not x.ndim else function(x, _axes(x, axis), keepdims)

    return wrapper


max = _extreme(torch.amax)  # noqa: A001
max.__doc__ = "The largest value."
min = _extreme(torch.amin)  # noqa: A001
min.__doc__ = "The smallest value."


def mean(x: Tensor, /, *, axis=None, keepdims: bool = False) -> Tensor:
    """The mean."""
    return x.clone() if axis == () else torch.mean(x, _axes(x, axis), keepdims)


def var(x: Tensor, /, *, axis=None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance, divided by count minus ``correction`` (0 unless given)."""
    return torch.zeros_like(x) if axis == () else \
        torch.var(x, _axes(x, axis), correction=correction, keepdim=keepdims)


def std(x: Tensor, /, *, axis=None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The root of the variance."""
    return torch.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def _truth(function):
    def wrapper(x, /, *, axis=None, keepdims=False):
        start = x != 0 if x.dtype is not torch.bool else x
        return _dropped(_one_by_one(function, start, axis, keepdims), axis, keepdims)

    return wrapper


all = _truth(torch.all)  # noqa: A001
all.__doc__ = "Whether all elements are true."
any = _truth(torch.any)  # noqa: A001
any.__doc__ = "Whether an element is true."


def _cumulative(function, first: int):
    def wrapper(x, /, *, axis=None, dtype=None, include_initial=False):
        if axis is None:
            if x.ndim != 1:
                raise ValueError("axis is needed for an array of more than one dimension")
            axis = 0
        wanted = dtype or _default_sum_dtype(x)
        out = function(x, axis, dtype=dtype)
        out = out.to(wanted) if wanted is not None else out
        if include_initial:
            shape = list(out.shape)
            shape[axis] = 1
            out = torch.cat([torch.full(shape, first, dtype=out.dtype), out], axis)
        return out

    return wrapper


cumulative_sum = _cumulative(torch.cumsum, 0)
cumulative_sum.__doc__ = "Sums of all elements up to each one."
cumulative_prod = _cumulative(torch.cumprod, 1)
cumulative_prod.__doc__ = "Products of all elements up to each one."


def count_nonzero(x: Tensor, /, *, axis=None, keepdims: bool = False) -> Tensor:
    """How many elements are not zero."""
    return torch.sum(x != 0, _axes(x, axis), keepdim=keepdims)


# --- searching and sorting ------------------------------------------------------------------------


def _position(function):
    def wrapper(x, /, *, axis=None, keepdims=False):
        out = function(x, axis, keepdim=keepdims and axis is not None)
        return out.reshape((1,) * x.ndim) if keepdims and axis is None else out

    return wrapper


argmax = _position(torch.argmax)
argmax.__doc__ = "Where the largest value is."
argmin = _position(torch.argmin)
argmin.__doc__ = "Where the smallest value is."


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """The indices of elements that are not zero, one array per axis."""
    if not x.ndim:
        raise ValueError("nonzero() of an array without dimensions")
    return tuple(torch.nonzero(x, as_tuple=True))


def searchsorted(x1: Tensor, x2: Tensor, /, *, side: str = "left", sorter=None) -> Tensor:
    """Where elements of ``x2`` would go in the sorted ``x1``."""
    return torch.searchsorted(x1, x2, side=side, sorter=sorter)


def where(condition: Tensor, x1, x2, /) -> Tensor:
    """``x1`` where ``condition``, else ``x2``."""
    return binary(lambda a, b: torch.where(condition, a, b))(x1, x2)


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The values in order."""
    return torch.sort(x, axis, descending, stable=stable).values


def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False,
            stable: bool = True) -> Tensor:
    """The indices that put the values in order."""
    return torch.sort(x, axis, descending, stable=stable).indices


def unique_all(x: Tensor, /) -> UniqueAllResult:
    """Different values with where each is first, what each element is, and how often."""
    values, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True)
    order = torch.sort(inverse.reshape(-1), stable=True).indices
    starts = torch.cumsum(counts, 0) - counts
    return UniqueAllResult(values, order[starts], inverse.reshape(x.shape), counts)


def unique_counts(x: Tensor, /) -> UniqueCountsResult:
    """Different values and how often each is there."""
    return UniqueCountsResult(*torch.unique(x, return_counts=True))


def unique_inverse(x: Tensor, /) -> UniqueInverseResult:
    """Different values and which one each element is."""
    values, inverse = torch.unique(x, return_inverse=True)
    return UniqueInverseResult(values, inverse.reshape(x.shape))


def unique_values(x: Tensor, /) -> Tensor:
    """Different values, in order."""
    return torch.unique(x)


# --- shapes ---------------------------------------------------------------------------------------


def concat(arrays, /, *, axis: int | None = 0) -> Tensor:
    """Arrays one after the other; flattened with ``axis=None``."""
    arrays = [a.reshape(-1) for a in arrays] if axis is None else list(arrays)
    common = result_type(*arrays)
    return torch.cat([a.to(common) for a in arrays], axis or 0)


def stack(arrays, /, *, axis: int = 0) -> Tensor:
    """Arrays of one shape along a new axis."""
    arrays = list(arrays)
    common = result_type(*arrays)
    return torch.stack([a.to(common) for a in arrays], axis)


def expand_dims(x: Tensor, /, *, axis: int = 0) -> Tensor:
    """A new axis of size 1."""
    return torch.unsqueeze(x, axis)


def squeeze(x: Tensor, /, axis) -> Tensor:
    """Without axes that have size 1.

    Raises:
        ValueError: an axis has another size.
    """
    if builtins.any(x.shape[a] != 1 for a in _axes(x, axis)):
        raise ValueError(f"squeeze: axis {axis} of shape {tuple(x.shape)} is not of size 1")
    return torch.squeeze(x, _axes(x, axis))


def flip(x: Tensor, /, *, axis=None) -> Tensor:
    """In reverse order along axes, or all."""
    return torch.flip(x, _axes(x, axis))


def roll(x: Tensor, /, shift, *, axis=None) -> Tensor:
    """Elements moved along axes; what falls off comes in again."""
    return torch.roll(x, shift, axis)


def repeat(x: Tensor, repeats, /, *, axis: int | None = None) -> Tensor:
    """Each element several times."""
    return torch.repeat_interleave(x, repeats, axis)


def reshape(x: Tensor, /, shape, *, copy: bool | None = None) -> Tensor:
    """Another shape. ``copy=False``: the same memory, or RuntimeError."""
    if copy is False:
        return x.view(shape)
    return torch.reshape(x.clone() if copy else x, shape)


def permute_dims(x: Tensor, /, axes) -> Tensor:
    """The axes in another order."""
    return torch.permute(x, axes)


def moveaxis(x: Tensor, source, destination, /) -> Tensor:
    """Axes at other places."""
    return torch.movedim(x, source, destination)


def matrix_transpose(x: Tensor, /) -> Tensor:
    """The last two axes exchanged."""
    return x.mT


def broadcast_arrays(*arrays) -> list[Tensor]:
    """Arrays of one shape."""
    return list(torch.broadcast_tensors(*arrays))


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The arrays along an axis."""
    return torch.unbind(x, axis)


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Elements of an axis."""
    if axis is None:
        if x.ndim != 1:
            raise ValueError("axis is needed for an array of more than one dimension")
        axis = 0
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    return torch.index_select(x, axis, indices)


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """An element of an axis for each index."""
    return torch.take_along_dim(x, torch.where(indices < 0, indices + x.shape[axis], indices), axis)


def diff(x: Tensor, /, *, axis: int = -1, n: int = 1, prepend=None, append=None) -> Tensor:
    """Differences of neighbours, ``n`` times."""
    return torch.diff(x, n, axis, prepend, append)


def tensordot(x1: Tensor, x2: Tensor, /, *, axes=2) -> Tensor:
    """Products summed over axes: the last and first few, or pairs."""
    return binary(lambda a, b: torch.tensordot(a, b, dims=axes))(x1, x2)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Products of an axis, summed; the first factor conjugated."""
    return binary(lambda a, b: torch.sum(torch.conj(a) * b, axis, dtype=(a * b).dtype))(x1, x2)
