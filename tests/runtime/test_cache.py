"""The object cache survives damage, races and full disks."""

import os
import subprocess
import sys
import threading

import pytest

from flambeau.base import flags
from flambeau.runtime import cache

BODY = bytes(range(256)) * 10


@pytest.fixture
def root(tmp_path):
    with flags.override(cache=str(tmp_path / "c")):
        yield tmp_path / "c"


def files(root):
    return [p for p in root.rglob("*") if p.is_file() and p.name != "trimmed"]


def test_round_trip(root):
    name = cache.key("a", "b")
    assert cache.read(name) is None
    assert cache.write(name, BODY)
    assert cache.read(name) == BODY
    assert len(files(root)) == 1


def test_key_separates_its_parts():
    assert cache.key("ab", "c") != cache.key("a", "bc")


@pytest.mark.parametrize("damage", [b"", b"flambeau", None])
def test_damaged_entry_is_dropped(root, damage):
    name = cache.key("x")
    cache.write(name, BODY)
    (path,) = files(root)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"?" if damage is None else damage)
    assert cache.read(name) is None
    assert not files(root)
    assert cache.write(name, BODY) and cache.read(name) == BODY


def test_off_and_unwritable(tmp_path):
    with flags.override(cache="off"):
        assert not cache.write(cache.key("x"), BODY) and cache.read(cache.key("x")) is None
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    with flags.override(cache=str(blocker)):
        assert not cache.write(cache.key("x"), BODY) and cache.read(cache.key("x")) is None


def test_full_disk_leaves_nothing_behind(root, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert not cache.write(cache.key("x"), BODY)
    assert not files(root)


def test_concurrent_writers(root):
    name = cache.key("x")
    seen = []

    def work():
        for _ in range(50):
            cache.write(name, BODY)
            seen.append(cache.read(name))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(s == BODY for s in seen) and len(files(root)) == 1


def test_trim_removes_least_recently_used(root):
    for n in range(10):
        cache.write(cache.key(str(n)), BODY)
        os.utime(cache._path(root, cache.key(str(n))), (n, n))
    left = cache.trim(root, 6 * (len(BODY) + 100))
    assert left == sum(p.stat().st_size for p in files(root)) <= 6 * (len(BODY) + 100)
    assert cache.read(cache.key("9")) == BODY and cache.read(cache.key("0")) is None


def test_descriptions_lead_to_names(root, monkeypatch):
    a, b, name = map(cache.key, "abn")
    assert cache.linked(a) is None
    cache.write(name, BODY)
    cache.link(a, name)
    cache.link(b, name)
    assert cache.linked(a) == cache.linked(b) == name
    cache._links.clear()
    assert cache.linked(a) == cache.linked(b) == name
    monkeypatch.setattr(cache, "stamp", lambda: "other files")
    assert cache.linked(a) is None
    monkeypatch.setattr(cache, "stamp", lambda: None)
    cache.link(a, name)
    assert cache.linked(a) is None


def test_second_process_writes_no_text(tmp_path):
    code = ("import flambeau as torch\n"
            "from flambeau.codegen import emit\n"
            "from flambeau.runtime import jit\n"
            "texts = []\n"
            "text_of = emit.Module.__str__\n"
            "emit.Module.__str__ = lambda self: texts.append(1) or text_of(self)\n"
            "x = torch.arange(12.0).reshape(3, 4)\n"
            "print((x @ x.T).exp().sum().item(), jit.stats.compiled, len(texts))")
    env = {**os.environ, "FLAMBEAU_CACHE": str(tmp_path), "PYTHONPATH": os.getcwd()}
    first, second = (subprocess.run([sys.executable, "-c", code], env=env, text=True, check=True,
                                    capture_output=True).stdout.split() for _ in range(2))
    assert first[0] == second[0] and int(first[1]) == int(first[2]) > 0
    assert second[1:] == ["0", "0"]


def test_second_process_loads_instead_of_compiling(tmp_path):
    code = ("from flambeau.codegen.emit import Module\n"
            "from flambeau.runtime import jit\n"
            "import numpy as np\n"
            "m = Module(); f = m.kernel('k'); f.store(f.arg(1) * 3, f.arg(0, 'ptr'))\n"
            "out = np.zeros(1, np.int64); block = np.array([out.ctypes.data, 14])\n"
            "jit.function(jit.load(str(m), ['k'])['k'])(block.ctypes.data, 0, 1)\n"
            "print(out[0], jit.stats.compiled, jit.stats.loaded_from_disk)")
    environment = dict(os.environ, FLAMBEAU_CACHE=str(tmp_path / "c"))
    answers = [subprocess.run([sys.executable, "-c", code], env=environment, check=True,
                              capture_output=True, text=True).stdout.split() for _ in range(2)]
    assert answers == [["42", "1", "0"], ["42", "0", "1"]]
