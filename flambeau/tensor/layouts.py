"""Results whose memory is in the order of their operands' memory (see base/layout.py).

The node of such a result is its memory, row-major as all nodes are; the tensor sees it through
strides. What is computed element by element reads its operands with their dimensions in that order,
so that nothing is moved; other values are computed as they are and then put in order.
"""

from __future__ import annotations

from ..base import device as dv
from ..base import shape as sh
from ..base.layout import NUMBER, Turned, of_copy, of_gradient
from ..ir.batch import Count
from ..ir.node import Node
from ..ir.op import Op
from ..ir.view import view
from ..ops.core import is_number
from ..ops.prim.elementwise import clone_strided
from .tensor import Tensor


def _layouts(operands) -> tuple:
    return tuple([(x.shape, x.strides) if isinstance(x, Tensor) else _other_layout(x)
                  for x in operands])


def _other_layout(x) -> tuple | None:
    if isinstance(x, Node):
        return x.shape, x.strides
    if is_number(x):
        return NUMBER
    return _layouts(x) if isinstance(x, (tuple, list)) else None


def arrange(op: Op, operands, nodes: list, params: dict) -> tuple[Turned | None, dict]:
    """Put nodes in the place of the tensors that are left among ``nodes``.

    Returns:
        The layout in whose order all operands now are, None where that is row-major; and the
        parameters for operands in that order.
    """
    rule = op.layout
    layout = None
    if rule is not None and (rule.by_element or rule.reduces):
        layout = rule.find(_layouts(operands), params, None)
        if layout is not None and rule.reduces:
            axes = sorted(layout.order.index(d) for d in params["axes"])
            params = {**params, "axes": tuple(axes)}
    for i, x in enumerate(operands):
        if isinstance(x, Tensor) and (layout is not None or nodes[i] is x):
            nodes[i] = x.node() if layout is None else x._in_order(layout)
    return layout, params


def whole(t: Tensor) -> Turned | None:
    """The layout of a tensor that is all of its memory, though not row-major; else None."""
    if t._row_major or Count.current or t.storage.numel != sh.numel(t.shape) or t.offset:
        return None
    return of_gradient((t.shape, t.strides))


def gradient(variable: Tensor, node: Node) -> Tensor:
    """A value as the gradient of a leaf, whose memory is in the order of the leaf's."""
    layout = _of_gradient(variable)
    return Tensor._wrap(node, variable.device) if layout is None \
        else _laid_out(node, layout, variable.device)


def recorded_gradient(variable: Tensor, value: Tensor) -> Tensor:
    """The same for a gradient that has a history itself."""
    layout = _of_gradient(variable)
    strides = sh.contiguous_strides(variable.shape) if layout is None else layout.strides
    return value if value.strides == strides else clone_strided(value, strides)


def _of_gradient(variable: Tensor) -> Turned | None:
    return None if variable._row_major else of_gradient((variable.shape, variable.strides))


def _laid_out(node: Node, layout: Turned, device: dv.device) -> Tensor:
    """A row-major value, put in the order of a layout."""
    steps = [node.strides[d] for d in layout.order]
    return Tensor._of_layout(view(node, layout.memory, steps), layout, device)


def like_copy(t: Tensor, strides: tuple[int, ...]) -> Tensor:
    """A fresh row-major tensor, put in the order that a copy of one with these strides has."""
    layout = of_copy((t.shape, strides)) if len(t.shape) > 1 else None
    return t if layout is None else _laid_out(t.node(), layout, t.storage.device)


def wrapped(nodes, layout: Turned | None, op: Op, operands, params: dict,
            device: dv.device) -> tuple[Tensor | None, ...]:
    """Results as tensors.

    Args:
        layout: the order in which ``op`` has worked.
    """
    return tuple([n if n is None else _wrap(n, layout, op, operands, params, device)
                  for n in nodes])


def _reduced(node: Node, layout: Turned, params: dict) -> Node:
    """What was folded in the order of a layout, with its dimensions in their own order."""
    axes = () if params["keepdim"] else params["axes"]
    order = [d for d in layout.order if d not in axes]
    kept = sorted(order)
    at = [order.index(d) for d in kept]
    return view(node, [node.shape[i] for i in at], [node.strides[i] for i in at])


def _wrap(node: Node, layout: Turned | None, op: Op, operands, params: dict,
          device: dv.device) -> Tensor:
    if layout is not None and op.layout.reduces:
        return Tensor._wrap(_reduced(node, layout, params), device)
    if layout is not None:
        if node.shape == layout.memory:
            return Tensor._of_layout(node, layout, device)
        if node.shape:
            raise AssertionError(f"{op}: a result of shape {node.shape}, not one element each")
    elif op.layout is not None and not op.layout.by_element:
        layout = op.layout.find(_layouts(operands), params, node.shape)
        if layout is not None:
            return _laid_out(node, layout, device)
    return Tensor._wrap(node, device)
