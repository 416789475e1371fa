"""state_dict and load_state_dict: a module's parameters and persistent buffers by full name."""

from __future__ import annotations

import itertools
from collections import OrderedDict, namedtuple
from collections.abc import Mapping

from .core import RemovableHandle, Tensor, no_grad
from .parameter import Parameter, is_lazy

_EXTRA = "_extra_state"


class _IncompatibleKeys(namedtuple("_IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What ``load_state_dict`` returns: names it did not find, names it did not know."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class StateMixin:
    """The part of Module that saves and restores."""

    # --- hooks ----------------------------------------------------------------------------------

    def _state_hook(self, table: str, hook) -> RemovableHandle:
        hooks = getattr(self, table)
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        return handle

    def register_state_dict_post_hook(self, hook) -> RemovableHandle:
        """``hook(module, state_dict, prefix, local_metadata)`` after ``state_dict``."""
        hook._from_public_api = True
        return self._state_hook("_state_dict_hooks", hook)

    def _register_state_dict_hook(self, hook) -> RemovableHandle:
        """The older form, whose result replaces the state dict."""
        return self._state_hook("_state_dict_hooks", hook)

    def register_state_dict_pre_hook(self, hook) -> RemovableHandle:
        """``hook(module, prefix, keep_vars)`` before ``state_dict``."""
        return self._state_hook("_state_dict_pre_hooks", hook)

    def _register_load_state_dict_pre_hook(self, hook, with_module: bool = False):
        return self._state_hook("_load_state_dict_pre_hooks", _LoadHook(hook, with_module, self))

    def register_load_state_dict_pre_hook(self, hook) -> RemovableHandle:
        """``hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)`` before this module is loaded."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook) -> RemovableHandle:
        """``hook(module, incompatible_keys)`` after this module is loaded; may clear the lists."""
        return self._state_hook("_load_state_dict_post_hooks", hook)

    # --- saving ---------------------------------------------------------------------------------

    def get_extra_state(self):
        """More to put into the state dict; define it together with ``set_extra_state``."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be "
                           "called.")

    def set_extra_state(self, state) -> None:
        """Take what ``get_extra_state`` gave."""
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be "
                           "called.")

    def _defines(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(StateMixin, method)

    def _save_to_state_dict(self, destination, prefix: str, keep_vars: bool) -> None:
        """Put this module's own tensors into ``destination``; subclasses may add theirs."""
        for name, param in self._parameters.items():
            if param is not None:
                destination[prefix + name] = param if keep_vars else param.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = buffer if keep_vars else buffer.detach()
        if self._defines("get_extra_state"):
            destination[prefix + _EXTRA] = self.get_extra_state()

    def state_dict(self, *args, destination=None, prefix: str = "", keep_vars: bool = False):
        """All parameters and persistent buffers by full name, sharing memory with the module.

        Args:
            keep_vars: keep them attached to autograd instead of detached.

        Returns:
            An OrderedDict.
        """
        if args:  # the older positional form
            destination = args[0] if destination is None else destination
            prefix = args[1] if len(args) > 1 and prefix == "" else prefix
            keep_vars = args[2] if len(args) > 2 and keep_vars is False else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=prefix + name + ".",
                                  keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            changed = hook(self, destination, prefix, metadata)
            if getattr(hook, "_from_public_api", False):
                if changed is not None:
                    raise RuntimeError("state_dict post-hook must return None")
            elif changed is not None:
                destination = changed
        return destination

    # --- loading --------------------------------------------------------------------------------

    def _load_from_state_dict(self, state_dict, prefix: str, local_metadata: dict, strict: bool,
                              missing_keys: list, unexpected_keys: list, error_msgs: list) -> None:
        """Copy this module's own tensors from ``state_dict``; subclasses may convert first."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                 error_msgs)
        persistent = {name: buffer for name, buffer in self._buffers.items()
                      if name not in self._non_persistent_buffers_set}
        local = {name: value for name, value in (*self._parameters.items(), *persistent.items())
                 if value is not None}
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, value in local.items():
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            given = state_dict[key]
            problem = _unfit(key, value, given)
            if problem:
                error_msgs.append(problem)
                continue
            if not is_lazy(value) and value.dim() == 0 and given.dim() == 1 and len(given) == 1:
                given = given[0]  # files of PyTorch 0.3 and older
            try:
                self._load_one(name, value, given, assign)
            except Exception as error:
                sizes = "" if is_lazy(value) else (
                    f", whose dimensions in the model are {tuple(value.shape)} and whose "
                    f"dimensions in the checkpoint are {tuple(given.shape)}")
                error_msgs.append(f'While copying the parameter named "{key}"{sizes}, an exception '
                                  f"occurred : {error.args}.")
        self._load_extra(state_dict, prefix, strict, missing_keys, unexpected_keys)
        if strict:
            self._note_unexpected(state_dict, prefix, local, unexpected_keys)

    def _load_one(self, name: str, value, given, assign: bool) -> None:
        with no_grad():
            if not assign:
                value.copy_(given)
                return
            if isinstance(value, Parameter):
                if not isinstance(given, Parameter):
                    given = Parameter(given, requires_grad=value.requires_grad)
                else:
                    given.requires_grad_(value.requires_grad)
            setattr(self, name, given)

    def _load_extra(self, state_dict, prefix, strict, missing_keys, unexpected_keys) -> None:
        key = prefix + _EXTRA
        if self._defines("set_extra_state"):
            if key in state_dict:
                self.set_extra_state(state_dict[key])
            elif strict:
                missing_keys.append(key)
        elif strict and key in state_dict:
            unexpected_keys.append(key)

    def _note_unexpected(self, state_dict, prefix: str, local: dict, unexpected: list) -> None:
        extra = prefix + _EXTRA
        for key in state_dict:
            if not key.startswith(prefix) or key == extra:
                continue
            head, *rest = key[len(prefix):].split(".", 1)
            if rest:
                if head not in self._modules:
                    unexpected.append(key)
            elif head not in local:
                unexpected.append(key)

    def load_state_dict(self, state_dict: Mapping, strict: bool = True, assign: bool = False):
        """Copy parameters and buffers from ``state_dict`` into this module and those below.

        Args:
            strict: every name must be there, and none too many.
            assign: put the given tensors in place of the module's instead of copying values.

        Returns:
            A named tuple ``(missing_keys, unexpected_keys)``.

        Raises:
            TypeError: ``state_dict`` is not a mapping.
            RuntimeError: names (with ``strict``) or shapes do not fit; all of them are listed.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError("Expected state_dict to be dict-like, got "
                            f"{type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        given = OrderedDict(state_dict)
        if metadata is not None:
            given._metadata = metadata

        def load(module, local_state, prefix=""):
            local_metadata = {} if metadata is None else metadata.get(prefix[:-1], {})
            if assign:
                local_metadata["assign_to_params_buffers"] = True
            module._load_from_state_dict(local_state, prefix, local_metadata, True, missing,
                                         unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    start = prefix + name + "."
                    load(child, {k: v for k, v in local_state.items() if k.startswith(start)},
                         start)
            keys = _IncompatibleKeys(missing, unexpected)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, keys) is not None:
                    raise AssertionError(
                        "Hooks registered with ``register_load_state_dict_post_hook`` are not "
                        "expected to return new values, if incompatible_keys need to be modified, "
                        "it should be done inplace.")

        load(self, given)
        if strict:
            errors = _key_errors(missing, unexpected, list(given), self) + errors
        if errors:
            raise RuntimeError("Error(s) in loading state_dict for {}:\n\t{}".format(
                type(self).__name__, "\n\t".join(errors)))
        return _IncompatibleKeys(missing, unexpected)


class _LoadHook:
    """A load pre-hook that may want the module first; the module is found again after copying."""

    def __init__(self, hook, with_module: bool, module):
        self.hook, self.with_module, self.module = hook, with_module, module

    def __call__(self, *args):
        return self.hook(self.module, *args) if self.with_module else self.hook(*args)


def _unfit(key: str, value, given) -> str | None:
    """Why ``given`` cannot be loaded into ``value``; None when it can."""
    if not isinstance(given, Tensor):
        return (f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
                f"object from checkpoint but received {type(given)}")
    if is_lazy(value) or is_lazy(given):
        return None
    if value.dim() == 0 and given.dim() == 1 and len(given) == 1:
        return None
    if given.shape != value.shape:
        return (f"size mismatch for {key}: copying a param with shape {given.shape} from "
                f"checkpoint, the shape in current model is {value.shape}.")
    return None


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _key_errors(missing: list, unexpected: list, given: list, module) -> list[str]:
    """PyTorch's two lines on names, and what they have in common when that explains them."""
    errors = []
    if missing:
        errors.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
    if unexpected:
        errors.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
    hint = _prefix_hint(missing, unexpected, given, module)
    return errors + [hint] if hint else errors


def _prefix_hint(missing: list, unexpected: list, given: list, module) -> str | None:
    """Whether one prefix, on one side, makes the names equal."""
    if not missing or not unexpected:
        return None
    wanted = list(module.state_dict())
    for side, mine, theirs in (("state_dict", wanted, given), ("model", given, wanted)):
        prefix = _common_prefix(mine, theirs)
        if prefix is None:
            continue
        changed = sum(key.startswith(prefix) and key[len(prefix):] in set(mine) for key in theirs)
        cure = (f'load {{k.removeprefix("{prefix}"): v for k, v in state_dict.items()}}'
                if side == "state_dict" else
                f'load {{"{prefix}" + k: v for k, v in state_dict.items()}}')
        return (f'{changed} of {len(theirs)} key(s) differ only by the prefix "{prefix}" in the '
                f"{side}: {cure}.")
    return None


def _common_prefix(mine: list, theirs: list) -> str | None:
    """The prefix that most of ``theirs`` have before a name of ``mine``."""
    names = set(mine)
    counts: dict[str, int] = {}
    for key in theirs:
        parts = key.split(".")
        for i in itertools.islice(range(1, len(parts)), 3):
            if ".".join(parts[i:]) in names and key not in names:
                prefix = ".".join(parts[:i]) + "."
                counts[prefix] = counts.get(prefix, 0) + 1
    best = max(counts, key=counts.get, default=None)
    return best if best is not None and counts[best] * 2 >= len(theirs) else None
