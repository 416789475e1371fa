"""Recurrent layers and cells."""

from __future__ import annotations

import math
import numbers
import warnings

from .. import functional as F
from .. import init
from .. import recurrent as rec
from ..core import Tensor, empty, is_autocast_on, zeros
from ..module import Module
from ..parameter import Parameter
from ..utils.rnn import PackedSequence

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def apply_permutation(tensor: Tensor, permutation: Tensor, dim: int = 1) -> Tensor:
    """The batch of a state in another order."""
    return tensor.index_select(dim, permutation)


_apply_permutation = apply_permutation


class RNNBase(Module):
    """What the recurrent layers share: arguments, parameters, checks, and the call.

    Args:
        input_size: width of the input.
        hidden_size: width of the states.
        num_layers: how many layers, each reading the one before.
        bias: whether there are b_ih and b_hh.
        batch_first: (N, T, *) instead of (T, N, *).
        dropout: probability on the outputs of all layers but the last, in training.
        bidirectional: a second set that reads backward; outputs are joined.
        proj_size: LSTM only: project h to this width.
    """

    def __init__(self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1,
                 bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
                 bidirectional: bool = False, proj_size: int = 0, device=None, dtype=None):
        super().__init__()
        _check_arguments(mode, input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         proj_size)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._all_weights: list[list[str]] = []
        made = {"device": device, "dtype": dtype}
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[:self._directions]:
                self._add_direction(layer, suffix, made)
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _out_size(self) -> int:
        return self.proj_size if self.proj_size > 0 else self.hidden_size

    def _add_direction(self, layer: int, suffix: str, made: dict) -> None:
        rows = _GATES[self.mode] * self.hidden_size
        width = self.input_size if layer == 0 else self._out_size * self._directions
        shapes = {"weight_ih": (rows, width), "weight_hh": (rows, self._out_size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size > 0:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        names = []
        for kind, shape in shapes.items():
            names.append(f"{kind}_l{layer}{suffix}")
            setattr(self, names[-1], Parameter(empty(shape, **made)))
        self._all_weights.append(names)

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list:
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters, one list per layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Nothing to do: the kernels take the parameters as they lie."""

    def reset_parameters(self) -> None:
        """Draw new initial values from U(-k, k) with k = 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def __setstate__(self, state):
        super().__setstate__(state)
        for name in ("_flat_weights_names", "_flat_weights", "_flat_weight_refs"):
            self.__dict__.pop(name, None)  # kept by PyTorch, worked out here
        self.__dict__.setdefault("proj_size", 0)

    def extra_repr(self) -> str:
        """The arguments that differ from their defaults."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.proj_size != 0:
            parts.append(f"proj_size={self.proj_size}")
        if self.num_layers != 1:
            parts.append(f"num_layers={self.num_layers}")
        if self.bias is not True:
            parts.append(f"bias={self.bias}")
        if self.batch_first is not False:
            parts.append(f"batch_first={self.batch_first}")
        if self.dropout != 0:
            parts.append(f"dropout={self.dropout}")
        if self.bidirectional is not False:
            parts.append(f"bidirectional={self.bidirectional}")
        return ", ".join(parts)

    # --- checks ---------------------------------------------------------------------------------

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raise if the input's dtype, dimensions or width do not fit."""
        weight = getattr(self, self._all_weights[0][0])
        if input.dtype != weight.dtype and not is_autocast_on():
            raise ValueError(f"RNN input dtype ({input.dtype}) does not match weight dtype "
                             f"({weight.dtype}). Convert input: input.to({weight.dtype}), or "
                             f"convert model: model.to({input.dtype})")
        expected = 3 if batch_sizes is None else 2
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError("input.size(-1) must be equal to input_size. Expected "
                               f"{self.input_size}, got {input.size(-1)}")

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple:
        """The shape that h must have."""
        batch = self._batch_size(input, batch_sizes)
        return self.num_layers * self._directions, batch, self._out_size

    def _batch_size(self, input: Tensor, batch_sizes) -> int:
        if batch_sizes is not None:
            return int(batch_sizes[0])
        return input.size(0) if self.batch_first else input.size(1)

    def check_hidden_size(self, hx: Tensor, expected_hidden_size: tuple,
                          msg: str = "Expected hidden size {}, got {}") -> None:
        """Raise if a state has another shape."""
        if tuple(hx.size()) != expected_hidden_size:
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.size())))

    def _check_states(self, states: tuple, expected: tuple) -> None:
        self.check_hidden_size(states[0], expected)

    # --- the call -------------------------------------------------------------------------------

    def _weights(self) -> list[list[rec.Weights]]:
        layers, each = [], self._directions
        for number in range(0, len(self._all_weights), each):
            layers.append([self._direction(names)
                           for names in self._all_weights[number:number + each]])
        return layers

    def _direction(self, names: list[str]) -> rec.Weights:
        values = [getattr(self, name) for name in names]
        if self.bias:
            return rec.Weights(*values)
        return rec.Weights(*values[:2], None, None, *values[2:])

    def _zero_states(self, input: Tensor, expected: tuple) -> tuple:
        return (zeros(expected, dtype=input.dtype, device=input.device),)

    def _given_states(self, hx, batched: bool) -> tuple:
        """The states as a tuple of 3-D tensors."""
        if hx.dim() != (3 if batched else 2):
            raise RuntimeError(
                f"For batched 3-D input, hx should also be 3-D but got {hx.dim()}-D tensor"
                if batched else
                f"For unbatched 2-D input, hx should also be 2-D but got {hx.dim()}-D tensor")
        return (hx if batched else hx.unsqueeze(1),)

    def forward(self, input, hx=None):
        """(T, N, input_size) or a PackedSequence, and first states -> outputs, last states."""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        name = type(self).__name__ if type(self) is not RNNBase else self.mode
        if input.dim() not in (2, 3):
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.dim()}D instead")
        batched = input.dim() == 3
        x = input if batched else input.unsqueeze(0 if self.batch_first else 1)
        self.check_input(x, None)
        expected = self.get_expected_hidden_size(x, None)
        if hx is None:
            states = self._zero_states(x, expected)
        else:
            states = self._given_states(hx, batched)
            self._check_states(states, expected)
        if self.batch_first:
            x = x.transpose(0, 1)
        out, last = rec.run_layers(self.mode, x, states, self._weights(), dropout=self.dropout,
                                   training=self.training)
        if self.batch_first:
            out = out.transpose(0, 1)
        if not batched:
            out = out.squeeze(0 if self.batch_first else 1)
            last = tuple(s.squeeze(1) for s in last)
        return out, self._states_out(last)

    def _forward_packed(self, packed: PackedSequence, hx):
        data, batch_sizes, order, back = packed
        self.check_input(data, batch_sizes)
        expected = self.get_expected_hidden_size(data, batch_sizes)
        if hx is None:
            states = self._zero_states(data, expected)
        else:
            states = self._given_states(hx, True)
            if order is not None:
                states = tuple(apply_permutation(s, order) for s in states)
            self._check_states(states, expected)
        out, last = rec.run_layers(self.mode, data, states, self._weights(), dropout=self.dropout,
                                   training=self.training, sizes=batch_sizes.tolist())
        if back is not None:
            last = tuple(apply_permutation(s, back) for s in last)
        return PackedSequence(out, batch_sizes, order, back), self._states_out(last)

    def _states_out(self, last: tuple):
        return last[0]


def _check_arguments(mode, input_size, hidden_size, num_layers, bias, batch_first, dropout,
                     proj_size) -> None:
    number = isinstance(dropout, numbers.Number) and not isinstance(dropout, bool)
    if not number or not 0 <= dropout <= 1:
        raise ValueError("dropout should be a number in range [0, 1] representing the probability "
                         "of an element being zeroed")
    if dropout > 0 and num_layers == 1:
        warnings.warn("dropout option adds dropout after all but last recurrent layer, so non-zero "
                      "dropout expects num_layers greater than 1, but got "
                      f"dropout={dropout} and num_layers={num_layers}", stacklevel=4)
    for name, value, kind in (("bias", bias, bool), ("batch_first", batch_first, bool),
                              ("input_size", input_size, int), ("hidden_size", hidden_size, int)):
        if not isinstance(value, kind):
            raise TypeError(f"{name} should be of type {kind.__name__}, got: "
                            f"{type(value).__name__}")
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size),
                        ("num_layers", num_layers)):
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")
    if mode not in _GATES:
        raise ValueError("Unrecognized RNN mode: " + mode)


class RNN(RNNBase):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), in layers.

    Shapes: input (T, N, input_size), states (num_layers * directions, N, hidden_size), outputs
    (T, N, directions * hidden_size); without a batch, no N.

    Args:
        input_size, hidden_size, num_layers, nonlinearity ("tanh" or "relu"), bias, batch_first,
            dropout, bidirectional: see RNNBase.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1,
                 nonlinearity: str = "tanh", bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, device=None, dtype=None,
                 **kwargs):
        _no_projection(kwargs)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or "
                             "'relu'.")
        super().__init__("RNN_" + nonlinearity.upper(), input_size, hidden_size, num_layers, bias,
                         batch_first, dropout, bidirectional, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity


def _no_projection(kwargs: dict) -> None:
    if "proj_size" in kwargs:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
    if kwargs:
        raise TypeError(f"__init__() got an unexpected keyword argument '{next(iter(kwargs))}'")


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997), in layers.

    i, f, g, o = W_ih x + b_ih + W_hh h + b_hh; c' = sigmoid(f) c + sigmoid(i) tanh(g);
    h' = sigmoid(o) tanh(c'). Shapes: input (T, N, input_size), states (h, c) of
    (num_layers * directions, N, hidden_size), outputs (T, N, directions * hidden_size).

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size:
            see RNNBase.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
                 proj_size: int = 0, device=None, dtype=None):
        super().__init__("LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, proj_size, device, dtype)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple:
        """The shape that c must have."""
        batch = self._batch_size(input, batch_sizes)
        return self.num_layers * self._directions, batch, self.hidden_size

    def _zero_states(self, input: Tensor, expected: tuple) -> tuple:
        made = {"dtype": input.dtype, "device": input.device}
        return zeros(expected, **made), zeros((*expected[:2], self.hidden_size), **made)

    def _given_states(self, hx, batched: bool) -> tuple:
        h, c = hx
        if {h.dim(), c.dim()} != {3 if batched else 2}:
            kind = "batched 3-D input, hx and cx should also be 3-D" if batched else \
                "unbatched 2-D input, hx and cx should also be 2-D"
            raise RuntimeError(f"For {kind} but got ({h.dim()}-D, {c.dim()}-D) tensors")
        return (h, c) if batched else (h.unsqueeze(1), c.unsqueeze(1))

    def _check_states(self, states: tuple, expected: tuple) -> None:
        self.check_hidden_size(states[0], expected, "Expected hidden[0] size {}, got {}")
        self.check_hidden_size(states[1], (*expected[:2], self.hidden_size),
                               "Expected hidden[1] size {}, got {}")

    def _states_out(self, last: tuple):
        return last


class GRU(RNNBase):
    """Gated recurrent units (Cho et al., 2014), in layers.

    r, z = sigmoid(W x + b + W h + b); n = tanh(W_in x + b_in + r (W_hn h + b_hn));
    h' = (1 - z) n + z h. Shapes: input (T, N, input_size), states
    (num_layers * directions, N, hidden_size), outputs (T, N, directions * hidden_size).

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: see RNNBase.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
                 device=None, dtype=None, **kwargs):
        _no_projection(kwargs)
        super().__init__("GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, device=device, dtype=dtype)


class RNNCellBase(Module):
    """What the cells share."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device=None,
                 dtype=None):
        super().__init__()
        made = {"device": device, "dtype": dtype}
        rows = num_chunks * hidden_size
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.weight_ih = Parameter(empty((rows, input_size), **made))
        self.weight_hh = Parameter(empty((rows, hidden_size), **made))
        self.register_parameter("bias_ih", Parameter(empty(rows, **made)) if bias else None)
        self.register_parameter("bias_hh", Parameter(empty(rows, **made)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values from U(-k, k) with k = 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """The arguments that differ from their defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def _step(self, cell, input: Tensor, states: tuple | None) -> tuple:
        """One step, with or without a batch."""
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        for i, state in enumerate(states or ()):
            if state.dim() not in (1, 2):
                what = f"hx[{i}]" if len(states) > 1 else "hidden"
                raise ValueError(f"{name}: Expected {what} to be 1D or 2D, got {state.dim()}D "
                                 "instead")
        batched = input.dim() == 2
        x = input if batched else input.unsqueeze(0)
        if states is None:
            start = zeros(x.size(0), self.hidden_size, dtype=x.dtype, device=x.device)
            states = (start, start) if cell is rec.lstm_cell else (start,)
        elif not batched:
            states = tuple(s.unsqueeze(0) for s in states)
        self._check_sizes(x, states)
        weights = rec.Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        new = cell(F.linear(x, weights.w_ih, weights.b_ih), states, weights)
        return new if batched else tuple(s.squeeze(0) for s in new)

    def _check_sizes(self, x: Tensor, states: tuple) -> None:
        if x.size(1) != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {x.size(1)} expected "
                               f"{self.input_size}")
        for i, state in enumerate(states):
            if state.size(0) != x.size(0):
                raise RuntimeError(f"Input batch size {x.size(0)} doesn't match hidden{i} batch "
                                   f"size {state.size(0)}")
            if state.size(1) != self.hidden_size:
                raise RuntimeError(f"hidden{i} has inconsistent hidden_size: got {state.size(1)}, "
                                   f"expected {self.hidden_size}")


class RNNCell(RNNCellBase):
    """One step of RNN: (N, input_size), h (N, hidden_size) -> h'."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True,
                 nonlinearity: str = "tanh", device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(N, input_size), (N, hidden_size) -> (N, hidden_size); the N may be missing."""
        cells = {"tanh": rec.rnn_tanh_cell, "relu": rec.rnn_relu_cell}
        if self.nonlinearity not in cells:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(cells[self.nonlinearity], input, None if hx is None else (hx,))[0]


class LSTMCell(RNNCellBase):
    """One step of LSTM: (N, input_size), (h, c) -> (h', c')."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None,
                 dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple | None = None) -> tuple[Tensor, Tensor]:
        """(N, input_size), two of (N, hidden_size) -> two of (N, hidden_size)."""
        return self._step(rec.lstm_cell, input, None if hx is None else tuple(hx))


class GRUCell(RNNCellBase):
    """One step of GRU: (N, input_size), h (N, hidden_size) -> h'."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None,
                 dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(N, input_size), (N, hidden_size) -> (N, hidden_size); the N may be missing."""
        return self._step(rec.gru_cell, input, None if hx is None else (hx,))[0]
