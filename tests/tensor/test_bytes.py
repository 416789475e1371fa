"""Memory as bytes: storages from files, slices of storages, tensors viewed as another dtype."""

import sys

import pytest

import flambeau as torch


def test_storage_from_file(tmp_path):
    path = str(tmp_path / "bytes")
    with open(path, "wb") as file:
        file.write(bytes(range(16)))
    private = torch.UntypedStorage.from_file(path, False, 16)
    x = torch.asarray(private[4:12], dtype=torch.uint8)
    assert x.tolist() == list(range(4, 12))
    x.add_(1)
    assert private.tolist()[4] == 5 and open(path, "rb").read() == bytes(range(16))
    shared = torch.UntypedStorage.from_file(path, True, 20)
    torch.asarray(shared, dtype=torch.uint8).fill_(7)
    assert open(path, "rb").read() == bytes([7] * 20)
    with pytest.raises(RuntimeError, match="smaller than the required mapping size"):
        torch.UntypedStorage.from_file(path, False, 100)


def test_slices_share_memory():
    x = torch.zeros(4)
    part = torch.asarray(x.untyped_storage()[4:12], dtype=torch.float32)
    part += 3
    assert x.tolist() == [0, 3, 3, 0]
    with pytest.raises(RuntimeError, match="only a step of 1"):
        x.untyped_storage()[::2]


def test_size_in_memory():
    """What memory reports add up: the elements, and a little for the object."""
    x = torch.zeros(5)
    assert 20 < sys.getsizeof(x.untyped_storage()) <= 20 + 100


@pytest.mark.parametrize(("shape", "source", "target", "out"), [
    ((2, 3), "float32", "int32", (2, 3)), ((2, 4), "float32", "int64", (2, 2)),
    ((2, 2), "float32", "uint8", (2, 8)), ((0,), "float32", "int16", (0,)),
    ((), "float32", "int32", ()), ((3, 2), "bfloat16", "float32", (3, 1))])
def test_view_as_dtype(shape, source, target, out):
    source, target = getattr(torch, source), getattr(torch, target)
    x = torch.arange(torch.Size(shape).numel()).reshape(shape).to(source)
    y = x.view(dtype=target)
    assert tuple(y.shape) == out and y.dtype is target
    assert torch.equal(y.view(source), x)
    y.zero_()
    assert not x.any()  # the same memory


@pytest.mark.parametrize(("make", "target", "message"), [
    (lambda: torch.tensor(1.0), "int64", r"self.dim\(\) cannot be 0 to view Float as Long"),
    (lambda: torch.zeros(2, 3).t(), "int16", r"self.stride\(-1\) must be 1 .* but got 3"),
    (lambda: torch.zeros(3), "int64", r"self.size\(-1\) must be divisible by 2 .* but got 3"),
    (lambda: torch.zeros(4)[1:3], "int64", r"self.storage_offset\(\) must be divisible by 2"),
    (lambda: torch.zeros(3, 5)[:, :2], "float64", r"self.stride\(0\) must be divisible by 2")])
def test_view_as_dtype_errors(make, target, message):
    with pytest.raises(RuntimeError, match=message):
        make().view(getattr(torch, target))
