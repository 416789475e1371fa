"""nn.utils: results as under PyTorch."""

from __future__ import annotations

import copy
import importlib

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")
CASES = []


def case(function):
    CASES.append(function)
    return function


def failure(call) -> str:
    try:
        call()
    except Exception as error:
        return next(k.__name__ for k in type(error).__mro__ if k.__module__ == "builtins")
    return "no error"


def compare(a, b):
    if isinstance(a, flambeau.Tensor):
        assert str(a.dtype) == str(b.dtype)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            compare(x, y)
    else:
        assert a == b


def data(T, *shape, seed=0):
    return T.tensor(np.random.RandomState(seed).randn(*shape).astype(np.float32))


def linear(T, *sizes):
    T.manual_seed(0)
    return T.nn.Linear(*sizes)


@case
def clipping(T):
    u = T.nn.utils

    def params():
        out = []
        for i in range(3):
            p = T.nn.Parameter(T.zeros(4))
            p.grad = data(T, 4, seed=i) * 3
            out.append(p)
        return out + [T.nn.Parameter(T.zeros(1))]

    out = []
    for kind in (2.0, 1, float("inf"), 3.5):
        ps = params()
        out += [u.clip_grad_norm_(ps, 1.5, kind), [p.grad for p in ps[:3]]]
    ps = params()
    u.clip_grad_value_(ps, 0.5)
    out += [[p.grad for p in ps[:3]], u.get_total_norm([p.grad for p in ps[:3]])]
    ps = params()
    u.clip_grads_with_norm_(ps, 2.0, u.get_total_norm([p.grad for p in ps[:3]]))
    out += [[p.grad for p in ps[:3]], u.clip_grad_norm_([], 1.0)]
    ps[0].grad[0] = float("inf")
    return out + [failure(lambda: u.clip_grad_norm_(ps, 1.0, error_if_nonfinite=True))]


@case
def vectors(T):
    net = T.nn.Sequential(linear(T, 2, 3), linear(T, 3, 1))
    vec = T.nn.utils.parameters_to_vector(net.parameters())
    T.nn.utils.vector_to_parameters(T.arange(13.0), net.parameters())
    return [vec, net[0].weight, net[1].bias, failure(
        lambda: T.nn.utils.vector_to_parameters([1], net.parameters()))]


@case
def sequences(T):
    r = T.nn.utils.rnn
    seqs = [data(T, n, 2, seed=n) for n in (2, 4, 1)]
    out = [r.pad_sequence(seqs), r.pad_sequence(seqs, True, -1.0),
           r.pad_sequence(seqs, padding_side="left")]
    packed = r.pack_sequence(seqs, enforce_sorted=False)
    out += [packed.data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices,
            r.unpack_sequence(packed), r.pad_packed_sequence(packed, total_length=6),
            r.unpad_sequence(r.pad_sequence(seqs, True), T.tensor([2, 4, 1]), True)]
    p = r.pack_padded_sequence(data(T, 4, 2, 3), [4, 2])
    out += [p.data, p.batch_sizes.tolist(), p.sorted_indices, p.to(T.float64).data]
    bad = [lambda: r.pack_padded_sequence(data(T, 4, 2, 3), [2, 4]),
           lambda: r.pack_padded_sequence(data(T, 4, 2, 3), [4, 0]),
           lambda: r.pack_padded_sequence(data(T, 4, 2, 3), [4]),
           lambda: r.pad_packed_sequence(p, total_length=2), lambda: r.pad_sequence(3),
           lambda: r.pad_sequence(seqs, padding_side="x")]
    return out + [failure(c) for c in bad]


@case
def old_weight_norm(T):
    m = T.nn.utils.weight_norm(linear(T, 3, 2))
    m(data(T, 4, 3)).sum().backward()
    out = [list(m.state_dict()), m.weight, m.weight_g.grad, m.weight_v.grad,
           isinstance(m.weight, T.nn.Parameter)]
    T.nn.utils.remove_weight_norm(m)
    return out + [list(m.state_dict()), m.weight, m(data(T, 4, 3)),
                  failure(lambda: T.nn.utils.remove_weight_norm(m))]


@case
def new_weight_norm(T):
    p = T.nn.utils.parametrizations
    m = p.weight_norm(linear(T, 3, 2), dim=1)
    m(data(T, 4, 3)).sum().backward()
    chain = m.parametrizations.weight
    out = [repr(m), list(m.state_dict()), m.weight, chain.original0.grad, chain.original1.grad]
    m.weight = T.ones(2, 3)
    out += [m.weight, chain.original0]
    old = T.nn.utils.weight_norm(linear(T, 3, 2), dim=1)
    m.load_state_dict(old.state_dict())
    out += [m.weight]
    T.nn.utils.parametrize.remove_parametrizations(m, "weight")
    return out + [repr(m), list(m.state_dict()), m.weight, type(m).__name__]


@case
def spectral_norms(T):
    out = []
    for make in (T.nn.utils.spectral_norm, T.nn.utils.parametrizations.spectral_norm):
        m = make(linear(T, 3, 5), n_power_iterations=2)
        x = data(T, 4, 3)
        m(x).sum().backward()
        out += [list(m.state_dict()), m(x), m.eval()(x), [p.grad for p in m.parameters()]]
    T.nn.utils.remove_spectral_norm(T.nn.utils.spectral_norm(linear(T, 2, 2)))
    conv = T.nn.utils.parametrizations.spectral_norm(T.nn.ConvTranspose1d(2, 3, 2))
    return out + [tuple(conv.parametrizations.weight[0]._u.shape)]


@case
def parametrize(T):
    P = T.nn.utils.parametrize

    class Symmetric(T.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, a):
            return a.triu()

    class Twice(T.nn.Module):
        def forward(self, x):
            return x * 2

    class Wrong(T.nn.Module):
        def forward(self, x):
            return x[:1]

    m = linear(T, 3, 3)
    P.register_parametrization(m, "weight", Symmetric())
    out = [m.weight, P.is_parametrized(m), P.is_parametrized(m, "bias"), list(m.state_dict()),
           type(m).__name__, [n for n, _ in m.named_parameters()]]
    m.weight = T.ones(3, 3) * 2
    out += [m.weight, failure(lambda: P.register_parametrization(m, "weight", Wrong())),
            failure(lambda: P.register_parametrization(m, "none", Twice()))]
    P.register_parametrization(m, "weight", Twice())
    m(data(T, 2, 3)).sum().backward()
    with P.cached():
        same = m.weight is m.weight
    out += [m.weight, m.parametrizations.weight.original.grad, same,
            failure(lambda: setattr(m, "weight", T.ones(3, 3)))]
    twin = copy.deepcopy(m)
    out += [twin.weight, P.type_before_parametrizations(m) is T.nn.Linear]
    P.remove_parametrizations(m, "weight", leave_parametrized=False)
    return out + [m.weight, type(m).__name__, list(m.state_dict())]


@case
def pruning(T):
    P = importlib.import_module(T.__name__ + ".nn.utils.prune")
    m = linear(T, 4, 3)
    P.l1_unstructured(m, "weight", 3)
    out = [list(m.state_dict()), m.weight, m.weight_mask, P.is_pruned(m)]
    P.ln_structured(m, "weight", 1, 2, 0)
    out += [m.weight, type(list(m._forward_pre_hooks.values())[0]).__name__]
    m(data(T, 2, 4)).sum().backward()
    out += [m.weight_orig.grad]
    P.remove(m, "weight")
    net = T.nn.Sequential(linear(T, 4, 3), linear(T, 3, 2))
    P.global_unstructured([(net[0], "weight"), (net[1], "weight")], P.L1Unstructured, amount=0.5)
    P.custom_from_mask(net[0], "bias", T.tensor([0, 1, 0]))
    P.random_unstructured(net[1], "bias", 1)
    return out + [m.weight, list(m.state_dict()), net[0].weight, net[1].weight, net[0].bias,
                  (net[1].bias == 0).sum().item(), failure(lambda: P.remove(m, "weight")),
                  failure(lambda: P.l1_unstructured(m, "weight", 1.5))]


@case
def functional_calls(T):
    net = T.nn.Sequential(linear(T, 2, 2), T.nn.BatchNorm1d(2))
    call = importlib.import_module(T.__name__ + ".nn.utils.stateless").functional_call
    x = data(T, 3, 2)
    new = {"0.weight": T.ones(2, 2, requires_grad=True), "1.running_mean": T.zeros(2)}
    y = call(net, new, (x,))
    y.square().sum().backward()
    out = [y, new["1.running_mean"], net[1].running_mean, net[0].weight.grad, net[0].weight]
    return out + [failure(lambda: call(net, {"nope": T.ones(1)}, (x,))),
                  failure(lambda: call(net, {"0.weight": T.ones(2, 2)}, (x,), strict=True))]


@case
def fusing(T):
    conv, bn = T.nn.Conv1d(2, 3, 2), T.nn.BatchNorm1d(3)
    with T.no_grad():
        conv.weight.copy_(data(T, 3, 2, 2))
        conv.bias.copy_(data(T, 3))
        bn.running_mean.copy_(data(T, 3, seed=1))
    fused = T.nn.utils.fuse_conv_bn_eval(conv.eval(), bn.eval())
    x = data(T, 2, 2, 5)
    return [fused(x), bn(conv(x)), type(fused).__name__, fused.weight.requires_grad]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_as_torch(function):
    compare(function(flambeau), function(torch))


def test_skip_init():
    layer = flambeau.nn.utils.skip_init(flambeau.nn.Linear, 3, 4)
    assert layer.weight.device.type == "cpu" and tuple(layer.weight.shape) == (4, 3)


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5)])
def test_orthogonal_is_orthogonal(shape):
    try:
        layer = flambeau.nn.utils.parametrizations.orthogonal(flambeau.nn.Linear(*shape))
    except NotImplementedError as error:
        pytest.skip(str(error))
    w = layer.weight
    small = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    assert flambeau.allclose(small, flambeau.eye(min(shape)), atol=1e-5)
