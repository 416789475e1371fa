"""The machine code of counts.py."""

from __future__ import annotations

from collections.abc import Callable

from ..codegen.emit import Function, Module, Value
from . import builtin


def functions() -> list[Callable]:
    """``are`` and ``below``."""
    return builtin.functions(_text, "counts", {
        "counts_are": "are(objects, expected)", "counts_below": "below(objects, most)"})


def _count(f: Function, objects: Value, i: Value) -> Value:
    """The references to an object of a list: the word that every object begins with."""
    return f.load(f.call("PyList_GetItem", objects, i), "i32")


def _answer(f: Function, yes: bool) -> None:
    f.ret_(f.call("PyBool_FromLong", f.const(int(yes), "i64")))


def _text() -> str:
    module = Module()
    builtin.interface(module)
    f, (objects, expected) = builtin.define(module, "counts_are", 2)
    n = f.call("PyList_Size", objects)
    with f.if_(n.ne(f.call("PyList_Size", expected))):
        _answer(f, False)
    with f.loop(0, n) as each:
        want = f.call("PyLong_AsLongLong", f.call("PyList_GetItem", expected, each.i))
        with f.if_(_count(f, objects, each.i).ne(f.convert(want, "i32"))):
            _answer(f, False)
    _answer(f, True)
    f, (objects, most) = builtin.define(module, "counts_below", 2)
    limit = f.convert(f.call("PyLong_AsLongLong", most), "i32")
    with f.loop(0, f.call("PyList_Size", objects)) as each:
        with f.if_(_count(f, objects, each.i) >= limit):
            _answer(f, False)
    _answer(f, True)
    return str(module)
