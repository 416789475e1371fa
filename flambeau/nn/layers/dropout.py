"""Dropout: in training, elements or whole channels are set to zero at random."""

from __future__ import annotations

from .. import functional as F
from ..core import Tensor
from ..module import Module


class _DropoutNd(Module):
    """What the dropouts share.

    Args:
        p: the probability of being dropped.
        inplace: overwrite the input.

    Raises:
        ValueError: p is not between 0 and 1.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Each element is zero with probability p, else x / (1 - p); x itself in evaluation."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """Whole channels of (N, C, L) are dropped."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """Whole channels of (N, C, H, W) are dropped."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """Whole channels of (N, C, D, H, W) are dropped."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """Elements take SELU's negative limit, so that mean and variance stay."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_DropoutNd):
    """Whole channels take SELU's negative limit, so that mean and variance stay."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return F.feature_alpha_dropout(input, self.p, self.training)
