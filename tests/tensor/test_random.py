"""The generator and its recipes give PyTorch's numbers, and leave PyTorch's state behind.

``DIGESTS`` were taken from PyTorch 2.13 (CPU); ``test_like_torch`` compares number by number where
PyTorch is installed.
"""

import hashlib
import pickle
import random as python_random

import numpy as np
import pytest

from flambeau.base import dtype as dt
from flambeau.base import flags
from flambeau.tensor import boxmuller
from flambeau.tensor import random as R
from flambeau.tensor import random_native as native

SIZES = (0, 1, 2, 15, 16, 17, 31, 32, 64, 100, 1000, 5001)
FLOATS = (dt.float32, dt.float64, dt.float16, dt.bfloat16)
INTS = (dt.bool_, dt.uint8, dt.int8, dt.int16, dt.int32, dt.int64)

#: recipe -> (ours(generator, n, dtype), PyTorch's(torch, n, dtype), dtypes)
RECIPES = {
    "rand": (lambda g, n, d: R.uniform(g, n, d),
             lambda t, n, d: t.rand(n, dtype=d), FLOATS),
    "uniform": (lambda g, n, d: R.uniform(g, n, d, -0.3, 1.7),
                lambda t, n, d: t.empty(n, dtype=d).uniform_(-0.3, 1.7), FLOATS),
    "randn": (lambda g, n, d: R.normal(g, n, d),
              lambda t, n, d: t.randn(n, dtype=d), FLOATS),
    "normal": (lambda g, n, d: R.normal(g, n, d, 0.3, 1.7),
               lambda t, n, d: t.empty(n, dtype=d).normal_(0.3, 1.7), FLOATS),
    "normal strided": (lambda g, n, d: R.normal(g, n, d, 0.3, 1.7, contiguous=n < 2),
                       lambda t, n, d: t.empty(2 * n, dtype=d)[::2].normal_(0.3, 1.7), FLOATS),
    "exponential": (lambda g, n, d: R.exponential(g, n, d, 1.5),
                    lambda t, n, d: t.empty(n, dtype=d).exponential_(1.5), FLOATS),
    "geometric": (lambda g, n, d: R.geometric(g, n, d, 0.3),
                  lambda t, n, d: t.empty(n, dtype=d).geometric_(0.3), FLOATS + (dt.int64,)),
    "log_normal": (lambda g, n, d: R.log_normal(g, n, d, 0.3, 0.7),
                   lambda t, n, d: t.empty(n, dtype=d).log_normal_(0.3, 0.7), FLOATS),
    "cauchy": (lambda g, n, d: R.cauchy(g, n, d, 0.3, 0.7),
               lambda t, n, d: t.empty(n, dtype=d).cauchy_(0.3, 0.7), FLOATS),
    "randint": (lambda g, n, d: R.integers(g, n, d, -5, 1000),
                lambda t, n, d: t.randint(-5, 1000, (n,), dtype=d), (dt.int64, dt.float32)),
    "randint power": (lambda g, n, d: R.integers(g, n, d, 0, 2**20),
                      lambda t, n, d: t.randint(0, 2**20, (n,), dtype=d), (dt.int64, dt.int32)),
    "randint wide": (lambda g, n, d: R.integers(g, n, d, -2**40, 2**41),
                     lambda t, n, d: t.randint(-2**40, 2**41, (n,), dtype=d), (dt.int64,)),
    "randint edge": (lambda g, n, d: R.integers(g, n, d, 0, 2**28),
                     lambda t, n, d: t.randint(0, 2**28, (n,), dtype=d), (dt.int64, dt.int32)),
    "random": (lambda g, n, d: R.full_range(g, n, d),
               lambda t, n, d: t.empty(n, dtype=d).random_(), FLOATS + INTS),
    "randperm": (lambda g, n, d: R.permutation(g, n),
                 lambda t, n, d: t.randperm(n), (dt.int64,)),
    "bernoulli": (lambda g, n, d: R.bernoulli(g, n, 0.3),
                  lambda t, n, d: t.empty(n, dtype=t.bool).bernoulli_(0.3), (dt.bool_,)),
    "bernoulli each": (lambda g, n, d: R.bernoulli_each(g, np.linspace(0, 1, n).astype(_np(d))),
                       lambda t, n, d: t.from_numpy(np.linspace(0, 1, n).astype(_np(d)))
                       .bernoulli().bool(), (dt.float32, dt.float64)),
    "multinomial": (lambda g, n, d: R.multinomial(g, _weights(n, d), 3),
                    lambda t, n, d: t.multinomial(t.from_numpy(_weights(n, d)), 3),
                    (dt.float32, dt.float64)),
    "multinomial one": (lambda g, n, d: R.multinomial(g, _weights(n, d), 1, True),
                        lambda t, n, d: t.multinomial(t.from_numpy(_weights(n, d)), 1, True),
                        (dt.float32, dt.float64)),
    "multinomial again": (lambda g, n, d: R.multinomial(g, _weights(n, d), 9, True),
                          lambda t, n, d: t.multinomial(t.from_numpy(_weights(n, d)), 9, True),
                          (dt.float32, dt.float64)),
    "poisson": (lambda g, n, d: R.poisson(g, _rates(n, d)),
                lambda t, n, d: t.poisson(t.from_numpy(_rates(n, d))),
                (dt.float32, dt.float64)),
}

DIGESTS = {
    "rand": "806f2cb3fe9b7856",
    "uniform": "c38ed01d600c26c0",
    "randn": "83dc991132a2a656",
    "normal": "1d27e701303dd9a0",
    "normal strided": "0b598f1ce02f5d8e",
    "exponential": "296185d7db5c1f8e",
    "geometric": "fa59a6bf3ffd123b",
    "log_normal": "a99f8afb7012c94f",
    "cauchy": "1308f35d18a83108",
    "randint": "6397be034c3e2805",
    "randint power": "8fbe5035ce0b2453",
    "randint wide": "e7dab65bcaf9dbdb",
    "randint edge": "dbeee4c1d9431069",
    "random": "daac4ad5ad086cdd",
    "randperm": "54fa794c7c757cd7",
    "bernoulli": "d1d6ba679bb8efdd",
    "bernoulli each": "9093bdaaf1b66776",
    "multinomial": "70fbf548bd3f9ea0",
    "multinomial one": "66b955816f134d9b",
    "multinomial again": "020fb6df35ec1112",
    "poisson": "7dbb7e8ea5fcbc92",
}


def _weights(n, d):
    return (np.arange(2 * n + 6) % 7 + 1).reshape(2, -1).astype(_np(d))


def _rates(n, d):
    return np.arange(min(n, 200)).astype(_np(d)) * _np(d).type(0.3)


def _np(d):
    """The NumPy dtype of our or PyTorch's dtype."""
    return np.dtype(str(d).removeprefix("torch."))


def digest(numbers) -> str:
    """A short name for a sequence of arrays."""
    h = hashlib.blake2b(digest_size=8)
    for a in numbers:
        h.update(np.ascontiguousarray(a).tobytes())
    return h.hexdigest()


def ours(name):
    make, _, dtypes = RECIPES[name]
    g = R.Generator()
    for seed in (0, 42):
        for n in SIZES:
            for d in dtypes:
                g.manual_seed(seed)
                yield make(g, n, d)
                yield g.state_bytes()


@pytest.mark.parametrize("name", RECIPES)
def test_digest(name):
    assert digest(ours(name)) == DIGESTS[name]


def test_known_numbers():
    g = R.Generator().manual_seed(0)
    assert np.round(R.uniform(g, 3, dt.float32), 4).tolist() == pytest.approx(
        [0.4963, 0.7682, 0.0885])
    g.manual_seed(42)
    assert R.permutation(g, 10).tolist() == [2, 6, 1, 8, 4, 5, 0, 9, 3, 7]


@pytest.mark.parametrize("n", [16, 32, 4096 + 16, 16 * 3000])
def test_compiled_normal_is_the_interpreted_one(n):
    words = R.Generator().manual_seed(3).words(n).astype(np.uint32)
    u = (words & 0xFFFFFF).astype(np.float32) * np.float32(2**-24)
    for mean, std in ((0.0, 1.0), (0.25, 3.0)):
        a, b = words.copy(), u.copy()
        native.normal(a, mean, std)
        boxmuller.transform(b.reshape(-1, 16), mean, std)
        assert np.array_equal(a.view(np.uint32), b.view(np.uint32))


def test_compiled_shuffle_is_the_interpreted_one():
    with flags.override(tier="0"):
        slow = R.permutation(R.Generator().manual_seed(1), 3000)
    order = np.arange(3000)
    native.shuffle(order, R.Generator().manual_seed(1).words(2999).astype(np.uint32))
    assert np.array_equal(slow, order)


def test_seeds():
    g = R.Generator()
    assert g.initial_seed() == 67280421310721
    assert g.manual_seed(-1).initial_seed() == 2**64 - 1
    assert g.manual_seed(np.int64(7)).initial_seed() == 7
    assert g.seed() == g.initial_seed()
    for bad in (2**64, -2**63 - 1):
        with pytest.raises(ValueError, match="Overflow"):
            g.manual_seed(bad)
    for bad in (1.5, "1", True):
        with pytest.raises(RuntimeError, match="expected a long"):
            g.manual_seed(bad)
    with pytest.raises(RuntimeError, match="cuda"):
        R.Generator("cuda")


def test_state_round_trip():
    g = R.Generator().manual_seed(5)
    R.normal(g, 3, dt.float32)  # leaves half a pair behind
    R.uniform(g, 1000, dt.float32)
    state = g.state_bytes()
    assert state.size == 5056
    first = R.normal(g, 5, dt.float32)
    other = R.Generator()
    other.set_state_bytes(state)
    assert np.array_equal(R.normal(other, 5, dt.float32), first)
    g.set_state_bytes(state)
    copies = [g.clone_state(), pickle.loads(pickle.dumps(g))]
    for copy in copies:
        assert np.array_equal(R.normal(copy, 5, dt.float32), first)
    with pytest.raises(RuntimeError, match="5056"):
        g.set_state_bytes(state[:50])
    with pytest.raises(RuntimeError, match="mt19937"):
        g.set_state_bytes(np.zeros(5056, np.uint8))


def test_fork_rng():
    R.manual_seed(3)
    with R.fork_rng():
        R.uniform(R.default_generator, 10, dt.float32)
    a = R.uniform(R.default_generator, 2, dt.float32)
    R.manual_seed(3)
    assert np.array_equal(a, R.uniform(R.default_generator, 2, dt.float32))


@pytest.mark.parametrize("call, text", [
    (lambda g: R.normal(g, 3, dt.float32, 0.0, -1.0), "std"),
    (lambda g: R.bernoulli(g, 3, 1.5), "p"),
    (lambda g: R.bernoulli_each(g, np.array([0.5, 2.0])), "p_in"),
    (lambda g: R.exponential(g, 3, dt.float32, 0.0), "lambda"),
    (lambda g: R.geometric(g, 3, dt.float32, 1.0), "p"),
    (lambda g: R.log_normal(g, 3, dt.float32, 0.0, 0.0), "std"),
    (lambda g: R.cauchy(g, 3, dt.float32, 0.0, 0.0), "sigma"),
    (lambda g: R.multinomial(g, np.array([[0.0, 0.0]]), 1), "sum of probabilities"),
    (lambda g: R.multinomial(g, np.array([[1.0, np.nan]]), 1), "nan"),
    (lambda g: R.poisson(g, np.array([-1.0])), "rate"),
])
def test_errors(call, text):
    with pytest.raises(RuntimeError, match=text):
        call(R.Generator())


# -- beside PyTorch ------------------------------------------------------------------------------

def _torch_array(x):
    import torch
    return x.view(torch.int16).numpy() if x.dtype is torch.bfloat16 else x.numpy()


def theirs(torch, name):
    """What PyTorch gives, in the order of :func:`ours` (this made ``DIGESTS``)."""
    _, make, dtypes = RECIPES[name]
    for seed in (0, 42):
        for n in SIZES:
            for d in dtypes:
                torch.manual_seed(seed)
                yield _torch_array(make(torch, n, getattr(torch, d.name)))
                yield torch.get_rng_state().numpy()


@pytest.mark.parametrize("name", RECIPES)
def test_like_torch(name):
    torch = pytest.importorskip("torch")
    for a, b in zip(ours(name), theirs(torch, name), strict=True):
        assert a.tobytes() == b.tobytes()


def test_mixed_calls_like_torch():
    torch = pytest.importorskip("torch")
    choose = python_random.Random(1)
    g = R.Generator().manual_seed(9)
    torch.manual_seed(9)
    for _ in range(150):
        make, torch_make, dtypes = RECIPES[choose.choice(list(RECIPES))]
        n, d = choose.choice(SIZES), choose.choice(dtypes)
        a, b = make(g, n, d), _torch_array(torch_make(torch, n, getattr(torch, d.name)))
        assert a.tobytes() == b.tobytes()
        assert g.state_bytes().tobytes() == torch.get_rng_state().numpy().tobytes()
