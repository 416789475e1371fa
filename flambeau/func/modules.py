"""Modules under torch.func."""

from __future__ import annotations

from ..ir import batch
from ..nn.layers.batchnorm import _BatchNorm
from ..ops.lib.joining import stack
from ..tensor.batching import unbatch
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


def replace_all_batch_norm_modules_(root):
    """Let batch norms keep no running statistics, in place: with them they cannot run under vmap.

    Returns:
        ``root``.
    """
    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root


def debug_unwrap(tensor, *, recurse: bool = True):
    """What stands behind a tensor inside vmap, with the axes of examples in front; outside, the
    tensor itself."""
    for level in reversed(batch.state.stack):
        if level.number in batch.levels(tensor.node()):
            tensor = unbatch(tensor, level.number, level.size, 0)
            if not recurse:
                break
    return tensor
