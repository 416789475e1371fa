"""Large arrays begin at a multiple of 64 bytes and are NumPy's in every other way."""

import gc
import threading

import numpy as np
import pytest

from flambeau.runtime import aligned
from flambeau.runtime.outputs import Outputs

glibc = pytest.mark.skipif(aligned._prepared()[0] is None, reason="NumPy's own memory here")


def start(a: np.ndarray) -> int:
    return a.__array_interface__["data"][0]


@glibc
@pytest.mark.parametrize("count", [aligned.LARGE // 4, 100_003, aligned.HUGE // 4 + 5])
def test_large_arrays_are_aligned_and_own_their_memory(count):
    before = np._core.multiarray.get_handler_name()
    a = aligned.empty((count,), np.float32)
    assert np._core.multiarray.get_handler_name() == before
    assert start(a) % aligned.LINE == 0
    assert a.base is None and a.flags.owndata and a.flags.writeable
    a[:] = 3
    a.resize(2 * count, refcheck=False)  # their realloc serves memory of either kind
    assert (a[:count] == 3).all()
    del a
    gc.collect()


def test_small_arrays_and_other_dtypes():
    assert aligned.empty((3, 4), np.int64).shape == (3, 4)
    assert aligned.empty((), np.float32).shape == ()
    assert aligned.empty((0, 100_000), np.float32).size == 0
    assert aligned.empty((100, 400), bool).dtype == bool


@glibc
def test_threads_and_release():
    def work():
        for n in range(50):
            a = aligned.empty((20_000 + n,), np.float64)
            assert start(a) % aligned.LINE == 0
            a[:] = n
            assert a[-1] == n

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


@glibc
def test_outputs_of_plans_are_aligned():
    words = np.zeros(2, np.int64)
    fresh = [(0, (300, 200), np.dtype("f4")), (1, (99_999,), np.dtype("i8"))]
    outputs = Outputs(2, fresh, words, 0)
    for a, at in zip(outputs.take()[0], words, strict=True):
        assert start(a) == at and at % aligned.LINE == 0
