"""How vmap adds an axis to products, convolutions and indexing (see ir/batch.py for the others)."""

from __future__ import annotations

import math

from ...base import shape as sh
from ...ir.batch import Part, each, leading, permuted, reshaped, with_axis
from ...ir.node import PRIMS, Node, const, make
from ...ir.view import broadcast, view

# --- products -------------------------------------------------------------------------------------


def dot(prim, parts, shape, params, size):
    """a[..b, M, K] @ b[..b, K, N]: what only one operand has many of goes into its free axis, so
    that it stays one product."""
    a, b = parts
    lead = len(a.shape) - 2
    if a.batched and b.batched:
        return make(prim, (a.node, b.node))
    inner = tuple(range(1, lead + 1))
    if a.batched:  # (B, ..b, M, K) -> (..b, B M, K)
        *batch, m, k = a.shape
        node = a.node if not lead else permuted(a.node, (*inner, 0, lead + 1, lead + 2))
        out = make(prim, (reshaped(node, (*batch, size * m, k)), b.node))
        out = reshaped(out, (*batch, size, m, b.shape[-1]))
        return out if not lead else permuted(out, (lead, *range(lead), lead + 1, lead + 2))
    *batch, k, n = b.shape  # (B, ..b, K, N) -> (..b, K, B N)
    node = reshaped(permuted(b.node, (*inner, lead + 1, 0, lead + 2)), (*batch, k, size * n))
    out = reshaped(make(prim, (a.node, node)), (*batch, a.shape[-2], size, n))
    return permuted(out, (lead + 1, *range(lead), lead, lead + 2))


def _into_channels(part: Part, size: int) -> Node:
    """(B, N, C, ...) -> (N, B C, ...)."""
    n, c, *rest = part.shape
    order = (1, 0, *range(2, 3 + len(rest)))
    return reshaped(permuted(with_axis(part, size), order), (n, size * c, *rest))


def _out_of_channels(node: Node, size: int) -> Node:
    """(N, B C, ...) -> (B, N, C, ...)."""
    n, c, *rest = node.shape
    split = reshaped(node, (n, size, c // size, *rest))
    return permuted(split, (1, 0, *range(2, 3 + len(rest))))


def correlate(prim, parts, shape, params, size):
    """Examples that share the weights are one longer batch; else each has groups of its own."""
    x, w = parts
    out, taps, groups = params
    if not w.batched:
        made = make(prim, (reshaped(x.node, (size * x.shape[0], *x.shape[1:])), w.node), params)
        return reshaped(made, (size, *shape))
    filters = reshaped(w.node, (size * w.shape[0], *w.shape[1:]))
    return _out_of_channels(make(prim, (_into_channels(x, size), filters),
                                 (out, taps, groups * size)), size)


def correlate_weight(prim, parts, shape, params, size):
    """Each example has groups of its own."""
    taps, groups, split = params
    made = make(prim, tuple(_into_channels(p, size) for p in parts), (taps, groups * size, split))
    return _out_of_channels(made, size)


# --- positions ------------------------------------------------------------------------------------


def _numbers(size: int, step: int, dtype, rank: int) -> Node:
    """0, step, 2 step, ... along the first of ``rank`` axes."""
    line = make(PRIMS["iota"], (const(0, dtype), const(step, dtype)), (size,))
    return reshaped(line, (size, *[1] * (rank - 1)))


def _offset(index: Part, size: int, step: int) -> Node:
    """Positions of each example in rows of ``step`` elements one after another."""
    node = with_axis(index, size)
    start = _numbers(size, step, node.dtype, len(node.shape))
    return make(PRIMS["add"], (node, broadcast(start, node.shape)))


def take(prim, parts, shape, params, size):
    """Slices of an axis at the positions of an index."""
    x, index = parts
    (axis,) = params
    if not index.batched:
        return make(prim, (x.node, index.node), (axis + 1,))
    if not x.batched:
        out = make(prim, (x.node, index.node), params)
        return permuted(out, (axis, *range(axis), *range(axis + 1, len(out.shape))))
    count, rest = x.shape[axis], [d for d in range(len(x.shape)) if d != axis]
    rows = permuted(x.node, (0, axis + 1, *[d + 1 for d in rest]))
    rows = reshaped(rows, (size * count, *[x.shape[d] for d in rest]))
    out = make(prim, (rows, _offset(index, size, count)), (0,))
    moved, first = len(index.shape), len(index.shape) + 1
    return permuted(out, (0, *range(first, first + axis), *range(1, 1 + moved),
                          *range(first + axis, len(out.shape))))


def take_flat(prim, parts, shape, params, size):
    """Elements of the flattened operand; negative positions count from its end."""
    x, index = parts
    if not x.batched:
        return make(prim, (x.node, index.node))
    count = math.prod(x.shape)
    node = with_axis(index, size)
    low = make(PRIMS["lt"], (node, const(0, node.dtype)))
    node = make(PRIMS["where"], (low, make(PRIMS["add"], (node, const(count, node.dtype))), node))
    return make(prim, (x.node, _offset(Part(node, True, index.shape), size, count)))


def _indices(indices: list[Part], size: int) -> tuple[list[Node], int]:
    """Index arrays of equal rank, those with examples one more, and that rank."""
    rank = max(len(p.shape) for p in indices)
    return [reshaped(p.node, (size, *[1] * (rank - len(p.shape)), *p.shape)) if p.batched
            else p.node for p in indices], rank + 1


def _adjacent(dims) -> bool:
    return dims[-1] - dims[0] + 1 == len(dims)


def index(prim, parts, shape, params, size):
    """x[i, j, ..]: the examples are one more index array, in front."""
    x, *indices = parts
    (dims,) = params
    at = dims[0] if _adjacent(dims) else 0  # where the indexed axes stand in one result
    if not any(p.batched for p in indices):
        made = make(prim, (x.node, *[p.node for p in indices]), (tuple(d + 1 for d in dims),))
        if _adjacent(dims):
            return made
        rank = len(made.shape) - (len(x.shape) - len(dims)) - 1
        return permuted(made, (rank, *range(rank), *range(rank + 1, len(made.shape))))
    nodes, rank = _indices(indices, size)
    if not x.batched:
        made = make(prim, (x.node, *nodes), params)
        return permuted(made, (at, *range(at), *range(at + 1, len(made.shape))))
    rows = _numbers(size, 1, nodes[0].dtype, rank)
    new = (0, *(d + 1 for d in dims))
    made = make(prim, (x.node, rows, *nodes), (new,))
    # the examples and the indexed axes come first; the axes before them belong between
    return permuted(made, (0, *range(rank, rank + at), *range(1, rank),
                           *range(rank + at, len(made.shape))))


def index_put(prim, parts, shape, params, size):
    """The same for writing; the value's axes stand as those that ``index`` gives."""
    base, value, *indices = parts
    dims, accumulate = params
    at = dims[0] if _adjacent(dims) else 0
    nodes, rank = _indices(indices, size)
    region = sh.broadcast_shapes(*[p.shape for p in indices])
    rows = _numbers(size, 1, nodes[0].dtype, rank)
    node, moved = with_axis(value, size), len(region)
    order = (0, *range(1 + at, 1 + at + moved), *range(1, 1 + at),
             *range(1 + at + moved, len(node.shape)))
    new = (0, *(d + 1 for d in dims))
    if _adjacent(new):  # then the indexed axes stand in front anyway
        order = tuple(range(len(node.shape)))
    return make(prim, (with_axis(base, size), permuted(node, order), rows, *nodes),
                (new, accumulate))


def scatter(prim, parts, shape, params, size):
    """A number as the source stays one where it is the same for all."""
    base, index_, src = parts
    axis, mode = params
    if src.shape or not index_.shape:
        source = with_axis(src, size)
    elif src.batched:
        source = view(src.node, (size, *index_.shape), (1, *[0] * len(index_.shape)))
    else:
        source = src.node
    return make(prim, (with_axis(base, size), with_axis(index_, size), source), (axis + 1, mode))


def regions(prim, parts, shape, params, size):
    """A block of regions: one more stride."""
    rest, *pieces = parts
    full, found = params
    if rest.batched:
        return each(prim, parts, shape, params, size)
    step = math.prod(full)
    return make(prim, (rest.node, *[with_axis(p, size) for p in pieces]), (
        (size, *full), tuple(((step, *strides), offset) for strides, offset in found)))


# --- whole arrays ---------------------------------------------------------------------------------


def matrices(prim, parts, shape, params, size):
    """Operands whose axes before the last two are broadcast."""
    rank = max(len(p.shape) for p in parts)
    nodes = [reshaped(p.node, (size, *[1] * (rank - len(p.shape)), *p.shape)) if p.batched
             else p.node for p in parts]
    return make(prim, tuple(nodes), params)


def qr(prim, parts, shape, params, size):
    """Without the orthogonal factor there is an empty result that has no axes in front."""
    return (each if params[0] == "r" else leading)(prim, parts, shape, params, size)


def searched(prim, parts, shape, params, size):
    """One sorted sequence for all, or one for each."""
    sequence, values = parts
    if not sequence.batched and len(sequence.shape) <= 1:
        return make(prim, (sequence.node, values.node), params)
    return leading(prim, parts, shape, params, size)


def membership(prim, parts, shape, params, size):
    """One set for all, or one for each."""
    x, test = parts
    if test.batched:
        return each(prim, parts, shape, params, size)
    return make(prim, (x.node, test.node), params)
