"""What a program logs, as NumPy arrays: values, pictures as height x width x channels, PNG, WAV."""

from __future__ import annotations

import io
import struct
import wave
import zlib

import numpy as np

from ...base import dtype as dt
from ...tensor import Tensor


def array(x) -> np.ndarray:
    """A tensor, array, number or list of them as an array; bfloat16 as float32.

    Raises:
        NotImplementedError: ``x`` is none of these.
    """
    if isinstance(x, np.ndarray):
        return x
    if isinstance(x, Tensor):
        x = x.detach()
        return (x.float() if x.dtype is dt.bfloat16 else x).numpy()
    if np.isscalar(x):
        return np.array([x])
    if isinstance(x, (list, tuple)):
        return np.asarray([float(v) for v in x])
    raise NotImplementedError(f"Got {type(x)}, but numpy array or torch tensor are expected.")


def number(x) -> float:
    """The one element of ``x``.

    Raises:
        AssertionError: it has another number of elements.
    """
    values = np.asarray(array(x)).reshape(-1)
    if values.size != 1:
        raise AssertionError("scalar should be 0D: a tensor, array or list with "
                             f"{values.size} elements was given")
    return float(values[0])


def grid(images: np.ndarray, columns: int = 8) -> np.ndarray:
    """A batch (N, C, H, W) side by side in rows of at most ``columns``: (3, rows * H, cols * W)."""
    count, channels, height, width = images.shape
    if channels == 1:
        images = np.repeat(images, 3, axis=1)
    columns = min(columns, count)
    rows = -(-count // columns)
    canvas = np.zeros((images.shape[1], rows * height, columns * width), images.dtype)
    for i, image in enumerate(images):
        y, x = i // columns * height, i % columns * width
        canvas[:, y:y + height, x:x + width] = image
    return canvas


def picture(x, dataformats: str) -> np.ndarray:
    """(height, width, channels) in uint8 of an image or a batch of images.

    Args:
        dataformats: the axes of ``x``: letters of "HW", "CHW" or "NCHW" in any order.

    Raises:
        AssertionError: the letters do not fit the axes.
    """
    values, letters = array(x), dataformats.upper()
    if len(set(letters)) != len(letters):
        raise AssertionError("You can not use the same dimension shorthand twice. input_format: "
                             f"{dataformats}")
    if values.ndim != len(letters):
        raise AssertionError("size of input tensor and input format are different. tensor shape: "
                             f"{values.shape}, input_format: {dataformats}")
    wanted = {4: "NCHW", 3: "HWC", 2: "HW"}.get(len(letters), "")
    if set(letters) != set(wanted):
        raise AssertionError(f"input_format {dataformats!r} is none of HW, CHW, NCHW in any order")
    values = values.transpose([letters.index(c) for c in wanted])
    if values.ndim == 4:
        values = grid(values).transpose(1, 2, 0)
    elif values.ndim == 2:
        values = values[:, :, None]
    if values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    scale = 1 if values.dtype == np.uint8 else 255
    return (values.astype(np.float32) * scale).clip(0, 255).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    """(height, width, 1, 3 or 4) in uint8 as a PNG file.

    Format: https://www.w3.org/TR/png/ — signature, then chunks of length, type, data, CRC; each row
    of the compressed data starts with its filter (0: none).
    """
    height, width, channels = image.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))

    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)) + chunk(b"IEND", b""))


def wav(x, sample_rate: int) -> tuple[bytes, int]:
    """(a WAV file of 16-bit samples, number of samples) of one channel with values in [-1, 1]."""
    samples = array(x).squeeze()
    if samples.ndim > 1:
        raise AssertionError(f"input tensor should be 1 dimensional, got {samples.ndim}")
    samples = np.atleast_1d(samples).clip(-1, 1)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return buffer.getvalue(), len(samples)


def figures(figure, close: bool) -> tuple[np.ndarray, str]:
    """(uint8 array, its axes) of a Matplotlib figure or a list of figures.

    Figures that were not made by pyplot work as well; ``close`` only concerns pyplot's.
    """
    # optional third-party packages
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    def render(one) -> np.ndarray:
        canvas = FigureCanvasAgg(one)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[:, :, :3].transpose(2, 0, 1).copy()
        if close:
            pyplot.close(one)
        return pixels

    if isinstance(figure, list):
        return np.stack([render(f) for f in figure]), "NCHW"
    return render(figure), "CHW"
