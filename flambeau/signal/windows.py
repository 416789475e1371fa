"""Window functions of signal processing; formulas as in Harris (1978) and in scipy.signal."""

from __future__ import annotations

import functools
import math

import numpy as np

from ..base import dtype as _dt
from ..tensor import Tensor
from ..tensor.convert import tensor as _as_tensor

__all__ = ["bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine",
           "general_hamming", "hamming", "hann", "kaiser", "nuttall"]


def _strided_only(function):
    """Refuse layouts other than the one there is."""

    @functools.wraps(function)
    def checked(*args, layout=None, **kwargs):
        if layout is not None and str(layout) != "torch.strided":
            raise ValueError(f"{function.__name__} is implemented for strided tensors only, got: "
                             f"{layout}")
        return function(*args, **kwargs)

    return checked


def _made(name: str, M: int, values, dtype, device, requires_grad) -> Tensor:
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    dtype = dtype or _dt.get_default_dtype()
    if dtype not in (_dt.float32, _dt.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    array = np.ones(M) if M <= 1 else values()
    return _as_tensor(array.astype(dtype.np), device=device, requires_grad=requires_grad)


def _phase(M: int, sym: bool) -> np.ndarray:
    """0 to 2 pi over the window; the last point is left out where it is periodic."""
    return np.arange(M) * (2 * math.pi / ((M - 1) if sym else M))


@_strided_only
def general_cosine(M, *, a, sym=True, dtype=None, device=None, requires_grad=False):
    """Sum of cosines with the coefficients ``a`` and alternating signs."""
    a = list(a)
    if not a:
        raise ValueError("Coefficients cannot be empty")

    def values():
        phase = _phase(M, sym)
        return sum((-1) ** i * c * np.cos(i * phase) for i, c in enumerate(a))

    return _made("general_cosine", M, values, dtype, device, requires_grad)


@_strided_only
def general_hamming(M, *, alpha=0.54, sym=True, dtype=None, device=None,
                    requires_grad=False):
    """``alpha - (1 - alpha) cos``."""
    return general_cosine(M, a=[alpha, 1.0 - alpha], sym=sym, dtype=dtype, device=device,
                          requires_grad=requires_grad)


@_strided_only
def hann(M, *, sym=True, dtype=None, device=None, requires_grad=False):
    """Raised cosine."""
    return general_hamming(M, alpha=0.5, sym=sym, dtype=dtype, device=device,
                           requires_grad=requires_grad)


@_strided_only
def hamming(M, *, sym=True, dtype=None, device=None, requires_grad=False):
    """Raised cosine on a pedestal."""
    return general_hamming(M, sym=sym, dtype=dtype, device=device, requires_grad=requires_grad)


@_strided_only
def blackman(M, *, sym=True, dtype=None, device=None, requires_grad=False):
    """Three-term Blackman window."""
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, dtype=dtype, device=device,
                          requires_grad=requires_grad)


@_strided_only
def nuttall(M, *, sym=True, dtype=None, device=None, requires_grad=False):
    """Four-term Blackman-Harris window after Nuttall."""
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, dtype=dtype,
                          device=device, requires_grad=requires_grad)


@_strided_only
def bartlett(M, *, sym=True, dtype=None, device=None, requires_grad=False):
    """Triangle that starts and ends at 0."""
    return _made("bartlett", M, lambda: 1 - np.abs(_phase(M, sym) / math.pi - 1), dtype, device,
                 requires_grad)


@_strided_only
def cosine(M, *, sym=True, dtype=None, device=None, requires_grad=False):
    """Half a period of the sine."""
    return _made("cosine", M, lambda: np.sin((np.arange(M) + 0.5) * math.pi
                                             / (M if sym else M + 1)),
                 dtype, device, requires_grad)


@_strided_only
def gaussian(M, *, std=1.0, sym=True, dtype=None, device=None, requires_grad=False):
    """``exp(-x^2 / (2 std^2))`` around the middle."""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    middle = (M - 1 if sym else M) / 2
    return _made("gaussian", M, lambda: np.exp(-((np.arange(M) - middle) / std) ** 2 / 2), dtype,
                 device, requires_grad)


@_strided_only
def exponential(M, *, center=None, tau=1.0, sym=True, dtype=None, device=None,
                requires_grad=False):
    """``exp(-|x - center| / tau)``."""
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    if center is None:
        center = (M - 1 if sym else M) / 2
    return _made("exponential", M, lambda: np.exp(-np.abs(np.arange(M) - center) / tau), dtype,
                 device, requires_grad)


@_strided_only
def kaiser(M, *, beta=12.0, sym=True, dtype=None, device=None, requires_grad=False):
    """``I0(beta sqrt(1 - x^2)) / I0(beta)``."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    if M == 1:
        return _made("kaiser", M, None, dtype, device, requires_grad)

    def values():
        x = _phase(M, sym) / math.pi - 1
        return np.i0(beta * np.sqrt(np.maximum(1 - x * x, 0))) / np.i0(beta)

    return _made("kaiser", M, values, dtype, device, requires_grad)


def _older(name: str, window, *extra: str):
    """``torch.hann_window`` and its like: periodic unless told otherwise."""

    def function(window_length, periodic=True, *args, dtype=None, layout=None, device=None,
                 pin_memory=False, requires_grad=False, **kwargs):
        values = dict(zip(extra, args, strict=False)) | kwargs
        out = window(window_length, sym=not periodic, dtype=dtype, device=device,
                     requires_grad=requires_grad, **values)
        return out

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``torch.signal.windows.{window.__name__}``, periodic by default."
    return function


def _hamming_ab(M, *, alpha=0.54, beta=0.46, **options):
    return general_cosine(M, a=[alpha, beta], **options)


hann_window = _older("hann_window", hann)
hamming_window = _older("hamming_window", _hamming_ab, "alpha", "beta")
blackman_window = _older("blackman_window", blackman)
bartlett_window = _older("bartlett_window", bartlett)
kaiser_window = _older("kaiser_window", kaiser, "beta")
