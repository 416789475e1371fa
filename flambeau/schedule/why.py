"""What was grouped, and why two nodes were not: the text behind ``FLAMBEAU_DEBUG=2``."""

from __future__ import annotations

from ..graph.text import record_text
from .compile import Schedule
from .group import ROW, Group


def groups_text(schedule: Schedule) -> str:
    """Each group with its members, where results live, and why members did not join others."""
    g, graph = schedule.grouping, schedule.graph
    reasons: dict[int, list[str]] = {}
    for i, group, reason in g.reasons or ():
        reasons.setdefault(i, []).append(f"not with group {group.order}: {reason}")
    lines = []
    for e in schedule.entries:
        lines.append(_head(e.group, e.chunks))
        for i in e.group.members:
            row = "row " if e.group.kind == "loop" and e.group.level[i] == ROW else ""
            place = schedule.place.get(i)
            mine = g.group_of[i] is e.group
            where = f"  -> {place[0]} {place[1]}" if place is not None and mine else ""
            if g.partial.get(i) is e.group and not mine:
                where = "  -> parts"
            lines.append(f"    {row}{record_text(i, graph.nodes[i])}{where}")
        for why in reasons.get(e.group.members[0], ()):
            lines.append(f"    ({why})")
    lines.append(f"arena {schedule.arena} bytes, {len(schedule.entries)} entries")
    return "\n".join(lines)


def _head(group: Group, chunks: int) -> str:
    text = f"group {group.order} {group.kind}: {group.total} elements"
    if group.inner is not None:
        text += f", {group.rows} rows"
    if group.parts > 1:
        text += f", {group.parts} parts"
    return text + (f", {chunks} chunks" if chunks > 1 else "")


def why_not(schedule: Schedule, record: int) -> list[str]:
    """Why a record is not in the groups it might have joined (``explain`` must have been set)."""
    return [f"group {group.order}: {reason}" for i, group, reason in
            schedule.grouping.reasons or () if i == record]
