"""Tensors from nothing: constants, ranges, identity, grids, and the ``*_like``/``new_*`` forms.

Constants (zeros, ones, full, empty) are lazy: one number seen through strides of 0, which costs no
memory until something writes into it. Uninitialised memory is zero here.
"""

from __future__ import annotations

import math
import operator
import warnings

import numpy as np

from ..base import device as dv
from ..base import dtype as dt
from ..base import shape as sh
from ..base.layout import strides_like, strides_of_format
from ..ir.node import Node, const, leaf, make
from ..ir.view import VIEW
from ..ops.core import fitting, is_number
from . import options as opt
from .follow import one_operation
from .options import device_of, dtype_of, fill_out, finish, float_dtype, size_of, want_grad
from .random import fma
from .tensor import Tensor

# --- constants ------------------------------------------------------------------------------------


def constant_node(shape: tuple[int, ...], value, dtype: dt.dtype) -> Node:
    """One number in every place of ``shape``."""
    node = const(value, dtype)
    return make(VIEW, (node,), (shape, (0,) * len(shape), 0)) if shape else node


def _constant(shape, value, dtype, device, requires_grad, out, layout, pin_memory) -> Tensor:
    if layout is not None or pin_memory:
        opt.check_extras(layout, pin_memory)
    if out is not None:
        return fill_out(out, constant_node(shape, value, dtype))
    device = device_of(device)
    if device is dv.CPU and not requires_grad:
        return _filled(shape, dtype, value=value)
    t = Tensor._wrap(constant_node(shape, value, dtype), device)
    return want_grad(t) if requires_grad else t


def _filled(shape, dtype, *, value) -> Tensor:
    """A constant, as the trace follower sees it: the program's defaults are settled."""
    return Tensor._wrap(constant_node(shape, value, dtype))


_filled = one_operation(_filled, ("value",))


def _factory_dtype(dtype, out, name: str) -> dt.dtype:
    """The dtype of zeros, ones, empty: ``out``'s if there is one."""
    if out is not None:
        if dtype is not None:
            dtype = dtype_of(dtype, name)
            if dtype is not out.dtype:
                raise RuntimeError(f"dtype {opt.type_name(dtype)} does not match dtype of out "
                                   f"parameter ({opt.type_name(out.dtype)})")
        return out.dtype
    return dt.get_default_dtype() if dtype is None else dtype_of(dtype, name)


def zeros(*args, size=None, out=None, dtype=None, layout=None, device=None, pin_memory=False,
          requires_grad=False) -> Tensor:
    """A tensor of zeros of the given size."""
    return _constant(size_of(args, size, "zeros"), 0, _factory_dtype(dtype, out, "zeros"), device,
                     requires_grad, out, layout, pin_memory)


def ones(*args, size=None, out=None, dtype=None, layout=None, device=None, pin_memory=False,
         requires_grad=False) -> Tensor:
    """A tensor of ones of the given size."""
    return _constant(size_of(args, size, "ones"), 1, _factory_dtype(dtype, out, "ones"), device,
                     requires_grad, out, layout, pin_memory)


def empty(*args, size=None, out=None, dtype=None, layout=None, device=None, pin_memory=False,
          requires_grad=False, memory_format=None) -> Tensor:
    """A tensor of the given size whose elements mean nothing yet (they are 0 here)."""
    shape = size_of(args, size, "empty")
    dtype = _factory_dtype(dtype, out, "empty")
    if memory_format is None or memory_format is opt.contiguous_format:
        return _constant(shape, 0, dtype, device, requires_grad, out, layout, pin_memory)
    opt.check_extras(layout, pin_memory)
    t = _strided_zeros(shape, strides_of_format(shape, memory_format), dtype, device_of(device))
    return want_grad(t) if requires_grad else t


def full(size, fill_value, *, out=None, dtype=None, layout=None, device=None, pin_memory=False,
         requires_grad=False) -> Tensor:
    """A tensor of the given size (a tuple) filled with one number, which also gives the dtype."""
    if not isinstance(size, (tuple, list)):
        raise TypeError("full(): argument 'size' (position 1) must be tuple of ints, "
                        f"not {type(size).__name__}")
    if isinstance(fill_value, Tensor):
        if fill_value.shape:
            raise TypeError("full(): argument 'fill_value' (position 2) must be Number, not Tensor")
        fill_value = fill_value.item()
    elif not is_number(fill_value):
        raise TypeError("full(): argument 'fill_value' (position 2) must be Number, "
                        f"not {type(fill_value).__name__}")
    if out is not None:
        dtype = _factory_dtype(dtype, out, "full")
    else:
        dtype = dt.of_scalar(fill_value) if dtype is None else dtype_of(dtype, "full")
    return _constant(size_of((size,), None, "full"), fitting(fill_value, dtype), dtype, device,
                     requires_grad, out, layout, pin_memory)


def scalar_tensor(s, *, dtype=None, layout=None, device=None, pin_memory=False,
                  requires_grad=False) -> Tensor:
    """A tensor of no dimensions with one number (of the default dtype when none is given)."""
    if isinstance(s, Tensor):
        s = s.item()
    dtype = float_dtype(dtype, "scalar_tensor")
    return _constant((), fitting(s, dtype), dtype, device, requires_grad, None, layout, pin_memory)


def _strided_zeros(shape, strides, dtype: dt.dtype, device) -> Tensor:
    extent = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    return opt.with_strides(constant_node((extent,), 0, dtype), strides, device, shape)


def empty_strided(size, stride, *, dtype=None, layout=None, device=None, pin_memory=False,
                  requires_grad=False) -> Tensor:
    """A tensor with the given strides; its elements mean nothing yet (they are 0 here)."""
    size = size_of((tuple(size),), None, "empty_strided")
    stride = tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError(f"dimensionality of sizes ({len(size)}) must match dimensionality of "
                           f"strides ({len(stride)})")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(size)} and "
                           f"strides={list(stride)}: strides must not be negative")
    opt.check_extras(layout, pin_memory)
    t = _strided_zeros(size, stride, float_dtype(dtype, "empty_strided"), device_of(device))
    return want_grad(t) if requires_grad else t


def empty_permuted(size, physical_layout, **options) -> Tensor:
    """A dense tensor whose dimensions lie in memory in the given order, outermost first."""
    size, order = tuple(size), tuple(physical_layout)
    if len(size) != len(order):
        raise RuntimeError(f"Number of dimensions in size does not match the length of the "
                           f"physical_layout; i.e. len(size) = {len(size)} is not equal to "
                           f"len(physical_layout) = {len(order)}")
    if sorted(order) != list(range(len(size))):
        raise RuntimeError(f"Dimension out of range or duplicate dim in physical_layout {order}: "
                           f"each of 0..{len(size) - 1} must stand there once")
    stride, step = [0] * len(size), 1
    for d in reversed(order):
        stride[d] = step
        step *= max(size[d], 1)
    return empty_strided(size, stride, **options)


# --- like another tensor --------------------------------------------------------------------------


def like(input, value, name: str, dtype=None, layout=None, device=None,  # noqa: A002
         pin_memory=False, requires_grad=False, memory_format=None) -> Tensor:
    """A constant tensor with the size of ``input`` and, unless told, its dtype and device.

    The order of dimensions in memory is kept too.
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, "
                        f"not {type(input).__name__}")
    dtype = input.dtype if dtype is None else dtype_of(dtype, name)
    device = input.device if device is None else device_of(device)
    if layout is not None or pin_memory:
        opt.check_extras(layout, pin_memory)
    shape = tuple(input.shape)
    if memory_format is None or memory_format is opt.preserve_format:
        strides = input.strides
        if not sh.is_contiguous(shape, strides):
            strides = strides_like(shape, strides)
    else:
        strides = strides_of_format(shape, memory_format)
    if sh.is_contiguous(shape, strides):
        t = _constant(shape, value, dtype, device, False, None, None, False)
        if strides != sh.contiguous_strides(shape):
            t._lay(shape, strides)  # those of dimensions of size 1 may be any
    else:
        t = opt.with_strides(constant_node((sh.numel(shape),), value, dtype), strides, device,
                             shape)
    return want_grad(t) if requires_grad else t


def zeros_like(input, **options) -> Tensor:  # noqa: A002
    """Zeros with the size, dtype, device and order in memory of ``input``."""
    return like(input, 0, "zeros_like", **options)


def ones_like(input, **options) -> Tensor:  # noqa: A002
    """Ones with the size, dtype, device and order in memory of ``input``."""
    return like(input, 1, "ones_like", **options)


def empty_like(input, **options) -> Tensor:  # noqa: A002
    """A tensor like ``input`` whose elements mean nothing yet (they are 0 here)."""
    return like(input, 0, "empty_like", **options)


def full_like(input, fill_value, *, dtype=None, **options) -> Tensor:  # noqa: A002
    """One number everywhere, with the size, dtype and device of ``input``."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    if dtype is not None:
        dtype = dtype_of(dtype, "full_like")
    elif isinstance(input, Tensor):
        dtype = input.dtype
    return like(input, fitting(fill_value, dtype) if dtype else fill_value, "full_like",
                dtype=dtype, **options)


def _new(factory, name: str):
    def method(self, *args, size=None, dtype=None, device=None, **options):
        return factory(*args, size=size, dtype=self.dtype if dtype is None else dtype,
                       device=self.device if device is None else device, **options)

    method.__name__ = name
    method.__doc__ = f":func:`{factory.__name__}` with this tensor's dtype and device."
    return method


new_zeros, new_ones, new_empty = (_new(f, f"new_{f.__name__}") for f in (zeros, ones, empty))


def new_full(self, size, fill_value, *, dtype=None, device=None, **options) -> Tensor:
    """:func:`full` with this tensor's dtype and device."""
    return full(size, fill_value, dtype=self.dtype if dtype is None else dtype,
                device=self.device if device is None else device, **options)


def new_empty_strided(self, size, stride, dtype=None, device=None, **options) -> Tensor:
    """:func:`empty_strided` with this tensor's dtype and device."""
    return empty_strided(size, stride, dtype=self.dtype if dtype is None else dtype,
                         device=self.device if device is None else device, **options)


# --- ranges ---------------------------------------------------------------------------------------


def _number(x, what: str):
    if isinstance(x, Tensor):
        return x.item()
    if isinstance(x, np.generic):
        return x.item()
    if not is_number(x):
        raise TypeError(f"{what} must be Number, not {type(x).__name__}")
    if isinstance(x, complex):
        raise RuntimeError("value cannot be converted to type double without overflow")
    return x


def arange(*args, start=None, end=None, step=1, out=None, dtype=None, layout=None, device=None,
           pin_memory=False, requires_grad=False) -> Tensor:
    """Numbers from ``start`` (0) in steps of ``step`` (1), without ``end``.

    The dtype is int64 when all are whole numbers, else the default dtype. The size is
    ``ceil((end - start) / step)``.

    Raises:
        RuntimeError: a step of 0 or in the wrong direction, an infinite range.
    """
    if len(args) > 3 or (not args and end is None):
        got = ", ".join(type(a).__name__ for a in args)
        raise TypeError(f"arange() received an invalid combination of arguments - got ({got}): "
                        "give (end), (start, end) or (start, end, step)")
    if len(args) == 1 and end is None:
        end = args[0]
    elif args:
        start = args[0]
        end = args[1] if len(args) > 1 else end
        step = args[2] if len(args) > 2 else step
    a, b, s = (_number(x, f"arange(): argument '{n}' (position 1)") for x, n in
               ((0 if start is None else start, "start"), (end, "end"), (step, "step")))
    if dtype is None:
        dtype = (out.dtype if out is not None else
                 dt.int64 if all(isinstance(x, int) for x in (a, b, s)) else dt.get_default_dtype())
    else:
        dtype = dtype_of(dtype, "arange")
    if dtype is dt.bool_ or dtype.is_complex:
        raise NotImplementedError(f'"arange_cpu" not implemented for \'{opt.type_name(dtype)}\'')
    opt.check_extras(layout, pin_memory)
    array = _arange(a, b, s, dtype)
    if out is not None:
        return fill_out(out, array)
    return finish(leaf(array, dtype), device_of(device), requires_grad)


def _arange(a, b, s, dtype: dt.dtype) -> np.ndarray:
    for x in (a, b):
        if not math.isfinite(x):
            raise RuntimeError(f"unsupported range: {a} -> {b}")
    if s == 0 or math.isnan(s):
        raise RuntimeError("step must be nonzero")
    if dtype is dt.int64:
        a, b, s = int(a), int(b), int(s)
        if s == 0:
            raise ValueError("step must be nonzero: as a whole number it is 0")
    if (b - a) * s < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype is dt.int64:
        n = -((a - b) // s)
    else:
        n = math.ceil((b - a) / s)
    if n > 2**48:
        raise RuntimeError("invalid size, possible overflow?")
    if dtype.category == dt.dtype.INT:
        a, s = int(a), int(s)
        return (np.arange(n) * s + a).astype(dtype.np, copy=False)
    return _float_range(float(a), float(s), n, dtype)


def _float_range(start: float, step: float, n: int, dtype: dt.dtype) -> np.ndarray:
    """``start + i * step`` as PyTorch's vector loop rounds it.

    Within whole pairs of vectors the first lane is rounded to the dtype and the other lanes count
    from there; the rest is computed one by one.
    """
    lanes = 4 if dtype is dt.float64 else 16 if dtype.itemsize == 2 else 8
    # NumPy rounds float64 to 16 bits at once, PyTorch by way of float32
    narrow = np.float32 if dtype.itemsize == 2 else dtype.np
    i = np.arange(n, dtype=np.float64)
    if n < 2 * lanes and dtype is not dt.float64:
        return (i * step + start).astype(narrow).astype(dtype.np, copy=False)
    whole = n - n % (2 * lanes)
    out = np.empty(n, dtype.np)
    out[whole:] = fma(i[whole:], step, start).astype(narrow)
    base = fma(i[:whole:lanes], step, start).astype(narrow).astype(dtype.np).astype(np.float64)
    lane = np.arange(lanes, dtype=np.float64)
    block = fma(np.tile(lane, len(base)), step, np.repeat(base, lanes))
    out[:whole] = block.astype(narrow)
    return out


def range_(start=0, end=None, step=1, *, out=None, dtype=None, layout=None, device=None,
           requires_grad=False) -> Tensor:
    """Deprecated form of :func:`arange` that includes ``end``."""
    warnings.warn("torch.range is deprecated and will be removed in a future release because its "
                  "behavior is inconsistent with Python's range builtin. Instead, use "
                  "torch.arange, which produces values in [start, end).", UserWarning, stacklevel=2)
    dtype = float_dtype(dtype, "range")
    count = math.floor((end - start) / step) + 1
    array = (start + step * np.arange(count)).astype(dtype.np)
    if out is not None:
        return fill_out(out, array)
    return finish(leaf(array, dtype), device_of(device), requires_grad)


def _ends(start, end, steps, dtype, name: str):
    for x, what in ((start, "start"), (end, "end")):
        if isinstance(x, Tensor) and x.shape:
            raise RuntimeError(f"{name} only supports 0-dimensional start and end tensors, but got "
                               f"{what} with {len(x.shape)} dimension(s).")
    start, end = (x.item() if isinstance(x, Tensor) else x for x in (start, end))
    if not (is_number(start) and is_number(end)) or steps is None or isinstance(steps, float):
        raise TypeError(f"{name}() received an invalid combination of arguments: give (start, end, "
                        "steps), two numbers and a whole number")
    steps = operator.index(steps)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    if dtype is not None:
        dtype = dtype_of(dtype, name)
    else:
        both_real = not (isinstance(start, complex) or isinstance(end, complex))
        default = dt.get_default_dtype()
        dtype = default if both_real else default.to_complex()
    return start, end, steps, dtype


def _linear(start, end, n: int, dtype: dt.dtype) -> np.ndarray:
    """``start + i * step`` up to the middle, ``end - (n - 1 - i) * step`` from there on."""
    i = np.arange(n, dtype=np.float64)
    if dtype.category <= dt.dtype.INT:
        start, end = int(start), int(end)
        step = np.float32((end - start) / max(n - 1, 1))
        i = i.astype(np.float32)
        up, down = (start + step * i).astype(np.int64), (end - step * i[::-1]).astype(np.int64)
    elif dtype.is_complex:
        step = (complex(end) - complex(start)) / max(n - 1, 1)
        up, down = start + step * i, end - step * i[::-1]
    else:
        real = dtype.np.type
        first, last = real(start), real(end)
        step = real(real(last - first) / real(max(n - 1, 1)))
        if dtype.itemsize == 2:  # every operation is rounded
            i = i.astype(real)
            up, down = first + step * i, last - step * i[::-1]
        elif dtype is dt.float64:
            up = fma(i, float(step), float(first))
            down = fma(i[::-1], -float(step), float(last))
        else:  # in float64 the products are exact
            up = i * float(step) + float(first)
            down = i[::-1] * -float(step) + float(last)
    out = np.empty(n, dtype.np)
    half = n // 2
    out[:half], out[half:] = up[:half], down[half:]
    return out


def linspace(start, end, steps=None, *, out=None, dtype=None, layout=None, device=None,
             pin_memory=False, requires_grad=False) -> Tensor:
    """``steps`` numbers from ``start`` to ``end``, both included."""
    start, end, steps, dtype = _ends(start, end, steps, dtype or (out.dtype if out is not None
                                                                  else None), "linspace")
    opt.check_extras(layout, pin_memory)
    array = (np.full(steps, start).astype(dtype.np) if steps < 2
             else _linear(start, end, steps, dtype))
    if out is not None:
        return fill_out(out, array)
    return finish(leaf(array, dtype), device_of(device), requires_grad)


def logspace(start, end, steps=None, base=10.0, *, out=None, dtype=None, layout=None, device=None,
             pin_memory=False, requires_grad=False) -> Tensor:
    """``base`` to the power of ``steps`` numbers from ``start`` to ``end``."""
    start, end, steps, dtype = _ends(start, end, steps, dtype or (out.dtype if out is not None
                                                                  else None), "logspace")
    opt.check_extras(layout, pin_memory)
    wide = dt.complex128 if dtype.is_complex else dt.float64
    if dtype.category <= dt.dtype.INT:
        start, end = int(start), int(end)
    elif dtype is dt.float32:
        start, end = float(np.float32(start)), float(np.float32(end))
    step, half = (end - start) / max(steps - 1, 1), steps // 2
    if dtype is dt.float32:
        step = float(np.float32(step))
    powers = [start + step * i if i < half or steps == 1 else end - step * (steps - 1 - i)
              for i in range(steps)]
    array = np.array([base ** x for x in powers], wide.np)
    array = array.astype(np.int64 if dtype.category <= dt.dtype.INT else dtype.np).astype(dtype.np)
    if out is not None:
        return fill_out(out, array)
    return finish(leaf(array, dtype), device_of(device), requires_grad)


# --- matrices -------------------------------------------------------------------------------------


def eye(n, m=None, *, out=None, dtype=None, layout=None, device=None, pin_memory=False,
        requires_grad=False) -> Tensor:
    """A matrix with ones on the diagonal, (n, m) or (n, n)."""
    for x, name in ((n, "n"), (m, "m")):
        if x is not None:
            if not hasattr(type(x), "__index__"):
                raise TypeError(f"eye(): argument '{name}' (position 1) must be int, "
                                f"not {type(x).__name__}")
            if operator.index(x) < 0:
                raise RuntimeError(f"{name} must be greater or equal to 0, got {x}")
    opt.check_extras(layout, pin_memory)
    dtype = out.dtype if out is not None else float_dtype(dtype, "eye")
    array = np.eye(operator.index(n), None if m is None else operator.index(m), dtype=dtype.np)
    if out is not None:
        return fill_out(out, array)
    return finish(leaf(array, dtype), device_of(device), requires_grad)


def _indices(function, name: str):
    def call(row, col, offset=0, *, dtype=dt.int64, device=None, layout=None, pin_memory=False):
        for n, what in ((row, "row"), (col, "col")):
            if n < 0:
                raise RuntimeError(f"{what} must be non-negative, got{n}")
        dtype = dtype_of(dtype, name)
        if dtype.category != dt.dtype.INT:
            raise NotImplementedError(
                f"\"{name}\" not implemented for '{opt.type_name(dtype)}'")
        opt.check_extras(layout, pin_memory)
        array = np.stack(function(row, offset, col)).astype(dtype.np)
        return finish(leaf(array, dtype), device_of(device))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = (f"Row and column numbers (2, count) of the {name[:4]} part of a (row, col) "
                    "matrix.")
    return call


tril_indices = _indices(np.tril_indices, "tril_indices")
triu_indices = _indices(np.triu_indices, "triu_indices")
