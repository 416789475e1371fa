"""Which operations refuse, in backward, an operand or a result that was written after them: those
of PyTorch, for every declared call."""

import pytest
from flambeau.ir.api import API
from flambeau.testing.op_cases import Call, Maker, cases, converted, flat, function, labels

import flambeau

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")

#: not as PyTorch: why
APART = {
    "nn.functional.scaled_dot_product_attention": "PyTorch keeps scaled copies of query and key",
    "vander": "PyTorch writes the powers in place",
    "nn.functional.dropout3d": "PyTorch's result of a probability of 0 is a view",
    "igamma": "no derivative", "igammac": "no derivative",
}


class Made:
    """The tensors of a call, those of floats (or those whose numbers are listed) on the tape."""

    def __init__(self, module, needs):
        self.module, self.needs, self.tensors, self.floats = module, needs, [], []

    def argument(self, x):
        if isinstance(x, (tuple, list)):
            return type(x)(self.argument(y) for y in x)
        if not hasattr(x, "requires_grad"):
            return converted(x, self.module)
        t = converted(x.detach(), self.module)
        number = len(self.tensors)
        if t.is_floating_point() or t.is_complex():
            self.floats.append(number)
            if self.needs is None or number in self.needs:
                t = t.requires_grad_().clone()
        self.tensors.append(t)
        return t

    def call(self, label: str, number: int):
        call = cases(label, Maker(flambeau))[number]
        call = Call(self.argument(call.args), {k: self.argument(v) for k, v in call.kwargs.items()})
        self.module.manual_seed(0)
        return flat(function(self.module, label)(*call.args, **call.kwargs))


def refused(module, label, number, needs, write):
    """Whether backward refuses that ``write`` ("operand" or "result", number) was written; None
    where that cannot be said."""
    made = Made(module, needs)
    try:
        results = [x for x in made.call(label, number) if hasattr(x, "requires_grad")]
    except Exception:  # noqa: BLE001  (no call of PyTorch, or nothing to see here)
        return None
    wanted = [x for x in results if x.requires_grad]
    table = made.tensors if write[0] == "operand" else results
    if not wanted or write[1] >= len(table) or any(r is t for r in wanted for t in made.tensors):
        return None
    try:
        with module.no_grad():
            table[write[1]].copy_(table[write[1]].clone())
    except RuntimeError:  # an expanded result
        return None
    try:
        module.autograd.backward(wanted, [module.ones_like(x) for x in wanted])
    except RuntimeError as error:
        return "modified by an inplace operation" in str(error)
    return False


@pytest.mark.parametrize("label", labels())
def test_as_torch(label):
    if function(torch, label) is None or label in APART:
        pytest.skip(APART.get(label, "PyTorch has no such function"))
    for number in range(len(cases(label, Maker(flambeau)))):
        made = Made(flambeau, None)
        made.argument(cases(label, Maker(flambeau))[number].args)
        alone = [(k,) for k in made.floats] if len(made.floats) > 1 else []
        for needs in (None, *alone):
            for write in [("operand", k) for k in range(len(made.tensors))] + [
                    ("result", k) for k in range(3)]:
                theirs = refused(torch, label, number, needs, write)
                if theirs is not None:
                    ours = refused(flambeau, label, number, needs, write)
                    assert ours is theirs, (number, needs, write)


def test_other_operations():
    """Reflected division computes as PyTorch does: what it divides by may be written."""
    for module in (flambeau, torch):
        y = module.ones(3, requires_grad=True) * 2
        out = 3 / y
        with module.no_grad():
            y.mul_(2)
        out.sum().backward()
        assert type(out.grad_fn).__name__ == "MulBackward0"


def test_guarded_by_what_is_not_kept():
    """An operand whose value no rule reads is refused with its line and its operation's name."""
    x = flambeau.ones(1, 1, 4, requires_grad=True) * 1
    out = flambeau.nn.functional.avg_pool1d(x, 2)
    x.add_(1)
    with pytest.raises(RuntimeError, match=r"output 0 of MulBackward0, is at version 1; expected"):
        out.sum().backward()
    assert API["avg_pool1d"].functional


def test_in_place_forms_keep_a_copy():
    for module in (flambeau, torch):
        x = module.full((3,), 0.5, requires_grad=True)
        y = (x * 1).erfinv_()
        y.sum().backward()
        assert x.grad is not None
        z = (x * 1).pow_(module.ones(3, requires_grad=True))
        with module.no_grad():
            z.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.sum().backward()


def test_saved_tensors_hooks_see_what_is_guarded():
    for module in (flambeau, torch):
        seen = []
        with module.autograd.graph.saved_tensors_hooks(
                lambda t, seen=seen: seen.append(tuple(t.shape)) or t, lambda t: t):
            x = module.ones(1, 1, 4, requires_grad=True) * module.ones(1, 1, 4)
            module.nn.functional.avg_pool2d(x[None], (1, 2)).sum().backward()
        assert (1, 1, 1, 4) in seen


@pytest.mark.parametrize("again", [False, True])
def test_values_of_operands_that_may_be_written(again):
    """Where PyTorch keeps a copy, the gradient is that of the values at the time."""
    grads = []
    for module in (flambeau, torch):
        x = module.tensor([[3.0, 0.0], [1.0, 2.0]], requires_grad=True)
        y = x * 1
        s = module.linalg.svdvals(y)
        with module.no_grad():
            y.mul_(5)
        (g,) = module.autograd.grad(s.sum(), x, create_graph=again)
        if again:
            (g,) = module.autograd.grad(g.square().sum(), x)
        grads.append(g.detach().numpy())
    assert abs(grads[0] - grads[1]).max() < 1e-5


def test_guards_of_walked_functions():
    x = flambeau.ones(1, 1, 4, requires_grad=True) * 1
    out = flambeau.nn.functional.avg_pool1d(x, 2).sum()
    out.backward()
    with pytest.raises(RuntimeError, match="a second time"):
        out.backward()


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


@pytest.mark.parametrize("looked", [False, True])
def test_steps_that_were_followed_refuse_too(looked):
    """Also where the loss was looked at before backward, so that the step had ended."""
    functional = flambeau.nn.functional
    flambeau.manual_seed(0)
    conv = flambeau.nn.Conv1d(1, 4, 3)
    optimizer = flambeau.optim.SGD(conv.parameters(), 0.01)
    x = flambeau.randn(2, 1, 12)
    for i in range(15):
        optimizer.zero_grad()
        h = conv(x)
        loss = functional.avg_pool1d(h, 2).square().mean()
        if looked:
            loss.item()
        if i == 14:
            with flambeau.no_grad():
                h.mul_(2)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                loss.backward()
            break
        loss.backward()
        optimizer.step()
        loss.item()
