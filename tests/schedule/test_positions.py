"""Positions in memory that a plan computes itself: looked up, added at, checked on the way."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau.base import flags
from flambeau.debug import explain
from flambeau.runtime import execute


class Reader:
    """Rows of a table at positions that are computed, and an update of the table."""

    def __init__(self):
        torch.manual_seed(0)
        self.table = torch.randn(20, 6, requires_grad=True)
        self.text = torch.randint(0, 20, (100,))
        self.head = torch.nn.Linear(6, 20)
        self.optimizer = torch.optim.SGD([self.table, *self.head.parameters()], 0.1)

    def step(self, more: int = 0):
        start = torch.randint(0, 80, (4, 1)) + more
        found = self.text[start + torch.arange(9)]
        x = torch.nn.functional.embedding(found[:, :-1], self.table)
        logits = self.head(x).flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, found[:, 1:].flatten())
        loss = loss + self.table[found[:, 0]].sum()
        loss = loss + logits.gather(1, found[:, :1].repeat(8, 1)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def test_no_host_steps():
    reader = Reader()
    assert "host" not in str(explain(reader.step))


def test_tiers_agree():
    results = []
    for tier in ("0", "auto"):
        with flags.override(tier=tier):
            reader = Reader()
            losses = [reader.step() for _ in range(6)]
            results.append([*losses, reader.table.detach().numpy().copy()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_position_out_of_range_is_an_error_and_changes_nothing():
    reader = Reader()
    for _ in range(6):
        reader.step()
    before = reader.table.detach().clone()
    with pytest.raises(IndexError, match="is out of bounds for dimension 0 with size 100"):
        reader.step(50)
    assert torch.equal(reader.table, before)
    reader.step()
    assert not torch.equal(reader.table, before)


def test_positions_from_the_end():
    """They are computed all the same; the plan is made again when it has stopped too often."""
    results = []
    for tier in ("0", "auto"):
        with flags.override(tier=tier):
            reader = Reader()
            results.append([reader.step(-90) for _ in range(12)])
    assert results[0] == results[1]
    assert any(not plan.graph.from_zero for plan in execute._plans.values())


def test_a_lookup_is_no_part_of_an_expression():
    table, other = torch.randn(6, 4), torch.randn(6, 4)
    rows = torch.randint(0, 6, (6,))
    with flags.override(tier="1"):
        found = (other.exp().reshape((24,)).mean() + table[rows].square().mean()).item()
    expected = other.numpy().astype(float)
    expected = np.exp(expected).mean() + (table.numpy()[rows.numpy()] ** 2).mean()
    assert abs(found - expected) < 1e-5


SHAPES = [((5, 7), 0), ((5, 7), 1), ((3, 9, 70), 1), ((2, 3, 130), 0), ((4,), 0),
          ((2, 5, 3, 17), 2)]


def _repeated(function, *operands):
    """The same result, interpreted and compiled."""
    first = function(*operands).numpy().copy()
    for _ in range(3):
        np.testing.assert_array_equal(function(*operands).numpy(), first)
    return first


@pytest.mark.parametrize("shape, axis", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_running_sums(shape, axis, dtype):
    x = (np.random.default_rng(0).standard_normal(shape) * 3).astype(dtype)
    t = torch.tensor(x)
    wide = "float64" if dtype == "float32" else dtype  # in which they are made
    np.testing.assert_array_equal(_repeated(lambda a: a.cumsum(axis), t),
                                  np.cumsum(x, axis, dtype=wide).astype(dtype))
    np.testing.assert_array_equal(_repeated(lambda a: a.cumprod(axis), t),
                                  np.cumprod(x, axis, dtype=wide).astype(dtype))
    back = _repeated(lambda a: (a + 1).flip(axis).cumsum(axis), t)
    np.testing.assert_array_equal(back, np.cumsum(np.flip(x + x.dtype.type(1), axis), axis,
                                                  dtype=wide).astype(dtype))


@pytest.mark.parametrize("shape, axis", SHAPES)
def test_adding_at_positions(shape, axis):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    places = rng.integers(0, shape[axis], (*shape[:axis], 4, *shape[axis + 1:]))
    values = rng.standard_normal(places.shape).astype(np.float32)
    want = x.copy()
    where = list(np.indices(places.shape, sparse=True))
    where[axis] = places
    np.add.at(want, tuple(where), values)
    got = _repeated(lambda *a: a[0].scatter_add(axis, a[1], a[2]),
                    *map(torch.tensor, (x, places, values)))
    np.testing.assert_array_equal(got, want)
    rows = rng.integers(0, shape[axis], 6)
    added = rng.standard_normal((*shape[:axis], 6, *shape[axis + 1:])).astype(np.float32)
    want = x.copy()
    np.add.at(want, (slice(None),) * axis + (rows,), added)
    got = _repeated(lambda *a: a[0].index_add(axis, a[1], a[2]),
                    *map(torch.tensor, (x, rows, added)))
    np.testing.assert_array_equal(got, want)


def test_one_hot():
    numbers = np.random.default_rng(0).integers(0, 5, (3, 4))
    got = _repeated(lambda a: torch.nn.functional.one_hot(a, 5), torch.tensor(numbers))
    np.testing.assert_array_equal(got, np.eye(5, dtype=np.int64)[numbers])
    for _ in range(4):
        with pytest.raises(RuntimeError, match="smaller than num_classes"):
            torch.nn.functional.one_hot(torch.tensor(numbers + 1) * 1, 5).sum().item()
