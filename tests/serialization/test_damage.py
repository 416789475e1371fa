"""Ten thousand damaged files: each gives an error or exactly what was saved, quickly and in little
memory. Savers that are killed at any moment leave the old file or the new one, whole."""

import io
import os
import pickle
import random
import signal
import time
import tracemalloc

import pytest

import flambeau
from flambeau import nn
from flambeau.tensor.archive import Reader, Writer

REFUSED = (RuntimeError, pickle.UnpicklingError, EOFError)
BASE = flambeau.arange(12.0).reshape(3, 4)
VALUE = {"a": flambeau.ones(3, 4), "b": [flambeau.arange(5), 1.5, "text", (None, True)],
         "column": BASE[:, 1], "same": BASE, "p": nn.Parameter(flambeau.ones(2)),
         "half": flambeau.ones(3).bfloat16(), "size": flambeau.Size([1]), "set": {1}}
HUGE = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff" * 8,
        b"\x00\x00\x00\x00\x01\x00\x00\x00"]


def saved() -> bytes:
    buffer = io.BytesIO()
    flambeau.save(VALUE, buffer)
    return buffer.getvalue()


def plain(value):
    """A loaded value as something that compares."""
    if isinstance(value, flambeau.Tensor):
        return str(value.dtype), tuple(value.shape), value.stride(), value.tolist()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and not isinstance(value, flambeau.Size):
        return type(value), [plain(v) for v in value]
    return value


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A file with bits, numbers or pieces changed, or cut off."""
    changed = bytearray(data)
    kind = rng.randrange(7)
    at = rng.randrange(len(changed))
    if kind <= 1:
        changed[at] ^= 1 << rng.randrange(8)
    elif kind == 2:
        for _ in range(rng.randint(2, 12)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    elif kind == 3:  # a size or an offset
        number = rng.choice(HUGE)
        changed[at:at + len(number)] = number
    elif kind == 4:
        del changed[at:at + rng.randint(1, 200)]
    elif kind == 5:
        piece = changed[at:at + rng.randint(1, 200)]
        to = rng.randrange(len(changed))
        changed[to:to] = piece
    else:
        del changed[at:]
    return bytes(changed)


def with_pickle(reader: Reader, data: bytes) -> bytes:
    """The archive with another pickle, its checksum right."""
    out = io.BytesIO()
    writer = Writer(out, "archive")
    writer.add("data.pkl", data)
    for name in reader.entries:
        if name != "data.pkl":
            writer.add(name, reader.read(name))
    writer.finish()
    return out.getvalue()


def run(files, expected=None) -> tuple[int, int]:
    """(how many were refused, how many gave something); what they gave is ``expected``."""
    refused = loaded = 0
    tracemalloc.start()
    try:
        for data in files:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            start = time.perf_counter()
            try:
                value = flambeau.load(io.BytesIO(data))
            except REFUSED:
                refused += 1
            else:
                loaded += 1
                if expected is not None:
                    assert plain(value) == expected
            assert time.perf_counter() - start < 10
            assert tracemalloc.get_traced_memory()[1] - before < 64 * len(data) + (1 << 20)
    finally:
        tracemalloc.stop()
    return refused, loaded


def test_six_thousand_damaged_files():
    data, rng = saved(), random.Random(0)
    expected = plain(flambeau.load(io.BytesIO(data)))
    refused, loaded = run((damaged(data, rng) for _ in range(6000)), expected)
    # what loads was changed where nothing is said: padding, dates, versions
    assert refused > 3000 and refused + loaded == 6000


def test_four_thousand_damaged_pickles():
    reader, rng = Reader(io.BytesIO(saved())), random.Random(1)
    original = reader.read("data.pkl").tobytes()

    def files():
        for _ in range(4000):
            changed = bytearray(original)
            for _ in range(rng.choice([1, 1, 3])):
                i = rng.randrange(len(changed))
                if rng.random() < 0.7:
                    changed[i] = rng.randrange(256)
                else:
                    changed.insert(i, rng.choice(b"(.0R}]bcsuQhqK)\x85\x86\x8a\x8bBXJM"))
            yield with_pickle(reader, bytes(changed))

    refused, loaded = run(files())
    assert refused > 1500 and refused + loaded == 4000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_savers_leave_a_whole_file(tmp_path):
    path, rng = tmp_path / "model.pt", random.Random(2)
    values = [{"w": flambeau.full((200, 300), float(k)), "k": k} for k in range(2)]
    flambeau.save(values[0], path)
    start = time.perf_counter()
    flambeau.save(values[0], path)
    once = time.perf_counter() - start
    seen, rounds = set(), 0
    while rounds < 40 or len(seen) < 2 and rounds < 1000:
        rounds += 1
        child = os.fork()
        if not child:
            while True:
                for value in values:
                    flambeau.save(value, path)
        time.sleep(rng.uniform(0, 4 * once + 0.02))  # a child takes a while to begin
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = flambeau.load(path)
        assert (found["w"] == found["k"]).all()
        seen.add(found["k"])
    assert seen == {0, 1}
    left = [n for n in os.listdir(tmp_path) if n != "model.pt"]
    assert all(n.startswith(".model.pt.") and n.endswith(".tmp") for n in left)
