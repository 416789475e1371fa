"""From indices to batches, within one process.

A :class:`TensorDataset` (or subsets of one) with the default collate needs no samples at all: a
batch is one index operation per tensor. :func:`columns_of` tells when that gives the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ...tensor import Tensor
from ...tensor.host import from_array
from .collate import default_collate
from .dataset import Subset, TensorDataset, items_of
from .sampler import BatchSampler, RandomSampler, SequentialSampler


class MapFetcher:
    """Samples by index."""

    def __init__(self, dataset, auto_collation: bool, collate_fn: Callable, drop_last: bool):
        self.dataset, self.collate_fn = dataset, collate_fn
        self.auto_collation = auto_collation
        self.columns = columns_of(dataset, collate_fn) if auto_collation else None

    def fetch(self, index):
        """The batch of a list of indices, or (without batching) the sample of one index."""
        if not self.auto_collation:
            return self.collate_fn(self.dataset[index])
        if self.columns is not None:
            batch = self.columns.take(index)
            if batch is not None:
                return batch
        samples = items_of(self.dataset, index)
        try:
            return self.collate_fn(samples)
        except RuntimeError as error:
            at = getattr(error, "at", None)
            if at is None:
                raise
            first, second = (index[i] for i in at)
            raise RuntimeError(f"{error} (these are samples {first} and {second} of the "
                               "dataset)") from None


class IterableFetcher:
    """Samples in the order they come."""

    def __init__(self, dataset, auto_collation: bool, collate_fn: Callable, drop_last: bool):
        self.samples = iter(dataset)
        self.auto_collation, self.collate_fn = auto_collation, collate_fn
        self.drop_last = drop_last
        self.ended = False

    def fetch(self, index):
        """The next batch of ``len(index)`` samples, or (without batching) the next sample.

        Raises:
            StopIteration: there is none.
        """
        if self.ended:
            raise StopIteration
        if not self.auto_collation:
            return self.collate_fn(next(self.samples))
        batch = []
        for _ in index:
            try:
                batch.append(next(self.samples))
            except StopIteration:
                self.ended = True
                break
        if not batch or (self.drop_last and len(batch) < len(index)):
            raise StopIteration
        return self.collate_fn(batch)


# -- whole batches at once -------------------------------------------------------------------------


class Columns:
    """The tensors behind a dataset, and the subsets on the way to them."""

    def __init__(self, tensors: tuple[Tensor, ...], subsets: list[Subset]):
        self.tensors, self.subsets = tensors, subsets

    def take(self, index) -> list[Tensor] | None:
        """The batch of a list or an array of indices; None if it has to be made one by one."""
        if type(index) is list:
            for i in index:
                if type(i) is not int:
                    return None
        elif self.subsets:
            index = index.tolist()
        try:
            for subset in self.subsets:
                chosen = subset.indices
                index = [chosen[i] for i in index]
            if self.subsets and any(type(i) is not int for i in index):
                return None
            return [_rows(t, index) for t in self.tensors]
        except IndexError:
            return None  # sample by sample, the error names the index

    def window(self, start: int, stop: int) -> list[Tensor]:
        """The batch of consecutive indices."""
        return [from_array(t._array()[start:stop].copy(), t.dtype) for t in self.tensors]


def _rows(t: Tensor, index) -> Tensor:
    return from_array(t._array().take(index, axis=0), t.dtype)


def columns_of(dataset, collate_fn: Callable) -> Columns | None:
    """How to make whole batches at once, where that is no different from collating samples."""
    if collate_fn is not default_collate:
        return None
    subsets = []
    while type(dataset) is Subset:
        subsets.append(dataset)
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset:
        return None
    tensors = dataset.tensors
    if any(type(t) is not Tensor or t.requires_grad or t.device.type != "cpu" for t in tensors):
        return None
    return Columns(tensors, subsets)


def array_batches(batch_sampler, columns: Columns) -> Iterator[list[Tensor]] | None:
    """All batches of an epoch, made from arrays of indices; None if the sampler is another one."""
    if type(batch_sampler) is not BatchSampler:
        return None
    sampler, size = batch_sampler.sampler, batch_sampler.batch_size
    if type(sampler) is SequentialSampler and not columns.subsets:
        return _sequential(len(sampler), size, batch_sampler.drop_last, columns)
    if type(sampler) is RandomSampler and not columns.subsets:
        return _shuffled(sampler, size, batch_sampler.drop_last, columns)
    return None


def _sequential(n: int, size: int, drop_last: bool, columns: Columns):
    for start in range(0, n - size + 1 if drop_last else n, size):
        yield columns.window(start, start + size)


def _shuffled(sampler: RandomSampler, size: int, drop_last: bool, columns: Columns):
    left = np.empty(0, np.int64)
    for chunk in sampler.chunks():
        left = np.concatenate((left, chunk)) if left.size else chunk
        whole = len(left) - len(left) % size
        for start in range(0, whole, size):
            yield columns.take(left[start:start + size])
        left = left[whole:]
    if left.size and not drop_last:
        yield columns.take(left)
