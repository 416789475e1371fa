"""The stage dumps of docs/ARCHITECTURE.md: what ``((a @ b).relu().sum()).backward()`` becomes."""

from __future__ import annotations

import re

import flambeau as torch
from flambeau.base import flags
from flambeau.debug import explain
from flambeau.ir import node as ir
from flambeau.runtime import execute

SECTIONS = ("tape", "nodes", "graph", "groups", "kernel", "llvm")


def operands() -> tuple:
    """The two matrices of the example."""
    torch.manual_seed(0)
    return (torch.randn(32, 20, requires_grad=True), torch.randn(20, 64, requires_grad=True))


def program(a, b):
    """The example; the loss is kept, so that it is computed too."""
    a.grad = b.grad = None
    loss = (a @ b).relu().sum()
    loss.backward()
    return loss


def tape_text(loss) -> str:
    """The tape below a tensor: each step and what it reads."""
    lines, level = [], [(0, loss.grad_fn)]
    while level:
        depth, fn = level.pop()
        lines.append("  " * depth + fn.name())
        level += [(depth + 1, f) for f, _ in reversed(fn.next_functions) if f is not None]
    return "\n".join(lines)


def dumps() -> dict[str, str]:
    """Text of each section of the document."""
    a, b = operands()
    found = {}
    with flags.override(tier="0", threads=1, follow=0):
        execute.flush()
        loss = (a @ b).relu().sum()
        found["tape"] = tape_text(loss)
        found["nodes"] = "\n".join(repr(n) for n in ir.pending)
        loss.backward()
        execute.flush()
    with flags.override(threads=1, vector="avx2", follow=0):
        (plan,) = explain(program, a, b).plans
        found["graph"] = plan.graph_text()
        found["groups"] = plan.groups_text()
        found["kernel"] = plan.kernels_text()
        found["llvm"] = head_of_function(plan.llvm_text())
    return found


def head_of_function(text: str, lines: int = 12) -> str:
    """The first lines of the first function, and how many there are."""
    rows = text.splitlines()
    start = next(i for i, row in enumerate(rows) if re.match(r"define .*@(kernel|epilogue)\b", row))
    end = next(i for i in range(start, len(rows)) if rows[i].startswith("}"))
    more = end - start + 1 - lines
    return "\n".join(rows[start:start + lines]) + f"\n  ... ({more} more lines)"
