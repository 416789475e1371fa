"""Recording: what a program's calls look like, noted while they are made in the ordinary way.

A :class:`Recording` turns calls into entries (see trace.py). What cannot be followed later makes it
*poisoned*: the calls are made all the same, and the recording is dropped at the flush.
"""

from __future__ import annotations

from threading import get_ident

from ..autograd.modes import state
from ..ir.node import CONST, Tagged
from ..ir.node import leaf as node_of
from .tensor import Tensor
from .trace import Entry, Leaf, Poison, Trace

OFF, RECORD, FOLLOW = range(3)
#: surroundings of a call (hooks, modes) that an entry cannot describe
UNKNOWN = object()


class Recording:
    """The calls since the last flush, as entries, leaves and slots."""

    mode = OFF
    active = inside = False
    owner = 0
    around: object = None

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
        self.changed: list[int] = []
        self.functions: list = []

    def record(self, function, args, kwargs):
        """Make the call and note it."""
        if self.poisoned or is_outside(function, args) and id(args[0]) not in self.ids:
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
        if self.around is UNKNOWN:
            raise Poison
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
        storage = t.storage
        if storage.node.prim is CONST:  # another tensor's number may stand here next time
            storage.node = node_of(storage.node.value.copy(), storage.dtype)
            storage.stamp += 1
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
        return have[1], self._new_slot(variable._grad), template_of(variable._grad)

    def _result(self, out, args, entry: Entry) -> tuple:
        if out is None:
            return ("none",)
        if isinstance(out, Tensor):
            for i, a in enumerate(args):
                if a is out:
                    return ("arg", i)
            if id(out) in self.ids or type(out) is not Tensor or out.storage.device.type != "cpu":
                raise Poison
            entry.templates.append(template_of(out))
            return self._new_slot(out)
        if isinstance(out, (tuple, list)) and all(isinstance(t, Tensor) for t in out):
            return ("tuple", type(out), tuple(self._result(t, args, entry) for t in out))
        raise Poison

    def wrote(self, t: Tensor) -> None:
        """An in-place write happened."""
        if self.mode == RECORD and not self.poisoned and get_ident() == self.owner:
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

    def _locate(self) -> None:
        storages: dict[int, list[Leaf]] = {}
        for leaf, t in zip(self.leaves, self.keep, strict=True):
            leaf.locate(t)
            for other in storages.setdefault(id(t.storage), []):
                if leaf.written or other.written or leaf.overlaps(other):
                    raise Poison
            storages[id(t.storage)].append(leaf)


def is_outside(function, args) -> bool:
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


def build_like(cls, items):
    if cls in (list, tuple):
        return cls(items)
    return cls(*items) if hasattr(cls, "_fields") else cls(items)


def template_of(t: Tensor) -> dict:
    """What a bare tensor knows."""
    return {"shape": t.shape, "dtype": t.dtype}
