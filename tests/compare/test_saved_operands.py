"""Which operations refuse, in backward, an operand that was written after them."""

import pytest

import flambeau

torch = pytest.importorskip("torch")

INDEX = [[0, 1], [1, 0], [2, 2]]
FUNCTIONS = {
    "gather": lambda t, y: y.gather(1, t.tensor(INDEX)),
    "take": lambda t, y: y.take(t.tensor(INDEX)),
    "take_along_dim": lambda t, y: t.take_along_dim(y, t.tensor(INDEX), 1),
    "index_select": lambda t, y: y.index_select(1, t.tensor([0])),
    "masked_select": lambda t, y: y.masked_select(t.ones(3, 4, dtype=t.bool)),
    "masked_fill": lambda t, y: y.masked_fill(y > 0, 0),
    "nll_loss": lambda t, y: t.nn.functional.nll_loss(y, t.tensor([0, 1, 2])),
    "cross_entropy": lambda t, y: t.nn.functional.cross_entropy(y, t.tensor([0, 1, 2])),
    "scatter": lambda t, y: y.scatter(1, t.tensor(INDEX), 0.0),
    "sort": lambda t, y: y.sort()[0], "amax": lambda t, y: y.amax(1),
    "softmax": lambda t, y: y.softmax(0), "exp": lambda t, y: y.exp(),
    "log": lambda t, y: y.abs().log(), "square": lambda t, y: y ** 2, "relu": lambda t, y: y.relu(),
    "matmul": lambda t, y: y @ t.ones(4, 2), "mean": lambda t, y: y.mean(),
    "var": lambda t, y: y.var(), "cumsum": lambda t, y: y.cumsum(0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_torch(name):
    def refused(module):
        y = module.randn(3, 4, requires_grad=True) * 1
        out = FUNCTIONS[name](module, y)
        with module.no_grad():
            y.mul_(2)
        try:
            out.sum().backward()
        except RuntimeError as error:
            return "modified by an inplace operation" in str(error)
        return False

    assert refused(flambeau) == refused(torch)


@pytest.mark.parametrize("function", [
    lambda x: x.pow(1), lambda x: x.real, lambda x: x.clone(), lambda x: x * 1,
    lambda x: x.t().reshape(2, 6), lambda x: flambeau.where(x > 9, 0.0, x)])
def test_results_of_shared_memory_are_their_own(function):
    x = flambeau.ones(3, 4)
    array = x.numpy()
    y = function(x)
    is_itself = y is x
    array[0] = 7
    assert is_itself or (y == 1).all()
