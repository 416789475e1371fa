"""Transposed operands are read in squares: whole squares, edges, every element size."""

import numpy as np
import pytest

import flambeau as torch

CASES = [((64, 48), (1, 0)), ((17, 33), (1, 0)), ((3, 40, 50), (0, 2, 1)), ((3, 40, 50), (2, 1, 0)),
         ((4, 5, 33, 20), (0, 2, 3, 1)), ((20, 3, 70), (2, 0, 1)), ((129, 1), (1, 0))]
DTYPES = ["float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool", "float16",
          "bfloat16"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "order"), CASES)
def test_transposed_copy(dtype: str, shape: tuple, order: tuple):
    a = np.random.default_rng(0).integers(-50, 50, shape)
    x = torch.tensor(a).to(getattr(torch, dtype))
    want = x.to(torch.float64).numpy().transpose(order)
    for _ in range(3):  # interpreted, compiled, followed
        got = x.permute(order).contiguous()
        assert np.array_equal(got.to(torch.float64).numpy(), want)


@pytest.mark.parametrize(("shape", "order"), CASES)
def test_transposed_operand_among_others(shape: tuple, order: tuple):
    rng = np.random.default_rng(1)
    a = rng.standard_normal(shape).astype(np.float32)
    b = rng.standard_normal(a.transpose(order).shape).astype(np.float32)
    x, y = torch.tensor(a), torch.tensor(b)
    for _ in range(3):
        got = x.permute(order) * y + x.permute(order)
        want = a.transpose(order) * b + a.transpose(order)
        assert np.array_equal(got.numpy(), want)
