"""Functions made of exact operations, and their gradients, have PyTorch's bits: the operations are
in the same order."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")


def loss(name, **options):
    return lambda t, x, y: getattr(t.nn.functional, name)(x, y, **options)


def activation(name, *args):
    return lambda t, x, y: getattr(t.nn.functional, name)(x, *args)


FUNCTIONS = {
    "mul": lambda t, x, y: x * y,
    "div": lambda t, x, y: x / y,
    "square": lambda t, x, y: x.square(),
    "cube": lambda t, x, y: x ** 3,
    "fraction": lambda t, x, y: (x * y + x) / (y * y + 1),
    "moving average": lambda t, x, y: x * 0.9 + y * 0.1,
    "sub alpha": lambda t, x, y: t.sub(x, y, alpha=0.3),
    "addcmul": lambda t, x, y: t.addcmul(x, y, x, value=0.3),
    "addcdiv": lambda t, x, y: t.addcdiv(x, y, x, value=0.3),
    "lerp": lambda t, x, y: t.lerp(x, y, 0.3),
    "relu": activation("relu"),
    "leaky_relu": activation("leaky_relu", 0.1),
    "hardtanh": activation("hardtanh"),
    "hardswish": activation("hardswish"),
    "hardsigmoid": activation("hardsigmoid"),
    "softsign": activation("softsign"),
    "softshrink": activation("softshrink"),
    "mse": loss("mse_loss"),
    "mse of each": loss("mse_loss", reduction="none"),
    "mse summed": loss("mse_loss", reduction="sum"),
    "l1": loss("l1_loss"),
    "smooth_l1": loss("smooth_l1_loss"),
    "smooth_l1 summed": loss("smooth_l1_loss", reduction="sum"),
    "smooth_l1 with beta": loss("smooth_l1_loss", beta=0.7),
    "huber": loss("huber_loss", delta=0.7),
    "mean": lambda t, x, y: (x * y).mean(),
    "sum of rows": lambda t, x, y: x.view(32, 32).sum(1),
    "mean of columns": lambda t, x, y: (x * y).view(32, 32).mean(0),
    "remainder": lambda t, x, y: t.remainder(x, y.abs() + 0.1),
    "cumsum": lambda t, x, y: x.cumsum(0),
    "cumsum of columns": lambda t, x, y: x.view(32, 32).cumsum(0),
    "cumprod": lambda t, x, y: x[:30].cumprod(0),
    "trace": lambda t, x, y: x.view(32, 32).trace(),
    "clamp": lambda t, x, y: x.clamp(-0.5, 0.5),
    "avg_pool1d": lambda t, x, y: t.nn.functional.avg_pool1d(x.view(1, 16, 64), 3),
    "avg_pool2d": lambda t, x, y: t.nn.functional.avg_pool2d(x.view(1, 1, 32, 32), 3),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_bits(name, dtype):
    random = np.random.default_rng(0)
    numbers = random.standard_normal((2, 1024)).astype(dtype)

    def run(t):
        x, y = (t.tensor(v, requires_grad=True) for v in numbers)
        out = FUNCTIONS[name](t, x, y)
        weights = np.random.default_rng(1).standard_normal(out.shape).astype(dtype)
        out.backward(t.tensor(weights))
        return [v.numpy() for v in (out.detach(), x.grad, y.grad) if v is not None]

    want = run(torch)
    for _ in range(2):
        for got, each in zip(run(flambeau), want, strict=True):
            np.testing.assert_array_equal(got, each)
