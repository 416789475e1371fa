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
import sys
import threading
import weakref

from ..autograd.modes import set_grad_enabled, state
from ..base.flags import values as flags
from ..ir import node as ir
from ..ir.node import Tagged
from ..runtime import execute
from .generator import default_generator
from .tensor import Tensor
from .trace import Binding, Entry, Leaf, Poison, Trace

OFF, RECORD, FOLLOW = range(3)
_MISS = object()
_GIVE_UP = 4  # replays in a row after which a trace is no longer followed
_new = object.__new__


class Recorder:
    """The state of recording and following; one thread at a time owns it."""

    def __init__(self):
        self.active = False  # whether a public call is to be looked at
        self.mode = OFF
        self.owner = 0
        self.inside = False  # a recorded call is being made
        self.last: Trace | None = None
        self.done: tuple | None = None  # (trace, slots, results, storages) of the last run
        self.replayed_seeds: list[int] = []
        self._clear()

    def _clear(self) -> None:
        self.entries: list[Entry] = []
        self.ids: dict[int, tuple] = {}
        self.keep: list[Tensor] = []
        self.leaves: list[Leaf] = []
        self.slots: list = []
        self.seeds: list[int] = []
        self.poisoned = False
        self.grads: list = []
        self.written: list = []
        self.draws = 0
        self.tags = 0
        self.trace: Trace | None = None
        self.pos = 0
        self.bound: list = []
        self.numbers: list = []

    # --- recording --------------------------------------------------------------------------------

    def call(self, function, args, kwargs):
        """A public call while active."""
        if threading.get_ident() != self.owner:
            return function(*args, **kwargs)
        if self.mode == FOLLOW:
            out = self.follow(function, args, kwargs)
            if out is not _MISS:
                return out
            if _outside(function, args):
                return function(*args, **kwargs)
            self.replay()
        return self.record(function, args, kwargs)

    def record(self, function, args, kwargs):
        """Make the call and note it."""
        if self.poisoned or _outside(function, args) and id(args[0]) not in self.ids:
            return function(*args, **kwargs)
        self.active, self.inside = False, True
        self.written, self.grads, self.draws = [], [], 0
        entry = None
        try:
            entry, kwargs = self._entry(function, args, kwargs)
        except Poison:
            self.poisoned = True
        try:
            out = function(*args, **kwargs)
        except BaseException:
            self.poisoned = True
            raise
        finally:
            self.inside = False
            self.active = self.mode != OFF
        if entry is not None and not self.poisoned:
            try:
                self._note(entry, args, out)
            except Poison:
                self.poisoned = True
        return out

    def _entry(self, function, args, kwargs):
        dynamic = getattr(function, "run_time_numbers", ())
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
        return Entry(function, tuple(self._spec(a) for a in args), specs, state.grad), passed

    def _note(self, entry: Entry, args, out) -> None:
        entry.draws = self.draws
        entry.writes = tuple(dict.fromkeys(
            spec for spec in map(self._write_spec, self.written) if spec is not None))
        if self.grads:
            entry.backward = tuple(self._grad_spec(v, before) for v, before in self.grads)
        entry.result = self._result(out, args, entry)
        self.entries.append(entry)

    def _spec(self, value):
        if isinstance(value, Tensor):
            return self.ids.get(id(value)) or self._new_leaf(value)
        if isinstance(value, (list, tuple)):
            if any(isinstance(v, (Tensor, list, tuple)) for v in value):
                return ("list", type(value), tuple(self._spec(v) for v in value))
            return ("value", tuple(value) if type(value) is list else value)
        if isinstance(value, (dict, set)) or callable(value) and not isinstance(value, type):
            raise Poison
        if isinstance(value, slice):
            return ("value", (slice, value.start, value.stop, value.step))
        try:
            hash(value)
        except TypeError:
            raise Poison from None
        return ("value", value)

    def _new_leaf(self, t: Tensor) -> tuple:
        if t._fn is not None or t.storage.shared or t.storage.device.type != "cpu" \
                or t._inference or t._hooks:
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

    def _write_spec(self, t: Tensor) -> tuple | None:
        have = self.ids.get(id(t))
        if have is None:
            if any(t.storage is k.storage for k in (*self.keep, *self.slots)):
                raise Poison  # a view of something known
            return None  # a value that the call made for itself
        if have[0] == "leaf":
            self.leaves[have[1]].written = True
        return have

    def _grad_spec(self, variable: Tensor, before) -> tuple:
        have = self.ids.get(id(variable))
        if have is None or have[0] != "leaf" or variable._hooks or before is not None \
                or variable._grad is None:
            raise Poison
        return have[1], self._new_slot(variable._grad), _template(variable._grad)

    def _result(self, out, args, entry: Entry) -> tuple:
        if out is None:
            return ("none",)
        if isinstance(out, Tensor):
            for i, a in enumerate(args):
                if a is out:
                    return ("arg", i)
            if id(out) in self.ids or type(out) is not Tensor:
                raise Poison
            entry.templates.append(_template(out))
            return self._new_slot(out)
        if isinstance(out, (tuple, list)) and all(isinstance(t, Tensor) for t in out):
            return ("tuple", type(out), tuple(self._result(t, args, entry) for t in out))
        raise Poison

    def wrote(self, t: Tensor) -> None:
        """An in-place write happened."""
        if self.mode == RECORD and not self.poisoned and threading.get_ident() == self.owner:
            if self.inside:
                self.written.append(t)
            elif id(t) in self.ids:
                self.poisoned = True

    def accumulated(self, variable: Tensor, before) -> None:
        """backward() changed ``.grad`` of a leaf."""
        if self.inside:
            self.grads.append((variable, before))

    def callback(self) -> None:
        """A call runs code of the program (hooks, custom functions): it cannot be followed."""
        if self.inside:
            self.poisoned = True

    # --- following --------------------------------------------------------------------------------

    def follow(self, function, args, kwargs):
        """The results of the next entry if this call is it, else _MISS."""
        entries = self.trace.entries
        if self.pos >= len(entries):
            return _MISS
        entry = entries[self.pos]
        if entry.function is not function or len(entry.args) != len(args) \
                or len(entry.kwargs) != len(kwargs) or entry.grad is not state.grad:
            return _MISS
        matches = self._matches
        for spec, value in zip(entry.args, args):
            if not matches(spec, value):
                return _MISS
        for name, value in kwargs.items():
            spec = entry.kwargs.get(name)
            if spec is None or not matches(spec, value):
                return _MISS
        if entry.backward is not None and not self._follow_backward(entry):
            return _MISS
        self.pos += 1
        execute.outstanding = True
        for kind, i in entry.writes:
            if kind == "leaf":
                self.bound[i].storage.version += 1
        if entry.draws:
            self.seeds.extend(next_seed() for _ in range(entry.draws))
        result = entry.result
        if result[0] == "slot":
            return self._bare(result[1], entry.templates[0])
        return self._produce(result, args, iter(entry.templates))

    def _matches(self, spec, value) -> bool:
        kind = spec[0]
        if kind == "slot":
            return value is self.slots[spec[1]]
        if kind == "leaf":
            k = spec[1]
            have = self.bound[k]
            return have is value if have is not None else self._bind(k, value)
        want = spec[1]
        if kind == "value":
            if want is value:
                return True
            if type(value) is list:
                value = tuple(value)
            elif type(value) is slice:
                value = (slice, value.start, value.stop, value.step)
            return type(value) is type(want) and value == want
        if kind == "number":
            if type(value) is not float:
                return False
            self.numbers[want] = value
            return True
        if type(value) is not want or len(value) != len(spec[2]):
            return False
        for s, v in zip(spec[2], value):
            if not self._matches(s, v):
                return False
        return True

    def _bind(self, k: int, t) -> bool:
        if not isinstance(t, Tensor):
            return False
        leaf = self.trace.leaves[k]
        d = t.__dict__
        storage = d.get("storage")
        if storage is None:
            return False
        if leaf.ref() is t:
            if t._fn is not None or t._requires != leaf.requires or t._hooks \
                    or storage.memory is not None:
                return False
        elif not leaf.accepts(t, self.trace.written):
            return False
        for other in self.bound:
            if other is t:
                return False
        self.bound[k] = t
        return True

    def _bare(self, i: int, template: dict) -> Tensor:
        t = _new(Tensor)
        t.__dict__.update(template)
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
        return _build(spec[1], [self._produce(s, args, templates) for s in spec[2]])

    def _follow_backward(self, entry: Entry) -> bool:
        bound = self.bound
        for k, _, _ in entry.backward:
            leaf = bound[k]
            if leaf is None or leaf._grad is not None or leaf._hooks:
                return False
        for k, slot, template in entry.backward:
            bound[k]._grad = self._bare(slot[1], template)
        return True

    # --- undoing ----------------------------------------------------------------------------------

    def replay(self) -> None:
        """Make the matched calls in the ordinary way; bare tensors become what these give."""
        trace, count, bound, bare = self.trace, self.pos, self.bound, self.slots
        numbers = self.numbers
        self.replayed_seeds = self.seeds
        execute.outstanding = False
        self._clear()
        self.mode = RECORD
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
            if kind == "list":
                return _build(spec[1], [value(s) for s in spec[2]])
            if type(spec[1]) is tuple and spec[1][:1] == (slice,):
                return slice(*spec[1][1:])
            return spec[1]

        for entry in trace.entries[:count]:
            for kind, i in entry.writes:  # counted when followed, and again by the call
                if kind == "leaf":
                    bound[i].storage.version -= 1
            now = [bound[k]._grad for k, _, _ in entry.backward or ()]
            for k, _, _ in entry.backward or ():
                bound[k]._grad = None
            with set_grad_enabled(entry.grad):
                real = self.record(entry.function, tuple(value(s) for s in entry.args),
                                   {n: value(s) for n, s in entry.kwargs.items()})
            self._adopt_all(entry.result, real, bare, made)
            for (k, slot, _), current in zip(entry.backward or (), now, strict=True):
                self._adopt(slot[1], bound[k]._grad, bare, made)
                bound[k]._grad = current
        self.replayed_seeds = []
        self.active = True

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

    def settle(self, t: Tensor | None = None) -> None:
        """Something looks inside a bare tensor, or at a value while calls are outstanding."""
        if t is not None and self.done is not None and self._settle_done(t):
            return
        if self.mode == FOLLOW:
            if threading.get_ident() != self.owner:
                raise RuntimeError(
                    "a tensor of another thread's step was used before that step ended: read a "
                    "value (item, print) in the thread that computes it first")
            was_inside = self.inside
            self.replay()
            self.inside = was_inside

    def result_of(self, t: Tensor):
        """The array of a bare tensor that the last run computed, whole; None for any other."""
        if self.done is None:
            return None
        trace, slots, results, _ = self.done
        for alive in trace.binding.alive.values():
            if slots[alive.slot] is t:
                out = results[alive.output]
                return out if out.size == 1 and "storage" not in t.__dict__ else None
        return None

    def _settle_done(self, t: Tensor) -> bool:
        trace, slots, results, storages = self.done
        for alive in trace.binding.alive.values():
            if slots[alive.slot] is t:
                trace.binding.settle(alive, t, results, storages)
                return True
        return False

    def _release_done(self) -> None:
        """Before the buffers of the last run are written again: who is still there gets them."""
        done, self.done = self.done, None
        if done is None:
            return
        trace, slots, results, storages = done
        for alive in trace.binding.alive.values():
            t = slots[alive.slot]
            if t is not None and sys.getrefcount(t) > 3 and "storage" not in t.__dict__:
                trace.binding.settle(alive, t, results, storages)

    # --- flushing ---------------------------------------------------------------------------------

    def before_flush(self) -> bool:
        """Called first by execute.flush; True when the followed plan did all the work."""
        if self.mode == OFF or threading.get_ident() != self.owner:
            return False
        if self.inside:
            self.poisoned = True
            return False
        if self.mode == FOLLOW:
            if self.pos == 0:
                return False  # nothing of this trace has happened yet
            if self.pos == len(self.trace.entries) and self._run():
                return True
            self.replay()
        if not self.poisoned:
            try:
                self._locate()
            except Poison:
                self.poisoned = True
        # what only the recorder remembers must not look alive
        self.slots = [weakref.ref(t) for t in self.slots]
        self.keep, self.ids = [weakref.ref(t) for t in self.keep], {}
        self.written = self.grads = []
        return False

    def _locate(self) -> None:
        storages: dict[int, int] = {}
        for leaf, t in zip(self.leaves, self.keep, strict=True):
            leaf.locate(t.storage)
            other = storages.setdefault(id(t.storage), leaf.number)
            if other != leaf.number and (leaf.written or self.leaves[other].written):
                raise Poison

    def observe(self, flushed) -> None:
        """A flush is being made by a plan: bind the recording to it."""
        if self.mode != RECORD or self.poisoned or self.inside or not self.entries \
                or threading.get_ident() != self.owner:
            return
        tensors = [ref() for ref in self.keep]
        slots = [ref() for ref in self.slots]
        try:
            binding = Binding(flushed, self.leaves, tensors, slots, self.seeds)
            if {tag for _, tag in binding.from_number} != set(range(self.tags)):
                raise Poison  # a number was changed on its way: its place is not known
        except Poison:
            self.poisoned = True
            return
        trace = Trace(self.entries, self.leaves, len(slots), binding)
        trace.numbers = self.tags
        trace.written = {id(t.storage) for t, leaf in zip(tensors, self.leaves, strict=True)
                         if t is not None and leaf.written}
        self.trace = self._merge(trace)

    def _merge(self, trace: Trace) -> Trace:
        """The trace known by these calls, brought up to date, or this one as a new one."""
        known = trace.binding.plan.traces
        for old in known:
            if old.signature == trace.signature:
                old.confirmed = old.binding.agrees(trace.binding)
                old.leaves, old.binding, old.entries = trace.leaves, trace.binding, trace.entries
                old.written = trace.written
                return old
        known.append(trace)
        del known[:-4]
        return trace

    def after_flush(self, compiled: bool) -> None:
        """Called last by execute.flush: decide what to do with the next calls."""
        if self.inside or not flags.follow:
            return
        me = threading.get_ident()
        if self.owner != me:
            if self.mode != OFF and self.owner in _running_threads():
                return
            self.owner, self.last = me, None
        if self.mode == FOLLOW and self.pos == 0:
            return
        trace = self.trace if self.mode == RECORD and not self.poisoned else None
        if not compiled:
            self._clear()
            self.mode, self.active, self.last = OFF, False, None
            return
        self._expect(trace)

    def _expect(self, trace: Trace | None) -> None:
        """Follow what came after ``trace`` last time, or record."""
        if self.last is not None and trace is not None:
            self.last.next = trace
        self.last = trace
        expected = trace.next if trace is not None else None
        self._clear()
        execute.outstanding = False
        self.active = True
        if expected is not None and expected.binding.store and expected.upgrades < 2:
            expected.upgrades += 1  # recorded anew, the arrays it hands on may be written over
        elif expected is not None and expected.confirmed and expected.replays < _GIVE_UP:
            self.mode = FOLLOW
            self.trace = expected
            self.bound = [None] * len(expected.leaves)
            self.slots = [None] * expected.slot_count
            self.numbers = [0.0] * expected.numbers
            return
        self.mode = RECORD

    def _refuse(self, why: str) -> bool:
        if flags.debug >= 2:
            print(f"[flambeau] trace not followed to its end: {why}", file=sys.stderr)
        return False

    def _run(self) -> bool:
        """Run the followed trace's plan; False when something stands in the way."""
        trace, slots, bound = self.trace, self.slots, self.bound
        binding = trace.binding
        alive = binding.alive
        count = sys.getrefcount
        for i in range(len(slots)):
            if slots[i] is not None and count(slots[i]) > 2 and i not in alive:
                return self._refuse(f"result {i} of shape {tuple(slots[i].shape)} is still held")
        execute.outstanding = False  # what the program made beside the trace runs first
        if ir.pending:
            execute.flush_pending()
        for k, leaf in enumerate(trace.leaves):
            t = bound[k]
            if t is None or leaf.written and not binding.exclusive(t):
                execute.outstanding = True
                return self._refuse(f"the content of input {k} {tuple(leaf.shape)} is held by "
                                    "another tensor, it cannot be written over")
        with execute.lock:
            self._release_done()
            plan = binding.plan
            if plan.user is not binding:
                self._rebind(binding)
            for k, t in enumerate(bound):
                if not binding.bind(k, t):
                    plan.user = None
                    execute.outstanding = True
                    return self._refuse(f"input {k} has no contiguous value")
            for position, number in binding.from_number:
                plan.set_number(position, self.numbers[number])
            for position, place in binding.from_seed:
                plan.set_number(position, self.seeds[place])
            try:
                results = plan.execute(binding.arrays)
            finally:
                binding.unbind()
        for output, k in binding.store:
            storage = bound[k].storage
            storage.node = ir.leaf(results[output], storage.dtype)
            storage.stamp += 1
        for k, leaf in enumerate(trace.leaves):
            if leaf.ref() is not bound[k]:
                leaf.ref = weakref.ref(bound[k])
        trace.replays = 0
        self.done = (trace, slots, results, {})
        self._expect(trace)
        return True

    def _rebind(self, binding: Binding) -> None:
        plan = binding.plan
        plan.user = binding
        binding.bound = [None] * len(self.trace.leaves)
        for position, array in binding.fixed:
            if array.shape == () and type(plan.slots[position]) is not int:
                plan.set_number(position, array)
            else:
                plan.bind(position, array)


def _running_threads() -> set[int]:
    return {t.ident for t in threading.enumerate()}


def _outside(function, args) -> bool:
    """Calls that only choose part of a tensor from before the trace: their numbers may differ from
    step to step, so they are made in the ordinary way and give leaves."""
    if getattr(function, "__name__", "") != "getitem" or len(args) != 2:
        return False
    x = args[0]
    return "storage" in x.__dict__ and x._fn is None and not x._requires and _plain_key(args[1])


def _plain_key(key) -> bool:
    if isinstance(key, tuple):
        return all(map(_plain_key, key))
    return isinstance(key, (int, slice)) or key is None or key is Ellipsis


def _build(cls, items):
    if cls in (list, tuple):
        return cls(items)
    return cls(*items) if hasattr(cls, "_fields") else cls(items)


def _template(t: Tensor) -> dict:
    """What a bare tensor knows."""
    return {"shape": t.shape, "dtype": t.dtype, "_run": True}


recorder = Recorder()


def next_seed() -> int:
    """A fresh seed for a counter-based random source, from the default generator."""
    return default_generator.word64() >> 1


def draw_seed() -> int:
    """The seed of an operation that is being recorded: replayed where the call was followed."""
    r = recorder
    value = r.replayed_seeds.pop(0) if r.replayed_seeds else next_seed()
    if r.inside and threading.get_ident() == r.owner:
        r.draws += 1
        r.seeds.append(value)
    return value


def entry_point(function):
    """Wrap a public function so that it is recorded and followed."""
    call = recorder.call

    @functools.wraps(function)
    def followed(*args, **kwargs):
        if recorder.active:
            return call(function, args, kwargs)
        return function(*args, **kwargs)

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
    if name in ("storage", "strides", "offset") and self.__dict__.get("_run"):
        recorder.settle(self)
        if name in self.__dict__:
            return self.__dict__[name]
    raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")


Tensor.__getattr__ = _missing
execute.follower = recorder
