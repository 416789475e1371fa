"""Distributions of matrices, and normal vectors whose covariance has low rank."""

from __future__ import annotations

import math
import numbers
import warnings

from ..nn import functional as F  # noqa: N812
from ..ops.lib.linalg import (cholesky, cholesky_inverse, cholesky_solve, inv, slogdet,
                              solve_triangular)
from ..ops.prim.special import mvlgamma
from ..tensor import Size
from ..tensor.convert import as_tensor
from ..tensor.creation import arange, empty, eye, tril_indices
from ..tensor.sampling import randn
from . import constraints
from .continuous import Beta, Chi2
from .distribution import Distribution, ExponentialFamily, broadcast_all, sum_last, tiny
from .multivariate import MultivariateNormal, _batched


class LowRankMultivariateNormal(Distribution):
    """Normal vectors of covariance ``cov_factor @ cov_factor.T + diag(cov_diag)``.

    Raises:
        ValueError: shapes do not fit.
    """

    arg_constraints = {"loc": constraints.real_vector,
                       "cov_factor": constraints.independent(constraints.real, 2),
                       "cov_diag": constraints.independent(constraints.positive, 1)}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc, cov_factor, cov_diag, validate_args: bool | None = None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        n = loc.shape[-1]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading "
                             "batch dimensions")
        if cov_factor.shape[-2] != n:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {n} x m")
        if cov_diag.shape[-1] != n:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {(n,)}")
        batch = (loc[..., 0] + cov_factor[..., 0, 0] + cov_diag[..., 0]).shape
        self.loc = loc.expand((*batch, n))
        self.cov_diag = cov_diag.expand((*batch, n))
        self._factor = cov_factor.expand((*batch, *cov_factor.shape[-2:]))
        super().__init__(batch, (n,), validate_args)

    cov_factor = property(lambda self: self._factor)
    mean = property(lambda self: self.loc)
    mode = property(lambda self: self.loc)
    variance = property(lambda self: self._factor.pow(2).sum(-1) + self.cov_diag)

    def expand(self, batch_shape, _instance=None):
        """Repeated to a larger batch shape."""
        shape = Size(batch_shape)
        return LowRankMultivariateNormal(
            self.loc.expand((*shape, *self.loc.shape[-1:])),
            self._factor.expand((*shape, *self._factor.shape[-2:])),
            self.cov_diag.expand((*shape, *self.cov_diag.shape[-1:])), validate_args=False)

    def _small(self):
        """The Cholesky factor of I + W^T D^-1 W."""
        w = self._factor
        inner = (w.mT / self.cov_diag.unsqueeze(-2)) @ w
        return cholesky(inner + eye(w.shape[-1], dtype=w.dtype))

    @property
    def scale_tril(self):
        """The Cholesky factor of the covariance."""
        root = self.cov_diag.sqrt().unsqueeze(-1)
        part = self._factor / root
        return root * cholesky(part @ part.mT + eye(self.loc.shape[-1], dtype=self.loc.dtype))

    @property
    def covariance_matrix(self):
        """W W^T + D."""
        return self._factor @ self._factor.mT + self.cov_diag.diag_embed()

    @property
    def precision_matrix(self):
        """The inverse of the covariance, by the matrix of low rank (Woodbury)."""
        part = self._factor.mT / self.cov_diag.unsqueeze(-2)
        half = solve_triangular(self._small(), part, upper=False)
        return self.cov_diag.reciprocal().diag_embed() - half.mT @ half

    def rsample(self, sample_shape=()):
        """loc + W a + sqrt(D) b of standard normal a and b."""
        shape = self._shape(sample_shape)
        a = empty((*shape[:-1], self._factor.shape[-1]), dtype=self.loc.dtype).normal_()
        b = empty(shape, dtype=self.loc.dtype).normal_()
        return self.loc + _batched(self._factor, a) + self.cov_diag.sqrt() * b

    def _log_det(self):
        inner = self._small().diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return 2 * inner + self.cov_diag.log().sum(-1)

    def log_prob(self, value):
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        away = value - self.loc
        part = _batched(self._factor.mT / self.cov_diag.unsqueeze(-2), away)
        small = self._small()
        small = small.expand((*part.shape[:-1], *small.shape[-2:]))
        inner = solve_triangular(small, part.unsqueeze(-1), upper=False).squeeze(-1)
        distance = (away.pow(2) / self.cov_diag).sum(-1) - inner.pow(2).sum(-1)
        return -0.5 * (self.loc.shape[-1] * math.log(2 * math.pi) + self._log_det() + distance)

    def entropy(self):
        """n/2 (1 + log(2 pi)) + half the covariance's log determinant."""
        return 0.5 * (self.loc.shape[-1] * (1.0 + math.log(2 * math.pi)) + self._log_det())


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices with a density proportional to
    ``det ** (concentration - 1)`` (Lewandowski, Kurowicka and Joe, 2009; the onion method).

    Raises:
        ValueError: ``dim`` is no integer from 2 on.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration=1.0, validate_args: bool | None = None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found "
                             f"dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        marginal = self.concentration + 0.5 * (dim - 2)
        offset = F.pad(arange(dim - 1, dtype=self.concentration.dtype), (1, 0))
        self._beta = Beta(offset + 0.5, marginal.unsqueeze(-1) - 0.5 * offset, validate_args=False)
        super().__init__(self.concentration.size(), (dim, dim), validate_args)

    def expand(self, batch_shape, _instance=None):
        """Repeated to a larger batch shape."""
        return LKJCholesky(self.dim, self.concentration.expand(Size(batch_shape)),
                           validate_args=False)

    def sample(self, sample_shape=()):
        """Rows on half spheres, of lengths whose squares are beta numbers."""
        y = self._beta.sample(sample_shape).unsqueeze(-1)
        u = randn(self._shape(sample_shape), dtype=y.dtype).tril(-1)
        length = u.norm(dim=-1, keepdim=True)
        u = (u / length).masked_fill(length == 0, 0)
        w = y.sqrt() * u
        rest = (1 - (w ** 2).sum(-1)).clamp(min=tiny(w.dtype))
        return w + rest.sqrt().diag_embed()

    def log_prob(self, value):
        """Logarithm of the density by the elements below the diagonal."""
        if self._validate_args:
            self._validate_sample(value)
        n = self.dim - 1
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim \
            - arange(2, self.dim + 1)
        weight = (order * diagonal.log()).sum(-1)
        alpha = self.concentration + 0.5 * n
        norm = 0.5 * n * math.log(math.pi) + mvlgamma(alpha - 0.5, n) - alpha.lgamma() * n
        return weight - norm


class Wishart(ExponentialFamily):
    """Scatter matrices of ``df`` normal vectors of one covariance, given as such, as its inverse or
    as its Cholesky factor.

    Raises:
        AssertionError: none or several of these were given.
        ValueError: ``df`` is too small.
    """

    arg_constraints = {"covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite,
                       "scale_tril": constraints.lower_cholesky,
                       "df": constraints.greater_than(0)}
    support = constraints.positive_definite
    has_rsample = True

    def __init__(self, df, covariance_matrix=None, precision_matrix=None, scale_tril=None,
                 validate_args: bool | None = None):
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix,
                 "scale_tril": scale_tril}
        given = {k: v for k, v in given.items() if v is not None}
        if len(given) != 1:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or "
                                 "scale_tril may be specified.")
        (name, matrix), = given.items()
        if matrix.dim() < 2:
            raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch"
                             " dimensions")
        n = matrix.shape[-1]
        df = as_tensor(df, dtype=matrix.dtype) if isinstance(df, numbers.Number) else df
        batch = (df + matrix[..., 0, 0]).shape
        self.df = df.expand(batch)
        matrix = matrix.expand((*batch, n, n))
        self.__dict__[name] = matrix
        if bool((self.df <= n - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        super().__init__(batch, (n, n), validate_args)
        if bool((self.df <= n).any()):
            warnings.warn("Low df values detected. Singular samples are highly likely to occur for "
                          "ndim - 1 < df < ndim.", stacklevel=2)
        if name == "scale_tril":
            self._tril = matrix
        elif name == "covariance_matrix":
            self._tril = cholesky(matrix)
        else:
            self._tril = cholesky(inv(matrix))
        freedom = self.df.unsqueeze(-1) - arange(n, dtype=self.df.dtype).expand((*batch, n))
        self._chi2 = Chi2(freedom, validate_args=False)

    def __getattr__(self, name: str):
        tril = self.__dict__.get("_tril")
        if tril is None or name not in ("scale_tril", "covariance_matrix", "precision_matrix"):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        if name == "scale_tril":
            return tril
        return tril @ tril.mT if name == "covariance_matrix" else cholesky_inverse(tril)

    def expand(self, batch_shape, _instance=None):
        """Repeated to a larger batch shape."""
        shape = Size(batch_shape)
        return Wishart(self.df.expand(shape), validate_args=False,
                       scale_tril=self._tril.expand((*shape, *self._event_shape)))

    mean = property(lambda self: self.df[..., None, None] * self.covariance_matrix)

    @property
    def mode(self):
        """(df - n - 1) covariance; nan where that is not positive."""
        factor = self.df - self._event_shape[0] - 1
        return factor.masked_fill(factor <= 0, math.nan)[..., None, None] * self.covariance_matrix

    @property
    def variance(self):
        """df (v_ij^2 + v_ii v_jj)."""
        v = self.covariance_matrix
        d = v.diagonal(dim1=-2, dim2=-1)
        return self.df[..., None, None] * (v.pow(2) + d.unsqueeze(-1) * d.unsqueeze(-2))

    def _bartlett(self, sample_shape):
        n = self._event_shape[0]
        noise = self._chi2.rsample(sample_shape).sqrt().diag_embed()
        rows, columns = tril_indices(n, n, offset=-1)
        below = randn((*Size(sample_shape), *self._batch_shape, n * (n - 1) // 2),
                      dtype=noise.dtype)
        noise[..., rows, columns] = below
        half = self._tril @ noise
        return half @ half.mT

    def rsample(self, sample_shape=(), max_try_correction: int | None = None):
        """By Bartlett's decomposition; singular matrices are drawn again, at most so many times."""
        sample = self._bartlett(sample_shape)
        for _ in range(10 if max_try_correction is None else max_try_correction):
            bad = ~self.support.check(sample)
            if not bool(bad.any()):
                break
            sample = self._bartlett(sample_shape).where(bad[..., None, None], sample)
        return sample

    def _half_log_det(self):
        return self._tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value):
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        nu, n = self.df, self._event_shape[0]
        shape = (*value.shape[:-2], n, n)
        trace = cholesky_solve(value, self._tril.expand(shape)).diagonal(dim1=-2, dim2=-1).sum(-1)
        return (-nu * (n * math.log(2) / 2 + self._half_log_det()) - mvlgamma(nu / 2, n)
                + (nu - n - 1) / 2 * slogdet(value).logabsdet - trace / 2)

    def entropy(self):
        """The entropy in nats."""
        nu, n = self.df, self._event_shape[0]
        digammas = (nu.unsqueeze(-1) / 2 - arange(n, dtype=nu.dtype) / 2).digamma().sum(-1)
        return ((n + 1) * (n * math.log(2) / 2 + self._half_log_det()) + mvlgamma(nu / 2, n)
                - (nu - n - 1) / 2 * digammas + nu * n / 2)


def kl_low_rank(p, q):
    """KL(p || q) of normal vectors of which one covariance, or both, have low rank."""
    if p.event_shape != q.event_shape:
        raise ValueError("KL-divergence between two (Low Rank) Multivariate Normals with different "
                         "event shapes cannot be computed")
    full = [MultivariateNormal(x.loc, scale_tril=x.scale_tril, validate_args=False)
            for x in (p, q)]
    tril = full[1].scale_tril
    n = p.event_shape[0]
    shape = (*(p.loc - q.loc).shape, n)
    ratio = solve_triangular(tril.expand(shape), full[0].scale_tril.expand(shape), upper=False)
    away = solve_triangular(tril.expand(shape), (q.loc - p.loc).unsqueeze(-1), upper=False)
    return (full[1]._half_log_det() - full[0]._half_log_det()
            + 0.5 * (sum_last(ratio.pow(2), 2) + sum_last(away.pow(2), 2) - n))
