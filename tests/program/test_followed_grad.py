"""Steps that call autograd.grad are followed like any others."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau.runtime import execute


def descent(by_grad: bool) -> list[float]:
    """Losses of gradient descent by hand."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3)
    weights, seen = list(model.parameters()), []
    for _ in range(10):
        loss = (model(torch.randn(5, 4)) ** 2).mean()
        if by_grad:
            gradients = torch.autograd.grad(loss, weights)
        else:
            model.zero_grad()
            loss.backward()
            gradients = [p.grad for p in weights]
        with torch.no_grad():
            for p, g in zip(weights, gradients, strict=True):
                p -= 0.1 * g
        seen.append(loss.item())
    return seen


def test_same_losses_as_by_backward():
    assert descent(True) == descent(False)


def test_grad_is_followed():
    """Once the step is known no node is recorded."""
    x, w = torch.randn(64, 8, requires_grad=True), torch.randn(8, requires_grad=True)
    made = []
    for _ in range(8):
        gx, gw = torch.autograd.grad((x * w).sum(), (x, w))
        made.append("storage" in gx.__dict__)
        execute.flush()
    assert made[0] and not made[-1]
    torch.testing.assert_close(gw, x.detach().sum(0))


def test_higher_derivatives():
    x = torch.tensor([0.5, 2.0], requires_grad=True)
    for _ in range(6):
        (first,) = torch.autograd.grad((x ** 3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x)
        assert second.tolist() == [3.0, 12.0]


def test_a_second_walk_is_refused():
    """The tape of a followed step is as gone as any."""
    x = torch.ones(3, requires_grad=True)
    for _ in range(6):
        loss = (x * x).sum()
        torch.autograd.grad(loss, x)
        assert loss.item() == 3
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        torch.autograd.grad(loss, x)


def test_what_is_frozen_on_the_way_gets_no_gradient():
    """Between forward and backward, in a step that is followed."""
    x, w = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    for step in range(10):
        loss = (x * w).sum()
        if step == 8:
            w.requires_grad_(False)
        loss.backward()
        assert x.grad.tolist() == [1.0, 1.0, 1.0]
        assert (w.grad is None) == (step >= 8)
        x.grad = w.grad = None
        execute.flush()
