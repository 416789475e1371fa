"""The pickles inside saved files: our tensors under PyTorch's names."""

from __future__ import annotations

import pickle
from collections import OrderedDict

from ..base import device as dv
from ..base import dtype as dt
from .host import _OWN
from .options import layout
from .size import Size
from .storage import Storage
from .tensor import Tensor

#: PyTorch's storage classes by name; dtypes without one are saved as plain bytes
STORAGES = {
    "FloatStorage": dt.float32, "DoubleStorage": dt.float64, "HalfStorage": dt.float16,
    "BFloat16Storage": dt.bfloat16, "LongStorage": dt.int64, "IntStorage": dt.int32,
    "ShortStorage": dt.int16, "CharStorage": dt.int8, "ByteStorage": dt.uint8,
    "BoolStorage": dt.bool_, "ComplexFloatStorage": dt.complex64,
    "ComplexDoubleStorage": dt.complex128,
}
_STORAGE_NAME = {d: name for name, d in STORAGES.items()}
#: tensor classes that are saved as something of their own: class -> function(pickler, tensor)
special: dict[type, object] = {}


class _Name:
    """A name of PyTorch's, written as it is."""

    __slots__ = ("path",)

    def __init__(self, module: str, name: str):
        self.path = f"{module}\n{name}\n".encode()


_names: dict[tuple[str, str], _Name] = {}


def torch_name(module: str, name: str) -> _Name:
    """The name to write; the same object every time, so that the pickle holds it once."""
    found = _names.get((module, name))
    if found is None:
        found = _names[module, name] = _Name(module, name)
    return found


class _Key:
    """A storage's persistent id."""

    __slots__ = ("value",)

    def __init__(self, value: tuple):
        self.value = value


class Pickler(pickle._Pickler):
    """Python's pickler (the one in Python, since names of modules that are not there are written).

    Attributes:
        storages: every storage met, in the order of their numbers.
    """

    def __init__(self, file, protocol: int):
        super().__init__(file, protocol)
        self.storages: list[Storage] = []
        self._numbers: dict[int, int] = {}
        self._keys: dict[tuple, _Key] = {}
        self._read_as: list[dt.dtype] = []  # the dtype of the tensors, by the storage's number

    def persistent_id(self, obj):
        """Storages stand outside the pickle."""
        return obj.value if type(obj) is _Key else None

    def save(self, obj, save_persistent_id=True):
        """One object."""
        if type(obj) is _Name:
            known = self.memo.get(id(obj))
            if known is not None:
                self.write(self.get(known[0]))
            else:
                self.write(pickle.GLOBAL + obj.path)
                self.memoize(obj)
            return
        super().save(obj, save_persistent_id)

    def reducer_override(self, obj):
        """How our own types are written."""
        kind = type(obj)
        if isinstance(obj, Tensor):
            return self._tensor(obj)
        if kind is dt.dtype:
            return _as_name, (obj.name,)
        if kind is Size:
            return torch_name("torch", "Size"), (tuple(obj),)
        if kind is dv.device:
            return torch_name("torch", "device"), (
                (obj.type,) if obj.index is None else (obj.type, obj.index))
        if kind is layout:
            return torch_name("torch.serialization", "_get_layout"), (f"torch.{obj.name}",)
        return NotImplemented

    def save_reduce(self, func, args, state=None, listitems=None, dictitems=None,
                    state_setter=None, *, obj=None):
        """A name of PyTorch's is written as such, also as the function of a reduction."""
        if func is _as_name:
            name = torch_name("torch", args[0])
            self.save(name)
            self.memo[id(obj)] = (self.memo[id(name)][0], obj)
            return
        if type(func) is not _Name:
            super().save_reduce(func, args, state, listitems, dictitems, state_setter, obj=obj)
            return
        self.save(func)
        self.save(args)
        self.write(pickle.REDUCE)
        if obj is not None:
            self.memoize(obj)

    # -- tensors ---------------------------------------------------------------------------------

    def _key(self, storage: Storage, dtype: dt.dtype) -> _Key:
        """The key of a tensor's storage.

        Raises:
            RuntimeError: another tensor reads the same memory as another dtype.
        """
        length, kept = storage.numel, storage.dtype
        storage = storage.owner
        number = self._numbers.get(id(storage))
        if number is None:
            number = self._numbers[id(storage)] = len(self.storages)
            self.storages.append(storage)
            self._read_as.append(kept)
        elif self._read_as[number] is not kept:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different "
                f"types: one reads it as {self._read_as[number]}, another as {kept}; save one of "
                "them, or a clone()")
        name = _STORAGE_NAME.get(dtype)
        if name is None:
            kind, length = torch_name("torch.storage", "UntypedStorage"), \
                length * dtype.itemsize
        else:
            kind = torch_name("torch", name)
        return self._keys.setdefault((number, name), _Key(
            ("storage", kind, str(number), str(storage.device), length)))

    def _plain(self, t: Tensor) -> tuple:
        """Function and arguments that rebuild the tensor without its class."""
        size, stride = tuple(t.shape), tuple(t.strides)
        requires = bool(t.requires_grad)
        if t.device.type == "meta":
            return torch_name("torch._utils", "_rebuild_meta_tensor_no_storage"), (
                t.dtype, size, stride, requires)
        offset = int(t.offset)  # without what else is known of the number
        args = (self._key(t.storage, t.dtype), offset, size, stride, requires, OrderedDict())
        if t.dtype in _STORAGE_NAME:
            return torch_name("torch._utils", "_rebuild_tensor_v2"), args
        return torch_name("torch._utils", "_rebuild_tensor_v3"), (*args, t.dtype)

    def _tensor(self, t: Tensor) -> tuple:
        own = special.get(type(t))
        if own is not None:
            return own(self, t)
        state = attributes(t)
        function, args = self._plain(t)
        if type(t) is Tensor and not state:
            return function, args
        kind = torch_name("torch", "Tensor") if type(t) is Tensor else type(t)
        return torch_name("torch._tensor", "_rebuild_from_type_v2"), (function, kind, args, state)


def _as_name(name: str):
    """Marks an object that is written as ``torch.<name>``."""
    raise TypeError(f"torch.{name} is a name in a pickle")


def attributes(t: Tensor) -> dict:
    """What the program has attached to a tensor."""
    return {k: v for k, v in vars(t).items() if k not in _OWN and not k.startswith("_")}


def save_parameter(pickler: Pickler, parameter: Tensor) -> tuple:
    """A parameter: its tensor, and whether it wants a gradient."""
    args = (parameter.detach(), bool(parameter.requires_grad), OrderedDict())
    state = attributes(parameter)
    if state:
        return torch_name("torch._utils", "_rebuild_parameter_with_state"), (*args, state)
    return torch_name("torch._utils", "_rebuild_parameter"), args


def save_plain(pickler: Pickler, t: Tensor) -> tuple:
    """A tensor whose class is not saved."""
    return pickler._plain(t)
