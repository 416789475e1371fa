"""Schedules for sizes that vary: one is planned, the others follow from it by arithmetic.

A :class:`Template` is made from two graphs that differ in nothing but numbers (a batch of another
size). Planning runs once with :class:`~flambeau.schedule.sizes.Size` in the place of the numbers
that differ; what it notes becomes a Python function from a graph's records to the steps of its
schedule. The function gives None for a graph whose other numbers differ, or for which a decision
would have been another one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import itemgetter

from ..base import dtype as dt
from ..graph.graph import GNode, Graph
from ..graph.transposed import turn_products
from .compile import (
    Entry,
    Lifetimes,
    Schedule,
    Whole,
    arrange,
    divide_work,
    lifetimes,
    plan_memory,
)
from .sizes import Size, Tape, Unlike

#: kinds of entries whose steps hold all that a plan has to know
KINDS = ("loop", "dot", "weight", "assemble", "host")
#: what may vary of a record: parameters, shape, layout; the rest is part of the structure
VARYING = (2, 3, 5)
#: numbers that may vary, and that many steps may follow from them
MAX_INPUTS, MAX_LINES = 64, 4000
#: templates of one structure, for sizes that are planned in different ways
MAX_TEMPLATES = 8


class Incomparable(Unlike):
    """Two graphs that differ in more than sizes."""


class Template:
    """The schedules of one structure.

    Args:
        known: the records of a graph that was seen before.
        graph: a graph of equal :attr:`~flambeau.graph.graph.Graph.structure`.

    Raises:
        Unlike: more than numbers differ, or part of the plan cannot follow from them.
    """

    def __init__(self, known: tuple[tuple, ...], graph: Graph):
        writer = _Writer()
        symbolic = _symbolic(known, graph, writer)
        schedule = arrange(turn_products(symbolic))
        if any(e.kind not in KINDS for e in schedule.entries):
            raise Unlike("a step works on whole arrays")
        life = lifetimes(schedule)
        self._schedule, self._made, self._ends = schedule, life.made, life.ends
        nodes = schedule.graph.nodes
        wanted = {*schedule.graph.outputs, *(g.root for g in schedule.guards)}
        for e in schedule.entries:  # what NumPy computes, and what a product's order depends on
            if isinstance(e.step, Whole):
                near = nodes[e.record].srcs
                wanted.update((e.record, *(a.root for a in e.step.reads if a.root >= 0), *near,
                               *(s for n in near for s in nodes[n].srcs)))
        self._shaped = [i for i in sorted(wanted) if _sized(_numbers(nodes[i]))]
        result = ([(e.step, e.chunks) for e in schedule.entries], life.size,
                  [_numbers(nodes[i]) for i in self._shaped], schedule.guards, schedule.work)
        self._numbers = writer.function(result)

    def schedule(self, graph: Graph, threads: int) -> Schedule | None:
        """The schedule of a graph of this structure, None if it has another one."""
        found = self._numbers(graph.rows)
        if found is None:
            return None
        steps, size, numbers, guards, work = found
        s = self._schedule
        nodes = s.graph.nodes.copy()
        for i, (params, shape, layout) in zip(self._shaped, numbers, strict=True):
            n = nodes[i]
            nodes[i] = GNode(n.prim, n.srcs, params, shape, n.dtype, layout)
        own = Graph(nodes, s.graph.leaves, s.graph.outputs, s.graph.donated, s.graph.overlaps)
        own.origin, own.turned = s.graph.origin, s.graph.turned
        entries = [Entry(e.kind, e.group, step, e.record, chunks)
                   for e, (step, chunks) in zip(s.entries, steps, strict=True)]
        made = Schedule(own, s.grouping, entries, dict(s.place), 0, work, guards)
        divide_work(made, threads)
        plan_memory(made, Lifetimes(self._made, self._ends, size))
        return made


class Family:
    """The templates of one structure.

    Args:
        known: the records of a graph.
    """

    def __init__(self, known: tuple[tuple, ...]):
        self.known = known
        self.templates: list[Template] = []  # the last used first
        self._misses = math.inf  # graphs without a template since one was made
        self._open = True  # whether templates can be made

    def schedule(self, graph: Graph, threads: int, patience: int = 2) -> Schedule | None:
        """The schedule of a graph of this structure; None if no template has it (yet).

        Args:
            patience: graphs without a template after which the next one is made.
        """
        for n, template in enumerate(self.templates):
            found = template.schedule(graph, threads)
            if found is not None:
                if n:
                    self.templates.insert(0, self.templates.pop(n))
                return found
        self._misses += 1
        if not self._open or self._misses <= patience:
            return None
        try:
            template = Template(self.known, graph)
        except Incomparable:
            self.known = graph.rows
            return None
        except Unlike:
            self._open = False
            return None
        self._misses = 0
        self.templates.insert(0, template)
        del self.templates[MAX_TEMPLATES:]
        return template.schedule(graph, threads)

    def close(self) -> None:
        """Have no schedules any more."""
        self.templates, self._open = [], False


def _numbers(node: GNode) -> tuple:
    return node.params, node.shape, node.layout


def _symbolic(known: tuple[tuple, ...], graph: Graph, writer: _Writer) -> Graph:
    """The graph with sizes in the place of numbers that are others in ``known``."""
    pairs: dict[tuple[int, int], int] = {}
    for old, new in zip(known, graph.rows, strict=True):
        for a, b in zip(old, new, strict=True):
            _note_pairs(a, b, pairs)
    if not pairs or len(pairs) > MAX_INPUTS:
        raise Incomparable("nothing differs, or too much")
    tape = writer.tape = Tape([new for _, new in pairs])
    sizes = dict(zip(pairs, tape.inputs, strict=True))
    rows = []
    for number, (old, new) in enumerate(zip(known, graph.rows, strict=True)):
        row = new if old == new else tuple(
            _replaced(a, b, sizes) for a, b in zip(old, new, strict=True))
        if row is not new:
            for field in VARYING:
                writer.expect(number, field, row[field], new[field])
        else:
            writer.fixed.append((number, new))
        rows.append(GNode(*row))
    out = Graph(rows, graph.leaves, graph.outputs, graph.donated, graph.overlaps)
    out.locs = graph.locs
    return out


def _note_pairs(a, b, pairs: dict) -> None:
    if type(a) is tuple and type(b) is tuple and len(a) == len(b):
        for x, y in zip(a, b, strict=True):
            _note_pairs(x, y, pairs)
    elif a != b:
        if type(a) is not int or type(b) is not int:
            raise Incomparable("more than numbers differ")
        pairs.setdefault((a, b), len(pairs))


def _replaced(a, b, sizes: dict):
    if type(b) is tuple:
        return tuple(_replaced(x, y, sizes) for x, y in zip(a, b, strict=True))
    return sizes[a, b] if a != b else b


class _Writer:
    """Writes the function of a template."""

    def __init__(self):
        self.tape: Tape
        self.fixed: list[tuple[int, tuple]] = []  # records without sizes
        self.reads: list[str] = []
        self.checks: list[str] = []
        self._defined: set[str] = set()
        self._constants: list = []
        self.used: set[str] = set()

    def expect(self, record: int, field: int, pattern, example) -> None:
        """The field of a record has to look like this; sizes take their values from it."""
        place = f"rows[{record}][{field}]"
        sized = self._find(place, pattern)
        self.checks.append(f"{place} != "
                           f"{self.literal(pattern) if sized else self._constant(example)}")

    def _find(self, place: str, pattern) -> bool:
        if type(pattern) is Size:
            if pattern.name not in self._defined:
                self._defined.add(pattern.name)
                self.reads.append(f"{pattern.name} = {place}")
            return True
        if type(pattern) is not tuple:
            return False
        return any([self._find(f"{place}[{k}]", x) for k, x in enumerate(pattern)])

    def _constant(self, x) -> str:
        self._constants.append(x)
        return f"c[{len(self._constants) - 1}]"

    def literal(self, x) -> str:
        """Python that makes ``x``."""
        if type(x) is Size:
            self.used.add(x.name)
            return x.name
        if type(x) in (int, bool, str) or x is None:
            return repr(x)
        if not _sized(x):
            return self._constant(x)
        if type(x) is dict:
            return "{" + "".join(f"{k!r}: {self.literal(v)}, " for k, v in x.items()) + "}"
        inner = "".join(self.literal(v) + ", " for v in x)
        if type(x) is list:
            return f"[{inner}]"
        return f"({inner})" if type(x) is tuple else f"{self._constant(type(x))}({inner})"

    def function(self, result) -> Callable:
        """``function(rows)`` gives ``result`` for other sizes, or None."""
        answer = self.literal(result)
        lines = self.tape.source(self.used)
        if len(lines) > MAX_LINES:
            raise Unlike("too much depends on the sizes")
        take = itemgetter(*(n for n, _ in self.fixed)) if self.fixed else None
        body = ["if take is not None and take(rows) != fixed: return None", "try:",
                *(f"    {x}" for x in self.reads), "except (IndexError, TypeError): return None",
                *(f"if {x}: return None" for x in self.checks), *lines, f"return {answer}"]
        names: dict = {"c": tuple(self._constants), "take": take, "fixed": tuple(
            row for _, row in self.fixed) if len(self.fixed) != 1 else self.fixed[0][1]}
        # every name in the text was made here; numbers and constants are no part of it
        exec("def numbers(rows):\n" + "".join(f"    {line}\n" for line in body), names)
        return names["numbers"]


def _sized(x) -> bool:
    """Whether sizes are part of ``x``."""
    if type(x) is Size:
        return True
    if type(x) is dict:
        return any(map(_sized, x.values()))
    if isinstance(x, (tuple, list)):
        return any(map(_sized, x))
    if x is not None and type(x) not in (int, bool, str, float, dt.dtype):
        raise Unlike(f"what is in a {type(x).__name__} is not known")
    return False
