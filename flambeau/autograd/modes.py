"""Gradient modes: no_grad, enable_grad, inference_mode, set_grad_enabled, anomaly detection.

Each is a context manager and a decorator; the state is per thread.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable


class _State(threading.local):
    grad = True
    inference = False
    opened: tuple | None = None  # (code, offset) of the block that turned grad off


state = _State()
#: called when a thread enters or leaves inference mode
listeners: list[Callable[[], None]] = []


class Anomaly:
    """Process-wide settings of detect_anomaly."""

    enabled = False
    check_nan = True
    steps = 0  # backward passes made while enabled


def is_anomaly_enabled() -> bool:
    """Whether detect_anomaly is on."""
    return Anomaly.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether detect_anomaly looks for NaN."""
    return Anomaly.check_nan


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Turn anomaly detection on or off."""
    Anomaly.enabled, Anomaly.check_nan = bool(mode), check_nan


def is_grad_enabled() -> bool:
    """Whether operations are recorded for backward in this thread."""
    return state.grad


def is_inference_mode_enabled() -> bool:
    """Whether this thread runs inside inference_mode()."""
    return state.inference


class _Mode:
    """A context manager that is also a decorator (for functions and generator functions)."""

    def clone(self):
        return type(self)()

    def __call__(self, function):
        if inspect.isclass(function):
            # a decorated class: its constructor runs in this mode
            function.__init__ = self(function.__init__)  # type: ignore[method-assign]
            return function
        if inspect.isgeneratorfunction(function):
            return self._generator(function)

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with self.clone():
                return function(*args, **kwargs)

        return wrapped

    def _generator(self, function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            generator = function(*args, **kwargs)
            send = None
            while True:
                with self.clone():
                    try:
                        item = generator.send(send)
                    except StopIteration as stop:
                        return stop.value
                send = yield item

        return wrapped


def _opening() -> tuple:
    """(code, offset) of who enters a mode; a message makes a location of it."""
    frame = sys._getframe(2)
    return frame.f_code, frame.f_lasti


class no_grad(_Mode):  # noqa: N801
    """Operations inside are not recorded; their results do not require gradients."""

    def __new__(cls, orig_func=None):
        self = super().__new__(cls)
        return self if orig_func is None else self(orig_func)

    def __init__(self, orig_func=None):
        self._before: tuple[bool, tuple | None] = (True, None)

    def __enter__(self):
        self._before = (state.grad, state.opened)
        if state.grad:
            state.opened = _opening()
        state.grad = False

    def __exit__(self, *exc):
        state.grad, state.opened = self._before


class enable_grad(_Mode):  # noqa: N801
    """Recording inside no_grad()."""

    def __new__(cls, orig_func=None):
        self = super().__new__(cls)
        return self if orig_func is None else self(orig_func)

    def __init__(self, orig_func=None):
        self._before = True

    def __enter__(self):
        self._before = state.grad
        state.grad = True

    def __exit__(self, *exc):
        state.grad = self._before


class set_grad_enabled(_Mode):  # noqa: N801
    """Recording on or off, at once; as a context manager the earlier setting comes back."""

    def __init__(self, mode: bool):
        self.mode = bool(mode)
        self._before = state.grad
        state.grad = self.mode
        if not self.mode:
            state.opened = _opening()

    def clone(self):
        return type(self)(self.mode)

    def __call__(self, function):
        state.grad = self._before  # a decorator changes nothing at definition
        return super().__call__(function)

    def __enter__(self):
        state.grad = self.mode

    def __exit__(self, *exc):
        state.grad = self._before


class inference_mode(_Mode):  # noqa: N801
    """no_grad whose results can never take part in autograd again."""

    def __new__(cls, mode=True):
        if callable(mode) and not isinstance(mode, bool):
            return cls()(mode)
        return super().__new__(cls)

    def __init__(self, mode: bool = True):
        self.mode = mode
        self._before = (True, False)

    def clone(self):
        return type(self)(self.mode)

    def __enter__(self):
        self._before = (state.grad, state.inference)
        if self.mode:
            state.opened = _opening()
            state.grad, state.inference = False, True
        else:
            state.inference = False
        _tell()

    def __exit__(self, *exc):
        state.grad, state.inference = self._before
        _tell()


def _tell() -> None:
    for listener in listeners:
        listener()


class set_detect_anomaly(_Mode):  # noqa: N801
    """Check every gradient for NaN and name the forward line that is at fault."""

    def __init__(self, mode: bool = True, check_nan: bool = True):
        self._before = (Anomaly.enabled, Anomaly.check_nan)
        self.mode, self.check_nan = mode, check_nan
        Anomaly.enabled, Anomaly.check_nan = bool(mode), check_nan

    def clone(self):
        return type(self)(self.mode, self.check_nan)

    def __enter__(self):
        Anomaly.enabled, Anomaly.check_nan = bool(self.mode), self.check_nan

    def __exit__(self, *exc):
        Anomaly.enabled, Anomaly.check_nan = self._before


class detect_anomaly(set_detect_anomaly):  # noqa: N801
    """As a context manager: anomaly detection inside the block."""

    def __init__(self, check_nan: bool = True):
        super().__init__(True, check_nan)
        Anomaly.enabled, Anomaly.check_nan = self._before

    def clone(self):
        return type(self)(self.check_nan)
