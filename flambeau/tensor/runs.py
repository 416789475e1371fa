"""What a run of a trace left behind: its results, until the program has looked at or dropped them.

The results of a followed run are *bare* tensors. The first look at one makes it an ordinary tensor
(:meth:`Run.settle`). A run whose history is still wanted (*live*: backward has not walked it) keeps
what the tape would keep, so that a later trace can read it, or the tape itself be built.
"""

from __future__ import annotations

from sys import getrefcount

import numpy as np

from ..autograd.tape import reserve
from ..ir.node import leaf as leaf_node
from ..runtime import counts
from .alias import read_as
from .storage import Storage
from .tensor import Tensor


class Run:
    """A run of a trace.

    Args:
        trace: the trace.
        slots: its tensors in this run; weak references where it was recorded.
        results: the plan's outputs.
        leaves: the tensors that stand for the leaves; read where there is a history to keep.
        numbers: the run-time numbers.
    """

    __slots__ = ("binding", "kept", "live", "numbers", "places", "recorded", "results", "sequence",
                 "slots", "starts", "storages", "tape", "trace", "versions")

    def __init__(self, trace, slots: list, results: list, leaves: list,
                 numbers: list, recorded: bool = False):
        self.trace, self.slots, self.results = trace, slots, results
        self.recorded, self.numbers = recorded, numbers
        self.storages: dict[int, Storage] = {}
        binding = self.binding = trace.binding  # the trace may be recorded anew meanwhile
        if binding.unkept and not recorded:  # else the arrays belong to ordinary tensors
            for n in binding.unkept:
                results[n] = None
        template = binding.template
        self.live = template is not None
        if template is not None:
            self.kept = {k: leaves[k] for k in template.leaves}
            self.versions = {k: _version(t) for k, t in self.kept.items()}
            self.sequence = 0 if recorded else reserve(len(template.records))
            self.tape: list | None = None
            #: address and bytes of every output (nothing for leaves that were written in place)
            self.places = [(0, 0) if a is None else (a.__array_interface__["data"][0], a.nbytes)
                           for a in results]
            self.starts = binding.starts[:]
            if recorded:  # its values belong to ordinary tensors
                self.results = []
                self.starts = [leaf.address for leaf in trace.leaves]

    def has(self, t: Tensor) -> int:
        """The slot that ``t`` stands in, or -1."""
        if self.recorded:
            return next((i for i, ref in enumerate(self.slots) if ref() is t), -1)
        i = t._run - 1
        if 0 <= i < len(self.slots) and self.slots[i] is t:
            return i
        return next((i for i, s in enumerate(self.slots) if s is t), -1) if self.live else -1

    def settle(self, t: Tensor) -> bool:
        """Make a bare tensor of this run an ordinary one; False where it is none."""
        i = t._run - 1
        if self.recorded or i < 0 or i >= len(self.slots) or self.slots[i] is not t:
            return False
        alive = self.binding.alive[i]
        d = t.__dict__
        storage = self.storage(alive)
        d["storage"] = read_as(storage, t.dtype) if alive.parts else storage
        d["offset"] = alive.begin(self.numbers)
        t._lay(t.shape, alive.strides)
        if alive.root is not None:
            d["_fn"], d["_nr"] = self._history()[alive.root], alive.nr
        elif alive.fn is not None:
            d["_fn"], d["_nr"] = alive.fn, alive.nr
        if alive.requires:
            d["_requires"] = True
        d.pop("_run", None)
        if alive.base is not None:
            base = self.slots[alive.base]
            if "storage" not in base.__dict__:
                self.settle(base)
            d["_base"], d["_view_version"] = base, t._counter.version
        if alive.unrecorded:
            d["_unrecorded"] = True
        return True

    def storage(self, alive) -> Storage:
        """The memory of an output; the run lets go of its array, unless the tape keeps it."""
        storage = self.storages.get(alive.group)
        if storage is None:
            node = leaf_node(self.results[alive.output])
            storage = self.storages[alive.group] = Storage(node)
            storage.version = alive.version
            binding = self.binding
            if alive.output in binding.of_one_storage \
                    and (not self.live or alive.output not in binding.template.outputs):
                self.results[alive.output] = None
        return storage

    def number(self, t: Tensor):
        """The Python number of a bare tensor of one element, None where it is not of this run."""
        i = t._run - 1
        if self.recorded or i < 0 or i >= len(self.slots) or self.slots[i] is not t:
            return None
        alive = self.binding.alive.get(i)
        if alive is None or alive.parts or alive.group in self.storages:  # written by others?
            return None
        return self.results[alive.output].item(alive.begin(self.numbers))

    def held(self) -> list:
        """The tensors that the program still refers to; of a recorded run those whose history is
        still wanted."""
        return [t for _, t in self._held()]

    def _held(self) -> list:
        alive = self.binding.alive
        if self.recorded:
            pairs = [(i, self.slots[i]()) for i in alive]
            return [(i, t) for i, t in pairs
                    if t is not None and t._fn is not None and not t._fn.released]
        if not alive or self.dropped():
            return []
        found = []
        for i in alive:
            t = self.slots[i]
            # the list, this name and getrefcount's argument refer to it
            if t is not None and getrefcount(t) > 3:
                found.append((i, t))
        return found

    def walked(self) -> set[bool]:
        """Whether backward has walked its histories, other than as a part of a followed step: of
        those that the program holds tensors of."""
        tensors = [self.slots[i]() if self.recorded else self.slots[i]
                   for i, alive in self.binding.alive.items() if alive.root is not None]
        return {bool(t._fn.released) for t in tensors if t is not None and t._fn is not None}

    def is_wanted(self) -> bool:
        """Whether backward may still come to what the program holds of it."""
        alive = self.binding.alive
        return self.live and any(alive[i].root is not None and not _is_walked(t)
                                 for i, t in self._held())

    def dropped(self) -> bool:
        """Whether the program refers to none of its tensors."""
        return counts.below(self.slots, 2)

    def let_go(self) -> None:
        """Before the plan's buffers are written again: who is still there gets them."""
        for t in self.held():
            if "storage" not in t.__dict__:
                self.settle(t)

    # --- histories --------------------------------------------------------------------------------

    def _history(self) -> list:
        """The tape, built when somebody asks for it."""
        if self.tape is None:
            self.tape = self.binding.template.build(self)
        return self.tape

    def tensor_of(self, output: int) -> Tensor:
        """An output as a tensor for the tape to keep."""
        for alive in self.binding.alive.values():
            if alive.output == output:
                storage = self.storage(alive)  # NumPy may share it by now, as a flat array
                t = Tensor._wrap(leaf_node(self.results[output]))
                t.storage = storage
                return t
        return Tensor._wrap(leaf_node(self.results[output]))

    def unchanged(self) -> bool:
        """Whether nobody has written what the tape keeps."""
        return (self.tape is None
                and all(_version(t) == self.versions[k] for k, t in self.kept.items())
                and not any(s.stamp for s in self.storages.values()))

    def version_of(self, output: int) -> int:
        """The version that an output had when the step ended."""
        return next((alive.version for alive in self.binding.alive.values()
                     if alive.output == output), 0)

    def consume(self) -> None:
        """Backward has walked the history: keep only what the program still holds."""
        self.live = False
        wanted = {alive.output for alive in self.binding.alive.values()
                  if alive.group not in self.storages}
        self.results = [r if n in wanted else None for n, r in enumerate(self.results)]

    def locate(self, address: int) -> tuple[str, int, int] | None:
        """What is at an address of what the history keeps: ("out", output, bytes) or ("leaf", k,
        bytes) from its start. (Other outputs may be gone, and somebody else be there now.)"""
        for n in self.binding.template.outputs:
            start, size = self.places[n]
            if start <= address < start + size:
                return "out", n, address - start
        for k, leaf in enumerate(self.trace.leaves):
            if k in self.kept and self.starts[k] <= address < self.starts[k] + leaf.size:
                return "leaf", k, address - self.starts[k]
        return None

    def address(self, place: tuple[str, int, int]) -> int:
        """Where a place is in this run."""
        kind, at, offset = place
        return (self.places[at][0] if kind == "out" else self.starts[at]) + offset

    def is_untouched(self, slot: int) -> bool:
        """Whether no tensor of the memory of a bare one has become an ordinary one, which may be
        written or go."""
        return self.binding.alive[slot].group not in self.storages

    def address_of(self, slot: int) -> int:
        """Where a bare tensor's elements begin."""
        alive = self.binding.alive[slot]
        return (self.places[alive.output][0]
                + alive.begin(self.numbers) * self.results[alive.output].itemsize)

    def array(self, place: tuple[str, int, int], layout: tuple) -> np.ndarray:
        """The array at a place; ``layout`` is its shape, dtype and strides at the recording."""
        kind, at, offset = place
        base = self.results[at] if kind == "out" else self.kept[at].storage.node.value
        if kind == "leaf":
            offset += self.kept[at].offset * base.itemsize
        shape, dtype, strides = layout
        if not offset and base.shape == shape and base.strides == strides:
            return base
        return np.ndarray(shape, dtype, base, offset, strides)


def _is_walked(t: Tensor) -> bool:
    """Whether backward has walked a tensor's history, and not as a part of a followed step."""
    fn = t.__dict__.get("_fn")
    return fn is not None and bool(fn.released)


def _version(t: Tensor) -> tuple:
    return t.storage.stamp, t._counter.version
