"""Learning rate schedulers and weight averages against PyTorch."""

import copy
import io
import warnings

import pytest

import flambeau

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:Detected call of", "ignore:The epoch parameter")

SCHEDULERS = [
    lambda s, o: s.LambdaLR(o, lambda e: 0.95 ** e),
    lambda s, o: s.LambdaLR(o, [lambda e: 1 / (e + 1), lambda e: e % 5]),
    lambda s, o: s.MultiplicativeLR(o, lambda e: 0.9 if e % 3 else 1.0),
    lambda s, o: s.StepLR(o, step_size=4, gamma=0.7),
    lambda s, o: s.MultiStepLR(o, [3, 7, 7], gamma=0.5),
    lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=4),
    lambda s, o: s.LinearLR(o, start_factor=0.1, end_factor=0.8, total_iters=6),
    lambda s, o: s.ExponentialLR(o, gamma=0.9),
    lambda s, o: s.PolynomialLR(o, total_iters=8, power=2.0),
    lambda s, o: s.CosineAnnealingLR(o, T_max=5, eta_min=0.01),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.001),
    lambda s, o: s.CyclicLR(o, 0.01, 0.1, step_size_up=3, step_size_down=2, mode="triangular2"),
    lambda s, o: s.CyclicLR(o, 0.01, 0.1, step_size_up=3, mode="exp_range", gamma=0.9),
    lambda s, o: s.CyclicLR(o, 0.01, 0.1, step_size_up=3, scale_fn=lambda x: 0.5 ** x,
                            cycle_momentum=False),
    lambda s, o: s.OneCycleLR(o, max_lr=0.3, total_steps=14),
    lambda s, o: s.OneCycleLR(o, [0.3, 0.1], epochs=7, steps_per_epoch=2, three_phase=True,
                              anneal_strategy="linear"),
    lambda s, o: s.SequentialLR(o, [s.LinearLR(o, start_factor=0.01, total_iters=3),
                                    s.CosineAnnealingLR(o, T_max=8)], milestones=[3]),
    lambda s, o: s.ChainedScheduler([s.ConstantLR(o, factor=0.1, total_iters=4),
                                     s.ExponentialLR(o, gamma=0.9)], optimizer=o),
]
STEPS = 13


def optimizer(m, kind="SGD"):
    a, b = m.ones(2, requires_grad=True), m.ones(3, requires_grad=True)
    options = {"lr": 0.05, "momentum": 0.9} if kind == "SGD" else {"lr": 0.05}
    return getattr(m.optim, kind)([{"params": [a], "lr": 0.5}, {"params": [b]}], **options)


def look(opt, scheduler):
    groups = opt.param_groups
    return ([g["lr"] for g in groups] + [g.get("momentum", 0) for g in groups]
            + [b for g in groups for b in g.get("betas", ())] + list(scheduler.get_last_lr()))


def rates(m, build, resume=None, kind="SGD"):
    opt = optimizer(m, kind)
    scheduler = build(m.optim.lr_scheduler, opt)
    seen = [look(opt, scheduler)]
    for i in range(STEPS):
        if i == resume:
            states = copy.deepcopy((opt.state_dict(), scheduler.state_dict()))
            opt = optimizer(m, kind)
            scheduler = build(m.optim.lr_scheduler, opt)
            opt.load_state_dict(states[0])
            scheduler.load_state_dict(states[1])
        opt.step()
        scheduler.step()
        seen.append(look(opt, scheduler))
    return seen


@pytest.mark.parametrize("build", SCHEDULERS)
@pytest.mark.parametrize("resume", [None, 5])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_rates(build, resume, kind):
    for ours, theirs in zip(rates(flambeau, build, resume, kind),
                            rates(torch, build, resume, kind), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("build", SCHEDULERS)
def test_states_hold_the_same_names(build):
    def names(m):
        return set(build(m.optim.lr_scheduler, optimizer(m)).state_dict())

    assert names(flambeau) - {"_scale_fn_custom"} == names(torch) - {"_scale_fn_custom"}


@pytest.mark.parametrize("build", SCHEDULERS[3:10])
def test_states_travel_through_files(build):
    opt = optimizer(flambeau)
    scheduler = build(flambeau.optim.lr_scheduler, opt)
    for _ in range(4):
        opt.step()
        scheduler.step()
    buffer = io.BytesIO()
    flambeau.save(scheduler.state_dict(), buffer)
    buffer.seek(0)
    theirs = build(torch.optim.lr_scheduler, optimizer(torch))
    theirs.load_state_dict(torch.load(buffer))
    assert theirs.last_epoch == 4
    assert theirs.get_last_lr() == pytest.approx(scheduler.get_last_lr())


@pytest.mark.parametrize("build", SCHEDULERS[:10])
def test_closed_forms(build):
    def run(m):
        opt = optimizer(m)
        scheduler = build(m.optim.lr_scheduler, opt)
        opt.step()
        out = []
        for epoch in (7, 2):
            scheduler.step(epoch)
            out.append(look(opt, scheduler))
        return out

    for ours, theirs in zip(run(flambeau), run(torch), strict=True):
        assert ours == pytest.approx(theirs)


@pytest.mark.parametrize("options", [
    {"patience": 1}, {"mode": "max", "factor": 0.5, "patience": 0, "cooldown": 2},
    {"patience": 0, "threshold": 0.2, "threshold_mode": "abs", "min_lr": [0.1, 0.001]}])
def test_plateau(options):
    def run(m):
        opt = optimizer(m)
        scheduler = m.optim.lr_scheduler.ReduceLROnPlateau(opt, **options)
        seen = []
        for metric in (3.0, 2.5, 2.4, 2.41, 2.42, 2.3, 2.5, 2.6, 1.0, 1.1, 1.2, 1.3):
            scheduler.step(m.tensor(metric))
            seen.append([look(opt, scheduler), scheduler.best, scheduler.num_bad_epochs])
        return seen, scheduler.state_dict()

    assert run(flambeau) == run(torch)


def texts(run):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        run()
    return [str(w.message)[:60] for w in seen]


def wrong_order(m):
    opt = optimizer(m)
    scheduler = m.optim.lr_scheduler.StepLR(opt, 1)
    scheduler.step()
    scheduler.step()
    scheduler.get_lr()
    scheduler.step(5)


def overridden_step(m):
    opt = optimizer(m)
    scheduler = m.optim.lr_scheduler.StepLR(opt, 1)
    opt.step = lambda closure=None: None
    opt.step()
    scheduler.step()


def right_order(m):
    opt = optimizer(m)
    opt.step()
    first = m.optim.lr_scheduler.StepLR(opt, 1)
    second = m.optim.lr_scheduler.ExponentialLR(opt, 0.5)
    opt.step()
    first.step()
    second.step()


@pytest.mark.parametrize("run", [wrong_order, overridden_step, right_order])
def test_warnings_are_those_of_torch(run):
    assert texts(lambda: run(flambeau)) == texts(lambda: run(torch))


def test_own_schedulers():
    class Halves(flambeau.optim.lr_scheduler.LRScheduler):
        def get_lr(self):
            return [base / 2 ** self.last_epoch for base in self.base_lrs]

    opt = optimizer(flambeau)
    scheduler = Halves(opt)
    opt.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [0.25, 0.025]


def model(m):
    m.manual_seed(0)
    return m.nn.Sequential(m.nn.Linear(3, 4), m.nn.BatchNorm1d(4), m.nn.Linear(4, 1))


@pytest.mark.parametrize("options", [
    lambda u: {}, lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.9)},
    lambda u: {"avg_fn": u.get_ema_avg_fn(0.5)}, lambda u: {"avg_fn": u.get_swa_avg_fn()},
    lambda u: {"use_buffers": True}])
def test_averaged_model(options):
    def run(m):
        net = model(m)
        average = m.optim.swa_utils.AveragedModel(net, **options(m.optim.swa_utils))
        opt = m.optim.SGD(net.parameters(), lr=0.1)
        x = m.randn(8, 3)
        for _ in range(3):
            opt.zero_grad()
            net(x).pow(2).mean().backward()
            opt.step()
            average.update_parameters(net)
        m.optim.swa_utils.update_bn([x[:4], (x[4:], None)], average)
        average.eval()
        values = {k: v.tolist() for k, v in average.state_dict().items()}
        return values, average(x).detach().reshape(-1).tolist()

    ours, theirs = run(flambeau), run(torch)
    assert list(ours[0]) == list(theirs[0])
    assert ours[1] == pytest.approx(theirs[1], rel=1e-4, abs=1e-5)
    for name, value in theirs[0].items():
        assert flambeau.tensor(ours[0][name]).reshape(-1).tolist() == pytest.approx(
            torch.tensor(value).reshape(-1).tolist(), rel=1e-4, abs=1e-5)


def test_swalr():
    def run(m):
        opt = optimizer(m)
        scheduler = m.optim.swa_utils.SWALR(opt, swa_lr=[0.05, 0.01], anneal_epochs=4)
        seen = []
        for _ in range(6):
            opt.step()
            scheduler.step()
            seen += look(opt, scheduler)
        return seen

    assert run(flambeau) == pytest.approx(run(torch))


def mistakes(m):
    s, opt = m.optim.lr_scheduler, optimizer(m)
    u = m.optim.swa_utils
    return [
        lambda: s.StepLR("no optimizer", 3), lambda: s.LambdaLR(opt, [lambda e: 1.0]),
        lambda: s.MultiplicativeLR(opt, [3, 4]), lambda: s.ConstantLR(opt, factor=2.0),
        lambda: s.LinearLR(opt, start_factor=0.0), lambda: s.LinearLR(opt, end_factor=-1.0),
        lambda: s.CosineAnnealingWarmRestarts(opt, T_0=0),
        lambda: s.CosineAnnealingWarmRestarts(opt, T_0=2, T_mult=0),
        lambda: s.CosineAnnealingWarmRestarts(opt, T_0=2).step(-1),
        lambda: s.CyclicLR(opt, 0.01, 0.1, mode="no"), lambda: s.CyclicLR(opt, [0.1] * 3, 0.1),
        lambda: s.OneCycleLR(opt, 0.1), lambda: s.OneCycleLR(opt, 0.1, total_steps=-1),
        lambda: s.OneCycleLR(opt, 0.1, total_steps=9, anneal_strategy="no"),
        lambda: s.OneCycleLR(opt, 0.1, total_steps=9, pct_start=2.0),
        lambda: s.OneCycleLR(m.optim.Adagrad([m.ones(1, requires_grad=True)]), 1, total_steps=3),
        lambda: s.ReduceLROnPlateau(opt, factor=1.0), lambda: s.ReduceLROnPlateau(opt, mode="no"),
        lambda: s.ReduceLROnPlateau(opt, min_lr=[1]), lambda: s.ReduceLROnPlateau(opt).step(),
        lambda: s.SequentialLR(opt, [s.ExponentialLR(opt, 0.9)], milestones=[2, 3]),
        lambda: s.SequentialLR(opt, [], milestones=[]), lambda: s.ChainedScheduler([]),
        lambda: s.ChainedScheduler([s.ReduceLROnPlateau(opt)]),
        lambda: s.StepLR(optimizer(m), 3, last_epoch=4), lambda: s.LRScheduler(opt).get_lr(),
        lambda: u.SWALR(opt, 0.1, anneal_strategy="no"), lambda: u.SWALR(opt, 0.1, -1),
        lambda: u.get_ema_avg_fn(2.0), lambda: u.get_ema_multi_avg_fn(-1),
        lambda: u.AveragedModel(model(m), avg_fn=1, multi_avg_fn=2),
    ]


def test_errors_are_of_the_same_class():
    for i, (ours, theirs) in enumerate(zip(mistakes(flambeau), mistakes(torch), strict=True)):
        assert _outcome(ours) == _outcome(theirs), f"mistake {i}"


def _outcome(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return None
