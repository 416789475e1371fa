"""torch.cuda.amp: the older spelling of :mod:`torch.amp` for GPUs.

Without a GPU both switch themselves off with a warning and do no harm.
"""

from __future__ import annotations

import functools as _functools
import warnings as _warnings

from ... import amp as _amp
from ...base import dtype as _dt


def _deprecated(name: str, instead: str, stacklevel: int = 3) -> None:
    _warnings.warn(f"`torch.cuda.amp.{name}(args...)` is deprecated. Please use `{instead}` "
                   "instead.", FutureWarning, stacklevel=stacklevel)


class autocast(_amp.autocast):  # noqa: N801
    """``torch.amp.autocast("cuda", ...)``."""

    _stacklevel = 4

    def __init__(self, enabled: bool = True, dtype=_dt.float16, cache_enabled: bool = True):
        _deprecated("autocast", "torch.amp.autocast('cuda', args...)")
        super().__init__("cuda", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


class GradScaler(_amp.GradScaler):
    """``torch.amp.GradScaler("cuda", ...)``."""

    def __init__(self, init_scale: float = 65536.0, growth_factor: float = 2.0,
                 backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True):
        _deprecated("GradScaler", "torch.amp.GradScaler('cuda', args...)")
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval,
                         enabled)


def custom_fwd(fwd=None, *, cast_inputs=None):
    """``torch.amp.custom_fwd(..., device_type="cuda")``."""
    _deprecated("custom_fwd", "torch.amp.custom_fwd(args..., device_type='cuda')")
    if fwd is None:
        return _functools.partial(_amp.custom_fwd, device_type="cuda", cast_inputs=cast_inputs)
    return _amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd):
    """``torch.amp.custom_bwd(..., device_type="cuda")``."""
    _deprecated("custom_bwd", "torch.amp.custom_bwd(args..., device_type='cuda')")
    return _amp.custom_bwd(bwd, device_type="cuda")


def amp_definitely_not_available() -> bool:
    """Whether mixed precision on a GPU is impossible here: yes."""
    return True
