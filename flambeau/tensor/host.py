"""Tensor's meeting with Python and NumPy: numpy(), tolist(), bool(), len(), iteration, pickling."""

from __future__ import annotations

import copy as copy_module
import operator

import numpy as np

from ..autograd import modes
from ..base import dtype as dt
from ..base import shape as sh
from ..base import srcloc
from ..base.layout import FORMATS
from ..ir.node import leaf
from ..runtime import execute
from . import history, layouts
from .alias import read_as
from .storage import Storage
from .tensor import Tensor


def from_array(array: np.ndarray, dtype: dt.dtype | None = None, device=None) -> Tensor:
    """A tensor that owns ``array`` (which nobody else may write)."""
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    node = leaf(array, dtype)
    node.loc = srcloc.user_location()
    return Tensor._wrap(node) if device is None else Tensor._wrap(node, device)


def sharing(array: np.ndarray, dtype: dt.dtype | None = None) -> Tensor:
    """A tensor over the very memory of ``array``, both ways, for good.

    Raises:
        ValueError: a negative stride, or strides that are no multiple of the element size.
    """
    size = array.itemsize
    if any(s < 0 for s in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array  with array.copy().) ")
    if any(s % size for s in array.strides):
        raise ValueError("given numpy array strides not a multiple of the element byte size. Copy "
                         "the numpy array to reallocate the memory.")
    strides = tuple(s // size for s in array.strides)
    if sh.is_contiguous(array.shape, strides):
        flat, strides = array.reshape(-1), sh.contiguous_strides(array.shape)
    else:
        extent = 1 + sum((n - 1) * s for n, s in zip(array.shape, strides, strict=True))
        flat = np.lib.stride_tricks.as_strided(
            array, (0 if 0 in array.shape else extent,), (size,))
    t = object.__new__(Tensor)
    t.storage = Storage.over(flat, dtype or dt.from_numpy(array.dtype))
    t.storage.node.loc = srcloc.user_location()
    t._lay(array.shape, strides)
    t.offset, t.dtype = 0, t.storage.dtype
    return t


class _HostMethods:
    """Methods copied onto Tensor (kept apart so that tensor.py stays readable)."""

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The elements as a NumPy array that shares memory with the tensor.

        Raises:
            RuntimeError: the tensor requires a gradient: use ``x.detach().numpy()``.
        """
        if self.requires_grad and not force and modes.state.grad:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
                f"instead: {history.requirement(self)}")
        if self.dtype is dt.bfloat16:
            raise TypeError("Got unsupported ScalarType BFloat16: NumPy has no such type, use "
                            ".float().numpy()")
        if self.device.type == "meta":
            raise TypeError("can't convert meta device type tensor to numpy: it has no data")
        history.read_out(self, "numpy()")
        return self.storage.export(tuple(self.shape), self.strides, self.offset)

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def tolist(self):
        """Nested lists of Python numbers (a number for a 0-d tensor)."""
        history.read_out(self, "tolist()")
        return self._array().tolist()

    def __bool__(self) -> bool:
        if sh.numel(self.shape) != 1:
            if sh.numel(self.shape) == 0:
                raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
            raise RuntimeError(
                "Boolean value of Tensor with more than one value is ambiguous: its shape is "
                f"{tuple(self.shape)}. Say .any() or .all(); to combine masks write & and | "
                "instead of `and` and `or`")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.dtype.category > dt.dtype.INT or sh.numel(self.shape) != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return operator.index(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self):
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        rows = [self[i] for i in range(self.shape[0])]
        for row in rows:  # for PyTorch they are results of one function, as of unbind
            row._unrecorded = True
        return iter(rows)

    def __contains__(self, element) -> bool:
        if isinstance(element, (Tensor, bool, int, float, complex)):
            return bool((element == self).any().item())
        raise RuntimeError("Tensor.__contains__ only supports Tensor or scalar, but you passed in "
                           f"a {type(element)}.")

    __hash__ = object.__hash__

    # --- size and layout ------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def dim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    ndimension = dim

    def size(self, dim=None):
        """The shape, or the size of one dimension."""
        if dim is None:
            return self.shape
        return self.shape[sh.wrap_dim(dim, len(self.shape), scalar_ok=False)
                          if self.shape else _no_dim(dim)]

    def numel(self) -> int:
        """Number of elements."""
        return sh.numel(self.shape)

    nelement = numel

    def stride(self, dim=None):
        """Steps between neighbours, in elements: of all dimensions or of one."""
        if dim is None:
            return self.strides
        return self.strides[sh.wrap_dim(dim, len(self.shape))]

    def storage_offset(self) -> int:
        """Where in the storage the first element stands."""
        return int(self.offset)  # it may be marked (ir/marks.py)

    def is_contiguous(self, memory_format=None) -> bool:
        """Whether the elements stand in a memory format's order (row-major) without gaps."""
        order = FORMATS.get(getattr(memory_format, "name", None))
        if order is None:
            return sh.is_contiguous(self.shape, self.strides)
        return len(self.shape) == len(order) and sh.is_contiguous(
            [self.shape[i] for i in order], [self.strides[i] for i in order])

    def element_size(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return sh.numel(self.shape) * self.dtype.itemsize

    def data_ptr(self) -> int:
        """Address of the first element."""
        array = self.storage.memory if self.storage.shared else self.storage.array()
        return array.ctypes.data + self.offset * self.dtype.itemsize

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating one."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is complex."""
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers."""
        return self.dtype.is_signed

    def is_inference(self) -> bool:
        """Whether made inside inference_mode()."""
        return self._inference

    def _is_view(self) -> bool:
        return self._base is not None

    is_cuda = is_sparse = is_quantized = is_mkldnn = is_xpu = is_mps = is_nested = False
    is_sparse_csr = is_vulkan = is_ipu = is_xla = is_maia = is_mtia = False

    @property
    def is_cpu(self) -> bool:
        """Whether the elements live in main memory."""
        return self.device.type == "cpu"

    @property
    def is_meta(self) -> bool:
        """Whether the tensor has a shape and no data."""
        return self.device.type == "meta"

    def get_device(self) -> int:
        """-1 on the CPU."""
        return -1

    def is_pinned(self, device=None) -> bool:
        """Page-locked memory: never without a GPU."""
        return False

    def pin_memory(self, device=None):
        """Accepted; there is no GPU to pin for."""
        return self

    def is_shared(self) -> bool:
        """Whether in shared memory."""
        return False

    def share_memory_(self):
        """Accepted: loader workers hand tensors over by copying into shared memory."""
        return self

    def is_set_to(self, tensor) -> bool:
        """Whether both look at the same memory in the same way."""
        return (self.storage is tensor.storage and self.shape == tensor.shape
                and self.strides == tensor.strides and self.offset == tensor.offset)

    def is_same_size(self, other) -> bool:
        """Whether shapes are equal."""
        return tuple(self.shape) == tuple(other.shape)

    # --- memory ---------------------------------------------------------------------------------

    def resize_(self, *sizes, memory_format=None):
        """Another size in place. The memory stays, row-major from where the tensor begins, and
        grows where it is too small; new elements are undefined (here 0).

        Raises:
            RuntimeError: the tensor requires a gradient, or NumPy shares memory that is to grow.
        """
        size = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) \
            else tuple(sizes)
        if self.requires_grad:
            raise RuntimeError("cannot resize variables that require grad")
        if size == tuple(self.shape):
            return self
        self._counter.version += 1
        execute.follower.forget(self)
        need = self.offset + sh.numel(size)
        if need > self.storage.numel:
            self.untyped_storage().resize_(need * self.dtype.itemsize)
        self._lay(size, sh.contiguous_strides(size))
        return self

    def resize_as_(self, other, memory_format=None):
        """``resize_`` to another tensor's size."""
        return self.resize_(tuple(other.shape))

    def _replace(self, storage: Storage, shape) -> None:
        execute.follower.forget(self)
        self.storage, self.offset = storage, 0
        self._lay(shape, sh.contiguous_strides(shape))

    def set_(self, source=None, storage_offset=0, size=None, stride=None):
        """Look at another tensor's memory."""
        if source is None:
            self._replace(Storage(leaf(np.zeros(0, self.dtype.np), self.dtype)), (0,))
        elif isinstance(source, Tensor):
            self.data = source
        else:
            raise TypeError("set_(): a tensor is expected")
        return self

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        if self.grad_fn is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                "protocol at the moment.  If you were attempting to deepcopy a module, this may be "
                "because of a torch.nn.utils.weight_norm usage")
        with modes.no_grad():
            out = copy_storage(self, memo)
        if type(self) is not Tensor:
            out.__class__ = type(self)
        out._requires = self._requires
        memo[id(self)] = out
        for key, value in self.__dict__.items():
            if key not in _OWN and not key.startswith("_"):
                out.__dict__[key] = copy_module.deepcopy(value, memo)
        if self._grad is not None:
            out._grad = copy_module.deepcopy(self._grad, memo)
        return out

    def __copy__(self):
        out = self.detach()
        out._requires = self._requires
        return out

    def __reduce_ex__(self, protocol):
        array = self._array()
        bits = array.view(np.uint16) if self.dtype is dt.bfloat16 else array
        state = {k: v for k, v in self.__dict__.items()
                 if k not in _OWN and not k.startswith("_")}
        return _rebuild, (type(self), np.array(bits), self.dtype, self._requires, state,
                          self.device, None if self._row_major else self.strides)


_OWN = {"storage", "shape", "strides", "offset", "dtype"}


def _no_dim(dim):
    raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")


def _rebuild(cls, array, dtype, requires, state, device, strides=None):
    if dtype is dt.bfloat16:
        array = array.view(dt.bfloat16.np)
    t = from_array(array, dtype, device)
    t = t if strides is None else layouts.like_copy(t, strides)
    t.__class__ = cls
    t._requires = requires
    t.__dict__.update(state)
    return t


def copy_storage(t: Tensor, memo: dict) -> Tensor:
    """A tensor over a copy of ``t``'s storage; tensors that share memory go on sharing."""
    owner = t.storage.owner
    key = ("storage", id(owner))
    copied = memo.get(key)
    if copied is None:
        if t.device.type == "meta":
            copied = Storage(owner.node, t.device)
        else:
            copied = Storage(leaf(owner.array().copy(), owner.dtype), t.device)
        memo[key] = copied
        memo[id(copied)] = (copied, owner)  # keeps ids from being reused
    out = object.__new__(Tensor)
    out.storage, out.offset, out.dtype = read_as(copied, t.dtype), t.offset, t.dtype
    out._lay(t.shape, t.strides)
    return out


for _name, _value in vars(_HostMethods).items():
    if _name not in ("__module__", "__doc__", "__dict__", "__weakref__", "__qualname__"):
        setattr(Tensor, _name, _value)

