"""Sums and inner products of fewer than 32768 elements add up in PyTorch's order: the same bits.

PyTorch's order for sums is the same on all hosts with AVX2; for inner products it is MKL's, which
depends on the processor: ours is the one it has on AMD processors (``kernel/sums.py``)."""

import numpy as np
import pytest

import flambeau
from flambeau.base import dtype as dt
from flambeau.base import flags
from flambeau.codegen import host as hosts
from flambeau.ir.node import PRIMS
from flambeau.runtime import library, ordered

torch = pytest.importorskip("torch")

SHAPES = {
    (0,): [*[(n,) for n in range(1, 45)], *[(n,) for n in (64, 100, 255, 511, 513, 1031, 4096)],
           *[(r, c) for r in (2, 3, 5, 16, 19, 33, 70)
             for c in (1, 2, 3, 5, 7, 8, 9, 15, 17, 32, 41, 71)]],
    (1,): [*[(r, n) for r in (5, 12) for n in (2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, 100)],
           *[(3, r, c) for r in (5, 17, 40) for c in (2, 5, 17, 40, 70)]],
    (0, 2): [(r, c, n) for r in (2, 17) for c in (2, 9) for n in (2, 5, 8, 17)],
    (1, 2): [(2, 5, 40), (40, 3, 3)],
    (0, 2, 4): [(2, 3, 4, 5, 6), (2, 9, 2, 9, 2)],
}
LONG = {(0,): [(8191,), (8300,), (32767,), (300, 33), (4097, 7), (9000, 2), (700, 40)],
        (1,): [(3, 5000), (3, 10000), (40, 700)]}
DTYPES = ["float32", "float64"]


def cases(shapes, dtype):
    random = np.random.default_rng(0)
    for axes, each in shapes.items():
        for shape in each:
            yield random.standard_normal(shape).astype(dtype), axes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shapes", [SHAPES, LONG], ids=["short", "long"])
def test_sums(shapes, dtype):
    for x, axes in cases(shapes, dtype):
        want, mine = torch.from_numpy(x).sum(axes).numpy(), flambeau.tensor(x)
        for _ in range(2):
            np.testing.assert_array_equal((mine * 1).sum(axes).numpy(), want, str((x.shape, axes)))


@pytest.mark.parametrize("kind", hosts.available_kinds())
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_single_kernels_and_of_numpy(dtype, kind):
    for x, axes in cases(SHAPES, dtype):
        want = torch.from_numpy(x).sum(axes).numpy()
        with flags.override(vector=kind):
            got = library.reduce(PRIMS["sum"], x, axes, dt.BY_NAME[dtype])
        np.testing.assert_array_equal(got, want, str((x.shape, axes)))
        if x.size <= ordered.MOST:
            got = ordered.reduce(PRIMS["sum"], x, axes, dt.BY_NAME[dtype])
            np.testing.assert_array_equal(got, want, str((x.shape, axes)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_means_and_gradients_of_what_was_repeated(dtype):
    def result(t, x, bias):
        x, bias = t.tensor(x), t.tensor(bias).requires_grad_()
        ((x + bias) * x).mean().backward()
        return [bias.grad.numpy(), x.mean(1).numpy(), x.abs().sum().numpy()]

    random = np.random.default_rng(1)
    for rows, columns in (32, 64), (32, 3), (50, 40), (20, 7):
        x, bias = (random.standard_normal(s).astype(dtype) for s in ((rows, columns), columns))
        for _ in range(2):
            for got, want in zip(result(flambeau, x, bias), result(torch, x, bias), strict=True):
                np.testing.assert_array_equal(got, want)


@pytest.mark.usefixtures("amd", "single_thread")
@pytest.mark.parametrize("dtype", DTYPES)
def test_inner_products(dtype):
    random = np.random.default_rng(2)
    for n in (*range(1, 50), 63, 100, 1000, 4095, 20000, 32767):
        a, b = (random.standard_normal(n).astype(dtype) for _ in range(2))
        want = torch.tensor(a).dot(torch.tensor(b)).numpy()  # tensor() copies: aligned memory
        for x, y in [(flambeau.tensor(a), flambeau.tensor(b))] * 2:
            np.testing.assert_array_equal(x.dot(y).numpy(), want, str(n))
            np.testing.assert_array_equal((x @ y).numpy(), want, str(n))
        if n <= ordered.MOST:
            got = ordered.reduce(PRIMS["inner_sum"], a * b, (0,), dt.BY_NAME[dtype])
            np.testing.assert_array_equal(got, want, str(n))


@pytest.mark.parametrize("kind", hosts.available_kinds())
@pytest.mark.parametrize("dtype", DTYPES)
def test_inner_products_have_one_order(dtype, kind):
    random = np.random.default_rng(3)
    for n in (*range(1, 50), 1000):
        x = random.standard_normal(n).astype(dtype)
        with flags.override(vector=kind):
            got = library.reduce(PRIMS["inner_sum"], x, (0,), dt.BY_NAME[dtype])
        want = ordered.reduce(PRIMS["inner_sum"], x, (0,), dt.BY_NAME[dtype])
        np.testing.assert_array_equal(got, want, str(n))
