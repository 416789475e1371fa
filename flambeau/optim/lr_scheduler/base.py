"""What all learning rate schedulers share."""

from __future__ import annotations

import types
import warnings

from ...tensor import Tensor
from ..functions import one_operation, set_
from ..optimizer import Optimizer

_SEE = ("See more details at "
        "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate")
_OVERRIDDEN = ("Seems like `optimizer.step()` has been overridden after learning rate scheduler "
               "initialization. Please, make sure to call `optimizer.step()` before "
               "`lr_scheduler.step()`. " + _SEE)
_ORDER = ("Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and "
          "later, you should call them in the opposite order: `optimizer.step()` before "
          "`lr_scheduler.step()`.  Failure to do this will result in PyTorch skipping the first "
          "value of the learning rate schedule. " + _SEE)
EPOCH_DEPRECATED = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
    "possible. Please use `scheduler.step()` to step the scheduler. During the deprecation, if "
    "epoch is different from None, the closed form is used instead of the new chainable form, "
    "where available.")
_ASK_LAST = "To get the last learning rate computed by the scheduler, please use `get_last_lr()`."


def copied(value):
    """A tensor's copy; anything else as it is."""
    return value.clone() if isinstance(value, Tensor) else value


def values_of(optimizer: Optimizer, key: str) -> list:
    """An option of every group; tensors are copied."""
    return [copied(group[key]) for group in optimizer.param_groups]


def _fill(x: Tensor, *, number: float) -> None:
    set_(x, number, x)


_fill = one_operation(_fill, ("number",))


def set_value(group: dict, key: str, value) -> None:
    """Set an option; one that is a tensor is written into."""
    if isinstance(group[key], Tensor):
        _fill(group[key], number=float(value))
    else:
        group[key] = value


def per_group(name: str, optimizer: Optimizer, value) -> list:
    """One value per group, from a value or a list of them.

    Raises:
        ValueError: a list of another length than there are groups.
    """
    n = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        value = [value] * n
    elif len(value) != n:
        raise ValueError(f"{name} must have the same length as optimizer.param_groups. {name} has "
                         f"{len(value)} values, param_groups has {n}.")
    return [copied(v) for v in value]


def check_optimizer(optimizer) -> None:
    """Raise TypeError for what is no optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


class LRScheduler:
    """Base class: sets the learning rate of an optimizer's groups in every :meth:`step`.

    A scheduler of one's own defines ``get_lr()``, which returns one rate per group for
    ``self.last_epoch``.

    Args:
        optimizer: whose rates to set.
        last_epoch: the epoch to resume after; -1 starts at the beginning.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        if last_epoch == -1:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", copied(group["lr"]))
        else:
            for i, group in enumerate(optimizer.param_groups):
                if "initial_lr" not in group:
                    raise KeyError(
                        f"param 'initial_lr' is not specified in param_groups[{i}] when resuming "
                        "scheduler with last_epoch >= 0.\nThis typically happens when:\n1. You're "
                        "trying to resume training from a checkpoint but haven't properly loaded "
                        "the optimizer state\n2. You're using last_epoch >= 0 for a fresh training "
                        "run (not recommended)")
        self.base_lrs = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        if not hasattr(optimizer, "_scheduled_step"):
            optimizer._opt_called = False
        optimizer._scheduled_step = _function_of(optimizer.step)
        self._initial_step()

    def _initial_step(self) -> None:
        """Set the rates of the first epoch."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    # -- the interface -----------------------------------------------------------------------------

    def get_last_lr(self) -> list:
        """The rates that the last step set, one per group."""
        return self._last_lr

    def get_lr(self) -> list:
        """The rates of ``self.last_epoch``, one per group."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr()")

    def step(self, epoch: int | None = None) -> None:
        """Go on by one epoch and set the rates.

        Args:
            epoch: go there instead (deprecated).
        """
        if self._step_count == 1:
            self._check_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATED, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def state_dict(self) -> dict:
        """Everything but the optimizer."""
        return {key: value for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from what :meth:`state_dict` gave."""
        vars(self).update(state_dict)

    # -- for subclasses --------------------------------------------------------------------------

    def _check_order(self) -> None:
        expected = getattr(self.optimizer, "_scheduled_step", None)
        if expected is None:  # a copied optimizer: nothing is known about its steps
            return
        if _function_of(self.optimizer.step) is not expected:
            warnings.warn(_OVERRIDDEN, UserWarning, stacklevel=3)
        elif not self.optimizer._opt_called:
            warnings.warn(_ORDER, UserWarning, stacklevel=3)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                rates = self.get_lr()
            else:
                self.last_epoch = epoch
                closed = getattr(self, "_get_closed_form_lr", None)
                rates = self.get_lr() if closed is None else closed()
        finally:
            self._get_lr_called_within_step = False
        self._set(rates)

    def _set(self, rates: list) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            set_value(group, "lr", rate)
        self._last_lr = values_of(self.optimizer, "lr")

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(_ASK_LAST, UserWarning, stacklevel=3)

    def _current(self, factor: float | None = None) -> list:
        """The groups' rates as they are, or times a factor."""
        if factor is None:
            return values_of(self.optimizer, "lr")
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _set_momentum(self, group: dict, value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value

    def _cycle_momentum_of(self, optimizer: Optimizer) -> None:
        """Find out which option is the momentum.

        Raises:
            ValueError: the optimizer has none.
        """
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` "
                             "option enabled")
        self.use_beta1 = "betas" in optimizer.defaults

    def _start_momentum(self, optimizer: Optimizer, base: list, highest: list) -> None:
        for high, low, group in zip(highest, base, optimizer.param_groups, strict=True):
            self._set_momentum(group, high)
            group["max_momentum"], group["base_momentum"] = high, low


def _function_of(method):
    return getattr(method, "__func__", method)


def saved_callable(function) -> dict | None:
    """What can be saved of a callable: an object's attributes; nothing of a function."""
    return None if isinstance(function, types.FunctionType) else vars(function).copy()
