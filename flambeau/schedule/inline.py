"""Cheap expressions of leaves: computed again wherever they are read, never stored.

``m * beta1``, a comparison with a row of numbers, a cast input: such a record costs less than the
memory it would be stored in, and if it were a member of the group that happens to come first, that
group would be tied to a place in the order. So it belongs to no group; each reader's kernel
contains the expression, through whatever view it reads it by.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..graph.access import Access, through, whole
from ..ir.node import OpClass
from ..kernel.ir import INDEXED
from .group import folds

if TYPE_CHECKING:
    from .group import Grouping

#: operations an inlined expression may have
LIMIT = 3
#: elementwise primitives that cost much more than a multiplication
DEAR = {"exp", "log", "tanh", "sigmoid", "div", "sqrt", "pow", "erf", "gelu",
        "sin", "cos", "expm1", "log1p", "erfinv", "exp2", "log2", "rsqrt", "reciprocal", "atan2",
        "tan", "remainder", "fmod", "floordiv", "truncdiv"}


def find_inline(g: Grouping, computed: list[int], compiled: set[int]) -> dict[int, int]:
    """The records to inline, with what each costs.

    Args:
        computed: records with a value of their own, in order.
        compiled: those that kernels can compute elementwise.
    """
    nodes, outputs = g.graph.nodes, set(g.graph.outputs)
    outputs.update(each.root for each in g.guards)  # these have to be in memory
    cost: dict[int, int] = {}

    def candidates(banned: set[int]) -> dict[int, int]:
        cost.clear()
        for i in computed:
            node = nodes[i]
            if i not in compiled or i in g.lookups or i in outputs or i in banned \
                    or node.prim.name in DEAR or node.prim.cls is OpClass.VIEW:
                continue
            price = 1
            for a in g.reads[i]:
                if not nodes[a.root].is_leaf:
                    price += cost.get(a.root, LIMIT)
            if price <= LIMIT and _composes(g, i, cost):
                cost[i] = price
        return dict(cost)

    found = candidates(set())
    if not found:
        return found
    banned = set()
    for i in computed:
        takes = i in g.reducible or i in compiled and i not in g.lookups
        for a in g.reads[i]:
            if a.root not in found:
                continue
            repeats = found[a.root] > LIMIT and g.graph.nodes[a.root].numel() != nodes[i].numel()
            behind = expand(g, a, found)
            if repeats or not takes or behind is None or i in g.reducible and not all(
                    folds(nodes[i], b) for b in behind):
                banned.add(a.root)
    return candidates(banned) if banned else found


def _composes(g: Grouping, i: int, inline) -> bool:
    """Whether the leaves can be read through the views inside the expression."""
    return all(a.root not in inline or expand(g, a, inline) is not None for a in g.reads[i])


def expand(g: Grouping, a: Access, inline) -> list[Access] | None:
    """The reads of stored values behind a read of an inlined record; None: they do not compose."""
    out = []
    for found in _reads(g, a.root, (a,), inline):
        if found is None:
            return None
        out.append(found)
    return out


def _reads(g: Grouping, root: int, views: tuple[Access, ...], inline) -> Iterator[Access | None]:
    node = g.graph.nodes[root]
    for b in g.reads[root]:
        if b.root in inline:
            yield from _reads(g, b.root, (b, *views), inline)
        else:
            yield compose(b, views)
    if node.prim.name in INDEXED:
        yield compose(whole(root, node.shape), views)


def compose(a: Access, views: tuple[Access, ...]) -> Access | None:
    """A read through one view after another."""
    for v in views:
        if v.plain and v.shape == a.shape:
            continue
        found = through(a, v.shape, v.strides, v.offset)
        if found is None:
            return None
        a = found
    return a
