"""First and second derivatives and grad_fn names against PyTorch, in float64."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")

rng = np.random.default_rng(1)
X, Y, V = (rng.standard_normal(s) for s in ((3, 4), (3, 4), (2, 4, 3)))
P = np.abs(rng.standard_normal((3, 4))) + 0.5
U, S = rng.uniform(-0.9, 0.9, (3, 4)), rng.uniform(0.1, 0.9, (3, 4))
Z = X.copy()
Z[0, 1] = 0
W3, B3, W4, B4 = (rng.standard_normal(n) for n in (3, 3, 4, 4))
LABELS, IMAGE_LABELS = np.array([0, 3, 1]), np.array([[0, 1, 2], [3, 3, 0]])
CLASS_WEIGHT = np.array([1.0, 2.0, 3.0, 0.5])
CASES = {}


def named(names, *operands, space=None, **kwargs):
    """``module.[space.]name(*operands)`` for each name."""
    for name in names.split():
        def call(m, *xs, name=name):
            home = m
            for part in space.split(".") if space else ():
                home = getattr(home, part)
            out = getattr(home, name)(*xs, **kwargs)
            return out[0] if isinstance(out, tuple) else out

        CASES[f"{name}{'' if not kwargs else kwargs}"] = (call, operands)


named("exp2 expm1 sin cos tan sinh cosh tanh sigmoid atan asinh erf erfc square abs sinc i0", X)
named("log log2 log10 log1p rsqrt reciprocal sqrt lgamma digamma", P)
named("asin acos atanh erfinv", U)
named("logit", S)
named("i0e i1 i1e erfcx ndtr log_ndtr entr ndtri", S, space="special")
named("add sub mul atan2 hypot maximum minimum logaddexp logaddexp2 fmax copysign", X, Y)
named("div fmod remainder xlogy", X, P)
named("pow", P, X)
named("clamp", X, Y, P)
named("clamp", X, min=-0.5, max=0.5)
named("lerp", X, Y, S)
named("lerp", X, Y, weight=0.3)
named("addcmul addcdiv", X, Y, P, value=0.5)
named("sum mean prod var std amax amin logsumexp cumsum cumprod logcumsumexp max min median "
      "nanmedian cummax nansum nanmean var_mean std_mean", X, dim=1)
named("sum mean prod var std max min median norm nansum", X)
named("prod", Z, dim=1)
for order in (0, 0.5, 1, 1.5, 2, 3, float("inf")):
    named("norm", X, p=order, dim=1)
named("quantile", X, q=0.3, dim=1)
named("cov corrcoef", X)
named("elu selu celu gelu silu mish softplus softsign hardswish logsigmoid tanhshrink glu", X,
      space="nn.functional")
named("gelu", X, space="nn.functional", approximate="tanh")
named("softmax log_softmax softmin", X, space="nn.functional", dim=1)
for how in ("mean", "none"):
    named("mse_loss smooth_l1_loss huber_loss binary_cross_entropy_with_logits kl_div "
          "poisson_nll_loss", X, S, space="nn.functional", reduction=how)
    named("binary_cross_entropy", S, 1 - S, space="nn.functional", reduction=how)
named("gaussian_nll_loss triplet_margin_loss", X, Y, P, space="nn.functional")
named("layer_norm", V, space="nn.functional", normalized_shape=(3,))
named("normalize", X, space="nn.functional")
for how in ("mean", "sum", "none"):
    CASES["cross_entropy " + how] = (lambda m, x, how=how: m.nn.functional.cross_entropy(
        x, m.tensor(LABELS), m.tensor(CLASS_WEIGHT), label_smoothing=0.1, ignore_index=1,
        reduction=how), (X,))
CASES["cross_entropy of images"] = (lambda m, x: m.nn.functional.cross_entropy(
    x, m.tensor(IMAGE_LABELS)), (V,))
CASES["layer_norm affine"] = (lambda m, x, w, b: m.nn.functional.layer_norm(x, (3,), w, b),
                              (V, W3, B3))
CASES["rms_norm"] = (lambda m, x, w: m.nn.functional.rms_norm(x, (3,), w), (V, W3))
CASES["group_norm"] = (lambda m, x, w, b: m.nn.functional.group_norm(x, 2, w, b), (V, W4, B4))
CASES["instance_norm"] = (lambda m, x, w, b: m.nn.functional.instance_norm(
    x, None, None, w, b), (V, W4, B4))
for train in (True, False):
    CASES[f"batch_norm {train}"] = (lambda m, x, w, b, train=train: m.nn.functional.batch_norm(
        x, m.zeros(4, dtype=m.float64), m.ones(4, dtype=m.float64) * 2, w, b, train), (V, W4, B4))

#: PyTorch records another step last
OTHER_NAMES = {"quantile{'q': 0.3, 'dim': 1}"}


def weights(x, seed):
    return np.random.default_rng(seed).standard_normal(tuple(x.shape))


def derivatives(module, call, operands):
    """(value, name of the last step, gradients, second derivatives)."""
    xs = [module.tensor(a).requires_grad_() for a in operands]
    out = call(module, *xs)
    first = module.autograd.grad((out * module.tensor(weights(out, 5))).sum(), xs,
                                 create_graph=True, allow_unused=True)
    total = None
    for i, g in enumerate(first):
        if g is not None and g.requires_grad:
            part = (g * module.tensor(weights(g, 6 + i))).sum()
            total = part if total is None else total + part
    second = () if total is None else module.autograd.grad(total, xs, allow_unused=True)
    arrays = [[np.zeros(a.shape) if g is None else (g.detach() + 0).numpy()
               for g, a in zip(found or [None] * len(xs), operands, strict=True)]
              for found in (first, second)]
    return out.detach().numpy(), type(out.grad_fn).__name__, *arrays


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    ours, theirs = (derivatives(m, *CASES[name]) for m in (flambeau, torch))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-9, atol=1e-9)
    for a, b in zip(ours[2] + ours[3], theirs[2] + theirs[3], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)
    if name not in OTHER_NAMES:
        assert ours[1] == theirs[1]
