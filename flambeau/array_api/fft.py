"""The ``fft`` extension of the Array API standard: PyTorch's functions with ``axis``."""

from __future__ import annotations

import importlib

_fft = importlib.import_module(__package__.rpartition(".")[0]).fft


def _one(name: str):
    function = getattr(_fft, name)

    def transform(x, /, *, n=None, axis=-1, norm="backward"):
        return function(x, n, axis, norm)

    transform.__name__, transform.__doc__ = name, function.__doc__
    return transform


def _many(name: str):
    function = getattr(_fft, name)

    def transform(x, /, *, s=None, axes=None, norm="backward"):
        return function(x, s, axes, norm)

    transform.__name__, transform.__doc__ = name, function.__doc__
    return transform


fft, ifft, rfft, irfft = _one("fft"), _one("ifft"), _one("rfft"), _one("irfft")
hfft, ihfft = _one("hfft"), _one("ihfft")
fftn, ifftn, rfftn, irfftn = _many("fftn"), _many("ifftn"), _many("rfftn"), _many("irfftn")


def fftfreq(n: int, /, *, d: float = 1.0, dtype=None, device=None):
    """The frequencies of :func:`fft`'s results."""
    return _fft.fftfreq(n, d, dtype=dtype, device=device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype=None, device=None):
    """The frequencies of :func:`rfft`'s results."""
    return _fft.rfftfreq(n, d, dtype=dtype, device=device)


def fftshift(x, /, *, axes=None):
    """The zero frequency in the middle."""
    return _fft.fftshift(x, axes)


def ifftshift(x, /, *, axes=None):
    """What :func:`fftshift` moved, back."""
    return _fft.ifftshift(x, axes)
