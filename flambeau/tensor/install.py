"""Puts the package together: which namespace every generated function goes to."""

from __future__ import annotations

import importlib
import sys
import types

from ..ir.node import realizer
from ..ops.lib.dropout import source
from ..runtime import execute
from . import dense, derivatives, factories, legacy, methods, queries, sampling, saved
from .function import Function, FunctionCtx, once_differentiable
from .tensor import Tensor

realizer.append(execute.look)
source.append(sampling.drawn_for)

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
    torch["dequantize"] = dense.dequantize
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
    module.Function, module.Variable = Function, legacy.Variable
    module.enforce_grad_layout_policy = module.set_multithreading_enabled = _accepted
    parts = {
        "function": (Function, once_differentiable, FunctionCtx),
        "graph": [v for k, v in vars(saved).items() if getattr(v, "__module__", "") ==
                  saved.__name__ and not k.startswith("_")],
        "functional": (derivatives.jacobian, derivatives.hessian, derivatives.vjp, derivatives.jvp,
                       derivatives.vhp, derivatives.hvp),
        "grad_mode": (modes.no_grad, modes.enable_grad, modes.set_grad_enabled,
                      modes.inference_mode),
        "anomaly_mode": (modes.detect_anomaly, modes.set_detect_anomaly),
        "variable": (), "forward_ad": (), "profiler": ()}
    for name, members in parts.items():
        part = _space(module.__name__, name, f"torch.autograd.{name}.")
        for member in members:
            setattr(part, member.__name__, member)
        setattr(module, name, part)
    module.variable.Variable = legacy.Variable
    module.function.BackwardCFunction = module.graph.Node
    package = module.__name__.rpartition(".")[0]
    _late(module.forward_ad, f"{package}.func.forward_ad")
    _late(module.profiler, f"{package}.profiler")


def _late(module, full: str) -> None:
    """Give a module the public names of a front-end module, which is imported when one is used."""

    def __getattr__(name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(full), name)

    module.__getattr__ = __getattr__
    module.__dir__ = lambda: [n for n, v in vars(importlib.import_module(full)).items()
                              if getattr(v, "__module__", "") == full and not n.startswith("_")]


class _accepted:  # noqa: N801
    """A setting that has no effect."""

    def __init__(self, *args):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return False
