"""Epilogues of products with short rows cross the ends of rows; results stay what they were."""

import numpy as np
import pytest

import flambeau as torch


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("batch", "m", "k", "n"), [
    ((), 64, 32, 20), ((), 5, 7, 3), ((), 33, 40, 31), ((3,), 9, 5, 7), ((2,), 100, 5, 16)])
def test_short_rows(dtype: str, batch: tuple, m: int, k: int, n: int):
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal((*batch, *s)).astype(dtype) for s in ((m, k), (k, n), (m, n)))
    x, y, z = torch.tensor(a), torch.tensor(b), torch.tensor(c)
    want = (a.astype("f8") @ b) * c + c
    for _ in range(3):  # interpreted, compiled, followed
        got = (x @ y) * z + z
        root = torch.sqrt(torch.abs(got))
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(root.numpy(), np.sqrt(np.abs(got.numpy())))
