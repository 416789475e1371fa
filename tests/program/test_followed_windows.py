"""Steps whose views begin elsewhere each time: followed, and to the last bit the same numbers as
when every call is made in the ordinary way."""

from __future__ import annotations

import random

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.base import flags
from flambeau.runtime import execute, moving, plan
from flambeau.tensor import follow
from flambeau.tensor.places import argument, index_of, positions, settled

nn = torch.nn
STEPS = 24


def crops(seen, at, early_look=False):
    torch.manual_seed(0)
    images = torch.randn(4, 3, 12, 12)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    for i, j in at(5, 5):
        x = F.pad(images, (2, 2, 2, 2))[:, :, i:i + 12, j:j + 12]
        loss = model(x).square().mean()
        if early_look:
            seen.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not early_look:
            seen.append(loss.item())
    seen.append(x.sum().item())


def crops_with_an_early_look(seen, at):
    crops(seen, at, early_look=True)


def language_model(seen, at):
    torch.manual_seed(0)
    text = torch.randint(0, 30, (200,))
    table, out = nn.Embedding(30, 8), nn.Linear(8, 30)
    optimizer = torch.optim.Adam([*table.parameters(), *out.parameters()], 0.01)
    for i, j in at(100, 80):
        x = torch.stack([text[k:k + 16] for k in (i, j)])
        y = torch.stack([text[k + 1:k + 17] for k in (i, j)])
        optimizer.zero_grad()
        loss = F.cross_entropy(out(table(x)).view(-1, 30), y.view(-1))
        loss.backward()
        optimizer.step()
        seen.append(loss.item())


def windows_of_a_parameter(seen, at):
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(20, 6))
    scale = nn.Parameter(torch.ones(6))
    optimizer = torch.optim.SGD([w, scale], 0.1)
    for i, j in at(12, 20):
        part, row = w[i:i + 8] * scale, w[j]
        optimizer.zero_grad()
        loss = (part @ row).square().mean() + (w * 2)[j, i % 6].exp()
        loss.backward()
        optimizer.step()
        seen += [loss.item(), part.detach().sum().item()]
    seen += w.tolist()


def circular_buffer(seen, at):
    torch.manual_seed(0)
    buffer, x = torch.zeros(10, 4), torch.randn(4)
    for i, j in at(10, 10):
        buffer[i] = x.tanh() + buffer[j]
        x = buffer.mean(0) + 0.1 * buffer[i, j % 4]
        seen.append(x.sum().item())
    seen += buffer.tolist()


def keys_and_values(seen, at):
    torch.manual_seed(0)
    keys, x = torch.zeros(2, 30, 4), torch.randn(2, 4)
    for step, _ in enumerate(at(1, 1)):
        keys[:, step] = x * 1.1
        x = (torch.softmax((keys * x[:, None]).sum(-1), 1)[..., None] * keys).sum(1) + 0.1
        seen.append(x.sum().item())


def diffusion(seen, at):
    torch.manual_seed(0)
    alphas, net = torch.linspace(0.9, 0.1, 20).cumprod(0), nn.Linear(5, 5)
    x = torch.randn(3, 5)
    with torch.no_grad():
        for t in reversed(range(20)):
            noise = net(x) * alphas[t].sqrt()
            x = (x - noise) / (1 + alphas.exp()[t])
            seen.append(x.sum().item())


def numbers_of_numpy(seen, at):
    rng, w = np.random.default_rng(4), nn.Parameter(torch.ones(6))
    optimizer, x = torch.optim.SGD([w], 0.1), torch.arange(240.0).reshape(40, 6)
    for _ in at(1, 1):
        i, j = rng.integers(0, 30), rng.integers(0, 6)
        y = (x + 1)[i:i + 6, j] + (x - 1).select(0, i) * (x * 2).narrow(0, i, 4)[j % 4, j]
        optimizer.zero_grad()
        loss = (y.mean() * w).tanh().sum() + x[j, 2:][j % 3]
        loss.backward()
        optimizer.step()
        seen.append(loss.item())


def kept_views(seen, at):
    torch.manual_seed(0)
    x, kept = torch.randn(30, 4), []
    for i, j in at(20, 20):
        part = (x * 2)[i:i + 8].narrow(0, j % 4, 3)
        kept.append(part.select(0, j % 3))
        seen += [part.sum().item(), kept[-1].storage_offset(), kept[-1].tolist()]
        kept = kept[-3:]
    seen += [k.tolist() for k in kept]


def loss_before_backward(seen, at):
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(20, 6))
    optimizer = torch.optim.SGD([w], 0.1)
    for i, j in at(12, 12):
        loss = (w.tanh()[i:i + 8] * w[j:j + 8]).square().mean()
        seen.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def in_time(seen, at):
    torch.manual_seed(0)
    cell, series = nn.GRUCell(3, 4), torch.randn(2, 9, 3)
    optimizer = torch.optim.SGD(cell.parameters(), 0.1)
    for i, _ in at(5, 1):
        h, x = torch.zeros(2, 4), (series * 2)[:, i:i + 4]
        for t in range(4):
            h = cell(x[:, t], h)
        optimizer.zero_grad()
        loss = h.square().mean()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())


def steps_and_ends(seen, at):
    torch.manual_seed(0)
    x, w = torch.randn(40, 6), nn.Parameter(torch.randn(6))
    optimizer = torch.optim.SGD([w], 0.1)
    for i, j in at(20, 5):
        y = (x + 1)[i:i + 8:2, -1 - j] * (x - 1)[-20 + i - 1:-16 + i - 1, j].sum()
        optimizer.zero_grad()
        loss = (y[:, None] * w).square().mean()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())


def overlapping(seen, at):
    torch.manual_seed(0)
    data, w = torch.randn(30, 4, 6), nn.Parameter(torch.ones(4, 6))
    for k, (i, j) in enumerate(at(2, 26)):
        x = data[j]
        part, turned = x.narrow(0, k % 2, 3), x.roll(1, 0)  # which reads three rows as well
        loss = turned.square().mean() + part.square().mean() + (w * 2).mean()
        both = torch.stack([data[j + i:j + 3 + i], data[j:j + 3]])
        seen += [loss.item(), (both.diff(dim=0) * w).sum().item()]


LOOPS = {f.__name__: f for f in (
    crops, crops_with_an_early_look, language_model, windows_of_a_parameter, circular_buffer,
    keys_and_values, diffusion, kept_views, loss_before_backward, in_time, steps_and_ends,
    overlapping, numbers_of_numpy)}
#: runs that are followed at least
FOLLOWED = {"loss_before_backward": 10, "steps_and_ends": 8, "overlapping": 0}


def places(order):
    """What a loop is given: random places in a seeded order, the same place, or one by one."""
    def at(m, n):
        r = random.Random(3)
        for k in range(STEPS):
            yield {"random": (r.randrange(m), r.randrange(n)), "same": (m // 2, n // 2),
                   "one by one": (k % m, (k // 2) % n), "late": (
                       (0, 0) if k < 8 else (r.randrange(m), r.randrange(n)))}[order]
    return at


def numbers(loop, order, follows):
    execute.flush()
    seen = []
    with flags.override(follow=int(follows)):
        loop(seen, places(order))
    return seen


@pytest.mark.parametrize("order", ["random", "same", "one by one", "late"])
@pytest.mark.parametrize("name", LOOPS)
def test_moving_windows_are_followed_with_the_same_numbers(name, order):
    follow.recorder.__init__()
    before = follow.recorder.count
    expected = numbers(LOOPS[name], order, False)
    assert numbers(LOOPS[name], order, True) == expected
    assert follow.recorder.count - before >= (FOLLOWED.get(name, 8) if order == "random" else 0)
    assert numbers(LOOPS[name], order, True) == expected


def test_one_plan_is_enough(monkeypatch):
    made = []
    make = plan.compile_graph
    monkeypatch.setattr(plan, "compile_graph", lambda *a: made.append(a) or make(*a))
    execute._plans.clear()
    moving.clear()
    numbers(crops, "random", True)
    assert len(made) <= 3


def test_an_index_out_of_range_is_an_error_at_its_line():
    x, w = torch.randn(6, 3), torch.ones(3, requires_grad=True)
    for i in (0, 4, 2, 5, 3, 1, 0, 3, 6):
        try:
            loss = ((x * 2)[i] * w).sum()
        except IndexError as error:
            assert i == 6 and "index 6 is out of bounds for dimension 0 with size 6" in str(error)
            break
        loss.backward()
        w.grad = None
    else:
        raise AssertionError("no error")


def test_specs_of_positions():
    x = torch.zeros(5, 6, 7)
    spec, found = positions("getitem", (x, (slice(1, 3), ..., -1)), 4)
    assert found == [1, 6]
    assert spec == ("key", (("window", 4, 5, 2, 1), ("value", ...), ("place", 5, 7)))
    numbers = [0, 0, 0, 0, 2, 3]
    assert argument(spec, numbers) == (slice(2, 4, 1), ..., 3)
    value = (slice(1, 3), ..., -1)
    assert settled(spec, value, {4}) == (
        "key", (("window", 4, 5, 2, 1), ("value", ...), ("value", -1)))
    assert settled(spec, value, set()) == ("value", value)
    assert positions("narrow", (x, 1, -4, 2), 0) == (("start", 0, 6, 2), [2])
    assert positions("select", (x, 2, 3), 0) == (("place", 0, 7), [3])
    assert positions("getitem", (x, (slice(None), slice(0, 9))), 0) is None  # all of it
    assert positions("getitem", (x, np.int64(-1)), 0) == (("place", 0, 5), [4])
    assert index_of(np.int32(-2), 6, 2) == 4 and index_of(5, 6, 2) == index_of(1.0, 6) == -1
    assert positions("getitem", (x, (0, True)), 0) is None
    assert positions("getitem", (x, torch.tensor(1)), 0) is None


@pytest.mark.parametrize("kept_at", [5, 6, 99])
def test_a_window_of_a_leaf_that_is_broadcast(kept_at):
    """The repeated window begins where the window does."""
    rows, p = [torch.randn(2, 33) for _ in range(8)], torch.randn(2, 33, requires_grad=True)
    kept, losses, expected = [], [], []
    with flags.override(tier="1"):
        for i in range(14):
            x = rows[i % 8]
            out = x.narrow(0, i % 2, 1) / (2 + (x * p).abs())
            whole = x * 1
            if i == kept_at:
                kept.append(out.detach())
            loss = whole.square().mean() + out.square().mean()
            p.grad = None
            loss.backward()
            losses.append(loss.item())
    values = p.detach().numpy()
    for i in range(14):
        x = rows[i % 8].numpy()
        out = x[i % 2:i % 2 + 1] / (2 + abs(x * values))
        expected.append((x ** 2).mean() + (out ** 2).mean())
    assert losses == pytest.approx(expected, rel=1e-5)
