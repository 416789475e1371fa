"""What this machine can do: multiply-adds per second, and bytes copied per second."""

from __future__ import annotations

import threading
import time

import numpy as np

from flambeau.codegen.host import host
from flambeau.runtime import jit

CHAINS = 12  # independent chains of fused multiply-adds: more than latency times throughput


def _fma_text(lanes: int) -> str:
    kind = f"<{lanes} x float>"
    rows = [f"declare {kind} @llvm.fma.v{lanes}f32({kind}, {kind}, {kind})",
            "define void @fma(ptr %a, i64 %n, i64 %unused) {", "entry:",
            f"  %x = load {kind}, ptr %a, align 4", "  br label %loop", "loop:",
            "  %i = phi i64 [0, %entry], [%j, %loop]"]
    rows += [f"  %s{k} = phi {kind} [%x, %entry], [%t{k}, %loop]" for k in range(CHAINS)]
    rows += [f"  %t{k} = call {kind} @llvm.fma.v{lanes}f32({kind} %s{k}, {kind} %x, {kind} %x)"
             for k in range(CHAINS)]
    rows += ["  %j = add i64 %i, 1", "  %more = icmp slt i64 %j, %n",
             "  br i1 %more, label %loop, label %end", "end:"]
    total = "%t0"
    for k in range(1, CHAINS):
        rows.append(f"  %r{k} = fadd {kind} {total}, %t{k}")
        total = f"%r{k}"
    rows += [f"  store {kind} {total}, ptr %a, align 4", "  ret void", "}"]
    return "\n".join(rows)


def _at_once(threads: int, work) -> float:
    """Seconds until ``work(k)`` is done on so many threads."""
    team = [threading.Thread(target=work, args=(k,)) for k in range(threads)]
    begin = time.perf_counter()
    for t in team:
        t.start()
    for t in team:
        t.join()
    return time.perf_counter() - begin


def fma_peak(threads: int, rounds: int = 3_000_000) -> float:
    """Floating point operations (float32) per second of all threads together."""
    lanes = 16 if "+avx512f" in host().features else 8 if "+avx2" in host().features else 4
    run = jit.function(jit.load(_fma_text(lanes), ["fma"])["fma"])
    data = [np.full(16, 1e-3, np.float32) for _ in range(threads)]
    best = min(_at_once(threads, lambda k: run(data[k].ctypes.data, rounds, 0)) for _ in range(3))
    return threads * rounds * CHAINS * lanes * 2 / best


def copy_bandwidth(threads: int, megabytes: int = 64) -> float:
    """Bytes read and written per second by copies of arrays larger than the caches."""
    size = megabytes * 2**20 // 4
    pairs = [(np.ones(size, np.float32), np.zeros(size, np.float32)) for _ in range(threads)]
    best = min(_at_once(threads, lambda k: np.copyto(pairs[k][1], pairs[k][0])) for _ in range(4))
    return threads * 2 * megabytes * 2**20 / best
