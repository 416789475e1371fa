"""Module hooks: the tables, the process-wide hooks, and what runs them around ``forward``.

``Module.__call__`` only comes here when the module has ever had a hook, or when there are global
ones; see :func:`call_with_hooks`.
"""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict

from .core import Function, RemovableHandle, Tensor, is_grad_enabled, zeros

#: attributes of a module that hold hooks which run around forward
TABLES = ("_backward_pre_hooks", "_backward_hooks", "_forward_hooks", "_forward_pre_hooks")


class GlobalHooks:
    """Hooks of all modules; ``active`` is read by every module call."""

    def __init__(self):
        self.active = False
        self.forward_pre: dict = OrderedDict()
        self.forward: dict = OrderedDict()
        self.forward_with_kwargs: dict = OrderedDict()
        self.forward_always: dict = OrderedDict()
        self.backward_pre: dict = OrderedDict()
        self.backward: dict = OrderedDict()
        self.registration = {"parameter": OrderedDict(), "buffer": OrderedDict(),
                             "module": OrderedDict()}

    def refresh(self) -> None:
        """Recompute ``active`` after a change."""
        self.active = bool(self.forward_pre or self.forward or self.backward_pre or self.backward)


GLOBAL = GlobalHooks()


class Handle(RemovableHandle):
    """What registering a hook gives: ``remove()`` takes it away, and what was noted with it."""

    def __init__(self, hooks, extra_dict=()):
        super().__init__(hooks)
        self.extra = extra_dict

    def remove(self) -> None:
        """Take the hook away (again: nothing happens)."""
        super().remove()
        for table in self.extra:
            table.pop(self.id, None)


class _GlobalHandle(Handle):
    def remove(self) -> None:
        super().remove()
        GLOBAL.refresh()


def _add_global(table: dict, hook, *flags: dict) -> RemovableHandle:
    handle = _GlobalHandle(table, extra_dict=list(flags))
    table[handle.id] = hook
    for flag in flags:
        flag[handle.id] = True
    GLOBAL.refresh()
    return handle


def register_module_forward_pre_hook(hook) -> RemovableHandle:
    """``hook(module, args)`` before every forward of every module."""
    return _add_global(GLOBAL.forward_pre, hook)


def register_module_forward_hook(hook, *, with_kwargs: bool = False,
                                 always_call: bool = False) -> RemovableHandle:
    """``hook(module, args, output)`` after every forward of every module."""
    flags = [GLOBAL.forward_with_kwargs] if with_kwargs else []
    flags += [GLOBAL.forward_always] if always_call else []
    return _add_global(GLOBAL.forward, hook, *flags)


def register_module_full_backward_pre_hook(hook) -> RemovableHandle:
    """``hook(module, grad_output)`` when the gradient of any module's output is there."""
    return _add_global(GLOBAL.backward_pre, hook)


def register_module_full_backward_hook(hook) -> RemovableHandle:
    """``hook(module, grad_input, grad_output)`` when any module's backward is done."""
    return _add_global(GLOBAL.backward, hook)


register_module_backward_hook = register_module_full_backward_hook


def _add_registration(kind: str, hook) -> RemovableHandle:
    table = GLOBAL.registration[kind]
    handle = Handle(table)
    table[handle.id] = hook
    return handle


def register_module_parameter_registration_hook(hook) -> RemovableHandle:
    """``hook(module, name, parameter)`` whenever a parameter is registered; may replace it."""
    return _add_registration("parameter", hook)


def register_module_buffer_registration_hook(hook) -> RemovableHandle:
    """``hook(module, name, buffer)`` whenever a buffer is registered; may replace it."""
    return _add_registration("buffer", hook)


def register_module_module_registration_hook(hook) -> RemovableHandle:
    """``hook(module, name, submodule)`` whenever a submodule is registered; may replace it."""
    return _add_registration("module", hook)


def registered(kind: str, module, name: str, value):
    """``value`` after the registration hooks of its kind."""
    for hook in GLOBAL.registration[kind].values():
        changed = hook(module, name, value)
        if changed is not None:
            value = changed
    return value


# --- the call --------------------------------------------------------------------------------


def call_with_hooks(module, args: tuple, kwargs: dict):
    """Forward with everything around it: pre-hooks, backward hooks, hooks."""
    done: set[int] = set()
    try:
        return _hooked(module, args, kwargs, done)
    except Exception:
        _always_hooks(module, args, kwargs, done)
        raise


def _hooked(module, args, kwargs, done: set):
    for key, hook in (*GLOBAL.forward_pre.items(), *module._forward_pre_hooks.items()):
        if key in module._forward_pre_hooks_with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError("forward pre-hook must return None or a tuple of (new_args, "
                                       f"new_kwargs), but got {changed}.")
                args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    backward = BackwardHook.wanted(module)
    if backward is not None:
        args = backward.watch_inputs(args)
    result = module.forward(*args, **kwargs)
    for key, hook in (*GLOBAL.forward.items(), *module._forward_hooks.items()):
        if key in module._forward_hooks_always_called or key in GLOBAL.forward_always:
            done.add(key)
        changed = _call_forward_hook(module, key, hook, args, kwargs, result)
        if changed is not None:
            result = changed
    if backward is not None:
        if not isinstance(result, (Tensor, tuple)):
            _warn_output(result)
        result = backward.watch_outputs(result)
    return result


def _call_forward_hook(module, key: int, hook, args, kwargs, result):
    if key in module._forward_hooks_with_kwargs or key in GLOBAL.forward_with_kwargs:
        return hook(module, args, kwargs, result)
    return hook(module, args, result)


def _always_hooks(module, args, kwargs, done: set) -> None:
    """After an error: the hooks registered with ``always_call`` that have not run yet."""
    for key, hook in (*GLOBAL.forward.items(), *module._forward_hooks.items()):
        always = key in module._forward_hooks_always_called or key in GLOBAL.forward_always
        if always and key not in done:
            try:
                _call_forward_hook(module, key, hook, args, kwargs, None)
            except Exception as error:
                _warn(f"module forward hook with ``always_call=True`` raised an exception that was "
                      f"silenced as another error was raised in forward: {error}")


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=5)


def _warn_output(result) -> None:
    if not _tensors_in(result):
        _warn("For backward hooks to be called, module output should be a Tensor or a tuple of "
              f"Tensors but received {type(result)}")


def _tensors_in(result) -> bool:
    values = result.values() if isinstance(result, dict) else result
    return isinstance(values, (list, tuple, type({}.values()))) and any(
        isinstance(v, Tensor) for v in values)


# --- gradients of inputs and outputs ----------------------------------------------------------


class BackwardHookFunction(Function):
    """The identity, at the border of a module: its gradients are those of inputs or outputs."""

    @staticmethod
    def forward(ctx, *tensors):
        """Each tensor under a new name."""
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx, *grads):
        """Passed on."""
        return grads


class BackwardHook:
    """The full backward hooks of one call: grad_output first, grad_input when it is complete."""

    def __init__(self, module, hooks: list, pre_hooks: list):
        self.module = weakref.ref(module)
        self.hooks, self.pre_hooks = hooks, pre_hooks
        self.grad_outputs: tuple | None = None
        self.input_count = self.output_count = 0
        self.input_places: list[int] | None = None

    @classmethod
    def wanted(cls, module) -> BackwardHook | None:
        """One for this call, or None when the module has no backward hooks."""
        hooks = [*GLOBAL.backward.values(), *module._backward_hooks.values()]
        pre_hooks = [*GLOBAL.backward_pre.values(), *module._backward_pre_hooks.values()]
        return cls(module, hooks, pre_hooks) if hooks or pre_hooks else None

    def _border(self, values: tuple, attach):
        """Pass tensors through the identity; ``attach`` its grad_fn. None: nothing to watch."""
        places = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
        if not (is_grad_enabled() and places):
            return values, None
        new = BackwardHookFunction.apply(*[values[i] for i in places])
        grad_fn = next((t.grad_fn for t in new if t.grad_fn is not None), None)
        if grad_fn is None:
            raise RuntimeError("Error while setting up backward hooks. Please report it.")
        constants = {i: (v.shape, v.dtype, v.device) for i, v in enumerate(values)
                     if isinstance(v, Tensor) and not v.requires_grad}
        attach(grad_fn, places, constants)
        values = list(values)
        for i, t in zip(places, new, strict=True):
            values[i] = t
        return tuple(values), places

    def watch_inputs(self, args: tuple) -> tuple:
        """The arguments, so that their gradients will be seen."""
        self.input_count = len(args)
        if not self.hooks:
            return args

        def attach(grad_fn, places, constants):
            grad_fn.register_hook(
                lambda grads, _: self._inputs_done(grads, places, constants))

        args, self.input_places = self._border(args, attach)
        return args

    def watch_outputs(self, result):
        """The result, so that its gradients will be seen."""
        single = not isinstance(result, tuple)
        values = (result,) if single else result
        self.output_count = len(values)

        def attach(grad_fn, places, constants):
            grad_fn.register_prehook(
                lambda grads: self._outputs_there(grads, places, constants))

        new, _ = self._border(values, attach)
        if single:
            return new[0]
        return type(result)(*new) if hasattr(result, "_fields") else new

    @staticmethod
    def _spread(grads, places: list, constants: dict, count: int) -> tuple:
        """One gradient per argument: zeros for tensors without, None for what is no tensor."""
        full = [None] * count
        for i, (shape, dtype, device) in constants.items():
            full[i] = zeros(shape, dtype=dtype, device=device)
        for i, g in zip(places, grads, strict=True):
            full[i] = g
        return tuple(full)

    def _outputs_there(self, grads, places: list, constants: dict):
        module = self.module()
        full = self._spread(grads, places, constants, self.output_count)
        for hook in self.pre_hooks:
            changed = hook(module, full)
            if changed is not None:
                changed = changed if isinstance(changed, tuple) else (changed,)
                if len(changed) != len(full):
                    raise RuntimeError("Backward pre hook returned an invalid number of grad_output"
                                       f" got {len(changed)}, but expected {len(full)}")
                full = changed
        self.grad_outputs = full
        if self.input_places is None:  # no input requires a gradient: nothing else will call
            empty = (None,) * self.input_count
            for hook in self.hooks:
                changed = hook(module, empty, full)
                if changed is not None and not all(g is None for g in _as_tuple(changed)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always "
                        "return None or None for all gradients.")
            self.grad_outputs = None
        return tuple(full[i] for i in places)

    def _inputs_done(self, grads, places: list, constants: dict):
        module = self.module()
        full = self._spread(grads, places, constants, self.input_count)
        for hook in self.hooks:
            changed = hook(module, full, self.grad_outputs)
            if changed is not None:
                changed = _as_tuple(changed)
                if len(changed) != len(full):
                    raise RuntimeError("Backward hook returned an invalid number of grad_input, "
                                       f"got {len(changed)}, but expected {len(full)}")
                full = changed
        self.grad_outputs = None
        return tuple(full[i] for i in places)


def _as_tuple(value) -> tuple:
    return value if isinstance(value, tuple) else (value,)
