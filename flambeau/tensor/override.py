"""``__torch_function__``: classes that take part in, or replace, the library's functions.

Nothing is looked at until the program defines a subclass of Tensor (or enters a mode); from then on
every public function first asks its arguments' classes. Parameters and Buffers stay what they are,
their results are plain tensors.
"""

from __future__ import annotations

import threading

from .follow import recorder
from .tensor import Tensor

NOTHING = object()
#: a declared function to its public form, which handlers compare with ``torch.add``
PUBLIC: dict = {}


class _Local(threading.local):
    off = 0
    modes: list = []

    def __init__(self):
        self.modes = []


local = _Local()


def _disabled(cls, func, types, args=(), kwargs=None):
    """The ``__torch_function__`` of classes that do not want one."""
    return NotImplemented


class DisableTorchFunctionSubclass:
    """Inside the block, arguments' classes are not asked."""

    def __enter__(self):
        local.off += 1

    def __exit__(self, *exc):
        local.off -= 1


DisableTorchFunction = DisableTorchFunctionSubclass


def _wants(x) -> bool:
    kind = type(x)
    return kind is not Tensor and getattr(kind, "__torch_function__", None) is not None \
        and not getattr(kind, "_plain_results", False) \
        and getattr(kind.__torch_function__, "__func__", None) is not _disabled


def relevant(args, kwargs=None) -> list:
    """The arguments whose classes are to be asked: one of each class, subclasses first."""
    found: list = []
    _look((*args, *(kwargs or {}).values()), found)
    return found


def _look(x, found: list) -> None:
    if isinstance(x, (list, tuple)):
        for item in x:
            _look(item, found)
    elif _wants(x) and not any(type(f) is type(x) for f in found):
        at = next((i for i, f in enumerate(found) if isinstance(x, type(f))), len(found))
        found.insert(at, x)


def ask(function, args, kwargs):
    """What modes or the arguments' classes make of a call; NOTHING where none of them cares."""
    func = PUBLIC.get(function, function)
    if local.modes:
        mode = local.modes.pop()
        try:
            types = tuple(type(x) for x in relevant(args, kwargs))
            return mode.__torch_function__(func, types, args, kwargs)
        finally:
            local.modes.append(mode)
    if local.off:
        return NOTHING
    found = relevant(args, kwargs)
    if not found:
        return NOTHING
    return _ask(found, func, getattr(func, "__name__", func), args, kwargs)


def _ask(found, func, name, args, kwargs):
    """Let the classes of the arguments ``found`` do a call, the first one that can."""
    types = tuple(type(x) for x in found)
    for x in found:
        out = type(x).__torch_function__(func, types, args, kwargs)
        if out is not NotImplemented:
            return out
    raise TypeError(f"no implementation found for '{name}' on types that implement "
                    f"__torch_function__: {[t.__name__ for t in types]}; let one of them return "
                    "something else than NotImplemented")


def _convert(value, cls):
    if isinstance(value, Tensor):
        return value if isinstance(value, cls) else value.as_subclass(cls)
    if isinstance(value, (list, tuple)):
        items = [_convert(v, cls) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def default(cls, func, types, args=(), kwargs=None):
    """``Tensor.__torch_function__``: the ordinary function, its results as ``cls``."""
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with DisableTorchFunctionSubclass():
        out = func(*args, **(kwargs or {}))
    return _convert(out, cls)


def switch_on() -> None:
    """From now on public functions ask."""
    kind = type(recorder)
    if "asks" in kind.__dict__:
        return

    def get(self):
        return True

    def put(self, value):
        self.__dict__["active"] = value

    def call(self, function, args, kwargs):
        out = ask(function, args, kwargs)
        if out is not NOTHING:
            return out
        if self.__dict__["active"]:
            return kind.call(self, function, args, kwargs)
        return function(*args, **kwargs)

    recorder.__class__ = type("AskingRecorder", (kind,), {
        "asks": True, "active": property(get, put), "call": call, "__doc__": switch_on.__doc__})


def _subclassed(cls, **kwargs) -> None:
    super(Tensor, cls).__init_subclass__(**kwargs)
    if cls.__module__.partition(".")[0] == __name__.partition(".")[0]:
        cls._plain_results = True
    elif not getattr(cls, "_plain_results", False) or "__torch_function__" in cls.__dict__:
        cls._plain_results = False
        switch_on()


class TorchFunctionMode:
    """Inside ``with`` a mode, its ``__torch_function__`` gets every call of a public function."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Do the call; override."""
        raise NotImplementedError

    def __enter__(self):
        switch_on()
        local.modes.append(self)
        return self

    def __exit__(self, *exc):
        local.modes.remove(self)
        return False


def has_torch_function(relevant_args) -> bool:
    """Whether one of the arguments has a ``__torch_function__`` that would be asked."""
    return bool(local.modes) or not local.off and bool(relevant(relevant_args))


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    """Let the arguments' classes do a call.

    Raises:
        TypeError: none of them did.
    """
    return _ask(relevant(relevant_args), public_api,
                f"{public_api.__module__}.{public_api.__name__}", args, kwargs)


def is_tensor_like(inp) -> bool:
    """Whether it is a tensor or has a ``__torch_function__``."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def foreign(function, args, kwargs):
    """For a call that failed: an argument of another library may know what to do."""
    found = [x for x in relevant(args, kwargs) if not isinstance(x, Tensor)]
    return ask(function, args, kwargs) if found else NOTHING


Tensor.__torch_function__ = classmethod(default)
Tensor.__init_subclass__ = classmethod(_subclassed)
Tensor._plain_results = False
