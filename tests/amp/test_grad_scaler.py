"""GradScaler: scaling, skipped steps, growth, states, errors."""

import warnings

import pytest

import flambeau as torch


def _problem(**options):
    p = torch.nn.Parameter(torch.tensor([1.0]))
    return p, torch.optim.SGD([p], lr=0.1), torch.amp.GradScaler("cpu", **options)


def _step(p, opt, scaler, factor):
    opt.zero_grad()
    scaler.scale((p * factor).sum()).backward()
    scaler.step(opt)
    scaler.update()


def test_skips_and_grows():
    p, opt, scaler = _problem(init_scale=1024.0, growth_interval=2)
    _step(p, opt, scaler, 2.0)
    assert p.item() == pytest.approx(0.8) and scaler.get_scale() == 1024.0
    _step(p, opt, scaler, float("inf"))
    assert p.item() == pytest.approx(0.8) and scaler.get_scale() == 512.0
    _step(p, opt, scaler, 2.0)
    _step(p, opt, scaler, 2.0)
    assert scaler.get_scale() == 1024.0


def test_unscale_once():
    p, opt, scaler = _problem()
    scaler.scale(p.sum()).backward()
    scaler.unscale_(opt)
    assert p.grad.item() == 1.0
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(opt)
    scaler.step(opt)
    with pytest.raises(RuntimeError, match="already been called since"):
        scaler.step(opt)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(opt)


def test_update_without_step():
    with pytest.raises(AssertionError, match="No inf checks"):
        _problem()[2].update()


def test_half_gradients_are_refused():
    p = torch.nn.Parameter(torch.ones(1, dtype=torch.float16))
    opt, scaler = torch.optim.SGD([p], lr=0.1), torch.amp.GradScaler("cpu")
    p.grad = torch.ones(1, dtype=torch.float16)
    with pytest.raises(ValueError, match="FP16"):
        scaler.unscale_(opt)


def test_state_and_structures():
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    other = torch.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == 4.0
    a, (b,) = scaler.scale([torch.ones(1), (torch.ones(2),)])
    assert a.item() == 4.0 and b.tolist() == [4.0, 4.0]
    with pytest.raises(RuntimeError, match="empty"):
        other.load_state_dict({})
    with pytest.raises(AssertionError, match="growth factor"):
        torch.amp.GradScaler("cpu", growth_factor=0.5)


def test_disabled_without_cuda():
    with pytest.warns(UserWarning, match="CUDA is not available.  Disabling"):
        scaler = torch.amp.GradScaler()
    loss = torch.ones(1)
    assert scaler.scale(loss) is loss and scaler.state_dict() == {}
    assert not scaler.is_enabled() and scaler.get_scale() == 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.amp.GradScaler(enabled=False)
