"""Plans against the interpreter: single constructs and random graphs."""

import threading

import numpy as np
import pytest

from flambeau.base import dtype as dt
from flambeau.base import flags
from flambeau.codegen.host import available_kinds
from flambeau.graph.graph import Graph
from flambeau.ir.node import PRIMS, leaf, make
from flambeau.ir.view import VIEW_SET, broadcast, view
from flambeau.ops.prim import contract as C
from flambeau.ops.prim import elementwise as E
from flambeau.ops.prim import reduce as R
from flambeau.ops.prim import shape as S
from flambeau.ops.prim.source import checked_range
from flambeau.runtime import interpret
from flambeau.runtime.execute import _closure
from flambeau.runtime.plan import compile_graph


@pytest.fixture(autouse=True, scope="module")
def _verify():
    with flags.override(verify=1):
        yield


def floats(rng, *shape):
    return leaf(rng.standard_normal(shape, dtype=np.float32))


def check(outputs, tolerance=1e-5):
    """Run a graph as a plan (twice) and by the interpreter; returns the plan."""
    graph, leaves = Graph.capture(outputs)
    arrays = [n.value for n in leaves]
    plan = compile_graph(graph)
    first = plan.run(arrays)
    again = plan.run(arrays)
    for node, a, b in zip(outputs, first, again, strict=True):
        interpret.run(_closure(node))
        want = node.value
        assert a.shape == want.shape and a.dtype == want.dtype
        assert a is not b
        np.testing.assert_array_equal(a, b)
        wide = np.float64 if want.dtype.kind == "V" else want.dtype
        np.testing.assert_allclose(a.astype(wide), want.astype(wide), tolerance, tolerance)
    return plan


def softmax(x, dim):
    e = E.exp(E.sub(x, R.reduce(R.AMAX, x, (dim,), True)))
    return E.div(e, R.sum(e, dim, True))


@pytest.mark.parametrize("shape", [(33, 50), (64, 3), (5, 6, 7), (1, 1), (3, 1000), (20,)])
def test_softmax_is_one_group(shape):
    rng = np.random.default_rng(0)
    for dim in range(len(shape)):
        plan = check([softmax(floats(rng, *shape), dim)])
        assert len(plan.schedule.entries) == 1


@pytest.mark.parametrize("kind", available_kinds())
def test_vector_widths(kind):
    rng = np.random.default_rng(1)
    with flags.override(vector=kind):
        x, y, b = floats(rng, 33, 21), floats(rng, 33, 21), floats(rng, 21)
        check([E.relu(E.add(E.mul(x, y), b)), E.gt(x, y), R.sum(x, 0), R.sum(E.mul(x, y))])


def test_strided_leaves_and_views():
    rng = np.random.default_rng(2)
    base = rng.standard_normal((12, 10), dtype=np.float32)
    x, y = leaf(base.T), leaf(base[1:11, ::2].T)
    check([E.add(x, 1.0), E.mul(y, y), R.sum(x, 1)])
    z = E.exp(floats(rng, 4, 6))
    check([E.add(view(z, (6, 4), (1, 6), 0), 1.0), view(z, (3, 2), (6, 2), 7)])
    z = E.exp(floats(rng, 4, 6, 5))
    flat = view(S.permute(z, 1, 0, 2), (6, 20), (20, 1), 0)
    check([E.neg(flat)])


def test_long_sums_are_divided_and_accurate():
    rng = np.random.default_rng(3)
    x = leaf(rng.random(1_000_000, dtype=np.float32))
    plan = compile_graph(Graph.capture([R.sum(x), R.mean(E.mul(x, x))])[0])
    total, mean = plan.run([x.value, np.array(1e6, np.float32)])
    exact = x.value.astype(np.float64)
    assert abs(total - exact.sum()) <= 2e-7 * exact.sum()
    assert abs(mean - (exact**2).mean()) <= 3e-7
    wide = leaf(rng.random((40_000, 12), dtype=np.float32))
    plan = check([R.sum(wide, 0), E.mul(R.sum(wide, 0), 2.0)], 2e-5)  # NumPy is off by as much
    columns = plan.run([wide.value, np.array(2.0, np.float32)])[0]
    np.testing.assert_allclose(columns, wide.value.astype(np.float64).sum(0), 3e-7)


def test_dtypes():
    rng = np.random.default_rng(4)
    ints = leaf(rng.integers(-9, 9, (7, 9)))
    small = leaf(rng.integers(0, 200, (7, 9)).astype(np.uint8))
    half = leaf(rng.standard_normal((7, 9)).astype(np.float16))
    double = leaf(rng.standard_normal((7, 9)))
    brain = leaf(rng.standard_normal((7, 9)).astype(dt.bfloat16.np))
    check([E.add(ints, 3), E.mul(small, 3), E.add(half, 1.0), E.exp(double), E.mul(brain, brain),
           E.add(ints, half), R.sum(ints, 0), R.sum(double, 1), R.sum(half, 1), E.lt(ints, 2),
           R.reduce(R.AMAX, ints, (0,), False), R.reduce(R.AMIN, small, (0, 1), False)])


def test_empty_and_scalar():
    rng = np.random.default_rng(5)
    check([E.add(floats(rng, 0, 3), 1.0), R.sum(floats(rng, 0, 3), 0), E.exp(floats(rng))])


def random_graph(rng, size):
    """Random elementwise, broadcast, view and reduce nodes over a few related shapes."""
    rows, cols = int(rng.integers(1, 40)), int(rng.integers(1, 40))
    pool = [floats(rng, rows, cols), floats(rng, rows, cols), floats(rng, cols),
            floats(rng, rows, 1), floats(rng)]
    for _ in range(size):
        x = pool[rng.integers(len(pool))]
        same = [p for p in pool if p.shape == x.shape]
        y = same[rng.integers(len(same))]
        kind = rng.integers(9)
        if kind == 0 and x.shape:
            new = R.sum(x, int(rng.integers(len(x.shape))), bool(rng.integers(2)))
            new = E.mul(new, 0.1)
        elif kind == 1 and x.shape:
            new = R.reduce(R.AMAX, x, (int(rng.integers(len(x.shape))),), True)
        elif kind == 2 and len(x.shape) == 2:
            new = S.transpose(x, 0, 1)
        elif kind == 3 and x.shape in ((cols,), (rows, 1), (1, cols)):
            new = broadcast(x, (rows, cols))
        elif kind == 4:
            new = E.tanh(x)
        elif kind == 5:
            new = E.where(E.gt(x, y), x, E.mul(y, 0.5))
        elif kind == 6 and len(x.shape) == 2:
            new = S.reshape(x, x.shape[0] * x.shape[1])
        else:
            new = [E.add, E.sub][kind % 2](x, E.mul(y, 0.7))
        pool.append(new)
    made = pool[5:]
    return [made[i] for i in sorted({*rng.integers(0, len(made), 3), len(made) - 1})]


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(seed):
    rng = np.random.default_rng(seed)
    check([n for n in random_graph(rng, 12) if n.value is None] or [E.neg(floats(rng, 2))], 1e-4)


def test_products_with_epilogues():
    rng = np.random.default_rng(6)
    x, w, b = floats(rng, 32, 20), floats(rng, 64, 20), floats(rng, 64)
    plan = check([E.relu(C.linear(x, w, b))])
    assert [len(e.group.members) for e in plan.schedule.entries] == [3]
    check([E.gt(C.linear(x, w, b), 0.0), C.linear(x, w)])
    plan = check([E.tanh(C.linear(floats(rng, 2, 5, 20), w, b))])
    assert len(plan.schedule.entries) == 1
    check([C.matmul(floats(rng, 3, 4, 5), floats(rng, 3, 5, 6)),
           C.matmul(floats(rng, 2, 3, 4, 5), floats(rng, 5, 6)),
           C.matmul(floats(rng, 2, 3, 4, 5), floats(rng, 2, 3, 5, 6)),
           C.matmul(S.transpose(floats(rng, 3, 5, 4), 1, 2), floats(rng, 3, 5, 6))])
    check([E.add(C.matmul(floats(rng, 90, 70), floats(rng, 70, 50)), floats(rng, 90, 1))], 1e-4)


def test_row_and_column_reductions_share_a_walk():
    rng = np.random.default_rng(7)
    x, dy, w = floats(rng, 300, 40), floats(rng, 300, 40), floats(rng, 40)
    weighted = E.mul(dy, w)
    part = E.exp(E.sub(x, R.reduce(R.AMAX, x, (1,), True)))
    inner = R.plain_sum(E.mul(weighted, part), 1, True)
    plan = check([E.sub(weighted, E.mul(part, inner)), R.plain_sum(E.mul(dy, part), 0),
                  R.plain_sum(dy, 0)], 1e-4)
    assert len(plan.schedule.entries) == 2  # the walk, and the fold of the chunks' rows


def test_donated_leaves_are_overwritten():
    rng = np.random.default_rng(8)
    x, w, m = floats(rng, 9, 5), floats(rng, 4, 5), floats(rng, 4, 5)
    grad = C.dot(S.transpose(C.linear(x, w), 0, 1), x)
    m2 = E.add(E.mul(m, 0.9), grad)
    w2 = E.sub(w, E.mul(m2, 0.1))
    graph, leaves = Graph.capture([w2, m2], donated={w: w2, m: m2})
    arrays = [n.value for n in leaves]
    interpret.run(_closure(w2))
    want = w2.value
    plan = compile_graph(graph)
    new_w, new_m = plan.run(arrays)
    assert new_w is w.value and new_m is m.value
    np.testing.assert_allclose(new_w, want, 1e-5, 1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_weight_its_own_kernel_reads_along_rows_is_overwritten(axis):
    rng = np.random.default_rng(12)
    x, g = floats(rng, 40, 50), floats(rng, 40, 50)
    w = floats(rng, *((50,) if axis == 0 else (40, 1)))
    y = E.mul(E.exp(x), broadcast(w, (40, 50)))  # the weight is a leaf with strides 0
    new = E.sub(w, E.mul(R.sum(E.mul(y, g), axis, axis == 1), 0.1))
    graph, leaves = Graph.capture([y, new], donated={w: new})
    arrays, old = [n.value for n in leaves], w.value.copy()
    got = compile_graph(graph).run(arrays)
    assert got[1] is w.value
    want = np.exp(x.value) * old
    np.testing.assert_allclose(got[0], want, 1e-5, 1e-5)
    np.testing.assert_allclose(
        got[1], old - 0.1 * (want * g.value).sum(axis, keepdims=axis == 1), 1e-4, 1e-4)


def test_a_weight_read_at_other_rows_is_not_overwritten():
    rng = np.random.default_rng(13)
    x, w = floats(rng, 40, 40), floats(rng, 40)
    across = view(w, (40, 40), (1, 0), 0)
    new = E.sub(w, R.sum(E.mul(x, across), 0))
    graph, leaves = Graph.capture([new], donated={w: new})
    want = w.value - (x.value * w.value[:, None]).sum(0)
    got = compile_graph(graph).run([n.value for n in leaves])[0]
    assert got is not w.value
    np.testing.assert_allclose(got, want, 1e-4, 1e-4)


def test_a_leaf_that_is_read_later_is_not_overwritten():
    rng = np.random.default_rng(9)
    w = floats(rng, 6, 6)
    w2 = E.mul(w, 2.0)
    later = C.dot(w2, w)
    graph, leaves = Graph.capture([w2, later], donated={w: w2})
    before = w.value.copy()
    out = compile_graph(graph).run([n.value for n in leaves])
    np.testing.assert_allclose(out[1], (2 * before) @ before, 1e-5, 1e-5)
    np.testing.assert_array_equal(w.value, before)


def test_outputs_are_recycled_only_when_dropped():
    rng = np.random.default_rng(10)
    x = floats(rng, 50)
    graph, leaves = Graph.capture([E.exp(x)])
    plan = compile_graph(graph)
    arrays = [n.value for n in leaves]
    kept = plan.run(arrays)[0]
    view_of = plan.run(arrays)[0][3:]
    values = kept.copy()
    seen = set()
    for _ in range(8):
        new = plan.run(arrays)[0]
        assert new is not kept and not np.shares_memory(new, view_of)
        seen.add(id(new))
    np.testing.assert_array_equal(kept, values)
    assert len(seen) <= 3


def test_a_failing_guard_raises_and_writes_nothing():
    rng = np.random.default_rng(13)
    target = leaf(rng.integers(0, 4, 9))
    picked = E.add(checked_range(target, 4, "Target"), 1)
    graph, leaves = Graph.capture([picked])
    plan = compile_graph(graph)
    assert len(plan.schedule.entries) == 1
    arrays = [n.value for n in leaves]
    np.testing.assert_array_equal(plan.run(arrays)[0], target.value + 1)
    target.value[5] = 4
    with pytest.raises(IndexError, match=r"Target 4 is out of bounds at position \[5\]"):
        plan.run(arrays)


def test_threads_agree():
    rng = np.random.default_rng(14)
    x, w = floats(rng, 600, 128), floats(rng, 96, 128)
    outputs = [softmax(C.linear(x, w), 1), R.sum(E.mul(x, x), 0), R.sum(E.exp(x))]
    graph, leaves = Graph.capture(outputs)
    arrays = [n.value for n in leaves]
    results = []
    for count in (1, 2, 3):
        with flags.override(threads=count):
            plan = compile_graph(graph)
            results.append(plan.run(arrays))
            for _ in range(5):
                for a, b in zip(results[-1], plan.run(arrays), strict=True):
                    np.testing.assert_array_equal(a, b)
    for a, b in zip(results[0], results[1], strict=True):
        np.testing.assert_allclose(a, b, 1e-6)


def test_assembled_values():
    rng = np.random.default_rng(15)
    x, y = E.exp(floats(rng, 4, 5)), floats(rng, 4, 3)
    plan = check([make(PRIMS["cat"], (x, y, S.transpose(floats(rng, 2, 4), 0, 1)), (1,)),
                  make(VIEW_SET, (x, E.neg(floats(rng, 2, 2))), ((5, 2), 6))])
    assert all(e.kind != "host" for e in plan.schedule.entries)
    table, index = floats(rng, 9, 37), leaf(rng.integers(0, 9, 50))
    rows = E.mul(floats(rng, 50, 37), 2.0)
    plan = check([make(PRIMS["index_put"], (table, rows, index), ((0,), True))])
    assert all(e.kind != "host" for e in plan.schedule.entries)
    graph, leaves = Graph.capture([make(PRIMS["index_put"], (table, rows, index), ((0,), True))])
    index.value[3] = 9
    with pytest.raises(IndexError, match="out of bounds"):
        compile_graph(graph).run([n.value for n in leaves])


def test_lookups_fuse():
    rng = np.random.default_rng(16)
    table, index = floats(rng, 9, 37), leaf(rng.integers(0, 9, (5, 4)))
    take = PRIMS["take"]
    plan = check([E.add(make(take, (table, index), (0,)), 1.0)])
    assert [e.kind for e in plan.schedule.entries] == ["loop"]
    assert len(plan.schedule.entries[0].group.members) == 2
    check([make(take, (table, leaf(rng.integers(0, 37, 6))), (1,)),
           softmax(make(take, (table, leaf(rng.integers(0, 9, 30).astype(np.int32))), (0,)), 1),
           make(take, (floats(rng, 50), leaf(rng.integers(0, 50, 70))), (0,)),
           make(PRIMS["take_along"], (table, leaf(rng.integers(0, 37, (9, 4)))), (1,)),
           make(PRIMS["take_along"], (E.exp(table), leaf(rng.integers(0, 9, (4, 37)))), (0,)),
           make(take, (E.exp(floats(rng, 7, 3)), leaf(rng.integers(0, 7, (20,)))), (0,))])


def test_matrix_times_vector():
    rng = np.random.default_rng(17)
    a, v = floats(rng, 16, 20), floats(rng, 20, 1)
    check([C.mv(a, floats(rng, 20)), E.add(make(C.DOT, (a, v)), 1.0),
           C.mv(S.transpose(a, 0, 1), floats(rng, 16)), C.matmul(floats(rng, 20), v)])


@pytest.mark.parametrize("dtype", [dt.float16, dt.bfloat16, dt.float64])
def test_products_of_other_floats(dtype):
    rng = np.random.default_rng(18)

    def some(*shape):
        return leaf(rng.standard_normal(shape).astype(dtype.np))

    x, w, b = some(6, 20), some(9, 20), some(9)
    plan = check([C.linear(x, w), E.relu(C.linear(x, w, b)),
                  make(PRIMS["take"], (w, leaf(rng.integers(0, 9, 5))), (0,))], 2e-2)
    assert [e.kind for e in plan.schedule.entries].count("dot") == 2


def run(outputs):
    graph, leaves = Graph.capture(outputs)
    return compile_graph(graph).run([n.value for n in leaves])


@pytest.mark.parametrize("shape", [(300, 40), (5, 5000), (2000, 64), (64, 3), (7, 20_000)])
def test_the_order_of_a_sum_does_not_depend_on_the_kernel(shape):
    rng = np.random.default_rng(19)
    x, y = floats(rng, *shape), floats(rng, *shape)
    bias = floats(rng, shape[1])
    part = E.mul(x, y)
    for axis in (0, 1):
        alone = run([R.sum(part, axis)])[0]
        largest = R.reduce(R.AMAX, x, (1,), True)
        fused = run([R.sum(part, axis), softmax(x, 1), E.mul(part, E.sub(E.add(y, bias), largest)),
                     R.sum(E.tanh(E.sub(x, y)), 1)])[0]
        np.testing.assert_array_equal(alone, fused)
        stored = leaf(x.value * y.value)
        np.testing.assert_array_equal(alone, run([R.sum(stored, axis)])[0])
        with flags.override(threads=3):
            np.testing.assert_array_equal(alone, run([R.sum(part, axis), E.exp(part)])[0])


def test_heads_are_read_in_place():
    rng = np.random.default_rng(20)
    q, k = E.exp(floats(rng, 12, 5, 36)), E.tanh(floats(rng, 12, 5, 36))

    def heads(x):
        return S.reshape(S.permute(S.reshape(x, 12, 5, 3, 12), 1, 2, 0, 3), 15, 12, 12)

    scores = C.dot(heads(q), S.transpose(heads(k), 1, 2))
    plan = check([scores, C.dot(softmax(scores, 2), heads(k))])
    assert sum(e.kind == "loop" for e in plan.schedule.entries) == 3  # exp, tanh, softmax


def test_a_region_of_a_donated_leaf_is_written_in_place():
    rng = np.random.default_rng(21)
    base, value = floats(rng, 8, 8), floats(rng, 2, 3)
    new = make(VIEW_SET, (base, E.neg(value)), ((8, 1), 9))
    want = base.value.copy()
    want[1:3, 1:4] = -value.value
    graph, leaves = Graph.capture([new], donated={base: new})
    plan = compile_graph(graph)
    out = plan.run([n.value for n in leaves])[0]
    assert out is base.value
    np.testing.assert_array_equal(out, want)
    assert len(plan.schedule.entries[-1].step.parts) == 1


def test_a_factor_is_not_overwritten_by_its_own_product():
    rng = np.random.default_rng(22)
    a, w = floats(rng, 40, 40), floats(rng, 40, 40)
    new = E.sub(w, C.dot(a, w))
    want = w.value - a.value @ w.value
    graph, leaves = Graph.capture([new], donated={w: new})
    out = compile_graph(graph).run([n.value for n in leaves])[0]
    assert out is not w.value
    np.testing.assert_allclose(out, want, 1e-4, 1e-4)


def test_plans_share_memory_between_runs_and_threads():
    rng = np.random.default_rng(23)
    plans = []
    for rows in (10, 400, 30):
        x, w = floats(rng, rows, 20), floats(rng, 20, 30)
        graph, leaves = Graph.capture([R.sum(softmax(C.dot(E.exp(x), w), 1), 0)])
        arrays = [n.value for n in leaves]
        plan = compile_graph(graph)
        plans.append((plan, arrays, plan.run(arrays)[0]))
    wrong = []

    def work():
        for _ in range(30):
            for plan, arrays, want in plans:
                if not np.array_equal(plan.run(arrays)[0], want):
                    wrong.append(plan)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
