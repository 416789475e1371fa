"""A few random programs of each family; ``python -m flambeau.testing.fuzz`` runs any number."""

import os

import numpy as np
import pytest
from flambeau.optim import adam
from flambeau.tensor import steps, trace
from flambeau.testing import fuzz
from flambeau.testing.fuzz import judging, running
from flambeau.testing.fuzz.command import Check, Progress
from flambeau.testing.fuzz.jobs import Report, reports
from flambeau.testing.fuzz.shrinking import shrink


@pytest.mark.parametrize("family", fuzz.FAMILIES)
def test_random_programs_agree_with_torch(family, capsys):
    pytest.importorskip("torch")
    arguments = ["--programs", "8", "--seed", "77000", "--family", family, "--as-is"]
    assert fuzz.main(arguments) == 0, capsys.readouterr().out


@pytest.mark.parametrize("family", fuzz.FAMILIES)
def test_programs_are_programs(family):
    for seed in range(20):
        name, text = fuzz.program(seed, family)
        assert name == family
        running.compiled(text)
        assert fuzz.program(seed, family) == (name, text)


def _agrees(seed: int) -> bool:
    """Whether the fuzzer has nothing to say about one program."""
    pytest.importorskip("torch")
    arguments = ["--programs", "1", "--seed", str(seed), "--family", "steps", "--tiers", "1"]
    return fuzz.main([*arguments, "--as-is"]) == 0


def test_a_planted_fault_is_found_numbers_are_not_compared(monkeypatch):
    check = steps._check_value
    assert _agrees(700003)
    monkeypatch.setattr(steps, "_check_value", lambda lines, names, want, name:
                        None if type(want) in (int, float, str) else
                        check(lines, names, want, name))
    assert not _agrees(700003)


def test_a_planted_fault_is_found_any_layout_is_taken(monkeypatch):
    accepts = trace.Leaf.accepts

    def careless(leaf, t, storage):
        leaf.strides = t.strides
        return accepts(leaf, t, storage)

    assert _agrees(700117)
    monkeypatch.setattr(trace.Leaf, "accepts", careless)
    assert not _agrees(700117)


def _outcome(*log) -> running.Outcome:
    return running.Outcome(log=[running.plain(x) for x in log])


def test_differences_that_rounding_explains():
    a, b = (np.array([1.0, 2.0], np.float32), np.array([1.0, 2.01], np.float32))
    shaky = iter(np.array([1.0, 2.0 + 0.004 * k], np.float32) for k in range(99))
    assert judging.differs(_outcome(a), _outcome(b), lambda n: _outcome(a)).why.startswith("log[0]")
    assert judging.differs(_outcome(a), _outcome(b), lambda n: _outcome(next(shaky))) == ("", False)
    assert judging.differs(_outcome(a), _outcome(a * (1 + 1e-6)), None) == ("", False)


def test_rounding_may_choose_among_the_elements_of_a_tensor():
    a, b, c = (np.array(x, np.float32) for x in ([1, 0, 0], [0, 1, 0], [0, 0, 1]))
    assert judging.differs(_outcome(a), _outcome(b), lambda n: _outcome(c)) == ("", True)
    assert judging.differs(_outcome(a), _outcome(5 * b), lambda n: _outcome(c)).why


def test_differences_in_kind():
    def same(n):
        return _outcome(1)

    assert "2 here" in judging.differs(_outcome(1), _outcome(1, 2), same).why
    assert "PyTorch int 1, flambeau int 2" in judging.differs(_outcome(1), _outcome(2), same).why
    assert "bool True" in judging.differs(_outcome(1), _outcome(True), same).why


def test_nothing_is_said_after_a_branch_on_a_rounding_error():
    assert judging.differs(_outcome(1, 5), _outcome(1, 6),
                           lambda n: _outcome(1, 6) if n == 2 else _outcome(1, 5)) == ("", True)


def test_many_ill_conditioned_programs_fail():
    progress = Progress(1000)
    for k in range(1000):
        progress.add(Report(k, family="x", ill=k % 30 == 0))
    assert progress.too_ill() and "too many programs" in progress.summary()
    few = Progress(1000)
    for k in range(1000):
        few.add(Report(k, family="x", ill=k % 50 == 0))
    assert not few.too_ill()


# In training, batch norm makes the gradients of what comes before it zero, and Adam divides them by
# their own size: rounding decides where such parameters go, and the rest is still compared.
NORMALIZED = """import torch
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5), torch.nn.GELU(),
                          torch.nn.Linear(5, 3))
opt = torch.optim.Adam(net.parameters(), lr=0.02)
for i in range(6):
    loss = net(torch.randn(4, 6)).square().mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
log += list(net.state_dict().values())
"""


def test_gradients_that_are_rounding_errors_do_not_hide_faults(monkeypatch):
    pytest.importorskip("torch")
    report = Report(0)
    assert not Check().compare(NORMALIZED, report) and report.ill
    right = adam._set_numbers

    def wrong(numbers, lr, count, constants):
        right(numbers, lr * 1.001, count, constants)

    monkeypatch.setattr(adam, "_set_numbers", wrong)
    assert Check().compare(NORMALIZED).startswith("FLAMBEAU_TIER=1: log[")


def test_shrinking_leaves_what_matters():
    text = ("import torch\na = 1\nb = 2\nfor i in range(9):\n    if a:\n        c = b\n"
            "    d = a\n    bad = 1\n")
    small = shrink(text, lambda t: "bad" in t)
    assert small == "import torch\nbad = 1\n"


def _die_at_three(seed: int) -> Report:
    if seed == 3:
        os.abort()
    return Report(seed, family="x")


def test_the_death_of_a_worker_is_a_failure():
    found = {r.seed: r.failure for r in reports(iter(range(6)), _die_at_three, 2)}
    assert found == {**dict.fromkeys((0, 1, 2, 4, 5), ""), 3: "the process died: SIGABRT"}
