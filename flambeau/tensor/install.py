"""Puts the package together: which namespace every generated function goes to."""

from __future__ import annotations

import importlib
import sys
import types

from ..ir.node import realizer
from ..ops.lib.dropout import seed_source
from ..runtime import execute
from . import factories, methods, queries
from .follow import draw_seed
from .function import Function, once_differentiable
from .tensor import Tensor

realizer.append(execute.realize)
seed_source.append(draw_seed)

_SPACES = ("linalg", "fft", "special")


def _space(package: str, name: str, doc: str) -> types.ModuleType:
    """A module that holds generated functions, importable by name."""
    full = f"{package}.{name}"
    module = sys.modules.get(full) or types.ModuleType(full, doc)
    sys.modules[full] = module
    return module


def install_all(torch: dict) -> None:
    """Fill the package's namespace (``torch`` is its dictionary)."""
    package = torch["__name__"]
    spaces: dict[str, dict] = {"torch": {}, "nn.functional": {}}
    methods.install(spaces)
    for name, function in spaces.pop("torch").items():
        torch.setdefault(name, function)
    torch.update(factories.namespace())
    torch.update(queries.namespace())
    torch["random"] = sys.modules[package + ".random"] = factories.random_module(
        package + ".random")
    Tensor.functional = spaces.pop("nn.functional")
    for name in {*_SPACES, *spaces}:
        module = _space(package, name, f"Generated namespace torch.{name}.")
        vars(module).update(spaces.get(name, {}))
        torch[name] = module
    _autograd(torch["autograd"])


def _autograd(module) -> None:
    """torch.autograd's public names."""
    modes = importlib.import_module(module.__name__ + ".modes")
    back = importlib.import_module(__package__ + ".backward")
    for name in ("no_grad", "enable_grad", "inference_mode", "set_grad_enabled", "detect_anomaly",
                 "set_detect_anomaly", "is_anomaly_enabled"):
        setattr(module, name, getattr(modes, name))
    module.backward, module.grad = back.backward, back.grad
    module.Function, module.Variable = Function, Tensor
    module.function = types.SimpleNamespace(
        Function=Function, once_differentiable=once_differentiable)
