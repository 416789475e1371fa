"""Transforms that lead to matrices, join other transforms, or come from a distribution."""

from __future__ import annotations

import math

from ..nn import functional as F  # noqa: N812
from ..ops.lib.joining import cat, stack
from ..ops.lib.linalg import cholesky
from ..tensor.creation import eye, tril_indices, zeros
from . import constraints
from .transforms import LowerCholeskyTransform, Transform, _Plain, biject_to, transform_to


def _from_lower(vector, offset: int):
    """A matrix with the elements of a vector in its lower triangle, row by row."""
    n = round((0.25 + 2 * vector.shape[-1]) ** 0.5 - 0.5) - offset
    rows, columns = tril_indices(n, n, offset=offset)
    out = zeros(*vector.shape[:-1], n, n, dtype=vector.dtype)
    index = (rows * n + columns).expand((*vector.shape[:-1], rows.numel()))
    flat = out.reshape((*vector.shape[:-1], n * n)).scatter(-1, index, vector)
    return flat.reshape(out.shape)


def _to_lower(matrix, offset: int):
    """The elements of the lower triangle, row by row."""
    n = matrix.shape[-1]
    rows, columns = tril_indices(n, n, offset=offset)
    return matrix[..., rows, columns]


class CorrCholeskyTransform(_Plain):
    """Real vectors of n (n - 1) / 2 numbers to Cholesky factors of correlation matrices: tangents
    to partial correlations, then stick breaking of each row."""

    bijective = True
    domain, codomain = constraints.real_vector, constraints.corr_cholesky

    def _call(self, x):
        eps = 2.0 ** -52 if x.dtype.itemsize == 8 else 2.0 ** -23
        r = _from_lower(x.tanh().clamp(min=-1 + eps, max=1 - eps), -1)
        left = (1 - r ** 2).sqrt().cumprod(-1)
        r = r + eye(r.shape[-1], dtype=r.dtype)
        return r * F.pad(left[..., :-1], (1, 0), value=1)

    def _inverse(self, y):
        left = F.pad((1 - (y * y).cumsum(-1))[..., :-1], (1, 0), value=1)
        t = _to_lower(y, -1) / _to_lower(left, -1).sqrt()
        return (t.log1p() - (-t).log1p()) / 2

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        """By the rows' stick breaking and the tangents."""
        left = 1 - (y * y).cumsum(-1)
        sticks = 0.5 * _to_lower(left, -2).log().sum(-1)
        return sticks - 2 * (x + F.softplus(-2 * x) - math.log(2)).sum(-1)

    def forward_shape(self, shape):
        """(.., n (n - 1) / 2) to (.., n, n)."""
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        count = shape[-1]
        n = round((0.25 + 2 * count) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != count:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return (*shape[:-1], n, n)

    def inverse_shape(self, shape):
        """(.., n, n) to (.., n (n - 1) / 2)."""
        if len(shape) < 2:
            raise ValueError("Too few dimensions on input")
        if shape[-2] != shape[-1]:
            raise ValueError("Input is not square")
        n = shape[-1]
        return (*shape[:-2], n * (n - 1) // 2)


class PositiveDefiniteTransform(_Plain):
    """Matrices to positive definite ones: the product of a Cholesky factor with itself."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x):
        half = LowerCholeskyTransform()(x)
        return half @ half.mT

    def _inverse(self, y):
        return LowerCholeskyTransform().inv(cholesky(y))


class CumulativeDistributionTransform(Transform):
    """The distribution function of a distribution of one number."""

    bijective = True
    sign = +1
    codomain = constraints.unit_interval

    def __init__(self, distribution, cache_size: int = 0):
        super().__init__(cache_size)
        self.distribution = distribution

    domain = property(lambda self: self.distribution.support)

    def _call(self, x):
        return self.distribution.cdf(x)

    def _inverse(self, y):
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x, y):
        """The density's logarithm."""
        return self.distribution.log_prob(x)


class CatTransform(Transform):
    """Transforms of pieces along ``dim``, of ``lengths`` (1 each)."""

    def __init__(self, tseq, dim: int = 0, lengths=None, cache_size: int = 0):
        if not all(isinstance(t, Transform) for t in tseq):
            raise AssertionError("All elements of tseq must be Transform instances")
        super().__init__(cache_size)
        self.transforms, self.dim = list(tseq), dim
        self.lengths = list(lengths) if lengths is not None else [1] * len(self.transforms)
        if len(self.lengths) != len(self.transforms):
            raise AssertionError(f"{len(self.lengths)} lengths for {len(self.transforms)} "
                                 "transforms")

    bijective = property(lambda self: all(t.bijective for t in self.transforms))
    length = property(lambda self: sum(self.lengths))
    event_dim = property(lambda self: max(t.domain.event_dim for t in self.transforms))
    domain = property(lambda self: constraints.cat([t.domain for t in self.transforms], self.dim,
                                                   self.lengths))
    codomain = property(lambda self: constraints.cat([t.codomain for t in self.transforms],
                                                     self.dim, self.lengths))

    def _pieces(self, x):
        start = 0
        for t, length in zip(self.transforms, self.lengths, strict=True):
            yield t, x.narrow(self.dim, start, length)
            start += length

    def _call(self, x):
        return cat([t(piece) for t, piece in self._pieces(x)], self.dim)

    def _inverse(self, y):
        return cat([t._inv_call(piece) for t, piece in self._pieces(y)], self.dim)

    def log_abs_det_jacobian(self, x, y):
        """The pieces', side by side; summed where the axis is part of the event."""
        parts = []
        for (t, a), (_, b) in zip(self._pieces(x), self._pieces(y), strict=True):
            part = t.log_abs_det_jacobian(a, b)
            extra = self.event_dim - t.domain.event_dim
            if extra > 0:
                part = part.reshape((*part.shape[:part.dim() - extra], -1)).sum(-1)
            parts.append(part)
        dim = self.dim if self.dim < 0 else self.dim - x.dim()
        dim += self.event_dim
        return cat(parts, dim) if dim < 0 else sum(parts[1:], parts[0])


class StackTransform(Transform):
    """Transforms of slices along ``dim``."""

    def __init__(self, tseq, dim: int = 0, cache_size: int = 0):
        if not all(isinstance(t, Transform) for t in tseq):
            raise AssertionError("All elements of tseq must be Transform instances")
        super().__init__(cache_size)
        self.transforms, self.dim = list(tseq), dim

    bijective = property(lambda self: all(t.bijective for t in self.transforms))
    domain = property(lambda self: constraints.stack([t.domain for t in self.transforms],
                                                     self.dim))
    codomain = property(lambda self: constraints.stack([t.codomain for t in self.transforms],
                                                       self.dim))

    def _slices(self, x):
        if x.size(self.dim) != len(self.transforms):
            raise AssertionError(f"{len(self.transforms)} transforms for {x.size(self.dim)} slices")
        return [x.select(self.dim, i) for i in range(len(self.transforms))]

    def _call(self, x):
        return stack([t(v) for t, v in zip(self.transforms, self._slices(x), strict=True)],
                     self.dim)

    def _inverse(self, y):
        return stack([t._inv_call(v) for t, v in
                      zip(self.transforms, self._slices(y), strict=True)], self.dim)

    def log_abs_det_jacobian(self, x, y):
        """The slices', side by side."""
        return stack([t.log_abs_det_jacobian(a, b) for t, a, b in
                      zip(self.transforms, self._slices(x), self._slices(y), strict=True)],
                     self.dim)


for _registry in (biject_to, transform_to):
    _registry.register(constraints._CorrCholesky, lambda c: CorrCholeskyTransform())
    _registry.register(constraints._PositiveDefinite, lambda c: PositiveDefiniteTransform())
    _registry.register(constraints._PositiveSemidefinite, lambda c: PositiveDefiniteTransform())
biject_to.register(constraints.cat, lambda c: CatTransform(
    [biject_to(p) for p in c.cseq], c.dim, c.lengths))
transform_to.register(constraints.cat, lambda c: CatTransform(
    [transform_to(p) for p in c.cseq], c.dim, c.lengths))
biject_to.register(constraints.stack, lambda c: StackTransform(
    [biject_to(p) for p in c.cseq], c.dim))
transform_to.register(constraints.stack, lambda c: StackTransform(
    [transform_to(p) for p in c.cseq], c.dim))
