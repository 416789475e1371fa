"""Matrix multiplication with few rows of A and columns of B that are contiguous along k.

Each element of C is a dot product; a tile keeps one vector of partial sums per element. This is the
shape of a matrix times a vector, and of a linear layer (``x @ W.T``) for a few samples, where
packing W would cost more than the product.
"""

from __future__ import annotations

from flambeau.codegen.emit import Function, Module, Value
from flambeau.codegen.emit_types import itemsize, lanes, vector
from flambeau.codegen.gemm_micro import Tiling
from flambeau.codegen.host import HostTarget


def sum_lanes(f: Function, vectors: list[Value]) -> list[Value]:
    """The sum of the lanes of each vector (a power of two of them), as scalars.

    Vectors are merged in pairs, each merge halving the lanes that belong to one sum: all sums
    together take about as many instructions as three separate ones.
    """
    count, n = len(vectors), lanes(vectors[0].type)
    width = n  # lanes of one sum; a vector holds n // width sums side by side

    def halves(size: int, width: int) -> tuple[list[int], list[int]]:
        low = [s + i for s in range(0, size, width) for i in range(width // 2)]
        return low, [x + width // 2 for x in low]

    while len(vectors) > 1 and width > 1:
        low, high = halves(2 * n, width)
        vectors = [f.shuffle(a, b, low) + f.shuffle(a, b, high)
                   for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
        width //= 2
    while width > 1:
        low, high = halves(lanes(vectors[0].type), width)
        vectors = [f.shuffle(v, None, low) + f.shuffle(v, None, high) for v in vectors]
        width //= 2
    out = [f.extract(v, i) for v in vectors for i in range(lanes(v.type))]
    assert len(out) == count
    return out


def dot_tiles(host: HostTarget) -> tuple[tuple[int, int], ...]:
    """Tiles of the kernel: (rows of A, columns of B), greatest first; all sums in registers."""
    if host.kind in ("avx512", "neon"):
        return ((4, 4), (2, 4), (1, 8))
    return ((4, 2), (2, 4), (1, 8))


class DotKernels:
    """Writes the dot product kernels into a module and emits their calls."""

    def __init__(self, module: Module, t: Tiling, source: str):
        self.m, self.t, self.source = module, t, source
        self.tiles = dot_tiles(module.host)
        for rows, columns in self.tiles:
            self._write(rows, columns)
            self._write(rows, 1)

    def _write(self, rows: int, columns: int) -> None:
        """dot_RxC(k, a, a_row, b, b_col, c, c_row, c_col, add)."""
        t, source = self.t, self.source
        f = self.m.function(f"dot_{rows}x{columns}", (
            ("i64", "k"), ("ptr", "a", "noalias readonly"), ("i64", "a_row"),
            ("ptr", "b", "noalias readonly"), ("i64", "b_col"), ("ptr", "c", "noalias"),
            ("i64", "c_row"), ("i64", "c_col"), ("i64", "add")), internal=True,
            attributes="noinline")
        k, a, a_row, b, b_col, c, c_row, c_col, add = f.args
        vec = vector(source, t.lanes)
        pa = [f.gep(a, a_row * i, source) for i in range(rows)]
        pb = [f.gep(b, b_col * j, source) for j in range(columns)]

        def step(at: Value, sums: list[Value], load) -> list[Value]:
            x = [f.convert(load(f.gep(p, at, source)), t.elem) for p in pa]
            y = [f.convert(load(f.gep(p, at, source)), t.elem) for p in pb]
            return [f.fma(x[i], y[j], sums[i * columns + j])
                    for i in range(rows) for j in range(columns)]

        whole = k & -t.lanes
        zeros = [f.zero(vector(t.elem, t.lanes))] * (rows * columns)
        with f.loop(0, whole, t.lanes, carry=zeros) as loop:
            loop.next(*step(loop.i, loop.carried, lambda p: f.load(p, vec)))
        sums = loop.results
        if self.m.host.can_mask(itemsize(source)):
            with f.if_(whole < k) as branch:
                mask = f.lane_mask(k - whole, t.lanes)
                branch.give(*step(whole, sums, lambda p: f.load_masked(p, mask, vec)))
                branch.else_()
                branch.give(*sums)
            totals = sum_lanes(f, branch.results)
        else:
            totals = sum_lanes(f, sums)
            with f.loop(whole, k, carry=totals) as loop:
                loop.next(*step(loop.i, loop.carried, lambda p: f.load(p, source)))
            totals = loop.results
        for i in range(rows):
            for j in range(columns):
                at = f.gep(c, c_row * i + c_col * j, t.elem)
                with f.if_(add.ne(0)) as branch:
                    branch.give(totals[i * columns + j] + f.load(at, t.elem))
                    branch.else_()
                    branch.give(totals[i * columns + j])
                f.store(branch.results[0], at)

    def rows(self, f: Function, p: dict[str, Value], a: Value, b: Value, c: Value, m0: Value,
             m1: Value, n0: Value, n1: Value) -> None:
        """All of rows [m0, m1) and columns [n0, n1): columns in tiles, then one by one."""
        elem, row = self.t.elem, m0
        for rows, columns in self.tiles:
            end = row + (m1 - row) / rows * rows
            split = n0 + (n1 - n0) / columns * columns
            with f.loop(row, end, rows) as i:
                for step, lo, hi in ((columns, n0, split), (1, split, n1)):
                    with f.loop(lo, hi, step) as j:
                        f.call(f"dot_{rows}x{step}", p["k"],
                               f.gep(a, i.i * p["a_row"], self.source), p["a_row"],
                               f.gep(b, j.i * p["b_col"], self.source), p["b_col"],
                               f.gep(c, i.i * p["c_row"] + j.i * p["c_col"], elem), p["c_row"],
                               p["c_col"], p["accumulate"])
            row = end
