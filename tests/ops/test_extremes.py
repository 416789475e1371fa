"""max, min, argmax, median: NaN, ties, empty axes, named results."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")

NAN = float("nan")
ROWS = np.array([[1, NAN, 3, NAN], [2, 2, 1, 0], [-1, -5, -1, 4]], np.float32)


@pytest.mark.parametrize("name", ["max", "min", "median", "nanmedian", "cummax", "cummin"])
def test_nan_along_a_dimension(name):
    ours = getattr(flambeau, name)(flambeau.tensor(ROWS), 1)
    theirs = getattr(torch, name)(torch.tensor(ROWS), 1)
    np.testing.assert_array_equal(ours.values.numpy(), theirs.values.numpy())
    np.testing.assert_array_equal(ours[1].numpy(), theirs.indices.numpy())


@pytest.mark.parametrize("name", ["max", "min", "median", "nanmedian", "argmax", "argmin", "amax"])
def test_nan_over_everything(name):
    ours = getattr(flambeau, name)(flambeau.tensor(ROWS)).numpy()
    np.testing.assert_array_equal(ours, getattr(torch, name)(torch.tensor(ROWS)).numpy())


@pytest.mark.parametrize(("call", "error"), [
    (lambda m, x: m.max(x), RuntimeError), (lambda m, x: m.max(x, 1), IndexError),
    (lambda m, x: m.argmax(x), IndexError), (lambda m, x: m.amax(x), RuntimeError),
    (lambda m, x: m.median(x, 1), IndexError)])
def test_nothing_to_select_from(call, error):
    for module in (torch, flambeau):
        with pytest.raises(error):
            call(module, module.zeros(3, 0))


def test_ties_share_the_gradient_of_amax_and_not_of_max():
    for module in (torch, flambeau):
        x = module.tensor([[1.0, 3.0, 3.0]], requires_grad=True)
        module.amax(x, 1).sum().backward()
        assert x.grad.tolist() == [[0.0, 0.5, 0.5]]
        x.grad = None
        module.max(x, 1).values.sum().backward()
        assert x.grad.tolist() == [[0.0, 1.0, 0.0]]


def test_named_result_prints_as_pytorch():
    text = repr(flambeau.max(flambeau.tensor([[1.0, 2.0]]), 1))
    assert text == repr(torch.max(torch.tensor([[1.0, 2.0]]), 1))
