"""Views whose offsets are arguments of their plan.

Windows that move (a random crop, the next part of a sequence, the next place of a buffer) give
graphs that differ in nothing but the offsets of views. One plan runs them all: planning runs once
with :class:`~flambeau.schedule.sizes.Size` in the places of the offsets that were seen to change,
and what it notes says which words of the plan follow from them, and how; and for which offsets a
decision would have been another one (two reads become the same, a view becomes the whole).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..graph.graph import GNode, Graph, holds_offset
from .sizes import Size, Tape, Unlike, text, value

#: offsets that may move independently, and that many steps may follow from them
MAX_INPUTS, MAX_LINES = 64, 4000


class Moves:
    """The moving offsets of one structure.

    Args:
        graph: a graph of the structure.
        seen: offsets of such graphs in the order of their records; the last are the graph's own.
            Those that were equal each time are one number.

    Attributes:
        graph: the graph with sizes in the places of what moves.
        inputs: of each moving number, which offsets it is.
        at_hand: these numbers in the graph.

    Raises:
        Unlike: too much moves.
    """

    def __init__(self, graph: Graph, seen: list[tuple[int, ...]]):
        columns: dict[tuple[int, ...], list[int]] = {}
        for k, column in enumerate(zip(*seen, strict=True)):
            if any(x != column[0] for x in column):
                columns.setdefault(column, []).append(k)
        if len(columns) > MAX_INPUTS:
            raise Unlike("too much moves")
        self.inputs = list(columns.values())
        self.at_hand = tuple(column[-1] for column in columns)
        self._tape = Tape(list(self.at_hand))
        moving = {k: size for ks, size in zip(self.inputs, self._tape.inputs, strict=True)
                  for k in ks}
        self._fixed = [(k, x) for k, x in enumerate(seen[-1]) if k not in moving]
        rows, k = [], 0
        for row in graph.rows:
            if holds_offset(row[0]):
                if k in moving:
                    row = (*row[:2], (*row[2][:-1], moving[k]), *row[3:])
                k += 1
            rows.append(GNode(*row))
        self.graph = Graph(rows, graph.leaves, graph.outputs, graph.donated, graph.overlaps)
        self.graph.locs, self.graph.from_zero = graph.locs, graph.from_zero

    def values(self, offsets: tuple[int, ...]) -> tuple[int, ...] | None:
        """The moving numbers of a graph with these offsets; None where others differ as well."""
        if any(offsets[k] != x for k, x in self._fixed):
            return None
        out = []
        for ks in self.inputs:
            at = offsets[ks[0]]
            if any(offsets[k] != at for k in ks):
                return None
            out.append(at)
        return tuple(out)

    def function(self, wanted: list[Size]) -> Callable[..., tuple[int, ...] | None]:
        """``function(*numbers)`` gives what follows for ``wanted``, or None: another plan."""
        names = [x.name for x in wanted]
        lines = self._tape.source(set(names))
        if len(lines) > MAX_LINES:
            raise Unlike("too much depends on the offsets")
        arguments = ", ".join(map(text, self._tape.inputs))
        made: dict = {}
        # every name in the text was made by the tape
        exec("\n    ".join((f"def follows({arguments}):", *lines,
                            f"return ({''.join(x + ', ' for x in names)})")), made)
        return made["follows"]


def sizes_in(x) -> Iterator[Size]:
    """The sizes in nested tuples, in their order."""
    if type(x) is Size:
        yield x
    elif isinstance(x, tuple):
        for part in x:
            yield from sizes_in(part)


def filled(x, numbers: Iterator[int]):
    """Nested tuples with numbers in the places of the sizes."""
    if type(x) is Size:
        return next(numbers)
    if not isinstance(x, tuple) or next(sizes_in(x), None) is None:
        return x
    parts = [filled(part, numbers) for part in x]
    return tuple(parts) if type(x) is tuple else type(x)(*parts)


def at_hand(x):
    """Nested tuples with the sizes' own numbers."""
    return filled(x, map(value, sizes_in(x)))
