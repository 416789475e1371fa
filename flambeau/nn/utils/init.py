"""Making a module without initialising its parameters."""

from __future__ import annotations

import inspect

from ..module import Module


def skip_init(module_cls: type, *args, **kwargs):
    """``module_cls(*args, **kwargs)`` with unset parameters.

    Raises:
        RuntimeError: the class is no Module, or takes no ``device``.
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device = kwargs.pop("device", "cpu")
    return module_cls(*args, device="meta", **kwargs).to_empty(device=device)
