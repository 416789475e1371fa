"""Runs ScalarBuilder expressions on arrays: many small kernels compiled as one module."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flambeau.base import dtype as dt
from flambeau.codegen.emit import Module
from flambeau.codegen.host import HostTarget
from flambeau.codegen.scalar import ScalarBuilder, memory_type
from flambeau.runtime import jit


class Kernels:
    """A batch of kernels ``y[i] = rule(b, x0[i], x1[i], ...)`` for one target.

    Lengths are multiples of the lanes (``run`` pads).
    """

    def __init__(self, target: HostTarget):
        self.target, self.module = target, Module(target)
        self.entries: dict[str, tuple] = {}
        self.addresses: dict[str, int] = {}

    def add(self, name: str, rule: Callable, dtypes: tuple, lanes: int) -> None:
        """Write the kernel ``name``; dtypes of the operands."""
        f = self.module.kernel(name)
        out, *ins = [f.arg(k, "ptr") for k in range(len(dtypes) + 1)]
        n = f.arg(len(dtypes) + 1)
        with f.loop(0, n, lanes) as loop:
            b = ScalarBuilder(f, lanes, lambda: f.const(loop.i, f"<{lanes} x i64>" if lanes > 1
                                                        else "i64") + f.iota(lanes, "i64"))
            xs = [b.from_memory(f.load(f.gep(p, loop.i, memory_type(d, 1)),
                                       memory_type(d, lanes)), d)
                  for p, d in zip(ins, dtypes, strict=True)]
            y = rule(b, *xs)
            f.store(b.to_memory(y), f.gep(out, loop.i, memory_type(y.dtype, 1)))
        self.entries[name] = (dtypes, y.dtype, lanes)

    def compile(self) -> None:
        """One object for all kernels."""
        self.addresses = jit.load(str(self.module), list(self.entries), level=1,
                                  target=self.target)

    def run(self, name: str, *arrays: np.ndarray) -> np.ndarray:
        """Call a kernel on one-dimensional arrays."""
        dtypes, result, lanes = self.entries[name]
        count = len(arrays[0])
        padded = -(-count // lanes) * lanes
        ins = []
        for a, d in zip(arrays, dtypes, strict=True):
            x = np.ones(padded, d.np)
            x[:count] = a
            ins.append(x)
        out = np.empty(padded, result.np)
        args = np.array([out.ctypes.data, *(x.ctypes.data for x in ins), padded], np.int64)
        jit.function(self.addresses[name])(args.ctypes.data, 0, 1)
        return out[:count]


FLOATS = {"f16": dt.float16, "bf16": dt.bfloat16, "f32": dt.float32, "f64": dt.float64}
