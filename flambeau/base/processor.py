"""What of this machine's processor decides how results are rounded, known without LLVM.

The compiler asks LLVM (``codegen/host.py``); a program that never compiles does not load it.
"""

from __future__ import annotations

import os
import sys
from functools import cache

from .flags import values as flags

#: vector kinds, with the bytes of one register
VECTOR_BYTES = {"avx512": 64, "avx2": 32, "sse2": 16, "neon": 16, "generic": 16}
#: what the kinds need, as LLVM names it
AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "fma")
AVX2 = ("avx2", "fma")
#: kinds with a fused multiply-add
FUSING = ("avx512", "avx2", "neon")


def vector_bytes() -> int | None:
    """Bytes of the vectors that kernels are written with; None where only LLVM can tell."""
    kind = flags.vector or _kind()
    return None if kind is None else VECTOR_BYTES.get(kind)


def fuses() -> bool | None:
    """Whether a multiplication and an addition are one instruction, which rounds once; None where
    only LLVM can tell."""
    kind = flags.vector or _kind()
    return None if kind is None else kind in FUSING


@cache
def _kind() -> str | None:
    machine = os.uname().machine if hasattr(os, "uname") else ""
    if machine in ("aarch64", "arm64"):
        return "neon"
    if machine != "x86_64" or not sys.platform.startswith("linux"):
        return None
    try:
        with open("/proc/cpuinfo") as file:
            has = next(line for line in file if line.startswith("flags")).split()
    except (OSError, StopIteration):
        return None
    if all(name in has for name in AVX512):
        return "avx512"
    return "avx2" if all(name in has for name in AVX2) else "sse2"
