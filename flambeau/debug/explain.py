"""``explain(fn, *args)``: what a piece of a program becomes."""

from __future__ import annotations

from ..base import flags
from ..runtime import execute, profile
from ..runtime.plan import Plan
from .compiled import line_of
from .stages import Stages


class Explanation:
    """What one call of a function recorded, compiled and took; ``print`` it.

    Attributes:
        plans: one :class:`PlanReport` for each flush, in order.
        result: what the function returned the last time.
    """

    def __init__(self, plans: list[PlanReport], result):
        self.plans, self.result = plans, result

    def __str__(self) -> str:
        if not self.plans:
            return "nothing was recorded: every value was there already"
        return "\n\n".join(f"flush {n} of {len(self.plans)}, {p}"
                           for n, p in enumerate(self.plans, 1))

    __repr__ = __str__


class PlanReport:
    """One flush: ``graph_text()``, ``groups_text()``, ``kernels_text()``, ``llvm_text()`` and
    ``times`` (seconds by kernel)."""

    def __init__(self, plan: Plan):
        self.line = line_of(plan)
        self.stages = Stages(plan.graph)
        self.times = {name: seconds / calls for name, (seconds, calls) in plan.times.items()
                      if name != "addresses"}
        for name in ("graph_text", "groups_text", "kernels_text", "llvm_text"):
            setattr(self, name, getattr(self.stages, name))

    def __str__(self) -> str:
        nodes = self.stages.graph.nodes
        lines = [f"last recorded at {self.line}: {sum(not n.is_leaf for n in nodes)} operations, "
                 f"{len(self.stages.schedule.entries)} entries", self.groups_text()]
        if self.times:
            lines.append("times")
            lines += [f"  {seconds * 1e6:8.1f} us  {name}" for name, seconds in
                      sorted(self.times.items(), key=lambda x: -x[1])]
        return "\n".join(lines)


def explain(function, *args, **kwargs) -> Explanation:
    """Run ``function`` and say what it was turned into.

    The function is called three times (to compile, to warm up, to be timed), so it should be one
    whose effects may be repeated, such as a training step.

    Args:
        function: any callable; its operations, and what they flush, are looked at.
        args, kwargs: what it is called with.

    Returns:
        An :class:`Explanation`: for each flush the groups of operations that became one kernel, the
        reasons why others did not, and the time of each kernel.

    Example:
        >>> print(torch.debug.explain(lambda: (a @ b).relu().sum().item()))  # doctest: +SKIP
    """
    execute.flush()
    known, execute._plans = execute._plans, {}
    try:
        with flags.override(tier="1", follow=0):
            for _ in range(2):
                result = function(*args, **kwargs)  # held, so that it is computed
                execute.flush()
            with flags.override(debug=1):
                result = function(*args, **kwargs)
                execute.flush()
        plans = [p for p in execute._plans.values() if isinstance(p, Plan)]
        reports = [PlanReport(p) for p in plans]
        profile.forget(plans)
    finally:
        execute._plans = known
    return Explanation(reports, result)
