"""The native part of a step that repeats the last one in everything but its inputs.

``repeat(words)`` runs the plan and leaves its results as the last run's were left; False, and
nothing has happened, where anything is not as it was. The words are those of repeat_words.py.
"""

from __future__ import annotations

from collections.abc import Callable

from ..codegen.emit import Module, Value
from ..runtime import builtin
from .match_words import State
from .repeat_words import Known


class _Writer:
    """Writes ``repeat``."""

    def __init__(self, module: Module):
        self.f, (words,) = builtin.define(module, "repeat", 1)
        f = self.f
        self.words = f.call("PyLong_AsVoidPtr", words)
        self._undisturbed()
        self._numbers()
        self._run()
        self._leave()
        f.ret_(f.call("PyBool_FromLong", f.const(1, "i64")))
        f.label("no")
        f.call("PyErr_Clear")
        f.ret_(f.call("PyBool_FromLong", f.const(0, "i64")))
        f.label("fail")
        f.ret_(f.named("ptr", "null"))

    # --- small pieces ---------------------------------------------------------------------------

    def _word(self, which: Known, t: str = "i64") -> Value:
        return self.f.load(self.f.gep(self.words, 8 * which), t)

    def _object(self, which: Known) -> Value:
        return self._word(which, "ptr")

    def _unless(self, condition: Value, otherwise: str = "no") -> None:
        """Go on where the condition holds."""
        label = f"so{self.f.fresh()}"
        self.f.branch_if(condition, label, otherwise)
        self.f.label(label)

    def _attribute(self, of: Known, name: Known) -> Value:
        """An attribute, which its object keeps."""
        found = self.f.call("PyObject_GetAttr", self._object(of), self._object(name))
        self._unless(found.ne(self.f.named("ptr", "null")))
        self.f.call("Py_DecRef", found)
        return found

    def _set(self, of: Known, name: Known, value: Known) -> None:
        answer = self.f.call("PyObject_SetAttr", self._object(of), self._object(name),
                             self._object(value))
        self._unless(answer.eq(0), "fail")

    def _references(self, p: Value) -> Value:
        return self.f.load(p, "i32")

    def _counts(self, objects: Known, expected: Known) -> None:
        """Each object of a list has just so many references."""
        f = self.f
        some, numbers = self._object(objects), self._object(expected)
        n = f.call("PyList_Size", some)
        self._unless(n.eq(f.call("PyList_Size", numbers)))
        with f.loop(0, n) as each:
            want = f.call("PyLong_AsLongLong", f.call("PyList_GetItem", numbers, each.i))
            have = self._references(f.call("PyList_GetItem", some, each.i))
            self._unless(have.eq(f.convert(want, "i32")))

    # --- the parts ------------------------------------------------------------------------------

    def _undisturbed(self) -> None:
        """All is as the last run left it, and all calls were made."""
        f = self.f
        self._unless(self._word(Known.REPEATED) < self._word(Known.MOST))
        state = self._object(Known.STATE)
        made = f.load(f.gep(state, 8 * State.POS), "i64")
        self._unless(made.eq(self._word(Known.CALLS)))
        thread = f.load(f.gep(state, 8 * State.THREAD), "ptr")
        self._unless(f.call("PyThreadState_GetDict").eq(thread))
        for which in (Known.RUNS, Known.PENDING):
            self._unless(f.call("PyList_Size", self._object(which)).eq(0))
        for name, known in ((Known.COUNTS_TOUCHES, Known.TOUCHES),
                            (Known.COUNTS_FLUSHES, Known.FLUSHES)):
            now = f.call("PyDict_GetItem", self._object(Known.EXECUTE), self._object(name))
            self._unless(now.eq(self._object(known)))
        self._unless(self._attribute(Known.PLAN, Known.USER).eq(self._object(Known.BINDING)))
        self._unless(self._attribute(Known.BLOCK, Known.BUSY).eq(self._object(Known.FALSE)))
        where = f.call("PyLong_AsLongLong", self._attribute(Known.BLOCK, Known.WHERE))
        self._unless(where.eq(self._word(Known.ADDRESS)))
        debug = f.call("PyObject_IsTrue", self._attribute(Known.FLAGS, Known.DEBUG))
        self._unless(debug.eq(0))
        self._unless(self._references(self._object(Known.RUN)).eq(2))
        self._unless(f.call("PyDict_Size", self._object(Known.RUN_STORAGES)).eq(0))
        slots = self._object(Known.RUN_SLOTS)
        with f.loop(0, f.call("PyList_Size", slots)) as each:
            held = self._references(f.call("PyList_GetItem", slots, each.i))
            self._unless(held.eq(1))
        self._counts(Known.SLOTS, Known.USUAL)
        self._counts(Known.ARRAYS, Known.FREE)

    def _numbers(self) -> None:
        """The plan's numbers are those of this run."""
        f = self.f
        cells, numbers = self._object(Known.CELLS), self._object(Known.NUMBERS)
        with f.loop(0, self._word(Known.CELL_COUNT)) as each:
            cell = f.gep(cells, each.i * 24)
            where, size = f.load(cell, "ptr"), f.load(f.gep(cell, 8), "i64")
            item = f.call("PyList_GetItem", numbers, f.load(f.gep(cell, 16), "i64"))
            number = f.call("PyFloat_AsDouble", item)
            with f.if_(size.eq(8)) as branch:
                f.store(number, where)
                branch.else_()
                f.store(f.convert(number, "float"), where)

    def _run(self) -> None:
        """The kernels; the first row, which copies addresses, where one has changed."""
        f = self.f
        dirty = self._attribute(Known.PLAN, Known.DIRTY).eq(self._object(Known.TRUE))
        with f.if_(self._word(Known.RUNNER).ne(0)) as alone:
            table, rows = self._word(Known.TABLE), self._word(Known.ROWS)
            skipped = f.select(dirty, f.const(0, "i64"), f.const(1, "i64"))
            f.call_pointer(self._object(Known.RUNNER), "void", table + skipped * 24,
                           rows - skipped)
            alone.else_()
            some, others = (f.emit_value("i64", f"ptrtoint ptr {self._object(x)} to i64")
                            for x in (Known.ALL_ROWS, Known.OTHER_ROWS))
            args = f.emit_value("ptr", f"inttoptr i64 {f.select(dirty, some, others)} to ptr")
            answer = f.call("PyObject_CallObject", self._object(Known.TEAM), args)
            self._unless(answer.ne(f.named("ptr", "null")), "fail")
            f.call("Py_DecRef", answer)
        with f.if_(dirty):
            self._set(Known.PLAN, Known.DIRTY, Known.FALSE)
        stops = self._object(Known.STOPS)
        with f.loop(0, self._word(Known.STOP_COUNT)) as each:
            self._unless(f.load(f.gep(stops, each.i * 8), "i64").eq(0))

    def _leave(self) -> None:
        """The run's tensors are those of this step; the trace stands at its first call. What was
        there before goes when all is done: that may run code of the program."""
        f = self.f
        old = [self._moved(to, source) for to, source in (
            (Known.RUN_SLOTS, Known.SLOTS), (Known.LAST, Known.BOUND),
            (Known.LAST_GROUPS, Known.GROUPS))]
        self._replace(self._object(Known.SLOTS), self._object(Known.NO_SLOTS))
        self._replace(self._object(Known.BOUND), self._object(Known.NO_LEAVES))
        f.store(self._word(Known.REPEATED) + 1, f.gep(self.words, 8 * Known.REPEATED))
        state = self._object(Known.STATE)
        f.store(f.const(0, "i64"), f.gep(state, 8 * State.POS))
        f.store(self._word(Known.FIRST), f.gep(state, 8 * State.ENTRY))
        answer = f.call("PyDict_SetItem", *map(self._object, (
            Known.EXECUTE, Known.OUTSTANDING, Known.FALSE)))
        self._unless(answer.eq(0), "fail")
        for items in old:
            with f.if_(items.ne(f.named("ptr", "null"))):
                f.call("Py_DecRef", items)

    def _moved(self, to: Known, source: Known) -> Value:
        """Put the objects of a list into another one; a list of those that were there, or nothing
        where they are the same."""
        f = self.f
        target, items = self._object(to), self._object(source)
        n = f.call("PyList_Size", target)
        kept = f.alloca("ptr")
        f.store(f.named("ptr", "null"), kept)
        with f.while_([f.const(0, "i64")]) as w:
            (i,) = w.carried
            w.leave_unless(i < n)
            w.leave_unless(f.call("PyList_GetItem", target, i).eq(
                f.call("PyList_GetItem", items, i)))
            w.next(i + 1)
        with f.if_(w.carried[0] < n):
            old = f.call("PyList_GetSlice", target, f.const(0, "i64"), n)
            self._unless(old.ne(f.named("ptr", "null")), "fail")
            self._replace(target, items)
            f.store(old, kept)
        return f.load(kept, "ptr")

    def _replace(self, target: Value, items: Value) -> None:
        f = self.f
        n = f.call("PyList_Size", target)
        answer = f.call("PyList_SetSlice", target, f.const(0, "i64"), n, items)
        self._unless(answer.eq(0), "fail")


def _text() -> str:
    module = Module()
    builtin.interface(module)
    _Writer(module)
    return str(module)


def function() -> Callable[[int], bool]:
    """``repeat``."""
    return builtin.functions(_text, "repeat", {"repeat": "repeat(words)"})[0]


