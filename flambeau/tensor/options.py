"""The arguments that all factory functions share: size, dtype, device, layout, requires_grad, out.

Each rule is one function that returns the checked value or raises what PyTorch raises.
"""

from __future__ import annotations

import builtins
import operator

import numpy as np

from ..base import device as dv
from ..base import dtype as dt
from ..base import srcloc
from ..base.device import device as Device
from ..ir.node import Node, leaf
from .generator import Generator, default_generator
from .inplace import write
from .storage import zeros_node
from .tensor import Tensor


class layout:  # noqa: N801  (PyTorch's spelling)
    """How elements are stored: ``torch.strided``."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self):
        return self.name


class memory_format(layout):  # noqa: N801
    """Order of the dimensions in memory: ``torch.channels_last``."""

    __slots__ = ()


strided, sparse_coo, sparse_csr = map(layout, ("strided", "sparse_coo", "sparse_csr"))
contiguous_format, preserve_format, channels_last, channels_last_3d = map(
    memory_format, ("contiguous_format", "preserve_format", "channels_last", "channels_last_3d"))

_PYTHON_DTYPES = {float: dt.float64, int: dt.int64, bool: dt.bool_, complex: dt.complex128}


def type_name(d: dt.dtype) -> str:
    """PyTorch's name of a dtype in messages ("Float")."""
    return dt.scalar_name(d)


# --- size -----------------------------------------------------------------------------------------


def size_of(args: tuple, kwargs_size, name: str) -> tuple[int, ...]:
    """The size given as ``f(2, 3)``, ``f((2, 3))`` or ``f(size=(2, 3))``."""
    if kwargs_size is not None:
        args = (kwargs_size,)
    elif not args:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    first = args[0]
    if len(args) == 1 and isinstance(first, (tuple, list)):
        args = first
        listed = True
    else:
        listed = False
    for n in args:
        if type(n) is not int:
            args = _whole(args, name, listed)
            break
    for n in args:
        if n < 0:
            raise RuntimeError(f"{name}: Dimension size must be non-negative.")
    return tuple(args)


def _whole(args, name: str, listed: bool) -> list[int]:
    out = []
    for i, n in enumerate(args):
        try:
            if isinstance(n, bool):
                raise TypeError
            out.append(operator.index(n))
        except TypeError:
            kind = type(n).__name__
            if listed:
                raise TypeError(
                    f"{name}(): argument 'size' failed to unpack the object at pos {i + 1} with "
                    f'error "type must be tuple of ints,but got {kind}"') from None
            raise TypeError(f"{name}(): argument 'size' (position {i + 1}) must be tuple of ints, "
                            f"not {kind}") from None
    return out


# --- dtype, device, generator ---------------------------------------------------------------------


def dtype_of(dtype, name: str) -> dt.dtype:
    """A given dtype; Python's float, int, bool and complex stand for the widest one."""
    if type(dtype) is dt.dtype:
        return dtype
    found = _PYTHON_DTYPES.get(dtype) if isinstance(dtype, builtins.type) else None
    if found is None:
        raise TypeError(f"{name}(): argument 'dtype' must be torch.dtype, "
                        f"not {type(dtype).__name__}")
    return found


def float_dtype(dtype, name: str) -> dt.dtype:
    """The dtype of a factory whose default is the default dtype."""
    return dt.get_default_dtype() if dtype is None else dtype_of(dtype, name)


def device_of(device) -> Device:
    """A given device, or the one in force (``set_default_device``, ``with torch.device(...)``).

    Raises:
        AssertionError: an accelerator that is not there (as PyTorch built without it).
        RuntimeError: any other device.
    """
    if device is None:
        device = dv.current()
        if device is dv.CPU:
            return device
    if type(device) is not Device:
        if isinstance(device, int):
            raise RuntimeError("Cannot access accelerator device when none is available.")
        device = Device(device)
    kind = device.type
    if kind == "cpu":
        return dv.CPU
    if kind == "meta":
        return dv.META
    if kind in ("cuda", "xpu"):
        raise AssertionError(f"Torch not compiled with {kind.upper()} enabled")
    raise RuntimeError(f"PyTorch is not linked with support for {kind} devices")


def set_default_device(device) -> None:
    """Where factory functions make tensors when they are not told; None: the CPU again."""
    dv.set_base(dv.CPU if device is None else device_of(device))


def get_default_device() -> Device:
    """Where factory functions make tensors."""
    return dv.current()


def check_extras(form, pin_memory) -> None:
    """Arguments that mean nothing here: refused when they ask for something that is not there."""
    if form is not None and form is not strided and str(form) != "torch.strided":
        raise NotImplementedError(f"layout {form} is not available: tensors are strided")
    if pin_memory:
        raise RuntimeError("pin_memory=True requires a CUDA or other accelerator backend; no "
                           "pinned memory allocator is available on this system.")


def generator_of(generator, name: str) -> Generator:
    """A given generator, or the default one."""
    if generator is None:
        return default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"{name}(): argument 'generator' must be torch.Generator, "
                        f"not {type(generator).__name__}")
    return generator


# --- results --------------------------------------------------------------------------------------


def finish(node: Node, device: Device, requires_grad: bool = False) -> Tensor:
    """A new tensor with a node's value (on "meta" only its shape counts)."""
    if device is not dv.CPU:
        node = zeros_node(node.shape, node.dtype)
    elif node.loc is None:
        node.loc = srcloc.user_location()
    t = Tensor._wrap(node, device)
    if requires_grad:
        want_grad(t)
    return t


def want_grad(t: Tensor) -> Tensor:
    """``requires_grad=True`` of a factory function."""
    if t.dtype.category < dt.dtype.FLOAT:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require "
                           f"gradients, this one is {t.dtype}: write 1. instead of 1 "
                           "(torch.tensor([1, 2]) is int64), or give dtype=torch.float32")
    t._requires = True
    t._required_at = srcloc.user_location()
    return t


def with_strides(node: Node, strides, device: Device, shape=None) -> Tensor:
    """A tensor over a flat node, seen through strides."""
    t = Tensor._wrap(node, device)
    t._lay(shape, strides)
    return t


def fill_out(out: Tensor, array_or_node, dtype: dt.dtype | None = None) -> Tensor:
    """Write a factory's result into ``out=``, resized to fit.

    Raises:
        RuntimeError: a dtype was asked for that is not ``out``'s.
    """
    if not isinstance(out, Tensor):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    if dtype is not None and dtype is not out.dtype:
        raise RuntimeError(f"dtype {type_name(dtype)} does not match dtype of out parameter "
                           f"({type_name(out.dtype)})")
    if any(s == 0 and n > 1 for n, s in zip(out.shape, out.strides, strict=True)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation.")
    node = leaf(array_or_node) if isinstance(array_or_node, np.ndarray) else array_or_node
    if tuple(out.shape) != tuple(node.shape):
        out.resize_(tuple(node.shape))
    write(out, node)
    return out
