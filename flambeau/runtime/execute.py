"""Flushing: what is pending and still wanted gets its value.

Which pending nodes are wanted is read off reference counts: a node that something other than the
pending list and other pending nodes refers to (a storage, the tape) is an output; a node that no
output needs is never computed. The first time a structure is seen it is interpreted; when it comes
again it is compiled (:mod:`flambeau.schedule`) and the plan is kept.
"""

from __future__ import annotations

import math
import sys
import threading
import weakref
from collections import Counter
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from ..base.flags import values as flags
from ..base.late import late
from ..graph.graph import Graph
from ..ir import node as ir
from ..ir.node import Node, settle
from . import families, interpret, moving
from .outputs import pooled

if TYPE_CHECKING:
    from . import plan as planner
else:
    planner = late(".plan", __package__)

lock = threading.RLock()

#: a trace longer than this is cut, at a place that repeats
CAP = 4000
_cut_at: set = set()

#: plans by structural key
_plans: dict = {}
MAX_PLANS = 512
#: runs of a plan that may end in the interpreter before it is made again, more carefully
MAX_MISFITS = 3
#: structures that were seen once, by the key's hash (two with one hash: one is compiled early)
_seen: dict[int, None] = {}
MAX_SEEN = 4096
#: records and elements of a graph that NumPy runs in a tenth of a millisecond, and how often such a
#: structure comes before it is worth loading the compiler
LIGHT_RECORDS, LIGHT_ELEMENTS, LIGHT_TIMES = 24, 1 << 14, 64
_light: Counter[int] = Counter()
#: the last node of the last backward pass: if the whole is new, what comes after it (the
#: optimizer's update) often is not
seam: weakref.ref[Node] | None = None
#: nodes after the seam that are worth a plan of their own
LEAST_AFTER_SEAM = 24

#: rises with every step (a flush with a backward pass in it) that is new, falls with one that
#: repeats; from RESTLESS on, steps are expected to be new. (Programs with several models have many
#: new steps before all repeats.)
restless = 0
RESTLESS, MOST_RESTLESS = 10, 12

#: storages written since the last flush whose earlier content was a plain value
dirty: list[weakref.ref] = []


_srcs_of = attrgetter("srcs")


def _uses(nodes: list[Node]) -> Counter[int]:
    """How often each node is a source, by id; leaves no reference behind."""
    return Counter(map(id, chain.from_iterable(map(_srcs_of, nodes))))


def wanted(nodes: list[Node]) -> tuple[list[Node], list[bool]]:
    """The nodes to compute, in order, and which of them are outputs.

    References to a node: its place in ``nodes``, one per use as a source, the loop's own name and
    getrefcount's argument; anything beyond is held from outside.
    """
    uses_of = _uses(nodes).get
    needed: set[int] = set()
    out: list[Node] = []
    outer: list[bool] = []
    count = sys.getrefcount
    for node in reversed(nodes):
        key = id(node)
        held = count(node) - 3 - uses_of(key, 0) > 0
        if held or key in needed:
            out.append(node)
            outer.append(held)
            needed.update(map(id, node.srcs))  # leaves no reference behind
    out.reverse()
    outer.reverse()
    return out, outer


#: whether a followed trace has calls whose values are not there yet (see tensor/follow.py)
outstanding = False
#: counts reads and writes of tensors' values outside followed traces: as long as it stands still,
#: nobody else can have got hold of what a followed plan writes over
touches = 0
#: counts flushes outside followed traces: only they make results that are parts of other contents
flushes = 0
#: the trace follower; installed by the tensor layer
follower = None


def flush() -> None:
    """Compute every pending node that is still wanted."""
    if not ir.pending and not outstanding:
        return
    with lock:
        if follower is not None and follower.before_flush():
            return
        compiled = False
        try:
            compiled = flush_pending()
        finally:
            if follower is not None:
                follower.after_flush(compiled)


def steps_vary() -> bool:
    """Whether each step is another one (batches of other sizes): then they are to be flushed at the
    end of their backward pass, so that the update after it, at least, repeats."""
    return restless >= RESTLESS


def flush_pending() -> bool:
    """Compute what is pending, without regard to a followed trace; whether a plan did it.

    An interrupt loses nothing: what has no value yet stays pending. An error (a position out of
    range) drops the work that it belongs to, and memory that was to be written keeps its content.
    """
    global flushes
    if not ir.pending:
        return False
    with lock:
        flushes += 1
        nodes = ir.pending[:]
        del ir.pending[:len(nodes)]
        todo = nodes
        written = _written()
        try:
            todo, outer = wanted(nodes)
            del nodes
            return bool(todo) and _run(todo, outer, written)
        except Exception:
            for storage, before in written:
                if storage.node.value is None:
                    storage.node = before
                    storage.stamp += 1
            raise
        except BaseException:
            ir.pending[:0] = [n for n in todo if n.value is None]
            raise


def _written() -> list[tuple]:
    """The storages written since the last flush, with their content before."""
    refs, dirty[:] = dirty[:], []
    found = []
    for ref in refs:
        storage = ref()
        if storage is not None and storage.prior is not None:
            found.append((storage, storage.prior))
            storage.prior = None
    return found


class Flushed:
    """What the last flush ran, for the recorder: plan (or None), graph, leaves and outputs as
    nodes."""

    __slots__ = ("arrays", "graph", "in_place", "leaves", "outputs", "plan")

    def __init__(self, plan, graph, leaves, outputs, arrays, donated):
        self.plan, self.graph = plan, graph
        self.leaves, self.outputs, self.arrays = leaves, outputs, arrays
        #: outputs that were written over the donated leaf's array (the planner may refuse)
        taken = {id(array) for array in arrays}
        self.in_place = [new for old, new in donated.items() if id(old.value) in taken]


def _run(todo: list[Node], outer: list[bool], written: list[tuple]) -> bool:
    tier = flags.tier
    outputs = [n for n, out in zip(todo, outer, strict=True) if out]
    if tier == "0":
        interpret.run(todo)
        _lay(outputs)
        return False
    given = _donations(todo, outputs, written)
    graph, leaves = Graph.capture(outputs, todo, given)
    plan, again = _plan_for(graph, tier)
    update_is_next = _note_step(todo, again)
    if plan is None:
        _interpret(todo, outer, written)
        _lay(outputs)
        return update_is_next
    plan.user = None
    plan.graph.locs = graph.locs  # the lines of this run, for messages
    arrays = plan.run([n.value for n in leaves])
    if plan.misfits > 0 and not again:
        families.forget(graph)
    if follower is not None and again:
        follower.observe(Flushed(plan, graph, leaves, outputs, arrays, given))
    for node, array in zip(outputs, arrays, strict=True):
        settle(node, array)
    return again or update_is_next


def _lay(outputs: list[Node]) -> None:
    """Let what was interpreted be in memory as a plan gives it: products add up by layout."""
    for node in outputs:
        if not node.value.flags.c_contiguous:
            node.value = np.ascontiguousarray(node.value)


def _note_step(todo: list[Node], again: bool) -> bool:
    """Note whether steps repeat; whether this is a new one that ends with its backward pass."""
    global restless
    last = seam() if seam is not None else None
    if last is None or last not in todo:
        return False
    restless = max(restless - 2, 0) if again else min(restless + 1, MOST_RESTLESS)
    return steps_vary() and todo[-1] is last


def _interpret(todo: list[Node], outer: list[bool], written: list[tuple]) -> None:
    """Run nodes whose structure is new; a known plan may run those after the seam."""
    last = seam() if seam is not None else None
    at = next((i + 1 for i in range(len(todo) - LEAST_AFTER_SEAM) if todo[i] is last), 0)
    interpret.run(todo[:at] if at else todo)
    if not at:
        return
    todo, outer = todo[at:], outer[at:]
    outputs = [n for n, out in zip(todo, outer, strict=True) if out]
    graph, leaves = Graph.capture(outputs, todo, _donations(todo, outputs, written))
    plan, _ = _plan_for(graph, flags.tier)
    if plan is None:
        interpret.run(todo)
        return
    plan.user = None
    plan.graph.locs = graph.locs
    arrays = plan.run([n.value for n in leaves])
    for node, array in zip(outputs, arrays, strict=True):
        settle(node, array)


def _plan_for(graph: Graph, tier: str) -> tuple[planner.Plan | None, bool]:
    """The plan of a graph that repeats, None the first time; and whether it does. A graph that
    differs from earlier ones in its sizes alone has a plan the first time; it is not kept."""
    plan = _plans.get(graph.key)
    if plan is None and tier == "auto" and _COMPILER not in sys.modules and _is_light(graph):
        return None, False
    if plan is None and (moved := moving.plan_of(graph, _plans)) is not None:
        if moved.misfits <= MAX_MISFITS:
            return moved, True
        moving.forget(graph)
    if plan is not None and plan.misfits > MAX_MISFITS:
        graph.from_zero = False
        plan = _plans[graph.key] = planner.compile_graph(graph)
        plan.misfits = -sys.maxsize
    elif plan is None:
        name = hash(graph.key)
        if tier != "1" and name not in _seen:
            while len(_seen) >= MAX_SEEN:
                _seen.pop(next(iter(_seen)))
            _seen[name] = None
            return families.plan_of(graph), False
        while len(_plans) >= MAX_PLANS:
            _plans.pop(next(iter(_plans)))
        plan = families.plan_of(graph) if tier != "1" else None
        plan = _plans[graph.key] = plan or planner.compile_graph(graph)
    return plan, True


_COMPILER = f"{__package__}.plan"


def _is_light(graph: Graph) -> bool:
    """Whether loading the compiler takes longer than running the graph as often as it came."""
    rows = graph.rows
    if len(rows) > LIGHT_RECORDS or flags.debug \
            or sum([math.prod(row[3]) for row in rows]) > LIGHT_ELEMENTS:
        return False
    name = hash(graph.structure)
    _light[name] += 1
    return _light[name] < LIGHT_TIMES and len(_light) <= MAX_SEEN


def plans_made() -> int:
    """How many graphs were compiled so far."""
    return planner.made if _COMPILER in sys.modules else 0


def _donations(todo: list[Node], outputs: list[Node], written: list[tuple]) -> dict[Node, Node]:
    """Leaves whose array the new value of the same storage may take over.

    A leaf qualifies when only ``written``, this function and pending nodes refer to it, and to its
    array only it and views that these nodes read (the planner orders those reads).
    """
    given: dict[Node, Node] = {}
    if not written:
        return given
    results = {id(n) for n in outputs}
    uses = _uses(todo)
    count = sys.getrefcount
    views = {id(s): id(s.value.base) for node in todo for s in node.srcs
             if s.value is not None and s.value.base is not None
             and count(s) - 2 - uses[id(s)] <= 0}  # what others hold, they may read later
    read = Counter(views.values())
    for pair in written:
        old, new = pair[1], pair[0].node
        if old.prim is ir.CONST or id(new) not in results or old.shape != new.shape \
                or old.dtype is not new.dtype:
            continue
        array = old.value
        others = count(old) - 3 - uses[id(old)]
        views_of_others = count(array) - 3 - read[id(array)] - pooled[id(array)]
        if others <= 0 and views_of_others <= 0 and array.base is None \
                and array.flags.writeable and array.flags.c_contiguous:
            given[old] = new
    return given


def look(node: Node) -> np.ndarray:
    """:func:`realize` for an operation that goes on with what it sees: it cannot be followed."""
    if follower is not None and node.prim is not ir.CONST:
        follower.looks()
    return realize(node)


def realize(node: Node) -> np.ndarray:
    """The node's value, running what is pending if it has none yet."""
    if node.value is None:
        flush()
        if node.value is None:
            with lock:  # recorded by nobody's pending list (an error dropped it): run its own graph
                interpret.run(_closure(node))
    return node.value


def _closure(node: Node) -> list[Node]:
    order: list[Node] = []
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(node, False)]
    while stack:
        n, done = stack.pop()
        if done:
            order.append(n)
        elif id(n) not in seen and n.value is None:
            seen.add(id(n))
            stack.append((n, True))
            stack.extend((s, False) for s in n.srcs)
    return order


def maybe_cut() -> None:
    """Flush a long trace where an earlier one was cut, so that the pieces repeat."""
    pending = ir.pending
    loc = pending[-1].loc
    place = (loc.code, loc.lasti) if loc is not None else None
    if place in _cut_at or len(pending) >= 2 * CAP:
        if place is not None:
            _cut_at.add(place)
        flush()


ir.realize = realize
