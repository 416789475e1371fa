"""The parts of complex numbers, and pairs of reals as complex ones, are views of one memory."""

import copy
import io

import pytest

import flambeau

torch = pytest.importorskip("torch")


def written_parts(t):
    c = t.zeros(3, dtype=t.complex64)
    pairs = t.view_as_real(c)
    pairs[0, 0] = 5.0
    c.real[1] = 2.0
    c.imag = t.ones(3)
    c.mul_(2)
    return c, pairs, c.real, c.imag


def written_pairs(t):
    pairs = t.arange(8.0).view(4, 2)
    z = t.view_as_complex(pairs)
    z.mul_(1j)
    pairs[0] = 7
    z.real.zero_()
    return pairs, z


def odd_number_of_reals(t):
    memory = t.arange(7.0)
    z = t.view_as_complex(memory[:6].view(3, 2))
    z.add_(1 + 1j)
    return memory, z


def through_numpy(t):
    c = t.zeros(3, dtype=t.complex128)
    array = c.real.numpy()
    array[0] = 42
    c.add_(1)
    pairs = t.zeros(2, 2)
    t.view_as_complex(pairs).numpy()[0] = 3 + 4j
    return c, t.from_numpy(array), pairs


def copies_share(t):
    c = t.ones(3, dtype=t.complex64)
    c, real = copy.deepcopy((c, c.real))
    real[1] = -1
    return c, real


def files(t):
    c = t.tensor([1 + 2j, 3 + 4j])
    file = io.BytesIO()
    t.save({"imag": c.imag, "pairs": t.view_as_real(c)}, file)
    file.seek(0)
    loaded = t.load(file)
    loaded["pairs"].mul_(10)
    return loaded["imag"], loaded["pairs"]


def gradients(t):
    a = t.arange(12.0).view(3, 4).to(t.complex128).requires_grad_()
    b = a * (1 + 2j)
    b.real.mul_(3)
    b.imag[0].add_(1)
    (b * b.conj()).real.sum().backward()
    return a.grad


def gradients_of_another_order(t):
    a = t.arange(12.0).view(3, 4).to(t.complex128).requires_grad_()
    b = a.t() * 2
    t.view_as_real(b)[..., 0].mul_(t.arange(4.0)[:, None])
    (b.abs() ** 2).sum().backward()
    return a.grad, b


def gradients_of_pairs(t):
    w = t.arange(24.0).view(3, 4, 2).requires_grad_()
    y = w * 1
    z = t.view_as_complex(y)
    z.mul_(2j)
    z[1].add_(1)
    y.mul_(y.detach().clone())
    (y.sum() + z.real.sum()).backward()
    return w.grad


def trained(t):
    p = t.nn.Parameter(t.tensor([1 + 1j, 2 - 1j]))
    optimizer = t.optim.Adam([p], lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        (p * p.conj()).real.sum().backward()
        optimizer.step()
    return p


def in_a_loop(t):
    z = t.zeros(3, dtype=t.complex64)
    for i in range(8):
        z.real.add_(i)
        z.imag.sub_(z.real)
    return z


def mapped(t):
    z = t.tensor([[1 + 2j, 3 + 4j], [5 + 6j, 7 + 8j]])
    return t.vmap(lambda x: x.real + x.imag)(z), \
        t.vmap(lambda x: t.view_as_complex(x) * 1j)(t.view_as_real(z))


PROGRAMS = [written_parts, written_pairs, odd_number_of_reals, through_numpy, copies_share, files,
            gradients, gradients_of_another_order, gradients_of_pairs, trained, in_a_loop, mapped]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_as_torch(program):
    def facts(module):
        out = program(module)
        out = out if isinstance(out, tuple) else (out,)
        return [(x.detach().resolve_conj().tolist(), tuple(x.stride()), x.storage_offset(),
                 str(x.dtype)) for x in out]

    ours, theirs = facts(flambeau), facts(torch)
    for (a, *rest), (b, *expected) in zip(ours, theirs, strict=True):
        assert rest == expected
        assert flambeau.allclose(flambeau.tensor(a), flambeau.tensor(b), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [
    lambda t: t.view_as_complex(t.zeros(5, 7)[:, :2]),
    lambda t: t.view_as_complex(t.zeros(7)[1:].view(3, 2)),
    lambda t: t.view_as_complex(t.zeros(3, 1).expand(3, 2)),
    lambda t: t.view_as_complex(t.zeros(3, 3)),
    lambda t: t.view_as_real(t.ones(2)),
    lambda t: t.save([(c := t.ones(2, dtype=t.complex64)), c.real], io.BytesIO()),
])
def test_refused_as_by_torch(make):
    with pytest.raises(RuntimeError) as theirs:
        make(torch)
    with pytest.raises(RuntimeError) as ours:
        make(flambeau)
    assert str(ours.value).startswith(str(theirs.value))


def test_second_derivatives():
    def function(x):
        b = x * 1
        b.real.mul_(x.imag)
        t = flambeau.view_as_real(b)
        t[0] = t[0] * 2
        return b

    x = flambeau.randn(3, dtype=flambeau.complex128, requires_grad=True)
    assert flambeau.autograd.gradcheck(function, (x,))
    assert flambeau.autograd.gradgradcheck(function, (x,))
