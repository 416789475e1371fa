"""What operations draw from the default generator: arrays that they read, as PyTorch draws them."""

from __future__ import annotations

import numpy as np

from ..base import dtype as dt
from ..base import shape as sh
from . import random as R  # noqa: N812
from .generator import default_generator


def draw(kind: str, shape: tuple[int, ...], value) -> np.ndarray:
    """Numbers in the order of the generator.

    Args:
        kind: "keep": True with probability ``value``; "uniform": of [0, 1) and the dtype ``value``.
    """
    count = sh.numel(shape)
    if kind == "keep":
        return R.bernoulli(default_generator, count, value).reshape(shape)
    if kind == "uniform":
        wide = value if value in (dt.float32, dt.float64) else dt.float32
        return R.uniform(default_generator, count, wide).astype(value.np, copy=False).reshape(shape)
    raise ValueError(f"unknown kind of draw {kind!r}")
