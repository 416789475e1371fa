"""Module: the base class of layers and models.

Three things make it up: what it registers (attributes that are parameters, buffers or modules; see
registry.py for how they are kept), how it is called (``__call__``, with hooks.py around it), and
its walks (``parameters()``, ``apply``, ``to``, ...). State dicts are in state.py.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from ..base.errors import DimError, DTypeError, ShapeError
from . import hooks
from .convert import ConversionMixin
from .core import RemovableHandle, Tensor
from .hooks import GLOBAL, TABLES, Handle, call_with_hooks, registered
from .parameter import Buffer, Parameter, UninitializedBuffer
from .registry import KINDS, Members, adopt
from .state import StateMixin, _IncompatibleKeys as _IncompatibleKeys

_set = object.__setattr__
_HOOK_TABLES = (*TABLES, "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
                "_forward_pre_hooks_with_kwargs", "_state_dict_hooks", "_state_dict_pre_hooks",
                "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks")


def _unimplemented_forward(self, *inputs) -> None:
    """What the module computes; every subclass defines it.

    Raises:
        NotImplementedError: the subclass does not.
    """
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" '
                              "function")


class Module(StateMixin, ConversionMixin):
    """The base class of layers and models.

    Subclasses call ``super().__init__()`` first, assign their layers and parameters as attributes
    and define ``forward``; calling the module runs it, with hooks.

    Example:
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.fc = nn.Linear(2, 1)
        ...     def forward(self, x):
        ...         return self.fc(x)
    """

    training: bool
    dump_patches = False
    call_super_init = False
    _version: int = 1
    #: whether a hook that runs around forward has ever been registered on this module
    _hooked = False
    _compiled_call_impl: Callable | None = None

    def __init__(self, *args, **kwargs) -> None:
        if not self.call_super_init:
            if kwargs:
                raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword "
                                f"argument '{next(iter(kwargs))}'")
            if args:
                raise TypeError(f"{type(self).__name__}.__init__() takes 1 positional argument but "
                                f"{len(args) + 1} were given")
        adopt(self)
        _set(self, "training", True)
        _set(self, "_non_persistent_buffers_set", set())
        for table in _HOOK_TABLES:
            _set(self, table, OrderedDict())
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # --- calling --------------------------------------------------------------------------------

    forward: Callable = _unimplemented_forward

    def __call__(self, *args, **kwargs):
        """Run the hooks and :meth:`forward`."""
        try:
            if self._hooked or GLOBAL.active:
                return call_with_hooks(self, args, kwargs)
            return self.forward(*args, **kwargs)
        except (ShapeError, DTypeError, DimError) as error:
            _name_module(error, self, args)
            raise

    _call_impl = _wrapped_call_impl = __call__

    def _add_hook(self, table: str, hook, prepend: bool = False, *flags: str) -> RemovableHandle:
        hooks_of = getattr(self, table)
        handle = Handle(hooks_of, extra_dict=[getattr(self, f) for f in flags])
        hooks_of[handle.id] = hook
        for flag in flags:
            getattr(self, flag)[handle.id] = True
        if prepend:
            hooks_of.move_to_end(handle.id, last=False)
        if table in TABLES:
            self._hooked = True
        return handle

    def register_forward_pre_hook(self, hook, *, prepend: bool = False,
                                  with_kwargs: bool = False) -> RemovableHandle:
        """``hook(module, args)`` before forward; what it returns replaces the arguments.

        With ``with_kwargs`` it is ``hook(module, args, kwargs)`` and returns both, or None.
        """
        flags = ["_forward_pre_hooks_with_kwargs"] if with_kwargs else []
        return self._add_hook("_forward_pre_hooks", hook, prepend, *flags)

    def register_forward_hook(self, hook, *, prepend: bool = False, with_kwargs: bool = False,
                              always_call: bool = False) -> RemovableHandle:
        """``hook(module, args, output)`` after forward; what it returns replaces the output."""
        flags = ["_forward_hooks_with_kwargs"] if with_kwargs else []
        flags += ["_forward_hooks_always_called"] if always_call else []
        return self._add_hook("_forward_hooks", hook, prepend, *flags)

    def register_full_backward_pre_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """``hook(module, grad_output)`` when the output's gradient is there."""
        return self._add_hook("_backward_pre_hooks", hook, prepend)

    def register_full_backward_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """``hook(module, grad_input, grad_output)`` when the inputs' gradients are there."""
        return self._add_hook("_backward_hooks", hook, prepend)

    def register_backward_hook(self, hook) -> RemovableHandle:
        """The older spelling of :meth:`register_full_backward_hook`."""
        return self.register_full_backward_hook(hook)

    def compile(self, *args, **kwargs) -> None:
        """Nothing to do: what repeats is compiled without being asked."""

    # --- registration ---------------------------------------------------------------------------

    def _check_name(self, kind: str, name) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {_typename(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."' if kind != "module" else
                           f'module name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in getattr(self, f"_{_PLURAL[kind]}"):
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under ``name``; None keeps the name free of one.

        Raises:
            TypeError: it is not a Parameter.
            KeyError: the name is taken, empty or has a point in it.
            ValueError: it is the result of a computation.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(f"cannot assign '{_typename(param)}' object to parameter '{name}' "
                                "(torch.nn.Parameter or None required)")
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must "
                    "be created explicitly. To express '{name}' as a function of another Tensor, "
                    "compute the value in the forward() method.".replace("{name}", name))
            param = registered("parameter", self, name, param)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter, such as running statistics.

        Args:
            persistent: whether it is part of the ``state_dict``.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{_typename(tensor)}' object to buffer '{name}' (torch "
                            "Tensor or None required)")
        self._buffers[name] = registered("buffer", self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under ``name``; it becomes an attribute."""
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{_typename(module)} is not a Module subclass")
        self._check_name("module", name)
        self._modules[name] = registered("module", self, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as :meth:`add_module`."""
        self.add_module(name, module)

    def _drop(self, name: str, *kinds: str) -> None:
        """Take ``name`` out of where it was, before it is registered elsewhere."""
        for kind in kinds:
            members = getattr(self, kind)
            if name in members:
                del members[name]
        self.__dict__.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __setattr__(self, name: str, value) -> None:
        if isinstance(value, Parameter):
            self._assign_parameter(name, value)
        elif isinstance(value, Module):
            self._need_init("module")
            self._drop(name, "_parameters", "_buffers")
            self._modules[name] = registered("module", self, name, value)
        else:
            self._assign_other(name, value)

    def _assign_parameter(self, name: str, value) -> None:
        self._need_init("parameters")
        if name not in self._parameters:
            self._drop(name, "_buffers", "_modules")
        self.register_parameter(name, value)

    def _need_init(self, what: str) -> None:
        if not hasattr(self, "_modules"):
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")

    def _assign_other(self, name: str, value) -> None:
        """Assign what is neither Parameter nor Module: registered names keep their kind."""
        try:
            parameters, modules, buffers = self._parameters, self._modules, self._buffers
        except AttributeError:
            _set(self, name, value)
            return
        if name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{_typename(value)}' as parameter '{name}' (torch.nn.Parameter "
                    f"or None expected){_parameter_cure(name, value)}")
            self.register_parameter(name, value)
        elif name in modules:
            if value is not None:
                raise TypeError(f"cannot assign '{_typename(value)}' as child module '{name}' "
                                "(torch.nn.Module or None expected)")
            modules[name] = registered("module", self, name, value)
        elif name in buffers or isinstance(value, (Buffer, UninitializedBuffer)):
            self._assign_buffer(name, value)
        elif name in KINDS and type(value) is not Members:
            _set(self, name, value)
            adopt(self)
        else:
            _set(self, name, value)
            if name in TABLES and value:
                _set(self, "_hooked", True)

    def _assign_buffer(self, name: str, value) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(f"cannot assign '{_typename(value)}' as buffer '{name}' "
                            "(torch.nn.Buffer, torch.Tensor or None expected)")
        if name in self._buffers:
            persistent = getattr(value, "persistent", name not in self._non_persistent_buffers_set)
            self.register_buffer(name, value, persistent)
        else:
            self._drop(name, "_parameters", "_modules")
            self.register_buffer(name, value, value.persistent)

    def __getattr__(self, name: str):
        # only reached when the ordinary lookup fails, or through super().__getattr__ of a subclass
        home = vars(self)
        for kind in KINDS:
            if name in home.get(kind, ()):
                return home[kind][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for kind in KINDS:
            members = getattr(self, kind)
            if name in members:
                del members[name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self):
        names = set(dir(type(self))) | set(self.__dict__)
        for kind in KINDS:
            names |= set(getattr(self, kind))
        return sorted(name for name in names if not name[0].isdigit())

    def __setstate__(self, state: dict) -> None:
        home = dict(state)
        for table in _HOOK_TABLES:  # files of older versions lack some
            home.setdefault(table, OrderedDict())
        home.setdefault("_non_persistent_buffers_set", set())
        home.setdefault("training", True)
        _set(self, "__dict__", home)
        adopt(self)
        if any(home[table] for table in TABLES):
            _set(self, "_hooked", True)

    # --- walks ----------------------------------------------------------------------------------

    def _named_members(self, get_members_fn: Callable, prefix: str = "", recurse: bool = True,
                       remove_duplicate: bool = True) -> Iterator[tuple[str, object]]:
        """Members of this module and those below, with their full names."""
        seen = set()
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        else:
            modules = ((prefix, self),)
        for path, module in modules:
            path = path + "." if path else ""
            for name, value in get_members_fn(module):
                if value is None or value in seen:
                    continue
                if remove_duplicate:
                    seen.add(value)
                yield path + name, value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, those of submodules included unless ``recurse`` is False."""
        if type(self).named_parameters is not Module.named_parameters or not recurse:
            yield from (param for _, param in self.named_parameters(recurse=recurse))
            return
        seen = set()  # without names: every clip_grad_norm_(model.parameters()) comes here
        for module in self.modules():
            for param in module._parameters.values():
                if param is not None and param not in seen:
                    seen.add(param)
                    yield param

    def named_parameters(self, prefix: str = "", recurse: bool = True,
                         remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Parameters with their full names, such as ``"body.0.weight"``."""
        yield from self._named_members(lambda module: module._parameters.items(), prefix=prefix,
                                       recurse=recurse, remove_duplicate=remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, those of submodules included unless ``recurse`` is False."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_buffers(self, prefix: str = "", recurse: bool = True,
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Buffers with their full names."""
        yield from self._named_members(lambda module: module._buffers.items(), prefix=prefix,
                                       recurse=recurse, remove_duplicate=remove_duplicate)

    def children(self) -> Iterator[Module]:
        """The modules that are attributes of this one."""
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are attributes of this one, with their names; each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        if type(self).named_modules is not Module.named_modules:
            yield from (module for _, module in self.named_modules())
            return
        seen = {self}
        found = [self]

        _add_below(self, seen, found)
        yield from found

    def named_modules(self, memo: set | None = None, prefix: str = "",
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module (under ``prefix``) and all below it, with their full names."""
        if memo is None:
            memo = set()
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = prefix + ("." if prefix else "") + name
                yield from module.named_modules(memo, path, remove_duplicate)

    def apply(self, fn: Callable[[Module], None]) -> Module:
        """Call ``fn`` on every submodule, then on this module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # --- one by name ----------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as ``"body.0"``.

        Raises:
            AttributeError: there is nothing, or no module, at the path.
        """
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` at a path; with ``strict`` there must be one already.

        Raises:
            ValueError: the path is empty, or ``module`` is no Module.
            AttributeError: the path does not lead to a module.
        """
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f'"module" is not an nn.Module, found {type(module)}')
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def _member(self, target: str, kind: str, label: str):
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        if name not in getattr(module, kind):
            raise AttributeError(f"`{name}` is not an nn.Parameter" if label == "parameter" else
                                 f"`{name}` is not a buffer")
        return getattr(module, name)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as ``"body.0.weight"``."""
        return self._member(target, "_parameters", "parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path such as ``"body.1.running_mean"``."""
        return self._member(target, "_buffers", "buffer")

    # --- modes ----------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Module:
        """Set training (or, with False, evaluation) mode here and below.

        Raises:
            ValueError: ``mode`` is not a bool.
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Module:
        """Set evaluation mode here and below."""
        return self.train(False)

    # --- printing -------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the parentheses when the module is printed."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {_addindent(repr(module))}"
                    for name, module in self._modules.items()]
        if lines and not children and len(lines) == 1:
            return f"{self._get_name()}({lines[0]})"
        if not lines and not children:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"


_PLURAL = {"parameter": "parameters", "buffer": "buffers", "module": "modules"}


def _typename(value) -> str:
    """As PyTorch spells types in messages: builtins without module."""
    if isinstance(value, Tensor) and type(value) is Tensor:
        return "torch.FloatTensor" if value.dtype.is_floating_point else "torch.Tensor"
    cls = value if isinstance(value, type) else type(value)
    module = "" if cls.__module__ in ("builtins", "__builtin__") else cls.__module__ + "."
    return module + cls.__qualname__


def _parameter_cure(name: str, value) -> str:
    if isinstance(value, Tensor):
        return (f"; wrap it in nn.Parameter(...), or write into it: with torch.no_grad(): "
                f"{name}.copy_(...)")
    return ""


def _addindent(text: str, spaces: int = 2) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * spaces + line for line in rest)])


def _add_below(module: Module, seen: set[Module], found: list[Module]) -> None:
    """Add the modules below one, each once, to both. (A function inside another one that calls
    itself would keep them alive until the collector comes.)"""
    for child in module._modules.values():
        if child is not None and child not in seen:
            seen.add(child)
            found.append(child)
            _add_below(child, seen, found)


_call = Module.__call__


def in_turn(modules: Iterable[Module], x):
    """What modules make of ``x``, one after the other. Those that only run ``forward`` are not
    called for that: a call costs as much as a small layer."""
    module, entered = None, False
    try:
        for module in modules:
            entered = type(module).__call__ is _call and not (module._hooked or GLOBAL.active)
            x = module.forward(x) if entered else module(x)
    except (ShapeError, DTypeError, DimError) as error:
        if entered:
            _name_module(error, module, (x,))
        raise
    return x


def _name_module(error: Exception, module: Module, args: tuple) -> None:
    """Say in the message of ``error`` which module it came from, by its path from the outermost,
    and which module its input came from."""
    trail = getattr(error, "modules", None)
    if trail is None:
        error.message = str(error)
        trail = error.modules = []
        error.feeder = None
        error.made_at = args[0]._made_at() if args and isinstance(args[0], Tensor) else None
    trail.append(module)
    steps = [type(module).__name__]
    for outer, inner in zip(reversed(trail), reversed(trail[:-1]), strict=False):
        name = next((n for n, m in outer._modules.items() if m is inner), type(inner).__name__)
        steps.append(_step(name))
    if error.feeder is None and len(trail) > 1:
        found = _feeder(trail[-2], module, error.made_at)
        error.feeder = found and (len(trail), *found)
    inner = trail[0]
    text = f"{error.message}\n  in {''.join(steps)}" + ("" if inner._modules else f" {inner!r}")
    if error.feeder is not None:
        depth, name, feeder = error.feeder
        kind = f" {feeder!r}" if not feeder._modules else ""
        text += f"\n  its input came from {''.join(steps[:len(trail) - depth + 1])}{name}{kind}"
    error.args = (text, *error.args[1:])


def _step(name: str) -> str:
    return f"[{name}]" if name.isdigit() else f".{name}"


def _feeder(inner: Module, outer: Module, made_at) -> tuple | None:
    """The module within ``outer`` whose result ``inner`` got, with its name: the one before it in a
    Sequential, else the one that is called in the line of forward that made it."""
    if any(c.__name__ == "Sequential" for c in type(outer).__mro__):
        names = list(outer._modules)
        at = next((i for i, n in enumerate(names) if outer._modules[n] is inner), 0)
        return (_step(names[at - 1]), outer._modules[names[at - 1]]) if at else None
    if made_at is None or made_at.code is not getattr(type(outer).forward, "__code__", None):
        return None
    for name in re.findall(r"self\.(\w+)\(", made_at.source()):
        if isinstance(outer._modules.get(name), Module):
            return _step(name), outer._modules[name]
    return None


register_module_forward_pre_hook = hooks.register_module_forward_pre_hook
register_module_forward_hook = hooks.register_module_forward_hook
register_module_backward_hook = hooks.register_module_backward_hook
register_module_full_backward_hook = hooks.register_module_full_backward_hook
register_module_full_backward_pre_hook = hooks.register_module_full_backward_pre_hook
register_module_parameter_registration_hook = hooks.register_module_parameter_registration_hook
register_module_buffer_registration_hook = hooks.register_module_buffer_registration_hook
register_module_module_registration_hook = hooks.register_module_module_registration_hook
