"""Trace following: a step that repeats costs a fraction of a microsecond of Python per operation.

While the program repeats itself (its flushes find a compiled plan), the calls it makes through the
public functions are recorded as a list of :class:`Entry`. When the same calls come again, nothing
is recorded: each is compared with the next entry, and its results are bare tensors that know only
their place in the run. At the flush the plan runs with the new inputs bound.

Whatever does not fit is undone by *replay*: the calls matched so far are made again in the ordinary
way and the bare tensors become ordinary ones, so that following can never change what a program
computes. Anything that looks inside a bare tensor (its storage, its place on the tape) causes that
too, through ``Tensor.__getattr__``.

Terms: a *slot* is a tensor made within the trace; a *leaf* is a tensor from before it.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref

from ..base.flags import values as flags
from .tensor import Tensor

OFF, RECORD, FOLLOW = range(3)
_MISS = object()
_MAX_TRACES = 64
_GIVE_UP = 3  # replays in a row after which a trace is dropped


class Poison(Exception):
    """Raised while recording by what cannot be followed; the recording is dropped."""


class Leaf:
    """A tensor from before the trace: where it comes from and what must hold of it."""

    __slots__ = ("ref", "stamp", "cls", "shape", "strides", "offset", "dtype", "requires", "written",
                 "number")

    def __init__(self, t: Tensor, number: int):
        self.number = number
        self.ref = weakref.ref(t)
        self.cls = type(t)
        self.shape, self.strides, self.offset, self.dtype = t.shape, t.strides, t.offset, t.dtype
        self.requires = t._requires
        self.stamp = t.storage.stamp
        self.written = False

    def accepts(self, t: Tensor) -> bool:
        """Whether another tensor can stand in: same geometry, nothing written through it."""
        d = t.__dict__
        return ("storage" in d and d["_fn"] is None and not self.written
                and t.shape == self.shape and t.strides == self.strides
                and t.offset == self.offset and t.dtype is self.dtype
                and t._requires == self.requires and type(t) is self.cls
                and t._hooks is None and not t._inference
                and t.storage.device.type == "cpu" and not t.storage.shared)


class Entry:
    """One call: the function, what its arguments must be, and what it gives.

    Argument specs are tuples ``(kind, ...)``: ("slot", i), ("leaf", k), ("value", v),
    ("list", specs). Result specs: ("slot", i), ("arg", i), ("none",), ("tuple", type, specs).
    """

    __slots__ = ("function", "args", "kwargs", "result", "templates", "writes", "backward")

    def __init__(self, function, args, kwargs):
        self.function, self.args, self.kwargs = function, args, kwargs
        self.result = ("none",)
        self.templates: list = []
        self.writes: tuple = ()
        self.backward = None


class Trace:
    """A recorded run from one flush to the next, with the plan that computes it."""

    __slots__ = ("entries", "leaves", "slot_count", "binding", "next", "replays", "alive")

    def __init__(self, entries, leaves, slot_count):
        self.entries, self.leaves, self.slot_count = entries, leaves, slot_count
        self.binding = None
        self.next: Trace | None = None
        self.replays = 0
        self.alive: tuple = ()


class Recorder:
    """The state of recording and following; one per process, owned by one thread at a time."""

    def __init__(self):
        self.active = False  # whether a public call is to be looked at
        self.mode = OFF
        self.owner = 0
        self.reset()

    def reset(self) -> None:
        """Nothing recorded, nothing expected."""
        self.entries: list[Entry] = []
        self.ids: dict[int, tuple] = {}
        self.keep: list[Tensor] = []
        self.leaves: list[Leaf] = []
        self.bound: list[Tensor] = []
        self.slots: list[Tensor] = []
        self.poisoned = False
        self.trace: Trace | None = None
        self.pos = 0
        self.grads: list = []
        self.written: list = []

    # --- calls ----------------------------------------------------------------------------------

    def call(self, function, args, kwargs):
        """A public call while active."""
        if threading.get_ident() != self.owner:
            return function(*args, **kwargs)
        if self.mode == FOLLOW:
            out = self.follow(function, args, kwargs)
            if out is not _MISS:
                return out
            self.replay()
        return self.record(function, args, kwargs)

    def record(self, function, args, kwargs):
        """Make the call and note it."""
        if self.poisoned:
            return function(*args, **kwargs)
        self.active = False
        try:
            entry = Entry(function, tuple(self._spec(a) for a in args),
                          {k: self._spec(v) for k, v in kwargs.items()})
            self.written = []
            self.grads = []
            prior = self.entries
            out = function(*args, **kwargs)
            if self.entries is prior and self.mode == RECORD:
                self._note(entry, args, out)
            return out
        except Poison:
            self.poisoned = True
            return function(*args, **kwargs)
        finally:
            self.active = self.mode != OFF

    def _note(self, entry: Entry, args, out) -> None:
        try:
            entry.writes = tuple(self._write_spec(t) for t in self.written)
            if self.grads:
                entry.backward = tuple(self._grad_spec(v, before) for v, before in self.grads)
            entry.result = self._result(out, args, entry)
        except Poison:
            self.poisoned = True
            return
        self.entries.append(entry)

    def _spec(self, value):
        if isinstance(value, Tensor):
            have = self.ids.get(id(value))
            if have is not None:
                return have
            return self._new_leaf(value)
        if isinstance(value, (list, tuple)):
            if any(isinstance(v, Tensor) for v in value):
                return ("list", type(value), tuple(self._spec(v) for v in value))
            return ("value", tuple(value) if type(value) is list else value)
        if isinstance(value, dict) or callable(value) and not isinstance(value, type):
            raise Poison
        return ("value", value)

    def _new_leaf(self, t: Tensor) -> tuple:
        if t._fn is not None or t._base is not None or t.storage.shared \
                or t.device.type != "cpu" or t._inference:
            raise Poison
        leaf = Leaf(t, len(self.leaves))
        self.leaves.append(leaf)
        self.keep.append(t)
        spec = self.ids[id(t)] = ("leaf", leaf.number)
        return spec

    def _new_slot(self, t: Tensor) -> tuple:
        spec = self.ids[id(t)] = ("slot", len(self.slots))
        self.slots.append(t)
        return spec

    def _write_spec(self, t: Tensor) -> tuple:
        have = self.ids.get(id(t))
        if have is None:
            raise Poison
        if have[0] == "leaf":
            self.leaves[have[1]].written = True
        return have

    def _grad_spec(self, variable: Tensor, before) -> tuple:
        leaf = self.ids.get(id(variable))
        if leaf is None or leaf[0] != "leaf" or variable._hooks or before is not None:
            raise Poison
        return leaf[1], self._new_slot(variable._grad), _template(variable._grad)

    def _result(self, out, args, entry: Entry) -> tuple:
        if out is None:
            return ("none",)
        if isinstance(out, Tensor):
            for i, a in enumerate(args):
                if a is out:
                    return ("arg", i)
            if id(out) in self.ids:
                raise Poison
            entry.templates.append(_template(out))
            return self._new_slot(out)
        if isinstance(out, (tuple, list)) and all(isinstance(t, Tensor) for t in out):
            return ("tuple", type(out), tuple(self._result(t, args, entry) for t in out))
        raise Poison

    # --- following ------------------------------------------------------------------------------

    def follow(self, function, args, kwargs):
        """The results of the next entry if this call is it, else _MISS."""
        trace = self.trace
        if self.pos >= len(trace.entries):
            return _MISS
        entry = trace.entries[self.pos]
        if entry.function is not function or len(entry.args) != len(args) \
                or len(entry.kwargs) != len(kwargs):
            return _MISS
        for spec, value in zip(entry.args, args):
            if not self._matches(spec, value):
                return _MISS
        if kwargs:
            for name, value in kwargs.items():
                spec = entry.kwargs.get(name)
                if spec is None or not self._matches(spec, value):
                    return _MISS
        if entry.backward is not None and not self._follow_backward(entry):
            return _MISS
        self.pos += 1
        for kind, i in entry.writes:
            storage = (self.bound[i] if kind == "leaf" else self.slots[i]).__dict__.get("storage")
            if storage is not None:
                storage.version += 1
        result = entry.result
        if result[0] == "slot":
            return self._bare(result[1], entry.templates[0])
        return self._produce(result, args, iter(entry.templates))

    def _matches(self, spec, value) -> bool:
        kind = spec[0]
        if kind == "slot":
            return isinstance(value, Tensor) and value is self.slots[spec[1]]
        if kind == "leaf":
            return isinstance(value, Tensor) and self._bind(spec[1], value)
        if kind == "list":
            return type(value) is spec[1] and len(value) == len(spec[2]) and all(
                self._matches(s, v) for s, v in zip(spec[2], value))
        want = spec[1]
        if want is value:
            return True
        if type(value) is list:
            value = tuple(value)
        return type(value) is type(want) and value == want

    def _bind(self, k: int, t: Tensor) -> bool:
        have = self.bound[k]
        if have is not None:
            return have is t
        leaf = self.trace.leaves[k]
        if leaf.ref() is t:
            d = t.__dict__
            if "storage" not in d or d["storage"].stamp != leaf.stamp or d["_fn"] is not None \
                    or t._requires != leaf.requires or t._hooks:
                return False
        elif not leaf.accepts(t) or any(b is not None and b is t for b in self.bound):
            return False
        self.bound[k] = t
        return True

    def _bare(self, i: int, template: dict) -> Tensor:
        t = _new(Tensor)
        t.__dict__.update(template)
        t._run = self
        self.slots[i] = t
        return t

    def _produce(self, spec, args, templates):
        kind = spec[0]
        if kind == "slot":
            return self._bare(spec[1], next(templates))
        if kind == "arg":
            return args[spec[1]]
        if kind == "none":
            return None
        items = [self._produce(s, args, templates) for s in spec[2]]
        return _build(spec[1], items)

    def _follow_backward(self, entry: Entry) -> bool:
        for k, _, _ in entry.backward:
            leaf = self.bound[k]
            if leaf is None or leaf._grad is not None or leaf._hooks:
                return False
        for k, (_, i), template in entry.backward:
            self.bound[k]._grad = self._bare(i, template)
        return True

    # --- undoing --------------------------------------------------------------------------------

    def replay(self) -> None:
        """Make the matched calls in the ordinary way; bare tensors become what these give."""
        trace, count = self.trace, self.pos
        bound, bare = self.bound, self.slots
        self.mode = OFF
        self.active = False
        trace.replays += 1
        self.reset()
        self.mode = RECORD
        if count == 0:
            self.active = True
            return
        made: list[Tensor | None] = [None] * trace.slot_count

        def value(spec):
            kind = spec[0]
            if kind == "slot":
                return made[spec[1]] if bare[spec[1]] is None else bare[spec[1]]
            if kind == "leaf":
                return bound[spec[1]]
            if kind == "list":
                return _build(spec[1], [value(s) for s in spec[2]])
            return spec[1]

        def adopt(i, real):
            t = bare[i]
            made[i] = real
            if t is not None and t is not real:
                t.__dict__.clear()
                t.__dict__.update(real.__dict__)
                if id(real) in self.ids:
                    self.ids[id(t)] = self.ids.pop(id(real))
                    self.slots[self.ids[id(t)][1]] = t

        def place(spec, real):
            if spec[0] == "slot":
                adopt(spec[1], real)
            elif spec[0] == "tuple":
                for s, r in zip(spec[2], real):
                    place(s, r)

        for entry in trace.entries[:count]:
            for kind, i in entry.writes:  # counted when followed, and again by the call
                owner = bound[i] if kind == "leaf" else bare[i]
                storage = owner.__dict__.get("storage") if owner is not None else None
                if storage is not None:
                    storage.version -= 1
            now = []
            if entry.backward is not None:
                for k, _, _ in entry.backward:
                    now.append(bound[k]._grad)
                    bound[k]._grad = None
            real = self.record(entry.function, tuple(value(s) for s in entry.args),
                               {n: value(s) for n, s in entry.kwargs.items()})
            place(entry.result, real)
            if entry.backward is not None:
                for (k, (_, i), _), current in zip(entry.backward, now):
                    fresh = bound[k]._grad
                    adopt(i, fresh)
                    bound[k]._grad = current if current is None or current is not bare[i] \
                        else bare[i]
        self.active = True

    def settle(self) -> None:
        """Called when something looks inside a bare tensor."""
        if self.mode == FOLLOW and threading.get_ident() == self.owner:
            self.replay()
        elif self.mode == FOLLOW:
            raise RuntimeError("a tensor of another thread's step was used before that step ended; "
                               "read a value (item, print) in the thread that computes it first")


_new = object.__new__
recorder = Recorder()


def _build(cls, items):
    if cls in (list, tuple):
        return cls(items)
    return cls(*items) if hasattr(cls, "_fields") else cls(items)


def _template(t: Tensor) -> dict:
    """What a bare tensor knows."""
    return {"shape": t.shape, "dtype": t.dtype}


def entry_point(function):
    """Wrap a public function so that it is recorded and followed."""
    call = recorder.call

    @functools.wraps(function)
    def followed(*args, **kwargs):
        if recorder.active:
            return call(function, args, kwargs)
        return function(*args, **kwargs)

    return followed


def alive(t: Tensor) -> bool:
    """Whether anything but the recorder's list and the caller's name refers to a tensor."""
    return sys.getrefcount(t) > 4


__all__ = ["FOLLOW", "OFF", "RECORD", "alive", "entry_point", "flags", "recorder"]
