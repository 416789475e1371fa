"""The base of all optimizers: parameter groups, state, hooks, saving and loading.

:class:`Optimizer` is what a program derives its own optimizers from. The built-in ones derive from
:class:`Algorithm` (``algorithm.py``), which gathers what an update needs.
"""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from itertools import chain

from ..autograd.tape import RemovableHandle
from ..tensor import Tensor

_global_pre_hooks: OrderedDict = OrderedDict()
_global_post_hooks: OrderedDict = OrderedDict()


class _Required:
    """The default of an option that every parameter group has to give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()

_HOOK_TABLES = (
    "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks", "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks", "_optimizer_load_state_dict_post_hooks",
)


def _add_hook(table: OrderedDict, hook: Callable, prepend: bool = False) -> RemovableHandle:
    handle = RemovableHandle(table)
    table[handle.id] = hook
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


def register_optimizer_step_pre_hook(hook: Callable) -> RemovableHandle:
    """``hook(optimizer, args, kwargs)`` before every step of every optimizer."""
    return _add_hook(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable) -> RemovableHandle:
    """``hook(optimizer, args, kwargs)`` after every step of every optimizer."""
    return _add_hook(_global_post_hooks, hook)


def _hookable(step: Callable) -> Callable:
    """``step`` with the hooks around it; nothing but a look at four tables when there are none."""

    @functools.wraps(step)
    def wrapper(self, *args, **kwargs):
        self._opt_called = True
        if (self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks
                or _global_pre_hooks or _global_post_hooks) and not self._inside_hooks:
            return _step_with_hooks(step, self, args, kwargs)
        if args or kwargs:
            return step(self, *args, **kwargs)
        return step(self)

    wrapper.hooked = True
    return wrapper


def _step_with_hooks(step: Callable, self: Optimizer, args: tuple, kwargs: dict):
    self._inside_hooks = True  # super().step() inside an overriding step is no second step
    try:
        # PyTorch's hooks see the optimizer itself as the first of the arguments
        args = (self, *args)
        for hook in list(chain(_global_pre_hooks.values(),
                               self._optimizer_step_pre_hooks.values())):
            changed = hook(self, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(f"{hook} must return None or a tuple of "
                                       f"(new_args, new_kwargs), but got {changed}.")
                args, kwargs = changed
        out = step(*args, **kwargs)
        for hook in list(chain(self._optimizer_step_post_hooks.values(),
                               _global_post_hooks.values())):
            hook(self, args, kwargs)
        return out
    finally:
        self._inside_hooks = False


class Optimizer:
    """Base class: holds the parameters in groups, each with its options.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts with the key "params" and options that
            differ from the defaults.
        defaults: options of groups that do not give them.

    Raises:
        TypeError: a single tensor instead of a collection, a set, or things that are no tensors.
        ValueError: nothing to optimize, a tensor that is no leaf, or one in two groups.
    """

    _inside_hooks = False
    _opt_called = False

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if step is not None and inspect.isfunction(step) and not hasattr(step, "hooked"):
            cls.step = _hookable(step)

    def __init__(self, params: Iterable, defaults: dict):
        self.defaults = defaults
        for table in _HOOK_TABLES:
            setattr(self, table, OrderedDict())
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of "
                            f"Tensors or dicts, but got {_typename(params)}; for a single tensor "
                            "write [tensor]")
        self.state = defaultdict(dict)
        self.param_groups: list[dict] = []
        owner = _owner_of(params)
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list" + _why_empty(owner))
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # -- state -----------------------------------------------------------------------------------

    @property
    def state(self) -> defaultdict:
        """What the optimizer remembers of each parameter: ``state[parameter][name]``."""
        self._state_seen = True  # the program may change it from now on: see Algorithm
        return self._state

    @state.setter
    def state(self, value) -> None:
        self._state = value
        self._state_seen = False
        self._forget()

    def _forget(self) -> None:
        """The state or the groups were replaced: drop what was derived from them."""

    def __getstate__(self) -> dict:
        return {"defaults": self.defaults, "state": self._state,
                "param_groups": self.param_groups}

    def __setstate__(self, state: dict) -> None:
        state = dict(state)
        if "state" in state:
            self.state = state.pop("state")
        self.__dict__.update(state)
        for table in _HOOK_TABLES:
            self.__dict__.setdefault(table, OrderedDict())
        self.defaults.setdefault("differentiable", False)

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            for key in sorted(group):
                if key != "params":
                    text += f"    {key}: {group[key]}\n"
        return text + ")"

    # -- the two calls of every training step -----------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        if set_to_none:
            for group in self.param_groups:
                for p in group["params"]:
                    p._grad = None  # what the property would do, without asking it
            return
        for group in self.param_groups:
            for p in group["params"]:
                grad = p.grad
                if grad is not None:
                    if grad.grad_fn is not None:
                        grad.detach_()
                    else:
                        grad.requires_grad_(False)
                    grad.zero_()

    def step(self, closure: Callable | None = None):
        """Change the parameters once.

        Args:
            closure: computes the loss again and its gradients; returns the loss.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define step()")

    # -- groups ----------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict) -> None:
        """Add a group: a dict with "params" and the options that differ from the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead.")
        params = list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        params = [p[1] if isinstance(p, tuple) else p for p in params]
        param_group["params"] = params
        if names:
            if len(names) != len(params):
                raise ValueError("all optimizer params should be with/without names. "
                                 "Some param names are missing")
            param_group["param_names"] = names
        self._check_params(params)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError("parameter group didn't specify a value of required optimization "
                                 f"parameter {name}")
            param_group.setdefault(name, default)
        self._check_group(param_group)
        self.param_groups.append(param_group)
        self._forget()

    def _check_params(self, params: list) -> None:
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise TypeError("optimizer can only optimize Tensors, but one of the params is "
                                f"{_typename(p)} (at position {i})")
            if not self.defaults.get("differentiable") and not (p.is_leaf or p.retains_grad):
                raise ValueError(
                    f"can't optimize a non-leaf Tensor: the tensor at position {i}, of shape "
                    f"{tuple(p.shape)}, is the result of {p.grad_fn.name()}; give the tensor it "
                    "was computed from, or .detach().requires_grad_()")

    def _check_group(self, param_group: dict) -> None:
        params = param_group["params"]
        if len(params) != len(set(params)):
            warnings.warn("optimizer contains a parameter group with duplicate parameters; in "
                          "future, this will cause an error; see "
                          "github.com/pytorch/pytorch/issues/40967 for more information",
                          stacklevel=4)
        known: set = set()
        for group in self.param_groups:
            known.update(group["params"])
            if ("param_names" in param_group) != ("param_names" in group):
                text = "with names" if "param_names" in param_group else "without names"
                raise ValueError("all optimizer param groups should be with/without names. "
                                 f"cannot add param group {text} to the optimizer")
        if not known.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")

    # -- saving and loading ------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """``{"state": ..., "param_groups": ...}`` with numbers in place of the parameters."""
        for hook in list(self._optimizer_state_dict_pre_hooks.values()):
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers.setdefault(id(p), len(numbers)) for p in group["params"]]
            groups.append(packed)
        state = {numbers[id(k)] if isinstance(k, Tensor) else k:
                 dict(v) if isinstance(v, dict) else v for k, v in self._state.items()}
        result = {"state": state, "param_groups": groups}
        for hook in list(self._optimizer_state_dict_post_hooks.values()):
            changed = hook(self, result)
            if changed is not None:
                result = changed
        return result

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from what :meth:`state_dict` gave; floating state takes the parameters' dtype.

        Raises:
            ValueError: another number of groups, or of parameters in a group.
        """
        state_dict = state_dict.copy()
        for hook in list(self._optimizer_load_state_dict_pre_hooks.values()):
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed
        saved = copy.deepcopy(state_dict["param_groups"])
        self._check_sizes(saved)
        params = dict(zip(chain.from_iterable(g["params"] for g in saved),
                          chain.from_iterable(g["params"] for g in self.param_groups),
                          strict=True))
        on_device = {number for g in saved if g.get("capturable") or g.get("fused")
                     for number in g["params"]}
        state: defaultdict = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in params:
                state[params[key]] = _fitted(params[key], value, None, key in on_device)
            else:
                state[key] = value
        for group, new in zip(self.param_groups, saved, strict=True):
            new["params"] = group["params"]
            if "param_names" in group:
                new.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in list(self._optimizer_load_state_dict_post_hooks.values()):
            hook(self)

    def _check_sizes(self, saved: list) -> None:
        groups = self.param_groups
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups: "
                             f"{len(saved)}, this optimizer has {len(groups)}")
        for i, (group, other) in enumerate(zip(groups, saved, strict=True)):
            if len(group["params"]) != len(other["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    f"optimizer's group: group {i} has {len(other['params'])} parameters there "
                    f"and {len(group['params'])} here")

    # -- hooks -----------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(optimizer, args, kwargs)`` before a step; may return new ``(args, kwargs)``."""
        return _add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(optimizer, args, kwargs)`` after a step."""
        return _add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable, prepend: bool = False):
        """``hook(optimizer)`` before :meth:`state_dict`."""
        return _add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable, prepend: bool = False):
        """``hook(optimizer, state_dict)`` after :meth:`state_dict`; may return another one."""
        return _add_hook(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable, prepend: bool = False):
        """``hook(optimizer, state_dict)`` before loading; may return another state dict."""
        return _add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable, prepend: bool = False):
        """``hook(optimizer)`` after :meth:`load_state_dict`."""
        return _add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    @staticmethod
    def profile_hook_step(func: Callable) -> Callable:
        """``func`` with the step hooks around it (PyTorch's profiler attaches here)."""
        return _hookable(func)

    def _optimizer_step_code(self) -> None:
        """Where PyTorch's profiler looks in; nothing to do."""


def _fitted(param, value, key, on_device: bool):
    """Loaded state as this parameter needs it: its device, and its dtype where that floats."""
    if isinstance(value, Tensor):
        if key == "step":  # counts stay as they were saved
            return value.to(dtype=value.dtype, device=param.device) if on_device else value
        if param.is_floating_point():
            return value.to(dtype=param.dtype, device=param.device)
        return value.to(device=param.device)
    if isinstance(value, dict):
        return {k: _fitted(param, v, k, on_device) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(_fitted(param, v, None, on_device) for v in value)
    return value


def _typename(value) -> str:
    return "torch.Tensor" if isinstance(value, Tensor) else (
        f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins."))


def _owner_of(params):
    """The module whose ``parameters()`` this is, if that can be told."""
    frame = getattr(params, "gi_frame", None)
    if frame is not None:
        return frame.f_locals.get("self")
    return getattr(params, "module", None)


def _why_empty(owner) -> str:
    """Parameters that sit where a module does not look: in plain lists, tuples and dicts."""
    if owner is None or not hasattr(owner, "named_modules"):
        return ""
    found = []
    for path, module in owner.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_"):
                continue
            items = value.values() if isinstance(value, dict) else value
            if isinstance(value, (list, tuple, dict)):
                n = sum(_count(item) for item in items)
                if n:
                    where = ".".join(filter(None, (type(owner).__name__, path, name)))
                    cure = "ModuleDict" if isinstance(value, dict) else "ModuleList"
                    found.append(f"{n} inside the plain {type(value).__name__} `{where}`: "
                                 f"use {cure} (or Parameter{cure[6:]})")
    start = f": {type(owner).__name__} has 0 registered parameters"
    return start + (", but " + "; ".join(found) if found else "")


def _count(item) -> int:
    if isinstance(item, Tensor):
        return int(item.requires_grad)
    return len(list(item.parameters())) if hasattr(item, "parameters") else 0
