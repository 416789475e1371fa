"""Optimizers against PyTorch: trajectories, states, groups, hooks, errors."""

import copy
import importlib
import pickle

import pytest

import flambeau
from flambeau import nn, optim

torch = pytest.importorskip("torch")

CONFIGURATIONS = [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.1}), ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.3}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-2, "maximize": True}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5}), ("AdamW", {"lr": 0.1, "amsgrad": True}),
    ("RMSprop", {"lr": 0.1}), ("RMSprop", {"lr": 0.1, "momentum": 0.5, "centered": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.2}),
    ("Adadelta", {"lr": 1.0, "rho": 0.5}), ("Adamax", {"lr": 0.1}),
    ("NAdam", {"lr": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1, "betas": (0.9, 0.9)}),
    ("Rprop", {"lr": 0.1, "etas": (0.4, 1.3)}),
    ("ASGD", {"lr": 0.1, "lambd": 0.05, "t0": 3}), ("Adafactor", {"lr": 0.1, "weight_decay": 0.1}),
    ("Muon", {"lr": 0.1}), ("Muon", {"lr": 0.1, "nesterov": False,
                                     "adjust_lr_fn": "match_rms_adamw"}),
]
EXACT = {"rel": 1e-5, "abs": 1e-6}


def start(m, name):
    values = [[[0.3, -1.2, 2.0], [0.7, 0.1, -0.4]],
              [[1.0, -2.0]] if name == "Muon" else [1.0, -2.0]]
    return [m.tensor(v, requires_grad=True) for v in values]


def set_gradients(m, params):
    for k, p in enumerate(params):
        x = p.detach()
        p.grad = (k + 1) * (x - 1) - 2 * (2 * x).sin()


def flat(params) -> list[float]:
    return [v for p in params for v in p.detach().reshape(-1).tolist()]


def trajectory(m, name, options, steps=7, resume=None):
    params = start(m, name)
    opt = getattr(m.optim, name)(params, **options)
    seen = []
    for i in range(steps):
        if i == resume:
            state = copy.deepcopy(opt.state_dict())
            opt = getattr(m.optim, name)(params, **options)
            opt.load_state_dict(state)
        set_gradients(m, params)
        opt.step()
        seen.append(flat(params))
    return seen


@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS)
@pytest.mark.parametrize("resume", [None, 3])
def test_trajectories(name, options, resume):
    ours, theirs = (trajectory(m, name, options, resume=resume) for m in (flambeau, torch))
    loose = {"rel": 1e-2, "abs": 2e-3} if name == "Muon" else EXACT
    for a, b in zip(ours, theirs, strict=True):
        assert a == pytest.approx(b, **loose)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs(search):
    def run(m):
        x = m.tensor([-1.2, 1.0], dtype=m.float64, requires_grad=True)
        opt = m.optim.LBFGS([x], lr=1 if search else 0.001, max_iter=5, history_size=3,
                            line_search_fn=search)

        def closure():
            opt.zero_grad()
            loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
            loss.backward()
            return loss

        return [opt.step(closure).item() for _ in range(4)] + x.tolist()

    assert run(flambeau) == pytest.approx(run(torch), rel=1e-6)


def test_parameters_that_join_later_have_their_own_step():
    def run(m):
        params = start(m, "Adam")
        opt = m.optim.Adam(params, lr=0.1)
        for i in range(5):
            set_gradients(m, params)
            if i < 2:
                params[1].grad = None
            opt.step()
        return flat(params) + [float(s["step"]) for s in opt.state.values()]

    assert run(flambeau) == pytest.approx(run(torch), **EXACT)


@pytest.mark.parametrize("change", [
    lambda m, p, opt: opt.state[p[0]]["step"].fill_(0),
    lambda m, p, opt: opt.state[p[0]].update(exp_avg=m.ones(2, 3)),
    lambda m, p, opt: opt.state[p[0]].update(step=m.tensor(5.0)),
    lambda m, p, opt: opt.state[p[0]]["exp_avg"].zero_(),
    lambda m, p, opt: opt.state.clear(),
    lambda m, p, opt: opt.param_groups[0].update(lr=0.5, betas=(0.5, 0.5)),
    lambda m, p, opt: opt.param_groups[0]["params"].pop(),
    lambda m, p, opt: p[0].data.mul_(2),
])
def test_what_the_program_changes_between_steps_counts(change):
    def run(m):
        params = start(m, "Adam")
        opt = m.optim.Adam(params, lr=0.1)
        seen = []
        for i in range(6):
            if i in (2, 4):
                change(m, params, opt)
            set_gradients(m, params)
            opt.step()
            seen += flat(params)
        return seen

    assert run(flambeau) == pytest.approx(run(torch), rel=1e-4, abs=1e-5)


def test_momentum_that_is_switched_on_later():
    def run(m):
        params = start(m, "SGD")
        opt = m.optim.SGD(params, lr=0.1)
        seen = []
        for i in range(6):
            opt.param_groups[0]["momentum"] = 0.9 if i >= 2 else 0
            set_gradients(m, params)
            opt.step()
            seen += [len(opt.state_dict()["state"]), *flat(params)]
        return seen

    assert run(flambeau) == pytest.approx(run(torch), **EXACT)


def test_functional_forms():
    def run(m):
        adam = importlib.import_module(m.__name__ + ".optim.adam").adam
        sgd = importlib.import_module(m.__name__ + ".optim.sgd").sgd
        params = start(m, "Adam")
        zeros = [[m.zeros_like(p) for p in params] for _ in range(3)]
        steps = [m.tensor(0.0), m.tensor(2.0)]
        buffers = [None, m.ones(2)]
        for _ in range(3):
            set_gradients(m, params)
            grads = [p.grad for p in params]
            with m.no_grad():
                adam(params, grads, *zeros, steps, amsgrad=True, beta1=0.9, beta2=0.99, lr=0.1,
                     weight_decay=0.1, eps=1e-8, maximize=False)
                sgd(params, grads, buffers, weight_decay=0.1, momentum=0.9, lr=0.1,
                    dampening=0.0, nesterov=False, maximize=False)
        return flat(params) + flat(steps) + flat(buffers)

    assert run(flambeau) == pytest.approx(run(torch), **EXACT)


def test_state_held_by_the_program_counts():
    def run(m):
        params = start(m, "Adam")
        opt = m.optim.Adam(params, lr=0.1)
        set_gradients(m, params)
        opt.step()
        held = opt.state[params[0]]
        for i in range(4):
            set_gradients(m, params)
            opt.step()
            held["step"].fill_(i)
            held["exp_avg"] = m.zeros(2, 3)
        return flat(params)

    assert run(flambeau) == pytest.approx(run(torch), **EXACT)


def test_training_a_small_network():
    def run(m):
        m.manual_seed(0)
        model = m.nn.Sequential(m.nn.Linear(3, 8), m.nn.Tanh(), m.nn.Linear(8, 1))
        opt = m.optim.Adam(model.parameters(), lr=0.05)
        x = m.randn(16, 3)
        losses = []
        for _ in range(10):
            opt.zero_grad()
            loss = ((model(x) - x.sum(1, keepdim=True)) ** 2).mean()
            loss.backward()
            opt.step()
            losses.append(loss.item())
        return losses

    assert run(flambeau) == pytest.approx(run(torch), rel=1e-4)


def test_groups_defaults_and_repr():
    def run(m):
        a, b = start(m, "SGD")
        opt = m.optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1, momentum=0.9)
        opt.add_param_group({"params": m.zeros(2, requires_grad=True), "lr": 1.0})
        set_gradients(m, [a, b])
        opt.step()
        return repr(opt), flat([a, b]), opt.state_dict()["param_groups"], list(opt.defaults)

    ours, theirs = run(flambeau), run(torch)
    assert ours[0] == theirs[0]
    assert ours[1] == pytest.approx(theirs[1])
    assert ours[2:] == theirs[2:]


def test_named_parameters():
    opt = optim.SGD(nn.Linear(2, 1).named_parameters(), lr=0.1)
    assert opt.param_groups[0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ValueError, match="with/without names"):
        opt.add_param_group({"params": [flambeau.zeros(1, requires_grad=True)]})


def mistakes(m):
    w = m.zeros(2, requires_grad=True)
    sgd, adam = m.optim.SGD, m.optim.Adam
    opt = sgd([w], lr=0.1)
    return [
        lambda: sgd([w], lr=-1.0), lambda: sgd([], lr=0.1), lambda: sgd(w, lr=0.1),
        lambda: sgd([w], lr=0.1, nesterov=True), lambda: sgd({w}, lr=0.1), lambda: sgd([3], lr=1),
        lambda: sgd([w * 2], lr=0.1), lambda: sgd([w], momentum=-1),
        lambda: sgd([w], lr=m.tensor([1.0, 2.0])), lambda: opt.add_param_group([w]),
        lambda: opt.add_param_group({"params": [w]}), lambda: opt.load_state_dict(
            {"state": {}, "param_groups": []}),
        lambda: opt.load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]}),
        lambda: adam([w], betas=(1.0, 0.9)), lambda: adam([w], betas=(0.9, 2)),
        lambda: adam([w], eps=-1), lambda: adam([w], weight_decay=-1),
        lambda: adam([w], fused=True, foreach=True), lambda: adam([w], fused=True,
                                                                  differentiable=True),
        lambda: adam([w], lr=m.tensor(0.1), foreach=True), lambda: adam([w], betas=(0, 0.5)),
        lambda: m.optim.LBFGS([{"params": [w]}, {"params": [m.zeros(1)]}]),
        lambda: m.optim.Rprop([w], etas=(1.0, 0.5)), lambda: m.optim.Adadelta([w], rho=1.1),
        lambda: m.optim.Muon([w]), lambda: m.optim.Adafactor([w], d=0.5),
        lambda: m.optim.Optimizer([w], {}).step(),
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


def test_an_empty_list_names_the_hidden_parameters():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(2, 2), nn.Linear(2, 2)]

    with pytest.raises(ValueError, match=r"empty parameter list: Net has 0 registered parameters, "
                                         r"but 4 inside the plain list `Net.layers`.*ModuleList"):
        optim.SGD(Net().parameters(), lr=0.1)


def test_hooks():
    p = flambeau.tensor([1.0], requires_grad=True)
    opt = optim.SGD([p], lr=0.1)
    log = []
    handles = [
        opt.register_step_pre_hook(lambda o, args, kwargs: log.append("pre")),
        opt.register_step_post_hook(lambda o, args, kwargs: log.append("post")),
        optim.optimizer.register_optimizer_step_pre_hook(lambda o, a, k: log.append("global pre")),
        optim.optimizer.register_optimizer_step_post_hook(
            lambda o, a, k: log.append("global post")),
        opt.register_state_dict_post_hook(lambda o, s: {**s, "extra": 1}),
        opt.register_state_dict_pre_hook(lambda o: log.append("state")),
        opt.register_load_state_dict_pre_hook(lambda o, s: log.append("loading")),
        opt.register_load_state_dict_post_hook(lambda o: log.append("loaded")),
    ]
    opt.step()
    state = opt.state_dict()
    opt.load_state_dict(state)
    assert log == ["global pre", "pre", "post", "global post", "state", "loading", "loaded"]
    assert state["extra"] == 1
    for handle in handles:
        handle.remove()
    opt.step()
    assert len(log) == 7


def test_own_optimizers():
    class Signs(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @flambeau.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["calls"] = self.state[p].get("calls", 0) + 1
                    p.add_(p.grad.sign(), alpha=-group["lr"])

    p = flambeau.tensor([1.0, -1.0], requires_grad=True)
    opt = Signs([p], 0.5)
    scheduler = optim.lr_scheduler.StepLR(opt, 1, gamma=0.5)
    for _ in range(2):
        p.grad = flambeau.tensor([2.0, -3.0])
        opt.step()
        scheduler.step()
    assert p.tolist() == [0.25, -0.25]
    assert opt.state_dict()["state"] == {0: {"calls": 2}}


def test_copies_and_pickles():
    p = flambeau.tensor([1.0], requires_grad=True)
    opt = optim.Adam([p], lr=0.1)
    p.grad = flambeau.tensor([1.0])
    opt.step()
    for other in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        q = other.param_groups[0]["params"][0]
        assert q is not p
        assert other.state[q]["exp_avg"].tolist() == opt.state[p]["exp_avg"].tolist()
        q.grad = flambeau.tensor([1.0])
        other.step()
        assert q.item() < p.item()


def test_zero_grad():
    p = flambeau.tensor([1.0], requires_grad=True)
    opt = optim.SGD([p], lr=0.1)
    p.grad = flambeau.tensor([1.0])
    opt.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0]
    opt.zero_grad()
    assert p.grad is None


def test_learning_rate_as_a_tensor():
    p = flambeau.tensor([1.0], requires_grad=True)
    opt = optim.SGD([p], lr=flambeau.tensor(0.5))
    scheduler = optim.lr_scheduler.ExponentialLR(opt, 0.5)
    rate = opt.param_groups[0]["lr"]
    p.grad = flambeau.tensor([1.0])
    opt.step()
    scheduler.step()
    assert (p.item(), rate.item(), opt.param_groups[0]["lr"] is rate) == (0.5, 0.25, True)


def test_differentiable_steps():
    lr = flambeau.tensor(0.1, requires_grad=True)
    p = flambeau.tensor([2.0], requires_grad=True)
    x = p.clone()
    opt = optim.SGD([x], lr=lr, differentiable=True)
    x.grad = flambeau.tensor([3.0])
    opt.step()
    x.sum().backward()
    assert lr.grad.item() == pytest.approx(-3.0)
    assert p.grad.tolist() == [1.0]
