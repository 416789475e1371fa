"""torch.return_types: the classes of results with named fields, such as ``return_types.max``."""

from __future__ import annotations

from .ops.results import RETURN_TYPES as _TYPES

globals().update(_TYPES)
all_return_types = list(_TYPES.values())


def __getattr__(name: str):
    try:
        return _TYPES[name]
    except KeyError:
        raise AttributeError(f"module 'torch.return_types' has no attribute '{name}'") from None
