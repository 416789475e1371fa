"""Invertible functions with the logarithm of their Jacobian's determinant."""

from __future__ import annotations

import functools
import math
import operator

from ..nn import functional as F  # noqa: N812
from ..tensor import Tensor
from . import constraints
from .distribution import sum_last


class Transform:
    """An invertible function: ``y = t(x)``, ``x = t.inv(y)``.

    Attributes:
        domain, codomain: the constraints of x and y.
        bijective: there is exactly one x for each y.
    """

    bijective = False
    domain: constraints.Constraint = constraints.real
    codomain: constraints.Constraint = constraints.real

    def __init__(self, cache_size: int = 0):
        if cache_size not in (0, 1):
            raise ValueError("cache_size must be 0 or 1")
        self._cache_size = cache_size
        self._cached: tuple = (None, None)

    @property
    def inv(self) -> Transform:
        """The inverse."""
        return _Inverse(self)

    @property
    def sign(self) -> int:
        """+1 for an increasing function, -1 for a decreasing one."""
        raise NotImplementedError

    def with_cache(self, cache_size: int = 1) -> Transform:
        """The transform, remembering its last pair."""
        self._cache_size = cache_size
        return self

    def __call__(self, x: Tensor) -> Tensor:
        if self._cache_size and x is self._cached[0]:
            return self._cached[1]
        y = self._call(x)
        if self._cache_size:
            self._cached = (x, y)
        return y

    def _inv_call(self, y: Tensor) -> Tensor:
        if self._cache_size and y is self._cached[1]:
            return self._cached[0]
        x = self._inverse(y)
        if self._cache_size:
            self._cached = (x, y)
        return x

    def _call(self, x):
        raise NotImplementedError

    def _inverse(self, y):
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |det dy/dx|."""
        raise NotImplementedError

    def forward_shape(self, shape):
        """The shape of y for one of x."""
        return shape

    def inverse_shape(self, shape):
        """The shape of x for one of y."""
        return shape

    def __repr__(self) -> str:
        return type(self).__name__ + "()"

    def __eq__(self, other) -> bool:
        return self is other

    __hash__ = object.__hash__


class _Inverse(Transform):
    def __init__(self, transform: Transform):
        super().__init__()
        self._inv = transform
        self.bijective = transform.bijective

    domain = property(lambda self: self._inv.codomain)
    codomain = property(lambda self: self._inv.domain)
    inv = property(lambda self: self._inv)
    sign = property(lambda self: self._inv.sign)

    def __call__(self, x):
        return self._inv._inv_call(x)

    def _inv_call(self, y):
        return self._inv(y)

    def log_abs_det_jacobian(self, x, y):
        return -self._inv.log_abs_det_jacobian(y, x)

    def __eq__(self, other) -> bool:
        return isinstance(other, _Inverse) and self._inv == other._inv

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"_InverseTransform({self._inv!r})"


class ComposeTransform(Transform):
    """Transforms one after another."""

    def __init__(self, parts: list[Transform], cache_size: int = 0):
        super().__init__(cache_size)
        self.parts = list(parts)

    domain = property(lambda self: self.parts[0].domain if self.parts else constraints.real)
    codomain = property(lambda self: self.parts[-1].codomain if self.parts else constraints.real)
    bijective = property(lambda self: all(p.bijective for p in self.parts))
    sign = property(lambda self: functools.reduce(operator.mul, (p.sign for p in self.parts), 1))

    @property
    def inv(self):
        """The inverses in reverse order."""
        return ComposeTransform([p.inv for p in reversed(self.parts)])

    def _call(self, x):
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y):
        for part in reversed(self.parts):
            y = part._inv_call(y)
        return y

    def log_abs_det_jacobian(self, x, y):
        """The sum of the parts'."""
        deep = max([self.domain.event_dim, *(p.domain.event_dim for p in self.parts)])
        total = None
        for part in self.parts:
            after = part(x)
            term = sum_last(part.log_abs_det_jacobian(x, after), deep - part.domain.event_dim)
            total = term if total is None else total + term
            x = after
        return x * 0 if total is None else total

    def __eq__(self, other) -> bool:
        return isinstance(other, ComposeTransform) and self.parts == other.parts

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return "ComposeTransform(\n    " + ",\n    ".join(map(repr, self.parts)) + "\n)"


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A transform whose last axes count as one value."""

    def __init__(self, base_transform: Transform, reinterpreted_batch_ndims: int,
                 cache_size: int = 0):
        super().__init__(cache_size)
        self.base_transform = base_transform
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.bijective = base_transform.bijective

    domain = property(lambda self: constraints.independent(
        self.base_transform.domain, self.reinterpreted_batch_ndims))
    codomain = property(lambda self: constraints.independent(
        self.base_transform.codomain, self.reinterpreted_batch_ndims))
    sign = property(lambda self: self.base_transform.sign)

    def _call(self, x):
        return self.base_transform(x)

    def _inverse(self, y):
        return self.base_transform._inv_call(y)

    def log_abs_det_jacobian(self, x, y):
        """Summed over the last axes."""
        return sum_last(self.base_transform.log_abs_det_jacobian(x, y),
                        self.reinterpreted_batch_ndims)


class AffineTransform(Transform):
    """``loc + scale * x``."""

    bijective = True

    def __init__(self, loc, scale, event_dim: int = 0, cache_size: int = 0):
        super().__init__(cache_size)
        self.loc, self.scale, self.event_dim = loc, scale, event_dim
        if event_dim:
            self.domain = self.codomain = constraints.independent(constraints.real, event_dim)

    @property
    def sign(self):
        """The sign of the scale."""
        if isinstance(self.scale, Tensor):
            return self.scale.sign()
        return (self.scale > 0) - (self.scale < 0)

    def _call(self, x):
        return self.loc + self.scale * x

    def _inverse(self, y):
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x, y):
        """log |scale|."""
        each = self.scale.abs().log() if isinstance(self.scale, Tensor) \
            else math.log(abs(self.scale))
        return sum_last(x * 0 + each, self.event_dim)

    def __eq__(self, other) -> bool:
        def same(a, b):
            return bool((a == b).all()) if isinstance(a, Tensor) or isinstance(b, Tensor) \
                else a == b

        return isinstance(other, AffineTransform) and same(self.loc, other.loc) \
            and same(self.scale, other.scale)

    __hash__ = object.__hash__


class _Plain(Transform):
    """A bijection without parameters: all instances are equal."""

    bijective, sign = True, 1

    def __eq__(self, other) -> bool:
        return type(self) is type(other)

    __hash__ = object.__hash__


class ExpTransform(_Plain):
    """``exp(x)``."""

    codomain = constraints.positive

    def _call(self, x):
        return x.exp()

    def _inverse(self, y):
        return y.log()

    def log_abs_det_jacobian(self, x, y):
        """x."""
        return x


class PowerTransform(_Plain):
    """``x ** exponent`` of positive numbers."""

    domain = codomain = constraints.positive

    def __init__(self, exponent, cache_size: int = 0):
        super().__init__(cache_size)
        self.exponent = exponent

    @property
    def sign(self):
        """That of the exponent."""
        e = self.exponent
        return e.sign() if isinstance(e, Tensor) else (e > 0) - (e < 0)

    def _call(self, x):
        return x.pow(self.exponent)

    def _inverse(self, y):
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x, y):
        """log |exponent * y / x|."""
        return (self.exponent * y / x).abs().log()

    def __eq__(self, other) -> bool:
        return isinstance(other, PowerTransform) and bool(self.exponent == other.exponent)

    __hash__ = object.__hash__


class SigmoidTransform(_Plain):
    """``1 / (1 + exp(-x))``."""

    codomain = constraints.unit_interval

    def _call(self, x):
        return x.sigmoid().clamp(min=1.1754943508222875e-38, max=1 - 2.0 ** -24)

    def _inverse(self, y):
        y = y.clamp(min=1.1754943508222875e-38, max=1 - 2.0 ** -24)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x, y):
        """-softplus(-x) - softplus(x)."""
        return -F.softplus(-x) - F.softplus(x)


class TanhTransform(_Plain):
    """``tanh(x)``."""

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x):
        return x.tanh()

    def _inverse(self, y):
        return y.atanh()

    def log_abs_det_jacobian(self, x, y):
        """2 (log 2 - x - softplus(-2 x))."""
        return 2.0 * (math.log(2.0) - x - F.softplus(-2.0 * x))


class SoftplusTransform(_Plain):
    """``log(1 + exp(x))``."""

    codomain = constraints.positive

    def _call(self, x):
        return F.softplus(x)

    def _inverse(self, y):
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x, y):
        """-softplus(-x)."""
        return -F.softplus(-x)


class AbsTransform(Transform):
    """``|x|``: not invertible; the inverse gives the positive number."""

    codomain = constraints.positive

    def _call(self, x):
        return x.abs()

    def _inverse(self, y):
        return y

    def __eq__(self, other) -> bool:
        return isinstance(other, AbsTransform)

    __hash__ = object.__hash__


class SoftmaxTransform(Transform):
    """``softmax(x)`` over the last axis; the inverse gives logarithms."""

    domain, codomain = constraints.real_vector, constraints.simplex

    def _call(self, x):
        probs = (x - x.max(-1, True)[0]).exp()
        return probs / probs.sum(-1, True)

    def _inverse(self, y):
        return y.log()

    def __eq__(self, other) -> bool:
        return isinstance(other, SoftmaxTransform)

    __hash__ = object.__hash__


class StickBreakingTransform(_Plain):
    """K - 1 real numbers as K shares: each takes its part of what is left."""

    domain, codomain = constraints.real_vector, constraints.simplex

    def _offset(self, x):
        n = x.shape[-1] + 1
        return n - (x * 0 + 1).cumsum(-1)

    def _call(self, x):
        z = (x - self._offset(x).log()).sigmoid()
        left = (1 - z).cumprod(-1)
        return F.pad(z, [0, 1], value=1) * F.pad(left, [1, 0], value=1)

    def _inverse(self, y):
        crop = y[..., :-1]
        offset = y.shape[-1] - (crop * 0 + 1).cumsum(-1)
        rest = (1 - crop.cumsum(-1)).clamp(min=1.1754943508222875e-38)
        return crop.log() - rest.log() + offset.log()

    def log_abs_det_jacobian(self, x, y):
        """The sum of the steps' logarithms."""
        x = x - self._offset(x).log()
        return (-x + F.logsigmoid(x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape):
        """One more."""
        return type(shape)((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape):
        """One less."""
        return type(shape)((*shape[:-1], shape[-1] - 1))


class LowerCholeskyTransform(_Plain):
    """Square matrices as lower triangular ones with a positive diagonal."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.lower_cholesky

    def _call(self, x):
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y):
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class ReshapeTransform(Transform):
    """Another shape of the event."""

    bijective = True

    def __init__(self, in_shape, out_shape, cache_size: int = 0):
        super().__init__(cache_size)
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ValueError("in_shape, out_shape have different numbers of elements")
        self.domain = constraints.independent(constraints.real, len(self.in_shape))
        self.codomain = constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x):
        return x.reshape((*x.shape[:x.dim() - len(self.in_shape)], *self.out_shape))

    def _inverse(self, y):
        return y.reshape((*y.shape[:y.dim() - len(self.out_shape)], *self.in_shape))

    def log_abs_det_jacobian(self, x, y):
        """Zero."""
        return sum_last(x * 0, len(self.in_shape))


# --- from real numbers to a constraint -----------------------------------------------------------


class ConstraintRegistry:
    """Which transform leads from real numbers to a constraint's set."""

    def __init__(self):
        self._registry: dict = {}

    def register(self, constraint, factory=None):
        """Declare the transform of a constraint (or class of constraints)."""
        if factory is None:
            return lambda f: self.register(constraint, f)
        kind = constraint if isinstance(constraint, type) else type(constraint)
        self._registry[kind] = factory
        return factory

    def __call__(self, constraint) -> Transform:
        factory = self._registry.get(type(constraint)) or _known(constraint)
        if factory is None:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")
        return factory(constraint)


def _known(constraint):
    """The transform of the constraints declared in this package."""
    if isinstance(constraint, constraints._RealVector) or constraint is constraints.real:
        return lambda c: identity_transform
    if isinstance(constraint, constraints.independent):
        n = constraint.reinterpreted_batch_ndims
        return lambda c: IndependentTransform(biject_to(c.base_constraint), n)
    if isinstance(constraint, constraints._Bound):
        if constraint._bound == 0 and constraint._name.startswith("Greater"):
            return lambda c: ExpTransform()
        scale = -1 if constraint._name.startswith("Less") else 1
        return lambda c: ComposeTransform([ExpTransform(), AffineTransform(c._bound, scale)])
    if isinstance(constraint, constraints._Interval):
        low, high = constraint.lower_bound, constraint.upper_bound
        if isinstance(low, (int, float)) and (low, high) == (0, 1):
            return lambda c: SigmoidTransform()
        return lambda c: ComposeTransform([SigmoidTransform(), AffineTransform(low, high - low)])
    if isinstance(constraint, constraints._Simplex):
        return lambda c: StickBreakingTransform()
    if isinstance(constraint, constraints._LowerCholesky):
        return lambda c: LowerCholeskyTransform()
    return None


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()
transform_to.register(constraints._Simplex, lambda c: SoftmaxTransform())
