"""Runs plans on all processors.

A plan is a contiguous int64 table of rows ``(function address, argument block address, nchunks)``.
:func:`run` runs it on the thread team, :func:`run_small` on the calling thread only; both make one
native call. Rows run in order; a row's chunks run in any order, on any thread, at the same time,
and each calls ``function(args, chunk, nchunks)``. Rows of one chunk cost no synchronisation. A row
with :data:`STOP` for its chunks has no function: it ends the run if the word at ``args`` is not 0.

Workers are daemon threads parked in native code; see ``team_native`` for the scheduling. They spin
a while after a plan (a training loop's next plan comes at once), then sleep.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from functools import partial

import llvmlite.binding as llvm
import numpy as np

from flambeau.base import flags
from flambeau.codegen.host import host
from flambeau.runtime import builtin, jit
from flambeau.runtime import team_native as native

#: see the text above
STOP = native.STOP
#: how long an idle worker spins before it sleeps (waking takes 50-100 us)
SPIN_SECONDS = 200e-6
_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
_NAMES = ("run", "run_serial", "run_small", "worker", "pause", "quit")


def available_processors() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def threads() -> int:
    """Threads of the team: ``flags.values.threads``, or all available processors."""
    return flags.values.threads or available_processors()


def _futex_number() -> int:
    if not sys.platform.startswith("linux"):
        return 0
    return _FUTEX.get(host().triple.split("-")[0], 0)


class _Native:
    """The native functions, for one way of sleeping."""

    def __init__(self, futex: int):
        yielding = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
        if sys.platform == "win32":
            address = ctypes.cast(ctypes.windll.kernel32.SwitchToThread, ctypes.c_void_p).value
            llvm.add_symbol(yielding, address)
        builtin.interface()
        at = jit.load_described(f"team {futex} {yielding}", lambda: str(
            native.TeamModule(futex, yielding).module), _NAMES)
        word = ctypes.c_int64
        self.futex = futex
        self.run = ctypes.CFUNCTYPE(None, word, word, word)(at["run"])
        self.serial = ctypes.CFUNCTYPE(None, word, word)(at["run_serial"])
        self.serial_address = at["run_serial"]
        self.small = builtin.function(at["run_small"], "run_small", "run_small(table, rows)")
        self.worker = ctypes.CFUNCTYPE(word, word, ctypes.c_int32)(at["worker"])
        self.pause = ctypes.CFUNCTYPE(None, word, word)(at["pause"])
        self.quit = ctypes.CFUNCTYPE(None, word)(at["quit"])
        self.pauses_per_second = self._calibrate()

    def _calibrate(self) -> float:
        """Rounds of the waiting loop per second (a pause is 1 to 140 cycles by CPU)."""
        word, best = np.zeros(1, np.int64), 1.0
        for _ in range(3):
            begin = time.perf_counter()
            self.pause(word.ctypes.data, 500)
            best = min(best, time.perf_counter() - begin)
        return 500 / max(best, 1e-7)


class Team:
    """A number of threads that run plans together with the caller.

    Args:
        count: threads, the caller included (at least 1).
        futex: let workers sleep in the Linux kernel; None: where possible. Elsewhere they park in
            Python and are woken before a plan starts.
    """

    def __init__(self, count: int, futex: bool | None = None):
        if count < 1:
            raise ValueError(f"a team needs at least one thread, got {count}")
        number = _futex_number() if futex is None or futex else 0
        self.count = count
        self.native = _native(number)
        # workers may touch this until the process ends, so it is never freed
        block = np.zeros(native.SIZE + native.LINE, np.uint8)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(block))
        self._state = block.ctypes.data + -block.ctypes.data % native.LINE
        rounds = int(SPIN_SECONDS * self.native.pauses_per_second)
        if count > available_processors():  # spinning would take time from a thread that works
            rounds = min(rounds, 20)
        spins = (ctypes.c_int32 * 2).from_address(self._state + native.SPIN)
        spins[0] = spins[1] = rounds
        ctypes.c_int32.from_address(self._state + native.COUNT).value = count
        self._busy = threading.Lock()
        self._bell = threading.Condition()
        self._rings = self._parked = 0
        self._threads = [threading.Thread(target=self._work, daemon=True, name=f"flambeau-{i}")
                         for i in range(1, count)]
        for t in self._threads:
            t.start()

    def run(self, table: int, rows: int) -> None:
        """Run the plan of ``rows`` rows at address ``table``; returns when all is done.

        If another thread is running a plan on this team, this one runs on the caller alone.
        """
        if self.count == 1 or not self._busy.acquire(False):
            self.native.serial(table, rows)
            return
        try:
            if self._parked:
                with self._bell:
                    self._rings += 1
                    self._bell.notify_all()
            self.native.run(self._state, table, rows)
        finally:
            self._busy.release()

    def profile(self, table: int, rows: int) -> list[float]:
        """Run a plan row by row; the seconds each took (a call's 1 us included)."""
        seconds = []
        for row in range(rows):
            begin = time.perf_counter()
            self.run(table + row * 24, 1)
            seconds.append(time.perf_counter() - begin)
        return seconds

    def close(self) -> None:
        """End the workers; the team must be idle."""
        with self._busy:
            self.native.quit(self._state)
            with self._bell:
                self._rings += 1
                self._bell.notify_all()
            for t in self._threads:
                t.join()
            self.count = 1

    def _rung(self, seen: int) -> bool:
        return self._rings != seen

    def _work(self) -> None:
        epoch = rings = 0
        while True:
            answer = self.native.worker(self._state, epoch)
            if answer == native.QUIT:
                return
            epoch = ctypes.c_int32(answer >> 1).value
            with self._bell:
                self._parked += 1
                self._bell.wait_for(partial(self._rung, rings))
                self._parked -= 1
                rings = self._rings


_lock = threading.RLock()
_natives: dict[int, _Native] = {}
_team: Team | None = None
_wanted = -1
_small = None


def _native(futex: int) -> _Native:
    with _lock:
        found = _natives.get(futex)
        if found is None:
            found = _natives[futex] = _Native(futex)
        return found


def current() -> Team:
    """The process's team, started at the first call and after ``flags.values.threads`` changed."""
    global _team, _wanted
    if _team is not None and _wanted == flags.values.threads:
        return _team
    with _lock:
        if _team is None or _wanted != flags.values.threads:
            old, _wanted = _team, flags.values.threads
            _team = Team(threads())
            if old is not None:
                old.close()
        return _team


def run(table: int, rows: int) -> None:
    """Run a plan (address and number of rows) on the process's team. See :meth:`Team.run`."""
    current().run(table, rows)


def run_small(table: int, rows: int) -> None:
    """Run a plan on the calling thread, holding the interpreter lock: for plans below ~20 us."""
    (_small or small_runner())(table, rows)


def small_runner():
    """The native function behind :func:`run_small`; a plan keeps it to save a Python call."""
    global _small
    if _small is None:
        _small = _native(_futex_number()).small
    return _small


def serial() -> int:
    """The address of the native function that runs a plan on the calling thread."""
    return _native(_futex_number()).serial_address


def _after_fork() -> None:
    """A child has none of the parent's threads: forget the team, the next plan starts one."""
    global _team, _lock
    _lock = threading.RLock()
    _team = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
