"""Followed reads of views: what an earlier flush copied for a view is no constant."""

import numpy as np

import flambeau as torch


def test_a_copied_view_is_read_anew():
    values = np.arange(9, dtype=np.float32)
    for n in range(8):
        now = values if n < 6 else values + n  # equal long enough to look constant
        view = torch.tensor(now).to(torch.bfloat16)[0:9:2]
        view.tolist()
        np.testing.assert_array_equal(view.to(torch.float32).numpy(), now[::2])


def test_an_alias_of_what_a_step_writes_is_known_where_nothing_is_known_of_its_last_run():
    weight, state, target = torch.ones(4, requires_grad=True), torch.ones(4), torch.zeros(4)
    refused = []
    for n in range(11):
        loss = torch.nn.functional.mse_loss(weight * state.sum(), target)
        state.mul_(0.5)
        try:
            loss.backward()
        except RuntimeError:
            refused.append(n)
        weight.grad = None
        if n == 7:
            target = state.view(2, 2).view(4)
        loss.item()
    assert refused == [8, 9, 10]


def test_what_shares_memory_with_a_parameter_keeps_its_content_between_two_steps():
    torch.manual_seed(0)
    net, x = torch.nn.Linear(6, 6), torch.randn(4, 6)
    opt = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    held = []
    for n in range(18):
        opt.zero_grad()
        net(x).square().mean().backward()
        opt.step()
        if n in (8, 11, 14):  # one of one: the same elements
            stacked = torch.stack([net.weight.detach()])
            held.append((stacked, stacked.sum().item()))
        with torch.no_grad():
            net(x).sum().item()
    assert all(stacked.sum().item() == before for stacked, before in held)
