"""Operations: what programs call and what the autograd tape records.

An :class:`Op` is one differentiable step with PyTorch's granularity (so that ``grad_fn`` names and
graphs are PyTorch's): how it is computed (``lower``, from nodes to nodes) and its gradient
(``vjp``, written in operations, so that higher derivatives come free). Functions without a rule of
their own (composites) are plain Python over other functions.

:func:`apply` runs an op on whatever its operands are: on nodes it builds nodes; on tensors (a class
that defines ``_apply_op``) it also keeps the tape, aliasing and versions. Operation files therefore
never import Tensor.
"""

from __future__ import annotations

from collections.abc import Callable

from ..base.dtype import dtype
from ..base.layout import Rule
from .node import Node
from .view import view

OPS: dict[str, Op] = {}


class Op:
    """One step of the tape.

    Args:
        name: unique; PyTorch's aten name where there is one.
        lower: ``lower(*operands, **params) -> Node | tuple[Node, ...]``; operands are nodes (None
            for an absent optional one, tuples of nodes for tensor lists).
        vjp: ``vjp(ctx, *grads) -> tuple`` with one gradient per tensor operand (None: no gradient).
            A tensor-list operand gets a tuple/list of gradients in its place. Not needed for ops
            whose results carry no gradient; then ``nondiff`` says why.
            ``ctx`` offers ``ctx.operand(i)`` / ``ctx.result(i=0)`` (only what ``saves`` lists),
            ``ctx.shape(i)``, ``ctx.dtype(i)``, ``ctx.needs(i)`` and the params as attributes.
            Gradients are reduced to the operand's shape (broadcasting undone) and cast to its
            dtype by the engine.
        saves: which operands (numbers) and results ("result" or "result1") the vjp reads. A
            callable ``saves(needs, params)`` may decide by what needs a gradient.
        guards: what must not be written before backward, listed as in ``saves``; None: what is
            saved. PyTorch refuses such writes where it keeps the tensor itself, although a rule
            here may not read it, and allows them where it keeps a copy.
        geometry: makes it a view op: ``geometry(shape, strides, offset, **params)`` gives the
            result's (shape, strides, offset); ``lower`` is then derived.
        geometries: the same for a view op with several results: a list of such triples.
        retypes: of a view op whose result reads the memory as another dtype: which one, for that
            of the operand. The geometry counts its elements, and ``lower`` is needed for nodes.
        grad_name: "ReluBackward0"; derived from the name when omitted.
        nondiff: why there is no gradient.
        nondiff_results: numbers of results that never carry a gradient (argmax's indices).
        layout: the order in memory of the results; None: always row-major.
    """

    __slots__ = ("name", "lower", "vjp", "saves", "guards", "geometry", "geometries", "grad_name",
                 "nondiff", "nondiff_results", "doc", "layout", "asks_layout", "retypes")

    def __init__(self, name: str, lower: Callable | None = None, vjp: Callable | None = None, *,
                 saves=(), guards=None, geometry: Callable | None = None,
                 geometries: Callable | None = None, grad_name: str | None = None,
                 nondiff: str | None = None, nondiff_results: tuple[int, ...] = (), doc: str = "",
                 layout: Rule | None = None,
                 retypes: Callable[[dtype], dtype] | None = None):
        if name in OPS:
            raise ValueError(f"operation {name!r} is declared twice")
        if vjp is None and nondiff is None:
            raise ValueError(f"operation {name!r}: give vjp=, or nondiff='why it has no gradient'")
        if lower is None and geometry is None and geometries is None:
            raise ValueError(f"operation {name!r}: give lower=, geometry= or geometries=")
        self.name, self.vjp, self.saves, self.guards = name, vjp, saves, guards
        self.geometry, self.nondiff, self.nondiff_results = geometry, nondiff, nondiff_results
        self.geometries = geometries
        self.lower, self.retypes = lower, retypes
        self.doc, self.layout = doc, layout
        self.asks_layout = layout is not None and layout.always
        self.grad_name = grad_name or _camel(name) + "Backward0"
        OPS[name] = self

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __call__(self, *operands, **params):
        return apply(self, *operands, **params)


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_") if part)


def apply(op: Op, /, *operands, **params):
    """Run ``op`` on nodes or on tensors; see the module's text."""
    for x in operands:
        if type(x) is Node:  # then there are no tensors
            break
        run = getattr(x, "_apply_op", None)
        if run is not None:
            return run(op, operands, params)
        if isinstance(x, (tuple, list)) and x and hasattr(x[0], "_apply_op"):
            return x[0]._apply_op(op, operands, params)
    if op.geometry is not None and op.retypes is None:
        return _view_node(op, operands[0], params)
    if op.geometries is not None:
        node = operands[0]
        return tuple(view(node, *part)
                     for part in op.geometries(node.shape, node.strides, 0, **params))
    return op.lower(*operands, **params)


def _view_node(op: Op, node: Node, params: dict) -> Node:
    """A view op on a node, whose layout is row-major from offset 0."""
    shape, strides, offset = op.geometry(node.shape, node.strides, 0, **params)
    return view(node, shape, strides, offset)
