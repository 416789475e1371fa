"""Memory shared with PyTorch and NumPy: DLPack both ways, ``__array__``."""

import numpy as np
import pytest

import flambeau as torch

oracle = pytest.importorskip("torch")

DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool",
          "complex64", "complex128"]


def _pair(dtype: str):
    array = (np.arange(24).reshape(2, 3, 4) % 5).astype(dtype)
    return torch.from_numpy(array.copy()), oracle.from_numpy(array.copy())


VIEWS = [lambda t: t, lambda t: t[1:], lambda t: t.transpose(0, 2), lambda t: t[:, ::2, 1],
         lambda t: t[0, 0, 0], lambda t: t[:0], lambda t: t[0, :1].expand(3, 4)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("view", range(len(VIEWS)))
def test_dlpack_both_ways(dtype, view):
    ours, theirs = _pair(dtype)
    mine, other = VIEWS[view](ours), VIEWS[view](theirs)
    there = oracle.from_dlpack(mine)
    here = torch.from_dlpack(other)
    for got, like in ((there, other), (here, mine)):
        assert tuple(got.shape) == tuple(like.shape) and got.tolist() == like.tolist()
        assert str(got.dtype) == str(like.dtype)
    if mine.numel() and view != 6:
        assert tuple(there.stride()) == tuple(other.stride())
        assert tuple(here.stride()) == tuple(mine.stride())
        there.fill_(1)
        here.fill_(1)
        assert mine.tolist() == there.tolist() and other.tolist() == here.tolist()
        mine.fill_(0)
        other.fill_(0)
        assert mine.tolist() == there.tolist() and other.tolist() == here.tolist()


@pytest.mark.parametrize("make", [
    lambda t: t.ones(2, requires_grad=True).__dlpack__(),
    lambda t: t.ones(2, device="meta").__dlpack__(),
    lambda t: t.from_dlpack(5),
    lambda t: t.ones(2, requires_grad=True).__array__(),
    lambda t: np.asarray(t.ones(2, requires_grad=True)),
])
def test_the_same_errors(make):
    with pytest.raises(Exception) as ours:
        make(torch)
    with pytest.raises(Exception) as theirs:
        make(oracle)
    assert type(ours.value) is type(theirs.value), (ours.value, theirs.value)


def test_device():
    assert tuple(torch.ones(2).__dlpack_device__()) == tuple(oracle.ones(2).__dlpack_device__())


@pytest.mark.filterwarnings("ignore:__array")
@pytest.mark.parametrize("dtype", DTYPES)
def test_array_protocol(dtype):
    ours, theirs = _pair(dtype)
    for call in (np.asarray, np.array, lambda t: t.__array__(), lambda t: t.__array__("float64")
                 if dtype[:7] != "complex" else t.__array__(), lambda t: np.asarray(t[1])):
        a, b = call(ours), call(theirs)
        assert a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
        shared = np.shares_memory(b, theirs.numpy())
        assert np.shares_memory(a, ours.numpy()) == shared


@pytest.mark.parametrize("call", [
    lambda t: np.sqrt(t), lambda t: np.add(t, 1), lambda t: t + np.ones(3), lambda t: np.isnan(t),
    lambda t: np.float64(2) * t, lambda t: t * np.float32(2), lambda t: np.stack([t, t]),
    lambda t: np.concatenate([t, np.zeros(1)]), lambda t: np.maximum(t, 2),
    lambda t: np.dot(np.eye(3), t)])
@pytest.mark.filterwarnings("ignore:__array")
def test_numpy_functions_give_what_pytorch_gives(call):
    a, b = call(torch.tensor([1.0, 4.0, 9.0])), call(oracle.tensor([1.0, 4.0, 9.0]))
    assert type(a).__name__ == type(b).__name__
    assert np.allclose(np.asarray(a), np.asarray(b))
    assert str(getattr(a, "dtype", "")) == str(getattr(b, "dtype", ""))
