"""Machine code of kernels, found by structure.

Equal kernels are one function in this process; another process finds the object on disk.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from ..base.flags import values as flags
from ..codegen.conv import ConvKernel, conv
from ..codegen.emit import Module
from ..codegen.gemm import GemmKernel, gemm
from ..codegen.emit_types import ELEMENT
from ..codegen.host import HostTarget, host
from ..codegen.loops import emit_epilogue, emit_kernel
from ..codegen.recurrence import emit_recurrence
from ..codegen.rows import emit_strided, emit_zip
from ..codegen.scan import emit_scan
from ..codegen.scatter import emit_scatter
from ..kernel.ir import Kernel
from ..kernel.text import to_text
from ..kernel.verify import verify
from . import jit

_lock = threading.Lock()
_found: dict[tuple, int] = {}


def loop(kernel: Kernel) -> int:
    """The address of a loop kernel's function."""
    return _address(kernel, emit_kernel, "kernel")


#: the same by the kernel's identity, which costs less than to compare all of it
_same: dict[tuple[int, str], tuple[Kernel, HostTarget, int]] = {}
MAX_SAME = 4096


def _address(kernel: Kernel, emit: Callable[[Kernel], Module], name: str) -> int:
    target = host()
    same = _same.get((id(kernel), name))
    if same is not None and same[0] is kernel and same[1] is target:
        return same[2]
    key = (target, name, kernel)
    found = _found.get(key)
    if found is None:
        with _lock:
            found = _found[key] = _make(kernel, emit, name)
    if len(_same) >= MAX_SAME:
        _same.clear()
    _same[id(kernel), name] = kernel, target, found
    return found


def _make(kernel: Kernel, emit: Callable[[Kernel], Module], name: str) -> int:
    if flags.verify:
        verify(kernel)
    if flags.debug >= 4:
        print(to_text(kernel), file=sys.stderr)


    def write() -> str:
        text = str(emit(kernel))
        if flags.debug >= 5:
            print(text, file=sys.stderr)
        return text

    return jit.load_described(repr(kernel), write, [name])[name]


def _single(name: str, write: Callable[[], Module], *what) -> int:
    """The address of the function ``name`` of the module that is written for ``what``."""
    key = (host(), name, *what)
    found = _found.get(key)
    if found is None:
        with _lock:
            found = _found[key] = jit.load_described(
                repr((name, *what)), lambda: str(write()), [name])[name]
    return found


def epilogue(kernel: Kernel) -> int:
    """The address of a matrix product's epilogue."""
    return _address(kernel, emit_epilogue, "epilogue")


def scatter(dtype: str, index: str, mode: str) -> int:
    """The address of the kernel that adds rows at positions."""
    return _single("scatter", lambda: emit_scatter(ELEMENT[dtype], ELEMENT[index], mode),
                   dtype, index, mode)


def rows(name: str, size: int) -> int:
    """The address of a kernel of ``codegen/rows.py`` for elements of ``size`` bytes."""
    return _single(name, lambda: (emit_strided if name == "strided" else emit_zip)(size), size)


def scan(dtype: str, op: str) -> int:
    """The address of the kernel of running sums or products."""
    return _single("scan", lambda: emit_scan(ELEMENT[dtype], op), dtype, op)


def recurrence() -> int:
    """The address of the loop over time of recurrent layers."""
    return _single("recurrence", emit_recurrence)


def product(dtype: str, source: str) -> GemmKernel:
    """The matrix kernels of an element type, with their addresses."""
    found = gemm(dtype, source)
    if not found.addresses:
        with _lock:
            found.addresses = jit.load_described(f"product {dtype} {source}", lambda: found.text,
                                                 found.names)
    return found


def convolution(dtype: str) -> ConvKernel:
    """The convolution kernels of an element type, with their addresses."""
    found = conv(dtype, product(dtype, dtype))
    if not found.addresses:
        with _lock:
            found.addresses = jit.load_described(f"convolution {dtype}", lambda: found.text,
                                                 found.names)
    return found


def bind() -> int:
    """The function that copies addresses into argument blocks.

    Its arguments are a count and as many triples (address of a cell, offset, destination):
    ``*destination = *cell + offset``.
    """
    return _single("bind", _emit_bind)


def _emit_bind() -> Module:
    m = Module()
    f = m.kernel("bind")
    base = f.args[0]
    with f.loop(0, f.arg(0)) as each:
        row = f.gep(base, each.i * 3 + 1, "i64")
        cell, to = f.load(row, "ptr", 8), f.load(f.gep(row, 2, "i64"), "ptr", 8)
        f.store(f.load(cell, "i64", 8) + f.load(f.gep(row, 1, "i64"), "i64", 8), to, 8)
    return m
