"""``z.real = x`` and ``z.imag = x`` write one part, on the tape too."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")


def written(module, part, value, dtype):
    z = module.tensor([[1 + 2j, 3 - 1j], [0 + 1j, -2j]], requires_grad=True)
    w = z.to(getattr(module, dtype)) * 1
    x = module.tensor(value, requires_grad=True)
    setattr(w, part, x)
    weight = module.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]).reshape(2, 2, 2)
    (module.view_as_real(w) * weight).sum().backward()
    return w.detach().numpy(), z.grad.numpy(), x.grad.numpy()


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("value", [[5.0, 6.0], 7.0])
@pytest.mark.parametrize("part", ["real", "imag"])
def test_as_torch(part, value, dtype):
    for ours, theirs in zip(written(flambeau, part, value, dtype),
                            written(torch, part, value, dtype), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_parts_of_real_tensors():
    x = flambeau.zeros(2)
    x.real = flambeau.tensor([1.0, 2.0])
    assert x.tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="non-complex"):
        x.imag = flambeau.ones(2)
