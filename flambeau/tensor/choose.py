"""Which of the known traces is followed: the one that came next last time, or another one that goes
on as the program does."""

from __future__ import annotations

from ..runtime import execute
from .record import FOLLOW, RECORD
from .repeat import Repeat
from .replay import Replaying
from .steps import MISS, Steps
from .tensor import Tensor
from .trace import Trace

_RECENT = 8
LATELY = 16  # runs, after which a trace that was not among them holds no tensors any more
GIVE_UP = 4  # replays in a row after which a trace is no longer followed


class Choosing(Replaying):
    """A recording that knows traces."""

    def __init__(self):
        super().__init__()
        self.recent: list[Trace] = []  # followed lately, the last one first
        self.made = self.forgot = 0  # runs that Python made; all runs at the last look for old ones
        self.anew = False  # a known trace is to be recorded once more

    @property
    def count(self) -> int:
        """Followed runs so far."""
        repeat = self.trace.repeat if self.trace is not None else None
        return self.made + Repeat.total + (repeat.untaken if repeat is not None else 0)

    def _follow(self, trace: Trace) -> None:
        """Expect the calls of a trace from now on."""
        if self.mode == FOLLOW:
            self._leave()
        else:
            self._clear()
        self.mode, self.trace = FOLLOW, trace
        if trace.steps is None:
            trace.steps = Steps(trace.entries, trace.leaves, trace.slot_count, trace.numbers,
                                self._bind, self._bind_via, self._draw)
        self._stand_at(0)
        if not self.recent or trace is not self.recent[0]:
            self._remember(trace)

    def _stand_at(self, pos: int) -> None:
        """So many calls of the followed trace have been matched, without draws, and with the
        tensors of the last run."""
        self._await(self.trace.steps, pos)
        self.changed, self.rewritten, self.drawn, self.uses = [], [], [], {}

    def _remember(self, trace: Trace) -> None:
        if trace in self.recent:
            self.recent.remove(trace)
        self.recent.insert(0, trace)
        for old in self.recent[_RECENT:]:
            old.release()
        del self.recent[_RECENT:]

    def _forget_old(self) -> None:
        """Traces that have not run lately hold nothing of the program."""
        self.forgot = self.count
        for trace in self.recent:
            if trace.known and self.count - trace.used >= LATELY:
                trace.release()

    def forget(self, t: Tensor) -> None:
        """A tensor is about to get other memory or another geometry: it is no result of a run any
        more that could be settled later."""
        if execute.outstanding:
            execute.flush()
        if t._run:
            self.settle(t)
        for trace in self.recent:
            trace.forget(t)

    def _alternatives(self) -> list[Trace]:
        """Other traces that begin with the calls matched so far."""
        return [t for t in self.recent if t is not self.trace and t.confirmed
                and t.replays < GIVE_UP and self.trace.begins_like(t, self.pos)]

    def _move_to_end(self) -> bool:
        """Whether the calls so far are all of another trace, which is then the followed one
        (gradients are accumulated: the steps differ in how they end)."""
        return any(len(other.entries) == self.pos and self._move_to(other)
                   for other in self._alternatives())

    def _move_to(self, other: Trace) -> bool:
        """Follow another trace that begins with the calls matched so far; False, and nothing has
        changed, where one of its leaves refuses the tensor that stands for it."""
        before = self.trace
        pos, drawn, steps = self.pos, self.drawn, before.steps
        leaves, slots, numbers = before.entries[pos - 1].extent if pos else (0, 0, 0)
        bound, made, given = steps.bound[:], steps.slots[:], steps.numbers[:]
        for trace in (other, before):
            self._follow(trace)
            self._stand_at(pos)
            self.drawn, steps = drawn, trace.steps
            steps.slots[:slots], steps.numbers[:numbers] = made[:slots], given[:numbers]
            if trace is before:
                steps.bound[:] = bound
            elif all(t is None or self._bind(k, t) for k, t in enumerate(bound[:leaves])):
                before.steps.clear()
                return True
            else:
                steps.clear()
        return False

    def _enter(self, function, args, kwargs):
        """At the first call of a step that nothing led to (what was before it is not followed):
        follow a known trace that begins with this call. Its result, or MISS."""
        for trace in self.recent[:]:
            if trace.confirmed and trace.replays < GIVE_UP \
                    and trace.entries[0].function is function:
                self._follow(trace)
                out = self.expect(function, args, kwargs)
                if out is not MISS:
                    return out
                trace.steps.clear()
        if self.mode == FOLLOW:
            self._leave()
            self._clear()
            self.mode = RECORD
        return MISS

    def _other_trace(self, function, args, kwargs):
        """Follow another known trace that goes on with this call (the last batch of an epoch,
        evaluation between two epochs). Its result, or MISS."""
        unexpected = self.trace
        for other in self._alternatives():
            if len(other.entries) > self.pos and other.entries[self.pos].function is function \
                    and self._move_to(other):
                out = self.expect(function, args, kwargs)
                if out is not MISS:
                    return out
        if self.trace is not unexpected:
            self._move_to(unexpected)
        return MISS

    def _leave(self) -> None:
        """The trace that was followed is not the next one."""
        if self.mode == FOLLOW and self.trace is not None:
            self.trace.leave()
