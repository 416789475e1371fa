"""What a recorded trace is made of: entries, leaves, and how its plan is bound to new inputs.

See :mod:`flambeau.tensor.follow` for when traces are recorded and followed.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from operator import attrgetter
from sys import getrefcount
from typing import TYPE_CHECKING

import numpy as np

from ..base import srcloc
from ..base.device import CPU
from ..base.shape import is_contiguous
from ..ir.node import leaf as leaf_node
from ..runtime import counts, execute
from .storage import Storage
from .tensor import Tensor

if TYPE_CHECKING:
    from .repeat import Repeat


#: stands for no tensor among the last run's (None could be an argument)
NOBODY = object()


class Poison(Exception):
    """Raised while recording by what cannot be followed; that recording is dropped."""


def _steps(t: Tensor) -> tuple[int, ...]:
    """Strides of the dimensions that have more than one element."""
    return tuple([s for n, s in zip(t.shape, t.strides, strict=True) if n != 1])


class Leaf:
    """A tensor from before the trace: where it comes from and what must hold of it."""

    __slots__ = ("ref", "cls", "shape", "strides", "dtype", "requires", "written", "memory",
                 "number", "address", "size", "history", "place", "origin", "via", "steps",
                 "inference", "read", "unrecorded")

    def __init__(self, t: Tensor, number: int):
        self.number = number
        self.ref = weakref.ref(t)
        self.cls = type(t)
        self.shape, self.strides, self.dtype = t.shape, t.strides, t.dtype
        self.steps = _steps(t)
        self.requires = t._requires
        self.history = t._fn is not None
        self.inference, self.unrecorded = t._inference, t._unrecorded
        #: where a tensor with a history that is still wanted comes from: (trace, slot)
        self.origin: tuple | None = None
        #: where a leaf comes from that only backward meets: (trace, its leaf's number)
        self.via: tuple | None = None
        self.place = t.offset, t.storage.numel
        self.written = False
        self.address = self.size = 0
        self.memory = (0, 0)
        self.read = 0  # id of the node that it was read as last

    def locate(self, t: Tensor) -> None:
        """Note where the memory is that the tensor and its storage cover (before the flush that
        may replace it)."""
        storage = t.storage
        node = storage.prior if storage.prior is not None else storage.node
        array = node.value
        if array is None:
            raise Poison("an argument has no value yet")
        if not array.flags.c_contiguous:
            raise Poison("an argument's content is no memory of its own")
        start = array.__array_interface__["data"][0]
        self.read = id(t._node) if t._node is not None else 0
        self.memory = (start, start + max(array.nbytes, 1))
        self.address = start + t.offset * array.itemsize
        extent = 1 + sum((n - 1) * s for n, s in zip(t.shape, t.strides, strict=True))
        self.size = max(extent, 1) * array.itemsize

    def holds(self, address: int) -> bool:
        """Whether an address lies in the memory from the first to the last element."""
        return self.address <= address < self.address + self.size

    def is_read_as(self, array: np.ndarray, address: int) -> bool:
        """Whether an array is just this tensor, perhaps with its dimensions in another order."""
        size = array.itemsize
        if array.flags.c_contiguous and array.nbytes == self.size \
                and is_contiguous(self.shape, self.strides):
            return address == self.address
        mine = sorted((n, s * size) for n, s in zip(self.shape, self.strides, strict=True) if n > 1)
        return address == self.address and mine == sorted(
            (n, s) for n, s in zip(array.shape, array.strides, strict=True) if n > 1)

    def accepts(self, t: Tensor, storage: Storage) -> bool:
        """Whether a tensor can stand in: same geometry, and for a tensor that is written the same
        place in as large a memory."""
        return ((t._fn is not None) is self.history
                and (t.shape is self.shape or t.shape == self.shape)
                and (t.strides is self.strides or t.strides == self.strides
                     or _steps(t) == self.steps)
                and t.dtype is self.dtype
                and t._requires is self.requires and type(t) is self.cls
                and not t._hooks and t._inference is self.inference
                and type(storage) is Storage
                and (storage.device is CPU or storage.device.type == "cpu")
                and (storage.memory is None or not storage.shared)
                and (not self.written or (self.place == (t.offset, storage.numel)
                                          and t._unrecorded is self.unrecorded)))

    def signature(self) -> tuple:
        """What two recordings must have in common."""
        return (self.cls, tuple(self.shape), self.steps, self.dtype, self.requires,
                self.written, self.history, self.origin, self.via)


class Entry:
    """One call: the function, what its arguments must be, and what it gives.

    Argument specs: ("slot", i) a tensor of the trace; ("leaf", k); ("value", v);
    ("number", j) a Python float that may differ each time; ("list", type, specs); a position that
    may differ each time (places.py).
    Result specs: ("slot", i), ("arg", i), ("none",), ("tuple", type, specs).

    Attributes:
        backward: for each leaf that gets a gradient: its number, the gradient's spec, and what the
            bare gradient knows (None where it is added to a gradient from before).
        extent: numbers of leaves, slots and run-time numbers met up to the end of the call.
    """

    __slots__ = ("function", "args", "kwargs", "result", "templates", "writes", "backward", "draws",
                 "grad", "around", "loc", "extent")

    def __init__(self, function, args, kwargs, grad: bool, around=None):
        self.grad, self.around = grad, around
        self.loc = srcloc.user_location()
        self.function, self.args, self.kwargs = function, args, kwargs
        self.result: tuple = ("none",)
        self.templates: list = []
        self.writes: tuple = ()
        self.backward: tuple | None = None
        self.draws: tuple = ()
        self.extent = (0, 0, 0)

    def signature(self) -> tuple:
        """What two recordings must have in common."""
        backward = self.backward and tuple((k, spec, t is None) for k, spec, t in self.backward)
        return (self.function, self.args, tuple(self.kwargs.items()), self.result, self.writes,
                backward, self.draws, self.grad, self.around,
                tuple(t["shape"] for t in self.templates))


class Trace:
    """A recorded run from one flush to the next, with the plan that computes it.

    ``nodes`` and ``counts`` belong to runs that follow each other directly: the content of every
    leaf and the references to it after the last run. A difference means that the program has read
    or replaced it.
    """

    def __init__(self, entries: list[Entry], leaves: list[Leaf], slot_count: int,
                 binding, numbers: int, slot_strides: list[tuple[int, ...]]):
        self.entries, self.leaves, self.slot_count = entries, leaves, slot_count
        self.binding, self.numbers, self.slot_strides = binding, numbers, slot_strides
        self._note_written()
        self.next: Trace | None = None
        self.confirmed = False
        self.replays = self.upgrades = 0
        self.steps = None
        self.runs = 0  # since versions were counted
        self.used = 0  # when it ran last, by the recorder's count of runs
        self.counts: list[int] = []
        self.left: list[int] = []
        self.common: weakref.WeakKeyDictionary[Trace, int] = weakref.WeakKeyDictionary()
        self.touches = self.flushes = -1
        self.repeat: Repeat | None = None
        self.cannot_repeat = False
        self.storages: list = [None] * len(leaves)
        self.plan_moves = binding.plan.has_host_steps  # these read the arrays themselves
        self.release()
        self.signature = (tuple(e.signature() for e in entries),
                          tuple(leaf.signature() for leaf in leaves))

    def adopt(self, other: Trace) -> None:
        """The same calls were recorded again: take over what is new about them."""
        self.confirmed = self.binding.agrees(other.binding)
        self.count_writes()
        self.repeat, self.cannot_repeat = None, False
        self.entries, self.leaves, self.binding = other.entries, other.leaves, other.binding
        self.slot_strides = other.slot_strides
        self.steps = None
        self.replays = max(0, self.replays - 1)  # it does come to its end
        self.release()
        self._note_written()

    def _note_written(self) -> None:
        self.writes = [k for k, leaf in enumerate(self.leaves) if leaf.written]
        #: calls of a run that write a leaf, by its number
        self.times = Counter(k for entry in self.entries for kind, k in entry.writes
                             if kind == "leaf")

    def begins_like(self, other: Trace, count: int) -> bool:
        """Whether the first ``count`` calls of both are the same."""
        common = self.common.get(other)
        if common is None:
            pairs = zip(self.signature[0], other.signature[0], strict=False)
            common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            self.common[other] = common
        return count <= common

    def release(self) -> None:
        """Hold nothing of the program."""
        self.leave()
        self.known, self.left = False, []  # whether the plan has the addresses of all leaves
        self.storages: list = [None] * len(self.leaves)
        self.stamps: list = [0] * len(self.leaves)
        self.written: set[int] = set()  # ids, known only while the storages are held
        self.binding.starts = [0] * len(self.leaves)
        self.usual: list[int] = []
        if self.steps is not None:
            self.steps.forget()

    def leave(self) -> None:
        """Another trace is followed next: keep nobody from writing over what this one writes."""
        self.count_writes()
        if self.counts:
            self.left = self.counts  # as they were when another trace took over
        self.nodes: list = [None] * len(self.leaves)
        self.counts = []
        if self.repeat is not None:
            self.repeat.forget()

    def forget(self, t: Tensor) -> None:
        """A tensor is about to get other memory or another geometry."""
        if self.steps is not None:
            for k, known in enumerate(self.steps.last):
                if known is t:
                    self.steps.last[k] = NOBODY
                    self.steps.last_groups[:] = [None] * len(self.steps.groups)
                    self.known = False
                    if self.repeat is not None:
                        self.repeat.forget()

    def held_are_known(self) -> bool:
        """Whether every slot that is still referred to was so at the recording."""
        alive = self.binding.alive
        found = counts.of(self.steps.slots)
        for i, n in enumerate(found):
            if n > 1 and i not in alive and self.steps.slots[i] is not None:
                return False
        self.usual = found
        return True

    def bind_leaves(self, changed: list[int], uses: dict) -> bool:
        """Give the plan the leaves of this run; False where one may not be written over.

        Args:
            changed: numbers of the leaves that were not the same tensors in the last run.
            uses: the earlier runs, by trace, that leaves with a history come from.
        """
        bound, nodes = self.steps.bound, self.nodes
        if self.plan_moves or not self.known:
            return self._bind_all(bound, uses)
        if not self.counts:
            return self._bind_again(changed, bound, uses)
        for k in changed:
            if not self._bind_one(k, bound[k], uses):
                return False
            self.counts[k] = getrefcount(nodes[k]) - 1
        if changed and not self._apart(changed):
            return False
        if execute.touches == self.touches:  # nobody can have got hold of anything
            return True
        if execute.flushes != self.flushes or list(map(_node_of, self.storages)) != nodes \
                or not counts.are(nodes, self.counts):
            return self._bind_all(bound, uses)
        self.touches = execute.touches
        return True

    def _bind_again(self, changed: list[int], bound: list, uses: dict) -> bool:
        """Other traces ran meanwhile: all is where it was, unless a storage or a new user of its
        content says otherwise, or something else was computed, which may be parts of contents."""
        if not self.left or execute.flushes != self.flushes:
            return self._bind_all(bound, uses)
        for k in changed:
            if not self._bind_one(k, bound[k], uses):
                return False
        self.nodes[:] = map(_node_of, self.storages)
        found = counts.of(self.nodes)
        for k in changed:
            self.left[k] = found[k]
        if list(map(_stamp_of, self.storages)) != self.stamps or found != self.left:
            return self._bind_all(bound, uses)
        if changed and not self._apart(changed):
            return False
        self.counts, self.touches = found, execute.touches
        return True

    def _bind_all(self, bound: list, uses: dict) -> bool:
        for k, t in enumerate(bound):
            if t is None or not self._bind_one(k, t, uses):
                return False
        if not self._apart(range(len(bound))):
            return False
        self.nodes[:] = map(_node_of, self.storages)
        self.counts = counts.of(self.nodes)
        self.touches, self.known = execute.touches, True
        self.flushes = execute.flushes
        return True

    def _bind_one(self, k: int, t: Tensor, uses: dict) -> bool:
        leaf = self.leaves[k]
        if leaf.origin is not None:
            trace, slot = leaf.origin
            if not uses[trace].is_untouched(slot):
                return False
            self.binding.bind_result(k, uses[trace], slot)
            self.nodes[k], self.storages[k], self.stamps[k] = _NOTHING.node, _NOTHING, 0
            return True
        storage = t.storage
        if storage.memory is not None:
            return False
        if leaf.written:
            self.nodes[k] = None
            if self.storages[k] is not storage:
                self.count_writes()
            if not self.binding.exclusive(t):
                return False
        if storage._addressed != storage.stamp and not storage.address():
            return False  # not row-major
        self.binding.bind(k, storage, t.offset)
        self.nodes[k], self.storages[k], self.stamps[k] = storage.node, storage, storage.stamp
        return True

    def _apart(self, changed: Sequence[int]) -> bool:
        """Whether what is written is the memory of one leaf each."""
        if self.binding.together and not self.binding.are_together():
            return False
        storages, leaves, known = self.storages, self.leaves, self.written
        for k in changed:
            if id(storages[k]) in known and not leaves[k].written:
                return False
            if leaves[k].written:
                written = [storages[k] for k in self.writes]
                self.written = set(map(id, written))
                return all(storages.count(s) == 1 for s in written)
        return True

    def finish(self, results: list) -> None:
        """After the plan has run: what was written in place counts as a write."""
        for output, k in self.binding.store:
            storage = self.steps.bound[k].storage
            storage.node = leaf_node(results[output], storage.dtype)
            storage.stamp += 1
            self.counts = []
        self.runs += 1
        self.replays = 0

    def repeated(self) -> int:
        """How many runs there were that only ``repeat`` knows of."""
        n = self.repeat.take() if self.repeat is not None else 0
        self.runs += n
        return n

    def count_writes(self) -> None:
        """Let the runs so far be seen in the versions of what they wrote in place."""
        self.repeated()
        runs, self.runs = self.runs, 0
        if runs:
            for k in self.writes:
                self.storages[k].version += runs * self.times[k]


class _Nothing:
    """Stands for the storage of a bare tensor."""

    node = object()
    stamp = 0


_NOTHING = _Nothing()
_node_of, _stamp_of = attrgetter("node"), attrgetter("stamp")
