"""Interrupts, errors, forks, threads, the end of the process, the kernel cache in real programs."""

import functools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.base import flags
from flambeau.runtime import interpret, plan
from flambeau.tensor.follow import FOLLOW, recorder

PROGRAM = """
import flambeau as torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.1)
x, y = torch.randn(16, 4), torch.randn(16, 1)
for _ in range(5):
    optimizer.zero_grad()
    loss = ((model(x) - y) ** 2).mean()
    loss.backward()
    optimizer.step()
    loss.item()
"""
REPORT = """
from flambeau.runtime import jit
print(repr(loss.item()), jit.stats.compiled, jit.stats.loaded_from_disk)
"""


def run(code, **environment):
    """A program in a process of its own: (return code, stdout, stderr)."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
                          env=dict(os.environ, **environment), check=False)
    return done.returncode, done.stdout, done.stderr


def make(seed, lr=0.05):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    return model, torch.randn(16, 4), torch.randn(16, 1), torch.optim.Adam(model.parameters(), lr)


def step(model, x, y, optimizer):
    optimizer.zero_grad()
    loss = ((model(x) - y) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss


def train(job, steps):
    losses = [step(*job).item() for _ in range(steps)]
    return losses, [p.detach().numpy().copy() for p in job[0].parameters()]


def same(one, other):
    return np.allclose(one[0], other[0], rtol=1e-4) and all(
        np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(one[1], other[1], strict=True))


# --- interrupts and errors in a flush -------------------------------------------------------------


def failing(monkeypatch, owner, name, error, after=0):
    """Make ``owner.name`` raise ``error`` once, in its call number ``after``."""
    real = getattr(owner, name)
    calls = iter(range(10**9))

    def patched(*args, **kwargs):
        if next(calls) == after:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, patched)


@pytest.mark.parametrize("after", [0, 2])
def test_interrupt_while_interpreting_loses_nothing(monkeypatch, after):
    with flags.override(tier="0"):
        x = torch.arange(6.0)
        y = (x * 2 + 1).sum() + (x * x)
        failing(monkeypatch, interpret, "evaluate", KeyboardInterrupt(), after)
        with pytest.raises(KeyboardInterrupt):
            y.tolist()
        assert y.tolist() == [36.0 + n * n for n in range(6)]
        assert (x + y).sum().item() == 15 + 6 * 36 + 55


@pytest.mark.parametrize("warm", [4, 12])
def test_interrupt_of_a_step(monkeypatch, warm):
    """Interrupted when its plan starts: the step is made later on, once, or not at all."""
    expected = train(make(3), warm + 9)[0]
    job = make(3)
    train(job, warm)
    failing(monkeypatch, plan.Plan, "execute", KeyboardInterrupt())
    made = 0
    with pytest.raises(KeyboardInterrupt):
        for _ in range(4):
            step(*job).item()
            made += 1
    monkeypatch.undo()
    assert all(np.isfinite(p.detach().numpy()).all() for p in job[0].parameters())
    losses = train(job, 3)[0]
    done = warm + made
    assert np.allclose(losses, expected[done + 1:done + 4], rtol=1e-4) or np.allclose(
        losses, expected[done:done + 3], rtol=1e-4)
    assert torch.ones(3).sum().item() == 3


@pytest.mark.parametrize("warm", [0, 6])
def test_an_error_in_a_flush_leaves_parameters_unchanged(warm):
    torch.manual_seed(0)
    table, head = nn.Embedding(10, 4), nn.Linear(4, 1)
    parameters = [*table.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, 0.1)
    index = torch.zeros(3, dtype=torch.int64)

    def learn(shift):
        optimizer.zero_grad()
        loss = head(table(index + shift)).sum()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(warm):
        learn(1).item()
    before = [p.detach().numpy().copy() for p in parameters]
    with pytest.raises(IndexError, match="index out of range in self"):
        learn(20).item()
    after = [p.detach().numpy() for p in parameters]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert np.isfinite(learn(1).item())


# --- forks ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("warm", [0, 6])
def test_fork_with_work_pending(warm):
    job = make(1)
    train(job, warm)
    model, x, y, _ = job
    pending = ((model(x) - y) ** 2).mean()
    child = os.fork()
    if child == 0:
        ok = np.isfinite(pending.item()) and (torch.ones(3) * 2).sum().item() == 6
        pending.backward()
        train(job, 3)
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    value = pending.item()
    pending.backward()
    assert abs(value - ((model(x) - y) ** 2).mean().item()) < 1e-6


# --- threads --------------------------------------------------------------------------------------


def in_thread(function):
    """What ``function`` gives in a thread of its own; its error is raised here."""
    result, errors = [], []

    def work():
        try:
            result.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return result[0]


def test_training_loops_in_threads_agree_with_sequential_ones():
    expected = [train(make(seed), 40) for seed in range(3)]
    jobs = [make(seed) for seed in range(3)]
    found, errors = [None] * 3, []

    def work(i):
        try:
            found[i] = train(jobs[i], 40)
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors
    assert all(same(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("use", [
    lambda h, m: (torch.ones(3) * 2).sum().item(),
    lambda h, m: h.sum().item(),
    lambda h, m: h.detach().numpy().sum(),
    lambda h, m: h.grad_fn.name(),
    lambda h, m: m[0].weight.sum().item(),
    lambda h, m: (h * 2 + m[0].weight.sum()).tolist(),
], ids=["unrelated", "item", "numpy", "grad_fn", "parameter", "mixed"])
def test_other_threads_may_use_a_step_that_is_not_finished(use):
    def loop(seen, direct):
        model, x, y, _ = make(5)
        optimizer = torch.optim.SGD(model.parameters(), 0.05)
        for i in range(12):
            h = model(x) * 2
            if i == 9:
                seen.append((recorder.mode, use(h, model) if direct else
                             in_thread(functools.partial(use, h, model))))
            loss = ((h - y) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
        return loss.item()

    results = []
    for direct in (True, False):
        seen = []
        results.append((loop(seen, direct), seen[0][1]))
        assert seen[0][0] == FOLLOW, "the step was not followed, so the test tests nothing"
    assert np.allclose(results[0][0], results[1][0])
    if not isinstance(results[0][1], str):
        assert np.allclose(results[0][1], results[1][1])
    else:
        assert results[0][1] == results[1][1]


def test_following_goes_on_while_another_thread_computes():
    job = make(7)
    expected = train(make(7), 60)
    train(make(7), 8)
    stop, errors = threading.Event(), []

    def beside():
        try:
            while not stop.is_set():
                assert (torch.ones(3) * 2 + 1).sum().item() == 9
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=beside)
    thread.start()
    try:
        found = train(job, 60)
    finally:
        stop.set()
        thread.join()
    assert not errors
    assert same(expected, found)


# --- the end of the process -----------------------------------------------------------------------


@pytest.mark.parametrize("ending", [
    "", "left = (model(x) ** 2).sum()", "left = model(x); left.sum().backward()",
    "import threading; threading.Thread(target=lambda: (model(x) * 2).sum().item()).start()",
    "it = iter(torch.utils.data.DataLoader(list(range(64)), 4, num_workers=2)); next(it)",
])
def test_exit_is_clean(ending):
    assert run(PROGRAM + ending, FLAMBEAU_THREADS="2") == (0, "", "")


# --- flags and the kernel cache -------------------------------------------------------------------


def test_unknown_flag_suggests_the_right_one():
    code, _, errors = run("import flambeau", FLAMBEAU_CASHE="off")
    assert code != 0
    assert "unknown environment flag FLAMBEAU_CASHE; did you mean FLAMBEAU_CACHE?" in errors


def test_cache_off_compiles_every_time(tmp_path):
    answers = [run(PROGRAM + REPORT, FLAMBEAU_CACHE="off", HOME=str(tmp_path),
                   XDG_CACHE_HOME=str(tmp_path)) for _ in range(2)]
    for code, out, errors in answers:
        assert code == 0, errors
        assert int(out.split()[1]) > 0 and out.split()[2] == "0"
    assert answers[0][1] == answers[1][1]
    assert not list(tmp_path.rglob("*"))


def entries(root):
    return sorted(p for p in root.rglob("*") if p.is_file())


def test_cache_survives_damage_in_a_real_program(tmp_path):
    root = tmp_path / "c"
    code, cold, errors = run(PROGRAM + REPORT, FLAMBEAU_CACHE=str(root))
    assert code == 0, errors
    assert int(cold.split()[1]) > 0 and entries(root)
    _, warm, _ = run(PROGRAM + REPORT, FLAMBEAU_CACHE=str(root))
    assert warm.split()[0] == cold.split()[0], "cold and warm must agree bit by bit"
    assert warm.split()[1] == "0" and int(warm.split()[2]) > 0
    for damage in (lambda b: b[:len(b) // 2], lambda b: b"", lambda b: b[:-8] + bytes(8),
                   lambda b: b"\x7fELF" + b[4:]):
        for path in entries(root):
            path.write_bytes(damage(path.read_bytes()))
        code, out, errors = run(PROGRAM + REPORT, FLAMBEAU_CACHE=str(root))
        assert (code, errors) == (0, "")
        assert out.split()[0] == cold.split()[0]
        assert int(out.split()[1]) > 0, "what was damaged is compiled anew"


def test_cache_on_a_place_that_cannot_be_written(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    for place in (blocker, "/proc/nowhere", "/dev/full"):
        code, out, errors = run(PROGRAM + REPORT, FLAMBEAU_CACHE=str(place))
        assert (code, errors) == (0, "")
        assert int(out.split()[1]) > 0


def test_cache_of_another_cpu_is_not_used(tmp_path):
    root = tmp_path / "c"
    code, wide, _ = run(PROGRAM + REPORT, FLAMBEAU_CACHE=str(root))
    assert code == 0
    code, narrow, errors = run(PROGRAM + REPORT, FLAMBEAU_CACHE=str(root), FLAMBEAU_VECTOR="sse2")
    assert code == 0, errors
    assert int(narrow.split()[1]) > 0, "kernels of another vector width must not be loaded"
    assert abs(float(wide.split()[0]) - float(narrow.split()[0])) < 1e-5


def test_two_processes_compile_at_once(tmp_path):
    root = tmp_path / "c"
    environment = dict(os.environ, FLAMBEAU_CACHE=str(root))
    both = [subprocess.Popen([sys.executable, "-c", PROGRAM + REPORT], env=environment, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    answers = [p.communicate(timeout=120) for p in both]
    assert [p.returncode for p in both] == [0, 0], answers
    assert answers[0][0].split()[0] == answers[1][0].split()[0]
    code, out, _ = run(PROGRAM + REPORT, FLAMBEAU_CACHE=str(root))
    assert code == 0 and out.split()[1] == "0"
