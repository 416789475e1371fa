"""The multivariate normal distribution."""

from __future__ import annotations

import math

from ..ops.lib.linalg import cholesky, inv, solve_triangular
from ..tensor import Size
from ..tensor.creation import empty, eye
from . import constraints
from .distribution import Distribution


def _batched(matrix, value):
    """``matrix @ value`` for vectors along the last axis."""
    return (matrix @ value.unsqueeze(-1)).squeeze(-1)


class MultivariateNormal(Distribution):
    """Normal vectors of mean ``loc`` and one of: covariance, its inverse, or its Cholesky factor.

    Raises:
        ValueError: none or several of them were given, or one is not positive definite.
    """

    arg_constraints = {"loc": constraints.real_vector,
                       "covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite,
                       "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None,
                 validate_args: bool | None = None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix,
                 "scale_tril": scale_tril}
        given = {k: v for k, v in given.items() if v is not None}
        if len(given) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril "
                             "may be specified.")
        (name, matrix), = given.items()
        if matrix.dim() < 2:
            raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch"
                             " dimensions")
        batch = (loc.unsqueeze(-1)[..., 0, 0] + matrix[..., 0, 0]).shape
        size = loc.shape[-1]
        matrix = matrix.expand((*batch, size, size))
        self.loc = loc.expand((*batch, size))
        self.__dict__[name] = matrix
        super().__init__(batch, (size,), validate_args)
        if name == "scale_tril":
            self._tril = matrix
        elif name == "covariance_matrix":
            self._tril = cholesky(matrix)
        else:
            flipped = cholesky(matrix.flip((-2, -1))).flip((-2, -1)).mT
            self._tril = solve_triangular(flipped, eye(size, dtype=loc.dtype), upper=False)

    def __getattr__(self, name: str):
        d = self.__dict__
        if name == "scale_tril" and "_tril" in d:
            return d["_tril"]
        if name == "covariance_matrix" and "_tril" in d:
            return d["_tril"] @ d["_tril"].mT
        if name == "precision_matrix" and "_tril" in d:
            half = inv(d["_tril"])
            return half.mT @ half
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    mean = property(lambda self: self.loc)
    mode = property(lambda self: self.loc)
    variance = property(lambda self: self._tril.pow(2).sum(-1))

    def expand(self, batch_shape, _instance=None):
        """Repeated to a larger batch shape."""
        shape = Size(batch_shape)
        n = self._event_shape[0]
        return MultivariateNormal(self.loc.expand((*shape, n)),
                                  scale_tril=self._tril.expand((*shape, n, n)),
                                  validate_args=False)

    def rsample(self, sample_shape=()):
        """``loc + scale_tril @ standard normal``."""
        eps = empty(self._shape(sample_shape), dtype=self.loc.dtype).normal_()
        return self.loc + _batched(self._tril, eps)

    def _half_log_det(self):
        return self._tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value):
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        away = value - self.loc
        tril = self._tril.expand((*away.shape[:-1], *self._tril.shape[-2:]))
        whitened = solve_triangular(tril, away.unsqueeze(-1), upper=False).squeeze(-1)
        n = self._event_shape[0]
        return (-0.5 * (n * math.log(2 * math.pi) + whitened.pow(2).sum(-1))
                - self._half_log_det())

    def entropy(self):
        """n/2 (1 + log(2 pi)) + log det(scale_tril)."""
        n = self._event_shape[0]
        return 0.5 * n * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
