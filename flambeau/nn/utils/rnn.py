"""Sequences of different lengths: packed for recurrent layers, or padded."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from ..core import Tensor, arange, as_tensor, cat, empty_like, full, int64, tensor

_PackedSequence = namedtuple("PackedSequence",
                             ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])


class PackedSequence(_PackedSequence):
    """Sequences of different lengths, time step by time step.

    Attributes:
        data: (sum of lengths, *): all first elements, then all second ones, ...
        batch_sizes: how many sequences still run at each step; on the CPU.
        sorted_indices: the order (longest first) that the batch was brought into, or None.
        unsorted_indices: the way back.
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is not None:
            if batch_sizes.device.type != "cpu":
                raise ValueError("batch_sizes should always be on CPU. Instances of PackedSequence "
                                 "should never be created manually. They should be instantiated by "
                                 "functions like pack_sequence and pack_padded_sequences in "
                                 "nn.utils.rnn.")
        else:  # the older form, one pair
            data, batch_sizes = data
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def __reduce__(self):
        return PackedSequence, tuple(self)

    def to(self, *args, **kwargs) -> PackedSequence:
        """With the data converted or moved; see Tensor.to."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        order, back = (None if i is None else i.to(data.device)
                       for i in (self.sorted_indices, self.unsorted_indices))
        return type(self)(data, self.batch_sizes, order, back)

    def cpu(self) -> PackedSequence:
        """On the CPU."""
        return self.to("cpu")

    def cuda(self, *args, **kwargs) -> PackedSequence:
        """On a GPU."""
        return self.to("cuda")

    def pin_memory(self) -> PackedSequence:
        """In memory that a GPU can read directly."""
        return type(self)(self.data.pin_memory(), self.batch_sizes, self.sorted_indices,
                          self.unsorted_indices)

    def double(self) -> PackedSequence:
        """As float64."""
        return self.to(dtype=self.data.double().dtype)

    def float(self) -> PackedSequence:
        """As float32."""
        return self.to(dtype=self.data.float().dtype)

    def half(self) -> PackedSequence:
        """As float16."""
        return self.to(dtype=self.data.half().dtype)

    def long(self) -> PackedSequence:
        """As int64."""
        return self.to(dtype=int64)

    @property
    def is_cuda(self) -> bool:
        """Whether the data are on a GPU."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether the data are in pinned memory."""
        return self.data.is_pinned()


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another one."""
    if permutation is None:
        return None
    result = empty_like(permutation)
    result[permutation] = arange(0, permutation.numel(), device=permutation.device)
    return result


def pack_padded_sequence(input: Tensor, lengths, batch_first: bool = False,
                         enforce_sorted: bool = True) -> PackedSequence:
    """Pack (T, N, *) with padding after each sequence's length.

    Args:
        lengths: (N), on the CPU.
        batch_first: the input is (N, T, *).
        enforce_sorted: the lengths are decreasing; otherwise the batch is sorted first.

    Raises:
        RuntimeError: lengths that are not positive, too many, too long or not decreasing.
    """
    if not isinstance(lengths, Tensor):
        lengths = as_tensor(lengths, dtype=int64, device="cpu")
    x, order = input, None
    if not enforce_sorted:
        lengths, order = lengths.sort(descending=True)
        order = order.to(x.device)
        x = x.index_select(0 if batch_first else 1, order)
    data, batch_sizes = _pack(x, lengths.tolist(), batch_first)
    return PackedSequence(data, batch_sizes, order, None)


def _running(lengths: list, steps: int) -> np.ndarray:
    """Whether each sequence still runs at each step, (steps, N)."""
    return np.asarray(lengths)[None, :] > np.arange(steps)[:, None]


def _pack(input: Tensor, lengths: list, batch_first: bool) -> tuple[Tensor, Tensor]:
    """(T, N, *), or (N, T, *), with decreasing lengths as packed data and batch sizes."""
    batch, longest = input.shape[:2] if batch_first else (input.size(1), input.size(0))
    if len(lengths) != batch:
        raise RuntimeError("Expected `len(lengths)` to be equal to batch_size, but got "
                           f"{len(lengths)} (batch_size={batch})")
    if not lengths or lengths[-1] <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element "
                           f"in 'lengths' that is <= 0: {lengths}")
    if any(a < b for a, b in zip(lengths, lengths[1:], strict=False)):
        raise RuntimeError("`lengths` array must be sorted in decreasing order when "
                           "`enforce_sorted` is True. You can pass `enforce_sorted=False` to "
                           "pack_padded_sequence and/or pack_sequence to sidestep this requirement "
                           "if you do not need ONNX exportability.")
    if lengths[0] > longest:
        raise RuntimeError(f"Expected every length to be at most {longest}, the padded length, but "
                           f"got {lengths[0]}")
    running = _running(lengths, lengths[0])
    step, sequence = running.nonzero()
    places = sequence * longest + step if batch_first else step * batch + sequence
    rows = input.reshape(batch * longest, *input.shape[2:])
    if len(places) != len(rows) or batch_first and batch > 1 < longest:
        rows = rows.index_select(0, tensor(places))
    return rows, tensor(running.sum(1, dtype=np.int64))


def _spread(rows: Tensor, places: np.ndarray, padding_value: float) -> Tensor:
    """Rows at their places, one more number of a place than rows is padding."""
    fill = full((1, *rows.shape[1:]), padding_value, dtype=rows.dtype, device=rows.device)
    found = cat([rows, fill], 0) if (places == len(rows)).any() else rows
    return found.index_select(0, tensor(places.reshape(-1))).reshape(
        *places.shape, *rows.shape[1:])


def pad_packed_sequence(sequence: PackedSequence, batch_first: bool = False,
                        padding_value: float = 0.0, total_length: int | None = None):
    """Undo pack_padded_sequence: the padded tensor and the lengths.

    Args:
        batch_first: give (N, T, *) instead of (T, N, *).
        padding_value: what stands after a sequence's end.
        total_length: pad to this T.

    Raises:
        ValueError: ``total_length`` is shorter than the longest sequence.
    """
    sizes = sequence.batch_sizes.tolist()
    longest = len(sizes)
    if total_length is not None:
        if total_length < longest:
            raise ValueError("Expected total_length to be at least the length of the longest "
                             f"sequence in input, but got total_length={total_length} and max "
                             f"sequence length being {longest}")
        longest = total_length
    data = sequence.data
    running = np.arange(sizes[0])[None, :] < np.asarray(sizes)[:, None]
    places = np.full((longest, sizes[0]), len(data), np.int64)
    places[:len(sizes)][running] = np.arange(len(data))
    padded = _spread(data, places.T if batch_first else places, padding_value)
    lengths = tensor(running.sum(0, dtype=np.int64))
    back = sequence.unsorted_indices
    if back is not None:
        padded = padded.index_select(0 if batch_first else 1, back)
        lengths = lengths[back.cpu()]
    return padded, lengths


def pad_sequence(sequences, batch_first: bool = False, padding_value: float = 0.0,
                 padding_side: str = "right") -> Tensor:
    """Tensors (L_i, *) as one (T, N, *), or (N, T, *) with ``batch_first``, padded to the longest.

    Args:
        padding_side: "right" or "left".
    """
    if isinstance(sequences, Tensor):
        sequences = sequences.unbind(0)
    elif not isinstance(sequences, (list, tuple)):
        if not hasattr(sequences, "__iter__"):
            raise RuntimeError("pad_sequence: Expected iterable for input sequences, but got arg "
                               f"of type: {type(sequences)}")
        sequences = list(sequences)
    if padding_side not in ("left", "right"):
        raise RuntimeError("Expected padding_side to be one of left or right, but got "
                           f"{padding_side}.")
    if not len(sequences):
        raise RuntimeError("received an empty list of sequences")
    lengths = [s.size(0) for s in sequences]
    running = _running(lengths, max(lengths))
    if padding_side == "left":
        running = running[::-1]
    places = np.full(running.T.shape, sum(lengths), np.int64)  # (N, T)
    places[running.T] = np.arange(sum(lengths))
    rows = cat(sequences, 0)
    return _spread(rows, places if batch_first else places.T, padding_value)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list:
    """Undo pad_sequence: a list of tensors of the given lengths."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [seq[:int(n)] for seq, n in zip(padded_sequences, lengths, strict=True)]


def pack_sequence(sequences, enforce_sorted: bool = True) -> PackedSequence:
    """Pack tensors (L_i, *), longest first unless ``enforce_sorted`` is False."""
    lengths = as_tensor([s.size(0) for s in sequences], dtype=int64)
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list:
    """Undo pack_sequence: a list of tensors."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
