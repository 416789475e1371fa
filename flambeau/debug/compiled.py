"""A table of what this process compiled."""

from __future__ import annotations

from collections import Counter

from ..runtime import execute
from ..runtime.jit import stats
from ..runtime.plan import Plan

_HEAD = ("line", "ops", "loops", "products", "numpy steps", "memory", "dearest members")


def compiled() -> str:
    """The plans of this process, one row each: the program's line, operations and kernels.

    A plan is what one flush runs: the operations recorded between two reads of a value. Columns:
    the line that recorded its last operation, how many operations, into how many loop kernels,
    matrix products and NumPy steps they went, the bytes of intermediate values, and the primitives
    of its largest kernel.
    """
    rows = [_row(plan) for plan in list(execute._plans.values()) if isinstance(plan, Plan)]
    if not rows:
        return "nothing was compiled: no sequence of operations came twice"
    widths = [max(len(r[i]) for r in [_HEAD, *rows]) for i in range(len(_HEAD))]
    lines = ["  ".join(text.ljust(w) for text, w in zip(r, widths, strict=True)).rstrip()
             for r in [_HEAD, *rows]]
    return "\n".join([*lines, f"{len(rows)} plans; kernels: {stats}"])


def line_of(plan: Plan) -> str:
    """The program's line that recorded the plan's last operation."""
    for loc in reversed(plan.graph.locs):
        if loc is not None:
            return str(loc)
    return "?"


def _row(plan: Plan) -> tuple[str, ...]:
    entries = plan.schedule.entries
    kinds = Counter(e.kind for e in entries)
    nodes = plan.schedule.graph.nodes  # as scheduled: some plans are of a rewritten graph
    largest = max(entries, key=lambda e: len(e.group.members), default=None)
    members = [] if largest is None else [nodes[i].prim.name for i in largest.group.members]
    text = " ".join(members[:5]) + (f" +{len(members) - 5}" if len(members) > 5 else "")
    return (line_of(plan), str(sum(not n.is_leaf for n in nodes)), str(kinds["loop"]),
            str(kinds["dot"]), str(kinds["host"]), _bytes(plan.schedule.arena), text)


def _bytes(n: int) -> str:
    for unit in ("B", "KB", "MB"):
        if n < 1024:
            return f"{n:.0f} {unit}"
        n /= 1024
    return f"{n:.1f} GB"
