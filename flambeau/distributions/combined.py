"""Distributions made of other distributions."""

from __future__ import annotations

import math

from ..autograd.modes import no_grad
from ..nn import functional as F  # noqa: N812
from ..tensor import Size
from . import constraints
from .continuous import EULER, Exponential, Gumbel, Normal
from .discrete import Categorical
from .distribution import Distribution, broadcast_all, sum_last
from .transforms import AffineTransform, ComposeTransform, ExpTransform, PowerTransform, Transform


class Independent(Distribution):
    """The last ``reinterpreted_batch_ndims`` batch axes count as one event."""

    def __init__(self, base_distribution: Distribution, reinterpreted_batch_ndims: int,
                 validate_args: bool | None = None):
        batch = base_distribution.batch_shape
        n = reinterpreted_batch_ndims
        if n > len(batch):
            raise ValueError("Expected reinterpreted_batch_ndims <= "
                             f"len(base_distribution.batch_shape), actual {n} vs {len(batch)}")
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, n
        shape = (*batch, *base_distribution.event_shape)
        cut = len(batch) - n
        super().__init__(shape[:cut], shape[cut:], validate_args)

    has_rsample = property(lambda self: self.base_dist.has_rsample)
    mean = property(lambda self: self.base_dist.mean)
    mode = property(lambda self: self.base_dist.mode)
    variance = property(lambda self: self.base_dist.variance)

    @constraints.dependent_property
    def support(self):
        """The base's, for whole events."""
        base = self.base_dist.support
        n = self.reinterpreted_batch_ndims
        return constraints.independent(base, n) if n else base

    def expand(self, batch_shape, _instance=None):
        """Repeated to a larger batch shape."""
        shape = (*Size(batch_shape), *self._event_shape[:self.reinterpreted_batch_ndims])
        return Independent(self.base_dist.expand(shape), self.reinterpreted_batch_ndims,
                           validate_args=False)

    def sample(self, sample_shape=()):
        """The base's samples."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape=()):
        """The base's samples."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value):
        """Summed over the event's axes."""
        return sum_last(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self):
        """Summed over the event's axes."""
        return sum_last(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist!r}, {self.reinterpreted_batch_ndims})"


class TransformedDistribution(Distribution):
    """What comes out of transforms when samples of ``base_distribution`` go in."""

    arg_constraints: dict = {}

    def __init__(self, base_distribution: Distribution, transforms,
                 validate_args: bool | None = None):
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        for t in self.transforms:
            if not isinstance(t, Transform):
                raise ValueError("transforms must be a Transform or a list of Transforms")
        chain = ComposeTransform(self.transforms)
        need = max([t.domain.event_dim for t in self.transforms], default=0)
        base = base_distribution
        if need > len(base.event_shape):
            base = Independent(base, need - len(base.event_shape))
        self.base_dist = base
        shape = Size((*base.batch_shape, *base.event_shape))
        for t in self.transforms:
            shape = t.forward_shape(shape)
        event = max(chain.codomain.event_dim, len(base.event_shape)) if self.transforms \
            else len(base.event_shape)
        cut = len(shape) - event
        super().__init__(shape[:cut], shape[cut:], validate_args)

    has_rsample = property(lambda self: self.base_dist.has_rsample)

    @constraints.dependent_property
    def support(self):
        """Where the last transform leads."""
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        extra = len(self._event_shape) - support.event_dim
        return constraints.independent(support, extra) if extra > 0 else support

    def expand(self, batch_shape, _instance=None):
        """Repeated to a larger batch shape."""
        return TransformedDistribution(self.base_dist.expand(batch_shape), self.transforms,
                                       validate_args=False)

    def _through(self, x):
        for t in self.transforms:
            x = t(x)
        return x

    def sample(self, sample_shape=()):
        """Transformed samples, without gradient."""
        with no_grad():
            return self._through(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape=()):
        """Transformed samples."""
        return self._through(self.base_dist.rsample(sample_shape))

    def log_prob(self, value):
        """The base's, less the logarithm of the Jacobian's determinant."""
        if self._validate_args:
            self._validate_sample(value)
        event = len(self._event_shape)
        total, y = 0.0, value
        for t in reversed(self.transforms):
            x = t._inv_call(y)
            event += t.domain.event_dim - t.codomain.event_dim
            total = total - sum_last(t.log_abs_det_jacobian(x, y), event - t.domain.event_dim)
            y = x
        return total + sum_last(self.base_dist.log_prob(y),
                                event - len(self.base_dist.event_shape))

    def _monotone(self, value):
        sign = 1
        for t in self.transforms:
            sign = sign * t.sign
        return sign * (value - 0.5) + 0.5

    def cdf(self, value):
        """Probability of a value up to ``value``."""
        for t in reversed(self.transforms):
            value = t._inv_call(value)
        return self._monotone(self.base_dist.cdf(value))

    def icdf(self, value):
        """The inverse of cdf."""
        return self._through(self.base_dist.icdf(self._monotone(value)))

    def __repr__(self) -> str:
        return type(self).__name__ + "()"


class LogNormal(TransformedDistribution):
    """``exp`` of normal numbers."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive

    def __init__(self, loc, scale, validate_args: bool | None = None):
        base = Normal(loc, scale, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args)

    loc = property(lambda self: self.base_dist.loc)
    scale = property(lambda self: self.base_dist.scale)
    mean = property(lambda self: (self.loc + self.scale.pow(2) / 2).exp())
    mode = property(lambda self: (self.loc - self.scale.square()).exp())

    @property
    def variance(self):
        """(exp(s^2) - 1) exp(2 loc + s^2)."""
        s = self.scale.pow(2)
        return s.expm1() * (2 * self.loc + s).exp()

    def entropy(self):
        """The normal one's plus loc."""
        return self.base_dist.entropy() + self.loc


class HalfNormal(Distribution):
    """``|x|`` of normal numbers around 0."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _unprinted = ("scale",)

    def __init__(self, scale, validate_args: bool | None = None):
        self._normal = Normal(0.0, scale, validate_args=False)
        self.scale = self._normal.scale
        super().__init__(self._normal.batch_shape, validate_args=validate_args)

    mean = property(lambda self: self.scale * math.sqrt(2 / math.pi))
    mode = property(lambda self: self.scale * 0)
    variance = property(lambda self: self.scale.pow(2) * (1 - 2 / math.pi))

    def rsample(self, sample_shape=()):
        """``|x|``."""
        return self._normal.rsample(sample_shape).abs()

    def log_prob(self, value):
        """The normal one's plus log 2."""
        if self._validate_args:
            self._validate_sample(value)
        inside = self._normal.log_prob(value) + math.log(2)
        return inside.masked_fill(value < 0, -math.inf)

    def cdf(self, value):
        """Probability of a value up to ``value``."""
        return 2 * self._normal.cdf(value) - 1

    def icdf(self, prob):
        """The inverse of cdf."""
        return self._normal.icdf((prob + 1) / 2)

    def entropy(self):
        """The normal one's less log 2."""
        return self._normal.entropy() - math.log(2)


class Pareto(TransformedDistribution):
    """``scale * exp(x)`` of exponential numbers x."""

    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}

    def __init__(self, scale, alpha, validate_args: bool | None = None):
        self.scale, self.alpha = broadcast_all(scale, alpha)
        super().__init__(Exponential(self.alpha, validate_args=validate_args),
                         [ExpTransform(), AffineTransform(loc=0, scale=self.scale)], validate_args)

    @constraints.dependent_property
    def support(self):
        """From scale on."""
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self):
        """a scale / (a - 1); infinite up to a = 1."""
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def variance(self):
        """scale^2 a / ((a - 1)^2 (a - 2)); infinite up to a = 2."""
        a = self.alpha.clamp(min=2)
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))

    mode = property(lambda self: self.scale)
    __repr__ = Distribution.__repr__

    def entropy(self):
        """log(scale / a) + 1 + 1 / a."""
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class Weibull(TransformedDistribution):
    """``scale * x ** (1 / concentration)`` of exponential numbers x."""

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale, concentration, validate_args: bool | None = None):
        self.scale, self.concentration = broadcast_all(scale, concentration)
        base = Exponential(self.scale * 0 + 1, validate_args=validate_args)
        super().__init__(base, [PowerTransform(self.concentration.reciprocal()),
                                AffineTransform(loc=0, scale=self.scale)], validate_args)

    mean = property(lambda self: self.scale * (1 + self.concentration.reciprocal()).lgamma().exp())
    __repr__ = Distribution.__repr__

    @property
    def mode(self):
        """scale ((k - 1) / k)^(1 / k)."""
        k = self.concentration
        return self.scale * ((k - 1) / k) ** k.reciprocal()

    @property
    def variance(self):
        """scale^2 (gamma(1 + 2 / k) - gamma(1 + 1 / k)^2)."""
        inverse = self.concentration.reciprocal()
        return self.scale.pow(2) * ((1 + 2 * inverse).lgamma().exp()
                                    - (2 * (1 + inverse).lgamma()).exp())

    def entropy(self):
        """Euler's constant times (1 - 1 / k), plus log(scale / k) + 1."""
        inverse = self.concentration.reciprocal()
        return EULER * (1 - inverse) + (self.scale * inverse).log() + 1


class MixtureSameFamily(Distribution):
    """Samples of ``component_distribution``, whose last batch axis ``mixture_distribution``
    chooses from."""

    arg_constraints: dict = {}

    def __init__(self, mixture_distribution: Categorical, component_distribution: Distribution,
                 validate_args: bool | None = None):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of "
                             "torch.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("The Component distribution need to be an instance of "
                             "torch.distributions.Distribution")
        k = mixture_distribution.logits.shape[-1]
        if component_distribution.batch_shape[-1] != k:
            raise ValueError(f"`mixture_distribution component` ({k}) does not equal "
                             "`component_distribution.batch_shape[-1]` "
                             f"({component_distribution.batch_shape[-1]})")
        self.mixture_distribution = mixture_distribution
        self.component_distribution = component_distribution
        self._num_component = k
        super().__init__(component_distribution.batch_shape[:-1],
                         component_distribution.event_shape, validate_args)

    @constraints.dependent_property
    def support(self):
        """The components'."""
        return self.component_distribution.support

    def expand(self, batch_shape, _instance=None):
        """Repeated to a larger batch shape."""
        shape = Size(batch_shape)
        return MixtureSameFamily(
            self.mixture_distribution.expand(shape),
            self.component_distribution.expand((*shape, self._num_component)),
            validate_args=False)

    def __repr__(self) -> str:
        return (f"MixtureSameFamily(\n  {self.mixture_distribution!r},\n"
                f"  {self.component_distribution!r})")

    def _weights(self):
        p = self.mixture_distribution.probs
        return p.reshape((*p.shape, *[1] * len(self._event_shape)))

    @property
    def _axis(self) -> int:
        return -1 - len(self._event_shape)

    @property
    def mean(self):
        """The weighted mean of the components'."""
        return (self._weights() * self.component_distribution.mean).sum(self._axis)

    @property
    def variance(self):
        """The mean of variances plus the variance of means."""
        w, c = self._weights(), self.component_distribution
        away = c.mean - self.mean.unsqueeze(self._axis)
        return (w * c.variance).sum(self._axis) + (w * away.pow(2)).sum(self._axis)

    def log_prob(self, value):
        """Logarithm of the weighted density."""
        if self._validate_args:
            self._validate_sample(value)
        each = self.component_distribution.log_prob(value.unsqueeze(self._axis))
        return (each + F.log_softmax(self.mixture_distribution.logits, -1)).logsumexp(-1)

    def cdf(self, value):
        """Probability of a value up to ``value``."""
        each = self.component_distribution.cdf(value.unsqueeze(self._axis))
        return (each * self.mixture_distribution.probs).sum(-1)

    def sample(self, sample_shape=()):
        """Samples of the chosen components."""
        with no_grad():
            chosen = self.mixture_distribution.sample(sample_shape)
            values = self.component_distribution.sample(sample_shape)
            event = tuple(self._event_shape)
            index = chosen.reshape((*chosen.shape, 1, *[1] * len(event)))
            index = index.expand((*chosen.shape, 1, *event))
            return values.gather(self._axis, index).squeeze(self._axis)


class RelaxedOneHotCategorical(Distribution):
    """Soft unit vectors: softmax((logits + Gumbel numbers) / temperature)."""

    arg_constraints: dict = {}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args: bool | None = None):
        self._categorical = Categorical(probs, logits)
        self.temperature = temperature
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:],
                         validate_args)

    probs = property(lambda self: self._categorical.probs)
    logits = property(lambda self: self._categorical.logits)

    def rsample(self, sample_shape=()):
        """Soft unit vectors."""
        logits = self.logits.expand(self._shape(sample_shape))
        noise = Gumbel(logits.detach() * 0, 1.0, validate_args=False).sample()
        return ((logits + noise) / self.temperature).softmax(-1)

    def log_prob(self, value):
        """Logarithm of the density (Maddison et al., 2017)."""
        k = self._event_shape[0]
        t = self.temperature
        logits, value = broadcast_all(self.logits, value)
        scale = math.lgamma(k) + (k - 1) * (t.log() if hasattr(t, "log") else math.log(t))
        score = logits - value.log() * t
        return (score - score.logsumexp(-1, keepdim=True)).sum(-1) + scale - value.log().sum(-1)


