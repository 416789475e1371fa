"""Tensors print as PyTorch prints them: golden texts (``printing.txt``) and a fuzz beside it."""

import pathlib
import random

import ml_dtypes
import numpy as np
import pytest

from flambeau.base import dtype as dt
from flambeau.tensor import printing

GOLDEN = pathlib.Path(__file__).with_name("printing.txt")
_wave = np.sin(np.arange(4000.0) * 1.7)


def _f(*shape, scale=1.0, dtype=np.float32):
    n = int(np.prod(shape))
    return (_wave[:n] * scale).reshape(shape).astype(dtype)


def _i(*shape, step=7, dtype=np.int64):
    return (np.arange(np.prod(shape)) * step - 11).reshape(shape).astype(dtype)


#: (array, print options)
CASES = [
    (np.float32(146.0), {}), (np.int64(5), {}), (np.bool_(True), {}), (np.float32(2.5), {}),
    (np.complex64(1 - 2j), {}), (np.float64(0.1), {}), (np.float32("nan"), {}),
    (_f(3), {}), (_f(20), {}), (_f(2, 3), {}), (_f(2, 3, 4), {}), (_f(1, 1, 2), {}),
    (_f(3, scale=1e5), {}), (_f(3, scale=1e9), {}), (_f(3, scale=1e-6), {}),
    (_f(9, scale=3.0).round(), {}), (_f(4, scale=1e6).round(), {}),
    (np.array([1e-5, 1.0], "f"), {}), (np.array([100000.0, 0.001], "f"), {}),
    (np.array([np.nan, np.inf, -1.0], "f"), {}), (np.array([np.nan, -np.inf], "f"), {}),
    (np.array([np.inf, 0.25, -3.0], "f"), {}), (np.array([0.0, -0.0], "f"), {}),
    (_f(5, dtype=np.float64), {}), (_f(5, dtype=np.float16), {}),
    (_f(5, dtype=ml_dtypes.bfloat16), {}), (_f(5, scale=1e5, dtype=np.float64), {}),
    (_i(5), {}), (_i(2, 15), {}), (_i(4, dtype=np.int32), {}), (_i(4, step=9, dtype=np.uint8), {}),
    (_i(4, dtype=np.int8), {}), (_i(3, dtype=np.uint64) % 100, {}), (_i(2, 3) % 2 == 0, {}),
    (np.zeros(0, "f"), {}), (np.zeros((0, 3), "f"), {}), (np.zeros((2, 0, 3), np.int64), {}),
    (np.zeros(0, np.int64), {}), (np.zeros((3, 2), "f"), {}),
    (_f(4) + 1j * _f(4, scale=-100), {}), (_f(2, 2).round() + 1j, {}),
    (_f(1001), {}), (_f(40, 30), {}), (_f(11, 10, 12), {}), (_i(7, 7, 7, 7), {}),
    (_f(2, 600) + 1j * _f(2, 600), {}), (_i(1200, 1), {}), (_f(1, 1500, scale=1e4), {}),
    (_f(1000), {}), (_f(3, 3), {"precision": 2}), (_f(3, 3), {"sci_mode": True}),
    (_f(3, scale=1e9), {"sci_mode": False}), (_f(30, 2), {"threshold": 10}),
    (_f(30), {"threshold": 10, "edgeitems": 1}), (_f(30, 30), {"edgeitems": 0, "threshold": 3}),
    (_f(12), {"linewidth": 40}), (_f(1200), {"profile": "short"}), (_f(50, 3), {"profile": "full"}),
    (_f(4, scale=1e5).round(), {"sci_mode": True}),
]


@pytest.fixture(autouse=True)
def _default_options():
    yield
    printing.set_printoptions(profile="default")


def text(array, options, **facts):
    array = np.asarray(array)
    printing.set_printoptions(profile="default")
    printing.set_printoptions(**options)
    return printing.tensor_repr(array, dtype=dt.from_numpy(array.dtype), **facts)


def goldens():
    return GOLDEN.read_text().split("\n====\n")


@pytest.mark.parametrize("number", range(len(CASES)))
def test_golden(number):
    array, options = CASES[number]
    assert text(array, options) == goldens()[number]


@pytest.mark.parametrize("facts, shown", [
    ({"requires_grad": True}, "tensor([1., 2.], requires_grad=True)"),
    ({"requires_grad": True, "grad_fn_name": "MulBackward0"},
     "tensor([1., 2.], grad_fn=<MulBackward0>)"),
    ({"device": "cuda:0"}, "tensor([1., 2.], device='cuda:0')"),
    ({"prefix": "MyTensor("}, "MyTensor([1., 2.])"),
])
def test_remarks(facts, shown):
    assert text(np.array([1, 2], np.float32), {}, **facts) == shown


def test_remarks_take_a_new_line_when_the_last_is_full():
    shown = text(np.arange(20, dtype=np.float64), {}, grad_fn_name="SomethingLongBackward0")
    assert shown.endswith("18., 19.], dtype=torch.float64,\n"
                          "       grad_fn=<SomethingLongBackward0>)")


def test_meta():
    shown = printing.tensor_repr(None, dtype=dt.float16, shape=(2, 3), device="meta")
    assert shown == "tensor(..., device='meta', size=(2, 3), dtype=torch.float16)"


def test_options_come_back():
    before = printing.get_printoptions()
    with printing.printoptions(precision=1, sci_mode=True):
        assert printing.get_printoptions()["precision"] == 1
    assert printing.get_printoptions() == before


def test_default_dtype_is_not_shown():
    dt.set_default_dtype(dt.float64)
    try:
        assert text(np.ones(1), {}) == "tensor([1.])"
        assert text(np.ones(1, np.float32), {}) == "tensor([1.], dtype=torch.float32)"
        assert text(np.ones(1, np.complex128), {}) == "tensor([1.+0.j])"
    finally:
        dt.set_default_dtype(dt.float32)


# -- beside PyTorch ------------------------------------------------------------------------------

def as_torch(torch, array):
    array = np.asarray(array)
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def torch_text(torch, array, options):
    """PyTorch's text (this made ``printing.txt``)."""
    torch.set_printoptions(profile="default")
    torch.set_printoptions(**options)
    try:
        return repr(as_torch(torch, array))
    finally:
        torch.set_printoptions(profile="default")


def test_like_torch():
    torch = pytest.importorskip("torch")
    choose = random.Random(0)
    rng = np.random.default_rng(0)
    for _ in range(400):
        shape = choose.choice([(), (1,), (7,), (20,), (2, 3), (0, 2), (40, 30), (3, 4, 5), (1001,)])
        x = rng.normal(size=shape) * choose.choice([1, 10, 1e5, 1e9, 1e-5, 0])
        x = choose.choice([lambda v: v, np.round, np.abs, lambda v: v * 10.0 ** np.round(v % 9)])(x)
        x = np.asarray(x)
        if choose.random() < 0.2:
            x[rng.random(shape) < 0.3] = choose.choice([np.nan, np.inf, -np.inf, -0.0])
        kind = choose.choice(["f4", "f8", "f2", "i8", "i4", "?", "c8", ml_dtypes.bfloat16])
        with np.errstate(all="ignore"):
            x = x.astype(kind)
        options = choose.choice([{}, {}, {"precision": 2}, {"sci_mode": True}, {"linewidth": 50},
                                 {"threshold": 5, "edgeitems": 2}])
        assert text(x, options) == torch_text(torch, x, options)
