"""Recurrent layers as one operation: against formulas in NumPy, bits of both tiers, gradients of
gradients."""

import numpy as np
import pytest

import flambeau as torch
from flambeau.ops.prim.recurrence import GATES, recurrence, steps_of

SIZES = [(5, 5, 5), (9, 4, 4, 1), (1,), (20, 17)]


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _in_numpy(mode, gates, h, c, w, b, sizes, reverse):
    h, c = h.copy(), None if c is None else c.copy()
    out = np.empty((len(gates), h.shape[1]), h.dtype)
    for n, at in steps_of(sizes, reverse):
        x, p = gates[at:at + n], h[:n] @ w.T + (0 if b is None else b)
        if mode == "LSTM":
            i, f, g, o = np.split(x + p, 4, 1)
            c[:n] = _sigmoid(f) * c[:n] + _sigmoid(i) * np.tanh(g)
            h[:n] = _sigmoid(o) * np.tanh(c[:n])
        elif mode == "GRU":
            (xr, xz, xn), (pr, pz, pn) = np.split(x, 3, 1), np.split(p, 3, 1)
            z = _sigmoid(xz + pz)
            n_new = np.tanh(xn + _sigmoid(xr + pr) * pn)
            h[:n] = (h[:n] - n_new) * z + n_new
        else:
            h[:n] = np.tanh(x + p) if mode == "RNN_TANH" else np.maximum(x + p, 0)
        out[at:at + n] = h[:n]
    return [out, h] + ([c] if mode == "LSTM" else [])


def _operands(mode, sizes, width, dtype=np.float64):
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    gates = GATES[mode] * width
    return [draw(sum(sizes), gates), draw(sizes[0], width),
            draw(sizes[0], width) if mode == "LSTM" else None, draw(gates, width) * dtype(0.4),
            draw(gates) if mode == "GRU" else None]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mode", GATES)
def test_values(mode, reverse, sizes):
    for width in (3, 17):
        operands = _operands(mode, sizes, width)
        want = _in_numpy(mode, *operands, sizes, reverse)
        got = recurrence(*[None if x is None else torch.tensor(x) for x in operands], mode, sizes,
                         reverse)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a.numpy(), b, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mode", GATES)
def test_tiers_give_the_same_bits(mode, reverse):
    sizes = (19, 19, 4)
    operands = _operands(mode, sizes, 17, np.float32)

    def run():
        tensors = [None if x is None else torch.tensor(x, requires_grad=True) for x in operands]
        out = recurrence(*tensors, mode, sizes, reverse)
        sum((x * x).sum() for x in out).backward()
        return [x.detach().numpy() for x in out] + [
            t.grad.numpy() for t in tensors if t is not None]

    first = run()
    for _ in range(3):
        for a, b in zip(first, run(), strict=True):
            np.testing.assert_array_equal(a.view(np.int32), b.view(np.int32))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mode", GATES)
def test_gradients(mode, reverse):
    sizes = (2, 2, 1)
    operands = _operands(mode, sizes, 2)
    given = [None if x is None else torch.tensor(x, requires_grad=True) for x in operands]
    inputs = [x for x in given if x is not None]

    def function(*tensors):
        left = iter(tensors)
        return recurrence(*[None if x is None else next(left) for x in given], mode, sizes,
                          reverse)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_a_step_costs_nothing_to_plan():
    """The plan of a long sequence has as few records as that of a short one."""
    from flambeau.debug import explain

    def records(length):
        net = torch.nn.LSTM(4, 8)
        x = torch.randn(length, 2, 4)
        return str(explain(lambda: net(x)[0].sum())).count("\n")

    assert records(100) == records(3)
