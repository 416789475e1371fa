"""Matrix products: operands, strides and what is done to the elements afterwards.

A dot group is one multiplication and an *epilogue*: elementwise members that run on every part of
the product while it is in the cache. The epilogue is a kernel over exactly three outer axes (batch,
row, column); it reads the product where the multiplication wrote it, which is the memory of the
product if that is stored, else of the first member of its dtype that is stored.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..base import shape as sh
from ..graph.access import Access
from ..ir.node import OpClass
from ..kernel.ir import OUTER, Buffer, Kernel, Section
from ..kernel.sums import PLAIN, accumulator
from .build import Builder
from .group import Group, Grouping, operands, triple
from .matrices import adjacent, strides_of
from .sizes import stride_class


class Dot(NamedTuple):
    """A matrix product with its epilogue.

    Attributes:
        dtype: of C and of the arithmetic.
        source: element type of A and B.
        m, n, k: sizes.
        batch: sizes of two batch axes, the second one faster.
        adjacent: what ``GemmKernel.dotted`` is told about the operands.
        turned: the program's product is the transpose of this one.
        a, b: root and byte offset, (row, column) strides, strides of both batch axes.
        c: root of the memory C is written to, row-major; ``~record`` is memory of its own, for
            16-bit floats, which are multiplied into float32.
        kernel: the epilogue; None: there is none.
        words, pointers: the epilogue's arguments, as in a loop's step.
        flat: the epilogue over (batch, element of the product) with its arguments, if rows are
            short and everything it touches lies row after row: its vectors then cross the ends of
            rows. It wants whole rows.
        scratch: always 0.
        work: element operations.
    """

    dtype: str
    source: str
    m: int
    n: int
    k: int
    batch: tuple[int, int]
    adjacent: bool
    turned: bool
    a: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    b: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    c: int
    kernel: Kernel | None
    words: list[int]
    pointers: list[tuple[int, int | None, int]]
    scratch: int
    work: int
    flat: tuple[Kernel, list[int], list[tuple[int, int | None, int]]] | None = None


#: products with longer rows have no flat epilogue
SHORT = 64


def build_dot(g: Grouping, group: Group, late: set[int] | frozenset[int] = frozenset()) -> Dot:
    """The product and epilogue of a dot group; values in ``late`` overwrite what is read."""
    record = group.members[0]
    node = g.graph.nodes[record]
    a, b = operands(g, record)
    source = g.graph.nodes[node.srcs[0]].dtype
    m, n = node.shape[-2:]
    k, batch = g.graph.nodes[node.srcs[0]].shape[-1], math.prod(node.shape[:-2])
    narrow = node.dtype.itemsize == 2
    c = ~record if narrow else home(g, group, late)
    words: list[int] = []
    pointers: list[tuple[int, int | None, int]] = []
    kernel, ops, flat = None, 0, None
    if narrow or not only_copies(g, group, c):
        built = Epilogue(g, group, late, c)
        kernel, words, pointers = built.kernel()
        ops = built.values
        if 1 < n < SHORT and m > 1 and n % 16:
            flat = built.flat_kernel(n)
    reads = strides_of(a, m, k), strides_of(b, k, n)
    fast = max((r[2][1][0] for r in reads if len(r[2]) > 1), default=batch)
    first, second = ((((x.root, x.offset * source.itemsize), r[:2], _batch(r[2], fast))
                      for x, r in zip((a, b), reads, strict=True)))
    return Dot(accumulator(node.dtype).name, source.name, m, n, k, (batch // fast, fast),
               adjacent(g.graph, record), record in g.graph.turned, first, second, c, kernel, words,
               pointers, 0, batch * m * n * (k // 2 + 1 + ops), flat)


def only_copies(g: Grouping, group: Group, c: int) -> bool:
    """Whether nothing is done to the product but giving it another shape."""
    return all(g.graph.nodes[i].prim.cls is OpClass.VIEW and (i == c or i not in g.stored)
               for i in group.members[1:])


def _batch(axes: tuple[tuple[int, int], ...], fast: int) -> tuple[int, int]:
    """Strides of two batch axes of which the faster one has ``fast`` elements."""
    if len(axes) == 2:
        return axes[0][1], axes[1][1]
    stride = axes[0][1] if axes else 0
    return stride * fast, stride


def home(g: Grouping, group: Group, late: set[int] | frozenset[int]) -> int:
    """The record whose memory C is written to; decides (and marks) it stored if none is."""
    record = group.members[0]
    if record not in g.stored:
        dtype = g.graph.nodes[record].dtype
        for i in group.members:
            if i in g.stored and i not in late and g.graph.nodes[i].dtype is dtype:
                return i
        g.stored.add(record)
    return record


class Epilogue(Builder):
    """Builds the kernel of the elementwise members over (batch, row, column)."""

    def __init__(self, g: Grouping, group: Group, late: set[int] | frozenset[int], c: int):
        self.c = c
        super().__init__(g, group, late)

    def _axes(self) -> None:
        m, n = self.group.matrix
        self.outer = [(m * n, self.group.total // (m * n)), (n, m), (1, n)]
        self.inner = []
        self.row_axes = self.outer

    def steps_of(self, a: Access, level: int) -> tuple[int, ...]:
        found = triple(self.group, a)
        assert found is not None, "the group took a member its epilogue cannot read"
        return found

    def compute(self, i: int, at: int, body: list, cache: dict) -> None:
        if i != self.group.members[0]:
            super().compute(i, at, body, cache)
            return
        shape, dtype = self.nodes[i].shape, self.nodes[i].dtype
        a = Access(self.c, shape, sh.contiguous_strides(shape), 0, True)
        n = self.buffer(accumulator(dtype).name, self.steps_of(a, 0), "out", self.c, 0)
        v = cache[i] = self.value()
        body.append(("load", v, n))
        if self.c < 0:  # 16-bit floats: multiplied into float32, rounded here
            w = self.value()
            body.append(("op", w, "cast", (dtype,), (v,), dtype.name))
            self.computed(i, w, at, body, cache)

    def kernel(self) -> tuple[Kernel, list[int], list]:
        """The kernel over batch, row and column, and its arguments."""
        return self._kernel([size for _, size in self.outer], [b[1] for b in self.buffers])

    def flat_kernel(self, columns: int) -> tuple[Kernel, list[int], list] | None:
        """The kernel over batch and element; None if some row does not follow the one before."""
        steps = [b[1] for b in self.buffers]
        if any(row != columns * column for _, row, column in steps):
            return None
        batch, rows, columns = (size for _, size in self.outer)
        return self._kernel([batch, rows * columns], [(s[0], s[2]) for s in steps])

    def _kernel(self, sizes: list[int], steps: list) -> tuple[Kernel, list[int], list]:
        words = list(sizes)
        buffers, pointers = [], []
        for (dtype, _, role, root, offset), mine in zip(self.buffers, steps, strict=True):
            classes = tuple(map(stride_class, mine))
            buffers.append(Buffer(dtype, classes, role))
            if role != "index":
                pointers.append((len(words), root, offset))
            words.append(offset if role == "index" else 0)
            words.extend(x for x, c in zip(mine, classes, strict=True) if c == 2)
        return (Kernel(len(sizes), 0, OUTER, False, PLAIN, tuple(buffers),
                       (Section("row", tuple(self.rows[0])),)), words, pointers)
