"""Values and gradients at NaN, infinities, zeros and kinks are PyTorch's."""

import itertools

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")

VALUES = [float("nan"), 0.0, -0.0, 1.0, -1.0, float("inf"), -float("inf"), 6.0, 3.0, -3.0, 0.5,
          -0.5]
#: (name, place) left out: why
APART = {
    ("gelu", 5): "PyTorch's vectors give NaN for inf, its scalars inf",
    ("digamma", 4): "a pole", ("digamma", 9): "a pole",
    ("logit", 2): "the sign of an infinite slope at -0.0",
}
ACTIVATIONS = ("relu relu6 leaky_relu elu selu celu hardtanh hardsigmoid hardswish softplus gelu "
               "silu mish hardshrink softshrink tanhshrink softsign logsigmoid").split()
ONE = ("sigmoid tanh abs sign sqrt rsqrt log log1p log2 log10 exp expm1 sin cos tan asin acos atan "
       "sinh cosh asinh acosh atanh erf erfc erfinv lgamma digamma reciprocal square ceil floor "
       "round trunc frac neg nan_to_num logit sinc i0 exp2").split()
TWO = "maximum minimum fmax fmin atan2 pow fmod remainder hypot copysign logaddexp xlogy".split()
POWERS = (2.0, 0.5, -1.0, 3, 1.5, 0.0)


def run(module, function, *columns):
    inputs = [module.tensor(c, requires_grad=True) for c in columns]
    out = function(module)(*inputs)
    out.backward(module.ones(len(columns[0])))
    return [out.detach().numpy(), *[x.grad.numpy() for x in inputs]]


def compare(function, *columns, apart=()):
    keep = [i for i in range(len(columns[0])) if i not in apart]
    for ours, theirs in zip(run(flambeau, function, *columns), run(torch, function, *columns),
                            strict=True):
        np.testing.assert_allclose(ours[keep], theirs[keep], 1e-4, 1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS + ONE)
def test_one_operand(name):
    space = "functional" if name in ACTIVATIONS else "torch"
    compare(lambda m: getattr(m.nn.functional if space == "functional" else m, name), VALUES,
            apart=[i for n, i in APART if n == name])


@pytest.mark.parametrize("name", TWO)
def test_two_operands(name):
    left, right = zip(*itertools.product(VALUES, VALUES), strict=True)
    compare(lambda m: getattr(m, name), list(left), list(right))


@pytest.mark.parametrize("exponent", POWERS)
def test_powers(exponent):
    compare(lambda m: lambda x: m.pow(x, exponent), VALUES)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, None), (None, 0.0)])
def test_clamp(low, high):
    compare(lambda m: lambda x: m.clamp(x, low, high), VALUES)
