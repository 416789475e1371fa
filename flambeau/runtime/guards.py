"""Conditions on leaves that are checked before a plan runs.

Range checks of class numbers and indices would cut a plan in two, and what they protect must not
run when they fail. So they run first, natively; when one fails the whole graph is interpreted
instead, which raises the error with its message (or computes what a kernel does not).
"""

from __future__ import annotations

from ..base import dtype as dt
from ..graph.graph import GNode, Graph
from ..ir.node import BUFFER, CONST, PRIMS
from ..schedule.group import Guard


def guard_graph(graph: Graph, guard: Guard) -> tuple[Graph, list[int]]:
    """A graph whose only output says whether the guard is violated, and its CONSTs' numbers.

    Its first leaf is the guarded one; the numbers follow.
    """
    leaf = graph.nodes[guard.leaf]
    nodes = [GNode(BUFFER, (), (), leaf.shape, leaf.dtype, leaf.layout)]
    numbers: list[int] = []

    def op(name: str, *srcs: int, to: dt.dtype = dt.bool_) -> int:
        nodes.append(GNode(PRIMS[name], srcs, (), leaf.shape, to))
        return len(nodes) - 1

    def number(value: int) -> int:
        nodes.insert(1 + len(numbers), GNode(CONST, (), (), (), leaf.dtype))
        numbers.append(value)
        return len(numbers)

    low, high = number(guard.low), number(guard.high)
    other = number(guard.ignore) if guard.ignore is not None else None
    bad = op("bitwise_or", op("lt", 0, low), op("ge", 0, high))
    if other is not None:
        bad = op("bitwise_and", bad, op("ne", 0, other))
    nodes.append(GNode(PRIMS["any"], (bad,), (tuple(range(len(leaf.shape))),), (), dt.bool_))
    return Graph(nodes, list(range(1 + len(numbers))), [len(nodes) - 1]), numbers

