"""Threads beside the one whose trace is followed.

A followed call gives a bare tensor; what it stands for is computed at the owner's flush. When
another thread looks at such a tensor, or at memory that the outstanding calls read or write, it
makes the owner's calls in the owner's place. It may do so while it holds ``execute.lock`` and the
owner is not in the middle of a followed call: those take no lock, since they must cost next to
nothing, so the owner's next call is sent to :class:`Gate`, and its frames tell when the call that
it may be in has ended.
"""

from __future__ import annotations

import sys
import time
from threading import get_ident

from ..runtime import execute
from .steps import MISS

_PAUSE = 2e-5


class Gate:
    """Stands for the next call of a followed trace while another thread makes its calls."""

    def __init__(self, recorder):
        self.recorder = recorder

    def __call__(self, function, args, kwargs):
        """The owner's next call: waits; MISS when its trace was ended meanwhile."""
        recorder = self.recorder
        if get_ident() != recorder.owner:
            return MISS
        with execute.lock:
            pass
        if recorder.trace is None:
            return MISS
        self.open()
        return recorder.expect(function, args, kwargs)

    def open(self) -> None:
        """Expect what the trace does."""
        recorder = self.recorder
        recorder.expect = recorder.matching.match


def concerns(recorder, t, storage) -> bool:
    """Whether outstanding calls made ``t``, write what it reads, or use the memory ``storage``."""
    if t is None and storage is None:
        return True
    if t is not None and "storage" not in t.__dict__:
        return True
    memory = storage if storage is not None else t.storage
    trace = recorder.trace
    if trace is None or trace.steps is None:
        return False
    for leaf, bound in zip(trace.leaves, trace.steps.bound, strict=True):
        if bound is not None and leaf.origin is None and bound.storage is memory \
                and (storage is not None or leaf.written):
            return True
    return False


def stop_owner(recorder) -> bool:
    """Keep the owner from making followed calls; False when there is nothing outstanding (any
    more). Called with ``execute.lock`` held, so that the owner can neither flush nor undo."""
    gate = Gate(recorder)
    while recorder.trace is not None and recorder.pos and recorder.following():
        recorder.expect = gate
        if not _in_call(sys._current_frames().get(recorder.owner)) and recorder.expect is gate:
            return True
        time.sleep(_PAUSE)
    if recorder.expect is gate:
        gate.open()
    return False


#: code in which a thread may stand that waits for the lock
waiting: set = {Gate.__call__.__code__}
#: code of a followed call in progress
calling: set = set()


def _in_call(frame) -> bool:
    """Whether a thread is in the middle of a followed call (waiting for the lock is not)."""
    if frame is not None and frame.f_code in waiting:
        return False
    while frame is not None:
        if frame.f_code in calling:
            return True
        frame = frame.f_back
    return False
