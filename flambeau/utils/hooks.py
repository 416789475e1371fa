"""torch.utils.hooks: what registering a hook returns, and marks for hooks and pickling."""

from __future__ import annotations

import warnings

from ..autograd.tape import RemovableHandle as RemovableHandle


def unserializable_hook(f):
    """Decorator: a hook that is not kept when its tensor is pickled; pickling warns."""
    f.__torch_unserializable__ = True
    return f


def warn_if_has_hooks(tensor) -> None:
    """Warn when the tensor has hooks that pickling would lose."""
    for hook in (getattr(tensor, "_backward_hooks", None) or {}).values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(f"backward hook {hook!r} on tensor will not be serialized.  If this is "
                          "expected, you can decorate the function with @torch.utils.hooks."
                          "unserializable_hook to suppress this warning", stacklevel=2)
