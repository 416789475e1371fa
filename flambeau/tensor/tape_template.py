"""The tape of a step that ends before backward has walked it, as a template.

Where the value of a result is asked for before ``backward()`` (``loss.item()``, an accuracy), the
step ends with a history that is still wanted. A followed step makes no tape: it is made later, from
what the step left (see runs.py), and only if the program goes on differently than it did at the
recording.

Places of values: ``("out", n)`` an output of the step's plan, ``("leaf", k)`` a leaf of the trace,
``("view", (k, shape, strides, offset))`` a view of a leaf, ``("node", node)`` a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..autograd.tape import AccumulateGrad, GradFn, Guard, Saved
from ..ir.node import CONST
from .storage import Storage
from .tensor import Tensor
from .trace import Poison

_COPIED = ("op", "layout", "metas", "out_metas", "numbers", "loc")


class _Value(NamedTuple):
    """A saved value: where it is, and the tensor it belongs to (``create_graph`` needs that)."""

    place: tuple[str, Any]
    tensor: tuple | None  # (requires, number of the record that made it or None, its nr)


class _Record(NamedTuple):
    """One function of the tape."""

    cls: type
    attributes: dict
    params: dict
    edges: tuple  # None, ("fn", record number, nr) or ("leaf", k, 0)
    saved: dict
    results: dict
    guards: list  # (guard, where what it guards is)


class TapeTemplate:
    """The unwalked tape behind some results of a recording.

    Args:
        roots: functions that made these results.
        first: the sequence number at which the recording began; what is older belongs to another
            step.
        outputs: numbers of the plan's outputs by the node's id.
        leaves: the tensors of the trace's leaves, None for those that are gone.
        moves: whether a number is another one in each run.
    """

    def __init__(self, roots: list[GradFn], first: int, outputs: dict[int, int], leaves: list,
                 moves: Callable[[object], bool]):
        self._outputs, self._moves = outputs, moves
        self._leaf = {id(t): k for k, t in enumerate(leaves) if t is not None}
        self._tensors = leaves
        order = sorted(self._reached(roots, first), key=lambda fn: fn.seq)
        self.number = {fn: n for n, fn in enumerate(order)}
        self.leaves: set[int] = set()  # leaves that the tape reads or ends at
        self.nodes: set[int] = set()  # ids of the nodes that the tape keeps
        self.outputs: set[int] = set()  # the plan's outputs that it keeps
        self.records = [self._record(fn) for fn in order]
        self.roots = [self.number[fn] for fn in roots]
        del self._outputs, self._leaf, self._tensors, self.number, self._moves

    @staticmethod
    def _reached(roots: list[GradFn], first: int) -> set[GradFn]:
        seen, stack = set(roots), list(roots)
        while stack:
            fn = stack.pop()
            if fn.released or fn.seq < first:
                raise Poison("a history reaches back beyond the step")
            if type(fn).apply is not GradFn.apply or fn.pre_hooks or fn.post_hooks \
                    or fn.out_hooks or fn.retained:
                raise Poison("a hook or a custom function waits for backward")
            for edge in fn.edges:
                if edge is not None and edge[0] not in seen \
                        and not isinstance(edge[0], AccumulateGrad):
                    seen.add(edge[0])
                    stack.append(edge[0])
        return seen

    def _record(self, fn: GradFn) -> _Record:
        if any(self._moves(x) for x in _numbers(tuple(fn.params.values()))):
            raise Poison("a history that is still wanted knows where a view begins that moves")
        if any(guard.written() for guard in fn.guards):
            raise Poison("what may not be written was written")
        return _Record(
            type(fn), {name: getattr(fn, name) for name in _COPIED}, fn.params,
            tuple(map(self._edge, fn.edges)),
            {at: self._value(saved) for at, saved in fn.saved.items()},
            {at: self._value(saved) for at, saved in fn.results.items()},
            [(guard, place) for guard in fn.guards
             if (place := self._guarded(guard)) is not None])

    def _edge(self, edge) -> tuple | None:
        if edge is None:
            return None
        fn, nr = edge
        if isinstance(fn, AccumulateGrad):
            return "leaf", self._known(fn.variable), nr
        return "fn", self.number[fn], nr

    def _known(self, t) -> int:
        k = self._leaf.get(id(t))
        if k is None or t._hooks:
            raise Poison("a history ends at what is no argument of the step, or has hooks")
        self.leaves.add(k)
        return k

    def _value(self, saved: Saved) -> _Value:
        if saved.packed is not None or saved.counter.version != saved.version:
            raise Poison("a saved value was packed, or written since")
        t, node = saved.tensor, saved.node
        at = self._outputs.get(id(node))
        if node.prim is CONST:
            place: tuple[str, Any] = ("node", node)
        elif at is not None:
            place = ("out", at)
            self.outputs.add(at)
            self.nodes.add(id(node))
            if t is not None and t._node is not None:
                self.nodes.add(id(t._node))
        elif t is not None and id(t) in self._leaf:
            return _Value(("leaf", self._known(t)), None)
        elif t is not None and (k := self._seen_through(t)) is not None:
            place = "view", (k, t.shape, t.strides, t.offset - self._tensors[k].offset)
            if self._moves(t.offset):
                raise Poison("a value that is kept for backward moves")
        else:
            raise Poison("a saved value is neither an argument nor computed by the step")
        if t is None:
            return _Value(place, None)
        made = self.number.get(t._fn)
        return _Value(place, (t._requires, made, t._nr))

    def _guarded(self, guard: Guard) -> tuple[str, int] | None:
        """What a guard guards; None where nobody can write it once the step has ended."""
        counter = guard.counter()
        for k, t in enumerate(self._tensors):
            if t is not None and t._counter is counter and not t._hooks:
                self.leaves.add(k)
                return "leaf", k
        at = self._outputs.get(id(counter.node)) if isinstance(counter, Storage) else None
        return None if at is None else ("out", at)

    def _seen_through(self, t: Tensor) -> int | None:
        """The leaf that ``t`` is a view of."""
        for leaf in self._tensors:
            if leaf is not None and leaf.storage is t.storage:
                return self._known(leaf)
        return None

    def build(self, run) -> list[GradFn]:
        """The tape of a run, one function per record; without values where backward has walked
        it."""
        made: list[GradFn] = []
        for number, record in enumerate(self.records, run.sequence):
            fn = record.cls.__new__(record.cls)
            fn.seq = number
            for name, value in record.attributes.items():
                setattr(fn, name, value)
            fn.params = record.params
            fn.edges = tuple(self._target(edge, made, run) for edge in record.edges)
            made.append(fn)
            if run.live:
                fn.saved = {at: self._saved(v, made, run) for at, v in record.saved.items()}
                fn.results = {at: self._saved(v, made, run) for at, v in record.results.items()}
                fn.guards = [found for guard, place in record.guards
                             if (found := self._guard(guard, place, run)) is not None]
            else:
                fn.saved, fn.results = {}, {}
                fn.released, fn.freed_at = True, "backward()"
        return made

    @staticmethod
    def _target(edge, made: list, run):
        if edge is None:
            return None
        kind, at, nr = edge
        return run.kept[at]._edge() if kind == "leaf" else (made[at], nr)

    @staticmethod
    def _guard(guard: Guard, place: tuple[str, int], run) -> Guard | None:
        kind, at = place
        counter = run.kept[at]._counter if kind == "leaf" else _storage_of(run, at)
        if counter is None:
            return None
        made = Guard(guard.at, guard.is_result, counter, guard.loc)
        made.version = run.versions[at][1] if kind == "leaf" else run.version_of(at)
        return made

    @staticmethod
    def _saved(value: _Value, made: list, run) -> Saved:
        kind, at = value.place
        if kind == "leaf":
            t = run.kept[at]
            saved = Saved(t, t.node(), t._counter)
            saved.version = run.versions[at][1]  # writes since then are errors
            return saved
        if kind == "view":
            k, shape, strides, offset = at
            t = Tensor._view_of(run.kept[k], shape, strides, run.kept[k].offset + offset)
        elif kind == "node":
            t = Tensor._wrap(at)
        else:
            t = run.tensor_of(at)
        saved = Saved(None, t.node(), t._counter)
        if kind == "out":
            saved.version = run.version_of(at)
        elif kind == "view":
            saved.version = run.versions[at[0]][1]
        if value.tensor is not None:
            requires, maker, nr = value.tensor
            saved.tensor = t
            if requires:
                t._requires = True
            if maker is not None:
                t._fn, t._nr = made[maker], nr
        return saved


def _storage_of(run, output: int) -> Storage | None:
    """The memory of a run's output that the program may still hold."""
    for alive in run.binding.alive.values():
        if alive.output == output:
            known = run.storages.get(alive.group)
            return run.storage(alive) if known is None and run.results[output] is not None \
                else known
    return None


def _numbers(params: tuple) -> Iterator[object]:
    """What nested tuples hold."""
    for x in params:
        if isinstance(x, tuple):
            yield from _numbers(x)
        else:
            yield x
