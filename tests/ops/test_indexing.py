"""Index expressions, read and written, against PyTorch: values, aliasing and exception classes."""

from __future__ import annotations

import random

import numpy as np
import pytest

import flambeau as fl

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")

ATOMS = [0, -1, 1, 5, None, Ellipsis, slice(None), slice(1, None), slice(0, 9, 2), slice(2, 1),
         True, False, [0, 1], [True, False], range(2), 1.5, [], np.int64(1), np.array([1, 0]),
         np.array([True, False, True]), ("t", [0, 1]), ("t", [[1], [0]]), ("t", 1), ("t", True),
         ("t", [True, False]), ("t", [True, False, True]), ("t", [[True] * 3] * 2), ("t", [0.5]),
         ("t", [7]), ("i", [1, 0, 1])]


def key_for(M, item):
    """An index made of the module's own tensors."""
    if isinstance(item, tuple) and len(item) == 2 and item[0] in ("t", "i"):
        return M.tensor(item[1], dtype=M.int32 if item[0] == "i" else None)
    return item


def outcome(M, shape, items, value):
    """The values read, the tensor after a write, or the class of what was raised."""
    x = M.arange(float(np.prod(shape))).reshape(shape)
    key = tuple(key_for(M, i) for i in items)
    key = key[0] if len(key) == 1 else key
    try:
        if value is None:
            return x[key].numpy()
        x[key] = value
        return x.numpy()
    except (IndexError, TypeError, ValueError, RuntimeError) as error:
        return type(error)


def keys():
    rng = random.Random(0)
    for atom in ATOMS:
        yield (2, 3, 4), (atom,)
        yield (2,), (atom,)
        yield (), (atom,)
    for _ in range(400):
        yield (2, 3, 2, 3), tuple(rng.choice(ATOMS) for _ in range(rng.randint(2, 4)))


@pytest.mark.parametrize("value", [None, 7.0])
def test_index_expressions(value):
    wrong = []
    for shape, items in keys():
        expected, got = (outcome(M, shape, items, value) for M in (torch, fl))
        if isinstance(expected, type) or isinstance(got, type):
            # which of several mistakes is named first may differ
            if not (isinstance(expected, type) and isinstance(got, type)):
                wrong.append((shape, items, expected, got))
        elif expected.shape != got.shape or not np.array_equal(expected, got):
            wrong.append((shape, items, expected.shape, got.shape))
    assert not wrong, wrong[:3]


@pytest.mark.parametrize("key", [0, slice(1, 2), (slice(None), 1), None, Ellipsis, (0, None)])
def test_basic_indices_alias(key):
    x = fl.zeros(3, 4)
    x[key].fill_(1)
    y = torch.zeros(3, 4)
    y[key].fill_(1)
    assert np.array_equal(x.numpy(), y.numpy())


def test_positions_are_named():
    x = fl.zeros(3, 4)
    with pytest.raises(IndexError, match="index 7 is out of bounds for dimension 1 with size 4"):
        x[:, fl.tensor([0, 7])].numpy()
