"""Followed steps with results whose memory is in the order of their operands'."""

import pytest

import flambeau as torch
from flambeau.base import flags
from flambeau.tensor.follow import Recorder


@pytest.fixture
def runs(monkeypatch):
    """Counts runs that were followed; everything is compiled."""
    counts = [0]
    flush = Recorder.before_flush

    def flushed(recorder):
        followed = flush(recorder)
        counts[0] += followed
        return followed

    monkeypatch.setattr(Recorder, "before_flush", flushed)
    with flags.override(tier="1"):
        yield counts


def test_results_know_their_strides(runs):
    x = torch.arange(12.0).view(3, 4)
    for _ in range(10):
        y = (x.t() * 2 + 1).square()
        total = y.sum()
        assert total.item() == 12 + 4 * 66 + 4 * 506
        assert y.stride() == (1, 4) and not y.is_contiguous()
        assert y.tolist() == [[(2 * v + 1) ** 2 for v in (r, r + 4, r + 8)] for r in range(4)]
    assert runs[0] >= 5
    assert y.t().view(-1)[1].item() == 9
    with pytest.raises(RuntimeError, match="view size"):
        y.view(-1)


def test_training_of_a_parameter_that_is_not_row_major(runs):
    found = []
    for turned in (False, True):
        torch.manual_seed(0)
        w = torch.randn(4, 3)
        if turned:
            w = w.t().contiguous().t()
        w = torch.nn.Parameter(w)
        x = torch.randn(5, 4)
        optimizer = torch.optim.Adam([w], 0.1)
        before, losses = runs[0], []
        for _ in range(10):
            optimizer.zero_grad()
            loss = torch.tanh(x @ w).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert w.grad.stride() == w.stride() == ((1, 4) if turned else (3, 1))
        assert optimizer.state[w]["exp_avg"].stride() == w.stride()
        assert runs[0] - before >= 5
        found.append(losses)
    torch.testing.assert_close(torch.tensor(found[1]), torch.tensor(found[0]))


def test_gradients_after_the_loss_was_read(runs):
    w = torch.arange(12.0).view(3, 4).requires_grad_()
    optimizer = torch.optim.SGD([w], 0.01)
    for _ in range(10):
        before = w.detach().clone()
        loss = (w.t().exp() * torch.ones(4, 3)).sum()
        loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert w.grad.stride() == (4, 1)
        torch.testing.assert_close(w.detach(), before - 0.01 * before.exp())
    assert runs[0] >= 5


def test_memory_is_written_in_its_own_order(runs):
    state = torch.zeros(3, 4).t()
    x = torch.arange(12.0).view(4, 3)
    for n in range(1, 11):
        state.add_(x)
        state.t().mul_(1)
        assert (state * 1).sum().item() == 66 * n
    assert state.stride() == (1, 4) and state.tolist() == (x * 10).tolist()
    assert runs[0] >= 5


def test_a_step_whose_operand_is_turned_in_some_rounds(runs):
    x = torch.arange(12.0).view(3, 4)
    columns = x.t().contiguous().t()
    for n in range(16):
        y = (columns if n % 3 == 2 else x) + 1
        assert y.sum().item() == 78
        assert y.stride() == ((1, 3) if n % 3 == 2 else (4, 1))
        assert y[1].tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize("tier", ["0", "1"])
def test_second_derivatives(tier):
    with flags.override(tier=tier):
        for _ in range(3):
            x = torch.arange(6.0).view(2, 3).t().requires_grad_()
            first, = torch.autograd.grad((x.t() ** 3 * x.exp().t()).sum(), x, create_graph=True)
            second, = torch.autograd.grad(first.sum(), x, retain_graph=True)
            v = x.detach()
            assert second.stride() == (1, 3)
            torch.testing.assert_close(second, v.exp() * (v ** 3 + 6 * v ** 2 + 6 * v))
            first.square().sum().backward()
            assert x.grad.stride() == (1, 3)


def test_vmap_leaves_nothing_behind(runs):
    torch.vmap(lambda v: v * 2)(torch.ones(3, 2)).sum().item()
    state = torch.zeros(3, 4).t()
    x = torch.arange(12.0).view(4, 3)
    for n in range(1, 11):
        state.add_(x)
        assert (state * 1).sum().item() == 66 * n
    assert runs[0] >= 5


def test_writes_of_parts_are_counted(runs):
    state, x = torch.zeros(4, 6), torch.ones(4, 6)
    for n in range(1, 12):
        total = (state * 1).sum()
        state[0] += x[0]
        assert total.item() == 6 * (n - 1)
    assert state._version == 22
    assert runs[0] >= 5


def test_data_is_assigned_to_what_a_run_has_left(runs):
    x, new = torch.ones(3, 4), torch.full((3, 4), 7.0)
    state, before = torch.zeros(3, 4), torch.zeros(3, 4)
    seen = []
    for i in range(14):
        loss = (-before).square().mean() + x.sum()
        before, state = state, x.detach() * 0.5
        loss.item()
        if i == 8:
            state.data = new.clone()
        seen.append(before)
    assert seen[9].tolist() == new.tolist() and seen[10].tolist() == (x / 2).tolist()
    assert runs[0] >= 5


def test_a_second_backward_that_is_refused_adds_nothing(runs):
    p, q = torch.ones(3, 5, requires_grad=True), torch.ones(5, requires_grad=True)
    for i in range(12):
        loss = (p.square() * q).mean() + (p * 0.5).mean()
        loss.backward()
        p.grad = q.grad = None
        if i in (6, 9):
            with pytest.raises(RuntimeError, match="second time"):
                loss.backward(retain_graph=True)
            assert p.grad is None and q.grad is None
        assert loss.item() == 1.5
    assert runs[0] >= 5


def test_a_parameter_that_was_filled_is_read_anew(runs):
    p, x = torch.ones(1, 6, requires_grad=True), torch.ones(2)
    optimizer = torch.optim.SGD([p], 0.05)
    expected = 1.0
    for i in range(20):
        (x * x.sum()).sum()  # not wanted
        loss = (p * 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected *= 1 - 0.1 / 6
        assert p[0, 0].item() == pytest.approx(expected, rel=1e-5)
        if i in (5, 8, 13):
            p.detach()[0] = 0.2
            expected = 0.2


def test_what_an_operation_looks_at_is_looked_at_in_every_step(runs):
    w = torch.arange(12.0).view(6, 2).requires_grad_()
    mask = torch.tensor([True, False] * 3)
    table = torch.nn.Embedding(7, 4, max_norm=1.0)
    rows, expected = torch.tensor([0, 3]), None
    for i in range(16):
        loss = w[mask].sum()
        assert loss.item() == w.detach().numpy()[mask.numpy()].sum()
        if i % 5 == 4:
            mask[:] = ~mask
        out = table(rows).tanh().sum()
        expected = table.weight.detach().clone()
        assert out.item() == pytest.approx(expected[rows].tanh().sum().item(), rel=1e-5)
        if i % 3 == 2:
            table.weight.data.mul_(0.9)


def test_an_index_of_numbers_is_not_taken_for_one_of_tensors(runs):
    w = torch.arange(24.0).view(6, 4)
    for i in range(24):
        key = [0, 2] if i % 8 < 6 else (torch.tensor([0, 2]), torch.tensor([1, 3]))
        assert (w[key] * 1).sum().item() == w.numpy()[
            key if i % 8 < 6 else ([0, 2], [1, 3])].sum()


def test_memory_that_numpy_writes_is_read_by_a_step_with_other_inputs(runs):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(16, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 3))
    data, losses = torch.randn(6, 8, 16), []
    for i in range(9):
        if i == 7:
            net[0].weight.detach().numpy()[0] = 0.1
        loss = net(data[0] if i % 2 else data[0].clone()).sum()
        loss.backward()
        losses.append(loss.item())
    assert runs[0] >= 2
    assert losses[6] == losses[5] and losses[7] == losses[8] != losses[6]


@pytest.mark.parametrize("write", [6, 8])
def test_a_view_among_the_results_knows_what_it_is_a_view_of(runs, write):
    found = []
    for follow in (True, False):
        with flags.override(tier="1", follow=follow):
            torch.manual_seed(0)
            net, x = torch.nn.Linear(4, 4), torch.randn(9, 3, 4)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
            for i in range(9):
                out = net(x[i]) + 1
                v = out[0]
                loss = out.sum() * 0.1
                loss.item()
                if i == write:
                    v.mul_(2)
                    assert out.grad_fn.name() == "CopySlices" and v._is_view()
                    loss = (out * 3).square().mean() + v.sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if i == write:
                    found.append(net.weight.grad.tolist())
    assert found[0] == found[1]


def test_a_view_that_others_hold_keeps_its_content():
    with flags.override(tier="1", follow=0):
        g, log = torch.ones(6), []
        for _ in range(4):
            o = torch.zeros(5, 6)
            o[:] = g
            p = (o * 2).sum()
            g.add_(1)
            log.append(o)
            p.item()
        assert [o[0, 0].item() for o in log] == [1, 2, 3, 4]


def test_a_number_that_an_argument_becomes_is_not_lost():
    found = []
    with flags.override(tier="1"):
        w = torch.nn.Parameter(torch.ones(3))
        optimizer = torch.optim.SGD([w], lr=0.01)
        ring, head = torch.randn(16, 4), torch.zeros(())
        for _ in range(12):
            head.fill_(0)
            z = ring * 2
            optimizer.step()
            head.add_(1)
            found.append(head.item())
            del z
    assert found == [1] * 12


def test_a_half_walked_history_of_before_does_not_keep_steps_from_being_followed(runs):
    w = torch.ones(3, requires_grad=True)
    for _ in range(6):
        one, two = (w * 2).sum(), (w * 3).sum()
        one.item()
        two.item()
    one.backward()  # and two is still held
    before = runs[0]
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(12):
        optimizer.zero_grad()
        (w * 5).square().sum().backward()
        optimizer.step()
    assert runs[0] - before >= 5
    optimizer.zero_grad()
    two.backward()
    assert w.grad.tolist() == [3, 3, 3]


def test_a_result_of_memory_that_was_looked_at_may_be_used_on():
    found = []
    for follow in (True, False):
        with flags.override(tier="1", follow=follow):
            torch.manual_seed(0)
            data, state = torch.randn(8, 5, 1) * 0.7, torch.randn(5, 1) * 0.1
            p0 = torch.randn(5, 1, requires_grad=True)
            p1, prev = torch.randn(1, requires_grad=True), torch.randn(5, 1)
            optimizer = torch.optim.AdamW([p0, p1], lr=0.01)
            for i in range(9):
                x = data[i % 8]
                t1 = torch.mm(x * state, x.t()).relu() * 0.3
                t3 = prev * 0.5
                t3[1] = p1
                seen = torch.from_numpy(t3.detach().numpy().copy())
                t10 = t3.abs().pow(1.5).clamp(max=4)
                loss = prev.square().mean() + x.square().mean() + t1.square().mean() \
                    + (p0 * p1).mean()
                loss.backward()
                optimizer.step()
            found.append((p0.tolist(), p1.tolist(), seen.tolist(), t10.tolist()))
    assert found[0] == found[1]
