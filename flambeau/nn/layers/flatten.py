"""Flatten and Unflatten."""

from __future__ import annotations

from ..core import Tensor
from ..module import Module


class Flatten(Module):
    """The dimensions from ``start_dim`` to ``end_dim`` as one: all but the first by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """(*, a, b, c, *) -> (*, a b c, *)."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """The dimension ``dim`` as several of sizes ``unflattened_size`` (one may be -1).

    For named dimensions, a tuple of (name, size) pairs.

    Raises:
        TypeError: the sizes are not ints (or pairs, for a name).
    """

    def __init__(self, dim: int | str, unflattened_size):
        super().__init__()
        if isinstance(dim, int):
            self._require(unflattened_size, int)
        elif isinstance(dim, str):
            self._require(unflattened_size, tuple)
        self.dim = dim
        self.unflattened_size = unflattened_size

    @staticmethod
    def _require(sizes, kind: type) -> None:
        if not isinstance(sizes, (tuple, list)) or (kind is tuple and isinstance(sizes, list)):
            what = "tuple of ints" if kind is int else "tuple of tuples"
            raise TypeError(f"unflattened_size must be a {what}, but found type "
                            f"{type(sizes).__name__}")
        for at, item in enumerate(sizes):
            if not isinstance(item, kind):
                what = "tuple of ints" if kind is int else "tuple of tuples"
                raise TypeError(f"unflattened_size must be {what}, but found element of type "
                                f"{type(item).__name__} at pos {at}")

    def forward(self, input: Tensor) -> Tensor:
        """(*, a b, *) -> (*, a, b, *)."""
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
