"""Kernels as text, and back.

    kernel outer=1 inner=1 lanes=inner split=no order=plain
      b0 = in float32 [any, 1]
      b1 = out float32 [any, 1]
      loop:
        v0 = load b0
        v1 = fold amax v0 float32
      row:
        v2 = op neg v1 float32
      loop:
        v3 = load b0
        v4 = op sub v3 v2 float32 params=()
        store b1 v4
"""

from __future__ import annotations

import ast
import re

from ..base import dtype as dt
from ..ir.node import PRIMS
from .ir import Buffer, Kernel, Section

_STEP = {0: "0", 1: "1", 2: "any"}
_YES = {True: "yes", False: "no"}


class KernelTextError(ValueError):
    """Text that is not a kernel; names the line."""


def to_text(kernel: Kernel) -> str:
    """The kernel, a line for each buffer and instruction."""
    lines = [(f"kernel outer={kernel.outer} inner={kernel.inner} lanes={kernel.lanes} "
             f"split={_YES[kernel.split]} order={kernel.order}")]
    for n, b in enumerate(kernel.buffers):
        lines.append(f"  b{n} = {b.role} {b.dtype} [{', '.join(_STEP[s] for s in b.steps)}]")
    for s in kernel.sections:
        lines.append(f"  {s.level}:")
        lines.extend("    " + _instruction(i) for i in s.body)
    return "\n".join(lines)


def _instruction(i: tuple) -> str:
    if i[0] == "load":
        return f"v{i[1]} = load b{i[2]}"
    if i[0] == "store":
        return f"store b{i[1]} v{i[2]}"
    if i[0] == "take":
        return f"v{i[1]} = take b{i[2]} v{i[3]}"
    if i[0] == "column":
        return f"column b{i[1]} {i[2]} v{i[3]} {i[4]}"
    if i[0] == "fold":
        return f"v{i[1]} = fold {i[2]} v{i[3]} {i[4]}"
    if i[0] == "order":
        return f"order v{i[1]}"
    _, v, prim, params, srcs, dtype = i
    text = f"v{v} = op {prim} {' '.join(f'v{s}' for s in srcs)} {dtype}"
    if params:
        named = tuple("dtype " + p.name if isinstance(p, dt.dtype) else p for p in params)
        text += f" params={named!r}"
    return text


_HEAD = r"kernel outer=(\d+) inner=(\d+) lanes=(\w+) split=(yes|no) order=(\w+)$"
_BUFFER = r"b(\d+) = (\w+) (\w+) \[([^]]*)\]$"
_OP = r"v(\d+) = op (\w+)((?: v\d+)*) (\w+)(?: params=(\(.*\)))?$"
_FOLD = r"v(\d+) = fold (\w+) v(\d+) (\w+)$"
_COLUMN = r"column b(\d+) (\w+) v(\d+) (\w+)$"
_TAKE = r"v(\d+) = take b(\d+) v(\d+)$"
_ORDER = r"order v(\d+)$"
_LOAD = r"v(\d+) = load b(\d+)$"
_STORE = r"store b(\d+) v(\d+)$"


def parse(text: str) -> Kernel:
    """The kernel a text describes.

    Raises:
        KernelTextError: a line is no buffer, section or instruction.
    """
    lines = [x.strip() for x in text.strip().splitlines()]
    head = re.match(_HEAD, lines[0])
    if head is None:
        raise KernelTextError(f"line 1: {lines[0]!r} does not start a kernel")
    buffers: list[Buffer] = []
    sections: list[tuple[str, list[tuple]]] = []
    steps = {name: code for code, name in _STEP.items()}
    for number, line in enumerate(lines[1:], 2):
        found = re.match(_BUFFER, line)
        if found:
            buffers.append(Buffer(found[3], tuple(steps[x.strip()] for x in found[4].split(",")
                                                  if x.strip()), found[2]))
        elif line in ("row:", "loop:"):
            sections.append((line[:-1], []))
        elif sections:
            sections[-1][1].append(_parse_instruction(line, number))
        else:
            raise KernelTextError(f"line {number}: {line!r} before the first section")
    return Kernel(int(head[1]), int(head[2]), head[3], head[4] == "yes", head[5],
                  tuple(buffers), tuple(Section(level, tuple(body)) for level, body in sections))


def _parse_instruction(line: str, number: int) -> tuple:
    if found := re.match(_LOAD, line):
        return ("load", int(found[1]), int(found[2]))
    if found := re.match(_STORE, line):
        return ("store", int(found[1]), int(found[2]))
    if found := re.match(_TAKE, line):
        return ("take", int(found[1]), int(found[2]), int(found[3]))
    if found := re.match(_COLUMN, line):
        return ("column", int(found[1]), found[2], int(found[3]), found[4])
    if found := re.match(_FOLD, line):
        return ("fold", int(found[1]), found[2], int(found[3]), found[4])
    if found := re.match(_ORDER, line):
        return ("order", int(found[1]))
    if (found := re.match(_OP, line)) and found[2] in PRIMS:
        params = ast.literal_eval(found[5]) if found[5] else ()
        params = tuple(dt.BY_NAME[p[6:]] if isinstance(p, str) and p.startswith("dtype ") else p
                       for p in params)
        return ("op", int(found[1]), found[2], params,
                tuple(int(v[1:]) for v in found[3].split()), found[4])
    raise KernelTextError(f"line {number}: {line!r} is no instruction")
