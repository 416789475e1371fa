"""Taking a profile."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import threading
import time
from enum import Enum

from ..autograd.tape import GradFn
from ..runtime import execute
from ..tensor import Tensor
from ..tensor.follow import Unfollowed
from .events import Event, EventList


class ProfilerActivity(Enum):
    """What to record: only CPU exists here."""

    CPU, XPU, CUDA, MTIA, HPU, PrivateUse1 = range(6)


class ProfilerAction(Enum):
    """What a schedule says about a step."""

    NONE, WARMUP, RECORD, RECORD_AND_SAVE = range(4)


def supported_activities() -> set:
    """The activities that can be recorded."""
    return {ProfilerActivity.CPU}


def kineto_available() -> bool:
    """Whether PyTorch's own tracer is there: no."""
    return False


def schedule(*, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0,
             skip_first_wait: int = 0):
    """A function from the step number to an action: skip, wait, warm up, record, and again."""
    if wait < 0 or warmup < 0 or active <= 0 or repeat < 0 or skip_first < 0:
        raise AssertionError("Invalid profiler schedule arguments")
    cycle = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        if step < 0 or (repeat and step // cycle >= repeat):
            return ProfilerAction.NONE
        at = step % cycle
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if at < cycle - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


class _Taker:
    """The events of the profile that is being taken; at most one at a time."""

    def __init__(self, shapes: bool):
        self.shapes = shapes
        self.events: list[Event] = []
        self.local = threading.local()

    def begin(self, name: str, shapes=None, user: bool = False) -> Event:
        stack = self.local.__dict__.setdefault("stack", [])
        event = Event(name, time.perf_counter_ns(), stack[-1] if stack else None,
                      threading.get_native_id(), shapes, user)
        stack.append(event)
        self.events.append(event)
        return event

    def finish(self, event: Event) -> None:
        event.end = time.perf_counter_ns()
        stack = self.local.__dict__.setdefault("stack", [])
        if event in stack:
            del stack[stack.index(event):]
        if event.parent is not None:
            event.parent.children += event.end - event.start


class _Current:
    taker: _Taker | None = None
    saved: tuple | None = None


def _shapes_of(operands) -> list:
    return [list(x.shape) if isinstance(x, Tensor) else [] for x in operands]


def _start(taker: _Taker) -> None:
    apply_op, grad_apply = Tensor._apply_op, GradFn.apply
    flush_pending = execute.flush_pending

    def timed_op(op, operands, params):
        event = taker.begin("aten::" + op.name, _shapes_of(operands) if taker.shapes else None)
        try:
            return apply_op(op, operands, params)
        finally:
            taker.finish(event)

    def timed_backward(self, grads, context):
        event = taker.begin(self.name())
        try:
            return grad_apply(self, grads, context)
        finally:
            taker.finish(event)

    def timed_run(*args, **kwargs):
        event = taker.begin("flambeau::run")
        try:
            compiled = flush_pending(*args, **kwargs)
            event.name = "flambeau::run (compiled)" if compiled else "flambeau::run (NumPy)"
            return compiled
        finally:
            taker.finish(event)

    block = Unfollowed()
    block.__enter__()
    _Current.saved = (apply_op, GradFn.__dict__["apply"], flush_pending, block)
    _Current.taker = taker
    Tensor._apply_op = staticmethod(timed_op)
    GradFn.apply = timed_backward
    execute.flush_pending = timed_run


def _stop() -> None:
    execute.flush()  # what was recorded belongs to the profile
    apply_op, grad_apply, flush_pending, block = _Current.saved
    Tensor._apply_op, GradFn.apply = staticmethod(apply_op), grad_apply
    execute.flush_pending = flush_pending
    block.__exit__()
    _Current.taker = _Current.saved = None


class record_function(contextlib.ContextDecorator):  # noqa: N801
    """A row of the profile for the block (or function) with a name of your own."""

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args
        self._events: list = []

    def __enter__(self):
        taker = _Current.taker
        self._events.append((taker, taker.begin(self.name, user=True) if taker else None))
        return self

    def __exit__(self, *exc):
        taker, event = self._events.pop()
        if event is not None:
            taker.finish(event)
        return False


class profile:  # noqa: N801
    """Context manager that takes a profile.

    Args:
        activities: accepted; the CPU is recorded.
        schedule: see :func:`schedule`; then call ``step()`` after every step.
        on_trace_ready: called with the profile at the end of a recorded cycle.
        record_shapes: keep operands' shapes.
    """

    def __init__(self, *, activities=None, schedule=None, on_trace_ready=None,
                 record_shapes: bool = False, profile_memory: bool = False,
                 with_stack: bool = False, with_flops: bool = False, with_modules: bool = False,
                 experimental_config=None, execution_trace_observer=None, acc_events: bool = False,
                 use_cuda=None, custom_trace_id_callback=None, post_processing_timeout_s=None):
        self.activities = set(activities) if activities else supported_activities()
        self.schedule, self.on_trace_ready = schedule, on_trace_ready
        self.record_shapes = record_shapes
        self.step_num = 0
        self._events = EventList()
        self._step_event: Event | None = None

    def _action(self) -> ProfilerAction:
        return ProfilerAction.RECORD if self.schedule is None else self.schedule(self.step_num)

    def _recording(self, action: ProfilerAction) -> bool:
        return action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)

    def start(self) -> None:
        """Begin."""
        if self._recording(self._action()):
            self._begin()

    def _begin(self) -> None:
        if _Current.taker is not None:
            raise RuntimeError("Profiler is already enabled on this thread")
        execute.flush()  # what was recorded before does not belong to the profile
        _start(_Taker(self.record_shapes))
        self._mark()

    def _mark(self) -> None:
        if self.schedule is not None:
            self._step_event = _Current.taker.begin(f"ProfilerStep#{self.step_num}", user=True)

    def _end(self) -> None:
        taker = _Current.taker
        execute.flush()
        if self._step_event is not None:
            taker.finish(self._step_event)
            self._step_event = None
        _stop()
        self._events = EventList(taker.events)

    def stop(self) -> None:
        """End."""
        if _Current.taker is not None:
            self._end()
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)

    def step(self) -> None:
        """A step of the program has ended."""
        before = self._action()
        self.step_num += 1
        after = self._action()
        if not self._recording(before):
            if self._recording(after):
                self._begin()
            return
        if before is ProfilerAction.RECORD_AND_SAVE or not self._recording(after):
            self.stop()
            if self._recording(after):
                self._begin()
        elif self.schedule is not None:
            execute.flush()
            _Current.taker.finish(self._step_event)
            self._mark()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()
        return False

    def events(self) -> EventList:
        """All events in the order of their beginning.

        Raises:
            AssertionError: nothing was recorded yet.
        """
        if not self._events and _Current.taker is not None:
            raise AssertionError("Profiler must be stopped before its events are read")
        return self._events

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        """One average per name; ``print(p.key_averages().table())``."""
        return self.events().key_averages(group_by_input_shape)

    def table(self, **options) -> str:
        """The table of the averages."""
        return self.key_averages().table(**options)

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds of all events."""
        return self._events.self_cpu_time_total

    def export_chrome_trace(self, path: str) -> None:
        """Write a file for chrome://tracing or Perfetto."""
        self.events().export_chrome_trace(path)

    def add_metadata(self, key: str, value: str) -> None:
        """Accepted for compatibility."""

    add_metadata_json = add_metadata

    def __call__(self, function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return wrapped


class ExecutionTraceObserver:
    """PyTorch's recorder of execution graphs.

    Raises:
        NotImplementedError: it is not part of flambeau.
    """

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("torch.profiler.ExecutionTraceObserver is not part of flambeau")


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None,
                              use_gzip: bool = False):
    """A function for ``on_trace_ready`` that writes a trace file into a folder."""
    def handler(prof: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        name = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        prof.export_chrome_trace(os.path.join(dir_name,
                                              f"{name}.{time.time_ns()}.pt.trace.json"))

    return handler
