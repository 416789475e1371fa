"""Replay: what was followed is undone, by making the matched calls again in the ordinary way."""

from __future__ import annotations

import contextlib
import weakref
from threading import get_ident

from ..autograd.modes import set_grad_enabled, state
from ..base import srcloc
from ..ir import autocast
from ..runtime import execute
from ..runtime.interpret import located
from .places import argument
from .record import FOLLOW, RECORD, Inference, Recording
from .steps import build_like
from .tensor import Tensor


class Replaying(Recording):
    """A recording that can take back what was followed."""

    def following(self) -> bool:
        """Whether calls are compared with a trace."""
        return self.mode == FOLLOW

    def replay(self) -> None:
        """Make the matched calls in the ordinary way; bare tensors become what these give."""
        with execute.lock:
            if self.mode == FOLLOW:  # else another thread has done so
                self._replay(get_ident() == self.owner)

    def _restart(self) -> None:
        execute.outstanding = False
        self._clear()
        self.mode = RECORD

    def _replay(self, mine: bool) -> None:
        """Under the lock. In another thread nothing is noted, and the owner's trace counts as
        followed, so that it waits, until all is done."""
        trace, count = self.trace, self.pos
        bound, bare = trace.steps.bound[:], trace.steps.slots[:]
        numbers = trace.steps.numbers[:]
        trace.steps.clear()
        trace.release()
        drawn = self.drawn
        if mine:
            self._restart()
        else:
            self.replaying, self.poisoned = get_ident(), True
        self.replayed = drawn
        if count:
            trace.replays += 1
        made: list = [None] * trace.slot_count

        def value(spec):
            kind = spec[0]
            if kind == "slot":
                return bare[spec[1]] if made[spec[1]] is None else made[spec[1]]
            if kind == "leaf":
                return bound[spec[1]]
            if kind == "number":
                return numbers[spec[1]]
            if kind in ("place", "start", "window", "key"):
                return argument(spec, numbers)
            if kind == "list":
                return build_like(spec[1], [value(s) for s in spec[2]])
            if type(spec[1]) is tuple and spec[1][:1] == (slice,):
                return slice(*spec[1][1:])
            return spec[1]

        try:
            self._make_again(trace.entries[:count], value, bound, bare, made)
        finally:
            value = None  # it refers to itself: what it knows must not stay alive
            self.replayed = []
            if not mine:
                self._restart()
                self.replaying, self.poisoned = 0, True
        self.active = True

    def _make_again(self, entries, value, bound, bare, made) -> None:
        for entry in entries:
            now = [bound[k]._grad for k, _, _ in entry.backward or ()]
            for k, spec, template in entry.backward or ():
                bound[k]._grad = value(spec) if template is None else None
            with set_grad_enabled(entry.grad), self._surrounded(entry.around), \
                    srcloc.pinned(entry.loc):
                args = tuple(value(s) for s in entry.args)
                kwargs = {n: value(s) for n, s in entry.kwargs.items()}
                try:
                    real = self.record(entry.function, args, kwargs)
                except IndexError as error:  # a check at the call, whose line is another one now
                    raise located(error, entry.loc) from None
            self._adopt_all(entry.result, real, bare, made)
            for (k, spec, template), current in zip(entry.backward or (), now, strict=True):
                if template is not None:
                    self._adopt(spec[1], bound[k]._grad, bare, made)
                bound[k]._grad = current

    def _adopt_all(self, spec, real, bare, made) -> None:
        if spec[0] == "slot":
            self._adopt(spec[1], real, bare, made)
        elif spec[0] == "tuple":
            for s, r in zip(spec[2], real, strict=True):
                self._adopt_all(s, r, bare, made)

    def _adopt(self, i: int, real: Tensor, bare, made) -> None:
        """The bare tensor of slot ``i`` becomes ``real``, which nobody else has seen."""
        t = made[i] = bare[i]
        mine = {k: v for k, v in t.__dict__.items() if k not in ("shape", "dtype", "_run")}
        t.__dict__.clear()
        t.__dict__.update(real.__dict__)
        t.__dict__.update(mine)
        spec = self.ids.pop(id(real), None)
        if spec is not None:
            self.ids[id(t)] = spec
            self.slots[spec[1]] = t
        if real._fn is not None and real._fn.retained:
            real._fn.retained = {nr: weakref.ref(t) for nr in real._fn.retained}

    @contextlib.contextmanager
    def _surrounded(self, around):
        """Autocast and inference mode as they were when a call was made."""
        before = autocast.state.dtype, state.inference, self.around
        inside = isinstance(around, Inference)
        autocast.state.dtype = around.autocast if inside else around
        state.inference, self.around = inside, around
        try:
            yield
        finally:
            autocast.state.dtype, state.inference, self.around = before
