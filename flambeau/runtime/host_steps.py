"""Host steps: the records of a plan that NumPy computes between two segments of kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import IndexValueError
from ..ops.prim.contract import DOT
from ..schedule.compile import Whole
from ..schedule.matrices import adjacent
from . import interpret, library

if TYPE_CHECKING:
    from .plan import Plan


class State:
    """Arrays during one run with host steps."""

    __slots__ = ("arrays", "results", "values")

    def __init__(self, arrays: list, results: list):
        self.arrays, self.results = arrays, results
        self.values: dict[int, np.ndarray] = {}


class HostStep:
    """A record computed by its NumPy rule between two segments."""

    def __init__(self, plan: Plan, record: int, step: Whole):
        self.plan, self.record = plan, record
        self.node = plan.schedule.graph.nodes[record]
        self.reads, self.done = step.reads, step.done

    def run(self, state: State) -> None:
        node = self.node
        srcs = [Operand(self._read(a, state)) for a in self.reads]
        task = Task(node, srcs)
        try:
            with np.errstate(all="ignore"):
                if self.done:
                    value = srcs[0].value
                else:
                    value = self._product(task) if node.prim is DOT else interpret.evaluate(task)
        except (IndexError, IndexValueError) as error:
            raise interpret.located(error, self.plan.loc(self.record)) from None
        if type(value) is not tuple:
            if not value.flags.c_contiguous or not value.flags.owndata:
                value = np.array(value, order="C")
            elif any(value is s.value for s in srcs):
                value = value.copy()
        state.values[self.record] = value
        place = self.plan.schedule.place.get(self.record)
        for k, i in enumerate(self.plan._graph.outputs):
            if i == self.record:
                state.results[k] = value
        if place is not None and type(value) is not tuple:
            self.plan.address_of_host(self.record, value)

    def _product(self, task: Task) -> np.ndarray:
        """A product whose operands no kernel reads, added up as the interpreter does."""
        graph = self.plan.schedule.graph
        a, b = (s.value for s in task.srcs)
        value = library.dot(a, b, task.dtype, adjacent(graph, self.record),
                            self.record in graph.turned)
        return interpret.evaluate(task) if value is None else value

    def _read(self, a, state: State):
        root = a.root
        plan = self.plan
        if root in state.values:
            base = state.values[root]
            if type(base) is tuple:
                return base
        elif root in plan._position:
            base = state.arrays[plan._position[root]]
            if a.plain and base.shape == a.shape:
                return base
            if not a.plain or a.shape != base.shape:
                return _strided(base, a)
        else:
            kind, at = plan.schedule.place[root]
            if kind == "arena":
                base = plan.arena_view(root, at)
            elif kind == "output":
                base = state.results[at]
            else:
                base = state.arrays[at]
        if a.plain and base.shape == a.shape:
            return base
        return _strided(base, a)


def _strided(base: np.ndarray, a) -> np.ndarray:
    """``a`` of the memory that starts at ``base``'s first element."""
    size = base.itemsize
    at = np.lib.stride_tricks.as_strided(base, (1,), (0,)) if base.size else base
    if a.offset:
        low = min(0, a.offset)
        flat = np.lib.stride_tricks.as_strided(base, (abs(a.offset) + 1,),
                                               (size if low == 0 else -size,))
        at = flat[-1:]
    return np.lib.stride_tricks.as_strided(at, a.shape, tuple(s * size for s in a.strides))


class Operand:
    """An operand of a host step, as the interpreter reads it."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Task:
    """A record as the interpreter reads a node."""

    __slots__ = ("dtype", "params", "prim", "shape", "srcs")

    def __init__(self, node, srcs: list):
        self.prim, self.params, self.srcs = node.prim, node.params, srcs
        self.dtype, self.shape = node.dtype, node.shape


def interpreted(graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a graph by NumPy, record by record: raises what the primitives raise."""
    values: dict[int, np.ndarray] = dict(zip(graph.leaves, arrays, strict=True))
    with np.errstate(all="ignore"):
        for i, node in enumerate(graph.nodes):
            if i in values:
                continue
            try:
                values[i] = interpret.evaluate(Task(node, [Operand(values[s]) for s in node.srcs]))
            except (IndexError, IndexValueError) as error:
                raise interpret.located(error, graph.locs[i]) from None
    return [np.array(values[i], order="C") for i in graph.outputs]
