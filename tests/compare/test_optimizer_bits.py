"""Optimizers whose steps are products and sums take PyTorch's path to the last bit, from the same
gradients; LBFGS, which amplifies rounding, too (where MKL's inner products have our order)."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")

CONFIGURATIONS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("ASGD", {"lr": 0.1, "lambd": 0.05, "t0": 3, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.1}), ("Rprop", {"lr": 0.1}),
    ("LBFGS", {"lr": 0.5, "max_iter": 4, "history_size": 3}), ("LBFGS", {"lr": 1}),
    ("LBFGS", {"lr": 1.0, "max_iter": 6, "line_search_fn": "strong_wolfe"}),
]


def loss_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
    """A bumpy bowl."""
    x = x.astype(np.float64)
    weight = 1 + np.arange(x.size).reshape(x.shape) % 3
    return (float((weight * (x - 1) ** 2 / 2 + np.cos(2 * x)).sum()),
            weight * (x - 1) - 2 * np.sin(2 * x))


@pytest.mark.usefixtures("single_thread")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS,
                         ids=[f"{n} {i}" for i, (n, _) in enumerate(CONFIGURATIONS)])
def test_path(name, options, dtype, request):
    if name == "LBFGS":
        request.getfixturevalue("amd")

    def path(m):
        random = np.random.default_rng(4)
        params = [m.tensor(random.standard_normal(s).astype(dtype), requires_grad=True)
                  for s in ((4, 3), 5, (7, 31))]
        optimizer, seen = getattr(m.optim, name)(params, **options), []

        def closure():
            total = 0.0
            for p in params:
                loss, grad = loss_and_gradient(p.detach().numpy())
                total, p.grad = total + loss, m.tensor(grad.astype(dtype))
            return m.tensor(np.asarray(total).astype(dtype))

        for _ in range(8):
            optimizer.step(closure)
            seen.append([p.detach().numpy().copy() for p in params])
        return seen

    want = path(torch)
    for step, (a, b) in enumerate(zip(path(flambeau), want, strict=True)):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y, f"step {step}")
