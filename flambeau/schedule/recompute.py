"""Cheap values that several groups read: computed again instead of written and read back.

A value such as ``x - mean`` is a member of the group that needs it first. Where other groups read
it too, it would have to be stored, which costs more than its one or two operations on values that
are in memory anyway. So each reader gets a copy of it (``Group.again``), and where nobody reads the
stored value any more, it is not a member of its first group either.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..graph.access import Access
from .group import FULL, MAX_MEMBERS, Group, operands
from .inline import DEAR, LIMIT

if TYPE_CHECKING:
    from .walk import _Walk

#: smaller values stay in the nearest cache
LEAST_BYTES = 1 << 14
#: a value with this part of the elements of another counts as small beside it
SMALL = 8


class _Recompute:
    """One pass over all groups.

    Attributes:
        readers: for each value that other groups read as it lies, those groups.
        fixed: values that must be in memory whatever becomes of their readers.
        memory: for each loop group (by number) the roots it reads.
        again: values that are computed again by all their readers.
    """

    def __init__(self, walk: _Walk, compiled: set[int]):
        self.walk, self.g, self.compiled = walk, walk.g, compiled
        self.nodes = walk.graph.nodes
        self.readers: dict[int, list[Group]] = {}
        self.fixed = set(walk.graph.outputs)
        self.memory: dict[int, set[int]] = {}
        self.again: set[int] = set()
        donated = walk.graph.donated
        self.overwritten = {walk.graph.leaves[p] for p in donated}

    def run(self) -> None:
        """Decide, and change the groups."""
        for group in self.g.groups:
            self._note(group)
        for i in sorted(self.readers):
            self._decide(i)
        if self.again:
            for group in self.g.groups:
                self._clean(group)
            self.g.groups = [group for group in self.g.groups if group.members]

    def _note(self, group: Group) -> None:
        """Who reads what."""
        g, loop = self.g, group.kind == "loop"
        memory = self.memory.setdefault(group.order, set())
        for i in group.members:
            if g.partial.get(i) is not None and g.group_of[i] is group:
                continue  # folds parts
            for a in operands(g, i):
                for b in self.walk.behind(a):
                    memory.add(b.root)
                home = g.group_of[a.root]
                if home is None or home is group:
                    continue
                if loop and group.level[i] == FULL and (a.plain or self.walk.same(group, a)):
                    found = self.readers.setdefault(a.root, [])
                    if not found or found[-1] is not group:
                        found.append(group)
                else:
                    self.fixed.add(a.root)

    def _decide(self, i: int) -> None:
        """Let all readers compute value ``i``, if that is cheaper than to store it."""
        node, groups = self.nodes[i], self.readers[i]
        bytes_each = node.dtype.itemsize
        if i in self.fixed or node.numel() * bytes_each < LEAST_BYTES:
            return
        expression = self._expression(i, LIMIT)
        if expression is None:
            return
        members, full = expression
        added = sum(self.nodes[root].dtype.itemsize
                    for group in groups for root in full - self.memory[group.order])
        if added >= bytes_each * (1 + len(groups)):
            return
        if all(self._takes(group, members) for group in groups):
            self.again.add(i)
            for group in groups:
                self._insert(group, members)

    def _expression(self, i: int, limit: int) -> tuple[list[int], set[int]] | None:
        """The records to compute for ``i`` and the large values they read from memory; None if that
        is not cheap or some operand is not in memory."""
        g, node = self.g, self.nodes[i]
        home = g.group_of[i]
        if i not in self.compiled or i in g.lookups or node.prim.name in DEAR or limit < 1 \
                or home is None or home.level[i] != FULL:
            return None
        members, full = [i], set()
        for a in operands(g, i):
            if g.inline.get(a.root, 0) > LIMIT:
                return None
            for b in self.walk.behind(a):
                if b.root in self.overwritten:
                    return None
                if self._large(b, node.numel()):
                    full.add(b.root)
            if self._stored(a, home, node.numel()):
                continue
            inner = self._expression(a.root, limit - len(members)) \
                if a.plain or self.walk.same(home, a) else None
            if inner is None:
                return None
            members = [*dict.fromkeys([*inner[0], *members])]
            full = full - {a.root} | inner[1]
        return (members, full) if len(members) <= limit else None

    def _large(self, a: Access, size: int) -> bool:
        """Whether a read touches many elements, for a value of ``size`` elements."""
        return SMALL * math.prod(n for n, s in zip(a.shape, a.strides, strict=True) if s) > size

    def _stored(self, a: Access, home: Group, size: int) -> bool:
        """Whether an operand is in memory, or small enough to be put there."""
        root = a.root
        if self.nodes[root].is_leaf or root in self.g.inline or root in self.fixed:
            return True
        if root in self.readers and root not in self.again:
            return True
        return not self._large(a, size)

    def _takes(self, group: Group, members: list[int]) -> bool:
        """Whether a group's loops can compute some records."""
        if len(group.members) + len(members) > MAX_MEMBERS:
            return False
        for i in members:
            if not group.fits(self.nodes[i].shape, FULL, False):
                return False
            for a in operands(self.g, i):
                if a.root in members:
                    continue
                if self.g.group_of[a.root] is group:
                    if self.walk.mismatch(group, a, FULL):
                        return False
                elif not all(group.merges(b) for b in self.walk.behind(a)):
                    return False
        return True

    def _insert(self, group: Group, members: list[int]) -> None:
        for i in members:
            if i in group.level:
                continue
            group.fits(self.nodes[i].shape, FULL, True)
            group.level[i] = FULL
            group.again.add(i)
            group.members.append(i)
            for a in operands(self.g, i):
                self.memory[group.order].update(b.root for b in self.walk.behind(a))
                if not self.g.computes(group, a.root):
                    self.fixed.add(a.root)
        group.members.sort()

    def _clean(self, group: Group) -> None:
        """Drop members that nobody reads any more."""
        if group.kind not in ("loop", "dot"):
            return
        g, kept = self.g, []
        used: set[int] = set()
        for i in reversed(group.members):
            wanted = i in used or i in self.fixed or i not in self.compiled \
                or i in self.readers and i not in self.again and i not in group.again
            if wanted:
                kept.append(i)
                used.update(a.root for a in operands(g, i))
            else:
                del group.level[i]
        group.members = kept[::-1]


def recompute(walk: _Walk, compiled: set[int]) -> None:
    """Let groups compute cheap values again instead of reading them from other groups.

    Args:
        walk: which made the groups.
        compiled: records that kernels can compute elementwise.
    """
    _Recompute(walk, compiled).run()
