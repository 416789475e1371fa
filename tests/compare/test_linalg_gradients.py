"""Gradients of matrix functions are PyTorch's entry by entry, not only in their symmetric part."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")

RNG = np.random.RandomState(0)
RIGHT = RNG.randn(2, 4, 3)

FUNCTIONS = {
    "cholesky": lambda m, a: m.linalg.cholesky(a),
    "cholesky upper": lambda m, a: m.linalg.cholesky(a, upper=True),
    "cholesky_inverse": lambda m, a: m.cholesky_inverse(a),
    "eigvalsh": lambda m, a: m.linalg.eigvalsh(a),
    "eigh": lambda m, a: m.linalg.eigh(a)[1].abs(),
    "eigh upper": lambda m, a: m.linalg.eigh(a, UPLO="U")[1].abs(),
    "eigvals": lambda m, a: m.linalg.eigvals(a).abs(),
    "det": lambda m, a: m.linalg.det(a), "slogdet": lambda m, a: m.linalg.slogdet(a)[1],
    "inv": lambda m, a: m.linalg.inv(a), "pinv": lambda m, a: m.linalg.pinv(a),
    "pinv hermitian": lambda m, a: m.linalg.pinv(a, hermitian=True),
    "svd u": lambda m, a: m.linalg.svd(a)[0].abs(),
    "svd product": lambda m, a: (lambda usv: usv[0] @ usv[2])(m.linalg.svd(a)),
    "svdvals": lambda m, a: m.linalg.svdvals(a),
    "nuclear": lambda m, a: m.linalg.matrix_norm(a, "nuc"),
    "spectral": lambda m, a: m.linalg.matrix_norm(a, 2),
    "q": lambda m, a: m.linalg.qr(a)[0], "r": lambda m, a: m.linalg.qr(a)[1],
    "solve": lambda m, a: m.linalg.solve(a, m.tensor(RIGHT).to(a.dtype)),
    "lu": lambda m, a: m.linalg.lu(a)[1],
    "matrix_exp": lambda m, a: m.matrix_exp(a / 10),
    "matrix_power": lambda m, a: m.linalg.matrix_power(a, -2),
}


def gradient(module, name, array):
    x = module.tensor(array, requires_grad=True)
    out = FUNCTIONS[name](module, x)
    rng = np.random.RandomState(1)
    weight = rng.randn(*out.shape) + (1j * rng.randn(*out.shape) if out.is_complex() else 0)
    out.backward(module.tensor(weight))
    return x.grad.resolve_conj().numpy()


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_torch(name, kind):
    a = RNG.randn(2, 4, 4) + (1j * RNG.randn(2, 4, 4) if kind == "complex" else 0)
    a = a @ a.conj().swapaxes(-1, -2) + 3 * np.eye(4)
    np.testing.assert_allclose(gradient(flambeau, name, a), gradient(torch, name, a),
                               rtol=1e-7, atol=1e-8)
