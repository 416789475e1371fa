"""Which program a seed stands for."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from . import loaders, memories, modules, optimizers, steps, tensors, timelines, training


@dataclass(frozen=True)
class Family:
    """A kind of programs: the lines of one, how often it is drawn, and what it is about."""

    write: Callable[[random.Random], list[str]]
    share: int
    doc: str


FAMILIES = {
    "tensors": Family(tensors.write, 3, "straight lines of statements about tensors"),
    "steps": Family(steps.write, 5, "loops whose rounds are mostly alike, for the trace follower"),
    "modules": Family(modules.write, 3, "stacks of nn modules, with hooks, modes, state dicts"),
    "optimizers": Family(optimizers.write, 2, "optimizers and schedulers with all their options"),
    "loaders": Family(loaders.write, 1, "data sets, samplers and loaders"),
    "training": Family(training.write, 2, "whole training runs"),
    "timelines": Family(timelines.write, 6, "several networks in turn, changed between rounds"),
    "memories": Family(memories.write, 4, "memory that is written in place from step to step"),
}


def program(seed: int, family: str | None = None) -> tuple[str, str]:
    """(family, text) of a seed's program; the same for a family that is given or drawn."""
    drawn = random.Random(f"family {seed}")
    name = family or drawn.choices(list(FAMILIES), [f.share for f in FAMILIES.values()])[0]
    lines = FAMILIES[name].write(random.Random(f"{name} {seed}"))
    return name, "\n".join(lines) + "\n"
