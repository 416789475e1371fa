"""Products that are only read transposed are computed transposed.

The gradient of ``x @ w.T`` with respect to ``w`` arrives as ``(x.T @ g).T``: a product, and a
view that walks it against the grain. ``g.T @ x`` is the same numbers in the order they are
wanted; operands of a product may have any strides, so turning them costs nothing.
"""

from __future__ import annotations

from ..ir.node import PRIMS
from ..ir.view import VIEW
from .graph import GNode, Graph


def turn_products(graph: Graph) -> Graph:
    """``view(dot(a, b))`` that exchanges the last two axes becomes ``dot(b.T, a.T)``.

    Applies where nothing else reads the product. Leaves and outputs keep their positions; a graph
    without such a product is returned as it is.
    """
    dot = PRIMS.get("dot")
    found = {}
    users: dict[int, int] = {}
    for n in graph.nodes:
        for s in n.srcs:
            users[s] = users.get(s, 0) + 1
    outputs = set(graph.outputs)
    for i, n in enumerate(graph.nodes):
        if n.prim is VIEW:
            s = n.srcs[0]
            if graph.nodes[s].prim is dot and users[s] == 1 and s not in outputs \
                    and exchanges(n, graph.nodes[s]):
                found[s] = i
    if not found:
        return graph
    views = set(found.values())
    nodes: list[GNode] = []
    origin: list[int] = []
    number: dict[int, int] = {}
    for i, n in enumerate(graph.nodes):
        if i in views:
            number[i] = number[n.srcs[0]]
            continue
        srcs = tuple(number[s] for s in n.srcs)
        if i in found:
            turned = []
            for s in reversed(srcs):
                turned.append(len(nodes))
                nodes.append(_turned(nodes[s], s))
                origin.append(i)
            n = GNode(n.prim, tuple(turned), n.params, graph.nodes[found[i]].shape, n.dtype)
        elif srcs != n.srcs:
            n = GNode(n.prim, srcs, n.params, n.shape, n.dtype, n.layout)
        number[i] = len(nodes)
        nodes.append(n)
        origin.append(i)
    out = Graph(nodes, [number[i] for i in graph.leaves], [number[i] for i in graph.outputs],
                graph.donated, graph.overlaps)
    out.origin, out.from_zero = origin, graph.from_zero
    out.turned = frozenset(number[i] for i in found)
    return out


def exchanges(view: GNode, product: GNode) -> bool:
    """Whether the view is the product with its last two axes exchanged."""
    shape, strides, offset = view.params
    m, n = product.shape[-2:]
    if len(shape) != len(product.shape) or tuple(shape[-2:]) != (n, m) \
            or tuple(strides[-2:]) != (1, n) or shape[:-2] != product.shape[:-2] or offset:
        return False
    step = m * n
    for size, s in zip(reversed(shape[:-2]), reversed(strides[:-2]), strict=True):
        if size != 1 and s != step:
            return False
        step *= size
    return m > 1 and n > 1


def _turned(node: GNode, number: int) -> GNode:
    """A view of a record with its last two axes exchanged."""
    *lead, m, n = node.shape
    strides: list[int] = []
    step = m * n
    for size in reversed(lead):
        strides.insert(0, step)
        step *= size
    shape = (*lead, n, m)
    return GNode(VIEW, (number,), (shape, (*strides, 1, n), 0), shape, node.dtype)
