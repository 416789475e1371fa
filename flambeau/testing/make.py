"""``torch.testing.make_tensor``: random tensors for tests."""

from __future__ import annotations

import math

from ..base import dtype as dt
from ..ops.lib.complex import view_as_complex
from ..tensor import Tensor, no_grad
from ..tensor.creation import empty


def make_tensor(*shape, dtype: dt.dtype, device="cpu", low: float | None = None,
                high: float | None = None, requires_grad: bool = False,
                noncontiguous: bool = False, exclude_zero: bool = False,
                memory_format=None) -> Tensor:
    """A tensor of ``shape`` with values uniform in [low, high).

    Args:
        shape: sizes, or one tuple of them.
        dtype: element type; bool gives True and False evenly.
        low, high: limits; by default -9 and 9 (10 for integers, 0 and 10 for uint8).
        noncontiguous: give it a layout with gaps (every second element of a wider tensor).
        exclude_zero: replace zeros by the smallest positive value (1 for integers).
        requires_grad, device, memory_format: as in ``torch.empty``.

    Raises:
        ValueError: low is not below high, or both noncontiguous and memory_format are given.
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    if noncontiguous and memory_format is not None:
        raise ValueError("The parameters `noncontiguous` and `memory_format` are mutually "
                         "exclusive")
    low, high = _limits(dtype, low, high)
    wide = (*sizes[:-1], 2 * sizes[-1]) if noncontiguous and sizes and math.prod(sizes) > 1 \
        else sizes
    with no_grad():
        t = empty(wide, dtype=dtype, device=device)
        if dtype.is_complex:
            real = empty((*wide, 2), dtype=dtype.to_real(), device=device).uniform_(low, high)
            t = view_as_complex(real)
        elif dtype.is_floating_point:
            t.uniform_(low, high)
        else:
            t.random_(math.ceil(low), math.ceil(high))
        if wide is not sizes:
            t = t[..., ::2]
        if exclude_zero:
            t[t == 0] = 1 if dtype.category < dt.dtype.FLOAT else _tiny(dtype)
    if memory_format is not None:
        t = t.contiguous(memory_format=memory_format)
    return t.requires_grad_(requires_grad)


def _limits(dtype: dt.dtype, low, high) -> tuple[float, float]:
    if dtype is dt.bool_:
        default = (0, 2)
    elif dtype is dt.uint8:
        default = (0, 10)
    else:
        default = (-9, 9) if dtype.category >= dt.dtype.FLOAT else (-9, 10)
    low = default[0] if low is None else low
    high = default[1] if high is None else high
    if low != low or high != high or low > high:
        raise ValueError(f"make_tensor(): `low` must be at most `high`, got {low} and {high}")
    if low == high:
        raise ValueError(f"make_tensor(): `low` must be less than `high`, got {low} twice")
    return low, high


def _tiny(dtype: dt.dtype) -> float:
    return {dt.float16: 6.104e-05, dt.float64: 2.2250738585072014e-308}.get(
        dtype.to_real(), 1.1754943508222875e-38)
