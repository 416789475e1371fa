"""Complex values through transposes and other views: the first, interpreted run and later,
compiled ones agree (no kernel computes complex numbers, so views become host steps)."""

import numpy as np
import pytest

import flambeau as torch

RNG = np.random.RandomState(0)
A = (RNG.randn(3, 4) + 1j * RNG.randn(3, 4)).astype(np.complex64)
W = (RNG.randn(4, 3) + 1j * RNG.randn(4, 3)).astype(np.complex64)


def repeated(step, times=4):
    first = step()
    for _ in range(times - 1):
        np.testing.assert_array_equal(step(), first)
    return first


def gradient(function):
    def step():
        x = torch.tensor(A, requires_grad=True)
        out = function(x)
        torch.real((out * torch.tensor(np.resize(W, tuple(out.shape)))).sum()).backward()
        return x.grad.resolve_conj().numpy()

    return repeated(step)


def test_gradient_ending_in_a_transpose():
    np.testing.assert_array_equal(gradient(lambda x: x.mH), W.T)
    np.testing.assert_array_equal(gradient(lambda x: x.T), W.T.conj())


@pytest.mark.parametrize("function", [
    lambda x: x.T[1:], lambda x: x[:, ::2].mT, lambda x: torch.diff(x, dim=0),
    lambda x: x.T.reshape(2, 6), lambda x: (x * 2).T.unsqueeze(0).expand(2, 4, 3),
    lambda x: torch.linalg.cholesky(x @ x.mH + 20 * torch.eye(3)),
], ids=["slice", "step", "diff", "reshape", "expand", "cholesky"])
def test_repeats_agree(function):
    gradient(function)


def test_transposed_output():
    def step():
        return (torch.tensor(A) * 2).T[:, 1:].numpy()

    np.testing.assert_array_equal(repeated(step), (2 * A).T[:, 1:])
