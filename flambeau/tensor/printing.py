"""What ``print(tensor)`` shows: PyTorch's text, to the letter.

:func:`tensor_repr` works on a NumPy array and a few facts about the tensor, so it needs no Tensor.
All elements of a tensor share one format, chosen from the elements that will be shown.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from ..base import dtype as dt


_PROFILES = {"default": (4, 1000, 3, 80), "short": (2, 1000, 2, 80), "full": (4, math.inf, 3, 80)}
options = SimpleNamespace(precision=4, threshold=1000, edgeitems=3, linewidth=80, sci_mode=None)


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None,
                     sci_mode=None) -> None:
    """Change how tensors print.

    Args:
        precision: digits after the point (4).
        threshold: number of elements from which on only the edges are shown (1000).
        edgeitems: elements shown at each end of a shortened dimension (3).
        linewidth: characters per line (80).
        profile: "default", "short" or "full"; the other arguments override it.
        sci_mode: True or False forces or forbids exponents; None (also when left out) chooses by
            the numbers.
    """
    if profile is not None and profile in _PROFILES:
        (options.precision, options.threshold, options.edgeitems,
         options.linewidth) = _PROFILES[profile]
    if precision is not None:
        options.precision = precision
    if threshold is not None:
        options.threshold = threshold
    if edgeitems is not None:
        options.edgeitems = edgeitems
    if linewidth is not None:
        options.linewidth = linewidth
    options.sci_mode = sci_mode


def get_printoptions() -> dict:
    """The options in use, as :func:`set_printoptions` takes them."""
    return vars(options).copy()


@contextlib.contextmanager
def printoptions(**changes):
    """Other print options for the length of a ``with`` block."""
    before = get_printoptions()
    set_printoptions(**changes)
    try:
        yield
    finally:
        set_printoptions(**before)


def tensor_repr(array: np.ndarray | None, *, dtype: dt.dtype, shape: tuple[int, ...] | None = None,
                device: str = "cpu", requires_grad: bool = False, grad_fn_name: str | None = None,
                prefix: str = "tensor(", tangent: str | None = None) -> str:
    """The text of ``repr(tensor)``.

    Args:
        array: the elements; None for a tensor without data (device "meta").
        shape: the tensor's shape; the array's when omitted.
        grad_fn_name: the class name of its ``grad_fn``, shown instead of ``requires_grad``.
        prefix: "tensor(", or the subclass's name and a parenthesis.
    """
    shape = tuple(array.shape if shape is None else shape)
    default = dt.get_default_dtype()
    indent = len(prefix)
    notes = []
    if device != "cpu":
        notes.append(f"device='{device}'")
    implied = (default, dt.complex128 if default is dt.float64 else dt.complex64, dt.int64,
               dt.bool_)
    if array is None:
        notes.append(f"size={shape}")
        if dtype is not default:
            notes.append(f"dtype={dtype}")
        body = "..."
    elif 0 in shape:
        if len(shape) != 1:
            notes.append(f"size={shape}")
        if dtype is not default:
            notes.append(f"dtype={dtype}")
        body = "[]"
    else:
        if not options.edgeitems:
            notes.append(f"size={shape}")
        if dtype not in implied:
            notes.append(f"dtype={dtype}")
        body = _body(array, indent)
    if grad_fn_name is not None:
        notes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        notes.append("requires_grad=True")
    if tangent is not None:
        notes.append(f"tangent={tangent}")
    return _with_notes(prefix + body, notes, indent)


def _with_notes(text: str, notes: list[str], indent: int) -> str:
    """Append the remarks, each on the last line if it fits there."""
    used = len(text) - text.rfind("\n") + 1
    for note in notes:
        if used + len(note) + 2 > options.linewidth:
            text += ",\n" + " " * indent + note
            used = indent + len(note)
        else:
            text += ", " + note
            used += len(note) + 2
    return text + ")"


def _body(array: np.ndarray, indent: int) -> str:
    shorten = array.size > options.threshold
    shown = _edges(array) if shorten else array
    if array.dtype.kind == "c":
        real, real_width = _element_format(shown.real)
        imag, imag_width = _element_format(shown.imag)

        def show(z: complex) -> str:
            tail = (imag(z.imag) + "j").lstrip()
            return real(z.real) + (tail if tail[0] in "+-" else "+" + tail)

        return _nested(array, indent, shorten, show, real_width + imag_width + 1)
    if array.dtype.kind not in "biuf":  # bfloat16 is no NumPy type
        array, shown = array.astype(np.float32), shown.astype(np.float32)
    show, width = _element_format(shown)
    return _nested(array, indent, shorten, show, width)


def _edges(array: np.ndarray) -> np.ndarray:
    """The elements that are shown of a shortened array."""
    edge = options.edgeitems
    for axis, n in enumerate(array.shape):
        if n > 2 * edge and edge:
            picks = [*range(edge), *range(n - edge, n)]
            array = array.take(picks, axis)
    return array


def _element_format(values: np.ndarray) -> tuple[Callable[[object], str], int]:
    """How one element is written, and the width of the column (elements may exceed it)."""
    precision = options.precision
    values = values.reshape(-1)
    if values.dtype.kind != "f":
        width = max([1, *(len(str(v)) for v in _extremes(values))])
        return (lambda v: str(v).rjust(width)), width
    values = values.astype(np.float64)
    values = values[np.isfinite(values) & (values != 0)]
    if values.size == 0:
        return _whole(1), 1
    size = np.abs(values)
    low, high = float(size.min()), float(size.max())
    whole = bool((values == np.ceil(values)).all())
    exponents = options.sci_mode
    if exponents is None:
        exponents = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
    ends = _extremes(values)
    if exponents:
        form = f".{precision}e"
    elif whole:
        width = max(len(f"{v:.0f}") for v in ends) + 1
        return _whole(width), width
    else:
        form = f".{precision}f"
    width = max(len(format(v, form)) for v in ends)
    return (lambda v: format(v, form).rjust(width)), width


def _extremes(values: np.ndarray) -> list:
    """The elements among which the longest text is: farthest from and nearest to 0, each sign."""
    if values.size == 0:
        return []
    ends = [values.min().item(), values.max().item()]
    if values.dtype.kind == "f":
        above, below = values[values > 0], values[values < 0]
        ends += [v.item() for v in (above.min(initial=np.inf), below.max(initial=-np.inf))
                 if math.isfinite(v)]
    return ends


def _whole(width: int) -> Callable[[float], str]:
    """Floats that are whole numbers: ``3.``."""
    def show(v: float) -> str:
        return (f"{v:.0f}." if math.isfinite(v) else f"{v:.0f}").rjust(width)

    return show


def _nested(array: np.ndarray, indent: int, shorten: bool, show, width: int) -> str:
    if array.ndim == 0:
        return show(array.item())
    if array.ndim == 1:
        return _row(array, indent, shorten, show, width)
    n, edge = len(array), options.edgeitems
    if shorten and n > 2 * edge:
        picks = [*range(edge), None, *range(n - edge, n)]
    else:
        picks = range(n)
    parts = ["..." if i is None else _nested(array[i], indent + 1, shorten, show, width)
             for i in picks]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _row(array: np.ndarray, indent: int, shorten: bool, show, width: int) -> str:
    edge = options.edgeitems
    if shorten and not edge:
        items = ["..."]
    elif shorten and len(array) > 2 * edge:
        items = [*map(show, array[:edge].tolist()), " ...", *map(show, array[-edge:].tolist())]
    else:
        items = list(map(show, array.tolist()))
    per_line = max(1, math.floor((options.linewidth - indent) / (width + 2)))
    lines = [", ".join(items[i:i + per_line]) for i in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def format_scalar(value, spec: str) -> str:
    """``format(tensor, spec)`` of a tensor of no dimensions, given its Python number."""
    return value.__format__(spec)
