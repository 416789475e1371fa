"""The recurrences behind RNN, LSTM and GRU: cells, and layers of them over time.

A cell takes the input's part of the gates, which is one matrix product for all time steps, and the
states; a layer runs it over time, forward or backward. Sequences are packed; those of one length
are the case in which every step has all of them. Over float32 and float64 all steps are one
operation (``ops/prim/recurrence.py``), else one after the other.
"""

from __future__ import annotations

from collections.abc import Callable

from . import functional as F
from .core import Tensor, cat, float32, float64, recurrence, stack


def rnn_tanh_cell(gates: Tensor, state: tuple, weights) -> tuple:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    return ((gates + F.linear(state[0], weights.w_hh, weights.b_hh)).tanh(),)


def rnn_relu_cell(gates: Tensor, state: tuple, weights) -> tuple:
    """h' = relu(W_ih x + b_ih + W_hh h + b_hh)."""
    return ((gates + F.linear(state[0], weights.w_hh, weights.b_hh)).relu(),)


def lstm_cell(gates: Tensor, state: tuple, weights) -> tuple:
    """c' = sigmoid(f) c + sigmoid(i) tanh(g); h' = sigmoid(o) tanh(c'), perhaps projected."""
    h, c = state
    i, f, g, o = (gates + F.linear(h, weights.w_hh, weights.b_hh)).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    if weights.w_hr is not None:
        h = F.linear(h, weights.w_hr)
    return h, c


def gru_cell(gates: Tensor, state: tuple, weights) -> tuple:
    """h' = n + z (h - n) with n = tanh(gates_n + r (W_hn h + b_hn)) and gates r, z."""
    (h,) = state
    r_x, z_x, n_x = gates.chunk(3, 1)
    r_h, z_h, n_h = F.linear(h, weights.w_hh, weights.b_hh).chunk(3, 1)
    r = (r_x + r_h).sigmoid()
    z = (z_x + z_h).sigmoid()
    n = (n_x + r * n_h).tanh()
    return ((h - n) * z + n,)


CELLS: dict[str, Callable] = {"RNN_TANH": rnn_tanh_cell, "RNN_RELU": rnn_relu_cell,
                              "LSTM": lstm_cell, "GRU": gru_cell}
MODES = {cell: mode for mode, cell in CELLS.items()}


class Weights:
    """The parameters of one direction of one layer."""

    __slots__ = ("w_ih", "w_hh", "b_ih", "b_hh", "w_hr")

    def __init__(self, w_ih, w_hh, b_ih=None, b_hh=None, w_hr=None):
        self.w_ih, self.w_hh, self.b_ih, self.b_hh, self.w_hr = w_ih, w_hh, b_ih, b_hh, w_hr


def _one_bias(cell: Callable, weights: Weights) -> Weights:
    """Both biases in one sum, where they only ever occur added."""
    if weights.b_ih is None or cell is gru_cell:
        return weights
    return Weights(weights.w_ih, weights.w_hh, weights.b_ih + weights.b_hh, None, weights.w_hr)


def _over_time(cell: Callable, x: Tensor, sizes: list, state: tuple, weights: Weights,
                 backward: bool):
    """One direction over packed data (sum of sizes, E); longer sequences come first: outputs
    (sum of sizes, H) and the last states."""
    weights = _one_bias(cell, weights)
    gates = F.linear(x, weights.w_ih, weights.b_ih)
    if weights.w_hr is None and gates.dtype in (float32, float64) and gates.numel() \
            and gates.dtype == state[0].dtype:
        h, *states = recurrence(
            gates, state[0], state[1] if len(state) > 1 else None, weights.w_hh, weights.b_hh,
            MODES[cell], tuple(sizes), backward)
        return h, tuple(states)
    steps = gates.split(sizes, 0)
    if backward:
        return _packed_backward(cell, steps, sizes, state, weights)
    outputs, finished = [], []
    have = sizes[0]
    for step, size in zip(steps, sizes, strict=True):
        if size < have:  # some sequences ended one step ago
            finished.append(tuple(s[size:have] for s in state))
            state = tuple(s[:size] for s in state)
            have = size
        state = cell(step, state, weights)
        outputs.append(state[0])
    finished.append(state)
    finished.reverse()
    last = tuple(cat(parts, 0) for parts in zip(*finished, strict=True))
    return cat(outputs, 0), last


def _packed_backward(cell, steps, sizes: list, first: tuple, weights: Weights):
    outputs = []
    have = sizes[-1]
    state = tuple(s[:have] for s in first)
    for step, size in zip(reversed(steps), reversed(sizes), strict=True):
        if size > have:  # these sequences start (from their end) here
            state = tuple(cat([s, f[have:size]], 0) for s, f in zip(state, first, strict=True))
            have = size
        state = cell(step, state, weights)
        outputs.append(state[0])
    outputs.reverse()
    return cat(outputs, 0), state


def run_layers(mode: str, x: Tensor, states: tuple, weights: list[list[Weights]], *,
               dropout: float, training: bool, sizes: list | None = None):
    """All layers and directions.

    Args:
        x: (T, N, E), or packed (sum of sizes, E).
        states: one or two tensors (layers * directions, N, *).
        weights: per layer, one or two directions.
        sizes: how many sequences there are at each step, for packed data.

    Returns:
        The last layer's outputs, and the states at the end, stacked like ``states``.
    """
    cell = CELLS[mode]
    shape = None
    if sizes is None:
        shape = x.shape[:2]
        sizes = [shape[1]] * shape[0]
        x = x.reshape(shape[0] * shape[1], x.shape[2])
    firsts = [s.unbind(0) for s in states]
    lasts = []
    for number, layer in enumerate(weights):
        outputs = []
        for direction, one in enumerate(layer):
            at = number * len(layer) + direction
            state = tuple(f[at] for f in firsts)
            out, state = _over_time(cell, x, sizes, state, one, direction == 1)
            outputs.append(out)
            lasts.append(state)
        x = outputs[0] if len(outputs) == 1 else cat(outputs, -1)
        if dropout and training and number < len(weights) - 1:
            x = F.dropout(x, dropout, True)
    if shape is not None:
        x = x.reshape(*shape, x.shape[1])
    return x, tuple(stack(parts, 0) for parts in zip(*lasts, strict=True))
