"""In which order a reduction adds up: one rule, so that the same reduction gives the same bits
wherever it is computed.

The order depends on the operand's sizes, the reduced axes, the accumulator's dtype and the
host's vector width; never on what else is in the kernel, on chunks or on threads. (Where the
operand is an array whose strides do not let the reduced axes merge, also on that.) The parts of
the rule:

*Runs.* Reduced axes that are neighbours in row-major order are one run; axes of size 1 do not
count. A group only takes members that can be read run by run.

*Along.* :func:`along` says whether the sum of one result runs over neighbouring elements
("inner") or goes from row to row ("outer").

*Parts.* :func:`parts_of` divides a long reduction with few results: part ``s`` of ``S`` takes
positions ``[n s // S, n (s + 1) // S)`` of the first run. Each part is reduced by itself; the
parts are then reduced like any array of shape (S, results) over axis 0.

*Inner order.* Position ``i`` of the last run is added to accumulator ``i mod A``, where ``A`` is
:func:`accumulators`; runs before the last are walked from outside to inside with the same
accumulators. At the end accumulators are added by halves: ``a[j] + a[j + A/2]``, and so on.

*Outer order.* Each result adds its elements in row-major order.

*Blocks.* Where :func:`is_long`, float sums and products are made in blocks that start from zero
(one) and then join a running total: ``BLOCK * A`` positions of the last run (inner) or ``BLOCK``
(outer).
"""

from __future__ import annotations

from ..base import dtype as dt

#: elements of one part when a reduction is divided
PART = 16384
#: parts wanted when a reduction is divided
MAX_PARTS = 32
#: iterations of a loop whose sum is added up before it joins the total
BLOCK = 256
#: positions of a reduction (of one part of it) above which it adds up in blocks
LONG_INNER, LONG_OUTER = 8192, 512

Runs = tuple[tuple[int, int], ...]


def accumulator(dtype: dt.dtype) -> dt.dtype:
    """The dtype a fold adds up in."""
    return dt.float32 if dtype.is_floating_point and dtype.itemsize == 2 else dtype


def reduced_runs(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """The reduced axes as runs of the operand's row-major order, outermost first, merged."""
    runs: list[tuple[int, int]] = []
    step = 1
    for k in range(len(shape) - 1, -1, -1):
        n = shape[k]
        if k in axes and n != 1:
            if runs and runs[-1][0] * runs[-1][1] == step:
                runs[-1] = (runs[-1][0], runs[-1][1] * n)
            else:
                runs.append((step, n))
        step *= n
    return tuple(reversed(runs))


def along(runs: Runs, rows: int) -> str:
    """ "inner" where the reduced elements are neighbours and enough to fill vectors, else "outer".

    Args:
        runs: (step, size) of the merged reduced axes in row-major elements, outermost first.
        rows: number of results.
    """
    if not runs or runs[-1][0] != 1:
        return "outer" if rows > 1 else "inner"
    return "inner" if runs[-1][1] >= 8 or rows < 8 else "outer"


def parts_of(total: int, rows: int, runs: Runs) -> int:
    """In how many parts a reduction of ``total`` elements is divided.

    1 unless it is long and has too few results to keep all threads busy.
    """
    units = rows if along(runs, rows) == "inner" else -(-rows // 64)
    if not units or not runs:
        return 1
    parts = min(total // PART, MAX_PARTS // units, runs[0][1])
    return parts if parts >= 2 else 1


def is_long(lanes: str, depth: int, parts: int) -> bool:
    """Whether a reduction of ``depth`` elements for each result adds up in blocks."""
    each = -(-depth // parts)
    return each > (LONG_INNER if lanes == "inner" else LONG_OUTER)


def accumulators(vector_bytes: int) -> int:
    """Accumulators of an inner sum: two vectors of float32."""
    return 2 * (vector_bytes // 4)
