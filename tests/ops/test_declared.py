"""What every operation must satisfy, generated from the calls its declaration lists."""

import warnings

import numpy as np
import pytest
from flambeau.base import flags
from flambeau.ir.api import API
from flambeau.testing.op_cases import Call, Maker, arrays, cases, flat, function, is_random, labels

import flambeau as torch

pytestmark = pytest.mark.filterwarnings("ignore")

#: what these do depends on strides
LAYOUT = ("as_strided", "is_contiguous", "stride", "view", "view_as")
#: their in-place form changes the tensor's geometry
GEOMETRY = ("t", "transpose", "squeeze", "unsqueeze", "swapaxes", "swapdims")
#: no finite differences: why
NOT_SMOOTH = {
    "nn.functional.kl_div": "the case takes the logarithm of negative numbers",
    "nn.functional.batch_norm": "running statistics may not require gradients",
    "nn.functional.cross_entropy": "weights may not require gradients",
    "nn.functional.nll_loss": "weights may not require gradients",
    "nn.functional.soft_margin_loss": "targets may not require gradients",
    "scatter": "a source larger than the index has no gradient, in PyTorch neither",
    "igamma": "no derivative with respect to the first operand, as in PyTorch",
    "igammac": "no derivative with respect to the first operand, as in PyTorch",
}
#: no second derivative: why
ONCE = {
    "nn.functional.ctc_loss": "the gradient is a formula of its own, as in PyTorch",
}


def same(a, b, rtol=2e-5, atol=2e-6):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype and x.shape == y.shape
            if x.dtype.kind in "fc":
                finite = np.abs(np.where(np.isfinite(y), y, 0))
                scale = max(1.0, float(finite.max(initial=0)))
                np.testing.assert_allclose(x, y, rtol, atol * scale)
            else:
                np.testing.assert_array_equal(x, y)
        else:
            assert x == y


def run(label, call):
    torch.manual_seed(7)
    with torch.no_grad():
        return arrays(function(torch, label)(*call.args, **call.kwargs))


def outcomes(label, dtype, tier):
    """The results of all cases; an exception's class where the dtype is refused."""
    out = []
    with flags.override(tier=tier):
        for call in cases(label, Maker(torch, dtype)):
            try:
                out.append(run(label, call))
            except (RuntimeError, NotImplementedError) as error:
                if dtype in ("float32", "float64"):
                    raise
                out.append([type(error)])
    return out


def dtypes_of(label):
    return {"float": ("float32", "float64"), "number": ("float32", "int64"), "int": ("int64",),
            "any": ("float32", "int64", "bool")}[API[label].dtypes]


@pytest.mark.parametrize("label", labels())
def test_compiled_like_interpreted(label):
    for dtype in dtypes_of(label):
        for plain, compiled in zip(outcomes(label, dtype, "0"), outcomes(label, dtype, "1"),
                                   strict=True):
            same(compiled, plain)


@pytest.mark.parametrize("label", labels())
def test_any_layout(label):
    if is_random(API[label]) or API[label].name in LAYOUT:
        return
    with flags.override(tier="0"):
        expected = [run(label, c) for c in cases(label, Maker(torch))]
    for layout, tier in (("gaps", "1"), ("columns", "0")):
        with flags.override(tier=tier):
            found = [run(label, c) for c in cases(label, Maker(torch, layout=layout))]
        for a, b in zip(found, expected, strict=True):
            same(a, b)


def differentiable(label, call):
    """A function of the tensors that require gradients, and those tensors; None without any, and
    where PyTorch has no derivative."""
    inputs = [t for t in call.tensors() if t.requires_grad]

    def replaced(x, new):
        if isinstance(x, (tuple, list)):
            return type(x)(replaced(y, new) for y in x)
        return new.get(id(x), x)

    def call_with(*tensors):
        new = {id(old): t for old, t in zip(inputs, tensors, strict=True)}
        torch.manual_seed(7)
        result = function(torch, label)(*replaced(call.args, new),
                                        **{k: replaced(v, new) for k, v in call.kwargs.items()})
        return tuple(t for t in flat(result) if hasattr(t, "dtype"))

    results = [t for t in call_with(*inputs) if t.requires_grad] if inputs else []
    if not results or any(type(t.grad_fn).__name__ == "NotImplemented" for t in results):
        return None, ()
    return call_with, tuple(inputs)


@pytest.mark.parametrize("label", labels())
def test_gradients(label):
    if label in NOT_SMOOTH:
        return
    with flags.override(tier="0"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for call in cases(label, Maker(torch, "float64", grad=True)):
            f, inputs = differentiable(label, call)
            if f is None:
                continue
            torch.autograd.gradcheck(f, inputs)
            if label not in ONCE:
                torch.autograd.gradgradcheck(f, inputs, fast_mode=True)


@pytest.mark.parametrize("label", labels("inplace"))
def test_in_place_like_out_of_place(label):
    entry = API[label]
    for call in cases(label, Maker(torch)):
        torch.manual_seed(7)
        result = function(torch, label)(*call.args, **call.kwargs)
        if not hasattr(call.args[0], "clone"):
            continue  # a number
        x = call.args[0].clone()
        if result.shape != x.shape and entry.name not in GEOMETRY:
            continue  # the tensor cannot grow
        version = x._version
        torch.manual_seed(7)
        if not torch.can_cast(result.dtype, x.dtype):
            with pytest.raises(RuntimeError, match="can't be cast"):
                getattr(x, entry.name + "_")(*call.args[1:], **call.kwargs)
            continue
        back = getattr(x, entry.name + "_")(*call.args[1:], **call.kwargs)
        assert back is x and (x._version > version or entry.name in GEOMETRY)
        same(arrays(x), arrays(result.to(x.dtype)))


@pytest.mark.parametrize("label", labels("out"))
def test_out_argument(label):
    for call in cases(label, Maker(torch)):
        torch.manual_seed(7)
        result = function(torch, label)(*call.args, **call.kwargs)
        out = [torch.empty(0, dtype=t.dtype) for t in flat(result)]
        if len(out) != API[label].out:
            continue  # max(x) has no out=, max(x, dim) has
        torch.manual_seed(7)
        given = out[0] if len(out) == 1 else tuple(out)
        back = function(torch, label)(*call.args, **call.kwargs, out=given)
        assert all(a is b for a, b in zip(flat(back), out, strict=True))
        same(arrays(out), arrays(result))


@pytest.mark.parametrize("label", labels("errors"))
def test_refused_calls(label):
    for error, text, call in API[label].errors(Maker(torch)):
        assert isinstance(call, Call)
        with pytest.raises(error, match=text):
            arrays(function(torch, label)(*call.args, **call.kwargs))
