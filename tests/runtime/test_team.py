"""The thread team runs every chunk once, in row order, under all circumstances."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from flambeau.base import flags
from flambeau.codegen.emit import Module
from flambeau.runtime import jit, team


def build():
    """args = [out, previous, cells]: out[chunk] += 1 + the least of previous[0:cells]."""
    m = Module()
    f = m.kernel("k")
    out, previous, cells = f.arg(0, "ptr"), f.arg(1, "ptr"), f.arg(2)
    chunk = f.args[1]
    with f.loop(0, cells, carry=[f.const(2**62, "i64")]) as loop:
        cell = f.load(f.gep(previous, loop.i, "i64"), "i64")
        loop.next(f.min(loop.carried[0], cell))
    p = f.gep(out, chunk, "i64")
    f.store(f.load(p, "i64") + loop.results[0] + 1, p)
    return jit.load(str(m), ["k"])["k"]


@pytest.fixture(scope="module")
def kernel():
    return build()


class Plan:
    """Rows of different chunk counts, each reading what the row before wrote."""

    def __init__(self, kernel, chunks):
        self.cells = [np.zeros(1, np.int64)] + [np.zeros(n, np.int64) for n in chunks]
        self.args = [np.array([b.ctypes.data, a.ctypes.data, len(a)])
                     for a, b in zip(self.cells, self.cells[1:], strict=False)]
        self.table = np.array([[kernel, a.ctypes.data, n]
                               for a, n in zip(self.args, chunks, strict=True)])
        self.address, self.rows = self.table.ctypes.data, len(chunks)

    def check(self):
        for k, cells in enumerate(self.cells):
            assert (cells == k).all(), (k, cells)
        for cells in self.cells:
            cells[:] = 0


CHUNKS = [1, 1, 8, 3, 1, 1, 1, 64, 7, 1, 2, 16, 1]


@pytest.mark.parametrize("futex", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_chunk_once_in_row_order(kernel, count, futex):
    crew, plan = team.Team(count, futex), Plan(kernel, CHUNKS)
    for k in range(200):
        crew.run(plan.address, plan.rows)
        plan.check()
        if k % 50 == 0:
            time.sleep(0.002)  # long enough for workers to sleep
    crew.close()
    crew.run(plan.address, plan.rows)
    plan.check()


@pytest.mark.parametrize("chunks", [[], [1], [1, 1, 1], [5], [0, 4, 0]])
def test_small_and_odd_plans(kernel, chunks):
    crew, plan = team.Team(2), Plan(kernel, chunks)
    crew.run(plan.address, plan.rows)
    if 0 not in chunks:
        plan.check()
        team.run_small(plan.address, plan.rows)
        plan.check()
    crew.close()


def test_callers_on_several_threads(kernel):
    errors = []

    def work():
        plan = Plan(kernel, CHUNKS)
        for _ in range(200):
            team.run(plan.address, plan.rows)
            try:
                plan.check()
            except AssertionError as e:
                errors.append(e)

    callers = [threading.Thread(target=work) for _ in range(4)]
    for t in callers:
        t.start()
    for t in callers:
        t.join()
    assert not errors


def test_thread_count_follows_the_flag(kernel):
    plan = Plan(kernel, CHUNKS)
    for n in (3, 1, 2):
        with flags.override(threads=n):
            assert team.current().count == n
            team.run(plan.address, plan.rows)
            plan.check()


def test_profile_runs_the_plan(kernel):
    crew, plan = team.Team(2), Plan(kernel, CHUNKS)
    seconds = crew.profile(plan.address, plan.rows)
    plan.check()
    assert len(seconds) == plan.rows and min(seconds) > 0
    crew.close()


def test_team_needs_a_thread():
    with pytest.raises(ValueError, match="at least one thread, got 0"):
        team.Team(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork(kernel):
    plan = Plan(kernel, CHUNKS)
    with flags.override(threads=2):
        team.run(plan.address, plan.rows)
        plan.check()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for _ in range(20):
                    team.run(plan.address, plan.rows)
                    plan.check()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        team.run(plan.address, plan.rows)
        plan.check()


PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
sys.path.insert(0, {folder!r})
import numpy as np
from test_team import CHUNKS, Plan, build
from flambeau.runtime import team
plan = Plan(build(), CHUNKS)
team.run(plan.address, plan.rows)
print("ready", flush=True)
{rest}
"""


def start(rest):
    folder = os.path.dirname(__file__)
    return subprocess.Popen([sys.executable, "-c", PROGRAM.format(folder=folder, rest=rest)],
                            env=dict(os.environ, FLAMBEAU_THREADS="3"), text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_exit_while_workers_spin():
    process = start("team.run(plan.address, plan.rows)")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "ready\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_keyboard_interrupt():
    process = start("""
try:
    while True:
        team.run(plan.address, plan.rows)
except KeyboardInterrupt:
    for c in plan.cells:
        c[:] = 0
    team.run(plan.address, plan.rows)
    plan.check()
    print("interrupted")
""")
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "interrupted\n", "")
