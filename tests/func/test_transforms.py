"""torch.func and torch.autograd.functional against formulas."""

import pytest

import flambeau as torch
from flambeau.autograd import functional
from flambeau.func import (functional_call, grad, grad_and_value, hessian, jacfwd, jacrev, jvp,
                           stack_module_state, vjp, vmap)


def test_grad_nests():
    x = torch.tensor(0.5)
    assert torch.allclose(grad(torch.sin)(x), x.cos())
    assert torch.allclose(grad(grad(torch.sin))(x), -x.sin())
    assert not grad(torch.sin)(x).requires_grad


def test_grad_of_trees_and_aux():
    params = {"w": torch.ones(2), "b": torch.zeros(())}

    def loss(p, x):
        y = (p["w"] * x).sum() + p["b"]
        return y, {"y": y}

    (got, aux) = grad(loss, has_aux=True)(params, torch.tensor([2.0, 3.0]))
    assert got["w"].tolist() == [2.0, 3.0] and got["b"].item() == 1.0
    assert aux["y"].item() == 5.0
    g, (value, _) = grad_and_value(loss, has_aux=True)(params, torch.ones(2))
    assert value.item() == 2.0


def test_grad_stays_connected_to_the_outside():
    w = torch.tensor(2.0, requires_grad=True)
    grad(lambda x: w * x ** 2)(torch.tensor(3.0)).backward()
    # d/dw of 2 w x
    assert w.grad.item() == 6.0
    with torch.no_grad():
        assert not grad(lambda x: w * x)(torch.tensor(3.0)).requires_grad


def test_products():
    x, v = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5])
    out, along = jvp(lambda t: t ** 2, (x,), (v,))
    assert along.tolist() == (2 * x * v).tolist()
    out, pull = vjp(lambda t: t ** 2, x)
    assert pull(v)[0].tolist() == (2 * x * v).tolist()


@pytest.mark.parametrize("jacobian", [jacrev, jacfwd])
def test_jacobians(jacobian):
    a = torch.randn(3, 2)
    assert torch.allclose(jacobian(lambda x: a @ x)(torch.randn(2)), a)
    both = jacobian(lambda x, y: x * y, argnums=(0, 1))(torch.ones(2), torch.full((2,), 3.0))
    assert torch.equal(both[0], 3 * torch.eye(2)) and torch.equal(both[1], torch.eye(2))


def test_hessian():
    assert torch.allclose(hessian(lambda x: (x ** 3).sum())(torch.tensor([1.0, 2.0])),
                          torch.diag(torch.tensor([6.0, 12.0])))


def test_vmap_axes():
    x, y = torch.randn(3, 4), torch.randn(4, 3)
    assert torch.allclose(vmap(torch.dot, in_dims=(0, 1))(x, y), (x * y.t()).sum(1))
    assert vmap(lambda a, b: a + b, in_dims=(0, None), out_dims=1)(x, torch.ones(4)).shape \
        == (4, 3)
    with pytest.raises(ValueError, match="same size"):
        vmap(torch.add)(x, y)
    with pytest.raises(ValueError, match="in_dim=5"):
        vmap(torch.sin, in_dims=5)(x)


def test_per_example_gradients():
    layer = torch.nn.Linear(3, 1)
    params = dict(layer.named_parameters())
    x = torch.randn(4, 3)

    def loss(p, example):
        return functional_call(layer, p, (example,)).pow(2).sum()

    got = vmap(grad(loss), in_dims=(None, 0))(params, x)
    for i in range(4):
        layer.zero_grad()
        layer(x[i]).pow(2).sum().backward()
        assert torch.allclose(got["weight"][i], layer.weight.grad)


def test_ensembles():
    models = [torch.nn.Linear(2, 1) for _ in range(3)]
    params, buffers = stack_module_state(models)
    x = torch.randn(5, 2)
    got = vmap(lambda p, b: functional_call(models[0], (p, b), (x,)))(params, buffers)
    assert torch.allclose(got, torch.stack([m(x) for m in models]))


def test_autograd_functional():
    def f(x):
        return (x ** 3).sum()

    x, v = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])
    assert torch.allclose(functional.hessian(f, x), torch.diag(6 * x))
    assert torch.allclose(functional.hvp(f, x, v)[1], 6 * x)
    assert torch.allclose(functional.vhp(f, x, v)[1], 6 * x)
    assert torch.allclose(functional.vjp(f, x)[1], 3 * x ** 2)
    assert torch.allclose(functional.jvp(lambda t: t ** 2, x, v)[1], 2 * x)
    jac = functional.jacobian(lambda a, b: (a * b, a.sum()), (x, v))
    assert torch.allclose(jac[0][0], torch.diag(v)) and torch.equal(jac[1][1], torch.zeros(2))
    with pytest.raises(RuntimeError, match="independent of input 1"):
        functional.jacobian(lambda a, b: a, (x, v), strict=True)
