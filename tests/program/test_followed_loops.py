"""Training loops as people write them: followed after a few steps, and to the last bit the same
numbers as when every call is made in the ordinary way."""

from __future__ import annotations

import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.base import flags
from flambeau.runtime import execute
from flambeau.tensor import follow
from flambeau.utils.checkpoint import checkpoint

nn = torch.nn
STEPS = 14


def data(steps=STEPS, batch=8):
    g = torch.Generator().manual_seed(5)
    return [(torch.randn(batch, 6, generator=g), torch.randint(0, 3, (batch,), generator=g))
            for _ in range(steps)]


def parts(dropout=0.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Dropout(dropout), nn.Linear(10, 3))
    return model, torch.optim.Adam(model.parameters(), lr=1e-2), nn.CrossEntropyLoss()


def accuracy_after(seen):
    model, optimizer, criterion = parts()
    for x, y in data():
        optimizer.zero_grad()
        out = model(x)
        loss = criterion(out, y)
        loss.backward()
        optimizer.step()
        seen += [loss.item(), (out.argmax(1) == y).sum().item()]


def loss_before_backward(seen):
    model, optimizer, criterion = parts()
    for x, y in data():
        loss = criterion(model(x), y)
        seen.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def accuracy_before_backward(seen):
    model, optimizer, criterion = parts(dropout=0.3)
    for x, y in data():
        optimizer.zero_grad()
        out = model(x)
        loss = criterion(out, y)
        seen.append((out.argmax(1) == y).float().mean().item())
        loss.backward()
        optimizer.step()
        seen.append(loss.item())


def accumulation(seen):
    model, optimizer, criterion = parts()
    for i, (x, y) in enumerate(data(3 * STEPS)):
        loss = criterion(model(x), y) / 3
        loss.backward()
        seen.append(loss.item())
        if i % 3 == 2:
            optimizer.step()
            optimizer.zero_grad()


def accumulation_without_looking(seen):
    model, optimizer, criterion = parts()
    for i, (x, y) in enumerate(data(3 * STEPS)):
        loss = criterion(model(x), y) / 3
        loss.backward()
        if i % 3 == 2:
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
    seen += [p.sum().item() for p in model.parameters()]


def by_hand(seen):
    torch.manual_seed(1)
    w, b = torch.randn(6, 3, requires_grad=True), torch.zeros(3, requires_grad=True)
    for x, y in data():
        loss = F.cross_entropy(x @ w + b, y)
        loss.backward()
        with torch.no_grad():
            for p in (w, b):
                p.sub_(p.grad * 0.1)
                p.grad.zero_()
        seen.append(loss.item())


def kept_losses(seen):
    model, optimizer, criterion = parts()
    kept = []
    for x, y in data():
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        kept.append(loss.detach())
    seen += torch.stack(kept).tolist()


def two_networks(seen):
    torch.manual_seed(0)
    g = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6))
    d = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    og, od = torch.optim.Adam(g.parameters()), torch.optim.Adam(d.parameters())
    loss = nn.BCEWithLogitsLoss()
    one, zero = torch.ones(8, 1), torch.zeros(8, 1)
    for x, _ in data():
        fake = g(torch.randn(8, 4))
        od.zero_grad()
        ld = loss(d(x), one) + loss(d(fake.detach()), zero)
        ld.backward()
        od.step()
        og.zero_grad()
        lg = loss(d(fake), one)
        lg.backward()
        og.step()
        seen += [ld.item(), lg.item()]


def evaluation(seen):
    model, optimizer, criterion = parts(dropout=0.2)
    for _ in range(4):
        model.train()
        for x, y in data(6):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for x, y in data(6):
                out = model(x)
                seen += [criterion(out, y).item(), (out.argmax(1) == y).sum().item()]


def gradient_norms(seen):
    model, optimizer, criterion = parts()
    for x, y in data():
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        seen += [p.grad.norm().item() for p in model.parameters()]
        optimizer.step()


def clipped(seen):
    model, optimizer, criterion = parts()
    for x, y in data():
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        seen += [loss.item(), norm.item()]


LOOPS = (accuracy_after, loss_before_backward, accuracy_before_backward, accumulation,
         accumulation_without_looking, by_hand, kept_losses, two_networks, evaluation,
         gradient_norms, clipped)


def numbers(loop, following: bool) -> list:
    before, flags.values.follow = flags.values.follow, following
    try:
        torch.manual_seed(7)
        seen: list = []
        loop(seen)
        return seen
    finally:
        flags.values.follow = before


@pytest.mark.parametrize("loop", LOOPS, ids=lambda f: f.__name__)
def test_followed_loops_give_the_same_numbers(loop, monkeypatch):
    monkeypatch.setattr(flags.values, "tier", "1")
    numbers(loop, True)  # so that every plan is known
    runs = []
    flush = follow.Recorder.before_flush
    monkeypatch.setattr(follow.Recorder, "before_flush",
                        lambda self: runs.append(flush(self)) or runs[-1])
    followed = numbers(loop, True)
    assert sum(runs) >= STEPS // 2
    monkeypatch.undo()
    monkeypatch.setattr(flags.values, "tier", "1")
    assert followed == numbers(loop, False)


def steps_that_part(seen, what):
    """A loop that asks for its loss before backward, and in one step does something else."""
    model, optimizer, criterion = parts(dropout=0.3)
    for i, (x, y) in enumerate(data()):
        optimizer.zero_grad()
        out = model(x)
        loss = criterion(out, y)
        seen.append(loss.item())
        if i == 9:
            what(model, out, loss, seen)
        else:
            loss.backward()
        optimizer.step()
    seen += [p.sum().item() for p in model.parameters()]


def scaled(model, out, loss, seen):
    (loss * 2).backward()


def twice(model, out, loss, seen):
    loss.backward(retain_graph=True)
    loss.backward()


def walked_again(model, out, loss, seen):
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def another_loss(model, out, loss, seen):
    out.square().mean().backward()


def second_derivative(model, out, loss, seen):
    grads = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    sum(g.square().sum() for g in grads).backward()


def with_a_hook(model, out, loss, seen):
    out.register_hook(lambda g: seen.append(g.sum().item()))
    loss.backward()


def looked_at(model, out, loss, seen):
    seen.append(type(loss.grad_fn).__name__)
    seen.append(type(loss.grad_fn.next_functions[0][0]).__name__)
    loss.backward()


def weight_written(model, out, loss, seen):
    with torch.no_grad():
        model[3].weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    for p in model.parameters():
        p.grad = None


def result_written(model, out, loss, seen):
    with torch.no_grad():
        out.zero_()
    loss2 = out.sum() + loss
    seen.append(loss2.item())
    loss2.backward()  # nothing that was saved is out's memory


@pytest.mark.parametrize("what", (
    scaled, twice, walked_again, another_loss, second_derivative, with_a_hook, looked_at,
    weight_written, result_written), ids=lambda f: f.__name__)
def test_a_step_that_goes_on_differently(what, monkeypatch):
    monkeypatch.setattr(flags.values, "tier", "1")

    def loop(seen):
        steps_that_part(seen, what)

    assert numbers(loop, True) == numbers(loop, True) == numbers(loop, False)


@pytest.mark.parametrize("move", (
    lambda b, other: setattr(b, "data", other), lambda b, other: b.set_(other),
    lambda b, other: b.resize_(2)), ids=("data", "set_", "resize_"))
def test_a_leaf_that_gets_other_memory(move):
    b, other = torch.arange(4.0), torch.full((4,), 3.0)
    seen = []
    for i in range(12):
        seen.append((b + 1).sum().item())
        if i == 8:
            move(b, other)
    assert seen[:9] == [10.0] * 9
    assert seen[9:] == [(b + 1).sum().item()] * 3 != [10.0] * 3


def test_a_trace_that_was_given_up_is_taken_up_again(monkeypatch):
    monkeypatch.setattr(flags.values, "tier", "1")
    model, optimizer, criterion = parts()

    def step(x, y, odd: bool):
        optimizer.zero_grad()
        out = model(x)
        if odd:  # what nobody expects here
            out = out * float(torch.rand(()).item())
        loss = criterion(out, y)
        loss.backward()
        optimizer.step()

    for odd in (False, True, False):
        before = follow.recorder.count
        for x, y in data():
            step(x, y, odd)
    assert follow.recorder.count - before >= STEPS // 2


def test_checkpoints_give_the_same_numbers(monkeypatch):
    monkeypatch.setattr(flags.values, "tier", "1")

    def loop(seen):
        model, optimizer, criterion = parts(dropout=0.3)
        for x, y in data():
            optimizer.zero_grad()
            hidden = checkpoint(model[:3], x, use_reentrant=False)
            loss = criterion(model[3:](hidden), y)
            seen.append(loss.item())
            loss.backward()
            optimizer.step()

    assert numbers(loop, True) == numbers(loop, False)


def test_gradients_that_are_one_value_outlive_their_run(monkeypatch):
    monkeypatch.setattr(flags.values, "tier", "1")

    def loop(seen):
        torch.manual_seed(0)
        net = nn.RNN(3, 4)  # the gradients of its two biases are equal
        kept = []
        for x, _ in data():
            loss = net(x[None, :, :3])[0].tanh().mean()
            kept += torch.autograd.grad(loss, list(net.parameters()))
            seen.append(loss.item())
        seen += [g.sum().item() for g in kept]

    assert numbers(loop, True) == numbers(loop, True) == numbers(loop, False)


def test_results_outlive_histories_that_nobody_walks(monkeypatch):
    monkeypatch.setattr(flags.values, "tier", "1")

    def loop(seen):
        torch.manual_seed(0)
        w, kept = torch.randn(4, requires_grad=True), []
        for x, _ in data():
            loss = (x[:, :4] * w).square().mean()
            seen.append(loss.item())
            kept.append(x.detach().clone())
        seen += [k.sum().item() for k in kept]

    assert numbers(loop, True) == numbers(loop, True) == numbers(loop, False)


def test_versions_count_calls_that_are_only_matched(monkeypatch):
    monkeypatch.setattr(flags.values, "tier", "1")

    def loop(seen):
        state = torch.zeros(6)
        for x, _ in data():
            state.add_(x[0])
            seen.append(state._version)
            seen.append(state.sum().item())

    assert numbers(loop, True) == numbers(loop, True) == numbers(loop, False)


def test_a_history_over_statistics_that_the_step_updates(monkeypatch):
    monkeypatch.setattr(flags.values, "tier", "1")

    def loop(seen):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5, momentum=None), nn.Linear(5, 3))
        net.register_full_backward_hook(lambda m, gi, go: seen.append(go[0].sum().item()))
        for x, y in data():
            loss = F.cross_entropy(net(x), y)
            seen.append(loss.item())
            net.zero_grad()
            loss.backward()
            with torch.no_grad():
                for p in net.parameters():
                    p -= 0.05 * p.grad
        seen += [b.sum().item() for b in net.buffers()]

    assert numbers(loop, True) == numbers(loop, True) == numbers(loop, False)


@pytest.mark.parametrize("keep", (
    lambda state: state, lambda state: state.detach(), lambda state: state[0]),
    ids=("itself", "detached", "a view"))
def test_what_is_written_and_dropped_may_be_kept_in_another_round(keep, monkeypatch):
    monkeypatch.setattr(flags.values, "tier", "1")

    def loop(seen):
        torch.manual_seed(0)
        state, p, kept = torch.zeros(4, 6), torch.randn(4, 6, requires_grad=True), []
        for i in range(STEPS):
            if i in (8, 12):
                kept.append(keep(state))
            out = p * 1
            loss = out.square().mean()
            state.lerp_(out.detach(), 0.1)
            loss.backward()
            with torch.no_grad():
                p -= 0.1 * p.grad
                p.grad = None
            state = state * 0.9 + out.detach() * 0.1
            seen += [loss.item(), state._version]
        seen += [k.sum().item() for k in kept]

    assert numbers(loop, True) == numbers(loop, True) == numbers(loop, False)


def test_inference_mode_and_what_is_outstanding_when_it_begins(monkeypatch):
    monkeypatch.setattr(flags.values, "tier", "1")

    def loop(seen):
        model, optimizer, criterion = parts()
        for _ in range(4):
            for i, (x, y) in enumerate(data(5)):
                (criterion(model(x), y) / 2).backward()
                if i % 2:
                    optimizer.step()
                    optimizer.zero_grad()
            with torch.inference_mode():  # the last backward is still outstanding
                for x, y in data(5):
                    out = model(x)
                    seen += [out.is_inference(), (out.argmax(1) == y).sum().item()]
        with pytest.raises(RuntimeError, match="[Ii]nference"):
            (out * next(model.parameters()).sum()).sum().backward()

    assert numbers(loop, True) == numbers(loop, True) == numbers(loop, False)


def test_parameters_frozen_while_calls_are_outstanding(monkeypatch):
    monkeypatch.setattr(flags.values, "tier", "1")

    def loop(seen):
        model, optimizer, criterion = parts()
        for i, (x, y) in enumerate(data()):
            loss = criterion(model(x), y)
            if i >= 8:
                model.requires_grad_(i % 2 == 0)
            optimizer.zero_grad()
            try:
                loss.backward()
                optimizer.step()
            except RuntimeError as error:
                seen.append(str(error)[:40])
            seen.append(loss.item())

    assert numbers(loop, True) == numbers(loop, True) == numbers(loop, False)


def test_updates_are_followed_where_each_batch_has_another_size():
    def losses():
        model, adam, loss_of = parts()
        found, runs = [], []
        for n in range(1, 40):
            adam.zero_grad()
            loss = loss_of(model(torch.ones(n, 6) * n / 30), torch.arange(n) % 3)
            loss.backward()
            adam.step()
            found.append(loss.item())
            runs.append(follow.recorder.count)
        return found, runs[-1] - runs[15]

    found, followed = losses()
    assert execute.steps_vary() and followed >= 15
    execute.restless = 0
    with flags.override(follow=0):
        assert losses()[0] == found


def test_steps_that_are_never_alike_are_seldom_recorded():
    x = torch.ones(4, 5)
    (x * 3).sum().item()
    recorded = 0
    for n in range(200):
        ((x * (n + 0.5)).sum() + n).item()
        recorded += follow.recorder.mode == follow.RECORD
    assert recorded < 60
    before = follow.recorder.count
    for _ in range(100):
        ((x * 2.5).sum() + 7).item()
    assert follow.recorder.count - before > 40
