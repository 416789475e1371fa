"""torch.functional: functions of tensors by their older home; all of them are in torch."""

from __future__ import annotations

import importlib


def __getattr__(name: str):
    if name.startswith("_"):
        raise AttributeError(name)
    return getattr(importlib.import_module(__package__), name)
