"""Parameters and buffers: tensors that a module registers when they are assigned to it."""

from __future__ import annotations

from ..tensor import pickler, serialization
from ..base.device import device as Device
from ..base.dtype import BY_NAME
from ..base.dtype import dtype as DType
from .core import Tensor, empty, make_subclass


class Parameter(Tensor):
    """A tensor that a :class:`Module` lists in ``parameters()`` once it is an attribute of it.

    Args:
        data: the initial values, of any shape; the memory is shared with it.
        requires_grad: whether gradients are wanted (True).

    Example:
        >>> nn.Parameter(torch.ones(2))
        Parameter containing:
        tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data=None, requires_grad: bool = True):
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise RuntimeError(f"Creating a Parameter from an instance of type "
                               f"{type(data).__name__} requires that it is a Tensor: wrap it in "
                               "torch.tensor(...)")
        return make_subclass(cls, data, requires_grad)

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        result = memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return result

    def __repr__(self, *, tensor_contents=None) -> str:
        return "Parameter containing:\n" + Tensor.__repr__(self)

    def __reduce_ex__(self, protocol):
        return _rebuild_parameter, (self.data, self.requires_grad, _extra_attributes(self))


class Buffer(Tensor):
    """A tensor that a :class:`Module` lists in ``buffers()`` once it is an attribute of it.

    Args:
        data: the initial values, of any shape; the memory is shared with it.
        persistent: whether it is part of the module's ``state_dict``.
    """

    def __new__(cls, data=None, *, persistent: bool = True):
        if data is None:
            data = empty(0)
        result = make_subclass(cls, data.detach(), data.requires_grad)
        result.persistent = persistent
        return result

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.data.clone(), persistent=self.persistent)
        return memo[id(self)]

    def __repr__(self, *, tensor_contents=None) -> str:
        return Tensor.__repr__(self)


def _extra_attributes(tensor) -> dict:
    """What a program has attached to the tensor, as opposed to what makes it a tensor."""
    return {name: value for name, value in vars(tensor).items()
            if name not in _OWN_NAMES and not name.startswith("_")}


def _rebuild_parameter(data, requires_grad: bool, attributes: dict | None = None):
    result = Parameter(data, requires_grad)
    for name, value in (attributes or {}).items():
        setattr(result, name, value)
    return result


_OWN_NAMES = frozenset(vars(Parameter(empty(0)))) | {"shape", "dtype", "storage", "strides",
                                                     "offset"}

_REASON = ("an uninitialized parameter or buffer has no shape yet: a lazy module makes it at its "
           "first call; run the module once on an example before anything that needs the values")


class UninitializedTensorMixin:
    """Parameters and buffers of lazy modules, until the first call says their shape."""

    def materialize(self, shape, device=None, dtype=None) -> None:
        """Become an ordinary parameter (or buffer) of ``shape`` with unset values, in place."""
        device = self.device if device is None else device
        dtype = self.dtype if dtype is None else dtype
        self.__class__ = self.cls_to_become
        self.data = empty(shape, device=device, dtype=dtype)

    @property
    def shape(self):
        """There is none before the first call."""
        raise RuntimeError("Can't access the shape of an uninitialized parameter or buffer. This "
                           "error usually happens in `load_state_dict` when trying to load an "
                           "uninitialized parameter into an initialized one. Call `forward` to "
                           "initialize the parameters before accessing their attributes.")

    @shape.setter
    def shape(self, value) -> None:
        """Kept, but not shown."""
        self.__dict__["shape"] = value

    def _changed(self, device=None, dtype=None):
        """One like it for another device or dtype; still without a shape."""
        return type(self)(self.requires_grad, self.device if device is None else device,
                          self.dtype if dtype is None else dtype)

    def to(self, *args, device=None, dtype=None, **options):
        """For another device or dtype."""
        for value in args:
            if isinstance(value, DType):
                dtype = value
            elif isinstance(value, (str, int, Device)) and not isinstance(value, bool):
                device = value
        return self._changed(device, dtype)

    def _become(self, other) -> None:
        """Take over what :meth:`to` gave; optimizers keep knowing this object."""
        self.__dict__.update(other.__dict__)

    def share_memory_(self):
        """Refused: there is no memory yet."""
        raise RuntimeError("Can't share memory on an uninitialized parameter or buffer. Call "
                           "`forward` to initialize the parameters before calling "
                           "`module.share_memory()`.")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _converting(name: str, **changes):
    def method(self, *args, **kwargs):
        return self._changed(**changes)

    method.__name__ = name
    method.__doc__ = f"As {name}."
    return method


for _name in ("float64", "float32", "float16", "bfloat16"):
    _short = {"float64": "double", "float32": "float", "float16": "half"}.get(_name, _name)
    setattr(UninitializedTensorMixin, _short, _converting(_short, dtype=BY_NAME[_name]))
UninitializedTensorMixin.cpu = _converting("cpu", device="cpu")
UninitializedTensorMixin.cuda = _converting("cuda", device="cuda")


def _refuse(name: str):
    def method(self, *args, **kwargs):
        raise ValueError(f"Attempted to use an uninitialized parameter in {name}. This error "
                         "usually happens when you are using a `LazyModule` or explicitly "
                         "manipulating `torch.nn.parameter.UninitializedParameter` objects. When "
                         "using LazyModules Call `forward` with a dummy batch to initialize the "
                         f"parameters before calling torch functions ({_REASON})")

    method.__name__ = name
    return method


for _name in ("add", "sub", "mul", "div", "matmul", "sum", "mean", "size", "dim", "numel", "view",
              "reshape", "fill_", "zero_", "normal_", "uniform_", "copy_", "clone", "numpy",
              "tolist", "item", "__add__", "__radd__", "__sub__", "__mul__", "__rmul__",
              "__matmul__", "__truediv__", "__getitem__", "__setitem__", "__len__", "__neg__"):
    setattr(UninitializedTensorMixin, _name, _refuse(_name))


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter without a shape; ``materialize(shape)`` turns it into a Parameter in place."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device=None, dtype=None):
        return make_subclass(cls, empty(0, device=device, dtype=dtype), requires_grad)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.device, self.dtype)
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        return type(self), (self.requires_grad, self.device, self.dtype)


class UninitializedBuffer(UninitializedTensorMixin, Buffer):
    """A buffer without a shape; ``materialize(shape)`` turns it into a Buffer in place."""

    cls_to_become = Tensor

    def __new__(cls, requires_grad: bool = False, device=None, dtype=None, persistent: bool = True):
        result = make_subclass(cls, empty(0, device=device, dtype=dtype), requires_grad)
        result.persistent = persistent
        return result

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.device, self.dtype)
        return memo[id(self)]


def is_lazy(tensor) -> bool:
    """Whether the parameter or buffer still waits for its shape."""
    return isinstance(tensor, UninitializedTensorMixin)


serialization.register_type("torch.nn.parameter.Parameter", Parameter)
pickler.special.update({Parameter: pickler.save_parameter, Buffer: pickler.save_plain})
