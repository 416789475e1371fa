"""Sequences of different lengths: packed for recurrent layers, or padded."""

from __future__ import annotations

from collections import namedtuple

from ..core import Tensor, arange, as_tensor, cat, empty_like, full, int64

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
    data, batch_sizes = _pack(x.transpose(0, 1) if batch_first else x, lengths.tolist())
    return PackedSequence(data, batch_sizes, order, None)


def _pack(input: Tensor, lengths: list) -> tuple[Tensor, Tensor]:
    """(T, N, *) with decreasing lengths as packed data and batch sizes."""
    if len(lengths) != input.size(1):
        raise RuntimeError("Expected `len(lengths)` to be equal to batch_size, but got "
                           f"{len(lengths)} (batch_size={input.size(1)})")
    if not lengths or lengths[-1] <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element "
                           f"in 'lengths' that is <= 0: {lengths}")
    if any(a < b for a, b in zip(lengths, lengths[1:], strict=False)):
        raise RuntimeError("`lengths` array must be sorted in decreasing order when "
                           "`enforce_sorted` is True. You can pass `enforce_sorted=False` to "
                           "pack_padded_sequence and/or pack_sequence to sidestep this requirement "
                           "if you do not need ONNX exportability.")
    if lengths[0] > input.size(0):
        raise RuntimeError(f"Expected every length to be at most {input.size(0)}, the padded "
                           f"length, but got {lengths[0]}")
    sizes = [sum(1 for n in lengths if n > t) for t in range(lengths[0])]
    steps, at = [], 0
    while at < len(sizes):  # steps with the same sequences are one slice
        end = at
        while end < len(sizes) and sizes[end] == sizes[at]:
            end += 1
        block = input[at:end, :sizes[at]]
        steps.append(block.reshape((end - at) * sizes[at], *input.shape[2:]))
        at = end
    data = steps[0] if len(steps) == 1 else cat(steps, 0)
    return data, as_tensor(sizes, dtype=int64)


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
    rest = tuple(data.shape[1:])
    rows, at = [], 0
    for size in sizes:
        step = data[at:at + size]
        at += size
        if size < sizes[0]:
            fill = full((sizes[0] - size, *rest), padding_value, dtype=data.dtype,
                        device=data.device)
            step = cat([step, fill], 0)
        rows.append(step.unsqueeze(0))
    if longest > len(sizes):
        rows.append(full((longest - len(sizes), sizes[0], *rest), padding_value, dtype=data.dtype,
                         device=data.device))
    padded = cat(rows, 0)
    lengths = as_tensor([sum(1 for s in sizes if s > i) for i in range(sizes[0])], dtype=int64)
    if batch_first:
        padded = padded.transpose(0, 1)
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
    longest = max(s.size(0) for s in sequences)
    dim = 0 if batch_first else 1
    rows = []
    for s in sequences:
        missing = longest - s.size(0)
        if missing:
            fill = full((missing, *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)
            s = cat([s, fill] if padding_side == "right" else [fill, s], 0)
        rows.append(s.unsqueeze(dim))
    return cat(rows, dim)


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
