"""Convolutions as rows of a plan's table; the interpreter and plans run the same rows."""

from __future__ import annotations

import math
import threading
from typing import NamedTuple

import numpy as np

from ..base.flags import values as flags
from ..codegen.conv import ConvPlan
from ..kernel.windows import Windows
from ..ir.node import Prim
from ..schedule.conv import DTYPES, Conv
from . import kernels, team
from .aligned import empty

#: operations below which the calling thread works alone
SMALL_WORK = 500_000
#: stands for addresses that are looked for
_MARK = 1 << 52


class Row(NamedTuple):
    """A row: function, argument words, where addresses go (word, name, byte offset), chunks. An
    epilogue's arguments are given by roots, not names."""

    function: int
    words: list[int]
    places: list
    chunks: int


_NAMES = ("x", "w", "y", "workspace", "epilogue_args")


def rows(c: Conv, threads: int) -> tuple[list[Row], ConvPlan]:
    """The rows of a convolution, by the names of its operands; an epilogue's block of arguments
    comes first, as a row without function."""
    plan = _plan(c.dtype, c.windows, c.rows, c.channels, c.groups, c.x_steps, c.parts, threads)
    found = []
    epilogue, code, words, pointers = 0, c.kernel, c.words, c.pointers
    if c.flat is not None and plan.whole:
        code, words, pointers = c.flat
    if code is not None:
        epilogue = kernels.epilogue(code)
        found.append(Row(0, words, pointers, 0))
    plan.bind(_MARK, _MARK * 2, _MARK * 3, _MARK * 4, epilogue, _MARK * 5 if epilogue else 0)
    for row in plan.rows:
        args, places = row.args.tolist(), []
        for at, word in enumerate(args):
            if word >= _MARK:
                which, extra = divmod(word, _MARK)
                places.append((at, _NAMES[which - 1], extra))
        found.append(Row(row.function, args, places, row.chunks))
    return found, plan


def _plan(dtype: str, windows: Windows, outputs: int, channels: int, groups: int,
          x_steps: tuple[int, int], parts: int, threads: int) -> ConvPlan:
    kernel = kernels.convolution(dtype)
    if parts:
        return kernel.weight(windows, outputs, channels, groups, x_steps, parts, threads)
    return kernel.forward(windows, outputs, channels, groups, x_steps, threads)


# -- the interpreter -------------------------------------------------------------------------------

MAX_REMEMBERED = 256
_lock = threading.RLock()
_plans: dict[tuple, tuple[ConvPlan, np.ndarray]] = {}


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def run(prim: Prim, x: np.ndarray, other: np.ndarray, params: tuple,
        shape: tuple[int, ...]) -> np.ndarray | None:
    """A convolution of arrays; None: NumPy is to compute it."""
    if x.dtype.name not in DTYPES or 0 in shape or not x.size or not other.size:
        return None
    size = x.itemsize
    if x.shape[-1] > 1 and x.strides[-1] != size or any(s % size for s in x.strides):
        x = np.ascontiguousarray(x)
    other = np.ascontiguousarray(other)
    forward = prim.name == "correlate"
    out, taps, groups = params if forward else (other.shape[2:], *params[:2])
    parts = 0 if forward else params[2]
    channels, outputs = x.shape[1] // groups, shape[1] // groups
    steps = tuple(s // size for s in x.strides)
    key = (x.dtype, forward, out, taps, groups, parts, x.shape, steps, outputs, flags.threads,
           flags.vector)
    with _lock:
        found = _plans.get(key)
        if found is None:
            work = x.shape[0] * math.prod(out) * outputs * groups * channels * len(taps)
            plan = _plan(x.dtype.name, Windows(taps, out, x.shape[3:], (steps[0], *steps[2:]),
                                               x.shape[0]), outputs, channels, groups,
                         (channels * steps[1], steps[1]), parts,
                         team.threads() if work >= SMALL_WORK else 1)
            table = np.array([n for r in plan.rows for n in (r.function, _address(r.args),
                                                             r.chunks)], np.int64)
            while len(_plans) >= MAX_REMEMBERED:
                _plans.pop(next(iter(_plans)))
            found = _plans[key] = plan, table
        plan, table = found
        result = empty(shape, x.dtype)
        room = np.empty(plan.workspace_bytes + 64, np.uint8)
        w, y = (other, result) if forward else (result, other)
        plan.bind(_address(x), _address(w), _address(y), _address(room) + -_address(room) % 64)
        runner = team.run_small if max(r.chunks for r in plan.rows) == 1 else team.run
        runner(_address(table), len(plan.rows))
    return result
