"""Modules that are imported when something of theirs is first used.

What a program may never need (the compiler before anything repeats) costs it no time then.
"""

from __future__ import annotations

import importlib
import types


class LateModule(types.ModuleType):
    """Stands for a module that is not imported yet."""

    def __init__(self, name: str, package: str | None):
        super().__init__(name)
        self._package = package

    def __getattr__(self, name: str):
        found = getattr(importlib.import_module(self.__name__, self._package), name)
        if callable(found):
            setattr(self, name, found)
        return found


def late(name: str, package: str | None = None) -> types.ModuleType:
    """A module, imported when it is first used; the arguments are those of ``import_module``.

    Importers name it twice: for type checkers in ``if TYPE_CHECKING``, and here.
    """
    return LateModule(name, package)
