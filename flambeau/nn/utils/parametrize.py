"""Parametrizations: a parameter that is a function of others, computed when it is read."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import contextmanager

from ..core import Tensor, no_grad
from ..layers.container import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter


class _Cache:
    depth = 0
    values: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached():
    """Inside, every parametrized tensor is computed once only."""
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.values = {}


def _register(module: Module, name: str, value: Tensor) -> None:
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def _set(target: Tensor, value: Tensor) -> None:
    """Give ``target`` the values (and shape) of ``value``; optimizers keep knowing it."""
    target.data = value.detach()


def _same(what: str, before: Tensor, after, hint: str) -> None:
    if not isinstance(after, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(after).__name__}.")
    for name in ("dtype", "shape"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            raise ValueError(f"Registering a parametrization may not change the {name} of the "
                             f"tensor, unless {hint} flag is enabled.\n{what} {name}: {old}\n"
                             f"parametrized {name}: {new}")


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, and the tensor(s) it is computed from.

    Those are ``original``, or ``original0``, ``original1``, ... when the first parametrization
    takes several (its ``right_inverse`` gives a tuple).
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False):
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = original.detach().clone()
        new = self._inverse_if_any(original)
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError("'right_inverse' must return a Tensor or a Sequence of tensors (list, "
                             f"tuple...). Got {type(new).__name__}")
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            self._keep_one(original, new)
        else:
            self._keep_several(original, new)
        if not unsafe:
            _same("unparametrized", before, self(), "`unsafe`")

    def _inverse_if_any(self, value):
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    try:
                        value = module.right_inverse(value)
                    except NotImplementedError:
                        pass
        return value

    def _keep_one(self, original: Tensor, new: Tensor) -> None:
        for name in ("dtype", "device"):
            if getattr(original, name) != getattr(new, name):
                raise ValueError(
                    f"When `right_inverse` outputs one tensor, it may not change the {name}.\n"
                    f"original.{name}: {getattr(original, name)}\n"
                    f"right_inverse(original).{name}: {getattr(new, name)}")
        if new is not original:
            _set(original, new)
        _register(self, "original", original)

    def _keep_several(self, original: Tensor, new) -> None:
        for i, value in enumerate(new):
            if not isinstance(value, Tensor):
                raise ValueError("'right_inverse' must return a Tensor or a Sequence of tensors "
                                 f"(list, tuple...). Got element {i} of the sequence with type "
                                 f"{type(value).__name__}.")
            if isinstance(original, Parameter):
                value = Parameter(value, original.requires_grad)
            value.requires_grad_(original.requires_grad)
            _register(self, f"original{i}", value)

    def right_inverse(self, value: Tensor) -> None:
        """Assign: find the originals that give ``value``, and set them."""
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not "
                                       "implement right_inverse.")
                value = module.right_inverse(value)
            if self.is_tensor:
                if not isinstance(value, Tensor):
                    raise ValueError("`right_inverse` should return a tensor. Got "
                                     f"{type(value).__name__}")
                self._assign("original", value)
                return
            if not isinstance(value, Sequence):
                raise ValueError("'right_inverse' must return a sequence of tensors. Got "
                                 f"{type(value).__name__}.")
            if len(value) != self.ntensors:
                raise ValueError("'right_inverse' must return a sequence of tensors of length "
                                 f"{self.ntensors}. Got a sequence of length {len(value)}.")
            for i, one in enumerate(value):
                self._assign(f"original{i}", one)

    def _assign(self, name: str, value: Tensor) -> None:
        original = getattr(self, name)
        if not isinstance(value, Tensor) or value.dtype != original.dtype:
            raise ValueError(f"The tensor returned by `right_inverse` has dtype "
                             f"{getattr(value, 'dtype', type(value).__name__)} while `{name}` has "
                             f"dtype {original.dtype}")
        _set(original, value)

    def forward(self) -> Tensor:
        """The tensor."""
        if self.is_tensor:
            x = self[0](self.original)
        else:
            x = self[0](*(getattr(self, f"original{i}") for i in range(self.ntensors)))
        at = 1
        while str(at) in self._modules:
            x = self._modules[str(at)](x)
            at += 1
        return x


def _deepcopy(self, memo):
    found = memo.get(id(self))
    if found is None:
        found = memo[id(self)] = type(self).__new__(type(self))
        found.__setstate__(copy.deepcopy(self.__dict__.copy(), memo))
    return found


def _getstate(self):
    raise RuntimeError("Serialization of parametrized modules is only supported through "
                       "state_dict(). See:\nhttps://pytorch.org/tutorials/beginner/"
                       "saving_loading_models.html#saving-loading-a-general-checkpoint-for-"
                       "inference-and-or-resuming-training")


def _inject_new_class(module: Module) -> None:
    """Give the module a class of its own, for its properties."""
    cls = type(module)
    members = {"__getstate__": _getstate, "__module__": cls.__module__}
    if not hasattr(cls, "__deepcopy__"):
        members["__deepcopy__"] = _deepcopy
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), members)


def _inject_property(module: Module, name: str) -> None:
    """Make ``name`` a property that computes the tensor, or assigns its originals."""

    def read(self) -> Tensor:
        parametrization = self.parametrizations[name]
        if not _Cache.depth:
            return parametrization()
        key = (id(self), name)
        value = _Cache.values.get(key)
        if value is None:
            value = _Cache.values[key] = parametrization()
        return value

    def write(self, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(read, write))


def _check_another(module: Module, name: str, parametrization: Module) -> None:
    """A further parametrization must keep shape and dtype, both ways."""
    before = getattr(module, name)
    after = parametrization(before)
    _same(f"module.{name}", before, after, "the `unsafe`")
    if hasattr(parametrization, "right_inverse"):
        try:
            back = parametrization.right_inverse(after)
        except NotImplementedError:
            return
        if not isinstance(back, Tensor):
            raise ValueError("parametrization.right_inverse must return a tensor. Got: "
                             f"{type(back).__name__}")
        for what in ("dtype", "shape"):
            if getattr(back, what) != getattr(before, what):
                raise ValueError(
                    f"The tensor returned by parametrization.right_inverse must have the same "
                    f"{what} as module.{name}, unless the `unsafe` flag is enabled.\n"
                    f"module.{name}.{what}: {getattr(before, what)}\n"
                    f"returned {what}: {getattr(back, what)}")


def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *,
                             unsafe: bool = False) -> Module:
    """Make ``module.<tensor_name>`` the result of ``parametrization`` on what it was.

    Args:
        parametrization: a module; a ``right_inverse`` method allows assignment.
        unsafe: do not check that shape and dtype stay.

    Raises:
        ValueError: there is no such parameter or buffer, or shape or dtype change.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_another(module, tensor_name, parametrization)
        chain = module.parametrizations[tensor_name]
        chain.append(parametrization)
        chain.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        chain = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _inject_new_class(module)
            module.parametrizations = ModuleDict()
        _inject_property(module, tensor_name)
        module.parametrizations[tensor_name] = chain
    else:
        raise ValueError(f"Module '{module}' does not have a parameter, a buffer, or a "
                         f"parametrized element with name '{tensor_name}'")
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has parametrizations (of ``tensor_name``)."""
    chains = getattr(module, "parametrizations", None)
    if not isinstance(chains, ModuleDict):
        return False
    return len(chains) > 0 if tensor_name is None else tensor_name in chains


def remove_parametrizations(module: Module, tensor_name: str,
                            leave_parametrized: bool = True) -> Module:
    """Make ``module.<tensor_name>`` an ordinary parameter or buffer again.

    Args:
        leave_parametrized: with the value it has now; otherwise with the original's.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    chain = module.parametrizations[tensor_name]
    if chain.is_tensor:
        original = chain.original
        if leave_parametrized:
            with no_grad():
                _set(original, getattr(module, tensor_name).clone())
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError("Cannot leave unparametrized (`leave_parametrized=False`) a tensor that "
                         "is parametrized in terms of a sequence of tensors.")
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class as it was written."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module: Module, to_module: Module,
                                         tensor_name: str | None = None) -> Module:
    """Give ``to_module`` the parametrizations, and originals, of ``from_module``."""
    if not is_parametrized(from_module):
        return to_module
    for name in list(from_module.parametrizations) if tensor_name is None else [tensor_name]:
        chain = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        for parametrization in chain:
            register_parametrization(to_module, name, parametrization)
        target = to_module.parametrizations[name]
        names = ["original"] if chain.is_tensor else [f"original{i}"
                                                      for i in range(chain.ntensors)]
        for original in names:
            setattr(target, original, getattr(chain, original))
    return to_module
