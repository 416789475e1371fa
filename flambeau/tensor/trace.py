"""What a recorded trace is made of: entries, leaves, and how its plan is bound to new inputs.

See :mod:`flambeau.tensor.follow` for when traces are recorded and followed.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from itertools import takewhile
from operator import attrgetter

import numpy as np

from ..autograd.tape import GradFn, loosen, spent
from ..base import srcloc
from ..ir.node import CONST
from ..ir.node import leaf as leaf_node
from ..runtime import execute
from ..runtime.plan import pooled
from .storage import Storage
from .tensor import Tensor


class Poison(Exception):
    """Raised while recording by what cannot be followed; that recording is dropped."""


class Leaf:
    """A tensor from before the trace: where it comes from and what must hold of it."""

    __slots__ = ("ref", "cls", "shape", "strides", "dtype", "requires", "written", "memory",
                 "number", "address", "size", "history", "place")

    def __init__(self, t: Tensor, number: int):
        self.number = number
        self.ref = weakref.ref(t)
        self.cls = type(t)
        self.shape, self.strides, self.dtype = t.shape, t.strides, t.dtype
        self.requires = t._requires
        self.history = t._fn is not None
        self.place = t.offset, t.storage.numel
        self.written = False
        self.address = self.size = 0
        self.memory = (0, 0)

    def locate(self, t: Tensor) -> None:
        """Note where the memory is that the tensor and its storage cover (before the flush that
        may replace it)."""
        storage = t.storage
        node = storage.prior if storage.prior is not None else storage.node
        array = node.value
        if array is None:
            raise Poison("an argument has no value yet")
        if not array.flags.c_contiguous:  # a repeated constant: give it memory of its own
            array = node.value = np.ascontiguousarray(array)
        start = array.__array_interface__["data"][0]
        self.memory = (start, start + max(array.nbytes, 1))
        self.address = start + t.offset * array.itemsize
        extent = 1 + sum((n - 1) * s for n, s in zip(t.shape, t.strides, strict=True))
        self.size = max(extent, 1) * array.itemsize

    def overlaps(self, other: Leaf) -> bool:
        """Whether both cover the same memory, so that an input could belong to either."""
        return (self.address < other.address + other.size
                and other.address < self.address + self.size)

    def accepts(self, t: Tensor, storage: Storage) -> bool:
        """Whether a tensor can stand in: same geometry, and for a tensor that is written the same
        place in as large a memory."""
        return ((t._fn is not None) is self.history
                and t.shape == self.shape and t.strides == self.strides
                and t.dtype is self.dtype
                and t._requires == self.requires and type(t) is self.cls
                and not t._hooks and not t._inference
                and storage.device.type == "cpu" and not storage.shared
                and (not self.written or self.place == (t.offset, storage.numel)))

    def signature(self) -> tuple:
        """What two recordings must have in common."""
        return (self.cls, tuple(self.shape), self.strides, self.dtype, self.requires,
                self.written, self.history)


class Entry:
    """One call: the function, what its arguments must be, and what it gives.

    Argument specs: ("slot", i) a tensor of the trace; ("leaf", k); ("value", v);
    ("number", j) a Python float that may differ each time; ("list", type, specs).
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
        self.draws = 0
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
                 binding: Binding, numbers: int):
        self.entries, self.leaves, self.slot_count = entries, leaves, slot_count
        self.binding, self.numbers = binding, numbers
        self._note_written()
        self.next: Trace | None = None
        self.confirmed = False
        self.replays = self.upgrades = 0
        self.steps = None
        self.runs = 0  # since versions were counted
        self.common: weakref.WeakKeyDictionary[Trace, int] = weakref.WeakKeyDictionary()
        self.touches = -1
        self.storages: list = [None] * len(leaves)
        self.plan_moves = binding.plan.has_host_steps  # these read the arrays themselves
        self.release()
        self.signature = (tuple(e.signature() for e in entries),
                          tuple(leaf.signature() for leaf in leaves))

    def adopt(self, other: Trace) -> None:
        """The same calls were recorded again: take over what is new about them."""
        self.confirmed = self.binding.agrees(other.binding)
        self.entries, self.leaves, self.binding = other.entries, other.leaves, other.binding
        self.steps = None
        self.release()
        self._note_written()

    def _note_written(self) -> None:
        self.writes = [k for k, leaf in enumerate(self.leaves) if leaf.written]
        self.written: set[int] = set()  # ids of the storages that are written

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
        self.count_writes()
        self.nodes: list = [None] * len(self.leaves)
        self.counts: list[int] = []
        self.storages: list = [None] * len(self.leaves)
        self.binding.starts = [0] * len(self.leaves)
        self.usual: list[int] = []
        if self.steps is not None:
            self.steps.last[:] = self.nodes

    def held_are_known(self) -> bool:
        """Whether every slot that is still referred to was so at the recording."""
        slots = self.steps.slots
        counts = list(map(sys.getrefcount, slots))  # the list, map's argument
        if counts == self.usual:
            return True
        alive = self.binding.alive
        for i, n in enumerate(counts):
            if n > 2 and i not in alive and slots[i] is not None:
                return False
        self.usual = counts
        return True

    def bind_leaves(self, changed: list[int]) -> bool:
        """Give the plan the leaves of this run; False where one may not be written over."""
        bound, nodes = self.steps.bound, self.nodes
        if not self.counts or self.plan_moves:
            return self._bind_all(bound)
        for k in changed:
            if not self._bind_one(k, bound[k]):
                return False
            self.counts[k] = sys.getrefcount(nodes[k])
        if changed and not self._apart(changed):
            return False
        if execute.touches == self.touches:
            return True
        self.touches = execute.touches
        if list(map(_node_of, self.storages)) != nodes \
                or list(map(sys.getrefcount, nodes)) != self.counts:
            return self._bind_all(bound)
        return True

    def _bind_all(self, bound: list) -> bool:
        for k, t in enumerate(bound):
            if t is None or not self._bind_one(k, t):
                return False
        if not self._apart(range(len(bound))):
            return False
        self.counts = list(map(sys.getrefcount, self.nodes))
        self.touches = execute.touches
        return True

    def _bind_one(self, k: int, t: Tensor) -> bool:
        self.nodes[k] = None
        storage = t.storage
        if self.leaves[k].written and self.storages[k] is not storage:
            self.count_writes()
        if storage.memory is not None or self.leaves[k].written \
                and not self.binding.exclusive(t) or not self.binding.bind(k, storage, t.offset):
            return False
        self.nodes[k], self.storages[k] = storage.node, storage
        return True

    def _apart(self, changed: Sequence[int]) -> bool:
        """Whether what is written is the memory of one leaf each."""
        storages = self.storages
        if any(self.leaves[k].written for k in changed):
            written = [storages[k] for k in self.writes]
            self.written = set(map(id, written))
            return all(storages.count(s) == 1 for s in written)
        return not any(id(storages[k]) in self.written for k in changed)

    def finish(self, results: list) -> None:
        """After the plan has run: what was written in place counts as a write."""
        bound = self.steps.bound
        for output, k in self.binding.store:
            storage = bound[k].storage
            storage.node = leaf_node(results[output], storage.dtype)
            storage.stamp += 1
            self.counts = []
        self.runs += 1
        self.steps.last[:] = bound
        self.replays = 0

    def count_writes(self) -> None:
        """Let the runs so far be seen in the versions of what they wrote in place."""
        runs, self.runs = self.runs, 0
        if runs:
            for leaf, storage in zip(self.leaves, self.storages, strict=True):
                if leaf.written:
                    storage.version += runs


_node_of = attrgetter("node")


class _Alive:
    """How a slot that outlives the run is made an ordinary tensor."""

    __slots__ = ("slot", "output", "group", "strides", "offset", "fn", "nr", "requires", "retains")

    def __init__(self, slot: int, t: Tensor, output: int, group: int):
        self.slot, self.output, self.group = slot, output, group
        self.strides, self.offset = t.strides, t.offset
        self.fn: GradFn | None = t._fn
        if t._fn is not None:
            loosen(t._fn)
        self.nr, self.requires = t._nr, t._requires


def _place(array: np.ndarray, start: int, place: tuple) -> np.ndarray:
    """The part of a leaf's memory that a plan's input reads; the leaf begins at byte ``start``."""
    _, offset, shape, steps, dtype = place
    offset += start
    if not offset and array.shape == shape and array.strides == steps:
        return array
    return np.ndarray(shape, dtype, array, offset, steps)


def _refuse_copy(array: np.ndarray, tensors: list) -> None:
    """Raise Poison where ``array`` is what an earlier flush copied for a leaf that is a view: it is
    no constant of the program. The leaf then reads its storage again."""
    for t in tensors:
        node = t.__dict__.get("_node") if t is not None else None
        if node is not None and node.value is not None and np.may_share_memory(array, node.value):
            t._node = None
            raise Poison("a view is read that an earlier flush copied")


class Binding:
    """The plan of a trace: which of its inputs come from where, and who gets its outputs.

    Built once, at the flush of a recording, when the nodes are still known.
    """

    def __init__(self, flushed, leaves: list[Leaf], tensors: list, slots: list, seeds: list):
        self.plan = flushed.plan
        self.from_leaf: dict[int, list] = {}  # leaf number: [(position, byte offset, shape, steps)]
        self.fixed: list = []  # (position, array): constants of the program
        self.from_seed: list = []  # (position, place in the run's draws)
        self.from_number: list = []  # (position, number)
        # arrays of leaves stand here only while host steps run: a reference would look like a user
        self.arrays: list = [None] * len(flushed.leaves)
        self._inputs(flushed, leaves, tensors, seeds)
        self.numbers: list = []  # those of from_number that are written, the others repeat them
        self.repeated: list = []  # (position, position of the first)
        firsts: dict = {}
        for position, number in self.from_number:
            first = firsts.setdefault((number, flushed.leaves[position].dtype), position)
            if first == position:
                self.numbers.append((position, number))
            else:
                self.repeated.append((position, first))
        self.store: list = []  # (output, leaf number): a leaf's storage takes a new array
        self.alive: dict[int, _Alive] = {}
        self._outputs(flushed, leaves, tensors, slots)
        self.starts: list[int] = [0] * len(leaves)  # the addresses that the plan knows
        self._places = [[(p[0], p[1]) for p in self.from_leaf.get(k, ())]
                        for k in range(len(leaves))]
        # what the plan has to be given: nothing where it only works with addresses
        needed = self.plan.has_host_steps or any(
            self.arrays[p] is not None for _, p in self.plan.passed)
        self.given = self.arrays if needed else None

    def _inputs(self, flushed, leaves, tensors, seeds) -> None:
        for position, node in enumerate(flushed.leaves):
            if node.prim is CONST:
                tag = node.params[0] if node.params else None
                value = node.value.item()
                if tag is not None:
                    self.from_number.append((position, tag))
                elif isinstance(value, int) and value in seeds:
                    self.from_seed.append((position, seeds.index(value)))
                else:
                    self.fixed.append((position, node.value))
                self.arrays[position] = node.value
                continue
            array = node.value
            address = array.__array_interface__["data"][0]
            for k, known in enumerate(leaves):
                if known.address <= address < known.address + known.size:
                    steps = array.strides
                    self.from_leaf.setdefault(k, []).append(
                        (position, address - known.address, array.shape, steps, array.dtype))
                    break
            else:
                if any(k.memory[0] <= address < k.memory[1] for k in leaves):
                    raise Poison("memory is read beside the arguments")
                _refuse_copy(array, tensors)
                self.fixed.append((position, array))
                self.arrays[position] = array

    def _outputs(self, flushed, leaves, tensors, slots) -> None:
        number = {id(n): i for i, n in enumerate(flushed.outputs)}
        taken = {id(n) for n in flushed.in_place}
        written = {}
        for k, t in enumerate(tensors):
            if t is not None:
                written[id(t.storage)] = k
                at = number.get(id(t.storage.node))
                if at is not None and id(t.storage.node) not in taken:
                    if not leaves[k].written:
                        raise Poison("an argument changes that no call writes")
                    self.store.append((at, k))
                    taken.add(id(t.storage.node))
        groups: dict[int, int] = {}
        for i, t in enumerate(slots):
            if t is None:
                continue
            if t._fn is not None and not spent(t._fn) or t._hooks or t._retains:
                raise Poison("backward through a result is still to come")
            storage = t.storage
            at = number.get(id(storage.node))
            if at is None or id(storage) in written or storage.device.type != "cpu":
                raise Poison("a result shares memory with an argument, or has a value already")
            group = groups.setdefault(id(storage), len(groups))
            self.alive[i] = _Alive(i, t, at, group)
            taken.add(id(storage.node))
            taken.add(id(t._node))  # what the tensor has read of its storage
        if any(id(n) not in taken for n in flushed.outputs):
            raise Poison("the tape still needs a value")

    def agrees(self, other: Binding) -> bool:
        """Whether another recording of the same calls was bound alike."""
        mine, theirs = dict(self.fixed), dict(other.fixed)
        return (self.plan is other.plan and mine.keys() == theirs.keys()
                and self.from_seed == other.from_seed and self.from_number == other.from_number
                and self.alive.keys() == other.alive.keys() and self.store == other.store
                and {k: [x[:3] for x in v] for k, v in self.from_leaf.items()}
                == {k: [x[:3] for x in v] for k, v in other.from_leaf.items()}
                and all(a is theirs[p] or np.array_equal(a, theirs[p]) for p, a in mine.items()))

    def bind(self, k: int, storage: Storage, offset: int) -> bool:
        """Let the plan read the memory of leaf ``k`` from an element on; False when it is not
        row-major."""
        start = storage.address()
        if not start:
            return False
        skipped = offset * storage.dtype.itemsize
        if self.starts[k] != start + skipped:
            self.starts[k] = start + skipped
            self.plan.set_addresses(self._places[k], start + skipped)
        if self.plan.has_host_steps:
            for place in self.from_leaf.get(k, ()):
                self.arrays[place[0]] = _place(storage.node.value, skipped, place)
        return True

    def all_arrays(self, tensors: list) -> list:
        """The plan's inputs as arrays."""
        out = self.arrays[:]
        for k, places in self.from_leaf.items():
            array = tensors[k].storage.node.value
            for place in places:
                out[place[0]] = _place(array, tensors[k].offset * array.itemsize, place)
        return out

    def unbind(self) -> None:
        """After a run with host steps: the leaves' arrays belong to their tensors alone."""
        for places in self.from_leaf.values():
            for place in places:
                self.arrays[place[0]] = None

    def exclusive(self, t: Tensor) -> bool:
        """Whether nobody but its storage can see the content that the plan will overwrite."""
        node = t.storage.node
        array = node.value
        extra = 1 if t._node is node else 0
        return (sys.getrefcount(node) <= 3 + extra and array is not None and array.base is None
                and sys.getrefcount(array) <= 3 + pooled[id(array)])

    def settle(self, alive: _Alive, t: Tensor, results: list, storages: dict) -> None:
        """Make a bare tensor an ordinary one."""
        storage = storages.get(alive.group)
        if storage is None:
            storage = storages[alive.group] = Storage(leaf_node(results[alive.output], t.dtype))
        d = t.__dict__
        d["storage"], d["strides"], d["offset"] = storage, alive.strides, alive.offset
        if alive.fn is not None:
            d["_fn"], d["_nr"] = alive.fn, alive.nr
        if alive.requires:
            d["_requires"] = True
        d.pop("_run", None)
