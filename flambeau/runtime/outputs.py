"""Arrays for a plan's outputs, written again once the program has dropped them.

Fresh memory costs page faults, many times the work of a kernel that fills it. So a plan keeps the
last few arrays of each output; one that nobody else refers to is written by the next run.
"""

from __future__ import annotations

from collections import Counter
from sys import getrefcount

import numpy as np

from . import counts
from .aligned import empty

#: arrays of one output kept for recycling
POOL = 3
#: references that pools hold, by the array's id: they do not keep anybody from writing over it
pooled: Counter[int] = Counter()
#: references to an array of the last run that only its plan knows: pool, ``last``, ``template``
_FREE = 3


class _Pool:
    """The arrays of one output: ``(array, address)``."""

    __slots__ = ("arrays", "dtype", "index", "oldest", "shape")

    def __init__(self, index: int, shape: tuple[int, ...], dtype: np.dtype):
        self.index, self.shape, self.dtype = index, shape, dtype
        self.arrays: list[tuple[np.ndarray, int]] = []
        self.oldest = 0

    def take(self) -> tuple[np.ndarray, int]:
        """An array that nobody uses, and its address."""
        arrays = self.arrays
        for n in range(len(arrays)):
            if getrefcount(arrays[n][0]) == 2:
                return arrays[n]
        array = empty(self.shape, self.dtype)
        pair = array, array.__array_interface__["data"][0]
        pooled[id(array)] += 1
        if len(arrays) < POOL:
            arrays.append(pair)
        else:
            n = self.oldest
            _release(arrays[n][0], 1)
            arrays[n], self.oldest = pair, (n + 1) % POOL
        return pair


def _release(array: np.ndarray, count: int) -> None:
    key = id(array)
    pooled[key] -= count
    if pooled[key] <= 0:
        del pooled[key]


class Outputs:
    """The fresh outputs of a plan.

    Args:
        count: outputs of the plan.
        fresh: (output number, shape, NumPy dtype) of those that get an array here.
        words: where the plan keeps addresses; output ``k``'s is ``words[first + k]``.

    Attributes:
        last: the arrays of the last run.
    """

    def __init__(self, count: int, fresh: list[tuple[int, tuple[int, ...], np.dtype]],
                 words: np.ndarray, first: int):
        self._pools = [_Pool(*f) for f in fresh]
        self._words, self._first = words, first
        self.last: list = []
        self._template: list = [None] * count  # the same, each at its output's number
        self._free = [_FREE] * len(fresh)

    def __del__(self):
        self._forget()
        for pool in self._pools:
            for array, _ in pool.arrays:
                _release(array, 1)

    def _forget(self) -> None:
        for array in self.last:
            _release(array, 2)
        for pool in self._pools:
            self._template[pool.index] = None
        self.last = []

    def take(self) -> tuple[list, bool]:
        """A list of all outputs with an array at every fresh one's number; whether any address in
        the plan's words has changed."""
        if counts.are(self.last, self._free):
            return self._template[:], False
        self._forget()
        changed = False
        for pool in self._pools:
            array, address = pool.take()
            pooled[id(array)] += 2
            self.last.append(array)
            self._template[pool.index] = array
            at = self._first + pool.index
            if self._words[at] != address:
                self._words[at] = address
                changed = True
        return self._template[:], changed
