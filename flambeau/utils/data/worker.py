"""What runs in a loader's worker process."""

from __future__ import annotations

import os
import random
import signal
import sys
import traceback
from dataclasses import dataclass

import numpy as np

from ...base.flags import values as flags
from ...runtime import execute
from ...tensor.follow import OFF, recorder
from ...tensor.random import manual_seed
from .fetch import IterableFetcher, MapFetcher
from .transport import Mailbox

#: seconds between looks at whether the parent still lives
WATCH = 5.0
#: what a worker answers with instead of a batch
BATCH, END, FAILED, RESUMED = range(4)


@dataclass(frozen=True)
class WorkerInfo:
    """What :func:`get_worker_info` tells a dataset that runs in a worker."""

    id: int
    num_workers: int
    seed: int
    dataset: object


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Number, number of workers, seed and dataset of this worker; None outside of workers."""
    return _info


def numpy_seed(base_seed: int, worker_id: int) -> list[int]:
    """Words that seed NumPy's generator in a worker, distinct per worker and epoch."""
    low, high = base_seed & 0xFFFFFFFF, base_seed >> 32
    return np.random.SeedSequence([worker_id, low, high, 0]).generate_state(4).tolist()


class Failure:
    """An exception on its way to the parent, with its traceback as text."""

    def __init__(self, where: str):
        kind, value, trace = sys.exc_info()
        self.kind, self.where = kind, where
        self.text = "".join(traceback.format_exception(kind, value, trace))

    def __reduce__(self):
        return _failure, (self.kind, self.where, self.text)

    def reraise(self) -> None:
        """Raise an exception of the same class whose message holds the worker's traceback."""
        raise self._error()  # no local name: it would keep the iterator alive in a cycle

    def _error(self) -> Exception:
        message = f"Caught {self.kind.__name__} {self.where}.\nOriginal {self.text}"
        if issubclass(self.kind, KeyError):
            return self.kind(_Verbatim(message))  # a KeyError prints the repr of its message
        try:
            return self.kind(message)
        except Exception:  # noqa: BLE001  (the class wants other arguments)
            return RuntimeError(message)


class _Verbatim(str):
    """A string whose repr is itself."""

    def __repr__(self) -> str:
        return str(self)


def _failure(kind, where: str, text: str) -> Failure:
    failure = Failure.__new__(Failure)
    failure.kind, failure.where, failure.text = kind, where, text
    return failure


@dataclass
class Job:
    """All a worker has to know; handed over when it starts."""

    iterable: bool
    dataset: object
    auto_collation: bool
    collate_fn: object
    drop_last: bool
    base_seed: int
    init_fn: object
    number: int
    num_workers: int
    persistent: bool
    parent: int

    def fetcher(self):
        """A new start on the dataset."""
        make = IterableFetcher if self.iterable else MapFetcher
        return make(self.dataset, self.auto_collation, self.collate_fn, self.drop_last)


def run(job: Job, mailbox: Mailbox, inherited: list) -> None:
    """The worker: answers index lists with batches until it is told to stop or left alone.

    Args:
        inherited: the parent's ends of pipes, which a forked process must not keep open.
    """
    for end in inherited:
        end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends its workers
    _run_on_numpy()
    seed = job.base_seed + job.number
    random.seed(seed)
    manual_seed(seed)
    np.random.seed(numpy_seed(job.base_seed, job.number))
    global _info
    _info = WorkerInfo(job.number, job.num_workers, seed, job.dataset)
    try:
        _serve(job, mailbox)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone or does not want any more
    finally:
        if os.getppid() != job.parent:
            mailbox.sweep()


def _run_on_numpy() -> None:
    """The parent's thread team is not in this process, and its loop is not ours to follow."""
    flags.tier, flags.follow = "0", 0
    recorder.active, recorder.mode = False, OFF
    execute.follower, execute.outstanding = None, False


def _serve(job: Job, mailbox: Mailbox) -> None:
    where = f"in DataLoader worker process {job.number}"
    failure, fetcher = None, None
    try:
        if job.init_fn is not None:
            job.init_fn(job.number)
        fetcher = job.fetcher()
    except Exception:  # noqa: BLE001  (goes to the parent)
        failure = Failure(where)
    ended = False
    while os.getppid() == job.parent:
        if not mailbox.poll(WATCH):
            continue
        message = mailbox.receive()
        if message is None or mailbox.stopped():
            return
        number, index = message
        if number is None:  # a new epoch
            mailbox.send((RESUMED, None, None))
            ended = False
            if job.iterable and failure is None:
                fetcher = job.fetcher()
            continue
        if ended:
            continue
        kind, data = BATCH, None
        try:
            if failure is None:
                data = fetcher.fetch(index)
            else:
                kind, data, failure = FAILED, failure, None
        except Exception as error:  # noqa: BLE001  (goes to the parent)
            if job.iterable and isinstance(error, StopIteration):
                kind, ended = END, True
            else:
                kind, data = FAILED, Failure(where)
        _answer(mailbox, kind, number, data, where)


def _answer(mailbox: Mailbox, kind: int, number: int, data, where: str) -> None:
    try:
        mailbox.send((kind, number, data))
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception:  # noqa: BLE001  (a batch or an exception that cannot be pickled)
        failure = Failure(where)
        try:
            mailbox.send((FAILED, number, failure))
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception:  # noqa: BLE001  (a class that is not importable)
            failure.kind = RuntimeError
            mailbox.send((FAILED, number, failure))
