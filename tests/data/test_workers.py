"""Worker processes: batches, seeds, exceptions, deaths, shutdown."""

import gc
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import pytest

import flambeau
import flambeau.utils.data
from flambeau.utils.data import DataLoader, Dataset, get_worker_info

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

def left_over() -> list[str]:
    return [f for f in os.listdir("/dev/shm") if f.startswith(f"flambeau-{os.getpid()}-")] \
        if os.path.isdir("/dev/shm") else []

class Squares(Dataset):
    def __len__(self):
        return 11

    def __getitem__(self, i):
        return flambeau.tensor([float(i), float(i * i)]), i % 2, str(i)

class Seeds:
    def __init__(self, m):
        self.m = m

    def __len__(self):
        return 8

    def __getitem__(self, i):
        w = self.m.utils.data.get_worker_info()
        return [i, w.id, w.num_workers, w.seed, random.random(), float(np.random.rand()),
                self.m.rand(1).item()]

class Shards:
    """Makes an iterable dataset of either library."""

    def __new__(cls, m, sharded):
        class Stream(m.utils.data.IterableDataset):
            def __iter__(self):
                w = m.utils.data.get_worker_info()
                start, step = (w.id, w.num_workers) if sharded else (0, 1)
                return iter(range(start, 11, step))

        return Stream()

class Large(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return (flambeau.full((200, 300), float(i)), np.full((5000,), i), "s" * 40000,
                flambeau.ones(3, dtype=flambeau.bfloat16))

class Faulty(Dataset):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 4

    def __getitem__(self, i):
        if i == 3:
            raise self.error
        return i

class TwoArguments(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)

class Dies(Dataset):
    def __init__(self, how):
        self.how = how

    def __len__(self):
        return 8

    def __getitem__(self, i):
        if i == 5:
            self.how()
        return i

def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)

def leave():
    os._exit(3)

def sleep():
    time.sleep(60)

@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("persistent", [False, True])
def test_the_same_batches_as_without_workers(workers, persistent):
    def batches(loader):
        return [(x.tolist(), y.tolist(), s) for x, y, s in loader]

    alone = batches(DataLoader(Squares(), batch_size=4))
    loader = DataLoader(Squares(), batch_size=4, num_workers=workers,
                        persistent_workers=persistent)
    assert [batches(loader), batches(loader)] == [alone, alone]

@pytest.mark.parametrize("options", [{}, {"persistent_workers": True}, {"prefetch_factor": 5}])
def test_seeds_are_those_of_torch(options):
    def run(m):
        m.manual_seed(7)
        loader = m.utils.data.DataLoader(Seeds(m), batch_size=2, num_workers=2, shuffle=True,
                                         **options)
        seen = [[[c.tolist() for c in batch] for batch in loader] for _ in range(2)]
        return seen, m.rand(1).item()

    assert run(flambeau) == run(torch)

@pytest.mark.parametrize("sharded", [True, False])
@pytest.mark.parametrize("options", [
    {"batch_size": 3}, {"batch_size": None}, {"batch_size": 4, "drop_last": True},
    {"batch_size": 3, "persistent_workers": True}])
def test_iterable_datasets(options, sharded):
    def run(m):
        loader = m.utils.data.DataLoader(Shards(m, sharded), num_workers=2, **options)
        return [[b.tolist() if hasattr(b, "tolist") else b for b in loader] for _ in range(2)]

    assert run(flambeau) == run(torch)

def test_large_batches_come_through_shared_memory():
    for i, (x, a, s, half) in enumerate(DataLoader(Large(), batch_size=2, num_workers=2)):
        assert x.shape == (2, 200, 300)
        assert x[1, 7, 9].item() == 2 * i + 1
        assert a[0, 4].item() == 2 * i
        assert [len(v) for v in s] == [40000, 40000]
        assert half.dtype is flambeau.bfloat16
        x.add_(1)
    assert left_over() == []

def test_spawned_workers():
    loader = DataLoader(Squares(), batch_size=4, num_workers=1, multiprocessing_context="spawn")
    assert [x[:, 0].tolist() for x, _, _ in loader] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]

class Transformed(Dataset):
    """Computes with tensors in the worker."""

    def __init__(self, m):
        m.manual_seed(3)
        self.x, self.w = m.randn(64, 16), m.randn(16, 16)

    def __len__(self):
        return 64

    def __getitem__(self, i):
        return (self.x[i] @ self.w).relu() * 2, (self.x[i].sum() > 0).long()


@pytest.mark.parametrize("workers", [0, 2])
def test_training_goes_on_while_workers_compute(workers):
    def run(m):
        data = Transformed(m)
        m.manual_seed(0)
        model = m.nn.Sequential(m.nn.Linear(16, 8), m.nn.ReLU(), m.nn.Linear(8, 2))
        opt = m.optim.Adam(model.parameters(), lr=0.01)
        losses = []
        for _ in range(3):
            for x, y in m.utils.data.DataLoader(data, batch_size=16, shuffle=True,
                                                num_workers=workers):
                opt.zero_grad()
                loss = m.nn.functional.cross_entropy(model(x), y)
                loss.backward()
                opt.step()
                losses.append(loss.item())
        return losses

    assert run(flambeau) == pytest.approx(run(torch), rel=1e-4)


def test_out_of_order():
    loader = DataLoader(list(range(9)), batch_size=2, num_workers=2, in_order=False)
    assert sorted(v for b in loader for v in b.tolist()) == list(range(9))

@pytest.mark.parametrize(("error", "kind"), [
    (ValueError("v"), ValueError), (KeyError("k"), KeyError), (TwoArguments(1, 2), RuntimeError)])
def test_exceptions_come_back_with_the_workers_traceback(error, kind):
    with pytest.raises(kind) as caught:
        list(DataLoader(Faulty(error), batch_size=2, num_workers=2))
    text = str(caught.value)
    assert text.startswith(f"Caught {type(error).__name__} in DataLoader worker process 1.")
    assert "in __getitem__" in text
    assert "\n" in text

def test_init_function():
    def fail(i):
        raise ValueError(f"worker {i}")

    with pytest.raises(ValueError, match="worker 0"):
        list(DataLoader([1, 2, 3], num_workers=1, worker_init_fn=fail))

def test_batches_that_do_not_pickle():
    with pytest.raises((AttributeError, TypeError, RuntimeError), match="in DataLoader worker"):
        list(DataLoader([1, 2], num_workers=1, collate_fn=lambda b: (lambda: b)))
    with pytest.raises(RuntimeError, match="non-leaf"):
        list(DataLoader([1, 2], num_workers=1, collate_fn=lambda b: flambeau.ones(
            2, requires_grad=True) * 2))

@pytest.mark.parametrize(("how", "text"), [(kill_self, "SIGKILL"), (leave, "exit code 3")])
def test_a_worker_that_dies_is_named(how, text):
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=rf"worker \(pid\(s\) \d+\) exited unexp.*{text}"):
        list(DataLoader(Dies(how), batch_size=2, num_workers=2))
    assert time.monotonic() - start < 5

def test_timeout():
    with pytest.raises(RuntimeError, match="timed out after 0.5 seconds"):
        list(DataLoader(Dies(sleep), batch_size=6, num_workers=1, timeout=0.5))

def test_workers_end_with_the_iterator():
    iterator = iter(DataLoader(list(range(100)), batch_size=2, num_workers=2))
    next(iterator)
    workers = list(iterator._workers.processes)
    del iterator
    assert not any(w.is_alive() for w in workers)
    with pytest.raises(ValueError, match="x"):
        list(DataLoader(Faulty(ValueError("x")), batch_size=2, num_workers=2))
    assert left_over() == []

def test_breaking_off_and_starting_again():
    loader = DataLoader(Squares(), batch_size=2, num_workers=2, persistent_workers=True)
    for _ in range(3):
        assert next(iter(loader))[0][:, 0].tolist() == [0, 1]
    assert len(list(loader)) == 6

def test_nothing_known_outside_of_workers():
    assert get_worker_info() is None

def test_too_many_workers_warn():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        DataLoader([1], num_workers=1000)
    assert "suggested max number of worker" in str(seen[0].message)

def test_ctrl_c_ends_everything():
    program = textwrap.dedent("""
        import time, flambeau, os, signal
        from flambeau.utils.data import DataLoader
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
        class Slow:
            def __len__(self): return 1000
            def __getitem__(self, i):
                time.sleep(0.01)
                return i, os.getpid()
        for x, pid in DataLoader(Slow(), batch_size=5, num_workers=2):
            print(pid[0].item(), flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)
    pids = {int(process.stdout.readline()) for _ in range(4)}
    os.killpg(process.pid, signal.SIGINT)
    _, text = process.communicate(timeout=20)
    assert text.strip().endswith("KeyboardInterrupt")
    assert len(pids) == 2
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)

def test_no_workers_are_left():
    gc.collect()  # exceptions that tests hold keep iterators
    deadline = time.monotonic() + 5
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert multiprocessing.active_children() == []
