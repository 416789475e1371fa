"""Every distribution against PyTorch's: samples of one seed, densities, moments, entropies,
divergences of every pair, transforms."""

import warnings

import numpy as np
import pytest

import flambeau as torch

oracle = pytest.importorskip("torch")

MAKE = {
    "Bernoulli": lambda t, D: D.Bernoulli(t([0.2, 0.7])),
    "Beta": lambda t, D: D.Beta(t([2.0, 3.0]), t([2.5, 1.5])),
    "Binomial": lambda t, D: D.Binomial(5, t([0.3, 0.6])),
    "Binomial large": lambda t, D: D.Binomial(t([40.0, 300.0]), t([0.3, 0.9])),
    "Categorical": lambda t, D: D.Categorical(t([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])),
    "Cauchy": lambda t, D: D.Cauchy(t([0.0, 1.0]), t([1.0, 2.0])),
    "Chi2": lambda t, D: D.Chi2(t([2.0, 5.0])),
    "ContinuousBernoulli": lambda t, D: D.ContinuousBernoulli(t([0.2, 0.5])),
    "ContinuousBernoulli logits": lambda t, D: D.ContinuousBernoulli(logits=t([0.2, 3.0])),
    "Dirichlet": lambda t, D: D.Dirichlet(t([[1.0, 2.0, 3.0], [0.5, 0.6, 2.0]])),
    "Exponential": lambda t, D: D.Exponential(t([1.0, 2.0])),
    "FisherSnedecor": lambda t, D: D.FisherSnedecor(t([3.0, 5.0]), t([5.0, 7.0])),
    "Gamma": lambda t, D: D.Gamma(t([2.0, 3.0]), t([1.5, 1.0])),
    "GeneralizedPareto": lambda t, D: D.GeneralizedPareto(
        t([0.0, 1.0, 0.5]), t([1.0, 2.0, 1.0]), t([0.1, -0.3, 0.0])),
    "Geometric": lambda t, D: D.Geometric(t([0.4, 0.7])),
    "Gumbel": lambda t, D: D.Gumbel(t([0.0, 1.0]), t([1.0, 2.0])),
    "HalfCauchy": lambda t, D: D.HalfCauchy(t([1.0, 2.0])),
    "HalfNormal": lambda t, D: D.HalfNormal(t([1.0, 2.0])),
    "InverseGamma": lambda t, D: D.InverseGamma(t([2.5, 3.0]), t([1.5, 1.0])),
    "Kumaraswamy": lambda t, D: D.Kumaraswamy(t([2.0, 3.0]), t([2.5, 1.5])),
    "LKJCholesky": lambda t, D: D.LKJCholesky(3, t([0.5, 2.0])),
    "Laplace": lambda t, D: D.Laplace(t([0.0, 1.0]), t([1.0, 2.0])),
    "LogNormal": lambda t, D: D.LogNormal(t([0.0, 1.0]), t([0.2, 0.3])),
    "LogisticNormal": lambda t, D: D.LogisticNormal(t([0.0, 1.0]), t([0.2, 0.3])),
    "LowRankMultivariateNormal": lambda t, D: D.LowRankMultivariateNormal(
        t([0.0, 1.0, 2.0]), t([[1.0], [0.5], [0.2]]), t([0.5, 1.0, 2.0])),
    "Multinomial": lambda t, D: D.Multinomial(4, t([0.2, 0.3, 0.5])),
    "MultivariateNormal": lambda t, D: D.MultivariateNormal(
        t([1.0, 2.0, 0.0]), t([[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])),
    "NegativeBinomial": lambda t, D: D.NegativeBinomial(t([3.0, 5.0]), t([0.3, 0.6])),
    "NegativeBinomial logits": lambda t, D: D.NegativeBinomial(4, logits=t([0.3, -0.6])),
    "Normal": lambda t, D: D.Normal(t([0.0, 1.0]), t([1.0, 2.0])),
    "OneHotCategorical": lambda t, D: D.OneHotCategorical(t([0.2, 0.3, 0.5])),
    "OneHotCategoricalStraightThrough": lambda t, D: D.OneHotCategoricalStraightThrough(
        t([0.2, 0.3, 0.5])),
    "Pareto": lambda t, D: D.Pareto(t([1.0, 0.5]), t([3.0, 2.5])),
    "Poisson": lambda t, D: D.Poisson(t([1.0, 12.0])),
    "RelaxedBernoulli": lambda t, D: D.RelaxedBernoulli(t(0.7), t([0.2, 0.7])),
    "RelaxedOneHotCategorical": lambda t, D: D.RelaxedOneHotCategorical(
        t(0.7), t([0.2, 0.3, 0.5])),
    "StudentT": lambda t, D: D.StudentT(t([3.5, 5.0])),
    "Uniform": lambda t, D: D.Uniform(t([0.0, 1.0]), t([1.0, 3.0])),
    "VonMises": lambda t, D: D.VonMises(t([0.0, 1.0]), t([1.0, 4.0])),
    "Weibull": lambda t, D: D.Weibull(t([1.0, 2.0]), t([1.5, 0.8])),
    "Wishart": lambda t, D: D.Wishart(t(5.0), t([[2.0, 0.5], [0.5, 1.0]])),
    "Wishart precision": lambda t, D: D.Wishart(
        t([5.0, 4.0]), precision_matrix=t([[2.0, 0.5], [0.5, 1.0]])),
    "Independent": lambda t, D: D.Independent(D.Normal(t([0.0, 1.0]), t([1.0, 2.0])), 1),
    "MixtureSameFamily": lambda t, D: D.MixtureSameFamily(
        D.Categorical(t([0.3, 0.7])), D.Normal(t([0.0, 2.0]), t([1.0, 0.5]))),
}


def both(name: str):
    ours = MAKE[name](torch.tensor, torch.distributions)
    return ours, MAKE[name](oracle.tensor, oracle.distributions)


def close(a, b, rtol=1e-4, atol=1e-5):
    assert tuple(a.shape) == tuple(b.shape)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=rtol, atol=atol)


def ours_of(t):
    return torch.tensor(t.detach().numpy().copy())


def test_every_distribution_is_there():
    missing = [n for n in oracle.distributions.__all__ if not hasattr(torch.distributions, n)]
    assert not missing
    missing = [n for n in oracle.distributions.constraints.__all__
               if not hasattr(torch.distributions.constraints, n)]
    assert not missing
    tested = {n.partition(" ")[0] for n in MAKE}
    kinds = {n for n in oracle.distributions.__all__ if isinstance(getattr(
        oracle.distributions, n), type) and not n.endswith("Transform")}
    assert kinds - tested == {"Distribution", "ExponentialFamily", "TransformedDistribution"}


#: other random recipes than PyTorch's (whose Wishart draws regular matrices again)
OTHER_STREAM = {"Wishart", "Wishart precision"}


@pytest.mark.parametrize("name", list(MAKE))
def test_samples(name):
    ours, theirs = both(name)
    assert tuple(ours.batch_shape) == tuple(theirs.batch_shape)
    assert tuple(ours.event_shape) == tuple(theirs.event_shape)
    assert ours.has_rsample == theirs.has_rsample
    torch.manual_seed(3)
    oracle.manual_seed(3)
    a, b = ours.sample((4,)), theirs.sample((4,))
    assert tuple(a.shape) == tuple(b.shape) and ours.support.check(a).all()
    if name not in OTHER_STREAM:
        close(a, b, 1e-3, 1e-4)
    bigger = ours.expand((3, *ours.batch_shape))
    assert bigger.sample((2,)).shape == (2, 3, *ours.batch_shape, *ours.event_shape)
    assert bigger.log_prob(bigger.sample()).shape == (3, *ours.batch_shape)


@pytest.mark.parametrize("name", list(MAKE))
def test_numbers(name):
    ours, theirs = both(name)
    oracle.manual_seed(0)
    x = theirs.sample((6,))
    close(ours.log_prob(ours_of(x)), theirs.log_prob(x), 1e-3, 1e-4)
    for what in ("mean", "variance", "stddev", "mode"):
        if name == "Kumaraswamy" and what == "mode":
            continue  # PyTorch's is nan
        try:
            want = getattr(theirs, what)
        except NotImplementedError:
            continue
        close(getattr(ours, what), want)
    for method in ("entropy", "perplexity"):
        try:
            want = getattr(theirs, method)()
        except NotImplementedError:
            continue
        close(getattr(ours, method)(), want)
    try:
        want = theirs.cdf(x)
    except NotImplementedError:
        return
    close(ours.cdf(ours_of(x)), want)
    try:
        want = theirs.icdf(theirs.cdf(x))
    except NotImplementedError:
        return
    close(ours.icdf(ours.cdf(ours_of(x))), want, 1e-2, 1e-3)


@pytest.mark.parametrize("name", [n for n in MAKE if n not in (
    "Binomial", "Binomial large", "Multinomial", "Geometric", "Poisson", "MixtureSameFamily",
    "Beta", "Wishart", "Wishart precision")])
def test_gradients_of_samples(name):
    """rsample passes gradients on as PyTorch's does (a beta number's are others, as good)."""
    ours, theirs = both(name)
    if not theirs.has_rsample:
        with pytest.raises(NotImplementedError):
            ours.rsample()
        return
    found = []
    for t, D, seed in ((torch.tensor, torch.distributions, torch.manual_seed),
                       (oracle.tensor, oracle.distributions, oracle.manual_seed)):
        leaves = []

        def leaf(values, t=t, leaves=leaves):
            leaves.append(t(values, requires_grad=True))
            return leaves[-1]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            d = MAKE[name](leaf, D)
        seed(5)
        d.rsample((3,)).sum().backward()
        found.append([g.grad for g in leaves])
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            close(a, b, 2e-2, 2e-3)


PAIRS = sorted({(p, q) for p in MAKE for q in MAKE
                if (getattr(oracle.distributions, p.partition(" ")[0]),
                    getattr(oracle.distributions, q.partition(" ")[0]))
                in oracle.distributions.kl._KL_REGISTRY
                # PyTorch's are infinite where the supports are equal
                and {p.partition(" ")[0], q} != {"ContinuousBernoulli", "Uniform"}
                and {p, q.partition(" ")[0]} != {"ContinuousBernoulli", "Uniform"}})


@pytest.mark.parametrize("p, q", PAIRS)
def test_divergence(p, q):
    ours, theirs = both(p), both(q)
    try:
        want = oracle.distributions.kl_divergence(ours[1], theirs[1])
    except (NotImplementedError, RuntimeError):
        return
    got = torch.distributions.kl_divergence(ours[0], theirs[0])
    if not tuple(want.shape):
        want = want.expand(got.shape)
    close(got, want, 1e-3, 1e-4)


TRANSFORMS = {
    "CorrCholesky": (lambda T, D: T.CorrCholeskyTransform(), (2, 6)),
    "PositiveDefinite": (lambda T, D: T.PositiveDefiniteTransform(), (2, 3, 3)),
    "CumulativeDistribution": (lambda T, D: T.CumulativeDistributionTransform(
        D.Normal(0.0, 1.0)), (3,)),
    "Cat": (lambda T, D: T.CatTransform([T.ExpTransform(), T.SigmoidTransform()], -1, [2, 1]),
            (2, 3)),
    "Stack": (lambda T, D: T.StackTransform([T.ExpTransform(), T.identity_transform], 1), (3, 2)),
    "StickBreaking": (lambda T, D: T.StickBreakingTransform(), (2, 4)),
}


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_transforms(name):
    make, shape = TRANSFORMS[name]
    ours = make(torch.distributions.transforms, torch.distributions)
    theirs = make(oracle.distributions.transforms, oracle.distributions)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    a, b = torch.tensor(x), oracle.tensor(x)
    y, z = ours(a), theirs(b)
    close(y, z)
    close(ours.inv(y), theirs.inv(z), 1e-3, 1e-4)
    assert tuple(ours.forward_shape(shape)) == tuple(theirs.forward_shape(shape))
    if name != "PositiveDefinite":
        close(ours.log_abs_det_jacobian(a, y), theirs.log_abs_det_jacobian(b, z), 1e-3, 1e-4)
    assert ours.codomain.check(y).all()


def test_constraints_lead_to_transforms():
    C = torch.distributions.constraints
    for c, shape in ((C.corr_cholesky, (4, 3)), (C.positive_definite, (2, 3, 3)),
                     (C.cat([C.positive, C.unit_interval], -1, [2, 1]), (5, 3)),
                     (C.stack([C.positive, C.real], 1), (3, 2))):
        for registry in (torch.distributions.biject_to, torch.distributions.transform_to):
            assert c.check(registry(c)(torch.randn(shape))).all()


@pytest.mark.parametrize("call", [
    lambda t, D: D.LKJCholesky(1), lambda t, D: D.Wishart(t(0.5), t([[1.0, 0.0], [0.0, 1.0]])),
    lambda t, D: D.Wishart(t(3.0)), lambda t, D: D.NegativeBinomial(3),
    lambda t, D: D.NegativeBinomial(t(-1.0), t(0.5)),
    lambda t, D: D.ContinuousBernoulli(t(2.0), validate_args=True),
    lambda t, D: D.LowRankMultivariateNormal(t([1.0]), t([1.0]), t([1.0])),
    lambda t, D: D.VonMises(t(0.0), t(-1.0)), lambda t, D: D.HalfCauchy(t(-1.0)),
    lambda t, D: D.RelaxedBernoulli(t(1.0)), lambda t, D: D.InverseGamma(t(-1.0), t(1.0)),
    lambda t, D: D.transforms.CorrCholeskyTransform().forward_shape((4,))])
def test_the_same_errors(call):
    with pytest.raises(Exception) as theirs:
        call(oracle.tensor, oracle.distributions)
    with pytest.raises(type(theirs.value)):
        call(torch.tensor, torch.distributions)


def test_binomial_numbers():
    count = np.array([0.0, 5.0, 50.0, 1000.0, 30.0, 7.0], np.float64)
    prob = np.array([0.5, 0.0, 0.4, 0.03, 1.0, 0.8], np.float64)
    for dtype in ("float32", "float64"):
        torch.manual_seed(1)
        oracle.manual_seed(1)
        for _ in range(20):
            ours = torch.binomial(torch.tensor(count.astype(dtype)),
                                  torch.tensor(prob.astype(dtype)))
            theirs = oracle.binomial(oracle.tensor(count.astype(dtype)),
                                     oracle.tensor(prob.astype(dtype)))
            assert ours.tolist() == theirs.tolist() and str(ours.dtype) == str(theirs.dtype)
    with pytest.raises(RuntimeError, match="dtype"):
        torch.binomial(torch.ones(2), torch.ones(2, dtype=torch.float64))
