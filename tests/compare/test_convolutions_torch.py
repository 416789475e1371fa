"""Random convolutions and poolings, with gradients, beside PyTorch's."""

import random

import numpy as np
import pytest

import flambeau
import flambeau.nn.functional as ours

torch = pytest.importorskip("torch")
theirs = torch.nn.functional


def drawn(seed):
    """A random call: name, shapes of the operands, options."""
    r = random.Random(seed)
    rank = r.choice((1, 2, 2, 2, 3))
    one = lambda low, high: tuple(r.randint(low, high) for _ in range(rank))  # noqa: E731
    size, n = one(4, 10 if rank < 3 else 6), r.randint(1, 5)
    kind = r.choice(("conv", "conv", "conv_transpose", "max_pool", "avg_pool"))
    kernel, stride = one(1, 3), one(1, 3)
    if kind.startswith("conv"):
        groups = r.choice((1, 1, 2, 3))
        c, o = groups * r.randint(1, 3), groups * r.randint(1, 3)
        how = {"stride": stride, "padding": one(0, 2), "groups": groups, "dilation": one(1, 2)}
        how["padding"] = tuple(p + max(0, d * (k - 1) + 1 - s) for p, d, k, s in zip(
            how["padding"], how["dilation"], kernel, size, strict=True))
        shapes = [(n, c, *size), (o, c // groups, *kernel), (o,)]
        if kind == "conv_transpose":
            shapes = [(n, c, *size), (c, o // groups, *kernel), (o,)]
            how["padding"] = tuple(min(p, d * (k - 1)) for p, d, k in zip(
                how["padding"], how["dilation"], kernel, strict=True))
            how["output_padding"] = tuple(r.randint(0, s - 1) for s in stride)
        return f"{kind}{rank}d", shapes, how
    how = {"kernel_size": kernel, "stride": stride, "padding": tuple(r.randint(0, k // 2)
                                                                      for k in kernel),
           "ceil_mode": r.random() < 0.3}
    if r.random() < 0.15:  # large windows side by side
        kernel = tuple(r.randint(2, n) for n in size)
        how.update(kernel_size=kernel, stride=kernel, padding=0)
    if rank == 1 and kind == "avg_pool":
        how = {k: v[0] if type(v) is tuple else v for k, v in how.items()}
    return f"{kind}{rank}d", [(n, r.randint(1, 4), *size)], how


def outcome(module, function, arrays, how, runs):
    leaves = [module.tensor(a, requires_grad=True) for a in arrays]
    for _ in range(runs):
        for leaf in leaves:
            leaf.grad = None
        y = function(*leaves, **how)
        (y * y).sum().backward()
    return [y.detach().numpy(), *[leaf.grad.numpy() for leaf in leaves]]


@pytest.mark.parametrize("seed", range(150))
def test_random_call(seed):
    name, shapes, how = drawn(seed)
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(s).astype("float32") for s in shapes]
    wanted = outcome(torch, getattr(theirs, name), arrays, how, 1)
    for found, right in zip(outcome(flambeau, getattr(ours, name), arrays, how, 3), wanted,
                            strict=True):
        assert found.shape == right.shape
        np.testing.assert_allclose(found, right, rtol=2e-4, atol=2e-4, err_msg=f"{name} {how}")


@pytest.mark.parametrize("seed", range(0, 150, 7))
def test_random_second_derivative(seed):
    name, shapes, how = drawn(seed)
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(s).astype("float64") for s in shapes]

    def second(module, function):
        leaves = [module.tensor(a, requires_grad=True) for a in arrays]
        y = (function(*leaves, **how) ** 2).sum()
        grads = module.autograd.grad(y, leaves, create_graph=True)
        sum((g ** 2).sum() for g in grads).backward()
        return [leaf.grad.numpy() for leaf in leaves]

    for found, right in zip(second(flambeau, getattr(ours, name)),
                            second(torch, getattr(theirs, name)), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-8, atol=1e-8)
