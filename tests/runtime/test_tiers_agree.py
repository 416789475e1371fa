"""Interpreted (tier 0) and compiled (tier 1) code give the same bits, for any number of threads
and any vector width of the host."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.base import dtype as dt
from flambeau.base import flags, fused, processor
from flambeau.base import shape as sh
from flambeau.codegen import host as hosts
from flambeau.graph.graph import Graph
from flambeau.ir import node as ir
from flambeau.ir.node import PRIMS, OpClass, const, leaf, make
from flambeau.ir.view import broadcast, view
from flambeau.nn import functional as F
from flambeau.runtime import execute, interpret, library, ordered
from flambeau.runtime.plan import compile_graph

DTYPES = [dt.float32, dt.float64, dt.bfloat16, dt.float16]
KINDS = hosts.available_kinds()


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(params=KINDS)
def kind(request):
    with flags.override(vector=request.param):
        execute._plans.clear()
        execute._seen.clear()
        yield request.param
    execute._plans.clear()
    execute._seen.clear()


def bits(array) -> np.ndarray:
    """The bits of an array's elements; all NaN are one."""
    array = np.ascontiguousarray(array)
    out = array.view(f"u{array.dtype.itemsize}").copy() if array.dtype.kind in "fV" else array
    if array.dtype.kind in "fV":
        out[np.isnan(array.astype(np.float64))] = 1
    return out


def agree(build) -> None:
    """Run the nodes that ``build`` makes both ways."""
    execute.flush()
    outputs = build()
    nodes = ir.pending[:]
    del ir.pending[:]
    graph, leaves = Graph.capture(outputs)
    compiled = compile_graph(graph).run([n.value for n in leaves])
    interpret.run(nodes)
    for node, value in zip(outputs, compiled, strict=True):
        np.testing.assert_array_equal(bits(node.value), bits(value))


def make_(name: str, *srcs, params=()):
    return make(PRIMS[name], srcs, params)


# -- elementwise ----------------------------------------------------------------------------------

SPECIAL = [0, -0.0, 1, -1, 2, -2, 3, 0.5, -0.5, np.inf, -np.inf, np.nan, 1e-40, 1e-8, 100, -100,
           88.7, -103, 1e5, -1e5, 3e9, 1e30, -1e30, 3.4e38, 7, -7]
FUNCTIONS = sorted(p.name for p in PRIMS.values() if p.cls is OpClass.ELEMENTWISE
                   and p.llvm is not None and "bitwise" not in p.name)


def samples(dtype) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = np.concatenate([SPECIAL, 3 * rng.standard_normal(300), rng.random(100),
                        rng.standard_normal(100) * 1e3]).astype(dtype.np)
    return x, rng.permutation(x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, dtype):
    x, y = samples(dtype)
    if name == "cast":
        for to in (*DTYPES, dt.bool_, dt.uint8, dt.int8, dt.int16, dt.int32, dt.int64):
            agree(lambda to=to: [make_("cast", leaf(x, dtype), params=(to,))])
        return
    if name == "where":
        agree(lambda: [make_("where", leaf(x > 0), leaf(x, dtype), leaf(y, dtype))])
        return
    if name == "fma":
        agree(lambda: [make_("fma", leaf(x, dtype), leaf(y, dtype), leaf(y[::-1], dtype)),
                       make_("fma", leaf(x, dtype), const(0.3, dtype), leaf(y, dtype))])
        return
    if PRIMS[name].llvm.__code__.co_argcount == 2:
        agree(lambda: [make_(name, leaf(x, dtype))])
        return
    agree(lambda: [make_(name, leaf(x, dtype), leaf(y, dtype))])
    for number in (2.0, 3.0, 0.5, -0.5, 1.7):
        agree(lambda c=number: [make_(name, leaf(x, dtype), const(c, dtype)),
                                make_(name, const(c, dtype), leaf(x, dtype))])


@pytest.mark.parametrize("dtype", (dt.float32, dt.float64), ids=str)
def test_numpy_fuses_like_the_processor(dtype):
    rng, info = np.random.default_rng(1), np.finfo(dtype.np)
    special = [0, -0.0, 1, -1, np.inf, -np.inf, np.nan, info.max, -info.max, info.tiny, 1 / 3,
               info.smallest_subnormal, 1 + info.eps, 1 - info.eps / 2, info.max / 2, 3, 2.0**-30]
    cases = [a.ravel().astype(dtype.np) for a in np.meshgrid(special, special, special)]
    x, y = (np.ldexp(rng.standard_normal(9000), rng.integers(-50, 50, 9000)) for _ in range(2))
    almost = -(x * y) * (1 + info.eps * rng.integers(-3, 3, 9000))
    x, y, z = (np.concatenate([a, b, b]).astype(dtype.np) for a, b in
               zip(cases, (x, y, almost), strict=True))
    z[-9000:] = rng.standard_normal(9000)
    got, want = fused.fma(x, y, z), library.elementwise(PRIMS["fma"], [x, y, z], (), x.shape, dtype)
    np.testing.assert_array_equal(got, want)
    there = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[there]), np.signbit(want[there]))


def test_functions_on_other_vectors(kind):
    x, _ = samples(dt.float32)
    for name in ("exp", "tanh", "log", "erf", "sin", "pow", "sigmoid"):
        srcs = 2 if name == "pow" else 1
        agree(lambda n=name, s=srcs: [make_(n, *[leaf(x, dt.float32)] * s)])


# -- reductions -----------------------------------------------------------------------------------

SHAPES = [(7,), (1000,), (70000,), (3, 5), (33, 129), (1000, 10), (5000, 3), (4, 9, 31),
          (8, 1, 17), (16, 3, 20, 21), (100, 28, 28), (3000, 64), (2, 40000)]


def reductions(x: np.ndarray, dtype, axes: tuple[int, ...]):
    """Sums alone, fused with what they sum and with each other, and of a transposed array."""
    shape = x.shape
    b = x.reshape(-1)[:shape[-1]].copy()
    a = leaf(x, dtype)
    e = make_("mul", make_("tanh", a), broadcast(leaf(b, dtype), shape))
    s = make_("sum", e, params=(axes,))
    kept = tuple(1 if k in axes else n for k, n in enumerate(shape))
    back = broadcast(view(s, kept, sh.contiguous_strides(kept), 0), shape)
    others = tuple(k for k in range(len(shape)) if k not in axes)
    turned = view(e, shape[::-1], sh.contiguous_strides(shape)[::-1], 0)
    out = [make_("sum", a, params=(axes,)), s, make_("sub", e, back),
           make_("sum", make_("cast", e, params=(dt.float64,)), params=(axes,)),
           make_("prod", e, params=(axes,)), make_("amax", e, params=(axes,)),
           make_("sum", make_("neg", turned), params=(axes,)),
           make_("sum", turned, params=(axes,))]
    if others:
        out.append(make_("sum", make_("add", e, a), params=(others,)))
    return out


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_reductions(dtype, threads):
    rng = np.random.default_rng(1)
    with flags.override(threads=threads):
        for shape in SHAPES:
            x = rng.standard_normal(shape).astype(dtype.np)
            every = [c for r in range(1, len(shape) + 1)
                     for c in itertools.combinations(range(len(shape)), r)]
            for axes in every if len(every) < 4 else rng.permutation(np.array(every, object))[:4]:
                agree(lambda x=x, axes=tuple(axes): reductions(x, dtype, axes))


def test_reductions_on_other_vectors(kind):
    rng = np.random.default_rng(2)
    for dtype in (dt.float32, dt.float64, dt.bfloat16):
        for shape, axes in (((33, 129), (1,)), ((33, 129), (0,)), ((70000,), (0,)),
                            ((4, 9, 31), (0, 2)), ((1000, 10), (0, 1))):
            x = rng.standard_normal(shape).astype(dtype.np)
            agree(lambda x=x, dtype=dtype, axes=axes: reductions(x, dtype, axes))


def test_short_reductions_by_numpy(kind):
    """Equal to the kernel's, zeros' signs included."""
    rng = np.random.default_rng(3)
    prims = [PRIMS[name] for name in ("sum", "prod", "amax", "amin")]
    done = 0
    for _ in range(150):
        shape = tuple(rng.integers(1, (4096, 60, 12, 6)[r := rng.integers(4)], r + 1))
        axes = tuple(k for k in range(r + 1) if rng.random() < 0.6) or (0,)
        dtype = DTYPES[rng.integers(4)]
        x = rng.standard_normal(shape) * rng.integers(0, 2, shape) * rng.integers(0, 2)
        x = (rng.choice([1.0, -1.0], shape) * x).astype(dtype.np)
        for prim in prims:
            got = ordered.reduce(prim, x, axes, dtype)
            if got is not None:
                done += 1
                want = library.reduce(prim, x, axes, dtype)
                assert got.shape == want.shape and got.dtype == want.dtype
                np.testing.assert_array_equal(bits(got), bits(want))
    assert done > 300


def test_vectors_without_llvm():
    assert processor._kind() in (None, KINDS[0])


# -- products -------------------------------------------------------------------------------------

SIZES = [(1, 1, 1), (12, 6, 16), (6, 16, 1), (1, 16, 5), (64, 784, 32), (130, 300, 57),
         (3, 2000, 3), (1, 3000, 1), (700, 1, 30), (4, 600, 500), (16, 1024, 4)]


def transposed(x):
    s, t = x.shape, x.strides
    return view(x, (*s[:-2], s[-1], s[-2]), (*t[:-2], t[-1], t[-2]), 0)


def products(a, b, dtype, turn_a: bool, turn_b: bool, how: str):
    x, y = leaf(a, dtype), leaf(b, dtype)
    if how != "leaves":
        x, y = make_("tanh", x), make_("neg", y)
    x, y = transposed(x) if turn_a else x, transposed(y) if turn_b else y
    if how == "copies":
        x, y = make_("copy", x), make_("copy", y)
    c = make_("dot", x, y)
    if how == "turned":
        return [make_("copy", transposed(c))]
    e = make_("tanh", make_("mul", c, broadcast(leaf(b.reshape(-1)[:1], dtype), c.shape)))
    every = tuple(range(len(c.shape)))
    return [c, e] if how != "only the sum" else [make_("sum", e, params=(every,))]


@pytest.mark.parametrize("how", ["leaves", "computed", "copies", "turned", "only the sum"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_products(dtype, how):
    rng = np.random.default_rng(3)
    for number, (m, k, n) in enumerate(SIZES):
        for batch, turn_a, turn_b in itertools.product(((), (3,), (2, 3)), (0, 1), (0, 1)):
            if batch and m * k * n > 100_000:
                continue
            a = rng.standard_normal((*batch, *((k, m) if turn_a else (m, k)))).astype(dtype.np)
            b = rng.standard_normal((*batch, *((n, k) if turn_b else (k, n)))).astype(dtype.np)
            with flags.override(threads=1 + number % 2):
                agree(lambda a=a, b=b, t=turn_a, u=turn_b: products(a, b, dtype, t, u, how))


def test_products_on_other_vectors(kind):
    rng = np.random.default_rng(4)
    for m, k, n in SIZES[:9]:
        a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
        for dtype in (dt.float32, dt.bfloat16):
            x, y = a.astype(dtype.np), b.astype(dtype.np)
            agree(lambda x=x, y=y, dtype=dtype: products(x, y, dtype, False, False, "computed"))


# -- models ---------------------------------------------------------------------------------------

MODELS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(13, 40), nn.GELU(), nn.LayerNorm(40),
                                  nn.Linear(40, 5)), (37, 13), torch.optim.Adam),
    "norm": (lambda: nn.Sequential(nn.Linear(13, 40), nn.BatchNorm1d(40), nn.SiLU(),
                                   nn.Dropout(0.1), nn.Linear(40, 7)), (37, 13), torch.optim.AdamW),
    "conv": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
                                   nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(4)),
             (5, 3, 17, 15), torch.optim.SGD),
    "encoder": (lambda: nn.Sequential(
        nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True), nn.Flatten()),
        (3, 9, 16), torch.optim.RMSprop),
}


def train(name: str, dtype, tier: str, threads: int) -> list[np.ndarray]:
    """Losses, gradients and parameters of some steps, and the model's value in eval mode."""
    with flags.override(tier=tier, threads=threads):
        torch.manual_seed(3)
        build, size, optimizer = MODELS[name]
        model, x = build(), torch.randn(*size)
        model(x)
        model, x = model.to(dtype), x.to(dtype)
        step, out = optimizer(model.parameters(), lr=0.01), []
        for _ in range(3):
            step.zero_grad()
            y = model(x)
            loss = F.cross_entropy(y, torch.arange(y.shape[0]) % y.shape[1])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            step.step()
            out += [loss, *(p.grad.clone() for p in model.parameters())]
        out += [model.eval()(x), *model.parameters()]
        return [bits(t.detach().float().numpy()) for t in out]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_models(name, dtype):
    want = train(name, dtype, "0", 1)
    for tier, threads in (("1", 1), ("auto", 2)):
        for a, b in zip(want, train(name, dtype, tier, threads), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_first_evaluations_are_equal():
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)).eval()
    x = torch.randn(12, 6)
    assert torch.equal(model(x), model(x))
    assert len({model(x).sum().item() for _ in range(3)}) == 1
