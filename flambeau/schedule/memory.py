"""Where values live: one arena with memory used again as soon as its value is dead.

Addresses are decided at planning time: every block is a multiple of 64 bytes and padded by one
more line, so that neighbours never share a cache line.
"""

from __future__ import annotations

LINE = 64


class Arena:
    """Hands out offsets of one block of memory; first fit, neighbours merge when freed."""

    def __init__(self):
        self.size = 0
        self._free: list[tuple[int, int]] = []  # (offset, bytes), by offset

    def take(self, count: int) -> tuple[int, int]:
        """An offset for ``count`` bytes, and the bytes taken."""
        count = -(-max(count, 1) // LINE) * LINE
        for k, (at, have) in enumerate(self._free):
            if have >= count:
                if have == count:
                    del self._free[k]
                else:
                    self._free[k] = (at + count, have - count)
                return at, count
        at = self.size
        if self._free and sum(self._free[-1]) == self.size:
            at, _ = self._free.pop()
        self.size = at + count
        return at, count

    def give(self, at: int, count: int) -> None:
        """Take an offset back."""
        free = self._free
        lo, hi = 0, len(free)
        while lo < hi:
            mid = (lo + hi) // 2
            if free[mid][0] < at:
                lo = mid + 1
            else:
                hi = mid
        if lo < len(free) and at + count == free[lo][0]:
            count += free.pop(lo)[1]
        if lo and sum(free[lo - 1]) == at:
            before = free.pop(lo - 1)
            at, count = before[0], before[1] + count
            lo -= 1
        free.insert(lo, (at, count))
