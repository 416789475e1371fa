"""The sampler that gives every process of a distributed run its own share."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

from ...tensor.random import Generator, permutation
from .dataset import Dataset
from .sampler import Sampler


class DistributedSampler(Sampler[int]):
    """Every ``num_replicas``-th index, beginning with ``rank``; shuffled alike in all processes.

    Args:
        dataset: what to sample from.
        num_replicas: number of processes.
        rank: number of this one.
        shuffle: another order in every epoch (see :meth:`set_epoch`).
        seed: the same in all processes.
        drop_last: drop the tail so that shares are equal, instead of repeating samples.
    """

    def __init__(self, dataset: Dataset, num_replicas: int | None = None, rank: int | None = None,
                 shuffle: bool = True, seed: int = 0, drop_last: bool = False):
        if num_replicas is None or rank is None:
            num_replicas, rank = _from_process_group(num_replicas, rank)
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval "
                             f"[0, {num_replicas - 1}]")
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.epoch, self.drop_last, self.shuffle, self.seed = 0, drop_last, shuffle, seed
        n = len(dataset)
        self.num_samples = n // num_replicas if drop_last and n % num_replicas \
            else math.ceil(n / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)
        if self.shuffle:
            generator = Generator().manual_seed(self.seed + self.epoch)
            indices = permutation(generator, n).tolist()
        else:
            indices = list(range(n))
        if self.drop_last:
            indices = indices[:self.total_size]
        else:
            missing = self.total_size - len(indices)
            indices += (indices * math.ceil(missing / max(len(indices), 1)))[:missing]
        if len(indices) != self.total_size:
            raise AssertionError(f"Number of indices ({len(indices)}) does not match total_size "
                                 f"({self.total_size})")
        return iter(indices[self.rank:self.total_size:self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; call it before the epoch's iteration."""
        self.epoch = epoch


def _from_process_group(num_replicas: int | None, rank: int | None) -> tuple[int, int]:
    """What is missing, from the process group (a program that has one has imported the package)."""
    distributed = sys.modules.get(__name__.partition(".")[0] + ".distributed")
    if distributed is None or not distributed.is_available():
        raise RuntimeError("Requires distributed package to be available: give num_replicas= and "
                           "rank=")
    if num_replicas is None:
        num_replicas = distributed.get_world_size()
    return num_replicas, distributed.get_rank() if rank is None else rank
