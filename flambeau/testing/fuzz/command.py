"""The command line of the program fuzzer: ``python -m flambeau.testing.fuzz --help``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass, replace

import flambeau

from ...base.flags import values as flags
from . import judging, running
from .families import FAMILIES, program
from .jobs import Report, reports
from .noise import noise_mode
from .shrinking import shrink

#: the part of the programs that may be ill-conditioned
MAX_ILL = 0.03


@dataclass(frozen=True)
class Check:
    """Runs the program of a seed under PyTorch and flambeau and compares.

    Attributes:
        family: of all programs; None: the seed decides.
        tiers: values of FLAMBEAU_TIER.
        follow: whether traces are followed.
        small: whether a failing program is made smaller.
    """

    family: str | None = None
    tiers: tuple[str, ...] = ("1",)
    follow: int = 1
    small: bool = True

    def __call__(self, seed: int) -> Report:
        begin = time.process_time()
        family, text = program(seed, self.family)
        report = Report(seed, family=family)
        try:
            failure = self.compare(text, report)
            if failure and self.small:
                text = shrink(text, lambda t: alike(self.compare(t, legal=True), failure))
                failure = self.compare(text) or failure
        except Exception as error:  # of the fuzzer itself
            failure = f"the fuzzer failed: {type(error).__name__}: {error}"
        if failure:
            report.failure = self._message(seed, family, failure, text)
        report.seconds = time.process_time() - begin
        return report

    def compare(self, text: str, report: Report | None = None, legal: bool = False) -> str:
        """What differs, in words; empty when all agree.

        ``legal``: a program that PyTorch refuses agrees.
        """
        import torch

        try:
            code = running.compiled(text)
        except SyntaxError as error:
            return "" if legal else f"not a program: {error}"
        expected = running.run(code, torch)
        if legal and expected.error:
            return ""
        if report is not None:
            report.refused = bool(expected.error)

        def again(n: int) -> running.Outcome:
            with noise_mode()(n):
                return running.run(code, torch)

        plain = None
        for tier in self.tiers:
            found = running.run_flambeau(code, flambeau, tier=tier, follow=self.follow)
            if report is not None:
                report.flushes += found.flushes
                report.followed += found.followed
            verdict = judging.differs(expected, found, again)
            if verdict.why:
                return f"FLAMBEAU_TIER={tier}: {verdict.why}" + _trace_of(expected, found)
            if report is not None:
                report.ill |= verdict.ill
            plain = plain or running.run_flambeau(code, flambeau, tier="0", follow=0)
            if why := judging.identical(plain.log, found.log):
                return f"FLAMBEAU_TIER={tier}: {UNLIKE}: {why}"
        return ""

    def _message(self, seed: int, family: str, failure: str, text: str) -> str:
        here = replace(self, family=family)
        title = "\n# ".join(failure.splitlines())
        body = text.replace("import torch\n", "import flambeau as torch\n", 1)
        return (f"# seed {seed} ({family}): {title}\n# {here.command(seed)}\n"
                f"log = []\n{body}print(*log, sep='\\n')\n")

    def command(self, seed: int) -> str:
        """What runs this program alone again."""
        words = [f"python -m flambeau.testing.fuzz --programs 1 --seed {seed}"]
        words.append(f"--family {self.family} --tiers {','.join(self.tiers)}")
        if not self.follow:
            words.append("--no-follow")
        if flags.threads:
            words.insert(0, f"FLAMBEAU_THREADS={flags.threads}")
        return " ".join(words)


#: what is said of a program that flambeau runs in two ways with two results
UNLIKE = "not what FLAMBEAU_TIER=0 FLAMBEAU_FOLLOW=0 gives"


def alike(failure: str, other: str) -> bool:
    """Whether a program fails in the same way as another."""
    return bool(failure) and (UNLIKE in failure) == (UNLIKE in other)


def _trace_of(expected: running.Outcome, found: running.Outcome) -> str:
    if found.error == expected.error:
        return ""
    return "".join(f"\n{who}: {o.text.strip()}" if o.error else f"\n{who}: no error"
                   for who, o in (("PyTorch", expected), ("flambeau", found)))


class Progress:
    """What has been done so far, on one line that is written over (or a line now and then)."""

    def __init__(self, total: int):
        self.total, self.begin = total, time.perf_counter()
        self.shown = self.begin
        self.failures: list[int] = []
        self.ill = 0
        self.done: dict[str, list[Report]] = {}
        self.count = 0
        self.live = sys.stderr.isatty()

    def add(self, report: Report) -> None:
        self.count += 1
        self.ill += report.ill
        if report.failure:
            self.failures.append(report.seed)
            self.clear()
            print(report.failure, flush=True)
            report.failure = "printed"
        self.done.setdefault(report.family, []).append(report)
        now = time.perf_counter()
        if now - self.shown > (0.5 if self.live else 60):
            self.shown = now
            left = (self.total - self.count) / self.rate()
            print(f"{self.count} of {self.total} programs, {len(self.failures)} failures, "
                  f"{self.rate():.1f}/s, {left:.0f} s left ", end="\r" if self.live else "\n",
                  file=sys.stderr, flush=True)

    def rate(self) -> float:
        return self.count / max(time.perf_counter() - self.begin, 1e-9)

    def clear(self) -> None:
        if self.live:
            print(" " * 79, end="\r", file=sys.stderr)

    def summary(self) -> str:
        """A table of the families, and the totals."""
        self.clear()
        lines = ["family      programs  failures  refused by PyTorch  ill-conditioned  "
                 "with followed traces  followed runs  ms each"]
        every = [r for reports in self.done.values() for r in reports]
        for name, mine in [*sorted(self.done.items()), *([("all", every)] if every else [])]:
            n = len(mine)
            runs = sum(r.followed for r in mine)
            share = runs / max(runs + sum(r.flushes for r in mine), 1)
            lines.append(
                f"{name:<12}{n:>8}{sum(bool(r.failure) for r in mine):>10}"
                f"{sum(r.refused for r in mine) / n:>20.1%}{sum(r.ill for r in mine):>17}"
                f"{sum(r.followed > 0 for r in mine) / n:>22.0%}{share:>15.0%}"
                f"{1000 * sum(r.seconds for r in mine) / n:>9.0f}")
        lines.append(f"{self.count} programs, {len(self.failures)} failures, "
                     f"{self.ill} ill-conditioned, "
                     f"{time.perf_counter() - self.begin:.0f} s ({self.rate():.1f}/s)")
        if self.too_ill():
            lines.append("too many programs are ill-conditioned: more than "
                         f"{MAX_ILL:.0%} tell little")
        return "\n".join(lines)

    def too_ill(self) -> bool:
        """Whether so many programs depend on rounding that the others may prove nothing."""
        return self.ill > max(MAX_ILL * self.count, 10)


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    out = argparse.ArgumentParser(
        prog="python -m flambeau.testing.fuzz", formatter_class=argparse.RawTextHelpFormatter,
        description="Random programs, run under PyTorch (which must be installed) and flambeau.\n"
                    "A program that disagrees is made small and printed; the exit code is 1.",
        epilog="families:\n" + "\n".join(f"  {n:<12} {f.doc}" for n, f in FAMILIES.items()))
    out.add_argument("--programs", type=int, default=100, help="how many (default: 100)")
    out.add_argument("--seed", type=int, default=0, help="of the first program (default: 0)")
    out.add_argument("--family", choices=FAMILIES, help="one family only; else the seed decides")
    out.add_argument("--tiers", default="1,auto",
                     help="values of FLAMBEAU_TIER to run under (default: 1,auto)")
    out.add_argument("--jobs", type=int, default=0,
                     help="worker processes; a crash or a hang of one is a failure like any\n"
                          "other (default: 0, everything in this process)")
    out.add_argument("--no-follow", action="store_true", help="never follow a trace")
    out.add_argument("--keep-going", action="store_true", help="do not stop at a failure")
    out.add_argument("--as-is", action="store_true", help="do not make failing programs smaller")
    out.add_argument("--show", action="store_true", help="print the programs, run nothing")
    return out


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when every program agreed, 1 when not (or too many are ill-conditioned),
    130 when interrupted."""
    options = parser().parse_args(arguments)
    numbers = range(options.seed, options.seed + options.programs)
    if options.show:
        for seed in numbers:
            family, text = program(seed, options.family)
            print(f"# seed {seed} ({family})\n{text}")
        return 0
    if options.jobs > 1:  # inherited by the workers
        os.environ.setdefault("FLAMBEAU_THREADS", "1")
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    check = Check(options.family, tuple(options.tiers.split(",")), int(not options.no_follow),
                  not options.as_is)
    progress = Progress(options.programs)
    incoming = reports(iter(numbers), check, options.jobs)
    try:
        for report in incoming:
            progress.add(report)
            if report.failure and not options.keep_going:
                break
    except KeyboardInterrupt:
        print(progress.summary() + "; interrupted")
        return 130
    finally:
        incoming.close()
    print(progress.summary())
    return 1 if progress.failures or progress.too_ill() else 0
