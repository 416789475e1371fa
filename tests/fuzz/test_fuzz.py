"""A few random programs of each family; ``python -m flambeau.testing.fuzz`` runs any number."""

import os

import numpy as np
import pytest
from flambeau.base.flags import values as flags
from flambeau.optim import adam
from flambeau.runtime import execute
from flambeau.tensor import binding, steps, trace
from flambeau.testing import fuzz
from flambeau.testing.fuzz import judging, running
from flambeau.testing.fuzz.command import UNLIKE, Check, Progress, alike
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


# A loop as the family "steps" writes them; it finds the faults planted below by itself, too.
LOOP = """import torch
torch.manual_seed(0)
rows = [torch.randn(4, 6) for k in range(8)]
crossed = torch.randn(6, 4).t()
p0, state, kept = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6), []
opt = torch.optim.Adam([p0], lr=0.01)
def step(i):
    x = INPUT
    loss = (x * p0).tanh().square().mean().add(p0.mean(), alpha=SCALE)
    state.add_(x, alpha=0.1)
    opt.zero_grad()
    loss.backward()
    opt.step()
    log.append(loss.item())
    if i == 9:
        HELD
for i in range(14):
    step(i)
log += [p0.detach(), state, *kept]
"""


def _differs(held: str = "pass", given: str = "rows[i % 8]", scale: str = "0.5") -> bool:
    """Whether the fuzzer has anything to say about a loop."""
    pytest.importorskip("torch")
    return bool(Check().compare(
        LOOP.replace("INPUT", given).replace("HELD", held).replace("SCALE", scale)))


@pytest.mark.parametrize("later", ["0.25", "0.50000006"])  # as large as a number, as rounding
def test_a_planted_fault_is_found_numbers_are_not_compared(later, monkeypatch):
    check = steps._is_value
    scale = f"0.5 if i < 9 else {later}"
    assert not _differs(scale=scale)
    monkeypatch.setattr(steps, "_is_value", lambda want, x:
                        type(want) in (int, float, str) or check(want, x))
    assert _differs(scale=scale)


def test_a_planted_fault_is_found_any_layout_is_taken(monkeypatch):
    accepts = trace.Leaf.accepts

    def careless(leaf, t, storage):
        leaf.strides = t.strides
        return accepts(leaf, t, storage)

    given = "crossed if i == 9 else rows[i % 8]"
    assert not _differs(given=given)
    monkeypatch.setattr(trace.Leaf, "accepts", careless)
    assert _differs(given=given)


@pytest.mark.parametrize("same", [
    "w.roll(0, 0)", "torch.stack([w])"])
def test_a_planted_fault_is_found_who_else_holds_what_is_written(same, monkeypatch):
    held = f"w = p0.detach(); kept.append({same}); log.append(kept[-1].sum().item())"
    assert not _differs(held)
    monkeypatch.setattr(binding.Binding, "exclusive", lambda self, t: True)
    assert _differs(held)


def test_a_planted_fault_is_found_contents_are_overwritten_that_others_hold(monkeypatch):
    donations = execute._donations

    def careless(todo, outputs, written):
        given = donations(todo, outputs, written)
        return given | {old: s.node for s, old in written if s.node in outputs
                        and old.value is not None and old.shape == s.node.shape}

    held = "kept.append(p0.detach().roll(0, 0))"
    assert not _differs(held)
    monkeypatch.setattr(execute, "_donations", careless)
    assert _differs(held)


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
    assert judging.differs(_outcome(a), _outcome(20 * b), lambda n: _outcome(c)).why


def test_differences_in_kind():
    def same(n):
        return _outcome(1)

    assert "2 here" in judging.differs(_outcome(1), _outcome(1, 2), same).why
    assert "PyTorch int 1, flambeau int 2" in judging.differs(_outcome(1), _outcome(2), same).why
    assert "bool True" in judging.differs(_outcome(1), _outcome(True), same).why


def test_nothing_is_said_after_a_branch_on_a_rounding_error():
    assert judging.differs(_outcome(1, 5), _outcome(1, 6),
                           lambda n: _outcome(1, 6) if n == 2 else _outcome(1, 5)) == ("", True)


def test_nothing_is_said_after_values_that_diverge():
    a = (np.float32(2.0), np.float32(1e18), np.float32(np.nan))
    b = (*a[:2], np.float32(np.inf))
    assert judging.differs(_outcome(*map(np.array, a)), _outcome(*map(np.array, b)),
                           lambda n: _outcome(*map(np.array, a))) == ("", True)
    assert judging.differs(_outcome(np.array(a[2])), _outcome(np.array(b[2])),
                           lambda n: _outcome(np.array(a[2]))).why


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


def test_a_planted_fault_is_found_a_rate_is_off_by_less_than_a_thousandth(monkeypatch):
    right = adam._set_numbers

    def wrong(numbers, lr, count, constants):
        right(numbers, lr * 1.0002, count, constants)

    assert not _differs()
    monkeypatch.setattr(adam, "_set_numbers", wrong)
    assert _differs()


def test_compiled_code_that_rounds_differently_is_a_fault_where_rounding_decides(monkeypatch):
    pytest.importorskip("torch")
    right = adam._set_numbers

    def wrong(numbers, lr, count, constants):
        right(numbers, lr * (1 + 2e-7 * (flags.tier == "1")), count, constants)

    monkeypatch.setattr(adam, "_set_numbers", wrong)
    assert UNLIKE in Check().compare(NORMALIZED)


# Each group has one element, which its own mean leaves nothing of; ReLU6 asks for the sign of that.
NOTHING_LEFT = """import torch
net = torch.nn.Sequential(torch.nn.AdaptiveMaxPool1d(1), torch.nn.GroupNorm(3, 3), torch.nn.ReLU6())
data = torch.randn(4, 4, 3, 7)
for i in range(8):
    (net(data[i % 4]) - 0.5).abs().sum().backward()
    with torch.no_grad():
        for p in net.parameters():
            p -= 0.05 * p.grad.clamp(-1, 1)
    log.append(net(data[0]).sum())
"""


def test_where_nothing_is_left_but_rounding_errors_there_may_be_none():
    pytest.importorskip("torch")
    assert not Check().compare(NOTHING_LEFT, report := Report(0)) and report.ill


def test_a_difference_between_two_ways_stays_one_while_a_program_shrinks():
    one, two = f"FLAMBEAU_TIER=1: {UNLIKE}: log[0]", "FLAMBEAU_TIER=1: log[0]"
    assert alike(one, one) and alike(two, two)
    assert not alike(one, two) and not alike(two, one) and not alike("", two)


def test_shrinking_leaves_what_matters():
    text = ("import torch\na = 1\nb = 2\nfor i in range(9):\n    if a:\n        c = b\n"
            "    d = a\n    bad = 1\n")
    small = shrink(text, lambda t: "bad" in t)
    assert small == "import torch\nbad = 1\n"


def test_shrinking_tries_fewer_rounds():
    text = "import torch\nfor i, what in enumerate('aabba'):\n    do(what)\n"
    assert "enumerate('aab')" in shrink(text, lambda t: "'aab" in t and "do" in t)
    text = "import torch\nfor i in range(9):\n    do(i)\n"
    assert "range(4)" in shrink(text, lambda t: "do" in t and any(
        f"range({n})" in t for n in range(4, 10)))


def _die_at_three(seed: int) -> Report:
    if seed == 3:
        os.abort()
    return Report(seed, family="x")


def test_the_death_of_a_worker_is_a_failure():
    found = {r.seed: r.failure for r in reports(iter(range(6)), _die_at_three, 2)}
    assert found == {**dict.fromkeys((0, 1, 2, 4, 5), ""), 3: "the process died: SIGABRT"}
