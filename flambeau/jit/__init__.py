"""torch.jit: functions and modules are returned as they are.

flambeau compiles whatever repeats, so there is nothing to script or trace. What came out of
PyTorch's TorchScript (``jit.load``) cannot be read.
"""

from __future__ import annotations

import builtins as _builtins
import contextlib as _contextlib
from typing import Final as Final

from ..nn.module import Module as _Module


class ScriptModule(_Module):
    """A module; scripting changes nothing here."""


class ScriptFunction:
    """The class of scripted functions in PyTorch; script() returns plain functions here."""


Attribute = tuple


def script(obj, optimize=None, _frames_up: int = 0, _rcb=None, example_inputs=None):
    """``obj`` itself: a function, class or module."""
    return obj


def trace(func, example_inputs=None, **options):
    """``func`` itself. The example is run once, so that mistakes show as they would in PyTorch."""
    if example_inputs is not None:
        several = _builtins.isinstance(example_inputs, (tuple, list))
        inputs = example_inputs if several else (example_inputs,)
        func(*inputs)
    return func


def trace_module(mod, inputs, **options):
    """``mod`` itself."""
    return mod


def _same(name: str, doc: str):
    def decorate(fn=None, *args, **kwargs):
        return fn if callable(fn) else (lambda f: f)

    decorate.__name__ = name
    decorate.__doc__ = doc
    return decorate


export = _same("export", "Mark a method as scripted: the method itself.")
ignore = _same("ignore", "Mark a method as not scripted: the method itself.")
unused = _same("unused", "Mark a method as not scripted: the method itself.")
interface = _same("interface", "Mark a class as an interface: the class itself.")
script_method = _same("script_method", "Mark a method as scripted: the method itself.")
freeze = _same("freeze", "The module itself.")
optimize_for_inference = _same("optimize_for_inference", "The module itself.")


def is_scripting() -> bool:
    """Whether code runs inside the script compiler: no."""
    return False


def is_tracing() -> bool:
    """Whether code runs inside the tracer: no."""
    return False


def annotate(the_type, the_value):
    """``the_value``."""
    return the_value


def isinstance(obj, target_type) -> bool:  # noqa: A001
    """Whether ``obj`` has the type."""
    return _builtins.isinstance(obj, target_type)


def fork(func, *args, **kwargs):
    """``func(*args, **kwargs)``, at once."""
    return func(*args, **kwargs)


def wait(future):
    """What :func:`fork` gave."""
    return future


def save(m, f, _extra_files=None) -> None:
    """Not supported.

    Raises:
        NotImplementedError: always; use ``torch.save(module.state_dict(), f)``.
    """
    raise NotImplementedError("torch.jit.save: there is no TorchScript here; save the weights with "
                              "torch.save(module.state_dict(), path)")


def load(f, map_location=None, _extra_files=None, _restore_shapes=False):
    """Not supported.

    Raises:
        NotImplementedError: always; use ``torch.load`` on a state dict.
    """
    raise NotImplementedError("torch.jit.load: TorchScript archives hold programs for PyTorch's "
                              "own interpreter, which is not part of flambeau; save state_dict() "
                              "in PyTorch and read it with torch.load")


def enable_onednn_fusion(enabled: bool) -> None:
    """Accepted: fusion is always on."""


def onednn_fusion_enabled() -> bool:
    """Whether fusion is on: yes."""
    return True


@_contextlib.contextmanager
def optimized_execution(should_optimize: bool):
    """Accepted: does nothing."""
    yield


@_contextlib.contextmanager
def fuser(name: str):
    """Accepted: does nothing."""
    yield
