"""What people write with torch.func, run with both: per-example gradients of a CNN, attention,
ensembles, tangent kernels, Hessian products, learning to learn."""

import numpy as np
import pytest

import flambeau
import flambeau.func

oracle = pytest.importorskip("torch")


def per_example_gradients(torch, fn):
    F = torch.nn.functional

    class CNN(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.c1, self.c2 = torch.nn.Conv2d(1, 4, 3, 1), torch.nn.Conv2d(4, 8, 3, 2, groups=2)
            self.fc = torch.nn.Linear(8 * 2 * 2, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.c2(F.relu(self.c1(x)))), 2)
            return F.log_softmax(self.fc(torch.flatten(x, 1)), dim=1)

    model = CNN()
    x, y = torch.randn(5, 1, 14, 14), torch.randint(0, 10, (5,))
    params = {k: v.detach() for k, v in model.named_parameters()}

    def loss(p, x, y):
        out = fn.functional_call(model, (p, {}), (x.unsqueeze(0),))
        return F.nll_loss(out, y.unsqueeze(0))

    return list(fn.vmap(fn.grad(loss), in_dims=(None, 0, 0))(params, x, y).values())


def attention(torch, fn):
    layer = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
    return [fn.vmap(lambda e: layer(e, e, e)[0])(torch.randn(4, 6, 8))]


def _small(torch):
    return torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.LayerNorm(5), torch.nn.GELU(),
                               torch.nn.Linear(5, 2))


def ensemble(torch, fn):
    models = [_small(torch) for _ in range(3)]
    params, buffers = fn.stack_module_state(models)
    out = fn.vmap(lambda p, b, x: fn.functional_call(models[0], (p, b), (x,)),
                  in_dims=(0, 0, None))(params, buffers, torch.randn(7, 3))
    out.pow(2).sum().backward()
    return [out, *(p.grad for p in params.values())]


def tangent_kernel(torch, fn):
    model, x = _small(torch), torch.randn(6, 3)
    params = {k: v.detach() for k, v in model.named_parameters()}
    rows = fn.vmap(fn.jacrev(lambda p, v: fn.functional_call(model, p, (v,))), (None, 0))(params, x)
    return [sum(torch.einsum("naf,mbf->nmab", v.flatten(2), v.flatten(2)) for v in rows.values())]


def hessian_products(torch, fn):
    def f(v):
        return (v.sin() * v.sum()).sum()

    v = torch.randn(4)
    return [fn.jvp(fn.grad(f), (v,), (torch.ones(4),))[1], fn.hessian(f)(v),
            fn.vmap(fn.hessian(f))(torch.randn(3, 4))]


def learning_to_learn(torch, fn):
    def inner(w, x, y):
        def loss(w):
            return ((x @ w - y) ** 2).mean()

        return loss(w - 0.1 * fn.grad(loss)(w))

    w = torch.randn(3, requires_grad=True)
    total = fn.vmap(inner, (None, 0, 0))(w, torch.randn(6, 5, 3), torch.randn(6, 5)).mean()
    total.backward()
    return [total, w.grad]


def lookups(torch, fn):
    table, places = torch.randn(5, 7, 3), torch.randint(0, 7, (5, 2))
    return [fn.vmap(lambda t, i: t[i])(table, places), fn.vmap(lambda t, i: t[:, 1][i])(
        table, places), fn.vmap(lambda t: t[places[0]])(table),
        fn.vmap(lambda i: table[0][i])(places), fn.vmap(lambda t, i: t.gather(0, i[:, None]))(
            table, places), fn.vmap(lambda t: t.sort(0).indices)(table),
        fn.vmap(lambda t: torch.topk(t, 2, dim=0).values, out_dims=1)(table)]


@pytest.mark.parametrize("program", [per_example_gradients, attention, ensemble, tangent_kernel,
                                     hessian_products, learning_to_learn, lookups])
def test_as_pytorch(program):
    flambeau.manual_seed(0)
    oracle.manual_seed(0)
    ours, theirs = program(flambeau, flambeau.func), program(oracle, oracle.func)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-4, atol=1e-5)
