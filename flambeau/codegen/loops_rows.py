"""Row kernels in blocks of rows: what is done once for each row is done for sixteen rows at once.

A kernel with lanes along the inner axis runs section by section. If it took one row after the other
through all sections, the few operations on row values (a logarithm, a reciprocal root) would be
scalar code that takes as long as for a whole vector of rows, and every fold would be waited for. So
a block of rows goes through a section before the next section starts: loop sections row by row, row
sections as vector code over the rows. Row values lie in between in small tables on the stack.

How many rows a block has: :func:`flambeau.kernel.ir.row_block`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from ..base import dtype as dt
from ..kernel.ir import NEAR, ROWS, Section, block_room, is_stream
from .emit import Value
from .emit_types import ELEMENT
from .loops_memory import Lanes
from .loops_tiled import Tiles
from .scalar import Scalar, memory_type

_ONE = Lanes(1, 1, None, None)


class RowBlocks(Tiles):
    """Memory with tables of row values."""

    row: dict[int, list[Value]]  # values of the current row; the loops' author reads them

    def __init__(self, *args):
        super().__init__(*args)
        self.tables: dict[int, Value] = {}  # memory of a row value for all rows of the block
        self.fixed: dict[int, Value] = {}  # row values that are the same for all rows

    def run_row_blocks(self, first: Value, end: Value,
                       row_place: Callable[[Value], dict[int, Value]],
                       loop_section: Callable[[Section, dict[int, Value]], None]) -> None:
        """Rows [first, end)."""
        k, f = self.k, self.f
        elements = f.const(1, "i64")
        for a in range(k.outer, k.outer + k.inner):
            elements = elements * self.sizes[a]
        self.elements = elements
        room, weight = block_room(k, sum(is_stream(b.role, b.steps[k.outer:]) for b in k.buffers))
        rows = f.udiv(f.const(room, "i64"), f.max(elements * weight, 1))
        step = f.select(elements > NEAR, 1, f.max(f.min(rows, ROWS), 1))
        with f.loop(first, end, step) as block:
            count = f.min(end - block.i, step)

            def place(row: Value) -> dict[int, Value]:
                found = row_place(block.i + row)
                for n, b in enumerate(k.buffers):
                    if b.role == "scratch":
                        found[n] = f.gep(self.pointer[n], row * self._pitch(b.dtype))
                return found

            for section in k.sections:
                if section.level == "row":
                    self._row_section(section, count, place)
                    continue
                with f.loop(0, count) as row:
                    self.row = {v: [self._row_value(v, row.i)] for v in self._read_by(section)}
                    loop_section(section, place(row.i))
                    for i in section.body:
                        if i[0] == "fold":
                            self._keep(i[1], self.row[i[1]][0], row.i)

    def _pitch(self, dtype: str) -> Value:
        """Bytes from one row of scratch memory to the next."""
        return (self.elements * dt.BY_NAME[dtype].itemsize + 63) & -64

    def _read_by(self, section: Section) -> list[int]:
        """Row values that a loop section reads."""
        used: dict[int, None] = {}
        for i in section.body:
            if i[0] == "op":
                used.update(dict.fromkeys(i[4]))
            elif i[0] in ("take", "fold", "column"):
                used[i[3]] = None
            elif i[0] == "store":
                used[i[2]] = None
        return [v for v in used if v in self.tables or v in self.fixed]

    # -- tables ----------------------------------------------------------------------------------

    def _table(self, v: int) -> Value:
        found = self.tables.get(v)
        if found is None:
            t = memory_type(dt.BY_NAME[self.dtypes[v]], ROWS)
            found = self.tables[v] = self.f.alloca(t)
        return found

    def _keep(self, v: int, x: Value, row: Value | None) -> None:
        """Write a value of one row, or (``row`` None) of all rows."""
        d = dt.BY_NAME[self.dtypes[v]]
        raw = self.builder(1 if row is not None else ROWS).to_memory(Scalar(x, d))
        to = self._table(v)
        self.f.store(raw, to if row is None else self.f.gep(to, row, ELEMENT[d.name]))

    def _row_value(self, v: int, row: Value) -> Value:
        """A row's value."""
        if v in self.fixed:
            return self.fixed[v]
        dtype = self.dtypes[v]
        return self._read(dtype, self.f.gep(self._table(v), row, ELEMENT[dtype]), 1, None)

    def _row_vector(self, v: int, env: dict[int, Value]) -> Value:
        """The value of all rows."""
        found = env.get(v)
        if found is None:
            found = self.fixed.get(v)
        if found is None:
            found = env[v] = self._read(self.dtypes[v], self._table(v), ROWS, None)
        return found

    # -- row sections ----------------------------------------------------------------------------

    def _row_section(self, section: Section, count: Value,
                     place: Callable[[Value], dict[int, Value]]) -> None:
        env: dict[int, Value] = {}
        for memory, body in groupby(section.body, lambda i: i[0] != "op"):
            if memory:
                self._touch(list(body), env, count, place)
                continue
            for _, v, name, params, srcs, _ in body:
                values = [self._row_vector(s, env) for s in srcs]
                x = self.apply(name, params, values, [self.dtypes[s] for s in srcs])
                env[v] = self.widen(x, ROWS)
                self._keep(v, env[v], None)

    def _touch(self, body: list[tuple], env: dict[int, Value], count: Value,
               place: Callable[[Value], dict[int, Value]]) -> None:
        """Loads, lookups and stores, row by row."""
        for i in body:
            if i[0] == "load" and i[2] in self.hoisted:
                self.fixed[i[1]] = self.hoisted[i[2]]
        body = [i for i in body if i[0] != "load" or i[1] not in self.fixed]
        if not body:
            return
        with self.f.loop(0, count) as row:
            at = place(row.i)
            for i in body:
                if i[0] == "store":
                    self._store(i[1], [self._row_value(i[2], row.i)], self.dtypes[i[2]], at, _ONE)
                    continue
                index = [self._row_value(i[3], row.i)] if i[0] == "take" else []
                x = self._take(i[2], index, at, _ONE) if index else self._load(i[2], at, _ONE)
                self._keep(i[1], x[0], row.i)
                env.pop(i[1], None)
