"""Running one program, from a state that no earlier one has touched: its log as plain values."""

from __future__ import annotations

import contextlib
import gc
import os
import time
import traceback
import warnings
from dataclasses import dataclass, field

import numpy as np

from ...base import flags
from ...runtime import execute, moving
from ...tensor.follow import recorder
from ...tensor.trace import Trace

#: entries of a log that are exceptions start with this
RAISED = "raised "
#: seconds that a collection of garbage may take
SLOW = 0.01


@dataclass
class Outcome:
    """What a program gave.

    Attributes:
        log: what it noted, as numbers, texts and (dtype, shape, array, strides).
        error: the last line of the traceback of what ended it; empty when it came to its end.
        text: that traceback.
        flushes, followed: how often a plan or NumPy ran, and how many of these runs were followed.
    """

    log: list = field(default_factory=list)
    error: str = ""
    text: str = ""
    flushes: int = 0
    followed: int = 0


class _Counts:
    """Counts the plan runs and those that were followed."""

    flushes = followed = 0


def _count_followed() -> None:
    finish, flush_pending = Trace.finish, execute.flush_pending

    def finished(trace, results):
        _Counts.followed += 1
        return finish(trace, results)

    def flushed():
        done = flush_pending()
        _Counts.flushes += done
        return done

    Trace.finish, execute.flush_pending = finished, flushed


_count_followed()


def compiled(text: str):
    """The code of a program; ``import torch``, its first line, is left to :func:`run`."""
    return compile("\n" + text.partition("\n")[2], "<program>", "exec", dont_inherit=True)


def forget() -> None:
    """Forget what flambeau knows of earlier programs, except machine code."""
    execute.flush()
    recorder.settle()
    recorder.__init__()
    execute._plans.clear()
    moving.clear()
    execute._cut_at.clear()
    begin = time.thread_time()
    gc.collect()  # when cycles die decides what is followed: let it not depend on what ran before
    if time.thread_time() - begin > SLOW:
        gc.freeze()  # the frameworks themselves need not be looked through again


def run(code, module) -> Outcome:
    """Run a program under ``module`` (torch or flambeau)."""
    out = Outcome()
    space: dict = {"torch": module, "__name__": "program", "log": out.log}
    flushes, followed = _Counts.flushes, _Counts.followed
    with warnings.catch_warnings(), open(os.devnull, "w") as null, \
            contextlib.redirect_stderr(null):
        warnings.simplefilter("ignore")
        module.manual_seed(0)  # a program that was made smaller may have lost its own seed
        try:
            exec(code, space)
            out.log = [plain(x) for x in space["log"]]
        except Exception as error:
            out.log = [*_readable(space["log"]), RAISED + kind_of(error)]
            out.text = traceback.format_exc(limit=-6)
            out.error = out.text.strip().splitlines()[-1]
    out.flushes, out.followed = _Counts.flushes - flushes, _Counts.followed - followed
    module.set_grad_enabled(True)
    return out


def _readable(log: list) -> list:
    """The entries before the first that cannot be read."""
    out = []
    with contextlib.suppress(Exception):
        for x in log:
            out.append(plain(x))
    return out


def run_flambeau(code, module, **settings) -> Outcome:
    """Run a program under flambeau with flags (``base/flags.py``) of its own."""
    forget()
    with flags.override(**settings):
        return run(code, module)


def kind_of(error: BaseException) -> str:
    """The built-in class of an exception: what a program can catch under both frameworks."""
    return next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins")


def _steps(x) -> tuple[int, ...]:
    """The strides that matter."""
    return tuple(s for n, s in zip(x.shape, x.stride(), strict=True) if n > 1) if x.numel() else ()


def plain(x):
    """A copy of a log entry that needs neither framework."""
    if hasattr(x, "detach"):
        x = x.detach()
        name = str(x.dtype)
        values = np.array((x.float() if "bfloat" in name else x).numpy())
        return name, tuple(x.shape), values, _steps(x)
    if isinstance(x, dict):
        return ("dict", tuple((k, plain(v)) for k, v in x.items()))
    if isinstance(x, (tuple, list)):
        return ("sequence", tuple(plain(v) for v in x))
    return x if isinstance(x, (bool, int, float, str, np.ndarray)) or x is None else str(x)
