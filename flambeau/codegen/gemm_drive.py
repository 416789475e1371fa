"""Matrix multiplication, outer part: the kernels that plans call.

All have the kernel ABI and share one argument block (:data:`SLOTS`):

* ``gemm_pack`` packs B, and A if asked to, into the workspace (units: panels);
* ``gemm_packed`` multiplies; operands that were not packed before are packed block by block into
  its stack frame;
* ``gemm_direct`` multiplies without packing (unit column stride of B);
* ``gemm_dot`` too, element by element (A's and B's elements adjacent along k).

The multiplications are divided into tasks: batch times ``row_step`` rows times ``column_step``
columns; a chunk does a range of tasks. K is divided into blocks of ``k_step``; the first stores (or
adds, if ``accumulate``), later ones add. After a task's last block the epilogue is called on the
part of C that is complete and still in the cache.
"""

from __future__ import annotations

from flambeau.codegen.emit import Function, Module, Value
from flambeau.codegen.emit_types import itemsize
from flambeau.codegen.gemm_dot import DotKernels
from flambeau.codegen.gemm_micro import MicroKernels, Tiling
from flambeau.codegen.gemm_pack import Packer

#: entries of the argument block; strides are in elements
SLOTS = (
    "m", "n", "k", "batch", "batch1",               # batch index = b0 * batch1 + b1
    "a", "a_row", "a_col", "a_batch0", "a_batch1",
    "b", "b_row", "b_col", "b_batch0", "b_batch1",
    "c", "c_row", "c_col", "c_batch0", "c_batch1",  # c_col: only gemm_dot heeds it
    "accumulate", "epilogue", "epilogue_args",      # addresses; epilogue 0: none
    "packed_a", "packed_b",                         # addresses; 0: packed on the stack
    "k_begin", "k_end", "k_step",                   # the part of K this row multiplies
    "row_step", "column_step",
    "swapped", "epilogue_row",                      # see Drivers._finish
)
SLOT = {name: i for i, name in enumerate(SLOTS)}
_POINTERS = ("a", "b", "c", "epilogue", "epilogue_args", "packed_a", "packed_b")
#: parameters of an epilogue: its args, C of this batch, row stride, batch, rows [,), columns [,)
EPILOGUE_PARAMS = (("ptr", "args", "noalias readonly"), ("ptr", "c"), ("i64", "c_row"),
                   ("i64", "batch"), ("i64", "row0"), ("i64", "row1"), ("i64", "col0"),
                   ("i64", "col1"))
#: panels of A in one unit of packing (about the work of one panel of B)
A_UNIT = 3


def grow_stack(m: Module, name: str, size: int) -> None:
    """The kernel ``name`` around ``name_body``, whose frame has ``size`` bytes: on Windows a stack
    grows page by page from above, so a large frame is touched before."""
    f = m.kernel(name)
    here = f.emit_value("i64", f"ptrtoint ptr {f.alloca('i64', align=8)} to i64")
    with f.loop(4096, size + 16384, 4096) as page:
        at = f.emit_value("ptr", f"inttoptr i64 {here - page.i} to ptr")
        f.emit(f"store volatile i8 0, ptr {at}")
    f.call(name + "_body", *f.args)


def driver_names(t: Tiling, source: str) -> tuple[str, ...]:
    """The functions that :class:`Drivers` writes."""
    direct = ("gemm_direct",) if source == t.elem else ()
    return ("gemm_pack", "gemm_packed", "gemm_dot", *direct)


class Drivers:
    """Writes the kernels for one element type and source type into a module."""

    def __init__(self, module: Module, t: Tiling, source: str):
        self.m, self.t, self.source = module, t, source
        self.kernels = MicroKernels(module, t)
        self.packer = Packer(module, t, source)
        self._pack()
        self._packed()
        self.dots = DotKernels(module, t, source)
        self._dot()
        if source == t.elem:
            self._direct()

    # -- pieces ---------------------------------------------------------------------------------

    def _kernel(self, name: str, **how) -> Function:
        f = self.m.kernel(name, **how)
        self.p = {s: f.arg(i, "ptr" if s in _POINTERS else "i64") for i, s in enumerate(SLOTS)}
        return f

    def _batch(self, f: Function, name: str, batch: Value) -> Value:
        """Operand ``name`` of one batch."""
        p = self.p
        offset = (batch / p["batch1"] * p[name + "_batch0"]
                  + batch % p["batch1"] * p[name + "_batch1"])
        return f.gep(p[name], offset, self.t.elem if name == "c" else self.source)

    def a_panel_stride(self, k):
        """Elements from one packed panel of A to the next."""
        return k * self.t.mr + self.t.lanes

    def _a_block(self, f: Function, index: Value, panels: Value) -> Value:
        """Offset of a k block in a batch's packed A."""
        return index * panels * self.a_panel_stride(self.p["k_step"])

    def _packed_sizes(self, panels_a: Value, panels_b: Value) -> tuple[Value, Value]:
        """Elements of one batch's packed A and B, for this row's part of K."""
        p = self.p
        span = p["k_end"] - p["k_begin"]
        blocks = (span + p["k_step"] - 1) / p["k_step"]
        return (blocks * panels_a * self.a_panel_stride(p["k_step"]), span * panels_b * self.t.nr)

    def _k_blocks(self, f: Function):
        return f.loop(self.p["k_begin"], self.p["k_end"], self.p["k_step"])

    def _is_null(self, f: Function, p: Value) -> Value:
        return p.eq(f.zero("ptr"))

    # -- packing --------------------------------------------------------------------------------

    def _pack(self) -> None:
        f, t = self._kernel("gemm_pack"), self.t
        p = self.p
        panels_a, panels_b = (p["m"] + (t.mr - 1)) / t.mr, (p["n"] + (t.nr - 1)) / t.nr
        size_a, size_b = self._packed_sizes(panels_a, panels_b)
        units_a = f.select(self._is_null(f, p["packed_a"]), 0, (panels_a + (A_UNIT - 1)) / A_UNIT)
        all_b = f.select(self._is_null(f, p["packed_b"]), 0, panels_b) * p["batch"]
        lo, hi = f.chunk_range(all_b + units_a * p["batch"])
        with self._k_blocks(f) as block:
            k = f.min(p["k_end"] - block.i, p["k_step"])
            offset = block.i - p["k_begin"]
            with f.loop(lo, f.min(hi, all_b)) as unit:
                batch, j = unit.i / panels_b, unit.i % panels_b * t.nr
                b = self._batch(f, "b", batch)
                b = f.gep(b, block.i * p["b_row"] + j * p["b_col"], self.source)
                to = f.gep(p["packed_b"], batch * size_b + offset * panels_b * t.nr + j * k, t.elem)
                self.packer.b_panel(f, to, b, p["b_row"], p["b_col"], p["n"] - j, k)
            with f.loop(f.max(lo, all_b), hi) as unit:
                batch = (unit.i - all_b) / units_a
                first = (unit.i - all_b) % units_a * A_UNIT
                base = batch * size_a + self._a_block(f, offset / p["k_step"], panels_a)
                a = f.gep(self._batch(f, "a", batch), block.i * p["a_col"], self.source)
                with f.loop(first, f.min(first + A_UNIT, panels_a)) as panel:
                    i = panel.i * t.mr
                    to = f.gep(p["packed_a"], base + panel.i * self.a_panel_stride(k), t.elem)
                    self.packer.a_panel(f, to, f.gep(a, i * p["a_row"], self.source), p["a_row"],
                                        p["a_col"], f.min(p["m"] - i, t.mr), k)

    # -- multiplication ---------------------------------------------------------------------------

    def _tasks(self, f: Function):
        """Loop over this chunk's tasks; gives (loop, batch, rows [,), columns [,))."""
        p = self.p
        by_rows = (p["m"] + p["row_step"] - 1) / p["row_step"]
        by_columns = (p["n"] + p["column_step"] - 1) / p["column_step"]
        lo, hi = f.chunk_range(by_rows * by_columns * p["batch"])
        loop = f.loop(lo, hi)
        m0 = loop.i % by_rows * p["row_step"]
        rest = loop.i / by_rows
        n0 = rest % by_columns * p["column_step"]
        return (loop, rest / by_columns, m0, f.min(m0 + p["row_step"], p["m"]), n0,
                f.min(n0 + p["column_step"], p["n"]))

    def _finish(self, f: Function, c: Value, batch: Value, m0, m1, n0, n1) -> None:
        """Call the epilogue, if there is one; in its terms, if C is computed as (B' A')'."""
        p = self.p
        with f.if_(p["epilogue"].ne(f.zero("ptr"))):
            swap = p["swapped"].ne(0)
            rows = f.select(swap, n0, m0), f.select(swap, n1, m1)
            columns = f.select(swap, m0, n0), f.select(swap, m1, n1)
            f.call_pointer(p["epilogue"], "void", p["epilogue_args"], c, p["epilogue_row"], batch,
                           *rows, *columns)

    def _stack(self, f: Function) -> tuple[Value, Value]:
        """Room for a block of A and a panel of B."""
        room = f.alloca(self.t.elem, self._stack_elements())
        return f.gep(room, self.t.nr * self.t.kc, self.t.elem), room

    def _stack_elements(self) -> int:
        t = self.t
        return t.mc // t.mr * self.a_panel_stride(t.kc) + t.nr * t.kc + 64

    def _packed(self) -> None:
        t = self.t
        if "windows" in self.m.host.triple:
            f = self._kernel("gemm_packed_body", internal=True,
                             attributes='noinline "no-stack-arg-probe"')
            grow_stack(self.m, "gemm_packed", self._stack_elements() * itemsize(t.elem))
        else:
            f = self._kernel("gemm_packed")
        p = self.p
        stack_a, stack_b = self._stack(f)
        panels_a, panels_b = (p["m"] + (t.mr - 1)) / t.mr, (p["n"] + (t.nr - 1)) / t.nr
        size_a, size_b = self._packed_sizes(panels_a, panels_b)
        own_a, own_b = self._is_null(f, p["packed_a"]), self._is_null(f, p["packed_b"])
        loop, batch, m0, m1, n0, n1 = self._tasks(f)
        with loop:
            a, b, c = (self._batch(f, x, batch) for x in "abc")
            with self._k_blocks(f) as block:
                k = f.min(p["k_end"] - block.i, p["k_step"])
                offset = block.i - p["k_begin"]
                add = f.select(block.i > 0, 1, p["accumulate"])
                last = block.i + k >= p["k"]
                stride = self.a_panel_stride(k)
                with f.if_(own_a) as branch:
                    self._pack_a(f, stack_a, f.gep(a, block.i * p["a_col"], self.source), m0, m1, k)
                    branch.give(stack_a)
                    branch.else_()
                    at = (batch * size_a + self._a_block(f, offset / p["k_step"], panels_a)
                          + m0 / t.mr * stride)
                    branch.give(f.gep(p["packed_a"], at, t.elem))
                (block_a,) = branch.results
                base_b = batch * size_b + offset * panels_b * t.nr
                with f.loop(n0, n1, t.nr) as j:
                    columns = f.min(n1 - j.i, t.nr)
                    with f.if_(own_b) as branch:
                        source = f.gep(b, block.i * p["b_row"] + j.i * p["b_col"], self.source)
                        self.packer.b_panel(f, stack_b, source, p["b_row"], p["b_col"], columns, k)
                        branch.give(stack_b)
                        branch.else_()
                        branch.give(f.gep(p["packed_b"], base_b + j.i * k, t.elem))
                    (panel_b,) = branch.results
                    with f.loop(m0, m1, t.mr) as i:
                        at = f.gep(c, i.i * p["c_row"] + j.i, t.elem)
                        panel_a = f.gep(block_a, (i.i - m0) / t.mr * stride, t.elem)
                        self.kernels.call_packed(f, k, panel_a, panel_b, at, p["c_row"],
                                                 f.min(m1 - i.i, t.mr), columns, add)
                    with f.if_(last):
                        self._finish(f, c, batch, m0, m1, j.i, j.i + columns)

    def _pack_a(self, f: Function, to: Value, a: Value, m0: Value, m1: Value, k: Value) -> None:
        p, t = self.p, self.t
        with f.loop(m0, m1, t.mr) as i:
            panel = f.gep(to, (i.i - m0) / t.mr * self.a_panel_stride(k), t.elem)
            self.packer.a_panel(f, panel, f.gep(a, i.i * p["a_row"], self.source), p["a_row"],
                                p["a_col"], f.min(m1 - i.i, t.mr), k)

    def _direct(self) -> None:
        f, t = self._kernel("gemm_direct"), self.t
        loop, batch, m0, m1, n0, n1 = self._tasks(f)
        with loop:
            a, b, c = (self._batch(f, x, batch) for x in "abc")
            row = m0
            for rows, widths in t.direct:
                end = row + (m1 - row) / rows * rows
                with f.if_(end > row):
                    self._direct_rows(f, rows, widths, a, b, c, batch, row, end, n0, n1)
                row = end

    def _dot(self) -> None:
        f = self._kernel("gemm_dot")
        loop, batch, m0, m1, n0, n1 = self._tasks(f)
        with loop:
            a, b, c = (self._batch(f, x, batch) for x in "abc")
            self.dots.rows(f, self.p, a, b, c, m0, m1, n0, n1)
            self._finish(f, c, batch, m0, m1, n0, n1)

    def _direct_rows(self, f: Function, rows: int, widths, a, b, c, batch, m0, m1, n0, n1) -> None:
        """Rows [m0, m1), a multiple of the tile's; a panel of columns after the other.

        Usually K is one block. If B is large and A has few rows, blocks are thin, so that B is read
        along its rows.
        """
        p, t = self.p, self.t
        step = widths[0] * t.lanes
        blocks = f.max((p["k"] + p["k_step"] - 1) / p["k_step"], 1)  # k = 0 still writes C
        with f.loop(0, blocks) as block:
            k0 = block.i * p["k_step"]
            k = f.min(p["k"] - k0, p["k_step"])
            a_k, b_k = f.gep(a, k0 * p["a_col"], t.elem), f.gep(b, k0 * p["b_row"], t.elem)
            add, last = f.select(block.i > 0, 1, p["accumulate"]), block.i + 1 >= blocks
            with f.loop(n0, n1, step) as j:
                columns = f.min(n1 - j.i, step)
                with f.loop(m0, m1, rows) as i:
                    self.kernels.call_direct(
                        f, rows, widths, k, f.gep(a_k, i.i * p["a_row"], t.elem), p["a_row"],
                        p["a_col"], f.gep(b_k, j.i, t.elem), p["b_row"],
                        f.gep(c, i.i * p["c_row"] + j.i, t.elem), p["c_row"], columns, add)
                with f.if_(last):
                    self._finish(f, c, batch, m0, m1, j.i, j.i + columns)
