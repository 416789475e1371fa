"""Positions at which views begin, and what becomes of them.

While a program's calls are recorded (tensor/record.py), the position at which an index or a slice
begins is :class:`Marked`: an int that stays known through the arithmetic of views and of their
gradients. So the offsets in a graph are found again among the arguments of calls, and the recorded
step can be followed with others.
"""

from __future__ import annotations

from collections.abc import Callable


class Mark:
    """One argument of the program.

    Attributes:
        value: the number that it was.
    """

    __slots__ = ("value",)

    def __init__(self, value: int):
        self.value = value


class _Noting:
    """What the recorder wants to know.

    Attributes:
        begin: gives a position marked; None while positions are just numbers.
        watching: whether a recorded call is being made.
        lost: whether one has done with a marked number what is not known to be the same for others
            (a comparison, a division).
    """

    begin: Callable[[int], int] | None = None
    watching = lost = False


noting = _Noting()


def begin(at: int) -> int:
    """The position at which a view begins, marked if somebody wants to know."""
    return at if noting.begin is None else noting.begin(at)


class Marked(int):
    """A whole number of which is known how it follows from arguments of the program.

    Attributes:
        terms: factors by mark; the rest is constant.
    """

    terms: dict[Mark, int]

    def __add__(self, x):
        if not isinstance(x, int):
            return _unknown()
        terms = dict(self.terms)
        if type(x) is Marked:
            for mark, n in x.terms.items():
                terms[mark] = terms.get(mark, 0) + n
        return marked(int(self) + int(x), terms)

    __radd__ = __add__

    def __neg__(self):
        return self * -1

    def __sub__(self, x):
        return self + -x

    def __rsub__(self, x):
        return self * -1 + x

    def __mul__(self, x):
        if not isinstance(x, int):
            return _unknown()
        if type(x) is Marked:
            noting.lost |= noting.watching
        return marked(int(self) * int(x), {mark: n * int(x) for mark, n in self.terms.items()})

    __rmul__ = __mul__
    __hash__ = int.__hash__


def marked(value: int, terms: dict[Mark, int]) -> int:
    """A number with its terms; a plain one where these cancel out."""
    terms = {mark: n for mark, n in terms.items() if n}
    if not terms:
        return value
    out = Marked(value)
    out.terms = terms
    return out


def _unknown():
    """Something is done with a marked number that cannot be repeated with another one."""
    noting.lost |= noting.watching
    return NotImplemented


def _losing(name: str):
    plain = getattr(int, name)

    def method(self, *args):
        _unknown()
        return plain(self, *args)

    return method


for _name in ("eq", "ne", "lt", "le", "gt", "ge", "bool", "floordiv", "rfloordiv", "mod", "rmod",
              "divmod", "rdivmod", "truediv", "rtruediv", "pow", "rpow", "lshift", "rlshift",
              "rshift", "rrshift", "and", "rand", "or", "ror", "xor", "rxor", "abs", "float"):
    setattr(Marked, f"__{_name}__", _losing(f"__{_name}__"))
