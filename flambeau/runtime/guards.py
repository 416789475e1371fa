"""Conditions on leaves that are checked before anything else in a plan runs.

Range checks of class numbers and indices would cut a plan in two, and what they protect must not
run when they fail. So their kernels are the first rows of the plan's table. Each writes whether it
failed into a byte of a word that the next row looks at: it ends the run when the word is not 0. The
whole graph is interpreted then, which raises the error with its message (or computes what a kernel
does not).
"""

from __future__ import annotations

from functools import lru_cache

from ..base import dtype as dt
from ..graph.graph import GNode, Graph
from ..ir.node import BUFFER, CONST, PRIMS
from ..schedule.compile import Schedule, schedule_graph
from ..schedule.group import Guard

#: checks that share one word
PER_WORD = 8


def guard_schedule(graph: Graph, guard: Guard, threads: int) -> tuple[Schedule, tuple[int, ...]]:
    """The schedule whose only output, a bool, says whether the guard is violated.

    Its first leaf is the guarded one; the others are CONSTs, whose numbers come second.
    """
    leaf = graph.nodes[guard.leaf]
    numbers = (guard.low, guard.high) + ((guard.ignore,) if guard.ignore is not None else ())
    return _schedule(leaf.shape, leaf.layout, leaf.dtype, len(numbers), threads), numbers


@lru_cache(maxsize=256)
def _schedule(shape: tuple[int, ...], layout: tuple[int, ...] | None, dtype: dt.dtype, count: int,
              threads: int) -> Schedule:
    nodes = [GNode(BUFFER, (), (), shape, dtype, layout)]
    nodes += [GNode(CONST, (), (), (), dtype) for _ in range(count)]

    def op(name: str, *srcs: int) -> int:
        nodes.append(GNode(PRIMS[name], srcs, (), shape, dt.bool_))
        return len(nodes) - 1

    bad = op("bitwise_or", op("lt", 0, 1), op("ge", 0, 2))
    if count == 3:
        bad = op("bitwise_and", bad, op("ne", 0, 3))
    nodes.append(GNode(PRIMS["any"], (bad,), (tuple(range(len(shape))),), (), dt.bool_))
    graph = Graph(nodes, list(range(1 + count)), [len(nodes) - 1])
    return schedule_graph(graph, threads)
