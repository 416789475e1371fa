"""In which order a reduction adds up: one rule, so that the same reduction gives the same bits
wherever it is computed.

The order depends on the operand's sizes, the reduced axes, the accumulator's dtype and, of large
ones, the host's vector width; never on what else is in the kernel, on chunks or on threads. (Where
the operand is an array whose strides do not let the reduced axes merge, also on that.)

``sum`` of fewer than :data:`GRAIN` elements adds up as PyTorch's ``sum`` does, bit by bit (the
order of larger ones may depend on the number of its threads). All others are made for speed: larger
ones, products, and sums inside of what PyTorch has kernels of its own for (``plain_sum``).

Common parts of the rules:

*Runs.* Reduced axes that are neighbours in row-major order are one run; axes of size 1 do not
count. A group only takes members that can be read run by run.

*Along.* :func:`along` says whether the sum of one result runs over neighbouring elements
("inner") or goes from row to row ("outer").

**Small sums: "cascade".** PyTorch's kernel is written for vectors of 32 bytes on any host; V is
such a vector's lanes, A four vectors.

*Cascade.* A chain of additions is cut into blocks of :data:`STEPS`; a block's sum joins a second
total, which joins a third one after as many blocks, and so on; at the end the block that was not
finished comes first, then the totals. ("deep": more than two totals are wanted.)

*A row by fours.* Elements i, i + 4, i + 8 ... are a cascade, for i from 0 to 3. What does not fill
four joins the first one, then the others join it in order.

*Inner order.* Each run's sum joins the result in row-major order of the outer runs. A run is a row
by fours of vectors; elements that do not fill a vector are added up one after another, then the
lanes join in order. A run of less than V elements is a row by fours.

*Outer order.* Where there is one run, results with :func:`column_border` at or below zero are
cascades. All others are rows by fours; of several runs, each run's sum joins the result.

**Inner products: "lanes".** ``inner_sum`` (of 1-D ``dot``) adds up as MKL does on AMD processors,
in four vectors of 16 bytes each: element i joins accumulator i mod A; of what does not fill them,
whole vectors (of float32 first a pair of them) join the first ones, single elements the first one.
Then the vectors are added one after another, of float32 the second half to the first, and the last
two.
(On other processors, for operands that do not lie at multiples of 16 bytes or are strided, and for
long ones with several threads MKL has other orders; ours is this one everywhere.)

**All others: "plain" and "blocks".**

*Parts.* :func:`parts_of` divides a long reduction with few results: part ``s`` of ``S`` takes
positions ``[n s // S, n (s + 1) // S)`` of the first run. Each part is reduced by itself; the
parts are then reduced in this way like any array of shape (S, results) over axis 0.

*Inner order.* Position ``i`` of the last run is added to accumulator ``i mod A``, where ``A`` is
:func:`accumulators`; runs before the last are walked from outside to inside with the same
accumulators. At the end accumulators are added by halves: ``a[j] + a[j + A/2]``, and so on.

*Outer order.* Each result adds its elements in row-major order.

*Blocks.* Where a reduction is long, float sums and products are made in blocks that start from zero
(one) and then join a running total: ``BLOCK * A`` positions of the last run (inner) or ``BLOCK``
(outer).
"""

from __future__ import annotations

import math

from ..base import dtype as dt

#: elements of one part when a reduction is divided
PART = 16384
#: parts wanted when a reduction is divided
MAX_PARTS = 32
#: iterations of a loop whose sum is added up before it joins the total
BLOCK = 256
#: positions of a reduction (of one part of it) above which it adds up in blocks
LONG_INNER, LONG_OUTER = 8192, 512

#: elements from which PyTorch divides a reduction among threads
GRAIN = 32768
#: additions of a block of a cascade, and blocks of a block of blocks
STEPS = 16
#: bytes of the vectors that PyTorch adds up in, of four of them, and of those of products
VECTOR, VECTORS, PRODUCTS = 32, 128, 64

#: orders of adding up that a kernel may have
PLAIN, BLOCKS, CASCADE, DEEP, LANES = "plain", "blocks", "cascade", "deep", "lanes"
ORDERS = (PLAIN, BLOCKS, CASCADE, DEEP, LANES)

Runs = tuple[tuple[int, int], ...]
#: what decides the order besides sizes: CASCADE, LANES or PLAIN, and bytes of an accumulator (0:
#: all sizes have the same)
Kind = tuple[str, int]


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


def kind_of(prim: str, dtype: dt.dtype, total: int) -> Kind | None:
    """The kind of a reduction of ``total`` elements; None where the order does not matter: of
    integers, and of extremes, which are never negative zeros."""
    if not dtype.is_floating_point or prim in ("amax", "amin"):
        return None
    if prim == "inner_sum":
        return LANES, accumulator(dtype).itemsize
    return (CASCADE, accumulator(dtype).itemsize) if prim == "sum" and total < GRAIN else (PLAIN, 0)


def along(runs: Runs, rows: int, kind: Kind | None) -> str:
    """ "inner" where the reduced elements are neighbours and enough to fill vectors, else "outer".

    Args:
        runs: (step, size) of the merged reduced axes in row-major elements, outermost first.
        rows: number of results.
    """
    family, size = kind or (PLAIN, 0)
    if family == LANES:
        return "inner"
    if not runs or runs[-1][0] != 1:
        return "outer" if rows > 1 else "inner"
    least = VECTOR // size if family == CASCADE else 8
    return "inner" if runs[-1][1] >= least or rows < 8 else "outer"


def parts_of(total: int, rows: int, runs: Runs, kind: Kind | None) -> int:
    """In how many parts a reduction of ``total`` elements is divided.

    1 unless it is long and has too few results to keep all threads busy.
    """
    units = rows if along(runs, rows, kind) == "inner" else -(-rows // 64)
    if not units or not runs or kind is not None and kind[0] != PLAIN:
        return 1
    parts = min(total // PART, MAX_PARTS // units, runs[0][1])
    return parts if parts >= 2 else 1


def order_of(lanes: str, runs: Runs, parts: int, kind: Kind | None) -> str:
    """The order of a reduction whose sums run along ``lanes``."""
    family = PLAIN if kind is None or not runs else kind[0]
    if family == LANES:
        return LANES
    if family == CASCADE:
        return DEEP if runs[-1][1] > STEPS * STEPS * (STEPS if lanes == "inner" else 1) else CASCADE
    each = -(-math.prod([n for _, n in runs]) // parts)
    return BLOCKS if each > (LONG_INNER if lanes == "inner" else LONG_OUTER) else PLAIN


def column_border(runs: Runs, kind: Kind) -> tuple[int, int]:
    """(columns, border) of a small outer reduction: with one run, the results of a period of so
    many whose number in it is below the border are cascades, the others rows by fours."""
    columns = runs[0][0]
    if len(runs) > 1 or columns == 1:
        return 1, 0
    unit = VECTORS // kind[1] if columns >= VECTOR // kind[1] else 4
    return columns, columns // unit * unit


def accumulators(order: str, size: int, vector_bytes: int) -> int:
    """Accumulators of an inner sum.

    Args:
        size: bytes of one.
        vector_bytes: of the host's vectors.
    """
    if order == LANES:
        return PRODUCTS // size
    return VECTORS // size if order in (CASCADE, DEEP) else 2 * (vector_bytes // 4)
