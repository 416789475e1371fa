"""Every stage of one flush as text: graph, groups, kernels, LLVM."""

from __future__ import annotations

from ..codegen.loops import emit_epilogue, emit_kernel
from ..graph.graph import Graph
from ..graph.text import to_text as graph_text
from ..kernel.text import to_text as kernel_text
from ..runtime import team
from ..schedule.compile import Schedule, schedule_graph
from ..schedule.why import groups_text

_EMIT = {"loop": emit_kernel, "dot": emit_epilogue}


class Stages:
    """The stages between a graph and machine code, each made when it is asked for.

    Attributes:
        graph: graph IR.
        schedule: its groups, their order and where values live, with the reasons why members did
            not join other groups.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.schedule: Schedule = schedule_graph(graph, team.threads(), explain=True)

    def graph_text(self) -> str:
        """The graph, a line for each record."""
        return graph_text(self.graph)

    def groups_text(self) -> str:
        """The groups, and why two nodes are not in one."""
        return groups_text(self.schedule)

    def kernels(self) -> list:
        """The different loop kernels and epilogues of matrix products, in running order."""
        return list(self._kernels())

    def _kernels(self) -> dict:
        """Kernels, and how each is made LLVM IR."""
        found = {}
        for e in self.schedule.entries:
            if e.kind in _EMIT and e.step.kernel is not None:
                found.setdefault(e.step.kernel, _EMIT[e.kind])
        return found

    def kernels_text(self) -> str:
        """The kernels in kernel IR."""
        return "\n".join(kernel_text(k) for k in self.kernels())

    def llvm_text(self) -> str:
        """The kernels as LLVM IR for this machine."""
        return "\n".join(str(emit(k)) for k, emit in self._kernels().items())


def stages(graph: Graph) -> Stages:
    """The stages of a captured graph (``Plan.graph``, or parsed from text)."""
    return Stages(graph)
