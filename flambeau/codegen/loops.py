"""From the loop IR to LLVM: explicit vectors, sizes at run time.

One kernel is one function ``void kernel(i64* args, i64 chunk, i64 nchunks)``. Chunks divide the
outer index space (and, for a divided reduction, the parts). Two shapes of code:

* lanes along the *outer* axis: for each block of lanes the row sections run as vector code and
  the inner axes are scalar loops around it. Pure elementwise kernels are the case without inner
  axes, column reductions the case with folds.
* lanes along the *inner* axis: for each outer index the row sections run as scalar code, the last
  inner axis is a vector loop, and folds combine their lanes at its end.

Several vectors are in flight (``copies``), so that independent folds hide latency. What is left at
the end of an axis runs with masked memory access where the host has it, else one element at a time.
Long float sums are added up in blocks, which keeps the error of a sum of n numbers near that of
pairwise addition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..base import dtype as dt
from ..ir.node import PRIMS
from ..kernel.ir import INNER, OUTER, Kernel, Section, in_row_blocks
from ..kernel.sums import BLOCK, BLOCKS, accumulators
from .emit import Function, Module, Value
from .emit_types import lanes as lanes_in
from .gemm_drive import EPILOGUE_PARAMS
from .loops_memory import Lanes
from .loops_sums import Ordered
from .loops_tiled import tiled_axis

#: lanes a row of scratch memory has when lanes run along an outer axis
SCRATCH_LANES = 64
_HEAVY = 12
_SCALAR = Lanes(1, 1, None, None)


def emit_kernel(kernel: Kernel, name: str = "kernel", module: Module | None = None) -> Module:
    """The module that holds ``kernel`` as function ``name``."""
    module = module or Module()
    _Lowering(kernel, module.kernel(name)).run()
    return module


def emit_epilogue(kernel: Kernel, name: str = "epilogue") -> Module:
    """The module that holds a matrix product's epilogue (see ``codegen/gemm_epilogue.py``): a
    kernel over batch, row and column that runs on the part of them it is called for."""
    module = Module()
    _Lowering(kernel, module.function(name, EPILOGUE_PARAMS)).epilogue()
    return module


def lanes_of(kernel: Kernel, vector_bytes: int) -> int:
    """Lanes of the kernel's vectors: one register of its widest common element."""
    sizes = {dt.BY_NAME[b.dtype].itemsize for b in kernel.buffers if b.role != "index"}
    sizes |= {dt.BY_NAME[i[-1]].itemsize for s in kernel.sections for i in s.body
              if i[0] in ("op", "fold", "column")}
    if not sizes:
        size = 8
    elif 4 in sizes or 2 in sizes:
        size = 4
    else:
        size = max(sizes)
    return vector_bytes // size


class _Lowering(Ordered):
    def __init__(self, kernel: Kernel, f: Function):
        super().__init__(kernel, f)
        self.width = lanes_of(kernel, self.host.vector_bytes)
        ops = sum(len(s.body) for s in kernel.sections)
        self.copies = 4 if ops <= _HEAVY // 2 else 2 if ops <= _HEAVY else 1
        if kernel.lanes == OUTER and kernel.inner:
            self.copies = self._columns_at_once()
        self.copies = max(1, min(self.copies, SCRATCH_LANES // self.width))
        if kernel.lanes == INNER:
            folds = [i[4] for s in kernel.sections for i in s.body if i[0] == "fold"]
            size = next((dt.BY_NAME[d].itemsize for d in folds if "float" in d), 4)
            most = accumulators(kernel.order, size, self.host.vector_bytes) // self.width
            self.copies = max(1, most) if folds else min(self.copies, 2)
        self.row: dict[int, list[Value]] = {}  # values of the current outer index

    def _columns_at_once(self) -> int:
        """Vectors of a kernel that walks down columns: as many as registers hold, since each takes
        only a few bytes of a row."""
        rows = {i[1] for s in self.k.sections if s.level == "row" for i in s.body
                if i[0] != "store"}
        loops = [i for s in self.k.sections if s.level == "loop" for i in s.body]
        used = {v for i in loops if i[0] == "op" for v in i[4]}
        live = len(rows & used) + sum(i[0] == "fold" for i in loops)
        return max((c for c in (4, 2) if c * (live + 2) <= self.host.registers), default=1)

    # -- the outer loops -------------------------------------------------------------------------

    def run(self) -> None:
        k, f = self.k, self.f
        tiled = tiled_axis(k) if self.width > 1 else None
        if tiled is not None:
            self.run_tiled(*tiled, lambda axes, row: self._row_place(axes, row)[0],
                           lambda place, lanes: self._steps(place, lanes, None), self._rest)
            return
        last = k.outer - 1
        others = list(range(k.outer if k.lanes == INNER else last))
        block = self.width * self.copies
        if k.lanes == OUTER:
            blocks = (self.sizes[last] + (block - 1)) / block
        else:
            blocks = f.const(1, "i64")
        rows = self.parts if k.split else None
        for a in others:
            rows = self.sizes[a] if rows is None else rows * self.sizes[a]
        total = blocks if rows is None else rows * blocks
        lo, hi = f.chunk_range(total)
        if rows is None:
            with f.if_(hi > lo):
                self._line(dict(enumerate(self.pointer)), lo, hi, None)
            return
        if in_row_blocks(k):
            self.run_row_blocks(
                lo, hi, lambda row: self._row_place(others, row)[0],
                lambda section, place: self._loop_section(section, place, _SCALAR, None))
            return
        with f.if_(hi > lo):
            first = lo / blocks if k.lanes == OUTER else lo
            end = (hi - 1) / blocks + 1 if k.lanes == OUTER else hi
            with f.loop(first, end) as loop:
                place, part = self._row_place(others, loop.i)
                start = f.max(lo - loop.i * blocks, 0)
                stop = f.min(hi - loop.i * blocks, blocks)
                self._line(place, start, stop, part)

    def epilogue(self) -> None:
        """Rows [row0, row1) and columns [col0, col1) of one batch; see EPILOGUE_PARAMS. A kernel
        over batch and element is only called for whole rows."""
        f, block = self.f, self.width * self.copies
        _, _, c_row, batch, row0, row1, col0, col1 = f.args
        place = {n: self.moved(n, p, 0, batch) for n, p in enumerate(self.pointer)}
        if self.k.outer == 2:
            begin, end = row0 * c_row, row1 * c_row
            whole = begin + (end - begin) / block * block
            with f.loop(begin, whole, block) as loop:
                self._steps(place, Lanes(self.width, self.copies, None, loop.i), None)
            self._rest(whole, end, lambda lanes: self._steps(place, lanes, None))
            return
        whole = col0 + (col1 - col0) / block * block
        with f.loop(row0, row1) as rows:
            at = {n: self.moved(n, p, 1, rows.i) for n, p in place.items()}
            with f.loop(col0, whole, block) as loop:
                self._steps(at, Lanes(self.width, self.copies, None, loop.i), None)
            self._rest(whole, col1, lambda lanes: self._steps(at, lanes, None))

    def _row_place(self, others: list[int], row: Value) -> tuple[dict[int, Value], Value | None]:
        """Addresses of a row, and its part: divides the row number into indices."""
        f = self.f
        rest, index = row, {}
        axes = [*([-1] if self.k.split else []), *others]
        for a in reversed(axes[1:]):
            following = f.udiv(rest, self.sizes[a])
            index[a] = rest - following * self.sizes[a]
            rest = following
        index[axes[0]] = rest
        place = dict(enumerate(self.pointer))
        for n, p in place.items():
            if self.k.buffers[n].role != "scratch":
                for a in axes:
                    p = self.moved(n, p, a, index[a])
                place[n] = p
        return place, index.get(-1)

    def _line(self, place: dict[int, Value], start: Value, stop: Value,
              part: Value | None) -> None:
        """One row: scalar rows with lanes inside, or blocks of lanes along the last outer axis."""
        f, k = self.f, self.k
        if k.lanes == INNER:
            self._steps(place, _SCALAR, part)
            return
        last, block = k.outer - 1, self.width * self.copies
        size = self.sizes[last]
        begin, end = start * block, f.min(stop * block, size)
        full = f.max(begin + (end - begin) / block * block, begin)
        with f.loop(begin, full, block) as loop:
            self._steps(place, Lanes(self.width, self.copies, None, loop.i), part)
        self._rest(full, end, lambda lanes: self._steps(place, lanes, part))

    def _rest(self, begin: Value, end: Value, body: Callable[[Lanes], None]) -> None:
        """Run ``body`` for the elements that do not fill all vectors."""
        f = self.f
        if self.width > 1 and self.masked():
            with f.loop(begin, end, self.width) as loop:
                mask = f.lane_mask(end - loop.i, self.width)
                body(Lanes(self.width, 1, mask, loop.i))
        else:
            with f.loop(begin, end) as loop:
                body(Lanes(1, 1, None, loop.i))

    def masked(self) -> bool:
        """Whether the host can mask every access of this kernel."""
        return all(self.host.can_mask(dt.BY_NAME[b.dtype].itemsize) for b in self.k.buffers)

    # -- sections --------------------------------------------------------------------------------

    def _steps(self, place: dict[int, Value], lanes: Lanes, part: Value | None) -> None:
        """All sections for one outer index (or block of outer indices)."""
        self.row = {}
        for section in self.k.sections:
            if section.level == "row":
                self._body(section.body, place, lanes, self.row, None)
            else:
                self._loop_section(section, place, lanes, part)

    def _loop_section(self, section: Section, place: dict[int, Value], lanes: Lanes,
                      part: Value | None) -> None:
        folds = [i for i in section.body if i[0] == "fold"]
        lo, hi = {}, {}
        for a in range(self.k.outer, self.k.outer + self.k.inner):
            lo[a], hi[a] = self.f.const(0, "i64"), self.sizes[a]
        if part is not None and self.k.inner:
            a = self.k.outer
            lo[a] = self.sizes[a] * part / self.parts
            hi[a] = self.sizes[a] * (part + 1) / self.parts
        used = self._used(section)
        inner_lanes = self.k.lanes == INNER
        width, copies = (self.width, self.copies) if inner_lanes else (lanes.width, lanes.copies)
        if inner_lanes and self.in_order:
            width = copies = 1
        start = [self._identity(i, width) for i in folds for _ in range(copies)]
        place = {n: place[n] for n in used}
        env: dict[int, list[Value]] = {}
        result = self._nest(section, folds, place, lanes, self.k.outer, lo, hi, start, env)
        for n, i in enumerate(folds):
            mine = result[n * copies:(n + 1) * copies]
            if inner_lanes:
                while len(mine) > 1:
                    half = len(mine) // 2
                    mine = [self._combine(i, a, b)
                            for a, b in zip(mine[:half], mine[half:], strict=True)]
                total = mine[0]
                if width > 1:
                    total = self.f.fold(total, partial(self._combine, i))
                mine = [total]
            if self.k.inner and i[2] in ("amax", "amin") and "float" in i[4]:
                # no zero is negative: any order will do
                mine = [x + 0.0 for x in mine]
            self.row[i[1]] = mine

    def _used(self, section: Section) -> list[int]:
        return sorted({i[2] if i[0] in ("load", "take") else i[1] for i in section.body
                       if i[0] in ("load", "take", "store", "column")})

    def _nest(self, section: Section, folds: list, place: dict[int, Value], lanes: Lanes,
              axis: int, lo: dict, hi: dict, acc: list[Value], env: dict) -> list[Value]:
        """The loops over inner axes from ``axis`` on; returns the folds' running values."""
        k, _f = self.k, self.f
        end = k.outer + k.inner
        env = dict(env)
        self._hoist(section, place, lanes, axis, env)
        if axis == end:
            return self._innermost(section, folds, place, lanes, acc, env)
        if axis == end - 1 and folds and self.in_order:
            found = self.add_along(section, folds, place, hi[axis], env) if k.lanes == INNER else \
                self.add_across(section, folds, place, lanes, axis, env)
            each = len(acc) // len(folds)
            return [self._combine(folds[n // each], a, x)
                    for n, (a, x) in enumerate(zip(acc, found, strict=True))]
        if axis == end - 1 and k.lanes == INNER:
            return self._lane_loop(section, folds, place, lo[axis], hi[axis], acc, env)
        if axis == end - 1 and k.order == BLOCKS and any(self._blocked(i) for i in folds):
            return self._in_blocks(lo[axis], hi[axis], BLOCK, folds, acc, lambda a, b, part_acc:
                                   self._plain_loop(section, folds, place, lanes, axis,
                                                    {**lo, axis: a}, {**hi, axis: b}, part_acc,
                                                    env))
        return self._plain_loop(section, folds, place, lanes, axis, lo, hi, acc, env)

    def _plain_loop(self, section, folds, place, lanes, axis, lo, hi, acc, env) -> list[Value]:
        with self.f.loop(lo[axis], hi[axis], carry=acc) as loop:
            moved = {n: self.moved(n, p, axis, loop.i) for n, p in place.items()}
            loop.next(*self._nest(section, folds, moved, lanes, axis + 1, lo, hi,
                                  loop.carried, env))
        return loop.results

    def _blocked(self, fold: tuple) -> bool:
        return PRIMS[fold[2]].fold[1] in ("add", "mul") and dt.BY_NAME[fold[4]].is_floating_point

    def _in_blocks(self, lo: Value, hi: Value, size: int, folds: list, acc: list[Value],
                   body: Callable) -> list[Value]:
        """Run a loop in blocks whose folds start afresh and then join the running values."""
        f = self.f
        each = len(acc) // max(len(folds), 1)
        with f.loop(lo, hi, size, carry=acc) as outer:
            fresh = [self._identity(i, 1, a.type) for i, a in
                     zip((i for i in folds for _ in range(each)), acc, strict=True)]
            got = body(outer.i, f.min(outer.i + size, hi), fresh)
            outer.next(*[self._combine(folds[n // each], a, b)
                         for n, (a, b) in enumerate(zip(outer.carried, got, strict=True))])
        return outer.results

    def _lane_loop(self, section, folds, place, lo: Value, hi: Value, acc: list[Value],
                   env) -> list[Value]:
        """The vector loop along the last inner axis."""
        f, block = self.f, self.width * self.copies
        full = lo + (hi - lo) / block * block

        def main(begin: Value, end: Value, running: list[Value]) -> list[Value]:
            with f.loop(begin, end, block, carry=running) as loop:
                lanes = Lanes(self.width, self.copies, None, loop.i)
                loop.next(*self._innermost(section, folds, place, lanes, loop.carried, env))
            return loop.results

        if self.k.order == BLOCKS and any(self._blocked(i) for i in folds):
            acc = self._in_blocks(lo, full, BLOCK * block, folds, acc, main)
        else:
            acc = main(lo, full, acc)
        if self.width > 1 and self.masked():
            with f.loop(full, hi, self.width, carry=acc) as loop:
                lanes = Lanes(self.width, 1, f.lane_mask(hi - loop.i, self.width), loop.i)
                loop.next(*self._add_tail(section, folds, place, lanes, loop.carried, env,
                                          loop.i - full))
            acc = loop.results
        else:
            with f.loop(full, hi, carry=acc) as loop:
                loop.next(*self._add_one(section, folds, place, loop.i, loop.carried, env,
                                         loop.i - full))
            acc = loop.results
        return acc

    def _add_tail(self, section, folds, place, lanes, acc: list[Value], env,
                  at: Value) -> list[Value]:
        """One masked vector after the last full block; it joins the accumulators of its
        positions, as in a full block."""
        f, copies = self.f, self.copies
        if not folds or copies == 1:
            return self._innermost(section, folds, place, lanes, acc, env)
        before = []
        for n in range(len(folds)):
            chosen = acc[n * copies]
            for c in range(1, copies):
                chosen = f.select(at.eq(c * self.width), acc[n * copies + c], chosen)
            before.append(chosen)
        after = self._innermost(section, folds, place, lanes, before, env)
        return [f.select(at.eq(c * self.width), after[n], acc[n * copies + c])
                for n in range(len(folds)) for c in range(copies)]

    def _add_one(self, section, folds, place, i: Value, acc: list[Value], env,
                 at: Value) -> list[Value]:
        """One element after the last full block, on hosts that cannot mask; it joins the
        accumulator of its position, as in a full block."""
        f, out = self.f, []
        terms = self._terms(section, folds, place, Lanes(1, 1, None, i), acc, env)
        for n, fold in enumerate(folds):
            x = self.widen(terms[n], self.width)
            for c in range(self.copies):
                a = acc[n * self.copies + c]
                lane = f.iota(self.width, "i64") + c * self.width if self.width > 1 else \
                    f.const(c, "i64")
                out.append(f.select(lane.eq(at), self._combine(fold, x, a), a))
        return out

    def _innermost(self, section, folds, place, lanes, acc, env) -> list[Value]:
        terms = self._terms(section, folds, place, lanes, acc, env)
        # the term comes first: a maximum checks its first operand for NaN, which then is not a part
        # of the chain from one running value to the next
        return [self._combine(folds[n // lanes.copies], x, a)
                for n, (a, x) in enumerate(zip(acc, terms, strict=True))]

    def _terms(self, section, folds, place, lanes, acc, env) -> list[Value]:
        """Run the section's code; what each fold adds to each of its accumulators."""
        env = dict(env)
        self._body(section.body, place, lanes, env, acc)
        out = []
        for i in folds:
            values = self._get(i[3], env, lanes)
            for c in range(lanes.copies):
                x = self.widen(self.convert(values[c], self.dtypes[i[3]], i), lanes.width)
                if lanes.mask is not None and self.k.lanes == INNER:
                    x = self.f.select(lanes.mask, x, self._identity(i, lanes.width))
                out.append(x)
        return out

    # -- instructions ----------------------------------------------------------------------------

    def _body(self, body: tuple, place: dict[int, Value], lanes: Lanes, env: dict,
              acc: list | None) -> None:
        for i in body:
            kind = i[0]
            if kind == "load":
                if i[1] not in env:
                    env[i[1]] = self._load(i[2], place, lanes)
            elif kind == "op":
                env[i[1]] = self._op(i, env, lanes)
            elif kind == "take":
                env[i[1]] = self._take(i[2], self._get(i[3], env, lanes), place, lanes)
            elif kind == "column":
                self._column(i, self._get(i[3], env, lanes), place, lanes)
            elif kind == "store":
                self._store(i[1], self._get(i[2], env, lanes), self.dtypes[i[2]], place, lanes)

    def _hoist(self, section: Section, place, lanes: Lanes, axis: int, env: dict) -> None:
        """Load, before the loop over ``axis``, what does not move from there on."""
        if axis == self.k.outer + self.k.inner:
            return
        for i in section.body:
            if i[0] == "load" and i[1] not in env:
                b = self.k.buffers[i[2]]
                if b.role == "in" and not any(b.steps[axis + self.k.split:]):
                    env[i[1]] = self._load(i[2], place, lanes)

    def _get(self, v: int, env: dict, lanes: Lanes) -> list[Value]:
        """A value for every copy (row values are the same for all)."""
        found = env.get(v)
        if found is None:
            found = self.row[v]
        if len(found) < lanes.copies:
            found = found * lanes.copies
        return found

    def _op(self, i: tuple, env: dict, lanes: Lanes) -> list[Value]:
        _, _, name, params, srcs, dtype = i
        operands = [self._get(s, env, lanes) for s in srcs]
        kinds = [self.dtypes[s] for s in srcs]
        copies = lanes.copies
        if name == "iota" and lanes.width > 1 and "int" in dtype and self._counts(srcs[-1]) \
                and all(lanes_in(o[0].type) == 1 for o in operands[:2]):
            return [self._numbers(operands[0][0], operands[1][0], at) for at in operands[2]]
        if copies > 1 and all(o[0] is o[-1] for o in operands):
            copies = 1  # a row value: the same for every copy
        return [self.apply(name, params, [o[c] for o in operands], kinds)
                for c in range(copies)]

    def _numbers(self, start: Value, step: Value, position: Value) -> Value:
        """start + position * step for neighbouring positions: one product for all lanes, the other
        one does not change from round to round."""
        f, n = self.f, lanes_in(position.type)
        first = f.convert(f.extract(position, 0), start.type)
        return f.splat(start + first * step, n) + f.iota(n, start.type) * step

    def _counts(self, v: int) -> bool:
        """Whether a position grows by one from lane to lane."""
        axis = self._lane_axis() + self.k.split
        return any(i[0] == "load" and i[1] == v and self.k.buffers[i[2]].steps[axis] == 1
                   for s in self.k.sections for i in s.body)

