"""Special functions against PyTorch in float64, at ordinary and at edge arguments."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")

INF, NAN = float("inf"), float("nan")
REAL = np.concatenate([np.linspace(-7.3, 7.3, 41), [0.0, -0.0, 1e-8, 30.0, -30.0, INF, -INF, NAN]])
POSITIVE = np.concatenate([np.linspace(0.01, 12, 41), [1e-6, 300.0, 1e5, INF, NAN]])
NEGATIVE = -np.linspace(0.13, 9.37, 23)
UNIT = np.array([-1.0, -0.999999, -0.5, -1e-9, 0.0, 1e-9, 0.3, 0.9, 1 - 1e-12, 1.0, 1.5, NAN])
SHARE = np.array([0.0, 1e-300, 1e-20, 1e-3, 0.2, 0.5, 0.7, 1 - 1e-12, 1.0, -0.1, NAN])

ONE = {
    "erf": REAL, "erfc": REAL, "erfinv": UNIT, "lgamma": POSITIVE, "digamma": POSITIVE,
    "special.erfcx": np.concatenate([REAL[REAL > -8], [1e3]]), "special.ndtr": REAL,
    "special.log_ndtr": REAL, "special.ndtri": SHARE, "special.entr": REAL, "special.i0": REAL,
    "special.i0e": REAL, "special.i1": REAL, "special.i1e": REAL, "logit": SHARE, "sinc": REAL,
}


def find(module, name):
    for part in name.split("."):
        module = getattr(module, part)
    return module


def compare(name, *arrays, rtol=1e-12):
    ours = find(flambeau, name)(*[flambeau.tensor(a) for a in arrays]).numpy()
    theirs = find(torch, name)(*[torch.tensor(a) for a in arrays]).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-14)


@pytest.mark.parametrize("name", ONE)
def test_one_argument(name):
    compare(name, ONE[name], rtol=3e-11 if name in ("special.ndtri", "erfinv") else 1e-12)


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_gamma_of_negative_numbers(name):
    compare(name, NEGATIVE, rtol=1e-11)


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_polygamma(n):
    x = np.linspace(0.2, 20, 30)
    ours = flambeau.polygamma(n, flambeau.tensor(x)).numpy()
    # PyTorch's trigamma (n = 1) is not exact in float64; zeta(2, x) is the same number
    theirs = torch.special.zeta(torch.tensor(2.0), torch.tensor(x)) if n == 1 else \
        torch.polygamma(n, torch.tensor(x))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-11)


@pytest.mark.parametrize("name", ["igamma", "igammac"])
def test_incomplete_gamma(name):
    a = np.repeat([0.1, 0.9, 3.0, 30.0, 400.0], 7)
    x = a * np.tile([0.01, 0.3, 0.8, 1.0, 1.3, 2.5, 6.0], 5)
    compare(name, a, x, rtol=1e-6)
    edge = np.array([0.0, 1.0, 1.0, INF, -1.0, 2.0])
    compare(name, edge, np.array([1.0, 0.0, INF, 1.0, 1.0, NAN]))


def test_incomplete_gammas_add_up():
    a = np.repeat([0.1, 3.0, 30.0, 400.0], 5)
    x = a * np.tile([0.01, 0.8, 1.0, 1.3, 2.5], 4)
    parts = [getattr(flambeau, n)(flambeau.tensor(a), flambeau.tensor(x)).numpy()
             for n in ("igamma", "igammac")]
    np.testing.assert_allclose(parts[0] + parts[1], 1, rtol=1e-14)


def test_zeta():
    s, q = np.meshgrid([1.0, 1.1, 2.0, 7.5, 0.5], [0.1, 1.0, 3.3, 50.0, 0.0, -2.0])
    compare("special.zeta", s.ravel(), q.ravel())


def test_float32_erf_is_within_a_few_ulp():
    x = np.linspace(-5, 5, 2001, dtype=np.float32)
    exact = torch.erf(torch.tensor(x, dtype=torch.float64)).numpy()
    ours = flambeau.erf(flambeau.tensor(x)).numpy()
    assert np.max(np.abs(ours - exact) / np.spacing(np.abs(exact).astype(np.float32))) < 4
