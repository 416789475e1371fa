"""Views that were made without gradients, and several views of one call, take no history on."""

import pytest

import flambeau
import flambeau.base.flags

torch = pytest.importorskip("torch")


def _turned(T, w):
    with T.no_grad():
        v = T.zeros(2, 3).t()
    v.copy_(T.ones(3, 2) * w[:, None])


def _row(T, w):
    base = T.zeros(2, 3)
    with T.no_grad():
        v = base[0]
    v.mul_(w)


def _copy_turned(T, w):
    with T.no_grad():
        v = T.zeros(2, 3).t().contiguous().t()
    v.index_copy_(0, T.tensor([0]), w[None])


def _view_of_such_a_view(T, w):
    with T.no_grad():
        v = T.zeros(2, 3).t()
    v.t().mul_(w)


def _part_of_such_a_view(T, w):
    with T.no_grad():
        v = T.zeros(2, 3).t()
    v[0] = w[:2]


def _without_history(T, w):
    with T.no_grad():
        v = T.zeros(4, 3).t()
    v[0].mul_(2)
    v.add_(1)
    v.copy_(T.ones(3, 4))


def _within(T, w):
    with T.no_grad():
        v = T.zeros(4, 3).t()
        v.mul_(w[:, None])


def _detached(T, w):
    with T.no_grad():
        v = T.zeros(2, 3).detach()
    v.mul_(w)


def _made_with_gradients(T, w):
    T.zeros(2, 3)[0].mul_(w)


def _one_of_several(T, w):
    T.zeros(2, 3).unbind(0)[0].mul_(w)


def _split(T, w):
    T.zeros(4, 3).split(2)[1].mul_(w)


def _several_without_history(T, w):
    T.zeros(2, 3).unbind(0)[0].mul_(2)


def _several_with_history(T, w):
    (T.ones(2, 3) * w).unbind(0)[0].mul_(2)


def _rows(T, w):
    for row in T.zeros(2, 3):
        row.mul_(w)


def _rows_without_history(T, w):
    for row in T.zeros(2, 3):
        row.mul_(2)


@pytest.mark.parametrize("write", [f for name, f in list(globals().items())
                                   if name.startswith("_") and callable(f)
                                   and getattr(f, "__module__", "") == __name__],
                         ids=lambda f: f.__name__)
def test_they_are_refused_where_pytorch_refuses(write):
    answers = []
    for T in (torch, flambeau):
        try:
            write(T, T.ones(3, requires_grad=True))
            answers.append("")
        except RuntimeError as error:
            answers.append("view" if "view" in str(error) else str(error))
    assert answers[0] == answers[1]


def test_a_followed_step_notices_such_a_view():
    refused = []
    with flambeau.base.flags.override(tier="1"):
        w = flambeau.ones(3, requires_grad=True)
        for i in range(12):
            with flambeau.set_grad_enabled(i not in (9, 10)):
                v = flambeau.zeros(2, 3)[0]
            try:
                v.mul_(w)
                v.sum().backward()
            except RuntimeError as error:
                assert "no_grad" in str(error)
                refused.append(i)
            w.grad = None
    assert refused == [9, 10]
