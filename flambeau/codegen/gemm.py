"""Matrix multiplication for plans: C[M, N] = A[M, K] @ B[K, N], batched, any strides of A and B.

Usage::

    kernel = gemm("float32")                        # compiled once per machine, cached on disk
    g = kernel.plan(m, n, k, a=(rsa, csa), b=(rsb, csb), c=rsc, threads=team.threads(),
                    epilogue=address)
    g.bind(a=..., b=..., c=..., workspace=..., epilogue_args=...)      # addresses
    table += [(row.function, row.args.ctypes.data, row.chunks) for row in g.rows]

The argument blocks (``row.args``, int64) are read when the plan runs, so :meth:`GemmPlan.bind` may
be called again before each run. They must stay alive as long as the table. One plan must not run
twice at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np

from flambeau.base import dtype as dt
from flambeau.codegen.emit import Module
from flambeau.codegen.emit_types import ELEMENT, itemsize
from flambeau.codegen.gemm_cost import WORKSPACE_BYTES, Division, divide, k_block
from flambeau.codegen.gemm_drive import SLOT, SLOTS, Drivers, driver_names
from flambeau.codegen.gemm_micro import tiling
from flambeau.codegen.host import HostTarget, host


@dataclass
class GemmRow:
    """One row of a plan's table: ``function(args, chunk, chunks)`` for each chunk.

    ``words`` is the argument block without addresses; ``args`` is the block to bind them in.
    """

    name: str
    words: list[int]
    chunks: int
    function: int = 0

    @cached_property
    def args(self) -> np.ndarray:
        return np.array(self.words, np.int64)


@dataclass
class GemmPlan:
    """The rows of one multiplication, to be run in order.

    Attributes:
        rows: at most two for most sizes: packing, multiplication.
        workspace_bytes: memory the rows need, aligned to 64 bytes; contents are lost. It is
            written by the packing row, so it must not overlap anything alive meanwhile.
        division: how the work was divided.
        swapped: A and B changed places, so C is computed as the transpose of its transpose.
    """

    rows: list[GemmRow]
    workspace_bytes: int
    division: Division
    swapped: bool
    _packed_a: int = field(default=-1)
    _packed_b: int = field(default=-1)

    def places(self) -> list[tuple[int, str, int]]:
        """Which words of every row are addresses: ``(word, what, byte offset)``, where ``what`` is
        a parameter of :meth:`bind`."""
        a, b = ("b", "a") if self.swapped else ("a", "b")
        found = [(SLOT["a"], a, 0), (SLOT["b"], b, 0), (SLOT["c"], "c", 0)]
        if self.rows[0].words[SLOT["epilogue"]]:
            found.append((SLOT["epilogue_args"], "epilogue_args", 0))
        if self._packed_a >= 0:
            found.append((SLOT["packed_a"], "workspace", self._packed_a))
        if self._packed_b >= 0:
            found.append((SLOT["packed_b"], "workspace", self._packed_b))
        return found

    def bind(self, a: int, b: int, c: int, workspace: int = 0, epilogue_args: int = 0) -> None:
        """Set the addresses of the operands, of C, the workspace and the epilogue's arguments."""
        if self.swapped:
            a, b = b, a
        for row in self.rows:
            args = row.args
            args[SLOT["a"]], args[SLOT["b"]], args[SLOT["c"]] = a, b, c
            args[SLOT["epilogue_args"]] = epilogue_args
            if self._packed_a >= 0:
                args[SLOT["packed_a"]] = workspace + self._packed_a
            if self._packed_b >= 0:
                args[SLOT["packed_b"]] = workspace + self._packed_b


class GemmKernel:
    """The multiplication kernels for one element type.

    Args:
        dtype: of C and of the arithmetic: ``float32`` or ``float64``.
        source: element type of A and B; default ``dtype``. ``float16`` and ``bfloat16`` are
            converted as they are read.
        target: default the current host.

    Attributes:
        text: the LLVM module; its public functions are ``names``. Load it with ``runtime.jit.load``
            and give the addresses to :meth:`plan` (or set ``addresses`` once).
    """

    def __init__(self, dtype: str = "float32", source: str | None = None,
                 target: HostTarget | None = None):
        source = source or dtype
        if dtype not in ("float32", "float64"):
            raise NotImplementedError(
                f"matrix multiplication into {dtype}: only float32 and float64")
        if source not in (dtype, "float16", "bfloat16"):
            raise NotImplementedError(f"matrix multiplication of {source} into {dtype}")
        self.dtype, self.source = dtype, source
        self.target = target or host()
        self.elem, self.source_elem = ELEMENT[dtype], ELEMENT[source]
        self.tiling = tiling(self.elem, self.target)
        self.names = driver_names(self.tiling, self.source_elem)
        self.addresses: dict[str, int] = {}

    @cached_property
    def text(self) -> str:
        module = Module(self.target)
        Drivers(module, self.tiling, self.source_elem)
        return str(module)

    def plan(self, m: int, n: int, k: int, *, a: tuple[int, int], b: tuple[int, int], c: int,
             batch: tuple[int, int] = (1, 1), a_batch: tuple[int, int] = (0, 0),
             b_batch: tuple[int, int] = (0, 0), c_batch: tuple[int, int] = (0, 0),
             accumulate: bool = False, epilogue: int = 0, threads: int = 1,
             dotted: bool | None = None, turned: bool = False, mode: str | None = None) -> GemmPlan:
        """Divide one multiplication into rows.

        Args:
            m, n, k: sizes; k may be 0 (C becomes 0).
            a: (row, column) strides of A in elements, any; of its [M, K] view.
            b: (row, column) strides of B in elements, any; of its [K, N] view.
            c: row stride of C in elements; its columns are contiguous.
            batch: two batch dimensions (the second one runs faster); 1 where there is none.
            a_batch, b_batch, c_batch: strides of both batch dimensions in elements. A stride 0 in
                B with A and C contiguous is faster as one multiplication with more rows.
            accumulate: C += A @ B instead of C = A @ B.
            epilogue: address of a function made by ``gemm_epilogue.write_epilogue``; 0: none. With
                more than one block of k (``division.k_step < k``) C holds partial sums before the
                epilogue sees it, so the epilogue's operands must not lie in C's memory.
            threads: threads that will run the plan; 1: all rows get one chunk.
            dotted: what :meth:`dotted` says; by default it is asked about these strides.
            turned: the program's product is the transpose of this one.
            mode: force a mode (see ``gemm_cost.Division``), for tests.
        """
        size, same = itemsize(self.elem), self.source == self.dtype
        count, c_row, c_col = batch[0] * batch[1], c, 1
        k_step = k_block(self.tiling, *((n, m) if turned else (m, n)), k, size)
        if mode is None and dotted is None:
            dotted = self.dotted(m, n, k, count, a[1] == b[0] == 1)
        swapped = (mode is None and n == 1 < m and k > 0
                   and (bool(dotted) or (same and a[0] == c == 1)))
        if swapped:  # matrix times vector: computed as vector times matrix
            m, n, a, b = n, m, (b[1], b[0]), (a[1], a[0])
            a_batch, b_batch, c_row, c_col = b_batch, a_batch, c_col, c_row
        d = divide(self.tiling, m, n, k, count, (a[0], a[1]), (b[0], b[1]), size, max(1, threads),
                   same, c_col == 1, mode, dotted, k_step)
        values = dict(m=m, n=n, k=k, batch=count, batch1=max(1, batch[1]), a_row=a[0], a_col=a[1],
                      b_row=b[0], b_col=b[1], c_row=c_row, c_col=c_col, epilogue_row=c,
                      swapped=int(swapped), accumulate=int(accumulate), epilogue=epilogue,
                      k_begin=0, k_end=k, k_step=d.k_step, row_step=d.row_step,
                      column_step=d.column_step)
        for name, strides in (("a", a_batch), ("b", b_batch), ("c", c_batch)):
            values[name + "_batch0"], values[name + "_batch1"] = strides
        if not d.mode.startswith("shared"):
            kind = "gemm_packed" if d.mode == "private" else "gemm_" + d.mode
            return GemmPlan([self._row(kind, values, d.chunks)], 0, d, swapped)
        return self._shared(d, values, threads)

    def dotted(self, m: int, n: int, k: int, count: int, adjacent: bool) -> bool:
        """Whether elements of C are computed as dot products, which add up in another order.

        Depends on the sizes and on the layout that the program gives its operands, so that a
        product gives the same bits however it is run.

        Args:
            count: multiplications in the batch.
            adjacent: the operands' elements are adjacent along k.
        """
        if not adjacent or k < 2:
            return False
        if n == 1 < m:
            m, n = n, m
        return divide(self.tiling, m, n, k, count, (k, 1), (1, k), itemsize(self.elem), 1,
                      self.source == self.dtype, True, None).mode == "dot"

    def _shared(self, d: Division, values: dict, threads: int) -> GemmPlan:
        """Rows that pack into the workspace; several pairs if all of B would not fit."""
        t, size = self.tiling, itemsize(self.elem)
        m, n, k, count = (values[x] for x in ("m", "n", "k", "batch"))
        panels_a, panels_b = -(-m // t.mr), -(-n // t.nr)
        per_k = panels_b * t.nr * size * count
        blocks = max(1, min(-(-k // d.k_step), WORKSPACE_BYTES // (per_k * d.k_step)))
        span = min(k, blocks * d.k_step)
        packed_a, packed_b, total = -1, 0, -(-span * per_k // 64) * 64 + 64
        if d.mode == "shared":
            packed_a = total
            panel = t.mr * d.k_step + t.lanes
            total += -(-span // d.k_step) * panels_a * panel * size * count + 64
        pack_chunks = 1
        if threads > 1 and d.chunks > 1:
            pack_chunks = min(4 * threads, panels_b * count)
        rows = []
        for begin in range(0, k, span):
            part = dict(values, k_begin=begin, k_end=min(k, begin + span))
            pack = self._row("gemm_pack", part, pack_chunks)
            rows += [pack, self._row("gemm_packed", part, d.chunks, pack.words)]
        return GemmPlan(rows, total, d, bool(values["swapped"]), packed_a, packed_b)

    def _row(self, name: str, values: dict, chunks: int, words: list[int] | None = None) -> GemmRow:
        if words is None:
            get = values.get
            words = [get(s, 0) for s in SLOTS]
        return GemmRow(name, words, chunks, self.addresses.get(name, 0))


@cache
def _kernel(dtype: str, source: str, target: HostTarget) -> GemmKernel:
    return GemmKernel(dtype, source, target)


def gemm(dtype: dt.dtype | str, source: dt.dtype | str | None = None) -> GemmKernel:
    """The kernels for an element type on the current host (made once)."""
    name = dtype if isinstance(dtype, str) else dtype.name
    other = name if source is None else source if isinstance(source, str) else source.name
    return _kernel(name, other, host())


def modes(kernel: GemmKernel) -> Sequence[str]:
    """All modes :meth:`GemmKernel.plan` knows (some sizes and strides exclude some)."""
    direct = ("direct",) if kernel.source == kernel.dtype else ()
    return (*direct, "dot", "private", "shared_b", "shared")
