"""From a loop group to a kernel and its arguments.

The members' axes are refined until all agree, then merged wherever every access allows it; what is
left is the kernel's loop nest. A group with reductions is cut into *passes* over the inner axes: a
fold of pass ``p`` is known to the row section and the loop section of pass ``p + 1``. A full value
that several passes want is computed again when that is cheap, read back when it is stored anyway,
and else kept in scratch memory of the chunk.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

from ..base import dtype as dt
from ..base import shape as sh
from ..graph.access import Access
from ..graph.graph import GNode
from ..ir.node import OpClass
from ..kernel.ir import (INDEXED, INNER, OUTER, Buffer, Kernel, Section, in_row_blocks,
                         is_stream, row_block)
from ..kernel.sums import CASCADE, DEEP, PLAIN, accumulator, along, column_border, order_of
from .group import COLUMN, FULL, LOOKUPS, ROW, Group, Grouping, operands, spread, take_step
from .inline import DEAR, compose
from .sizes import Table, stride_class, union

#: a full value whose recomputation costs more than this is kept between passes
KEEP_COST = 6
#: lanes a row of scratch memory has when lanes run along an outer axis
SCRATCH_LANES = 64


class Step(NamedTuple):
    """A kernel with its arguments.

    Attributes:
        kernel: the kernel.
        words: the argument block; pointers are 0 here.
        pointers: ``(word, root, byte offset)``: where addresses go. A root is a record number,
            ``~record`` for the parts of a divided reduction, None for scratch memory.
        scratch: bytes of scratch memory for each chunk.
        units: the most chunks that make sense.
        work: elements times members, for choosing the number of chunks.
    """

    kernel: Kernel
    words: list[int]
    pointers: list[tuple[int, int | None, int]]
    scratch: int
    units: int
    work: int


def build(g: Grouping, group: Group, late: frozenset[int] | set[int] = frozenset()) -> Step:
    """The kernel of a loop group; values in ``late`` are stored after everything was loaded."""
    return Builder(g, group, late).finish()


class Builder:
    """Builds one loop group's kernel; the steps of the work are its methods, in order."""

    def __init__(self, g: Grouping, group: Group, late: frozenset[int] | set[int]):
        self.late = late
        self.after: list[tuple] = []
        self.g, self.graph, self.group = g, g.graph, group
        self.nodes = g.graph.nodes
        self.combining = bool(group.members) and group.members[0] in g.partial \
            and g.partial[group.members[0]] is not group
        self._axes()
        self.buffers: list[tuple] = []  # (dtype name, steps, role, root, byte offset)
        self.buffer_of = Table()
        self.take_steps: dict[int, int] = {}
        self.values = 0
        self.rows: list[list[tuple]] = []
        self.loops: list[list[tuple]] = []
        self.row_value: dict = {}
        self._passes()
        self._emit()

    # -- axes ------------------------------------------------------------------------------------

    def _axes(self) -> None:
        """Refined axes: outer ones, then inner ones, each (domain step, size, row step)."""
        group = self.group
        steps = sorted(union(group.breaks, (1,)))
        inner = group.inner or ()
        self.outer: list[tuple[int, int]] = []
        self.inner: list[tuple[int, int]] = []
        self.row_axes: list[tuple[int, int]] = []
        row = 1
        for k, step in enumerate(steps):
            size = (steps[k + 1] if k + 1 < len(steps) else group.total) // step
            if any(first <= step < first * n for first, n in inner):
                self.inner.append((step, size))
            else:
                self.outer.append((step, size))
                self.row_axes.append((row, size))
                row *= size
        for axes in (self.outer, self.inner, self.row_axes):
            axes.reverse()
        both = self.outer + self.inner
        self.by_step = sorted(range(len(both)), key=lambda k: -both[k][0])
        self.sorted_axes = [both[k] for k in self.by_step]

    def steps_of(self, a: Access, level: int) -> tuple[int, ...]:
        """Steps of an access along all axes, outer ones first."""
        if level == ROW:
            return (*spread(a.shape, a.strides, self.row_axes), *[0] * len(self.inner))
        found = spread(a.shape, a.strides, self.sorted_axes)
        out = [0] * len(found)
        for k, s in zip(self.by_step, found, strict=True):
            out[k] = s
        return tuple(out)

    def level(self, i: int) -> int:
        return self.group.level[i]

    # -- passes ----------------------------------------------------------------------------------

    def _fold_source(self, i: int) -> Access:
        if self.combining and i in self.g.partial:
            shape = (self.group.total // self.group.rows, self.group.rows)
            return Access(~i, shape, sh.contiguous_strides(shape), 0, True)
        return operands(self.g, i)[0]

    def is_fold(self, i: int) -> bool:
        return self.nodes[i].prim.cls is OpClass.REDUCE

    def is_mine(self, root: int) -> bool:
        """Whether a root's value is computed in this group (and complete)."""
        return root >= 0 and self.g.computes(self.group, root)

    def _passes(self) -> None:
        """When each member is computed first, in which passes it is wanted, what is kept."""
        ready: dict[int, int] = {}
        cost: dict[int, int] = {}
        for i in self.group.members:
            if self.is_fold(i):
                a = self._fold_source(i)
                ready[i] = (ready[a.root] if self.is_mine(a.root) else 0) + 1
                cost[i] = 0
                continue
            when, price = 0, 20 if self.nodes[i].prim.name in DEAR else 1
            for a in operands(self.g, i):
                if self.is_mine(a.root):
                    when = max(when, ready[a.root])
                    price += cost[a.root]
                else:
                    price += self.g.inline.get(a.root, 1)
            ready[i], cost[i] = when, price if self.level(i) == FULL else 0
        self.ready = ready
        self.count = 1 + max(ready.values(), default=0)
        wanted = dict.fromkeys(self.group.members, 0)
        self.kept: set[int] = set()
        for i in reversed(self.group.members):
            if self.is_fold(i):
                a = self._fold_source(i)
                if self.is_mine(a.root):
                    wanted[a.root] |= 1 << ready[a.root]
                continue
            if i in self.g.stored:
                wanted[i] |= 1 << ready[i]
            if self.level(i) == ROW:
                continue
            mask = wanted[i]
            if mask & (mask - 1) and (i in self.g.stored or cost[i] > KEEP_COST):
                self.kept.add(i)
                mask &= -mask
            for a in operands(self.g, i):
                if self.is_mine(a.root) and self.level(a.root) == FULL:
                    wanted[a.root] |= mask
        self.wanted = wanted

    # -- instructions ----------------------------------------------------------------------------

    def buffer(self, dtype: str, steps: tuple[int, ...], role: str, root: int | None,
               offset: int) -> int:
        key = (dtype, steps, role, root, offset)
        found = self.buffer_of.get(key)
        if found is None:
            found = len(self.buffers)
            self.buffer_of[key] = found
            self.buffers.append(key)
        return found

    def value(self) -> int:
        self.values += 1
        return self.values - 1

    def dtype_of(self, root: int) -> dt.dtype:
        return accumulator(self.nodes[~root].dtype) if root < 0 else self.nodes[root].dtype

    def load(self, a: Access, level: int, at: int, cache: dict) -> int:
        """The value of an access to memory, loaded in pass ``at``."""
        steps = self.steps_of(a, level)
        d = self.dtype_of(a.root)
        n = self.buffer(d.name, steps, "in", a.root, a.offset * d.itemsize)
        return self.load_buffer(n, at, cache)

    def load_buffer(self, n: int, at: int, cache: dict) -> int:
        """A buffer's value; one that does not move along inner axes is loaded once a row."""
        moves = any(self.buffers[n][1][len(self.outer):])
        known = cache if moves else self.row_value
        found = known.get(("load", n))
        if found is None:
            found = known["load", n] = self.value()
            (self.loops if moves else self.rows)[at].append(("load", found, n))
        return found

    def operand(self, a: Access, level: int, at: int, cache: dict) -> int:
        """The value an access reads, at a member's level, in pass ``at``."""
        if a.root in self.g.inline:
            return self.inlined(a.root, (a,), level, at, cache)
        if not self.is_mine(a.root):
            return self.load(a, level, at, cache)
        root = a.root
        if self.level(root) == ROW or not self.loop_level:
            return self.row_value[root]
        found = cache.get(root)
        if found is None:  # kept from an earlier pass
            found = cache[root] = self.load_buffer(self.kept_in(root), at, cache)
        return found

    def inlined(self, root: int, views: tuple[Access, ...], level: int, at: int,
                cache: dict) -> int:
        """The value of an inlined record, read through views."""
        known = cache.setdefault("inlined", Table())
        found = known.get((root, level, views))
        if found is not None:
            return found
        node, srcs = self.nodes[root], []
        for b in operands(self.g, root):
            if b.root in self.g.inline:
                srcs.append(self.inlined(b.root, (b, *views), level, at, cache))
            else:
                srcs.append(self.load(self.seen(b, views), level, at, cache))
        body = self.loops[at] if level == FULL and self.loop_level else self.rows[at]
        v = self.instruction(node, tuple(srcs), views, level, at, cache, body)
        known[root, level, views] = v
        return v

    def seen(self, a: Access, views: tuple[Access, ...]) -> Access:
        found = compose(a, views)
        assert found is not None, "an inlined expression was chosen whose views do not compose"
        return found

    def kept_in(self, i: int) -> int:
        """The buffer that keeps a full value between passes."""
        if i in self.g.stored:
            return self.store_buffer(i, FULL)
        return self.buffer(self.nodes[i].dtype.name, self.inner_steps(), "scratch", i, 0)

    def inner_steps(self) -> tuple[int, ...]:
        """Steps of memory that holds one row."""
        sizes = [n for _, n in self.inner]
        return (*[0] * len(self.outer), *sh.contiguous_strides(sizes))

    def store_buffer(self, i: int, level: int) -> int:
        node = self.nodes[i]
        a = Access(i, node.shape, sh.contiguous_strides(node.shape), 0, True)
        return self.buffer(node.dtype.name, self.steps_of(a, level), "out", i, 0)

    def _emit(self) -> None:
        self.loop_level = self.group.inner is not None
        self.rows = [[] for _ in range(self.count)]
        self.loops = [[] for _ in range(self.count)]
        # a divided reduction's complete value is stored by another group
        stored = self.g.stored if self.group.parts == 1 else ()
        for at in range(self.count):
            cache: dict = {}
            for i in self.group.members:
                fold = self.is_fold(i)
                if not fold and (self.level(i) == ROW or not self.loop_level):
                    if self.ready[i] == at:
                        self.compute(i, at, self.rows[at], self.row_value)
                elif fold:
                    if self.ready[i] == at + 1:
                        self.fold(i, at, cache)
                    elif self.ready[i] == at and i in stored and self.level(i) == ROW:
                        self.rows[at].append(("store", self.store_buffer(i, ROW),
                                              self.row_value[i]))
                elif self.wanted[i] >> at & 1:
                    if i in self.kept and self.wanted[i] & ((1 << at) - 1):
                        continue
                    self.compute(i, at, self.loops[at], cache)

        self.rows[-1].extend(self.after)

    def compute(self, i: int, at: int, body: list, cache: dict) -> None:
        node, level = self.nodes[i], self.level(i)
        if node.prim.name in LOOKUPS:
            lookup = self.take(i, level, at, cache)
            body.append(lookup)
            self.computed(i, lookup[1], at, body, cache)
            return
        srcs = tuple(self.operand(a, level, at, cache) for a in operands(self.g, i))
        if node.prim.cls is OpClass.VIEW or node.prim.name == "copy":
            v = srcs[0]
        else:
            v = self.instruction(node, srcs, (), level, at, cache, body)
        self.computed(i, v, at, body, cache)

    def take(self, i: int, level: int, at: int, cache: dict) -> tuple:
        """The instruction of a lookup."""
        index, table = operands(self.g, i)
        position = self.operand(index, level, at, cache)
        dtype, step = self.nodes[i].dtype, take_step(self.g, i)
        key = (dtype.name, self.steps_of(table, level), "take", table.root,
               table.offset * dtype.itemsize)
        n = self.buffer_of.get((*key, step))
        if n is None:
            n = len(self.buffers)
            self.buffer_of[*key, step] = n
            self.buffers.append(key)
            self.take_steps[n] = step
        return "take", self.value(), n, position

    def computed(self, i: int, v: int, at: int, body: list, cache: dict) -> None:
        """Note a member's value and store it where it is wanted."""
        level = self.level(i)
        cache[i] = v
        if i in self.g.stored and self.ready[i] == at:
            to = self.after if i in self.late else body
            to.append(("store", self.store_buffer(i, level), v))
        if i in self.kept and i not in self.g.stored:
            body.append(("store", self.kept_in(i), v))

    def instruction(self, node: GNode, srcs: tuple[int, ...], views: tuple[Access, ...],
                    level: int, at: int, cache: dict, body: list) -> int:
        """Write the operation of a record read through views."""
        name, params = node.prim.name, node.params
        if name in INDEXED:  # its parameters are sizes, which are no part of code
            params = (None,) * len(params)
            a = self.seen(Access(0, node.shape, sh.contiguous_strides(node.shape), 0, True), views)
            n = self.buffer("int64", self.steps_of(a, level), "index", None, a.offset)
            srcs += (self.load_buffer(n, at, cache),)
        v = self.value()
        body.append(("op", v, name, params, srcs, node.dtype.name))
        return v

    def fold(self, i: int, at: int, cache: dict) -> None:
        node = self.nodes[i]
        src = self.operand(self._fold_source(i), FULL, at, cache)
        if self.level(i) == COLUMN:
            d = accumulator(node.dtype)
            n = self.buffer(d.name, self.inner_steps(), "column", ~i, 0)
            self.loops[at].append(("column", n, node.prim.name, src, d.name))
            return
        if self.order() in (CASCADE, DEEP) and self.lanes_along() == OUTER:
            self._order_columns(at, cache)
        v = self.row_value[i] = self.value()
        d = accumulator(node.dtype)
        self.loops[at].append(("fold", v, node.prim.name, src, d.name))
        if self.group.parts > 1:
            root = ~i
            shape = (self.group.rows,)
            a = Access(root, shape, (1,), 0, True)
            n = self.buffer(d.name, self.steps_of(a, ROW), "out", root, 0)
            self.rows[at + 1].append(("store", n, v))
        elif d is not node.dtype:
            w = self.row_value[i] = self.value()
            self.rows[at + 1].append(("op", w, "cast", (node.dtype,), (v,), node.dtype.name))

    def _order_columns(self, at: int, cache: dict) -> None:
        """Say which results are cascades and which rows by fours."""
        group = self.group
        columns, border = column_border(group.inner, group.sums)
        a = Access(0, (group.rows // columns, columns), (0, 1 if columns > 1 else 0), -border, True)
        n = self.buffer("int64", self.steps_of(a, ROW), "index", None, a.offset)
        order = ("order", self.load_buffer(n, at, cache))
        if order not in self.loops[at]:
            self.loops[at].append(order)

    def lanes_along(self) -> str:
        """Along which axes vectors lie."""
        group = self.group
        if not group.inner:
            return OUTER
        if group.rows == 1:
            return INNER
        if self.combining:
            return OUTER
        return along(group.inner, group.rows, group.sums)

    def order(self) -> str:
        """The order in which the reductions add up."""
        group = self.group
        if self.combining or not group.inner:
            return PLAIN
        return order_of(self.lanes_along(), group.inner, group.parts, group.sums)

    # -- the kernel ------------------------------------------------------------------------------

    def finish(self) -> Step:
        group = self.group
        split = group.parts > 1
        sizes = [n for _, n in self.outer], [n for _, n in self.inner]
        steps = [list(b[1]) for b in self.buffers]
        outer = merge_axes(sizes[0], steps, 0)
        runs = [step * n for step, n in group.inner or ()]  # the order goes run by run
        apart = {n for n, (step, size) in enumerate(self.inner) if step * size in runs}
        inner = merge_axes(sizes[1], steps, len(outer), apart)
        lanes = self.lanes_along()
        if lanes == OUTER and not outer:
            outer = [1]
            for s in steps:
                s.insert(0, 1)
        sections = []
        for row, loop in zip(self.rows, self.loops, strict=True):
            if row:
                sections.append(Section("row", tuple(row)))
            if loop:
                sections.append(Section("loop", tuple(loop)))
        kernel = Kernel(len(outer), len(inner), lanes, split,
                        self.order(), (), tuple(sections))
        together = 1
        if in_row_blocks(kernel):
            streams = sum(is_stream(b[2], s[len(outer):])
                          for b, s in zip(self.buffers, steps, strict=True))
            together = row_block(kernel, math.prod(inner), streams)
        words: list[int] = [*outer, *inner]
        if split:
            words.append(group.parts)
        buffers, pointers, scratch, ends = [], [], 0, []
        for number, (dtype, _, role, root, offset) in enumerate(self.buffers):
            s = steps[number]
            if role == "scratch" and lanes == OUTER:
                s[len(outer):] = [x * SCRATCH_LANES for x in s[len(outer):]]
                s[len(outer) - 1] = 1
            if split:
                s.insert(0, group.rows if root is not None and root < 0 else 0)
            classes = tuple(map(stride_class, s))
            buffers.append(Buffer(dtype, classes, role))
            if role != "index":
                pointers.append((len(words), None if role == "scratch" else root,
                                 scratch if role == "scratch" else offset))
            words.append(offset if role == "index" else 0)
            words.extend(x for x, c in zip(s, classes, strict=True) if c == 2)
            if role == "scratch":
                each = math.prod(inner) * (SCRATCH_LANES if lanes == OUTER else 1)
                scratch += together * -(-each * dt.BY_NAME[dtype].itemsize // 64) * 64
                ends.append(len(words))
                words.append(0)
            elif role == "take":
                words.append(self.take_steps[number])
            elif role == "column":
                words.append(math.prod(inner) * dt.BY_NAME[dtype].itemsize)
        for at in ends:
            words[at] = scratch
        kernel = kernel._replace(buffers=tuple(buffers))
        units = math.prod(outer) if lanes == INNER else \
            math.prod(outer[:-1]) * -(-outer[-1] // SCRATCH_LANES)
        return Step(kernel, words, pointers, scratch, units * group.parts,
                    group.total * (2 + self.values))


def merge_axes(sizes: list[int], steps: list[list[int]], first: int,
               apart: Collection[int] = ()) -> list[int]:
    """Drop axes of size 1 and merge neighbours that every buffer walks through in one stride, but
    none of the axes numbered in ``apart`` with the one before it.

    ``steps`` (of all axes, this group of axes starting at ``first``) is changed in place.
    """
    out: list[int] = []
    at = first
    for number, n in enumerate(sizes):
        if n == 1:
            for s in steps:
                del s[at]
            continue
        if out and number not in apart and all(s[at - 1] == s[at] * n for s in steps):
            for s in steps:
                del s[at - 1]
            out[-1] *= n
            continue
        out.append(n)
        at += 1
    return out
