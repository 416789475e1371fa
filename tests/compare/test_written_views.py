"""Gradients where a view is written whose base is not row-major."""

import pytest

import flambeau

torch = pytest.importorskip("torch")


def rows(t, w):
    y = w.t() * 2
    y[0].mul_(3)
    return y


def columns(t, w):
    y = w.t() * 2
    y[1:3].add_(w.t()[0])
    y.select(1, 2).mul_(w[0])
    return y


def of_a_view_of_a_view(t, w):
    y = w.t().sin()
    view = y[1:][:, ::2]
    view.sub_(w.t()[1:, ::2])
    return y + view.sum()


def like_another(t, w):
    y = t.zeros_like(w.t())
    y[2] = w[:, 1]
    y[:, 0].add_(w[1])
    return y


def offset(t, w):
    y = t.zeros(20)[3:15].view(3, 4)
    y[1:, 2] = w[1:, 0] * w[0, :2]
    return y


@pytest.mark.parametrize("program", [rows, columns, of_a_view_of_a_view, like_another, offset],
                         ids=lambda f: f.__name__)
@pytest.mark.parametrize("second", [False, True])
def test_as_torch(program, second):
    def gradient(module):
        w = (module.arange(12.0, dtype=module.float64).view(3, 4) / 7).requires_grad_()
        y = program(module, w)
        loss = (y * y * module.arange(float(y.numel())).view(y.shape)).sum()
        (g,) = module.autograd.grad(loss, w, create_graph=second)
        if second:
            (g,) = module.autograd.grad((g * g).sum(), w)
        return g.tolist(), y.stride()

    (ours, strides), (theirs, expected) = gradient(flambeau), gradient(torch)
    assert strides == expected
    assert flambeau.allclose(flambeau.tensor(ours), flambeau.tensor(theirs))
