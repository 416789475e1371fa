"""Flushing: what is pending and still wanted gets its value.

Which pending nodes are wanted is read off reference counts: a node that something other than the
pending list and other pending nodes refers to (a storage, the tape) is an output; a node that no
output needs is never computed. The first time a structure is seen it is interpreted; when it comes
again it is compiled (:mod:`flambeau.schedule`) and the plan is kept.
"""

from __future__ import annotations

import sys
import threading

import numpy as np

from ..base.flags import values as flags
from ..ir import node as ir
from ..ir.node import Node
from . import interpret

lock = threading.RLock()

#: a trace longer than this is cut, at a place that repeats
CAP = 4000
_cut_at: set = set()

#: plans by structural key; the value is a count until the structure repeats
_plans: dict = {}
MAX_PLANS = 512


def wanted(nodes: list[Node]) -> tuple[list[Node], list[bool]]:
    """The nodes to compute, in order, and which of them are outputs.

    References to a node: its place in ``nodes``, one per use as a source, the loop's own name and
    getrefcount's argument; anything beyond is held from outside.
    """
    uses: dict[int, int] = {}
    for node in nodes:
        for s in node.srcs:
            key = id(s)
            uses[key] = uses.get(key, 0) + 1
    needed: set[int] = set()
    out: list[Node] = []
    outer: list[bool] = []
    count = sys.getrefcount
    for i in range(len(nodes) - 1, -1, -1):
        node = nodes[i]
        held = count(node) - 3 - uses.get(id(node), 0) > 0
        if held or id(node) in needed:
            out.append(node)
            outer.append(held)
            for s in node.srcs:
                needed.add(id(s))
    out.reverse()
    outer.reverse()
    return out, outer


def flush() -> None:
    """Compute every pending node that is still wanted."""
    if not ir.pending:
        return
    with lock:
        nodes = ir.pending[:]
        del ir.pending[:len(nodes)]
        try:
            todo, outer = wanted(nodes)
            del nodes
            if todo:
                _run(todo, outer)
        except BaseException:
            # an interrupt or an error loses nothing: what has no value yet stays pending
            ir.pending[:0] = [n for n in todo if n.value is None]
            raise


def _run(todo: list[Node], outer: list[bool]) -> None:
    tier = flags.tier
    if tier == "0":
        interpret.run(todo)
        return
    compiled = None if tier == "auto" else _force
    if compiled is None:
        interpret.run(todo)


def _force(todo, outer):
    raise NotImplementedError


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
