"""Convolution by matrix kernels: the patches exist only as packed panels.

Both kernels have the kernel ABI and share one argument block (:data:`SLOTS`).

* ``conv_forward``: Y[n][o, l] = sum over k = (c, t) of W[o, k] * X[n][c, place(l, t)]. W was packed
  before, for each group, by ``gemm_pack``; panels of X's windows are packed as they are needed.
* ``conv_weight``: W[o, k] = sum over (n, l) of Y[n][o, l] * X[n][c, place(l, t)], in ``parts`` of
  the batch that are summed afterwards.

``place`` is the table of ``kernel/windows.py``, by which positions are numbered through a set of
images. Where a set has several images, a panel of Y reaches over images: it is computed in memory
of its own and copied out.

Sums: forward as a matrix product over k, in blocks of ``k_step``. The weights' in blocks of
positions: of one set if it has ``position_step`` of them or more, else of ``set_step`` sets.
"""

from __future__ import annotations

from dataclasses import replace

from flambeau.codegen.emit import Function, Module, Value
from flambeau.codegen.emit_types import itemsize, vector
from flambeau.codegen.gemm_dot import sum_lanes
from flambeau.codegen.gemm_drive import grow_stack
from flambeau.codegen.gemm_micro import MicroKernels, Tiling
from flambeau.codegen.gemm_pack import Packer, transpose

#: entries of the argument block; strides are in elements
SLOTS = (
    "rows", "k", "taps", "images", "positions", "groups",  # rows: outputs of one group
    "together", "table", "entries",
    "x", "x_image", "x_group", "x_channel",
    "w", "y",                               # w: packed (forward) or the result (weight)
    "k_step", "row_step", "column_step",
    "temporary", "epilogue", "epilogue_args",
    "parts", "set_step", "position_step",
)
SLOT = {name: i for i, name in enumerate(SLOTS)}
_POINTERS = ("table", "x", "w", "y", "temporary", "epilogue", "epilogue_args")
#: panels of X that are packed at a time
PANELS = 4
#: dot products that are made at a time
DOTS = 4


class ConvDrivers:
    """Writes the kernels for one element type into a module."""

    names = ("conv_forward", "conv_weight")

    def __init__(self, module: Module, t: Tiling):
        self.m, self.t = module, t
        self.vec = vector(t.elem, t.lanes)
        self.kernels = MicroKernels(module, replace(t, direct=()))
        self.packer = Packer(module, t, t.elem)
        self._pack_across()
        self._pack_along()
        self._copy_out()
        self._kernel("conv_forward", self._forward)
        self._kernel("conv_weight", self._weight)

    def _kernel(self, name: str, write) -> None:
        """A kernel; on Windows its large stack frame is touched page by page before."""
        windows = "windows" in self.m.host.triple
        f = self.m.kernel(name + "_body" if windows else name, internal=windows,
                          attributes='noinline "no-stack-arg-probe"' if windows else "")
        self.p = {s: f.arg(i, "ptr" if s in _POINTERS else "i64") for i, s in enumerate(SLOTS)}
        write(f)
        if windows:
            frame = self._room() + self.t.mc // self.t.mr * self._stride_a(self.t.kc + self.t.lanes)
            grow_stack(self.m, name, frame * itemsize(self.t.elem))

    # -- windows --------------------------------------------------------------------------------

    def _entry(self, f: Function, row: Value, entry, keep: Value) -> tuple[Value, Value]:
        """Offset and mask (a vector of i1) of an entry, of the lanes to keep."""
        at = f.gep(row, entry * 2, "i64")
        bits = f.cast("trunc", f.load(f.gep(at, 1, "i64"), "i64", 8) & keep, f"i{self.t.lanes}")
        return f.load(at, "i64", 8), f.bitcast(bits, vector("i1", self.t.lanes))

    def _read(self, f: Function, p: Value, mask: Value, other: Value | None = None) -> Value:
        """A masked load. Hosts without such an instruction branch around it where it can be."""
        t = self.t
        if self.m.host.can_mask(itemsize(t.elem)):
            return f.load_masked(p, mask, self.vec, other)
        bits = f.bitcast(mask, f"i{t.lanes}")
        with f.if_(bits.eq(-1)) as branch:
            branch.give(f.load(p, self.vec))
            branch.else_()
            branch.give(f.load_masked(p, mask, self.vec, other))
        return branch.results[0]

    def _kept(self, f: Function, count: Value) -> Value:
        """The first ``count`` bits: the last set may have fewer images than the table."""
        return f.select(count >= self.t.lanes, f.const(-1, "i64"), (f.const(1, "i64") << count) - 1)

    def _one(self, f: Function, x: Value, row: Value, keep: Value) -> Value:
        """A vector of windows at table row ``row``, of one entry."""
        offset, mask = self._entry(f, row, f.const(0, "i64"), keep)
        return self._read(f, f.gep(x, offset, self.t.elem), mask)

    def _any(self, f: Function, x: Value, row: Value, keep: Value) -> Value:
        """A vector of windows at table row ``row``, of any number of entries."""
        return self._gathered(f, x, row, self.p["entries"], keep)

    def _gathered(self, f: Function, x: Value, row: Value, entries: Value, keep: Value) -> Value:
        with f.loop(0, entries, carry=[f.zero(self.vec)]) as e:
            offset, mask = self._entry(f, row, e.i, keep)
            e.next(self._read(f, f.gep(x, offset, self.t.elem), mask, e.carried[0]))
        return e.results[0]

    def _pack_across(self) -> None:
        """pack_across(to, x, row, entries, taps, channel, k0, k1, keep): one vector of positions, k
        in [k0, k1); ``row`` is the vector's part of the table."""
        f = self.m.function("pack_across", (
            ("ptr", "to", "noalias"), ("ptr", "x", "noalias readonly"), ("ptr", "row", "readonly"),
            ("i64", "entries"), ("i64", "taps"), ("i64", "channel"), ("i64", "k0"), ("i64", "k1"),
            ("i64", "keep")), internal=True, attributes="noinline")
        to, x, row, entries, taps, channel, k0, k1, keep = f.args
        elem, step = self.t.elem, taps * self.t.nr
        with f.loop(0, taps) as tap:
            first = (k0 + (taps - 1) - tap.i) / taps  # channels c with k0 <= c * taps + tap < k1
            count = (k1 + (taps - 1) - tap.i) / taps - first
            out = f.gep(to, (first * taps + tap.i - k0) * self.t.nr, elem)
            source = f.gep(x, first * channel, elem)
            here = f.gep(row, tap.i * entries * 2, "i64")

            def each(read, out=out, source=source, count=count):
                with f.loop(0, count) as c:
                    f.store(read(f.gep(source, c.i * channel, elem)),
                            f.gep(out, c.i * step, elem))

            with f.if_(entries.eq(1)) as one:
                offset, mask = self._entry(f, here, f.const(0, "i64"), keep)
                each(lambda p: self._read(f, f.gep(p, offset, elem), mask))
                one.else_()
                with f.if_(entries.eq(2)) as two:
                    offset, mask = self._entry(f, here, f.const(0, "i64"), keep)
                    other, mask2 = self._entry(f, here, f.const(1, "i64"), keep)
                    each(lambda p: self._read(f, f.gep(p, other, elem), mask2, self._read(
                        f, f.gep(p, offset, elem), mask)))
                    two.else_()
                    each(lambda p: self._gathered(f, p, here, entries, keep))

    def _pack_along(self) -> None:
        """pack_along(to, x, rows, entries, taps, channel, column, k, image, count): the transpose:
        a vector of columns from ``column`` on, for ``count`` positions; ``rows`` is the first
        position's part of the table."""
        f, t = self.m.function("pack_along", (
            ("ptr", "to", "noalias"), ("ptr", "x", "noalias readonly"), ("ptr", "rows", "readonly"),
            ("i64", "entries"), ("i64", "taps"), ("i64", "channel"), ("i64", "column"),
            ("i64", "k"), ("i64", "count")), internal=True, attributes="noinline"), self.t
        to, x, rows, entries, taps, channel, column, k, count = f.args
        sources, starts = [], []
        for i in range(t.lanes):
            at = f.min(column + i, k - 1)
            sources.append(f.gep(x, at / taps * channel, t.elem))
            starts.append(f.gep(rows, at % taps * entries * 2, "i64"))
        words = taps * entries * 2

        def blocks(read):
            with f.loop(0, count, t.lanes) as at:
                move, keep = at.i / t.lanes * words, self._kept(f, count - at.i)
                block = transpose(f, [read(x, f.gep(start, move, "i64"), keep)
                                      for x, start in zip(sources, starts, strict=True)])
                for i, x in enumerate(block):
                    f.store(x, f.gep(to, (at.i + i) * t.nr, t.elem))

        with f.if_(entries.eq(1)) as one:
            blocks(lambda x, row, keep: self._one(f, x, row, keep))
            one.else_()
            blocks(lambda x, row, keep: self._gathered(f, x, row, entries, keep))

    def _copy_out(self) -> None:
        """copy_out(to, from, pitch, rows, columns): rows of a panel to rows ``pitch`` apart."""
        f, t = self.m.function("copy_out", (
            ("ptr", "to", "noalias"), ("ptr", "from", "noalias readonly"), ("i64", "pitch"),
            ("i64", "rows"), ("i64", "columns")), internal=True, attributes="noinline"), self.t
        to, source, pitch, rows, columns = f.args
        if self.m.host.can_mask(itemsize(t.elem)):
            with f.loop(0, columns, t.lanes) as c:
                mask = f.lane_mask(columns - c.i, t.lanes)
                with f.loop(0, rows) as r:
                    x = f.load_masked(f.gep(source, r.i * t.nr + c.i, t.elem), mask, self.vec)
                    f.store_masked(x, f.gep(to, r.i * pitch + c.i, t.elem), mask)
        else:
            with f.loop(0, rows) as r, f.loop(0, columns) as c:
                x = f.load(f.gep(source, r.i * t.nr + c.i, t.elem), t.elem)
                f.store(x, f.gep(to, r.i * pitch + c.i, t.elem))

    # -- forward --------------------------------------------------------------------------------

    def _room(self) -> int:
        """Elements of the packed panels."""
        return PANELS * self.t.nr * (self.t.kc + self.t.lanes)

    def _stride_a(self, k):
        return k * self.t.mr + self.t.lanes

    def _sets(self) -> Value:
        p = self.p
        return (p["images"] + p["together"] - 1) / p["together"]

    def _width(self, f: Function, first: Value) -> Value:
        """Positions of the set whose first image is ``first``."""
        return f.min(self.p["together"], self.p["images"] - first) * self.p["positions"]

    def _row(self, f: Function, vector_number: Value) -> Value:
        p = self.p
        return f.gep(p["table"], vector_number * p["taps"] * p["entries"] * 2, "i64")

    def _forward(self, f: Function) -> None:
        p, t = self.p, self.t
        packed = f.alloca(t.elem, self._room())
        by_rows = (p["rows"] + p["row_step"] - 1) / p["row_step"]
        whole = p["together"] * p["positions"]
        by_columns = (whole + p["column_step"] - 1) / p["column_step"]
        panels_a = (p["rows"] + (t.mr - 1)) / t.mr
        blocks = (p["k"] + p["k_step"] - 1) / p["k_step"]
        lo, hi = f.chunk_range(by_rows * by_columns * self._sets() * p["groups"])
        with f.loop(lo, hi) as task:
            m0 = task.i % by_rows * p["row_step"]
            m1 = f.min(m0 + p["row_step"], p["rows"])
            rest = task.i / by_rows
            q0 = rest % by_columns * p["column_step"]
            rest = rest / by_columns
            group, first = rest % p["groups"], rest / p["groups"] * p["together"]
            q1 = f.min(q0 + p["column_step"], self._width(f, first))
            x = f.gep(p["x"], first * p["x_image"] + group * p["x_group"], t.elem)
            size_a = blocks * panels_a * self._stride_a(p["k_step"])
            w = f.gep(p["w"], group * size_a, t.elem)
            # the memory of Y, or of the panels of this set and group
            direct = p["together"].eq(1)
            spare = f.gep(p["temporary"], rest * by_columns * p["column_step"] * p["rows"], t.elem)
            image = (first * p["groups"] + group) * p["rows"] * p["positions"]
            c = f.select(direct, f.gep(p["y"], image, t.elem), spare)
            pitch = f.select(direct, p["positions"], t.nr)
            panel_step = f.select(direct, f.const(1, "i64"), p["rows"])  # times the first position
            with f.if_(p["rows"].eq(1)) as lone:
                self._single(f, c, x, f.gep(p["w"], group * p["k"], t.elem), q0, q1)
                lone.else_()
                with f.loop(0, p["k"], p["k_step"]) as block:
                    k = f.min(p["k"] - block.i, p["k_step"])
                    self._pack_panels(f, packed, x, q0, q1, block.i, k)
                    w_block = f.gep(w, block.i / p["k_step"] * panels_a
                                    * self._stride_a(p["k_step"]), t.elem)
                    add = f.select(block.i > 0, f.const(1, "i64"), 0)
                    with f.loop(m0, m1, t.mr) as i, f.loop(q0, q1, t.nr) as j:
                        panel = f.gep(w_block, i.i / t.mr * self._stride_a(k), t.elem)
                        at = f.gep(c, i.i * pitch + j.i * panel_step, t.elem)
                        self.kernels.call_packed(
                            f, k, panel, f.gep(packed, (j.i - q0) * k, t.elem), at, pitch,
                            f.min(m1 - i.i, t.mr), f.min(q1 - j.i, t.nr), add)
            self._finish(f, spare, group, first, m0, m1, q0, q1)

    def _single(self, f: Function, c: Value, x: Value, w: Value, q0: Value, q1: Value) -> None:
        """One row, which reads each window once: nothing is packed."""
        p, t = self.p, self.t

        def row(q: Value, read) -> None:
            start, keep = self._row(f, q / t.lanes), self._kept(f, q1 - q)
            with f.loop(0, p["k"] / p["taps"], carry=[f.zero(self.vec)]) as channel:
                source = f.gep(x, channel.i * p["x_channel"], t.elem)
                factors = f.gep(w, channel.i * p["taps"], t.elem)
                with f.loop(0, p["taps"], carry=channel.carried) as tap:
                    here = f.gep(start, tap.i * p["entries"] * 2, "i64")
                    factor = f.splat(f.load(f.gep(factors, tap.i, t.elem), t.elem), t.lanes)
                    tap.next(f.fma(factor, read(f, source, here, keep), tap.carried[0]))
                channel.next(*tap.results)
            self._store_some(f, channel.results[0], f.gep(c, q, t.elem), q1 - q)

        with f.if_(p["entries"].eq(1)) as one:
            with f.loop(q0, q1, t.lanes) as q:
                row(q.i, self._one)
            one.else_()
            with f.loop(q0, q1, t.lanes) as q:
                row(q.i, self._any)

    def _store_some(self, f: Function, x: Value, to: Value, count: Value) -> None:
        """Write the first ``count`` lanes, or all."""
        t = self.t
        with f.if_(count >= t.lanes) as whole:
            f.store(x, to)
            whole.else_()
            if self.m.host.can_mask(itemsize(t.elem)):
                f.store_masked(x, to, f.lane_mask(count, t.lanes))
            else:
                for i in range(t.lanes - 1):
                    with f.if_(count > i):
                        f.store(f.extract(x, i), f.gep(to, i, t.elem))

    def _pack_panels(self, f: Function, to: Value, x: Value, q0: Value, q1: Value, k0: Value,
                     k: Value) -> None:
        p, t = self.p, self.t
        with f.loop(q0, q1, t.lanes) as q:
            at = (q.i - q0) / t.nr * k * t.nr + (q.i - q0) % t.nr
            f.call("pack_across", f.gep(to, at, t.elem), x, self._row(f, q.i / t.lanes),
                   p["entries"], p["taps"], p["x_channel"], k0, k0 + k,
                   self._kept(f, q1 - q.i))

    def _finish(self, f: Function, spare: Value, group: Value, first: Value,
                m0: Value, m1: Value, q0: Value, q1: Value) -> None:
        """Copy panels to where they belong and call the epilogue, image by image."""
        p, t = self.p, self.t
        length = p["positions"]
        with f.loop(q0 / length, (q1 + length - 1) / length) as image:
            l0 = f.max(q0, image.i * length)
            l1 = f.min(q1, (image.i + 1) * length)
            batch = (first + image.i) * p["groups"] + group
            y = f.gep(p["y"], batch * p["rows"] * length, t.elem)
            with f.if_(p["together"].ne(1)), f.loop(l0 / t.nr * t.nr, l1, t.nr) as panel:
                lo, hi = f.max(l0, panel.i), f.min(l1, panel.i + t.nr)
                source = panel.i * p["rows"] + m0 * t.nr + (lo - panel.i)
                f.call("copy_out", f.gep(y, m0 * length + lo - image.i * length, t.elem),
                       f.gep(spare, source, t.elem), length, m1 - m0, hi - lo)
            with f.if_(p["epilogue"].ne(f.zero("ptr"))):
                f.call_pointer(p["epilogue"], "void", p["epilogue_args"], y, length, batch, m0, m1,
                               l0 - image.i * length, l1 - image.i * length)

    # -- weights --------------------------------------------------------------------------------

    def _weight(self, f: Function) -> None:
        p, t = self.p, self.t
        room = f.alloca(t.elem, self._room() + t.mc // t.mr * self._stride_a(t.kc + t.lanes))
        by_columns = (p["k"] + p["column_step"] - 1) / p["column_step"]
        lo, hi = f.chunk_range(by_columns * p["groups"] * p["parts"])
        sets = self._sets()
        with f.loop(lo, hi) as task:
            j0 = task.i % by_columns * p["column_step"]
            j1 = f.min(j0 + p["column_step"], p["k"])
            part, group = task.i / by_columns / p["groups"], task.i / by_columns % p["groups"]
            c = f.gep(p["w"], (part * p["groups"] + group) * p["rows"] * p["k"], t.elem)
            s0, s1 = sets * part / p["parts"], sets * (part + 1) / p["parts"]
            x = f.gep(p["x"], group * p["x_group"], t.elem)
            with f.if_((p["rows"] * p["together"]).eq(1)) as lone:
                self._dots(f, c, x, group, s0, s1, j0, j1)
                lone.else_()
                self._sum(f, c, room, x, group, s0, s1, j0, j1)

    def _sum(self, f: Function, c, room, x, group, s0, s1, j0, j1) -> None:
        """Columns [j0, j1) of the weights, over sets [s0, s1)."""
        p, t = self.p, self.t
        stack_a = f.gep(room, self._room(), t.elem)
        with f.if_(s0 >= s1), f.loop(0, p["rows"]) as r, f.loop(j0, j1) as j:
            f.store(f.zero(t.elem), f.gep(c, r.i * p["k"] + j.i, t.elem))
        with f.loop(s0, s1, p["set_step"]) as block:
            b1 = f.min(block.i + p["set_step"], s1)
            with f.loop(0, p["together"] * p["positions"], p["position_step"]) as q:
                last = f.min(self._width(f, (b1 - 1) * p["together"]) - q.i, p["position_step"])
                with f.if_(last > 0):
                    k = (b1 - 1 - block.i) * p["position_step"] + last
                    add = f.select((block.i > s0) | (q.i > 0), f.const(1, "i64"), 0)
                    self._pack_sets(f, room, x, block.i, b1, q.i, j0, j1, k)
                    self._multiply(f, c, stack_a, room, group, block.i, b1, q.i, j0, j1, k, add)

    def _dots(self, f: Function, c, x, group, s0, s1, j0, j1) -> None:
        """The same for one row, as dot products: each window is read once, nothing is packed."""
        p, t = self.p, self.t
        with f.loop(j0, j1, DOTS) as j:
            sources, rows = [], []
            for i in range(DOTS):
                at = f.min(j.i + i, j1 - 1)
                sources.append(f.gep(x, at / p["taps"] * p["x_channel"], t.elem))
                rows.append(f.gep(p["table"], at % p["taps"] * p["entries"] * 2, "i64"))
            with f.if_(p["entries"].eq(1)) as one:
                one.give(*self._dot(f, sources, rows, group, s0, s1, self._one))
                one.else_()
                one.give(*self._dot(f, sources, rows, group, s0, s1, self._any))
            for i, total in enumerate(sum_lanes(f, one.results)):
                with f.if_(j.i + i < j1):
                    f.store(total, f.gep(c, j.i + i, t.elem))

    def _dot(self, f: Function, sources, rows, group, s0, s1, read) -> list[Value]:
        """Sums over images [s0, s1), vectors of some columns."""
        p, t = self.p, self.t
        words = p["taps"] * p["entries"] * 2
        with f.loop(s0, s1, carry=[f.zero(self.vec)] * len(rows)) as image:
            y = f.gep(p["y"], (image.i * p["groups"] + group) * p["positions"], t.elem)
            here = [f.gep(source, image.i * p["x_image"], t.elem) for source in sources]
            with f.loop(0, p["positions"], t.lanes, carry=image.carried) as q:
                keep = self._kept(f, p["positions"] - q.i)
                mask = f.bitcast(f.cast("trunc", keep, f"i{t.lanes}"), vector("i1", t.lanes))
                factor = self._read(f, f.gep(y, q.i, t.elem), mask)
                at = q.i / t.lanes * words
                q.next(*[f.fma(factor, read(f, a, f.gep(row, at, "i64"), keep), total)
                         for a, row, total in zip(here, rows, q.carried, strict=True)])
            image.next(*q.results)
        return image.results

    def _pack_sets(self, f: Function, to: Value, x: Value, s0: Value, s1: Value, q0: Value,
                   j0: Value, j1: Value, k: Value) -> None:
        """Panels of the windows of sets [s0, s1), positions from q0 on."""
        p, t = self.p, self.t
        step = p["position_step"]
        with f.loop(j0, j1, t.lanes) as j, f.loop(s0, s1) as s:
            first = s.i * p["together"]
            count = f.min(self._width(f, first) - q0, step)
            at = (j.i - j0) / t.nr * (k + t.lanes) * t.nr + (j.i - j0) % t.nr
            f.call("pack_along", f.gep(to, at + (s.i - s0) * step * t.nr, t.elem),
                   f.gep(x, first * p["x_image"], t.elem), self._row(f, q0 / t.lanes),
                   p["entries"], p["taps"], p["x_channel"], j.i, p["k"], count)

    def _multiply(self, f: Function, c, stack_a, packed, group, s0, s1, q0, j0, j1, k, add) -> None:
        p, t = self.p, self.t
        with f.loop(0, p["rows"], t.mc) as rows:
            end = f.min(rows.i + t.mc, p["rows"])
            with f.loop(rows.i, end, t.mr) as i:
                to = f.gep(stack_a, (i.i - rows.i) / t.mr * self._stride_a(k), t.elem)
                self._pack_outputs(f, to, group, i.i, f.min(end - i.i, t.mr), s0, s1, q0)
            with f.loop(rows.i, end, t.mr) as i, f.loop(j0, j1, t.nr) as j:
                a = f.gep(stack_a, (i.i - rows.i) / t.mr * self._stride_a(k), t.elem)
                b = f.gep(packed, (j.i - j0) * (k + t.lanes), t.elem)
                self.kernels.call_packed(
                    f, k, a, b, f.gep(c, i.i * p["k"] + j.i, t.elem), p["k"],
                    f.min(end - i.i, t.mr), f.min(j1 - j.i, t.nr), add)

    def _pack_outputs(self, f: Function, to: Value, group: Value, row: Value, valid: Value,
                      s0: Value, s1: Value, q0: Value) -> None:
        """A panel of rows of Y: positions from q0 on of the images of sets [s0, s1)."""
        p, t = self.p, self.t
        length, width = p["positions"], self.packer.panel_width(f, valid)
        with f.loop(s0, s1) as s:
            first = s.i * p["together"]
            q1 = f.min(self._width(f, first), q0 + p["position_step"])
            with f.loop(q0 / length, (q1 + length - 1) / length) as image:
                l0 = f.max(q0, image.i * length)
                l1 = f.min(q1, (image.i + 1) * length)
                at = ((first + image.i) * p["groups"] + group) * p["rows"] + row
                place = (s.i - s0) * p["position_step"] + l0 - q0
                self.packer.a_panel(
                    f, f.gep(to, place * width, t.elem),
                    f.gep(p["y"], at * length + l0 - image.i * length, t.elem), length,
                    f.const(1, "i64"), valid, l1 - l0)
