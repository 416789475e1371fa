"""Training steps with every optimizer are followed once they repeat, and compute the same."""

import copy

import pytest

import flambeau
from flambeau import nn, optim
from flambeau.tensor import follow
from flambeau.runtime import execute, families
from flambeau.base.flags import values as flags
from flambeau.optim import swa_utils
from flambeau.tensor.follow import Recorder

CONFIGURATIONS = [
    ("SGD", {}), ("SGD", {"momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {}), ("Adam", {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("AdamW", {}), ("AdamW", {"amsgrad": True, "weight_decay": 0.1}),
    ("RMSprop", {"weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "maximize": True}),
    ("Adagrad", {}), ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adadelta", {}), ("Adadelta", {"weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}), ("Adamax", {"weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}), ("NAdam", {"weight_decay": 0.1, "maximize": True}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}), ("RAdam", {"weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Rprop", {}), ("Rprop", {"maximize": True}),
    ("ASGD", {}), ("ASGD", {"foreach": True, "maximize": True}),
    ("ASGD", {"t0": 3, "lambd": 0.05, "weight_decay": 0.1}),
    ("Adafactor", {}), ("Adafactor", {"weight_decay": 0.1, "maximize": True}),
    ("Muon", {}), ("Muon", {"nesterov": False, "adjust_lr_fn": "match_rms_adamw"}),
]


@pytest.fixture(autouse=True)
def nothing_known():
    """Each loop starts without traces and plans of those before it."""
    recorder = follow.recorder
    recorder._stop()
    recorder.recent.clear()
    execute._plans.clear()
    families._families.clear()


@pytest.fixture
def calls(monkeypatch):
    """Counts the calls that were recorded and the runs that were followed, and says why not."""
    counts = {"recorded": 0, "followed": 0, "refused": []}
    record, run, poison, refuse = (Recorder.record, Recorder.before_flush, Recorder.poison,
                                   Recorder._refuse)

    def counted_record(self, function, args, kwargs):
        counts["recorded"] += 1
        return record(self, function, args, kwargs)

    def counted_run(self):
        done = run(self)
        counts["followed"] += bool(done)
        return done

    def noted_poison(self, why):
        counts["refused"].append(str(why))
        return poison(self, why)

    def noted_refuse(self, why):
        counts["refused"].append(why)
        return refuse(self, why)

    monkeypatch.setattr(Recorder, "poison", noted_poison)
    monkeypatch.setattr(Recorder, "_refuse", noted_refuse)
    monkeypatch.setattr(Recorder, "record", counted_record)
    monkeypatch.setattr(Recorder, "before_flush", counted_run)
    return counts


def train(make, calls=None, *, steps=16, bias=True, after_backward=None, after_step=None):
    """A training loop; asserts that its last three steps are followed. Returns the model."""
    flambeau.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6, bias=bias), nn.Tanh(), nn.Linear(6, 2, bias=bias))
    batches = [(flambeau.randn(3, 4), flambeau.randn(3, 2)) for _ in range(steps)]
    optimizer = make(model)
    for i, (x, y) in enumerate(batches):
        if calls is not None:
            calls.update(recorded=0, followed=0)
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        if after_backward is not None:
            after_backward(model, optimizer)
        optimizer.step()
        if after_step is not None:
            after_step(model, optimizer)
        assert loss.item() >= 0
        if calls is not None and i >= steps - 3:
            assert calls["recorded"] == 0, f"step {i}: {calls['refused']}"
            assert calls["followed"] >= 1, f"step {i}: {calls['refused']}"
    return model, optimizer


def bits(model, optimizer) -> list:
    tensors = list(model.parameters()) + [
        v for state in optimizer.state_dict()["state"].values() for v in state.values()
        if v is not None]
    return [t.detach().numpy().tobytes() for t in tensors]


@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS)
def test_steps_are_followed_and_compute_the_same(name, options, calls, monkeypatch):
    schedules = []

    def make(model):
        optimizer = getattr(optim, name)(model.parameters(), **{"lr": 0.01, **options})
        schedules[:] = [optim.lr_scheduler.ExponentialLR(optimizer, 0.97)]
        return optimizer

    def after_step(model, optimizer):
        schedules[0].step()

    bias = name != "Muon"
    result = bits(*train(make, calls, bias=bias, after_step=after_step))
    monkeypatch.setattr(flags, "tier", "0")  # nothing is compiled or followed
    assert result == bits(*train(make, bias=bias, after_step=after_step))


@pytest.mark.parametrize("name", sorted({name for name, _ in CONFIGURATIONS}))
@pytest.mark.parametrize("scheduled", [False, True])
def test_a_learning_rate_as_a_tensor(name, scheduled, calls):
    schedules = []

    def make(model):
        optimizer = getattr(optim, name)(model.parameters(), lr=flambeau.tensor(0.01))
        schedules[:] = [optim.lr_scheduler.ExponentialLR(optimizer, 0.9)] * scheduled
        return optimizer

    _, optimizer = train(make, calls, bias=name != "Muon", after_step=lambda model, optimizer: [
        schedule.step() for schedule in schedules])
    expected = 0.01 * 0.9 ** 16 if scheduled else 0.01
    assert optimizer.param_groups[0]["lr"].item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["Adam", "Adamax", "NAdam", "RAdam", "SGD", "RMSprop"])
def test_a_momentum_that_changes_in_every_step(name, calls, monkeypatch):
    schedules = []

    def make(model):
        momentum = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
        optimizer = getattr(optim, name)(model.parameters(), **momentum)
        schedules[:] = [optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=40)]
        return optimizer

    def after_step(model, optimizer):
        schedules[0].step()

    result = bits(*train(make, calls, after_step=after_step))
    monkeypatch.setattr(flags, "tier", "0")  # nothing is compiled or followed
    assert result == bits(*train(make, after_step=after_step))


def adam(model):
    return optim.Adam(model.parameters(), lr=0.01)


@pytest.mark.parametrize("clip", [
    lambda parameters: nn.utils.clip_grad_norm_(parameters, 0.1),
    lambda parameters: nn.utils.clip_grad_norm_(parameters, 0.1, float("inf")).item(),
    lambda parameters: nn.utils.clip_grad_value_(parameters, 0.1),
])
def test_clipped_gradients(clip, calls):
    train(adam, calls, after_backward=lambda model, optimizer: clip(model.parameters()))


@pytest.mark.parametrize("options", [
    {}, {"avg_fn": swa_utils.get_ema_avg_fn(0.9)}, {"avg_fn": swa_utils.get_swa_avg_fn()},
    {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.9), "use_buffers": True},
    {"avg_fn": lambda average, now, n: 0.9 * average + 0.1 * now},
])
def test_averaged_models(options, calls):
    averages = []

    def after_step(model, optimizer):
        if not averages:
            averages.append(swa_utils.AveragedModel(model, **options))
        averages[0].update_parameters(model)

    train(adam, calls, after_step=after_step)
    assert averages[0].n_averaged == 16


@pytest.mark.parametrize("make", [
    lambda model: optim.Adam([{"params": model[0].parameters(), "lr": 0.1},
                              {"params": model[2].parameters()}], lr=0.01),
    lambda model: _frozen(model) and adam(model),
    lambda model: _hooked(adam(model)),
    lambda model: copy.deepcopy(model) and adam(model),
])
def test_groups_and_hooks(make, calls):
    train(make, calls)


def _frozen(model):
    return model[0].requires_grad_(False)


def _hooked(optimizer):
    optimizer.register_step_post_hook(lambda *args: None)
    return optimizer


def test_parameters_without_gradients_and_ones_that_join_later(calls):
    def after_backward(model, optimizer):
        for parameter in model[0].parameters():
            steps = optimizer.param_groups[0].setdefault("seen", [])
            steps.append(0)
            if len(steps) < 10:
                parameter.grad = None

    model, optimizer = train(adam, calls, steps=20, after_backward=after_backward)
    counts = [float(optimizer.state[p]["step"]) for p in model.parameters()]
    assert counts[2:] == [20.0, 20.0]
    assert 10.0 < counts[0] < 20.0


def test_the_state_is_asked_for_in_every_step(calls):
    seen = []
    model, optimizer = train(adam, calls, after_step=lambda model, optimizer: seen.append(
        optimizer.state[model[0].weight]["step"]))
    assert seen[-1].item() == 16.0
    assert seen[0] is seen[-1]


def test_a_gradient_scaler_whose_scale_grows(calls):
    scaler = flambeau.amp.GradScaler("cpu", init_scale=4.0, growth_interval=4)
    flambeau.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = adam(model)
    for _ in range(20):
        calls.update(recorded=0, followed=0)
        optimizer.zero_grad()
        loss = model(flambeau.randn(5, 3)).square().mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
    assert (calls["recorded"], calls["followed"]) == (0, 2)
    assert scaler.get_scale() == 128.0


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs(search, calls):
    flambeau.manual_seed(0)
    model = nn.Linear(3, 2)
    x, y = flambeau.randn(10, 3), flambeau.randn(10, 2)
    optimizer = optim.LBFGS(model.parameters(), lr=0.5, max_iter=4, history_size=3,
                            tolerance_grad=0, tolerance_change=0, line_search_fn=search)

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - y).pow(4).mean()
        loss.backward()
        return loss

    for _ in range(16):
        calls.update(recorded=0, followed=0)
        optimizer.step(closure)
    assert calls["followed"] >= 3
    if search is None:  # a line search goes other ways from step to step
        assert calls["recorded"] == 0
