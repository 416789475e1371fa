"""flambeau under the name ``torch``: ``import torch`` and all submodules give flambeau's modules.

Used by ``python -m flambeau``; ``flambeau.standin.install()`` does it in any process.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from typing import TYPE_CHECKING

from .base.absent import MODULES, why_absent
from .base.late import late

if TYPE_CHECKING:
    import difflib
else:
    difflib = late("difflib")

_PACKAGE = __package__
#: holds a torch.py which does the same in child processes
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "as_torch")


def near(name: str, known, parent: str = "torch") -> str:
    """" Did you mean ...?" for a name that is not there; empty when nothing is like it."""
    found = difflib.get_close_matches(name, [k for k in known if not k.startswith("_")], 1, 0.75)
    return f" Did you mean '{parent}.{found[0]}'?" if found else ""


class _Loader(importlib.abc.Loader):
    """Loads ``torch.x`` by importing ``flambeau.x`` and leaving that very module in its place."""

    def create_module(self, spec):
        return None

    def exec_module(self, module) -> None:
        name = module.__spec__.name
        ours = _PACKAGE + name[len("torch"):]
        try:
            found = sys.modules[name] = importlib.import_module(ours)
            if not hasattr(found, "__path__"):
                found.__path__ = []  # PyTorch may have a part below: that is looked for too
        except ModuleNotFoundError as error:
            if error.name != ours:
                raise
            why = why_absent(name.partition(".")[2])
            parent = sys.modules.get(ours.rpartition(".")[0])
            hint = f" ({why})." if why else "." + near(
                name.rpartition(".")[2], dir(parent), name.rpartition(".")[0])
            raise ModuleNotFoundError(f"No module named '{name}': flambeau does not have this part "
                                      f"of PyTorch{hint}", name=name) from None


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname != "torch" and not fullname.startswith("torch."):
            part = fullname.removeprefix(_PACKAGE + ".")
            if part != fullname and part in MODULES:  # `from torch import fx` asks by our name
                raise ModuleNotFoundError(f"No module named 'torch.{part}': flambeau does not have "
                                          f"this part of PyTorch ({MODULES[part]}).",
                                          name=f"torch.{part}")
            return None
        return importlib.machinery.ModuleSpec(fullname, _Loader(), is_package=True)


def install() -> None:
    """Make ``import torch`` give flambeau, here and in child processes."""
    if not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    sys.modules["torch"] = importlib.import_module(_PACKAGE)
    if FOLDER not in sys.path:
        sys.path.insert(min(1, len(sys.path)), FOLDER)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if FOLDER not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([FOLDER, *filter(None, paths)])
