"""torch.cpu.amp: the older spelling of :mod:`torch.amp` for the CPU."""

from __future__ import annotations

import warnings as _warnings

from ... import amp as _amp
from ...base import dtype as _dt


class autocast(_amp.autocast):  # noqa: N801
    """``torch.amp.autocast("cpu", ...)``."""

    def __init__(self, enabled: bool = True, dtype=_dt.bfloat16, cache_enabled: bool = True):
        _warnings.warn("`torch.cpu.amp.autocast(args...)` is deprecated. Please use "
                       "`torch.amp.autocast('cpu', args...)` instead.", FutureWarning,
                       stacklevel=2)
        super().__init__("cpu", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


class GradScaler(_amp.GradScaler):
    """``torch.amp.GradScaler("cpu", ...)``."""

    def __init__(self, init_scale: float = 65536.0, growth_factor: float = 2.0,
                 backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True):
        _warnings.warn("`torch.cpu.amp.GradScaler(args...)` is deprecated. Please use "
                       "`torch.amp.GradScaler('cpu', args...)` instead.", FutureWarning,
                       stacklevel=2)
        super().__init__("cpu", init_scale, growth_factor, backoff_factor, growth_interval,
                         enabled)
