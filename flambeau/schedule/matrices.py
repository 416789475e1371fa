"""How matrix products read their operands.

A product takes any strides for rows and columns and two batch axes. So an operand that is a
reshaped view of a permuted array, such as attention's heads, can often be read in place although
no single stride per axis of its own shape describes it: its batch axis falls into two.
"""

from __future__ import annotations

from itertools import pairwise

from ..base import shape as sh
from ..graph.access import Access
from ..graph.graph import GNode, Graph
from ..graph.transposed import exchanges
from ..ir.node import OpClass
from .group import DOT_DTYPES, spread
from .sizes import union

#: (row stride, column stride, batch axes as (size, stride), outermost first)
Strides = tuple[int, int, tuple[tuple[int, int], ...]]


def multiplied(graph: Graph, i: int) -> bool:
    """Whether the matrix kernels can compute this record."""
    node = graph.nodes[i]
    if node.prim.name != "dot" or node.dtype.name not in DOT_DTYPES or 0 in node.shape:
        return False
    return all(0 not in graph.nodes[s].shape
               and sum(n != 1 for n in graph.nodes[s].shape[:-2]) <= 1 for s in node.srcs)


def adjacent(graph: Graph, i: int) -> bool:
    """Whether the program's operands of product ``i`` have neighbours along k. The order in which
    a product adds up may depend on it (not on how a plan happens to read the operands)."""
    a, b = graph.nodes[i].srcs
    if i in graph.turned:  # these are transposed views of the operands
        a, b = graph.nodes[b].srcs[0], graph.nodes[a].srcs[0]
    return _strides(graph, a)[-1] == _strides(graph, b)[-2] == 1


def _strides(graph: Graph, i: int) -> tuple[int, ...]:
    """Strides of the array that the program's operand is."""
    node = graph.nodes[i]
    if node.prim.cls is OpClass.VIEW:
        return node.params[1]
    strides = node.layout or sh.contiguous_strides(node.shape)
    if i in graph.turned:  # a view that exchanges the axes of the product that the program makes
        return (*strides[:-2], 1, node.shape[-2])
    return strides


def readable(graph: Graph, i: int, a: Access, b: Access) -> bool:
    """Whether the operands can be read in the order that the product adds up in."""
    if not adjacent(graph, i):
        return True
    node = graph.nodes[i]
    k = graph.nodes[node.srcs[0]].shape[-1]
    first, second = strides_of(a, node.shape[-2], k), strides_of(b, k, node.shape[-1])
    return k == 1 or (first is not None and second is not None and first[1] == second[0] == 1)


def strides_of(a: Access, rows: int, columns: int) -> Strides | None:
    """Strides by which a product can read a [.., rows, columns] operand; None if it cannot."""
    total = sh.numel(a.shape)
    steps, step = [1, columns, rows * columns], 1
    for n in reversed(a.shape):
        steps.append(step)
        step *= n
    ordered = sorted(x for x in union(steps) if x < total or x == 1)
    if any(y % x for x, y in pairwise(ordered)):
        return None
    axes = [(x, y // x) for x, y in zip(ordered, [*ordered[1:], total], strict=True)]
    axes.reverse()
    found: list[list[tuple[int, int]]] = [[], [], []]
    for (at, size), s in zip(axes, spread(a.shape, a.strides, axes), strict=True):
        if size == 1:
            continue
        part = found[2 if at < columns else 1 if at < rows * columns else 0]
        if part and part[-1][1] == s * size:
            part[-1] = (part[-1][0] * size, s)
        else:
            part.append((size, s))
    batch, row, column = found
    if len(batch) > 2 or len(row) > 1 or len(column) > 1:
        return None
    return (row[0][1] if row else 0), (column[0][1] if column else 0), tuple(batch)


class Refiner:
    """Finds operands that products can read in place (see the module's text).

    Attributes:
        found: for a view that only products read, how they read it.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.outputs = set(graph.outputs)
        self.found: dict[int, Access] = {}
        self._users: list[list[int]] | None = None
        self._batch: dict[int, int] = {}  # product -> size of the faster batch axis

    def refine(self, i: int, inner: Access) -> bool:
        """Try to read view ``i`` of ``inner`` in place; notes it in ``found``."""
        node = self.graph.nodes[i]
        shape, strides, offset = node.params
        total = sh.numel(shape)
        if len(shape) < 2 or total != sh.numel(inner.shape) \
                or not sh.is_contiguous(shape, strides) or offset or not self._only_products(i):
            return False
        steps, step = [1], 1
        for sizes in (shape, inner.shape):
            step = 1
            for n in reversed(sizes):
                steps.append(step)
                step *= n
        ordered = sorted(x for x in union(steps) if x < total or x == 1)
        if any(y % x for x, y in pairwise(ordered)):
            return False
        axes = [(x, y // x) for x, y in zip(ordered, [*ordered[1:], total], strict=True)]
        axes.reverse()
        refined = Access(inner.root, tuple(n for _, n in axes),
                         tuple(spread(inner.shape, inner.strides, axes)), inner.offset, False)
        as_read = strides_of(refined, *shape[-2:])
        if as_read is None or (as_read[1] != 1 and shape[-1] > 1) or not self._agree(i, as_read):
            return False
        self.found[i] = refined
        return True

    def exchanged(self, i: int) -> bool:
        """Note a view that exchanges the last two axes of a view read in place."""
        node = self.graph.nodes[i]
        src = node.srcs[0]
        inner = self.found.get(src)
        if inner is None:
            return False
        rows, columns, batch = strides_of(inner, *self.graph.nodes[src].shape[-2:])
        m, n = node.shape[-2:]
        self.found[i] = Access(inner.root, (*(size for size, _ in batch), m, n),
                               (*(s for _, s in batch), columns, rows), inner.offset, False)
        return True

    def _only_products(self, i: int) -> bool:
        """Whether all that reads ``i`` is products, or its transpose for products."""
        if self._users is None:
            self._users = self.graph.users()
        users = self._users[i]
        return i not in self.outputs and bool(users) and all(
            multiplied(self.graph, u) or self._turns(u, i) and self._only_products(u)
            for u in users)

    def _turns(self, u: int, i: int) -> bool:
        node: GNode = self.graph.nodes[u]
        return node.prim.cls.value == "view" and exchanges(node, self.graph.nodes[i])

    def _products(self, i: int) -> list[int]:
        out = []
        for u in self._users[i]:
            out += [u] if multiplied(self.graph, u) else self._products(u)
        return out

    def _agree(self, i: int, as_read: Strides) -> bool:
        """Whether the products' other operands divide the batch in the same way."""
        if len(as_read[2]) < 2:
            return True
        fast = as_read[2][1][0]
        products = self._products(i)
        if any(self._batch.get(u, fast) != fast for u in products):
            return False
        self._batch.update(dict.fromkeys(products, fast))
        return True
