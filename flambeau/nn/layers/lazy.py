"""Lazy modules: parameters that take their shape from the first input."""

from __future__ import annotations

from ..hooks import TABLES
from ..parameter import is_lazy


class LazyModuleMixin:
    """Put before a layer class, makes it wait for its first input.

    The class gives ``cls_to_become`` (what it is afterwards) and
    ``initialize_parameters(*inputs)``, which materializes the parameters.
    """

    cls_to_become = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(_infer_parameters, with_kwargs=True)

    def _save_to_state_dict(self, destination, prefix: str, keep_vars: bool) -> None:
        members = (*self._parameters.items(), *self._buffers.items())
        for name, value in members:
            if value is not None and name not in self._non_persistent_buffers_set:
                whole = keep_vars or is_lazy(value)
                destination[prefix + name] = value if whole else value.detach()

    def _lazy_load_hook(self, state_dict, prefix: str, *_) -> None:
        """Take the shapes of what is about to be loaded."""
        for name, value in (*self._parameters.items(), *self._buffers.items()):
            given = state_dict.get(prefix + name)
            if value is not None and given is not None and is_lazy(value) and not is_lazy(given):
                value.materialize(given.shape)

    def initialize_parameters(self, *args, **kwargs) -> None:
        """Make the parameters for the sizes of the inputs; every lazy class defines it."""
        raise NotImplementedError("initialize_parameters is not implemented for "
                                  f"{type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer still waits."""
        return any(is_lazy(value)
                   for value in (*self._parameters.values(), *self._buffers.values()))


def _infer_parameters(module, args, kwargs=None) -> None:
    """The forward pre-hook: initialise, then become the ordinary class."""
    module.initialize_parameters(*args, **(kwargs or {}))
    if module.has_uninitialized_params():
        raise RuntimeError(f"module {module._get_name()} has not been fully initialized")
    module._initialize_hook.remove()
    module._load_hook.remove()
    del module._initialize_hook, module._load_hook
    module._hooked = any(getattr(module, table) for table in TABLES)
    if module.cls_to_become is not None:
        module.__class__ = module.cls_to_become
