"""Timer: how long a statement takes, in the threads and with the warm-up that a fair number needs.

What a statement records is run before the clock stops.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Sequence

from ...base.flags import values as flags
from ...runtime import execute


def _text(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.2f} {unit}"
    return f"{seconds * 1e9:.2f} ns"


class Measurement:
    """Times of one statement.

    Attributes:
        number_per_run: how often it ran within each time.
        raw_times: seconds, one per repetition.
    """

    def __init__(self, number_per_run: int, raw_times: list[float], stmt: str, label: str | None,
                 sub_label: str | None, description: str | None, env: str | None,
                 num_threads: int):
        self.number_per_run, self.raw_times, self.stmt = number_per_run, raw_times, stmt
        self.label, self.sub_label, self.description = label, sub_label, description
        self.env, self.num_threads = env, num_threads

    @property
    def times(self) -> list[float]:
        """Seconds per call."""
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def mean(self) -> float:
        """The mean of ``times``."""
        return statistics.mean(self.times)

    @property
    def median(self) -> float:
        """The median of ``times``."""
        return statistics.median(self.times)

    @property
    def iqr(self) -> float:
        """The distance between the quartiles."""
        if len(self.times) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.times, n=4)
        return high - low

    @property
    def title(self) -> str:
        """What is measured."""
        title = self.label or self.stmt
        return f"{title}: {self.sub_label}" if self.sub_label else title

    def __repr__(self) -> str:
        runs = len(self.raw_times)
        lines = [f"<flambeau.utils.benchmark.Measurement object at {id(self):#x}>", self.title]
        lines += [self.description] if self.description else []
        lines.append(f"  {'Median: ' if runs > 1 else ''}{_text(self.median)}")
        if runs > 1:
            lines.append(f"  IQR:    {_text(self.iqr)}")
        lines.append(f"  {runs} measurement{'s' if runs > 1 else ''}, {self.number_per_run} runs "
                     f"per measurement, {self.num_threads} thread"
                     f"{'s' if self.num_threads > 1 else ''}")
        return "\n".join(lines)


class Timer:
    """Times a statement.

    Args:
        stmt, setup: Python code.
        globals: names that the code sees.
        num_threads: threads that compiled code uses meanwhile.
    """

    def __init__(self, stmt: str = "pass", setup: str = "pass", global_setup: str = "",
                 timer=timeit.default_timer, globals: dict | None = None,  # noqa: A002
                 label: str | None = None, sub_label: str | None = None,
                 description: str | None = None, env: str | None = None, num_threads: int = 1,
                 language=None):
        if global_setup:
            raise NotImplementedError("torch.utils.benchmark: global_setup= is for C++ statements, "
                                      "which flambeau does not run")
        self._names = {"_flush": execute.flush}
        self._names.update(globals or {})
        self._timer = timeit.Timer(f"{stmt}\n_flush()", setup, timer, self._names)
        self._stmt, self._labels = stmt, (label, sub_label, description, env)
        self._threads = num_threads

    def _run(self, number: int) -> float:
        before, flags.threads = flags.threads, self._threads
        try:
            return self._timer.timeit(number)
        finally:
            flags.threads = before

    def _measured(self, number: int, times: list[float]) -> Measurement:
        return Measurement(number, times, self._stmt, *self._labels, self._threads)

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """``number`` calls, after some to warm up."""
        self._run(max(number // 100, 2))
        return self._measured(number, [self._run(number)])

    def repeat(self, repeat: int = -1, number: int = -1) -> list[float]:
        """Not supported, as in PyTorch: use timeit() or blocked_autorange()."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def blocked_autorange(self, callback=None, min_run_time: float = 0.2) -> Measurement:
        """Blocks of calls, long enough to be timed, for at least ``min_run_time`` seconds."""
        number = 1
        while (spent := self._run(number)) < min_run_time / 1000 and number < 1 << 30:
            number *= 10
        times = [spent]
        while sum(times) < min_run_time or len(times) < 2:
            times.append(self._run(number))
            if callback is not None:
                callback(number, times[-1])
        return self._measured(number, times)

    def adaptive_autorange(self, threshold: float = 0.1, *, min_run_time: float = 0.01,
                           max_run_time: float = 10.0, callback=None) -> Measurement:
        """Like blocked_autorange, until the quartiles are close together."""
        result = self.blocked_autorange(callback, min_run_time)
        while result.iqr > threshold * result.median and sum(result.raw_times) < max_run_time:
            result.raw_times.append(self._run(result.number_per_run))
        return result


class Compare:
    """Measurements side by side: a row per sub-label, a column per description."""

    def __init__(self, results: Sequence[Measurement]):
        self._results = list(results)

    def extend_results(self, results: Sequence[Measurement]) -> None:
        """Add measurements."""
        self._results.extend(results)

    def trim_significant_figures(self) -> None:
        """Accepted for compatibility."""

    def colorize(self, rowwise: bool = False) -> None:
        """Accepted for compatibility."""

    def __str__(self) -> str:
        out = []
        for label in dict.fromkeys(m.label or m.stmt for m in self._results):
            mine = [m for m in self._results if (m.label or m.stmt) == label]
            columns = list(dict.fromkeys(m.description or m.env or "" for m in mine))
            rows = list(dict.fromkeys((m.sub_label or m.stmt, m.num_threads) for m in mine))
            table = [["", *columns]]
            for name, threads in rows:
                cells = {m.description or m.env or "": _text(m.median) for m in mine
                         if (m.sub_label or m.stmt, m.num_threads) == (name, threads)}
                table.append([f"{name} ({threads} threads)", *(cells.get(c, "") for c in columns)])
            widths = [max(len(r[i]) for r in table) for i in range(len(columns) + 1)]
            lines = ["  |  ".join(c.rjust(w) for c, w in zip(r, widths, strict=True))
                     for r in table]
            out.append("\n".join([f"[ {label} ]".center(len(lines[0]), "-"), *lines]))
        return "\n".join(out)

    def print(self) -> None:
        """Print the table."""
        print(self)
