"""Checks that a graph is well formed; run after capture and after every pass with
``FLAMBEAU_VERIFY=1``."""

from __future__ import annotations

from ..base.errors import InternalError
from ..ir.node import BUFFER, CONST
from .graph import Graph


class GraphError(InternalError):
    """A malformed graph; names the check and the record."""


def check_order(graph: Graph) -> None:
    """Operands come before their users."""
    for i, n in enumerate(graph.nodes):
        for s in n.srcs:
            if not 0 <= s < i:
                raise GraphError(f"check_order: record %{i} reads %{s}")


def check_leaves(graph: Graph) -> None:
    """The leaves are exactly the records without computation, in order."""
    found = [i for i, n in enumerate(graph.nodes) if n.prim in (BUFFER, CONST)]
    if sorted(graph.leaves) != found:
        raise GraphError(f"check_leaves: leaves {graph.leaves}, but sources are {found}")
    for i in found:
        n = graph.nodes[i]
        if n.srcs or n.layout is not None and len(n.layout) != len(n.shape):
            raise GraphError(f"check_leaves: leaf %{i} has operands or a layout of another rank")


def check_shapes(graph: Graph) -> None:
    """Elementwise operands have the record's shape or none; views stay inside their source."""
    for i, n in enumerate(graph.nodes):
        if n.prim.cls.value == "elementwise":
            for s in n.srcs:
                if graph.nodes[s].shape not in (n.shape, ()):
                    raise GraphError(f"check_shapes: operand %{s} of %{i} has shape "
                                     f"{graph.nodes[s].shape}, the record {n.shape}")
        elif n.prim.cls.value == "view" and 0 not in n.shape:
            shape, strides, offset = n.params
            ends = [s * (k - 1) for s, k in zip(strides, shape, strict=True)]
            low = offset + sum(e for e in ends if e < 0)
            high = offset + sum(e for e in ends if e > 0)
            if low < 0 or high >= graph.nodes[n.srcs[0]].numel():
                raise GraphError(f"check_shapes: view %{i} reads elements {low}..{high} of "
                                 f"{graph.nodes[n.srcs[0]].numel()}")


def check_outputs(graph: Graph) -> None:
    """Outputs exist; what is donated is a buffer of its output's shape and dtype."""
    for i in graph.outputs:
        if not 0 <= i < len(graph.nodes):
            raise GraphError(f"check_outputs: no record %{i}")
    for leaf, k in graph.donated.items():
        a, b = graph.nodes[graph.leaves[leaf]], graph.nodes[graph.outputs[k]]
        if a.prim is not BUFFER or a.shape != b.shape or a.dtype is not b.dtype:
            raise GraphError(f"check_outputs: leaf {leaf} cannot become output {k}")


CHECKS = (check_order, check_leaves, check_shapes, check_outputs)


def verify(graph: Graph) -> None:
    """Run every check.

    Raises:
        GraphError: one of them fails.
    """
    for check in CHECKS:
        check(graph)
