"""Divergences between distributions of different kinds, and of the rarer ones.

Each is -entropy(p) - E_p[log q], written out. Where p has values that q never gives it is infinite.
"""

from __future__ import annotations

import math

from ..tensor.creation import full_like
from .combined import HalfNormal, Pareto
from .continuous import EULER, Beta, Cauchy, Exponential, Gamma, Gumbel, Laplace, Normal, Uniform
from .discrete import Bernoulli, Binomial, Poisson
from .kl import kl_divergence, register_kl
from .matrices import LowRankMultivariateNormal, kl_low_rank
from .multivariate import MultivariateNormal
from .rare import ContinuousBernoulli

INF = math.inf
_LINE = (Normal, Laplace, Gumbel)
_HALF = (Exponential, Gamma)


def _infinite(p, q):
    """p reaches where q does not."""
    like = next(v for v in (getattr(p, n) for n in p.arg_constraints) if v is not None)
    return full_like(like, INF)


def _register_infinite() -> None:
    """Which kinds reach beyond which."""
    beyond = {t: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform) for t in _LINE}
    beyond |= {t: (Beta, ContinuousBernoulli, Pareto, Uniform) for t in _HALF}
    beyond |= {Pareto: (Beta, ContinuousBernoulli, Uniform), Beta: (Pareto,),
               ContinuousBernoulli: (Pareto,), Poisson: (Bernoulli, Binomial)}
    for p, others in beyond.items():
        for q in others:
            register_kl(p, q)(_infinite)


_register_infinite()


def _xlogx(x):
    return (x * x.log()).masked_fill(x == 0, 0)


def _outside(p, q):
    """Where a uniform p leaves [0, 1]."""
    return (p.high > 1) | (p.low < 0)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p, q):
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, ContinuousBernoulli)
@register_kl(Uniform, ContinuousBernoulli)
def _to_continuous_bernoulli(p, q):
    out = -p.entropy() - p.mean * q.logits - (-q.probs).log1p() - q._log_norm()
    return out.masked_fill(_outside(p, q), INF) if isinstance(p, Uniform) else out


@register_kl(Beta, Exponential)
@register_kl(ContinuousBernoulli, Exponential)
@register_kl(Gamma, Exponential)
def _to_exponential(p, q):
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@register_kl(Beta, Gamma)
def _beta_gamma(p, q):
    a, total = p.concentration1, p.concentration1 + p.concentration0
    return (-p.entropy() + q.concentration.lgamma() - q.concentration * q.rate.log()
            - (q.concentration - 1) * (a.digamma() - total.digamma()) + q.rate * p.mean)


@register_kl(Beta, Normal)
@register_kl(ContinuousBernoulli, Normal)
@register_kl(Gamma, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Laplace, Normal)
@register_kl(Pareto, Normal)
def _to_normal(p, q):
    spread = p.variance + (p.mean - q.loc).pow(2)
    out = -p.entropy() + 0.5 * math.log(2 * math.pi) + q.scale.log() \
        + spread / (2 * q.scale.pow(2))
    return out.masked_fill(p.alpha <= 2, INF) if isinstance(p, Pareto) else out


@register_kl(Beta, Uniform)
@register_kl(ContinuousBernoulli, Uniform)
def _to_uniform(p, q):
    out = -p.entropy() + (q.high - q.low).log()
    return out.masked_fill((q.low > 0) | (q.high < 1), INF)


@register_kl(Cauchy, Cauchy)
def _cauchy(p, q):
    both = (p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)
    return both.log() - (4 * p.scale * q.scale).log()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p, q):
    return (p.mean * (p.logits - q.logits) + p._log_norm() + (-p.probs).log1p()
            - q._log_norm() - (-q.probs).log1p())


@register_kl(Exponential, Gamma)
def _exponential_gamma(p, q):
    ratio, a = q.rate / p.rate, q.concentration
    return -a * ratio.log() + ratio + a.lgamma() + a * EULER - (1 + EULER)


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p, q):
    product, place = p.rate * q.scale, q.loc / q.scale
    return (product.log() - 1 - place + place.exp() * product / (product + 1)
            + product.reciprocal())


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p, q):
    a, product, place = p.concentration, p.rate * q.scale, q.loc / q.scale
    return ((a - 1) * a.digamma() - a.lgamma() - a + product.log() + a / product
            + place.exp() * (1 + product.reciprocal()).pow(-a) - place)


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    ratio, away = p.scale / q.scale, (q.loc - p.loc) / q.scale
    return (-ratio.log() - away + ratio * EULER + (away + (1 + ratio).lgamma()).exp()
            - (1 + EULER))


@register_kl(Normal, Gumbel)
def _normal_gumbel(p, q):
    ratio, away = (p.scale / q.scale).pow(2), (p.loc - q.loc) / q.scale
    return (-0.5 * ratio.log() + away + (-away + 0.5 * ratio).exp()
            - 0.5 * (1 + math.log(2 * math.pi)))


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p, q):
    return kl_divergence(Normal(0.0, p.scale), Normal(0.0, q.scale))


for _p, _q in ((LowRankMultivariateNormal, LowRankMultivariateNormal),
               (LowRankMultivariateNormal, MultivariateNormal),
               (MultivariateNormal, LowRankMultivariateNormal)):
    register_kl(_p, _q)(kl_low_rank)


@register_kl(Pareto, Exponential)
def _pareto_exponential(p, q):
    product, a = p.scale * q.rate, p.alpha
    out = (a / product).log() - a.reciprocal() + a * product / (a - 1) - 1
    return out.masked_fill(a <= 1, INF)


@register_kl(Pareto, Gamma)
def _pareto_gamma(p, q):
    a, b = p.alpha, q.concentration
    mean_log = p.scale.log() + a.reciprocal()
    out = (a.log() - mean_log + b.lgamma() - b * q.rate.log() + (1 - b) * mean_log
           + q.rate * a * p.scale / (a - 1) - 1)
    return out.masked_fill(a <= 1, INF)


@register_kl(Pareto, Pareto)
def _pareto(p, q):
    ratio = q.alpha / p.alpha
    out = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return out.masked_fill(p.scale < q.scale, INF)


@register_kl(Uniform, Beta)
def _uniform_beta(p, q):
    width, a, b = p.high - p.low, q.concentration1, q.concentration0
    left = (a - 1) * (_xlogx(p.high) - _xlogx(p.low) - width) / width
    right = (b - 1) * (_xlogx(1 - p.high) - _xlogx(1 - p.low) + width) / width
    out = right + a.lgamma() + b.lgamma() - (a + b).lgamma() - width.log() - left
    return out.masked_fill(_outside(p, q), INF)


@register_kl(Uniform, Exponential)
def _uniform_exponential(p, q):
    out = q.rate * (p.high + p.low) / 2 - ((p.high - p.low) * q.rate).log()
    return out.masked_fill(p.low < 0, INF)


@register_kl(Uniform, Gamma)
def _uniform_gamma(p, q):
    width, a = p.high - p.low, q.concentration
    mean_log = (_xlogx(p.high) - _xlogx(p.low) - width) / width
    out = (-width.log() + a.lgamma() - a * q.rate.log() + (1 - a) * mean_log
           + q.rate * (p.high + p.low) / 2)
    return out.masked_fill(p.low < 0, INF)


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p, q):
    part = q.scale / (p.high - p.low)
    high, low = (p.high - q.loc) / q.scale, (p.low - q.loc) / q.scale
    return part.log() + 0.5 * (high + low) - part * ((-high).exp() - (-low).exp())


@register_kl(Uniform, Pareto)
def _uniform_pareto(p, q):
    width = p.high - p.low
    mean_log = (_xlogx(p.high) - _xlogx(p.low) - width) / width
    out = mean_log * (q.alpha + 1) - (q.alpha * q.scale.pow(q.alpha) * width).log()
    return out.masked_fill(p.low < q.scale, INF)
