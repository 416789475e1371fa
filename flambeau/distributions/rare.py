"""Distributions of one real number that are used less often."""

from __future__ import annotations

import math

from ..autograd.modes import no_grad
from ..base import dtype as dt
from ..nn import functional as F  # noqa: N812
from ..ops.prim.masks import where
from ..ops.prim.special import i0e, i1e
from ..tensor import Size
from ..tensor.creation import empty, full_like, ones_like, zeros, zeros_like
from ..tensor.sampling import poisson, rand
from . import constraints
from .combined import TransformedDistribution
from .continuous import EULER, Cauchy, Gamma, Normal, Uniform
from .discrete import OneHotCategorical, _ProbsOrLogits
from .distribution import (Distribution, ExponentialFamily, batch_shape_of, broadcast_all,
                           clamp_probs, tiny)
from .transforms import (AbsTransform, AffineTransform, PowerTransform, SigmoidTransform,
                         StickBreakingTransform)


class _OfParameters(TransformedDistribution):
    """Transformed distributions that are repeated by their own parameters."""

    __repr__ = Distribution.__repr__

    def expand(self, batch_shape, _instance=None):
        """Repeated to a larger batch shape."""
        shape = Size(batch_shape)
        values = {n: getattr(self, n).expand(shape) for n in self.arg_constraints}
        return type(self)(**values, validate_args=False)


class HalfCauchy(_OfParameters):
    """``|x|`` of Cauchy numbers around 0."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, scale, validate_args: bool | None = None):
        super().__init__(Cauchy(0, scale, validate_args=validate_args), AbsTransform(),
                         validate_args)

    scale = property(lambda self: self.base_dist.scale)
    mean = property(lambda self: full_like(self.scale, math.inf))
    mode = property(lambda self: zeros_like(self.scale))
    variance = property(lambda self: self.base_dist.variance)

    def log_prob(self, value):
        """The Cauchy one's plus log 2."""
        if self._validate_args:
            self._validate_sample(value)
        inside = self.base_dist.log_prob(value) + math.log(2)
        return inside.masked_fill(value < 0, -math.inf)

    def cdf(self, value):
        """Probability of a value up to ``value``."""
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, prob):
        """The inverse of cdf."""
        return self.base_dist.icdf((prob + 1) / 2)

    def entropy(self):
        """The Cauchy one's less log 2."""
        return self.base_dist.entropy() - math.log(2)


class InverseGamma(_OfParameters):
    """``1 / x`` of gamma numbers."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive

    def __init__(self, concentration, rate, validate_args: bool | None = None):
        base = Gamma(concentration, rate, validate_args=validate_args)
        super().__init__(base, PowerTransform(-base.rate.new_ones(())), validate_args)

    concentration = property(lambda self: self.base_dist.concentration)
    rate = property(lambda self: self.base_dist.rate)
    mode = property(lambda self: self.rate / (self.concentration + 1))

    @property
    def mean(self):
        """rate / (a - 1); infinite up to a = 1."""
        a = self.concentration
        return where(a > 1, self.rate / (a - 1), math.inf)

    @property
    def variance(self):
        """rate^2 / ((a - 1)^2 (a - 2)); infinite up to a = 2."""
        a = self.concentration
        return where(a > 2, self.rate.square() / ((a - 1).square() * (a - 2)), math.inf)

    def entropy(self):
        """a + log rate + lgamma(a) - (1 + a) digamma(a)."""
        a = self.concentration
        return a + self.rate.log() + a.lgamma() - (1 + a) * a.digamma()


class Kumaraswamy(_OfParameters):
    """Numbers in [0, 1] with the distribution function 1 - (1 - x^a)^b."""

    arg_constraints = {"concentration1": constraints.positive,
                       "concentration0": constraints.positive}
    support = constraints.unit_interval

    def __init__(self, concentration1, concentration0, validate_args: bool | None = None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        a, b = self.concentration1, self.concentration0
        base = Uniform(full_like(b, 0), full_like(b, 1), validate_args=validate_args)
        super().__init__(base, [PowerTransform(b.reciprocal()), AffineTransform(1.0, -1.0),
                                PowerTransform(a.reciprocal())], validate_args)

    def _moment(self, n: int):
        a, b = self.concentration1, self.concentration0
        first = 1 + n / a
        return b * (first.lgamma() + b.lgamma() - (first + b).lgamma()).exp()

    mean = property(lambda self: self._moment(1))
    variance = property(lambda self: self._moment(2) - self._moment(1).pow(2))

    @property
    def mode(self):
        """((a - 1) / (a b - 1))^(1 / a); nan where the density has no peak inside."""
        a, b = self.concentration1, self.concentration0
        peak = ((a - 1) / (a * b - 1)).log() * a.reciprocal()
        return peak.masked_fill((b < 1) | (a < 1), math.nan).exp()

    def entropy(self):
        """(1 - 1/b) + (1 - 1/a) H(b) - log a - log b, H the harmonic number."""
        a, b = self.concentration1, self.concentration0
        return (1 - b.reciprocal()) + (1 - a.reciprocal()) * ((b + 1).digamma() + EULER) \
            - a.log() - b.log()


class LogisticNormal(TransformedDistribution):
    """Points of the simplex: stick breaking of normal numbers."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex

    def __init__(self, loc, scale, validate_args: bool | None = None):
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand([1])
        super().__init__(base, StickBreakingTransform(), validate_args)

    loc = property(lambda self: self.base_dist.base_dist.loc)
    scale = property(lambda self: self.base_dist.base_dist.scale)

    def expand(self, batch_shape, _instance=None):
        """Repeated to a larger batch shape."""
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        new.base_dist = self.base_dist.expand(batch_shape)
        new._batch_shape = Size(batch_shape)
        return new


class FisherSnedecor(Distribution):
    """The ratio of two chi-squared numbers, each divided by its degrees of freedom."""

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1, df2, validate_args: bool | None = None):
        self.df1, self.df2 = broadcast_all(df1, df2)
        self._gamma1 = Gamma(self.df1 * 0.5, self.df1, validate_args=False)
        self._gamma2 = Gamma(self.df2 * 0.5, self.df2, validate_args=False)
        super().__init__(batch_shape_of((df1, df2), self.df1), validate_args=validate_args)

    @property
    def mean(self):
        """df2 / (df2 - 2); nan up to df2 = 2."""
        return (self.df2 / (self.df2 - 2)).masked_fill(self.df2 <= 2, math.nan)

    @property
    def mode(self):
        """(df1 - 2) / df1 * df2 / (df2 + 2); nan up to df1 = 2."""
        peak = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return peak.masked_fill(self.df1 <= 2, math.nan)

    @property
    def variance(self):
        """2 df2^2 (df1 + df2 - 2) / (df1 (df2 - 2)^2 (df2 - 4)); nan up to df2 = 4."""
        a, b = self.df1, self.df2
        spread = 2 * b.pow(2) * (a + b - 2) / (a * (b - 2).pow(2) * (b - 4))
        return spread.masked_fill(b <= 4, math.nan)

    def rsample(self, sample_shape=()):
        """A gamma number over another."""
        shape = self._shape(sample_shape)
        top = self._gamma1.rsample(sample_shape).view(shape)
        under = self._gamma2.rsample(sample_shape).view(shape)
        least = tiny(self.df2.dtype)
        return (top / under.clamp(min=least)).clamp(min=least)

    def log_prob(self, value):
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        a, b, ratio = self.df1 / 2, self.df2 / 2, self.df1 / self.df2
        return ((a + b).lgamma() - a.lgamma() - b.lgamma() + a * ratio.log()
                + (a - 1) * value.log() - (a + b) * (ratio * value).log1p())


class GeneralizedPareto(Distribution):
    """What exceeds a high threshold ``loc``: tails of weight ``concentration``."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive,
                       "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc, scale, concentration, validate_args: bool | None = None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(batch_shape_of((loc, scale, concentration), self.loc),
                         validate_args=validate_args)

    @constraints.dependent_property
    def support(self):
        """From loc on, up to loc - scale / concentration where that is negative."""
        c = self.concentration
        high = where(c < 0, self.loc - self.scale / c, math.inf)
        return constraints.interval(self.loc, high)

    def _flat(self):
        """Where the tail is exponential."""
        return self.concentration.abs() <= 1e-8

    def rsample(self, sample_shape=()):
        """By the inverse of cdf."""
        return self.icdf(rand(self._shape(sample_shape), dtype=self.loc.dtype))

    def log_prob(self, value):
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        z = (value - self.loc) / self.scale
        c = where(self._flat(), 1, self.concentration)
        tail = where(self._flat(), -z, -(1 + 1 / c) * (c * z).log1p())
        return tail - self.scale.log()

    def cdf(self, value):
        """Probability of a value up to ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        z = (value - self.loc) / self.scale
        c = where(self._flat(), 1, self.concentration)
        return where(self._flat(), -(-z).expm1(), -(-(c * z).log1p() / c).expm1())

    def icdf(self, value):
        """The inverse of cdf."""
        c = where(self._flat(), 1, self.concentration)
        z = where(self._flat(), -(-value).log1p(), (-c * (-value).log1p()).expm1() / c)
        return self.loc + self.scale * z

    @property
    def mean(self):
        """loc + scale / (1 - c); infinite from c = 1 on."""
        c = self.concentration
        return where(c < 1, self.loc + self.scale / (1 - c), math.inf)

    @property
    def variance(self):
        """scale^2 / ((1 - c)^2 (1 - 2 c)); infinite from c = 1/2 on."""
        c = self.concentration
        return where(c < 0.5, self.scale.pow(2) / ((1 - c).pow(2) * (1 - 2 * c)), math.inf)

    mode = property(lambda self: self.loc)

    def entropy(self):
        """log scale + c + 1."""
        return self.scale.log() + self.concentration + 1


class NegativeBinomial(_ProbsOrLogits, Distribution):
    """How many trials succeed before ``total_count`` have failed."""

    arg_constraints = {"total_count": constraints.greater_than_eq(0),
                       "probs": constraints.half_open_interval(0.0, 1.0),
                       "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, total_count, probs=None, logits=None, validate_args: bool | None = None):
        self._given(probs, logits)
        name = "probs" if probs is not None else "logits"
        self.total_count, value = broadcast_all(total_count, probs if logits is None else logits)
        self.total_count = self.total_count.type_as(value)
        self.__dict__[name] = value
        super().__init__(value.size(), validate_args=validate_args)

    mean = property(lambda self: self.total_count * self.logits.exp())
    mode = property(lambda self: ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0))
    variance = property(lambda self: self.mean / (-self.logits).sigmoid())

    def sample(self, sample_shape=()):
        """Poisson numbers of gamma rates."""
        with no_grad():
            rates = Gamma(self.total_count, (-self.logits).exp(), validate_args=False)
            return poisson(rates.sample(sample_shape))

    def log_prob(self, value):
        """Logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        n, logits = self.total_count, self.logits
        weight = n * F.logsigmoid(-logits) + value * F.logsigmoid(logits)
        ways = (n + value).lgamma() - (1 + value).lgamma() - n.lgamma()
        return weight + ways.masked_fill(n + value == 0, 0)


class ContinuousBernoulli(_ProbsOrLogits, ExponentialFamily):
    """Numbers in [0, 1] with a density proportional to p^x (1 - p)^(1 - x).

    Formulas: Loaiza-Ganem and Cunningham (2019); around p = 1/2 by Taylor series.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, probs=None, logits=None, lims=(0.499, 0.501),
                 validate_args: bool | None = None):
        self._given(probs, logits)
        given = probs if logits is None else logits
        (value,) = broadcast_all(given)
        name = "probs" if logits is None else "logits"
        if name == "probs" and validate_args:
            if not bool(constraints.unit_interval.check(value).all()):
                raise ValueError("The parameter probs has invalid values")
        self.__dict__[name] = clamp_probs(value) if name == "probs" else value
        self._lims = lims
        super().__init__(batch_shape_of((given,), value),
                         validate_args=validate_args)

    def _steep(self):
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut(self):
        """The probability, away from 1/2."""
        return where(self._steep(), self.probs, self._lims[0] * ones_like(self.probs))

    def _log_norm(self):
        p = self._cut()
        low, high = where(p <= 0.5, p, 0.0), where(p >= 0.5, p, 1.0)
        exact = ((-p).log1p() - p.log()).abs().log() - where(
            p <= 0.5, (-2 * low).log1p(), (2 * high - 1).log())
        x = (self.probs - 0.5).pow(2)
        return where(self._steep(), exact, math.log(2) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self):
        """p / (2 p - 1) + 1 / (log(1 - p) - log p)."""
        p = self._cut()
        exact = p / (2 * p - 1) + 1 / ((-p).log1p() - p.log())
        x = self.probs - 0.5
        return where(self._steep(), exact, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x.pow(2)) * x)

    @property
    def variance(self):
        """p (p - 1) / (1 - 2 p)^2 + 1 / (log(1 - p) - log p)^2."""
        p = self._cut()
        exact = p * (p - 1) / (1 - 2 * p).pow(2) + 1 / ((-p).log1p() - p.log()).pow(2)
        x = (self.probs - 0.5).pow(2)
        return where(self._steep(), exact, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def rsample(self, sample_shape=()):
        """By the inverse of cdf."""
        return self.icdf(rand(self._shape(sample_shape), dtype=self.probs.dtype))

    def log_prob(self, value):
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return self._log_norm() - F.binary_cross_entropy_with_logits(logits, value,
                                                                     reduction="none")

    def cdf(self, value):
        """Probability of a value up to ``value``."""
        if self._validate_args:
            self._validate_sample(value)
        p = self._cut()
        exact = (p.pow(value) * (1 - p).pow(1 - value) + p - 1) / (2 * p - 1)
        return where(self._steep(), exact, value).clamp(0, 1)

    def icdf(self, value):
        """The inverse of cdf."""
        p = self._cut()
        exact = ((-p + value * (2 * p - 1)).log1p() - (-p).log1p()) / (p.log() - (-p).log1p())
        return where(self._steep(), exact, value)

    def entropy(self):
        """The entropy in nats."""
        zero, one = (-self.probs).log1p(), self.probs.log()
        return self.mean * (zero - one) - self._log_norm() - zero


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """Unit vectors whose gradients are those of their probabilities."""

    has_rsample = True

    def rsample(self, sample_shape=()):
        """Unit vectors."""
        probs = self.probs
        return self.sample(sample_shape) + (probs - probs.detach())


class LogitRelaxedBernoulli(_ProbsOrLogits, Distribution):
    """Logits of soft zeros and ones: (logits + logistic noise) / temperature."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args: bool | None = None):
        self.temperature = temperature
        self._given(probs, logits)
        given = probs if logits is None else logits
        (value,) = broadcast_all(given)
        self.__dict__["probs" if logits is None else "logits"] = value
        super().__init__(batch_shape_of((given,), value),
                         validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        """Repeated to a larger batch shape."""
        name = "probs" if "probs" in self.__dict__ else "logits"
        return LogitRelaxedBernoulli(self.temperature, validate_args=False,
                                     **{name: self._param.expand(Size(batch_shape))})

    def rsample(self, sample_shape=()):
        """Soft logits."""
        shape = self._shape(sample_shape)
        p = clamp_probs(self.probs.expand(shape))
        u = clamp_probs(rand(shape, dtype=p.dtype))
        return (u.log() - (-u).log1p() + p.log() - (-p).log1p()) / self.temperature

    def log_prob(self, value):
        """Logarithm of the density (Maddison et al., 2017)."""
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        away = logits - value * self.temperature
        t = self.temperature
        scale = t.log() if hasattr(t, "log") else math.log(t)
        return scale + away - 2 * away.exp().log1p()


class RelaxedBernoulli(TransformedDistribution):
    """Soft zeros and ones: sigmoid((logits + logistic noise) / temperature)."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args: bool | None = None):
        super().__init__(LogitRelaxedBernoulli(temperature, probs, logits), SigmoidTransform(),
                         validate_args)

    temperature = property(lambda self: self.base_dist.temperature)
    logits = property(lambda self: self.base_dist.logits)
    probs = property(lambda self: self.base_dist.probs)

    def expand(self, batch_shape, _instance=None):
        """Repeated to a larger batch shape."""
        base = self.base_dist.expand(batch_shape)
        return RelaxedBernoulli(base.temperature, validate_args=False, **{
            k: v for k, v in base.__dict__.items() if k in ("probs", "logits")})


class VonMises(Distribution):
    """Angles around ``loc``, the closer the larger ``concentration``."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real

    def __init__(self, loc, concentration, validate_args: bool | None = None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    mean = property(lambda self: self.loc)
    mode = property(lambda self: self.loc)
    variance = property(lambda self: 1 - i1e(self.concentration) / i0e(self.concentration))

    def log_prob(self, value):
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        k = self.concentration
        return k * (value - self.loc).cos() - math.log(2 * math.pi) - (i0e(k).log() + k)

    def sample(self, sample_shape=()):
        """By rejection from a wrapped Cauchy distribution, in float64 (Best and Fisher, 1979)."""
        with no_grad():
            shape = self._shape(sample_shape)
            loc, k = self.loc.to(dt.float64), self.concentration.to(dt.float64)
            tau = 1 + (1 + 4 * k.pow(2)).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * k)
            r = where(k < 1e-5, 1 / k + k, (1 + rho.pow(2)) / (2 * rho))
            x, done = empty(shape, dtype=dt.float64), zeros(shape, dtype=dt.bool_)
            while not bool(done.all()):
                u1, u2, u3 = rand((3, *shape), dtype=dt.float64).unbind()
                z = (math.pi * u1).cos()
                f = (1 + r * z) / (r + z)
                c = k * (r - f)
                taken = ((c * (2 - c) - u2) > 0) | ((c / u2).log() + 1 - c >= 0)
                x = where(taken, (u3 - 0.5).sign() * f.acos(), x)
                done = done | taken
            return ((x + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)
