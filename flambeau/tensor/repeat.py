"""A step that repeats the last one in everything but its inputs and numbers: the usual case.

Running a followed trace's plan takes many looks at what may have changed since the last run. When
two runs of a plan for one thread came one right after the other, these are written down as words,
and ``repeat`` (repeat_native.py) looks at all of them in a fraction of a microsecond. Where it says
no, finish.py runs the plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..base.flags import values as flags
from ..base.late import late
from ..ir import node as ir
from ..runtime import arena, execute
from .repeat_words import Known
from .runs import Run
from .trace import Trace

if TYPE_CHECKING:
    from ..runtime import team
    from . import repeat_native as native
else:
    native, team = late(".repeat_native", __package__), late("..runtime.team", __package__)

_NAMES = {Known.USER: "user", Known.DIRTY: "_dirty", Known.BUSY: "busy", Known.WHERE: "address",
          Known.DEBUG: "debug", Known.COUNTS_TOUCHES: "touches", Known.COUNTS_FLUSHES: "flushes",
          Known.OUTSTANDING: "outstanding", Known.TRUE: True, Known.FALSE: False}
_REPEATED = int(Known.REPEATED)


def can_repeat(trace: Trace) -> bool:
    """Whether a trace's plan is one that ``repeat`` can run."""
    binding, plan = trace.binding, trace.binding.plan
    return (not plan.has_host_steps and binding.given is None
            and binding.template is None and not (binding.unusual or binding.store)
            and all(cell.dtype in (np.float32, np.float64) for cell, _ in binding.cells))


class Repeat:
    """What is known of a trace's last run.

    Args:
        state: the address of the words of ``match``.
        most: runs after which Python is to look again.

    Attributes:
        known: whether anything is known.
        vain: how many runs in a row were no mere repetitions.
        run: ``run(address)``: see above.
        total: runs that were taken, of all traces.
    """

    total = 0

    def __init__(self, trace: Trace, state: int, most: int):
        binding, steps = trace.binding, trace.steps
        plan = binding.plan
        self._cells = np.array(
            [(cell.__array_interface__["data"][0], cell.dtype.itemsize, number)
             for cell, number in binding.cells], np.int64).reshape(-1, 3)
        table, rows = plan.whole
        stops, stop_count = plan.stops
        objects = {
            **_NAMES, Known.TEAM: team.run, Known.ALL_ROWS: (table, rows),
            Known.OTHER_ROWS: (table + 24, rows - 1), Known.SLOTS: steps.slots,
            Known.PENDING: ir.pending, Known.EXECUTE: vars(execute), Known.PLAN: plan,
            Known.BINDING: binding, Known.FLAGS: flags, Known.NUMBERS: steps.numbers,
            Known.BOUND: steps.bound, Known.LAST: steps.last, Known.GROUPS: steps.groups,
            Known.LAST_GROUPS: steps.last_groups, Known.NO_SLOTS: steps.no_slots,
            Known.NO_LEAVES: steps.no_leaves}
        words = np.zeros(len(Known), np.int64)
        for name, x in objects.items():
            words[name] = id(x)
        words[Known.MOST], words[Known.STATE], words[Known.CALLS] = most, state, len(trace.entries)
        words[Known.CELLS] = self._cells.__array_interface__["data"][0]
        words[Known.CELL_COUNT] = len(self._cells)
        words[Known.RUNNER] = team.serial() if plan.is_small else 0
        words[Known.TABLE], words[Known.ROWS] = table, rows
        words[Known.STOPS], words[Known.STOP_COUNT] = stops, stop_count
        words[Known.FIRST] = steps.addresses[0]
        self._words, self._objects = words.data, objects
        self.address = words.__array_interface__["data"][0]
        self.run, self.trace = native.function(), trace
        self.known, self.vain = False, 0
        self._changing: list = []

    def forget(self) -> None:
        """Nothing is known any more."""
        self.known, self._changing = False, []

    def note(self, run: Run, runs: list) -> None:
        """The plan has just run; ``runs`` are earlier ones with a history."""
        block, words = arena.local.block, self._words
        self._free = [3 + sum(x is array for x in run.results)
                      for array in self.trace.binding.plan.arrays]
        changing = (
            (Known.USUAL, self.trace.usual), (Known.RUN, run), (Known.RUN_SLOTS, run.slots),
            (Known.RUN_STORAGES, run.storages), (Known.ARRAYS, self.trace.binding.plan.arrays),
            (Known.FREE, self._free), (Known.TOUCHES, execute.touches),
            (Known.FLUSHES, execute.flushes), (Known.BLOCK, block), (Known.RUNS, runs))
        for name, x in changing:
            words[name] = id(x)
        self._changing = [x for _, x in changing]
        words[Known.ADDRESS] = block.address
        self.known = True

    @property
    def untaken(self) -> int:
        """How many runs there were since they were taken."""
        return self._words[_REPEATED]

    def take(self) -> int:
        """How many runs there were since this was asked; their versions are counted now."""
        n, self._words[_REPEATED] = self._words[_REPEATED], 0
        Repeat.total += n
        return n
