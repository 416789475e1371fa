"""Row kernels in blocks of rows: any number of rows and elements, the same bits as row by row."""

import numpy as np
import pytest

import flambeau as torch
from flambeau.base import flags
from flambeau.codegen.host import available_kinds
from flambeau.graph.graph import Graph
from flambeau.ir.node import leaf
from flambeau.kernel.ir import FAR, NEAR, ROWS, Kernel, Section, in_row_blocks, row_block
from flambeau.kernel.text import parse
from flambeau.ops.prim import elementwise as E
from flambeau.ops.prim import reduce as R
from flambeau.runtime.plan import compile_graph

SHAPES = [(1, 40), (15, 7), (16, 9), (17, 33), (50, 64), (5, 6, 40), (3, 700), (2, 9000)]


def log_softmax(x):
    low = E.sub(x, R.reduce(R.AMAX, x, (len(x.shape) - 1,), True))
    return E.sub(low, E.log(R.sum(E.exp(low), (len(x.shape) - 1,), True)))


def exact(x: np.ndarray) -> np.ndarray:
    low = x - x.max(-1, keepdims=True)
    return low - np.log(np.exp(low).sum(-1, keepdims=True))


@pytest.mark.parametrize("kind", available_kinds())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_log_softmax(shape, dtype, kind):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    with flags.override(vector=kind, verify=1):
        graph, leaves = Graph.capture([log_softmax(leaf(x))])
        (got,) = compile_graph(graph).run([n.value for n in leaves])
    np.testing.assert_allclose(got, exact(x.astype("f8")), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_same_bits_as_interpreted(shape, dtype):
    """Layer norm forward and backward: row values of all kinds, columns, values kept for a pass."""
    torch.manual_seed(0)
    x = torch.randn(*shape).to(dtype).requires_grad_()
    w = torch.rand(shape[-1]).to(dtype).requires_grad_()
    results = []
    for _ in range(4):  # interpreted, compiled, followed
        y = torch.nn.functional.layer_norm(x, shape[-1:], w)
        z = torch.softmax(y, -1) * torch.where(y.amax(-1, keepdim=True) > 1, 1.5, y)
        gx, gw = torch.autograd.grad(z.square().sum(), (x, w))
        results.append([t.detach().to(torch.float64).numpy() for t in (z, gx, gw)])
    for later in results[1:]:
        for a, b in zip(results[0], later, strict=True):
            np.testing.assert_array_equal(a, b)


def test_integer_row_values_stay_scalar():
    """A lane without a row might divide by zero."""
    text = """
    kernel outer=1 inner=1 lanes=inner split=no order=plain
      b0 = in int32 [any, 1]
      b1 = in int32 [1, 0]
      b2 = out int32 [1, 0]
      loop:
        v0 = load b0
        v1 = fold sum v0 int32
      row:
        v2 = load b1
        v3 = op floordiv v1 v2 int32
        store b2 v3
    """
    assert not in_row_blocks(parse(text))
    x = torch.randint(1, 9, (21, 30))
    for _ in range(3):
        got = (x.sum(1) // x[:, 0]).numpy()
        np.testing.assert_array_equal(got, x.numpy().sum(1) // x.numpy()[:, 0])


def test_rows_of_a_block():
    plain = Kernel(1, 1, "inner", False, "plain", (), (Section("loop", ()),) * 2)
    busy = plain._replace(sections=(*plain.sections, Section(
        "row", (("op", 0, "log", (), (1,), "float32"),))))
    for elements in (1, 10, 300, NEAR // 4, NEAR, NEAR + 1):
        few, many = row_block(plain, elements, 2), row_block(busy, elements, 2)
        assert 1 <= few <= many <= ROWS
        assert few == 1 or few * elements * 2 <= NEAR
        assert many == 1 or many * elements <= FAR
