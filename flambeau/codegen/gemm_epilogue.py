"""What is done with the elements of C before they leave the cache.

An epilogue is a small function of its own that the multiplication calls by address on every part
of C it completes, panel by panel. So the large multiplication kernels are compiled once per
machine, and a new epilogue costs a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable

from flambeau.codegen.emit import Function, Module, Value
from flambeau.codegen.emit_types import element, vector
from flambeau.codegen.gemm_drive import EPILOGUE_PARAMS


class Place:
    """Where the vector given to an epilogue lies: ``lanes`` elements of one row of C.

    Attributes:
        f: the function being written.
        batch, row, column: i64 indices of the first element.
        lanes: elements (1 in the remainder of a row on hosts without masked instructions).
        mask: which lanes exist; None: all.
    """

    def __init__(self, f: Function, batch: Value, row: Value, column: Value, lanes: int,
                 mask: Value | None):
        self.f, self.batch, self.row, self.column = f, batch, row, column
        self.lanes, self.mask = lanes, mask

    def arg(self, index: int, t: str = "i64") -> Value:
        """Entry ``index`` of the epilogue's own argument block."""
        return self.f.arg(index, t)

    def load(self, p: Value, elem: str, offset=None) -> Value:
        """``lanes`` elements at ``p + offset`` (default: the column, as for a bias along N)."""
        f = self.f
        at = f.gep(p, self.column if offset is None else offset, elem)
        t = vector(elem, self.lanes)
        return f.load(at, t) if self.mask is None else f.load_masked(at, self.mask, t)

    def store(self, x: Value, p: Value, offset=None) -> None:
        """Write a vector of ``lanes`` elements to ``p + offset`` (default: the column)."""
        f = self.f
        at = f.gep(p, self.column if offset is None else offset, element(x.type))
        if self.mask is None:
            f.store(x, at)
        else:
            f.store_masked(x, at, self.mask)


Hook = Callable[[Function, Value, Place], Value]


def write_epilogue(module: Module, name: str, elem: str, hook: Hook) -> None:
    """Write ``void name(args, c, c_row, batch, row0, row1, col0, col1)`` into a module.

    Args:
        elem: LLVM type of C's elements.
        hook: receives the builder, a vector of C and its :class:`Place`; returns the new vector (of
            the same type), and may store other results itself.
    """
    f = module.function(name, EPILOGUE_PARAMS)
    _, c, c_row, batch, row0, row1, col0, col1 = f.args
    host = module.host
    size = 8 if elem == "double" else 4
    lanes = host.lanes(size)

    def apply(row: Value, column: Value, count: int, mask: Value | None) -> None:
        place = Place(f, batch, row, column, count, mask)
        at = row * c_row + column
        place.store(hook(f, place.load(c, elem, at), place), c, at)

    whole = col0 + ((col1 - col0) & -lanes)
    with f.loop(row0, row1) as rows:
        with f.loop(col0, whole, lanes) as columns:
            apply(rows.i, columns.i, lanes, None)
        if host.has_masked:
            with f.if_(whole < col1):
                apply(rows.i, whole, lanes, f.lane_mask(col1 - whole, lanes))
        else:
            with f.loop(whole, col1) as columns:
                apply(rows.i, columns.i, 1, None)
