"""Seeds handed to worker processes, so that a crash or a hang is a failure like any other.

Which worker runs a seed, and after which others, changes nothing about its program.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import connection

#: seconds that one program (with shrinking, if it fails) may take
PATIENCE = 300.0
#: programs after which a worker is replaced: what it has compiled is never unloaded
LIFE = 2000


@dataclass
class Report:
    """What one seed gave.

    Attributes:
        failure: text to print; empty when all agreed.
        family: the program's family.
        flushes, followed: how often a plan ran, and how many of these runs were followed.
        refused: whether PyTorch ended the program with an error.
        ill: whether rounding decides about a part of what it gives.
        seconds: processor time it took.
    """

    seed: int
    failure: str = ""
    family: str = ""
    flushes: int = 0
    followed: int = 0
    refused: bool = False
    ill: bool = False
    seconds: float = 0.0


class _Worker:
    """A process that runs one seed after the other."""

    def __init__(self, check: Callable[[int], Report]):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, check))
        self.process.start()
        theirs.close()
        self.seed: int | None = None
        self.since, self.given = 0.0, 0

    def give(self, seed: int) -> None:
        self.seed, self.since = seed, time.monotonic()
        self.given += 1
        self.pipe.send(seed)

    def late(self) -> bool:
        return self.seed is not None and time.monotonic() - self.since > PATIENCE

    def end(self, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        self.pipe.close()  # an idle worker ends at that
        self.process.join()


def _serve(pipe: connection.Connection, check: Callable[[int], Report]) -> None:
    """A worker's life: a report for every seed, until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    try:
        while True:
            pipe.send(check(pipe.recv()))
    except (EOFError, BrokenPipeError):
        os._exit(0)  # threads of the frameworks are not waited for


def reports(seeds: Iterator[int], check: Callable[[int], Report], jobs: int) -> Iterator[Report]:
    """Reports of all seeds, in the order in which they come.

    Args:
        seeds: of the programs.
        check: runs the program of a seed; a picklable function that raises nothing.
        jobs: worker processes; 0: everything runs in this process.
    """
    if not jobs:
        yield from map(check, seeds)
        return
    idle = [_Worker(check) for _ in range(jobs)]
    busy: list[_Worker] = []
    try:
        while True:
            while idle and (seed := next(seeds, None)) is not None:
                idle[-1].give(seed)
                busy.append(idle.pop())
            if not busy:
                return
            ready = connection.wait([w.pipe for w in busy], 1.0)
            for w in [w for w in busy if w.pipe in ready or w.late()]:
                busy.remove(w)
                report = _receive(w)
                if w.given >= LIFE or not w.process.is_alive():
                    w.end()
                    w = _Worker(check)
                idle.append(w)
                yield report
    finally:
        for w in idle + busy:
            w.end(kill=w in busy)


def _receive(w: _Worker) -> Report:
    """The report of a worker's seed; its death or its silence make one, too."""
    if w.late():
        w.process.kill()
        w.process.join()
        return Report(w.seed, f"no answer after {PATIENCE:.0f} seconds")
    try:
        report, w.seed = w.pipe.recv(), None
        return report
    except EOFError:
        w.process.join()
        code = w.process.exitcode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Report(w.seed, f"the process died: {how}")
