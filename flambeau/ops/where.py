"""Where operands came from, for messages: looked up when an error is raised, never before.

"Operand" means a Node, or a Tensor (anything with ``_made_at()`` and ``node()``).
"""

from __future__ import annotations

from collections.abc import Callable

from ..base import dtype as dt
from ..base import srcloc
from ..ir.node import BUFFER, Node

#: PyTorch's names of dtypes in messages about mixed ones
C_NAMES = {"float64": "double", "float32": "float", "float16": "c10::Half", "int64": "long int",
           "int32": "int", "int16": "short int", "int8": "signed char", "uint8": "unsigned char",
           "bool": "bool", "bfloat16": "c10::BFloat16", "complex64": "c10::complex<float>",
           "complex128": "c10::complex<double>"}


def c_name(d: dt.dtype) -> str:
    """float32 as C's "float"."""
    return C_NAMES.get(d.name, d.name)


def scalar_name(d: dt.dtype) -> str:
    """float32 as "Float"."""
    return dt.scalar_name(d)


def location(x) -> srcloc.SourceLoc | None:
    """The line that made an operand, where it is known."""
    return x.loc if isinstance(x, Node) else x._made_at()


def made(x, word: str = "made") -> str:
    """", made at file.py:12 (`y = f(x)`)", or nothing."""
    loc = location(x)
    return f", {word} at {loc.quote()}" if loc is not None else ""


def reached(node: Node, visit: Callable[[Node], bool]) -> Node | None:
    """The first node among a pending node's ancestors (itself included) that ``visit`` takes."""
    seen = {id(node)}
    stack = [node]
    while stack:
        n = stack.pop()
        if visit(n):
            return n
        for s in reversed(n.srcs):
            if id(s) not in seen:
                seen.add(id(s))
                stack.append(s)
    return None


def double_hint(*operands) -> str:
    """Which operand is float64 and which line brought that in; "" when none is."""
    for x in operands:
        if x.dtype is not dt.float64:
            continue
        node = x if isinstance(x, Node) else x.node()
        source = reached(node, lambda n: n.prim is BUFFER and n.dtype is dt.float64
                         and n.loc is not None)
        loc = source.loc if source is not None else location(x)
        where = f", from {loc.quote()}" if loc is not None else ""
        return (f": the operand of shape {tuple(x.shape)} is float64{where}; NumPy arrays are "
                "float64 by default: convert with .float(), or make the array with np.float32")
    return ": convert one with .to(other.dtype)"


def channels_last_hint(shape: tuple, channels: int) -> str:
    """What to say when the last axis is what the channels should be; "" when it is not."""
    if len(shape) < 3 or shape[-1] != channels or shape[1] == channels:
        return ""
    order = ", ".join(map(str, (0, len(shape) - 1, *range(1, len(shape) - 1))))
    return (f". The last axis has {channels}: the input looks channels-last, "
            f"x.permute({order}) puts channels first")
