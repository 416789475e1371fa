"""Sample frequencies of discrete Fourier transforms: torch.fft.fftfreq and rfftfreq."""

from __future__ import annotations

import numpy as np

from ..base import dtype as _dt
from ..tensor import Tensor
from ..tensor.convert import tensor as _as_tensor


def _made(values, dtype, device, requires_grad) -> Tensor:
    dtype = dtype or _dt.get_default_dtype()
    return _as_tensor(values.astype(dtype.np), device=device, requires_grad=requires_grad)


def fftfreq(n, d=1.0, *, dtype=None, layout=None, device=None, requires_grad=False):
    """Frequencies of the values that ``fft`` of ``n`` points ``d`` apart gives."""
    return _made(np.fft.fftfreq(n, d), dtype, device, requires_grad)


def rfftfreq(n, d=1.0, *, dtype=None, layout=None, device=None, requires_grad=False):
    """Frequencies of the values that ``rfft`` of ``n`` points ``d`` apart gives."""
    return _made(np.fft.rfftfreq(n, d), dtype, device, requires_grad)
