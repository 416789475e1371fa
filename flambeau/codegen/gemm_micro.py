"""Matrix multiplication, innermost part: tile shapes and micro-kernels.

A micro-kernel computes a tile of C in registers: ``rows`` times ``vectors`` accumulators. Each step
of k broadcasts one element of A per row and multiplies it with the vectors of B's row.

*packed* kernels read A as panels ``[k][rows]`` and B as panels ``[k][NR]``; *direct* kernels read
the caller's memory (any strides of A, unit column stride of B).

Edges. A packed tile that reaches over the last row repeats it: the row pointers are clamped, all
loads come before all stores and rows are stored from the last to the first, so the real row is
written last. Columns past the edge are masked, or copied through a stack tile where the host has no
masked instructions.
"""

from __future__ import annotations

from dataclasses import dataclass

from flambeau.codegen.emit import Function, Module, Value
from flambeau.codegen.emit_types import itemsize, vector
from flambeau.codegen.host import HostTarget


@dataclass(frozen=True, eq=False)
class Tiling:
    """Shapes of register tiles and cache blocks for one element type and host.

    Attributes:
        elem: LLVM element type, ``float`` or ``double``.
        lanes: lanes of a vector.
        row_tiles: rows of the packed tiles, greatest first (the first is MR).
        vectors: vectors in a row of a packed tile; NR is ``vectors * lanes``.
        direct: tiles of the direct kernels: ``(rows, widths in vectors, greatest first)``.
        kc: block of k; a B panel takes kc * NR elements, an A block kc * mc.
        mc: rows of an A block (a multiple of MR).
        always_masked: one version of each kernel serves full and partial widths.
        masked: partial widths use masked instructions.
    """

    elem: str
    lanes: int
    row_tiles: tuple[int, ...]
    vectors: int
    direct: tuple[tuple[int, tuple[int, ...]], ...]
    kc: int
    mc: int
    always_masked: bool
    masked: bool

    @property
    def mr(self) -> int:
        return self.row_tiles[0]

    @property
    def nr(self) -> int:
        return self.vectors * self.lanes


def tiling(elem: str, host: HostTarget) -> Tiling:
    """The tiling for a host: as many accumulators as its registers allow."""
    lanes, wide = host.lanes(itemsize(elem)), itemsize(elem) // 4
    if host.kind == "avx512":
        return Tiling(elem, lanes, (12, 8, 4), 2,
                      ((12, (2, 1)), (8, (3, 1)), (4, (6, 2)), (2, (8, 2)), (1, (8, 2))),
                      512 // wide, 120, True, True)
    if host.kind == "neon":
        return Tiling(elem, lanes, (8, 4), 3, ((8, (3, 1)), (4, (4, 1)), (2, (8, 1)), (1, (8, 1))),
                      512 // wide, 120, False, False)
    return Tiling(elem, lanes, (6, 4, 2), 2, ((6, (2, 1)), (4, (2, 1)), (2, (4, 1)), (1, (8, 1))),
                  256, 192 // wide, False, host.has_masked)


class MicroKernels:
    """Writes the micro-kernels of a tiling into a module and emits calls of the right one."""

    def __init__(self, module: Module, t: Tiling):
        self.m, self.t = module, t
        self.vec = vector(t.elem, t.lanes)
        self.size = itemsize(t.elem)
        self.partials = (True,) if t.always_masked else (False, True)
        for partial in self.partials:
            for rows in t.row_tiles:
                for width in range(1, t.vectors + 1):
                    _Writer(self, rows, width, False, partial).write()
            for rows, widths in t.direct:
                for width in widths:
                    _Writer(self, rows, width, True, partial).write()

    @staticmethod
    def name(rows: int, width: int, direct: bool, partial: bool) -> str:
        return f"{'direct' if direct else 'packed'}_{rows}x{width}{'_edge' if partial else ''}"

    def call_packed(self, f: Function, k, a, b, c, ldc, valid_rows, columns, add) -> None:
        """Multiply packed panels into the tile at ``c``, choosing the smallest fitting kernel."""
        t = self.t

        def by_rows(tiles, width, partial):
            def call():
                f.call(self.name(tiles[0], width, False, partial), k, a, b, c, ldc, valid_rows,
                       columns, add)
            if len(tiles) == 1:
                return call()
            with f.if_(valid_rows > tiles[1]) as branch:
                call()
                branch.else_()
                by_rows(tiles[1:], width, partial)

        widths = tuple(range(t.vectors, 0, -1))
        self._by_width(f, columns, widths, lambda w, p: by_rows(t.row_tiles, w, p))

    def call_direct(self, f: Function, rows: int, widths, k, a, rsa, csa, b, rsb, c, ldc, columns,
                    add) -> None:
        """Multiply ``rows`` rows of A with up to ``widths[0]`` vectors of columns of B."""
        self._by_width(f, columns, widths, lambda w, p: f.call(
            self.name(rows, w, True, p), k, a, rsa, csa, b, rsb, c, ldc, columns, add))

    def _by_width(self, f: Function, columns: Value, widths, call) -> None:
        """Call with the smallest width that covers the columns, full or partial."""
        if len(widths) > 1:
            with f.if_(columns > widths[1] * self.t.lanes) as branch:
                self._full_or_partial(f, columns, widths[0], call)
                branch.else_()
                self._by_width(f, columns, widths[1:], call)
        else:
            self._full_or_partial(f, columns, widths[0], call)

    def _full_or_partial(self, f: Function, columns: Value, width: int, call) -> None:
        if len(self.partials) == 1:
            return call(width, True)
        with f.if_(columns >= width * self.t.lanes) as branch:
            call(width, False)
            branch.else_()
            call(width, True)


class _Writer:
    """Writes one micro-kernel."""

    def __init__(self, kernels: MicroKernels, rows: int, width: int, direct: bool, partial: bool):
        self.t, self.vec = kernels.t, kernels.vec
        self.rows, self.width, self.direct, self.partial = rows, width, direct, partial
        strides = (("i64", "rsa"), ("i64", "csa")) if direct else ()
        params = (("i64", "k"), ("ptr", "a", "noalias readonly"), *strides,
                  ("ptr", "b", "noalias readonly"), *((("i64", "rsb"),) if direct else ()),
                  ("ptr", "c", "noalias"), ("i64", "ldc"),
                  *((("i64", "valid"),) if not direct else ()), ("i64", "columns"), ("i64", "add"))
        name = kernels.name(rows, width, direct, partial)
        self.f = kernels.m.function(name, params, internal=True, attributes="noinline")
        self.args = dict(zip((p[1] for p in params), self.f.args, strict=True))

    def write(self) -> None:
        f, args, lanes = self.f, self.args, self.t.lanes
        columns = args["columns"]
        self.masks = None
        if self.partial and self.t.masked:
            self.masks = [f.lane_mask(columns - j * lanes, lanes) for j in range(self.width)]
        elif self.partial:
            self.tile = f.alloca(self.vec, self.rows * self.width)
        self.row_pointers = self._rows()
        zeros = [f.zero(self.vec)] * (self.rows * self.width)
        if not self.direct:
            self._prefetch()
        acc = self._direct(zeros) if self.direct else self._packed(zeros)
        with f.if_(args["add"].ne(0)) as branch:
            branch.give(*[x + y for x, y in zip(acc, self._load(), strict=True)])
            branch.else_()
            branch.give(*acc)
        self._store(branch.results)

    def _rows(self) -> list[Value]:
        f, c, ldc = self.f, self.args["c"], self.args["ldc"]
        pointers = [c]
        for i in range(1, self.rows):
            row = f.const(i, "i64") if self.direct else f.min(self.args["valid"] - 1, i)
            pointers.append(f.gep(c, row * ldc, self.t.elem))
        return pointers

    def _prefetch(self) -> None:
        """Ask for the tile of C, which in large products comes from memory."""
        f, t = self.f, self.t
        per_line = max(1, 64 // (t.lanes * itemsize(t.elem)))
        f.module.declare("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        for p in self.row_pointers:
            for j in range(0, self.width, per_line):
                at = f.gep(p, j * t.lanes, t.elem)
                f.emit(f"call void @llvm.prefetch.p0(ptr {at}, i32 1, i32 3, i32 1)")

    def _multiply(self, a: list[Value], b: list[Value], acc: list[Value]) -> list[Value]:
        f, w = self.f, self.width
        out = []
        for i, x in enumerate(a):
            broadcast = f.splat(x, self.t.lanes)
            out += [f.fma(broadcast, b[j], acc[i * w + j]) for j in range(w)]
        return out

    def _packed(self, start: list[Value]) -> list[Value]:
        f, t, args = self.f, self.t, self.args
        align = t.lanes * itemsize(t.elem)
        with f.loop(0, args["k"], carry=start, at_least_once=True) as loop:
            pb = f.gep(args["b"], loop.i * t.nr, t.elem)
            pa = f.gep(args["a"], loop.i * self.rows, t.elem)
            b = [f.load(f.gep(pb, j * t.lanes, t.elem), self.vec, align=align)
                 for j in range(self.width)]
            a = [f.load(f.gep(pa, i, t.elem), t.elem) for i in range(self.rows)]
            loop.next(*self._multiply(a, b, loop.carried))
        return loop.results

    def _direct(self, start: list[Value]) -> list[Value]:
        """Every third row has its own pointer, the two after it are addressed by stride."""
        f, t, args = self.f, self.t, self.args
        rsa, groups = args["rsa"], (self.rows + 2) // 3
        pointers = [args["a"]]
        for _ in range(1, groups):
            pointers.append(f.gep(pointers[-1], rsa * 3, t.elem))
        with f.loop(0, args["k"], carry=[*pointers, args["b"], *start]) as loop:
            pa, pb, acc = loop.carried[:groups], loop.carried[groups], loop.carried[groups + 1:]
            b = [self._load_b(f.gep(pb, j * t.lanes, t.elem), j) for j in range(self.width)]
            two = rsa * 2
            a = []
            for i in range(self.rows):
                g, r = divmod(i, 3)
                p = pa[g] if r == 0 else f.gep(pa[g], rsa if r == 1 else two, t.elem)
                a.append(f.load(p, t.elem))
            loop.next(*[f.gep(p, args["csa"], t.elem) for p in pa],
                      f.gep(pb, args["rsb"], t.elem), *self._multiply(a, b, acc))
        return loop.results[groups + 1:]

    def _load_b(self, p: Value, j: int) -> Value:
        if self.masks is not None:
            return self.f.load_masked(p, self.masks[j], self.vec)
        if self.partial:
            return self._load_some(p, j)
        return self.f.load(p, self.vec)

    def _load_some(self, p: Value, j: int) -> Value:
        """The valid lanes of a vector of B, one by one (hosts without masks)."""
        f, t = self.f, self.t
        left = self.args["columns"] - j * t.lanes
        value = f.zero(self.vec)
        for lane in range(t.lanes):
            with f.if_(left > lane) as branch:
                x = f.load(f.gep(p, lane, t.elem), t.elem)
                branch.give(f.insert(value, x, lane))
                branch.else_()
                branch.give(value)
            value = branch.results[0]
        return value

    def _cells(self):
        """(accumulator number, row pointer, vector number) of all accumulators."""
        for i, p in enumerate(self.row_pointers):
            for j in range(self.width):
                yield i * self.width + j, p, j

    def _load(self) -> list[Value]:
        f, t = self.f, self.t
        if self.partial and self.masks is None:
            self._copy(from_tile=False)
            return [f.load(f.gep(self.tile, n, self.vec), self.vec)
                    for n in range(self.rows * self.width)]
        out = []
        for _, p, j in self._cells():
            q = f.gep(p, j * t.lanes, t.elem)
            out.append(f.load(q, self.vec) if self.masks is None
                       else f.load_masked(q, self.masks[j], self.vec))
        return out

    def _store(self, acc: list[Value]) -> None:
        f, t = self.f, self.t
        if self.partial and self.masks is None:
            for n, x in enumerate(acc):
                f.store(x, f.gep(self.tile, n, self.vec))
            self._copy(from_tile=True)
            return
        for n, p, j in reversed(list(self._cells())):
            q = f.gep(p, j * t.lanes, t.elem)
            if self.masks is None:
                f.store(acc[n], q)
            else:
                f.store_masked(acc[n], q, self.masks[j])

    def _copy(self, from_tile: bool) -> None:
        """Copy the valid columns between the stack tile and C, last row first."""
        f, t = self.f, self.t
        for i in reversed(range(self.rows)):
            row = f.gep(self.tile, i * self.width, self.vec)
            source, to = (row, self.row_pointers[i]) if from_tile else (self.row_pointers[i], row)
            with f.loop(0, self.args["columns"]) as loop:
                x = f.load(f.gep(source, loop.i, t.elem), t.elem)
                f.store(x, f.gep(to, loop.i, t.elem))
