"""One direction of a recurrent layer as one operation: RNN, LSTM and GRU over time.

Rows are packed: all sequences' first elements, then all second ones, and so on; sequences of equal
length are the case in which each step has all of them. The primitives give one block of rows each
(:data:`KEPT`, :data:`SENT` name its columns): what the next layer reads and what backward needs
lie side by side. N more rows at the block's end hold the states, one per sequence; a step reads and
writes those of the sequences that still run, so that the last states stand there afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from ...ir.node import Node, OpClass, Prim, make
from ...ir.op import Op, apply
from ...ir.view import view
from .contract import mm
from .elementwise import add, gt, mul, relu, sigmoid, sub, tanh, where
from .join import cat
from .reduce import sum as total
from .shape import slice_dim, transpose

#: columns of the forward block, each as wide as the state; h comes first
KEPT = {"LSTM": ("h", "i", "f", "g", "o", "c before", "tanh c", "h before"),
        "GRU": ("h", "r", "z", "hidden", "n", "h before"),
        "RNN_TANH": ("h", "h before"), "RNN_RELU": ("h", "h before")}
#: columns of the backward block: gradients of the gates' inputs; those of the product with the
#: state stand together
SENT = {"LSTM": ("i", "f", "g", "o"), "GRU": ("n", "r", "z", "hidden"),
        "RNN_TANH": ("h",), "RNN_RELU": ("h",)}
#: gates, that is, rows of w_hh per element of the state
GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def steps_of(sizes: Sequence[int], reverse: bool) -> list[tuple[int, int]]:
    """(sequences, first row) of each step in the order of time, or against it."""
    steps = list(zip(sizes, accumulate(sizes, initial=0), strict=False))
    return steps[::-1] if reverse else steps


def _forward_infer(gates, h, *rest):
    mode = rest[-3]
    return (gates.shape[0] + h.shape[0], len(KEPT[mode]) * h.shape[1]), gates.dtype


def _backward_infer(g, g_h, *rest):
    mode = rest[-3]
    return (g.shape[0] + g_h.shape[0], len(SENT[mode]) * g_h.shape[1]), g.dtype


def _by_kernels(*_):
    raise NotImplementedError("recurrence: NumPy has no such function; runtime/library.py runs it")


#: gates (rows, G H), h (N, H), [c (N, H)], w_hh (G H, H), [b_hh (G H,)] -> rows + N of KEPT
RECURRENCE = Prim("recurrence", OpClass.LIBRARY, _forward_infer, _by_kernels,
                  doc="a recurrent layer over packed rows; params: mode, sizes, reverse")
#: gradients of h (rows, H), last h (N, H), [last c], the forward block, w_hh -> rows + N of SENT
RECURRENCE_BACK = Prim("recurrence_back", OpClass.LIBRARY, _backward_infer, _by_kernels,
                       doc="gradients of recurrence; params: mode, sizes, reverse")


def _columns(block: Node, width: int, first: int, count: int, rows: int, at: int = 0) -> Node:
    """``count`` columns of ``width`` elements each, from row ``at``."""
    pitch = block.shape[1]
    return view(block, (rows, count * width), (pitch, 1), at * pitch + first * width)


def _forward_lower(gates, h, c, w_hh, b_hh, mode, sizes, reverse):
    block = make(RECURRENCE, tuple(x for x in (gates, h, c, w_hh, b_hh) if x is not None),
                 (mode, sizes, reverse))
    (rows, _), (n, width) = gates.shape, h.shape
    lasts = [_columns(block, width, k, 1, n, rows) for k in range(1 if c is None else 2)]
    return (_columns(block, width, 0, 1, rows), *lasts, block)


def _backward_lower(block, w_hh, *grads, mode, sizes, reverse):
    n, width = grads[1].shape
    rows = grads[0].shape[0]
    sent = make(RECURRENCE_BACK, (*grads, block, w_hh), (mode, sizes, reverse))
    hidden = _columns(sent, width, len(SENT[mode]) - GATES[mode], GATES[mode], rows)
    before = _columns(block, width, len(KEPT[mode]) - 1, 1, rows)
    states = [_columns(sent, width, k, 1, n, rows) for k in range(len(grads) - 1)]
    new = _columns(sent, width, 0, 1, rows) if mode == "GRU" else hidden
    return (hidden, before, new, *states)


_back = Op("recurrence_backward", _backward_lower,
           nondiff="the gradient of a gradient is made of single steps")


def _forward_vjp(ctx, *grads):
    grads = grads[:-1]
    if not isinstance(grads[0], Node):  # to be differentiated again
        return _stepwise_vjp(ctx, *grads)
    hidden, before, new, *states = apply(
        _back, ctx.result(len(grads)), ctx.operand(3), *grads, mode=ctx.mode, sizes=ctx.sizes,
        reverse=ctx.reverse)
    return _gathered(ctx, hidden, before, new, states)


def _gathered(ctx, hidden, before, new, states):
    """Gradients of all operands.

    Args:
        hidden: of the product with the state, (rows, G H).
        before: the states that were multiplied.
        new: of GRU's candidate's input, whose product with the state is scaled by a gate.
        states: of the first states.
    """
    width = before.shape[1]
    gates = hidden
    if ctx.mode == "GRU":
        gates = cat([slice_dim(hidden, 1, 0, 2 * width), new], 1)
    w = mm(transpose(hidden, 0, 1), before) if ctx.needs(3) else None
    b = total(hidden, 0) if ctx.needs(4) else None
    c = states[1] if len(states) > 1 else None
    return gates, states[0], c, w, b


_one_state = Op("recurrence", _forward_lower, _forward_vjp, nondiff_results=(2,),
                saves=(0, 1, 2, 3, 4, "result2"))
_two_states = Op("recurrence_with_cell", _forward_lower, _forward_vjp, nondiff_results=(3,),
                 saves=(0, 1, 2, 3, 4, "result3"), grad_name="RecurrenceBackward0")


def recurrence(gates, h, c, w_hh, b_hh, mode: str, sizes: tuple[int, ...], reverse: bool):
    """One direction of a layer.

    Args:
        gates: the input's part of the gates with all biases but GRU's ``b_hh``, (rows, G H).
        h, c: first states (N, H); c is LSTM's, else None.
        w_hh: (G H, H).
        b_hh: GRU's second bias (G H,), or None.
        mode: a key of :data:`GATES`.
        sizes: sequences at each step, not increasing; the first is N.
        reverse: from the last step to the first.

    Returns:
        h of all rows (rows, H), and the states (N, H) after each sequence's last step.
    """
    op = _one_state if c is None else _two_states
    return apply(op, gates, h, c, w_hh, b_hh, mode=mode, sizes=sizes, reverse=reverse)[:-1]


# --- the same step by step, for gradients of gradients ------------------------------------------


def _parts(x, count: int) -> list:
    width = x.shape[1] // count
    return [slice_dim(x, 1, k * width, (k + 1) * width) for k in range(count)]


def _over(state, new):
    """A state whose first rows are new."""
    n = new.shape[0]
    return new if n == state.shape[0] else cat([new, slice_dim(state, 0, n)], 0)


def _cell(mode: str, x, product, h, c):
    """One step: the new states, and what its gradient needs."""
    if mode == "LSTM":
        i, f, g, o = _parts(add(x, product), 4)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        after = add(mul(f, c), mul(i, g))
        turned = tanh(after)
        return (mul(o, turned), after), (i, f, g, o, c, turned)
    if mode == "GRU":
        (r_x, z_x, n_x), (r_h, z_h, n_h) = _parts(x, 3), _parts(product, 3)
        r, z = sigmoid(add(r_x, r_h)), sigmoid(add(z_x, z_h))
        n = tanh(add(n_x, mul(r, n_h)))
        return (add(mul(sub(h, n), z), n),), (r, z, n_h, n, h)
    new = (tanh if mode == "RNN_TANH" else relu)(add(x, product))
    return (new,), (new,)


def _slope(y):
    """The derivative of sigmoid where it is ``y``."""
    return mul(y, sub(1, y))


def _slope_of_tanh(y):
    return sub(1, mul(y, y))


def _cell_back(mode: str, kept, h, c):
    """Gradients of a step: of the product, of the candidate's input, of the states before (h's
    without the product's part)."""
    if mode == "LSTM":
        i, f, g, o, before, turned = kept
        c = add(c, mul(mul(h, o), _slope_of_tanh(turned)))
        parts = [mul(mul(c, g), _slope(i)), mul(mul(c, before), _slope(f)),
                 mul(mul(c, i), _slope_of_tanh(g)), mul(mul(h, turned), _slope(o))]
        return cat(parts, 1), None, None, mul(c, f)
    if mode == "GRU":
        r, z, n_h, n, before = kept
        new = mul(mul(h, sub(1, z)), _slope_of_tanh(n))
        parts = [mul(mul(new, n_h), _slope(r)), mul(mul(h, sub(before, n)), _slope(z)),
                 mul(new, r)]
        return cat(parts, 1), new, mul(h, z), None
    (y,) = kept
    slope = _slope_of_tanh(y) if mode == "RNN_TANH" else where(gt(y, 0), 1.0, 0.0)
    return mul(h, slope), None, None, None


def _stepwise_vjp(ctx, g_out, g_h, g_c=None):
    """Gradients that can be differentiated: each step's operations are on the tape."""
    gates, h, c, w_hh, b_hh = (ctx.operand(k) for k in range(5))
    kept, before = [], []
    steps = steps_of(ctx.sizes, ctx.reverse)
    for n, first in steps:
        top = slice_dim(h, 0, 0, n)
        before.append(top)
        product = mm(top, transpose(w_hh, 0, 1))
        if b_hh is not None:
            product = add(product, b_hh)
        new, values = _cell(ctx.mode, slice_dim(gates, 0, first, first + n), product, top,
                            None if c is None else slice_dim(c, 0, 0, n))
        kept.append(values)
        h = _over(h, new[0])
        c = None if c is None else _over(c, new[1])
    hidden, news = [], []
    for (n, first), values in zip(reversed(steps), reversed(kept), strict=True):
        g = add(slice_dim(g_h, 0, 0, n), slice_dim(g_out, 0, first, first + n))
        sent, new, straight, cell = _cell_back(ctx.mode, values, g, None if g_c is None else
                                               slice_dim(g_c, 0, 0, n))
        hidden.append(sent)
        news.append(sent if new is None else new)
        through = mm(sent, w_hh)
        g_h = _over(g_h, through if straight is None else add(through, straight))
        g_c = None if g_c is None else _over(g_c, cell)
    if ctx.reverse:
        before.reverse()
    else:
        hidden.reverse()
        news.reverse()
    return _gathered(ctx, cat(hidden, 0), cat(before, 0), cat(news, 0),
                     [g_h] if g_c is None else [g_h, g_c])
