"""The stages from a graph to a schedule: grouping, in-place decisions, kernels, memory.

A :class:`Schedule` says what runs in which order and where every value lives, without any address
or machine code; ``runtime/plan.py`` turns it into a plan that runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from ..graph.access import Access
from ..graph.graph import Graph
from ..ir.node import OpClass
from ..ir.view import VIEW
from ..kernel.sums import accumulator
from .assemble import Assemble, build_assemble, in_place
from .build import Step, build
from .conv import NAMES, Conv, build_conv
from .dot import Dot, build_dot
from .group import FULL, ROW, Group, Grouping, Guard, operands, spread
from .inline import expand
from .memory import Arena
from .recurrence import Recurrence, build_recurrence
from .sizes import union
from .walk import group_nodes

#: element operations a chunk should have, so that handing it out costs little
CHUNK_WORK = 300_000


class Whole(NamedTuple):
    """What a host entry reads: whole arrays.

    Attributes:
        reads: how the record reads its operands.
        done: reading is all there is to do (a view whose read goes through it).
        scratch, work: always 0.
    """

    reads: tuple[Access, ...]
    done: bool
    scratch: int = 0
    work: int = 0


def _whole(g: Grouping, i: int) -> Whole:
    node, reads = g.graph.nodes[i], operands(g, i)
    return Whole(tuple(reads), node.prim is VIEW and reads[0] != g.access[node.srcs[0]])


@dataclass
class Entry:
    """One thing the plan runs.

    Attributes:
        kind: "loop", "dot", "weight", "assemble", "recurrence" or "host".
        group: the group it comes from.
        step: the kernels and their arguments.
        record: the record a host entry computes.
        chunks: in how many chunks a loop entry runs.
        scratch: offset in the arena of the chunks' scratch memory.
    """

    kind: str
    group: Group
    step: Step | Dot | Conv | Assemble | Recurrence | Whole | None = None
    record: int = -1
    chunks: int = 1
    scratch: int = -1


@dataclass
class Schedule:
    """What a plan runs.

    Attributes:
        graph: the graph.
        grouping: its groups.
        entries: in running order.
        place: for each stored value where it lives: ``("arena", offset)``, ``("output", k)``,
            ``("leaf", position)`` (overwritten in place) or ``("host", record)`` (an array a host
            step returned). ``~record`` stands for the parts of a divided reduction.
        arena: bytes of the arena.
        work: element operations of all kernels.
        guards: what must hold of leaves.
    """

    graph: Graph
    grouping: Grouping
    entries: list[Entry] = field(default_factory=list)
    place: dict[int, tuple[str, int]] = field(default_factory=dict)
    arena: int = 0
    work: int = 0
    guards: list[Guard] = field(default_factory=list)


def schedule_graph(graph: Graph, threads: int = 1, explain: bool = False) -> Schedule:
    """Divide a graph into kernels, order them and plan their memory."""
    s = arrange(graph, explain)
    divide_work(s, threads)
    plan_memory(s, lifetimes(s))
    return s


def arrange(graph: Graph, explain: bool = False) -> Schedule:
    """The kernels of a graph in their order, not yet divided into chunks, and its outputs' places.

    The graph may have sizes that are not plain numbers (``sizes.py``).
    """
    g = group_nodes(graph, explain)
    s = Schedule(graph, g, guards=union(g.guards))
    _place_outputs(s)
    late = {i for i, place in s.place.items() if place[0] == "leaf"}
    for group in g.groups:
        if group.kind == "loop":
            loop = build(g, group, late)
            s.entries.append(Entry("loop", group, loop, chunks=group.columns))
        elif group.kind == "dot":
            make = build_conv if graph.nodes[group.members[0]].prim.name in NAMES else build_dot
            s.entries.append(Entry("dot", group, make(g, group, late)))
        elif group.kind == "weight":
            s.entries.append(Entry("weight", group, build_conv(g, group)))
        elif group.kind == "assemble":
            there = s.place.get(group.members[0], ("", 0))[0] == "leaf"
            s.entries.append(Entry("assemble", group, build_assemble(g, group, there)))
        elif group.kind == "recurrence":
            s.entries.append(Entry("recurrence", group, build_recurrence(g, group.members[0])))
        else:
            i = group.members[0]
            s.entries.append(Entry("host", group, _whole(g, i), record=i))
    s.work = sum(e.step.work for e in s.entries if e.step is not None)
    return s


def divide_work(s: Schedule, threads: int) -> None:
    """In how many chunks the loops run whose order of adding up does not say it."""
    for e in s.entries:
        if isinstance(e.step, Step) and not e.chunks:
            e.chunks = chunks_of(e.step.units, e.step.work, threads)


def chunks_of(units: int, work: int, threads: int) -> int:
    """In how many chunks a kernel runs."""
    return max(1, min(units, work // CHUNK_WORK, 4 * threads)) if threads > 1 else 1


def _place_outputs(s: Schedule) -> None:
    """Outputs get arrays of their own, or take over a leaf's where nobody reads it later."""
    graph = s.graph
    position = {leaf: p for p, leaf in enumerate(graph.leaves)}
    for k, i in enumerate(graph.outputs):
        if i not in position:
            s.place.setdefault(i, ("output", k))
    if not graph.donated:
        return
    readers: dict[int, list[tuple[Group, int, Access]]] = {}
    for group in s.grouping.groups:
        for i in group.members:
            for a in operands(s.grouping, i):
                behind = expand(s.grouping, a, s.grouping.inline) \
                    if a.root in s.grouping.inline else (a,)
                for b in behind:
                    if b.root in position:
                        readers.setdefault(position[b.root], []).append((group, i, b))
    for leaf, k in graph.donated.items():
        record = graph.outputs[k]
        if _may_overwrite(s, leaf, record, readers) and s.place.get(record) == ("output", k):
            s.place[record] = ("leaf", leaf)


def _may_overwrite(s: Schedule, leaf: int, record: int, readers: dict) -> bool:
    """Whether ``record`` can be written over the leaf's array: every other read comes before, and
    reads of its own kernel are of the element that is being written."""
    graph = s.graph
    node, target = graph.nodes[graph.leaves[leaf]], graph.nodes[record]
    group = s.grouping.group_of[record]
    if node.shape != target.shape or node.dtype is not target.dtype or node.layout is not None:
        return False
    if group is None or group.kind in ("host", "weight", "recurrence") \
            or group.order <= s.grouping.guarded:
        return False
    if group.kind == "dot" and group.members[0] == record:
        return False
    if group.kind == "assemble" and not in_place(s.grouping, record, graph.leaves[leaf]):
        return False
    level = group.level[record]
    if level == FULL and group.inner is not None:
        return False  # a later pass would read the new value
    if graph.leaves[leaf] in graph.outputs:
        return False
    if not all(_reads_before(s, group, record, *r) for r in readers.get(leaf, ())):
        return False
    for other, donated, same in graph.overlaps:
        if donated == leaf:
            if graph.leaves[other] in graph.outputs:
                return False
            inside = same and group.kind != "assemble"  # which puts parts elsewhere than they were
            if not all(_reads_before(s, group, record, *r) and (inside or r[0] is not group)
                       for r in readers.get(other, ())):
                return False
    return True


def _reads_before(s: Schedule, group: Group, record: int, reader: Group, i: int,
                  a: Access) -> bool:
    """Whether a read of an array comes before its elements are overwritten by ``record``."""
    if reader is not group:
        return reader.order < group.order
    if group.kind == "dot" and i == group.members[0]:
        return False  # a factor of the product is read until its last element is done
    level = group.level[record]
    if s.graph.nodes[i].prim.cls is not OpClass.REDUCE and group.level[i] == level:
        return a.plain
    return level == ROW and _of_own_row(group, a)


def _of_own_row(group: Group, a: Access) -> bool:
    """Whether what is read for all elements of a row is one element, that of the row's number."""
    steps = sorted(union(group.breaks, (1,)))
    sizes = [end // step for step, end in zip(steps, [*steps[1:], group.total], strict=True)]
    axes = list(zip(steps, sizes, strict=True))
    row = 1
    for (step, size), stride in zip(axes, reversed(spread(a.shape, a.strides, axes[::-1])),
                                    strict=True):
        inside = any(first <= step < first * n for first, n in group.inner or ())
        if size != 1 and stride != (0 if inside else row):
            return False
        if not inside:
            row *= size
    return a.offset == 0


class Lifetimes(NamedTuple):
    """When values that are no outputs have to be in the arena.

    Attributes:
        made: per entry, the values that it needs memory for.
        ends: per entry, the values that nobody reads after it.
        size: bytes of each.
    """

    made: dict[int, list[int]]
    ends: dict[int, list[int]]
    size: dict[int, int]


def lifetimes(s: Schedule) -> Lifetimes:
    """What :func:`plan_memory` has to find room for; host results get their places."""
    g = s.grouping
    last: dict[int, int] = {}
    made: dict[int, list[int]] = {}
    for n, e in enumerate(s.entries):
        if isinstance(e.step, Dot) and e.step.c < 0:
            made.setdefault(n, []).append(e.step.c)
            last[e.step.c] = n
        for i in e.group.members:
            if g.partial.get(i) is e.group:
                made.setdefault(n, []).append(~i)
            elif i in g.partial:
                last[~i] = n
            if g.group_of[i] is e.group and i in g.stored and i not in s.place:
                if e.kind == "host":
                    s.place[i] = ("host", i)
                else:
                    made.setdefault(n, []).append(i)
            for a in operands(g, i):
                last[a.root] = n
    ends: dict[int, list[int]] = {}
    for root, n in last.items():
        ends.setdefault(n, []).append(root)
    return Lifetimes(made, ends, {root: _bytes(s, root) for roots in made.values()
                                  for root in roots})


def plan_memory(s: Schedule, life: Lifetimes) -> None:
    """Arena offsets for every stored value that is not an output, freed after its last reader."""
    arena = Arena()
    taken: dict[int, tuple[int, int]] = {}
    for n, e in enumerate(s.entries):
        for root in life.made.get(n, ()):
            taken[root] = arena.take(life.size[root])
            s.place[root] = ("arena", taken[root][0])
        scratch = e.step.scratch if e.step is not None else 0
        if scratch:
            e.scratch, size = arena.take(scratch * e.chunks)
            arena.give(e.scratch, size)
        for root in life.ends.get(n, ()):
            if root in taken:
                arena.give(*taken.pop(root))
    s.arena = arena.size


def _bytes(s: Schedule, root: int) -> int:
    node = s.graph.nodes[root if root >= 0 else ~root]
    if root >= 0:
        return math.prod(node.shape) * node.dtype.itemsize
    group = s.grouping.partial.get(~root)
    if group is None:  # a product's float32 values
        return math.prod(node.shape) * 4
    return (group.columns or group.parts) * math.prod(node.shape) * accumulator(node.dtype).itemsize
