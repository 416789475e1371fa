"""A reader of pickles that executes nothing: the machine behind ``torch.load(weights_only=True)``.

A pickle is a program for a stack machine. This machine knows the instructions that build plain
data; names resolve to the functions of a given table only, objects are made by those functions
only, and state goes into ordered dicts only. Whatever else a file asks for is an UnpicklingError.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError, decode_long

_I16, _I32, _U32, _U64, _F64 = map(struct.Struct, ("<H", "<i", "<I", "<Q", ">d"))

#: the pickle instructions this machine follows, by their one-byte codes
_OPS: dict[int, Callable] = {}


def _op(code: bytes):
    def declare(function):
        _OPS[code[0]] = function
        return function

    return declare


class Stop(Exception):
    """The end of the program; carries the result."""


class Machine:
    """Runs one pickle.

    Args:
        data: the bytes of the pickle.
        names: "module.name" -> what it stands for (callables must be harmless whatever they are
            given).
        user_names: what the program has declared safe, in the same form.
        storage: called with every persistent id; gives the object.
        encoding: of byte strings that Python 2 wrote.
    """

    def __init__(self, data: bytes, names: dict, user_names: dict, storage: Callable,
                 encoding: str = "utf-8"):
        self.data, self.at = data, 0
        self.names, self.user_names = names, user_names
        self.storage, self.encoding = storage, encoding
        self.stack: list = []
        self.marks: list[list] = []
        self.memo: dict[int, object] = {}
        self._trusted = {id(v) for v in user_names.values()}
        self._known = {id(v) for v in names.values()} | self._trusted

    def load(self):
        """The object that the pickle describes.

        Raises:
            UnpicklingError: the pickle asks for what is not allowed, or is no pickle.
        """
        data, steps = self.data, _OPS
        try:
            while True:
                code = data[self.at]
                self.at += 1
                step = steps.get(code)
                if step is None:
                    raise UnpicklingError(f"Unsupported operand {code}")
                step(self)
        except Stop as end:
            return end.args[0]
        except (IndexError, KeyError, struct.error, UnicodeDecodeError, ValueError,
                OverflowError, TypeError, AttributeError) as error:
            raise UnpicklingError(f"the pickle is damaged at byte {self.at}: "
                                  f"{type(error).__name__}: {error}") from error

    # -- reading ---------------------------------------------------------------------------------

    def take(self, n: int) -> bytes:
        """The next ``n`` bytes."""
        end = self.at + n
        if n < 0 or end > len(self.data):
            raise UnpicklingError(f"the pickle ends in the middle, at byte {len(self.data)}")
        chunk = self.data[self.at:end]
        self.at = end
        return chunk

    def byte(self) -> int:
        """The next byte as a number."""
        n = self.data[self.at]
        self.at += 1
        return n

    def number(self, packed: struct.Struct) -> int:
        """The next number, packed as ``struct`` says."""
        n = packed.unpack_from(self.data, self.at)[0]
        self.at += packed.size
        return n

    def line(self) -> str:
        """Text up to the end of the line."""
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise UnpicklingError("the pickle ends in the middle of a name")
        text = self.data[self.at:end].decode("utf-8")
        self.at = end + 1
        return text

    def pop_mark(self) -> list:
        """Everything since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    # -- names and objects -----------------------------------------------------------------------

    def find(self, module: str, name: str):
        """What a name stands for."""
        path = f"{module}.{name}".replace("__builtin__.", "builtins.")
        for table in (self.names, self.user_names):
            if path in table:
                return table[path]
        shown = path.removeprefix("builtins.")
        raise UnpicklingError(
            f"Unsupported global: GLOBAL {shown} was not an allowed global by default. Please use "
            f"`torch.serialization.add_safe_globals([{shown}])` or the "
            f"`torch.serialization.safe_globals([{shown}])` context manager to allowlist this "
            "global if you trust this class/function.")

    def known(self, thing) -> bool:
        """Whether an object came from the tables (and not from the data)."""
        return id(thing) in self._known

    def trusted_class(self, thing) -> bool:
        """Whether the program itself has declared a class safe."""
        return id(thing) in self._trusted


@_op(b"\x80")
def _proto(m):
    if m.byte() > 5:
        raise UnpicklingError("this pickle protocol is newer than the ones known here")


@_op(b"\x95")
def _frame(m):
    m.take(8)


@_op(b".")
def _stop(m):
    raise Stop(m.stack.pop())


@_op(b"(")
def _mark(m):
    m.marks.append(m.stack)
    m.stack = []


@_op(b"0")
def _pop(m):
    if m.stack:
        m.stack.pop()
    else:
        m.pop_mark()


@_op(b"1")
def _pop_mark(m):
    m.pop_mark()


# -- plain data ------------------------------------------------------------------------------------


def _constant(code: bytes, make: Callable) -> None:
    _OPS[code[0]] = lambda m: m.stack.append(make())


for _code, _make in ((b"N", lambda: None), (b"\x88", lambda: True), (b"\x89", lambda: False),
                     (b")", tuple), (b"]", list), (b"}", dict), (b"\x8f", set)):
    _constant(_code, _make)


def _value(code: bytes, read: Callable) -> None:
    def step(m):
        m.stack.append(read(m))

    _OPS[code[0]] = step


def _old_number(text: str):
    return text == "01" if text in ("00", "01") else int(text)


def _old_text(m, n: int):
    raw = m.take(n)
    return raw if m.encoding == "bytes" else raw.decode(m.encoding)


def _text(m, n: int) -> str:
    return m.take(n).decode("utf-8", "surrogatepass")


for _code, _read in (
        (b"J", lambda m: m.number(_I32)), (b"K", Machine.byte), (b"M", lambda m: m.number(_I16)),
        (b"G", lambda m: m.number(_F64)), (b"I", lambda m: _old_number(m.line())),
        (b"\x8a", lambda m: decode_long(m.take(m.byte()))),
        (b"\x8b", lambda m: decode_long(m.take(m.number(_I32)))),
        (b"X", lambda m: _text(m, m.number(_U32))), (b"\x8c", lambda m: _text(m, m.byte())),
        (b"\x8d", lambda m: _text(m, m.number(_U64))),
        (b"B", lambda m: m.take(m.number(_U32))), (b"C", lambda m: m.take(m.byte())),
        (b"\x8e", lambda m: m.take(m.number(_U64))),
        (b"\x96", lambda m: bytearray(m.take(m.number(_U64)))),
        (b"T", lambda m: _old_text(m, m.number(_I32))),
        (b"U", lambda m: _old_text(m, m.byte()))):
    _value(_code, _read)


@_op(b"t")
def _tuple(m):
    items = tuple(m.pop_mark())
    m.stack.append(items)


def _tuple_of(n: int):
    def step(m):
        if len(m.stack) < n:
            raise UnpicklingError("the pickle's stack is empty")
        items = tuple(m.stack[-n:])
        m.stack[-n:] = [items]

    return step


for _n, _code in ((1, b"\x85"), (2, b"\x86"), (3, b"\x87")):
    _OPS[_code[0]] = _tuple_of(_n)


@_op(b"l")
def _list(m):
    items = m.pop_mark()
    m.stack.append(items)


@_op(b"d")
def _dict(m):
    items = m.pop_mark()
    m.stack.append(dict(zip(items[::2], items[1::2], strict=True)))


@_op(b"\x91")
def _frozenset(m):
    items = m.pop_mark()
    m.stack.append(frozenset(items))


@_op(b"a")
def _append(m):
    item = m.stack.pop()
    _target(m, (list,), "append to").append(item)


@_op(b"e")
def _appends(m):
    items = m.pop_mark()
    _target(m, (list,), "extend").extend(items)


@_op(b"\x90")
def _additems(m):
    items = m.pop_mark()
    _target(m, (set,), "add to").update(items)


@_op(b"s")
def _setitem(m):
    value, key = m.stack.pop(), m.stack.pop()
    _target(m, (dict, OrderedDict, Counter), "set items of")[key] = value


@_op(b"u")
def _setitems(m):
    items = m.pop_mark()
    target = _target(m, (dict, OrderedDict, Counter), "set items of")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[key] = value


def _target(m, kinds: tuple, what: str):
    """The container on top of the stack; exactly of one of some types, so nothing is overridden."""
    target = m.stack[-1]
    if type(target) not in kinds:
        names = ", ".join(k.__name__ for k in kinds)
        raise UnpicklingError(f"Can only {what} {names}, but got {type(target)}")
    return target


# -- memory ----------------------------------------------------------------------------------------


@_op(b"h")
def _get(m):
    m.stack.append(m.memo[m.byte()])


@_op(b"j")
def _long_get(m):
    m.stack.append(m.memo[m.number(_U32)])


@_op(b"q")
def _put(m):
    m.memo[m.byte()] = m.stack[-1]


@_op(b"r")
def _long_put(m):
    m.memo[m.number(_U32)] = m.stack[-1]


@_op(b"\x94")
def _memoize(m):
    m.memo[len(m.memo)] = m.stack[-1]


# -- objects ---------------------------------------------------------------------------------------


@_op(b"c")
def _global(m):
    module = m.line()
    m.stack.append(m.find(module, m.line()))


@_op(b"\x93")
def _stack_global(m):
    name, module = m.stack.pop(), m.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise UnpicklingError("a global's name must be text")
    m.stack.append(m.find(module, name))


@_op(b"Q")
def _persistent(m):
    key = m.stack.pop()
    if type(key) is not tuple or not key or key[0] not in ("storage", b"storage"):
        raise UnpicklingError(f"Only persistent_load of storage is allowed, but got {key!r:.80}")
    m.stack.append(m.storage(key))


@_op(b"R")
def _reduce(m):
    args, function = m.stack.pop(), m.stack.pop()
    if not m.known(function):
        raise UnpicklingError(f"Trying to call reduce for unrecognized function {function!r:.80}")
    if type(args) is not tuple:
        raise UnpicklingError(f"arguments must be a tuple, but got {type(args)}")
    try:
        m.stack.append(function(*args))
    except TypeError as error:
        raise UnpicklingError(f"{function!r:.80} does not take what the file gives it: "
                              f"{error}") from error


@_op(b"\x81")
def _newobj(m):
    args, cls = m.stack.pop(), m.stack.pop()
    if not m.known(cls):
        raise UnpicklingError("Can only create new object for nn.Parameter or classes allowlisted "
                              f"via `add_safe_globals` but got {cls!r:.80}")
    m.stack.append(cls.__new__(cls, *args) if m.trusted_class(cls) else cls(*args))


@_op(b"b")
def _build(m):
    state = m.stack.pop()
    target = m.stack[-1]
    if type(target) is OrderedDict:
        target.__dict__.update(state)
        return
    if not m.trusted_class(type(target)):
        raise UnpicklingError("Can only build Tensor, Parameter, OrderedDict or types allowlisted "
                              f"via `add_safe_globals`, but got {type(target)}")
    if hasattr(target, "__setstate__"):
        target.__setstate__(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    target.__dict__.update(state or {})
    for name, value in (slots or {}).items():
        setattr(target, name, value)
