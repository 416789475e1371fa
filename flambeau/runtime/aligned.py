"""Arrays that begin at a multiple of 64 bytes: a vector of 64 bytes then lies in one line of cache.

malloc gives multiples of 16, and a vector that crosses the end of a line is read in two accesses.
Kernels that go through their operands several times in the first cache take up to a fifth longer
(layer norm and its gradient: 262 instead of 219 us), products of matrices about 5 %.

NumPy can be told where an array's memory comes from (NEP 49). What is told here is NumPy's own way
but for one function, and only while one of flambeau's arrays is made, so no other array changes.
"""

from __future__ import annotations

import ctypes
import math
import sys
from functools import lru_cache

import numpy as np

LINE = 64
#: arrays below this size (bytes) come as NumPy gives them: few rounds of a loop gain nothing
LARGE = 1 << 15
#: from here on (bytes) NumPy asks for huge pages, and so does this module
HUGE = 1 << 22
#: numbers of two functions in NumPy's table, fixed since 1.22
_SET_HANDLER, _GET_HANDLER = 304, 305
_NAME = b"mem_handler"
_MADV_HUGEPAGE, _PAGE = 14, 4096


class _Allocator(ctypes.Structure):
    """PyDataMemAllocator: each function's first argument is ``ctx``."""

    _fields_ = tuple((name, ctypes.c_void_p)
                     for name in ("ctx", "malloc", "calloc", "realloc", "free"))


class _Handler(ctypes.Structure):
    """PyDataMem_Handler, version 1."""

    _fields_ = (("name", ctypes.c_char * 127), ("version", ctypes.c_uint8),
                ("allocator", _Allocator))


def empty(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """``numpy.empty``; a large array begins at a multiple of 64 bytes where the system allows."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    use, handler, advise = _prepared()
    if use is None:
        return np.empty(shape, dtype)
    before = use(handler)
    try:
        array = np.empty(shape, dtype)
    finally:
        use(before)
    if size >= HUGE:
        start = -(-array.__array_interface__["data"][0] // _PAGE) * _PAGE
        advise(start, size // _PAGE * _PAGE - _PAGE, _MADV_HUGEPAGE)
    return array


@lru_cache(maxsize=1)
def _prepared() -> tuple:
    """NumPy's function that sets the handler, the handler, the system's madvise; None without
    glibc."""
    if not sys.platform.startswith("linux") or sys.implementation.name != "cpython":
        return None, None, None
    system, api = ctypes.CDLL(None), ctypes.pythonapi
    if not hasattr(system, "gnu_get_libc_version"):
        return None, None, None
    pointer = api.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    make = api.PyCapsule_New
    make.restype = ctypes.py_object
    make.argtypes = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
    core = np._core if hasattr(np, "_core") else np.core
    table = pointer(core.multiarray._ARRAY_API, None)
    functions = (ctypes.c_void_p * (_GET_HANDLER + 1)).from_address(table)
    use = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(functions[_SET_HANDLER])
    current = ctypes.PYFUNCTYPE(ctypes.py_object)(functions[_GET_HANDLER])()
    theirs = _Handler.from_address(pointer(current, _NAME))
    if theirs.name != b"default_allocator" or theirs.version != 1:
        return None, None, None  # somebody has told NumPy something already
    mine = _Handler.from_buffer_copy(theirs)
    mine.name = b"flambeau"
    # malloc(ctx, size) becomes aligned_alloc(64, size), whose memory NumPy's free takes back
    mine.allocator.ctx = LINE
    mine.allocator.malloc = ctypes.cast(system.aligned_alloc, ctypes.c_void_p).value
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(mine))  # arrays may outlive this module
    advise = system.madvise
    advise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return use, make(ctypes.addressof(mine), _NAME, None), advise
