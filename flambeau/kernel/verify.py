"""Checks that a kernel is well formed; run before code generation with ``FLAMBEAU_VERIFY=1``."""

from __future__ import annotations

from ..base import dtype as dt
from ..base.errors import InternalError
from ..ir.node import PRIMS, OpClass
from .ir import INNER, OUTER, Kernel, axis_count
from .sums import ORDERS

ROLES = ("in", "out", "scratch", "index", "column", "take")


class KernelError(InternalError):
    """A malformed kernel; names the check."""


def _fail(check: str, text: str) -> None:
    raise KernelError(f"{check}: {text}")


def check_axes(k: Kernel) -> None:
    """Lanes run along an axis that exists; only inner axes can be divided."""
    if k.lanes not in (OUTER, INNER):
        _fail("check_axes", f"lanes {k.lanes!r}")
    if (k.outer if k.lanes == OUTER else k.inner) < 1:
        _fail("check_axes", f"no {k.lanes} axis for the lanes")
    if k.split and not k.inner:
        _fail("check_axes", "a divided reduction needs an inner axis")
    if k.order not in ORDERS:
        _fail("check_axes", f"no order {k.order!r}")


def check_buffers(k: Kernel) -> None:
    """Roles, dtypes and one step for each axis."""
    for n, b in enumerate(k.buffers):
        if b.role not in ROLES or b.dtype not in dt.BY_NAME:
            _fail("check_buffers", f"b{n} is {b.role} {b.dtype}")
        if len(b.steps) != axis_count(k) or any(s not in (0, 1, 2) for s in b.steps):
            _fail("check_buffers", f"b{n} has steps {b.steps} for {axis_count(k)} axes")


def _uses(i: tuple) -> tuple[int, ...]:
    if i[0] == "op":
        return i[4]
    return {"load": (), "take": i[3:4], "fold": i[3:4], "column": i[3:4], "store": i[2:3],
            "order": i[1:2]}[i[0]]


def check_values(k: Kernel) -> None:
    """Each value is defined once, before its uses; loop values are used in their own section."""
    row: set[int] = set()
    seen: set[int] = set()
    for s in k.sections:
        here = set(row) if s.level == "loop" else row
        folds: set[int] = set()
        for i in s.body:
            for v in _uses(i):
                if v not in here:
                    _fail("check_values", f"v{v} is not known in this {s.level} section: {i}")
            if i[0] in ("store", "column", "order"):
                continue
            if i[1] in seen:
                _fail("check_values", f"v{i[1]} is defined twice")
            seen.add(i[1])
            (folds if i[0] == "fold" else here).add(i[1])
        row |= folds


def check_levels(k: Kernel) -> None:
    """Folds stand in loop sections; rows do not touch what moves along inner axes."""
    first = k.split + k.outer
    for s in k.sections:
        for i in s.body:
            if s.level == "row":
                if i[0] in ("fold", "column"):
                    _fail("check_levels", f"a fold in a row section: {i}")
                n = i[2] if i[0] in ("load", "take") else i[1] if i[0] == "store" else None
                if n is not None and any(k.buffers[n].steps[first:]):
                    _fail("check_levels", f"b{n} moves along inner axes, used in a row section")


def check_prims(k: Kernel) -> None:
    """Primitives exist, elementwise ones have an LLVM rule, folds an identity."""
    for s in k.sections:
        for i in s.body:
            if i[0] not in ("op", "fold", "column"):
                continue
            prim = PRIMS.get(i[2])
            if prim is None:
                _fail("check_prims", f"no primitive {i[2]!r}")
            elif i[0] == "op" and prim.llvm is None:
                _fail("check_prims", f"{i[2]} has no LLVM rule")
            elif i[0] != "op" and (prim.cls is not OpClass.REDUCE or prim.fold is None):
                _fail("check_prims", f"{i[2]} is no reduction with an identity")


def check_stores(k: Kernel) -> None:
    """What is written is not an input, and every kernel writes something."""
    stores = [i[1] for s in k.sections for i in s.body if i[0] == "store"]
    for n in stores:
        if k.buffers[n].role not in ("out", "scratch"):
            _fail("check_stores", f"b{n} is {k.buffers[n].role} and is written")
    columns = any(i[0] == "column" for s in k.sections for i in s.body)
    if not columns and not any(k.buffers[n].role == "out" for n in stores):
        _fail("check_stores", "nothing is written")


CHECKS = (check_axes, check_buffers, check_values, check_levels, check_prims, check_stores)


def verify(kernel: Kernel) -> None:
    """Run every check.

    Raises:
        KernelError: one of them fails.
    """
    for check in CHECKS:
        check(kernel)
