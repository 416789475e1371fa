"""A detached graph: what one flush computes, as a list of records without any arrays.

A :class:`Graph` is made from nodes by :meth:`Graph.capture`; it holds no node and no array, so a
plan made from it can be kept for ever. Records stand in topological order, leaves among them.

Invariants: sources come before their users; a leaf has no sources and is BUFFER or CONST; leaf
numbers follow the order of first use; ``key`` is equal for two graphs exactly when a plan of one
can run the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter

import numpy as np

from ..base import dtype as dt
from ..base import shape as sh
from ..ir.marks import Marked
from ..ir.node import BUFFER, CONST, Node, OpClass, Prim
from ..ir.view import VIEW, VIEW_SET


class GNode:
    """One record.

    Attributes:
        prim: the primitive; BUFFER and CONST are leaves.
        srcs: numbers of the operands' records.
        params: the primitive's parameters.
        shape: sizes of the value, which logically is a row-major block.
        dtype: element type.
        layout: of a BUFFER leaf: its array's strides in elements; None when they are row-major.
    """

    __slots__ = ("dtype", "layout", "params", "prim", "shape", "srcs")

    def __init__(self, prim: Prim, srcs: tuple[int, ...], params: tuple, shape: tuple[int, ...],
                 dtype: dt.dtype, layout: tuple[int, ...] | None = None):
        self.prim, self.srcs, self.params = prim, srcs, params
        self.shape, self.dtype, self.layout = shape, dtype, layout

    @property
    def is_leaf(self) -> bool:
        return self.prim is BUFFER or self.prim is CONST

    def numel(self) -> int:
        return sh.numel(self.shape)


class Graph:
    """Records, which of them are leaves and outputs, and what may be overwritten.

    Attributes:
        nodes: the records in topological order.
        leaves: record numbers of the leaves; a plan's input arrays come in this order.
        outputs: record numbers of the results, in the order a plan returns them.
        donated: ``{leaf position: output position}``: the leaf's array is not read by anybody
            else any more, and the output of the same shape and dtype may take its place.
        overlaps: ``(leaf position, donated leaf position, same)`` for pairs of different leaves
            that share memory: the donated one is overwritten only after the other has been read.
            ``same``: both begin at the same element.
        marks: offsets of which is known what they follow from, by record; no part of the key.
    """

    __slots__ = ("_key", "_rows", "donated", "from_zero", "leaves", "locs", "marks", "nodes",
                 "origin", "outputs", "overlaps", "turned")

    def __init__(self, nodes: list[GNode], leaves: list[int], outputs: list[int],
                 donated: dict[int, int] | None = None,
                 overlaps: Iterable[tuple[int, int, bool]] = ()):
        self.nodes, self.leaves, self.outputs = nodes, leaves, outputs
        self.donated = donated or {}
        self.overlaps = tuple(sorted(overlaps))
        self.locs: list = [None] * len(nodes)  # user lines of the records, for messages
        self.origin: list[int] | None = None  # records of the captured graph, after a pass
        self.turned: frozenset[int] = frozenset()  # products computed transposed
        self.from_zero = True  # positions of indexing are expected not to count from the end
        self.marks: dict[int, Marked] = {}
        self._key: tuple | None = None
        self._rows: tuple | None = None

    @classmethod
    def capture(cls, outputs: Sequence[Node], nodes: Sequence[Node] | None = None,
                donated: dict[Node, Node] | None = None) -> tuple[Graph, list[Node]]:
        """Detach what computes ``outputs``.

        Args:
            outputs: nodes whose values are wanted.
            nodes: the pending nodes that the outputs need and no others, in topological order;
                found by a walk from the outputs when omitted.
            donated: ``{leaf: output}``, leaves whose array the output may take over.

        Returns:
            The graph, and its leaves as nodes, in the order of ``Graph.leaves``.
        """
        order = nodes if nodes is not None else _walk(outputs)
        rows: list[tuple] = []  # what GNode takes
        locs: list = []
        number: dict[int, int] = {}
        known = number.get
        leaf_nodes: list[Node] = []
        leaves: list[int] = []
        marks: dict[int, Marked] = {}

        def leaf(node: Node) -> int:
            at = number[id(node)] = len(rows)
            rows.append((node.prim, (), (), node.shape, node.dtype, _layout(node)))
            locs.append(None)
            leaves.append(at)
            leaf_nodes.append(node)
            return at

        for node in order:
            srcs = tuple([leaf(s) if (at := known(id(s))) is None else at for s in node.srcs])
            params = node.params
            if params and type(params[-1]) is Marked:
                marks[len(rows)], params = params[-1], (*params[:-1], int(params[-1]))
            number[id(node)] = len(rows)
            rows.append((node.prim, srcs, params, node.shape, node.dtype, None))
            locs.append(node.loc)
        out = [number[id(n)] if id(n) in number else leaf(n) for n in outputs]
        given: dict[int, int] = {}
        overlaps: list[tuple[int, int, bool]] = []
        if donated:
            position = {id(n): i for i, n in enumerate(leaf_nodes)}
            where = {id(n): i for i, n in enumerate(outputs)}
            given = {position[id(a)]: where[id(b)] for a, b in donated.items()
                     if id(a) in position and id(b) in where}
            overlaps = _overlaps(leaf_nodes, given)
        graph = cls([], leaves, out, given, overlaps)
        del graph.nodes  # made when somebody looks at them: a known structure needs its key only
        graph._rows, graph.locs, graph.marks = tuple(rows), locs, marks
        return graph, leaf_nodes

    def __getattr__(self, name: str):
        if name != "nodes":
            raise AttributeError(f"'Graph' object has no attribute {name!r}")
        self.nodes = [GNode(*row) for row in self._rows]
        return self.nodes

    @property
    def rows(self) -> tuple[tuple, ...]:
        """The records as tuples of what :class:`GNode` takes."""
        if self._rows is None:
            self._rows = tuple((n.prim, n.srcs, n.params, n.shape, n.dtype, n.layout)
                               for n in self.nodes)
        return self._rows

    @property
    def structure(self) -> tuple:
        """The key without the numbers: what stays the same when sizes change."""
        _, *rest = self.key
        return (tuple(map(_STRUCTURE, self.rows)), *rest)

    @property
    def key(self) -> tuple:
        """Hashable identity of the structure, with shapes and layouts, without any value."""
        if self._key is None:
            self._key = (self.rows, tuple(self.outputs), tuple(sorted(self.donated.items())),
                         self.overlaps)
        return self._key

    def without_offsets(self) -> tuple[tuple, tuple[int, ...]]:
        """The key but for the offsets of views, and these, in the order of the records."""
        rows, *rest = self.key
        out, offsets = list(rows), []
        for i, row in enumerate(rows):
            if holds_offset(row[0]):
                offsets.append(row[2][-1])
                out[i] = (*row[:2], row[2][:-1], *row[3:])
        return (tuple(out), *rest), tuple(offsets)

    def key_with(self, offsets: tuple[int, ...]) -> tuple:
        """The key of a graph that differs in the offsets of views."""
        rows, *rest = self.key
        left = iter(offsets)
        return (tuple([(*row[:2], (*row[2][:-1], next(left)), *row[3:])
                       if holds_offset(row[0]) else row for row in rows]), *rest)

    def users(self) -> list[list[int]]:
        """For each record, the records that read it (once per operand position)."""
        out: list[list[int]] = [[] for _ in self.nodes]
        for i, n in enumerate(self.nodes):
            for s in n.srcs:
                out[s].append(i)
        return out

    def __len__(self) -> int:
        return len(self.nodes)


def holds_offset(prim: Prim) -> bool:
    """Whether a primitive's last parameter is an offset."""
    return prim is VIEW or prim is VIEW_SET


#: of a record: primitive, operands, dtype
_STRUCTURE = itemgetter(0, 1, 4)


def _is_leaf(node: Node) -> bool:
    return node.value is not None or node.prim.cls is OpClass.SOURCE and not node.srcs \
        and node.prim in (BUFFER, CONST)


def _walk(outputs: Sequence[Node]) -> list[Node]:
    """The pending nodes the outputs depend on, sources first."""
    out: list[Node] = []
    state: dict[int, int] = {}
    stack = [n for n in reversed(outputs)]
    while stack:
        node = stack[-1]
        at = state.get(id(node), 0)
        if at == 2 or _is_leaf(node):
            stack.pop()
        elif at == 1:
            state[id(node)] = 2
            out.append(node)
            stack.pop()
        else:
            state[id(node)] = 1
            stack.extend(s for s in reversed(node.srcs) if state.get(id(s), 0) == 0)
    return out


def _layout(node: Node) -> tuple[int, ...] | None:
    array = node.value
    if node.prim is CONST or array.flags.c_contiguous:
        return None
    size = array.itemsize
    return tuple(s // size for s in array.strides)


def _owner(array: np.ndarray):
    if array.base is None:
        return id(array)
    while isinstance(array.base, np.ndarray):
        array = array.base
    return id(array if array.base is None else array.base)


def _overlaps(leaves: list[Node], donated: dict[int, int]) -> list[tuple[int, int, bool]]:
    """Leaves and donated leaves whose arrays share memory, and whether they begin alike."""
    owners: dict[int, list[int]] = {}
    for d in donated:
        owners.setdefault(_owner(leaves[d].value), []).append(d)
    out = []
    for i, node in enumerate(leaves):
        if node.prim is CONST:
            continue
        for d in owners.get(_owner(node.value), ()):
            if d != i and np.may_share_memory(node.value, leaves[d].value):
                same = _start(node.value) == _start(leaves[d].value)
                out.append((i, d, same and node.dtype is leaves[d].dtype))
    return out


def _start(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
