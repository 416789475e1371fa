"""Steps of training that have to be followed: what real programs do between two updates."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.base import flags
from flambeau.tensor.follow import FOLLOW, recorder


def followed(step, times: int = 8) -> bool:
    """Whether the last call of ``step`` is followed up to its end."""
    for _ in range(times):
        step()
    return recorder.mode == FOLLOW and recorder.trace is not None


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))


def test_betas_that_change(model):
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, 100)

    def step():
        loss = model(torch.randn(3, 4)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        return loss.item()

    assert followed(step)


def test_average_of_weights_before_the_loss_is_read(model):
    average = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)

    def step():
        loss = model(torch.randn(3, 4)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for a, p in zip(average, model.parameters(), strict=True):
                a.lerp_(p, 0.1)
        return loss.item()

    assert followed(step)


def test_constants_made_in_the_step(model):
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    number = iter(range(100))

    def step():
        x = torch.zeros(3, 4)
        x[:, 1] = 2.0
        x = x + torch.full((3, 4), float(next(number)))
        loss = (model(x) + torch.ones(2)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    assert followed(step)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_states_that_stay_in_a_variable(kind):
    torch.manual_seed(0)
    net = getattr(nn, kind)(3, 5, 2, bidirectional=True, batch_first=True)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    kept = []

    def step():
        out, last = net(torch.randn(2, 7, 3))
        kept[:] = [last]
        loss = out.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    assert followed(step)
    with pytest.raises(RuntimeError, match="second time"):
        last = kept[0][0] if kind == "LSTM" else kept[0]
        last.sum().backward()


def test_an_argument_that_is_missing_in_another_loop():
    weight, bias, other = torch.randn(2, 3), torch.randn(2), torch.randn(5, 3)

    def loss(w, b):
        x = torch.ones(4, 3)
        return [nn.functional.linear(x, w, b).square().mean().item() for _ in range(6)][-1]

    with_bias = loss(weight, bias)
    loss(other, None)
    expected = (torch.ones(4, 3) @ weight.T).square().mean().item()
    assert loss(weight, None) == pytest.approx(expected)
    assert loss(weight, bias) == with_bias


def test_a_text_that_grows():
    """Letter by letter, from the last few: the network's part repeats."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(7, 5), nn.Flatten(), nn.Linear(20, 7))
    text = torch.tensor([[1, 2, 3, 4]])
    modes = []
    with torch.no_grad():
        for _ in range(12):
            logits = net(text[:, -4:])
            text = torch.cat([text, torch.multinomial(logits.softmax(-1), 1)], dim=1)
            modes.append(recorder.mode == FOLLOW)
    assert text.shape == (1, 16) and modes[-1]


def test_joined_numbers_are_not_those_of_an_earlier_step():
    """Numbers that a followed call has written are joined after it."""
    counts, seen = torch.zeros(2, dtype=torch.int64), []
    for i in range(10):
        counts.add_(1)
        both = torch.cat([counts, counts * 2])
        seen.append(both.tolist())
        assert seen[-1] == [i + 1, i + 1, 2 * i + 2, 2 * i + 2]


def _over_columns(follow: int) -> tuple[list[float], bool]:
    torch.manual_seed(0)
    cell, data = nn.LSTMCell(3, 4), torch.randn(5, 2, 6, 3)
    optimizer = torch.optim.SGD(cell.parameters(), 0.1)
    losses = []

    def step():
        x = data[len(losses) % 5]
        h = c = torch.zeros(2, 4)
        for k in range(6):
            h, c = cell(x[:, k], (h, c))
        loss = (h * 3).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    with flags.override(follow=follow):
        return losses, followed(step, 12)


def test_columns_of_one_tensor():
    """Arguments whose memory interleaves, as in a loop over time; their numbers stay apart."""
    losses, was_followed = _over_columns(1)
    assert was_followed
    assert losses == _over_columns(0)[0]


def test_every_write_of_a_followed_step_counts():
    state, seen = torch.zeros(4), []
    for _ in range(10):
        state.add_(1)
        state.mul_(0.5)
        state.tolist()
        seen.append(state._version)
    assert seen == list(range(2, 22, 2))


def test_columns_of_an_argument_that_is_used_as_well():
    """A decoder: words go in one by one, and all of them are what is to be guessed."""
    torch.manual_seed(0)
    words, cell, out = nn.Embedding(9, 4), nn.GRUCell(4, 6), nn.Linear(6, 9)
    optimizer = torch.optim.Adam([*words.parameters(), *cell.parameters(), *out.parameters()])
    text = torch.randint(0, 9, (3, 5))

    def step():
        h, word, loss = words(text).sum((1, 2))[:, None].expand(3, 6), torch.zeros(3).long(), 0
        for k in range(5):
            h = cell(words(word), h)
            loss = loss + nn.functional.cross_entropy(out(h), text[:, k])
            word = text[:, k]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    assert followed(step)


def test_noise_of_the_shape_of_a_result(model):
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        found = model(torch.randn(3, 4))
        loss = (found + torch.randn_like(found)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    assert followed(step)
