"""Convolution for plans: arguments and division of the kernels of ``conv_drive.py``.

Usage::

    kernel = conv("float32")
    c = kernel.forward(windows, rows=.., channels=.., groups=.., x=(..), threads=..)
    c.bind(x=.., w=.., y=.., workspace=..)
    table += [(row.function, row.args.ctypes.data, row.chunks) for row in c.rows]

As with products (``gemm.py``), argument blocks are read when the plan runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property

from flambeau.codegen.conv_drive import PANELS, SLOT, SLOTS, ConvDrivers
from flambeau.codegen.emit import Module
from flambeau.codegen.emit_types import ELEMENT, itemsize
from flambeau.codegen.gemm import GemmKernel, GemmRow
from flambeau.codegen.gemm_cost import balanced_k
from flambeau.codegen.gemm_drive import A_UNIT
from flambeau.codegen.gemm_drive import SLOT as GEMM_SLOT
from flambeau.codegen.gemm_micro import tiling
from flambeau.codegen.host import HostTarget, host
from flambeau.kernel.windows import Table, Windows, table

#: weights from which on several threads pack them
LARGE = 100_000


@dataclass
class ConvPlan:
    """The rows of one convolution, to be run in order.

    Attributes:
        rows: packing of the weights, if there is one, and the convolution.
        workspace_bytes: memory the rows need, aligned to 64 bytes; contents are lost.
        table: keeps the table of windows alive.
        whole: an epilogue gets whole images.
    """

    rows: list[GemmRow]
    workspace_bytes: int
    table: Table
    whole: bool
    _temporary: int = 0

    def bind(self, x: int, w: int, y: int, workspace: int = 0, epilogue: int = 0,
             epilogue_args: int = 0) -> None:
        """Set the addresses of X, W and Y, of the workspace and the epilogue with its arguments."""
        *pack, main = self.rows
        for row in pack:
            row.args[GEMM_SLOT["a"]], row.args[GEMM_SLOT["packed_a"]] = w, workspace
            w = workspace
        for name, value in (("x", x), ("w", w), ("y", y), ("epilogue", epilogue),
                            ("epilogue_args", epilogue_args)):
            main.args[SLOT[name]] = value
        main.args[SLOT["temporary"]] = workspace + self._temporary


class ConvKernel:
    """The convolution kernels for one element type.

    Args:
        dtype: ``float32`` or ``float64``.
        product: the matrix kernels of the same type, whose packing of A is used.
    """

    def __init__(self, dtype: str, product: GemmKernel, target: HostTarget | None = None):
        self.elem, self.product = ELEMENT[dtype], product
        self.target = target or host()
        self.tiling = tiling(self.elem, self.target)
        self.names = ConvDrivers.names
        self.addresses: dict[str, int] = {}

    @cached_property
    def text(self) -> str:
        module = Module(self.target)
        ConvDrivers(module, self.tiling)
        return str(module)

    def forward(self, g: Windows, rows: int, channels: int, groups: int, x: tuple[int, int],
                threads: int = 1) -> ConvPlan:
        """Y (images, groups * rows, *out) of W (groups * rows, channels, taps), contiguous.

        Args:
            g: the geometry.
            rows, channels: outputs and inputs of one group.
            x: strides of X from group to group and from channel to channel.
        """
        t, size = self.tiling, itemsize(self.elem)
        found = table(g, t.nr, t.lanes)
        positions, k = math.prod(g.out), channels * len(g.taps)
        k_step = balanced_k(k, t.kc)
        sets, whole = -(-g.images // found.together), found.together * positions
        panels = -(-whole // t.nr)
        row_step, column_step = _round(rows, t.mr), min(panels, PANELS) * t.nr
        column_step = -(-panels // -(-panels // PANELS)) * t.nr if panels else column_step
        if threads > 1:
            row_step, column_step = self._smaller(rows, panels, sets * groups, row_step,
                                                  column_step, threads)
        by_columns = -(-whole // column_step)
        tasks = -(-rows // row_step) * by_columns * sets * groups
        panels_a, blocks = -(-rows // t.mr), -(-k // k_step)
        packed = 0
        if rows > 1:
            packed = groups * blocks * panels_a * (t.mr * k_step + t.lanes) * size
            packed = -(-packed // 64) * 64 + 64
        spare = 0
        if found.together > 1:
            spare = sets * groups * by_columns * column_step * rows * size + 64
        values = dict(self._values(g, found, rows, k, groups, x), k_step=k_step, row_step=row_step,
                      column_step=column_step)
        pack = [self._pack_weights(rows, k, k_step, groups, threads)] if rows > 1 else []
        chunks = 1 if threads == 1 else min(tasks, 16 * threads)
        main = GemmRow("conv_forward", self._block(values), chunks, self._at("conv_forward"))
        return ConvPlan([*pack, main], packed + spare, found, column_step >= whole, packed)

    def _smaller(self, rows: int, panels: int, count: int, row_step: int, column_step: int,
                 threads: int) -> tuple[int, int]:
        """Smaller tasks where there are too few for the threads."""
        t = self.tiling
        wide = column_step // t.nr
        while wide > 1 and count * -(-panels // wide) < 4 * threads:
            wide -= 1
        tasks = count * -(-panels // wide)
        pieces = min(-(-rows // t.mr), max(1, -(-4 * threads // tasks)))
        return _round(-(-rows // pieces), t.mr), wide * t.nr

    def _pack_weights(self, rows: int, k: int, k_step: int, groups: int, threads: int) -> GemmRow:
        words = [0] * len(GEMM_SLOT)
        for name, value in (("m", rows), ("k", k), ("batch", groups), ("batch1", 1),
                            ("a_row", k), ("a_col", 1), ("a_batch0", rows * k), ("k_end", k),
                            ("k_step", k_step)):
            words[GEMM_SLOT[name]] = value
        units = groups * -(-rows // (A_UNIT * self.tiling.mr))
        chunks = min(4 * threads, units) if threads > 1 and rows * k * groups > LARGE else 1
        return GemmRow("gemm_pack", words, chunks, self.product.addresses.get("gemm_pack", 0))

    def weight(self, g: Windows, rows: int, channels: int, groups: int, x: tuple[int, int],
               parts: int, threads: int = 1) -> ConvPlan:
        """W (parts, groups * rows, channels, taps) of X and Y (images, groups * rows, *out); see
        :meth:`forward`."""
        t = self.tiling
        found = table(g, t.nr, t.lanes)
        positions, k = math.prod(g.out), channels * len(g.taps)
        whole, set_step, step = found.together * positions, 1, 0
        if whole <= t.kc:
            set_step, step = t.kc // whole, whole
        else:
            step = _round(-(-whole // -(-whole // t.kc)), t.lanes)
        panels = -(-k // t.nr)
        wide = min(panels, PANELS)
        if threads > 1:
            while wide > 1 and parts * groups * -(-panels // wide) < 4 * threads:
                wide -= 1
        column_step = -(-panels // -(-panels // wide)) * t.nr
        tasks = -(-panels * t.nr // column_step) * groups * parts
        values = dict(self._values(g, found, rows, k, groups, x), column_step=column_step,
                      parts=parts, set_step=set_step, position_step=step)
        chunks = 1 if threads == 1 else min(tasks, 16 * threads)
        main = GemmRow("conv_weight", self._block(values), chunks, self._at("conv_weight"))
        return ConvPlan([main], 0, found, True)

    def _values(self, g: Windows, found: Table, rows: int, k: int, groups: int,
                x: tuple[int, int]) -> dict[str, int]:
        return {"rows": rows, "k": k, "taps": len(g.taps), "images": g.images,
                "positions": math.prod(g.out), "groups": groups, "together": found.together,
                "table": found.words.ctypes.data, "entries": found.entries, "x_image": g.steps[0],
                "x_group": x[0], "x_channel": x[1]}

    def _block(self, values: dict[str, int]) -> list[int]:
        return [values.get(s, 0) for s in SLOTS]

    def _at(self, name: str) -> int:
        return self.addresses.get(name, 0)


def _round(n: int, unit: int) -> int:
    return -(-n // unit) * unit


@cache
def _kernel(dtype: str, product: GemmKernel, target: HostTarget) -> ConvKernel:
    return ConvKernel(dtype, product, target)


def conv(dtype: str, product: GemmKernel) -> ConvKernel:
    """The kernels for an element type on the current host (made once)."""
    return _kernel(dtype, product, host())
