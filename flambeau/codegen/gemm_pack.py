"""Matrix multiplication: packing A and B into panels.

A group is ``lanes`` neighbouring rows of A (or columns of B); its panel is ``[k][step]``. By the
strides of the source a group is copied vector by vector (unit stride across the group), transposed
in registers (unit stride along k) or copied element by element.

Lanes past the edge hold anything; they only reach results that are never stored (or are stored and
then overwritten). A group narrower than a vector still writes whole vectors: the surplus lanes are
overwritten by the next k or the next group, and a vector of slack is needed after each A panel.
"""

from __future__ import annotations

from flambeau.codegen.emit import Function, Module, Value
from flambeau.codegen.emit_types import vector
from flambeau.codegen.gemm_micro import Tiling


def transpose(f: Function, rows: list[Value]) -> list[Value]:
    """Transpose a square of vectors in log2(lanes) stages of two-input shuffles."""
    n, d = len(rows), 1
    while d < n:
        low = [i if not i & d else n + i - d for i in range(n)]
        high = [i + d if not i & d else n + i for i in range(n)]
        out = list(rows)
        for i in range(n):
            if not i & d:
                out[i] = f.shuffle(rows[i], rows[i + d], low)
                out[i + d] = f.shuffle(rows[i], rows[i + d], high)
        rows, d = out, d * 2
    return rows


class Packer:
    """Writes the packing functions into a module.

    Args:
        source: LLVM type of the elements read; they are converted to the tiling's.
    """

    def __init__(self, module: Module, t: Tiling, source: str):
        self.m, self.t, self.source = module, t, source
        self.vec, self.from_vec = vector(t.elem, t.lanes), vector(source, t.lanes)
        self._scalar()
        self._copy()
        self._transpose()
        self._group()

    def _function(self, name: str) -> Function:
        """name(to, from, lane stride, k stride, valid lanes, k, step): strides in elements."""
        return self.m.function(name, (("ptr", "to", "noalias"), ("ptr", "from", "noalias readonly"),
                                      ("i64", "ls"), ("i64", "ks"), ("i64", "valid"), ("i64", "k"),
                                      ("i64", "step")), internal=True, attributes="noinline")

    def _load(self, f: Function, p: Value, t: str) -> Value:
        return f.convert(f.load(p, t), self.t.elem)

    def _copy(self) -> None:
        f = self._function("pack_copy")
        to, source, ls, ks, valid, k, step = f.args
        with f.if_(valid >= self.t.lanes) as branch:
            with f.loop(0, k) as loop:
                x = self._load(f, f.gep(source, loop.i * ks, self.source), self.from_vec)
                f.store(x, f.gep(to, loop.i * step, self.t.elem))
            branch.else_()
            if self.t.masked and self.source == self.t.elem:
                mask = f.lane_mask(valid, self.t.lanes)
                with f.loop(0, k) as loop:
                    row = f.gep(source, loop.i * ks, self.source)
                    f.store(f.load_masked(row, mask, self.vec),
                            f.gep(to, loop.i * step, self.t.elem))
            else:
                f.call("pack_scalar", *f.args)

    def _transpose(self) -> None:
        f = self._function("pack_transpose")
        to, source, ls, _, valid, k, step = f.args
        n = self.t.lanes
        rows = [source] + [f.gep(source, f.min(valid - 1, i) * ls, self.source)
                           for i in range(1, n)]

        def square(at):
            block = transpose(f, [self._load(f, f.gep(p, at, self.source), self.from_vec)
                                  for p in rows])
            for i, x in enumerate(block):
                f.store(x, f.gep(to, (at + i) * step, self.t.elem))

        whole = k & -n
        with f.loop(0, whole, n) as loop:
            square(loop.i)
        with f.if_(k > whole):
            with f.if_(k >= n) as branch:
                square(k - n)  # some rows of the panel a second time
                branch.else_()
                with f.loop(whole, k) as loop:
                    x = f.zero(self.vec)
                    for i, p in enumerate(rows):
                        one = self._load(f, f.gep(p, loop.i, self.source), self.source)
                        x = f.insert(x, one, i)
                    f.store(x, f.gep(to, loop.i * step, self.t.elem))

    def _scalar(self) -> None:
        """Valid lanes only; the others keep what was there."""
        f = self._function("pack_scalar")
        to, source, ls, ks, valid, k, step = f.args
        with f.loop(0, k) as loop:
            row = f.gep(source, loop.i * ks, self.source)
            out = f.gep(to, loop.i * step, self.t.elem)
            with f.loop(0, f.min(valid, self.t.lanes)) as lane:
                x = self._load(f, f.gep(row, lane.i * ls, self.source), self.source)
                f.store(x, f.gep(out, lane.i, self.t.elem))

    def _group(self) -> None:
        f = self._function("pack_group")
        ls, ks = f.args[2:4]
        with f.if_(ls.eq(1)) as unit:
            f.call("pack_copy", *f.args)
            unit.else_()
            with f.if_(ks.eq(1)) as along:
                f.call("pack_transpose", *f.args)
                along.else_()
                f.call("pack_scalar", *f.args)

    def panel_width(self, f: Function, valid: Value) -> Value:
        """Rows of the tile that ``valid`` rows of A are packed for."""
        width = f.const(self.t.row_tiles[0], "i64")
        for rows in self.t.row_tiles[1:]:
            width = f.select(valid <= rows, rows, width)
        return width

    def a_panel(self, f: Function, to: Value, a: Value, rsa: Value, csa: Value, valid: Value,
                k: Value) -> None:
        """Pack up to MR rows at ``a``; the panel is as wide as the row tile that will read it."""
        t, width = self.t, self.panel_width(f, valid)
        for start in reversed(range(0, t.mr, t.lanes)):  # surplus lanes: see the module's text
            def pack(start=start):
                f.call("pack_group", f.gep(to, start, t.elem), f.gep(a, rsa * start, self.source),
                       rsa, csa, f.max(f.min(valid - start, t.lanes), 1), k, width)
            if start:
                with f.if_(valid > start):
                    pack()
            else:
                pack()

    def b_panel(self, f: Function, to: Value, b: Value, rsb: Value, csb: Value, valid: Value,
                k: Value) -> None:
        """Pack up to NR columns at ``b``."""
        t = self.t
        for start in range(0, t.nr, t.lanes):
            with f.if_(valid > start):
                f.call("pack_group", f.gep(to, start, t.elem), f.gep(b, csb * start, self.source),
                       csb, rsb, f.min(valid - start, t.lanes), k, t.nr)
