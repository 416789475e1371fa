"""Compiled code for single nodes: what NumPy would compute with other last bits than a kernel.

The interpreter calls NumPy where NumPy is exact (``+ - * / sqrt``, comparisons, integers) and this
module for the rest: products, sums and functions such as exp. The same generators write a node's
code here and as a part of a plan's kernel, and the order in which sums add up is a rule about sizes
(:mod:`flambeau.kernel.sums`), so a structure gives the same bits the first time, when it is
interpreted, and later, when it is compiled.

A kernel has no sizes in it: one for each function and dtype, made once per machine and then read
from disk.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..base import dtype as dt
from ..base import shape as sh
from ..base.flags import values as flags
from ..codegen.gemm import GemmPlan
from ..codegen.loops_memory import NoVectorForm
from ..graph.access import whole
from ..ir.node import Prim
from ..kernel.ir import INNER, OUTER, Buffer, Kernel, Section
from ..kernel.sums import (CASCADE, DEEP, PLAIN, Kind, Runs, accumulator, along, column_border,
                           kind_of, order_of, parts_of, reduced_runs)
from ..schedule.assemble import ADDED
from ..schedule.build import SCRATCH_LANES
from ..schedule.compile import chunks_of
from ..schedule.group import DOT_DTYPES
from ..schedule.positions import places_of
from . import kernels, team
from .aligned import empty

_FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))
#: operations below which the calling thread works alone
SMALL_WORK = 500_000
#: reductions and products whose arguments are remembered
MAX_REMEMBERED = 1024

_lock = threading.RLock()
#: what was made, by what is computed; the host's vectors (a flag) are part of each key
_functions: dict[tuple, _Function | None] = {}
_reductions: dict[tuple, list[_Fold]] = {}
_products: dict[tuple, _Product] = {}


# -- running kernels ------------------------------------------------------------------------------


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class _Function:
    """A loop kernel.

    Args:
        address: of its machine code.
        count: words of its argument block.
    """

    __slots__ = ("address", "block", "call")

    def __init__(self, address: int, count: int):
        self.address, self.block = address, ctypes.c_int64 * count
        # keeps the interpreter lock: this is for short calls
        self.call = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64,
                                      ctypes.c_int64)(address)

    def run(self, words: Sequence[int], units: int, work: int) -> None:
        """Run it in at most ``units`` chunks; ``words`` is the argument block."""
        block = self.block(*words)
        if work < SMALL_WORK:
            self.call(block, 0, 1)
            return
        chunks = chunks_of(units, work, team.threads())
        table = (ctypes.c_int64 * 3)(self.address, ctypes.addressof(block), chunks)
        team.run(ctypes.addressof(table), 1)


def _remember(cache: dict, key: tuple, value):
    with _lock:
        while len(cache) >= MAX_REMEMBERED:
            cache.pop(next(iter(cache)))
        cache[key] = value
    return value


# -- elementwise functions ------------------------------------------------------------------------


def elementwise(prim: Prim, arrays: list[np.ndarray], params: tuple, shape: tuple[int, ...],
                dtype: dt.dtype) -> np.ndarray | None:
    """A function of float arrays that are 0-d or of ``shape``; None: NumPy is to compute it."""
    if prim.llvm is None or 0 in shape:
        return None
    kinds = [a.dtype for a in arrays]
    single = [not a.ndim and shape != () for a in arrays]
    key = (prim, params, dtype, flags.vector, *kinds, *single)
    try:
        function = _functions[key]
    except KeyError:
        function = _functions[key] = _function(prim, params, dtype, kinds, single)
    if function is None:
        return None
    size = math.prod(shape)
    out = empty(shape, dtype.np)
    words = [size]
    arrays = [a if a.flags.c_contiguous else np.ascontiguousarray(a) for a in arrays]
    words.extend(map(_address, arrays))
    words.append(_address(out))
    function.run(words, -(-size // SCRATCH_LANES), 16 * size)
    return out


def _function(prim: Prim, params: tuple, dtype: dt.dtype, kinds: Sequence[np.dtype],
              single: Sequence[bool]) -> _Function | None:
    """A function's kernel; None if it has none."""
    names = [dt.from_numpy(kind).name for kind in kinds]
    if not _FLOATS.issuperset(names) or dtype.name not in (*_FLOATS, "bool"):
        return None
    count = len(names)
    buffers = [Buffer(name, (0 if one else 1,), "in")
               for name, one in zip(names, single, strict=True)]
    body = [*[("load", n, n) for n in range(count)],
            ("op", count, prim.name, params, tuple(range(count)), dtype.name),
            ("store", count, count)]
    kernel = Kernel(1, 0, OUTER, False, PLAIN, (*buffers, Buffer(dtype.name, (1,), "out")),
                    (Section("row", tuple(body)),))
    try:
        return _Function(kernels.loop(kernel), count + 2)
    except NoVectorForm:
        return None


# -- reductions -----------------------------------------------------------------------------------


class _Fold(NamedTuple):
    """One kernel of a reduction: its function, words, and which of them are the addresses."""

    function: _Function
    words: list[int]
    source: int
    target: int
    size: int
    units: int
    work: int


def reduce(prim: Prim, x: np.ndarray, axes: tuple[int, ...], dtype: dt.dtype) -> np.ndarray | None:
    """A reduction of a float array over sorted ``axes``; None: NumPy is to compute it."""
    if prim.fold is None or dtype.name not in _FLOATS or not x.size:
        return None
    wide = accumulator(dtype)
    if x.dtype != wide.np or not x.flags.c_contiguous:
        x = np.asarray(x, wide.np, order="C")  # ascontiguousarray would add an axis to a 0-d one
    key = (prim, wide, x.shape, axes, flags.vector)
    steps = _reductions.get(key)
    if steps is None:
        steps = _remember(_reductions, key, _folds(prim, wide, x.shape, axes))
    shape = tuple(n for k, n in enumerate(x.shape) if k not in axes)
    if not steps:
        return x.reshape(shape).astype(dtype.np)
    out = x
    for step in steps:
        source, out = out, np.empty(step.size, wide.np)
        words = step.words.copy()
        words[step.source], words[step.target] = _address(source), _address(out)
        step.function.run(words, step.units, step.work)
    out = out.reshape(shape)
    return out if wide is dtype else out.astype(dtype.np)


def _folds(prim: Prim, dtype: dt.dtype, shape: tuple[int, ...],
           axes: tuple[int, ...]) -> list[_Fold]:
    runs = reduced_runs(shape, axes)
    total = math.prod(shape)
    rows = total // math.prod(n for _, n in runs)
    if not runs:
        return []
    kind = kind_of(prim.name, dtype, total)
    parts = parts_of(total, rows, runs, kind)
    lanes = INNER if along(runs, rows, kind) == "inner" else OUTER
    steps = [_fold(prim, dtype, total, rows, runs, parts, lanes,
                   order_of(lanes, runs, parts, kind), kind)]
    if parts > 1:
        lanes = INNER if rows == 1 else OUTER
        steps.append(_fold(prim, dtype, parts * rows, rows, ((rows, parts),), 1, lanes, PLAIN,
                           kind))
    return steps


def _fold(prim: Prim, dtype: dt.dtype, total: int, rows: int, runs: Runs, parts: int, lanes: str,
          order: str, kind: Kind | None) -> _Fold:
    """The kernel ``schedule/build.py`` would make for this reduction alone."""
    outer, at = [], 1  # (step, size) of what stays, innermost first
    for step, size in reversed(runs):
        if step > at:
            outer.append((at, step // at))
        at = step * size
    if at < total:
        outer.append((at, total // at))
    outer.reverse()
    kept = [n for _, n in outer]
    steps = [s for s, _ in (*outer, *runs)]
    target = [*sh.contiguous_strides(kept), *[0] * len(runs)]
    if parts > 1:
        steps.insert(0, 0)
        target.insert(0, rows)
    words = [*kept, *[n for _, n in runs], *([parts] if parts > 1 else [])]
    buffers, places = [], []
    for role, mine in (("in", steps), ("out", target)):
        classes = tuple(s if s in (0, 1) else 2 for s in mine)
        buffers.append(Buffer(dtype.name, classes, role))
        places.append(len(words))
        words += [0, *[s for s, c in zip(mine, classes, strict=True) if c == 2]]
    sections = [Section("loop", (("load", 0, 0), ("fold", 1, prim.name, 0, dtype.name))),
                Section("row", (("store", 1, 1),))]
    if lanes == OUTER and order in (CASCADE, DEEP) and kind is not None:
        columns, border = column_border(runs, kind)
        mine = [s if s < columns else 0 for s in steps[:len(outer)]] + [0] * len(runs)
        classes = tuple(s if s in (0, 1) else 2 for s in mine)
        buffers.append(Buffer("int64", classes, "index"))
        words += [-border, *[s for s, c in zip(mine, classes, strict=True) if c == 2]]
        sections[0] = Section("loop", (("order", 2), *sections[0].body))
        sections.insert(0, Section("row", (("load", 2, 2),)))
    kernel = Kernel(len(outer), len(runs), lanes, parts > 1, order, tuple(buffers),
                    tuple(sections))
    units = math.prod(kept) if lanes == INNER else \
        math.prod(kept[:-1]) * -(-kept[-1] // SCRATCH_LANES)
    source, result = places
    return _Fold(_Function(kernels.loop(kernel), len(words)), words, source, result, parts * rows,
                 units * parts, 3 * total)


# -- positions ------------------------------------------------------------------------------------


def put(prim: Prim, arrays: list[np.ndarray], params: tuple, dtype: dt.dtype) -> np.ndarray | None:
    """index_put or scatter; None: NumPy is to do it (and to raise what there is to raise)."""
    if len(arrays) != 3 or dtype.name not in ADDED or not arrays[0].ndim:
        return None
    base, source, index = arrays if prim.name == "index_put" else (arrays[0], arrays[2], arrays[1])
    source, index = (x if x.flags.c_contiguous else np.ascontiguousarray(x)
                     for x in (source, index))
    p = places_of(prim.name, params, base.shape, whole(0, index.shape), whole(0, source.shape))
    if p is None or source.dtype != dtype.np or index.min() < 0 or index.max() >= p.size:
        return None
    out = np.array(base, order="C")
    words = p.words
    words[4:7] = map(_address, (source, index, out))
    _putter(dtype.name, dt.from_numpy(index.dtype).name, p.mode).run(words, p.units, p.work)
    return out


@lru_cache(maxsize=64)
def _putter(dtype: str, index: str, mode: str) -> _Function:
    return _Function(kernels.scatter(dtype, index, mode), 13)


# -- products -------------------------------------------------------------------------------------


class _Product(NamedTuple):
    plan: GemmPlan
    table: np.ndarray
    chunks: int


def dot(a: np.ndarray, b: np.ndarray, dtype: dt.dtype, adjacent: bool | None = None,
        turned: bool = False) -> np.ndarray | None:
    """a [.., m, k] @ b [.., k, n] with equal batch axes; None: NumPy is to compute it.

    Args:
        dtype: of the operands and the result.
        adjacent: whether the program's operands have neighbours along k (which decides in what
            order the product adds up), if that is not to be seen from the arrays.
        turned: the program's product is the transpose of this one.
    """
    (m, k), n = a.shape[-2:], b.shape[-1]
    if dtype.name not in DOT_DTYPES or not a.size or not b.size:
        return None
    size = a.itemsize
    if adjacent is None:
        adjacent = a.strides[-1] == size == b.strides[-2]
    if adjacent and a.strides[-1] != size:
        a = np.ascontiguousarray(a)
    if adjacent and b.strides[-2] != size:
        b = np.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2)
    wide = accumulator(dtype)
    out = empty((*a.shape[:-2], m, n), wide.np)
    key = (dtype, a.shape, n, a.strides, b.strides, adjacent, turned, flags.threads, flags.vector)
    with _lock:
        found = _products.get(key)
        if found is None:
            first, second = _readable(a), _readable(b)
            found = _product(dtype.name, wide.name, first, second, m, n, k, adjacent, turned)
            if first is a and second is b:
                _remember(_products, key, found)
            a, b = first, second
        plan = found.plan
        room = np.empty(plan.workspace_bytes + 64, np.uint8) if plan.workspace_bytes else None
        workspace = 0 if room is None else _address(room) + -_address(room) % 64
        plan.bind(_address(a), _address(b), _address(out), workspace)
        run = team.run_small if found.chunks == 1 else team.run
        run(_address(found.table), len(plan.rows))
    return out if wide is dtype else out.astype(dtype.np)


def _readable(x: np.ndarray) -> np.ndarray:
    """An array whose strides are whole elements and whose batch axes are at most two."""
    moving = sum(n != 1 for n in x.shape[:-2])
    if any(s % x.itemsize for s in x.strides):
        x = np.ascontiguousarray(x)
    if moving <= 2:
        return x
    flat = (math.prod(x.shape[:-3]), *x.shape[-3:])
    if not x.flags.c_contiguous and x.swapaxes(-1, -2).flags.c_contiguous:
        return x.swapaxes(-1, -2).reshape(*flat[:-2], flat[-1], flat[-2]).swapaxes(-1, -2)
    return np.ascontiguousarray(x).reshape(flat)


def _product(source: str, wide: str, a: np.ndarray, b: np.ndarray, m: int, n: int, k: int,
             adjacent: bool, turned: bool) -> _Product:
    kernel = kernels.product(wide, source)
    count = math.prod(a.shape[:-2])
    lead, fast = _batch_axes(a.shape[:-2])
    strides = [tuple(s // x.itemsize for s in x.strides) for x in (a, b)]
    batches = [_batch_strides(x.shape[:-2], s[:-2]) for x, s in zip((a, b), strides, strict=True)]
    rows, columns = (n, m) if turned else (m, n)
    plan = kernel.plan(
        m, n, k, a=_last_two(strides[0], 1), b=_last_two(strides[1], 1), c=n, batch=(lead, fast),
        a_batch=batches[0], b_batch=batches[1], c_batch=(fast * m * n, m * n),
        dotted=kernel.dotted(rows, columns, k, count, adjacent), turned=turned,
        threads=team.threads() if count * m * n * k >= SMALL_WORK else 1)
    table = np.array([x for r in plan.rows for x in (r.function, _address(r.args), r.chunks)],
                     np.int64)
    return _Product(plan, table, max(r.chunks for r in plan.rows))


def _batch_axes(shape: tuple[int, ...]) -> tuple[int, int]:
    return _last_two([n for n in shape if n != 1], 1)


def _batch_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, int]:
    return _last_two([s for n, s in zip(shape, strides, strict=True) if n != 1], 0)


def _last_two(values: Sequence[int], missing: int) -> tuple[int, int]:
    first, second = (missing, missing, *values)[-2:]
    return first, second
