"""Recurrences: what is done in each step, as kernels that are the same for all steps.

A step is one matrix product (the state times the recurrent weights, which are packed once for all
steps) and one kernel for the rest of the cell. Sequences are independent of each other, so chunks
divide the sequences and each chunk runs through all steps by itself; ``codegen/recurrence.py``
writes that loop. For each step it changes sizes and addresses in the rows' arguments by the
:class:`Patch` es made here, so neither code nor planning grows with the number of steps.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ..kernel.ir import OUTER, Buffer, Kernel, Section
from ..kernel.sums import PLAIN
from ..ops.prim.recurrence import GATES, KEPT, SENT, steps_of
from .group import Grouping, operands

#: sequences that one chunk has at least
LEAST = 8


class Patch(NamedTuple):
    """A word of a row's arguments that depends on the step: its first content plus ``chunk``
    times the chunk's first sequence, ``step`` times the step's first row and ``sequences`` times
    the sequences at hand."""

    word: int
    chunk: int
    step: int
    sequences: int


class Part(NamedTuple):
    """A cell's kernel: its arguments, where addresses go (word, name, byte offset), patches."""

    kernel: Kernel
    words: list[int]
    places: list[tuple[int, str, int]]
    patches: list[Patch]


class Product(NamedTuple):
    """The product of a step: ``c = a @ b``, or added to c; (name, byte offset, row stride)."""

    a: tuple[str, int, int]
    c: tuple[str, int, int]
    n: int
    k: int
    b_strides: tuple[int, int]
    a_moves: bool
    accumulate: bool


class Recurrence(NamedTuple):
    """A recurrent layer's direction, forward or backward.

    Attributes:
        dtype: float32 or float64.
        sequences, steps: how many; of each step (sequences, first row), in running order.
        once: kernels to run before the first step.
        body: what each step runs, in order.
        roots: root and byte offset by name: operands, "out", "state".
        state: byte offset of the states in the block.
        scratch: always 0.
        work: element operations.
    """

    dtype: str
    sequences: int
    steps: list[tuple[int, int]]
    once: list[Part]
    body: list[Part | Product]
    roots: dict[str, tuple[int, int]]
    state: int
    scratch: int
    work: int


_NAMES = {"recurrence": ("gates", "h", "c", "w", "b"),
          "recurrence_back": ("g", "g_h", "g_c", "kept", "w")}


def recurrent(g: Grouping, i: int) -> bool:
    """Whether kernels can run this record."""
    node = g.graph.nodes[i]
    if node.prim.name not in _NAMES or 0 in node.shape:
        return False
    names = operand_names(node.prim.name, node.params[0], len(node.srcs))
    return all(a.plain or n != "kept" for n, a in zip(names, operands(g, i), strict=True))


def build_recurrence(g: Grouping, i: int) -> Recurrence:
    """The kernels of a recurrence record."""
    node, reads = g.graph.nodes[i], operands(g, i)
    size = node.dtype.itemsize
    r = recurrence_of(node.prim.name, node.params, [a.shape for a in reads],
                      [a.strides for a in reads], node.dtype.name, size)
    names = operand_names(node.prim.name, node.params[0], len(reads))
    r.roots.update({n: (a.root, a.offset * size) for n, a in zip(names, reads, strict=True)})
    r.roots["out"] = (i, 0)
    r.roots["state"] = (i, r.state)
    return r


def operand_names(prim: str, mode: str, count: int) -> list[str]:
    """The operands' names; absent ones are left out."""
    cell = "c" if prim == "recurrence" else "g_c"
    return [n for n in _NAMES[prim] if n != cell or mode == "LSTM"][:count]


def recurrence_of(prim: str, params: tuple, shapes: list[tuple[int, ...]],
                  strides: list[tuple[int, ...]], dtype: str, size: int) -> Recurrence:
    """What runs for operands of these shapes and strides (in elements); ``roots`` is left empty."""
    mode, sizes, reverse = params
    forward = prim == "recurrence"
    rows, (sequences, width) = shapes[0][0], shapes[1]
    once, body = _parts(prim, mode, width, dtype, size, tuple(strides))
    work = rows * width * GATES[mode] * (width // 2 + 8)
    columns = KEPT if forward else SENT
    return Recurrence(dtype, sequences, steps_of(sizes, reverse == forward), once, body, {},
                      rows * len(columns[mode]) * width * size, 0, work)


@lru_cache(maxsize=256)
def _parts(prim: str, mode: str, width: int, dtype: str, size: int,
           strides: tuple[tuple[int, ...], ...]) -> tuple[list[Part], list[Part | Product]]:
    """What runs once, and in each step."""
    names = operand_names(prim, mode, len(strides))
    build = _Forward if prim == "recurrence" else _Backward
    return build(mode, width, dtype, size, dict(zip(names, strides, strict=True))).parts()


class _Cell:
    """A kernel over (sequences, elements of the state) being written."""

    def __init__(self, owner: _Layer):
        self.owner = owner
        self.buffers: list[tuple[str, int, bool]] = []  # name, column, moves
        self.body: list[tuple] = []
        self.values = 0

    def _buffer(self, name: str, at: int, moves: bool) -> int:
        key = (name, at, moves)
        if key not in self.buffers:
            self.buffers.append(key)
        return self.buffers.index(key)

    def load(self, name: str, column: int = 0, moves: bool = True) -> int:
        """A column of a step's rows."""
        self.values += 1
        self.body.append(("load", self.values - 1, self._buffer(name, column, moves)))
        return self.values - 1

    def store(self, v: int, name: str, column: int = 0, moves: bool = True) -> None:
        """Write a column of a step's rows."""
        self.body.append(("store", self._buffer(name, column, moves), v))

    def __call__(self, prim: str, *srcs: int) -> int:
        self.values += 1
        dtype = "bool" if prim == "gt" else self.owner.dtype
        self.body.append(("op", self.values - 1, prim, (), srcs, dtype))
        return self.values - 1

    def finish(self) -> Part:
        """The kernel with its arguments."""
        o = self.owner
        written = {i[1] for i in self.body if i[0] == "store"}
        words, places, patches, buffers = [0, o.width], [], [Patch(0, 0, 0, 1)], []
        for n, (name, column, moves) in enumerate(self.buffers):
            pitch, across = o.layout[name]
            classes = 2 if pitch else 0, across if across < 2 else 2
            buffers.append(Buffer(o.dtype, classes, "out" if n in written else "in"))
            places.append((len(words), name, column * o.width * across * o.size))
            if pitch:
                step = pitch * o.size
                patches.append(Patch(len(words), step, step if moves else 0, 0))
            words.append(0)
            words.extend(x for x, c in zip((pitch, across), classes, strict=True) if c == 2)
        kernel = Kernel(2, 0, OUTER, False, PLAIN, tuple(buffers),
                        (Section("row", tuple(self.body)),))
        return Part(kernel, words, places, patches)


class _Layer:
    """What forward and backward share: sizes, and where memory lies.

    Attributes:
        strides: of the operands, by name.
        layout: steps from row to row and from element to element, by name.
    """

    columns = KEPT

    def __init__(self, mode: str, width: int, dtype: str, size: int,
                 strides: dict[str, tuple[int, ...]]):
        self.mode, self.width, self.dtype, self.size = mode, width, dtype, size
        self.strides = strides
        self.pitch = len(self.columns[mode]) * width
        self.layout = {"out": (self.pitch, 1), "state": (self.pitch, 1), "zero": (0, 0)}
        for name, given in strides.items():
            self.layout[name] = given[0] if len(given) > 1 else 0, given[-1]  # a bias: no rows

    def _first(self, names: tuple[str, ...]) -> list[Part]:
        """Copy the first states to where they are kept."""
        cell = _Cell(self)
        for k, name in enumerate(names[:2 if self.mode == "LSTM" else 1]):
            cell.store(cell.load(name, moves=False), "state", k, moves=False)
        return [cell.finish()]


class _Forward(_Layer):
    """h and the other states, and what backward needs."""

    def parts(self) -> tuple[list[Part], list[Part | Product]]:
        """What runs once, and in each step."""
        gates, (along, across) = GATES[self.mode], self.strides["w"]
        to = 1 if self.mode in ("LSTM", "GRU") else 0  # the product's first column
        product = Product(("state", 0, self.pitch),
                          ("out", to * self.width * self.size, self.pitch), gates * self.width,
                          self.width, (across, along), False, False)
        cell = _Cell(self)
        before = cell.load("state", 0, moves=False)
        h = {"LSTM": self._lstm, "GRU": self._gru}.get(self.mode, self._rnn)(cell, before)
        cell.store(before, "out", len(KEPT[self.mode]) - 1)
        cell.store(h, "out", 0)
        cell.store(h, "state", 0, moves=False)
        return self._first(("h", "c")), [product, cell.finish()]

    def _lstm(self, x: _Cell, before: int) -> int:
        gate = []
        for k in range(4):
            total = x("add", x.load("gates", k), x.load("out", 1 + k))
            gate.append(x("tanh" if k == 2 else "sigmoid", total))
            x.store(gate[k], "out", 1 + k)
        i, f, g, o = gate
        c = x.load("state", 1, moves=False)
        x.store(c, "out", 5)
        c = x("add", x("mul", f, c), x("mul", i, g))
        x.store(c, "state", 1, moves=False)
        turned = x("tanh", c)
        x.store(turned, "out", 6)
        return x("mul", o, turned)

    def _gru(self, x: _Cell, before: int) -> int:
        product = []
        for k in range(3):
            total = x.load("out", 1 + k)
            product.append(x("add", total, x.load("b", k, moves=False))
                           if "b" in self.strides else total)
        r = x("sigmoid", x("add", x.load("gates", 0), product[0]))
        z = x("sigmoid", x("add", x.load("gates", 1), product[1]))
        n = x("tanh", x("add", x.load("gates", 2), x("mul", r, product[2])))
        for k, v in enumerate((r, z, product[2], n)):
            x.store(v, "out", 1 + k)
        return x("add", x("mul", x("sub", before, n), z), n)

    def _rnn(self, x: _Cell, before: int) -> int:
        total = x("add", x.load("gates"), x.load("out"))
        if self.mode == "RNN_TANH":
            return x("tanh", total)
        return x("maximum", total, x.load("zero"))


class _Backward(_Layer):
    """Gradients of the gates and of the first states."""

    columns = SENT

    def parts(self) -> tuple[list[Part], list[Part | Product]]:
        """What runs once, and in each step."""
        gates, (along, across) = GATES[self.mode] * self.width, self.strides["w"]
        at = self.pitch - gates  # the product's gradient's first column
        product = Product(("out", at * self.size, self.pitch), ("state", 0, self.pitch),
                          self.width, gates, (along, across), True, self.mode == "GRU")
        cell = _Cell(self)
        h = cell("add", cell.load("state", 0, moves=False), cell.load("g"))
        {"LSTM": self._lstm, "GRU": self._gru}.get(self.mode, self._rnn)(cell, h)
        return self._first(("g_h", "g_c")), [cell.finish(), product]

    @staticmethod
    def _slope(x: _Cell, v: int, y: int) -> int:
        """v times the derivative of sigmoid where it is y."""
        return x("mul", v, x("sub", y, x("mul", y, y)))

    @staticmethod
    def _slope_of_tanh(x: _Cell, v: int, y: int) -> int:
        return x("sub", v, x("mul", v, x("mul", y, y)))

    def _lstm(self, x: _Cell, h: int) -> None:
        i, f, g, o, before, turned = (x.load("kept", k) for k in range(1, 7))
        c = x.load("state", 1, moves=False)
        c = x("add", c, self._slope_of_tanh(x, x("mul", h, o), turned))
        x.store(self._slope(x, x("mul", c, g), i), "out", 0)
        x.store(self._slope(x, x("mul", c, before), f), "out", 1)
        x.store(self._slope_of_tanh(x, x("mul", c, i), g), "out", 2)
        x.store(self._slope(x, x("mul", h, turned), o), "out", 3)
        x.store(x("mul", c, f), "state", 1, moves=False)

    def _gru(self, x: _Cell, h: int) -> None:
        r, z, hidden, n, before = (x.load("kept", k) for k in range(1, 6))
        straight = x("mul", h, z)
        new = self._slope_of_tanh(x, x("sub", h, straight), n)
        x.store(new, "out", 0)
        x.store(self._slope(x, x("mul", new, hidden), r), "out", 1)
        x.store(self._slope(x, x("mul", h, x("sub", before, n)), z), "out", 2)
        x.store(x("mul", new, r), "out", 3)
        x.store(straight, "state", 0, moves=False)

    def _rnn(self, x: _Cell, h: int) -> None:
        y = x.load("kept", 0)
        if self.mode == "RNN_TANH":
            x.store(self._slope_of_tanh(x, h, y), "out", 0)
        else:
            zero = x.load("zero")
            x.store(x("where", x("gt", y, zero), h, zero), "out", 0)
