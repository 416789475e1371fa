"""Side by side: flambeau, PyTorch eager, torch.compile, JAX. ``python benchmarks/run.py [names]``.

Every measurement is a process of its own; the rounds of all frameworks alternate, and the best
round counts. Ratios are the other framework's time divided by flambeau's: above 1, flambeau is
faster. The column "x bound" compares with a lower bound of the machine: the larger of operations /
peak and bytes / copy bandwidth, both measured here (below 1: the data stayed in the caches).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from workloads import NUMPY, SCRIPTS, WORKLOADS  # noqa: E402

FRAMEWORKS = ("flambeau", "torch", "compile", "jax")


def best_time(step, seconds: float) -> float:
    """The best average of a batch of calls, in seconds; the first second or so is warm-up."""
    begin = time.perf_counter()
    for _ in range(6):
        step()
    once = (time.perf_counter() - begin) / 6
    end = time.perf_counter() + seconds / 2
    while time.perf_counter() < end:
        step()
    best = once
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        count = max(1, int(0.02 / max(best, 1e-7)))
        for _ in range(count):
            step()
        best = min(best, (time.perf_counter() - begin) / count)
    return best


def peak_memory() -> int:
    """The most memory this process has used, in KB; 0 where the system does not say."""
    try:
        return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])
    except OSError:
        return 0


def worker(name: str, framework: str, seconds: float) -> dict:
    """Measure one workload in this process."""
    if framework == "jax":
        make = importlib.import_module("jax_workloads").WORKLOADS.get(name)
        return {} if make is None else {"seconds": best_time(make(), seconds)}
    torch = importlib.import_module("flambeau" if framework == "flambeau" else "torch")
    torch.manual_seed(0)
    step, flops, size = WORKLOADS[name](torch)
    if framework == "compile":
        step = torch.compile(step)
    if framework == "flambeau":
        lazy, flush = step, importlib.import_module("flambeau.runtime.execute").flush

        def step():
            result = lazy()
            flush()
            return result

    return {"seconds": best_time(step, seconds), "flops": flops, "bytes": size,
            "memory": peak_memory()}


def measure(name: str, framework: str, seconds: float) -> dict:
    """Measure in a process of its own; an empty answer where a framework has no such workload."""
    if name in SCRIPTS:
        return whole_program(name, framework)
    if framework == "numpy":
        return {}
    done = subprocess.run([sys.executable, __file__, "--worker", name, "--framework", framework,
                           "--seconds", str(seconds)], capture_output=True, text=True)
    if done.returncode:
        message = done.stderr.strip().splitlines()
        print(f"  {name} under {framework}: {message[-1] if message else 'failed'}",
              file=sys.stderr)
        return {}
    return json.loads(done.stdout.splitlines()[-1])


def whole_program(name: str, framework: str) -> dict:
    """Time and peak memory of a script from start to end."""
    text = {"flambeau": "import flambeau as torch\n" + SCRIPTS[name],
            "torch": "import torch\n" + SCRIPTS[name],
            "compile": None, "jax": "import jax" if name == "import" else None,
            "numpy": NUMPY[name]}[framework]
    if text is None:
        return {}
    text += f"\nimport sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n" \
            "from run import peak_memory; print(peak_memory())"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages are compiled, so is this one
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=env)
    seconds = time.perf_counter() - begin
    if done.returncode:
        return {}
    return {"seconds": seconds, "memory": int(done.stdout.splitlines()[-1])}


def best_of(results: list[dict]) -> dict:
    """The round with the least time."""
    good = [r for r in results if r]
    return min(good, key=lambda r: r["seconds"]) if good else {}


def shown(seconds: float | None) -> str:
    """A time with three figures."""
    if seconds is None:
        return "-"
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            return f"{seconds * scale:.3g} {unit}"
    return "-"


def table(names: list[str], frameworks: list[str], rounds: int, seconds: float) -> list[str]:
    """Measure, and give the rows of the table, printing each as it is done."""
    limits = importlib.import_module("limits")
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    peak, bandwidth = limits.fma_peak(threads), limits.copy_bandwidth(threads)
    others = [f for f in frameworks if f != "flambeau"]
    lines = [f"{platform.machine()}, {threads} threads, Python {platform.python_version()}; "
             f"multiply-adds {peak / 1e9:.0f} GFLOP/s, copies {bandwidth / 1e9:.1f} GB/s", "",
             "| workload | flambeau | " + " | ".join(others) + " | "
             + " | ".join(f"x {f}" for f in others) + " | x bound | memory |",
             "|" + "---|" * (4 + 2 * len(others))]
    print("\n".join(lines), flush=True)
    for name in names:
        runs: dict[str, list[dict]] = {f: [] for f in ["flambeau", *others]}
        for _ in range(rounds):
            for f, found in runs.items():
                found.append(measure(name, f, seconds))
        best = {f: best_of(found) for f, found in runs.items()}
        row = _row(name, best, others, peak, bandwidth)
        lines.append(row)
        print(row, flush=True)
    return lines


def _row(name: str, best: dict, others: list[str], peak: float, bandwidth: float) -> str:
    mine = best["flambeau"]
    times = {f: r.get("seconds") for f, r in best.items()}
    ratios = [f"{times[f] / times['flambeau']:.2f}" if times[f] and times["flambeau"] else "-"
              for f in others]
    bound = max(mine.get("flops", 0) / peak, mine.get("bytes", 0) / bandwidth)
    distance = f"{times['flambeau'] / bound:.1f}" if bound and times["flambeau"] else "-"
    memory = f"{mine['memory'] / 1024:.0f} MB" if mine.get("memory") else "-"
    cells = [name, shown(times["flambeau"]), *(shown(times[f]) for f in others), *ratios, distance,
             memory]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """The command line."""
    names = [*WORKLOADS, *SCRIPTS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of names: " + ", ".join(names))
    parser.add_argument("--frameworks", default=",".join(FRAMEWORKS),
                        help="flambeau, torch, compile, jax, numpy (whole programs only)")
    parser.add_argument("--rounds", type=int, default=3, help="processes per framework")
    parser.add_argument("--seconds", type=float, default=1.5, help="of measuring in each process")
    parser.add_argument("--quick", action="store_true", help="one short round: does it run?")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--framework", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(worker(options.worker, options.framework, options.seconds)))
        return
    wanted = [n for n in names if not options.names or any(p in n for p in options.names)]
    rounds, seconds = (1, 0.1) if options.quick else (options.rounds, options.seconds)
    frameworks = options.frameworks.split(",")
    lines = table([n for n in wanted if n not in SCRIPTS], frameworks, rounds, seconds)
    programs = [n for n in wanted if n in SCRIPTS]
    if programs:
        lines += ["", *table(programs, [*frameworks, "numpy"], rounds, seconds)[2:]]
    if options.write:
        text = ("# Benchmarks\n\nWritten by `python benchmarks/run.py --write`.\n"
                + __doc__.split("\n\n", 1)[1] + "\n" + "\n".join(lines) + "\n")
        (ROOT / "docs/benchmarks.md").write_text(text)


if __name__ == "__main__":
    main()
