"""Every declared call gives what PyTorch gives: values, dtypes, shapes and gradients."""

import numpy as np
import pytest
from flambeau.ir.api import API
from flambeau.testing.op_cases import (Call, Maker, arrays, cases, converted, flat, function,
                                       is_random, labels)

import flambeau

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")


#: not compared: why
APART = {
    "kthvalue": "which of equal values it names is not specified",
    "topk": "which of equal values it names is not specified",
    "bucketize": "boundaries that are not sorted have no specified result",
    "ldexp": "PyTorch's gradient is zero for negative whole exponents",
    "sgn": "PyTorch's gradient is an internal kind of zero tensor",
    "vander": "PyTorch's own backward fails",
    "fill": "PyTorch's gradient is None",
}


def run(module, label, dtype, grad, number):
    """Results of one case; with grad, also the gradients of a fixed combination of the results."""
    call = cases(label, Maker(flambeau, dtype, grad=grad))[number]
    call = Call(converted(call.args, module),
                {k: converted(v, module) for k, v in call.kwargs.items()})
    result = function(module, label)(*call.args, **call.kwargs)
    if not grad:
        return arrays(result)
    outs = [t for t in flat(result) if hasattr(t, "requires_grad") and t.requires_grad]
    inputs = [t for t in call.tensors() if t.requires_grad]
    if not outs or not inputs:
        return []
    rng = np.random.RandomState(1)
    total = 0
    for t in outs:
        weight = module.tensor(rng.standard_normal(tuple(t.shape)))
        real = module.view_as_real(t.resolve_conj()).sum(-1) if t.is_complex() else t
        total = total + (real * weight).sum()
    total.backward()
    return [None if t.grad is None else t.grad.numpy() for t in inputs]


def outcome(module, *case):
    try:
        return run(module, *case)
    except Exception as error:  # noqa: BLE001  (whatever it is, both must agree)
        return error


@pytest.mark.parametrize("label", labels())
def test_same_as_torch(label):
    entry = API[label]
    if is_random(entry) or function(torch, label) is None or label in APART:
        pytest.skip(APART.get(label, "random, or PyTorch has no such function"))
    dtypes = {"float": ("float32", "float64"), "int": ("int64", "int32"),
              "number": ("float32", "int64", "int32", "uint8"),
              "any": ("float32", "int64", "bool")}[entry.dtypes]
    runs = [(d, False) for d in dtypes] + [("float64", True)]
    for number in range(len(cases(label, Maker(flambeau)))):
        for dtype, grad in runs:
            ours = outcome(flambeau, label, dtype, grad, number)
            theirs = outcome(torch, label, dtype, grad, number)
            where = f"{label}, case {number}, {dtype}{', gradient' if grad else ''}"
            if isinstance(theirs, Exception):
                assert isinstance(ours, Exception), f"{where}: PyTorch raises {theirs!r}"
                continue
            if isinstance(ours, Exception):
                raise AssertionError(f"{where}: PyTorch computes it") from ours
            compare(ours, theirs, where)


def compare(ours, theirs, where):
    assert len(ours) == len(theirs), where
    for a, b in zip(ours, theirs, strict=True):
        if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
            assert a is b or np.array_equal(a, b), f"{where}: {a} != {b}"
            continue
        assert a.shape == b.shape and a.dtype == b.dtype, \
            f"{where}: {a.dtype}{a.shape} != {b.dtype}{b.shape}"
        if b.dtype.kind in "fc":
            single = b.dtype in (np.float32, np.complex64)
            scale = max(1.0, float(np.max(np.abs(np.where(np.isfinite(b), b, 0)), initial=0)))
            np.testing.assert_allclose(a, b, 2e-5 if single else 1e-7,
                                       (3e-6 if single else 1e-9) * scale, err_msg=where)
        else:
            np.testing.assert_array_equal(a, b, err_msg=where)
