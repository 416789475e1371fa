"""Storage objects as programs see them: ``tensor.untyped_storage()``, ``torch.FloatStorage``."""

from __future__ import annotations

import os
import warnings
import weakref

import numpy as np

from ..base import dtype as dt
from ..ir.node import leaf
from .host import from_array, sharing
from .storage import Storage
from .tensor import Tensor

#: by id of the storage; an object here keeps its storage alive
_known: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


#: an empty storage's size for sys.getsizeof, less what Python adds itself; PyTorch's number, so
#: that memory reports agree
_HEADER = 32


class UntypedStorage:
    """A tensor's memory as bytes. Tensors that share memory give the same object.

    Made directly, ``UntypedStorage(n)`` holds n bytes of its own.
    """

    def __init__(self, size: int = 0, *, device=None):
        tensor = from_array(np.zeros(int(size), np.uint8))
        self._storage = tensor.storage

    @classmethod
    def _of(cls, storage: Storage) -> UntypedStorage:
        found = _known.get(id(storage))
        if found is None:
            found = cls.__new__(cls)
            found._storage = storage
            _known[id(storage)] = found
        return found

    @classmethod
    def from_file(cls, filename, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """A file's first ``nbytes`` bytes, mapped into memory.

        Args:
            shared: writes go to the file, which is made or extended when needed; otherwise they
                stay in memory.

        Raises:
            RuntimeError: the file has fewer bytes, and ``shared`` is False.
        """
        size = os.path.getsize(filename) if os.path.exists(filename) or not shared else 0
        if size < nbytes:
            if not shared:
                raise RuntimeError(f"file <{filename}> size <{size}> is smaller than the required "
                                   f"mapping size <{nbytes}>")
            with open(filename, "ab") as file:
                file.truncate(nbytes)
        if not nbytes:
            return cls()
        mapped = np.memmap(filename, np.uint8, "r+" if shared else "c", shape=(nbytes,))
        return cls._of(Storage.over(np.asarray(mapped), dt.uint8))

    def _bytes(self) -> np.ndarray:
        return self._storage.array().view(np.uint8)

    @property
    def device(self):
        """Where the bytes are."""
        return self._storage.device

    @property
    def is_cuda(self) -> bool:
        """Whether they are on a GPU."""
        return False

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self._storage.numel * self._storage.dtype.itemsize

    def __sizeof__(self) -> int:
        return _HEADER + self.nbytes()

    size = nbytes

    def __len__(self) -> int:
        return self.nbytes()

    def element_size(self) -> int:
        """Bytes per element: 1."""
        return 1

    def data_ptr(self) -> int:
        """The address; the same for all tensors of this memory, until it is written."""
        storage = self._storage
        if storage.device.type == "meta" or not storage.numel:
            return 0
        return (storage.memory if storage.shared else storage.array()).ctypes.data

    def tolist(self) -> list[int]:
        """The bytes as numbers."""
        return self._bytes().tolist()

    def untyped(self) -> UntypedStorage:
        """Itself."""
        return self

    def __getitem__(self, i):
        if isinstance(i, slice):
            if i.step not in (None, 1):
                raise RuntimeError(f"Trying to slice with a step of {i.step}, but only a step of 1 "
                                   "is supported")
            return UntypedStorage._of(Storage.over(self._shared()[i], dt.uint8))
        return self._bytes()[i].item()

    def _shared(self) -> np.ndarray:
        """The bytes as an array that shares the memory both ways."""
        storage = self._storage
        return storage.export((storage.numel,), (1,), 0).view(np.uint8)

    def __iter__(self):
        return iter(self.tolist())

    def __eq__(self, other) -> bool:
        return isinstance(other, UntypedStorage) and other._storage is self._storage

    def __hash__(self) -> int:
        return id(self._storage)

    def clone(self) -> UntypedStorage:
        """A copy of the memory."""
        return UntypedStorage._of(Storage(leaf(self._storage.array().copy(), self._storage.dtype)))

    def cpu(self) -> UntypedStorage:
        """The memory on the CPU: itself."""
        return self

    def is_pinned(self, device=None) -> bool:
        """Whether the memory is page-locked: no."""
        return False

    def is_shared(self) -> bool:
        """Whether other processes see the memory: no."""
        return False

    def share_memory_(self) -> UntypedStorage:
        """Accepted; tensors are copied to worker processes."""
        return self

    def resize_(self, nbytes: int) -> UntypedStorage:
        """Change the size in bytes, keeping what fits.

        Raises:
            RuntimeError: NumPy shares the memory.
        """
        storage = self._storage
        if storage.shared:
            raise RuntimeError("Trying to resize storage that is not resizable")
        flat = np.zeros(-(-nbytes // storage.dtype.itemsize), storage.dtype.np)
        keep = min(len(flat), storage.numel)
        flat[:keep] = storage.array()[:keep]
        storage.node = leaf(flat, storage.dtype)
        storage.stamp += 1
        storage.memory = None
        return self

    def __repr__(self) -> str:
        lines = "".join(f" {b}\n" for b in self.tolist())
        return (f"{lines}[torch.storage.UntypedStorage(device={self.device}) of size "
                f"{self.nbytes()}]")


def _warn() -> None:
    warnings.warn(
        "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be "
        "the only storage class. This should only matter to you if you are using storages "
        "directly.  To access UntypedStorage directly, use tensor.untyped_storage() instead of "
        "tensor.storage()", UserWarning, stacklevel=3)


class TypedStorage:
    """A tensor's memory as elements of one dtype (PyTorch's older form)."""

    dtype: dt.dtype = dt.float32

    def __init__(self, *args, wrap_storage: UntypedStorage | None = None, dtype=None, device=None,
                 _internal: bool = False):
        if not _internal:
            _warn()
        if dtype is not None:
            self.dtype = dtype
        if wrap_storage is None:
            data = args[0] if args else 0
            array = np.zeros(data, self.dtype.np) if isinstance(data, int) \
                else np.array(list(data)).astype(self.dtype.np)
            wrap_storage = UntypedStorage._of(Storage(leaf(array, self.dtype)))
        self._untyped_storage = wrap_storage

    def untyped(self) -> UntypedStorage:
        """The bytes."""
        return self._untyped_storage

    @property
    def device(self):
        """Where the elements are."""
        return self._untyped_storage.device

    @property
    def is_cuda(self) -> bool:
        """Whether they are on a GPU."""
        return False

    def _array(self) -> np.ndarray:
        return self._untyped_storage._bytes().view(self.dtype.np)

    def __len__(self) -> int:
        return self._untyped_storage.nbytes() // self.dtype.itemsize

    size = __len__

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self._untyped_storage.nbytes()

    def __sizeof__(self) -> int:
        return _HEADER + self.nbytes()

    def element_size(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    def data_ptr(self) -> int:
        """The address."""
        return self._untyped_storage.data_ptr()

    def tolist(self) -> list:
        """The elements as numbers."""
        return self._array().tolist()

    def __getitem__(self, i):
        return self._array()[i].item() if isinstance(i, int) else self._array()[i].tolist()

    def __iter__(self):
        return iter(self.tolist())

    def __eq__(self, other) -> bool:
        return isinstance(other, TypedStorage) and other.untyped() == self.untyped()

    def __hash__(self) -> int:
        return hash(self._untyped_storage)

    def clone(self) -> TypedStorage:
        """A copy of the memory."""
        return TypedStorage(wrap_storage=self.untyped().clone(), dtype=self.dtype, _internal=True)

    def share_memory_(self) -> TypedStorage:
        """Accepted; tensors are copied to worker processes."""
        return self

    def is_shared(self) -> bool:
        """Whether other processes see the memory: no."""
        return False

    def pickle_storage_type(self) -> str:
        """The name of the class for this dtype."""
        return next(n for n, c in STORAGES.items() if c.dtype is self.dtype)

    def __repr__(self) -> str:
        lines = "".join(f" {v}\n" for v in self.tolist())
        return (f"{lines}[torch.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of "
                f"size {len(self)}]")


STORAGES: dict[str, type] = {
    name: type(name, (TypedStorage,), {"dtype": d, "__doc__": f"Memory of {d} elements."})
    for name, d in (("FloatStorage", dt.float32), ("DoubleStorage", dt.float64),
                    ("HalfStorage", dt.float16), ("BFloat16Storage", dt.bfloat16),
                    ("LongStorage", dt.int64), ("IntStorage", dt.int32),
                    ("ShortStorage", dt.int16), ("CharStorage", dt.int8),
                    ("ByteStorage", dt.uint8), ("BoolStorage", dt.bool_),
                    ("ComplexFloatStorage", dt.complex64), ("ComplexDoubleStorage", dt.complex128))}


def is_storage(obj) -> bool:
    """Whether ``obj`` is a storage object."""
    return isinstance(obj, (UntypedStorage, TypedStorage))


def over_storage(block: UntypedStorage | TypedStorage, dtype: dt.dtype) -> Tensor:
    """A one-dimensional tensor of ``dtype`` over a storage's memory.

    Raises:
        RuntimeError: the bytes are no whole number of elements.
    """
    if isinstance(block, TypedStorage):
        block = block.untyped()
    if block.nbytes() % dtype.itemsize:
        raise RuntimeError(f"a storage of {block.nbytes()} bytes holds no whole number of {dtype} "
                           "elements")
    return sharing(block._shared().view(dtype.np), dtype)


def _untyped_storage(self: Tensor) -> UntypedStorage:
    """The tensor's memory; the same object for all tensors that share it."""
    return UntypedStorage._of(self.storage.owner)


def _called(self: Storage) -> TypedStorage:
    """``tensor.storage()``: the tensor's attribute ``storage`` is our own object, called here."""
    _warn()
    return TypedStorage(wrap_storage=UntypedStorage._of(self), dtype=self.dtype, _internal=True)


Storage.__call__ = _called
Tensor.untyped_storage = _untyped_storage
Tensor._typed_storage = lambda self: TypedStorage(
    wrap_storage=_untyped_storage(self), dtype=self.dtype, _internal=True)
