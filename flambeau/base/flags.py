"""Every environment flag, declared once. ``FLAMBEAU_*`` names that are not declared raise.

A flag is read at import; ``flags.set(name=value)`` changes it for a block or for good.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from .late import late

if TYPE_CHECKING:
    import difflib
else:
    difflib = late("difflib")


class Flag(NamedTuple):
    """One switch: its default (whose type is the flag's type) and what it does."""

    name: str
    default: object
    doc: str


FLAGS = (
    Flag("debug", 0, "1 kernels with times, 2 groups and why two nodes were not fused, "
                     "3 traces (graph IR), 4 kernel IR, 5 LLVM text; each level includes those "
                     "below"),
    Flag("tier", "auto", "auto: interpret once, compile what repeats; 0: NumPy only; "
                         "1: compile everything at once"),
    Flag("eager", 0, "1: run every operation at its line"),
    Flag("threads", 0, "threads of the compiled code; 0: all processors this process may use"),
    Flag("cache", "", "folder of compiled kernels; empty: the user's cache folder; 'off': none"),
    Flag("vector", "", "force a vector width: avx512, avx2, sse2 or neon (what the host can run)"),
    Flag("follow", 1, "0: never follow a recorded trace (every step is recorded anew)"),
    Flag("verify", 0, "1: verify the IR after every pass"),
)


class _Values:
    """Current values, as attributes: ``flags.values.debug``."""

    debug: int
    tier: str
    eager: int
    threads: int
    cache: str
    vector: str
    follow: int
    verify: int


values = _Values()


def _parse(flag: Flag, text: str):
    if isinstance(flag.default, int):
        try:
            return int(text)
        except ValueError:
            raise ValueError(
                f"FLAMBEAU_{flag.name.upper()}={text!r}: a whole number is expected "
                f"({flag.doc})") from None
    return text


def _load() -> None:
    known = {f"FLAMBEAU_{f.name.upper()}": f for f in FLAGS}
    for f in FLAGS:
        setattr(values, f.name, f.default)
    for key, text in os.environ.items():
        if key.startswith("FLAMBEAU_"):
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
                raise ValueError(f"unknown environment flag {key}{hint}")
            setattr(values, known[key].name, _parse(known[key], text))


@contextlib.contextmanager
def override(**changes):
    """Change flags for the length of a ``with`` block."""
    names = {f.name for f in FLAGS}
    for name in changes:
        if name not in names:
            raise ValueError(f"unknown flag {name!r}; known: {', '.join(sorted(names))}")
    before = {name: getattr(values, name) for name in changes}
    for name, value in changes.items():
        setattr(values, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(values, name, value)


_load()
