"""The text builder: every construct compiles and computes what its docstring says."""

import ctypes

import llvmlite.binding as llvm
import ml_dtypes
import numpy as np
import pytest

from flambeau.codegen import host as hosts
from flambeau.codegen.emit import Module
from flambeau.codegen.emit_types import element, is_float, lanes, literal, vector

KINDS = hosts.available_kinds()
_engines = []


def compiled(m, name):
    """The kernel ``name`` of module ``m`` as a Python function of arrays and numbers."""
    module = llvm.parse_assembly(str(m))
    module.verify()
    machine = llvm.Target.from_triple(m.host.triple).create_target_machine(
        cpu=m.host.cpu, features=m.host.features, opt=1, jit=True)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    _engines.append(engine)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
        engine.get_function_address(name))

    def run(*args, chunk=0, nchunks=1):
        block = np.array([a.ctypes.data if isinstance(a, np.ndarray) else a
                          for a in args], np.int64)
        function(block.ctypes.data, chunk, nchunks)

    return run


def elementwise(kind, elem_in, elem_out, body, x, out_dtype, n=16):
    """Apply ``body`` to a vector of n lanes."""
    m = Module(hosts.target(kind))
    f = m.kernel("k")
    v = f.load(f.arg(0, "ptr"), vector(elem_in, n))
    r = body(f, v)
    assert element(r.type) == elem_out
    f.store(r, f.arg(1, "ptr"))
    out = np.zeros(n, out_dtype)
    compiled(m, "k")(x, out)
    return out


def test_types():
    assert vector("float", 16) == "<16 x float>" and vector("float", 1) == "float"
    assert element("<4 x i1>") == "i1" and lanes("<4 x i1>") == 4 and lanes("ptr") == 1
    assert is_float("<2 x bfloat>") and not is_float("i64")


@pytest.mark.parametrize("value, t, text", [
    (1.0, "float", "0x3FF0000000000000"), (0.1, "float", "0x3FB99999A0000000"),
    (1.0, "half", "0xH3C00"), (1.0, "bfloat", "0xR3F80"), (-1, "i8", "-1"), (255, "i8", "-1"),
    (True, "i1", "true"), (2, "<4 x i32>", "splat (i32 2)"), (float("inf"), "double",
                                                            "0x7FF0000000000000")])
def test_literal(value, t, text):
    assert literal(value, t) == text


@pytest.mark.parametrize("kind", KINDS)
def test_masked_loop_over_chunks(kind):
    m = Module(hosts.target(kind))
    f = m.kernel("scale")
    x, y, n, a = f.arg(0, "ptr"), f.arg(1, "ptr"), f.arg(2), f.arg(3, "float")
    width = m.host.lanes(4)
    t = vector("float", width)
    lo, hi = f.chunk_range(n, width)
    body = hi & -width
    with f.loop(lo, body, width) as loop:
        v = f.load(f.gep(x, loop.i, "float"), t)
        f.store(f.fma(v, a, 1.0), f.gep(y, loop.i, "float"))
    rest = f.max(body, lo)
    mask = f.lane_mask(hi - rest, width)
    v = f.load_masked(f.gep(x, rest, "float"), mask, t)
    f.store_masked(f.fma(v, a, 1.0), f.gep(y, rest, "float"), mask)
    run = compiled(m, "scale")
    for n in (0, 1, width - 1, width, 5 * width + 3, 1000):
        x, y = np.arange(n, dtype="f"), np.full(n + 4, -7, "f")
        for chunk in range(3):
            run(x, y, n, int(np.float32(2.5).view(np.int32)), chunk=chunk, nchunks=3)
        np.testing.assert_array_equal(y[:n], x * 2.5 + 1)
        assert (y[n:] == -7).all()


def test_loop_carried_values_and_branches():
    m = Module()
    f = m.kernel("k")
    n, out = f.arg(0), f.arg(1, "ptr")
    one = f.const(1, "i64")
    with f.loop(0, n, carry=[one, one * 0]) as loop:
        a, b = loop.carried
        loop.next(a + b, a)
    a, _ = loop.results
    with f.if_(n > 10) as branch:
        branch.give(a)
        branch.else_()
        branch.give(-a)
    f.store(branch.results[0], out)
    with f.while_([n]) as w:
        w.leave_unless(w.carried[0] > 1)
        w.next(w.carried[0] / 2)
    f.store(w.carried[0], f.gep(out, 1, "i64"))
    with f.if_(n.eq(0)):
        f.store(f.const(99, "i64"), f.gep(out, 2, "i64"))
    run = compiled(m, "k")
    for n, want in ((0, [-1, 0, 99]), (5, [-8, 1, 5]), (12, [233, 1, 5])):
        out = np.array([0, 0, 5])
        run(n, out)
        assert out.tolist() == want


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("elem, dtype", [("half", np.float16), ("bfloat", ml_dtypes.bfloat16)])
def test_sixteen_bit_floats_round_trip(kind, elem, dtype):
    every = np.arange(65536, dtype=np.uint16).view(dtype)
    m = Module(hosts.target(kind))
    f = m.kernel("k")
    t, src, wide, back = vector(elem, 8), f.arg(0, "ptr"), f.arg(1, "ptr"), f.arg(2, "ptr")
    with f.loop(0, 65536, 8) as loop:
        x = f.convert(f.load(f.gep(src, loop.i, elem), t), "float")
        f.store(x, f.gep(wide, loop.i, "float"))
        f.store(f.convert(x, elem), f.gep(back, loop.i, elem))
    wide, back = np.zeros(65536, "f"), np.zeros(65536, dtype)
    compiled(m, "k")(every, wide, back)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(wide, every.astype("f"))
        np.testing.assert_array_equal(back.astype("f"), every.astype("f"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("elem, dtype", [("half", np.float16), ("bfloat", ml_dtypes.bfloat16)])
def test_float_to_sixteen_bits_rounds_to_even(kind, elem, dtype):
    bits = np.random.default_rng(0).integers(0, 2**32, 1 << 16, dtype=np.uint32)
    x = np.concatenate([bits.view("f"), np.linspace(-1e-4, 1e-4, 4096, dtype="f"),
                        np.array([65504, 65519, 65520, 1e9, np.inf, np.nan, -0.0, 2**-25], "f")])
    m = Module(hosts.target(kind))
    f = m.kernel("k")
    src, out = f.arg(0, "ptr"), f.arg(1, "ptr")
    with f.loop(0, f.arg(2), 4) as loop:
        v = f.load(f.gep(src, loop.i, "float"), vector("float", 4))
        f.store(f.convert(v, elem), f.gep(out, loop.i, elem))
    out = np.zeros(len(x), dtype)
    compiled(m, "k")(x, out, len(x))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(out.astype("f"), x.astype(dtype).astype("f"))


def test_convert_between_integers_and_floats():
    x = np.array([-129, -1, 0, 1, 127, 128, 255, 300] * 2, np.int32)
    for elem, dtype, signed in (("i8", np.int8, True), ("i64", np.int64, True),
                                ("double", np.float64, True), ("float", np.float32, True)):
        got = elementwise(KINDS[0], "i32", elem,
                          lambda f, v, e=elem, s=signed: f.convert(v, e, s), x, dtype)
        np.testing.assert_array_equal(got, x.astype(dtype))
    got = elementwise(KINDS[0], "i32", "i8", lambda f, v: f.convert(v > 0, "i8"), x, np.int8)
    np.testing.assert_array_equal(got, (x > 0).astype(np.int8))


@pytest.mark.parametrize("kind", KINDS)
def test_comparisons_select_and_nan(kind):
    x = np.array([np.nan, -np.inf, np.inf, -0.0, 0.0, 1.5, -2.5, 3.0] * 2, "f")
    got = elementwise(kind, "float", "float", lambda f, v: f.max(v, 0.0), x, "f")
    np.testing.assert_array_equal(got, np.where(x > 0, x, 0))
    got = elementwise(kind, "float", "i8", lambda f, v: f.convert(v.ne(v), "i8"), x, "i1")
    np.testing.assert_array_equal(got, np.isnan(x))
    got = elementwise(kind, "float", "float", lambda f, v: f.abs(-v), x, "f")
    np.testing.assert_array_equal(got, np.abs(x))


@pytest.mark.parametrize("kind", KINDS)
def test_reductions_gather_scatter_shuffles(kind):
    m = Module(hosts.target(kind))
    f = m.kernel("k")
    src, out = f.arg(0, "ptr"), f.arg(1, "ptr")
    v = f.load(src, vector("float", 8))
    for k, op in enumerate(("add", "max", "min", "mul")):
        f.store(f.reduce(op, v), f.gep(out, k, "float"))
    reverse = f.const(7, vector("i32", 8)) - f.iota(8)
    f.store(f.gather(src, reverse, "float"), f.gep(out, 4, "float"))
    f.scatter(v, f.gep(out, 12, "float"), reverse)
    f.store(f.shuffle(v, v, (1, 0)), f.gep(out, 20, "float"))
    f.store(f.extract(v, 3), f.gep(out, 22, "float"))
    f.store(f.insert(v, f.const(9.0, "float"), 2), f.gep(out, 23, "float"))
    total = f.reduce("add", f.convert(v, "i64"))
    f.store(f.convert(total, "float"), f.gep(out, 31, "float"))
    x, out = np.array([3, 1, -4, 1, 5, -9, 2, 6], "f"), np.zeros(32, "f")
    run = compiled(m, "k")
    run(x, out)
    assert out[:4].tolist() == [x.sum(), 6, -9, x.prod()]
    np.testing.assert_array_equal(out[4:12], x[::-1])
    np.testing.assert_array_equal(out[12:20], x[::-1])
    assert out[20:23].tolist() == [1, 3, 1] and out[25] == 9 and out[31] == 5
    run(np.where(x == 1, np.nan, x), out)
    assert np.isnan(out[:4]).all()


def test_calls_tables_and_stack():
    m = Module()
    g = m.function("twice", [("i64", "x")], "i64", internal=True)
    g.ret_(g.args[0] * 2)
    table = m.table("squares", "i64", [0, 1, 4, 9])
    f = m.kernel("k")
    slot = f.alloca("i64", 4)
    f.store(f.call("twice", f.arg(0)), slot)
    value = f.load(slot, "i64") + f.load(f.gep(f.named("ptr", table), 3, "i64"), "i64")
    f.store(value, f.arg(1, "ptr"))
    out = np.zeros(1, np.int64)
    compiled(m, "k")(21, out)
    assert out[0] == 51


def test_wrong_number_of_carried_values():
    f = Module().kernel("k")
    with pytest.raises(ValueError, match="carries 1 values, next\\(\\) gave 0"):
        with f.loop(0, 3, carry=[f.const(1, "i64")]):
            pass


def test_impossible_vector_width():
    other = "neon" if hosts.host().triple.startswith("x86_64") else "avx2"
    with pytest.raises(ValueError, match="cannot run on this machine"):
        hosts.target(other)
