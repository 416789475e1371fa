"""DataLoader: batches of a dataset, in this process or from worker processes."""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
import warnings
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from ...runtime import execute
from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .fetch import IterableFetcher, MapFetcher, array_batches
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed
from .worker import WorkerInfo as WorkerInfo
from .worker import get_worker_info as get_worker_info
from .workers import Workers

T_co = TypeVar("T_co", covariant=True)

_NO_PINNING = ("'pin_memory' argument is set as true but no accelerator is found, then device "
               "pinned memory won't be used.")


class _DatasetKind:
    """How samples are asked for."""

    Map = 0
    Iterable = 1

    @staticmethod
    def create_fetcher(kind: int, dataset, auto_collation: bool, collate_fn, drop_last: bool):
        """The object that turns indices into batches."""
        make = MapFetcher if kind == _DatasetKind.Map else IterableFetcher
        return make(dataset, auto_collation, collate_fn, drop_last)


class _InfiniteConstantSampler(Sampler):
    """None for ever: an iterable dataset needs no indices."""

    def __iter__(self):
        while True:
            yield None


class DataLoader(Generic[T_co]):
    """Iterable over the batches of a dataset; every iteration is one epoch.

    Args:
        dataset: with ``__getitem__`` and ``__len__``, or an :class:`IterableDataset`.
        batch_size: samples per batch; None gives samples as they are.
        shuffle: another random order in every epoch.
        sampler: gives the indices instead.
        batch_sampler: gives lists of indices instead.
        num_workers: processes that make batches ahead of time; 0: none.
        collate_fn: makes a batch of a list of samples.
        pin_memory: accepted; there is no GPU to pin for.
        drop_last: leave out a last batch that is too small.
        timeout: seconds to wait for a worker; 0: for ever.
        worker_init_fn: called with the number of each worker when it starts.
        multiprocessing_context: a start method ("fork", "spawn", "forkserver") or a context.
        generator: where the order and the workers' seeds come from.
        prefetch_factor: batches made ahead, per worker (2).
        persistent_workers: workers stay between epochs.
        pin_memory_device: accepted.
        in_order: batches come in order although another may be ready sooner.

    Raises:
        ValueError: options that exclude each other.
    """

    _initialized = False
    _FIXED = frozenset(("batch_size", "batch_sampler", "sampler", "drop_last", "dataset",
                        "persistent_workers"))

    def __init__(self, dataset, batch_size: int | None = 1, shuffle: bool | None = None,
                 sampler: Sampler | Iterable | None = None,
                 batch_sampler: Sampler | Iterable | None = None, num_workers: int = 0,
                 collate_fn: Callable | None = None, pin_memory: bool = False,
                 drop_last: bool = False, timeout: float = 0,
                 worker_init_fn: Callable | None = None, multiprocessing_context=None,
                 generator=None, *, prefetch_factor: int | None = None,
                 persistent_workers: bool = False, pin_memory_device: str = "",
                 in_order: bool = True):
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        if num_workers > 0 and prefetch_factor is None:
            prefetch_factor = 2
        self.dataset, self.num_workers, self.prefetch_factor = dataset, num_workers, prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.timeout, self.worker_init_fn = timeout, worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self._dataset_kind = _DatasetKind.Map
        if isinstance(dataset, IterableDataset):
            self._dataset_kind = _DatasetKind.Iterable
            _check_iterable(shuffle, sampler, batch_sampler)
        batch_size, drop_last = _check_batches(batch_size, shuffle, sampler, batch_sampler,
                                               drop_last)
        if sampler is None:
            if self._dataset_kind == _DatasetKind.Iterable:
                sampler = _InfiniteConstantSampler()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.generator = generator
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn, self.persistent_workers = collate_fn, persistent_workers
        self._initialized = True
        self._IterableDataset_len_called = None
        self._iterator = None
        self.check_worker_number_rationality()

    # -- options ---------------------------------------------------------------------------------

    @property
    def multiprocessing_context(self):
        """The context that workers are started in, or None for the default one."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context) -> None:
        if context is not None:
            if self.num_workers == 0:
                raise ValueError("multiprocessing_context can only be used with multi-process "
                                 "loading (num_workers > 0), but got num_workers=0")
            if isinstance(context, str):
                known = multiprocessing.get_all_start_methods()
                if context not in known:
                    raise ValueError("multiprocessing_context option should specify a valid start "
                                     f"method in {known!r}, but got "
                                     f"multiprocessing_context={context!r}")
                context = multiprocessing.get_context(context)
            if not isinstance(context, multiprocessing.context.BaseContext):
                raise TypeError("multiprocessing_context option should be a valid context object "
                                "or a string specifying the start method, but got "
                                f"multiprocessing_context={context}")
        self._context = context

    def __setattr__(self, name, value) -> None:
        if self._initialized and name in self._FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is "
                             "initialized")
        super().__setattr__(name, value)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self):
        return self.batch_sampler if self._auto_collation else self.sampler

    def check_worker_number_rationality(self) -> None:
        """Warn when there are more workers than processors."""
        if not self.num_workers:
            return
        try:
            available = len(os.sched_getaffinity(0))
        except AttributeError:
            available = os.cpu_count() or 1
        if self.num_workers > available:
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. Our "
                f"suggested max number of worker in current system is {available}, which is "
                "smaller than what this DataLoader is going to create. Please be aware that "
                "excessive worker creation might get DataLoader running slow or even freeze, lower "
                "the worker number to avoid potential slowness/freeze if necessary.",
                stacklevel=3)

    # -- iteration -------------------------------------------------------------------------------

    def _get_iterator(self) -> _BaseDataLoaderIter:
        if self.num_workers == 0:
            return _SingleProcessDataLoaderIter(self)
        return _MultiProcessingDataLoaderIter(self)

    def __iter__(self) -> _BaseDataLoaderIter:
        if not (self.persistent_workers and self.num_workers > 0):
            return self._get_iterator()
        if self._iterator is None:
            self._iterator = self._get_iterator()
        else:
            self._iterator._reset(self)
        return self._iterator

    def __len__(self) -> int:
        if self._dataset_kind == _DatasetKind.Map:
            return len(self._index_sampler)
        length = self._IterableDataset_len_called = len(self.dataset)
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)


# -- checks of options -----------------------------------------------------------------------------


def _check_workers(num_workers, timeout, prefetch_factor, persistent_workers) -> None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable "
                         "multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError("prefetch_factor option could only be specified in multiprocessing."
                         "let num_workers > 0 to enable multiprocessing, otherwise set "
                         "prefetch_factor to None.")
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_iterable(shuffle, sampler, batch_sampler) -> None:
    if shuffle not in (False, None):
        raise ValueError("DataLoader with IterableDataset: expected unspecified shuffle option, "
                         f"but got shuffle={shuffle}")
    for name, value in (("sampler", sampler), ("batch_sampler", batch_sampler)):
        if value is not None:
            raise ValueError(f"DataLoader with IterableDataset: expected unspecified {name} "
                             f"option, but got {name}={value}")


def _check_batches(batch_size, shuffle, sampler, batch_sampler, drop_last):
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            raise ValueError("batch_sampler option is mutually exclusive with batch_size, "
                             "shuffle, sampler, and drop_last")
        return None, False
    if batch_size is None and drop_last:
        raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive "
                         "with drop_last")
    return batch_size, drop_last


# -- iterators -------------------------------------------------------------------------------------


class _BaseDataLoaderIter:
    """One epoch."""

    def __init__(self, loader: DataLoader):
        self._dataset, self._dataset_kind = loader.dataset, loader._dataset_kind
        self._expected = loader._IterableDataset_len_called
        self._auto_collation, self._drop_last = loader._auto_collation, loader.drop_last
        self._index_sampler, self._num_workers = loader._index_sampler, loader.num_workers
        self._collate_fn, self._timeout = loader.collate_fn, loader.timeout
        if loader.pin_memory:
            warnings.warn(_NO_PINNING, stacklevel=4)
        # drawn in every epoch, with or without workers, as PyTorch does
        self._base_seed = draw_seed(loader.generator)
        self._persistent_workers = loader.persistent_workers
        self._num_yielded = 0

    def __iter__(self):
        return self

    def __len__(self) -> int:
        return len(self._index_sampler)

    def __getstate__(self):
        raise NotImplementedError(f"{type(self).__name__} cannot be pickled")

    def __next__(self):
        data = self._next_data()
        self._num_yielded += 1
        if self._expected is not None and self._num_yielded > self._expected \
                and self._dataset_kind == _DatasetKind.Iterable:
            self._warn_length()
        return data

    def _warn_length(self) -> None:
        text = (f"Length of IterableDataset {self._dataset} was reported to be {self._expected}"
                f"(when accessing len(dataloader)), but {self._num_yielded} samples have been "
                "fetched. ")
        if self._num_workers > 0:
            text += ("For multiprocessing data-loading, this could be caused by not properly "
                     "configuring the IterableDataset replica at each worker. Please see "
                     "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset "
                     "for examples.")
        warnings.warn(text, stacklevel=3)


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """Batches made here, when they are asked for."""

    def __init__(self, loader: DataLoader):
        super().__init__(loader)
        self._fetcher = _DatasetKind.create_fetcher(
            self._dataset_kind, self._dataset, self._auto_collation, self._collate_fn,
            self._drop_last)
        columns = getattr(self._fetcher, "columns", None)
        self._batches = None
        if columns is not None:
            self._batches = array_batches(self._index_sampler, columns)
        if self._batches is None:
            self._batches = self._one_by_one()

    def _one_by_one(self):
        fetch = self._fetcher.fetch
        for index in self._index_sampler:
            try:
                data = fetch(index)
            except StopIteration:  # an iterable dataset has come to its end
                return
            execute.flush()  # transforms that are pending are no part of the training step
            yield data

    def _next_data(self):
        return next(self._batches)


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Batches from worker processes."""

    def __init__(self, loader: DataLoader):
        super().__init__(loader)
        execute.flush()  # nothing pending goes into the workers
        self._workers = Workers(loader, self._base_seed)
        self._workers.start_epoch(iter(self._index_sampler))

    def _reset(self, loader: DataLoader) -> None:
        self._num_yielded = 0
        self._expected = loader._IterableDataset_len_called
        self._workers.start_epoch(iter(self._index_sampler), resume=True)

    def _next_data(self):
        try:
            return self._workers.next()
        except StopIteration:
            if not self._persistent_workers:
                self._workers.close()
            raise

    def _shutdown_workers(self) -> None:
        self._workers.close()
