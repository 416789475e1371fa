"""Samples to batches: the rules of ``default_collate`` and ``default_convert``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence

import numpy as np

from ...autograd import modes
from ...base import dtype as dt
from ...ops.lib.joining import stack
from ...tensor import Tensor
from ...tensor.convert import as_tensor, tensor
from ...tensor.host import from_array

default_collate_err_msg_format = ("default_collate: batch must contain tensors, numpy arrays, "
                                  "numbers, dicts or lists; found {}")
_TEXT = "SaUO"  # NumPy kinds that become no tensor


def default_convert(data):
    """NumPy arrays inside nested containers as tensors; everything else as it is."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, np.ndarray):
        return data if data.dtype.kind in _TEXT else as_tensor(data)
    if isinstance(data, (np.number, np.bool_)):
        return as_tensor(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple):
        parts = [default_convert(d) for d in data]
        return type(data)(*parts) if hasattr(data, "_fields") else parts
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like_sequence(data, [default_convert(d) for d in data])
    return data


def _like_mapping(example: Mapping, items: dict):
    """``items`` in a mapping of the example's type; a dict where that type cannot be made so."""
    try:
        if isinstance(example, MutableMapping):
            clone = copy.copy(example)
            clone.update(items)
            return clone
        return type(example)(items)
    except TypeError:
        return items


def _like_sequence(example: Sequence, items: list):
    """``items`` in a sequence of the example's type; a list where that type cannot be made so."""
    try:
        if isinstance(example, MutableSequence):
            clone = copy.copy(example)
            for i, item in enumerate(items):
                clone[i] = item
            return clone
        return type(example)(items)
    except TypeError:
        return items


def collate(batch: Sequence, *, collate_fn_map: dict | None = None):
    """A batch from samples: by a table of functions for leaves, and part by part for containers.

    Args:
        batch: samples of one structure.
        collate_fn_map: type (or tuple of types) -> ``function(batch, *, collate_fn_map)``.

    Raises:
        TypeError: samples of a type that has no rule.
        RuntimeError: sequences of unequal lengths, or tensors of unequal shapes.
    """
    elem = batch[0]
    if collate_fn_map is not None:
        function = _rule_for(type(elem), elem, collate_fn_map)
        if function is not None:
            return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(elem, Mapping):
        return _like_mapping(elem, {
            key: _part(batch, key, collate_fn_map) for key in elem})
    if isinstance(elem, tuple) and hasattr(elem, "_fields"):
        columns = zip(*batch, strict=True)
        return type(elem)(*(collate(c, collate_fn_map=collate_fn_map) for c in columns))
    if isinstance(elem, Sequence):
        lengths = [len(sample) for sample in batch]
        if any(n != lengths[0] for n in lengths):
            i = next(i for i, n in enumerate(lengths) if n != lengths[0])
            raise RuntimeError(
                "each element in list of batch should be of equal size: sample 0 of the batch has "
                f"{lengths[0]} elements, sample {i} has {lengths[i]}; pad them, or give a "
                "collate_fn")
        columns = [collate(c, collate_fn_map=collate_fn_map)
                   for c in zip(*batch, strict=True)]
        return columns if isinstance(elem, tuple) else _like_sequence(elem, columns)
    raise TypeError(default_collate_err_msg_format.format(type(elem)))


def _part(batch, key, collate_fn_map):
    try:
        column = [sample[key] for sample in batch]
    except KeyError:
        i = next(i for i, sample in enumerate(batch) if key not in sample)
        raise KeyError(f"sample {i} of the batch has no key {key!r}, which sample 0 has; "
                       f"its keys are {list(batch[i])}") from None
    return collate(column, collate_fn_map=collate_fn_map)


def _rule_for(kind: type, elem, table: dict) -> Callable | None:
    function = table.get(kind)
    if function is not None:
        return function
    for types, function in table.items():
        if isinstance(elem, types):
            return function
    return None


def _unequal(first, other, i: int) -> RuntimeError:
    """The error for samples that cannot be stacked; ``at`` are two positions in the batch."""
    error = RuntimeError(
        f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and "
        f"{list(other)} at entry {i}: the samples of a batch differ in shape. Pad them to one "
        "shape (torch.nn.utils.rnn.pad_sequence), resize them in the dataset, or give the "
        "DataLoader a collate_fn that does")
    error.at = (0, i)
    return error


# -- leaves ----------------------------------------------------------------------------------------


def collate_tensor_fn(batch, *, collate_fn_map=None) -> Tensor:
    """Tensors of one shape along a new first axis.

    Raises:
        RuntimeError: shapes that differ.
    """
    shape = batch[0].shape
    for i, t in enumerate(batch):
        if t.shape != shape:
            raise _unequal(shape, t.shape, i)
    gathered = _gathered(batch)
    return stack(list(batch), 0) if gathered is None else gathered


def _gathered(batch) -> Tensor | None:
    """Samples that are equally shaped windows of one memory, by a single index operation."""
    first = batch[0]
    storage, strides = first.storage, first.strides
    if storage.node.value is None or storage.device.type != "cpu":
        return None
    dtype = first.dtype
    for t in batch:
        if t.storage is not storage or t.strides != strides or t.dtype is not dtype \
                or (t.requires_grad and modes.state.grad):
            return None
    flat = storage.array()
    offsets = [t.offset for t in batch]
    size = flat.itemsize
    if not first.shape:
        return from_array(flat[offsets], dtype)
    windows = np.lib.stride_tricks.as_strided(
        flat, (max(offsets) + 1, *first.shape), (size, *(s * size for s in strides)),
        writeable=False)
    return from_array(windows[offsets], dtype)


def collate_numpy_array_fn(batch, *, collate_fn_map=None):
    """NumPy arrays, as tensors."""
    if batch[0].dtype.kind in _TEXT:
        raise TypeError(default_collate_err_msg_format.format(batch[0].dtype))
    return collate([as_tensor(b) for b in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch, *, collate_fn_map=None) -> Tensor:
    """NumPy numbers, as one tensor of their dtype."""
    return as_tensor(batch)


def collate_float_fn(batch, *, collate_fn_map=None) -> Tensor:
    """Python floats, as float64."""
    return tensor(batch, dtype=dt.float64)


def collate_int_fn(batch, *, collate_fn_map=None) -> Tensor:
    """Python ints and bools, as int64 and bool."""
    return tensor(batch)


def collate_str_fn(batch, *, collate_fn_map=None):
    """Strings stay a list."""
    return batch


#: what default_collate does with leaves; programs may add their own types
default_collate_fn_map: dict = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def default_collate(batch):
    """A batch from samples: tensors and arrays are stacked, numbers become tensors, containers are
    collated part by part, strings stay lists.

    Raises:
        TypeError: samples of another type.
        RuntimeError: sequences of unequal lengths, or tensors of unequal shapes.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
