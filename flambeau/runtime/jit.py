"""LLVM text to callable machine code.

Cache hits and misses take one path: the text becomes an object file (compiled, or read from
:mod:`flambeau.runtime.cache`), and the object is added to one engine that lives as long as the
process (parked worker threads and plans hold addresses into its memory).

A kernel is ``void kernel(i64* args, i64 chunk, i64 nchunks)``; ``args`` is an array of int64 with
pointers, sizes, strides and the raw bits of scalars.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import llvmlite
import llvmlite.binding as llvm

from flambeau.base import flags
from flambeau.codegen.host import HostTarget, host
from flambeau.runtime import cache

#: part of every cache key; raise it when the same text must give other machine code
FORMAT = "1"


@dataclass
class Stats:
    """What was compiled in this process (shown by ``FLAMBEAU_DEBUG=1``)."""

    compiled: int = 0
    loaded_from_disk: int = 0
    reused: int = 0
    parse_ms: float = 0.0
    codegen_ms: float = 0.0
    load_ms: float = 0.0

    def __str__(self) -> str:
        return (f"{self.compiled} compiled ({self.parse_ms + self.codegen_ms:.1f} ms), "
                f"{self.loaded_from_disk} from disk, {self.reused} reused, "
                f"load {self.load_ms:.1f} ms")


stats = Stats()
_lock = threading.RLock()
_machines: dict[tuple[HostTarget, int], llvm.TargetMachine] = {}
_loaded: dict[str, dict[str, int]] = {}  # cache key -> addresses
_engine: llvm.ExecutionEngine | None = None  # never destroyed: threads may run in its memory
_keep: list[llvm.ObjectFileRef] = []


def load(text: str, names: Iterable[str], *, level: int = 2,
         target: HostTarget | None = None) -> dict[str, int]:
    """Compile (or find) a module and return the address of each function in ``names``.

    Args:
        text: LLVM IR, as from ``str(emit.Module)``. Equal texts share one copy of the code.
        names: functions of the module that are not internal.
        level: code generation level: 0 compiles five times faster and is right for code that
            runs a few times; 2 is the default; matrix kernels need at least 1.
        target: default the current host; must be runnable here.

    Raises:
        RuntimeError: LLVM refuses the text (an error of the code generator), or a name is not in
            the module.
    """
    target = target or host()
    names = tuple(names)
    name = _key(target, level, *names, text)
    with _lock:
        found = _loaded.get(name)
        if found is None:
            found = _link(_object(text, names, name, target, level), names, name)
            _loaded[name] = found
        else:
            stats.reused += 1
        return dict(found)


def load_described(description: str, write: Callable[[], str], names: Iterable[str], *,
                   level: int = 2) -> dict[str, int]:
    """:func:`load` the text that ``write`` gives, unless a process has done so before: the cache
    knows which object the description led to.

    Args:
        description: what the text is; equal descriptions have equal texts as long as the files of
            the package stay as they are.
    """
    names = tuple(names)
    if " at 0x" in description or flags.values.verify or flags.values.debug >= 4:
        return load(write(), names, level=level)
    target = host()
    known = _key(target, level, *names, description)
    with _lock:
        found = _loaded.get(known)
        if found is not None:
            stats.reused += 1
            return dict(found)
        name = cache.linked(known)
        if name is not None and name not in _loaded:
            data = cache.read(name)
            if data is None:
                name = None
            else:
                stats.loaded_from_disk += 1
                _loaded[name] = _link(data, names, name)
        if name is None:
            text = write()
            name = _key(target, level, *names, text)
            load(text, names, level=level)
            cache.link(known, name)
        _loaded[known] = _loaded[name]
        return dict(_loaded[known])


def _key(target: HostTarget, level: int, *parts: str) -> str:
    return cache.key(FORMAT, llvmlite.__version__, ".".join(map(str, llvm.llvm_version_info)),
                     target.key, str(level), *parts)


def assembly(text: str, *, level: int = 2, target: HostTarget | None = None) -> str:
    """The machine code of a module as assembly text (for debugging)."""
    target = target or host()
    with _lock:
        return _machine(target, level).emit_assembly(_parse(text, target))


def function(address: int, arguments: int = 3, restype=None):
    """A Python callable for native code whose arguments are all 64-bit integers or pointers.

    The call releases the interpreter lock.
    """
    return ctypes.CFUNCTYPE(restype, *[ctypes.c_int64] * arguments)(address)


def functions(text: str, arguments: Mapping[str, int]) -> dict[str, Callable]:
    """Callables for the functions of a module.

    Args:
        arguments: the names of its public functions, and how many arguments each takes.
    """
    addresses = load(text, arguments)
    return {name: function(addresses[name], count) for name, count in arguments.items()}


def _machine(target: HostTarget, level: int) -> llvm.TargetMachine:
    machine = _machines.get((target, level))
    if machine is None:
        machine = _machines[target, level] = _new_machine(target, level)
    return machine


def _new_machine(target: HostTarget, level: int) -> llvm.TargetMachine:
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=level, reloc="default",
        codemodel="jitdefault", jit=True)


def _parse(text: str, target: HostTarget) -> llvm.ModuleRef:
    module = llvm.parse_assembly(text)
    module.triple = target.triple
    if flags.values.verify:
        module.verify()
    return module


def _object(text: str, names: tuple[str, ...], name: str, target: HostTarget,
            level: int) -> bytes:
    """The module's object file, from disk or compiled."""
    data = cache.read(name)
    if data is not None:
        stats.loaded_from_disk += 1
        return data
    begin = time.perf_counter()
    for n in names:
        text = re.sub(rf"@{re.escape(n)}\b(?![.$])", f"@{_symbol(n, name)}", text)
    module = _parse(text, target)
    parsed = time.perf_counter()
    data = _machine(target, level).emit_object(module)
    done = time.perf_counter()
    stats.compiled += 1
    stats.parse_ms += (parsed - begin) * 1e3
    stats.codegen_ms += (done - parsed) * 1e3
    cache.write(name, data)
    return data


def _symbol(function_name: str, name: str) -> str:
    """All objects share one engine, so a public function is named after its module's content."""
    return f"{function_name}.{name}"


def _link(data: bytes, names: tuple[str, ...], name: str) -> dict[str, int]:
    """Add an object to the engine and look its functions up."""
    global _engine
    begin = time.perf_counter()
    if _engine is None:
        _engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _new_machine(host(), 2))
    reference = llvm.ObjectFileRef.from_data(data)
    _engine.add_object_file(reference)
    _engine.finalize_object()
    _keep.append(reference)
    found = {n: _engine.get_function_address(_symbol(n, name)) for n in names}
    missing = [n for n, address in found.items() if not address]
    if missing:
        raise RuntimeError(f"the module has no function {', '.join(missing)}")
    stats.load_ms += (time.perf_counter() - begin) * 1e3
    return found


if hasattr(os, "register_at_fork"):
    # a child must not inherit a lock (ours or LLVM's) that another thread holds
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release,
                        after_in_child=_lock.release)
