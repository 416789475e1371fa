"""Entries of a trace as words for ``match`` (match_native.py): the checks of one call, written out.

``linear(slot 3, leaf 1, leaf 2) -> slot 4`` becomes the header of a call of ``linear`` with three
arguments, and

    SLOT argument 0 is slot 3
    LEAF argument 1 is what leaf 1 was in the last run, or its binder takes it
    AGAIN argument 2 is what leaf 2 is bound to already
    BARE slot 4: a tensor that knows its shape and dtype

Where an object may be another one each time, a function of Python is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..autograd import modes
from ..base.late import late
from ..runtime import execute
from .match_words import HEADER, OP_WORDS, Code, Header, Lists, Result, Source, State
from .places import index_of, start_of
from .tensor import Tensor
from .trace import NOBODY, Entry, Leaf

if TYPE_CHECKING:
    from . import match_native as native
else:
    native = late(".match_native", __package__)

MISS = object()


def nothing(function, args, kwargs):
    """No call is expected: the recorder has never followed anything."""
    return MISS


class Private(tuple):
    """An operation's tensors that nobody but its caller can change or see: while it passes the same
    object, they are the same, with the same flags."""

    __slots__ = ()


_THREAD, _ENTRY, _POS, _MODES, _AROUND = map(int, (
    State.THREAD, State.ENTRY, State.POS, State.MODES, State.AROUND))


class Matching:
    """The state of ``match``: which call is expected. There is one, the recorder's."""

    def __init__(self, around):
        objects = {
            State.MISS: MISS, State.EXECUTE: execute, State.TENSOR: Tensor, State.FLOAT: float,
            State.NONE: None, State.TRUE: True, State.USUAL: type(modes.state).grad,
            State.GRAD: "grad", State.OUTSTANDING: "outstanding", State.FN: "_fn",
            State.REQUIRES: "_requires", State.HOOKS: "_hooks", State.GRADIENT: "_grad",
            State.SHAPE: "shape", State.DTYPE: "dtype", State.RUN: "_run",
            State.INFERENCE: "_inference"}
        self._keep = objects
        self._modes: dict | None = None
        words = np.zeros(len(State), np.int64)
        for name, x in objects.items():
            words[name] = id(x)
        self._words = words.data
        self.set_around(around)
        self._address = words.__array_interface__["data"][0]
        self.match = native.matcher(self._address)

    @property
    def address(self) -> int:
        """Where the words are."""
        return self._address

    def set_around(self, around) -> None:
        """The surroundings of the thread's calls are others now."""
        self._around = around  # the words refer to it
        self._words[_AROUND] = id(around)

    def stand_at(self, steps: Steps | None, pos: int) -> None:
        """Expect the entry ``pos`` of a trace from this thread, or none."""
        self._steps = steps  # the words refer to it
        words = self._words
        words[_POS] = pos
        if steps is None:
            words[_ENTRY] = 0
            return
        words[_ENTRY] = steps.addresses[pos]
        mine = vars(modes.state)
        if mine is not self._modes:  # another thread, though it may have the number of the last one
            self._modes, self._thread = mine, native.thread()
            words[_MODES], words[_THREAD] = id(mine), id(self._thread)

    @property
    def pos(self) -> int:
        """The number of the expected entry."""
        return self._words[_POS]


class Steps:
    """The words of a trace's entries and what they share.

    Attributes:
        addresses: where each entry begins; after the last one 0.
        slots: the trace's tensors, filled as calls are followed.
        bound: the tensors that stand for the leaves in this run; None before their first use.
        last: those of the last run; held only while the trace is followed again and again.
        groups, last_groups: the :class:`Private` groups of this run, and of the last one.
        numbers: run-time numbers by tag.
        no_slots, no_leaves: what ``slots`` and ``bound`` are before a run.
    """

    def __init__(self, entries: list[Entry], leaves: list[Leaf], slots: int, numbers: int, bind,
                 via, draw):
        self.slots: list = [None] * slots
        self.bound: list = [None] * len(leaves)
        self.last: list = [NOBODY] * len(leaves)
        self.numbers: list = [0.0] * numbers
        self.groups: list = []
        self.last_groups: list = []
        self.no_slots, self.no_leaves = [None] * slots, [None] * len(leaves)
        self._leaves = leaves
        self._met: set[int] = set()
        self._bind, self._via, self._draw = bind, via, draw
        self._keep: list = []  # what the words refer to
        rows = [self._row(e, n) for n, e in enumerate(entries)]
        self.last_groups[:] = self.groups
        self._write(rows)

    def _write(self, rows: list[list[int]]) -> None:
        lists = (self.slots, self.bound, self.last, self.numbers, self.groups, self.last_groups)
        words = np.empty(len(Lists) + sum(map(len, rows)), np.int64)
        words[:len(Lists)] = [id(x) for x in lists]
        self._words = words
        base = words.__array_interface__["data"][0]
        at, self.addresses = len(Lists), []
        for row in rows:
            self.addresses.append(base + 8 * at)
            row[Header.LISTS] = base
            row[Header.NEXT] = base + 8 * (at + len(row))
            words[at:at + len(row)] = row
            at += len(row)
        if rows:
            words[at - len(rows[-1]) + Header.NEXT] = 0
        self.addresses.append(0)

    def clear(self) -> None:
        """Forget the run."""
        self.slots[:] = self.no_slots
        self.bound[:] = self.no_leaves

    def end(self) -> None:
        """The run has taken place."""
        self.last[:] = self.bound
        self.last_groups[:] = self.groups
        self.slots[:] = self.no_slots
        self.bound[:] = self.no_leaves

    def forget(self) -> None:
        """Hold nothing of the last run."""
        self.last[:] = [NOBODY] * len(self.last)
        self.groups[:] = self.last_groups[:] = [None] * len(self.groups)

    # --- writing an entry -------------------------------------------------------------------------

    def _object(self, x) -> int:
        """An object's address; it is kept alive."""
        self._keep.append(x)
        return id(x)

    def _row(self, entry: Entry, number: int) -> list[int]:
        """The words of an entry."""
        ops: list[tuple] = []
        for i, spec in enumerate(entry.args):
            self._check(ops, spec, Source.ARG, i)
        for key, spec in entry.kwargs.items():
            self._check(ops, spec, Source.KWARG, self._object(key))
        if entry.backward:
            self._backward(ops, entry)
        if entry.draws:
            ops.append((Code.DO, 0, 0, self._object(partial(self._drawn, entry.draws)), 0, 0))
        result, which = self._result(ops, entry.result, iter(entry.templates))
        header = [0] * HEADER
        header[Header.FUNCTION] = self._object(entry.function)
        header[Header.MODE], header[Header.AROUND] = id(entry.grad), self._object(entry.around)
        header[Header.ARGS], header[Header.KWARGS] = len(entry.args), len(entry.kwargs)
        header[Header.AFTER], header[Header.OPS] = number + 1, len(ops)
        header[Header.RESULT], header[Header.WHICH] = result, which
        return header + [int(word) for op in ops for word in op]

    def _drawn(self, draws: tuple) -> bool:
        self._draw(draws)
        return True

    def _backward(self, ops: list, entry: Entry) -> None:
        """The gradients of leaves: absent, or what the trace knows of them, and new ones."""
        for k, spec, template in entry.backward or ():
            if self._leaves[k].via is not None and k not in self._met:
                self._met.add(k)
                ops.append((Code.DO, 0, 0, self._object(partial(self._via, k)), 0, 0))
            ops.append((Code.WANTS, 0, 0, k, 0, 0))
            self._check(ops, spec if template is None else ("value", None), Source.GRADIENT, k)
        for k, slot, template in entry.backward or ():
            if template is not None:
                self._bare(ops, slot[1], template)
                ops.append((Code.GIVE, 0, 0, k, slot[1], 0))

    def _check(self, ops: list, spec, source: Source, index: int) -> None:
        """Operations that miss unless an object is what ``spec`` says."""
        kind = spec[0]
        if kind == "slot":
            ops.append((Code.SLOT, source, index, spec[1], 0, 0))
        elif kind == "leaf":
            self._check_leaf(ops, spec[1], source, index)
        elif kind == "number":
            ops.append((Code.NUMBER, source, index, spec[1], 0, 0))
        elif kind == "list" and not any(s[0] == "list" for s in spec[2]):
            if spec[1] is Private and self._are_new_leaves(spec[2]):
                self._check_group(ops, spec, source, index)
            else:
                self._check_items(ops, spec, source, index)
        elif kind == "value" and _is_one_object(spec[1]):
            ops.append((Code.SAME, source, index, id(spec[1]), 0, 0))
        else:
            known = self._object(spec[1]) if kind == "value" else 0
            ops.append((Code.CHECK, source, index, self._object(self._predicate(spec)), known, 0))

    def _check_leaf(self, ops: list, k: int, source: Source, index: int) -> None:
        if k in self._met:
            ops.append((Code.AGAIN, source, index, k, 0, 0))
            return
        self._met.add(k)
        leaf = self._leaves[k]
        code = Code.FRESH if leaf.history else Code.LEAF  # with a history: a new one each time
        ops.append((code, source, index, k, bool(leaf.requires),
                    self._object(partial(self._bind, k))))

    def _check_items(self, ops: list, spec, source: Source, index: int) -> None:
        _, cls, specs = spec
        is_tuple = issubclass(cls, tuple)
        ops.append((Code.OPEN_TUPLE if is_tuple else Code.OPEN_LIST, source, index,
                    self._object(cls), len(specs), 0))
        for i, inner in enumerate(specs):
            self._check(ops, inner, Source.TUPLE_ITEM if is_tuple else Source.LIST_ITEM, i)

    def _are_new_leaves(self, specs) -> bool:
        """Whether tensors are met here first, in a row, and have no history."""
        first = specs[0][1] if specs and specs[0][0] == "leaf" else -1
        return first >= 0 and specs == tuple(("leaf", first + i) for i in range(len(specs))) \
            and not any(k in self._met or self._leaves[k].history for _, k in specs)

    def _check_group(self, ops: list, spec, source: Source, index: int) -> None:
        """The group of the last run need not be looked into."""
        j, first, at = len(self.groups), spec[2][0][1], len(ops)
        self.groups.append(None)
        ops.append(())
        self._check_items(ops, spec, source, index)
        ops[at] = (Code.GROUP, source, index, j, first, len(ops) - at - 1)
        ops.append((Code.KEEP_GROUP, source, index, j, 0, 0))

    def _predicate(self, spec) -> Callable[[object], bool]:
        """Whether an object is what ``spec`` says, as a function."""
        kind, numbers = spec[0], self.numbers
        if kind in ("place", "start", "window"):
            find = start_of if kind == "window" else index_of

            def placed(x) -> bool:
                numbers[spec[1]] = find(x, *spec[2:])
                return numbers[spec[1]] >= 0

            return placed
        if kind == "slot":
            slots = self.slots
            return lambda x: x is slots[spec[1]]
        if kind == "leaf":
            if spec[1] in self._met:
                bound = self.bound
                return lambda x: x is bound[spec[1]]
            self._met.add(spec[1])
            return partial(self._bind, spec[1])
        if kind in ("key", "list"):
            cls, specs = (tuple, spec[1]) if kind == "key" else spec[1:]
            checks = [self._predicate(s) for s in specs]
            return lambda x: (type(x) is cls and len(x) == len(checks)
                              and all(check(y) for check, y in zip(checks, x, strict=True)))
        return partial(_is_value, spec[1])

    def _bare(self, ops: list, i: int, template: dict) -> None:
        """Operations that make the bare tensor of slot ``i``."""
        ops.append((Code.BARE, 0, 0, i, self._object(template["shape"]),
                    self._object(template["dtype"])))
        if template["inference"]:
            ops.append((Code.MARK, 0, 0, i, 0, 0))

    def _result(self, ops: list, spec, templates) -> tuple[Result, int]:
        """What a call returns; its tensors are made."""
        kind = spec[0]
        if kind == "none":
            return Result.NONE, 0
        if kind == "arg":
            return Result.ARG, spec[1]
        if kind == "slot":
            self._bare(ops, spec[1], next(templates))
            return Result.SLOT, spec[1]
        self._bare_all(ops, spec, templates)
        return Result.BUILT, self._object(partial(self._built, spec))

    def _bare_all(self, ops: list, spec, templates) -> None:
        if spec[0] == "slot":
            self._bare(ops, spec[1], next(templates))
        elif spec[0] == "tuple":
            for inner in spec[2]:
                self._bare_all(ops, inner, templates)

    def _built(self, spec):
        """A tuple of results."""
        if spec[0] == "slot":
            return self.slots[spec[1]]
        return build_like(spec[1], [self._built(s) for s in spec[2]])


assert len((Code.SAME, 0, 0, 0, 0, 0)) == OP_WORDS


def build_like(cls, items: list):
    """A list or tuple of the type ``cls``."""
    return cls(*items) if hasattr(cls, "_fields") else cls(items)


def _is_one_object(x) -> bool:
    """Whether nothing else is equal to it, and it is never gone."""
    return x is None or x is True or x is False


def alike(given, want) -> bool:
    """Whether an argument is what it was; tensors in it are not compared, they are something
    else."""
    if given is want:
        return True
    if type(want) is tuple:
        return type(given) is tuple and len(given) == len(want) and all(map(alike, given, want))
    return type(given) is type(want) and bool(given == want)


def _is_value(want, x) -> bool:
    if type(want) is tuple and want[:1] == (slice,):
        return type(x) is slice and (slice, x.start, x.stop, x.step) == want
    return alike(x, want)
