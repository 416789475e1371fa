"""How a trace's plan is bound to the values of a run: where its inputs come from, who gets its
outputs."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import chain

import numpy as np

from ..autograd.tape import GradFn, loosen, spent
from ..ir.node import CONST, Node
from ..runtime.outputs import pooled
from .places import Form, Places, number_of
from .storage import Storage
from .tape_template import TapeTemplate
from .tensor import Tensor
from .trace import Leaf, Poison


class _Alive:
    """How a slot that outlives the run is made an ordinary tensor."""

    __slots__ = ("slot", "output", "group", "strides", "offset", "moved", "fn", "nr", "requires",
                 "root", "version", "parts", "base", "unrecorded")

    def __init__(self, slot: int, t: Tensor, output: int, group: int, moved: Form | None):
        self.slot, self.output, self.group = slot, output, group
        self.version = t.storage.version  # writes within the step
        self.parts = t.storage.owner is not t.storage  # reads the output as another dtype
        self.strides, self.offset, self.moved = t.strides, int(t.offset), moved
        self.fn: GradFn | None = None
        self.root: int | None = None  # the record of the template that made it
        if t._fn is not None and spent(t._fn):
            self.fn = t._fn
        self.nr, self.requires = t._nr, t._requires
        self.base: int | None = None  # the slot of what it is a view of
        self.unrecorded = t._unrecorded

    def begin(self, numbers: list) -> int:
        """Its offset in a run with these numbers."""
        return self.offset if self.moved is None else number_of(self.moved, numbers)


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


def _of_earlier_run(runs: list, address: int) -> tuple | None:
    """The trace and place of what an earlier run keeps at an address."""
    for run in runs:
        place = run.locate(address)
        if place is not None:
            return run.trace, place
    return None


def _consumed(runs: list) -> set:
    """The traces of earlier runs whose histories backward has walked since."""
    found = set()
    for run in runs:
        walked = run.walked()
        if len(walked) > 1:
            raise Poison("backward has walked one of several histories of an earlier step")
        if walked == {True}:
            found.add(run.trace)
    return found


class Binding:
    """The plan of a trace: which of its inputs come from where, and who gets its outputs.

    Built once, at the flush of a recording, when the nodes are still known.
    """

    def __init__(self, flushed, leaves: list[Leaf], tensors: list, slots: list, drawn: list,
                 runs: list, first: int, places: Places):
        self.plan, self.places = flushed.plan, places
        # what earlier runs' histories keep: (position, trace, place, (shape, dtype, strides))
        self.from_run: list = []
        #: leaves that share memory, so that it is not known which is read, and their distance
        self.together: set[tuple[int, int, int]] = set()
        self.from_leaf: dict[int, list] = {}  # leaf number: [(position, byte offset, shape, steps)]
        #: inputs that begin elsewhere in each run: (leaf number, place as above, bytes from there)
        self.shifted: list[tuple[int, tuple, Form]] = []
        self.fixed: list = []  # (position, array): constants of the program
        self.from_draw: list = []  # (position, place in the run's draws)
        self.from_number: list = []  # (position, number)
        # arrays of leaves stand here only while host steps run: a reference would look like a user
        self.arrays: list = [None] * len(flushed.leaves)
        self._inputs(flushed, leaves, tensors, drawn, runs)
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
        #: where the plan takes its numbers from: (array of no dimensions, number)
        self.cells = [(self.plan.slots[position], number) for position, number in self.numbers]
        #: leaves that are written and were dropped before the flush: nobody gets what is written
        self.unseen = [k for k, leaf in enumerate(leaves) if leaf.written and tensors[k] is None]
        self.alive: dict[int, _Alive] = {}
        self.template: TapeTemplate | None = None  # the tape that is still wanted
        self._outputs(flushed, leaves, tensors, slots, first)
        forms = [*places.inputs, *(form for *_, form in self.shifted),
                 *(alive.moved for alive in self.alive.values() if alive.moved is not None)]
        if places.tags - {j for _, terms in forms for j, _ in terms}:
            raise Poison("a position changes, and nothing is known to follow from it")
        # what the plan has to be given: nothing where it only works with addresses
        needed = self.plan.has_host_steps or any(
            self.arrays[p] is not None for _, p in self.plan.passed)
        self.given = self.arrays if needed else None
        kept = {alive.output for alive in self.alive.values()}
        # gradients of two leaves may be one value; each has a memory of its own
        groups = Counter(output for output, _ in {(a.output, a.group) for a in self.alive.values()})
        self.of_one_storage = {output for output, count in groups.items() if count == 1}
        if self.template is not None:
            kept |= self.template.outputs
        if self.given is None:  # then what is a leaf comes out as nothing
            kept |= {n for n, _ in self.plan.passed}
        self.unkept = [n for n in range(len(flushed.outputs)) if n not in kept]
        self.consumes = _consumed(runs)
        self.earlier = {*self.consumes, *(x[1] for x in self.from_run)}
        self.unusual = bool(self.unseen or self.earlier or self.from_draw or places.tags)
        self.starts: list[int] = [0] * len(leaves)  # the addresses that the plan knows
        moved = {place[0] for _, place, _ in self.shifted}
        self._places = [[(p[0], p[1]) for p in self.from_leaf.get(k, ()) if p[0] not in moved]
                        for k in range(len(leaves))]

    def _leaf_of(self, node: Node, address: int, leaves: list[Leaf]) -> Leaf | None:
        """The leaf that an input of the plan reads: the one whose own content the node is, or which
        lies there. Of several that lie there any will do, as long as they begin where they do now,
        seen from each other."""
        near = [leaf for leaf in leaves if leaf.holds(address)]
        if len(near) < 2:
            return near[0] if near else None
        own = [leaf for leaf in near if leaf.read == id(node)]
        if len(own) == 1:
            return own[0]
        first = next((leaf for leaf in near if leaf.is_read_as(node.value, address)), near[0])
        self.together |= {(first.number, other.number, first.address - other.address)
                          for other in near if other is not first}
        return first

    def are_together(self) -> bool:
        """Whether leaves that share memory begin where they did at the recording, seen from each
        other."""
        return all(self.starts[a] - self.starts[b] == apart for a, b, apart in self.together)

    def _inputs(self, flushed, leaves, tensors, drawn, runs) -> None:
        draws = {id(array): j for j, array in enumerate(drawn)}
        for position, node in enumerate(flushed.leaves):
            if node.prim is CONST:
                tag = node.params[0] if node.params else None
                if tag is not None:
                    self.from_number.append((position, tag))
                else:
                    self.fixed.append((position, node.value))
                self.arrays[position] = node.value
                continue
            array = node.value
            if id(array) in draws:
                self.from_draw.append((position, draws[id(array)]))
                continue
            address = array.__array_interface__["data"][0]
            known = self._leaf_of(node, address, leaves)
            if known is not None:
                offset, moved = address - known.address, self.places.of_leaf(node)
                if moved is not None:
                    if any(i == position and same for i, _, same in flushed.graph.overlaps):
                        raise Poison("a window that moves begins where what is written does")
                    size, base = array.itemsize, offset - int(node.params[0]) * array.itemsize
                    form = base + moved[0] * size, tuple((j, n * size) for j, n in moved[1])
                    offset = 0
                place = position, offset, array.shape, array.strides, array.dtype
                self.from_leaf.setdefault(known.number, []).append(place)
                if moved is not None:
                    self.shifted.append((known.number, place, form))
            else:
                if self.places.of_leaf(node) is not None:
                    raise Poison("a view of what an earlier step keeps begins at a place that "
                                 "changes")
                place = _of_earlier_run(runs, address)
                if place is not None:
                    layout = array.shape, array.dtype, array.strides
                    self.from_run.append((position, *place, layout))
                    continue
                if any(k.memory[0] <= address < k.memory[1] for k in leaves):
                    raise Poison("memory is read beside the arguments")
                _refuse_copy(array, tensors)
                self.fixed.append((position, array))
                self.arrays[position] = array

    def _outputs(self, flushed, leaves, tensors, slots, first: int) -> None:
        number = {id(n): i for i, n in enumerate(flushed.outputs)}
        taken = {id(n) for n in flushed.in_place}
        written = {}
        for k, t in enumerate(tensors):
            if t is not None:
                written[id(t.storage)] = k
                at = number.get(id(t.storage.node))
                if at is None and leaves[k].written and t.storage.node.prim is CONST:
                    raise Poison("an argument becomes a number, which no plan computes")
                if at is not None and id(t.storage.node) not in taken:
                    if not leaves[k].written:
                        raise Poison("an argument changes that no call writes")
                    self.store.append((at, k))
                    taken.add(id(t.storage.node))
        groups: dict[int, int] = {}
        roots: dict[int, GradFn] = {}
        for i, t in enumerate(slots):
            if t is None:
                continue
            if t._hooks or t._retains:
                raise Poison("a result has hooks or retains its gradient")
            if t._fn is not None and not spent(t._fn):
                roots[i] = t._fn
            storage = t.storage.owner
            if i in roots and storage is not t.storage:
                raise Poison("backward may still come to a view of the parts of complex numbers")
            at = number.get(id(storage.node))
            if at is None or id(storage) in written or storage.device.type != "cpu":
                raise Poison("a result shares memory with an argument, or has a value already")
            group = groups.setdefault(id(storage), len(groups))
            self.alive[i] = _Alive(i, t, at, group, self.places.of(t.offset))
            if t._base is not None:
                self.alive[i].base = next((j for j, s in enumerate(slots) if s is t._base), None)
            taken.add(id(storage.node))
            taken.add(id(t._node))  # what the tensor has read of its storage
        loosen(alive.fn for alive in self.alive.values() if alive.fn is not None)
        if roots:
            functions = list(dict.fromkeys(roots.values()))
            # what leaves take over belongs to them, not to the run
            theirs = {n for n, _ in self.plan.passed} | {n for n, _ in self.store}
            own = {node: n for node, n in number.items() if n not in theirs}
            self.template = TapeTemplate(functions, first, own, tensors,
                                         self.places.moves)
            taken |= self.template.nodes
            for i, fn in roots.items():
                self.alive[i].root = self.template.roots[functions.index(fn)]
        if any(id(n) not in taken for n in flushed.outputs):
            raise Poison("the tape still needs a value")

    def agrees(self, other: Binding) -> bool:
        """Whether another recording of the same calls was bound alike."""
        mine, theirs = dict(self.fixed), dict(other.fixed)
        return (self.plan is other.plan and mine.keys() == theirs.keys()
                and self.places.inputs == other.places.inputs and self.shifted == other.shifted
                and [a.moved for a in self.alive.values()]
                == [a.moved for a in other.alive.values()]
                and self.from_draw == other.from_draw and self.from_number == other.from_number
                and self.alive.keys() == other.alive.keys() and self.store == other.store
                and [a.root for a in self.alive.values()] == [a.root for a in other.alive.values()]
                and self.together == other.together and self.from_run == other.from_run
                and self.consumes == other.consumes
                and {k: [x[:3] for x in v] for k, v in self.from_leaf.items()}
                == {k: [x[:3] for x in v] for k, v in other.from_leaf.items()}
                and all(a is theirs[p] or np.array_equal(a, theirs[p]) for p, a in mine.items()))

    def bind(self, k: int, storage: Storage, offset: int) -> None:
        """Let the plan read the memory of leaf ``k``, whose address the storage knows, from an
        element on."""
        skipped = offset * storage.dtype.itemsize if offset else 0
        start = storage._address + skipped
        plan = self.plan
        if self.starts[k] != start:
            self.starts[k] = start
            plan.set_addresses(self._places[k], start)
        if plan.has_host_steps:
            for place in self.from_leaf.get(k, ()):
                self.arrays[place[0]] = _place(storage.node.value, skipped, place)

    def move(self, numbers: list, bound: list) -> bool:
        """Let views begin where the run's numbers say; False where the plan is another one then."""
        plan = self.plan
        if self.places.tags and plan.moving is not None \
                and not plan.move(tuple([number_of(form, numbers) for form in self.places.inputs])):
            return False
        for k, place, form in self.shifted:
            shift = number_of(form, numbers)
            plan.set_addresses(((place[0], shift),), self.starts[k])
            if plan.has_host_steps:
                storage, skipped = bound[k].storage, bound[k].offset * place[4].itemsize
                self.arrays[place[0]] = _place(storage.node.value, skipped + shift, place)
        return True

    def bind_result(self, k: int, run, slot: int) -> None:
        """Let the plan read a bare tensor of an earlier run as leaf ``k``."""
        start = run.address_of(slot)
        if self.starts[k] != start:
            self.starts[k] = start
            self.plan.set_addresses(self._places[k], start)
        if self.plan.has_host_steps:
            alive = run.binding.alive[slot]
            base = run.results[alive.output]
            for place in self.from_leaf.get(k, ()):
                self.arrays[place[0]] = _place(base, alive.offset * base.itemsize, place)

    def bind_draw(self, position: int, array: np.ndarray) -> None:
        """Let the plan read what the run has drawn."""
        self.plan.set_addresses(((position, 0),), array.__array_interface__["data"][0])
        if self.plan.has_host_steps:
            self.arrays[position] = array

    def bind_histories(self, runs: dict) -> bool:
        """Let the plan read what earlier runs (by trace) keep for backward; False where one is
        missing, or its values were written since."""
        for trace in self.earlier:
            run = runs.get(trace)
            if run is None or not run.live or not run.unchanged():
                return False
        for position, trace, place, layout in self.from_run:
            run = runs[trace]
            self.plan.set_addresses(((position, 0),), run.address(place))
            if self.plan.has_host_steps:
                self.arrays[position] = run.array(place, layout)
        return True

    def unbind(self) -> None:
        """After a run with host steps: the leaves' arrays belong to their tensors alone."""
        for position, *_ in chain(self.from_run, self.from_draw):
            self.arrays[position] = None
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
