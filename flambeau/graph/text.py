"""Graphs as text, and back.

One line for each record::

    graph
      %0 = buffer float32[32, 20]
      %1 = buffer float32[64, 20] strides=(1, 64)
      %2 = const float32[]
      %3 = dot float32[32, 64] %0 %1
      %4 = sum float32[32] %3 params=((1,),)
      return %4
      donated 0:0

Parameters are Python literals; dtypes are written by name, other objects by their repr (such a
graph cannot be parsed back).
"""

from __future__ import annotations

import ast
import re

from ..base import dtype as dt
from ..ir.node import BUFFER, CONST, PRIMS
from .graph import GNode, Graph


class GraphTextError(ValueError):
    """Text that is not a graph; names the line."""


def to_text(graph: Graph) -> str:
    """The graph, a line for each record."""
    lines = ["graph"]
    for i, n in enumerate(graph.nodes):
        lines.append("  " + record_text(i, n))
    lines.append("  return " + " ".join(f"%{i}" for i in graph.outputs))
    if graph.donated:
        lines.append("  donated " + " ".join(f"{a}:{b}" for a, b in graph.donated.items()))
    if graph.overlaps:
        lines.append("  overlaps " + " ".join(f"{a}{'=' if same else ':'}{b}"
                                              for a, b, same in graph.overlaps))
    return "\n".join(lines)


def record_text(i: int, n: GNode) -> str:
    """One record as its line, without indentation."""
    parts = [f"%{i} = {n.prim.name} {n.dtype.name}{list(n.shape)}"]
    parts.extend(f"%{s}" for s in n.srcs)
    if n.params:
        parts.append(f"params=({''.join(_literal(p) + ', ' for p in n.params)[:-1]})")
    if n.layout is not None:
        parts.append(f"strides={n.layout}")
    return " ".join(parts)


def _literal(value) -> str:
    if isinstance(value, dt.dtype):
        return repr("dtype " + value.name)
    if isinstance(value, tuple):
        inner = "".join(_literal(v) + "," for v in value)
        return f"({inner})"
    return repr(value)


def parse(text: str) -> Graph:
    """The graph a text describes.

    Raises:
        GraphTextError: a line is not a record, or names an unknown primitive or a later record.
    """
    nodes: list[GNode] = []
    leaves: list[int] = []
    outputs: list[int] = []
    donated: dict[int, int] = {}
    overlaps: list[tuple[int, int, bool]] = []
    for number, line in enumerate(text.strip().splitlines(), 1):
        line = line.strip()
        word, _, rest = line.partition(" ")
        if line == "graph" or not line:
            continue
        if word == "return":
            outputs = [int(x[1:]) for x in rest.split()]
        elif word == "donated":
            donated = dict(_pair(x) for x in rest.split())
        elif word == "overlaps":
            overlaps = [(*_pair(x.replace("=", ":")), "=" in x) for x in rest.split()]
        else:
            node = _record(line, len(nodes), number)
            if node.is_leaf:
                leaves.append(len(nodes))
            nodes.append(node)
    return Graph(nodes, leaves, outputs, donated, overlaps)


def _pair(text: str) -> tuple[int, int]:
    a, _, b = text.partition(":")
    return int(a), int(b)


_LINE = (r"%(\d+) = (\S+) (\w+)\[([\d, ]*)\]((?: %\d+)*)(?: params=(\(.*\)))?"
                   r"(?: strides=(\(.*\)))?$")


def _record(line: str, at: int, number: int) -> GNode:
    found = re.match(_LINE, line)
    if found is None or int(found[1]) != at:
        raise GraphTextError(f"line {number}: {line!r} is not record %{at}")
    _, name, dtype, shape, srcs, params, strides = found.groups()
    if name not in PRIMS or dtype not in dt.BY_NAME:
        raise GraphTextError(f"line {number}: no primitive {name!r} or no dtype {dtype!r}")
    operands = tuple(int(s[1:]) for s in srcs.split())
    if any(s >= at for s in operands):
        raise GraphTextError(f"line {number}: an operand comes after its user")
    if (PRIMS[name] in (BUFFER, CONST)) == bool(operands) and name in ("buffer", "const"):
        raise GraphTextError(f"line {number}: a leaf has no operands")
    return GNode(PRIMS[name], operands, _values(params) if params else (),
                 tuple(int(x) for x in shape.split(",") if x.strip()), dt.BY_NAME[dtype],
                 ast.literal_eval(strides) if strides else None)


def _values(text: str) -> tuple:
    def back(value):
        if isinstance(value, str) and value.startswith("dtype "):
            return dt.BY_NAME[value[6:]]
        return tuple(map(back, value)) if isinstance(value, tuple) else value

    return back(ast.literal_eval(text))
