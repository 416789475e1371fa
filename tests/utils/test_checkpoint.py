"""checkpoint: both forms give the gradients of the plain call."""

import pytest

import flambeau as torch
from flambeau.base.flags import values
from flambeau.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential


def _net():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4))


def _gradients(net, x, call):
    net.zero_grad()
    x = x.clone().requires_grad_()
    call(x).pow(2).sum().backward()
    return [p.grad.clone() for p in net.parameters()] + [x.grad]


@pytest.mark.parametrize("reentrant", [False, True])
def test_same_gradients_step_after_step(reentrant):
    net, x = _net(), torch.randn(3, 4)
    for _ in range(4):
        plain = _gradients(net, x, net)
        again = _gradients(net, x, lambda v: checkpoint(net, v, use_reentrant=reentrant))
        for a, b in zip(plain, again, strict=True):
            assert torch.allclose(a, b)


@pytest.mark.parametrize("reentrant", [False, True])
def test_runs_again_with_the_same_mask(reentrant):
    drop = torch.nn.Dropout(0.5)
    w = torch.ones(100, requires_grad=True)
    state = torch.get_rng_state()
    y = checkpoint(drop, w, use_reentrant=reentrant)
    after = torch.rand(1)
    y.sum().backward()
    assert torch.equal(w.grad, y.detach())
    torch.set_rng_state(state)
    drop(w)
    assert torch.equal(after, torch.rand(1))


def test_autocast_is_the_same_again():
    seen = []

    def f(x):
        y = x @ x
        seen.append(y.dtype)
        return y.sin()

    x = torch.eye(2, requires_grad=True)
    with torch.autocast("cpu"):
        out = checkpoint(f, x, use_reentrant=False)
    out.float().sum().backward()
    assert seen == [torch.bfloat16] * 2


def test_keywords_and_nested_values():
    def f(a, *, scale):
        return {"x": (a * scale).sin()}

    a = torch.ones(2, requires_grad=True)
    checkpoint(f, a, scale=3, use_reentrant=False)["x"].sum().backward()
    assert torch.allclose(a.grad, 3 * torch.cos(torch.full((2,), 3.0)))


def test_different_second_run():
    calls = []

    def f(x):
        calls.append(0)
        return x.sin().sin() if len(calls) == 1 else x.sin()

    x = torch.ones(2, requires_grad=True)
    with pytest.raises(CheckpointError, match="number of tensors"):
        checkpoint(f, x, use_reentrant=False).sum().backward()


def test_warnings_and_errors():
    x = torch.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="use_reentrant parameter"):
        checkpoint(torch.sin, x)
    with pytest.warns(UserWarning, match="None of the inputs"):
        checkpoint(torch.sin, torch.ones(2), use_reentrant=True)
    with pytest.raises(ValueError, match="Unexpected keyword arguments: foo"):
        checkpoint(torch.sin, x, use_reentrant=True, foo=1)


def test_sequential():
    net, x = _net(), torch.randn(2, 4, requires_grad=True)
    out = checkpoint_sequential(net, 2, x, use_reentrant=False)
    assert torch.allclose(out, net(x))


@pytest.mark.parametrize("hidden", [torch.tanh, torch.exp, torch.sin])
def test_gradients_of_gradients(hidden):
    """What comes back from hooks stands where the saved tensor stood on the tape."""
    found = []
    for kept in (True, False):
        torch.manual_seed(0)
        net, x = _net(), torch.randn(2, 4, requires_grad=True)

        def f(x, net=net):
            return hidden(net(x) * x)

        out = f(x) if kept else checkpoint(f, x, use_reentrant=False)
        g, = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        g.square().sum().backward()
        found.append([x.grad, *(p.grad for p in net.parameters())])
    for a, b in zip(*found, strict=True):
        assert a is b is None or torch.equal(a, b)


def test_calls_before_it_that_were_only_matched(monkeypatch):
    """A known step goes on with a checkpoint: what the calls before it keep is not the
    checkpoint's."""
    monkeypatch.setattr(values, "tier", "1")
    torch.manual_seed(0)
    plain, net = torch.nn.Linear(4, 4), _net()
    x, y = torch.randn(2, 4), torch.tensor([0, 1])
    for _ in range(9):
        loss = torch.nn.functional.cross_entropy(plain(x), y)
        loss.backward()
        plain.weight.grad.sum().item()
    out = plain(x) + checkpoint(net, x, use_reentrant=False)
    torch.nn.functional.cross_entropy(out, y).backward()
    assert all(p.grad is not None for p in net.parameters())
