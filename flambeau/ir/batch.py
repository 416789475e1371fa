"""Batched values: how ``vmap`` adds an axis to every primitive.

Inside ``vmap`` a tensor looks like one example, but its node stands for all of them: a BATCHED node
has the example's shape and holds a *physical* node with one more axis in front. Operations lower to
primitives as always; when a primitive is made of batched operands, it is made of their physical
nodes instead, by a rule that its declaration names (``Prim(batch=...)``) or that its class has.

Each call of ``vmap`` is a *level*, numbered upwards. A value may be batched at several levels; the
latest is the outermost wrapper. What is the same for all examples stays without the axis (a value
is *uniform* when it only counts as batched: gradients by it are still one per example).

Rules: ``rule(prim, parts, shape, params, size) -> physical node (or nodes)``; a part is
(node, whether it has the axis, shape of one example), ``shape`` that of one result.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import NamedTuple

from ..base import shape as sh
from .node import PRIMS, Node, OpClass, Prim, batcher, make, make_many
from .view import broadcast, view


def _escaped(*_):
    raise RuntimeError(
        "vmap: It looks like you're calling .item() on a Tensor, or using it in some "
        "data-dependent control flow or shape. Inside vmap a tensor stands for a whole batch, so "
        "it has no single value: write it with other operations (torch.where instead of if)")


BATCHED = Prim("batched", OpClass.SOURCE, lambda phys, *_: (phys.shape[1:], phys.dtype), _escaped,
               doc="One example of a value that vmap holds for all; params (level, size, uniform).")


class Part(NamedTuple):
    """An operand of a rule."""

    node: Node
    batched: bool
    shape: tuple[int, ...]


class Level:
    """One call of vmap at work."""

    def __init__(self, number: int, size: int, randomness: str):
        self.number, self.size, self.randomness = number, size, randomness


class _State(threading.local):
    def __init__(self):
        self.stack: list[Level] = []


state = _State()


class Count:
    """The latest level, and the level whose function runs now (0: none)."""

    latest = 0
    current = 0


def enter(size: int, randomness: str) -> Level:
    """Begin a level; from the first one on, nodes are made through the rules."""
    if not batcher:
        batcher.extend((_made, _made_many))
    Count.latest += 1
    level = Level(Count.latest, size, randomness)
    state.stack.append(level)
    Count.current = level.number
    return level


def leave(level: Level) -> None:
    """End a level."""
    state.stack.remove(level)
    Count.current = state.stack[-1].number if state.stack else 0


# --- wrapping -------------------------------------------------------------------------------------


def wrap(phys: Node, level: int, size: int, uniform: bool = False) -> Node:
    """The batched node of a physical one (of one example's, when uniform)."""
    node = Node()
    node.prim, node.srcs, node.params = BATCHED, (phys,), (level, size, uniform)
    node.shape = phys.shape if uniform else phys.shape[1:]
    node.dtype, node.value, node.loc = phys.dtype, None, phys.loc
    return node


def levels(node: Node) -> list[int]:
    """The levels at which a node is batched, outermost first."""
    found = []
    while node.prim is BATCHED:
        found.append(node.params[0])
        node = node.srcs[0]
    return found


def bottom(node: Node) -> Node:
    """The node of all examples of all levels."""
    while node.prim is BATCHED:
        node = node.srcs[0]
    return node


def lift(node: Node, level: int, size: int) -> Node:
    """A node as batched at ``level``, the same for all examples unless it is so already."""
    if node.prim is BATCHED and node.params[0] >= level:
        if node.params[0] == level:
            return node
        return wrap(lift(node.srcs[0], level, size), *node.params)
    return wrap(node, level, size, True)


def physical(node: Node, level: int, size: int) -> Node:
    """The node of all examples of ``level``, with the axis in front."""
    if node.prim is BATCHED and node.params[0] >= level:
        inner, (outer, count, uniform) = node.srcs[0], node.params
        if outer > level:  # a later level stays around it
            made = physical(inner, level, size)
            if not uniform:
                made = permuted(made, (1, 0, *range(2, len(made.shape))))
            return wrap(made, outer, count, uniform)
        if not uniform:
            return inner
        node = inner
    return broadcast(node, (size, *node.shape))


def batched(node: Node, level: int, size: int, dim: int) -> Node:
    """A node whose axis ``dim`` holds the examples of ``level``."""
    if node.prim is BATCHED and node.params[0] > level:
        inner, (_, _, uniform) = node.srcs[0], node.params
        return wrap(batched(inner, level, size, dim if uniform else dim + 1), *node.params)
    rest = [d for d in range(len(node.shape)) if d != dim]
    return wrap(permuted(node, (dim, *rest)), level, size)


def with_axis(part: Part, size: int) -> Node:
    """A part's node with the axis in front."""
    return part.node if part.batched else broadcast(part.node, (size, *part.shape))


def reshaped(node: Node, shape) -> Node:
    """The same elements in row-major order."""
    shape = tuple(shape)
    return view(node, shape, sh.contiguous_strides(shape))


def permuted(node: Node, order) -> Node:
    """The axes in another order."""
    strides = node.strides
    return view(node, [node.shape[d] for d in order], [strides[d] for d in order])


# --- making nodes of batched ones -----------------------------------------------------------------


def _parts(srcs, level: int) -> list[Part]:
    out = []
    for s in srcs:
        if s.prim is BATCHED and s.params[0] == level:
            out.append(Part(s.srcs[0], not s.params[2], s.shape))
        else:
            out.append(Part(s, False, s.shape))
    return out


def _latest(srcs) -> Node | None:
    found = None
    for s in srcs:
        if s.prim is BATCHED and (found is None or s.params[0] > found.params[0]):
            found = s
    return found


def _made(prim: Prim, srcs, params, shape) -> Node | None:
    """What ``make`` gives for batched operands; None when there are none."""
    top = _latest(srcs)
    if top is None:
        return None
    level, size, _ = top.params
    parts = _parts(srcs, level)
    if not any(p.batched for p in parts):
        return wrap(make(prim, tuple(p.node for p in parts), params), level, size, True)
    return wrap(_rule(prim)(prim, parts, tuple(shape), params, size), level, size)


def _made_many(prim: Prim, srcs, params, shape) -> tuple[Node, ...] | None:
    """The same for ``make_many``."""
    top = _latest(srcs)
    if top is None:
        return None
    level, size, _ = top.params
    parts = _parts(srcs, level)
    if not any(p.batched for p in parts):
        made = make_many(prim, tuple(p.node for p in parts), params)
        return tuple(wrap(n, level, size, True) for n in made)
    made = _rule(prim)(prim, parts, tuple(shape), params, size)
    return tuple(wrap(n, level, size) for n in made)


def wrapped_all(node: Node, stack: list[Level]) -> Node:
    """A node whose first axes are those of several levels, as batched at all of them."""
    for x in stack:
        node = wrap(node, x.number, x.size)
    return node


def refuse_or_levels() -> list[Level]:
    """The active levels, outermost first, at which random numbers differ between examples.

    Raises:
        RuntimeError: the innermost forbids random numbers.
    """
    if not state.stack:
        return []
    if state.stack[-1].randomness == "error":
        raise RuntimeError(
            "vmap: called random operation while in randomness error mode. Please either use the "
            "'same' or 'different' randomness flags on vmap or perform the randomness operation "
            "out of vmap")
    return [x for x in state.stack if x.randomness == "different"]


# --- rules by class -------------------------------------------------------------------------------


def _rule(prim: Prim) -> Callable:
    named = prim.batch
    if callable(named):
        return named
    if named is not None:
        return BY_NAME[named]
    return BY_CLASS.get(prim.cls, each)


def _elementwise(prim, parts, shape, params, size):
    """Operands of no dimensions stay so where they are the same for all; others get the shape."""
    full = (size, *shape)
    nodes = []
    for p in parts:
        if p.batched and p.shape != shape:  # one number per example
            nodes.append(view(p.node, full, (1,) + (0,) * len(shape)))
        elif p.batched or not p.shape and shape:
            nodes.append(p.node)
        else:
            nodes.append(broadcast(p.node, full) if p.shape else p.node)
    return make(prim, tuple(nodes), params)


def _view(prim, parts, shape, params, size):
    (p,) = parts
    shape, strides, offset = params
    return view(p.node, (size, *shape), (math.prod(p.shape), *strides), offset)


def _view_set(prim, parts, shape, params, size):
    base, value = parts
    strides, offset = params
    return make(prim, (with_axis(base, size), with_axis(value, size)),
                ((math.prod(base.shape), *strides), offset))


def leading(prim, parts, shape, params, size):
    """Axes in front are a batch for this primitive anyway."""
    return _make(prim, tuple(with_axis(p, size) for p in parts), params)


def by_axis(prim, parts, shape, params, size):
    """The first parameter counts axes from the front: they stand one further."""
    axis, *rest = params
    axis = tuple(a + 1 for a in axis) if isinstance(axis, tuple) else axis + 1
    return _make(prim, tuple(with_axis(p, size) for p in parts), (axis, *rest))


def folded(prim, parts, shape, params, size):
    """The first axis of every operand and result is a batch: both become one."""
    nodes = []
    for p in parts:
        node = with_axis(p, size)
        nodes.append(reshaped(node, (size * p.shape[0], *p.shape[1:])))
    made = _make(prim, tuple(nodes), params)
    many = isinstance(made, tuple)
    out = tuple(reshaped(n, (size, n.shape[0] // size, *n.shape[1:]))
                for n in (made if many else (made,)))
    return out if many else out[0]


def each(prim, parts, shape, params, size):
    """One call per example: for primitives that have no better rule."""
    made = []
    for b in range(size):
        made.append(_make(prim, tuple(
            view(p.node, p.shape, sh.contiguous_strides(p.shape), b * math.prod(p.shape))
            if p.batched else p.node for p in parts), params))
    cat = PRIMS["cat"]

    def joined(nodes) -> Node:
        return make(cat, tuple(reshaped(n, (1, *n.shape)) for n in nodes), (0,))

    if isinstance(made[0], tuple):
        return tuple(joined(nodes) for nodes in zip(*made, strict=True))
    return joined(made)


def _make(prim, nodes, params):
    """One node or several, as the primitive has results."""
    first = prim.infer(*nodes, *params)[0]
    many = isinstance(first, tuple) and len(first) == 2 and isinstance(first[0], tuple)
    return make_many(prim, nodes, params) if many else make(prim, nodes, params)


BY_CLASS: dict[OpClass, Callable] = {
    OpClass.ELEMENTWISE: _elementwise, OpClass.VIEW: _view, OpClass.EFFECT: _view_set,
    OpClass.REDUCE: by_axis, OpClass.SCAN: by_axis}
BY_NAME = {"elementwise": _elementwise, "leading": leading, "axis": by_axis, "folded": folded}
