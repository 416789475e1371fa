"""Losses and normalisation: errors at run time, running statistics, 16 bits."""

import numpy as np
import pytest

import flambeau
import flambeau.nn.functional as F

torch = pytest.importorskip("torch")


def both(array, **kwargs):
    return flambeau.tensor(array, **kwargs), torch.tensor(array, **kwargs)


def test_class_out_of_range_names_value_and_range():
    x, y = flambeau.zeros(3, 4), flambeau.tensor([1, 7, 2])
    with pytest.raises(IndexError, match=r"Target 7 is out of bounds.*\[1\].*0 to 3"):
        F.cross_entropy(x, y).item()


def test_labels_that_count_from_one_get_the_hint():
    x, y = flambeau.zeros(3, 3), flambeau.tensor([1, 2, 3])
    with pytest.raises(IndexError, match="1 subtracted"):
        F.nll_loss(x, y).item()


@pytest.mark.parametrize("ignore", [-100, 1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(ignore, weighted, smoothing):
    scores = np.random.default_rng(0).standard_normal((5, 3, 2)).astype(np.float32)
    labels = np.array([[0, 1], [2, ignore], [ignore, 1], [1, 0], [2, 2]])
    weight = np.array([1.0, 2.0, 0.5], np.float32)
    grads, values = [], []
    for module in (flambeau, torch):
        x = module.tensor(scores, requires_grad=True)
        w = module.tensor(weight) if weighted else None
        loss = module.nn.functional.cross_entropy(
            x, module.tensor(labels), w, ignore_index=ignore, label_smoothing=smoothing)
        loss.backward()
        values.append(loss.item())
        grads.append(x.grad.numpy())
    np.testing.assert_allclose(values[0], values[1], rtol=1e-6)
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-5, atol=1e-7)


def test_batch_norm_moves_running_statistics():
    values = np.random.default_rng(1).standard_normal((4, 3, 5)).astype(np.float32)
    kept = []
    for module in (flambeau, torch):
        mean, var = module.zeros(3), module.ones(3)
        for _ in range(2):
            module.nn.functional.batch_norm(module.tensor(values), mean, var, training=True,
                                            momentum=0.3)
        kept.append((mean.numpy(), var.numpy()))
    np.testing.assert_allclose(kept[0], kept[1], rtol=1e-5)


def test_one_value_per_channel_is_refused_in_training():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        F.batch_norm(flambeau.zeros(1, 3), None, None, training=True)


@pytest.mark.parametrize("name", ["softmax", "gelu", "silu", "layer_norm"])
def test_half_precision_rounds_once(name):
    values = (np.random.default_rng(2).standard_normal((6, 33)) * 4).astype(np.float16)
    extra = {"softmax": (1,), "layer_norm": ((33,),)}.get(name, ())
    x, exact = flambeau.tensor(values), torch.tensor(values).double()
    ours = getattr(F, name)(x, *extra).numpy()
    theirs = getattr(torch.nn.functional, name)(exact, *extra).numpy()
    # correctly rounded, up to float32's own error near the middle of two halves
    gap = np.abs(ours.astype(np.float64) - theirs)
    ulp = np.spacing(np.abs(theirs).astype(np.float16)).astype(np.float64)
    assert np.all(gap <= 0.52 * ulp + 1e-6)


def test_binary_cross_entropy_refuses_what_is_no_probability():
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        F.binary_cross_entropy(flambeau.tensor([1.5]), flambeau.tensor([1.0])).item()
