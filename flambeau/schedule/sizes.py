"""Sizes that are not known yet: numbers that write down what is computed from them.

A :class:`Size` behaves as the integer it has in the program at hand, and notes every operation and
the outcome of every comparison on its :class:`Tape`. So the ordinary planning code, given a graph
with such sizes in it, makes a plan for the sizes at hand and, beside it, a record of how each
number of the plan follows from the sizes, and of which comparisons must come out as they did.
Played again with other sizes, the record gives the numbers of their plan, or says that theirs is
another one.

What cannot be written down (a size as a key of a dict, as a list's length) raises :class:`Unlike`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from itertools import chain

Line = tuple[str | None, str, "Size | int", "Size | int", bool]

_OPS: dict[str, Callable] = {"+": operator.add, "-": operator.sub, "*": operator.mul,
                             "//": operator.floordiv, "%": operator.mod}
_CHECKS: dict[str, Callable] = {"==": operator.eq, "<": operator.lt, "<=": operator.le}


class Unlike(TypeError):
    """Sizes that a plan with other sizes cannot stand for."""


class Tape:
    """What was computed from some sizes.

    Attributes:
        inputs: the sizes, named ``s0``, ``s1``, ...
        lines: in order ``(name of the result, or None for a check; operator; operands; outcome)``.
    """

    def __init__(self, values: list[int]):
        self.lines: list[Line] = []
        self._known: dict[tuple, Size] = {}
        self._checked: set[tuple] = set()
        self.inputs = [Size(self, f"s{n}", value) for n, value in enumerate(values)]

    def compute(self, op: str, a, b) -> Size:
        """The result of an operation, of which at least one operand is a size."""
        key = op, text(a), text(b)
        found = self._known.get(key)
        if found is None:
            name = f"t{len(self._known)}"
            found = self._known[key] = Size(self, name, _OPS[op](value(a), value(b)))
            self.lines.append((name, op, a, b, True))
        return found

    def check(self, op: str, a, b) -> bool:
        """The outcome of a comparison, noted."""
        outcome = _CHECKS[op](value(a), value(b))
        key = op, text(a), text(b)
        if key not in self._checked:
            self._checked.add(key)
            self.lines.append((None, op, a, b, outcome))
        return outcome

    def source(self, wanted: set[str]) -> list[str]:
        """The record as lines of Python: results that ``wanted`` or a check need; a check that
        comes out otherwise returns None."""
        needed, out = set(wanted), []
        for name, op, a, b, outcome in reversed(self.lines):
            if name is not None and name not in needed:
                continue
            needed.update(x.name for x in (a, b) if isinstance(x, Size))
            expression = f"{text(a)} {op} {text(b)}"
            if name is not None:
                out.append(f"{name} = {expression}")
            else:
                out.append(f"if {f'not ({expression})' if outcome else expression}: return None")
        out.reverse()
        return out


class Size:
    """A whole number that notes what is done with it; see the module's text."""

    __slots__ = ("name", "tape", "value")

    def __init__(self, tape: Tape, name: str, value: int):
        self.tape, self.name, self.value = tape, name, value

    def __repr__(self) -> str:
        return f"{self.name}={self.value}"

    def __add__(self, x):
        return self if type(x) is int and x == 0 else self.tape.compute("+", self, x)

    __radd__ = __add__

    def __sub__(self, x):
        return self if type(x) is int and x == 0 else self.tape.compute("-", self, x)

    def __rsub__(self, x):
        return self.tape.compute("-", x, self)

    def __neg__(self):
        return self.tape.compute("-", 0, self)

    def __mul__(self, x):
        if type(x) is int and x in (0, 1):
            return self if x else 0
        return self.tape.compute("*", self, x)

    __rmul__ = __mul__

    def __floordiv__(self, x):
        return self if type(x) is int and x == 1 else self.tape.compute("//", self, x)

    def __rfloordiv__(self, x):
        return self.tape.compute("//", x, self)

    def __mod__(self, x):
        return 0 if type(x) is int and x == 1 else self.tape.compute("%", self, x)

    def __rmod__(self, x):
        return self.tape.compute("%", x, self)

    def __divmod__(self, x):
        return self // x, self % x

    def __rdivmod__(self, x):
        return x // self, x % self

    def __abs__(self):
        return -self if self < 0 else self

    def __eq__(self, x):
        if type(x) is not int and type(x) is not Size:
            return NotImplemented
        return x is self or self.tape.check("==", self, x)

    def __ne__(self, x):
        if type(x) is not int and type(x) is not Size:
            return NotImplemented
        return x is not self and not self.tape.check("==", self, x)

    def __lt__(self, x):
        return self.tape.check("<", self, x)

    def __le__(self, x):
        return self.tape.check("<=", self, x)

    def __gt__(self, x):
        return self.tape.check("<", x, self)

    def __ge__(self, x):
        return self.tape.check("<=", x, self)

    def __bool__(self) -> bool:
        return not self.tape.check("==", self, 0)

    def __index__(self) -> int:
        raise Unlike("a size is used where only a number will do")

    __int__ = __float__ = __index__

    def __hash__(self) -> int:
        raise Unlike("a size is used as a key")


class Table:
    """A dict whose keys may contain sizes: those are compared one by one."""

    def __init__(self):
        self._plain: dict = {}
        self._sized: list[tuple] = []

    def get(self, key):
        """The value, or None."""
        if not self._sized:
            try:
                return self._plain.get(key)
            except Unlike:
                pass
        return next((v for k, v in chain(self._plain.items(), self._sized) if k == key), None)

    def __setitem__(self, key, value) -> None:
        try:
            self._plain[key] = value
        except Unlike:
            self._sized = [(k, v) for k, v in self._sized if k != key] + [(key, value)]


def union(*parts: Iterable) -> list:
    """All different numbers, in the order in which they appear."""
    out: list = []
    for part in parts:
        out.extend(x for x in part if x not in out)
    return out


def stride_class(step: int) -> int:
    """How a kernel tells a step: 0 and 1 are part of its code, any other (2) is an argument."""
    return 0 if step == 0 else 1 if step == 1 else 2


def value(x) -> int:
    """The number at hand."""
    return x.value if type(x) is Size else x


def text(x) -> str:
    """A number or size in a line of Python."""
    return x.name if type(x) is Size else repr(x)
