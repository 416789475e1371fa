"""Conditions on positions: checked by kernels among a plan's own.

What range checks of class numbers and indices protect must not run when they fail. The checks of
leaves are the first rows of the plan's table, those of computed positions follow what computes
them. Each writes whether it failed into a byte of a word that a later row looks at: it ends the run
when the word is not 0. The whole graph is interpreted then, which raises the error with its message
(or computes what a kernel does not, such as positions that count from the end). Nothing is written
over by then: see ``Grouping.guarded``.
"""

from __future__ import annotations

from functools import cache, lru_cache

from ..base import dtype as dt
from ..base import shape as sh
from ..graph.graph import GNode, Graph
from ..ir.node import BUFFER, CONST, PRIMS
from ..schedule.compile import Schedule, schedule_graph
from ..schedule.group import Guard
from ..schedule.template import Family

#: checks that share one word
PER_WORD = 8


def guard_schedule(graph: Graph, guard: Guard, threads: int) -> tuple[Schedule, tuple[int, ...]]:
    """The schedule whose only output, a bool, says whether the guard is violated.

    Its first leaf is the guarded one; the others are CONSTs, whose numbers come second.
    """
    numbers = (guard.low, guard.high) + ((guard.ignore,) if guard.ignore is not None else ())
    if sh.is_contiguous(guard.shape, guard.strides):
        shape: tuple[int, ...] = (sh.numel(guard.shape),)
        layout = None
    else:
        shape, layout = guard.shape, guard.strides
    return _schedule(shape, layout, graph.nodes[guard.root].dtype, len(numbers), threads), numbers


@lru_cache(maxsize=256)
def _schedule(shape: tuple[int, ...], layout: tuple[int, ...] | None, dtype: dt.dtype, count: int,
              threads: int) -> Schedule:
    graph = _graph(shape, layout, dtype, count)
    found = None
    if layout is None and shape[0] > 1:
        found = _family(dtype, count).schedule(graph, threads)
    return found or schedule_graph(graph, threads)


@cache
def _family(dtype: dt.dtype, count: int) -> Family:
    """The checks of leaves in row-major order, of any size."""
    return Family(_graph((1,), None, dtype, count).rows)


def _graph(shape: tuple[int, ...], layout: tuple[int, ...] | None, dtype: dt.dtype,
           count: int) -> Graph:
    nodes = [GNode(BUFFER, (), (), shape, dtype, layout)]
    nodes += [GNode(CONST, (), (), (), dtype) for _ in range(count)]

    def op(name: str, *srcs: int) -> int:
        nodes.append(GNode(PRIMS[name], srcs, (), shape, dt.bool_))
        return len(nodes) - 1

    bad = op("bitwise_or", op("lt", 0, 1), op("ge", 0, 2))
    if count == 3:
        bad = op("bitwise_and", bad, op("ne", 0, 3))
    nodes.append(GNode(PRIMS["any"], (bad,), (tuple(range(len(shape))),), (), dt.bool_))
    return Graph(nodes, list(range(1 + count)), [len(nodes) - 1])
