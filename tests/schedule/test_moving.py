"""Plans whose views move: one for all offsets, and the interpreter's bits."""

import random

import pytest

import flambeau as torch
from flambeau.base import flags
from flambeau.graph.graph import Graph
from flambeau.ir.node import PRIMS, leaf, make, pending
from flambeau.ir.view import view
from flambeau.runtime import execute, moving, plan
from flambeau.schedule.moving import Moves
from flambeau.schedule.sizes import Unlike

F = torch.nn.functional
torch.manual_seed(0)
X, IMAGES, W = torch.randn(40, 24), torch.randn(3, 2, 12, 12), torch.randn(8, 24)
ROWS = torch.randint(0, 6, (40,))
CONV = torch.nn.Conv2d(2, 3, 3)


def _gradient(i, j):
    w = W.clone().requires_grad_()
    ((X * 2)[i:i + 5] @ (w * 2)[j % 7].exp()).sum().backward()
    return w.grad


def _buffer(i, j):
    buffer = torch.zeros(40, 24)
    buffer[i] = X[j] * 2
    buffer[:, j] += 1
    return buffer.cumsum(0)


def _crop(i, j):
    return CONV(F.pad(IMAGES, (2, 2, 2, 2))[:, :, i % 5:i % 5 + 12, j % 5:j % 5 + 12]).relu()


PROGRAMS = {
    "rows": lambda i, j: (X * 2)[i:i + 8].softmax(1) @ W.t(),
    "number": lambda i, j: (X + 1)[i] + (X - 1)[j, j],
    "window": lambda i, j: (X.exp()[i:i + 8, j:j + 4] * 2).sum(0),
    "two of one": lambda i, j: ((y := X * 3)[i:i + 8] - y[j:j + 8]).abs().sum(),
    "of a window": lambda i, j: (X * 2)[i:i + 9].t()[2:, j % 9].tanh(),
    "transposed": lambda i, j: (X * 2).t()[j:j + 3].reshape(60, 2) + 1,
    "product": lambda i, j: (X * 2)[i:i + 8, :8] @ (X - 1)[j:j + 8],
    "positions": lambda i, j: F.embedding((ROWS + 1)[i:i + 8], W),
    "sorted": lambda i, j: (X * 2)[i:i + 8].sort(1)[0] * (X * 2)[j],
    "joined": lambda i, j: torch.cat([(X * 2)[i:i + 8], (X + 2)[j:j + 1]]),
    "gradient": _gradient, "buffer": _buffer, "crop": _crop,
}


@pytest.fixture
def compiled(monkeypatch):
    """Plans with moving offsets that are made."""
    found = []
    make = plan.compile_graph
    monkeypatch.setattr(plan, "compile_graph", lambda graph, *moves: found.append(moves)
                        or make(graph, *moves))
    monkeypatch.setattr(moving, "planner", plan)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_offsets_give_the_interpreters_bits(name, compiled):
    program, choose = PROGRAMS[name], random.Random(name)
    places = [(choose.randrange(32), choose.randrange(20)) for _ in range(12)]
    for i, j in [*places, (0, 0), (0, 3), (4, 4), (31, 19)]:
        with flags.override(follow=0):
            got = program(i, j).detach().numpy()
        with flags.override(tier="0"):
            assert got.tobytes() == program(i, j).detach().numpy().tobytes(), (i, j)
    assert 1 <= sum(bool(moves) for moves in compiled) <= 5


def test_what_repeats_is_no_argument(compiled):
    for _ in range(4):
        [(X * 5)[k:k + 8].sum().item() for k in (0, 8, 16)]
        torch.stack([part.sum() for part in (X * 7).chunk(5)]).tolist()
    assert sum(bool(moves) for moves in compiled) <= 2  # the sums of the first line


def test_positions_out_of_range_raise_at_their_line():
    for k in (3, 9, 5, 39, 0):
        (X * 11)[k].sum().item()
    with pytest.raises(IndexError, match="index 40 is out of bounds for dimension 0 with size 40"):
        (X * 11)[40].sum().item()


def test_what_was_planned_for_one_offset_is_forgotten(monkeypatch):
    monkeypatch.setattr(execute, "_plans", {})
    for k in (1, 1, 1, 2, 3, 1):
        (X * 13).t()[k].sum().item()
    assert not execute._plans


def test_offsets_that_move_together_are_one_number():
    source = leaf(X.numpy())
    double = make(PRIMS["add"], (source, source))
    first, second = view(double, (2,), (1,), 4), view(double, (3,), (1,), 4)
    graph, _ = Graph.capture([first, second])
    pending.clear()
    key, offsets = graph.without_offsets()
    assert offsets == (4, 4) and hash(key)
    assert graph.key_with(offsets) == graph.key != graph.key_with((4, 5))
    assert Moves(graph, [(0, 0), (4, 4)]).inputs == [[0, 1]]
    apart = Moves(graph, [(0, 0), (3, 1), (4, 4)])
    assert apart.inputs == [[0], [1]] and apart.values((7, 8)) == (7, 8)
    fixed = Moves(graph, [(0, 4), (4, 4)])
    assert fixed.values((9, 4)) == (9,) and fixed.values((9, 5)) is None
    with pytest.raises(Unlike):
        hash(fixed.graph.nodes[2].params)

