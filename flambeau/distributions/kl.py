"""Kullback-Leibler divergences between distributions."""

from __future__ import annotations

import math

from ..ops.lib.linalg import solve_triangular
from .combined import Independent, LogNormal, TransformedDistribution
from .continuous import (Beta, Dirichlet, Exponential, Gamma, Laplace, Normal, Uniform)
from .discrete import Bernoulli, Binomial, Categorical, Geometric, OneHotCategorical, Poisson
from .distribution import Distribution, sum_last
from .multivariate import MultivariateNormal

_REGISTRY: dict[tuple[type, type], object] = {}


def register_kl(type_p: type, type_q: type):
    """Decorator: the function that computes KL(p || q) for these classes."""
    for t in (type_p, type_q):
        if not (isinstance(t, type) and issubclass(t, Distribution)):
            raise TypeError(f"Expected type to be a Distribution subclass but got {t}")

    def declare(function):
        _REGISTRY[type_p, type_q] = function
        return function

    return declare


def kl_divergence(p: Distribution, q: Distribution):
    """The expectation under p of log p - log q.

    Raises:
        NotImplementedError: there is no formula for these classes.
    """
    best = None
    for (a, b), function in _REGISTRY.items():
        if isinstance(p, a) and isinstance(q, b):
            far = type(p).__mro__.index(a) + type(q).__mro__.index(b)
            if best is None or far < best[0]:
                best = (far, function)
    if best is None:
        raise NotImplementedError(f"No KL(p || q) is implemented for p type "
                                  f"{type(p).__name__} and q type {type(q).__name__}")
    return best[1](p, q)


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = (p.scale / q.scale).pow(2)
    away = ((p.loc - q.loc) / q.scale).pow(2)
    return 0.5 * (ratio + away - 1 - ratio.log())


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    def part(a, b):
        return (a * (a.log() - b.log())).masked_fill(a == 0, 0).masked_fill(
            (b == 0) & (a != 0), math.inf)

    return part(p.probs, q.probs) + part(1 - p.probs, 1 - q.probs)


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    if bool((p.total_count > q.total_count).any()):
        return p.probs * math.inf
    return p.total_count * (p.probs * (p.logits - q.logits)
                            + (-p.probs).log1p() - (-q.probs).log1p())


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    t = p.probs * (p.logits - q.logits)
    t = t.masked_fill(q.probs == 0, math.inf).masked_fill(p.probs.expand_as(t) == 0, 0)
    return t.sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p, q):
    return _categorical(p._categorical, q._categorical)


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return result.masked_fill((q.low > p.low) | (q.high < p.high), math.inf)


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    ratio = p.scale / q.scale
    away = (p.loc - q.loc).abs()
    return -ratio.log() + away / q.scale + ratio * (-away / p.scale).exp() - 1


@register_kl(Gamma, Gamma)
def _gamma(p, q):
    a, b = p.concentration, q.concentration
    return (b * (p.rate / q.rate).log() + b.lgamma() - a.lgamma() + (a - b) * a.digamma()
            + (q.rate - p.rate) * (a / p.rate))


@register_kl(Beta, Beta)
def _beta(p, q):
    a, b, c, d = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    total = a + b
    return ((c.lgamma() + d.lgamma() + total.lgamma())
            - ((c + d).lgamma() + a.lgamma() + b.lgamma())
            + (a - c) * a.digamma() + (b - d) * b.digamma() + (c + d - total) * total.digamma())


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p, q):
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    return (total.lgamma() - b.sum(-1).lgamma() + (b.lgamma() - a.lgamma()).sum(-1)
            + ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1))


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError("KL-divergence between two Multivariate Normals with different event "
                         "shapes cannot be computed")
    n = p.event_shape[0]
    away = (q.loc - p.loc).unsqueeze(-1)
    shape = (*away.shape[:-2], n, n)
    tril = q.scale_tril.expand(shape)
    ratio = solve_triangular(tril, p.scale_tril.expand(shape), upper=False)
    mean = solve_triangular(tril, away, upper=False)
    return (q._half_log_det() - p._half_log_det()
            + 0.5 * (sum_last(ratio.pow(2), 2) + sum_last(mean.pow(2), 2) - n))


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("KL of Independent distributions with different "
                                  "reinterpreted_batch_ndims")
    return sum_last(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(LogNormal, LogNormal)
def _log_normal(p, q):
    return _normal(p.base_dist, q.base_dist)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError("KL of distributions with different transforms")
    base = kl_divergence(p.base_dist, q.base_dist)
    return sum_last(base, len(p.event_shape) - len(p.base_dist.event_shape))


@register_kl(Normal, Laplace)
def _normal_laplace(p, q):
    away = (p.loc - q.loc) / p.scale
    mean = math.sqrt(2 / math.pi) * (-0.5 * away ** 2).exp() + away * (math.sqrt(0.5) * away).erf()
    return -(p.scale / q.scale).log() - 0.5 * math.log(math.pi / 2) - 0.5 \
        + (p.scale / q.scale) * mean


@register_kl(Uniform, Normal)
def _uniform_normal(p, q):
    width = p.high - p.low
    first = (math.sqrt(2 * math.pi) * q.scale / width).log()
    return first + (width.pow(2) / 12 + ((p.high + p.low - 2 * q.loc) / 2).pow(2)) \
        / (2 * q.scale.pow(2))


@register_kl(Exponential, Normal)
def _exponential_normal(p, q):
    spread = q.scale.pow(2)
    rate = p.rate.pow(2)
    return (0.5 * (rate * spread * 2 * math.pi).log() - 1 + (1 / rate - q.loc / p.rate
                                                             + q.loc.pow(2) / 2) / spread)
