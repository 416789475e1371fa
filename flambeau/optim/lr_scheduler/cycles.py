"""Schedulers that follow curves: cosines, triangles, one cycle."""

from __future__ import annotations

import math

from .base import (
    LRScheduler,
    check_optimizer,
    per_group,
    saved_callable,
    set_value,
)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate to ``eta_min`` in ``T_max`` epochs, and back again."""

    def __init__(self, optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list:
        """The rates of this epoch, from those of the last one (so that others may change them)."""
        self._warn_outside_step()
        if self._is_initial:
            return self._current()
        if self._step_count == 1 and self.last_epoch > 0:
            return self._get_closed_form_lr()
        groups = self.optimizer.param_groups
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # just past the floor
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [group["lr"] + (base - self.eta_min) * rise
                    for base, group in zip(self.base_lrs, groups, strict=True)]
        ratio = ((1 + math.cos(math.pi * self.last_epoch / self.T_max))
                 / (1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max)))
        return [ratio * (group["lr"] - self.eta_min) + self.eta_min for group in groups]

    def _get_closed_form_lr(self) -> list:
        height = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine down to ``eta_min``, again and again; each takes ``T_mult`` times as long.

    Formula: Loshchilov and Hutter, SGDR.

    Args:
        optimizer: whose rates to set.
        T_0: epochs until the first restart.
        T_mult: factor on the length after every restart.
        eta_min: lowest rate.
        last_epoch: the epoch to resume after.
    """

    def __init__(self, optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0,
                 last_epoch: int = -1):
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type "
                             f"{type(eta_min)}")
        self.T_0 = self.T_i = T_0
        self.T_mult, self.eta_min, self.T_cur = T_mult, eta_min, last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list:
        """The rates at the place in the current cosine."""
        self._warn_outside_step()
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on by one epoch, or to an epoch, which may be a fraction (``epoch + i / batches``)."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self._go_to(epoch)
        self.last_epoch = math.floor(epoch)
        self._get_lr_called_within_step = True
        try:
            rates = self.get_lr()
        finally:
            self._get_lr_called_within_step = False
        self._set(rates)

    def _go_to(self, epoch: float) -> None:
        if epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            restarts = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            length = self.T_mult ** restarts
            self.T_cur = epoch - self.T_0 * (length - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * length


class CyclicLR(LRScheduler):
    """Triangles between ``base_lr`` and ``max_lr``, stepped after every batch (Smith).

    Args:
        optimizer: whose rates to set.
        base_lr, max_lr: the rates between which it cycles; a number or one per group.
        step_size_up, step_size_down: batches up and down.
        mode: "triangular", "triangular2" (half as high each cycle) or "exp_range" (times
            ``gamma ** iterations``).
        gamma: for "exp_range".
        scale_fn: factor on the height in place of ``mode``.
        scale_mode: whether ``scale_fn`` gets the "cycle" or the "iterations".
        cycle_momentum: move the momentum the other way, from ``max_momentum`` to
            ``base_momentum``.
        base_momentum, max_momentum: a number or one per group.
        last_epoch: the batch to resume after.
    """

    def __init__(self, optimizer, base_lr, max_lr, step_size_up: int = 2000,
                 step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
                 scale_fn=None, scale_mode: str = "cycle", cycle_momentum: bool = True,
                 base_momentum=0.8, max_momentum=0.9, last_epoch: int = -1):
        check_optimizer(optimizer)
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for rate, group in zip(base_lrs, optimizer.param_groups, strict=True):
                set_value(group, "lr", rate)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(f"mode is invalid and scale_fn is None: got mode={mode!r}, expected "
                             "'triangular', 'triangular2' or 'exp_range'")
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._cycle_momentum_of(optimizer)
            self.base_momentums = per_group("base_momentum", optimizer, base_momentum)
            self.max_momentums = per_group("max_momentum", optimizer, max_momentum)
            if last_epoch == -1:
                self._start_momentum(optimizer, self.base_momentums, self.max_momentums)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """Factor on the height of a triangle."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return 1 / (2.0 ** (x - 1)) if self.mode == "triangular2" else self.gamma ** x

    def get_lr(self) -> list:
        """The rates at this place of the triangle; sets the momentum too."""
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for base, high, group in zip(self.base_momentums, self.max_momentums,
                                         self.optimizer.param_groups, strict=True):
                self._set_momentum(group, high - (high - base) * height * scale)
        return [base + (high - base) * height * scale
                for base, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict:
        """Everything but the optimizer; of ``scale_fn`` only a callable object's attributes."""
        state = super().state_dict()
        function = self._scale_fn_custom
        state["_scale_fn_custom"] = None if function is None else saved_callable(function)
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from what :meth:`state_dict` gave."""
        state = dict(state_dict)
        saved = state.pop("_scale_fn_custom", None)
        super().load_state_dict(state)
        if saved is not None:
            vars(self._scale_fn_custom).update(saved)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)


def _line(start: float, end: float, share: float) -> float:
    return (end - start) * share + start


class OneCycleLR(LRScheduler):
    """Up to ``max_lr`` and down below the start, once; stepped after every batch (Smith, Topin).

    Args:
        optimizer: whose rates to set.
        max_lr: the highest rate; a number or one per group.
        total_steps: batches in all; or give ``epochs`` and ``steps_per_epoch``.
        pct_start: share of the batches in which the rate rises.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: move the momentum the other way.
        base_momentum, max_momentum: a number or one per group.
        div_factor: ``max_lr / div_factor`` is the first rate.
        final_div_factor: the first rate divided by it is the last.
        three_phase: down to the first rate as fast as up, then on to the last.
        last_epoch: the batch to resume after.

    Raises:
        ValueError: more steps than there are, in :meth:`step`.
    """

    def __init__(self, optimizer, max_lr, total_steps: int | None = None, epochs: int | None = None,
                 steps_per_epoch: int | None = None, pct_start: float = 0.3,
                 anneal_strategy: str = "cos", cycle_momentum: bool = True, base_momentum=0.85,
                 max_momentum=0.95, div_factor: float = 25.0, final_div_factor: float = 1e4,
                 three_phase: bool = False, last_epoch: int = -1):
        check_optimizer(optimizer)
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError("anneal_strategy must be one of 'cos' or 'linear', instead got "
                             f"{anneal_strategy}")
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        highest = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for rate, group in zip(highest, optimizer.param_groups, strict=True):
                group["initial_lr"] = rate / div_factor
                group["max_lr"] = rate
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._cycle_momentum_of(optimizer)
            high = per_group("max_momentum", optimizer, max_momentum)
            base = per_group("base_momentum", optimizer, base_momentum)
            if last_epoch == -1:
                self._start_momentum(optimizer, base, high)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list:
        """The rates at this place of the cycle; sets the momentum too."""
        self._warn_outside_step()
        now = self.last_epoch
        if now > self.total_steps:
            raise ValueError(f"Tried to step {now} times. The specified number of total steps is "
                             f"{self.total_steps}")
        curve = _cosine if self._anneal_func_type == "cos" else _line
        start = 0.0
        for phase in self._schedule_phases[:-1]:
            if now <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        share = (now - start) / (phase["end_step"] - start)
        groups = self.optimizer.param_groups
        if self.cycle_momentum:
            for group in groups:
                self._set_momentum(group, curve(group[phase["start_momentum"]],
                                                group[phase["end_momentum"]], share))
        return [curve(group[phase["start_lr"]], group[phase["end_lr"]], share)
                for group in groups]


def _total_steps(total_steps, epochs, steps_per_epoch) -> int:
    if total_steps is not None:
        return _positive("total_steps", total_steps)
    if epochs is None or steps_per_epoch is None:
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    return _positive("epochs", epochs) * _positive("steps_per_epoch", steps_per_epoch)


def _positive(name: str, value) -> int:
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"Expected positive integer {name}, but got {value}")
    return value


def _phases(total: int, share_up: float, three: bool) -> list[dict]:
    """Where each phase ends, and between which options of a group it moves."""
    def phase(end, lr_from, lr_to, momentum_from, momentum_to):
        return {"end_step": end, "start_lr": lr_from, "end_lr": lr_to,
                "start_momentum": momentum_from, "end_momentum": momentum_to}

    up = phase(float(share_up * total) - 1, "initial_lr", "max_lr", "max_momentum",
               "base_momentum")
    if not three:
        return [up, phase(total - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]
    return [up,
            phase(float(2 * share_up * total) - 2, "max_lr", "initial_lr", "base_momentum",
                  "max_momentum"),
            phase(total - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum")]
