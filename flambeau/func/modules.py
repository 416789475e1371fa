"""Modules under torch.func."""

from __future__ import annotations

from ..ops.lib.joining import stack
from .transforms import jvp


def stack_module_state(models) -> tuple[dict, dict]:
    """(parameters, buffers) of modules of the same architecture, stacked along a new first axis;
    for use with vmap and functional_call.

    Raises:
        RuntimeError: no models, different classes, or different training modes.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({m.training for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval "
                           "mode.")
    if len({type(m) for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")

    def joined(named):
        tables = [dict(named(m)) for m in models]
        out = {}
        for name, first in tables[0].items():
            together = stack([t[name].detach() for t in tables])
            out[name] = together.requires_grad_(first.requires_grad)
        return out

    return joined(lambda m: m.named_parameters()), joined(lambda m: m.named_buffers())


def functionalize(func, *, remove: str = "mutations"):
    """``func`` itself: in-place writes are functional inside anyway."""
    return func


def linearize(func, *primals):
    """(outputs, the function from tangents to derivatives of the outputs at ``primals``)."""
    def along(*tangents):
        return jvp(func, tuple(primals), tuple(tangents))[1]

    return func(*primals), along
