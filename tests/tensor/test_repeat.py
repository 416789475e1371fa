"""Steps that are mere repetitions run in machine code; whatever disturbs that is noticed."""

import gc
import sys
import threading
import weakref

import pytest

import flambeau as torch
from flambeau.base import flags
from flambeau.runtime import builtin, counts, execute
from flambeau.tensor.follow import recorder
from flambeau.tensor.repeat import Repeat

STEPS = 24


class Parts:
    """A small model in training."""

    def __init__(self):
        torch.manual_seed(3)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
        self.optimizer = torch.optim.Adam(self.model.parameters(), 0.05)
        self.data = [(torch.randn(6, 4), torch.randn(6, 2)) for _ in range(4)]
        self.kept: list = []

    def step(self, i):
        """One step on one of the batches."""
        x, y = self.data[i % 4]
        self.optimizer.zero_grad()
        out = self.model(x)
        loss = (out - y).square().mean()
        loss.backward()
        self.optimizer.step()
        return out, loss


def repeats() -> int:
    """Runs so far that were mere repetitions."""
    waiting = recorder.trace.repeat.untaken if recorder.trace and recorder.trace.repeat else 0
    return Repeat.total + waiting


def train(disturb=None, follow=True):
    """The losses and parameters of a training, and how many of its steps were repetitions."""
    execute.restless = 0  # other tests' steps do not matter
    with flags.override(tier="1", follow=follow):
        parts, losses, before = Parts(), [], repeats()
        for i in range(STEPS):
            out, loss = parts.step(i)
            losses.append(loss.item())
            if disturb is not None:
                disturb(parts, i, out, loss)
            del out, loss
        found = [p.tolist() for p in parts.model.parameters()]
        return losses, found, [t.tolist() for t in parts.kept], repeats() - before


def test_steps_repeat():
    *found, repeated = train()
    assert found == list(train(follow=False)[:3])
    assert repeated >= STEPS - 8


def _hold_result(parts, i, out, loss):
    parts.kept.append(out)


def _hold_loss(parts, i, out, loss):
    if i % 3 == 0:
        parts.kept.append(loss)


def _read_parameter(parts, i, out, loss):
    parts.kept.append(parts.model[0].weight.sum())


def _write_parameter(parts, i, out, loss):
    with torch.no_grad():
        parts.model[2].bias.mul_(0.5)


def _hold_parameter(parts, i, out, loss):
    parts.kept.append(parts.model[0].bias.detach().clone())


def _data_of_parameter(parts, i, out, loss):
    if i == 12:
        parts.model[0].weight.data = parts.model[0].weight.data * 0.5


def _other_batch(parts, i, out, loss):
    parts.data[i % 4] = torch.randn(6, 4), torch.randn(6, 2)


def _overwrite_batch(parts, i, out, loss):
    parts.data[i % 4][0].add_(0.25)


def _learning_rate(parts, i, out, loss):
    parts.optimizer.param_groups[0]["lr"] *= 0.9


def _freeze(parts, i, out, loss):
    parts.model[0].weight.requires_grad_(i % 6 != 3)


def _something_else(parts, i, out, loss):
    parts.kept.append(torch.ones(3) * i)


def _another_thread(parts, i, out, loss):
    if i % 4 == 1:
        run = threading.Thread(target=lambda: parts.kept.append(parts.step(i)[1]))
        run.start()
        run.join()


def _evaluate(parts, i, out, loss):
    if i % 5 == 4:
        with torch.no_grad():
            parts.kept.append(parts.model(parts.data[0][0]))


def _gradients(parts, i, out, loss):
    parts.kept.append(parts.model[0].weight.grad)


@pytest.mark.parametrize("disturb", [
    _hold_result, _hold_loss, _read_parameter, _write_parameter, _hold_parameter,
    _data_of_parameter, _other_batch, _overwrite_batch, _learning_rate, _freeze, _something_else,
    _another_thread, _evaluate, _gradients], ids=lambda f: f.__name__)
def test_what_comes_between_is_noticed(disturb):
    assert train(disturb)[:3] == train(disturb, follow=False)[:3]


def test_versions_count_repeated_steps():
    found = []
    for follow in (True, False):
        with flags.override(tier="1", follow=follow):
            parts = Parts()
            for i in range(STEPS):
                parts.step(i)
            found.append(parts.model[0].weight._version)
    assert found[0] == found[1] >= STEPS


def test_a_run_that_fails_its_check_names_the_line():
    weight, start = torch.randn(5, 2), torch.tensor([0, 1, 2])
    offsets = [torch.tensor(5 if i == 20 else i % 3) for i in range(22)]
    with flags.override(tier="1"):
        for i in range(22):
            total = torch.nn.functional.embedding(start + offsets[i], weight).sum()
            if i == 20:
                with pytest.raises(IndexError, match="test_repeat"):
                    total.item()
            else:
                rows = weight[i % 3:i % 3 + 3]
                assert total.item() == pytest.approx(rows.sum().item(), abs=1e-6)


def test_results_of_a_repeated_step_go_as_soon_as_the_next_one_is_made():
    with flags.override(tier="1"):
        parts, seen = Parts(), []
        for i in range(STEPS):
            out, loss = parts.step(i)
            seen.append(weakref.ref(out))
            del out, loss
        gc.collect()
        assert sum(ref() is not None for ref in seen) <= 2


def test_counts_are_those_of_the_interpreter():
    objects = [object() for _ in range(3)]
    objects.append(objects[0])
    found = counts.of(objects)
    assert found == [sys.getrefcount(x) - 2 for x in objects] == [2, 1, 1, 2]
    assert counts.are(objects, found) and not counts.are(objects, found[:-1])
    assert not counts.are(objects, [2, 1, 2, 2])
    assert counts.below(objects, 3) and not counts.below(objects, 2)


def test_built_in_functions_refuse_other_arguments():
    counts.below([], 1)  # loads them
    with pytest.raises(TypeError):
        counts.below([])
    with pytest.raises(TypeError):
        counts.are([], [], [])
    assert type(counts.below) is type(len) and "below" in counts.below.__doc__
    assert builtin.function.__doc__
