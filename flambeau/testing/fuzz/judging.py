"""Whether two logs of a program agree, up to what rounding explains.

Logs that agree closely need no thought. Where they do not, PyTorch runs the program several times
again with the operands and the results of every inexact operation changed at random by one to three
units in the last place (Monte Carlo arithmetic, ``noise.py``): how far its own results then scatter
is what another order of additions may do to them. A difference more than ``TIMES`` as large as the
widest scatter within the tensor is a fault. (Within the tensor: where rounding makes a choice, as
among equal maxima, it is another element that gets the gradient each time.)

A program is *ill-conditioned* where a difference is explained by a scatter that is itself a good
part of the values, or where a run of PyTorch changes the structure of the log (a branch on a
rounding error; nothing is said of what follows), or where it diverges. Such a program tells
little: their number is limited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from .running import Outcome

#: relative and absolute difference that needs no explanation, by dtype
CLOSE = {"float32": (1e-5, 1e-6), "float64": (1e-9, 1e-10), "float16": (2e-3, 1e-4),
         "bfloat16": (1.6e-2, 1e-3)}
#: how many times the scatter of PyTorch's own results a difference may be (PyTorch adds up some
#: reductions in float64, flambeau in float32: there its errors are the larger ones)
TIMES = 10
#: scatter, as a part of the largest value of a tensor, that makes a program ill-conditioned
WIDE = 0.1
#: values beyond which a program diverges: whether squares of them overflow, and which infinities
#: then cancel, is decided by rounding
HUGE = 1e15
#: scattered runs: first a few, all before a program is called a failure
RUNS = (3, 12)


def leaves(entry, path: str = "") -> Iterator[tuple[str, object]]:
    """Arrays and numbers of a log entry, with where they stand."""
    if isinstance(entry, tuple) and entry[:1] in (("dict",), ("sequence",)):
        items = entry[1] if entry[0] == "dict" else enumerate(entry[1])
        for key, value in items:
            yield from leaves(value, f"{path}[{key!r}]")
    else:
        yield path, entry


def numbers(log: list) -> list[tuple[str, str, object]]:
    """A log as (place, kind, value); values are float64 arrays where kind is a floating dtype."""
    out: list[tuple[str, str, object]] = []
    for n, entry in enumerate(log):
        for path, x in leaves(entry):
            place = f"log[{n}]{path}"
            if isinstance(x, tuple) and len(x) == 4:
                name = x[0].rpartition(".")[2]
                wide = x[2].astype(np.float64) if name in CLOSE else x[2]
                out.append((place, f"{name}{list(x[1])} of strides {list(x[3])}", wide))
            elif isinstance(x, np.ndarray):
                wide = x.astype(np.float64) if x.dtype.name in CLOSE else x
                out.append((place, f"{x.dtype.name}{list(x.shape)}", wide))
            elif type(x) is float:
                out.append((place, "float32[]", np.array(x)))
            else:
                out.append((place, type(x).__name__, x))
    return out


def _unlike(a: list, b: list) -> tuple[int, str]:
    """The first item where two logs differ in structure or in exact values; -1 for none."""
    for n, (x, y) in enumerate(zip(a, b, strict=False)):
        if x[:2] != y[:2]:
            return n, f"{x[0]} is {_show(x)} under PyTorch, {y[0]} is {_show(y)} here"
        if x[1].partition("[")[0] not in CLOSE and not np.array_equal(x[2], y[2]):
            return n, f"{x[0]}: PyTorch {_show(x)}, flambeau {_show(y)}"
    if len(a) != len(b):
        n = min(len(a), len(b))
        more = _show((a if len(a) > n else b)[n])
        return n, f"{len(a)} values under PyTorch, {len(b)} here; the first alone is {more}"
    return -1, ""


def _show(x) -> str:
    return f"{x[1]} {np.array2string(np.asarray(x[2]), precision=7, threshold=24)}"


def beyond(a: list, b: list) -> dict[int, np.ndarray]:
    """Where two logs of one structure differ by more than needs no explanation."""
    found = {}
    for n, (x, y) in enumerate(zip(a, b, strict=False)):
        limits = CLOSE.get(x[1].partition("[")[0])
        if limits is None or x[1] != y[1] or x[2].shape != y[2].shape:
            continue
        with np.errstate(all="ignore"):
            size = np.abs(x[2])
            top = np.max(size, initial=1.0, where=np.isfinite(size))
            apart = np.abs(x[2] - y[2])
            bad = apart > limits[0] * size + limits[1] * top
            bad |= (x[2] != y[2]) & ~np.isfinite(apart)
            bad &= ~(np.isnan(x[2]) & np.isnan(y[2]))
        if bad.any():
            found[n] = bad
    return found


def identical(a: list, b: list) -> str:
    """The first value in which two runs of flambeau are not equal in every bit. (All ways of
    running a program add up in the same order: whatever differs is a fault, however small.)"""
    for x, y in zip(numbers(a), numbers(b), strict=False):
        if x[:2] != y[:2] or not np.array_equal(
                np.asarray(x[2]), np.asarray(y[2]),
                equal_nan=x[1].partition("[")[0] in CLOSE):
            return _unequal(x, y)
    return "" if len(a) == len(b) else f"logs of {len(a)} and {len(b)} entries"


def _unequal(x: tuple, y: tuple) -> str:
    """Where two values of a log differ most."""
    if x[:2] != y[:2] or x[1].partition("[")[0] not in CLOSE:
        return f"{x[0]}: {_show(x)} and {_show(y)}"
    off = _apart(x[2], y[2])
    at = np.unravel_index(int(np.argmax(off)), off.shape)
    where = [int(i) for i in at]
    return (f"{x[0]} {x[1]}{where if where else ''}: {x[2][at]:.9g} and {y[2][at]:.9g}; "
            f"{np.count_nonzero(off)} of {off.size} differ")


class Verdict(NamedTuple):
    """The first difference that rounding does not explain, in words (empty: none); whether what
    was explained is ill-conditioned."""

    why: str = ""
    ill: bool = False


def differs(expected: Outcome, found: Outcome, again: Callable[[int], Outcome]) -> Verdict:
    """Compare two logs.

    Args:
        expected, found: what PyTorch and flambeau gave.
        again: runs the program under PyTorch with rounding errors drawn from a seed.
    """
    a, b = numbers(expected.log), numbers(found.log)
    unlike, why = _unlike(a, b)
    apart = beyond(a, b if unlike < 0 else b[:unlike])
    if unlike < 0 and not apart:
        return Verdict()
    scatter = dict.fromkeys(apart, 0.0)
    end = _diverges(a)  # the first item that PyTorch itself does not always give
    for n in range(RUNS[-1]):
        other = numbers(again(n).log)
        at, _ = _unlike(a, other)
        end = at if 0 <= at < end else end
        for k in apart:
            if k < min(end, len(other)):
                scatter[k] = max(scatter[k], float(np.max(_apart(a[k][2], other[k][2]))))
        if n + 1 in RUNS:
            bad = _unexplained(a, b, apart, scatter, end)
            if not bad and not 0 <= unlike < end:
                sizes = {k: np.max(np.abs(a[k][2])) for k in apart}
                return Verdict(ill=end < len(a) or any(
                    not scatter[k] <= WIDE * sizes[k] for k in apart))
    first = min([*bad, unlike] if 0 <= unlike < end else bad)
    return Verdict(why if first == unlike else bad[first])


def _diverges(a: list) -> int:
    """The item after the first huge one."""
    for n, (_, kind, x) in enumerate(a):
        if kind.partition("[")[0] in CLOSE and np.any(np.abs(x) > HUGE):
            return n + 1
    return len(a) + 1


def _apart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far values are apart; not at all where both are NaN or the same infinity."""
    with np.errstate(all="ignore"):
        off = np.abs(x - y)
    return np.where((x == y) | np.isnan(x) & np.isnan(y), 0.0,
                    np.where(np.isfinite(off), off, np.inf))


def _unexplained(a: list, b: list, apart: dict, scatter: dict, end: int) -> dict[int, str]:
    out = {}
    for k, bad in apart.items():
        if k >= end:
            continue
        off = np.where(bad, _apart(a[k][2], b[k][2]), 0.0)
        if np.max(off) > TIMES * scatter[k]:
            at = np.unravel_index(int(np.argmax(off)), bad.shape)
            where = [int(i) for i in at]
            out[k] = (f"{a[k][0]} {a[k][1]}{where if where else ''}: PyTorch {a[k][2][at]:.9g}, "
                      f"flambeau {b[k][2][at]:.9g}; rounding explains {TIMES * scatter[k]:.2g}")
    return out
