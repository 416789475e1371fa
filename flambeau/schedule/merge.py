"""Groups that walk the same rows one after the other become one.

The walk over the graph puts a record into a group that its operands are in. A reduction of another
array has no such group and starts one; when later values join the two, the second group reads what
the first one stored. Nothing that the second group needs is computed in between, so its members may
as well be the first one's.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from ..ir.node import OpClass
from .group import FULL, MAX_MEMBERS, Group, operands
from .sizes import union

if TYPE_CHECKING:
    from .walk import _Walk


def merge(walk: _Walk) -> None:
    """Join each loop group to the last one it depends on, if both have the same rows."""
    g = walk.g
    gone = []
    for group in g.groups:
        if group.kind == "loop" and group.inner is not None and group.parts == 1 \
                and not any(i in g.partial and g.partial[i] is not group for i in group.members):
            target = _target(walk, group)
            if target is not None:
                _join(walk, group, target)
                gone.append(group)
    if gone:
        g.groups = [group for group in g.groups if group not in gone]


def _target(walk: _Walk, group: Group) -> Group | None:
    """The group that could take all members."""
    g = walk.g
    others = [home for i in group.members for a in operands(g, i)
              if (home := g.group_of[a.root]) is not None and home is not group]
    found = max(others, key=lambda home: home.order, default=None)
    if found is None or found.kind != "loop" or found.inner != group.inner or found.parts > 1 \
            or found.total != group.total or len(found.members) + len(group.members) > MAX_MEMBERS \
            or group.columns and found.columns not in (0, group.columns) \
            or group.sums is not None and found.sums not in (None, group.sums):
        return None
    every = sorted(union(found.breaks, group.breaks))
    if any(y % x for x, y in pairwise(every)):
        return None
    gains = False
    for i in group.members:
        node = walk.graph.nodes[i]
        if i in g.lookups and g.group_of[g.access[node.srcs[0]].root] is found:
            return None  # a table must be complete before it is looked up
        level = FULL if node.prim.cls is OpClass.REDUCE else group.level[i]
        for a in operands(g, i):
            if g.group_of[a.root] is found:
                if walk.mismatch(found, a, level):
                    return None
                gains |= found.level[a.root] == FULL
    return found if gains else None


def _join(walk: _Walk, group: Group, target: Group) -> None:
    """Move all members."""
    g = walk.g
    for i in group.members:
        if g.partial.get(i) is group:
            g.partial[i] = target
        else:
            g.group_of[i] = target
    target.level.update(group.level)
    target.breaks = union(target.breaks, group.breaks)
    target.shapes = union(target.shapes, group.shapes)
    target.columns = target.columns or group.columns
    target.sums = target.sums or group.sums
    target.members = sorted([*target.members, *group.members])
