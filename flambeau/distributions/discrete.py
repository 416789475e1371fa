"""Distributions of whole numbers, categories and counts."""

from __future__ import annotations

import math

from ..nn import functional as F  # noqa: N812
from ..autograd.modes import no_grad
from ..ops.lib.shape import movedim
from ..tensor import Size
from ..tensor.binomial import binomial
from ..tensor.creation import arange, zeros
from ..tensor.sampling import bernoulli, multinomial, poisson, rand
from . import constraints
from .distribution import (Distribution, ExponentialFamily, batch_shape_of, broadcast_all,
                           clamp_probs, tiny)


class _ProbsOrLogits:
    """``probs`` and ``logits``: one is given, the other one computed when asked for."""

    _binary = True

    def _given(self, probs, logits) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")

    def __getattr__(self, name: str):
        d = self.__dict__
        if name == "probs" and "logits" in d:
            logits = d["logits"]
            return logits.sigmoid() if self._binary else logits.softmax(-1)
        if name == "logits" and "probs" in d:
            p = clamp_probs(d["probs"])
            return p.log() - (-p).log1p() if self._binary else p.log()
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @property
    def _param(self):
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.__dict__["logits"]

    @property
    def param_shape(self) -> Size:
        """Shape of the given parameter."""
        return self._param.size()


class Bernoulli(_ProbsOrLogits, ExponentialFamily):
    """1 with probability ``probs``, else 0."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args: bool | None = None):
        self._given(probs, logits)
        value = probs if probs is not None else logits
        (tensor,) = broadcast_all(value)
        self.__dict__["probs" if probs is not None else "logits"] = tensor
        super().__init__(batch_shape_of((value,), tensor),
                         validate_args=validate_args)

    mean = property(lambda self: self.probs)
    variance = property(lambda self: self.probs * (1 - self.probs))

    @property
    def mode(self):
        """1 where it is more probable than 0, nan where both are equally probable."""
        p = self.probs
        return (p >= 0.5).to(p.dtype).masked_fill(p == 0.5, math.nan)

    def sample(self, sample_shape=()):
        """Zeros and ones."""
        with no_grad():
            return bernoulli(self.probs.expand(self._shape(sample_shape)))

    def log_prob(self, value):
        """Logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self):
        """The entropy in nats."""
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True):
        """0 and 1."""
        values = arange(2, dtype=self._param.dtype).reshape((2, *[1] * len(self._batch_shape)))
        return values.expand((2, *self._batch_shape)) if expand else values


class Geometric(_ProbsOrLogits, Distribution):
    """How many trials fail before the first success."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs=None, logits=None, validate_args: bool | None = None):
        self._given(probs, logits)
        value = probs if probs is not None else logits
        (tensor,) = broadcast_all(value)
        self.__dict__["probs" if probs is not None else "logits"] = tensor
        super().__init__(batch_shape_of((value,), tensor),
                         validate_args=validate_args)

    mean = property(lambda self: 1.0 / self.probs - 1.0)
    mode = property(lambda self: self.probs * 0)
    variance = property(lambda self: (1.0 / self.probs - 1.0) / self.probs)

    def sample(self, sample_shape=()):
        """By the inverse of cdf."""
        with no_grad():
            u = rand(self._shape(sample_shape), dtype=self.probs.dtype)
            u = u.clamp(min=tiny(self.probs.dtype))
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value):
        """Logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        probs = probs.masked_fill((probs == 1) & (value == 0), 0)
        return value * (-probs).log1p() + self.probs.log()

    def entropy(self):
        """The entropy in nats."""
        return F.binary_cross_entropy_with_logits(
            self.logits, self.probs, reduction="none") / self.probs


class Categorical(_ProbsOrLogits, Distribution):
    """Numbers 0 ... K-1 with given probabilities (or logits) along the last axis."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True
    _binary = False

    def __init__(self, probs=None, logits=None, validate_args: bool | None = None):
        self._given(probs, logits)
        value = probs if probs is not None else logits
        if value.dim() < 1:
            raise ValueError(f"`{'probs' if probs is not None else 'logits'}` parameter must be at "
                             "least one-dimensional.")
        if probs is not None:
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = logits - logits.logsumexp(-1, keepdim=True)
        self._num_events = value.size(-1)
        super().__init__(value.size()[:-1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        """0 ... K-1."""
        return constraints.integer_interval(0, self._num_events - 1)

    mean = property(lambda self: self.probs[..., 0] * math.nan)
    variance = property(lambda self: self.probs[..., 0] * math.nan)
    mode = property(lambda self: self.probs.argmax(-1))

    def sample(self, sample_shape=()):
        """Category numbers (int64)."""
        sample_shape = Size(sample_shape)
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            drawn = multinomial(rows, sample_shape.numel(), True).t()
            return drawn.reshape(self._shape(sample_shape))

    def log_prob(self, value):
        """Logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        value = value.long().unsqueeze(-1)
        shape = (value[..., 0] + self.logits[..., 0]).shape  # broadcast
        logits = self.logits.expand((*shape, self._num_events))
        return logits.gather(-1, value.expand((*shape, 1))).squeeze(-1)

    def entropy(self):
        """The entropy in nats."""
        low = -3.4028234663852886e38
        logits = self.logits.clamp(min=low)
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True):
        """0 ... K-1."""
        values = arange(self._num_events).reshape((-1, *[1] * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values


class OneHotCategorical(Distribution):
    """Unit vectors with given probabilities."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args: bool | None = None):
        self._categorical = Categorical(probs, logits, validate_args)
        super().__init__(self._categorical.batch_shape,
                         self._categorical.param_shape[-1:], validate_args)

    probs = property(lambda self: self._categorical.probs)
    logits = property(lambda self: self._categorical.logits)
    mean = property(lambda self: self.probs)
    variance = property(lambda self: self.probs * (1 - self.probs))

    @property
    def mode(self):
        """The most probable unit vector."""
        return F.one_hot(self.probs.argmax(-1), self.probs.shape[-1]).to(self.probs.dtype)

    def sample(self, sample_shape=()):
        """Unit vectors."""
        drawn = self._categorical.sample(sample_shape)
        return F.one_hot(drawn, self._event_shape[0]).to(self.probs.dtype)

    def log_prob(self, value):
        """Logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self):
        """The entropy in nats."""
        return self._categorical.entropy()


class Poisson(ExponentialFamily):
    """How many events happen when ``rate`` are expected."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate, validate_args: bool | None = None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(batch_shape_of((rate,), self.rate),
                         validate_args=validate_args)

    mean = property(lambda self: self.rate)
    mode = property(lambda self: self.rate.floor())
    variance = property(lambda self: self.rate)

    def sample(self, sample_shape=()):
        """Counts."""
        with no_grad():
            return poisson(self.rate.expand(self._shape(sample_shape)))

    def log_prob(self, value):
        """Logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return value.xlogy(rate) - rate - (value + 1).lgamma()


class Binomial(_ProbsOrLogits, Distribution):
    """How many of ``total_count`` trials succeed."""

    arg_constraints = {"total_count": constraints.nonnegative_integer,
                       "probs": constraints.unit_interval, "logits": constraints.real}

    def __init__(self, total_count=1, probs=None, logits=None, validate_args: bool | None = None):
        self._given(probs, logits)
        name = "probs" if probs is not None else "logits"
        count, value = broadcast_all(total_count, probs if probs is not None else logits)
        self.total_count = count.type_as(value)
        self.__dict__[name] = value
        super().__init__(value.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        """0 ... total_count."""
        return constraints.integer_interval(0, self.total_count)

    mean = property(lambda self: self.total_count * self.probs)
    mode = property(lambda self: ((self.total_count + 1) * self.probs).floor().minimum(
        self.total_count))
    variance = property(lambda self: self.total_count * self.probs * (1 - self.probs))

    def sample(self, sample_shape=()):
        """Counts."""
        shape = self._shape(sample_shape)
        with no_grad():
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value):
        """Logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        n, logits = self.total_count, self.logits
        normaliser = (n * logits.clamp(min=0) + n * (-logits.abs()).exp().log1p()
                      - (n + 1).lgamma())
        return (value * logits - (value + 1).lgamma() - (n - value + 1).lgamma() - normaliser)

    def enumerate_support(self, expand: bool = True):
        """0 ... total_count."""
        most = int(self.total_count.max().item())
        if not bool((self.total_count == most).all()):
            raise NotImplementedError("Inhomogeneous total count not supported by "
                                      "`enumerate_support`.")
        values = arange(1 + most, dtype=self._param.dtype)
        values = values.reshape((-1, *[1] * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values

    def entropy(self):
        """The entropy in nats, summed over all values."""
        each = self.log_prob(self.enumerate_support(False))
        return -(each.exp() * each).sum(0)


class Multinomial(Distribution):
    """How often each category comes in ``total_count`` draws."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, total_count: int = 1, probs=None, logits=None,
                 validate_args: bool | None = None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits, validate_args)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:],
                         validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self):
        """Counts that sum to total_count."""
        return constraints.multinomial(self.total_count)

    probs = property(lambda self: self._categorical.probs)
    logits = property(lambda self: self._categorical.logits)
    mean = property(lambda self: self.probs * self.total_count)
    variance = property(lambda self: self.total_count * self.probs * (1 - self.probs))

    def entropy(self):
        """The entropy in nats."""
        n = self.total_count
        binomial = Binomial(n, self.probs)
        values = binomial.enumerate_support(False)[1:]
        weights = binomial.log_prob(values).exp()
        return (n * self._categorical.entropy() - math.lgamma(n + 1)
                + (weights * (values + 1).lgamma()).sum([0, -1]))

    def sample(self, sample_shape=()):
        """Counts."""
        drawn = self._categorical.sample((self.total_count, *Size(sample_shape)))
        drawn = movedim(drawn, 0, -1)
        counts = zeros(self._shape(sample_shape), dtype=drawn.dtype)
        counts.scatter_add_(-1, drawn, drawn * 0 + 1)
        return counts.type_as(self.probs)

    def log_prob(self, value):
        """Logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        logits = logits.masked_fill((value == 0) & (logits == -math.inf), 0)
        return ((value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1)
                + (logits * value).sum(-1))
