"""Parts of PyTorch's API that flambeau does not have: modules whose every use says so."""

from __future__ import annotations

import types


class AbsentError(NotImplementedError, AttributeError):
    """A name of an absent module was asked for (``hasattr`` says no)."""


def absent(module: types.ModuleType | str, why: str):
    """A module-level ``__getattr__`` which raises NotImplementedError with ``why``."""

    def __getattr__(name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        raise AbsentError(f"{module}.{name} is not part of flambeau: {why}")

    return __getattr__
