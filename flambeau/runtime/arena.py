"""Memory for values that live only while a plan runs: a block for each thread, shared by all plans.

Nothing in it outlives a run, so plans of many shapes take no more than the largest needs, and each
finds its memory warm. A plan started while another one runs on the same thread (a host step that
calls back) gets a block of its own.
"""

from __future__ import annotations

import threading

import numpy as np

LINE = 64


def aligned(size: int) -> tuple[np.ndarray, int]:
    """A byte array and the address in it from which ``size`` bytes are aligned to a cache line."""
    raw = np.empty(size + LINE, np.uint8)
    address = raw.__array_interface__["data"][0]
    return raw, address + -address % LINE


class Block:
    """A thread's block.

    Attributes:
        raw: the array; None before the first use.
        address: its aligned start.
        size: usable bytes.
        busy: a plan is running.
    """

    __slots__ = ("raw", "address", "size", "busy")

    def __init__(self):
        self.raw: np.ndarray | None = None
        self.address = self.size = 0
        self.busy = False

    def reserve(self, size: int) -> None:
        """Hold at least ``size`` bytes."""
        if self.size < size or self.raw is None:
            self.raw = None  # the old block goes before the new one comes
            size = max(size, self.size + self.size // 4)
            self.raw, self.address = aligned(size)
            self.size = size


class _Local(threading.local):
    def __init__(self):
        self.block = Block()


#: ``local.block``: the calling thread's
local = _Local()
