"""Nothing is kept alive that the program has let go of."""

import gc
import weakref

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.base import flags
from flambeau.ir import node as ir
from flambeau.tensor.storage import Storage


def live():
    """How many tensors, nodes, storages and tape entries there are once nothing is pending."""
    (torch.ones(1) + 1).item()
    gc.collect()
    found = gc.get_objects()
    tensors = sum(1 for x in found if issubclass(type(x), torch.Tensor))
    others = [sum(1 for x in found if type(x) is kind) for kind in (ir.Node, Storage)]
    grad_fns = sum(1 for x in found if type(x).__name__.endswith("Backward0"))
    return [tensors, *others, grad_fns]


def grown(before, after, traces=2):
    """Whether there is more than before; a recorded trace remembers its (empty) tape, and the last
    run its tensors."""
    *things, tape = (b - a for a, b in zip(before, after, strict=True))
    return max(things) > 16 or tape > 4 * 20 * traces


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.1),
                                  nn.Linear(16, 3))

    def forward(self, x):
        return self.body(x)


def trainer(momentum=0.9):
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=momentum)

    def step(read=True):
        x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item() if read else loss

    return model, step


@pytest.mark.parametrize("read", [True, False])
def test_steps_do_not_grow(read):
    _, step = trainer()
    for _ in range(40):
        step(read)
    before = live()
    for _ in range(300):
        step(read)
    after = live()
    assert not grown(before, after), (before, after)


def test_steps_of_changing_shapes_do_not_grow():
    torch.manual_seed(0)
    model = Model()

    def step(n):
        loss = model(torch.randn(n, 6)).square().mean()
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.01 * p.grad
                p.grad = None
        return loss.item()

    for n in range(80):  # a recorded trace for each shape remains
        step(1 + n % 10)
    before = live()
    for n in range(300):
        step(1 + n % 10)
    after = live()
    assert not grown(before, after, 10), (before, after)


def test_a_deleted_model_is_freed_once_another_loop_has_begun():
    model, step = trainer()
    for _ in range(10):
        step()
    gone = [weakref.ref(p) for p in model.parameters()]
    memory = [weakref.ref(p.storage) for p in model.parameters()]
    del model, step
    _, other = trainer()
    for _ in range(10):
        other()
    gc.collect()
    assert not any(ref() is not None for ref in gone)
    assert not any(ref() is not None for ref in memory)


@pytest.mark.parametrize("warm", [0, 12])
def test_a_running_total_keeps_no_graph_alive(warm):
    model, step = trainer()
    for _ in range(warm):
        step()
    total = torch.zeros(())
    x = torch.randn(8, 6)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    kept = []
    for i in range(60):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        total += loss
        if i in (29, 59):
            kept.append(live())
    tensors, nodes, storages, tape = np.subtract(kept[1], kept[0])
    assert tensors <= 4 and storages <= 4 and nodes <= 4, kept
    # the tape of the sum itself may grow by an addition a step, with what it still points to
    assert tape <= 30 * 12, kept
    assert np.isfinite(total.item())


def test_a_sum_of_losses_frees_each_graph():
    model, _ = trainer()
    x = torch.randn(8, 6)
    total = 0
    refs = []
    for _ in range(8):
        hidden = model.body[0](x)
        refs.append(weakref.ref(hidden))
        loss = hidden.square().mean()
        loss.backward()
        total += loss
        del hidden, loss
        model.zero_grad()
        assert total.item() > 0
        gc.collect()
        assert sum(ref() is not None for ref in refs) <= 1, "at most the last step is remembered"


def test_an_exception_keeps_nothing_when_it_is_gone():
    model, step = trainer()
    for _ in range(6):
        step()
    before = live()
    for _ in range(20):
        with pytest.raises(RuntimeError):
            model(torch.zeros(2, 5))
    after = live()
    assert not grown(before, after), (before, after)


@pytest.mark.parametrize("function", [
    lambda t: torch.linalg.multi_dot([t, t, t]), lambda t: torch.einsum("ij,jk->ik", t, t),
    lambda t: torch.stack([t, t]), lambda t: t.sort()[0]])
def test_operands_are_freed_without_the_collector(function, monkeypatch):
    monkeypatch.setattr(flags.values, "follow", False)  # a followed trace remembers its last run
    (torch.ones(1) + 1).item()
    x = torch.ones(4, 4)
    alive = weakref.ref(x)
    gc.disable()
    try:
        y = function(x)
        del x
        y.sum().item()
        assert alive() is None
    finally:
        gc.enable()
