"""Products that are computed transposed add up as the interpreter's do, whoever reads them."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau.base import flags


def _gradient(tier: str, inner: int, features: int) -> np.ndarray:
    """Of a product that is a weight: both products of its backward pass are turned."""
    torch.manual_seed(0)
    p = torch.randn(inner, features, requires_grad=True)
    x = torch.randn(inner, features)
    with flags.override(tier=tier, follow=0):
        torch.nn.functional.linear(x, p.T @ x).square().mean().backward()
        return p.grad.numpy().copy()


@pytest.mark.parametrize("inner", [2, 3, 8])
@pytest.mark.parametrize("features", [17, 33, 64, 130])
def test_a_product_of_a_product_that_is_turned(inner, features):
    first, second = (_gradient(tier, inner, features) for tier in "01")
    assert np.array_equal(first, second)
