"""Loaders, samplers, splits and collation against PyTorch: the same order for a seed, the same
batches, the same errors."""

import collections
import warnings

import numpy as np
import pytest

import flambeau
import flambeau.utils.data

torch = pytest.importorskip("torch")
pytest.importorskip("torch.utils.data")
Pair = collections.namedtuple("Pair", "a b")


def shown(x):
    if isinstance(x, (list, tuple)):
        return type(x).__name__, [shown(v) for v in x]
    if isinstance(x, dict):
        return type(x).__name__, {k: shown(v) for k, v in x.items()}
    if hasattr(x, "tolist") and hasattr(x, "dtype"):
        return x.tolist(), str(x.dtype), tuple(x.shape)
    return x


class Samples:
    def __init__(self, m):
        self.m = m

    def __len__(self):
        return 23

    def __getitem__(self, i):
        return {"x": self.m.tensor([i, i + 0.5]), "y": i, "n": np.float32(i),
                "a": np.arange(3) + i, "s": str(i), "t": (i, [i * 2.0, True])}


def datasets(m):
    d = m.utils.data
    tensors = d.TensorDataset(m.arange(20.0).reshape(10, 2), m.arange(10))
    subset = d.Subset(tensors, [5, 3, 9, 9, 0])
    return [tensors, subset, Samples(m), list(range(11)), d.ConcatDataset([tensors, subset]),
            d.StackDataset(tensors, tensors), d.StackDataset(a=tensors, b=tensors),
            d.Subset(subset, [0, 2]), m.arange(13)]


OPTIONS = [
    lambda d, n, g: {"batch_size": 3},
    lambda d, n, g: {"batch_size": 3, "shuffle": True},
    lambda d, n, g: {"batch_size": 4, "shuffle": True, "drop_last": True},
    lambda d, n, g: {"batch_size": 5, "drop_last": True},
    lambda d, n, g: {"batch_size": None, "shuffle": True},
    lambda d, n, g: {"batch_size": 3, "shuffle": True, "generator": g},
    lambda d, n, g: {"batch_size": 3, "sampler": d.RandomSampler(
        range(n), replacement=True, num_samples=40)},
    lambda d, n, g: {"batch_size": 3, "sampler": d.RandomSampler(
        range(n), replacement=True, generator=g)},
    lambda d, n, g: {"batch_size": 2, "sampler": d.RandomSampler(range(n), num_samples=7)},
    lambda d, n, g: {"sampler": d.WeightedRandomSampler([1.0, 2.0], 4)},
    lambda d, n, g: {"sampler": d.WeightedRandomSampler([1.0, 2.0], 2, replacement=False)},
    lambda d, n, g: {"batch_sampler": d.BatchSampler(
        d.SubsetRandomSampler(range(min(n, 6))), 4, False)},
]


def epochs(m, number, options, seed):
    dataset = datasets(m)[number]
    generator = m.Generator().manual_seed(seed + 5)
    m.manual_seed(seed)
    loader = m.utils.data.DataLoader(
        dataset, **options(m.utils.data, len(dataset), generator))
    seen = [[shown(batch) for batch in loader] for _ in range(2)]
    return seen, m.rand(1).tolist(), m.rand(1, generator=generator).tolist(), len(loader)


@pytest.mark.parametrize("seed", [0, 42])
@pytest.mark.parametrize("options", OPTIONS)
def test_batches(options, seed):
    for number in range(len(datasets(flambeau))):
        assert epochs(flambeau, number, options, seed) == epochs(torch, number, options, seed)


@pytest.mark.parametrize("options", [
    {"batch_size": 3}, {"batch_size": 4, "drop_last": True}, {"batch_size": None}])
def test_iterable_datasets(options):
    def run(m):
        class Ten(m.utils.data.IterableDataset):
            def __iter__(self):
                return iter(range(10))

        m.manual_seed(1)
        both = Ten() + Ten()
        return ([shown(b) for b in m.utils.data.DataLoader(both, **options)], m.rand(1).tolist())

    assert run(flambeau) == run(torch)


def test_iterable_length_is_checked():
    class Short(flambeau.utils.data.IterableDataset):
        def __len__(self):
            return 2

        def __iter__(self):
            return iter(range(4))

    loader = flambeau.utils.data.DataLoader(Short(), batch_size=None)
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="was reported to be 2"):
        list(loader)


def test_random_split():
    def run(m):
        d = m.utils.data
        m.manual_seed(3)
        parts = d.random_split(range(10), [3, 7])
        parts += d.random_split(range(11), [0.5, 0.25, 0.25],
                                generator=m.Generator().manual_seed(4))
        return [list(p.indices) for p in parts]

    assert run(flambeau) == run(torch)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("n", [2, 11, 12])
def test_distributed_sampler(n, shuffle, drop_last):
    def run(m):
        out = []
        for rank in range(3):
            sampler = m.utils.data.DistributedSampler(
                range(n), num_replicas=3, rank=rank, shuffle=shuffle, drop_last=drop_last)
            sampler.set_epoch(2)
            out.append((list(sampler), len(sampler)))
        return out

    assert run(flambeau) == run(torch)


BATCHES = [
    lambda m: [1, 2], lambda m: [1.0, 2], lambda m: [True, False], lambda m: ["a", "b"],
    lambda m: [b"a", b"b"], lambda m: [Pair(1, 2.0), Pair(3, 4.0)],
    lambda m: [np.int16(3), np.int16(4)], lambda m: [np.ones(2), np.zeros(2)],
    lambda m: [{"a": 1}, {"a": 2}], lambda m: [[1, 2], [3, 4]], lambda m: [(1, "x"), (2, "y")],
    lambda m: [m.tensor(1), m.tensor(2)], lambda m: [m.ones(2, 3).t(), m.ones(3, 2)],
    lambda m: [np.float64(1), np.float64(2)], lambda m: [collections.OrderedDict(a=1)] * 2,
    lambda m: [np.bool_(1)] * 2, lambda m: [[1, 2], [3]], lambda m: [m.ones(2), m.ones(3)],
    lambda m: [object(), object()], lambda m: [None], lambda m: [np.array(["a"])] * 2,
    lambda m: [{"a": 1}, {"b": 2}], lambda m: list(m.arange(12.0).reshape(3, 4)),
    lambda m: list(m.arange(12.0).reshape(3, 4).t()), lambda m: [m.ones(0), m.ones(0)],
    lambda m: [m.ones(2, dtype=m.bfloat16)] * 3,
]


@pytest.mark.parametrize("make", BATCHES)
@pytest.mark.parametrize("function", ["default_collate", "default_convert"])
def test_collation(make, function):
    def run(m):
        try:
            return shown(getattr(m.utils.data, function)(make(m)))
        except Exception as error:
            return _builtin(error)

    ours, theirs = run(flambeau), run(torch)
    if "object" in str(theirs):
        return
    assert ours == theirs


def test_own_rules_of_collation():
    from flambeau.utils.data._utils.collate import collate, default_collate_fn_map

    class Label(int):
        pass

    rules = {Label: lambda batch, *, collate_fn_map: list(batch), **default_collate_fn_map}
    assert collate([(Label(1), 2), (Label(3), 4)], collate_fn_map=rules)[0] == [1, 3]


def test_unequal_shapes_are_named():
    loader = flambeau.utils.data.DataLoader(
        [(flambeau.ones(2, 3), 0), (flambeau.ones(2, 3), 0), (flambeau.ones(2, 4), 0)],
        sampler=[1, 0, 2], batch_size=3)
    with pytest.raises(RuntimeError, match=r"\[2, 3\] at entry 0 and \[2, 4\] at entry 2.*"
                                           r"samples 1 and 2 of the dataset"):
        next(iter(loader))


def mistakes(m):
    d = m.utils.data
    data = [0, 1, 2, 3]
    tensors = d.TensorDataset(m.arange(4))

    class Stream(d.IterableDataset):
        def __iter__(self):
            return iter(data)

    stream, loader = Stream(), d.DataLoader
    return [
        lambda: loader(data, batch_size=0), lambda: loader(data, batch_size=-1),
        lambda: loader(data, shuffle=True, sampler=[0]), lambda: loader(data, num_workers=-1),
        lambda: loader(data, timeout=-1), lambda: loader(data, prefetch_factor=2),
        lambda: loader(data, persistent_workers=True), lambda: loader(stream, shuffle=True),
        lambda: loader(stream, sampler=[1]), lambda: loader(stream, batch_sampler=[[1]]),
        lambda: loader(data, batch_sampler=[[1]], batch_size=3),
        lambda: loader(data, batch_size=None, drop_last=True),
        lambda: loader(data, multiprocessing_context="spawn"),
        lambda: loader(data, num_workers=1, multiprocessing_context="no"),
        lambda: loader(data, num_workers=1, multiprocessing_context=3),
        lambda: loader([], shuffle=True), lambda: list(loader([])),
        lambda: setattr(loader(data), "batch_size", 3),
        lambda: d.RandomSampler(data, replacement=1), lambda: d.WeightedRandomSampler([1.0], 0),
        lambda: d.WeightedRandomSampler([[1.0]], 1),
        lambda: list(d.WeightedRandomSampler([1.0], 3, False)),
        lambda: d.random_split(data, [1, 1]), lambda: d.random_split(data, [-0.5, 1.5]),
        lambda: d.ConcatDataset([]), lambda: d.ConcatDataset([stream]), d.StackDataset,
        lambda: d.StackDataset(data, [1]), lambda: d.StackDataset(data, a=data),
        lambda: d.TensorDataset(m.ones(2), m.ones(3)), lambda: d.Dataset()[0],
        lambda: d.ConcatDataset([data])[9], lambda: d.ConcatDataset([data])[-9],
        lambda: d.DistributedSampler(data, 2, 2), lambda: list(loader(data, sampler=[9])),
        lambda: list(d.ChainDataset([data])), lambda: list(loader(tensors, sampler=[9])),
        lambda: list(loader(d.Subset(tensors, [0, 7]))),
    ]


def test_errors_are_of_the_same_class():
    for i, (ours, theirs) in enumerate(zip(mistakes(flambeau), mistakes(torch), strict=True)):
        assert _outcome(ours) == _outcome(theirs), f"mistake {i}"


def _outcome(call):
    try:
        call()
    except Exception as error:
        return _builtin(error)
    return None


def _builtin(error: Exception) -> str:
    """The nearest class that both libraries know."""
    return next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins")


def test_pinning_warns_like_torch():
    loader = flambeau.utils.data.DataLoader([1, 2], pin_memory=True)
    with pytest.warns(UserWarning, match="pin_memory"):
        assert len(list(loader)) == 2


def test_a_batch_is_a_copy():
    x = flambeau.arange(4.0)
    data = flambeau.utils.data.TensorDataset(x)
    for loader in (flambeau.utils.data.DataLoader(data, batch_size=2),
                   flambeau.utils.data.DataLoader(data, batch_size=2, shuffle=True),
                   flambeau.utils.data.DataLoader(x, batch_size=2)):
        for batch in loader:
            (batch[0] if isinstance(batch, list) else batch).zero_()
    assert x.tolist() == [0, 1, 2, 3]
    x[0] = 7.0
    assert next(iter(flambeau.utils.data.DataLoader(data)))[0].tolist() == [7.0]


def test_options_that_are_left_alone_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(flambeau.utils.data.DataLoader(list(range(5)), batch_size=2, shuffle=True))
