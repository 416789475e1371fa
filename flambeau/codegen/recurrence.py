"""The loop over time of a recurrent layer.

``void recurrence(i64* args, i64 chunk, i64 nchunks)``: a chunk has some of the sequences and runs
the same few rows (kernels with their arguments) in every step. The argument block, in words::

    0 steps   1 sequences   2 sequences per chunk, least   3 first row of a step   4 rows
    5 table of steps: (sequences, first row of the data) each
    6 rows' arguments   7 their end   8 zero
    9 .. four words per row: function, its first patch, patches, its arguments

Each chunk has a copy of the rows' arguments, which it changes from step to step. Places in the
block are word numbers (5, 6, 7, a row's patches); a row's arguments and the words to patch are
numbered in the copy. A patch is five words: the word, where its first content is, and what the
chunk's first sequence, the step's first row and the number of sequences at hand are multiplied by
before they are added to it.
"""

from __future__ import annotations

from .emit import Function, Module, Value

#: words before the rows' table; the last of them is 0, a number that kernels may read
HEAD = 9
ROW_WORDS = 4
PATCH_WORDS = 5
#: words of all rows' arguments together, at most
ROOM = 512


def emit_recurrence() -> Module:
    """The module that holds ``recurrence``."""
    m = Module()
    f = m.kernel("recurrence")
    args = f.args[0]
    steps, count, least, first, rows, table, begin = (f.arg(k) for k in range(7))
    units = (count + least - 1) / least
    lo, hi = f.chunk_range(units)
    lo, hi = lo * least, f.min(hi * least, count)
    room = f.alloca("i64", ROOM)
    with f.if_(hi > lo):
        with f.loop(begin, f.arg(7)) as word:
            x = f.load(f.gep(args, word.i, "i64"), "i64", 8)
            f.store(x, f.gep(room, word.i - begin, "i64"), 8)
        _run(f, room, f.const(0, "i64"), first, lo, hi - lo, f.const(0, "i64"))
        with f.loop(0, steps) as step:
            at = f.gep(args, table + step.i * 2, "i64")
            n = f.min(f.load(at, "i64", 8), hi) - lo
            with f.if_(n > 0):
                _run(f, room, first, rows, lo, n, f.load(f.gep(at, 1, "i64"), "i64", 8))
    return m


def _run(f: Function, room: Value, begin: Value, end: Value, lo: Value, n: Value,
         at: Value) -> None:
    """Run rows for ``n`` sequences from ``lo``, whose data begin in row ``at``."""
    args = f.args[0]

    def word(place: Value) -> Value:
        return f.load(f.gep(args, place, "i64"), "i64", 8)

    with f.loop(begin, end) as row:
        head = row.i * ROW_WORDS + HEAD
        patch = word(head + 1)
        with f.loop(0, word(head + 2)) as each:
            p = patch + each.i * PATCH_WORDS
            value = word(word(p + 1)) + word(p + 2) * lo + word(p + 3) * at + word(p + 4) * n
            f.store(value, f.gep(room, word(p), "i64"), 8)
        function = f.load(f.gep(args, head, "i64"), "ptr", 8)
        f.call_pointer(function, "void", f.gep(room, word(head + 3), "i64"), f.const(0, "i64"),
                       f.const(1, "i64"))
