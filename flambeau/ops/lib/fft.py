"""torch.fft: one-, two- and n-dimensional transforms, shifts, and the short-time transform."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...base import dtype as dt
from ...base import shape as sh
from ...ir.api import api
from ...ir.op import apply
from ..core import one_step, to_float
from ..prim.elementwise import cast, conj, div, mul
from ..prim.fft import C2C_OP, C2R_OP, R2C_OP, SWAP
from ..prim.index import host, on_host
from ..prim.reduce import expand
from ..prim.shape import reshape, slice_dim, squeeze, transpose, unsqueeze
from ..prim.window import COL2IM
from .complex import view_as_real
from .padding import constant_pad_nd, pad
from .shape import roll, unfold

FFT: dict[str, Any] = {"torch": False, "namespaces": ("fft",), "out": 1, "dtypes": "number"}


def _norm(norm):
    if norm not in (None, "backward", "forward", "ortho"):
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return norm or "backward"


def _complex(name, x):
    x = _floating(name, x)
    return cast(x, x.dtype.to_complex())


def _floating(name, x):
    if x.dtype in (dt.float16, dt.bfloat16):
        raise RuntimeError(f"{name}: Unsupported dtype {x.dtype}")
    return cast(x, to_float(x.dtype))


def _resized(x, dims, sizes):
    """Axes cut or padded with zeros at the end."""
    pads = [0] * (2 * len(x.shape))
    for d, n in zip(dims, sizes, strict=True):
        if n == -1 or n == x.shape[d]:
            continue
        if n < 1:
            raise RuntimeError(f"Invalid number of data points ({n}) specified")
        pads[2 * (len(x.shape) - 1 - d) + 1] = n - x.shape[d]
    return constant_pad_nd(x, pads) if any(pads) else x


def _check_points(x, dims):
    for d in dims:
        if x.shape[d] < 1:
            raise RuntimeError(f"Invalid number of data points ({x.shape[d]}) specified")


def _axis(x, dim):
    if not x.shape:
        raise IndexError("Dimension specified as " + str(dim) + " but tensor has no dimensions")
    return sh.wrap_dim(dim, len(x.shape))


_OF_REAL = one_step("_fft_of_real", "FftR2CBackward0", (1,))


def _one(name, x, n, dim, norm, forward):
    z = _complex(name, x)
    dim = _axis(z, dim)
    if n is not None:
        z = _resized(z, (dim,), (n,))
    _check_points(z, (dim,))
    out = apply(C2C_OP, z, axes=(dim,), norm=_norm(norm), forward=forward)
    return out if n is not None or x.dtype.is_complex else apply(_OF_REAL, out, x)


def _axes(name, x, s, dim):
    """Axes and sizes of an n-dimensional transform."""
    rank = len(x.shape)
    if dim is not None:
        dim = (dim,) if isinstance(dim, int) else tuple(dim)
        dims = tuple(sh.wrap_dim(d, rank, scalar_ok=False) for d in dim)
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
    if s is not None:
        s = (s,) if isinstance(s, int) else tuple(s)
        if dim is None:
            if len(s) > rank:
                raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has "
                                   f"{rank} dimensions.")
            dims = tuple(range(rank - len(s), rank))
        elif len(s) != len(dims):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    elif dim is None:
        dims = tuple(range(rank))
    sizes = s if s is not None else (-1,) * len(dims)
    return dims, sizes


def _many(name, x, s, dim, norm, forward):
    x = _complex(name, x)
    dims, sizes = _axes(name, x, s, dim)
    x = _resized(x, dims, sizes)
    _check_points(x, dims)
    return apply(C2C_OP, x, axes=dims, norm=_norm(norm), forward=forward)


def _real_input(name, x):
    if x.dtype.is_complex:
        raise RuntimeError(f"{name} expects a real input tensor, but got {x.dtype}")
    return _floating(name, x)


def _to_half(name, x, s, dim, norm):
    x = _real_input(name, x)
    dims, sizes = _axes(name, x, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    x = _resized(x, dims, sizes)
    _check_points(x, dims)
    return apply(R2C_OP, x, axes=dims, norm=_norm(norm))


def _from_half(name, x, s, dim, norm):
    x = _complex(name, x)
    dims, sizes = _axes(name, x, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    last = sizes[-1] if sizes[-1] != -1 else 2 * (x.shape[dims[-1]] - 1)
    if last < 1:
        raise RuntimeError(f"Invalid number of data points ({last}) specified")
    x = _resized(x, dims, (*sizes[:-1], last // 2 + 1))
    _check_points(x, dims[:-1])
    return apply(C2R_OP, x, axes=dims, norm=_norm(norm), n=last)


# --- one axis -------------------------------------------------------------------------------------

_ROW: dict[str, Any] = {"cases": lambda t: [t.call(t.f(2, 6)), t.call(t.f(2, 6), 4, 0, "ortho")]}


@api(**_ROW, **FFT)
def fft(input, n=None, dim=-1, norm=None):  # noqa: A002
    """Discrete Fourier transform along ``dim``, of ``n`` points (cut or padded with zeros)."""
    return _one("fft", input, n, dim, norm, True)


@api(**_ROW, **FFT)
def ifft(input, n=None, dim=-1, norm=None):  # noqa: A002
    """Inverse of :func:`fft`."""
    return _one("ifft", input, n, dim, norm, False)


@api(**_ROW, **FFT)
def rfft(input, n=None, dim=-1, norm=None):  # noqa: A002
    """Transform of real values: the first half, n // 2 + 1 values."""
    _axis(input, dim)
    return _to_half("rfft", input, None if n is None else (n,), (dim,), norm)


@api(**_ROW, **FFT)
def irfft(input, n=None, dim=-1, norm=None):  # noqa: A002
    """Inverse of :func:`rfft`: ``n`` real values (2 (m - 1) when None)."""
    _axis(input, dim)
    return _from_half("irfft", input, None if n is None else (n,), (dim,), norm)


@api(**_ROW, **FFT)
def hfft(input, n=None, dim=-1, norm=None):  # noqa: A002
    """Transform of a signal that is Hermitian (given by its first half): real values."""
    _axis(input, dim)
    return hfftn(input, None if n is None else (n,), (dim,), norm)


@api(**_ROW, **FFT)
def ihfft(input, n=None, dim=-1, norm=None):  # noqa: A002
    """Inverse of :func:`hfft`."""
    _axis(input, dim)
    return ihfftn(input, None if n is None else (n,), (dim,), norm)


# --- several axes ---------------------------------------------------------------------------------

_GRID: dict[str, Any] = {
    "cases": lambda t: [t.call(t.f(2, 4, 6)), t.call(t.f(2, 4, 6), norm="forward")]}


@api(**_GRID, **FFT)
def fftn(input, s=None, dim=None, norm=None):  # noqa: A002
    """Discrete Fourier transform over several axes (all when None)."""
    return _many("fftn", input, s, dim, norm, True)


@api(**_GRID, **FFT)
def ifftn(input, s=None, dim=None, norm=None):  # noqa: A002
    """Inverse of :func:`fftn`."""
    return _many("ifftn", input, s, dim, norm, False)


@api(**_GRID, **FFT)
def rfftn(input, s=None, dim=None, norm=None):  # noqa: A002
    """Transform of real values over several axes; half of the last one."""
    return _to_half("rfftn", input, s, dim, norm)


@api(**_GRID, **FFT)
def irfftn(input, s=None, dim=None, norm=None):  # noqa: A002
    """Inverse of :func:`rfftn`."""
    return _from_half("irfftn", input, s, dim, norm)


@api(**_GRID, **FFT)
def hfftn(input, s=None, dim=None, norm=None):  # noqa: A002
    """Transform over several axes of a signal that is Hermitian in the last one."""
    x = _complex("hfftn", input)
    return _from_half("hfftn", conj(x), s, dim, SWAP[_norm(norm)])


@api(**_GRID, **FFT)
def ihfftn(input, s=None, dim=None, norm=None):  # noqa: A002
    """Inverse of :func:`hfftn`."""
    return conj(_to_half("ihfftn", input, s, dim, SWAP[_norm(norm)]))


def _plane(name, function):
    def plane(input, s=None, dim=(-2, -1), norm=None):  # noqa: A002
        return function(input, s, dim, norm)

    plane.__name__ = plane.__qualname__ = name
    plane.__doc__ = f"``{function.__name__}`` over the last two axes."
    return api(name, **_GRID, **FFT)(plane)


fft2, ifft2, rfft2, irfft2, hfft2, ihfft2 = (_plane(f.__name__[:-1] + "2", f) for f in (
    fftn, ifftn, rfftn, irfftn, hfftn, ihfftn))


# --- shifts ---------------------------------------------------------------------------------------


def _shift_dims(x, dim):
    if dim is None:
        return tuple(range(len(x.shape)))
    return (dim,) if isinstance(dim, int) else tuple(dim)


@api(torch=False, namespaces=("fft",), dtypes="any", cases=lambda t: [t.call(t.f(4, 5))])
def fftshift(input, dim=None):  # noqa: A002
    """The zero frequency moved to the middle."""
    dims = _shift_dims(input, dim)
    return roll(input, tuple(input.shape[d] // 2 for d in dims), dims) if dims else input


@api(torch=False, namespaces=("fft",), dtypes="any", cases=lambda t: [t.call(t.f(4, 5))])
def ifftshift(input, dim=None):  # noqa: A002
    """Inverse of :func:`fftshift`."""
    dims = _shift_dims(input, dim)
    return roll(input, tuple((input.shape[d] + 1) // 2 for d in dims), dims) if dims else input


# --- short-time transform -------------------------------------------------------------------------


def _framed_window(x, window, win_length, n_fft, dtype):
    """A window of n_fft values: ones when None, centred when shorter."""
    if window is None:
        window = on_host(np.ones(win_length, dtype.np), x)
    left = (n_fft - win_length) // 2
    if win_length < n_fft:
        window = constant_pad_nd(window, [left, n_fft - win_length - left])
    return window


def _check_frames(name, n_fft, hop, win, window):
    if hop <= 0:
        raise RuntimeError(f"{name}: expected hop_length > 0, but got hop_length={hop}")
    if not 0 < win <= n_fft:
        raise RuntimeError(f"{name}: expected 0 < win_length <= n_fft, but got win_length={win}")
    if window is not None and tuple(window.shape) != (win,):
        raise RuntimeError(f"{name}: expected a 1D window tensor of size equal to win_length={win},"
                           f" but got window with size {list(window.shape)}")


@api(method=True)
def stft(input, n_fft, hop_length=None, win_length=None, window=None, center=True,  # noqa: A002
         pad_mode="reflect", normalized=False, onesided=None, return_complex=None,
         align_to_window=None):
    """Short-time Fourier transform of (time,) or (batch, time): (.., frequency, frame).

    ``hop_length`` is n_fft // 4 when None; ``center`` pads so that frames are centred.
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    win = n_fft if win_length is None else win_length
    if len(input.shape) not in (1, 2):
        raise RuntimeError(f"stft: expected a 1D or 2D tensor, got shape {tuple(input.shape)}")
    if input.dtype.category < dt.dtype.FLOAT:
        raise RuntimeError("stft: expected a tensor of floating point or complex values")
    x = input if len(input.shape) == 2 else unsqueeze(input, 0)
    if center:
        x = squeeze(pad(unsqueeze(x, 1), [n_fft // 2, n_fft // 2], pad_mode), 1)
    if not 0 < n_fft <= x.shape[1]:
        raise RuntimeError(f"stft: expected 0 < n_fft <= {x.shape[1]}, but got n_fft={n_fft}")
    _check_frames("stft", n_fft, hop, win, window)
    is_complex = x.dtype.is_complex or (window is not None and window.dtype.is_complex)
    if return_complex is None and not is_complex:
        raise RuntimeError("stft requires the return_complex parameter be given for real inputs, "
                           "and will further require that return_complex=True in a future PyTorch "
                           "release.")
    onesided = not is_complex if onesided is None else onesided
    if onesided and is_complex:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    frames = unfold(x, 1, n_fft, hop)
    if window is not None or win < n_fft:
        frames = mul(frames, _framed_window(x, window, win, n_fft, x.dtype.to_real()))
    norm = "ortho" if normalized else "backward"
    out = rfft(frames, None, -1, norm) if onesided else fft(frames, None, -1, norm)
    out = transpose(out, 1, 2)
    out = out if len(input.shape) == 2 else squeeze(out, 0)
    return out if return_complex is not False else view_as_real(out)


@api(method=True)
def istft(input, n_fft, hop_length=None, win_length=None, window=None, center=True,  # noqa: A002
          normalized=False, onesided=None, length=None, return_complex=False):
    """Inverse of :func:`stft` by weighted overlap-add."""
    hop = n_fft // 4 if hop_length is None else hop_length
    win = n_fft if win_length is None else win_length
    if not input.dtype.is_complex:
        raise RuntimeError("istft requires a complex-valued input tensor matching the output from "
                           "stft with return_complex=True.")
    if len(input.shape) not in (2, 3) or not input.numel():
        raise RuntimeError(f"istft: expected a non-empty tensor with 2 or 3 dimensions, got "
                           f"{tuple(input.shape)}")
    _check_frames("istft", n_fft, hop, win, window)
    x = input if len(input.shape) == 3 else unsqueeze(input, 0)
    onesided = x.shape[1] != n_fft if onesided is None else onesided
    if onesided and x.shape[1] != n_fft // 2 + 1:
        raise RuntimeError(f"istft: expected the frequency dimension (3rd to the last) of the input"
                           f" tensor to match n_fft / 2 + 1 when onesided=True, but got "
                           f"{x.shape[1]}")
    weights = _framed_window(x, window, win, n_fft, x.dtype.to_real())
    norm = "ortho" if normalized else "backward"
    frames = transpose(x, 1, 2)
    frames = ifft(frames, None, -1, norm) if return_complex else (
        irfft(frames if onesided else slice_dim(frames, -1, 0, n_fft // 2 + 1), n_fft, -1, norm))
    count = frames.shape[1]
    total = n_fft + hop * (count - 1)
    where = {"size": (1, total), "kernel": (1, n_fft), "out": (1, count), "stride": (1, hop),
             "padding": (0, 0), "dilation": (1, 1)}
    y = apply(COL2IM, transpose(mul(frames, weights), 1, 2), **where)
    squares = expand(reshape(mul(weights, weights), (1, n_fft, 1)), (1, n_fft, count))
    envelope = apply(COL2IM, squares, **where)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else (total - n_fft // 2 if center else total)
    y, envelope = (slice_dim(reshape(v, (v.shape[0], total)), 1, start, min(end, total))
                   for v in (y, envelope))
    if not bool((np.abs(host(envelope)) > 1e-11).all()):
        raise RuntimeError("window overlap add min: 1: the window is zero where a frame starts")
    y = div(y, envelope)
    if end > total:
        y = constant_pad_nd(y, [0, end - total])
    return y if len(input.shape) == 3 else squeeze(y, 0)
