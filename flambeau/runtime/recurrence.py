"""Recurrent layers as rows of a plan's table: packing the weights, then all steps.

The interpreter and plans run the same rows (:func:`run`, :func:`rows`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..base import dtype as dt
from ..base import shape as sh
from ..codegen.gemm_drive import SLOT
from ..codegen.recurrence import HEAD, PATCH_WORDS, ROOM, ROW_WORDS
from ..schedule.compile import chunks_of
from ..schedule.recurrence import LEAST, Part, Patch, Product, Recurrence, operand_names
from ..schedule.recurrence import recurrence_of
from . import kernels, team

#: names of addresses beside those of operands
WORKSPACE, BLOCK = "workspace", "block"


class Row(NamedTuple):
    """A row: function, argument words, where addresses go (word, name, byte offset), chunks."""

    function: int
    words: list[int]
    places: list[tuple[int, str, int]]
    chunks: int


class _Piece(NamedTuple):
    """A row of a step: its function and arguments, as in ``schedule/recurrence.py``."""

    function: int
    words: list[int]
    places: list[tuple[int, str, int]]
    patches: list[Patch]


def rows(r: Recurrence, threads: int) -> tuple[list[Row], int]:
    """The rows of a recurrence, and the bytes of workspace they need."""
    found: list[Row] = []
    workspace = 0

    def piece(part: Part | Product) -> _Piece:
        nonlocal workspace
        if isinstance(part, Part):
            return _Piece(kernels.loop(part.kernel), part.words, part.places, part.patches)
        pack, one, workspace = _product(r, part)
        found.append(pack)
        return one

    once = [piece(p) for p in r.once]
    pieces = [*once, *map(piece, r.body)]
    units = -(-r.sequences // LEAST)
    words, places = _block(r, pieces, len(once))
    found.append(Row(kernels.recurrence(), words, places, chunks_of(units, r.work, threads)))
    return found, workspace


def _block(r: Recurrence, pieces: list[_Piece],
           once: int) -> tuple[list[int], list[tuple[int, str, int]]]:
    """The argument block of the loop over time: see ``codegen/recurrence.py``."""
    table = HEAD + ROW_WORDS * len(pieces)
    begin = table + 2 * len(r.steps)
    end = begin + sum(len(p.words) for p in pieces)
    assert end - begin <= ROOM, "a cell has more arguments than the loop over time has room for"
    words = [len(r.steps), r.sequences, LEAST, once, len(pieces), table, begin, end, 0]
    places: list[tuple[int, str, int]] = []
    patches: list[int] = []
    at, patched = begin, end
    for p in pieces:
        words += (p.function, patched, len(p.patches), at - begin)
        for word, *factors in p.patches:
            patches += (at - begin + word, at + word, *factors)
        for word, name, offset in p.places:
            if name == "zero":
                name, offset = BLOCK, 8 * (HEAD - 1)
            places.append((at + word, name, offset))
        at += len(p.words)
        patched += PATCH_WORDS * len(p.patches)
    for step in r.steps:
        words.extend(step)
    for p in pieces:
        words += p.words
    return words + patches, places


def _product(r: Recurrence, p: Product) -> tuple[Row, _Piece, int]:
    """The row that packs the weights, the product of a step, and the workspace's bytes."""
    kernel = kernels.product(r.dtype, r.dtype)
    plan = kernel.plan(r.sequences, p.n, p.k, a=(p.a[2], 1), b=p.b_strides, c=p.c[2],
                       accumulate=p.accumulate, mode="shared_b")
    if len(plan.rows) != 2:
        raise NotImplementedError(f"a recurrent layer with weights of {p.k} by {p.n} elements")
    pack, multiply = plan.rows
    plan.bind(0, 0, 0)
    words = multiply.args.tolist()
    packed = words[SLOT["packed_b"]]
    step_words = words.copy()
    step_words[SLOT["m"]] = 0
    size = dt.BY_NAME[r.dtype].itemsize
    first = Row(pack.function, words, [(SLOT["b"], "w", 0), (SLOT["packed_b"], WORKSPACE, packed)],
                1)
    patches = [Patch(SLOT["m"], 0, 0, 1)]
    places = [(SLOT["packed_b"], WORKSPACE, packed)]
    for slot, (name, offset, pitch), moves in (("a", p.a, p.a_moves), ("c", p.c, not p.a_moves)):
        step = pitch * size
        patches.append(Patch(SLOT[slot], step, step if moves else 0, 0))
        places.append((SLOT[slot], name, offset))
    return first, _Piece(multiply.function, step_words, places, patches), plan.workspace_bytes


def run(prim: str, params: tuple, arrays: list[np.ndarray], shape: tuple[int, ...],
        dtype: dt.dtype) -> np.ndarray:
    """A recurrence of arrays, computed now."""
    arrays = [np.ascontiguousarray(a) for a in arrays]
    shapes = [a.shape for a in arrays]
    r = recurrence_of(prim, params, shapes, list(map(sh.contiguous_strides, shapes)), dtype.name,
                      dtype.itemsize)
    found, need = rows(r, team.threads())
    out, room = np.empty(shape, dtype.np), np.empty(need + 64, np.uint8)
    at = {n: _address(a) for n, a in zip(operand_names(prim, params[0], len(arrays)), arrays,
                                         strict=True)}
    at["out"], at["state"] = _address(out), _address(out) + r.state
    at[WORKSPACE] = _address(room) + -_address(room) % 64
    blocks = [np.array(row.words, np.int64) for row in found]
    for row, block in zip(found, blocks, strict=True):
        at[BLOCK] = _address(block)
        for word, name, offset in row.places:
            block[word] = at[name] + offset
    table = np.array([x for row, block in zip(found, blocks, strict=True)
                      for x in (row.function, _address(block), row.chunks)], np.int64)
    start = team.run_small if all(row.chunks == 1 for row in found) else team.run
    start(_address(table), len(found))
    return out


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def plan_rows(r: Recurrence, threads: int) -> Iterator[tuple]:
    """:func:`rows` as a plan wants them: function, words, places by root, chunks."""
    for row in rows(r, threads)[0]:
        places = []
        for word, name, offset in row.places:
            root, start = r.roots.get(name, (name, 0))
            places.append((word, root, start + offset))
        yield row.function, row.words, places, row.chunks
