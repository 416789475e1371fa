"""Plans of structures whose views move; see :mod:`flambeau.schedule.moving`.

A graph that differs from one that was seen before in nothing but offsets of views is compiled at
once, with these offsets as arguments. Offsets that never change stay part of the structure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..base.late import late
from ..graph.graph import Graph

if TYPE_CHECKING:
    from ..schedule import moving, sizes
    from . import plan as planner
    from .host_steps import HostStep
else:
    planner = late(".plan", __package__)
    moving, sizes = late("..schedule.moving", __package__), late("..schedule.sizes", __package__)

#: structures with plans, plans of one of them, and offsets that are looked at for another
MAX_STRUCTURES, MAX_PLANS, MAX_SEEN = 256, 8, 16
#: structures that came with the same offsets so far
MAX_MET = 4096

_structures: dict[tuple, Structure] = {}
#: offsets by the structure's hash
_met: dict[int, tuple[int, ...]] = {}


class Structure:
    """Graphs that differ in offsets alone, and their plans.

    Args:
        offsets: those of the first graph.
    """

    def __init__(self, offsets: tuple[int, ...]):
        self.seen = [offsets]
        self.plans: list[planner.Plan] = []  # the last used first
        self.closed = False  # each graph is planned for itself

    def plan(self, graph: Graph, offsets: tuple[int, ...]) -> planner.Plan | None:
        """The plan of a graph with these offsets, None if it is to be planned for itself."""
        if self.closed:
            return None
        for n, plan in enumerate(self.plans):
            numbers = plan.moving.moves.values(offsets)
            if numbers is not None and plan.move(numbers):
                if n:
                    self.plans.insert(0, self.plans.pop(n))
                plan.graph = graph
                return plan
        if offsets in self.seen:
            if not self.plans:
                return None
            self.seen.remove(offsets)
        self.seen = [*self.seen[-MAX_SEEN + 1:], offsets]
        if len(self.plans) >= MAX_PLANS:
            self.close()
            return None
        try:
            plan = planner.compile_graph(graph, moving.Moves(graph, self.seen))
        except sizes.Unlike:
            self.close()
            return None
        self.plans.insert(0, plan)
        return plan

    def close(self) -> None:
        """Have no plans any more."""
        self.plans, self.closed, self.seen = [], True, []


def plan_of(graph: Graph, plans: dict) -> planner.Plan | None:
    """The plan of a graph that has come before with other offsets; None for others.

    Args:
        plans: those by key; the one of the structure's first graph is not needed any more when
            there is one for all.
    """
    key, offsets = graph.without_offsets()
    if not offsets:
        return None
    known = _structures.get(key)
    if known is None:
        first = _met.setdefault(hash(key), offsets)
        while len(_met) > MAX_MET:
            _met.pop(next(iter(_met)))
        if first == offsets or len(first) != len(offsets):
            return None
        while len(_structures) >= MAX_STRUCTURES:
            _structures.pop(next(iter(_structures)))
        known = _structures[key] = Structure(first)
        plans.pop(graph.key_with(first), None)
    return known.plan(graph, offsets)


def clear() -> None:
    """Forget all structures."""
    _structures.clear()
    _met.clear()


def forget(graph: Graph) -> None:
    """The plan of a graph does not fit its inputs: each such graph is planned for itself."""
    known = _structures.get(graph.without_offsets()[0])
    if known is not None:
        known.close()


class Moving:
    """What of a plan follows from its moving numbers.

    Args:
        moves: the numbers.
        words: the plan's words; sizes among them are replaced by the numbers at hand.
        steps: its host steps.
        graph: its graph; likewise.
    """

    def __init__(self, moves: moving.Moves, words: list, steps: list[HostStep], graph: Graph):
        self.moves = moves
        places = [k for k, x in enumerate(words) if type(x) is sizes.Size]
        wanted = [words[k] for k in places]
        self._places, self._count = np.array(places, np.intp), len(places)
        for k in places:
            words[k] = words[k].value
        #: host steps that read elsewhere: how they read and their parameters, with sizes
        self._steps = []
        for step in steps:
            pattern = step.reads, step.node.params
            found = list(moving.sizes_in(pattern))
            if found:
                wanted += found
                self._steps.append((step, pattern))
                step.reads = moving.at_hand(step.reads)
        for node in graph.nodes:
            if next(moving.sizes_in(node.params), None) is not None:
                node.params = moving.at_hand(node.params)
        self._follows = moves.function(wanted)

    def set(self, words: np.ndarray, numbers: tuple[int, ...]) -> bool:
        """Write what follows from other numbers; False, and nothing is done, where their plan is
        another one."""
        found = self._follows(*numbers)
        if found is None:
            return False
        words[self._places] = found[:self._count]
        rest = iter(found[self._count:])
        for step, pattern in self._steps:
            step.reads, step.node.params = moving.filled(pattern, rest)
        return True

