"""Built-in functions of the interpreter in machine code: what a followed step does most often.

A call through ctypes costs 0.3 us, one of these 0.05 us. They take positional arguments only, and
do not let go of the interpreter lock.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping

import llvmlite.binding as llvm

from ..codegen.emit import Function, Module, Value
from . import jit

_METH_FASTCALL = 0x80
#: of the interpreter's C interface, with result and parameters
_INTERFACE = {
    "PyBool_FromLong": ("ptr", ("i64",)),
    "PyDict_GetItem": ("ptr", ("ptr", "ptr")),
    "PyDict_SetItem": ("i32", ("ptr", "ptr", "ptr")),
    "PyDict_Size": ("i64", ("ptr",)),
    "PyErr_BadArgument": ("i32", ()),
    "PyErr_Clear": ("void", ()),
    "PyFloat_AsDouble": ("double", ("ptr",)),
    "PyList_GetItem": ("ptr", ("ptr", "i64")),
    "PyList_GetSlice": ("ptr", ("ptr", "i64", "i64")),
    "PyList_SetItem": ("i32", ("ptr", "i64", "ptr")),
    "PyList_SetSlice": ("i32", ("ptr", "i64", "i64", "ptr")),
    "PyList_Size": ("i64", ("ptr",)),
    "PyLong_AsLongLong": ("i64", ("ptr",)),
    "PyLong_AsVoidPtr": ("ptr", ("ptr",)),
    "PyLong_FromLong": ("ptr", ("i64",)),
    "PyObject_CallNoArgs": ("ptr", ("ptr",)),
    "PyObject_CallObject": ("ptr", ("ptr", "ptr")),
    "PyObject_CallOneArg": ("ptr", ("ptr", "ptr")),
    "PyObject_GetAttr": ("ptr", ("ptr", "ptr")),
    "PyObject_IsTrue": ("i32", ("ptr",)),
    "PyObject_SetAttr": ("i32", ("ptr", "ptr", "ptr")),
    "PyThreadState_GetDict": ("ptr", ()),
    "PyTuple_GetItem": ("ptr", ("ptr", "i64")),
    "PyTuple_Size": ("i64", ("ptr",)),
    "PyType_GenericAlloc": ("ptr", ("ptr", "i64")),
    "Py_DecRef": ("void", ("ptr",)),
    "Py_IncRef": ("void", ("ptr",)),
}
_keep: list = []


class _Definition(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int),
                ("text", ctypes.c_char_p))


def interface(module: Module | None = None) -> None:
    """Declare in a module what functions use of the interpreter; without one, only let code from
    the cache find it."""
    for name, (result, parameters) in _INTERFACE.items():
        if module is not None:
            module.external(name, result, parameters)
        address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
        assert address is not None
        llvm.add_symbol(name, address)


def define(module: Module, name: str, arguments: int) -> tuple[Function, list[Value]]:
    """Begin a function that takes so many objects; they are borrowed. It returns a new one."""
    f = module.function(name, (("ptr", "self"), ("ptr", "args"), ("i64", "count")), "ptr")
    args, count = f.args[1:]
    with f.if_(count.ne(arguments)):
        f.call("PyErr_BadArgument")
        f.ret_(f.named("ptr", "null"))
    return f, [f.load(f.gep(args, 8 * i), "ptr") for i in range(arguments)]


def function(address: int, name: str, text: str, self=None) -> Callable:
    """The object for a function that :func:`define` has begun.

    Args:
        text: what it is for.
        self: the object that it gets for its first parameter.
    """
    definition = _Definition(name.encode(), address, _METH_FASTCALL, text.encode())
    _keep.append(definition)  # the interpreter refers to it
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.restype = ctypes.py_object
    new.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return new(ctypes.addressof(definition), self, None)


def functions(text: Callable[[], str], description: str, names: Mapping[str, str],
              self=None) -> list[Callable]:
    """Those of a module: their names, and what each is for."""
    interface()
    addresses = jit.load_described(description, text, tuple(names))
    return [function(addresses[name], name, what, self) for name, what in names.items()]
