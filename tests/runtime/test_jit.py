"""Compiling, loading and calling kernels."""

import threading

import numpy as np
import pytest

from flambeau.base import flags
from flambeau.codegen.emit import Module
from flambeau.runtime import jit


@pytest.fixture(autouse=True)
def own_cache(tmp_path):
    with flags.override(cache=str(tmp_path)):
        yield


def module_adding(number):
    m = Module()
    f = m.kernel("k")
    f.store(f.arg(1) + number, f.arg(0, "ptr"))
    return str(m)


def call(address, *args):
    out = np.zeros(1, np.int64)
    block = np.array([out.ctypes.data, *args])
    jit.function(address)(block.ctypes.data, 0, 1)
    return out[0]


def test_kernels_of_one_name_do_not_meet():
    addresses = [jit.load(module_adding(n), ["k"])["k"] for n in range(5)]
    assert [call(a, 10) for a in addresses] == [10, 11, 12, 13, 14]


def test_equal_texts_share_code():
    text = module_adding(100)
    before = jit.stats.compiled
    assert jit.load(text, ["k"]) == jit.load(text, ["k"])
    assert jit.stats.compiled == before + 1


def test_unknown_function_and_bad_text():
    with pytest.raises(RuntimeError, match="no function nothing"):
        jit.load(module_adding(7), ["nothing"])
    with pytest.raises(RuntimeError):
        jit.load("define nonsense", ["k"])


def test_threads_may_load_at_once():
    got = {}

    def work(n):
        got[n] = call(jit.load(module_adding(n % 4 + 300), ["k"])["k"], 1)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == {n: n % 4 + 301 for n in range(8)}
