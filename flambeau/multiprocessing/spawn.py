"""spawn: the same function in several processes, and what to do when one of them fails."""

from __future__ import annotations

import multiprocessing as mp
import signal
import sys
import traceback
from multiprocessing.connection import wait


class ProcessException(Exception):
    """A process started by spawn() failed.

    Attributes:
        error_index: its number.
        error_pid: its process id.
    """

    def __init__(self, msg: str, error_index: int, pid: int):
        super().__init__(msg)
        self.msg, self.error_index, self.pid = msg, error_index, pid
        self.error_pid = pid

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid)


class ProcessRaisedException(ProcessException):
    """The function raised; the message holds its traceback."""


class ProcessExitedException(ProcessException):
    """The process ended by a signal or with an exit code."""

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int,
                 signal_name: str | None = None):
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid, self.exit_code,
                            self.signal_name)


def _run(fn, i: int, args, errors) -> None:
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass
    except Exception:
        errors.send(traceback.format_exc())
        sys.exit(1)


class ProcessContext:
    """The processes that spawn(join=False) started."""

    def __init__(self, processes: list, pipes: list):
        self.processes, self._pipes = processes, pipes
        self._waiting = {p.sentinel: i for i, p in enumerate(processes)}

    def pids(self) -> list[int]:
        """Their process ids."""
        return [p.pid for p in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait for a process to end; True when all have.

        Raises:
            ProcessRaisedException, ProcessExitedException: one failed; the others were stopped.
        """
        if not self._waiting:
            return True
        failed = None
        for sentinel in wait(self._waiting, timeout):
            i = self._waiting.pop(sentinel)
            self.processes[i].join()
            if self.processes[i].exitcode:
                failed = i
                break
        if failed is None:
            return not self._waiting
        for p in self.processes:
            if p.is_alive():
                p.terminate()
            p.join()
        self._raise(failed)
        return False

    def _raise(self, i: int) -> None:
        p, pipe = self.processes[i], self._pipes[i]
        if pipe.poll():
            text = pipe.recv()
            raise ProcessRaisedException(
                f"\n\n-- Process {i} terminated with the following error:\n{text}", i, p.pid)
        if p.exitcode < 0:
            name = signal.Signals(-p.exitcode).name
            raise ProcessExitedException(f"process {i} terminated with signal {name}", i, p.pid,
                                         p.exitcode, name)
        raise ProcessExitedException(f"process {i} terminated with exit code {p.exitcode}", i,
                                     p.pid, p.exitcode)


SpawnContext = ProcessContext


def start_processes(fn, args=(), nprocs: int = 1, join: bool = True, daemon: bool = False,
                    start_method: str = "spawn"):
    """``fn(i, *args)`` in process ``i`` of ``nprocs``.

    Returns:
        None after all have ended; a :class:`ProcessContext` with ``join=False``.
    """
    context = mp.get_context(start_method)
    processes, pipes = [], []
    for i in range(nprocs):
        receive, send = context.Pipe(duplex=False)
        p = context.Process(target=_run, args=(fn, i, args, send), daemon=daemon)
        p.start()
        processes.append(p)
        pipes.append(receive)
    started = ProcessContext(processes, pipes)
    if not join:
        return started
    while not started.join():
        pass
    return None


def spawn(fn, args=(), nprocs: int = 1, join: bool = True, daemon: bool = False,
          start_method: str = "spawn"):
    """:func:`start_processes`."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
