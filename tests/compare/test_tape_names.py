"""Names on the tape, of in-place forms above all, and gradients: PyTorch's."""

import pytest

import flambeau

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")

COMPARED = ("eq", "ne", "lt", "le", "gt", "ge", "less", "greater_equal")
CALLS = {
    "add": (1,), "mul": (2,), "pow": (2,), "clamp": (0.4, 0.5), "exp": (), "relu": (), "t": (),
    "squeeze": (), "squeeze_dim": (0,), "squeeze_dims": ((0,),), "transpose": (0, 1),
    "swapaxes": (0, 1), "unsqueeze": (0,), "as_strided": ((2,), (1,)), "zero": (), "fill": (1.0,),
    "polygamma": (1,), "masked_fill": "mask", "scatter": "places", "index_fill": "rows",
    **{name: (0.5,) for name in COMPARED}}
ACTIVATIONS = ("relu", "elu", "celu", "selu", "leaky_relu", "hardtanh", "relu6", "silu", "mish",
               "hardswish", "hardsigmoid", "rrelu")


def arguments(module, name):
    given = CALLS[name]
    if given == "mask":
        return module.tensor([[True, False, True]] * 3), 1.0
    if given == "places":
        return 0, module.tensor([[0, 1, 2]]), 1.0
    if given == "rows":
        return 0, module.tensor([0, 1]), 1.0
    return given


def values(module, size=(3, 3)):
    return module.linspace(0.3, 0.8, size[0] * size[1]).reshape(size).requires_grad_()


def outcome(module, function, x):
    y = function(x * 1)
    y.sum().backward()
    return type(y.grad_fn).__name__, None if x.grad is None else x.grad.numpy().round(4).tolist()


@pytest.mark.parametrize("form", ["", "_"])
@pytest.mark.parametrize("name", CALLS)
def test_methods(name, form):
    method = name.partition("_di")[0] + form
    if method in ("zero", "fill", "polygamma_") or not form and name in COMPARED:
        pytest.skip("no such method, other digits, or nothing to differentiate")
    size = (1, 3) if name.startswith("squeeze") else (3, 3)
    ours, theirs = (outcome(m, lambda x, m=m: getattr(x, method)(*arguments(m, name)),
                            values(m, size)) for m in (flambeau, torch))
    if name in ("zero", "fill"):  # no gradient, or one of zeros
        ours, theirs = ours[0], theirs[0]
    assert ours == theirs


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, inplace):
    ours, theirs = (outcome(m, lambda x, m=m: getattr(m.nn.functional, name)(x, inplace=inplace),
                            values(m)) for m in (flambeau, torch))
    assert ours == theirs


def test_compositions():
    for build in (
            lambda m, x: m.cdist(x, x.detach() + 1), lambda m, x: m.dist(x, x.detach() + 1),
            lambda m, x: m.nn.functional.pdist(x), lambda m, x: m.linalg.cross(x, x.detach()),
            lambda m, x: m.polar(x, x), lambda m, x: m.ldexp(x, x.detach()), lambda m, x: 2 / x,
            lambda m, x: m.nn.functional.rrelu(x, training=True),
            lambda m, x: m._weight_norm(x, m.ones(3, 1)), lambda m, x: x.reshape(1, 3, 3) @ x,
            lambda m, x: m.nn.functional.linear(x.reshape(1, 3, 3), x),
            lambda m, x: m.nn.functional.linear(x.reshape(1, 3, 3), x, x[0])):
        names = [type(build(m, values(m)).grad_fn).__name__ for m in (flambeau, torch)]
        assert names[0] == names[1]


def test_an_earlier_function_keeps_its_name():
    """An in-place form that has nothing to do renames nothing."""
    x = flambeau.nn.functional.elu(values(flambeau))
    fn = x.grad_fn
    x.squeeze_(0)
    assert type(fn).__name__ == "EluBackward0"
