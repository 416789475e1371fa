"""Distribution: what all distributions have in common."""

from __future__ import annotations

import numbers
import warnings

from ..autograd.modes import no_grad
from ..base import dtype as dt
from ..ops.lib.shape import broadcast_tensors
from ..tensor import Size, Tensor
from ..tensor.convert import tensor
from . import constraints


def broadcast_all(*values) -> tuple[Tensor, ...]:
    """Numbers and tensors as tensors of one shape.

    Raises:
        ValueError: something else was given.
    """
    if not all(isinstance(v, (Tensor, numbers.Number)) for v in values):
        raise ValueError("Input arguments must all be instances of Number, torch.Tensor or objects "
                         "implementing __torch_function__.")
    first = next((v for v in values if isinstance(v, Tensor)), None)
    dtype = first.dtype if first is not None and first.is_floating_point() \
        else dt.get_default_dtype()
    tensors = [v if isinstance(v, Tensor) else tensor(v, dtype=dtype) for v in values]
    return tuple(broadcast_tensors(*tensors))


def batch_shape_of(given: tuple, parameter: Tensor) -> tuple[int, ...]:
    """The batch shape of a distribution: none where all that was ``given`` are plain numbers."""
    return () if all(isinstance(v, numbers.Number) for v in given) else parameter.shape


def sum_last(value: Tensor, n: int) -> Tensor:
    """Sum over the last ``n`` axes."""
    return value if n == 0 else value.reshape((*value.shape[:value.dim() - n], -1)).sum(-1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept away from 0 and 1."""
    eps = {dt.float64: 2.0 ** -52, dt.float16: 2.0 ** -10, dt.bfloat16: 2.0 ** -7}.get(
        probs.dtype, 2.0 ** -23)
    return probs.clamp(min=eps, max=1 - eps)


def tiny(dtype: dt.dtype) -> float:
    """The smallest normal number."""
    return 2.2250738585072014e-308 if dtype is dt.float64 else 1.1754943508222875e-38


class Distribution:
    """Base of probability distributions.

    Attributes:
        batch_shape: shape of the parameters: so many independent distributions.
        event_shape: shape of one sample of one of them.
        has_rsample: rsample() is differentiable by the parameters.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__
    arg_constraints: dict = {}
    _unprinted: tuple[str, ...] = ()
    support: constraints.Constraint

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their arguments."""
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape=(), event_shape=(), validate_args: bool | None = None):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_arguments()

    def _check_arguments(self) -> None:
        for name, constraint in self.arg_constraints.items():
            if constraints.is_dependent(constraint) or name not in self.__dict__:
                continue  # computed from another parameter
            value = self.__dict__[name]
            ok = constraint.check(value)
            if not bool(ok.all()):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                    f"{constraint!r}, but found invalid values:\n{value}")

    @property
    def batch_shape(self) -> Size:
        """Shape of the parameters."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """Shape of one sample."""
        return self._event_shape

    def expand(self, batch_shape, _instance=None) -> Distribution:
        """The same distributions repeated to a larger batch shape."""
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        shape = Size(batch_shape)
        for name in self._parameters():
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                extra = tuple(value.shape[len(self._batch_shape):])
                new.__dict__[name] = value.expand((*shape, *extra))
            elif isinstance(value, Distribution):
                extra = tuple(value.batch_shape[len(self._batch_shape):])
                new.__dict__[name] = value.expand((*shape, *extra))
        new._batch_shape = shape
        return new

    def _parameters(self):
        return [n for n, v in self.__dict__.items() if isinstance(v, (Tensor, Distribution))]

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape=()) -> Tensor:
        """Samples of shape (*sample_shape, *batch_shape, *event_shape), without gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=()) -> Tensor:
        """Samples that are differentiable functions of the parameters."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """``sample((n,))``."""
        warnings.warn("sample_n will be deprecated. Use .sample((n,)) instead", UserWarning,
                      stacklevel=2)
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density (or probability) at ``value``."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of a value up to ``value``."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of cdf."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution along a new first axis."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """``exp(entropy)``."""
        return self.entropy().exp()

    def _shape(self, sample_shape) -> Size:
        return Size((*Size(sample_shape), *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value) -> None:
        """Raise ValueError for what is not a sample."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        start = value.dim() - len(self._event_shape)
        if tuple(value.shape[start:]) != tuple(self._event_shape):
            raise ValueError("The right-most size of value must match event_shape: "
                             f"{value.shape} vs {self._event_shape}.")
        have, want = self._shape(()), value.shape
        for i, j in zip(reversed(want), reversed(have), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError("Value is not broadcastable with batch_shape+event_shape: "
                                 f"{value.shape} vs {have}.")
        support = self.support
        ok = support.check(value)
        if not bool(ok.all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) "
                f"to be within the support ({support!r}) of the distribution {self!r}, but found "
                f"invalid values:\n{value}")

    def __repr__(self) -> str:
        names = [k for k in self.arg_constraints if k in self.__dict__ and k not in self._unprinted]
        inner = ", ".join(
            f"{n}: {self.__dict__[n] if self.__dict__[n].numel() == 1 else self.__dict__[n].size()}"
            for n in names)
        return f"{type(self).__name__}({inner})"


class ExponentialFamily(Distribution):
    """Distributions of the form exp(<parameters, statistics> - log normaliser)."""
