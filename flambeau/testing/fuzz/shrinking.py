"""Making a failing program small: statements are removed as long as it still fails."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterator

#: statements that stay
_KEPT = (ast.Import, ast.Global)


def _bodies(tree: ast.AST) -> Iterator[list]:
    """Every list of statements of a program, innermost last."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                yield body


def _changes(tree: ast.Module) -> Iterator[Callable[[], Callable[[], None]]]:
    """What may be tried: each does it and gives what undoes it."""
    for body in _bodies(tree):
        size = len(body)
        while size >= 1:  # halves first, single statements last
            for start in range(len(body) - size, -1, -size):
                yield lambda body=body, start=start, size=size: _remove(body, start, size)
            size //= 2
    for body in _bodies(tree):
        for n, statement in enumerate(body):
            if isinstance(statement, (ast.If, ast.With, ast.For, ast.Try)):
                yield lambda body=body, s=statement: _unwrap(body, s)
            if isinstance(statement, ast.For) and n >= 0:
                yield from _rounds(statement)


def _remove(body: list, start: int, size: int) -> Callable[[], None]:
    before = body[:]
    body[start:start + size] = [s for s in body[start:start + size] if isinstance(s, _KEPT)]

    def undo() -> None:
        body[:] = before

    if not body:
        body.append(ast.Pass())
    return undo


def _unwrap(body: list, statement) -> Callable[[], None]:
    """A block's statements take its place."""
    before = body[:]
    at = next((n for n, s in enumerate(body) if s is statement), None)
    if at is not None:
        body[at:at + 1] = statement.body

    def undo() -> None:
        body[:] = before

    return undo


def _rounds(loop: ast.For) -> Iterator[Callable[[], Callable[[], None]]]:
    """Fewer rounds of ``for ... in range(n)`` and of ``for ... in enumerate("...")``."""
    call = loop.iter
    if not (isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Constant)):
        return
    rounds = call.args[0]

    def become(value) -> Callable[[], None]:
        before = rounds.value
        rounds.value = value

        def undo() -> None:
            rounds.value = before

        return undo

    if isinstance(rounds.value, str):
        for n in range(1, len(rounds.value)):
            yield lambda n=n: become(rounds.value[:n])
    else:
        for n in range(1, rounds.value):
            yield lambda n=n: become(min(n, rounds.value))


def shrink(text: str, fails: Callable[[str], bool], seconds: float = 20.0) -> str:
    """A smaller program for which ``fails`` still holds."""
    end = time.monotonic() + seconds
    progress = True
    while progress and time.monotonic() < end:
        progress = False
        tree = ast.parse(text)
        for change in _changes(tree):
            if time.monotonic() > end:
                break
            undo = change()
            smaller = ast.unparse(tree) + "\n"
            if (len(smaller), smaller) < (len(text), text) and fails(smaller):
                text, progress = smaller, True
            else:
                undo()
    return text
