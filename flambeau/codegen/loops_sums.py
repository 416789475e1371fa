"""Reductions in PyTorch's order of adding up; the orders are described in ``kernel/sums.py``.

The loops' author calls this for the last inner axis of a section with folds. What it adds up along
lanes is one number for each fold, what it adds up across lanes a vector for each fold and copy.
"""

from __future__ import annotations

from collections.abc import Callable

from ..base import dtype as dt
from ..kernel.ir import Section
from ..kernel.sums import CASCADE, DEEP, LANES, STEPS, VECTOR
from .emit import Value
from .emit_types import lanes as lanes_in
from .loops_memory import Lanes
from .loops_rows import RowBlocks

#: code that continues running values from one number of steps to another
Body = Callable[[Value, Value, list[Value]], list[Value]]


class Ordered(RowBlocks):
    """Folds whose order is "cascade", "deep" or "lanes"."""

    # what the loops' author has: lanes, vectors in flight, and how a section's code is written
    width: int
    copies: int
    masked: Callable[[], bool]
    _get: Callable[..., list[Value]]
    _terms: Callable[..., list[Value]]
    _innermost: Callable[..., list[Value]]

    @property
    def in_order(self) -> bool:
        """Whether the kernel's folds are written here."""
        return self.k.order in (CASCADE, DEEP, LANES)

    # -- along lanes -----------------------------------------------------------------------------

    def add_along(self, section: Section, folds: list, place: dict[int, Value], size: Value,
                  env: dict) -> list[Value]:
        """The folds over the last inner axis, of ``size`` elements."""
        f, each = self.f, self.width * self.copies
        steps = size / each

        def body(first: Value, last: Value, running: list[Value]) -> list[Value]:
            with f.loop(first, last, carry=running) as loop:
                lanes = Lanes(self.width, self.copies, None, loop.i * each)
                loop.next(*self._innermost(section, folds, place, lanes, loop.carried, env))
            return loop.results

        zeros = [self._identity(i, self.width) for i in folds for _ in range(self.copies)]
        full = steps * each
        if self.k.order == LANES:
            total = body(f.const(0, "i64"), steps, zeros)
        else:
            total = self._cascade(folds, steps, zeros, body)
        rest = self._remaining(section, folds, place, full, size, env)
        finish = self._join_products if self.k.order == LANES else self._join_lanes
        out = []
        for n, i in enumerate(folds):
            mine = slice(n * self.copies, (n + 1) * self.copies)
            unit = VECTOR // dt.BY_NAME[i[4]].itemsize
            if self.k.order == LANES:
                unit //= 2
            out.append(finish(i, self._cut(total[mine], unit), self._cut(rest[mine], unit),
                              size - full, size))
        return out

    def _remaining(self, section: Section, folds: list, place: dict[int, Value], full: Value,
                   size: Value, env: dict) -> list[Value]:
        """The elements that do not fill all vectors, at their place in vectors that are otherwise
        filled with the fold's identity."""
        f, width = self.f, self.width
        empty = [self._identity(i, width) for i in folds for _ in range(self.copies)]
        if width > 1 and self.masked():  # a vector at a time
            with f.loop(full, size, width, carry=empty) as loop:
                lanes = Lanes(width, 1, f.lane_mask(size - loop.i, width), loop.i)
                terms = self._terms(section, folds, place, lanes, loop.carried, env)
                loop.next(*[
                    f.select((loop.i - full).eq(c * width), terms[n], loop.carried[at])
                    for at, (n, c) in enumerate((n, c) for n in range(len(folds))
                                                for c in range(self.copies))])
            return loop.results
        with f.loop(full, size, carry=empty) as loop:
            lanes = Lanes(1, 1, None, loop.i)
            terms = self._terms(section, folds, place, lanes, loop.carried, env)
            out = []
            for at, x in enumerate(loop.carried):
                n, c = divmod(at, self.copies)
                lane = f.iota(width, "i64") + c * width if width > 1 else f.const(c, "i64")
                out.append(f.select(lane.eq(loop.i - full), self.widen(terms[n], width), x))
            loop.next(*out)
        return loop.results

    def _cut(self, vectors: list[Value], unit: int) -> list[list[Value]]:
        """The lanes of some vectors in groups of ``unit``, each as vectors of at most so many."""
        width = lanes_in(vectors[0].type)
        if width > unit:
            return [[self.f.shuffle(v, None, range(at, at + unit))]
                    for v in vectors for at in range(0, width, unit)]
        count = unit // width
        return [vectors[at:at + count] for at in range(0, len(vectors), count)]

    def _plus(self, fold: tuple, a: list[Value], b: list[Value]) -> list[Value]:
        return [self._combine(fold, x, y) for x, y in zip(a, b, strict=True)]

    def _either(self, condition: Value, a: list[Value], b: list[Value]) -> list[Value]:
        return [self.f.select(condition, x, y) for x, y in zip(a, b, strict=True)]

    def _lanes_of(self, vectors: list[Value]) -> list[Value]:
        return [self.f.extract(v, lane) for v in vectors for lane in range(lanes_in(v.type))]

    def _join_lanes(self, fold: tuple, groups: list[list[Value]], rest: list[list[Value]],
                    left: Value, size: Value) -> Value:
        """A run's total. Groups of ``rest`` that are full join the first group, to which the others
        are added; the other elements of ``rest`` come first, then the lanes."""
        unit = sum(lanes_in(v.type) for v in rest[0])
        total, last = groups[0], rest[-1]
        for at, group in enumerate(rest[:-1]):
            full = left >= (at + 1) * unit
            total = self._either(full, self._plus(fold, total, group), total)
        for at in range(len(rest) - 2, -1, -1):
            last = self._either(left < (at + 1) * unit, rest[at], last)
        for group in groups[1:]:
            total = self._plus(fold, total, group)
        last = self._lanes_of(last)[:-1]
        if unit == 8:  # fewer elements than a vector: by fours
            short = [last[k] for k in (0, 4, 5, 6, 1, 2, 3)]
            last = self._either(size < unit, short, last)
        first, *others = [*last, *self._lanes_of(total)]
        for x in others:
            first = self._combine(fold, first, x)
        return first

    def _join_products(self, fold: tuple, groups: list[list[Value]], rest: list[list[Value]],
                       left: Value, size: Value) -> Value:
        """A run's total in MKL's order; groups are four vectors of 16 bytes."""
        f = self.f
        if sum(lanes_in(v.type) for v in groups[0]) == 4:
            pair = left >= 8
            groups[:2] = [self._either(pair, self._plus(fold, g, r), g)
                          for g, r in zip(groups[:2], rest[:2], strict=True)]
            rest = [self._either(pair, b, a) for a, b in zip(rest[:2], rest[2:], strict=True)]
            one = (left & 4).ne(0)
            groups[0] = self._either(one, self._plus(fold, groups[0], rest[0]), groups[0])
            single = self._lanes_of(self._either(one, rest[1], rest[0]))[:3]
            for x in single:
                low = f.insert(f.zero(groups[0][0].type), x, 0)
                groups[0] = [self._combine(fold, groups[0][0], low), *groups[0][1:]]
        else:
            for group in rest:
                groups[0] = self._plus(fold, groups[0], group)
        total = groups[0]
        for group in groups[1:]:
            total = self._plus(fold, total, group)
        ends = self._lanes_of(total)
        while len(ends) > 1:
            half = len(ends) // 2
            ends = self._plus(fold, ends[:half], ends[half:])
        return ends[0]

    # -- across lanes ----------------------------------------------------------------------------

    def add_across(self, section: Section, folds: list, place: dict[int, Value], lanes: Lanes,
                   axis: int, env: dict) -> list[Value]:
        """The folds over the last inner axis of one result in each lane: cascades (0) where the
        section's order is below zero, rows by fours (1) elsewhere."""
        f, size = self.f, self.sizes[axis]
        order = self._get(next(i[1] for i in section.body if i[0] == "order"), env, lanes)
        lowest, highest = f.extract(order[0], 0), f.extract(order[-1], lanes_in(order[-1].type) - 1)
        carry = [self._identity(i, lanes.width) for i in folds for _ in range(lanes.copies)]
        with f.loop(f.convert(lowest >= 0, "i64", signed=False),
                    f.convert(highest >= 0, "i64", signed=False) + 1, carry=carry) as way:
            fours = way.i.ne(0)
            got = self._by_fours(section, folds, place, lanes, axis, env, fours, size, carry)
            out = []
            for at, (x, before) in enumerate(zip(got, way.carried, strict=True)):
                kind = order[at % lanes.copies if len(order) > 1 else 0] >= 0
                mine = kind.eq(f.const(fours, kind.type))
                out.append(f.select(mine, x, before))
            way.next(*out)
        return way.results

    def _by_fours(self, section: Section, folds: list, place: dict[int, Value], lanes: Lanes,
                  axis: int, env: dict, fours: Value, size: Value,
                  zeros: list[Value]) -> list[Value]:
        """Rows by fours, or (``fours`` false) cascades: phase 0 is the first of four sums, phase 1
        what does not fill four, which joins it; phases 2 to 4 are the other sums."""
        f, each = self.f, len(zeros) // len(folds)
        end = f.const(4, "i64")
        steps = f.select(fours, size / end, size)
        few = steps.eq(0)
        phases = f.select(fours, f.select(few, f.const(2, "i64"), 5), 1)
        with f.loop(f.convert(few, "i64", signed=False), phases, carry=zeros) as phase:
            rest = phase.i.eq(1)
            start = f.select(rest, steps * 4, f.max(phase.i - 1, 0))
            stride = f.select(rest, 1, f.select(fours, end, 1))
            count = f.select(rest, size - steps * 4, steps)

            def body(first: Value, last: Value, running: list[Value]) -> list[Value]:
                with f.loop(first, last, carry=running) as loop:
                    row = start + loop.i * stride
                    moved = {n: self.moved(n, p, axis, row) for n, p in place.items()}
                    loop.next(*self._innermost(section, folds, moved, lanes, loop.carried, env))
                return loop.results

            begin = self._either(rest, phase.carried, zeros)
            got = self._cascade(folds, count, begin, body)
            joined = [self._combine(folds[n // each], a, b)
                      for n, (a, b) in enumerate(zip(phase.carried, got, strict=True))]
            phase.next(*self._either(rest, got, joined))
        return phase.results

    # -- cascades --------------------------------------------------------------------------------

    def _cascade(self, folds: list, count: Value, begin: list[Value], body: Body) -> list[Value]:
        """``count`` steps of a body, added up in blocks, which are added up in blocks."""
        f, each = self.f, len(begin) // len(folds)
        zeros = [self._identity(folds[n // each], 1, x.type) for n, x in enumerate(begin)]
        levels = 4 if self.k.order == DEEP else 2

        def plus(a: list[Value], b: list[Value]) -> list[Value]:
            return [self._combine(folds[n // each], x, y)
                    for n, (x, y) in enumerate(zip(a, b, strict=True))]

        with f.loop(0, count, STEPS, carry=[*begin, *zeros * (levels - 1)]) as block:
            last = f.min(block.i + STEPS, count)
            running, *totals = (block.carried[at:at + len(begin)]
                                for at in range(0, levels * len(begin), len(begin)))
            running = body(block.i, last, running)
            with f.if_((last - block.i).eq(STEPS)) as whole:
                raised = [plus(totals[0], running), *totals[1:]]
                for at in range(1, levels - 1):
                    up = (last & (STEPS ** (at + 1) - 1)).eq(0)  # the lower total is finished
                    raised[at] = self._either(up, plus(raised[at], raised[at - 1]), raised[at])
                    raised[at - 1] = self._either(up, zeros, raised[at - 1])
                whole.give(*zeros, *sum(raised, []))
                whole.else_()
                whole.give(*running, *sum(totals, []))
            block.next(*whole.results)
        out, *totals = (block.results[at:at + len(begin)]
                        for at in range(0, levels * len(begin), len(begin)))
        for total in totals:
            out = plus(out, total)
        return out
