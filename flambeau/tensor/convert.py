"""From Python and NumPy data to tensors: tensor, as_tensor, asarray, from_numpy, frombuffer.

Which dtype data gets: Python numbers give bool, int64, the default dtype or its complex partner;
NumPy scalars, arrays and tensors bring their own; what is mixed is promoted. Lists of plain numbers
take the short way (their types are collected in one pass, NumPy converts them in another).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence

import numpy as np

from ..base import dtype as dt
from ..ir.node import leaf
from . import layouts
from . import options as opt
from .blocks import is_storage, over_storage
from .host import from_array, sharing
from .options import device_of, dtype_of, finish, want_grad
from .tensor import Tensor

_KINDS = {bool: 0, int: 1, float: 2, complex: 3}
_READ_AS = (np.bool_, np.int64, np.float64, np.complex128)
_SUPPORTED = ("float64, float32, float16, complex64, complex128, int64, int32, int16, int8, "
              "uint64, uint32, uint16, uint8, and bool")
_SLOW = ("Creating a tensor from a list of numpy.ndarrays is extremely slow. Please consider "
         "converting the list to a single numpy.ndarray with numpy.array() before converting to a "
         "tensor.")
_warned: set[str] = set()


def _warn_once(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        warnings.warn(text, UserWarning, stacklevel=4)


def _kind_dtype(kind: int) -> dt.dtype:
    """The dtype of Python numbers: 0 bool, 1 int, 2 float, 3 complex."""
    if kind >= 2:
        default = dt.get_default_dtype()
        return default if kind == 2 else default.to_complex()
    return dt.int64 if kind else dt.bool_


# --- numbers to arrays ----------------------------------------------------------------------------


def _overflow(d: dt.dtype) -> RuntimeError:
    return RuntimeError(f"value cannot be converted to type {d.name} without overflow")


def cast_array(array: np.ndarray, to: dt.dtype, *, checked: bool) -> np.ndarray:
    """An array in another dtype.

    Args:
        checked: values that do not fit raise (numbers from Python); else they wrap (arrays).
    """
    if array.dtype == to.np:
        return array
    if to is dt.bool_:
        return array.astype(np.bool_)
    if array.dtype.kind == "c" and not to.is_complex:
        if checked:
            raise TypeError("must be real number, not complex")
        array = array.real
    if to.category == dt.dtype.INT and array.dtype.kind != "b":
        if checked and array.size:
            _check_range(array, to)
        if array.dtype.kind not in "iu":  # C's way: towards zero, then wrap
            with np.errstate(invalid="ignore"):
                array = array.astype(np.float64).astype(np.int64)
    elif to.itemsize == 2 and array.dtype.kind == "f" and array.dtype.itemsize == 8:
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    with np.errstate(over="ignore"):
        return array.astype(to.np)


def _check_range(array: np.ndarray, to: dt.dtype) -> None:
    info = np.iinfo(to.np)
    low = info.min if to.is_signed else -int(info.max)  # -1 may become the largest unsigned number
    if array.dtype.kind == "f":
        if not bool(np.isfinite(array).all()):
            raise _overflow(to)
        high = float(info.max)
        if bool((array < low).any() or (array > high).any()) or (
                info.bits == 64 and bool((array >= 2.0**63).any()) and to.is_signed):
            raise _overflow(to)
    elif int(array.min()) < low or int(array.max()) > info.max:
        raise _overflow(to)


def _numbers(flat, kind: int, to: dt.dtype) -> np.ndarray:
    """Plain Python numbers (the highest of them of ``kind``) as a flat array of dtype ``to``."""
    if kind == 2 and to is dt.float32:
        with np.errstate(over="ignore"):
            return np.array(flat, np.float32)
    if kind == 1:
        if to.category >= dt.dtype.FLOAT:
            return cast_array(np.array(flat, np.float64), to, checked=True)
        try:
            array = np.array(flat, np.int64)
        except OverflowError:
            array = _big(flat, to)
    else:
        array = np.array(flat, _READ_AS[kind])
    return cast_array(array, to, checked=True)


def _big(flat, to: dt.dtype) -> np.ndarray:
    """Whole numbers that int64 does not hold: only uint64 has room for some of them."""
    if to is not dt.uint64 or not all(-2**63 <= int(n) < 2**64 for n in flat):
        raise ValueError("Overflow when unpacking long long")
    return np.array([int(n) & (2**64 - 1) for n in flat], np.uint64)


# --- sequences ------------------------------------------------------------------------------------


def _is_sequence(x) -> bool:
    if isinstance(x, (list, tuple, range)):
        return True
    if isinstance(x, (str, bytes, dict, np.generic)):
        return False
    if isinstance(x, Tensor):
        return False  # in a list a tensor stands for its one element
    if isinstance(x, np.ndarray):
        return len(x.shape) > 0
    return isinstance(x, Sequence) or (hasattr(x, "__len__") and hasattr(x, "__getitem__"))


def _level_below(level: list, dim: int) -> tuple[int, list]:
    """The common length of the sequences of a level, and what is in them."""
    try:
        lengths = set(map(len, level))
    except TypeError:
        raise TypeError("not a sequence") from None
    n = len(level[0])
    if n == 0:
        return 0, []
    if len(lengths) > 1:
        other = next(len(x) for x in level if len(x) != n)
        raise ValueError(f"expected sequence of length {n} at dim {dim} (got {other})")
    for kind in set(map(type, level)):
        if issubclass(kind, (str, bytes, dict)):
            raise TypeError(f"new(): invalid data type '{kind.__name__}'")
        if issubclass(kind, np.ndarray):
            _warn_once(_SLOW)
    return n, list(itertools.chain.from_iterable(level))


def _stacked(level: list) -> np.ndarray | None:
    """Arrays of one shape and dtype as one array."""
    first = level[0]
    if type(first) is np.ndarray and all(
            type(x) is np.ndarray and x.shape == first.shape and x.dtype == first.dtype
            for x in level):
        return np.stack(level)
    return None


def from_sequence(data, dtype: dt.dtype | None) -> tuple[np.ndarray, dt.dtype]:
    """Nested sequences of numbers as an array."""
    shape = [len(data)]
    level = data
    while level and _is_sequence(level[0]):
        if type(level[0]) is np.ndarray:
            block = _stacked(level)
            if block is not None:
                _warn_once(_SLOW)
                own = numpy_dtype(block)
                block = block.reshape(*shape, *block.shape[1:])
                return cast_array(block, dtype or own, checked=False), dtype or own
        n, level = _level_below(level, len(shape))
        shape.append(n)
    types = set(map(type, level))
    if types <= _KINDS.keys():
        kind = max(map(_KINDS.__getitem__, types), default=2)
        if dtype is None:
            dtype = _kind_dtype(kind)
        array = _numbers(level, kind, dtype)
    else:
        array, dtype = _mixed(list(level), dtype)
    return (array if len(shape) == 1 else array.reshape(shape)), dtype


def _mixed(flat: list, dtype: dt.dtype | None) -> tuple[np.ndarray, dt.dtype]:
    """Numbers among which are tensors of no dimensions or NumPy scalars."""
    found: dt.dtype | None = None
    kind = 0
    for i, x in enumerate(flat):
        own = _KINDS.get(type(x))
        if own is not None:
            d = _kind_dtype(own)
        elif isinstance(x, Tensor):
            if x.numel() != 1:
                raise ValueError("only one element tensors can be converted to Python scalars: "
                                 f"the list holds one of shape {tuple(x.shape)}; torch.stack joins "
                                 "tensors")
            d, flat[i] = x.dtype, x.item()
        elif isinstance(x, (np.generic, np.ndarray)):
            d, flat[i] = numpy_dtype(x), x.item()
        elif isinstance(x, (bool, int, float, complex)):  # subclasses, such as an IntEnum
            plain = next(k for k in (bool, int, float, complex) if isinstance(x, k))
            d, flat[i] = _kind_dtype(_KINDS[plain]), plain(x)
        else:
            raise _not_a_number(x, i)
        kind = max(kind, min(d.category, 3))
        found = d if found is None else dt.promote_types(found, d)
    return _numbers(flat, kind, dtype or found), dtype or found


def _not_a_number(x, position: int) -> Exception:
    kind = type(x).__name__
    if isinstance(x, (str, bytes)):
        return (ValueError(f"too many dimensions '{kind}'") if position == 0
                else TypeError(f"new(): invalid data type '{kind}'"))
    if isinstance(x, (list, tuple)):
        return TypeError(f"'{kind}' object cannot be interpreted as an integer")
    return RuntimeError(f"Could not infer dtype of {kind}")


# --- NumPy ----------------------------------------------------------------------------------------


def numpy_dtype(array) -> dt.dtype:
    """The dtype of a NumPy array or scalar.

    Raises:
        TypeError: there is no such dtype here.
        ValueError: the bytes are not in this machine's order.
    """
    np_dtype = array.dtype
    found = dt._BY_NUMPY.get(np_dtype)
    if found is not None and np_dtype.isnative:
        return found
    if not np_dtype.isnative and np_dtype.kind in "iufc":
        raise ValueError("given numpy array has byte order different from the native byte order. "
                         "Conversion between byte orders is currently not supported.")
    raise TypeError(f"can't convert np.ndarray of type numpy.{np_dtype.type.__name__}. The only "
                    f"supported types are: {_SUPPORTED}.")


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor over the very memory of a NumPy array.

    Raises:
        TypeError: not an array, or of a dtype that does not exist here.
        ValueError: negative strides, or bytes in the wrong order.
    """
    if not isinstance(ndarray, np.ndarray):
        kind = type(ndarray)
        name = kind.__name__ if kind.__module__ == "builtins" else (
            f"{kind.__module__}.{kind.__name__}")
        raise TypeError(f"expected np.ndarray (got {name})")
    d = numpy_dtype(ndarray)
    if not ndarray.flags.writeable:
        _warn_once(
            "The given NumPy array is not writable, and PyTorch does not support non-writable "
            "tensors. This means writing to this tensor will result in undefined behavior. You may "
            "want to copy the array to protect its data or make it writable before converting it "
            "to a tensor. This type of warning will be suppressed for the rest of this program.")
    return sharing(ndarray, d)


# --- public ---------------------------------------------------------------------------------------


def array_of(data, dtype: dt.dtype | None, name: str = "tensor") -> tuple[np.ndarray, dt.dtype]:
    """A fresh array with the data (a tensor's, an array's, a sequence's or a number's)."""
    kind = type(data)
    if kind is list or kind is tuple:
        return from_sequence(data, dtype)
    own = _KINDS.get(kind)
    if own is not None:
        to = dtype or _kind_dtype(own)
        return _numbers([data], own, to).reshape(()), to
    if isinstance(data, Tensor):
        array = np.array(data._array())
        return cast_array(array, dtype or data.dtype, checked=False), dtype or data.dtype
    if isinstance(data, (np.ndarray, np.generic)):
        own_dtype = numpy_dtype(data)
        array = np.array(data)
        if any(s < 0 for s in np.asarray(data).strides):
            sharing(data)  # raises: PyTorch refuses such arrays
        return cast_array(array, dtype or own_dtype, checked=False), dtype or own_dtype
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{kind.__name__}'")
    if isinstance(data, (bool, int, float, complex)):
        return _mixed_scalar(data, dtype)
    if hasattr(data, "__array_interface__") or hasattr(data, "__array__"):
        return array_of(np.asarray(data), dtype, name)
    if not _is_sequence(data):
        raise RuntimeError(f"Could not infer dtype of {kind.__name__}")
    return from_sequence(list(data), dtype)


def _mixed_scalar(data, dtype):
    array, d = _mixed([data], dtype)
    return array.reshape(()), d


def tensor(data, *, dtype=None, device=None, requires_grad: bool = False,
           pin_memory: bool = False) -> Tensor:
    """A new tensor with a copy of the data, never on the tape.

    Args:
        data: numbers in nested lists or tuples, a NumPy array or scalar, a number, or a tensor.
        dtype: default: what the data says (see this module's text).

    Raises:
        ValueError: a nested list whose parts differ in length.
        TypeError: text, or an array of a dtype that does not exist here.
        RuntimeError: anything else that is no number; a number that the dtype does not hold.

    Example:
        >>> tensor([[1, 2], [3, 4]]).shape
        torch.Size([2, 2])
    """
    if pin_memory:
        opt.check_extras(None, pin_memory)
    if dtype is not None:
        dtype = dtype_of(dtype, "tensor")
    if isinstance(data, Tensor):
        _warn_copy("torch.tensor(sourceTensor)")
        if device is None:
            device = data.device
    array, d = array_of(data, dtype)
    device = device_of(device)
    t = _in_order_of(data, finish(leaf(array, d), device))
    return want_grad(t) if requires_grad else t


def _in_order_of(data, t: Tensor) -> Tensor:
    """A copy of the data, with its memory in the order of the data's."""
    if isinstance(data, Tensor):
        return layouts.like_copy(t, data.strides)
    if type(data) is np.ndarray and not data.flags.c_contiguous:
        return layouts.like_copy(t, tuple([s // data.itemsize for s in data.strides]))
    return t


def _warn_copy(call: str) -> None:
    warnings.warn(
        "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() "
        f"or sourceTensor.detach().clone().requires_grad_(True), rather than {call}.",
        UserWarning, stacklevel=3)


def new_tensor(self, data, *, dtype=None, device=None, requires_grad: bool = False,
               layout=None, pin_memory: bool = False) -> Tensor:
    """A new tensor with a copy of the data, of this tensor's dtype and device."""
    opt.check_extras(layout, pin_memory)
    if isinstance(data, Tensor):
        _warn_copy("tensor.new_tensor(sourceTensor)")
    dtype = self.dtype if dtype is None else dtype_of(dtype, "new_tensor")
    array, d = array_of(data, dtype, "new_tensor")
    t = finish(leaf(array, d), self.device if device is None else device_of(device))
    t = _in_order_of(data, t)
    return want_grad(t) if requires_grad else t


def as_tensor(data, dtype=None, device=None) -> Tensor:
    """The data as a tensor: itself or a view of its memory where that is possible, else a copy."""
    if dtype is not None:
        dtype = dtype_of(dtype, "as_tensor")
    if isinstance(data, Tensor):
        to_device = data.device if device is None else device_of(device)
        if dtype in (None, data.dtype) and to_device == data.device:
            return data
        return data.to(device=to_device, dtype=dtype or data.dtype)
    if isinstance(data, np.ndarray) and dtype in (None, numpy_dtype(data)):
        t = from_numpy(data)
        where = device_of(device)
        return t if where.type == "cpu" else finish(t.node(), where)
    array, d = array_of(data, dtype, "as_tensor")
    return finish(leaf(array, d), device_of(device))


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad: bool = False) -> Tensor:
    """Any array-like object as a tensor.

    Args:
        obj: a tensor, a NumPy array, an object with DLPack or the buffer protocol (read as
            ``dtype``), a number or a nested sequence.
        copy: True: always copy; False: raise rather than copy; None: copy when needed.

    Raises:
        ValueError: ``copy=False`` and the data cannot be shared.
    """
    if dtype is not None:
        dtype = dtype_of(dtype, "asarray")
    if isinstance(obj, Tensor):
        t = obj
    elif isinstance(obj, np.ndarray):
        t = from_numpy(obj) if copy is not True else from_array(np.array(obj), numpy_dtype(obj))
    elif isinstance(obj, (bytes, bytearray, memoryview)):
        t = frombuffer(obj, dtype=dtype or dt.get_default_dtype())
    elif is_storage(obj):
        t = over_storage(obj, dtype or getattr(obj, "dtype", dt.uint8))
    else:
        if copy is False:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        array, d = array_of(obj, dtype, "asarray")
        t = finish(leaf(array, d), device_of(device))
        return want_grad(t) if requires_grad else t
    if dtype not in (None, t.dtype):
        if copy is False:
            raise ValueError(f"can't alias tensor with dtype '{opt.type_name(t.dtype)}' into dtype "
                             f"'{opt.type_name(dtype)}'.")
        t = t.to(dtype)
    elif copy:
        t = t.clone()
    if requires_grad:
        return t if t.requires_grad else want_grad(t.detach())
    return t.detach() if t.requires_grad else t


def frombuffer(buffer, *, dtype, count: int = -1, offset: int = 0,
               requires_grad: bool = False) -> Tensor:
    """A one-dimensional tensor over the memory of an object with the buffer protocol.

    Raises:
        ValueError: the buffer is empty, or ``offset`` and ``count`` do not fit it.
    """
    dtype = dtype_of(dtype, "frombuffer")
    view = memoryview(buffer)
    length, size = view.nbytes, dtype.itemsize
    if not length or not count:
        raise ValueError(f"both buffer length ({length}) and count ({count}) must not be 0")
    if not 0 <= offset < length:
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer "
                         f"length ({length} bytes) minus 1")
    if count < 0:
        if (length - offset) % size:
            raise ValueError(f"buffer length ({length - offset} bytes) after offset ({offset} "
                             f"bytes) must be a multiple of element size ({size})")
        count = (length - offset) // size
    if offset + count * size > length:
        raise ValueError(f"requested buffer length ({count} * {size} bytes) after offset ({offset} "
                         f"bytes) must not be greater than actual buffer length ({length} bytes)")
    if view.readonly:
        _warn_once("The given buffer is not writable, and PyTorch does not support non-writable "
                   "tensors. This means you can write to the underlying (supposedly non-writable) "
                   "buffer using the tensor.")
    array = np.frombuffer(view, dtype.np, count, offset)
    t = sharing(array, dtype)
    return want_grad(t) if requires_grad else t
