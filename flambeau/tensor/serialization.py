"""torch.save and torch.load: PyTorch's zip format, both ways.

A file is a zip archive with a pickle (``data.pkl``) in which every storage is a number, and one
entry of raw bytes per storage. Tensors that share memory share a storage, and do so again after
loading. Loading with ``weights_only`` (the default) executes nothing that the file says: see
``unpickle.py``.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pickle
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable

import numpy as np

from ..base import device as dv
from ..base import dtype as dt
from ..base import shape as sh
from ..ir.node import leaf
from . import archive, options
from .creation import empty_strided
from .host import _OWN
from .pickler import STORAGES, Pickler
from .size import Size
from .storage import Storage
from .tensor import Tensor
from .unpickle import Machine

_ZIP = b"PK\3\4"
#: how files began before the zip format (PyTorch 1.6): a pickled magic number
_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


class SaveError(RuntimeError, OSError):
    """A file could not be written; what stood there before is still whole."""


SaveError.__name__ = "RuntimeError"  # what PyTorch raises, also for programs that print the name


# -- saving ----------------------------------------------------------------------------------------


def save(obj, f, pickle_module=pickle, pickle_protocol: int = 2,
         _use_new_zipfile_serialization: bool = True) -> None:
    """Save an object to a file; tensors in it keep dtype, shape, strides and shared memory.

    A file that exists is replaced only when the new one is complete.

    Args:
        obj: tensors, containers of them, modules, anything that pickles.
        f: a path, or a file object with ``write``.
        pickle_module: Python's pickle.
        pickle_protocol: 2 can be read everywhere.

    Raises:
        SaveError: (a RuntimeError and an OSError) the file cannot be written.
    """
    if not _use_new_zipfile_serialization:
        raise NotImplementedError("torch.save writes the zip format only")
    if pickle_module is not pickle:
        raise NotImplementedError("torch.save with another pickle module")
    if not isinstance(f, (str, os.PathLike)):
        if not hasattr(f, "write"):
            raise AttributeError(f"expected 'f' to be string, path, or a file-like object with a "
                                 f"'write' attribute, but got {type(f).__name__}")
        _write(obj, f, "archive", pickle_protocol)
        return
    path = os.fspath(f)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise SaveError(errno.ENOENT, f"Parent directory {folder} does not exist", path)
    name = os.path.splitext(os.path.basename(path))[0] or "archive"
    try:
        archive.replace_file(path, lambda file: _write(obj, file, name, pickle_protocol))
    except OSError as error:
        if isinstance(error, SaveError):
            raise
        left = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            left = "; what stood under this name before is untouched"
        raise SaveError(error.errno, f"file write failed: {error.strerror}{left}", path) from error


def _write(obj, file, folder: str, protocol: int) -> None:
    stream = io.BytesIO()
    pickler = Pickler(stream, protocol)
    pickler.dump(obj)
    out = archive.Writer(file, folder)
    out.add("data.pkl", stream.getbuffer())
    out.add(".format_version", b"1")
    out.add(".storage_alignment", str(archive.ALIGN).encode())
    out.add("byteorder", sys.byteorder.encode())
    for number, storage in enumerate(pickler.storages):
        array = storage.array()
        out.add(f"data/{number}", np.ascontiguousarray(array).view(np.uint8))
    out.add("version", b"3\n")
    out.finish()


# -- loading ---------------------------------------------------------------------------------------


def load(f, map_location=None, pickle_module=None, *, weights_only: bool | None = None,
         mmap: bool | None = None, **pickle_load_args):
    """Load what :func:`save` (or PyTorch) has saved.

    Args:
        f: a path, or a seekable file object with ``read``.
        map_location: where tensors go: a device, its name, a dict from names to names, or a
            function of (storage, name) that returns a storage or None.
        pickle_module: Python's pickle; with ``weights_only=False`` only.
        weights_only: build tensors and plain containers only, and execute nothing that the file
            says. False trusts the file like a program.
        mmap: leave the bytes in the file until they are read; needs a path.

    Raises:
        pickle.UnpicklingError: the file asks for more than ``weights_only`` allows.
        RuntimeError: the file is damaged, cut off, or another kind of file.
        EOFError: the file is empty.
    """
    if weights_only is None:
        weights_only = pickle_module is None
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    encoding = pickle_load_args.pop("encoding", "utf-8")
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return _load(file, map_location, weights_only, bool(mmap), encoding, os.fspath(f))
    if mmap:
        raise ValueError("f must be a file path in order to use the mmap argument")
    for name in ("read", "seek", "tell"):
        if not hasattr(f, name):
            raise AttributeError(
                f"'{type(f).__name__}' object has no attribute '{name}'. You can only torch.load "
                "from a file that is seekable. Please pre-load the data into a buffer like "
                "io.BytesIO and try to load from it instead.")
    return _load(f, map_location, weights_only, False, encoding, getattr(f, "name", "the file"))


def _load(file, map_location, weights_only: bool, mapped: bool, encoding: str, name):
    start = file.tell()
    head = file.read(16)
    file.seek(start)
    if not head:
        raise EOFError(f"Ran out of input: {name} is empty")
    if head[:4] != _ZIP:
        raise _foreign(head, weights_only, name)
    reader = archive.Reader(file, mapped)
    if "constants.pkl" in reader:
        raise RuntimeError(f"{name} is a TorchScript archive: it holds a program, which needs "
                           "torch.jit.load in PyTorch")
    if "data.pkl" not in reader:
        raise RuntimeError("PytorchStreamReader failed locating file data.pkl: file not found: "
                           f"{name} is a zip archive, but none that torch.save has written")
    storages = _Storages(reader, map_location)
    data = reader.read("data.pkl").tobytes()
    if not weights_only:
        return _Unpickler(io.BytesIO(data), storages.find, encoding).load()
    try:
        return Machine(data, _names(), _user_names(), storages.find, encoding).load()
    except pickle.UnpicklingError as error:
        raise pickle.UnpicklingError(
            f"Weights only load failed. {error}\nIn weights_only=True (the default) a file may "
            "hold tensors and plain containers only. Re-running `torch.load` with "
            "`weights_only=False` will likely succeed, but it can result in arbitrary code "
            "execution. Do it only if you got the file from a trusted source.") from None


def _foreign(head: bytes, weights_only: bool, name) -> Exception:
    """What to raise for a file that is no zip archive."""
    if _LEGACY in head or head[257:262] == b"ustar":
        return RuntimeError(
            f"{name} was written in the format from before PyTorch 1.6, which is not supported: "
            "load it with PyTorch and torch.save it again")
    if not weights_only and head[:1] == b"\x80":
        return RuntimeError(f"Invalid magic number; corrupt file? {name} is a pickle, but none "
                            "that torch.save has written")
    return pickle.UnpicklingError(
        f"Weights only load failed. {name} is not a file that torch.save has written: it begins "
        f"with {head[:8]!r}" if weights_only else
        f"invalid load key, {head[:1]!r}: {name} is not a file that torch.save has written")


class _Unpickler(pickle.Unpickler):
    """Python's unpickler, for trusted files: PyTorch's names lead to ours."""

    def __init__(self, file, storage: Callable, encoding: str):
        super().__init__(file, encoding=encoding)
        self.storage = storage

    def persistent_load(self, key):
        return self.storage(key)

    def find_class(self, module: str, name: str):
        found = _names().get(f"{module}.{name}")
        if found is not None:
            return found
        if module.partition(".")[0] == "torch":
            ours = sys.modules.get(_PACKAGE + module[5:])
            if ours is not None and hasattr(ours, name):
                return getattr(ours, name)
            top = module.split(".")[1] if "." in module else ""
            space = sys.modules.get(f"{_PACKAGE}.{top}")
            if hasattr(space, name):  # torch.nn.modules.linear.Linear is our nn.Linear
                return getattr(space, name)
        return super().find_class(module, name)


_PACKAGE = __name__.rpartition(".tensor.")[0]


# -- storages --------------------------------------------------------------------------------------


class _Typed:
    """Stands for a storage class of PyTorch, such as FloatStorage."""

    def __init__(self, dtype: dt.dtype | None):
        self.dtype = dtype


class _Bytes:
    """A loaded storage: bytes, where they were saved, and the storages over them."""

    def __init__(self, data: np.ndarray, dtype: dt.dtype | None, device: dv.device, swapped: bool):
        self.data, self.dtype, self.device, self.swapped = data, dtype, device, swapped
        self.over: dict[dt.dtype, Storage] = {}

    def typed(self, dtype: dt.dtype) -> Storage:
        """The bytes as numbers of one dtype; the same storage whenever it is asked for."""
        found = self.over.get(dtype)
        if found is None:
            size = dtype.itemsize
            data = self.data[:len(self.data) // size * size]
            if data.ctypes.data % size:
                data = data.copy()
            flat = data.view(dtype.np)
            if self.swapped:
                flat = flat.byteswap()
            found = self.over[dtype] = Storage(leaf(flat, dtype), self.device)
        return found


class _Storages:
    """Finds storages by the persistent ids in the pickle."""

    def __init__(self, reader: archive.Reader, map_location):
        self.reader, self.map_location = reader, map_location
        self.found: dict[str, _Bytes] = {}
        order = reader.read("byteorder").tobytes() if "byteorder" in reader else b"little"
        if order not in (b"little", b"big"):
            raise RuntimeError(f"Unknown endianness type: {order[:20]!r}")
        self.swapped = order.decode() != sys.byteorder

    def find(self, key: tuple) -> _Bytes:
        """The storage of a persistent id ``("storage", type, number, location, length)``."""
        if len(key) != 5 or not isinstance(key[1], _Typed):
            raise pickle.UnpicklingError(f"unknown kind of storage: {key!r:.100}")
        _, kind, number, location, length = key
        number, location = str(number), str(location)
        if type(length) is not int or length < 0:
            raise pickle.UnpicklingError(f"a storage of length {length!r:.40}")
        found = self.found.get(number)
        if found is None:
            found = self.found[number] = self._read(kind, number, location, length)
        return found

    def _read(self, kind: _Typed, number: str, location: str, length: int) -> _Bytes:
        wanted = length * (kind.dtype.itemsize if kind.dtype is not None else 1)
        have = self.reader.length(f"data/{number}")
        if have < wanted:
            raise RuntimeError(f"storage {number} has {have} bytes in the file where {wanted} are "
                               "expected: the file is damaged; get it again")
        device = self._place(kind, location)
        if device.type == "meta":
            data = np.zeros(0, np.uint8)
        else:
            data = self.reader.read(f"data/{number}")[:wanted]
        loaded = _Bytes(data, kind.dtype, device, self.swapped)
        if callable(self.map_location) and not isinstance(self.map_location, dv.device):
            storage = loaded.typed(kind.dtype or dt.uint8)
            moved = self.map_location(storage, location)
            if moved is not None and hasattr(moved, "device"):
                loaded.device = storage.device = moved.device
        return loaded

    def _place(self, kind: _Typed, location: str) -> dv.device:
        """The device for a storage that was saved on ``location``."""
        where = self.map_location
        if isinstance(where, dict):
            where = where.get(location, location)
        elif where is None or (callable(where) and not isinstance(where, dv.device)):
            where = "cpu" if callable(where) else location
        device = dv.device(where) if not isinstance(where, dv.device) else where
        if device.type in ("cuda", "mps", "xpu"):
            name = device.type.upper()
            raise RuntimeError(
                f"Attempting to deserialize object on a {name} device but "
                f"torch.{device.type}.is_available() is False. If you are running on a CPU-only "
                "machine, please use torch.load with map_location=torch.device('cpu') to map your "
                "storages to the CPU.")
        return options.device_of(device)


# -- rebuilding tensors ----------------------------------------------------------------------------


def _extent(shape, strides, offset: int) -> int:
    """One more than the highest element index a view touches.

    Raises:
        RuntimeError: sizes, strides or offset that are no whole numbers >= 0.
    """
    numbers = (*shape, *strides, offset)
    if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in numbers):
        raise RuntimeError(f"the file describes an impossible tensor: size {shape}, strides "
                           f"{strides}, offset {offset}")
    if 0 in shape:
        return 0
    return offset + 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))


def _rebuild(storage: _Bytes, offset, shape, strides, dtype: dt.dtype) -> Tensor:
    if not isinstance(storage, _Bytes) or dtype is None:
        raise pickle.UnpicklingError("a tensor without a storage")
    shape, strides = tuple(shape), tuple(strides)
    extent = _extent(shape, strides, offset)
    if storage.device.type == "meta":
        return _meta(dtype, shape, strides)
    memory = storage.typed(dtype)
    if extent > memory.numel:
        raise RuntimeError(f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage "
                           f"offset {offset} are out of bounds for a storage of {memory.numel} "
                           "elements: the file is damaged")
    t = object.__new__(Tensor)
    t.storage, t.offset, t.dtype = memory, offset, dtype
    rows = 0 not in shape and sh.is_contiguous(shape, strides)
    t._lay(shape, sh.contiguous_strides(shape) if rows else strides)
    return t


def _meta(dtype, shape, strides) -> Tensor:
    return empty_strided(shape, strides, dtype=dtype, device=dv.META)


def _with_grad(t: Tensor, requires_grad) -> Tensor:
    if requires_grad is True:
        t._requires = True
    return t


def rebuild_tensor(storage, offset, size, stride) -> Tensor:
    """A tensor over a storage."""
    return _rebuild(storage, offset, size, stride, storage.dtype)


def rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, metadata=None) -> Tensor:
    """A tensor over a storage."""
    return _with_grad(rebuild_tensor(storage, offset, size, stride), requires_grad)


def rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype,
                      metadata=None) -> Tensor:
    """A tensor over a storage of plain bytes."""
    if not isinstance(dtype, dt.dtype):
        raise pickle.UnpicklingError(f"not a dtype: {dtype!r:.80}")
    return _with_grad(_rebuild(storage, offset, size, stride, dtype), requires_grad)


def rebuild_meta(dtype, size, stride, requires_grad) -> Tensor:
    """A tensor that has no data."""
    _extent(tuple(size), tuple(stride), 0)
    return _with_grad(_meta(dtype, tuple(size), tuple(stride)), requires_grad)


def rebuild_parameter(data, requires_grad, hooks, state=None) -> Tensor:
    """A parameter over a tensor's memory."""
    parameter = _types["torch.nn.parameter.Parameter"](data, requires_grad)
    return _set_state(parameter, state)


def rebuild_from_type(function, kind, args, state) -> Tensor:
    """A tensor of a subclass, or one with attributes of its own."""
    if function not in _REBUILD.values():
        raise pickle.UnpicklingError(f"{function!r:.80} does not rebuild tensors")
    t = function(*args)
    if kind is not _TENSOR and kind is not Tensor:
        if not (isinstance(kind, type) and issubclass(kind, Tensor)):
            raise pickle.UnpicklingError(f"{kind!r:.80} is no tensor class")
        t.__class__ = kind
    return _set_state(t, state)


def _set_state(t: Tensor, state) -> Tensor:
    if isinstance(state, tuple) and len(state) == 2:
        state = state[0]
    for name, value in (state or {}).items():
        if name in _OWN or name.startswith("_") or hasattr(Tensor, name):
            raise pickle.UnpicklingError(f"the file would overwrite Tensor.{name}")
        setattr(t, name, value)
    return t


_REBUILD = {
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor_v2,
    "torch._utils._rebuild_tensor_v3": rebuild_tensor_v3,
    "torch._utils._rebuild_meta_tensor_no_storage": rebuild_meta,
    "torch._utils._rebuild_parameter": rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": rebuild_parameter,
}


class _TensorName:
    """Stands for torch.Tensor, which a file may name and must not call."""

    def __repr__(self) -> str:
        return "torch.Tensor"


_TENSOR = _TensorName()


def _bytearray(*args) -> bytearray:
    """bytearray() of data; never of a size."""
    if args and not isinstance(args[0], (bytes, bytearray, str, list)):
        raise pickle.UnpicklingError("bytearray of something that is no data")
    return bytearray(*args)


def _encode(text, encoding="latin1") -> bytes:
    """Bytes that pickle protocol 2 wrote as text."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise pickle.UnpicklingError("only text is encoded, and only in latin1, ascii or utf-8")
    return text.encode(encoding)


def _layout(name: str):
    if name != "torch.strided":
        raise pickle.UnpicklingError(f"layout {name!r:.40} is not supported")
    return options.strided


#: classes of higher layers that files may hold: PyTorch's name -> class
_types: dict[str, type] = {}


def register_type(name: str, cls: type) -> None:
    """Let files hold a class of a higher layer under PyTorch's name."""
    _types[name] = cls
    _table.clear()


_table: dict[str, object] = {}


def _names() -> dict:
    """What the names in files stand for."""
    if not _table:
        _table.update({
            "collections.OrderedDict": OrderedDict, "collections.Counter": Counter,
            "builtins.set": set, "builtins.complex": complex, "builtins.bytearray": _bytearray,
            "_codecs.encode": _encode, "torch.Size": Size, "torch.device": dv.device,
            "torch.Tensor": _TENSOR, "torch.serialization._get_layout": _layout,
            "torch._tensor._rebuild_from_type_v2": rebuild_from_type, **_REBUILD, **_types})
        _table.update({f"torch.{d.name}": d for d in dt.ALL})
        _table.update({f"torch.{name}": _Typed(d) for name, d in STORAGES.items()})
        _table["torch.storage.UntypedStorage"] = _Typed(None)
    return _table


# -- what the program has declared safe ------------------------------------------------------------

_safe: list = []


def _user_names() -> dict:
    names = {}
    for entry in _safe:
        if isinstance(entry, tuple):
            thing, path = entry
        else:
            thing, path = entry, f"{entry.__module__}.{entry.__qualname__}"
        names[path] = thing
    return names


def add_safe_globals(safe_globals: list) -> None:
    """Let ``weights_only`` loading use these classes and functions; they are trusted from now on.

    Args:
        safe_globals: classes and functions, or pairs of one and the name it has in the file.
    """
    _safe.extend(g for g in safe_globals if not any(g is s or g == s for s in _safe))


def get_safe_globals() -> list:
    """What :func:`add_safe_globals` was given."""
    return list(_safe)


def clear_safe_globals() -> None:
    """Trust nothing beyond the built-in list."""
    _safe.clear()


@contextlib.contextmanager
def safe_globals(safe_globals: list):
    """:func:`add_safe_globals` for the length of a ``with`` block."""
    before = list(_safe)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _safe[:] = before
