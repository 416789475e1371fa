"""Calling a module with other parameters than its own."""

from __future__ import annotations

from contextlib import contextmanager

from ..core import Tensor
from ..module import Module


def _tied(module: Module) -> dict[str, list[str]]:
    """For every name, all names of the same tensor."""
    by_tensor: dict[int, list[str]] = {}
    for kind in (module.named_parameters, module.named_buffers):
        for name, value in kind(remove_duplicate=False):
            by_tensor.setdefault(id(value), []).append(name)
    return {name: names for names in by_tensor.values() for name in names}


def _check(module: Module, given: dict, tie_weights: bool, strict: bool) -> dict:
    """The tensors to put in place, by full name."""
    tied = _tied(module)
    if strict:
        unknown = [name for name in given if name not in tied]
        missing = [name for name in tied if name not in given
                   and not (tie_weights and any(n in given for n in tied[name]))]
        if unknown or missing:
            lines = [f"{kind} key(s): {', '.join(repr(name) for name in sorted(names))}."
                     for kind, names in (("Unexpected", unknown), ("Missing", missing)) if names]
            raise RuntimeError(f"Error(s) in reparametrizing for {type(module).__name__}:\n\t"
                               + "\n\t".join(lines))
    result = dict(given)
    if tie_weights:
        for name, value in given.items():
            for other in tied.get(name, ()):
                if other in given and given[other] is not value:
                    raise ValueError("functional_call got multiple values for keys "
                                     f"{sorted(tied[name])}, which are tied. Consider using "
                                     "tie_weights=False")
                result[other] = value
    return result


@contextmanager
def _reparametrize_module(module: Module, parameters_and_buffers: dict, tie_weights: bool = False,
                          strict: bool = False, stack_weights: bool = False):
    """Inside, the module has other tensors; afterwards its own again."""
    saved = []
    try:
        for name, value in _check(module, parameters_and_buffers, tie_weights, strict).items():
            path, _, leaf = name.rpartition(".")
            owner = module.get_submodule(path)
            for members in (owner._parameters, owner._buffers):
                if leaf in members:  # names that nothing has are not used
                    saved.append((members, leaf, members[leaf]))
                    members[leaf] = value
        yield
    finally:
        for members, leaf, value in reversed(saved):
            members[leaf] = value


def functional_call(module: Module, parameters_and_buffers, args=None, kwargs: dict | None = None,
                    *, tie_weights: bool = True, strict: bool = False):
    """Call the module with other parameters and buffers in place of its own.

    Args:
        parameters_and_buffers: tensors by full name; those not named stay. A tuple of dicts is
            taken together.
        args: one argument, or a tuple of them.
        tie_weights: a tensor given under one name replaces it under all.
        strict: every name must be given, and none that is unknown.
    """
    if isinstance(parameters_and_buffers, (tuple, list)):
        merged: dict[str, Tensor] = {}
        for part in parameters_and_buffers:
            repeated = merged.keys() & part.keys()
            if repeated:
                raise ValueError(f"{sorted(repeated)} appeared in multiple dictionaries; behavior "
                                 "of functional call is ambiguous")
            merged.update(part)
        parameters_and_buffers = merged
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with _reparametrize_module(module, parameters_and_buffers, tie_weights, strict):
        return module(*args, **(kwargs or {}))
