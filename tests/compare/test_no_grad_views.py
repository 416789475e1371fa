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


def test_in_place_views_count_as_writes():
    def versions(module):
        x = module.zeros(2, 3)
        found = []
        for change in (lambda: x.t_(), lambda: x.unsqueeze_(0), lambda: x.squeeze_(),
                       lambda: x.transpose_(0, 1), lambda: x.add_(1)):
            change()
            found.append(x._version)
        saved = module.zeros(2, 3, requires_grad=True).clone()
        square = saved ** 2
        saved.t_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            square.sum().backward()
        turned = module.ones(2, 3, requires_grad=True)
        y = turned.clone()
        first = y[0]
        y.t_()
        y.mul_(2)
        (y.sum() + first.sum()).backward()
        return found, turned.grad.tolist()

    assert versions(flambeau) == versions(torch)


def test_post_accumulate_hooks_return_nothing():
    for module in (flambeau, torch):
        for value, error in ((module.ones(1), RuntimeError), (3, TypeError)):
            x = module.ones(2, requires_grad=True)
            x.register_post_accumulate_grad_hook(lambda p, value=value: value)
            with pytest.raises(error):
                (x * 2).sum().backward()
    x = flambeau.ones(2, requires_grad=True)
    assert (x * 2).grad_fn.next_functions[0][0].name() == "torch::autograd::AccumulateGrad"
