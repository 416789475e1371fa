"""What is a view, what is a copy, and which writes are refused: as in PyTorch."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")

#: operand's shape, function
RESULTS = {
    "ravel": ((2, 3), lambda m, x: x.ravel()),
    "ravel of steps": ((6,), lambda m, x: x[::2].ravel()),
    "reshape of steps": ((6,), lambda m, x: x[::2].reshape(3, 1)),
    "flatten": ((2, 3), lambda m, x: x.flatten()),
    "pixel_shuffle": ((1, 4, 2, 2), lambda m, x: m.nn.functional.pixel_shuffle(x, 1)),
    "pixel_unshuffle": ((1, 4, 2, 2), lambda m, x: m.nn.functional.pixel_unshuffle(x, 1)),
    "sum_to_size": ((2, 3), lambda m, x: x.sum_to_size(2, 3)),
    "sum_to_size of a number": ((), lambda m, x: x.sum_to_size(())),
    "float": ((2, 3), lambda m, x: x.float()),
    "float, channels last": ((2, 3, 4, 5),
                             lambda m, x: x.float(memory_format=m.channels_last)),
    "to, channels last": ((2, 3, 4, 5), lambda m, x: x.to(memory_format=m.channels_last)),
    "to, preserved": ((2, 3, 4, 5), lambda m, x: x.to(memory_format=m.preserve_format)),
    "contiguous, channels last": ((2, 1, 4, 5),
                                  lambda m, x: x.contiguous(memory_format=m.channels_last)),
}


@pytest.mark.parametrize("name", RESULTS)
def test_view_or_copy(name):
    shape, function = RESULTS[name]
    found = []
    for module in (flambeau, torch):
        x = module.zeros(shape)
        function(module, x).fill_(1)
        found.append(x.numpy())
    np.testing.assert_array_equal(*found)


WRITES = {
    "fill_": lambda m, x: x.fill_(2), "zero_": lambda m, x: x.zero_(),
    "add_": lambda m, x: x.add_(1),
    "copy_": lambda m, x: x.copy_(m.ones(3)), "a number": lambda m, x: x.__setitem__(0, 5.0),
    "all": lambda m, x: x.__setitem__(slice(None), 5.0),
    "a tensor": lambda m, x: x.__setitem__(slice(None), m.ones(3)),
    "fill_ with a tensor": lambda m, x: x.fill_(m.tensor(3.0)),
}


@pytest.mark.parametrize("name", WRITES)
def test_writes_to_repeated_memory(name):
    found = []
    for module in (flambeau, torch):
        base = module.full((1,), 9.0)
        try:
            WRITES[name](module, base.expand(3))
            found.append(base.tolist())
        except RuntimeError as error:
            found.append(str(error)[:40])
    assert found[0] == found[1]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["sum", "prod", "mean", "amax", "amin"])
def test_reductions_of_a_16_bit_number(name, dtype):
    for _ in range(2):
        x = flambeau.tensor(1.5, dtype=getattr(flambeau, dtype))
        out = getattr(flambeau, name)(x)
        assert tuple(out.shape) == () and out.float().item() == 1.5


def test_out_may_not_be_an_operand_that_must_stay():
    index = flambeau.tensor([0, 1, 2, 0])
    with pytest.raises(RuntimeError, match="single memory location"):
        flambeau.gather(flambeau.arange(3), 0, index[1:3], out=index[:1])
    empty = flambeau.zeros(0)
    with pytest.raises(RuntimeError, match="single memory location"):
        flambeau.cat([empty, flambeau.ones(2)], out=empty)


def test_retained_gradient_of_what_was_written():
    found = []
    for module in (flambeau, torch):
        x = module.ones(2, 2, requires_grad=True)
        y = x * 3
        y.retain_grad()
        y.mul_(2).add_(1)
        (y * 5).sum().backward()
        found.append((y.grad.tolist(), x.grad.tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize("tier", ["0", "1"])
def test_parts_moved_within_their_memory(tier):
    with flambeau.base.flags.override(tier=tier):
        for _ in range(3):
            y = flambeau.tensor(np.arange(6.0)).view(3, 2).clone()
            y.tolist()
            y[1:] = y[:-1].clone()
            assert (y * 1).tolist() == [[0, 1], [0, 1], [2, 3]]


def test_resize_keeps_the_memory_that_views_share():
    for module in (flambeau, torch):
        a = module.arange(12.0)
        part = a[2:5]
        a.resize_(3, 4)
        part.fill_(-1)
        assert a.flatten().tolist() == [0, 1, -1, -1, -1, *range(5, 12)]
        turned = a.t()
        assert turned.resize_(4, 3).stride() == (1, 4)
        a.resize_(2, 2).fill_(7)
        assert a.resize_(12).tolist() == [7, 7, 7, 7, -1, *range(5, 12)]
        end = a[10:]
        end.resize_(4)[2:] = module.tensor([1.0, 2.0])
        assert end.storage_offset() == 10 and end.tolist() == [10, 11, 1, 2]
        assert a.resize_(14)[12:].tolist() == [1, 2]
        a.add_(1)
        assert end.tolist() == [11, 12, 2, 3]
        before = a._version
        assert a.resize_(14)._version == before == a.resize_(2, 7)._version - 1
