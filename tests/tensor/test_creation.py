"""Making tensors: values, dtypes, strides, sharing, warnings and errors as in PyTorch 2.13."""

import collections
import pickle
import warnings

import numpy as np
import pytest

import flambeau as torch


def facts(t):
    return tuple(t.shape), str(t.dtype)[6:], t.tolist()


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize("data, options, expected", [
    ([1, 2, 3], {}, ((3,), "int64", [1, 2, 3])),
    ([1, 2.5], {}, ((2,), "float32", [1.0, 2.5])),
    ([True, False], {}, ((2,), "bool", [True, False])),
    ([True, 2], {}, ((2,), "int64", [1, 2])),
    ([1, 2.5, 3j], {}, ((3,), "complex64", [1, 2.5, 3j])),
    ([[1.0, 2], [True, 4]], {}, ((2, 2), "float32", [[1.0, 2.0], [1.0, 4.0]])),
    (7, {}, ((), "int64", 7)),
    (Point(1, 2), {}, ((2,), "int64", [1, 2])),
    (range(3), {}, ((3,), "int64", [0, 1, 2])),
    (collections.deque([1, 2]), {}, ((2,), "int64", [1, 2])),
    (bytearray(b"ab"), {}, ((2,), "int64", [97, 98])),
    (torch.Size([1, 2]), {}, ((2,), "int64", [1, 2])),
    ([], {}, ((0,), "float32", [])),
    ([[], []], {}, ((2, 0), "float32", [[], []])),
    ([[], [1]], {}, ((2, 0), "float32", [[], []])),
    (np.float64(1), {}, ((), "float64", 1.0)),
    ([np.float64(1)], {}, ((1,), "float64", [1.0])),
    ([np.float32(1), 2.0], {}, ((2,), "float32", [1.0, 2.0])),
    ([np.int32(1), np.int64(2)], {}, ((2,), "int64", [1, 2])),
    ([np.array([1.0, 2]), [3, 4]], {}, ((2, 2), "float64", [[1.0, 2.0], [3.0, 4.0]])),
    ([torch.tensor(1.0), 2], {}, ((2,), "float32", [1.0, 2.0])),
    ([torch.tensor([1.0]), torch.tensor([2.0])], {}, ((2,), "float32", [1.0, 2.0])),
    ([1.7, -1.7], {"dtype": torch.int64}, ((2,), "int64", [1, -1])),
    ([-1], {"dtype": torch.uint8}, ((1,), "uint8", [255])),
    ([2, 0, -1], {"dtype": torch.bool}, ((3,), "bool", [True, False, True])),
    ([1.1], {"dtype": torch.bfloat16}, ((1,), "bfloat16", [1.1015625])),
    ([1e39], {}, ((1,), "float32", [float("inf")])),
    ([2**63, 1], {"dtype": torch.uint64}, ((2,), "uint64", [2**63, 1])),
    ([1], {"dtype": float}, ((1,), "float64", [1.0])),
])
def test_tensor(data, options, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert facts(torch.tensor(data, **options)) == expected


@pytest.mark.parametrize("call, error, text", [
    (lambda: torch.tensor([[1, 2], [3]]), ValueError, "length 2 at dim 1 \\(got 1\\)"),
    (lambda: torch.tensor([[[1], [2]], [[3], [4, 5]]]), ValueError,
     "length 1 at dim 2 \\(got 2\\)"),
    (lambda: torch.tensor([[1, 2], 3]), TypeError, "not a sequence"),
    (lambda: torch.tensor([1, [2, 3]]), TypeError, "cannot be interpreted as an integer"),
    (lambda: torch.tensor("abc"), TypeError, "invalid data type 'str'"),
    (lambda: torch.tensor(["a"]), ValueError, "too many dimensions 'str'"),
    (lambda: torch.tensor([1, None]), RuntimeError, "Could not infer dtype of NoneType"),
    (lambda: torch.tensor({1: 2}), RuntimeError, "Could not infer dtype of dict"),
    (lambda: torch.tensor([torch.ones(2), torch.ones(2)]), ValueError, "only one element tensors"),
    (lambda: torch.tensor(2**63), ValueError, "Overflow"),
    (lambda: torch.tensor([300], dtype=torch.uint8), RuntimeError, "uint8 without overflow"),
    (lambda: torch.tensor([float("nan")], dtype=torch.int64), RuntimeError, "overflow"),
    (lambda: torch.tensor([1 + 2j], dtype=torch.float32), TypeError, "real number"),
    (lambda: torch.tensor(np.array(["a"])), TypeError, "numpy.str_"),
    (lambda: torch.tensor(np.array([1], ">i4")), ValueError, "byte order"),
    (lambda: torch.tensor([1], dtype="float"), TypeError, "must be torch.dtype, not str"),
    (lambda: torch.tensor([1], device="cuda"), AssertionError, "CUDA"),
    (lambda: torch.tensor([1, 2], requires_grad=True), RuntimeError, "floating point and complex"),
    (lambda: torch.from_numpy([1]), TypeError, "expected np.ndarray \\(got list\\)"),
    (lambda: torch.from_numpy(np.zeros(3)[::-1]), ValueError, "negative"),
    (lambda: torch.zeros(), TypeError, "size"),
    (lambda: torch.zeros(2.0), TypeError, "must be tuple of ints, not float"),
    (lambda: torch.zeros(2, -1), RuntimeError, "non-negative"),
    (lambda: torch.zeros(2, device="mps"), RuntimeError, "mps"),
    (lambda: torch.zeros(2, pin_memory=True), RuntimeError, "pin_memory"),
    (lambda: torch.zeros(2, dtype=torch.float32, out=torch.empty(0, dtype=torch.int64)),
     RuntimeError, "dtype Float does not match"),
    (lambda: torch.full(2, 7), TypeError, "tuple of ints, not int"),
    (lambda: torch.full((2,), 300, dtype=torch.uint8), RuntimeError, "overflow"),
    (lambda: torch.arange(0, 5, 0), RuntimeError, "nonzero"),
    (lambda: torch.arange(5, 0), RuntimeError, "step sign"),
    (lambda: torch.arange(float("inf")), RuntimeError, "unsupported range"),
    (lambda: torch.arange(3, dtype=torch.bool), NotImplementedError, "Bool"),
    (lambda: torch.arange("a"), TypeError, "Number, not str"),
    (lambda: torch.linspace(0, 1, -1), RuntimeError, "non-negative"),
    (lambda: torch.linspace(0, 1), TypeError, "linspace"),
    (lambda: torch.eye(-1), RuntimeError, "greater or equal"),
    (lambda: torch.eye(2.5), TypeError, "must be int"),
    (lambda: torch.zeros_like([1]), TypeError, "must be Tensor, not list"),
    (lambda: torch.rand(2, dtype=torch.int64), NotImplementedError, "Long"),
    (lambda: torch.randn(2, dtype=torch.int64), NotImplementedError, "Long"),
    (lambda: torch.rand(2, generator=3), TypeError, "generator"),
    (lambda: torch.randint(5, 1, (2,)), RuntimeError, "less than"),
    (lambda: torch.randint(0, 300, (2,), dtype=torch.uint8), RuntimeError, "out of bounds"),
    (lambda: torch.randint(5), TypeError, "randint"),
    (lambda: torch.randperm(-1), RuntimeError, "negative dimension"),
    (lambda: torch.normal(0.0, 1.0), TypeError, "size"),
    (lambda: torch.normal(0.0, torch.tensor([-1.0])), RuntimeError, "std >= 0"),
    (lambda: torch.bernoulli(torch.tensor([0.5, 2.0])), RuntimeError, "p_in"),
    (lambda: torch.multinomial(torch.ones(3), 4), RuntimeError, "without replacement"),
    (lambda: torch.multinomial(torch.ones(2, 2, 2), 1), RuntimeError, "1 or 2 dim"),
    (lambda: torch.empty(2).uniform_(1, 0), RuntimeError, "from=1 > to=0"),
    (lambda: torch.empty(2, dtype=torch.int64).exponential_(), RuntimeError, "Exponential"),
    (lambda: torch.ones(2, requires_grad=True).uniform_(), RuntimeError, "leaf Variable"),
    (lambda: torch.frombuffer(bytearray(b"abc"), dtype=torch.int32), ValueError, "multiple"),
    (lambda: torch.asarray([1.0], copy=False), ValueError, "alias"),
    (lambda: torch.set_rng_state(3), TypeError, "ByteTensor"),
    (lambda: torch.ones(2, requires_grad=True).__dlpack__(), BufferError, "detach"),
])
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("make, expected", [
    (lambda: torch.zeros(2, 3), ((2, 3), "float32", [[0.0] * 3] * 2)),
    (lambda: torch.zeros((2,), dtype=torch.int64), ((2,), "int64", [0, 0])),
    (lambda: torch.ones(torch.tensor(2)), ((2,), "float32", [1.0, 1.0])),
    (lambda: torch.zeros(()), ((), "float32", 0.0)),
    (lambda: torch.full((2,), 7), ((2,), "int64", [7, 7])),
    (lambda: torch.full((2,), True), ((2,), "bool", [True, True])),
    (lambda: torch.full((2,), torch.tensor(3.0)), ((2,), "float32", [3.0, 3.0])),
    (lambda: torch.scalar_tensor(3), ((), "float32", 3.0)),
    (lambda: torch.arange(5), ((5,), "int64", [0, 1, 2, 3, 4])),
    (lambda: torch.arange(1, 2.5, 0.5), ((3,), "float32", [1.0, 1.5, 2.0])),
    (lambda: torch.arange(5, 0, -2), ((3,), "int64", [5, 3, 1])),
    (lambda: torch.arange(start=1, end=4), ((3,), "int64", [1, 2, 3])),
    (lambda: torch.arange(0, 5, 1.7, dtype=torch.int32), ((3,), "int32", [0, 1, 2])),
    (lambda: torch.arange(0, 5, 1.7, dtype=torch.int64), ((5,), "int64", [0, 1, 2, 3, 4])),
    (lambda: torch.linspace(0, 1, 5), ((5,), "float32", [0.0, 0.25, 0.5, 0.75, 1.0])),
    (lambda: torch.linspace(0, 10, 4, dtype=torch.int64), ((4,), "int64", [0, 3, 6, 10])),
    (lambda: torch.logspace(0, 2, 3), ((3,), "float32", [1.0, 10.0, 100.0])),
    (lambda: torch.logspace(0, 2, 3, base=2), ((3,), "float32", [1.0, 2.0, 4.0])),
    (lambda: torch.eye(2, 3), ((2, 3), "float32", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])),
    (lambda: torch.triu_indices(3, 3, 1), ((2, 3), "int64", [[0, 0, 1], [1, 2, 2]])),
    (lambda: torch.tril_indices(2, 2), ((2, 3), "int64", [[0, 1, 1], [0, 0, 1]])),
    (lambda: torch.complex(torch.ones(2), torch.zeros(2)), ((2,), "complex64", [1, 1])),
    (lambda: torch.ones(2, dtype=torch.int32).new_zeros(2), ((2,), "int32", [0, 0])),
    (lambda: torch.ones(2).new_full((2,), 3), ((2,), "float32", [3.0, 3.0])),
    (lambda: torch.ones(2, dtype=torch.int64).new_tensor([1.5]), ((1,), "int64", [1])),
    (lambda: torch.zeros(2, out=torch.empty(0, dtype=torch.int64)), ((2,), "int64", [0, 0])),
    (lambda: torch.Tensor([1, 2]), ((2,), "float32", [1.0, 2.0])),
    (lambda: torch.LongTensor([1, 2]), ((2,), "int64", [1, 2])),
    (lambda: torch.frombuffer(bytearray(b"abcdefgh"), dtype=torch.int32),
     ((2,), "int32", [1684234849, 1751606885])),
])
def test_values(make, expected):
    assert facts(make()) == expected


@pytest.mark.parametrize("start, step, n, at, expected", [
    # the lanes of a vector count from its first element, which was rounded
    (-7.3, 0.17, 40, 13, -5.090000152587891),
    (0.1, 0.1, 20, 9, 1.0),
])
def test_float_ranges_round_as_pytorch_does(start, step, n, at, expected):
    assert torch.arange(start, start + n * step, step)[at].item() == expected


def test_ranges_like_torch():
    oracle = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for name in ("float32", "float64", "bfloat16"):
        ours, theirs = getattr(torch, name), getattr(oracle, name)
        for _ in range(40):
            a, b = rng.normal(size=2).tolist()
            n, step = int(rng.integers(1, 80)), abs(b) / 3 + 0.01
            pairs = ((torch.arange(a, a + n * step, step, dtype=ours),
                      oracle.arange(a, a + n * step, step, dtype=theirs)),
                     (torch.linspace(a, b, n, dtype=ours), oracle.linspace(a, b, n, dtype=theirs)))
            for x, y in pairs:
                assert x.tolist() == y.tolist()


def test_strides():
    base = torch.ones(2, 3, 4).permute(2, 0, 1)
    assert torch.empty_like(base).stride() == (1, 12, 4)
    assert torch.ones_like(torch.ones(2, 3)[:, ::2]).stride() == (2, 1)
    assert torch.ones_like(torch.ones(3, 1).expand(3, 4)).stride() == (4, 1)
    assert torch.zeros_like(torch.ones(2, 8)[::2]).stride() == (16, 1)
    assert torch.empty_strided((2, 3), (1, 2)).stride() == (1, 2)
    assert torch.empty(2, 3, 4, 5, memory_format=torch.channels_last).stride() == (60, 1, 15, 3)
    assert torch.zeros_like(base).tolist() == np.zeros((4, 2, 3)).tolist()


def test_sharing_and_copying():
    a = np.array([1.0, 2.0])
    shared, also, copied = torch.from_numpy(a), torch.as_tensor(a), torch.tensor(a)
    a[0] = 5
    assert (shared.tolist(), also.tolist(), copied.tolist()) == ([5.0, 2.0], [5.0, 2.0], [1.0, 2.0])
    t = torch.ones(2)
    assert torch.as_tensor(t) is t and torch.asarray(t) is not None
    assert torch.as_tensor(a, dtype=torch.float32).dtype is torch.float32
    assert torch.asarray(a, copy=True).numpy() is not a


def test_warnings():
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        copy = torch.tensor(torch.ones(2, requires_grad=True))
    assert not copy.requires_grad
    with pytest.warns(UserWarning, match="torch.range is deprecated"):
        assert torch.range(1, 3).tolist() == [1.0, 2.0, 3.0]


def test_default_device_and_meta():
    with torch.device("meta"):
        assert torch.zeros(2).device.type == torch.randn(2).device.type == "meta"
    assert torch.zeros(2).device.type == "cpu"
    torch.set_default_device("meta")
    try:
        assert torch.ones(1).is_meta and torch.get_default_device().type == "meta"
    finally:
        torch.set_default_device(None)
    assert repr(torch.zeros(2, device="meta")) == "tensor(..., device='meta', size=(2,))"


def test_constants_are_independent():
    a, b = torch.zeros(3), torch.zeros(3)
    a[1] = 5
    a.add_(1)
    assert a.tolist() == [1.0, 6.0, 1.0] and b.tolist() == [0.0] * 3


def test_random_numbers_by_seed():
    torch.manual_seed(0)
    assert [round(x, 4) for x in torch.rand(3).tolist()] == [0.4963, 0.7682, 0.0885]
    assert torch.initial_seed() == 0
    state = torch.get_rng_state()
    first = torch.randn(5)
    torch.set_rng_state(state)
    assert torch.equal(first, torch.randn(5))
    g = torch.Generator().manual_seed(0)
    assert torch.rand(3, generator=g).tolist() == torch.rand(
        3, generator=torch.Generator().manual_seed(0)).tolist()
    assert g.get_state().shape == (5056,)


def test_fills_keep_the_tape():
    x = torch.ones(3, requires_grad=True)
    y = (x * 2).normal_()
    assert type(y.grad_fn).__name__ == "NormalBackward0"
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


def test_fills_follow_the_order_of_memory():
    torch.manual_seed(3)
    flat = torch.empty(6).uniform_()
    torch.manual_seed(3)
    turned = torch.empty(3, 2).t().uniform_()
    assert turned.t().reshape(-1).tolist() == flat.tolist()


def test_complex_draws_have_unit_variance():
    torch.manual_seed(0)
    z = torch.randn(4000, dtype=torch.complex64).numpy()
    assert abs((abs(z) ** 2).mean() - 1) < 0.1


def test_multinomial_shapes():
    assert torch.multinomial(torch.ones(4), 2).shape == (2,)
    assert torch.multinomial(torch.ones(3, 4), 2).shape == (3, 2)
    assert torch.ones(3, 4).multinomial(9, True).shape == (3, 9)


def test_dlpack():
    ours = torch.arange(3.0)
    array = np.from_dlpack(ours)
    ours[0] = 7
    assert array.tolist() == [7.0, 1.0, 2.0]
    there = np.zeros(2, np.int32)
    back = torch.from_dlpack(there)
    back[1] = 4
    assert there.tolist() == [0, 4]
    assert torch.from_dlpack(torch.to_dlpack(ours)).tolist() == ours.tolist()
    assert ours.__dlpack_device__() == (1, 0)


def test_numpy_functions_take_tensors():
    t = torch.tensor([1.0, 4.0])
    assert np.asarray(t).tolist() == [1.0, 4.0]
    assert isinstance(np.sqrt(t), torch.Tensor) and np.sqrt(t).tolist() == [1.0, 2.0]
    assert isinstance(np.ones(2) * t, torch.Tensor)


def test_printing_and_formatting():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    assert repr(x * 2) == "tensor([2., 4.], grad_fn=<MulBackward0>)"
    assert f"{torch.tensor(0.5):.3f} {torch.tensor(3)} {x.detach()}" == "0.500 3 tensor([1., 2.])"
    with pytest.raises(TypeError, match="unsupported format string"):
        format(x, ".2f")


def test_pickle_of_formats():
    for thing in (torch.strided, torch.channels_last):
        assert repr(thing).startswith("torch.")
    assert isinstance(pickle.loads(pickle.dumps(torch.Generator().manual_seed(3))),
                      torch.Generator)


def test_typed_constructors():
    assert isinstance(torch.zeros(2), torch.FloatTensor)
    assert not isinstance(torch.zeros(2), torch.LongTensor)
    assert torch.Tensor(2, 3).shape == (2, 3)
    assert torch.Tensor().shape == (0,)


class _Tagged(torch.Tensor):
    @staticmethod
    def __new__(cls, data, tag=None):
        return torch.Tensor._make_subclass(cls, data)

    def __init__(self, data, tag=None):
        self.tag = tag


def test_subclasses_of_tensor():
    t = _Tagged(torch.ones(2), tag=5)
    assert t.tag == 5 and repr(t) == "_Tagged([1., 1.])"
    x = torch.ones(2, requires_grad=True)
    assert type(x.as_subclass(_Tagged)) is _Tagged and x.as_subclass(_Tagged).requires_grad
    assert torch.ones(2, dtype=torch.int32).new([1, 2]).dtype is torch.int32
    with pytest.raises(TypeError, match="must be a sequence"):
        torch.Tensor(5.0)


def test_dlpack_module():
    assert torch.utils.dlpack.from_dlpack(
        torch.utils.dlpack.to_dlpack(torch.ones(2))).tolist() == [1.0, 1.0]
