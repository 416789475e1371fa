"""Module, containers, hooks and state dicts: every case runs under PyTorch too and must agree."""

from __future__ import annotations

import copy
import io
import pickle
from collections import OrderedDict

import pytest

import flambeau

torch = pytest.importorskip("torch")


def failure(call) -> str:
    try:
        call()
    except Exception as error:
        kinds = [k.__name__ for k in type(error).__mro__ if k.__module__ == "builtins"]
        return kinds[0]
    return "no error"


CASES = []


def case(function):
    CASES.append(function)
    return function


@case
def registration(T):
    nn = T.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 3)
            self.scale = nn.Parameter(T.ones(2))
            self.register_buffer("shift", T.zeros(2))
            self.register_buffer("hidden", T.ones(1), persistent=False)
            self.register_parameter("none", None)
            self.sub = None
            self.note = 3

    net = Net()
    out = [list(net._parameters), list(net._modules), list(net._buffers),
           sorted(n for n in net.__dict__ if not n.startswith("_")), "fc" in net.__dict__,
           "scale" in vars(net), len(net.state_dict())]
    net.sub = nn.ReLU()
    net.fc = None
    out += [list(net._modules), net.fc, [n for n, _ in net.named_parameters()]]
    net.scale = None
    out += [net.scale, list(net._parameters), net._parameters["none"]]
    net.scale = nn.Parameter(T.zeros(3))
    net.note = nn.Parameter(T.zeros(1))
    out += [[n for n, _ in net.named_parameters()], "note" in net.__dict__]
    net.shift = T.full((2,), 2.0)
    out += [net.shift.tolist(), list(net._buffers)]
    del net.scale, net.shift, net.sub
    out += [list(net.state_dict()), hasattr(net, "scale"), hasattr(net, "shift")]
    net._parameters["made"] = nn.Parameter(T.ones(1))
    net._modules["extra"] = nn.Tanh()
    out += [net.made.tolist(), type(net.extra).__name__]
    del net._modules["extra"]
    out += [hasattr(net, "extra"), net._parameters.pop("made").tolist(), hasattr(net, "made")]
    net._buffers.clear()
    return out + [hasattr(net, "hidden"), list(net.buffers())]


@case
def registration_errors(T):
    nn = T.nn
    m = nn.Linear(2, 2)
    m.register_buffer("buf", T.zeros(1))
    calls = [lambda: setattr(m, "weight", T.zeros(2, 2)), lambda: setattr(m, "weight", 3),
             lambda: setattr(m, "buf", 3), lambda: m.register_buffer("weight", T.zeros(1)),
             lambda: m.register_parameter("a.b", None), lambda: m.register_parameter("", None),
             lambda: m.register_parameter(3, None), lambda: m.register_parameter("x", T.zeros(1)),
             lambda: m.register_parameter("forward", nn.Parameter(T.zeros(1))),
             lambda: m.register_parameter("x", nn.Parameter(T.zeros(1)) * 2),
             lambda: m.add_module("a", 3), lambda: m.add_module("a.b", nn.ReLU()),
             lambda: m.add_module("weight", nn.ReLU()), lambda: m.register_buffer("x", 3),
             lambda: m.gone, lambda: delattr(m, "gone"), lambda: nn.Module(3),
             lambda: nn.Module(a=3), lambda: nn.Module()(1), lambda: m.train(3),
             lambda: m.get_submodule("x.y"), lambda: m.get_parameter("bias.x"),
             lambda: m.get_parameter("buf"), lambda: m.get_buffer("weight"),
             lambda: m.to(T.int64), lambda: m.set_submodule("", nn.ReLU())]

    class Early(nn.Module):
        def __init__(self, what):
            self.x = what() if what else 3
            super().__init__()

    calls += [lambda: Early(nn.ReLU), lambda: Early(lambda: nn.Parameter(T.zeros(1)))]
    return [failure(c) for c in calls] + [Early(None).x]


@case
def walks(T):
    nn = T.nn
    shared = nn.Linear(2, 2)
    net = nn.Sequential(OrderedDict(a=shared, b=nn.Sequential(nn.ReLU(), shared),
                                    c=nn.BatchNorm1d(2)))
    seen = []
    net.apply(lambda m: seen.append(type(m).__name__))
    return [[n for n, _ in net.named_modules()],
            [n for n, _ in net.named_modules(remove_duplicate=False)],
            [n for n, _ in net.named_modules(prefix="p")],
            [n for n, _ in net.named_parameters()],
            [n for n, _ in net.named_parameters(remove_duplicate=False)],
            [n for n, _ in net.named_parameters("x", recurse=False)],
            [n for n, _ in net.c.named_buffers("q")], [n for n, _ in net.named_children()],
            len(list(net.parameters())), len(list(net.parameters(recurse=False))), seen,
            type(net.get_submodule("b.0")).__name__, net.get_parameter("a.weight") is shared.weight,
            net.get_buffer("c.running_mean").tolist(), repr(net)]


@case
def hooks(T):
    nn = T.nn
    log = []
    lin = nn.Linear(1, 1, bias=False)
    with T.no_grad():
        lin.weight.fill_(3.0)
    x = T.ones(1, 1, requires_grad=True)
    h1 = lin.register_forward_pre_hook(lambda m, a: log.append("pre1"))
    h2 = lin.register_forward_pre_hook(lambda m, a: (log.append("pre2"), (a[0] * 2,))[1],
                                       prepend=True)
    h3 = lin.register_forward_hook(lambda m, a, o: log.append(("post", a[0].item(), o.item())))
    h4 = lin.register_forward_hook(lambda m, a, k, o: o + k.get("add", 1), with_kwargs=True)
    out = [lin(x).item(), list(log)]
    for h in (h1, h2, h3, h4):
        h.remove()
    h1.remove()
    log.clear()
    out += [lin(x).item(), log, lin._forward_hooks_with_kwargs, len(lin._forward_hooks)]

    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    bad = Fails()
    bad.register_forward_hook(lambda m, a, o: log.append(("always", o)), always_call=True)
    bad.register_forward_hook(lambda m, a, o: log.append("never"))
    out += [failure(lambda: bad(x)), list(log)]
    log.clear()
    handle = T.nn.modules.module.register_module_forward_hook(
        lambda m, a, o: log.append(type(m).__name__))
    nn.Sequential(nn.ReLU(), nn.Tanh())(x)
    handle.remove()
    nn.ReLU()(x)
    out += [list(log)]
    with lin.register_forward_hook(lambda m, a, o: o * 0):
        out.append(lin(x).item())
    return out + [lin(x).item()]


@case
def backward_hooks(T):
    nn = T.nn
    log = []
    lin = nn.Linear(2, 2, bias=False)
    with T.no_grad():
        lin.weight.copy_(T.tensor([[1.0, 2.0], [3.0, 4.0]]))
    h = lin.register_full_backward_hook(
        lambda m, gi, go: log.append(("full", [g.tolist() for g in gi], [g.tolist() for g in go])))
    x = T.ones(1, 2, requires_grad=True)
    lin(x).sum().backward()
    h.remove()
    h = lin.register_full_backward_pre_hook(lambda m, go: (go[0] * 10,))
    lin(x).sum().backward()
    h.remove()
    h = lin.register_full_backward_hook(lambda m, gi, go: (gi[0] * 0 + 7,))
    y = T.ones(1, 2, requires_grad=True)
    lin(y).sum().backward()
    h.remove()
    h = lin.register_full_backward_hook(lambda m, gi, go: log.append(("no input", gi, len(go))))
    lin(T.ones(1, 2)).sum().backward()
    h.remove()

    class Two(nn.Module):
        def forward(self, a, b, n):
            return a * b, a + b

    two = Two()
    two.register_full_backward_hook(
        lambda m, gi, go: log.append([None if g is None else g.tolist() for g in (*gi, *go)]))
    a, b = T.ones(2, requires_grad=True), T.full((2,), 3.0)
    p, q = two(a, b, 5)
    (p * 2 + q).sum().backward()
    return [log, x.grad.tolist(), y.grad.tolist(), a.grad.tolist(), lin.weight.grad.tolist()]


@case
def state_dicts(T):
    nn = T.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(2, 2)
            self.bn = nn.BatchNorm1d(2)

        def get_extra_state(self):
            return {"k": 1}

        def set_extra_state(self, state):
            self.got = state

    net = Net()
    state = net.state_dict()
    out = [list(state), state._metadata, type(state).__name__]
    other = Net()
    out += [str(other.load_state_dict(state)), other.got,
            T.equal(other.a.weight, net.a.weight), other.a.weight is net.a.weight]
    missing = OrderedDict((k, v) for k, v in state.items() if k != "a.bias")
    missing["more"] = T.zeros(1)
    result = other.load_state_dict(missing, strict=False)
    out += [result.missing_keys, result.unexpected_keys, repr(result)]
    out += [failure(lambda: other.load_state_dict(missing)),
            failure(lambda: other.load_state_dict(3))]
    kept = net.state_dict(keep_vars=True)
    out += [kept["a.weight"] is net.a.weight, state["a.weight"].requires_grad]
    fresh = Net()
    fresh.load_state_dict({k: v for k, v in state.items()}, assign=True)
    out += [type(fresh.a.weight).__name__, fresh.a.weight.requires_grad]
    log = []
    h1 = net.register_state_dict_post_hook(lambda m, s, p, meta: log.append(("post", p, len(s))))
    h2 = net.register_state_dict_pre_hook(lambda m, p, k: log.append(("pre", p, k)))
    h3 = net.register_load_state_dict_pre_hook(lambda m, *a: log.append(("load", a[1], len(a))))
    h4 = net.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    net.state_dict(prefix="x.")
    out += [net.load_state_dict({}, strict=False).missing_keys]
    for h in (h1, h2, h3, h4):
        h.remove()
    net.state_dict()
    return out + [log]


@case
def containers(T):
    nn = T.nn
    s = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    s.append(nn.Tanh())
    s.insert(1, nn.Sigmoid())
    s.extend([nn.GELU()])
    out = [repr(s), len(s), repr(s[1:3]), repr(s[-1]), repr(s + nn.Sequential(nn.SELU())),
           repr(nn.Sequential(nn.ReLU()) * 2), repr(s.pop(0)), list(s._modules)]
    del s[0]
    s[0] = nn.ELU()
    out += [repr(s), failure(lambda: s[9]), failure(lambda: nn.Sequential(3))]
    m = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1), nn.ReLU()])
    m += [nn.Tanh()]
    m.insert(0, nn.Identity())
    out += [repr(m), repr(m[1:]), len(m), repr(m + [nn.ReLU()]), failure(lambda: m(1))]
    del m[1:3]
    out += [repr(m), [n for n, _ in m.named_children()], repr(m.pop(-1)), list(m._modules)]
    d = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()})
    d.update([["c", nn.Linear(1, 1)]])
    out += [repr(d), list(d), d.pop("a").__class__.__name__, "a" in d, len(d), list(d.keys()),
            failure(lambda: d["zz"]), failure(lambda: d.update([1])),
            failure(lambda: d.update([[1]]))]
    p = nn.ParameterList([T.zeros(2, 3), nn.Parameter(T.ones(1))])
    p.append(T.ones(2))
    p[0] = T.full((1,), 4.0)
    out += [repr(p), len(p), [tuple(q.shape) for q in p], [n for n, _ in p.named_parameters()],
            len(p[1:]), type(p[0]).__name__, failure(lambda: p[7]), failure(lambda: p())]
    q = nn.ParameterDict({"b": T.zeros(2), "a": T.ones(1)})
    q["z"] = nn.Parameter(T.ones(3))
    out += [repr(q), list(q), "a" in q, len(q), [n for n, _ in q.named_parameters()],
            q.get("no"), q.pop("a").tolist(), list(q.keys()), list(q.copy()),
            list(q | nn.ParameterDict({"n": T.ones(1)}))]
    return out


@case
def copies(T):
    nn = T.nn
    T.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.LSTM(3, 2))
    net.note = {"k": [1]}
    net[0].weight.tag = "t"
    twin = copy.deepcopy(net)
    out = [T.equal(twin[0].weight, net[0].weight), twin[0].weight is net[0].weight,
           twin.note, twin.note is net.note, [n for n, _ in twin.named_parameters()],
           twin[0].weight.requires_grad, type(twin[0].weight).__name__,
           getattr(twin[0].weight, "tag", None)]
    shallow = copy.copy(net)
    out += [shallow[0] is net[0], list(shallow._modules) == list(net._modules)]
    tied = nn.Module()
    tied.a = nn.Linear(2, 2)
    tied.b = tied.a
    twin = copy.deepcopy(tied)
    return out + [twin.a is twin.b, twin.a is tied.a, twin.a.weight is twin.b.weight]


@case
def converting(T):
    nn = T.nn
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight = net[0].weight
    net[0](T.ones(1, 2)).sum().backward()
    net.double()
    out = [net[0].weight is weight, str(weight.dtype), str(weight.grad.dtype),
           str(net[1].num_batches_tracked.dtype), str(net[1].running_mean.dtype)]
    net.to(T.float16)
    out += [str(weight.dtype)]
    net.to("cpu", T.float32).to(T.zeros(1, dtype=T.float64))
    out += [str(weight.dtype), weight.is_leaf, weight.requires_grad]
    net.float().bfloat16()
    out += [str(weight.dtype), str(net.type(T.float32)[0].bias.dtype)]
    net.requires_grad_(False)
    out += [any(p.requires_grad for p in net.parameters())]
    net.requires_grad_()
    net(T.ones(3, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    out += [weight.grad.tolist()]
    net.zero_grad()
    return out + [weight.grad, net.training, net.eval().training, net[1].training]


@case
def odd_subclasses(T):
    nn = T.nn

    class Wrapper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(super().__getattr__("inner"), name)

        @property
        def device(self):
            return next(self.parameters()).device.type

    class Counted(nn.Module):
        count = 0

        def __init__(self):
            super().__init__()
            self.items = [1]

        def __setattr__(self, name, value):
            Counted.count += 1
            super().__setattr__(name, value)

        def forward(self, x, *, k=2):
            self.last = x
            return x * k

    w = Wrapper(nn.Linear(3, 4))
    c = Counted()
    before = Counted.count
    c(T.ones(1), k=3)
    return [w.in_features, tuple(w.weight.shape), w.device, failure(lambda: w.nothing),
            Counted.count - before, c.last.tolist(), c.items,
            sorted(n for n in dir(w) if n in ("inner", "training", "forward")),
            "{in_features} {out_features}".format(**w.inner.__dict__)]


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_as_torch(function):
    assert repr(function(flambeau)) == repr(function(torch))


def test_pickle():
    nn = flambeau.nn
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    back = pickle.load(io.BytesIO(pickle.dumps(net)))
    assert list(back.state_dict()) == list(net.state_dict())
    assert all(flambeau.equal(a, b) for a, b in zip(back.state_dict().values(),
                                                    net.state_dict().values(), strict=True))
    assert back[0].weight.requires_grad and isinstance(back[0].weight, nn.Parameter)


def test_prefix_is_explained():
    net = flambeau.nn.Linear(2, 2)
    state = {"module." + k: v for k, v in net.state_dict().items()}
    with pytest.raises(RuntimeError, match='2 of 2 key.* differ only by the prefix "module."'):
        net.load_state_dict(state)


def test_shapes_are_named():
    net = flambeau.nn.Linear(2, 2)
    state = dict(net.state_dict(), weight=flambeau.zeros(3, 4))
    message = (r"size mismatch for weight: copying a param with shape torch.Size\(\[3, 4\]\) from "
               r"checkpoint, the shape in current model is torch.Size\(\[2, 2\]\)")
    with pytest.raises(RuntimeError, match=message):
        net.load_state_dict(state)


def test_the_failing_layer_is_named():
    nn = flambeau.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.classifier = nn.Sequential(nn.Linear(5, 4), nn.ReLU())

        def forward(self, x):
            return self.classifier(x)

    with pytest.raises(RuntimeError, match=r"in Net.classifier\[0\] Linear\(in_features=5"):
        Net()(flambeau.zeros(2, 3))


def test_modules_are_freed_without_the_collector():
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        net = flambeau.nn.Sequential(flambeau.nn.Linear(2, 2))
        gone = weakref.ref(net)
        del net
        assert gone() is None
    finally:
        gc.enable()
