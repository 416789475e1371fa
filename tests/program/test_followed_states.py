"""States that go from step to step, cut from the tape in place."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau.base.flags import values


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(values, "tier", "1")


def test_a_state_is_detached_in_place():
    torch.manual_seed(0)
    cell, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    opt = torch.optim.SGD(cell.parameters(), lr=0.05)
    h = torch.zeros(2, 4)
    for _ in range(9):
        h = torch.lerp(h, (cell(x) + h).tanh(), 0.3)
        loss = h.square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        h.detach_()
        assert h.is_leaf and not h.requires_grad


def test_inference_tensors_have_no_bases():
    with torch.inference_mode():
        x = torch.ones(2, 3).t()
    x.detach_()
    assert x.is_inference()
