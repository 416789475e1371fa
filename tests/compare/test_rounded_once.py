"""Sums of products are rounded once where PyTorch's kernels fuse them: the same bits.

PyTorch's kernels fuse on hosts with AVX2 (or more); elsewhere they round twice, as ours do."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")

FUNCTIONS = {
    "add": lambda t, x, y, z: t.add(x, y, alpha=0.3),
    "add a number": lambda t, x, y, z: t.add(x, y, alpha=3),
    "add in place": lambda t, x, y, z: x.clone().add_(y, alpha=-0.7),
    "add with a tensor's number": lambda t, x, y, z: x.clone().add_(y, alpha=z[0]),
    "add to a transposed": lambda t, x, y, z: t.add(x.view(-1, 11).t(), y.view(11, -1), alpha=0.3),
    "sub": lambda t, x, y, z: t.sub(x, y, alpha=0.3),
    "sub in place": lambda t, x, y, z: x.clone().sub_(y, alpha=0.3),
    "rsub": lambda t, x, y, z: t.rsub(x, y, alpha=0.3),
    "addcmul": lambda t, x, y, z: t.addcmul(x, y, z),
    "addcmul with a factor": lambda t, x, y, z: t.addcmul(x, y, z, value=0.3),
    "addcdiv": lambda t, x, y, z: t.addcdiv(x, y, z),
    "addcdiv with a factor": lambda t, x, y, z: t.addcdiv(x, y, z, value=0.3),
    "lerp near the start": lambda t, x, y, z: t.lerp(x, y, 0.3),
    "lerp near the end": lambda t, x, y, z: t.lerp(x, y, 0.7),
    "lerp by a tensor": lambda t, x, y, z: t.lerp(x, y, z),
    "two roundings": lambda t, x, y, z: x * y + z,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_bits(name, dtype):
    for n in (11, 1034):
        numbers = np.random.default_rng(n).standard_normal((3, n)).astype(dtype)
        want, *got = (FUNCTIONS[name](m, *[m.tensor(x) for x in numbers]).numpy()
                      for m in (torch, flambeau, flambeau))
        for g in got:  # interpreted, then compiled
            np.testing.assert_array_equal(g, want)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", [n for n in FUNCTIONS if "sor" not in n and "trans" not in n])
def test_same_bits_of_half_vectors(name, dtype):
    """PyTorch rounds what does not fill a vector twice: 1024 elements do."""
    numbers = np.random.default_rng(0).standard_normal((3, 1024)).astype("float32")
    want, got = (FUNCTIONS[name](m, *[m.tensor(x).to(getattr(m, dtype)) for x in numbers])
                 .float().numpy() for m in (torch, flambeau))
    np.testing.assert_array_equal(got, want)
