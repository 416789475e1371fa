"""The parent's side of worker processes: hands out indices, takes in batches, watches over them."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import time
import weakref
from collections.abc import Iterator
from multiprocessing import connection

from . import worker
from .transport import Mailbox, folder

#: how many batches may be on their way to one worker; more would fill the pipe
_MOST_AHEAD = 256
#: seconds that workers get to finish when the loader is done
_PATIENCE = 5.0


class Workers:
    """All workers of one loader's iterator."""

    def __init__(self, loader, base_seed: int):
        n = loader.num_workers
        self.iterable = loader._dataset_kind == 1
        self.in_order, self.timeout = loader.in_order, loader.timeout
        if loader.prefetch_factor < 1:
            raise AssertionError("prefetch_factor must be greater than 0 with num_workers > 0")
        self.ahead = min(loader.prefetch_factor, _MOST_AHEAD)
        context = loader.multiprocessing_context or multiprocessing.get_context()
        stop = context.Event()
        prefix = os.path.join(folder(), f"flambeau-{os.getpid()}-{secrets.token_hex(4)}")
        inline = 32768 // self.ahead
        self.mailboxes: list[Mailbox] = []
        self.processes: list = []
        self._end = weakref.finalize(self, _end, self.processes, self.mailboxes, stop, os.getpid())
        for i in range(n):
            to_worker, from_parent = _pipe(context)
            to_parent, from_worker = _pipe(context)
            mine = Mailbox(from_worker, to_worker, prefix, stop, inline)
            theirs = Mailbox(from_parent, to_parent, prefix, stop, inline)
            job = worker.Job(self.iterable, loader.dataset, loader._auto_collation,
                             loader.collate_fn, loader.drop_last, base_seed, loader.worker_init_fn,
                             i, n, loader.persistent_workers, os.getpid())
            forks = context.get_start_method() == "fork"
            inherited = [end for m in (*self.mailboxes, mine) for end in (m.inbox, m.outbox)]
            process = context.Process(target=worker.run, daemon=True,
                                      args=(job, theirs, inherited if forks else []))
            process.start()
            theirs.close()
            self.mailboxes.append(mine)
            self.processes.append(process)

    # -- an epoch --------------------------------------------------------------------------------

    def start_epoch(self, indices: Iterator, resume: bool = False) -> None:
        """Begin to hand out the indices of an epoch."""
        if resume:
            self._resume()
        self.indices: Iterator | None = indices
        self.sent = self.next_out = 0
        #: number of a task -> worker, while it is under way
        self.tasks: dict[int, int] = {}
        #: number -> batch that came before its turn
        self.ready: dict[int, tuple] = {}
        self.active = [True] * len(self.processes)
        self.load = [0] * len(self.processes)
        self.turn = 0
        for _ in range(self.ahead * len(self.processes)):
            self._hand_out()

    def _resume(self) -> None:
        """Tell workers that live on to start over; what is still under way is thrown away."""
        for i in range(len(self.mailboxes)):
            self._send(i, (None, None))
            while self._take(self._wait([i], None))[0] != worker.RESUMED:
                pass

    def _send(self, i: int, message) -> None:
        try:
            self.mailboxes[i].send(message)
        except (BrokenPipeError, ConnectionResetError):
            self._died(i)

    def _hand_out(self) -> None:
        """The next index list to the next worker that has room."""
        if self.indices is None:
            return
        chosen = self._next_worker()
        if chosen is None:
            return
        try:
            index = next(self.indices)
        except StopIteration:
            self.indices = None
            return
        self._send(chosen, (self.sent, index))
        self.tasks[self.sent] = chosen
        self.load[chosen] += 1
        self.sent += 1

    def _next_worker(self) -> int | None:
        n = len(self.processes)
        for _ in range(n):
            i, self.turn = self.turn, (self.turn + 1) % n
            if self.active[i] and (self.in_order or self.load[i] < self.ahead):
                return i
        return None

    def next(self):
        """The next batch.

        Raises:
            StopIteration: the epoch is over.
            RuntimeError: a worker died, or none answered in time.
        """
        while True:
            while self.next_out < self.sent and self.next_out not in self.tasks \
                    and self.next_out not in self.ready:
                self.next_out += 1  # its worker had come to its end, or it was given out of order
            if self.next_out in self.ready:
                kind, data = self.ready.pop(self.next_out)
                self.next_out += 1
                return self._deliver(kind, data)
            if not self.tasks:
                raise StopIteration
            kind, number, data = self._receive()
            i = self.tasks.pop(number)
            self.load[i] -= 1
            if kind == worker.END:
                self.active[i] = False
                self.tasks = {t: w for t, w in self.tasks.items() if w != i}
                self.load[i] = 0
                self._hand_out()
            elif number == self.next_out or not self.in_order:
                self.next_out += number == self.next_out
                return self._deliver(kind, data)
            else:
                self.ready[number] = (kind, data)

    def _deliver(self, kind: int, data):
        self._hand_out()
        if kind == worker.FAILED:
            data.reraise()
        return data

    # -- waiting ---------------------------------------------------------------------------------

    def _receive(self):
        """An answer to a task; the one that is due first where there is a choice."""
        wanted = list(dict.fromkeys(self.tasks.values()))
        if self.in_order and self.next_out in self.tasks:
            wanted = [self.tasks[self.next_out]]
        return self._take(self._wait(wanted, self.timeout or None))

    def _take(self, i: int):
        try:
            return self.mailboxes[i].receive()
        except (EOFError, ConnectionResetError):
            self._died(i)

    def _wait(self, wanted: list[int], timeout: float | None) -> int:
        """The number of a worker that has answered."""
        deadline = None if timeout is None else time.monotonic() + timeout
        inboxes = {self.mailboxes[i].inbox: i for i in wanted}
        sentinels = {p.sentinel: i for i, p in enumerate(self.processes) if self.active_now(i)}
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            found = connection.wait([*inboxes, *sentinels], left)
            for ready in found:
                if ready in inboxes:
                    return inboxes[ready]
            if found:
                self._died(sentinels[found[0]])
            raise RuntimeError(f"DataLoader timed out after {timeout} seconds: "
                               f"worker {', '.join(map(str, wanted))} is still at work")

    def active_now(self, i: int) -> bool:
        """Whether a worker is expected to be running."""
        return not hasattr(self, "active") or self.active[i] or self.load[i] > 0

    def _died(self, i: int) -> None:
        """Raise for a worker that ended although nobody told it to."""
        process = self.processes[i]
        process.join(_PATIENCE)
        code = process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            how = f"it was killed by signal {name}"
            if name == "SIGKILL":
                how += (": often because memory ran out (smaller batches, fewer workers or a lower "
                        "prefetch_factor need less)")
        else:
            how = f"it ended with exit code {code}"
        self.close()
        raise RuntimeError(f"DataLoader worker (pid(s) {process.pid}) exited unexpectedly: "
                           f"worker {i}, {how}")

    def close(self) -> None:
        """End all workers."""
        self._end()


def _pipe(context):
    """A one-way pipe as (end to write to, end to read from)."""
    reader, writer = context.Pipe(duplex=False)
    return writer, reader


def _end(processes: list, mailboxes: list[Mailbox], stop, owner: int) -> None:
    """Stop workers: ask, wait, insist. Runs once, when the iterator is done, dropped or at exit."""
    if os.getpid() != owner or not mailboxes:
        return
    stop.set()
    for mailbox in mailboxes:
        try:
            mailbox.send(None)
        except OSError:
            pass  # it has ended already
        mailbox.close()
    deadline = time.monotonic() + _PATIENCE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.terminate()
            process.join(1.0)
        if process.is_alive():
            process.kill()
            process.join()
    mailboxes[0].sweep()
