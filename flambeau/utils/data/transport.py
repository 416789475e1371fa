"""Batches from process to process: small ones through a pipe, large ones through shared memory.

A message is pickled with its arrays left out; the arrays go into one file in memory (``/dev/shm``),
which the receiver maps and unlinks at once, so that they are not copied again. Files are written
with ``write``, so that a full ``/dev/shm`` is an error here and not a bus error later.
"""

from __future__ import annotations

import glob
import io
import itertools
import mmap
import os
import pickle
import tempfile
import warnings

import numpy as np

from ...base import dtype as dt
from ...tensor import Tensor
from ...tensor.host import from_array

#: arrays from this size on go through shared memory
LARGE = 16384
_ALIGN = 64


def folder() -> str:
    """Where files that are memory live."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


def _rebuild(kind: type, array: np.ndarray, name: str, requires_grad: bool) -> Tensor:
    dtype = dt.BY_NAME[name]
    if dtype is dt.bfloat16:
        array = array.view(dtype.np)
    t = from_array(array, dtype)
    if kind is not Tensor:
        t.__class__ = kind
    if requires_grad:
        t.requires_grad_()
    return t


class _Pickler(pickle.Pickler):
    """Tensors as their arrays, which pickle protocol 5 then leaves out of the stream."""

    def reducer_override(self, obj):
        if not isinstance(obj, Tensor) or obj.device.type != "cpu":
            return NotImplemented
        if obj.requires_grad and not obj.is_leaf:
            raise RuntimeError(
                "Cowardly refusing to serialize non-leaf tensor which requires_grad, since "
                "autograd does not support crossing process boundaries.  If you just want to "
                "transfer the data, call detach() on the tensor before serializing (e.g., putting "
                "it on the queue).")
        array = np.ascontiguousarray(obj._array())
        if obj.dtype is dt.bfloat16:
            array = array.view(np.uint16)
        return _rebuild, (type(obj), array, obj.dtype.name, obj.requires_grad)


class Mailbox:
    """One end of a pair of pipes.

    Args:
        inbox, outbox: connections to read from and to write to.
        prefix: of the names of shared memory files, one per loader.
        stop: an event that makes :meth:`stopped` true.
        inline: messages longer than this go through shared memory as a whole, so that a pipe
            never fills up while both sides are writing.
    """

    _numbers = itertools.count()

    def __init__(self, inbox, outbox, prefix: str, stop, inline: int):
        self.inbox, self.outbox, self.prefix = inbox, outbox, prefix
        self.stop, self.inline = stop, inline
        self._full = False

    def stopped(self) -> bool:
        """Whether the parent has asked everybody to stop."""
        return self.stop.is_set()

    def poll(self, seconds: float) -> bool:
        """Whether a message (or the other side's end) arrives within some seconds."""
        return self.inbox.poll(seconds)

    def close(self) -> None:
        """Close both pipes."""
        self.inbox.close()
        self.outbox.close()

    # -- sending ---------------------------------------------------------------------------------

    def send(self, message) -> None:
        """Pickle and send a message."""
        large: list[pickle.PickleBuffer] = []

        def keep(buffer: pickle.PickleBuffer) -> bool:
            """True: the buffer stays in the stream."""
            if buffer.raw().nbytes < LARGE:
                return True
            large.append(buffer)
            return False

        stream = io.BytesIO()
        _Pickler(stream, protocol=5, buffer_callback=keep).dump(message)
        blocks = [stream.getbuffer(), *(b.raw() for b in large)]
        if not large and len(blocks[0]) <= self.inline:
            self.outbox.send_bytes(pickle.dumps((None, stream.getvalue())))
            return
        path, spans = self._write(blocks)
        if path is None:  # no room: everything through the pipe
            data = [bytes(b) for b in blocks]
            self.outbox.send_bytes(pickle.dumps((None, data[0], data[1:])))
        else:
            self.outbox.send_bytes(pickle.dumps((path, spans)))

    def _write(self, blocks):
        path = f"{self.prefix}-{os.getpid()}-{next(self._numbers)}"
        spans, at = [], 0
        try:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            try:
                for block in blocks:
                    spans.append((at, block.nbytes))
                    done = 0
                    while done < block.nbytes:
                        done += os.pwrite(fd, block[done:], at + done)
                    at += -(-block.nbytes // _ALIGN) * _ALIGN
                os.truncate(fd, max(at, 1))
            finally:
                os.close(fd)
        except OSError as error:
            self._remove(path)
            if not self._full:
                self._full = True
                warnings.warn(
                    f"DataLoader worker: {os.path.dirname(path)} is out of room ({error.strerror});"
                    " batches take the slower way through a pipe. Make shared memory larger (with "
                    "docker: --shm-size).", stacklevel=2)
            return None, None
        return path, spans

    @staticmethod
    def _remove(path: str) -> None:
        try:
            os.unlink(path)
        except OSError:
            pass  # it does not exist, or somebody else has removed it

    # -- receiving -------------------------------------------------------------------------------

    def receive(self):
        """The next message.

        Raises:
            EOFError: the other side has closed its end.
        """
        path, first, *rest = pickle.loads(self.inbox.recv_bytes())
        if path is None:
            buffers = [bytearray(b) for b in rest[0]] if rest else None
            return pickle.loads(first, buffers=buffers)
        with open(path, "r+b") as file:
            memory = mmap.mmap(file.fileno(), 0)
        self._remove(path)
        view = memoryview(memory)
        stream, *buffers = [view[at:at + n] for at, n in first]
        return pickle.loads(stream, buffers=buffers)

    def sweep(self) -> None:
        """Remove shared memory files that nobody will fetch."""
        for path in glob.glob(glob.escape(self.prefix) + "-*"):
            self._remove(path)
