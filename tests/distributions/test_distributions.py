"""torch.distributions: densities, moments, samples, divergences against known numbers."""

import math

import pytest

import flambeau as torch
from flambeau import distributions as D

t = torch.tensor


def _all():
    return {
        "normal": D.Normal(t([0.0, 1.0]), t([1.0, 2.0])), "uniform": D.Uniform(0.0, t([1.0, 2.0])),
        "gamma": D.Gamma(t([2.0, 3.0]), 1.5), "beta": D.Beta(t([2.0, 3.0]), 2.0),
        "exponential": D.Exponential(t([1.0, 2.0])), "laplace": D.Laplace(0.0, t([1.0, 2.0])),
        "gumbel": D.Gumbel(0.0, t([1.0, 2.0])), "log normal": D.LogNormal(0.0, t([0.2, 0.3])),
        "half normal": D.HalfNormal(t([1.0, 2.0])), "bernoulli": D.Bernoulli(t([0.2, 0.7])),
        "poisson": D.Poisson(t([1.0, 12.0])), "geometric": D.Geometric(t([0.4, 0.7])),
        "binomial": D.Binomial(5, t([0.3, 0.6])),
        "one hot": D.OneHotCategorical(t([0.2, 0.3, 0.5])),
        "multinomial": D.Multinomial(4, t([0.2, 0.3, 0.5])),
        "dirichlet": D.Dirichlet(t([1.0, 2.0, 3.0])),
        "multivariate": D.MultivariateNormal(t([1.0, 2.0]), t([[2.0, 0.5], [0.5, 1.0]])),
        "mixture": D.MixtureSameFamily(D.Categorical(t([0.3, 0.7])),
                                       D.Normal(t([0.0, 2.0]), t([1.0, 0.5]))),
    }


@pytest.mark.parametrize("name", list(_all()))
def test_moments_of_samples(name):
    d = _all()[name]
    torch.manual_seed(0)
    x = d.sample((3000,))
    assert x.shape == (3000, *d.batch_shape, *d.event_shape)
    error = (d.variance / 3000).sqrt() * 5 + 1e-6
    assert ((x.mean(0) - d.mean).abs() < error).all()
    assert torch.allclose(x.var(0), d.variance, rtol=0.25, atol=0.02)
    assert d.support.check(x).all()
    assert d.log_prob(x).shape == (3000, *d.batch_shape)
    assert d.expand((4, *d.batch_shape)).sample().shape == (4, *d.batch_shape, *d.event_shape)


@pytest.mark.parametrize("name", ["normal", "gamma", "beta", "exponential", "laplace", "poisson",
                                  "bernoulli", "dirichlet", "multivariate", "geometric"])
def test_divergence_is_an_expectation(name):
    p = _all()[name]
    q = {"normal": D.Normal(0.5, t([1.5, 2.0])), "gamma": D.Gamma(t([2.5, 2.0]), 1.0),
         "beta": D.Beta(t([1.5, 3.0]), 2.5), "exponential": D.Exponential(t([1.5, 1.0])),
         "laplace": D.Laplace(0.3, t([1.5, 2.0])), "poisson": D.Poisson(t([1.5, 11.0])),
         "bernoulli": D.Bernoulli(t([0.3, 0.5])), "dirichlet": D.Dirichlet(t([1.5, 2.0, 2.0])),
         "multivariate": D.MultivariateNormal(t([0.5, 2.0]), torch.eye(2) * 2),
         "geometric": D.Geometric(t([0.5, 0.6]))}[name]
    torch.manual_seed(1)
    x = p.sample((3000,))
    away = p.log_prob(x) - q.log_prob(x)
    assert ((away.mean(0) - D.kl_divergence(p, q)).abs()
            < 5 * away.std(0) / math.sqrt(3000) + 1e-5).all()


def test_known_numbers():
    assert D.Normal(0.0, 1.0).log_prob(t(0.2)).item() == pytest.approx(-0.9389385, abs=1e-6)
    assert D.Categorical(t([0.2, 0.8])).entropy().item() == pytest.approx(0.5004024, abs=1e-6)
    assert D.StudentT(t(3.5)).entropy().item() == pytest.approx(1.7208902, abs=1e-5)
    both = D.Independent(D.Normal(torch.zeros(3, 2), torch.ones(3, 2)), 1)
    assert both.batch_shape == (3,) and both.event_shape == (2,)
    assert repr(D.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"


def test_samples_are_pytorchs():
    torch.manual_seed(0)
    assert D.Normal(0.0, 1.0).sample((3,)).tolist() == pytest.approx(
        [1.5410, -0.2934, -2.1788], abs=1e-4)
    torch.manual_seed(0)
    assert D.Gamma(t([0.5, 2.0]), 1.0).sample().tolist() == pytest.approx([0.0008, 0.6315],
                                                                         abs=1e-4)


def test_gradient_of_gamma_samples():
    a = torch.full((2000,), 2.0, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    x = D.Gamma(a, torch.ones(2000, dtype=torch.float64)).rsample()
    x.sum().backward()
    assert a.grad.mean().item() == pytest.approx(1.0, abs=0.1)  # the mean is a


@pytest.mark.parametrize("transform", [
    D.ExpTransform(), D.SigmoidTransform(), D.TanhTransform(), D.SoftplusTransform(),
    D.AffineTransform(1.0, -2.0), D.transforms.ComposeTransform(
        [D.AffineTransform(0.5, 2.0), D.TanhTransform()])])
def test_transforms_invert_and_measure(transform):
    x = torch.linspace(-1, 1, 5, dtype=torch.float64).requires_grad_()
    y = transform(x)
    assert torch.allclose(transform.inv(y), x)
    slope = torch.autograd.grad(y.sum(), x)[0].abs().log()
    assert torch.allclose(transform.log_abs_det_jacobian(x, y), slope)


def test_constraints_to_transforms():
    for c in (D.constraints.positive, D.constraints.unit_interval, D.constraints.interval(2, 5),
              D.constraints.simplex, D.constraints.less_than(3.0)):
        x = torch.randn(4, 3)
        assert c.check(D.biject_to(c)(x)).all()
        assert c.check(D.transform_to(c)(x)).all()


def test_errors():
    with pytest.raises(ValueError, match="parameter scale"):
        D.Normal(0.0, -1.0)
    with pytest.raises(ValueError, match="within the support"):
        D.Bernoulli(0.5).log_prob(t(0.3))
    with pytest.raises(ValueError, match="Either `probs` or `logits`"):
        D.Bernoulli()
    with pytest.raises(ValueError, match="parameter low"):
        D.Uniform(1.0, 0.0)
    with pytest.raises(NotImplementedError, match="KL"):
        D.kl_divergence(D.Normal(0.0, 1.0), D.Bernoulli(0.5))
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1.0
