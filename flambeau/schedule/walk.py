"""Which nodes become one kernel.

One walk over the graph in topological order. A node joins the newest group among those of its
operands when the group's loops can compute it; else a newer group that already reads one of its
operands over the same elements; else it starts a group. Groups are numbered as they are made and
every dependency points from a higher to a lower number (or stays inside), so running them in
number order is right by construction and the walk is linear.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ..base import shape as sh
from ..graph.access import Access, through, whole
from ..graph.graph import GNode, Graph
from ..ir.node import CONST, OpClass
from ..kernel.ir import INDEXED
from ..kernel.sums import LANES, LONG_OUTER, PLAIN, along, kind_of, parts_of, reduced_runs
from .assemble import can_assemble, places
from .conv import NAMES, convolved, matrix_of, packed, windowed
from .group import (
    COLUMN,
    FULL,
    LOOKUPS,
    MAX_COLUMN,
    MAX_MEMBERS,
    ROW,
    Group,
    Grouping,
    axis_of,
    folds,
    guard,
    operands,
    triple,
)
from .inline import expand, find_inline
from .matrices import Refiner, multiplied, readable
from .merge import merge
from .recompute import recompute
from .recurrence import recurrent
from .sizes import Table, union


def group_nodes(graph: Graph, explain: bool = False) -> Grouping:
    """Divide the graph into groups; ``explain`` records why nodes were kept apart."""
    g = Grouping(graph)
    if explain:
        g.reasons = []
    copies = _resolve(g)
    computed, compiled = [], set()
    for i, node in enumerate(graph.nodes):
        if node.is_leaf or g.access[i].root != i or i in g.matrices:
            continue  # views and copies that cost nothing
        computed.append(i)
        if node.prim.name in LOOKUPS and _looked_up(g, i):
            g.lookups.add(i)
        operands(g, i)
        cls = node.prim.cls
        if i in copies or cls is OpClass.ELEMENTWISE or node.prim.name in INDEXED:
            if _compiled(graph, i):
                compiled.add(i)
        elif i in g.lookups:
            compiled.add(i)
            g.guards.append(guard(g.reads[i][0], graph.nodes[node.srcs[0]].shape[axis_of(node)]))
        elif cls is OpClass.REDUCE and _compiled(graph, i) and folds(node, operands(g, i)[0]):
            g.reducible.add(i)
        elif places(g, i) is not None:
            put = node.prim.name == "index_put"
            axis = node.params[0][0] if put else node.params[0]
            g.guards.append(guard(g.reads[i][2 if put else 1], node.shape[axis]))
    g.inline = find_inline(g, computed, compiled)
    walk = _Walk(g)
    for i in computed:
        if i in g.inline:
            continue
        if i in compiled:
            walk.elementwise(i)
        elif i in g.reducible:
            walk.reduction(i)
        elif multiplied(graph, i) and _reads(g, i):
            walk.opaque(i, "dot")
        elif convolved(graph, i) and packed(g.reads[i][1]):
            walk.opaque(i, "dot" if graph.nodes[i].prim.name == "correlate" else "weight")
        elif recurrent(g, i):
            walk.opaque(i, "recurrence")
        elif can_assemble(g, i):
            walk.opaque(i, "assemble")
        else:
            walk.opaque(i, "host")
    merge(walk)
    recompute(walk, compiled)
    _find_stored(g)
    return g


#: (primitive, operands' dtype names) that turned out to have no vector form
without_kernel: set[tuple[str, tuple[str, ...]]] = set()

_KINDS = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
          "float16", "bfloat16", "float32", "float64")


def _compiled(graph: Graph, i: int) -> bool:
    """Whether kernels can compute this elementwise or reduce record."""
    node = graph.nodes[i]
    if node.dtype.name not in _KINDS or 0 in node.shape:
        return False
    for s in node.srcs:
        if graph.nodes[s].dtype.name not in _KINDS or 0 in graph.nodes[s].shape:
            return False
    if without_kernel:
        kinds = tuple(graph.nodes[s].dtype.name for s in node.srcs)
        if (node.prim.name, kinds) in without_kernel:
            return False
    if node.prim.cls is OpClass.REDUCE:
        return node.prim.fold is not None
    return node.prim.cls is OpClass.VIEW or node.prim.llvm is not None


def _looked_up(g: Grouping, i: int) -> bool:
    """Whether a kernel can look up the table."""
    node = g.graph.nodes[i]
    if node.prim.name == "index" and (len(node.srcs) != 2 or not g.graph.from_zero):
        return False
    return (0 not in node.shape and node.dtype.name in _KINDS and node.dtype.itemsize >= 4
            and _positions(g, g.access[node.srcs[1]]))


#: primitives whose kernels read operands, from this one on, element after element
_IN_ORDER = {"index_put": 1, "scatter": 1, "cumsum": 0, "cumprod": 0}


def _resolve(g: Grouping) -> set[int]:
    """Fill ``g.access``; returns the views and copies that must be stored.

    A copy has its source's value, so it costs nothing unless it is an output.
    """
    graph = g.graph
    outputs = set(graph.outputs)
    stored: set[int] = set()
    matrices = Refiner(graph)
    g.matrices = matrices.found
    for i, node in enumerate(graph.nodes):
        name = node.prim.name
        if node.is_leaf:
            g.access.append(whole(i, node.shape, node.layout))
            continue
        if multiplied(graph, i) and not _reads(g, i):
            for s in node.srcs:
                _keep_copy(g, s, stored)
        if node.prim.name in NAMES:
            for s, fits in zip(node.srcs, (windowed, packed), strict=True):
                if not fits(g.access[s]) and not _keep_copy(g, s, stored) \
                        and not graph.nodes[s].is_leaf:
                    stored.add(s)
                    g.access[s] = whole(s, graph.nodes[s].shape)
        if node.prim.cls is OpClass.REDUCE and node.prim.fold is not None:
            _keep_summand(g, i, stored)
        if name in _IN_ORDER:
            for s in node.srcs[_IN_ORDER[name]:]:
                _keep_rows(g, s, stored)
        found = None
        if node.prim.cls is OpClass.VIEW:
            src = node.srcs[0]
            if src in g.matrices and matrices.exchanged(i):
                g.access.append(whole(i, node.shape))
                continue
            found = through(g.access[src], *node.params)
            if found is None and matrices.refine(i, g.access[src]):
                pass  # products read it in place
            elif found is None and graph.nodes[src].is_leaf:
                g.reads[i] = [g.access[src]]  # a strided array in another order: a host step
            elif found is None:  # the inner view is stored, this one reads it
                stored.add(src)
                g.access[src] = whole(src, graph.nodes[src].shape)
                found = through(g.access[src], *node.params)
        elif name in ("check_range", "check_classes") and _guarded(g, node):
            found = g.access[node.srcs[0]]
            g.guards.append(guard(found, node.params[0], ignore=node.params[1]))
        elif name == "copy" and g.access[node.srcs[0]].shape == node.shape:
            found = g.access[node.srcs[0]]
        if found is not None and i in outputs:
            stored.add(i)
            found = None
        g.access.append(whole(i, node.shape) if found is None else found)
    return stored


def _reads(g: Grouping, i: int) -> bool:
    """Whether a product's operands can be read in the order that it adds up in."""
    return readable(g.graph, i, *(g.matrices.get(s) or g.access[s] for s in g.graph.nodes[i].srcs))


def _keep_copy(g: Grouping, i: int, stored: set[int]) -> bool:
    """Store the copy that an operand is, or is a view of; whether there was one."""
    node, access = g.graph.nodes[i], g.access
    if node.prim.cls is OpClass.VIEW:
        src = node.srcs[0]
        if access[i].root == i or i in g.matrices or not _keep_copy(g, src, stored):
            return False
        access[i] = through(access[src], *node.params) or access[i]
        return True
    if node.prim.name != "copy" or access[i].root == i:
        return False
    stored.add(i)
    access[i] = whole(i, node.shape)
    return True


def _keep_summand(g: Grouping, i: int, stored: set[int]) -> None:
    """Store a reduction's operand, a view, if its order of adding up needs that."""
    node = g.graph.nodes[i]
    src = node.srcs[0]
    if not g.graph.nodes[src].is_leaf and not folds(node, g.access[src]):
        stored.add(src)
        g.access[src] = whole(src, g.graph.nodes[src].shape)


def _keep_rows(g: Grouping, i: int, stored: set[int]) -> None:
    """Store rows or positions that do not lie one after another."""
    a, node = g.access[i], g.graph.nodes[i]
    if not node.is_leaf and not sh.is_contiguous(a.shape, a.strides):
        stored.add(i)
        g.access[i] = whole(i, node.shape)


def _guarded(g: Grouping, node: GNode) -> bool:
    """Whether a kernel can make a range check."""
    return 0 not in node.shape and _positions(g, g.access[node.srcs[0]])


def _positions(g: Grouping, a: Access) -> bool:
    """Whether what is read are integers in memory that can be guarded."""
    root = g.graph.nodes[a.root]
    return root.prim is not CONST and root.dtype.name in ("int64", "int32")


class _Walk:
    """The state of one walk."""

    def __init__(self, g: Grouping):
        self.g, self.graph = g, g.graph
        self.readers = Table()  # (value, elements): the last group that reads it over so many
        self.scalars: Group | None = None  # the last group that was started by a 0-d record

    def elementwise(self, i: int) -> None:
        node = self.graph.nodes[i]
        reads = operands(self.g, i)
        total = node.numel()
        newest = self.newest(reads)
        if newest is not None and newest.kind in ("loop", "dot") \
                and self.join(newest, i, reads, total):
            return
        at = newest.order if newest is not None else -1
        if total == 1 and self.scalars is not None and self.scalars.order > at \
                and self.join(self.scalars, i, reads, total):
            return
        for near in self.near(reads, total, at):
            if self.join(near, i, reads, total):
                return
        group = self.new("loop", total)
        self.join(group, i, reads, total)
        if total == 1:
            self.scalars = group

    def reduction(self, i: int) -> None:
        a = operands(self.g, i)[0]
        total = sh.numel(a.shape)
        newest = self.newest([a])
        if newest is not None and newest.kind == "loop" and self.join_reduce(newest, i, a, total):
            return
        for near in self.near([a], total, newest.order if newest is not None else -1):
            if self.join_reduce(near, i, a, total):
                return
        self.join_reduce(self.new("loop", total), i, a, total)

    def opaque(self, i: int, kind: str) -> None:
        node = self.graph.nodes[i]
        group = self.new(kind, node.numel())
        if kind == "dot":
            group.matrix = matrix_of(self.graph, i) if node.prim.name in NAMES \
                else (node.shape[-2], node.shape[-1])
        self.add(group, i, FULL)

    # -- joining -------------------------------------------------------------------------------

    def new(self, kind: str, total: int) -> Group:
        group = Group(len(self.g.groups), kind, total)
        self.g.groups.append(group)
        return group

    def newest(self, reads: list[Access]) -> Group | None:
        best = None
        for a in reads:
            group = self.g.group_of[a.root]
            if group is not None and (best is None or group.order > best.order):
                best = group
        return best

    def near(self, reads: list[Access], total: int, after: int) -> Iterator[Group]:
        """Groups numbered above ``after`` that read the same values over as many elements."""
        for a in reads:
            for b in self.behind(a):
                group = self.readers.get((b.root, total))
                if group is not None and group.order > after:
                    yield group

    def remember(self, group: Group, a: Access, total: int) -> None:
        """Note that a group reads what ``a`` reads."""
        for b in self.behind(a):
            if self.g.group_of[b.root] is not group:
                self.readers[b.root, total] = group

    def refuse(self, i: int, group: Group, reason: str) -> bool:
        if self.g.reasons is not None:
            self.g.reasons.append((i, group, reason))
        return False

    def join(self, group: Group, i: int, reads: list[Access], total: int) -> bool:
        """Add an elementwise record to a group if its loops can compute it."""
        node = self.graph.nodes[i]
        if len(group.members) >= MAX_MEMBERS:
            return self.refuse(i, group, f"the group is full ({MAX_MEMBERS} values)")
        if total == group.total:
            level = FULL
        elif group.inner is not None and total == group.rows:
            level = ROW
        else:
            return self.refuse(i, group, f"{list(node.shape)} is neither the group's "
                                         f"{group.total} elements nor its {group.rows} rows")
        if node.prim.name in LOOKUPS and (
                group.kind == "dot" or any(self.g.group_of[a.root] is group for a in reads)):
            return self.refuse(i, group, "a lookup needs table and positions complete and a loop "
                                         "of its own")
        if group.kind == "dot":
            return self.join_dot(group, i, reads)
        if not group.fits(node.shape, level, False):
            return self.refuse(i, group, f"axes of {list(node.shape)} cut across the group's")
        for a in reads:
            if self.g.group_of[a.root] is group:
                reason = self.mismatch(group, a, level)
                if reason:
                    return self.refuse(i, group, reason)
            elif level == FULL and not all(group.merges(b) for b in self.behind(a)):
                return self.refuse(i, group, "it would change the order in which the group adds up")
        group.fits(node.shape, level, True)
        self.add(group, i, level)
        if level == FULL:
            for a in reads:
                self.remember(group, a, total)
            self.readers[i, total] = group
        return True

    def join_dot(self, group: Group, i: int, reads: list[Access]) -> bool:
        """Add an elementwise record to a matrix product's epilogue."""
        if self.graph.nodes[i].numel() != group.total:
            return self.refuse(i, group, "a matrix product's epilogue has no rows")
        for a in reads:
            if self.g.group_of[a.root] is group:
                if not (a.plain or self.same(group, a)):
                    return self.refuse(i, group, "it reads the product in another order")
            elif any(triple(group, b) is None for b in self.behind(a)):
                return self.refuse(i, group, "an operand's axes are not the product's rows and "
                                             "columns")
        self.add(group, i, FULL)
        return True

    def behind(self, a: Access) -> list[Access]:
        """The reads of memory behind a read."""
        if a.root not in self.g.inline:
            return [a]
        return expand(self.g, a, self.g.inline) or []

    def mismatch(self, group: Group, a: Access, level: int) -> str | None:
        """Why a member's value is not at hand where ``a`` wants it; None if it is."""
        have = group.level[a.root]
        if group.parts > 1 and have == ROW:
            return "the reduction is divided among chunks, its value is not complete here"
        if have == level:
            return None if a.plain or self.same(group, a) else \
                "its operand is read in another order than it is computed"
        if have == FULL:
            return "it needs elements of several inner positions"
        return None if self.spreads(group, a) else \
            "its operand's rows are not repeated along the inner axes"

    def same(self, group: Group, a: Access) -> bool:
        """Whether an access that is not plain still reads element i at i (sizes of 1)."""
        root = self.graph.nodes[a.root]
        return (sh.numel(a.shape) == root.numel() and sh.is_contiguous(a.shape, a.strides)
                and a.offset == 0)

    def spreads(self, group: Group, a: Access) -> bool:
        """Whether ``a`` reads row values at every inner position of their own row."""
        if a.offset:
            return False
        new = group.breaks_of(a.shape, FULL)
        every = sorted(union(group.breaks, new))
        if any(y % x for x, y in pairwise(every)):
            return False
        step = 1
        for n, s in zip(reversed(a.shape), reversed(a.strides), strict=True):
            if n == 1:
                continue
            inside = any(first <= step < first * size for first, size in group.inner)
            if inside:
                run = next(r for r in group.inner if r[0] <= step < r[0] * r[1])
                if s != 0 or step * n > run[0] * run[1]:
                    return False
            elif s == 0 or group.row_step(s) != step \
                    or any(step < first < step * n for first, _ in group.inner):
                return False
            step *= n
        return True

    def join_reduce(self, group: Group, i: int, a: Access, total: int) -> bool:
        """Add a reduction to a group if it folds just the group's inner axes."""
        node = self.graph.nodes[i]
        axes = node.params[0]
        runs = reduced_runs(a.shape, axes)
        if group.total != total or group.kind != "loop":
            return self.refuse(i, group, "it reduces another number of elements")
        if not group.fits(a.shape, FULL, False):
            return self.refuse(i, group, f"axes of {list(a.shape)} cut across the group's")
        kind = kind_of(node.prim.name, node.dtype, total)
        if group.inner is not None and group.inner != runs:
            if self.column(group, i, a, runs):
                return True
            return self.refuse(i, group, "it reduces other axes than the group")
        if kind is not None and group.inner is not None and group.sums != kind \
                and (group.sums is not None or kind[0] == LANES):
            return self.refuse(i, group, "it adds up in another order")
        if self.g.group_of[a.root] is group:
            if group.level[a.root] == ROW:
                return self.refuse(i, group, "it reduces row values")
            if not (a.plain or self.same(group, a)):
                return self.refuse(i, group, "its operand is read in another order")
        if group.inner is None:
            before = group.rows, group.breaks.copy()
            group.sums = kind
            group.set_inner(runs)
            if not all(group.merges(c) for m in group.members for b in operands(self.g, m)
                       for c in self.behind(b) if self.g.group_of[c.root] is not group):
                group.inner, group.sums, (group.rows, group.breaks) = None, None, before
                return self.refuse(i, group, "other members cut the reduced axes into pieces")
            group.parts = parts_of(total, group.rows, runs, kind)
        elif not all(group.merges(b) for b in self.behind(a)
                     if self.g.group_of[b.root] is not group):
            return self.refuse(i, group, "it would change the order in which the group adds up")
        group.sums = group.sums or kind
        group.fits(a.shape, FULL, True)
        self.add(group, i, ROW)
        self.remember(group, a, total)
        if group.parts > 1:
            self.combine(group, i, group.parts, group.rows)
        return True

    def column(self, group: Group, i: int, a: Access, runs) -> bool:
        """Add a reduction over all outer axes of a group that walks rows: each chunk keeps a row
        of running values."""
        if group.inner is None or len(group.inner) != 1 or group.parts > 1 or group.kind != "loop":
            return False
        step, width = group.inner[0]
        if step != 1 or width < 16 or width > MAX_COLUMN or runs != ((width, group.rows),):
            return False
        if self.g.group_of[a.root] is group and (
                group.level[a.root] != FULL or not (a.plain or self.same(group, a))):
            return False
        kind = kind_of(self.graph.nodes[i].prim.name, self.graph.nodes[i].dtype, group.total)
        if kind is not None and kind[0] != PLAIN:
            return False
        parts = parts_of(group.total, width, runs, kind)
        if group.columns not in (0, parts) or -(-group.rows // parts) > LONG_OUTER \
                or along(group.inner, group.rows, group.sums) != "inner":
            return False
        group.columns = parts
        self.add(group, i, COLUMN)
        self.combine(group, i, group.columns, width)
        return True

    def combine(self, group: Group, i: int, parts: int, rows: int) -> None:
        """The group that folds the parts of a divided reduction."""
        self.g.partial[i] = group
        last = self.g.groups[-1]
        if last is not group and last.order > group.order and last.kind == "loop" \
                and last.members and last.members[0] in self.g.partial \
                and self.g.partial[last.members[0]] is group:
            target = last
        else:
            target = self.new("loop", parts * rows)
            target.set_inner(((rows, parts),))
        target.members.append(i)
        target.level[i] = ROW
        self.g.group_of[i] = target

    def add(self, group: Group, i: int, level: int) -> None:
        group.members.append(i)
        group.level[i] = level
        self.g.group_of[i] = group


def _find_stored(g: Grouping) -> None:
    """Which values another group or the caller reads from memory."""
    stored = g.stored
    for group in g.groups:
        for i in group.members:
            if g.partial.get(i) is not None and g.group_of[i] is group:
                continue  # reads the parts, which are memory of their own
            for a in operands(g, i):
                if not g.computes(group, a.root) and not g.graph.nodes[a.root].is_leaf \
                        and a.root not in g.inline:
                    stored.add(a.root)
    stored.update(i for i in g.graph.outputs if not g.graph.nodes[i].is_leaf)
    for root in {each.root for each in g.guards if not g.graph.nodes[each.root].is_leaf}:
        stored.add(root)
        g.guarded = max(g.guarded, g.group_of[root].order)
