"""The loop IR: what one kernel does, without sizes.

Grammar::

    kernel   := outer inner lanes split order buffers sections
    outer    := number of outer (parallel) axes; inner := number of inner axes
    lanes    := "outer" | "inner"      vector lanes run along the last axis of that group
    split    := bool                   the first inner axis is divided into parts; each part folds
                                       by itself and stores with its own position (axis 0)
    order    := "plain" | "blocks" | "cascade" | "deep" | "lanes"      see ``sums.py``
    buffer   := dtype steps role       steps: one per axis, 0 | 1 | 2 (any: a run-time argument);
                                       with split, a leading step for the part
    role     := "in" | "out" | "scratch" | "index" | "column" | "take"
    section  := level instruction*     level: "row" once for each outer index,
                                       "loop" for every inner index of it
    instruction :=
        ("load", v, buffer)                         v = buffer[here]
        ("take", v, buffer, index)                  v = buffer[here, moved by index]
        ("op", v, prim, params, srcs, dtype)        v = prim(srcs)
        ("fold", v, prim, src, dtype)               after the loop v = prim over the inner axes
        ("column", buffer, prim, src, dtype)        buffer[here] = prim(buffer[here], src)
        ("store", buffer, v)                        buffer[here] = v
        ("order", v)                                folds add up as v says (``sums.py``)

A value ``v`` is a number. Values of a row section live until the end of the outer index, values of
a loop section until the end of that section; a fold's value belongs to the row.  ``scratch`` is
memory of the chunk's own that keeps a loop value from one section to a later one; ``index`` has no
memory: its "value" is the sum of position times step, an int64. ``column`` is one row of memory for
each chunk, over the inner axes, in which a fold over the *outer* axes is kept; another kernel folds
the chunks' rows. ``take`` is memory with one more step, by which an integer value moves.

A kernel has no sizes and no addresses: they are arguments (see :func:`argument_words`), so one
kernel serves every size. It is a tuple of tuples: equal kernels are equal keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

#: elementwise primitives whose value depends on the element's position: an "op" with one of them
#: has the position (an "index" load) as its last operand
INDEXED = {"iota"}
OUTER, INNER = "outer", "inner"
#: most rows of a block; elements of all its rows together that stay in the first cache and in the
#: second; rows longer than the first cache are taken one by one
ROWS, NEAR, FAR = 16, 8192, 32768


class Buffer(NamedTuple):
    """Memory a kernel reads or writes; see the module's grammar."""

    dtype: str
    steps: tuple[int, ...]
    role: str


class Section(NamedTuple):
    """Instructions of one level."""

    level: str
    body: tuple[tuple, ...]


class Kernel(NamedTuple):
    """One kernel; see the module's grammar."""

    outer: int
    inner: int
    lanes: str
    split: bool
    order: str
    buffers: tuple[Buffer, ...]
    sections: tuple[Section, ...]


def in_row_blocks(kernel: Kernel) -> bool:
    """Whether a kernel takes a block of rows through each section before the next one.

    Integer arithmetic on row values stays scalar: a block may have lanes without a row.
    """
    if kernel.lanes != INNER or kernel.split or not kernel.outer:
        return False
    rows = _row_operations(kernel)
    passes = sum(s.level == "loop" for s in kernel.sections)
    return (passes > 1 or bool(rows)) and all("float" in i[5] or i[5] == "bool" for i in rows)


def _row_operations(kernel: Kernel) -> list[tuple]:
    return [i for s in kernel.sections if s.level == "row" for i in s.body if i[0] == "op"]


def block_room(kernel: Kernel, streams: int) -> tuple[int, int]:
    """(room, weight): a block has as many rows as ``room`` has ``weight`` rows' elements.

    Without operations on row values a block only hides the latency of its folds: a few rows do.

    Args:
        streams: buffers that move along inner axes (see :func:`is_stream`).
    """
    return (FAR, 1) if _row_operations(kernel) else (NEAR, max(streams, 1))


def row_block(kernel: Kernel, elements: int, streams: int) -> int:
    """Rows of a block whose rows have so many elements."""
    if elements > NEAR:
        return 1
    room, weight = block_room(kernel, streams)
    return max(1, min(ROWS, room // max(elements * weight, 1)))


def is_stream(role: str, inner_steps: Iterable[int]) -> bool:
    """Whether a buffer of these steps along inner axes is read or written along a row."""
    return role in ("in", "out", "scratch") and any(inner_steps)


def axis_count(kernel: Kernel) -> int:
    """Steps each buffer has."""
    return kernel.outer + kernel.inner + kernel.split


def argument_words(kernel: Kernel) -> list[tuple]:
    """The meaning of each 8-byte word of the argument block, in order.

    ``("size", axis)``, ``("parts",)``, ``("pointer", buffer)``, ``("step", buffer, axis)`` and
    ``("bytes", buffer)``, a scratch or column buffer's bytes for each chunk, and
    ``("index step", buffer)``. Axes count outer first, then
    inner; a leading part axis (``split``) counts as axis -1.
    """
    words: list[tuple] = [("size", k) for k in range(kernel.outer + kernel.inner)]
    if kernel.split:
        words.append(("parts",))
    shift = 1 if kernel.split else 0
    for n, b in enumerate(kernel.buffers):
        words.append(("pointer", n))
        words.extend(("step", n, k - shift) for k, s in enumerate(b.steps) if s == 2)
        if b.role in ("scratch", "column"):
            words.append(("bytes", n))
        elif b.role == "take":
            words.append(("index step", n))
    return words
