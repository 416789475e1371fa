"""Sets of values: what parameters may be and what samples are."""

from __future__ import annotations

from ..ops.lib.joining import cat as join, stack as pile
from ..ops.lib.linalg import eigvalsh


class Constraint:
    """A set; ``check(value)`` says which of a tensor's values are in it.

    Attributes:
        is_discrete: it is a set of isolated numbers.
        event_dim: how many last axes make one value.
    """

    is_discrete = False
    event_dim = 0

    def check(self, value):
        """A bool tensor of the batch shape."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return type(self).__name__.lstrip("_") + "()"


class _Dependent(Constraint):
    """Depends on other values; cannot be checked alone."""

    def __init__(self, *, is_discrete=False, event_dim=0):
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def check(self, value):
        raise ValueError("Cannot determine validity of dependent constraint")


class dependent_property(property, _Dependent):  # noqa: N801
    """A constraint that depends on the distribution's parameters."""

    def __init__(self, fn=None, *, is_discrete=False, event_dim=0):
        super().__init__(fn)
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, fn):
        return dependent_property(fn, is_discrete=self.is_discrete, event_dim=self.event_dim)


def is_dependent(constraint) -> bool:
    """Whether it can only be checked with a distribution at hand."""
    return isinstance(constraint, _Dependent)


class _Independent(Constraint):
    """A constraint whose last axes count as one value."""

    def __init__(self, base_constraint, reinterpreted_batch_ndims: int):
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value):
        ok = self.base_constraint.check(value)
        n = self.reinterpreted_batch_ndims
        if ok.dim() < n:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        return ok.reshape((*ok.shape[:ok.dim() - n], -1)).all(-1)

    def __repr__(self) -> str:
        return (f"IndependentConstraint({self.base_constraint!r}, "
                f"{self.reinterpreted_batch_ndims})")


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value):
        return (value == 0) | (value == 1)


class _OneHot(Constraint):
    is_discrete, event_dim = True, 1

    def check(self, value):
        return ((value == 0) | (value == 1)).all(-1) & value.sum(-1).eq(1)


class _IntegerInterval(Constraint):
    is_discrete = True

    def __init__(self, lower_bound, upper_bound):
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value):
        return (value % 1 == 0) & (self.lower_bound <= value) & (value <= self.upper_bound)

    def __repr__(self) -> str:
        return f"IntegerInterval(lower_bound={self.lower_bound}, upper_bound={self.upper_bound})"


class _IntegerGreaterThan(Constraint):
    is_discrete = True

    def __init__(self, lower_bound):
        self.lower_bound = lower_bound

    def check(self, value):
        return (value % 1 == 0) & (value >= self.lower_bound)

    def __repr__(self) -> str:
        return f"IntegerGreaterThan(lower_bound={self.lower_bound})"


class _Real(Constraint):
    def check(self, value):
        return value == value  # noqa: PLR0124  (False for nan)


class _Bound(Constraint):
    def __init__(self, bound, name: str, compare):
        self._bound, self._name, self._compare = bound, name, compare
        setattr(self, "upper_bound" if name.startswith("Less") else "lower_bound", bound)

    def check(self, value):
        return self._compare(value, self._bound)

    def __repr__(self) -> str:
        side = "upper_bound" if self._name.startswith("Less") else "lower_bound"
        return f"{self._name}({side}={self._bound})"


def greater_than(lower_bound) -> Constraint:
    """Numbers above a bound."""
    return _Bound(lower_bound, "GreaterThan", lambda v, b: v > b)


def greater_than_eq(lower_bound) -> Constraint:
    """Numbers from a bound on."""
    return _Bound(lower_bound, "GreaterThanEq", lambda v, b: v >= b)


def less_than(upper_bound) -> Constraint:
    """Numbers below a bound."""
    return _Bound(upper_bound, "LessThan", lambda v, b: v < b)


class _Interval(Constraint):
    def __init__(self, lower_bound, upper_bound, name: str = "Interval"):
        self.lower_bound, self.upper_bound, self._name = lower_bound, upper_bound, name

    def check(self, value):
        below = value < self.upper_bound if self._name == "HalfOpenInterval" \
            else value <= self.upper_bound
        return (self.lower_bound <= value) & below

    def __repr__(self) -> str:
        return (f"{self._name}(lower_bound={self.lower_bound}, "
                f"upper_bound={self.upper_bound})")


def interval(lower_bound, upper_bound) -> Constraint:
    """Numbers between two bounds, both included."""
    return _Interval(lower_bound, upper_bound)


def half_open_interval(lower_bound, upper_bound) -> Constraint:
    """Numbers between two bounds, the upper one excluded."""
    return _Interval(lower_bound, upper_bound, "HalfOpenInterval")


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value):
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _Multinomial(Constraint):
    is_discrete, event_dim = True, 1

    def __init__(self, upper_bound):
        self.upper_bound = upper_bound

    def check(self, x):
        return (x >= 0).all(-1) & (x.sum(-1) <= self.upper_bound)


class _LowerTriangular(Constraint):
    event_dim = 2

    def check(self, value):
        return (value.tril() == value).flatten(-2).all(-1)


class _LowerCholesky(Constraint):
    event_dim = 2

    def check(self, value):
        lower = (value.tril() == value).flatten(-2).all(-1)
        return lower & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _Square(Constraint):
    event_dim = 2

    def check(self, value):
        square = value.shape[-2] == value.shape[-1]
        return value.new_full(value.shape[:-2], square).bool()


class _Symmetric(_Square):
    def check(self, value):
        ok = super().check(value)
        return ok if not ok.all() else value.isclose(value.mT, atol=1e-6).flatten(-2).all(-1)


class _PositiveSemidefinite(_Symmetric):
    def check(self, value):
        ok = super().check(value)
        return ok & (eigvalsh(value) >= 0).all(-1) if ok.all() else ok


class _PositiveDefinite(_Symmetric):
    def check(self, value):
        ok = super().check(value)
        return ok & (eigvalsh(value) > 0).all(-1) if ok.all() else ok


class _RealVector(_Independent):
    """Vectors of real numbers."""


class _CorrCholesky(_LowerCholesky):
    def check(self, value):
        rows = (value * value).sum(-1)
        return super().check(value) & ((rows - 1).abs() <= 1e-4 * value.shape[-1]).all(-1)


class cat(Constraint):  # noqa: N801
    """Constraints of pieces along an axis, of given lengths (1 each)."""

    def __init__(self, cseq, dim: int = 0, lengths=None):
        self.cseq, self.dim = list(cseq), dim
        self.lengths = list(lengths) if lengths is not None else [1] * len(self.cseq)
        if len(self.cseq) != len(self.lengths):
            raise ValueError(f"{len(self.cseq)} constraints for {len(self.lengths)} lengths")

    @property
    def is_discrete(self) -> bool:
        """Whether one of them is."""
        return any(c.is_discrete for c in self.cseq)

    @property
    def event_dim(self) -> int:
        """The largest of theirs."""
        return max(c.event_dim for c in self.cseq)

    def check(self, value):
        pieces, start = [], 0
        for c, length in zip(self.cseq, self.lengths, strict=True):
            pieces.append(c.check(value.narrow(self.dim, start, length)))
            start += length
        return join(pieces, self.dim)


class stack(Constraint):  # noqa: N801
    """Constraints of slices along an axis."""

    def __init__(self, cseq, dim: int = 0):
        self.cseq, self.dim = list(cseq), dim

    @property
    def is_discrete(self) -> bool:
        """Whether one of them is."""
        return any(c.is_discrete for c in self.cseq)

    @property
    def event_dim(self) -> int:
        """The largest of theirs, and one more where the axis is part of the event."""
        dim = max(c.event_dim for c in self.cseq)
        return dim + 1 if self.dim + dim < 0 else dim

    def check(self, value):
        parts = [value.select(self.dim, i) for i in range(value.size(self.dim))]
        return pile([c.check(v) for c, v in zip(self.cseq, parts, strict=True)], self.dim)


class MixtureSameFamilyConstraint(Constraint):
    """What every component of a mixture accepts."""

    def __init__(self, base_constraint):
        self.base_constraint = base_constraint

    is_discrete = property(lambda self: self.base_constraint.is_discrete)
    event_dim = property(lambda self: self.base_constraint.event_dim)

    def check(self, value):
        return self.base_constraint.check(value.unsqueeze(-1 - self.event_dim)).all(-1)


dependent = _Dependent()
boolean, one_hot = _Boolean(), _OneHot()
nonnegative_integer, positive_integer = _IntegerGreaterThan(0), _IntegerGreaterThan(1)
integer_interval, multinomial = _IntegerInterval, _Multinomial
independent = _Independent
real = _Real()
real_vector = _RealVector(real, 1)
positive, nonnegative = greater_than(0.0), greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
simplex = _Simplex()
lower_triangular, lower_cholesky = _LowerTriangular(), _LowerCholesky()
corr_cholesky = _CorrCholesky()
square, symmetric = _Square(), _Symmetric()
positive_semidefinite, positive_definite = _PositiveSemidefinite(), _PositiveDefinite()
