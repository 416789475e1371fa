"""Products of batches of small matrices have PyTorch's bits."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")
SIZES = [(4, 5, 5, 5), (2, 7, 8, 7), (1, 3, 4, 3), (8, 4, 8, 4), (3, 1, 50, 1), (5, 1, 1, 9),
         (2, 0, 3, 3), (0, 2, 2, 2), (2, 2, 0, 2)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("size", SIZES)
def test_bits(size, dtype):
    count, n, k, m = size
    rng = np.random.RandomState(0)
    a, b = rng.uniform(-9, 9, (count, n, k)), rng.uniform(-9, 9, (count, k, m))
    found = []
    for module in (torch, flambeau, flambeau, flambeau):  # interpreted, compiled, followed
        x, y = (module.tensor(v).to(getattr(module, dtype)).requires_grad_() for v in (a, b))
        out = module.bmm(x, y)
        (out * 2).sum().backward()
        found.append([t.detach().double().numpy() for t in (out, x.grad, y.grad)])
    for ours in found[1:]:
        for got, want in zip(ours, found[0], strict=True):
            np.testing.assert_array_equal(got, want)
