"""vmap: axes, nesting, random numbers, in-place writes, errors; with gradients inside and outside;
forward mode."""

import pytest

import flambeau as torch
from flambeau.autograd import forward_ad
from flambeau.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_function_runs_once():
    calls = []

    def f(x):
        calls.append(x.shape)
        return x.sum()

    assert vmap(f)(torch.ones(100, 3)).shape == (100,)
    assert calls == [(3,)]


def test_axes_and_structures():
    x, y = torch.randn(2, 3, 4), torch.randn(3)
    got = vmap(lambda d: {"s": d["a"] + d["b"], "t": (d["a"] * 2,)},
               in_dims=({"a": 1, "b": 0},), out_dims={"s": -1, "t": (1,)})({"a": x, "b": y})
    close(got["s"], (x + y[:, None]).permute(0, 2, 1))
    close(got["t"][0], x * 2)
    assert vmap(lambda a: torch.ones(2), out_dims=1)(x).shape == (2, 2)
    assert vmap(lambda a: (a, 5), out_dims=(0, None))(x)[1] == 5
    close(vmap(lambda a, *, k: a * k)(x, k=torch.tensor([1.0, 2.0])),
          x * torch.tensor([1.0, 2.0])[:, None, None])
    assert vmap(torch.sum)(torch.ones(0, 3)).shape == (0,)


def test_nesting():
    x, y = torch.randn(3, 4), torch.randn(5, 4)
    close(vmap(vmap(torch.dot, (None, 0)), (0, None))(x, y), x @ y.t())
    close(vmap(vmap(torch.dot, (0, None)), (None, 0), out_dims=1)(x, y), x @ y.t())
    close(vmap(vmap(vmap(lambda a, b: a * b)))(torch.ones(2, 3, 4), torch.ones(2, 3, 4)),
          torch.ones(2, 3, 4))
    z = torch.randn(3, 5, 4)
    close(vmap(lambda a: vmap(lambda b: (a[0] * b).sum())(a))(z), (z[:, :1] * z).sum(-1))


def test_chunks():
    x = torch.randn(10, 3)
    close(vmap(lambda a: a.cumsum(0), chunk_size=3)(x), x.cumsum(1))
    close(vmap(lambda a: a * 2, in_dims=1, out_dims=1, chunk_size=2)(x), x * 2)


def test_gradients_through_vmap():
    w = torch.randn(4, 3, requires_grad=True)
    b = torch.randn(3, requires_grad=True)
    x = torch.randn(6, 4, requires_grad=True)
    weight = torch.randn(6, 3)
    out = vmap(lambda v: torch.tanh(v @ w + b))(x)
    got = torch.autograd.grad(out, (w, b, x), weight, create_graph=True)
    want = torch.autograd.grad(torch.tanh(x @ w + b), (w, b, x), weight, create_graph=True)
    for a, c in zip(got, want, strict=True):
        close(a, c)
    second = [torch.autograd.grad(sum((g ** 2).sum() for g in gs), (w, b, x))
              for gs in (got, want)]
    for a, c in zip(*second, strict=True):
        torch.testing.assert_close(a, c, rtol=1e-4, atol=1e-5)


def test_a_result_that_is_the_same_for_all():
    w = torch.ones(3, requires_grad=True)
    out = vmap(lambda v: w * 2)(torch.zeros(5))
    assert out.shape == (5, 3)
    out.sum().backward()
    assert w.grad.tolist() == [10.0] * 3


def test_gradients_inside_vmap():
    w = torch.randn(3)
    x = torch.randn(5, 3)
    close(vmap(grad(lambda v: torch.sin(v * w).sum()))(x), torch.cos(x * w) * w)
    # one gradient per example, by a value that all share
    close(vmap(lambda v: grad(lambda u: torch.sin(v * u).sum())(w))(x), torch.cos(x * w) * x)
    close(vmap(grad(lambda u, v: (u * v).sum()), (None, 0))(w, x), x)
    outer = torch.randn(3, requires_grad=True)
    got = vmap(lambda v: grad(lambda u: (torch.sin(v * u) * outer).sum())(w))(x)
    got.sum().backward()
    close(outer.grad, (torch.cos(x * w) * x).sum(0))
    close(vmap(lambda v: vjp(torch.sin, v)[1](torch.ones(3))[0])(x), torch.cos(x))
    close(vmap(lambda v: jvp(torch.sin, (v,), (w,))[1])(x), torch.cos(x) * w)
    close(vmap(hessian(lambda v: (v ** 3).sum()))(x), torch.diag_embed(6 * x))


def test_jacobians_agree():
    def f(x, y):
        return torch.sin(x) @ y, {"p": (x ** 2).sum(), "q": y.exp()}

    x, y = torch.randn(2, 3), torch.randn(3, 2)
    a, b = jacrev(f, (0, 1))(x, y), jacfwd(f, (0, 1))(x, y)
    close(a[0][0], b[0][0])
    close(a[0][1], b[0][1])
    for k in "pq":
        close(a[1][k][0], b[1][k][0])
        close(a[1][k][1], b[1][k][1])
    assert a[0][0].shape == (2, 2, 2, 3)
    c = jacrev(f, (0, 1), chunk_size=1)(x, y)
    close(a[0][0], c[0][0])
    jac, aux = jacrev(lambda t: (t ** 2, t.sum()), has_aux=True)(x)
    jac2, aux2 = jacfwd(lambda t: (t ** 2, t.sum()), has_aux=True)(x)
    close(jac, jac2)
    close(aux, aux2)
    h = hessian(lambda t: (t.sin() * t.sum()).sum())(x)
    close(h, jacrev(jacrev(lambda t: (t.sin() * t.sum()).sum()))(x))
    w = torch.randn(3, requires_grad=True)
    jacrev(lambda t: t * w * w)(torch.ones(3)).sum().backward()
    close(w.grad, 2 * w.detach())


def test_random_numbers():
    x = torch.zeros(4, 3)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(lambda v: v + torch.randn(3))(x)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(torch.nn.functional.dropout)(x + 1)
    same = vmap(lambda v: v + torch.rand(3), randomness="same")(x)
    assert (same == same[0]).all()
    torch.manual_seed(0)
    different = vmap(lambda v: v + torch.randn(3), randomness="different")(x)
    torch.manual_seed(0)
    assert torch.equal(different, torch.randn(4, 3))
    kept = vmap(lambda v: torch.nn.functional.dropout(v, 0.5), randomness="different")(
        torch.ones(4, 100))
    assert not (kept == kept[0]).all() and set(kept.unique().tolist()) == {0.0, 2.0}
    kept = vmap(lambda v: torch.nn.functional.dropout(v, 0.5), randomness="same")(
        torch.ones(4, 100))
    assert (kept == kept[0]).all()
    nested = vmap(vmap(lambda v: torch.rand_like(v), randomness="different"),
                  randomness="same")(torch.zeros(2, 3, 4))
    assert (nested[0] == nested[1]).all() and not (nested[0, 0] == nested[0, 1]).all()
    assert vmap(lambda v: torch.zeros(2).normal_(), randomness="different")(x).unique().numel() == 8
    masks = vmap(lambda v: torch.bernoulli(v), randomness="different")(torch.full((50, 4), 0.5))
    assert not (masks == masks[0]).all()
    with pytest.raises(RuntimeError, match="no same random numbers"):
        vmap(torch.bernoulli, randomness="same")(torch.full((50, 4), 0.5))
    assert vmap(lambda v: torch.randint(0, 9, (2,)) + torch.randperm(2), randomness="different")(
        x).shape == (4, 2)


def test_in_place():
    x = torch.randn(4, 3)

    def f(v):
        out = torch.zeros_like(v)
        out[1:] += v[:2]
        out.mul_(2)
        v = v.clone()
        v[0] = 7
        return out, v

    a, b = vmap(f)(x)
    close(a[:, 1:], x[:, :2] * 2)
    assert (b[:, 0] == 7).all() and (b[:, 1:] == x[:, 1:]).all()
    outside = torch.zeros(3)
    with pytest.raises(RuntimeError, match="inplace arithmetic"):
        vmap(lambda v: outside.add_(v))(x)
    assert outside.tolist() == [0.0] * 3
    close(vmap(lambda v: v.mul_(2))(x.clone()), x * 2)


@pytest.mark.parametrize("f", [
    lambda v: v.sum().item(), lambda v: v if v.sum() > 0 else -v, lambda v: v[v > 0],
    lambda v: v.tolist(), lambda v: float(v.sum()), lambda v: v.numpy(), torch.nonzero])
def test_values_are_not_there(f):
    with pytest.raises(RuntimeError, match="vmap: It looks like"):
        vmap(f)(torch.randn(4, 3))
    close(vmap(torch.sin)(torch.ones(2)), torch.ones(2).sin())


def test_where_instead_of_if():
    x = torch.randn(4, 3)
    close(vmap(lambda v: torch.where(v.sum() > 0, v, -v))(x),
          torch.where(x.sum(1, keepdim=True) > 0, x, -x))


@pytest.mark.parametrize("call, text", [
    (lambda: vmap(torch.sin, in_dims=3)(torch.ones(2)), "in_dim=3"),
    (lambda: vmap(torch.sin, in_dims="x")(torch.ones(2)), "in_dim=x"),
    (lambda: vmap(torch.sin)(2.0), "non-Tensor"),
    (lambda: vmap(torch.add)(torch.ones(2), torch.ones(3)), "same size"),
    (lambda: vmap(torch.add, in_dims=(0,))(torch.ones(2), torch.ones(2)), "not compatible"),
    (lambda: vmap(torch.sin, in_dims=None)(torch.ones(2)), "at least one"),
    (lambda: vmap(lambda: torch.ones(1))(), "no inputs"),
    (lambda: vmap(lambda v: 5)(torch.ones(2)), "must only return Tensors"),
    (lambda: vmap(lambda v: v, out_dims=None)(torch.ones(2)), "can not return a BatchedTensor"),
    (lambda: vmap(lambda v: (v, v), out_dims=(0,))(torch.ones(2)), "not compatible")])
def test_errors(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_other_errors():
    with pytest.raises(IndexError, match="out of range"):
        vmap(lambda v: v, out_dims=2)(torch.ones(2))
    with pytest.raises(RuntimeError, match="randomness"):
        vmap(torch.sin, randomness="some")
    with pytest.raises(ValueError, match="chunk_size"):
        vmap(torch.sin, chunk_size=0)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        vmap(torch.mm)(torch.ones(2, 3, 4), torch.ones(2, 3, 4))


def test_forward_mode():
    x, v = torch.randn(3), torch.randn(3)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, v)
        out = torch.sin(dual) * dual
        primal, tangent = forward_ad.unpack_dual(out)
        close(primal, torch.sin(x) * x)
        close(tangent, (torch.cos(x) * x + torch.sin(x)) * v)
        assert not tangent.requires_grad and not primal.requires_grad
        close(forward_ad.unpack_dual(dual).tangent, v)
        assert forward_ad.unpack_dual(x).tangent is None
        y = torch.zeros(3)
        other = forward_ad.make_dual(y, torch.ones(3))
        other.add_(dual)
        close(forward_ad.unpack_dual(other).tangent, 1 + v)
    assert forward_ad.unpack_dual(out).tangent is None
    with pytest.raises(RuntimeError, match="no level exists"):
        forward_ad.make_dual(x, v)
    with pytest.raises(RuntimeError, match="Trying to exit"):
        forward_ad.exit_dual_level()
    with forward_ad.dual_level():
        with pytest.raises(RuntimeError, match="Nested"):
            forward_ad.enter_dual_level()
        with pytest.raises(ValueError, match="floating point"):
            forward_ad.make_dual(torch.ones(2, dtype=torch.int64), torch.ones(2))
        with pytest.raises(RuntimeError, match="shape"):
            forward_ad.make_dual(x, torch.ones(2))


def test_forward_over_reverse():
    x, v = torch.randn(3), torch.randn(3)
    x.requires_grad_()
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, v)
        (g,) = torch.autograd.grad((dual ** 3).sum(), dual, create_graph=True)
        close(forward_ad.unpack_dual(g).tangent.detach(), (6 * x * v).detach())


def test_jvp_of_what_cannot_be_differentiated():
    x, v = torch.randn(3), torch.ones(3)
    out, along = jvp(lambda t: (t.argmax(), t * 2), (x,), (v,))
    assert along[0].item() == 0 and along[1].tolist() == [2.0] * 3
    with pytest.raises(ValueError, match="floating"):
        jvp(torch.neg, (torch.ones(2, dtype=torch.int64),), (torch.ones(2),))
    with pytest.raises(RuntimeError, match="same python structure"):
        jvp(torch.add, (x, x), (v,))
    with pytest.raises(RuntimeError, match="a tangent of shape"):
        jvp(torch.sin, (x,), (torch.ones(2),))
    with pytest.raises(RuntimeError, match="only tensors"):
        jvp(lambda t: 5, (x,), (v,))


def test_gradcheck_in_all_modes():
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    z = torch.randn(2, dtype=torch.complex128, requires_grad=True)
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        forward = "check_forward_ad" if check is torch.autograd.gradcheck else "check_fwd_over_rev"
        assert check(lambda t: torch.softmax(t, 1) * t, (x,), check_batched_grad=True,
                     **{forward: True})
        assert check(lambda t: (t * t.conj() * t).abs(), (z,), **{forward: True})

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, t):
            return t * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    with pytest.raises(RuntimeError, match="by forward mode"):
        torch.autograd.gradcheck(Wrong.apply, (x,), check_backward_ad=False, check_forward_ad=True)


def test_batches_of_gradients():
    x = torch.randn(3, requires_grad=True)
    y = torch.sin(x) * x.sum()
    weights = torch.randn(5, 3)
    (got,) = torch.autograd.grad(y, x, weights, retain_graph=True, is_grads_batched=True)
    want = torch.stack([torch.autograd.grad(y, x, w, retain_graph=True)[0] for w in weights])
    close(got, want)
    with pytest.raises(RuntimeError, match="first axis"):
        torch.autograd.grad(y, x, torch.tensor(1.0), is_grads_batched=True)

    def f(a, b):
        return a.sin() * b.sum(), (a * b).sum()

    args = torch.randn(3), torch.randn(3)
    slow = torch.autograd.functional.jacobian(f, args)
    fast = torch.autograd.functional.jacobian(f, args, vectorize=True)
    for row, other in zip(slow, fast, strict=True):
        for a, b in zip(row, other, strict=True):
            close(a, b)
    close(torch.autograd.functional.hessian(lambda t: (t ** 3).sum(), args[0], vectorize=True),
          torch.diag(6 * args[0]))
