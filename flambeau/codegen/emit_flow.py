"""Loops and branches of the text emitter, as context managers.

Phi instructions need values that are known only when a loop or branch closes: a line is reserved
for each and written at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flambeau.codegen.emit import Function, Value


class Loop:
    """``for i in range(start, stop, step)`` with carried values; made by :meth:`Function.loop`.

    Attributes:
        i: the counter, an i64.
        carried: values at the start of an iteration, one for each initial value.
        results: after the block, the values that left the last iteration.
    """

    def __init__(self, f: Function, start, stop, step, carry: Sequence[Value],
                 at_least_once: bool):
        self.f, self.carry = f, list(carry)
        self.start, self.stop, self.step = (f.const(x, "i64") for x in (start, stop, step))
        self.guarded = not at_least_once
        n = f.fresh()
        self.body, self.exit = f"body{n}", f"exit{n}"
        if self.guarded:
            f.branch_if(self.start < self.stop, self.body, self.exit)
        else:
            f.branch(self.body)
        self.before = f.block_before
        f.label(self.body)
        self.first_phi = f.reserve(1 + len(self.carry))
        self.i = f.named("i64", f"%i{n}")
        self.carried = [f.named(c.type, f"%c{n}_{k}") for k, c in enumerate(self.carry)]
        self.results: list[Value] = []
        self._next: list[Value] = []

    def __enter__(self) -> Loop:
        return self

    def next(self, *values: Value) -> None:
        """Give the carried values of the next iteration; called once, inside the block."""
        self._next = list(values)

    def __exit__(self, kind, *_) -> None:
        if kind is not None:
            return
        f, new = self.f, self._next
        if len(new) != len(self.carry):
            raise ValueError(f"the loop carries {len(self.carry)} values, next() gave {len(new)}")
        following = self.i + self.step
        again = following < self.stop
        latch = f.block
        f.branch_if(again, self.body, self.exit)
        inside = [self.i, *self.carried]
        for k, (v, a, b) in enumerate(zip(inside, [self.start, *self.carry], [following, *new],
                                          strict=True)):
            f.fill(self.first_phi + k,
                   f"{v} = phi {v.type} [{a}, %{self.before}], [{b}, %{latch}]")
        f.label(self.exit)
        if self.guarded:
            self.results = [f.phi((a, self.before), (b, latch))
                            for a, b in zip(self.carry, new, strict=True)]
        else:
            self.results = new


class While:
    """A loop left from its middle; made by :meth:`Function.while_`.

    Inside the block call :meth:`leave_unless` once or more, then :meth:`next`.

    Attributes:
        carried: values at the start of an iteration, one for each initial value. They are also
            what a user reads after the block.
    """

    def __init__(self, f: Function, carry: Sequence[Value]):
        self.f, self.carry = f, list(carry)
        n = f.fresh()
        self.head, self.exit = f"head{n}", f"exit{n}"
        f.branch(self.head)
        self.before = f.block_before
        f.label(self.head)
        self.first_phi = f.reserve(len(self.carry))
        self.carried = [f.named(c.type, f"%w{n}_{k}") for k, c in enumerate(self.carry)]
        self._next: list[Value] = []

    def __enter__(self) -> While:
        return self

    def leave_unless(self, condition: Value) -> None:
        """Leave the loop when the i1 ``condition`` is false."""
        label = f"go{self.f.fresh()}"
        self.f.branch_if(condition, label, self.exit)
        self.f.label(label)

    def next(self, *values: Value) -> None:
        """Give the carried values of the next iteration."""
        self._next = list(values)

    def __exit__(self, kind, *_) -> None:
        if kind is not None:
            return
        f, latch = self.f, self.f.block
        f.branch(self.head)
        for k, (v, a, b) in enumerate(zip(self.carried, self.carry, self._next, strict=True)):
            f.fill(self.first_phi + k,
                   f"{v} = phi {v.type} [{a}, %{self.before}], [{b}, %{latch}]")
        f.label(self.exit)


class If:
    """``if condition: ... else: ...``; made by :meth:`Function.if_`.

    A branch may :meth:`give` values; after the block ``results`` holds the ones of the branch
    that ran (then both branches must give as many).
    """

    def __init__(self, f: Function, condition: Value):
        self.f, self.condition = f, condition
        n = f.fresh()
        self.then, self.otherwise, self.exit = f"then{n}", f"else{n}", f"end{n}"
        self.has_else = False
        self.line = f.reserve(1)
        f.close()
        self.given: list[tuple[list[Value], str]] = []
        self.results: list[Value] = []
        f.label(self.then)

    def __enter__(self) -> If:
        return self

    def give(self, *values: Value) -> None:
        """The values this branch gives; the last statement of the branch."""
        self.given.append((list(values), self.f.block))

    def else_(self) -> None:
        """End the first branch and start the second."""
        self.f.branch(self.exit)
        self.f.label(self.otherwise)
        self.has_else = True

    def __exit__(self, kind, *_) -> None:
        if kind is not None:
            return
        f = self.f
        other = self.otherwise if self.has_else else self.exit
        f.fill(self.line, f"br i1 {self.condition}, label %{self.then}, label %{other}")
        f.branch(self.exit)
        f.label(self.exit)
        if self.given:
            (a, in_a), (b, in_b) = self.given
            self.results = [f.phi((x, in_a), (y, in_b)) for x, y in zip(a, b, strict=True)]
