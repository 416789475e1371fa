"""Products that are computed transposed add up as the interpreter's do, whoever reads them."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau.base import dtype as dt
from flambeau.base import flags
from flambeau.ir.node import PRIMS, leaf, make
from flambeau.ir.view import VIEW, view


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


def test_a_view_that_undoes_a_view_is_none():
    """Also of what is not computed yet: a product reads a weight in one order, whatever has been
    flushed before."""
    x = make(PRIMS["neg"], (leaf(np.ones((4, 6), np.float32), dt.float32),))
    turned = view(x, (6, 4), (1, 6))
    assert turned.prim is VIEW and view(turned, (4, 6), (1, 4)) is x
    cube = view(x, (2, 3, 4), (12, 1, 3))
    found = view(cube, (4, 2, 3), (1, 12, 4))
    assert found.srcs == (x,) and found.params == ((4, 2, 3), (3, 12, 1), 0)
    assert view(cube, (6, 4), (4, 1)).srcs == (cube,)


@pytest.mark.parametrize("follow", [0, 1])
def test_weights_that_are_updated_by_hand(follow):
    def steps(tier, follow):
        torch.manual_seed(0)
        a, b = torch.nn.Linear(4, 4), torch.nn.Linear(4, 16, bias=False)
        data, seen = torch.randn(4, 4, 4), []
        with flags.override(tier=tier, follow=follow):
            for i in range(6):
                x = data[i % 4] * 1
                out = b(x + a(x))
                loss = (out * out.detach()).sum() * 0.1
                loss.backward()
                with torch.no_grad():
                    for p in (*a.parameters(), *b.parameters()):
                        p -= 0.05 * p.grad.clamp(-1, 1)
                seen.append(loss.item())
            return seen + [p.grad.tolist() for p in (*a.parameters(), *b.parameters())]

    assert steps("1", follow) == steps("0", 0)
