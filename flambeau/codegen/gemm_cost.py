"""How a matrix multiplication is divided: packed or direct, and the grid of tasks.

An element of C is the sum over blocks of k, in order, of which each is a chain of fused
multiplications and additions; or, in the mode ``dot``, a sum of lanes. The size of the blocks is
:func:`k_block`, a function of the sizes alone, so ``direct`` and all packed modes give the same
bits for any grid and number of threads; whether the mode is ``dot`` is decided before, by the
caller.

The estimates count processor cycles; only their order matters. Peak is two vector multiplications
per cycle; packing costs by the way the source is read; operands stream from the next cache level at
:data:`STREAM` bytes per cycle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from flambeau.codegen.gemm_micro import Tiling

STREAM = 24
TILE_CALL = 60       # cycles around a micro-kernel
TASK = 150           # cycles to take a chunk and find its place
SYNC = 4000          # cycles to start a row of chunks on other threads
PARALLEL = 24000     # less work than this stays on one thread
THIN_ROWS, THIN_BYTES, THIN_K = 12, 8 << 20, 32  # see Drivers._direct_rows
FEW_ROWS, NEAR_BYTES = 64, 2 << 20  # see direct_allowed
SHARED_A_BYTES = 16 << 20
WORKSPACE_BYTES = 128 << 20


@dataclass(frozen=True)
class Division:
    """The decision for one multiplication.

    Attributes:
        mode: ``direct``, ``dot``, ``private`` (operands packed inside the tasks), ``shared_b`` (B
            packed before) or ``shared`` (A and B packed before).
        k_step, row_step, column_step: blocks, see ``gemm_drive``.
        tasks: tasks of the multiplication.
        chunks: chunks to divide them into.
        cycles: the estimate.
    """

    mode: str
    k_step: int
    row_step: int
    column_step: int
    tasks: int
    chunks: int
    cycles: float


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def balanced_k(k: int, kc: int) -> int:
    """A block of k of at most ``kc``, with no small remainder."""
    blocks = max(1, _ceil(k, kc))
    return min(kc, max(4, (_ceil(k, blocks) + 3) & ~3))


def k_block(t: Tiling, m: int, n: int, k: int, size: int) -> int:
    """Elements of k that are multiplied before the sum joins C.

    Thin for few rows and a large B, so that B is read along its rows. The sizes are those of the
    program's product, also where its transpose is computed.
    """
    if n == 1:  # computed as vector times matrix
        m, n = n, m
    if m <= THIN_ROWS and k * n * size > THIN_BYTES:
        return THIN_K
    return balanced_k(k, t.kc)


def _pack_cycles(elements: float, across: int, along: int, t: Tiling) -> float:
    """Cycles to pack: ``across`` is the stride between lanes, ``along`` the one of k."""
    return elements * (1.5 / t.lanes if across == 1 else 4 / t.lanes if along == 1 else 2.5)


def _rows_cost(rows: int, tiles: tuple[int, ...]) -> int:
    """Rows after rounding up to the tile that serves the remainder."""
    whole, rest = divmod(rows, tiles[0])
    return whole * tiles[0] + (min(x for x in tiles if x >= rest) if rest else 0)


class _Case:
    """One multiplication being divided."""

    def __init__(self, t: Tiling, m: int, n: int, k: int, batch: int, a: tuple[int, int],
                 b: tuple[int, int], size: int, threads: int, k_step: int):
        self.k_step = k_step
        self.t, self.m, self.n, self.k, self.batch = t, m, n, k, batch
        self.a, self.b, self.size, self.threads = a, b, size, threads
        # a tile too narrow for its columns wastes the rest of its width
        self.peak = 2 * t.lanes

    def task_cycles(self, mode: str, mb: int, nb: int) -> float:
        t, k, size = self.t, self.k, self.size
        if mode == "direct":
            return self._direct_cycles(mb, nb)
        if mode == "dot":
            return self._dot_cycles(mb, nb)
        panels = _ceil(nb, t.nr)
        rows = _rows_cost(mb, t.row_tiles)
        width = t.nr if nb >= t.nr else _ceil(nb, t.lanes) * t.lanes
        tiles = _ceil(mb, t.mr) * _ceil(k, t.kc)
        per_panel = rows * width * k / self.peak + tiles * TILE_CALL
        stream = k * t.nr * size / STREAM
        cycles = panels * max(per_panel, stream) + mb * k * size / STREAM
        if mode != "shared":
            cycles += _pack_cycles(mb * k, self.a[0], self.a[1], t)
        if mode == "private":
            cycles += _pack_cycles(nb * k, self.b[1], self.b[0], t)
        return cycles

    def _direct_cycles(self, mb: int, nb: int) -> float:
        t, k, left, cycles = self.t, self.k, mb, 0.0
        for rows, widths in t.direct:
            count, left = divmod(left, rows)
            if not count:
                continue
            width = widths[0] * t.lanes
            per_k = rows * widths[0] * t.lanes / self.peak
            per_k = max(per_k, (rows + widths[0]) / 2, 4 if rows * widths[0] < 12 else 0)
            tiles = _ceil(nb, width)
            stream = k * width * self.size / STREAM
            cycles += tiles * max(count * (per_k * k + TILE_CALL), stream)
        return cycles

    def _dot_cycles(self, mb: int, nb: int) -> float:
        """Per four rows: a multiplication per four columns' vectors, sums, and reading B."""
        vectors = _ceil(self.k, self.t.lanes)
        passes = _ceil(mb, 4)
        per_pass = max(nb * (vectors * min(mb, 4) / 2 + 4 * min(mb, 4)),
                       nb * self.k * self.size / STREAM)
        return passes * (per_pass + TILE_CALL * _ceil(nb, 4))

    def grids(self, mode: str):
        """Candidate (rows, columns) of a task."""
        t = self.t
        unit = t.mr if mode not in ("direct", "dot") else t.direct[0][0]
        panels, columns = _ceil(self.m, unit), _ceil(self.n, t.nr)
        most = t.mc // unit
        if mode in ("direct", "dot"):  # rows of A are read again and again: keep them in the cache
            most = max(1, (1 << 18) // (max(self.k_step, 1) * self.size * unit))
        least = _ceil(panels, max(1, most))
        splits, g = [], least
        while g <= panels and (g <= 16 * self.threads or g == least):
            splits.append(g)
            g = max(g + 1, g * 5 // 4)
        across = (1,) if self.threads == 1 else (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
        seen = set()
        for g in splits:
            mb = min(_ceil(panels, g) * unit, max(self.m, 1))
            for h in across:
                if h <= columns:
                    nb = _ceil(columns, h) * t.nr
                    if (mb, nb) not in seen:
                        seen.add((mb, nb))
                        yield _round_rows(mb, unit), nb

    def best(self, mode: str) -> Division:
        """The best grid for a mode."""
        extra = 0.0
        if mode.startswith("shared"):
            work = _pack_cycles(self.n * self.k, self.b[1], self.b[0], self.t)
            if mode == "shared":
                work += _pack_cycles(self.m * self.k, self.a[0], self.a[1], self.t)
                work += 2 * self.m * self.k * self.size / STREAM  # through a cache further away
            extra = work * self.batch / self.threads + (SYNC if self.threads > 1 else 500)
        found = None
        for mb, nb in self.grids(mode):
            tasks = _ceil(self.m, mb) * _ceil(self.n, nb) * self.batch
            each = self.task_cycles(mode, min(mb, self.m), min(nb, self.n))
            total = each * tasks
            threads = self.threads if total > PARALLEL else 1
            cycles = extra + each * _ceil(tasks, threads)
            if threads > 1:  # few large tasks are slow when a thread is interrupted
                cycles += SYNC + 0.15 * max(each, PARALLEL) + TASK * tasks / threads
            if found is None or cycles < found.cycles:
                chunks = 1 if threads == 1 else min(tasks, 16 * threads)
                found = Division(mode, self.k_step, mb, nb, tasks, chunks, cycles)
        assert found is not None
        return found


def _round_rows(mb: int, unit: int) -> int:
    return _ceil(mb, unit) * unit


def direct_allowed(t: Tiling, m: int, n: int, k: int, b: tuple[int, int], size: int,
                   k_step: int) -> bool:
    """Whether B may be read in place: unit column stride, and no pile-up in a few cache sets.

    Rows a power of two apart share cache sets; few rows of A hide it, since B is then read once or
    a few times only, which costs less than to pack it. What counts is the block of k that is read
    again for each tile of rows; of all k, if B does not stay in the cache between blocks.
    """
    if k == 0:
        return True
    if b[1] != 1 and n > 1:
        return False
    if not t.masked and n % t.lanes and n < 8 * t.nr:
        return False
    if m <= t.direct[0][0] or m <= FEW_ROWS and n * k * size <= THIN_BYTES:
        return True
    pitch = b[0] * size
    limit = 256 if pitch % 4096 == 0 else 512 if pitch % 2048 == 0 else 768
    return (k_step if n * k * size <= NEAR_BYTES else k) <= limit


def _about(n: int) -> int:
    """A size rounded up to three binary digits: sizes near each other are divided alike."""
    unit = 1 << max(n.bit_length() - 4, 0)
    return -(-n // unit) * unit


def divide(t: Tiling, m: int, n: int, k: int, batch: int, a: tuple[int, int], b: tuple[int, int],
           size: int, threads: int, direct: bool, unit: bool, mode: str | None,
           dotted: bool | None = None, k_step: int = 0) -> Division:
    """Choose mode and grid.

    Args:
        a, b: (row, column) strides of the operands in elements.
        size: bytes of an element of C.
        direct: the element types allow the direct kernels.
        unit: the columns of C are contiguous; otherwise only ``dot`` will do.
        mode: force a mode.
        dotted: ``dot`` and nothing else (True), or anything else (False).
        k_step: what :func:`k_block` gives for the program's product, if this is its transpose.

    Raises:
        ValueError: the forced mode cannot do it.
    """
    k_step = k_step or k_block(t, m, n, k, size)
    return _divide(t, _about(m), n, _about(k), batch, a, b, size, threads, direct, unit, mode,
                   dotted, k_step)


@lru_cache(maxsize=4096)
def _divide(t: Tiling, m: int, n: int, k: int, batch: int, a: tuple[int, int], b: tuple[int, int],
            size: int, threads: int, direct: bool, unit: bool, mode: str | None,
            dotted: bool | None, k_step: int) -> Division:
    case = _Case(t, m, n, k, batch, a, b, size, threads, k_step)
    modes = []
    if a[1] == 1 and b[0] == 1 and k:
        modes.append("dot")
    if direct and unit and direct_allowed(t, m, n, k, b, size, case.k_step):
        modes.append("direct")
    if k and unit:
        modes.append("private")
        if batch * n * k * size <= WORKSPACE_BYTES or batch == 1:
            modes.append("shared_b")
            if batch * m * k * size <= SHARED_A_BYTES:
                modes.append("shared")
    if dotted is not None:
        modes = ["dot"] if dotted else [x for x in modes if x != "dot"]
    if mode is not None:
        if mode == "direct" and direct and (b[1] == 1 or n == 1 or k == 0):
            return case.best(mode)
        if mode not in modes:
            raise ValueError(f"mode {mode!r} cannot multiply {m}x{k} by {k}x{n} (batch {batch}); "
                             f"possible: {', '.join(modes)}")
        return case.best(mode)
    return min((case.best(x) for x in modes), key=lambda d: d.cycles)
