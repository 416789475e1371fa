"""Sharing memory with other array libraries: DLPack, and NumPy's protocols.

DLPack goes through NumPy, which speaks it in both directions for everything in main memory.
"""

from __future__ import annotations

import enum
import importlib

import numpy as np

from ..base import dtype as dt
from .convert import from_numpy, numpy_dtype
from .host import sharing
from .tensor import Tensor


class DLDeviceType(enum.IntEnum):
    """Where DLPack memory lives."""

    kDLCPU = 1  # noqa: N815  (DLPack's names)
    kDLCUDA = 2  # noqa: N815
    kDLCUDAHost = 3  # noqa: N815


def dlpack(self: Tensor, *, stream=None, max_version=None, dl_device=None, copy=None):
    """A DLPack capsule over the tensor's memory (``Tensor.__dlpack__``).

    Raises:
        BufferError: the tensor requires a gradient, or NumPy cannot describe it.
    """
    if stream is not None and stream != -1:
        raise AssertionError("stream should be None on cpu.")
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if self.device.type != "cpu":
        raise BufferError(f"Can't export a tensor on {self.device}: it has no memory here")
    if self.dtype is dt.bfloat16:
        raise BufferError("bfloat16 cannot be exported: NumPy, which writes the capsule, has no "
                          "such type; use .float()")
    array = self.numpy()
    if max_version is None and dl_device is None and copy is None:
        return array.__dlpack__()
    return array.__dlpack__(max_version=max_version, dl_device=dl_device, copy=copy)


def dlpack_device(self: Tensor) -> tuple[DLDeviceType, int]:
    """(device type, device number) of the memory (``Tensor.__dlpack_device__``)."""
    if self.device.type != "cpu":
        raise ValueError(f"Unknown device type {self.device.type} for Dlpack")
    return DLDeviceType.kDLCPU, 0


class _Capsule:
    """A bare capsule as an object with DLPack's methods."""

    def __init__(self, capsule):
        self._capsule = capsule

    def __dlpack__(self, **_):
        capsule, self._capsule = self._capsule, None
        return capsule

    def __dlpack_device__(self):
        return (1, 0)


class _Writable:
    """The memory of an array that NumPy imported as read-only, open for writing.

    DLPack before version 1 cannot say whether memory may be written, so NumPy assumes it may not;
    PyTorch assumes it may.
    """

    def __init__(self, array: np.ndarray):
        self._array = array
        self.__array_interface__ = {**array.__array_interface__,
                                    "data": (array.__array_interface__["data"][0], False)}


def from_dlpack(ext_tensor, *, device=None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of another library's array.

    Args:
        ext_tensor: an object with ``__dlpack__``, or a capsule that such a method gave.
        copy: True: in memory of its own.

    Raises:
        BufferError: the memory is not on the CPU, or its elements are of no known dtype.
        RuntimeError: it is neither.
    """
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.clone() if copy else ext_tensor.detach()
    if not hasattr(ext_tensor, "__dlpack__"):
        if type(ext_tensor).__name__ != "PyCapsule":
            raise RuntimeError("from_dlpack received an invalid capsule: "
                               f"{type(ext_tensor).__name__} has no __dlpack__ method")
        ext_tensor = _Capsule(ext_tensor)
    array = np.from_dlpack(ext_tensor)
    if copy:
        array = array.copy()
    elif not array.flags.writeable and array.size:
        array = np.asarray(_Writable(array))
    return sharing(array, numpy_dtype(array))


def to_dlpack(tensor: Tensor):
    """A DLPack capsule over the tensor's memory."""
    return dlpack(tensor)


def array_namespace(self: Tensor, *, api_version: str | None = None):
    """The functions of the Array API standard (``Tensor.__array_namespace__``): the module
    ``torch.array_api``. PyTorch has no such method; libraries then wrap its functions themselves.

    Raises:
        ValueError: another version of the standard is asked for.
    """
    # made of the package's functions, so there is nothing to import before these are installed
    module = importlib.import_module(__package__.rpartition(".")[0] + ".array_api")
    if api_version is not None and api_version not in module.VERSIONS:
        raise ValueError(f"version {api_version!r} of the Array API is not here, only "
                         f"{', '.join(module.VERSIONS)}")
    return module


def array_wrap(self: Tensor, array, context=None, return_scalar=False):
    """What a NumPy function that was given a tensor returns: a tensor (``__array_wrap__``).

    Truth values come back as uint8, as in PyTorch.
    """
    array = np.asarray(array)
    return from_numpy(array.astype(np.uint8) if array.dtype == np.bool_ else array)
