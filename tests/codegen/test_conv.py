"""The convolution kernels on their own, for every vector width this machine has."""

import ctypes

import numpy as np
import pytest

from flambeau.base.flags import values as flags
from flambeau.codegen import host
from flambeau.kernel.windows import Windows, table, together_of
from flambeau.ops.prim.correlate import CORRELATE, CORRELATE_WEIGHT
from flambeau.runtime import kernels


@pytest.fixture(params=host.available_kinds())
def vector(request):
    before, flags.vector = flags.vector, request.param
    yield request.param
    flags.vector = before


def kernel_taps(size, padding, dilation=1):
    return tuple((0, r * dilation - padding, s * dilation - padding)
                 for r in range(size) for s in range(size))


#: images, groups, outputs and inputs of a group, size, taps, output's size
CASES = {
    "same": (2, 1, 5, 3, (8, 8), kernel_taps(3, 1), (8, 8)),
    "valid": (3, 1, 14, 2, (9, 21), kernel_taps(3, 0), (7, 19)),
    "images together": (5, 1, 3, 4, (2, 2), kernel_taps(3, 1), (2, 2)),
    "odd images together": (35, 2, 2, 3, (3, 3), kernel_taps(2, 0), (2, 2)),
    "dilated": (1, 1, 13, 6, (12, 40), kernel_taps(3, 2, 2), (12, 40)),
    "blocks of k": (1, 1, 4, 70, (6, 6), kernel_taps(3, 1), (6, 6)),
    "depthwise": (2, 6, 1, 1, (5, 33), kernel_taps(3, 1), (5, 33)),
    "depthwise, images together": (3, 4, 1, 1, (3, 3), kernel_taps(3, 1), (3, 3)),
    "one row of several": (2, 2, 1, 5, (4, 16), kernel_taps(1, 0), (4, 16)),
    "planes": (2, 1, 4, 3, (4, 4), ((1, 0, 0), (0, 0, -1), (2, 3, 3)), (4, 5)),
}


def run(plan, **arrays):
    room = np.empty(plan.workspace_bytes + 64, np.uint8)
    start = room.ctypes.data
    plan.bind(*(arrays[n].ctypes.data for n in "xwy"), start + -start % 64)
    for row in plan.rows:
        f = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(row.function)
        for chunk in range(row.chunks):
            f(row.args.ctypes.data, chunk, row.chunks)


def case(name, dtype):
    images, groups, rows, channels, size, taps, out = CASES[name]
    rng = np.random.default_rng(0)
    p = 1 + max(t[0] for t in taps)
    x = rng.standard_normal((images, groups * channels, p, *size)).astype(dtype)
    w = rng.standard_normal((groups * rows, channels, len(taps))).astype(dtype)
    y = rng.standard_normal((images, groups * rows, *out)).astype(dtype)
    steps = tuple(s // x.itemsize for s in x.strides)
    windows = Windows(taps, out, size, (steps[0], *steps[2:]), images)
    return x, w, y, windows, (rows, channels, groups, (channels * steps[1], steps[1]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("threads", [1, 3])
def test_forward(vector, name, dtype, threads):
    x, w, y, windows, sizes = case(name, dtype)
    wanted = CORRELATE.numpy(x, w, windows.out, windows.taps, sizes[2])
    plan = kernels.convolution(dtype).forward(windows, *sizes, threads)
    y[...] = np.nan
    run(plan, x=x, w=w, y=y)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("parts", "threads"), [(1, 1), (2, 3)])
def test_weight(vector, name, dtype, parts, threads):
    x, w, y, windows, sizes = case(name, dtype)
    wanted = CORRELATE_WEIGHT.numpy(x, y, windows.taps, sizes[2], 1)[0]
    plan = kernels.convolution(dtype).weight(windows, *sizes, parts, threads)
    found = np.full((parts, *w.shape), np.nan, dtype)
    run(plan, x=x, w=found, y=y)
    np.testing.assert_allclose(found.sum(0), wanted, rtol=1e-4,
                               atol=1e-3 if dtype == "float32" else 1e-11)


@pytest.mark.parametrize("name", CASES)
def test_bits_do_not_depend_on_threads(name):
    x, w, y, windows, sizes = case(name, "float32")
    kernel = kernels.convolution("float32")
    found = []
    for threads in (1, 2, 5):
        out, weights = np.empty_like(y), np.empty((2, *w.shape), "float32")
        run(kernel.forward(windows, *sizes, threads), x=x, w=w, y=out)
        run(kernel.weight(windows, *sizes, 2, threads), x=x, w=weights, y=y)
        found.append((out.tobytes(), weights.tobytes()))
    assert found[0] == found[1] == found[2]


def test_nothing_is_read_outside_of_the_images():
    """What lies before and after the images is NaN, which would show."""
    for name in CASES:
        x, w, y, windows, sizes = case(name, "float32")
        room = np.full(x.size + 4096, np.nan, "float32")
        inner = room[2048:2048 + x.size].reshape(x.shape)
        inner[...] = x
        run(kernels.convolution("float32").forward(windows, *sizes), x=inner, w=w, y=y)
        assert np.isfinite(y).all(), name


def test_table_of_a_same_convolution_has_one_entry():
    taps = kernel_taps(3, 1)
    for size in ((32, 32), (8, 8), (7, 21)):
        steps = (64 * size[0] * size[1], size[0] * size[1], size[1], 1)
        assert table(Windows(taps, size, size, steps, 1), 32, 16).entries == 1
    found = table(Windows(taps, (2, 2), (2, 2), (16, 4, 2, 1), 64), 32, 16)
    assert (found.together, found.entries) == (8, 4)


def test_sets_fill_panels():
    assert together_of(64, 9, 32) == 1
    assert together_of(4, 9, 32) == 8
    assert together_of(4, 3, 32) == 3
    assert together_of(49, 64, 32) == 32
    assert together_of(32 * 8 + 1, 64, 32) == 1
