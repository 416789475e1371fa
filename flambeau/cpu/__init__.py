"""torch.cpu: the CPU under the names that device modules have."""

from __future__ import annotations

import contextlib as _contextlib

from . import amp as amp


def is_available() -> bool:
    """Whether there is a CPU: yes."""
    return True


def device_count() -> int:
    """Number of CPU devices: 1."""
    return 1


def current_device() -> str:
    """The CPU's name."""
    return "cpu"


def set_device(device) -> None:
    """Accepted: there is one CPU device."""


def synchronize(device=None) -> None:
    """Wait for work on the CPU; values are waited for where they are read."""


def is_initialized() -> bool:
    """Whether the CPU is ready: yes."""
    return True


class Stream:
    """A work queue; the CPU has none, nothing happens."""

    def __init__(self, priority: int = -1):
        self.priority = priority

    def wait_stream(self, stream) -> None:
        """Accepted."""

    def record_event(self) -> None:
        """Accepted."""

    def wait_event(self, event) -> None:
        """Accepted."""


class Event:
    """A point in a work queue; reached at once."""

    def query(self) -> bool:
        """Whether it is reached: yes."""
        return True

    def record(self, stream=None) -> None:
        """Accepted."""

    def synchronize(self) -> None:
        """Accepted."""

    def wait(self, stream=None) -> None:
        """Accepted."""


_stream = Stream()


def current_stream(device=None) -> Stream:
    """The only queue."""
    return _stream


@_contextlib.contextmanager
def stream(stream):
    """Accepted."""
    yield
