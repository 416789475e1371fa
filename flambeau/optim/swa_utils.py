"""Averages of a model's weights: stochastic weight averaging and exponential moving averages."""

from __future__ import annotations

import copy
import itertools
import math

from ..autograd.modes import no_grad
from ..base import dtype as dt
from ..nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Module
from .algorithm import end_weighs_more
from .functions import one_operation, tensor
from .lr_scheduler.base import LRScheduler, per_group


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] "
                         "range.")


def _continuous(p) -> bool:
    return p.is_floating_point() or p.is_complex()


@no_grad()
def _ema_of_lists(averages, current, decay: float) -> None:
    for average, now in zip(averages, current, strict=True):
        if _continuous(average):
            average.lerp_(now, 1 - decay)
        else:
            average.copy_(average * decay + now * (1 - decay))


@no_grad()
def _mean_of_lists(averages, current, mostly_new: bool, *, share: float) -> None:
    """``mostly_new`` goes with ``share``, see :func:`~.algorithm.end_weighs_more`."""
    for average, now in zip(averages, current, strict=True):
        if _continuous(average):
            average.lerp_(now, share)
        else:
            average.copy_(average + (now - average) * share)


_ema_of_lists = one_operation(_ema_of_lists)
_mean_of_lists = one_operation(_mean_of_lists, ("share",))


def get_ema_multi_avg_fn(decay: float = 0.999):
    """``average = decay * average + (1 - decay) * now`` on lists of parameters, in place."""
    _check_decay(decay)

    def ema_update(averages, current, _=None) -> None:
        _ema_of_lists(averages, current, decay)

    return ema_update


def get_swa_multi_avg_fn():
    """``average += (now - average) / (n + 1)`` on lists of parameters, in place."""

    def swa_update(averages, current, num_averaged) -> None:
        share = 1 / (int(num_averaged) + 1)
        _mean_of_lists(averages, current, end_weighs_more(share), share=share)

    return swa_update


def get_ema_avg_fn(decay: float = 0.999):
    """``decay * average + (1 - decay) * now``, for one parameter."""
    _check_decay(decay)

    @no_grad()
    def ema_update(average, now, num_averaged):
        return decay * average + (1 - decay) * now

    return one_operation(ema_update)


def get_swa_avg_fn():
    """``average + (now - average) / (n + 1)``, for one parameter."""

    @no_grad()
    def swa_update(average, now, num_averaged):
        return average + (now - average) / (num_averaged + 1)

    return one_operation(swa_update)


def _kind(pair) -> tuple[str, str]:
    return str(pair[0].device), str(pair[0].dtype)


def _on_device_of(like, x):
    return x if x.device == like.device else x.to(like.device)


class AveragedModel(Module):
    """A copy of a model that holds a running average of its weights.

    Args:
        model: what to average; it is copied.
        device: where the copy lives.
        avg_fn: ``avg_fn(average, now, number_averaged)`` gives the new average of one parameter.
        multi_avg_fn: ``multi_avg_fn(averages, now, number_averaged)`` changes lists of parameters.
        use_buffers: average the buffers as well (otherwise they are copied).

    Without either function it is the plain mean (Izmailov et al., Averaging Weights Leads to Wider
    Optima and Better Generalization).
    """

    def __init__(self, model: Module, device=None, avg_fn=None, multi_avg_fn=None,
                 use_buffers: bool = False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=dt.int64, device=device))
        self.avg_fn, self.multi_avg_fn = avg_fn, multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        """The averaged model's result."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the weights of ``model`` into the average."""
        averages, current = list(self.module.parameters()), list(model.parameters())
        if self.use_buffers:
            averages += self.module.buffers()
            current += model.buffers()
        # without gradients, a parameter is as good as its detach(): views would keep the trace
        # follower from seeing that these are the tensors that the optimizer writes
        current = [_on_device_of(a, p) for a, p in zip(averages, current, strict=False)]
        n = int(self.n_averaged)
        if n == 0:
            for average, now in zip(averages, current, strict=False):
                average.copy_(now)
        elif self.avg_fn is not None:
            for average, now in zip(averages, current, strict=True):
                average.copy_(self.avg_fn(average, now, _on_device_of(average, self.n_averaged)))
        else:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            pairs = sorted(zip(averages, current, strict=True), key=_kind)
            for _, group in itertools.groupby(pairs, _kind):
                of_one_kind, now = zip(*group, strict=True)
                update(list(of_one_kind), list(now), self.n_averaged)
        if not self.use_buffers:
            for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                mine.copy_(_on_device_of(mine, theirs))
        self.n_averaged += 1


@no_grad()
def update_bn(loader, model: Module, device=None) -> None:
    """Compute the running statistics of a model's batch norm layers anew, over a loader.

    Args:
        loader: gives batches: tensors, or lists and tuples whose first element is the input.
        model: it is called on every batch.
        device: where batches are moved first.
    """
    norms = [m for m in model.modules() if isinstance(m, (BatchNorm1d, BatchNorm2d, BatchNorm3d))]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    training = model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    for batch in loader:
        if isinstance(batch, (list, tuple)):
            batch = batch[0]
        model(batch if device is None else batch.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(training)


class SWALR(LRScheduler):
    """From the current rate to ``swa_lr`` in ``anneal_epochs``, where it stays.

    Args:
        optimizer: whose rates to set.
        swa_lr: the last rate; a number or one per group.
        anneal_epochs: how long it takes.
        anneal_strategy: "cos" or "linear".
        last_epoch: the epoch to resume after.
    """

    def __init__(self, optimizer, swa_lr, anneal_epochs: int = 10, anneal_strategy: str = "cos",
                 last_epoch: int = -1):
        for rate, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups,
                               strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError("anneal_strategy must be one of 'cos' or 'linear', instead got "
                             f"{anneal_strategy}")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError("anneal_epochs must be equal or greater than 0, got "
                             f"{anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t: float) -> float:
        """How far along the way to the last rate, from 0 to 1."""
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list:
        """The rates of this epoch, from those of the last one (so that others may change them)."""
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        share, before = (self.anneal_func(max(0, min(1, s / max(1, self.anneal_epochs))))
                         for s in (step, step - 1))
        rates = []
        for group in self.optimizer.param_groups:
            last = group["swa_lr"]
            start = last if before == 1 else (group["lr"] - before * last) / (1 - before)
            rates.append(last * share + start * (1 - share))
        return rates
