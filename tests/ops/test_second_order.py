"""First and second derivatives of indexing, shape, nn and linalg functions against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as fl

torch = pytest.importorskip("torch")

_random = np.random.RandomState(0)


def R(*shape):
    return _random.rand(*shape) - 0.5


def I(high, *shape):  # noqa: E743
    return _random.randint(0, high, shape)


def spd(n):
    a = R(n, n)
    return a @ a.T + n * np.eye(n)


CASES = {
    "conv2d": (
        lambda M, x, w, b: M.nn.functional.conv2d(
            x, w, b, stride=2, padding=1, dilation=1, groups=2
        ),
        [R(2, 4, 6, 5), R(4, 2, 3, 2), R(4)],
    ),
    "convT": (
        lambda M, x, w, b: M.nn.functional.conv_transpose2d(
            x, w, b, stride=2, padding=1, output_padding=1
        ),
        [R(2, 4, 3, 3), R(4, 2, 3, 3), R(2)],
    ),
    "maxpool": (lambda M, x: M.nn.functional.max_pool2d(x, 2), [R(2, 3, 6, 6)]),
    "avgpool": (lambda M, x: M.nn.functional.avg_pool2d(x, 3, 2, 1) ** 2, [R(2, 3, 6, 6)]),
    "adapt": (lambda M, x: M.nn.functional.adaptive_avg_pool2d(x, (4, 3)) ** 2, [R(2, 3, 6, 5)]),
    "emb": (
        lambda M, i, w: M.nn.functional.embedding(i, w, padding_idx=1) ** 2,
        [I(5, 3, 4), R(5, 3)],
    ),
    "gather": (lambda M, x, i: M.gather(x, 1, i) ** 2, [R(3, 4), I(4, 3, 2)]),
    "scatter_add": (
        lambda M, x, i, s: M.scatter_add(x, 0, i, s) ** 2,
        [R(3, 4), I(3, 2, 4), R(2, 4)],
    ),
    "scatter": (
        lambda M, x, i, s: M.scatter(x, 1, i, s) ** 2,
        [R(3, 4), np.array([[0, 1], [2, 3], [1, 0]]), R(3, 2)],
    ),
    "scatter_prod": (
        lambda M, x, i, s: M.scatter_reduce(x, 0, i, s, "prod"),
        [R(3, 4), I(3, 2, 4), R(2, 4)],
    ),
    "index": (lambda M, x, i: x[:, i] ** 2, [R(3, 4), I(4, 5)]),
    "index_put": (
        lambda M, x, i, v: x.index_put((i,), v) ** 2,
        [R(5, 4), np.array([0, 2]), R(2, 4)],
    ),
    "cat": (lambda M, x, y: M.cat([x, y], 1) ** 3, [R(3, 4), R(3, 2)]),
    "split": (lambda M, x: [a**3 for a in x.split(2, 1)], [R(3, 5)]),
    "unbind": (lambda M, x: [a**3 for a in x.unbind(1)], [R(3, 3)]),
    "pad": (
        lambda M, x: M.nn.functional.pad(x, (1, 2, 2, 1), mode="reflect") ** 2,
        [R(1, 2, 4, 4)],
    ),
    "interp": (
        lambda M, x: M.nn.functional.interpolate(x, size=(7, 5), mode="bicubic") ** 2,
        [R(1, 2, 4, 4)],
    ),
    "unfold": (lambda M, x: M.nn.functional.unfold(x, 2) ** 2, [R(1, 2, 4, 4)]),
    "xunfold": (lambda M, x: x.unfold(0, 3, 1) ** 2, [R(6, 2)]),
    "inv": (lambda M, x: M.linalg.inv(x), [spd(3)]),
    "det": (lambda M, x: M.linalg.det(x), [spd(3)]),
    "slogdet": (lambda M, x: M.linalg.slogdet(x)[1], [spd(3)]),
    "chol": (lambda M, x: M.linalg.cholesky(x + x.mT), [spd(3)]),
    "solve": (lambda M, x, y: M.linalg.solve(x, y), [spd(3), R(3, 2)]),
    "qr": (lambda M, x: M.linalg.qr(x)[1], [R(4, 3)]),
    "svd": (lambda M, x: M.linalg.svd(x, full_matrices=False)[1], [R(4, 3)]),
    "svdvals": (lambda M, x: M.linalg.svdvals(x), [R(4, 3)]),
    "eigh": (lambda M, x: M.linalg.eigh(x + x.mT)[0], [R(4, 4)]),
    "pinv": (lambda M, x: M.linalg.pinv(x), [R(4, 3)]),
    "lu": (lambda M, x: M.linalg.lu(x)[1:], [R(4, 3)]),
    "expm": (lambda M, x: M.linalg.matrix_exp(x), [R(3, 3)]),
    "sort": (lambda M, x: M.sort(x, 1)[0] ** 2, [R(3, 4)]),
    "topk": (lambda M, x: M.topk(x, 2, 1)[0] ** 2, [R(3, 4)]),
    "einsum": (lambda M, x, y: M.einsum("bij, bjk->ik", x, y), [R(2, 3, 4), R(2, 4, 5)]),
    "sdpa": (
        lambda M, q, k, v: M.nn.functional.scaled_dot_product_attention(q, k, v),
        [R(2, 3, 4), R(2, 3, 4), R(2, 3, 4)],
    ),
    "masked": (lambda M, x, m, s: M.masked_scatter(x, m > 1, s) ** 2, [R(3, 4), I(3, 3, 4), R(12)]),
    "msel": (lambda M, x, m: M.masked_select(x, m > 1) ** 2, [R(3, 4), I(3, 3, 4)]),
    "repeat": (lambda M, x: x.repeat(2, 3) ** 2, [R(3, 4)]),
    "roll": (lambda M, x: M.roll(x, 1, 0) ** 2, [R(3, 4)]),
    "flip": (lambda M, x: M.flip(x, (0,)) ** 2, [R(3, 4)]),
    "diag": (lambda M, x: M.diag_embed(x) ** 2, [R(3, 4)]),
    "tril": (lambda M, x: M.tril(x) ** 2, [R(3, 4)]),
    "rfft": (lambda M, x: M.fft.irfft(M.fft.rfft(x) * 2) ** 2, [R(3, 6)]),
    "grid": (
        lambda M, x, g: M.nn.functional.grid_sample(x, g, align_corners=False),
        [R(1, 2, 4, 4), R(1, 3, 3, 2)],
    ),
    "cos": (lambda M, x, y: M.nn.functional.cosine_similarity(x, y), [R(4, 3), R(4, 3)]),
}


def derivatives(M, function, arrays):
    """Gradients of a weighted sum, and of a weighted sum of their squares."""
    xs = [M.tensor(a) for a in arrays]
    leaves = [x.requires_grad_(True) for x in xs if x.dtype == M.float64]
    weights = np.random.RandomState(1)

    def weighted(values):
        return sum((v * M.tensor(weights.rand(*v.shape))).sum() for v in values)

    ys = function(M, *xs)
    ys = ys if isinstance(ys, (tuple, list)) else [ys]
    first = M.autograd.grad(
        weighted([y for y in ys if y.dtype == M.float64]), leaves, create_graph=True
    )
    second = M.autograd.grad(weighted([g * g for g in first]), leaves, allow_unused=True)
    return [None if g is None else g.detach().numpy() for g in (*first, *second)]


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    function, arrays = CASES[name]
    expected = derivatives(torch, function, arrays)
    for ours, theirs in zip(derivatives(fl, function, arrays), expected, strict=True):
        if ours is None or theirs is None:
            left = theirs if ours is None else ours
            assert left is None or np.abs(left).max() < 1e-12
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)
