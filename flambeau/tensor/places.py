"""Positions in calls that differ from step to step: ``x[i:i + 8]`` with another ``i`` each time.

While a call is recorded, the positions at which it lets views begin are marked (ir/marks.py), and
for each there is a spec that other numbers fit as well (:func:`positions`). Whether they are needed
is known when the plan is: :class:`Places` says which of them the plan's moving offsets follow from.
The others stay what they were.

Specs: ("place", j, n) an index along an axis of n, ("window", j, n, count, step) a slice of so many
elements, ("key", specs) a tuple of such and of values; ``j`` numbers the trace's run-time numbers.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from ..graph.graph import holds_offset
from ..ir.marks import Mark, Marked
from ..ir.node import BUFFER
from .trace import Poison

#: by the function's name: which argument says where a view begins
PLACED = {"getitem": 1, "_setitem": 1, "narrow": 2, "select": 2}
#: a number that follows from the run's: a constant, and (number's place, factor) pairs
Form = tuple[int, tuple[tuple[int, int], ...]]


class Positions(NamedTuple):
    """The argument of a recorded call that says where views begin.

    Attributes:
        entry: number of the call's entry.
        argument, value: which of its arguments, and what it was.
        spec: what other arguments are like.
        marks: of its numbers, by their places among the trace's.
    """

    entry: int
    argument: int
    value: object
    spec: tuple
    marks: dict[int, Mark]


def positions(name: str, args: tuple, first: int) -> tuple[tuple, list[int]] | None:
    """The spec of the argument that places views, and its numbers; None where nothing can move.

    Args:
        name: of the function.
        args: of the call.
        first: place of the first number among the trace's.
    """
    if len(args) <= PLACED[name]:
        return None
    shape = args[0].shape
    numbers: list[int] = []
    if name in ("getitem", "_setitem"):
        spec = _key(args[1], shape, first, numbers)
    else:
        dim, start = args[1], whole_number(args[2])
        if type(dim) is not int or start is None or not -len(shape) <= dim < len(shape):
            return None
        if name == "select":
            spec = _item(start, shape[dim], first, numbers)
        else:
            length, n = args[3] if len(args) == 4 else None, shape[dim]
            if type(length) is not int or not 0 < length < n or not -n <= start <= n - length:
                return None
            numbers.append(start % n)
            spec = "start", first, n, length
    return (spec, numbers) if spec is not None and numbers else None


def _key(key, shape: tuple[int, ...], first: int, numbers: list[int]) -> tuple | None:
    if type(key) is not tuple:
        return _item(key, shape[0], first, numbers) if shape else None
    taken = sum(type(item) is slice or whole_number(item) is not None for item in key)
    if taken > len(shape):
        return None
    specs, dim = [], 0
    for item in key:
        if item is None or item is Ellipsis:
            dim += 0 if item is None else len(shape) - taken
            specs.append(("value", item))
            continue
        spec = _item(item, shape[dim], first, numbers) if dim < len(shape) else None
        if spec is None:
            return None
        specs.append(spec)
        dim += 1
    return "key", tuple(specs)


def _item(item, n: int, first: int, numbers: list[int]) -> tuple | None:
    if type(item) is not slice:
        index = whole_number(item)
        if index is None or not -n <= index < n:
            return None
        numbers.append(index % n)
        return "place", first + len(numbers) - 1, n
    found = span(item, n)
    if found is None:
        return None
    start, count, step = found
    if item.start in (None, 0) and (item.stop is None or item.stop >= n) and step == 1:
        return "value", plain(item)  # all of it
    numbers.append(start)
    return "window", first + len(numbers) - 1, n, count, step


def whole_number(x) -> int | None:
    """An index that is a number of Python or NumPy; None for others."""
    return x if type(x) is int else int(x) if isinstance(x, np.integer) else None


def span(item: slice, n: int) -> tuple[int, int, int] | None:
    """Start, count and step of a slice with plain numbers."""
    for x in (item.start, item.stop, item.step):
        if x is not None and type(x) is not int and not isinstance(x, np.integer):
            return None
    step = 1 if item.step is None else int(item.step)
    if step < 1:
        return None
    start, stop, _ = item.indices(n)
    return start, max(0, -(-(stop - start) // step)), step


def index_of(item, n: int, length: int = 1) -> int:
    """Where so many elements of an axis of n begin; -1 where the argument does not say it."""
    index = whole_number(item)
    if index is None or not -n <= index <= n - length:
        return -1
    return index + n if index < 0 else index


def start_of(item, n: int, count: int, step: int) -> int:
    """Where a slice of so many elements begins; -1 where the argument is no such slice."""
    found = span(item, n) if type(item) is slice else None
    return -1 if found is None or found[1:] != (count, step) else found[0]


def plain(item: slice) -> tuple:
    """A slice as it stands in a spec."""
    return slice, item.start, item.stop, item.step


def argument(spec: tuple, numbers: list):
    """The argument that a spec of this module stands for, given the numbers."""
    kind = spec[0]
    if kind in ("place", "start"):
        return numbers[spec[1]]
    if kind == "window":
        _, j, _, count, step = spec
        return slice(numbers[j], numbers[j] + max(count - 1, 0) * step + (count > 0), step)
    if kind == "key":
        return tuple(argument(s, numbers) for s in spec[1])
    value = spec[1]
    return slice(*value[1:]) if type(value) is tuple and value[:1] == (slice,) else value


def settled(spec: tuple, value, moving: set[int]) -> tuple:
    """The spec with values in the places of the numbers that do not move."""
    if spec[0] == "key":
        items = tuple(settled(s, v, moving) for s, v in zip(spec[1], value, strict=True))
        return ("key", items) if any(s[0] != "value" for s in items) else \
            ("value", tuple(value))
    if spec[0] == "value" or spec[1] in moving:
        return spec
    return "value", plain(value) if type(value) is slice else value


def number_of(form: Form, numbers: list) -> int:
    """A number that follows from those of a run."""
    constant, terms = form
    return constant + sum(numbers[j] * n for j, n in terms)


class Places:
    """What of a trace's plan moves with the numbers of its calls.

    Args:
        flushed: what the plan ran.
        known: the places of the recording's numbers, by mark.
        moving: numbers that are known to differ, whatever the plan says.
        lost: whether a marked number was computed with in a way that is not known.
        loose: the recorded calls with all positions as specs.

    Attributes:
        tags: the numbers from which something follows.
        values: what the numbers were at the recording, by their places.
        inputs: of each moving number of the plan.

    Raises:
        Poison: an offset moves, and it is not known how, or one does not that should.
    """

    def __init__(self, flushed, known: dict[Mark, int], moving: set[int], lost: bool,
                 loose: list):
        self._known, self.loose = known, loose
        self.values = {j: mark.value for mark, j in known.items()}
        self.tags = set(moving)
        self.inputs: tuple[Form, ...] = ()
        plan, marks = flushed.plan, flushed.graph.marks
        followed: set[int] = set()
        if plan.moving is not None:
            rows = [i for i, row in enumerate(flushed.graph.rows) if holds_offset(row[0])]
            forms = [{self._form(marks.get(rows[k]), known.values()) for k in ks}
                     for ks in plan.moving.moves.inputs]
            followed = {rows[k] for ks in plan.moving.moves.inputs for k in ks}
            if lost or any(len(f) > 1 or None in f for f in forms):
                raise Poison("a view begins at a place that no argument says")
            self.inputs = tuple(f.pop() for f in forms)
            self.tags |= {j for _, terms in self.inputs for j, _ in terms}
        if self.tags and lost:
            raise Poison("a position that changes was computed with")
        if any(self.moves(x) for i, x in marks.items() if i not in followed):
            raise Poison("a position changes, and the plan does not know it")

    def _form(self, x, tags: Collection[int]) -> Form | None:
        """How a number follows from those of some places."""
        if type(x) is not Marked:
            return None
        marks = [(mark, n) for mark, n in x.terms.items() if self._known.get(mark) in tags]
        constant = int(x) - sum(mark.value * n for mark, n in marks)
        return (constant, tuple((self._known[mark], n) for mark, n in marks)) if marks else None

    def of(self, x) -> Form | None:
        """How a number follows from the run's; None where it is the same in each."""
        return self._form(x, self.tags)

    def moves(self, x) -> bool:
        """Whether a number differs from run to run."""
        return self.of(x) is not None

    def of_leaf(self, node) -> Form | None:
        """How the element at which a plan's input begins follows from the run's numbers."""
        return self.of(node.params[0]) if node.prim is BUFFER and node.params else None
