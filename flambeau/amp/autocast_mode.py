"""autocast: layers and products inside the block compute in bfloat16 or float16.

Which functions are affected is written in :mod:`flambeau.ir.autocast`.
"""

from __future__ import annotations

import functools
import warnings

import numpy as np

from ..base import dtype as dt
from ..base.device import device as _device
from ..ir import autocast as rules
from ..tensor import Tensor

_AVAILABLE = ("cpu", "cuda", "xpu", "mps", "hpu", "mtia", "maia", "ipu", "xla", "privateuseone")
#: the dtype that autocast(device) means when none is given
_DEFAULTS: dict[str, dt.dtype] = {"cpu": dt.bfloat16, "xpu": dt.bfloat16, "hpu": dt.bfloat16,
                                  "xla": dt.bfloat16}
_CPU_DTYPES = (dt.bfloat16, dt.float16)


def _device_type(device_type) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    return _device(device_type).type


def is_autocast_available(device_type: str) -> bool:
    """Whether ``autocast(device_type)`` may be written (it may have no effect here)."""
    return _device_type(device_type) in _AVAILABLE


class autocast:  # noqa: N801
    """Context manager and decorator: mixed precision inside.

    Args:
        device_type: "cpu"; for other devices autocast switches itself off with a warning.
        dtype: torch.bfloat16 (default on the CPU) or torch.float16.
        enabled: False turns mixed precision off inside the block.
        cache_enabled: accepted; converted weights are never kept, they cannot become stale.

    Raises:
        RuntimeError: there is no autocast for the device type.

    Differs from PyTorch: a weight used twice is converted twice, so its gradient is summed in
    float32 rather than in the lower precision.
    """

    def __init__(self, device_type: str, dtype: dt.dtype | None = None, enabled: bool = True,
                 cache_enabled: bool | None = None):
        self.device = _device_type(device_type)
        if self.device not in _AVAILABLE:
            raise RuntimeError("User specified an unsupported autocast device_type "
                               f"'{self.device}'")
        self.fast_dtype = get_autocast_dtype(self.device) if dtype is None else dtype
        self._cache_enabled = rules.state.cache if cache_enabled is None else cache_enabled
        if enabled and self.device != "cpu":
            if self.device == "cuda":
                warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.",
                              UserWarning, stacklevel=self._stacklevel)
            else:
                warnings.warn(f"{self.device} is not available. Disabling autocast.", UserWarning,
                              stacklevel=self._stacklevel)
            enabled = False
        if enabled and self.fast_dtype not in _CPU_DTYPES:
            warnings.warn(
                "In CPU autocast, but the target dtype is not supported. Disabling autocast.\n"
                "CPU Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                UserWarning, stacklevel=self._stacklevel)
            enabled = False
        self._enabled = enabled
        self._before: list = []

    _stacklevel = 3

    def __enter__(self):
        state = rules.state
        self._before.append((state.dtype, state.cache, _DEFAULTS.get("cpu")))
        if self.device == "cpu":
            state.cache = self._cache_enabled
            rules.switch(self.fast_dtype if self._enabled else None)
            if self._enabled:
                _DEFAULTS["cpu"] = self.fast_dtype
        return self

    def __exit__(self, *exc):
        to, rules.state.cache, default = self._before.pop()
        if self.device == "cpu":
            rules.switch(to)
            _DEFAULTS["cpu"] = default
        return False

    def __call__(self, function):
        @functools.wraps(function)
        def decorated(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        decorated.__script_unsupported = "@autocast() decorator is not supported in script mode"
        return decorated


# --- settings and questions: torch.is_autocast_enabled and its like ------------------------------


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether this thread is inside an enabled ``autocast`` of the device type."""
    return _device_type(device_type) == "cpu" and rules.state.dtype is not None


def set_autocast_enabled(device_type, enabled: bool | None = None) -> None:
    """Turn autocast of a device type on or off for this thread."""
    if enabled is None:  # set_autocast_enabled(flag) speaks of cuda
        device_type, enabled = "cuda", device_type
    if _device_type(device_type) == "cpu":
        rules.switch(_DEFAULTS["cpu"] if enabled else None)


def get_autocast_dtype(device_type: str) -> dt.dtype:
    """The dtype autocast uses on a device type."""
    kind = _device_type(device_type)
    if kind not in _AVAILABLE:
        raise RuntimeError(f"unsupported scalarType for autocast device type {kind}")
    return _DEFAULTS.get(kind, dt.float16)


def set_autocast_dtype(device_type: str, dtype: dt.dtype) -> None:
    """Choose the dtype autocast uses on a device type."""
    _DEFAULTS[_device_type(device_type)] = dtype
    if device_type == "cpu" and rules.state.dtype is not None:
        rules.switch(dtype)


def is_autocast_cpu_enabled() -> bool:
    """The same as ``is_autocast_enabled("cpu")``."""
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """The same as ``set_autocast_enabled("cpu", enabled)``."""
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> dt.dtype:
    """The same as ``get_autocast_dtype("cpu")``."""
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: dt.dtype) -> None:
    """The same as ``set_autocast_dtype("cpu", dtype)``."""
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> dt.dtype:
    """The same as ``get_autocast_dtype("cuda")``."""
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: dt.dtype) -> None:
    """The same as ``set_autocast_dtype("cuda", dtype)``."""
    set_autocast_dtype("cuda", dtype)


def is_autocast_cache_enabled() -> bool:
    """Whether converted weights may be kept (they never are here)."""
    return rules.state.cache


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Accepted for compatibility."""
    rules.state.cache = bool(enabled)


def clear_autocast_cache() -> None:
    """Nothing to do: converted weights are never kept."""


# --- custom autograd functions --------------------------------------------------------------------


def _cast(value, device_type: str, dtype: dt.dtype):
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.device.type == device_type \
                and value.dtype is not dt.float64:
            return value.to(dtype)
        return value
    if isinstance(value, (str, np.ndarray)):
        return value
    if isinstance(value, dict):
        return {_cast(k, device_type, dtype): _cast(v, device_type, dtype)
                for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_cast(v, device_type, dtype) for v in value)
    return value


def custom_fwd(fwd=None, *, device_type: str, cast_inputs: dt.dtype | None = None):
    """Decorator for ``forward`` of a ``torch.autograd.Function``.

    Args:
        cast_inputs: inside autocast, floating tensors are converted to it and forward runs with
            autocast off; when None, forward runs in the autocast state of its caller.
    """
    _device_type(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorate_fwd(*args, **kwargs):
        ctx = args[0]
        ctx._dtype = get_autocast_dtype(device_type)
        if cast_inputs is None:
            ctx._fwd_used_autocast = is_autocast_enabled(device_type)
            return fwd(*args, **kwargs)
        inside = is_autocast_enabled(device_type)
        ctx._fwd_used_autocast = False
        if not inside:
            return fwd(*args, **kwargs)
        with autocast(device_type=device_type, enabled=False):
            return fwd(*_cast(args, device_type, cast_inputs),
                       **_cast(kwargs, device_type, cast_inputs))

    return decorate_fwd


def custom_bwd(bwd=None, *, device_type: str):
    """Decorator for ``backward`` of a ``torch.autograd.Function``: runs it in the autocast state
    of its forward."""
    _device_type(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorate_bwd(*args, **kwargs):
        with autocast(device_type=device_type, enabled=args[0]._fwd_used_autocast,
                      dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return decorate_bwd
