"""Files go both ways between PyTorch and us: values, dtypes, strides, sharing, containers."""

import collections
import io

import pytest

import flambeau
from flambeau import nn

torch = pytest.importorskip("torch")
DTYPES = ("bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 bfloat16 float32 float64 "
          "complex64 complex128").split()


def things(m, nn):
    base = m.arange(6.0)
    return {
        "plain": [3, 0.25, "run", True, None, -5, 2 ** 70, 1j, b"ab", "x" * 300, (1, (2, 3))],
        "sets": {1, 2}, "ordered": collections.OrderedDict(b=1, a=2),
        "dtypes": {d: m.tensor([0, 1], dtype=getattr(m, d)) for d in DTYPES},
        "scalar": m.tensor(2.5), "empty": m.zeros(0, 3), "leaf": m.ones(2, requires_grad=True),
        "parameter": nn.Parameter(m.zeros(2)),
        "frozen": nn.Parameter(m.zeros(2), requires_grad=False),
        "transposed": m.arange(6).reshape(2, 3).t(), "shared": [base, base[:2], base[3:]],
        "size": m.Size([1, 2]), "dtype": m.float32, "device": m.device("cpu"),
        "meta": m.empty(2, 3, device="meta"),
    }


def shown(value):
    """What two libraries can compare."""
    if hasattr(value, "stride"):
        data = None if value.device.type == "meta" else value.tolist()
        return (type(value).__name__, str(value.dtype), tuple(value.shape), tuple(value.stride()),
                value.requires_grad, data)
    if isinstance(value, dict):
        return {k: shown(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [shown(v) for v in value]
    return type(value).__name__, str(value)


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize(("source", "target"), [
    (flambeau, flambeau), (torch, flambeau), (flambeau, torch)])
def test_everything_comes_back(source, target, weights_only):
    values = things(source, nn if source is flambeau else torch.nn)
    buffer = io.BytesIO()
    source.save(values, buffer)
    buffer.seek(0)
    loaded = target.load(buffer, weights_only=weights_only)
    assert shown(loaded) == shown(things(torch, torch.nn))


@pytest.mark.parametrize("target", [flambeau, torch])
def test_shared_memory_is_shared_again(target):
    x = flambeau.zeros(4)
    buffer = io.BytesIO()
    flambeau.save([x, x[:2], x], buffer)
    buffer.seek(0)
    a, b, c = target.load(buffer)
    a[0] = 5.0
    assert b.tolist() == [5.0, 0.0]
    assert c[0].item() == 5.0
    assert x[0].item() == 0.0


@pytest.mark.parametrize("protocol", [2, 4])
def test_protocols(protocol):
    buffer = io.BytesIO()
    flambeau.save({"a": flambeau.ones(2), "n": [1, 2]}, buffer, pickle_protocol=protocol)
    buffer.seek(0)
    assert flambeau.load(buffer)["a"].tolist() == [1, 1]


def test_state_dicts_both_ways(tmp_path):
    ours, theirs = nn.Linear(3, 2), torch.nn.Linear(3, 2)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    ours.load_state_dict(flambeau.load(tmp_path / "theirs.pt"))
    assert ours.weight.tolist() == theirs.weight.tolist()
    with flambeau.no_grad():
        ours.bias.fill_(2.0)
    flambeau.save(ours.state_dict(), tmp_path / "ours.pt")
    theirs.load_state_dict(torch.load(tmp_path / "ours.pt"))
    assert theirs.bias.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "NAdam"])
def test_optimizer_states_both_ways(name):
    options = {"lr": 0.1, "momentum": 0.9} if name == "SGD" else {"lr": 0.1}

    def made(m):
        p = m.tensor([1.0, -2.0], requires_grad=True)
        return p, getattr(m.optim, name)([p], **options)

    def step(m, p, opt):
        p.grad = m.tensor([0.5, 0.25])
        opt.step()

    for source, target in ((flambeau, torch), (torch, flambeau)):
        p, opt = made(source)
        step(source, p, opt)
        buffer = io.BytesIO()
        source.save(opt.state_dict(), buffer)
        buffer.seek(0)
        q, other = made(target)
        with target.no_grad():
            q.copy_(target.tensor(p.tolist()))
        other.load_state_dict(target.load(buffer))
        step(source, p, opt)
        step(target, q, other)
        assert q.tolist() == pytest.approx(p.tolist(), rel=1e-6)
