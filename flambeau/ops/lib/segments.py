"""torch.segment_reduce: reductions of runs of neighbours along an axis."""

from __future__ import annotations

import math

import numpy as np

from ...base import shape as sh
from ...ir.api import api
from ...ir.op import apply
from ..core import one_step
from ..prim.elementwise import div
from ..prim.index import host, on_host
from ..prim.pointwise import not_implemented
from ..prim.scatter import MODES, scatter_reduce
from ..prim.shape import slice_dim

#: what a segment holds before its first element
_START = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "amax": -math.inf, "amin": math.inf}
_NAMES = {"max": "amax", "min": "amin"}


def _checked(data, lengths, offsets, indices, axis: int, unsafe: bool) -> np.ndarray:
    """The lengths on the host."""
    if not data.dtype.is_floating_point:
        raise not_implemented("_segment_reduce", data.dtype)
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    runs = host(lengths) if lengths is not None else np.diff(host(offsets), axis=-1)
    if runs.dtype.kind not in "iu":
        raise not_implemented("_segment_reduce_lengths", (
            lengths if lengths is not None else offsets).dtype)
    if runs.ndim > len(data.shape):
        raise RuntimeError("segment_reduce(): Expected data to have as many dimensions as lengths, "
                           f"got {tuple(data.shape)} and {runs.shape}")
    if sh.wrap_dim(axis, len(data.shape)) != runs.ndim - 1:
        raise RuntimeError("segment_reduce(): Expected axis to be the last dimension of lengths "
                           f"but got {axis}.")
    if tuple(data.shape[:runs.ndim - 1]) != runs.shape[:-1]:
        raise RuntimeError("segment_reduce(): Expected all dimensions of lengths but the last to "
                           f"be data's, got {runs.shape} and {tuple(data.shape)}")
    if lengths is not None and not unsafe:
        if runs.size and runs.min() < 0:
            raise RuntimeError("lengths contains negative value!")
        if (runs.sum(-1) != data.shape[runs.ndim - 1]).any():
            raise RuntimeError("segment_reduce(): Expected all rows of lengths along axis to sum "
                               "to data.size(lengths.dim()-1) when !unsafe.")
    return runs


def _numbers(runs: np.ndarray, starts: np.ndarray, size: int) -> np.ndarray:
    """The segment of each element of an axis; one more than there are for those in none."""
    count = runs.shape[-1]
    numbers = np.full((*runs.shape[:-1], size), count, np.int64)
    for at in np.ndindex(runs.shape[:-1]):
        for i, (a, n) in enumerate(zip(starts[at], runs[at], strict=True)):
            numbers[at][a:a + n] = i
    return numbers


_STEP = one_step("segment_reduce", "SegmentReduceBackward0", (1, 2, "result"))


def _cases(t):
    offsets = t.ints(1, low=0, high=1)
    return [t.call(t.f(4, 3), kind, lengths=offsets + 4) for kind in ("sum", "mean", "max")]


@api(cases=_cases)
def segment_reduce(data, reduce, *, lengths=None, indices=None, offsets=None, axis=0, unsafe=False,
                   initial=None):
    """``data``'s neighbours along ``axis`` reduced in runs.

    Args:
        reduce: "sum", "mean", "max", "min" or "prod".
        lengths: (*lead, segments) lengths of the runs, whose last axis is ``axis`` of data.
        offsets: (*lead, segments + 1) where they begin and end, instead of lengths.
        unsafe: do not check that the lengths add up.
        initial: what each reduction begins with; without it, empty segments give 0, 1, -inf or
            inf, and NaN for the mean.

    Raises:
        RuntimeError: the lengths do not fit the data.
    """
    mode = _NAMES.get(reduce, reduce)
    if mode not in MODES:
        raise RuntimeError("reduce argument must be either sum, prod, mean, amax or amin, got "
                           f"{reduce}")
    runs = _checked(data, lengths, offsets, indices, axis, unsafe)
    axis, count = runs.ndim - 1, runs.shape[-1]
    starts = np.cumsum(runs, -1) - runs if lengths is not None else host(offsets)[..., :-1]
    trail = tuple(data.shape[axis + 1:])
    numbers = _numbers(runs, starts, data.shape[axis])
    index = np.broadcast_to(numbers.reshape(*numbers.shape, *(1,) * len(trail)), tuple(data.shape))
    start = _START[mode] if initial is None else float(initial)
    base = np.full((*runs.shape[:-1], count + 1, *trail), start).astype(data.dtype.np)
    out = scatter_reduce(on_host(base, data), axis, on_host(index, data), data,
                         "sum" if mode == "mean" else mode)
    out = slice_dim(out, axis, 0, count)
    if mode == "mean":
        size = runs.reshape(*runs.shape, *(1,) * len(trail)).astype(np.float64)
        nothing = math.nan if initial is None else 1.0
        divisor = np.where(size > 0, np.maximum(size, 1), nothing)
        out = div(out, on_host(divisor.astype(data.dtype.np), data))
    given = lengths if lengths is not None else offsets
    return apply(_STEP, out, data, given)
