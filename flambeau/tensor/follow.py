"""Trace following: a step that repeats costs a fraction of a microsecond of Python per operation.

While the program repeats itself (its flushes find a compiled plan), the calls it makes through the
public functions are recorded as a list of entries. When the same calls come again, nothing is
recorded: each is compared with the next entry, and its results are *bare* tensors that know only
their shape and their place in the run. At the flush the plan runs with the new inputs bound.

Whatever does not fit is undone by *replay*: the calls matched so far are made again in the ordinary
way, and the bare tensors become ordinary ones. So following can never change what a program
computes. Anything that looks inside a bare tensor, or reads any tensor's value while calls are
outstanding, causes that too (``Tensor.__getattr__``, ``execute.outstanding``).

Terms: a *slot* is a tensor made within the trace; a *leaf* is a tensor from before it.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from threading import get_ident

import numpy as np

from ..autograd import modes
from ..base.flags import values as flags
from ..ir import autocast
from ..runtime import execute
from . import drawing, others
from .binding import Binding
from .choose import GIVE_UP
from .finish import MAX_LIVE, Finishing
from .record import FOLLOW, OFF, RECORD, UNKNOWN, surroundings
from .runs import Run
from .steps import MISS
from .tensor import Tensor
from .trace import Poison, Trace

#: recordings in a row that led to nothing (a number of the program is another one in each step),
#: after which one step in so many is recorded
_IN_VAIN, _SAMPLE = 32, 16


class Recorder(Finishing):
    """The state of recording and following; one thread at a time owns it."""

    def __init__(self):
        super().__init__()
        self.active = False  # whether a public call is to be looked at
        self.mode = OFF
        self.owner = 0
        self.inside = False  # a recorded call is being made
        self.replaying = 0  # the other thread that is making the owner's calls
        self.last: Trace | None = None
        self.vain = self.skipped = self.plans = 0  # see _IN_VAIN
        self.replayed: list[np.ndarray] = []  # what the calls that are made again have drawn
        self._clear()

    # --- recording --------------------------------------------------------------------------------

    def call(self, function, args, kwargs):
        """A public call while active that is not the next of a followed trace."""
        if get_ident() != self.owner:
            return function(*args, **kwargs)
        if self.mode == FOLLOW:
            if self._outside(function, args):
                return function(*args, **kwargs)
            if self.mode == FOLLOW:
                out = self._other_trace(function, args, kwargs)
                if out is not MISS:
                    return out
            self.replay()
        elif self.mode == RECORD and not self.entries and self.recent and not self.poisoned \
                and not self.anew:
            out = self._enter(function, args, kwargs)
            if out is not MISS:
                return out
        return self.record(function, args, kwargs)

    # --- following --------------------------------------------------------------------------------

    def _bind(self, k: int, t) -> bool:
        """Take ``t`` for leaf ``k``. That another leaf may be the same tensor does no harm: what is
        written is nobody else's memory (see Trace), and one gradient each is checked for (see
        steps.py)."""
        if not isinstance(t, Tensor):
            return False
        trace = self.trace
        leaf, bound = trace.leaves[k], trace.steps.bound
        storage = t.__dict__.get("storage")
        if bound[k] is not None:
            return False
        if leaf.origin is not None:
            if storage is not None or not self._comes_from(t, *leaf.origin):
                return False
            bound[k] = t
            self.changed.append(k)
            return True
        if storage is None:
            if not self._settle_done(t):
                return False
            storage = t.storage
        if not leaf.accepts(t, storage):
            return False
        # what is written is nobody else's memory: known now, errors come from the right call
        if leaf.written:
            if any(x is not None and x.__dict__.get("storage") is storage for x in bound):
                return False
            self.rewritten.append(storage)
        elif id(storage) in trace.written or storage in self.rewritten:
            return False
        bound[k] = t
        self.changed.append(k)
        return True

    def _comes_from(self, t: Tensor, trace: Trace, slot: int) -> bool:
        """Whether ``t`` is that result of a run of ``trace`` with an unwalked history."""
        for run in self.runs:
            if run.trace is trace and not run.recorded and run.live and run.slots[slot] is t \
                    and run.is_untouched(slot):
                return self.uses.setdefault(trace, run) is run
        return False

    def _bind_via(self, k: int) -> bool:
        """Take for leaf ``k`` the tensor that an earlier run's history ends at."""
        trace, number = self.trace.leaves[k].via
        run = self.uses.get(trace)
        return run is not None and self._bind(k, run.kept[number])

    def _draw(self, draws: tuple) -> None:
        self.drawn.extend(drawing.draw(*d) for d in draws)

    # --- settling ---------------------------------------------------------------------------------

    def settle(self, t: Tensor | None = None, storage=None) -> None:
        """Something looks inside a bare tensor, or at a value or at the memory ``storage`` while
        calls are outstanding."""
        if self.replaying == get_ident():
            return
        with execute.lock:
            if t is not None and self._settle_done(t):
                return
            if self.mode != FOLLOW:
                return
            if get_ident() != self.owner:
                if others.concerns(self, t, storage) and others.stop_owner(self):
                    self.replay()
                return
            if t is not None and self._ends_at(t) and self._run() and self._settle_done(t):
                return
            was_inside = self.inside
            self.replay()
            self.inside = was_inside

    def looks(self) -> None:
        """An operation looks at a value."""
        if self.inside and get_ident() == self.owner:
            self.poison("a call looks at a value")

    def read(self, storage) -> None:
        """A storage's content is wanted while calls are outstanding."""
        if get_ident() == self.owner:
            execute.flush()
        else:
            self.settle(None, storage)
            execute.flush()

    def _ends_at(self, t: Tensor) -> bool:
        """Whether all calls of the trace were made, and ``t`` is one of its results."""
        slots, i = self.trace.steps.slots, t._run - 1
        return (self.pos == len(self.trace.entries) and not self.inside and 0 <= i < len(slots)
                and slots[i] is t)

    def result_of(self, t: Tensor):
        """The Python number of a bare tensor of one element that the last run computed, else
        None."""
        found = self.done.number(t) if self.done is not None else None
        if found is None and (self.left or self.runs):
            numbers = (run.number(t) for run in self._known_runs())
            found = next((x for x in numbers if x is not None), None)
        return found

    def strides_of(self, t: Tensor) -> tuple[int, ...] | None:
        """The strides of a bare tensor of the followed trace; None for others."""
        i = t.__dict__.get("_run", 0) - 1
        if i < 0 or self.mode != FOLLOW or get_ident() != self.owner \
                or i >= len(self.trace.steps.slots) or self.trace.steps.slots[i] is not t:
            return None
        return self.trace.slot_strides[i]

    def number_in(self, storage):
        """The number in a storage of one element, if no outstanding call writes it; else None."""
        value = storage.node.value
        if value is None or value.size != 1 or self.mode != FOLLOW or get_ident() != self.owner:
            return None
        for leaf, t in zip(self.trace.leaves, self.trace.steps.bound, strict=True):
            if leaf.written and t is not None and t.storage is storage:
                return None
        return value.item()

    # --- flushing ---------------------------------------------------------------------------------

    def before_flush(self) -> bool:
        """Called first by execute.flush; True when the followed plan did all the work."""
        if self.mode == OFF:
            return False
        if self.mode == FOLLOW and (repeat := self.trace.repeat) is not None and repeat.known \
                and (not self.changed or self._bind_changed()) and repeat.run(repeat.address):
            if self.changed:
                self.changed, self.rewritten = [], []
            return True
        if get_ident() != self.owner:
            if self.mode == RECORD:  # what it has pending is computed before its flush
                self.poison("another thread asks for a value")
            return False
        if self.inside:
            self.poison("a call asks for a value")
            return False
        if self.mode == FOLLOW:
            if self.pos == 0:
                return False  # nothing of this trace has happened yet
            if (self.pos == len(self.trace.entries) or self._move_to_end()) and self._run():
                return True
            self.replay()
        if not self.poisoned:
            try:
                self._locate()
            except Poison as why:
                self.poison(why)
        # what only the recorder remembers must not look alive
        self.slots = [weakref.ref(t) for t in self.slots]
        self.keep, self.ids = [weakref.ref(t) for t in self.keep], {}
        self.written = self.grads = []
        return False

    def observe(self, flushed) -> None:
        """A flush is being made by a plan: bind the recording to it."""
        if self.mode != RECORD or self.poisoned or self.inside or not self.entries \
                or get_ident() != self.owner:
            return
        tensors = [ref() for ref in self.keep]
        slots = [ref() for ref in self.slots]
        try:
            places = self._places(flushed)
            binding = Binding(flushed, self.leaves, tensors, slots, self.drawn, self.runs,
                              self.first, places)
            if {tag for _, tag in binding.from_number} | places.values.keys() \
                    != set(range(self.tags)):
                raise Poison("a number that changes was changed on its way to an operation")
        except Poison as why:
            self.poison(why)
            return
        trace = Trace(self.entries, self.leaves, len(slots), binding, self.tags,
                      self.slot_strides)
        self.trace = trace = self._merge(trace)
        self._keep_runs(MAX_LIVE - 1)
        if trace.binding.template is not None:
            self.runs.insert(0, Run(trace, self.slots, flushed.arrays, tensors,
                                    list(places.values.values()), recorded=True))

    def _merge(self, trace: Trace) -> Trace:
        """The trace known by these calls, brought up to date, or this one as a new one."""
        known = trace.binding.plan.traces
        for old in known:
            if old.signature == trace.signature:
                old.confirmed = old.binding.agrees(trace.binding)
                old.adopt(trace)
                return old
        known.append(trace)
        del known[:-4]
        return trace

    def after_flush(self, compiled: bool) -> None:
        """Called last by execute.flush: decide what to do with the next calls."""
        me = get_ident()
        if self.inside:
            return
        if not flags.follow:
            if self.mode != OFF and self.owner == me:
                self._stop()
            return
        if self.owner != me:
            if self.mode != OFF and self.owner in _running_threads():
                return
            self.owner, self.last = me, None
            look_around()
        if self.mode == FOLLOW and self.pos == 0:
            return
        trace = self.trace if self.mode == RECORD and not self.poisoned else None
        if not compiled:
            self._stop()
            return
        self._expect(trace)

    def _stop(self) -> None:
        """Look at no calls until a flush finds a compiled plan."""
        self._leave()
        self._clear()
        self.mode, self.active, self.last = OFF, False, None

    def _expect(self, trace: Trace | None) -> None:
        """Follow what came after ``trace`` last time, or record."""
        if trace is not None and trace is trace.next is self.last and self.mode == FOLLOW \
                and (not trace.binding.store or trace.upgrades >= 2):
            self.matching.stand_at(trace.steps, 0)  # the same again: the usual case
            if self.changed:
                self.changed = []
            if self.rewritten or self.drawn or self.uses:
                self.rewritten, self.drawn, self.uses = [], [], {}
            self._note_run(trace)
            return
        if trace is not None:
            if self.last is not None:
                self.last.next = trace
            if trace.confirmed and trace not in self.recent:
                self._remember(trace)
        self.last = trace
        if trace is not None and (trace.confirmed or self.mode == FOLLOW):
            self.vain = 0
        elif self.mode == RECORD:
            self.vain += 1
            if self.plans != execute.plans_made():  # something new begins
                self.vain, self.plans = 0, execute.plans_made()
        expected = trace.next if trace is not None else None
        execute.outstanding = False
        if trace is not None and expected is None and execute.steps_vary():
            self._stop()  # until the next backward pass has ended
            return
        self.active = True
        self.anew = expected is not None and expected.binding.store and expected.upgrades < 2
        if self.anew:
            expected.upgrades += 1  # recorded anew, the arrays it hands on may be written over
        elif expected is not None and expected.confirmed and expected.replays < GIVE_UP:
            self._follow(expected)
            return
        elif self.vain >= _IN_VAIN:
            self.skipped += 1
            if self.skipped % _SAMPLE:
                self._stop()
                return
        self._leave()
        self._clear()
        if self.runs:
            self._forget_walked()
        self.mode = RECORD

    def sync(self) -> None:
        """Versions are about to be read: matched calls that write are made first."""
        if execute.outstanding:
            execute.flush()
        if self.mode == FOLLOW and self.trace is not None:
            self.trace.count_writes()

class Unfollowed:
    """A block whose calls are always made: they run code of the program (hooks, modes)."""

    depth = 0

    def __enter__(self):
        Unfollowed.depth += 1
        look_around()

    def __exit__(self, *exc):
        Unfollowed.depth -= 1
        look_around()


def look_around() -> None:
    """The surroundings of this thread's calls have changed."""
    if get_ident() == recorder.owner:
        recorder.around = UNKNOWN if Unfollowed.depth else surroundings(autocast.state.dtype)


def _running_threads() -> set[int]:
    return {t.ident for t in threading.enumerate()}


recorder = Recorder()
others.calling.add(Recorder.call.__code__)
others.waiting.update(f.__code__ for f in (
    Recorder.replay, Recorder.settle, execute.flush, execute.flush_pending, execute.realize))


def draw(kind: str, shape: tuple[int, ...], value) -> np.ndarray:
    """What an operation that is being recorded draws (see drawing.py); where the call was followed,
    what it drew then."""
    r = recorder
    array = r.replayed.pop(0) if r.replayed else drawing.draw(kind, shape, value)
    if r.inside and get_ident() == r.owner:
        r.draws.append((kind, shape, value))
        r.drawn.append(array)
    return array


def call(function, args, kwargs):
    """A public call that was not the next of a followed trace."""
    return recorder.call(function, args, kwargs) if recorder.active else function(*args, **kwargs)


def entry_point(function, otherwise=call):
    """Wrap a public function so that it is recorded and followed.

    Args:
        otherwise: ``otherwise(function, args, kwargs)`` makes a call that is not simply followed;
            it ends in :func:`call`.
    """
    r = recorder

    @functools.wraps(function)
    def followed(*args, **kwargs):
        expect = r.expect
        out = expect(function, args, kwargs)
        return out if out is not MISS else otherwise(function, args, kwargs)

    others.calling.add(followed.__code__)  # the same for all
    return followed


def one_operation(function, run_time_numbers: tuple[str, ...] = ()):
    """Let the follower take a function of many tensors as one call.

    ``run_time_numbers`` names keyword arguments, floats that may differ in every call; the function
    must hand them to operations unchanged.
    """
    function.run_time_numbers = run_time_numbers
    return entry_point(function)


def _missing(self, name):
    """A bare tensor has no storage yet: make it an ordinary one."""
    if name == "strides" and (found := recorder.strides_of(self)) is not None:
        return found
    if name in ("storage", "strides", "offset") and self.__dict__.get("_run"):
        recorder.settle(self)
        if name in self.__dict__:
            return self.__dict__[name]
    raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")


def _before_fork() -> None:
    """A child inherits values, not work: what is pending is computed first."""
    if get_ident() != recorder.owner:
        recorder.settle()
    execute.flush()


def _in_child() -> None:
    """The child records anew; locks that other threads of the parent held are free."""
    recorder.mode, recorder.active, recorder.last = OFF, False, None
    recorder._clear()
    execute.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_in_child)
Tensor.__getattr__ = _missing
execute.follower = recorder
autocast.listeners.append(look_around)
modes.listeners.append(look_around)
