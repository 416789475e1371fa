"""torch.finfo and torch.iinfo: the numerical limits of a dtype."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from . import dtype as dt


class finfo:  # noqa: N801
    """Limits of a floating dtype: bits, eps, max, min, tiny, smallest_normal, resolution."""

    def __init__(self, dtype: dt.dtype | None = None):
        dtype = dtype or dt.get_default_dtype()
        if not isinstance(dtype, dt.dtype):
            raise TypeError(f"finfo(): argument 'type' must be torch.dtype, not "
                            f"{type(dtype).__name__}")
        real = dtype.to_real()
        if not real.is_floating_point:
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo "
                            f"to handle '{dtype}'")
        info = ml_dtypes.finfo(real.np)
        self.dtype = real.name
        self.bits = int(info.bits)
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.tiny)
        self.resolution = 0.01 if real is dt.bfloat16 else float(info.resolution)

    def __repr__(self) -> str:
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
                f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
                f"dtype={self.dtype})")


class iinfo:  # noqa: N801
    """Limits of an integer dtype: bits, max, min."""

    def __init__(self, dtype: dt.dtype):
        if not isinstance(dtype, dt.dtype):
            raise TypeError(f"iinfo(): argument 'type' must be torch.dtype, not "
                            f"{type(dtype).__name__}")
        if dtype.category != dt.dtype.INT:
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to "
                            f"handle '{dtype}'" if dtype is not dt.bool_ else
                            "torch.bool is not supported by torch.iinfo")
        info = np.iinfo(dtype.np)
        self.dtype, self.bits = dtype.name, info.bits
        self.max, self.min = int(info.max), int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
