"""Groups: nodes that become one kernel, and the geometry of their loops.

A *loop group* computes values over one domain of ``total`` elements, counted row-major. Once it
holds a reduction its axes are divided into outer and inner ones; a value is then *full* (one
element for each element of the domain) or a *row* value (one for each outer index). Whole steps
such as softmax, layer norm or an optimizer's update are loop groups.

Axes are described by *runs*: (step, size) says that the axis moves by ``step`` elements of the
domain's row-major order, ``size`` times. The axes of all members must be refinements of each
other, so that one nest of loops serves all.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from ..base import shape as sh
from ..graph.access import Access, through, whole
from ..graph.graph import GNode, Graph
from ..ir.node import OpClass
from ..kernel.ir import INDEXED
from ..kernel.sums import PLAIN, Kind, along, kind_of, order_of, parts_of, reduced_runs
from .sizes import union

FULL, ROW, COLUMN = 0, 1, 2
#: dtypes the matrix kernels have
DOT_DTYPES = {"float32", "float64", "float16", "bfloat16"}
#: values a loop group may hold; more makes code that spills registers
MAX_MEMBERS = 96
#: longest row of running values that chunks keep for reductions over outer axes
MAX_COLUMN = 8192


class Group:
    """Nodes that run as one entry of the plan.

    Attributes:
        order: its number.
        kind: "loop", "dot" (a matrix product and what is done to its elements), "assemble" (see
            ``assemble.py``) or "host".
        members: computed nodes, in topological order.
        total: elements of the domain.
        inner: runs of the inner axes, merged; None while no reduction is in the group.
        rows: elements of a row value.
        sums: kind of the reductions (``kernel/sums.py``); None while any order will do.
        level: FULL or ROW for each member; COLUMN for a reduction over the outer axes, of which
            the group computes ``columns`` parts, folded by another group.
        breaks: steps of the domain at which some member's axis begins, besides 1.
        matrix: rows and columns of a dot group's product.
        again: members that another group computes too (see ``recompute.py``).
        parts: in how many parts the reductions are divided; their result is then the value of
            a second group that folds the parts.
    """

    __slots__ = (
        "again",
        "breaks",
        "columns",
        "inner",
        "kind",
        "sums",
        "level",
        "matrix",
        "members",
        "order",
        "parts",
        "rows",
        "shapes",
        "total",
    )

    def __init__(self, order: int, kind: str, total: int = 0):
        self.order, self.kind, self.total = order, kind, total
        self.members: list[int] = []
        self.inner: tuple[tuple[int, int], ...] | None = None
        self.rows = total
        self.level: dict[int, int] = {}
        self.breaks: list[int] = []
        self.matrix = (1, 1)
        self.parts = 1
        self.columns = 0
        self.shapes: list = []
        self.again: set[int] = set()
        self.sums: Kind | None = None

    def row_step(self, step: int) -> int | None:
        """The domain step that corresponds to a step of row values."""
        at = 1
        for first, size in self.outer_runs():
            if step < at * size or size == 0:
                quotient, rest = divmod(step, at)
                return None if rest else first * quotient
            at *= size
        return self.total

    def outer_runs(self) -> list[tuple[int, int]]:
        """Runs of the outer axes, innermost first."""
        out, at = [], 1
        for step, size in reversed(self.inner or ()):
            if step > at:
                out.append((at, step // at))
            at = step * size
        if at < self.total:
            out.append((at, self.total // at))
        return out

    def breaks_of(self, shape: tuple[int, ...], level: int) -> list[int] | None:
        """Domain steps where the axes of ``shape`` begin; None if they do not fit."""
        out, step = [], 1
        for n in reversed(shape):
            if n != 1:
                if step != 1:
                    at = step if level == FULL or self.inner is None else self.row_step(step)
                    if at is None:
                        return None
                    out.append(at)
                step *= n
        return out

    def fits(self, shape: tuple[int, ...], level: int, add: bool) -> bool:
        """Whether axes of ``shape`` and those of the members refine each other."""
        if (shape, level) in self.shapes:
            return True
        new = self.breaks_of(shape, level)
        if new is None:
            return False
        have = self.breaks
        if not all(b in have for b in new):
            every = sorted(union(have, new))
            if any(b % a for a, b in pairwise(every)):
                return False
            if add:
                self.breaks = union(have, new)
        if add:
            self.shapes.append((shape, level))
        return True

    def merges(self, a: Access) -> bool:
        """Whether a read walks through each run of inner axes in one stride, or need not."""
        return merges(a, self.inner or ()) or in_row_order(self.inner or (), self.total, self.rows,
                                                           self.sums)

    def set_inner(self, runs: tuple[tuple[int, int], ...]) -> None:
        """Divide the axes; all members so far are full."""
        self.inner = runs
        self.rows = self.total // math.prod(n for _, n in runs) if self.total else 0
        ends = [step for step, _ in runs] + [step * n for step, n in runs]
        self.breaks = union(self.breaks, [b for b in ends if 1 < b < self.total])


class Guard(NamedTuple):
    """What must hold of integers that are positions in memory: they lie in [low, high), or are
    ``ignore``. Where it does not hold, the plan stops and the graph is interpreted (which raises
    the right error, or computes what kernels do not).

    Attributes:
        root: the record in whose memory they are: a leaf, checked before anything else runs, or a
            computed one, checked as soon as it is there.
        shape, strides, offset: which of its elements.
    """

    root: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    low: int
    high: int
    ignore: int | None


def guard(a: Access, high: int, low: int = 0, ignore: int | None = None) -> Guard:
    """A guard of what an access reads."""
    axes = [(n, s) for n, s in zip(a.shape, a.strides, strict=True) if n > 1 and s]
    return Guard(a.root, tuple(n for n, _ in axes), tuple(s for _, s in axes), a.offset, low, high,
                 ignore)


class Grouping:
    """The result of :func:`group_nodes`.

    Attributes:
        graph: the graph.
        access: for each record how its value is read (through views, to a stored record).
        groups: in running order.
        group_of: the group that computes a record's value, None for leaves and views.
        stored: records whose value must be in memory: read by another group, or an output.
        partial: ``{reduce record: group of the parts}`` for divided reductions.
        reads: for each computed record how it reads its operands.
        inline: records that belong to no group, with their cost: see ``inline.py``.
        matrices: views that only products read, and how (``matrices.py``).
        lookups: table lookups that kernels can do.
        guards: checks of positions to be made in each run.
        guarded: the last group that a guard waits for; -1 if all guards are of leaves. What runs
            up to there writes over no leaf, so that a run may stop.
        reducible: reductions that kernels can compute.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.access: list[Access] = []
        self.groups: list[Group] = []
        self.group_of: list[Group | None] = [None] * len(graph.nodes)
        self.stored: set[int] = set()
        self.partial: dict[int, Group] = {}
        self.reads: dict[int, list[Access]] = {}
        self.inline: dict[int, int] = {}
        self.guards: list[Guard] = []
        self.guarded = -1
        self.lookups: set[int] = set()
        self.matrices: dict[int, Access] = {}
        self.reducible: set[int] = set()
        self.reasons: list[tuple[int, Group, str]] | None = None

    def computes(self, group: Group, root: int) -> bool:
        """Whether a group computes a record's (complete) value."""
        return self.group_of[root] is group or root in group.again


def operands(g: Grouping, i: int) -> list[Access]:
    """How record ``i`` reads its operands; a stored view reads what it views."""
    found = g.reads.get(i)
    if found is None:
        found = g.reads[i] = _operands(g, i)
    return found


def _operands(g: Grouping, i: int) -> list[Access]:
    node = g.graph.nodes[i]
    if node.prim.cls is OpClass.VIEW:
        src = g.access[node.srcs[0]]
        read = through(src, *node.params)
        return [read if read is not None else
                through(whole(node.srcs[0], src.shape), *node.params)]
    if node.prim.cls is OpClass.ELEMENTWISE or node.prim.name in INDEXED:
        out = []
        for s in node.srcs:
            a = g.access[s]
            if a.shape != node.shape:  # 0-d operands are repeated
                a = Access(a.root, node.shape, (0,) * len(node.shape), a.offset, False)
            out.append(a)
        return out
    if i in g.lookups:
        return _taken(g, i)
    return [g.matrices.get(s) or g.access[s] for s in node.srcs]


#: primitives that look positions up along an axis
LOOKUPS = {"take", "take_along", "index"}


def axis_of(node: GNode) -> int:
    """The axis that a lookup looks up along."""
    axis = node.params[0]
    return axis[0] if node.prim.name == "index" else axis


def _taken(g: Grouping, i: int) -> list[Access]:
    """A lookup's index and table, each read at the lookup's own positions; the table's step along
    the looked-up axis is :func:`take_step`."""
    node = g.graph.nodes[i]
    table, index = (g.access[s] for s in node.srcs)
    axis, rank = axis_of(node), len(index.shape)
    if node.prim.name == "take_along":
        beside = (*table.strides[:axis], 0, *table.strides[axis + 1:])
        return [Access(index.root, node.shape, index.strides, index.offset, False),
                Access(table.root, node.shape, beside, table.offset, False)]
    along = (0,) * axis + index.strides + (0,) * (len(table.shape) - axis - 1)
    beside = table.strides[:axis] + (0,) * rank + table.strides[axis + 1:]
    return [Access(index.root, node.shape, along, index.offset, False),
            Access(table.root, node.shape, beside, table.offset, False)]


def take_step(g: Grouping, i: int) -> int:
    """The step of a lookup's table along the looked-up axis."""
    node = g.graph.nodes[i]
    return g.access[node.srcs[0]].strides[axis_of(node)]


def merges(a: Access, runs: tuple[tuple[int, int], ...]) -> bool:
    """Whether a read walks through each run in one stride."""
    for first, size in runs:
        step, last = 1, None
        for n, s in zip(reversed(a.shape), reversed(a.strides), strict=True):
            if n != 1 and step < first * size and step * n > first:
                if last is not None and s != last[0] * last[1]:
                    return False
                last = (s, n)
            step *= n
    return True


def folds(node: GNode, a: Access) -> bool:
    """Whether a reduction can read its operand by ``a`` and add up in the order it has to (see
    ``kernel/sums.py``)."""
    runs = reduced_runs(a.shape, node.params[0])
    return merges(a, runs) or in_row_order(runs, sh.numel(a.shape), sh.numel(node.shape),
                                           kind_of(node.prim.name, node.dtype, sh.numel(a.shape)))


def in_row_order(runs: tuple[tuple[int, int], ...], total: int, rows: int,
                 kind: Kind | None) -> bool:
    """Whether a reduction adds up element by element in row-major order, which does not change when
    its runs are cut into pieces."""
    return (along(runs, rows, kind) == "outer" and parts_of(total, rows, runs, kind) == 1
            and order_of("outer", runs, 1, kind) == PLAIN)


def triple(group: Group, a: Access) -> tuple[int, int, int] | None:
    """Strides of an access along a dot group's batch, rows and columns; None if it has none."""
    m, n = group.matrix
    if a.shape[-2:] == (m, n) and len(a.shape) <= 3:
        lead = a.strides[0] if len(a.shape) == 3 and a.shape[0] != 1 else 0
        return lead, a.strides[-2] if m != 1 else 0, a.strides[-1] if n != 1 else 0
    steps, step = [1, n, m * n], 1
    for size in reversed(a.shape):
        steps.append(step)
        step *= size
    ordered = sorted(x for x in union(steps) if x < group.total or x == 1)
    if any(y % x for x, y in pairwise(ordered)):
        return None
    axes = [(x, y // x) for x, y in zip(ordered, [*ordered[1:], group.total], strict=True)]
    axes.reverse()
    strides = spread(a.shape, a.strides, axes)
    out = []
    for low, high in ((m * n, group.total), (n, m * n), (1, n)):
        mine = [(size, s) for (at, size), s in zip(axes, strides, strict=True)
                if low <= at < high and size > 1]
        for (_, outer), (size, inner) in pairwise(mine):
            if outer != inner * size:
                return None
        out.append(mine[-1][1] if mine else 0)
    return out[0], out[1], out[2]


def spread(shape: tuple[int, ...], strides: tuple[int, ...],
           axes: list[tuple[int, int]]) -> list[int]:
    """Strides of ``shape`` along refined axes (step, size), outermost first."""
    out = [0] * len(axes)
    k, at = len(axes) - 1, 1
    for j in range(len(shape) - 1, -1, -1):
        n = shape[j]
        if n == 1:
            continue
        end = at * n
        while k >= 0 and axes[k][0] < end:
            out[k] = strides[j] * (axes[k][0] // at)
            k -= 1
        at = end
    return out
