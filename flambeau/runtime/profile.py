"""Times of kernels, for ``FLAMBEAU_DEBUG=1``: every row of a plan is run and timed by itself.

A table with the dearest kernels of all plans is printed to stderr when the process ends.
"""

from __future__ import annotations

import atexit
import sys
import time
from typing import TYPE_CHECKING

from ..graph.graph import Graph
from ..schedule.compile import Entry
from . import team

if TYPE_CHECKING:
    from .plan import Plan

_plans: list[Plan] = []
_TOP = 40
#: the name of a row that ends a run when a check failed
STOP = "stop"


def name(graph: Graph, e: Entry) -> str:
    """What a row does: kind, primitives and the size of its domain."""
    found = [graph.nodes[i].prim.name for i in e.group.members]
    listed = " ".join(found[:6]) + (" .." if len(found) > 6 else "")
    shape = list(graph.nodes[e.group.members[0]].shape)
    return f"{e.kind} {e.group.order}: {listed} {shape} of {e.group.total}"


def _note(plan: Plan, key: str, seconds: float) -> None:
    if not plan.times:
        _plans.append(plan)
    entry = plan.times.setdefault(key, [0.0, 0])
    entry[0] += seconds
    entry[1] += 1


def _print_report() -> None:
    if _plans:
        print(report(), file=sys.stderr)


atexit.register(_print_report)


def forget(plans: list[Plan]) -> None:
    """Leave plans out of the table at exit: their times were shown already."""
    _plans[:] = [p for p in _plans if p not in plans]


def rows(plan: Plan, segment: int, table: int, count: int) -> None:
    """Run the rows of a segment one by one."""
    names = plan.row_names[segment][-count:]
    for k, made_of in enumerate(names):
        if isinstance(made_of, str):
            key = made_of
        else:
            key = ("" if made_of[0] is plan.schedule.graph else "check: ") + name(*made_of)
        begin = time.perf_counter()
        team.run(table + 24 * k, 1)
        if key == STOP:
            if plan.stopped():
                return
            continue
        _note(plan, key, time.perf_counter() - begin)


def host(plan: Plan, step, state) -> None:
    """Run a host step."""
    begin = time.perf_counter()
    step.run(state)
    node = plan.schedule.graph.nodes[step.record]
    _note(plan, f"host: {node.prim.name} {list(node.shape)}", time.perf_counter() - begin)


def report() -> str:
    """The dearest kernels of each plan that ran, in microseconds per call."""
    lines = []
    for n, plan in enumerate(_plans):
        total = sum(s for s, _ in plan.times.values())
        lines.append(f"plan {n}: {len(plan.graph)} records, {total * 1e3:.2f} ms in all calls")
        ordered = sorted(plan.times.items(), key=lambda x: -x[1][0])
        for key, (seconds, calls) in ordered[:_TOP]:
            lines.append(f"  {seconds / calls * 1e6:10.1f} us x{calls:<5d} {key}")
    return "\n".join(lines)
