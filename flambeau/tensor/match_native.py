"""The native part of following: one call is compared with the expected entry of a trace.

``match(function, args, kwargs)`` walks the words of match_words.py. What an operation's code means
is said at the methods of :class:`_Writer`.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum

from ..codegen.emit import Module, Value
from ..runtime import builtin
from .match_words import HEADER, OP_WORDS, Code, Header, Lists, Result, Source, State


class _Writer:
    """Writes ``match``."""

    def __init__(self, module: Module):
        self.f, (self.function, self.args, self.kwargs) = builtin.define(module, "match", 3)
        f = self.f
        self.state = f.call("PyLong_AsVoidPtr", f.args[0])
        self.container = f.alloca("ptr")
        self.entry = f.load(self._at(self.state, State.ENTRY), "ptr")
        self._unless(self.entry.ne(f.named("ptr", "null")))
        self._header()
        self.lists = f.load(self._at(self.entry, Header.LISTS), "ptr")
        self._operations()
        self._end()
        f.label("miss")
        self._return(self._object(State.MISS))
        f.label("gone")  # an item or attribute that is not there
        f.call("PyErr_Clear")
        f.branch("miss")
        f.label("fail")  # the interpreter has an error set
        f.ret_(f.named("ptr", "null"))

    # --- small pieces ---------------------------------------------------------------------------

    def _at(self, p: Value, word: int) -> Value:
        return self.f.gep(p, 8 * int(word))

    def _word(self, p: Value, word: int, t: str = "i64") -> Value:
        return self.f.load(self._at(p, word), t)

    def _object(self, which: State) -> Value:
        return self._word(self.state, which, "ptr")

    def _pointer(self, address: Value) -> Value:
        return self.f.emit_value("ptr", f"inttoptr i64 {address} to ptr")

    def _list(self, which: Lists) -> Value:
        return self._word(self.lists, which, "ptr")

    def _unless(self, condition: Value, otherwise: str = "miss") -> None:
        """Go on where the condition holds."""
        label = f"so{self.f.fresh()}"
        self.f.branch_if(condition, label, otherwise)
        self.f.label(label)

    def _there(self, p: Value, otherwise: str = "gone") -> Value:
        self._unless(p.ne(self.f.named("ptr", "null")), otherwise)
        return p

    def _return(self, p: Value) -> None:
        self.f.call("Py_IncRef", p)
        self.f.ret_(p)

    def _attribute(self, p: Value, name: State) -> Value:
        """An attribute, which something else refers to as long as it is looked at."""
        found = self._there(self.f.call("PyObject_GetAttr", p, self._object(name)))
        self.f.call("Py_DecRef", found)
        return found

    def _set_attribute(self, p: Value, name: State, value: Value) -> None:
        answer = self.f.call("PyObject_SetAttr", p, self._object(name), value)
        self._unless(answer.eq(0), "fail")

    def _put(self, items: Value, i: Value, value: Value) -> None:
        self.f.call("Py_IncRef", value)
        self._unless(self.f.call("PyList_SetItem", items, i, value).eq(0), "fail")

    def _called(self, answer: Value) -> None:
        """Go on where a function of the interpreter said yes."""
        self._there(answer, "fail")
        self.f.call("Py_DecRef", answer)  # True and False outlive this
        self._unless(answer.eq(self._object(State.TRUE)))

    # --- the walk -------------------------------------------------------------------------------

    def _header(self) -> None:
        """The right thread, function and surroundings, and as many arguments."""
        f, entry = self.f, self.entry
        self._unless(f.call("PyThreadState_GetDict").eq(self._object(State.THREAD)))
        self._unless(self.function.eq(self._word(entry, Header.FUNCTION, "ptr")))
        self._unless(f.call("PyTuple_Size", self.args).eq(self._word(entry, Header.ARGS)))
        self._unless(f.call("PyDict_Size", self.kwargs).eq(self._word(entry, Header.KWARGS)))
        mode = f.call("PyDict_GetItem", self._object(State.MODES), self._object(State.GRAD))
        unset = mode.eq(f.named("ptr", "null"))
        mode = f.emit_value("ptr", f"select i1 {unset}, ptr {self._object(State.USUAL)}, "
                                   f"ptr {mode}")
        self._unless(mode.eq(self._word(entry, Header.MODE, "ptr")))
        around = self._object(State.AROUND)
        self._unless(around.eq(self._word(entry, Header.AROUND, "ptr")))

    def _operations(self) -> None:
        f = self.f
        counter = f.alloca("i64")
        f.store(f.const(0, "i64"), counter)
        count = self._word(self.entry, Header.OPS)
        f.label("each")
        i = f.load(counter, "i64")
        f.store(i + 1, counter)
        f.branch_if(i < count, "operation", "end")
        f.label("operation")
        op = f.gep(self.entry, (i * OP_WORDS + HEADER) * 8)
        self.a, self.b, self.c = (self._word(op, 3 + k) for k in range(3))
        self.p = self._word(op, 3, "ptr")
        self._source(self._word(op, 1), op)
        self._switch(self._word(op, 0), Code, "op")
        for code in Code:
            f.label(f"op{code.value}")
            if code is Code.GROUP:
                self._group(counter)
            else:
                getattr(self, "_" + code.name.lower())()
            f.branch("each")

    def _switch(self, value: Value, choices: type[IntEnum], prefix: str) -> None:
        cases = " ".join(f"i64 {c.value}, label %{prefix}{c.value}" for c in choices)
        self.f.emit(f"switch i64 {value}, label %miss [{cases}]")
        self.f.close()

    def _source(self, source: Value, op: Value) -> None:
        """The object that the operation looks at."""
        f = self.f
        index, name = self._word(op, 2), self._word(op, 2, "ptr")
        found = []
        self._switch(source, Source, "source")
        for choice in Source:
            f.label(f"source{choice.value}")
            if choice is Source.NOTHING:
                x = f.named("ptr", "null")
            elif choice is Source.ARG:
                x = self._there(f.call("PyTuple_GetItem", self.args, index))
            elif choice is Source.KWARG:
                x = self._there(f.call("PyDict_GetItem", self.kwargs, name))
            elif choice is Source.LIST_ITEM:
                x = self._there(f.call("PyList_GetItem", f.load(self.container, "ptr"), index))
            elif choice is Source.TUPLE_ITEM:
                x = self._there(f.call("PyTuple_GetItem", f.load(self.container, "ptr"), index))
            else:
                leaf = f.call("PyList_GetItem", self._list(Lists.BOUND), index)
                x = self._attribute(self._there(leaf), State.GRADIENT)
            f.branch("found")
            found.append((x, f.block_before))
        f.label("found")
        self.x = f.phi(*found)

    def _end(self) -> None:
        """The next call is expected; give what this one gives."""
        f, state, entry = self.f, self.state, self.entry
        f.label("end")
        after = self._word(entry, Header.AFTER)
        f.store(after, self._at(state, State.POS))
        f.store(self._word(entry, Header.NEXT), self._at(state, State.ENTRY))
        with f.if_(after.eq(1)):
            self._set_attribute(self._object(State.EXECUTE), State.OUTSTANDING,
                                self._object(State.TRUE))
        which = self._word(entry, Header.WHICH), self._word(entry, Header.WHICH, "ptr")
        self._switch(self._word(entry, Header.RESULT), Result, "result")
        f.label(f"result{Result.NONE.value}")
        self._return(self._object(State.NONE))
        f.label(f"result{Result.SLOT.value}")
        self._return(self._there(f.call("PyList_GetItem", self._list(Lists.SLOTS), which[0])))
        f.label(f"result{Result.ARG.value}")
        self._return(self._there(f.call("PyTuple_GetItem", self.args, which[0])))
        f.label(f"result{Result.BUILT.value}")
        f.ret_(f.call("PyObject_CallNoArgs", which[1]))

    # --- operations -----------------------------------------------------------------------------

    def _slot(self) -> None:
        """The tensor of slot a."""
        self._unless(self.x.eq(self.f.call("PyList_GetItem", self._list(Lists.SLOTS), self.a)))

    def _again(self) -> None:
        """The tensor that leaf a is bound to."""
        self._unless(self.x.eq(self.f.call("PyList_GetItem", self._list(Lists.BOUND), self.a)))

    def _leaf(self) -> None:
        """A tensor for leaf a: that of the last run, whose flags (b: it wants a gradient) are as
        they were, or one that the function c takes."""
        f, x = self.f, self.x
        last = f.call("PyList_GetItem", self._list(Lists.LAST), self.a)
        f.branch_if(x.eq(last), "same", "fresh")
        f.label("same")
        history = self._attribute(x, State.FN)
        self._unless(history.eq(self._object(State.NONE)), "fresh")
        requires = self._attribute(x, State.REQUIRES).eq(self._object(State.TRUE))
        f.branch_if(self.b.ne(0), "wanting", "unwanting")
        f.label("unwanting")
        f.branch_if(requires, "fresh", "taken")
        f.label("wanting")
        self._unless(requires, "fresh")
        hooks = f.call("PyObject_IsTrue", self._attribute(x, State.HOOKS))
        f.branch_if(hooks.eq(0), "taken", "fresh")
        f.label("taken")
        self._put(self._list(Lists.BOUND), self.a, x)

    def _fresh(self) -> None:
        """A tensor that the function c takes for leaf a."""
        f = self.f
        f.branch("fresh")
        f.label("fresh")
        self._called(f.call("PyObject_CallOneArg", self._pointer(self.c), self.x))

    def _same(self) -> None:
        """The object a itself."""
        self._unless(self.x.eq(self.p))

    def _check(self) -> None:
        """What the function a says yes to; the object b needs no question."""
        f = self.f
        with f.if_(self.x.ne(self._pointer(self.b))):
            self._called(f.call("PyObject_CallOneArg", self.p, self.x))

    def _number(self) -> None:
        """A float, the run's number a."""
        self._unless(self._word(self.x, 1, "ptr").eq(self._object(State.FLOAT)))
        self._put(self._list(Lists.NUMBERS), self.a, self.x)

    def _open_list(self) -> None:
        """A list of the very type a with b items, which the next operations look at."""
        self._unless(self._word(self.x, 1, "ptr").eq(self.p))
        self._unless(self.f.call("PyList_Size", self.x).eq(self.b))
        self.f.store(self.x, self.container)

    def _open_tuple(self) -> None:
        """A tuple of the very type a with b items, which the next operations look at."""
        self._unless(self._word(self.x, 1, "ptr").eq(self.p))
        self._unless(self.f.call("PyTuple_Size", self.x).eq(self.b))
        self.f.store(self.x, self.container)

    def _group(self, counter: Value) -> None:
        """The same Private group a as in the last run: its tensors are those of the leaves from b
        on; the next c operations would look into it."""
        f = self.f
        last = f.call("PyList_GetItem", self._list(Lists.LAST_GROUPS), self.a)
        with f.if_(self.x.eq(last)):
            bound = self._list(Lists.BOUND)
            with f.loop(0, f.call("PyTuple_Size", self.x)) as each:
                item = self._there(f.call("PyTuple_GetItem", self.x, each.i))
                self._put(bound, self.b + each.i, item)
            f.store(f.load(counter, "i64") + self.c, counter)

    def _keep_group(self) -> None:
        """The Private group of this run."""
        self._put(self._list(Lists.GROUPS), self.a, self.x)

    def _wants(self) -> None:
        """Leaf a is bound to a tensor that wants a gradient and has no hooks."""
        f = self.f
        leaf = self._there(f.call("PyList_GetItem", self._list(Lists.BOUND), self.a))
        self._unless(leaf.ne(self._object(State.NONE)))
        self._unless(self._attribute(leaf, State.REQUIRES).eq(self._object(State.TRUE)))
        self._unless(f.call("PyObject_IsTrue", self._attribute(leaf, State.HOOKS)).eq(0))

    def _do(self) -> None:
        """What the function a does, which may say no."""
        self._called(self.f.call("PyObject_CallNoArgs", self.p))

    def _bare(self) -> None:
        """A bare tensor for slot a, of shape b and dtype c."""
        f = self.f
        shape, dtype = self._pointer(self.b), self._pointer(self.c)
        t = self._there(f.call("PyType_GenericAlloc", self._object(State.TENSOR),
                               f.const(0, "i64")), "fail")
        # the list has it from now on, whatever comes
        self._unless(f.call("PyList_SetItem", self._list(Lists.SLOTS), self.a, t).eq(0), "fail")
        self._set_attribute(t, State.SHAPE, shape)
        self._set_attribute(t, State.DTYPE, dtype)
        number = self._there(f.call("PyLong_FromLong", self.a + 1), "fail")
        answer = f.call("PyObject_SetAttr", t, self._object(State.RUN), number)
        f.call("Py_DecRef", number)
        self._unless(answer.eq(0), "fail")

    def _mark(self) -> None:
        """The bare tensor of slot a is made in inference mode."""
        t = self._there(self.f.call("PyList_GetItem", self._list(Lists.SLOTS), self.a))
        self._set_attribute(t, State.INFERENCE, self._object(State.TRUE))

    def _give(self) -> None:
        """The tensor of slot b becomes the gradient of leaf a."""
        f = self.f
        leaf = self._there(f.call("PyList_GetItem", self._list(Lists.BOUND), self.a))
        t = self._there(f.call("PyList_GetItem", self._list(Lists.SLOTS), self.b))
        self._set_attribute(leaf, State.GRADIENT, t)


def _text() -> str:
    module = Module()
    builtin.interface(module)
    _Writer(module)
    return str(module)


def matcher(state: int):
    """The function ``match`` for a state at an address."""
    return builtin.functions(_text, "match", {"match": "match(function, args, kwargs)"}, state)[0]


def thread() -> dict:
    """What the interpreter keeps for the calling thread: while somebody holds it, no other thread
    has the same (numbers of threads come again)."""
    get = ctypes.pythonapi.PyThreadState_GetDict
    get.restype = ctypes.c_void_p  # borrowed
    return ctypes.cast(get(), ctypes.py_object).value
