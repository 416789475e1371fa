"""Plans that follow from those of other sizes: the same bits as the interpreter gives."""

import random

import pytest

import flambeau as torch
from flambeau.base import flags
from flambeau.runtime import families, plan
from flambeau.schedule.sizes import Size, Table, Tape, Unlike, union

F = torch.nn.functional
torch.manual_seed(0)
X, IMAGES = torch.randn(1400, 16), torch.randn(300, 3, 9, 9)
LABELS, ROWS = torch.randint(0, 16, (1400,)), torch.randint(0, 50, (1400,))
W, B, TABLE = torch.randn(16, 16), torch.randn(16), torch.randn(50, 16)
CONV, ATTENTION = torch.nn.Conv2d(3, 4, 3), torch.nn.MultiheadAttention(16, 4, batch_first=True)
#: sizes at which something is decided in another way are among them
SIZES = [1000, 3, 7, 9, 11, 1, 2, 5, 8, 10, 16, 17, 33, 64, 100, 511, 512, 513, 700, 1300, 0, 12]


def _gradients(n):
    w = W.clone().requires_grad_()
    F.cross_entropy(torch.tanh(X[:n] @ w), LABELS[:n]).backward()
    return w.grad


def _table_gradient(n):
    table = TABLE.clone().requires_grad_()
    (F.embedding(ROWS[:n], table) ** 2).sum().backward()
    return table.grad


def _training(n):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 16))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(model(X[:n]), LABELS[:n]).backward()
        optimizer.step()
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def _in_place(n):
    z = torch.zeros(n, 16)
    z += X[:n]
    z[:, 2] = 1.5
    return z.mul_(2).sum(0)


PROGRAMS = {
    "linear": lambda n: F.linear(X[:n], W, B).relu().sum(),
    "softmax": lambda n: torch.softmax(X[:n] @ W, 0),
    "layer norm": lambda n: F.layer_norm(X[:n] * 2, (16,), B, B),
    "sums": lambda n: torch.stack([X[:n].sum(), X[:n].mean(), X[:n].abs().max()])
    if n else X[:0].sum(),
    "columns": lambda n: (X[:n] - X[:n].mean(0)) / (X[:n].var(0, unbiased=False) + 1).sqrt(),
    "transposed": lambda n: (X[:n].t() @ X[:n]).exp(),
    "outer": lambda n: (X[:n, 0, None] * X[:n, 1]).sum(1),
    "joined": lambda n: torch.cat([X[:n], X[:n] * 2, torch.ones(n, 16)]).cumsum(0),
    "rows": lambda n: F.embedding(ROWS[:n], TABLE).relu().sum(0),
    "picked": lambda n: X[:n][:, [0, 3, 5]].sum(1) + X[ROWS[:n]].sum(1),
    "flipped": lambda n: X[:n].flip(0) * torch.arange(n, dtype=torch.float32)[:, None],
    "padded": lambda n: F.pad(X[:n], (1, 2, 3, 0)).sum(0),
    "half": lambda n: (X[:n].to(torch.bfloat16) @ W.to(torch.bfloat16)).float(),
    "chosen": lambda n: torch.where(X[:n] > 0, X[:n], X[:n].sum(1, keepdim=True)),
    "images": lambda n: F.max_pool2d(CONV(IMAGES[:min(n, 300)]).relu(), 3),
    "attention": lambda n: ATTENTION(*[X[:n // 2 * 2].reshape(n // 2, 2, 16)] * 3)[0],
    "sorted": lambda n: X[:n].sort(0)[0] + X[:n].topk(3, 1)[0].sum(),
    "gradients": _gradients, "table gradient": _table_gradient, "training": _training,
    "in place": _in_place,
}


def _bytes(program, n):
    try:
        out = program(n).detach().numpy()
    except (RuntimeError, ValueError, IndexError) as error:
        return type(error)
    return out.shape, out.tobytes()


@pytest.mark.parametrize("name", PROGRAMS)
def test_sizes_give_the_interpreters_bits(name, monkeypatch):
    found = []
    make = plan.from_family
    monkeypatch.setattr(families, "planner", plan)
    monkeypatch.setattr(families, "patience", lambda graph: 2)
    monkeypatch.setattr(plan, "from_family", lambda *args: found.append(make(*args)) or found[-1])
    program = PROGRAMS[name]
    later = random.Random(name).sample(SIZES[3:], len(SIZES) - 3)
    for n in SIZES[:3] + later:
        with flags.override(follow=0):
            got = _bytes(program, n)
        with flags.override(tier="0"):
            assert got == _bytes(program, n), n
    assert sum(p is not None for p in found) >= 8


def test_a_tape_gives_other_sizes_numbers():
    tape = Tape([6, 4])
    a, b = tape.inputs
    rows = (a * b + 3) // 5 - b % 3
    assert rows.value == (6 * 4 + 3) // 5 - 4 % 3 and a > b and 1 * a is a
    lines = tape.source({rows.name})

    def again(x, y):
        names = {}
        text = "".join(f"    {line}\n" for line in lines)
        exec(f"def f(s0, s1):\n{text}    return {rows.name}", names)
        return names["f"](x, y)

    assert again(6, 4) == rows.value and again(70, 9) == (70 * 9 + 3) // 5
    assert again(4, 6) is None  # a > b came out otherwise


def test_sizes_are_no_keys():
    size = Tape([7]).inputs[0]
    with pytest.raises(Unlike):
        hash(size)
    with pytest.raises(Unlike):
        range(size)
    table = Table()
    table["a", size] = 1
    table["a", 8] = 2
    assert table.get(("a", 7)) == 1 and table.get(("a", 8)) == 2 and table.get(("b", 7)) is None
    assert union([size, 7, 3], [3, 5]) == [size, 3, 5] and isinstance(size + 0, Size)
