"""Recording: what a program's calls look like, noted while they are made in the ordinary way.

A :class:`Recording` turns calls into entries (see trace.py). What cannot be followed later makes it
*poisoned*: the calls are made all the same, and the recording is dropped at the flush.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from threading import get_ident
from typing import NamedTuple

import numpy as np

from ..autograd.modes import state
from ..autograd.tape import reserve
from ..base import dtype as dt
from ..base import srcloc
from ..base.flags import values as flags
from ..ir.marks import Mark, Marked, marked, noting
from ..ir.node import CONST, Tagged
from ..ir.node import leaf as node_of
from ..ir.view import strided
from ..runtime import execute
from .places import PLACED, Places, Positions, positions, settled
from .runs import Run
from .steps import Matching, Steps, nothing
from .storage import Storage
from .tensor import Tensor
from .trace import Entry, Leaf, Poison, Trace

OFF, RECORD, FOLLOW = range(3)
#: elements that are joined at once, at most
MOST_JOINED = 1 << 16
#: functions that give a view (of a contiguous tensor) and nothing else
_VIEWS = frozenset((
    "detach", "flatten", "getitem", "narrow", "permute", "reshape", "select", "squeeze", "t",
    "transpose", "unflatten", "unsqueeze", "view"))
#: surroundings of a call (hooks, modes) that an entry cannot describe
UNKNOWN = object()


def walks_history(of: str):
    """Mark a function that runs backward, for the recorder.

    Args:
        of: "all" that is reached (``backward``), or "some" (``grad``: the way to its inputs).
    """
    def mark(function):
        function.walks_history = of
        return function
    return mark


class Inference(NamedTuple):
    """Surroundings of a call inside inference_mode(): autocast's dtype there."""

    autocast: object


_inferences: dict = {}


def surroundings(autocast):
    """What besides the gradient mode decides about a call: None, autocast's dtype, or these in
    inference mode. The same object each time, since entries compare by identity."""
    return _inferences.setdefault(autocast, Inference(autocast)) if state.inference else autocast


class Recording:
    """The calls since the last flush, as entries, leaves and slots."""

    mode = OFF
    active = inside = False
    owner = 0
    _around: object = None
    #: the last followed run
    done: Run | None = None
    #: which call of the followed trace is expected, and ``expect(function, args, kwargs)``: what it
    #: gives if this is it, else MISS
    matching: Matching | None = None
    expect: Callable = staticmethod(nothing)

    def __init__(self):
        #: runs whose history is still wanted, the last one first
        self.runs: list[Run] = []
        #: older runs than ``done`` of other plans, whose results the program still holds
        self.left: list[Run] = []
        self.slots: list = []
        #: memory that calls have written in part: its views are part of the step
        self.partly_written: weakref.WeakSet[Storage] = weakref.WeakSet()

    def _await(self, steps: Steps | None, pos: int) -> None:
        """Expect the call of this number; none without ``steps``."""
        if self.matching is None:
            if steps is None:
                return
            self.matching = Matching(self.around)
        self.matching.stand_at(steps, pos)
        self.expect = self.matching.match

    @property
    def around(self):
        """What besides the gradient mode decides about the owner's calls: see :func:`surroundings`;
        or UNKNOWN."""
        return self._around

    @around.setter
    def around(self, value) -> None:
        self._around = value
        if self.matching is not None:
            self.matching.set_around(value)

    @property
    def pos(self) -> int:
        """How many calls of the followed trace have been matched."""
        return self.matching.pos if self.matching is not None else 0

    def _clear(self) -> None:
        for t in self.slots:
            _unmark(t() if type(t) is weakref.ref else t)
        self.entries: list[Entry] = []
        self.ids: dict[int, tuple] = {}
        self.keep: list[Tensor] = []
        self.leaves: list[Leaf] = []
        self.slots: list = []
        self.slot_strides: list[tuple[int, ...]] = []
        self.drawn: list[np.ndarray] = []
        self.poisoned = False
        self.grads: list = []
        self.written: list = []
        self.draws: list[tuple] = []
        self.tags = 0
        self.placed: list[Positions] = []  # arguments that say where views begin
        self.marks: list[Mark] = []  # what the call at hand has marked
        noting.lost = False
        self.trace: Trace | None = None
        self.changed: list[int] = []  # leaves that are not the tensors of the last run
        self.rewritten: list = []  # the storages of those that are written
        self._await(None, 0)
        self.first = reserve(0)  # what the tape notes from now on belongs to this step
        self.uses: dict = {}  # the earlier runs, by trace, whose histories the followed one reads

    def record(self, function, args, kwargs):
        """Make the call and note it."""
        if self.poisoned or self._outside(function, args):
            out = function(*args, **kwargs)
            if self.poisoned:
                self._end_early(function)
            return out
        self.active, self.inside = False, True
        self.written, self.grads, self.draws = [], [], []
        self.takes_history = self.gives_history = False
        entry = placed = None
        try:
            entry, kwargs = self._entry(function, args, kwargs)
            placed = self._placed(function, args, kwargs)
        except Poison as why:
            self.poison(why)
        try:
            noting.watching = True
            out = function(*args, **kwargs)
        except BaseException:
            self.poison("the call failed")
            raise
        finally:
            self.inside = False
            self.active = self.mode != OFF
            noting.watching, noting.begin = False, None
        if entry is not None and not self.poisoned:
            if placed is not None:
                self._place(args, *placed)
            try:
                self._note(entry, args, out)
            except Poison as why:
                self.poison(why)
        if self.poisoned or execute.steps_vary():
            self._end_early(function)
        return out

    def _end_early(self, function) -> None:
        """What cannot be followed ends with its backward, so that the update after it can be."""
        if getattr(function, "walks_history", "") == "all" and self.mode == RECORD:
            execute.flush()

    def poison(self, why) -> None:
        """What was recorded since the last flush cannot be followed."""
        if flags.debug >= 2 and not self.poisoned:
            place = srcloc.user_location()
            print(f"[flambeau] {place}: not followed: {why}", file=sys.stderr)
        self.poisoned = True

    def _entry(self, function, args, kwargs):
        dynamic = getattr(function, "run_time_numbers", ())
        if self.around is UNKNOWN:
            raise Poison("a mode that runs code of the program is on")
        specs = {}
        passed = kwargs
        for name, value in kwargs.items():
            if name in dynamic and type(value) is float:
                passed = dict(passed)
                passed[name] = tagged = Tagged(value)
                tagged.tag = self.tags
                specs[name] = ("number", self.tags)
                self.tags += 1
            else:
                specs[name] = self._spec(value)
        return Entry(function, tuple(self._spec(a) for a in args), specs, state.grad,
                     self.around), passed

    def _placed(self, function, args, kwargs) -> tuple | None:
        """The argument of a call that says where views begin, its spec and numbers. The call will
        mark these."""
        name = getattr(function, "__name__", "")
        if name not in PLACED or kwargs:
            return None
        found = positions(name, args, self.tags)
        if found is not None:
            self.marks, noting.begin = [], self._begin
            return PLACED[name], *found
        return None

    def _begin(self, at: int) -> int:
        if get_ident() != self.owner:
            return at
        self.marks.append(Mark(at))
        return marked(at, {self.marks[-1]: 1})

    def _place(self, args, argument: int, spec: tuple, numbers: list[int]) -> None:
        """Note an argument that may say something else next time, if the call did with it what was
        expected."""
        if [mark.value for mark in self.marks] == numbers:
            marks = dict(enumerate(self.marks, self.tags))
            self.placed.append(Positions(len(self.entries), argument, args[argument], spec, marks))
            self.tags += len(numbers)

    def _places(self, flushed) -> Places:
        """Which positions move: those that the plan's offsets follow from, and those that were
        others when the same calls were recorded before."""
        loose = [entry.signature() for entry in self.entries] if self.placed else []
        for p in self.placed:
            function, args, *rest = loose[p.entry]
            loose[p.entry] = function, (*args[:p.argument], p.spec, *args[p.argument + 1:]), *rest
        known = {mark: j for p in self.placed for j, mark in p.marks.items()}
        values = {j: mark.value for mark, j in known.items()}
        moving: set[int] = set()
        for trace in flushed.plan.traces:
            before = trace.binding.places
            if before.loose == loose:
                moving |= before.tags
                moving.update(j for j, x in values.items() if before.values[j] != x)
        places = Places(flushed, known, moving, noting.lost, loose)
        for p in self.placed:
            entry = self.entries[p.entry]
            entry.args = (*entry.args[:p.argument], settled(p.spec, p.value, places.tags),
                          *entry.args[p.argument + 1:])
        return places

    def _outside(self, function, args) -> bool:
        """Calls that only give a view of a tensor from before the trace: they are made in the
        ordinary way and give leaves, since their numbers may differ from step to step."""
        name = getattr(function, "__name__", "")
        if name not in _VIEWS or not args:
            return False
        known = self.ids.get(id(args[0]))
        if known is not None and (name != "getitem" or known[0] != "leaf"
                                  or self.leaves[known[1]].written):
            return False
        x = args[0]
        if not isinstance(x, Tensor) or "storage" not in x.__dict__ and not self._settle_done(x):
            return False
        if name == "detach":
            return True
        if x._fn is not None or x._requires or x.storage in self.partly_written:
            return False
        return len(args) == 2 and _plain_key(args[1]) if name == "getitem" else x.is_contiguous()

    def joined(self, args, kwargs) -> Tensor | None:
        """What cat() gives for numbers that are there: a text that grows letter by letter is
        joined at once and gives a leaf, so that what is done with its end repeats. None where
        this is another case."""
        if self.inside or not 0 < len(args) <= 2 or not kwargs.keys() <= {"dim"} \
                or type(args[0]) not in (list, tuple):
            return None
        arrays = []
        for t in args[0]:
            if type(t) is not Tensor or t.dtype.category >= dt.dtype.FLOAT or not t.shape \
                    or "storage" not in t.__dict__ and not self._settle_done(t):
                return None
            value = t.storage.node.value
            if value is None or t.storage.shared or value.size > MOST_JOINED \
                    or t.dtype is not args[0][0].dtype or self._is_written(t.storage):
                return None
            arrays.append(strided(value, tuple(t.shape), t.strides, t.offset))
        try:
            joined = np.concatenate(arrays, args[1] if len(args) == 2 else kwargs.get("dim", 0))
        except (ValueError, TypeError):
            return None  # the function says what is wrong
        return Tensor._wrap(node_of(joined, args[0][0].dtype))

    def _is_written(self, storage) -> bool:
        """Whether a followed call has written a storage."""
        return self.mode == FOLLOW and any(
            leaf.written and t is not None and t.storage is storage
            for leaf, t in zip(self.trace.leaves, self.trace.steps.bound, strict=True))

    def _origin(self, t: Tensor) -> tuple | None:
        """The trace and slot that gave a tensor whose history is still wanted."""
        for run in self.runs:
            i = run.has(t)
            if i >= 0 and run.live and run.binding.alive[i].root is not None:
                return run.trace, i
        return None

    def _leaf_of_run(self, t: Tensor) -> tuple | None:
        """The trace with an unwalked history, and its leaf, that a tensor is."""
        for run in self.runs:
            for k, kept in run.kept.items():
                if kept is t and run.live:
                    return run.trace, k
        return None

    def _settle_done(self, t: Tensor) -> bool:
        """Make a bare tensor of an earlier run an ordinary one; False where it is none."""
        return any([run.settle(t) for run in self._known_runs()])

    def _known_runs(self) -> list[Run]:
        return [*([self.done] if self.done is not None else ()), *self.left, *self.runs]

    def _note(self, entry: Entry, args, out) -> None:
        entry.draws = tuple(self.draws)
        entry.writes = tuple(dict.fromkeys(
            spec for spec in map(self._write_spec, self.written) if spec is not None))
        if self.grads:
            entry.backward = tuple(self._grad_spec(*found) for found in self.grads)
        entry.result = self._result(out, args, entry)
        if self.takes_history and (self.gives_history or entry.backward
                                   or getattr(entry.function, "walks_history", "")):
            raise Poison("a call continues the history of a tensor from an earlier step")
        entry.extent = len(self.leaves), len(self.slots), self.tags
        self.entries.append(entry)

    def _spec(self, value):
        if isinstance(value, Tensor):
            spec = self.ids.get(id(value)) or self._new_leaf(value)
            if spec[0] == "leaf":
                leaf = self.leaves[spec[1]]
                if leaf.history and leaf.origin is None:
                    self.takes_history = True
            return spec
        if isinstance(value, (list, tuple)):
            if isinstance(value, list) or any(isinstance(v, (Tensor, list, tuple)) for v in value):
                return ("list", type(value), tuple(self._spec(v) for v in value))
            return ("value", value)
        if isinstance(value, (dict, set)) or callable(value) and not isinstance(value, type):
            raise Poison(f"an argument is a {type(value).__name__}")
        if isinstance(value, slice):
            return ("value", (slice, value.start, value.stop, value.step))
        try:
            hash(value)
        except TypeError:
            raise Poison(f"an argument is a {type(value).__name__}") from None
        return ("value", value)

    def _new_leaf(self, t: Tensor) -> tuple:
        if t.storage.owner is not t.storage:
            raise Poison("an argument is a view of the parts of complex numbers")
        if t.storage.shared or t.storage.device.type != "cpu" or t._hooks \
                or t._inference and not state.inference:
            raise Poison("an argument has hooks, memory shared with NumPy, or is an inference "
                         "tensor")
        storage = t.storage
        value = storage.node.value
        if storage.node.prim is CONST or value is not None and not value.flags.c_contiguous:
            # another tensor's number may stand here next time; repeated, it is no memory
            storage.node = node_of(np.array(value, order="C"), storage.dtype)
            storage.stamp += 1
        leaf = Leaf(t, len(self.leaves))
        if leaf.history:
            leaf.origin = self._origin(t)
        self.leaves.append(leaf)
        self.keep.append(t)
        spec = self.ids[id(t)] = ("leaf", leaf.number)
        return spec

    def _new_slot(self, t: Tensor) -> tuple:
        spec = self.ids[id(t)] = ("slot", len(self.slots))
        self.slots.append(t)
        self.slot_strides.append(t.strides)
        return spec

    def _write_spec(self, t: Tensor) -> tuple | None:
        if t.storage.owner is not t.storage:
            raise Poison("parts of complex numbers are written")
        k = next((k for k, x in enumerate(self.keep) if x.storage is t.storage), None)
        if k is None:  # a result of the trace or part of one, or what the call made for itself
            return self.ids.get(id(t)) or next(
                (("slot", i) for i, s in enumerate(self.slots) if s.storage is t.storage), None)
        if t is not self.keep[k]:
            self.partly_written.add(t.storage)
        if self.leaves[k].history:
            raise Poison("a tensor with a history is written")
        self.leaves[k].written = True
        return "leaf", k

    def _grad_spec(self, variable: Tensor, before, spec) -> tuple:
        have = self.ids.get(id(variable))
        if have is None:  # a leaf of an earlier step whose history backward walks
            via = self._leaf_of_run(variable)
            if via is not None:
                have = self._new_leaf(variable)
                self.leaves[have[1]].via = via
        if have is None or have[0] != "leaf" or variable._hooks or variable._grad is None:
            raise Poison("a gradient is computed of what is no argument of the step")
        if before is None:
            return have[1], self._new_slot(variable._grad), template_of(variable._grad)
        if variable._grad is not before or spec is None:
            raise Poison("a gradient with a history is added to")
        return have[1], spec, None

    def _result(self, out, args, entry: Entry) -> tuple:
        if out is None:
            return ("none",)
        if isinstance(out, Tensor):
            for i, a in enumerate(args):
                if a is out:
                    return ("arg", i)
            if id(out) in self.ids or type(out) is not Tensor or out.storage.device.type != "cpu":
                raise Poison("a result is not a new tensor on the CPU")
            entry.templates.append(template_of(out))
            self.gives_history |= out._fn is not None
            return self._new_slot(out)
        if isinstance(out, (tuple, list)) and all(isinstance(t, Tensor) for t in out):
            return ("tuple", type(out), tuple(self._result(t, args, entry) for t in out))
        raise Poison(f"the result is a {type(out).__name__}")

    def wrote(self, t: Tensor) -> None:
        """An in-place write happened."""
        if self.mode == RECORD and not self.poisoned and get_ident() == self.owner:
            if self.inside:
                self.written.append(t)
            elif id(t) in self.ids:
                self.poison("a tensor is written outside any call")

    def accumulated(self, variable: Tensor, before) -> None:
        """backward() is about to change ``.grad`` of a leaf."""
        if self.inside and not self.poisoned:
            spec = None
            if before is not None:
                try:
                    spec = self._spec(before)
                except Poison as why:
                    self.poison(why)
            self.grads.append((variable, before, spec))

    def callback(self) -> None:
        """A call runs code of the program (hooks, custom functions): it cannot be followed."""
        if self.inside:
            self.poison("a call runs code of the program: a hook or a custom function")

    def _locate(self) -> None:
        storages: dict[int, list[Leaf]] = {}
        for leaf, t in zip(self.leaves, self.keep, strict=True):
            leaf.locate(t)
            for other in storages.setdefault(id(t.storage), []):
                if leaf.written or other.written:
                    raise Poison("two arguments share memory that is written")
            storages[id(t.storage)].append(leaf)


def _unmark(t: Tensor | None) -> None:
    """A recording is over: what it knows of a tensor's offset is not wanted any more."""
    if t is not None and type(offset := t.__dict__.get("offset")) is Marked:
        t.offset = int(offset)


def _plain_key(key) -> bool:
    if isinstance(key, tuple):
        return all(map(_plain_key, key))
    return isinstance(key, (int, slice, np.integer)) or key is None or key is Ellipsis


def template_of(t: Tensor) -> dict:
    """What a bare tensor knows."""
    return {"shape": t.shape, "dtype": t.dtype, "inference": t._inference}
