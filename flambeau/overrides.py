"""torch.overrides: ``__torch_function__`` for functions of one's own."""

from __future__ import annotations

import functools as _functools

from .tensor.override import PUBLIC as _PUBLIC
from .tensor.override import TorchFunctionMode as TorchFunctionMode
from .tensor.override import handle_torch_function as handle_torch_function
from .tensor.override import has_torch_function as has_torch_function
from .tensor.override import is_tensor_like as is_tensor_like

BaseTorchFunctionMode = TorchFunctionMode


def has_torch_function_unary(obj) -> bool:
    """:func:`has_torch_function` for one argument."""
    return has_torch_function((obj,))


def has_torch_function_variadic(*args) -> bool:
    """:func:`has_torch_function` for several arguments."""
    return has_torch_function(args)


def wrap_torch_function(dispatcher):
    """Decorator: the function asks the arguments that ``dispatcher`` gives first."""
    def decorate(function):
        @_functools.wraps(function)
        def wrapped(*args, **kwargs):
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return wrapped

    return decorate


def get_overridable_functions() -> dict:
    """The functions that can be overridden, under the name of their module."""
    return {"torch": list(_PUBLIC.values())}


def resolve_name(f) -> str:
    """``torch.name`` of a function."""
    return f"torch.{getattr(f, '__name__', f)}"
