"""Views with several results, arrays shared before backward, mixed dtypes in autocast."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau.base.flags import values


def test_views_of_a_base_that_was_written_refuse():
    p = torch.randn(4, requires_grad=True)
    first, _ = p.chunk(2)
    with torch.no_grad():
        p.mul_(0.9)
    with pytest.raises(RuntimeError, match="Output 0 of Split is a view and its base"):
        first.square().sum()


def test_results_shared_with_numpy_before_backward(monkeypatch):
    monkeypatch.setattr(values, "tier", "1")
    w, kept, seen = torch.ones(3, requires_grad=True), [], []
    for i in range(9):
        hidden = w / (2 + torch.arange(6.0).view(2, 3))
        loss = hidden.square().mean()
        value = loss.item()
        if i % 3 == 2:
            kept.append(hidden.detach().numpy())
        seen.append((value, torch.autograd.grad(loss, w)[0].tolist()))
    assert seen == seen[:1] * 9
    assert all(k.shape == (2, 3) for k in kept)


def test_einsum_takes_mixed_dtypes_in_autocast():
    x, y = torch.randn(4, 6), torch.randn(4, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.einsum("ij,jk->ik", y, x).dtype is torch.bfloat16
    with pytest.raises(RuntimeError, match="same dtype"):
        torch.einsum("ij,jk->ik", y, x)


@pytest.mark.parametrize("follow", [0, 1])
def test_backward_reads_shared_memory_before_it_is_written_again(follow, monkeypatch):
    monkeypatch.setattr(values, "follow", follow)
    table, w = torch.zeros(2, 3), torch.ones(3, requires_grad=True)
    array = table.numpy()
    for k in range(9):
        w.grad = None
        table[:, 1] = k
        (table @ w).mean().backward()
        if k % 2:
            table[:, 0] = -1
        else:
            array[:, 0] = -1
        assert w.grad.tolist() == [-1 if k else 0, k, 0]
    given = torch.ones(2)
    array = given.numpy()
    w.grad = None
    (w[:2] * 2).backward(given)
    array[0] = 5
    assert w.grad.tolist() == [2, 2, 0]
