"""Matrix multiplication against NumPy in float64: ragged sizes, strides, batches, epilogues."""

import numpy as np
import pytest

from flambeau.base import flags
from flambeau.codegen import host as hosts
from flambeau.codegen.emit import Module
from flambeau.codegen.gemm import gemm, modes
from flambeau.codegen.gemm_epilogue import write_epilogue
from flambeau.runtime import jit, team

KINDS = hosts.available_kinds()
RNG = np.random.default_rng(0)
NUMPY = {"float32": np.float32, "float64": np.float64}


@pytest.fixture(params=KINDS)
def kind(request):
    with flags.override(vector=request.param):
        yield request.param


def loaded(dtype, source=None):
    kernel = gemm(dtype, source)
    kernel.addresses.update(jit.load(kernel.text, kernel.names, target=kernel.target))
    return kernel


def matrix(rows, cols, how, dtype):
    """A random matrix: row-major, column-major, padded or with gaps between its elements."""
    def fill(*shape):
        return RNG.standard_normal(shape).astype(dtype)
    if how == "t":
        return fill(cols, rows).T
    if how == "gaps":
        return fill(rows * 2, cols * 3)[::2, ::3]
    if how == "padded":
        return fill(rows, cols + 5)[:, :cols]
    return fill(rows, cols)


def strides(x):
    return tuple(s // x.itemsize for s in x.strides)


def multiply(kernel, a, b, c, *, threads=1, mode=None, accumulate=False, epilogue=0, extra=None):
    """Run C (+)= A @ B, all three with 0, 1 or 2 batch dimensions."""
    (m, k), n = a.shape[-2:], b.shape[-1]
    batch = (1, 1, *c.shape[:-2])[-2:]
    full = [(0, 0, *strides(x)[:-2])[-2:] for x in (a, b, c)]
    plan = kernel.plan(m, n, k, a=strides(a)[-2:], b=strides(b)[-2:], c=strides(c)[-2], batch=batch,
                       a_batch=full[0], b_batch=full[1], c_batch=full[2], threads=threads,
                       mode=mode, accumulate=accumulate, epilogue=epilogue)
    room = np.full(plan.workspace_bytes + 128, 255, np.uint8)
    start = room.ctypes.data + -room.ctypes.data % 64
    plan.bind(a.ctypes.data, b.ctypes.data, c.ctypes.data, start,
              extra.ctypes.data if extra is not None else 0)
    table = np.array([[r.function, r.args.ctypes.data, r.chunks] for r in plan.rows])
    if threads == 1:
        team.run_small(table.ctypes.data, len(table))
    else:
        team.run(table.ctypes.data, len(table))
    assert (room[plan.workspace_bytes + 64:] == 255).all()
    return plan


def possible(kernel, a, b):
    """The modes that can multiply these."""
    out = [None, *modes(kernel)]
    if strides(b)[-1] != 1 and b.shape[-1] > 1 and "direct" in out:
        out.remove("direct")
    if (strides(a)[-1] != 1 or strides(b)[-2] != 1) and "dot" in out:
        out.remove("dot")
    return out


def close(got, want, k):
    eps = np.finfo(got.dtype).eps
    np.testing.assert_allclose(got, want, rtol=0, atol=eps * (k + 8) * 5)


SIZES = [(1, 1, 1), (12, 32, 16), (13, 33, 17), (5, 7, 3), (32, 20, 64), (100, 50, 300),
         (2, 3, 1100), (250, 70, 513), (37, 129, 20), (11, 40, 600), (1, 200, 40), (64, 1, 33),
         (3, 17, 5)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("how_b", ["", "t", "gaps", "padded"])
@pytest.mark.parametrize("how_a", ["", "t", "gaps"])
def test_sizes_strides_and_modes(kind, dtype, how_a, how_b):
    kernel = loaded(dtype)
    for m, n, k in SIZES:
        a, b = matrix(m, k, how_a, NUMPY[dtype]), matrix(k, n, how_b, NUMPY[dtype])
        want = a.astype("d") @ b.astype("d")
        for mode in possible(kernel, a, b):
            whole = np.full((m + 2, n + 40), 7, NUMPY[dtype])
            c = whole[:m, :n]
            multiply(kernel, a, b, c, mode=mode)
            close(c, want, k)
            multiply(kernel, a, b, c, mode=mode, accumulate=True)
            close(c, 2 * want, 4 * k)
            assert (whole[m:] == 7).all() and (whole[:, n:] == 7).all(), (m, n, k, mode)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 3])
def test_matrix_times_vector(kind, dtype, threads):
    kernel = loaded(dtype)
    for m, k in ((1, 5), (40, 3), (1000, 77), (129, 1200), (2, 2000)):
        for how in ("", "t", "padded", "gaps"):
            a, x = matrix(m, k, how, dtype), matrix(k, 1, "", dtype)
            want = a.astype("d") @ x.astype("d")
            for whole in (np.zeros((m, 1), dtype), np.zeros((m, 3), dtype)):
                c = whole[:, :1]
                multiply(kernel, a, x, c, threads=threads)
                close(c, want, k)
                assert (whole[:, 1:] == 0).all()
            c = np.zeros((1, m), dtype)
            multiply(kernel, x.T, a.T, c, threads=threads)
            close(c, want.T, k)


@pytest.mark.parametrize("mode", ["direct", "private", "shared_b", "shared"])
def test_operands_change_places_in_every_mode(kind, mode, monkeypatch):
    from flambeau.codegen import gemm as module
    divide = module.divide
    monkeypatch.setattr(module, "divide", lambda *args: divide(*args[:11], mode))
    kernel = loaded("float32")
    elem = kernel.elem
    m = Module()
    write_epilogue(m, "ep", elem, lambda f, x, place: x + place.load(
        place.arg(0, "ptr"), elem, place.row * 2 + place.column))
    address = jit.load(str(m), ["ep"])["ep"]
    a, x = matrix(300, 700, "t", "f"), matrix(700, 1, "", "f")
    c, other = np.zeros((300, 1), "f"), matrix(300, 2, "", "f")
    plan = multiply(kernel, a, x, c, epilogue=address, extra=np.array([other.ctypes.data]))
    assert plan.swapped and plan.division.mode == mode
    close(c, a.astype("d") @ x.astype("d") + other[:, :1], 700)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches(kind, dtype):
    kernel = loaded(dtype)
    a = RNG.standard_normal((3, 4, 20, 15)).astype(dtype)
    b = RNG.standard_normal((3, 4, 15, 18)).astype(dtype)
    heads = RNG.standard_normal((3, 15, 4, 18)).astype(dtype).transpose(0, 2, 1, 3)
    for x, y in ((a, b), (a[0], b[0]), (a, heads), (a.swapaxes(0, 1), b.swapaxes(0, 1)),
                 (a, np.broadcast_to(b[:, :1], b.shape))):
        for mode in possible(kernel, x, y):
            for threads in (1, 3):
                c = np.zeros((*x.shape[:-1], y.shape[-1]), dtype)
                multiply(kernel, x, y, c, mode=mode, threads=threads)
                close(c, x.astype("d") @ y.astype("d"), 15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [2, 3])
def test_threads(kind, dtype, threads):
    kernel = loaded(dtype)
    with flags.override(threads=threads):
        for m, n, k in ((200, 300, 100), (40, 1000, 500), (1000, 40, 130), (130, 200, 1100)):
            a, b = matrix(m, k, "", dtype), matrix(k, n, "t", dtype)
            for mode in (None, "private", "shared_b", "shared"):
                c = np.zeros((m, n), dtype)
                plan = multiply(kernel, a, b, c, threads=threads, mode=mode)
                assert max(r.chunks for r in plan.rows) > 1
                close(c, a.astype("d") @ b.astype("d"), k)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_epilogue(kind, dtype):
    """out = relu(A @ B + bias) + residual, and the sum before relu stored aside."""
    kernel = loaded(dtype)
    elem = kernel.elem

    def hook(f, x, place):
        x = x + place.load(place.arg(0, "ptr"), elem)
        at = place.row * place.arg(2) + place.column
        place.store(x, place.arg(3, "ptr"), at)
        return f.max(x, 0.0) + place.load(place.arg(1, "ptr"), elem, at)

    module = Module()
    write_epilogue(module, "ep", elem, hook)
    address = jit.load(str(module), ["ep"])["ep"]
    for m, n, k, how in ((5, 7, 3, ""), (30, 45, 20, "t"), (100, 64, 700, ""), (130, 35, 40, ""),
                         (50, 1, 300, ""), (1, 50, 300, "t")):
        a, b = matrix(m, k, "", dtype), matrix(k, n, how, dtype)
        bias, residual = matrix(1, n, "", dtype), matrix(m, n, "", dtype)
        before = a.astype("d") @ b.astype("d") + bias
        for mode in possible(kernel, a, b):
            for threads in (1, 2):
                c, aside = np.zeros((m, n), dtype), np.zeros((m, n), dtype)
                extra = np.array([bias.ctypes.data, residual.ctypes.data, n, aside.ctypes.data])
                multiply(kernel, a, b, c, mode=mode, threads=threads, epilogue=address, extra=extra)
                close(aside, before, k)
                close(c, np.maximum(before, 0) + residual, k)


def test_k_may_be_zero(kind):
    kernel = loaded("float32")
    c = np.full((5, 6), 3, "f")
    multiply(kernel, np.zeros((5, 0), "f"), np.zeros((0, 6), "f"), c, accumulate=True)
    assert (c == 3).all()
    multiply(kernel, np.zeros((5, 0), "f"), np.zeros((0, 6), "f"), c)
    assert (c == 0).all()


def test_large_b_is_packed_in_parts(kind, monkeypatch):
    from flambeau.codegen import gemm as module
    monkeypatch.setattr(module, "WORKSPACE_BYTES", 1 << 17)
    kernel = loaded("float32")
    a, b = matrix(150, 1500, "", "f"), matrix(1500, 60, "", "f")
    c = np.zeros((150, 60), "f")
    plan = multiply(kernel, a, b, c, mode="shared_b")
    assert len(plan.rows) > 2
    close(c, a.astype("d") @ b.astype("d"), 1500)


@pytest.mark.parametrize("source", ["float16", "bfloat16"])
def test_sixteen_bit_operands(kind, source):
    from flambeau.base import dtype as dt
    kernel = loaded("float32", source)
    kind_np = dt.BY_NAME[source].np
    for m, n, k in ((13, 33, 17), (64, 40, 600), (3, 5, 2), (40, 1, 77), (1, 40, 77)):
        for how_a, how_b in (("", ""), ("t", "t"), ("gaps", "gaps"), ("", "t")):
            a, b = matrix(m, k, how_a, kind_np), matrix(k, n, how_b, kind_np)
            for mode in possible(kernel, a, b):
                c = np.zeros((m, n), "f")
                multiply(kernel, a, b, c, mode=mode)
                close(c, a.astype("d") @ b.astype("d"), k)


def test_refusals():
    with pytest.raises(NotImplementedError, match="into int32"):
        gemm("int32")
    kernel = loaded("float32")
    with pytest.raises(ValueError, match="possible: dot, private"):
        kernel.plan(4, 4, 4, a=(4, 1), b=(1, 4), c=4, mode="direct")
