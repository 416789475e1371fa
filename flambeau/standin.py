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

from .base.late import late

if TYPE_CHECKING:
    import difflib
else:
    difflib = late("difflib")

_PACKAGE = __package__
#: holds a torch.py which does the same in child processes
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "as_torch")


def near(name: str, known) -> str:
    """" Did you mean ...?" for a name that is not there; empty when nothing is like it."""
    found = difflib.get_close_matches(name, [k for k in known if not k.startswith("_")], 1, 0.75)
    return f" Did you mean 'torch.{found[0]}'?" if found else ""


class _Loader(importlib.abc.Loader):
    """Loads ``torch.x`` by importing ``flambeau.x`` and leaving that very module in its place."""

    def create_module(self, spec):
        return None

    def exec_module(self, module) -> None:
        name = module.__spec__.name
        ours = _PACKAGE + name[len("torch"):]
        try:
            sys.modules[name] = importlib.import_module(ours)
        except ModuleNotFoundError as error:
            if error.name != ours:
                raise
            parent = sys.modules.get(ours.rpartition(".")[0])
            hint = near(name.rpartition(".")[2], dir(parent)) if name.count(".") == 1 else ""
            raise ModuleNotFoundError(f"No module named '{name}': flambeau does not have this part "
                                      f"of PyTorch.{hint}", name=name) from None


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname != "torch" and not fullname.startswith("torch."):
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
