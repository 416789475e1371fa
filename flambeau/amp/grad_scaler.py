"""GradScaler: multiplies the loss so that small gradients survive float16, and takes it back."""

from __future__ import annotations

import inspect
import warnings
from collections import abc
from enum import Enum

from ..autograd.modes import no_grad
from ..base import dtype as dt
from ..tensor import Tensor
from ..tensor.convert import tensor
from ..tensor.follow import one_operation


@no_grad()
def _unscale(grads: list[Tensor], *, inverse: float) -> Tensor:
    """Multiply the gradients; whether one of them was infinite or NaN."""
    bad = None
    for grad in grads:
        here = grad.isfinite().all().logical_not()
        bad = here if bad is None else bad.logical_or(here)
        grad.mul_(inverse)
    return bad


_unscale = one_operation(_unscale, ("inverse",))


class OptState(Enum):
    """How far an optimizer has come since the last update()."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class GradScaler:
    """Dynamic loss scaling.

    ``scale(loss).backward()``, then ``step(optimizer)`` (which leaves the parameters alone when a
    gradient is infinite or NaN), then ``update()`` (which halves the scale after such a step and
    doubles it after ``growth_interval`` good ones).

    Args:
        device: "cpu", or "cuda", for which the scaler switches itself off with a warning.
    """

    def __init__(self, device: str = "cuda", init_scale: float = 2.0 ** 16,
                 growth_factor: float = 2.0, backoff_factor: float = 0.5,
                 growth_interval: int = 2000, enabled: bool = True):
        self._device = str(device)
        self._enabled = enabled
        if enabled and not self._device.startswith("cpu"):
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  "
                          "Disabling.", UserWarning, stacklevel=2)
            self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._scale: float = float(init_scale)
        self._scale_tensor: Tensor | None = None
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        self._per_optimizer: dict[int, dict] = {}

    # --- the loss ---------------------------------------------------------------------------------

    def scale(self, outputs):
        """The outputs (a tensor, or nested lists and tuples of them) times the scale."""
        if not self._enabled:
            return outputs
        if self._scale_tensor is None:
            self._scale_tensor = tensor(self._scale, dtype=dt.float32)
        return self._scaled(outputs)

    def _scaled(self, value):
        if isinstance(value, Tensor):
            return value * self._scale_tensor
        if isinstance(value, abc.Iterable):
            items = map(self._scaled, value)
            if isinstance(value, (list, tuple)):
                return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
            return items
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    # --- the gradients ----------------------------------------------------------------------------

    def _state_of(self, optimizer) -> dict:
        return self._per_optimizer.setdefault(
            id(optimizer), {"stage": OptState.READY, "found_inf": None})

    def _unscale_grads(self, optimizer, allow_fp16: bool) -> Tensor | None:
        """Divide every gradient by the scale; whether one of them is not finite, as a tensor that
        step() looks at; None when there are no gradients."""
        grads = [p.grad for group in optimizer.param_groups for p in group["params"]
                 if p.grad is not None]
        if not allow_fp16 and any(grad.dtype is dt.float16 for grad in grads):
            raise ValueError("Attempting to unscale FP16 gradients.")
        return _unscale(grads, inverse=1.0 / self._scale) if grads else None

    def unscale_(self, optimizer) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, once, for clipping.

        Raises:
            RuntimeError: called twice, or after step(), since the last update().
        """
        if not self._enabled:
            return
        state = self._state_of(optimizer)
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the "
                               "last update().")
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        state["found_inf"] = self._unscale_grads(optimizer, False)
        state["stage"] = OptState.UNSCALED

    def step(self, optimizer, *args, **kwargs):
        """``optimizer.step(*args, **kwargs)`` with true gradients, unless one is not finite."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        state = self._state_of(optimizer)
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            return self._step_itself(optimizer, state, args, kwargs)
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        if state["found_inf"] is None:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None if _known(state) else optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    def _step_itself(self, optimizer, state, args, kwargs):
        """For an optimizer that divides by the scale and looks for infinities itself."""
        if "grad_scaler" in inspect.signature(optimizer.step).parameters:
            kwargs = {**kwargs, "grad_scaler": self}
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        result = None if _known(state) else optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    # --- the scale --------------------------------------------------------------------------------

    def update(self, new_scale=None) -> None:
        """Choose the next scale: after the steps of all optimizers, or ``new_scale``."""
        if not self._enabled:
            return
        if new_scale is not None:
            if isinstance(new_scale, Tensor):
                if new_scale.numel() != 1 or new_scale.requires_grad:
                    raise AssertionError("new_scale should be a float or a 1-element "
                                         "torch.FloatTensor with requires_grad=False.")
                new_scale = new_scale.item()
            self._set_scale(float(new_scale))
        else:
            found = [_known(s) for s in self._per_optimizer.values()
                     if s["found_inf"] is not None]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            if any(found):
                self._set_scale(self._scale * self._backoff_factor)
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    self._set_scale(self._scale * self._growth_factor)
                    self._growth_tracker = 0
        self._per_optimizer.clear()

    def _set_scale(self, value: float) -> None:
        if value != self._scale:
            self._scale, self._scale_tensor = value, None

    def get_scale(self) -> float:
        """The present scale; 1.0 when disabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """The factor of an increase."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Choose the factor of an increase."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """The factor of a decrease."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Choose the factor of a decrease."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many good steps come before an increase."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Choose how many good steps come before an increase."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    def state_dict(self) -> dict:
        """What a checkpoint needs; empty when disabled."""
        if not self._enabled:
            return {}
        return {"scale": self._scale, "growth_factor": self._growth_factor,
                "backoff_factor": self._backoff_factor, "growth_interval": self._growth_interval,
                "_growth_tracker": self._growth_tracker}

    def load_state_dict(self, state_dict: dict) -> None:
        """Continue from a ``state_dict()``.

        Raises:
            RuntimeError: it is empty: it came from a disabled scaler.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled "
                "instance of GradScaler.")
        self._set_scale(float(state_dict["scale"]))
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]


def _known(state: dict) -> bool:
    """Whether a gradient of an optimizer was not finite; waits for the value, once."""
    found = state["found_inf"]
    if isinstance(found, Tensor):
        found = state["found_inf"] = bool(found.item())
    return bool(found)
