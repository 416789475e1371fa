"""vmap on tensors: how they get and lose their axis of examples, on the tape as well.

See ir/batch.py for what a batched value is. The tape records operations on single examples; its
gradients are batched where its values are. So an operand that is the same for all examples and
requires a gradient is *lifted* first: backward then adds up what the examples send.
"""

from __future__ import annotations

import numpy as np

from ..autograd import modes
from ..ir import batch
from ..ir.node import Node, leaf
from ..ir.op import Op, apply
from ..ops.prim.reduce import sum as sum_
from ..runtime import execute
from .tensor import Tensor


def _node(x) -> Node:
    return x.node() if isinstance(x, Tensor) else x


def _unbatch_lower(node, level, size, dim, same):
    node = batch.physical(node, level, size)
    if not dim:
        return node
    order = list(range(1, len(node.shape)))
    order.insert(dim, 0)
    return batch.permuted(node, order)


def _unbatch_vjp(ctx, g):
    if ctx.same:
        return (sum_(g, ctx.dim),)
    return (apply(BATCH, g, level=ctx.level, size=ctx.size, dim=ctx.dim),)


BATCH = Op("vmap_batch", lambda x, level, size, dim: batch.batched(x, level, size, dim),
           lambda ctx, g: (unbatch(g, ctx.level, ctx.size, ctx.dim),),
           doc="One example for a whole axis.")
UNBATCH = Op("vmap_unbatch", _unbatch_lower, _unbatch_vjp,
             doc="All examples along an axis.")
LIFT = Op("vmap_lift", lambda x, level, size: batch.lift(x, level, size),
          lambda ctx, g: (sum_(unbatch(g, ctx.level, ctx.size, 0), 0),),
          doc="The same for every example; gradients add up.")
_OWN = (BATCH, UNBATCH, LIFT)


def to_batch(x: Tensor, level: batch.Level, dim: int) -> Tensor:
    """One example of ``x`` along ``dim``, standing for all."""
    return apply(BATCH, x, level=level.number, size=level.size, dim=dim)


def unbatch(x, level: int, size: int, dim: int):
    """All examples of a tensor or node, along ``dim``."""
    return apply(UNBATCH, x, level=level, size=size, dim=dim,
                 same=level not in batch.levels(_node(x)))


def is_batched(x: Tensor, level: batch.Level) -> bool:
    """Whether the examples of a level may differ in ``x``."""
    return level.number in batch.levels(x.node())


def lifted(op: Op, operands):
    """Operands as an operation takes them: those that require a gradient lifted to the levels of
    the others."""
    if op in _OWN or op.vjp is None or op.geometry is not None or not modes.state.grad:
        return operands
    sizes: dict[int, int] = {}
    for x in operands:
        for t in x if isinstance(x, (tuple, list)) else (x,):
            if isinstance(t, Tensor):
                node = t.node()
                while node.prim is batch.BATCHED:
                    sizes[node.params[0]] = node.params[1]
                    node = node.srcs[0]
    if not sizes:
        return operands

    def lift(x):
        if isinstance(x, (tuple, list)):
            return tuple(lift(t) for t in x)
        if not isinstance(x, Tensor) or not (x._requires or x.grad_fn is not None):
            return x
        return _lift_to(x, sizes)

    return tuple(map(lift, operands))


def _lift_to(x: Tensor, sizes: dict[int, int]) -> Tensor:
    have = batch.levels(x.node())
    for level in sorted(sizes.keys() - set(have)):
        x = apply(LIFT, x, level=level, size=sizes[level])
    return x


def lift_to_active(x: Tensor) -> Tensor:
    """``x`` as batched at all levels at work, so that gradients by it are one per example."""
    stack = batch.state.stack
    return _lift_to(x, {level.number: level.size for level in stack}) if stack else x


# --- random numbers -------------------------------------------------------------------------------


def drawing() -> list[batch.Level]:
    """The levels at which random numbers that are drawn now differ between examples.

    Raises:
        RuntimeError: vmap's randomness forbids them.
    """
    return batch.refuse_or_levels() if batch.state.stack else []


def values_of(t: Tensor, stack: list[batch.Level]) -> np.ndarray:
    """The values of a tensor with the axes of levels in front.

    Raises:
        RuntimeError: they differ between examples that are to get the same random numbers.
    """
    if not batch.state.stack:
        return t._array()
    node = t.node()
    for level in reversed(stack):
        node = batch.physical(node, level.number, level.size)
    if node.prim is batch.BATCHED:
        raise RuntimeError("vmap: there are no same random numbers for all examples when they are "
                           "drawn from values that differ between examples; use "
                           "randomness='different'")
    return execute.realize(node)


def drawn(values: np.ndarray, stack: list[batch.Level], dtype=None) -> Node:
    """Values with the axes of levels in front, as a node of one example."""
    return batch.wrapped_all(leaf(values, dtype), stack)


def check_write(t: Tensor, node: Node) -> None:
    """Refuse to write values of many examples into memory that holds one.

    Raises:
        RuntimeError: the memory was there before the examples, or gradients would not add up.
    """
    have = batch.levels(t.storage.node)
    for level in batch.levels(node):
        if level not in have and (t.storage.born < level or t._base is not None
                                  and t._base.requires_grad):
            raise RuntimeError(
                "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists "
                "a Tensor `other` in extra_args that has more elements than `self`. This happened "
                "due to `other` being vmapped over but `self` not being vmapped over. Please use "
                "out-of-place operators instead of inplace arithmetic, or write into a tensor made "
                "from `other` (torch.zeros_like)")
