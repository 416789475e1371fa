"""Constructors from before dtypes had arguments: ``torch.Tensor(2, 3)``, ``LongTensor([1])``."""

from __future__ import annotations

import numpy as np

from ..base import dtype as dt
from ..ir.node import leaf
from .convert import array_of
from .inplace import write
from .options import device_of, finish, size_of, want_grad
from .storage import zeros_node
from .tensor import Tensor


def _build(args, dtype: dt.dtype, device) -> Tensor:
    from_data = len(args) == 1 and not isinstance(args[0], int)
    if from_data and isinstance(args[0], Tensor):
        if args[0].dtype is not dtype:
            raise TypeError(f"expected {dtype} (got {args[0].dtype}): convert it with .to(dtype)")
        return args[0].detach()
    if from_data and isinstance(args[0], (float, complex)):
        raise TypeError(f"new(): data must be a sequence (got {type(args[0]).__name__})")
    if from_data and not hasattr(args[0], "numel"):
        array, d = array_of(args[0], dtype, "new")
        return finish(leaf(array, d), device)
    size = size_of(args, None, "new") if args else (0,)
    return finish(zeros_node(size, dtype), device)


def new(cls, *args, device=None, **options):
    """``torch.Tensor(...)``: a size gives an empty tensor, data gives a copy of it, both of the
    default dtype. A subclass with an ``__init__`` of its own may take any arguments."""
    if cls is not Tensor and cls.__init__ is not object.__init__:
        args = args if args and isinstance(args[0], (Tensor, list, tuple)) else ()
        args, options = args[:1], {}
    if options:
        raise TypeError(f"new() got an unexpected keyword argument '{next(iter(options))}'")
    t = _build(args, dt.get_default_dtype(), device_of(device))
    if cls is not Tensor:
        t.__class__ = cls
    return t


def make_subclass(cls, data: Tensor, require_grad: bool = False) -> Tensor:
    """A leaf of class ``cls`` on the memory of ``data`` (``Tensor._make_subclass``)."""
    result = object.__new__(cls)
    result.data = data
    return want_grad(result) if require_grad else result


def as_subclass(self: Tensor, cls) -> Tensor:
    """The same tensor, with its place on the tape, as an instance of ``cls``."""
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise TypeError(f"as_subclass(): {cls!r} is no subclass of Tensor")
    result = self.view_as(self) if self.requires_grad else self.detach()
    result.__class__ = cls
    return result


def new_like(self: Tensor, *args, device=None) -> Tensor:
    """``tensor.new(...)``: the old constructor with this tensor's dtype and device."""
    return _build(args, self.dtype, self.device if device is None else device_of(device))


class _TypedMeta(type):
    """Makes ``isinstance(t, torch.FloatTensor)`` ask for the dtype."""

    def __instancecheck__(cls, x) -> bool:
        return isinstance(x, Tensor) and x.dtype is cls.dtype and x.device.type == "cpu"


def _typed(name: str, dtype: dt.dtype):
    def new(cls, *args, device=None):
        return _build(args, dtype, device_of(device))

    return _TypedMeta(name, (), {"dtype": dtype, "__new__": new, "__module__": "torch",
                                 "is_cuda": False,
                                 "__doc__": f"Tensors of {dtype}; makes one from a size or data."})


def _unavailable(name: str):
    def new(cls, *args, **kwargs):
        raise TypeError(f"type torch.cuda.{name} not available. Torch not compiled with CUDA "
                        "enabled.")

    return type(name, (), {"__new__": new, "__module__": "torch.cuda", "is_cuda": True,
                           "__doc__": "Tensors on a GPU; raises TypeError: there is none."})


TYPES = {name: _typed(name, d) for name, d in (
    ("FloatTensor", dt.float32), ("DoubleTensor", dt.float64), ("HalfTensor", dt.float16),
    ("BFloat16Tensor", dt.bfloat16), ("LongTensor", dt.int64), ("IntTensor", dt.int32),
    ("ShortTensor", dt.int16), ("CharTensor", dt.int8), ("ByteTensor", dt.uint8),
    ("BoolTensor", dt.bool_))}


CUDA_TYPES = {name: _unavailable(name) for name in TYPES}


class _VariableMeta(type):
    def __instancecheck__(cls, x) -> bool:
        return isinstance(x, Tensor)


class Variable(metaclass=_VariableMeta):
    """``Variable(tensor, requires_grad=False)``: the tensor; every tensor is a Variable."""

    def __new__(cls, data=None, requires_grad: bool = False, volatile=None):
        t = _build((), dt.get_default_dtype(), device_of(None)) if data is None else data
        if not isinstance(t, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(t).__name__}")
        return t.detach().requires_grad_(requires_grad)


def type_of(dtype: dt.dtype) -> str:
    """``tensor.type()``'s name of a dtype."""
    name = next((n for n, t in TYPES.items() if t.dtype is dtype), None)
    return f"torch.{name or dtype.name}"


# --- a Python function of every element -----------------------------------------------------------


def _apply(self: Tensor, callable) -> Tensor:  # noqa: A002
    """Replace each element x by ``callable(x)``, in place; slow.

    Raises:
        RuntimeError: the tensor requires a gradient.
    """
    return _map2(self, callable)


def _map(self: Tensor, tensor: Tensor, callable) -> Tensor:  # noqa: A002
    """Replace each element a by ``callable(a, b)`` with b from ``tensor``, in place; slow."""
    return _map2(self, callable, tensor)


def _map2(self: Tensor, callable, *others: Tensor) -> Tensor:  # noqa: A002
    if self.requires_grad:
        raise RuntimeError("Can't call apply_() on Variable that requires grad. Use "
                           "var.detach().apply_() instead.")
    columns = [x._array().reshape(-1).tolist() for x in
               (self, *[o.expand_as(self) for o in others])]
    values = np.array([callable(*row) for row in zip(*columns, strict=True)], self.dtype.np)
    write(self, leaf(values.reshape(tuple(self.shape)), self.dtype))
    return self


def _is_nonzero(self: Tensor) -> bool:
    """Whether the only element is not zero.

    Raises:
        RuntimeError: there is not exactly one.
    """
    return bool(self)


def _map2_method(self: Tensor, x: Tensor, y: Tensor, callable) -> Tensor:  # noqa: A002
    """Replace each element a by ``callable(a, b, c)`` with b, c from ``x``, ``y``, in place."""
    return _map2(self, callable, x, y)


for _name, _method in (("apply_", _apply), ("map_", _map), ("map2_", _map2_method),
                       ("is_nonzero", _is_nonzero)):
    _method.__name__, _method.__qualname__ = _name, f"Tensor.{_name}"
    setattr(Tensor, _name, _method)
