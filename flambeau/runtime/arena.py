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


class Block(threading.local):
    """The thread's block.

    Attributes:
        raw: the array; None before the first use.
        address: its aligned start.
        size: usable bytes.
        busy: a plan is running.
    """

    raw: np.ndarray | None = None
    address = 0
    size = 0
    busy = False


local = Block()


def reserve(size: int) -> None:
    """Make the thread's block hold at least ``size`` bytes."""
    if local.size < size or local.raw is None:
        local.raw = None  # the old block goes before the new one comes
        size = max(size, local.size + local.size // 4)
        local.raw, local.address = aligned(size)
        local.size = size
