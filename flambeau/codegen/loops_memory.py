"""What loops do with memory and values: argument blocks, addresses, loads, stores, primitives.

The loop generator (``loops.py``) decides where code runs; this is what it writes there.
"""

from __future__ import annotations

import math

from ..base import dtype as dt
from ..ir.node import PRIMS
from ..kernel.ir import INDEXED, OUTER, Kernel, argument_words
from .emit import Function, Value
from .emit_types import ELEMENT, itemsize, vector
from .emit_types import lanes as lanes_in
from .scalar import Scalar, ScalarBuilder, memory_type, register_type


class NoVectorForm(NotImplementedError):
    """A primitive that has no LLVM rule for these dtypes; it must run by NumPy.

    Attributes:
        prim: the primitive's name.
        dtypes: names of the operands' dtypes.
    """

    def __init__(self, prim: str, dtypes: tuple[str, ...], why: str):
        super().__init__(f"{prim} of {', '.join(dtypes)}: {why}")
        self.prim, self.dtypes = prim, dtypes


class Lanes:
    """The vectors a section's code is written for at one place.

    Attributes:
        width: lanes of each; 1 for scalar code.
        copies: how many vectors.
        mask: lanes that exist, None for all.
        at: position of the first lane along the lane axis, None outside a lane loop.
    """

    __slots__ = ("at", "copies", "mask", "width")

    def __init__(self, width: int, copies: int, mask: Value | None, at: Value | None):
        self.width, self.copies, self.mask, self.at = width, copies, mask, at


class Memory:
    """A kernel being written: its arguments, and instructions that touch memory or values."""

    def __init__(self, kernel: Kernel, f: Function):
        self.k, self.f = kernel, f
        self.builders: dict[int, ScalarBuilder] = {}
        self.host = f.module.host
        self.dtypes = self._value_dtypes()
        self.hoisted: dict[int, Value] = {}  # scalar loads that never move
        self._arguments()

    def _value_dtypes(self) -> dict[int, str]:
        out = {}
        for s in self.k.sections:
            for i in s.body:
                if i[0] == "load":
                    b = self.k.buffers[i[2]]
                    out[i[1]] = "int64" if b.role == "index" else b.dtype
                elif i[0] == "take":
                    out[i[1]] = self.k.buffers[i[2]].dtype
                elif i[0] not in ("store", "column", "order"):
                    out[i[1]] = i[-1]
        return out

    # -- arguments -------------------------------------------------------------------------------

    def _arguments(self) -> None:
        f, k = self.f, self.k
        self.sizes: dict[int, Value] = {}
        self.pointer: list[Value] = []
        self.steps: dict[tuple[int, int], Value] = {}
        self.index_step: dict[int, Value] = {}
        self.parts = f.const(1, "i64")
        chunk_bytes = {}
        for word, what in enumerate(argument_words(k)):
            if what[0] == "size":
                self.sizes[what[1]] = f.arg(word)
            elif what[0] == "parts":
                self.parts = f.arg(word)
            elif what[0] == "pointer":
                index = k.buffers[what[1]].role == "index"
                self.pointer.append(f.arg(word) if index else f.arg(word, "ptr"))
            elif what[0] == "step":
                self.steps[what[1], what[2]] = f.arg(word)
            elif what[0] == "bytes":
                chunk_bytes[what[1]] = f.arg(word)
            else:
                self.index_step[what[1]] = f.arg(word)
        for n, size in chunk_bytes.items():
            self.pointer[n] = f.gep(self.pointer[n], size * f.args[1])
        self._clear_columns(chunk_bytes)
        for n, b in enumerate(k.buffers):
            if b.role == "in" and not any(b.steps):
                self.hoisted[n] = self._read(b.dtype, self.pointer[n], 1, None)

    def _clear_columns(self, chunk_bytes: dict[int, Value]) -> None:
        """Set the chunk's running values of folds over outer axes to the identity."""
        f = self.f
        for s in self.k.sections:
            for i in s.body:
                if i[0] == "column":
                    d = dt.BY_NAME[i[4]]
                    x = self.builder(1).to_memory(Scalar(self._identity(i, 1), d))
                    with f.loop(0, chunk_bytes[i[1]] / d.itemsize) as loop:
                        f.store(x, f.gep(self.pointer[i[1]], loop.i, ELEMENT[i[4]]))

    def step(self, n: int, axis: int) -> Value | None:
        """The step of buffer ``n`` along an axis; None for 0."""
        c = self.k.buffers[n].steps[axis + self.k.split]
        if c == 0:
            return None
        return self.f.const(1, "i64") if c == 1 else self.steps[n, axis]

    def moved(self, n: int, place: Value, axis: int, index: Value) -> Value:
        """An address (or index value) after moving ``index`` along an axis."""
        step = self.step(n, axis)
        if step is None:
            return place
        by = index if self.k.buffers[n].steps[axis + self.k.split] == 1 else index * step
        return self.advance(n, place, by)

    def advance(self, n: int, place: Value, by: Value) -> Value:
        if self.k.buffers[n].role == "index":
            return place + by
        return self.f.gep(place, by, ELEMENT[self.k.buffers[n].dtype])

    # -- values ---------------------------------------------------------------------------------

    def builder(self, width: int) -> ScalarBuilder:
        found = self.builders.get(width)
        if found is None:
            found = self.builders[width] = ScalarBuilder(self.f, width)
        return found

    def apply(self, name: str, params: tuple, values: list[Value], kinds: list[str]) -> Value:
        """One primitive on operands, through its LLVM rule; an indexed one has the element's
        position as its last operand."""
        b = self.builder(max(lanes_in(v.type) for v in values))
        operands = [Scalar(v, dt.BY_NAME[k]) for v, k in zip(values, kinds, strict=True)]
        if name in INDEXED:
            position = operands.pop()
            b = ScalarBuilder(self.f, b.lanes, lambda: position.v)
        try:
            return PRIMS[name].llvm(b, *operands, *params).v
        except NotImplementedError as error:
            kinds = [o.dtype.name for o in operands]
            raise NoVectorForm(name, tuple(kinds), str(error)) from error
    def convert(self, x: Value, kind: str, fold: tuple) -> Value:
        """A fold's operand in the dtype it adds up in."""
        if kind == fold[4]:
            return x
        b = self.builder(lanes_in(x.type))
        return b.cast(Scalar(x, dt.BY_NAME[kind]), dt.BY_NAME[fold[4]]).v

    def widen(self, x: Value, width: int) -> Value:
        """A scalar in every lane."""
        return self.f.const(x, vector(x.type, width)) if x.type[0] != "<" and width > 1 else x

    def _combine(self, fold: tuple, a: Value, b: Value) -> Value:
        name, d = PRIMS[fold[2]].fold[1], fold[4]
        return self.apply(name, (), [a, b], [d, d])

    def _identity(self, fold: tuple, width: int, t: str | None = None) -> Value:
        value, d = PRIMS[fold[2]].fold[0], dt.BY_NAME[fold[4]]
        if math.isinf(value) and not d.is_floating_point:
            value = _extreme(d, value > 0)
        return self.f.const(value, t or register_type(d, width))

    # -- memory ----------------------------------------------------------------------------------

    def _lane_axis(self) -> int:
        return self.k.outer - 1 if self.k.lanes == OUTER else self.k.outer + self.k.inner - 1

    def _load(self, n: int, place: dict[int, Value], lanes: Lanes) -> list[Value]:
        b, f = self.k.buffers[n], self.f
        if n in self.hoisted:
            return [self.hoisted[n]]
        p, step = self._first_lane(n, place, lanes)
        if step is None or lanes.at is None:
            value = p if b.role == "index" else self._read(b.dtype, p, 1, None)
            return [value]
        unit = b.steps[self._lane_axis() + self.k.split] == 1
        out = []
        for c in range(lanes.copies):
            here = p if c == 0 else self.advance(n, p, step * (c * lanes.width))
            if b.role == "index":
                iota = f.iota(lanes.width, "i64")
                out.append(here + iota * step if lanes.width > 1 else here)
            elif unit or lanes.width == 1:
                out.append(self._read(b.dtype, here, lanes.width, lanes.mask))
            else:
                out.append(self._gather(b.dtype, here, step, lanes))
        return out

    def _take(self, n: int, index: list[Value], place: dict[int, Value],
              lanes: Lanes) -> list[Value]:
        """Read a table at integer positions: one for all lanes, or one for each."""
        b, f = self.k.buffers[n], self.f
        p, step = self._first_lane(n, place, lanes)
        elem, out = ELEMENT[b.dtype], []
        moves = lanes.at is not None and step is not None
        for c in range(lanes.copies):
            by = f.convert(index[c], "i64") * self.index_step[n]
            here = p if c == 0 or not moves else self.advance(n, p, step * (c * lanes.width))
            if lanes_in(by.type) > 1:
                offsets = by + f.iota(lanes.width, "i64") * step if moves else by
                out.append(f.gather(here, offsets, elem, lanes.mask))
                continue
            here = f.gep(here, by, elem)
            if not moves:
                out.append(self._read(b.dtype, here, 1, None))
            elif lanes.width == 1 or b.steps[self._lane_axis() + self.k.split] == 1:
                out.append(self._read(b.dtype, here, lanes.width, lanes.mask))
            else:
                out.append(self._gather(b.dtype, here, step, lanes))
        return out

    def _column(self, i: tuple, values: list[Value], place: dict[int, Value],
                lanes: Lanes) -> None:
        """Fold values into the chunk's row of running values."""
        n = i[1]
        before = self._load(n, place, lanes)
        after = [self._combine(i, a, self.widen(self.convert(x, self.dtypes[i[3]], i),
                                                lanes.width))
                 for a, x in zip(before, values, strict=True)]
        self._store(n, after, i[4], place, lanes)

    def _first_lane(self, n: int, place: dict[int, Value],
                    lanes: Lanes) -> tuple[Value, Value | None]:
        """Address of the first lane, and the step along the lane axis (None: it stays)."""
        p = place[n] if n in place else self.pointer[n]
        axis = self._lane_axis()
        step = self.step(n, axis) if axis >= 0 else None
        if lanes.at is None or step is None:
            return p, step
        if self.k.buffers[n].role == "scratch" and self.k.lanes == OUTER:
            return p, step  # scratch rows hold one block of lanes
        return self.moved(n, p, axis, lanes.at), step

    def _read(self, dtype: str, p: Value, width: int, mask: Value | None) -> Value:
        f, t = self.f, memory_type(dt.BY_NAME[dtype], width)
        return self._register(f.load(p, t) if mask is None else f.load_masked(p, mask, t), dtype)

    def _register(self, raw: Value, dtype: str) -> Value:
        """What was loaded, in the form it is computed with."""
        return self.builder(lanes_in(raw.type)).from_memory(raw, dt.BY_NAME[dtype]).v

    def _gather(self, dtype: str, p: Value, step: Value, lanes: Lanes) -> Value:
        f = self.f
        index = f.iota(lanes.width, "i64") * step
        if ELEMENT[dtype] in ("i8", "i16", "half", "bfloat"):
            return self._gather_narrow(dtype, p, step, lanes)
        elem = ELEMENT[dtype]
        if lanes.width < 4 or lanes.mask is not None and not self.host.can_mask(itemsize(elem)):
            return f.gather(p, index, elem, lanes.mask)
        with f.if_(step.eq(2)) as branch:  # every second element: three instructions
            branch.give(self._second(elem, p, lanes))
            branch.else_()
            branch.give(f.gather(p, index, elem, lanes.mask))
        return branch.results[0]

    def _second(self, elem: str, p: Value, lanes: Lanes) -> Value:
        """Every second element from ``p`` on, as two vectors; the second one begins early, so that
        nothing is read past the last element."""
        f, n = self.f, lanes.width
        t, late = vector(elem, n), f.gep(p, n - 1, elem)
        if lanes.mask is None:
            low, high = f.load(p, t), f.load(late, t)
        else:
            low = f.load_masked(p, f.shuffle(lanes.mask, None, [(i + 1) // 2 for i in range(n)]), t)
            high = f.load_masked(
                late, f.shuffle(lanes.mask, None, [(n + i) // 2 for i in range(n)]), t)
        return f.shuffle(low, high, [2 * i if 2 * i < n else 2 * i + 1 for i in range(n)])

    def _gather_narrow(self, dtype: str, p: Value, step: Value, lanes: Lanes) -> Value:
        """Elements too narrow for a gather instruction, one by one (lanes off the mask clamp to
        the first one, which exists)."""
        f, elem = self.f, ELEMENT[dtype]
        out = None
        for lane in range(lanes.width):
            at = step * lane
            if lanes.mask is not None and lane:
                at = f.select(f.extract(lanes.mask, lane), at, 0)
            out = f.insert(out, f.load(f.gep(p, at, elem), elem), lane,
                           vector(elem, lanes.width))
        return self._register(out, dtype)

    def _store(self, n: int, values: list[Value], kind: str, place: dict[int, Value],
               lanes: Lanes) -> None:
        b, f = self.k.buffers[n], self.f
        p, step = self._first_lane(n, place, lanes)
        lane_step = b.steps[self._lane_axis() + self.k.split] if lanes.at is not None else 0
        elem = ELEMENT[b.dtype]
        for c in range(lanes.copies if lanes.at is not None else 1):
            x = self.builder(lanes_in(values[c].type)).to_memory(
                Scalar(values[c], dt.BY_NAME[b.dtype]))
            if lanes.at is None or step is None:
                f.store(x, p)
                return
            x = self.widen(x, lanes.width)
            here = p if c == 0 else self.advance(n, p, step * (c * lanes.width))
            if lane_step != 1 and lanes.width > 1:
                self._scatter(x, here, step, elem, lanes)
            elif lanes.mask is None:
                f.store(x, here)
            else:
                f.store_masked(x, here, lanes.mask)

    def _scatter(self, x: Value, p: Value, step: Value, elem: str, lanes: Lanes) -> None:
        f = self.f
        if elem in ("i8", "i16", "half", "bfloat"):
            for lane in range(lanes.width):
                if lanes.mask is None:
                    f.store(f.extract(x, lane), f.gep(p, step * lane, elem))
                else:
                    with f.if_(f.extract(lanes.mask, lane)):
                        f.store(f.extract(x, lane), f.gep(p, step * lane, elem))
            return
        f.scatter(x, p, f.iota(lanes.width, "i64") * step, lanes.mask)


def _extreme(d: dt.dtype, high: bool):
    if d is dt.bool_:
        return high
    bits = d.itemsize * 8 - d.is_signed
    return (1 << bits) - 1 if high else -(1 << bits) if d.is_signed else 0
