"""Python's operators, indexing and conversions on tensors."""

from __future__ import annotations

import numpy as np

from ..autograd import modes
from ..base import device as dv
from ..base import dtype as dt
from ..ops.core import is_number
from ..ops.lib.assignment import copy
from ..ops.lib.indexing import getitem, index_put, parse_index
from ..ops.prim import contract, elementwise as ew
from ..ops.prim.elementwise import cast, clone
from ..ops.prim.pointwise import reciprocal
from ..ops.prim.shape import VIEW_OP, permute, sizes_of, transpose
from .backward import backward
from .creation import empty
from .follow import entry_point
from .host import from_array, sharing
from .inplace import assign, check_writable, snapshot
from .options import preserve_format, type_name
from .record import walks_history
from .storage import zeros_node
from ..ops.lib.complex import imag, real  # noqa: A004
from ..ops.lib.shape import adjoint, contiguous, hermitian
from .tensor import Tensor


def _binary(function):
    function = entry_point(function)

    def forward(self, other):
        if not (isinstance(other, Tensor) or is_number(other)):
            other = _from_numpy(other)
            if other is None:
                return NotImplemented
        return function(self, other)

    return forward


def _from_numpy(x):
    """Arrays take part in arithmetic as tensors; anything else does not."""
    return from_array(x.copy()) if isinstance(x, np.ndarray) else None


def _reflected(function):
    function = entry_point(function)

    def backward_form(self, other):
        if not (isinstance(other, Tensor) or is_number(other)):
            other = _from_numpy(other)
            if other is None:
                return NotImplemented
        return function(other, self)

    return backward_form


def _inplace(function):
    @entry_point
    def apply_to(self, other):
        check_writable(self)
        return assign(self, function(snapshot(self), other))

    def update(self, other):
        return apply_to(self, other) if isinstance(other, Tensor) or is_number(other) \
            else NotImplemented

    return update


def _late(name):
    """An operation that another file declares, as a function of the tensors."""

    def call(a, b):
        return getattr(a if isinstance(a, Tensor) else _as_tensor(a, b), name)(b)

    return call


def _as_tensor(number, like: Tensor) -> Tensor:
    array = np.array(number, dt.of_scalar(number).np)
    return from_array(array, device=like.device)


_BINARY = {
    "add": ew.add, "sub": ew.sub, "mul": ew.mul, "truediv": ew.div, "floordiv": ew.floor_divide,
    "pow": ew.pow, "matmul": contract.matmul, "mod": _late("remainder"),
    "and": _late("bitwise_and"), "or": _late("bitwise_or"), "xor": _late("bitwise_xor"),
    "lshift": _late("bitwise_left_shift"), "rshift": _late("bitwise_right_shift"),
}

_SIGNS = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "pow": "**",
          "matmul": "@", "mod": "%", "and": "&", "or": "|", "xor": "^", "lshift": "<<",
          "rshift": ">>", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def _install(name: str, method, doc: str) -> None:
    method.__name__, method.__qualname__, method.__doc__ = name, f"Tensor.{name}", doc
    setattr(Tensor, name, method)


for _name, _function in _BINARY.items():
    _sign = _SIGNS[_name]
    _install(f"__{_name}__", _binary(_function), f"``self {_sign} other``, with broadcasting.")
    _install(f"__r{_name}__", _reflected(_function), f"``other {_sign} self``.")
    if _name != "matmul":
        _install(f"__i{_name}__", _inplace(_function), f"``self {_sign}= other``, in place.")
_install("__rsub__", _binary(ew.rsub), "``other - self``.")
_install("__rtruediv__", _reflected(lambda other, x: ew.mul(reciprocal(x), other)),
         "``other / self``, as PyTorch computes it: the reciprocal times ``other``.")
Tensor.__div__ = Tensor.__truediv__
Tensor.__rdiv__ = Tensor.__rtruediv__
for _name, _function in {"eq": ew.eq, "ne": ew.ne, "lt": ew.lt, "le": ew.le, "gt": ew.gt,
                         "ge": ew.ge}.items():
    _install(f"__{_name}__", _binary(_function),
             f"``self {_SIGNS[_name]} other`` for each element: a tensor of truth values.")


def _pos(self):
    if self.dtype is dt.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return self


Tensor.__neg__ = entry_point(ew.neg)
Tensor.__pos__ = _pos
Tensor.__abs__ = lambda self: self.abs()
Tensor.__invert__ = lambda self: self.bitwise_not()


# --- indexing -------------------------------------------------------------------------------------


def _setitem(self: Tensor, key, value) -> None:
    with_grad = modes.state.grad
    with modes.no_grad() if not with_grad else modes.enable_grad():
        view, indices = parse_index(self, key)
        if not isinstance(value, Tensor):
            value = _value_like(value, self)
        if indices is None:
            if view is self:
                view = self._alias()
            while len(value.shape) > len(view.shape) and value.shape[0] == 1:
                value = value[0]
            check_writable(view)
            assign(view, copy(snapshot(view), value))
        else:
            if value.dtype is not view.dtype and not value.shape:
                value = cast(value, view.dtype)
            check_writable(view)
            assign(view, index_put(snapshot(view), indices, value))


def _value_like(value, like: Tensor) -> Tensor:
    if is_number(value):
        return from_array(np.array(value).astype(like.dtype.np), like.dtype, like.device)
    if isinstance(value, np.ndarray):
        return from_array(value.copy(), device=like.device)
    raise TypeError(f"can't assign a {type(value).__name__} to a {like.dtype} tensor")


Tensor.__getitem__ = entry_point(getitem)
Tensor.__setitem__ = entry_point(_setitem)


# --- conversions ----------------------------------------------------------------------------------


def check_device(device) -> dv.device:
    """The device, or PyTorch's error where this build cannot reach it."""
    device = dv.device(device)
    if device.type in ("cpu", "meta"):
        return dv.CPU if device.type == "cpu" else dv.META
    if device.type == "cuda":
        raise AssertionError("Torch not compiled with CUDA enabled: this machine's tensors live on "
                             "'cpu'; write device = 'cuda' if torch.cuda.is_available() else 'cpu'")
    raise RuntimeError(f"{device.type} devices are not available: use 'cpu'")


def _parse_to(args, kwargs):
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    copy_ = kwargs.pop("copy", False)
    kwargs.pop("non_blocking", None)
    form = kwargs.pop("memory_format", None)
    if kwargs:
        raise TypeError(f"to() received an invalid combination of arguments: {sorted(kwargs)}")
    for i, a in enumerate(args):
        if isinstance(a, Tensor):
            device, dtype = a.device, a.dtype
        elif isinstance(a, dt.dtype):
            dtype = a
        elif isinstance(a, bool):
            copy_ = a if i >= 2 else copy_
        elif isinstance(a, (str, dv.device, int)):
            device = a
        elif a is not None:
            raise TypeError("to() received an invalid combination of arguments - got "
                            f"({type(a).__name__}), but expected a dtype, a device or a tensor")
    if dtype is not None and not isinstance(dtype, dt.dtype):
        raise TypeError(f"to(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    return device, dtype, copy_, form


def to(self: Tensor, *args, **kwargs) -> Tensor:
    """The tensor in another dtype and/or on another device; itself where nothing changes."""
    device, dtype, copy_, form = _parse_to(args, kwargs)
    out = self
    if device is not None:
        device = check_device(device)
        if device != self.device:
            if self.device.type == "meta":
                raise NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use "
                    "torch.nn.Module.to_empty() instead of torch.nn.Module.to() when moving "
                    "module from meta to a different device.")
            d = dtype or self.dtype
            return Tensor._wrap(zeros_node(tuple(self.shape), d), device)
    if dtype is not None and dtype is not out.dtype:
        return in_format(cast(out, dtype), form)
    return clone(out, memory_format=form) if copy_ else in_format(out, form)


def in_format(t: Tensor, form) -> Tensor:
    """Itself, or a copy where the memory does not have the format that is asked for."""
    return t if form is None or form is preserve_format else contiguous(t, memory_format=form)


def _to_dtype(name: str, dtype: dt.dtype):
    def convert(self, memory_format=None):
        return in_format(cast(self, dtype), memory_format)

    convert.__name__ = name
    convert.__doc__ = f"The tensor as {dtype}."
    return convert


for _name, _dtype in {
        "float": dt.float32, "double": dt.float64, "half": dt.float16, "bfloat16": dt.bfloat16,
        "long": dt.int64, "int": dt.int32, "short": dt.int16, "char": dt.int8, "byte": dt.uint8,
        "bool": dt.bool_, "cfloat": dt.complex64, "cdouble": dt.complex128}.items():
    setattr(Tensor, _name, entry_point(_to_dtype(_name, _dtype)))


def cpu(self, memory_format=None):
    """The tensor on the CPU."""
    return to(self, "cpu")


def cuda(self, device=None, non_blocking=False, memory_format=None):
    """The tensor on a GPU.

    Raises:
        AssertionError: there is none, as with PyTorch's CPU build.
    """
    return to(self, dv.device("cuda", device) if isinstance(device, int) else "cuda")


def type_as(self, other):
    """The tensor in another tensor's dtype."""
    return cast(self, other.dtype)


_LEGACY = {"torch.FloatTensor": dt.float32, "torch.DoubleTensor": dt.float64,
           "torch.HalfTensor": dt.float16, "torch.BFloat16Tensor": dt.bfloat16,
           "torch.LongTensor": dt.int64, "torch.IntTensor": dt.int32,
           "torch.ShortTensor": dt.int16, "torch.CharTensor": dt.int8,
           "torch.ByteTensor": dt.uint8, "torch.BoolTensor": dt.bool_,
           "torch.ComplexFloatTensor": dt.complex64, "torch.ComplexDoubleTensor": dt.complex128}
_LEGACY_NAMES = {d: name for name, d in _LEGACY.items()}


def type_(self, dtype=None, non_blocking=False, **kwargs):
    """The legacy type's name, or the tensor converted to a dtype or legacy type."""
    if dtype is None:
        return _LEGACY_NAMES[self.dtype]
    if isinstance(dtype, str):
        if dtype not in _LEGACY:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = _LEGACY[dtype]
    return cast(self, getattr(dtype, "dtype", dtype))


@walks_history("all")
def _backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
    """Gradients with respect to the leaves this tensor was computed from, added to ``.grad``.

    Args:
        gradient: the gradient of the final result with respect to this tensor; needed unless it
            holds one element.
        retain_graph, create_graph, inputs: see :func:`torch.autograd.backward`.
    """
    backward((self,), None if gradient is None else (gradient,), retain_graph, create_graph,
             inputs=inputs)


def view(self, *shape, dtype=None, size=None):
    """The same memory in another shape, or its bytes as another dtype.

    A dtype of another size multiplies the last dimension by the ratio of the sizes.

    Raises:
        RuntimeError: the strides do not allow it.
    """
    if dtype is None and len(shape) == 1 and isinstance(shape[0], dt.dtype):
        dtype = shape[0]
    if dtype is not None:
        return _reinterpreted(self, dtype)
    return elementwise_view(self, sizes_of(shape if size is None else (size,)))


def _reinterpreted(x: Tensor, dtype: dt.dtype) -> Tensor:
    """The bytes of ``x`` as another dtype; both tensors see each other's writes."""
    old, new = x.dtype.itemsize, dtype.itemsize
    if old != new:
        what = (f"to view {type_name(x.dtype)} as {type_name(dtype)} (different element sizes)")
        if not x.shape:
            raise RuntimeError(f"self.dim() cannot be 0 {what}")
        if x.strides[-1] != 1:
            raise RuntimeError(f"self.stride(-1) must be 1 {what}, but got {x.strides[-1]}")
        parts = [("size(-1)", x.shape[-1]), ("storage_offset()", x.offset)]
        parts += [(f"stride({i})", s) for i, s in enumerate(x.strides[:-1])]
        for name, value in parts:
            if new > old and value % (new // old):
                raise RuntimeError(f"self.{name} must be divisible by {new // old} {what}, but got "
                                   f"{value}")
    if x.device.type == "meta" or not x.numel():
        last = x.shape[-1:] if old == new else (x.shape[-1] * old // new,)
        return empty(*x.shape[:-1], *last, dtype=dtype, device=x.device)
    memory = x.storage.export(tuple(x.shape), x.strides, x.offset)
    return sharing(memory.view(dtype.np), dtype)


def elementwise_view(x, size):
    """View op with PyTorch's checks."""
    return VIEW_OP(x, size=tuple(size))


def _reversed(self):
    return permute(self, tuple(reversed(range(len(self.shape)))))


def _matrix_transpose(self):
    return transpose(self, -2, -1)


Tensor.to, Tensor.cpu, Tensor.type_as = entry_point(to), entry_point(cpu), entry_point(type_as)
Tensor.cuda, Tensor.type = cuda, type_
Tensor.backward, Tensor.view = entry_point(_backward), entry_point(view)
Tensor.detach = entry_point(Tensor.detach)
Tensor.T = property(entry_point(_reversed), doc="All dimensions in reverse order.")


def _part_setter(which: str):
    """``x.real = value`` and ``x.imag = value``: writes one part in place."""

    @entry_point
    def set_part(self, value):
        value = _value_like(value, self) if not isinstance(value, Tensor) else value
        (real if which == "real" else imag)(self).copy_(value)

    return set_part


Tensor.real = property(real, _part_setter("real"), doc="The real part; assigning writes it.")
Tensor.imag = property(imag, _part_setter("imag"), doc="The imaginary part; assigning writes it.")
Tensor.mH = property(adjoint, doc="Conjugate transposes of the last two dimensions.")
Tensor.H = property(hermitian, doc="The conjugate transpose of a matrix.")
Tensor.mT = property(entry_point(_matrix_transpose), doc="The last two dimensions exchanged.")
