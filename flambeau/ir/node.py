"""Graph IR: what is to be computed.

A :class:`Node` is one value: a primitive applied to earlier nodes. Its shape and dtype are known
when it is made; its ``value`` (a NumPy array) once it has been run, and from then on it is a leaf:
``srcs`` is emptied, so a graph never outlives its computation.

Logically every node is a *contiguous row-major* block of ``numel(shape)`` elements; the one view
primitive (``ops/prim/view.py``) reads such a block through other strides and an offset. The array
that holds a leaf may itself be strided.

Invariants: ``params`` is hashable and belongs to the node's identity; a node is never changed
except by running it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from threading import get_ident

import numpy as np

from ..base import dtype as dt
from ..base import shape as sh
from ..base import srcloc


class OpClass(enum.Enum):
    """What a pass needs to know about a primitive; passes dispatch on this, never on names."""

    SOURCE = "source"  # buffer, const, iota
    ELEMENTWISE = "elementwise"  # one output element from one element of each operand
    VIEW = "view"  # index arithmetic only
    REDUCE = "reduce"  # folds axes
    SCAN = "scan"  # cumsum and its like
    CONTRACT = "contract"  # dot, convolution
    INDEX = "index"  # positions are data
    LIBRARY = "library"  # opaque call on whole arrays
    EFFECT = "effect"  # order matters


class Prim:
    """A graph primitive: shape rule, NumPy meaning (tier 0) and LLVM rule.

    Args:
        name: unique name, lower case.
        cls: its class.
        infer: ``infer(*srcs, *params) -> (shape, dtype)``; srcs are nodes, already broadcast and
            promoted by the caller. Multi-result primitives return a tuple of such pairs.
        numpy: ``numpy(*arrays, *params) -> array`` (tuple of arrays for several results). For
            ELEMENTWISE it receives arrays of equal shape or broadcastable ones, and may be a ufunc.
        llvm: ``llvm(b, *values, *params) -> value`` with ``b`` the scalar-expression builder
            (vectors of any width); only ELEMENTWISE needs it. None: always run by ``numpy``.
        commutative: operands may be exchanged.
        doc: one line.
        batch: how vmap adds an axis in front of the operands, where the class does not say it: a
            name or rule of batch.py; None for one call per example.
    """

    __slots__ = ("name", "cls", "infer", "numpy", "llvm", "commutative", "doc", "fold", "batch")

    def __init__(self, name: str, cls: OpClass, infer: Callable, numpy: Callable,
                 llvm: Callable | None = None, *, commutative: bool = False, doc: str = "",
                 fold: tuple | None = None, batch: str | Callable | None = None):
        if name in PRIMS:
            raise ValueError(f"primitive {name!r} is declared twice")
        self.name, self.cls, self.infer, self.numpy, self.llvm = name, cls, infer, numpy, llvm
        self.commutative, self.doc = commutative, doc
        self.fold, self.batch = fold, batch
        PRIMS[name] = self

    def __repr__(self) -> str:
        return f"<prim {self.name}>"

    def __call__(self, *srcs: Node, params: tuple = ()) -> Node:
        return make(self, srcs, params)


PRIMS: dict[str, Prim] = {}


class Node:
    """One value of the graph: see the module's text."""

    __slots__ = ("prim", "srcs", "params", "shape", "dtype", "value", "loc", "__weakref__")

    prim: Prim
    srcs: tuple[Node, ...]
    params: tuple
    shape: tuple[int, ...]
    dtype: dt.dtype
    value: np.ndarray | None
    loc: srcloc.SourceLoc | None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def strides(self) -> tuple[int, ...]:
        """Logical strides: always row-major."""
        return sh.contiguous_strides(self.shape)

    def numel(self) -> int:
        return sh.numel(self.shape)

    def __repr__(self) -> str:
        state = "" if self.value is None else " (value)"
        return f"<{self.prim.name} {self.dtype.name}{list(self.shape)}{state}>"


#: nodes made since the last flush, oldest first (a node comes after its sources)
pending: list[Node] = []


#: how nodes are made when operands may be batched, with one result or several (see batch.py): empty
#: until vmap is used
batcher: list[Callable] = []


def make(prim: Prim, srcs: tuple[Node, ...], params: tuple = ()) -> Node:
    """A new pending node; its shape and dtype come from the primitive's rule."""
    shape, dtype = prim.infer(*srcs, *params)
    return pend(prim, srcs, params, shape, dtype)


def pend(prim: Prim, srcs: tuple[Node, ...], params: tuple, shape: tuple[int, ...],
         dtype: dt.dtype) -> Node:
    """A new pending node whose shape and dtype are known to be what the primitive's rule gives."""
    if batcher:
        made = batcher[0](prim, srcs, params, shape)
        if made is not None:
            return made
    node = _new(Node)
    node.prim = prim
    node.srcs = srcs
    node.params = params
    node.shape = shape
    node.dtype = dtype
    node.value = None
    pinned = srcloc.pinned_here
    node.loc = pinned[1] if pinned is not None and pinned[0] == get_ident() \
        else srcloc.user_location()
    pending.append(node)
    return node


_new = object.__new__


def _no_infer(*_):
    raise TypeError("sources carry their own shape: use leaf(), const()")


def _no_numpy(*_):
    raise TypeError("a source is never computed")


BUFFER = Prim("buffer", OpClass.SOURCE, _no_infer, _no_numpy,
              doc="An array that exists; the array may be strided.")
CONST = Prim("const", OpClass.SOURCE, _no_infer, _no_numpy,
             doc="A 0-d number from the program; always a run-time argument, never part of code.")


def leaf(array: np.ndarray, dtype: dt.dtype | None = None) -> Node:
    """A node whose value exists already. The array is not copied."""
    node = Node()
    node.prim, node.srcs, node.params = BUFFER, (), ()
    node.shape = array.shape
    node.dtype = dtype or dt.from_numpy(array.dtype)
    node.value = array
    node.loc = None
    return node


class Tagged(float):
    """A number of the program whose place among a call's arguments is known.

    It stays known only while it is passed on unchanged: arithmetic gives plain floats.
    """

    __slots__ = ("tag",)

    tag: int


def const(value, dtype: dt.dtype) -> Node:
    """A 0-d number as a node; the ``params`` of a constant hold its tag, if it has one."""
    node = Node()
    node.prim, node.srcs = CONST, ()
    node.params = (value.tag,) if type(value) is Tagged else ()
    node.shape, node.dtype = (), dtype
    node.value = _number(value, dtype)
    node.loc = None
    return node


def _number(value, dtype: dt.dtype) -> np.ndarray:
    try:
        return np.array(value, dtype.np)
    except OverflowError:  # integers wrap around, as in C
        return np.array(int(value) & 0xFFFFFFFFFFFFFFFF, np.uint64).astype(dtype.np)


def _part_infer(many: Node, i: int, shape: tuple[int, ...], dtype: dt.dtype):
    return shape, dtype


PART = Prim("part", OpClass.LIBRARY, _part_infer, lambda many, i, shape, dtype: many[i],
            doc="Result i of a primitive with several results.")


def make_many(prim: Prim, srcs: tuple[Node, ...], params: tuple = ()) -> tuple[Node, ...]:
    """The results of a primitive whose rule gives several (shape, dtype) pairs.

    One node stands for the call (its value is a tuple of arrays; shape and dtype are those of the
    first result) and a PART node for each result.
    """
    pairs = prim.infer(*srcs, *params)
    if batcher:
        made = batcher[1](prim, srcs, params, pairs[0][0])
        if made is not None:
            return made
    node = pend(prim, srcs, params, *pairs[0])
    return tuple(make(PART, (node,), (i, *pair)) for i, pair in enumerate(pairs))


#: ``realizer[0](node) -> np.ndarray`` computes a node now; installed by the layer that can run
realizer: list[Callable] = []


def realize(node: Node) -> np.ndarray:
    """The value of a node, computed now if need be (for results whose shape depends on data).

    Raises:
        RuntimeError: the node is pending and nothing that runs graphs has been loaded.
    """
    if realizer:
        realizer[0](node)
    elif node.value is None:
        raise RuntimeError("a value is needed on the host, but no layer that runs graphs is "
                           "loaded (import flambeau, not only its ir and ops)")
    return node.value


def settle(node: Node, value) -> None:
    """Record the computed value of a pending node and forget how it came about."""
    node.value = value
    node.prim, node.srcs, node.params = BUFFER, (), ()
