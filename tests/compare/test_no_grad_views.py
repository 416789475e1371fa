"""What views made under no_grad say about gradients, and what may be done with them."""

import pytest

import flambeau

torch = pytest.importorskip("torch")

VIEWS = {
    "slice": lambda x: x[1:], "view": lambda x: x.view(3), "expand": lambda x: x.expand(2, 3),
    "unbind": lambda x: x.unbind()[0], "detach": lambda x: x.detach(),
    "of a view": lambda x: x[1:][:1],
    "data": lambda x: x.data[1:], "copy": lambda x: x * 1,
}


def look(module, name, leaf: bool):
    x = module.arange(3.0).requires_grad_()
    if not leaf:
        x = x * 2
    with module.no_grad():
        view = VIEWS[name](x)
    out = view * 3
    facts = [view.requires_grad, view.grad_fn is None, view.is_leaf, out.requires_grad]
    try:
        view.add_(1)
        facts.append("written")
    except RuntimeError as error:
        facts.append(str(error)[:60])
    return facts


@pytest.mark.parametrize("leaf", [True, False])
@pytest.mark.parametrize("name", VIEWS)
def test_as_torch(name, leaf):
    assert look(flambeau, name, leaf) == look(torch, name, leaf)


def test_gradients_end_at_such_a_view():
    x = flambeau.ones(3, requires_grad=True)
    with flambeau.no_grad():
        view = x[1:]
    (view * 2).sum().backward()
    assert x.grad is None and view.grad is None
