"""segment_reduce, random rectifiers and what dense tensors answer for sparse and quantised ones."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")
KINDS = ("sum", "mean", "max", "min", "prod")


def reduced(module, kind, by, lead, trail, initial):
    lengths = np.array([[2, 0, 4], [1, 5, 0]])[:2 if lead else 1].reshape((*lead, 3))
    data = np.random.RandomState(0).standard_normal((*lead, 6, *trail)).astype(np.float32)
    x = module.tensor(data, requires_grad=True)
    if by == "offsets":
        ends = lengths.cumsum(-1)
        lengths = np.concatenate([np.zeros_like(ends[..., :1]), ends], -1)
    out = module.segment_reduce(x, kind, **{by: module.tensor(lengths)}, axis=len(lead),
                                initial=initial)
    finite = module.where(module.isfinite(out), out, module.zeros_like(out))
    (finite * module.arange(1.0, out.numel() + 1).reshape(out.shape)).sum().backward()
    return out.detach().numpy(), x.grad.numpy(), type(out.grad_fn).__name__


@pytest.mark.parametrize("initial", [None, 2.0])
@pytest.mark.parametrize("by", ["lengths", "offsets"])
@pytest.mark.parametrize("lead, trail", [((), ()), ((), (3,)), ((2,), ()), ((2,), (2, 2))])
@pytest.mark.parametrize("kind", KINDS)
def test_segment_reduce(kind, lead, trail, by, initial):
    ours, theirs = (reduced(m, kind, by, lead, trail, initial) for m in (flambeau, torch))
    np.testing.assert_allclose(ours[0], theirs[0], 1e-5, 1e-6)
    np.testing.assert_allclose(ours[1], theirs[1], 1e-5, 1e-6)
    assert ours[2] == theirs[2]


@pytest.mark.parametrize("call", [
    lambda m: m.segment_reduce(m.ones(6), "sum", lengths=m.tensor([2, 3])),
    lambda m: m.segment_reduce(m.ones(6), "sum", lengths=m.tensor([7, -1])),
    lambda m: m.segment_reduce(m.ones(6), "sum"),
    lambda m: m.segment_reduce(m.ones(6), "total", lengths=m.tensor([2, 4])),
    lambda m: m.segment_reduce(m.ones(6), "sum", indices=m.tensor([0])),
    lambda m: m.segment_reduce(m.ones(6), "sum", lengths=m.tensor([2, 4]), axis=1),
    lambda m: m.segment_reduce(m.ones(2, 3), "sum", lengths=m.tensor([2, 1]), axis=1),
    lambda m: m.segment_reduce(m.tensor(1.0), "sum", lengths=m.tensor([1])),
    lambda m: m.segment_reduce(m.arange(6), "sum", lengths=m.tensor([2, 4])),
    lambda m: m.segment_reduce(m.ones(6), "sum", lengths=m.tensor([2.0, 4.0])),
    lambda m: m.ones(1).int_repr(), lambda m: m.ones(1).q_scale(), lambda m: m.ones(1).coalesce(),
    lambda m: m.ones(1).values(), lambda m: m.ones(1).crow_indices(), lambda m: m.eye(2).symeig()])
def test_refused(call):
    errors = []
    for module in (flambeau, torch):
        with pytest.raises(Exception) as caught:
            call(module)
        errors.append(caught.type)
    assert errors[0] is errors[1]


def test_rows_that_belong_to_no_segment():
    for module in (flambeau, torch):
        assert module.segment_reduce(module.arange(6.0), "sum", lengths=module.tensor([2, 3]),
                                     unsafe=True).tolist() == [1.0, 9.0]


def test_dense():
    for module in (flambeau, torch):
        x = module.tensor([[1, 2, 3], [4, 5, 6]])
        assert x.dequantize().dtype is module.float32 and x.dequantize().tolist() == x.tolist()
        assert module.dequantize(x.double()).dtype is module.float32
        assert x.sparse_dim() == 0 and x.dense_dim() == 2
        assert x.dim_order() == (0, 1) and x.t().dim_order() == (1, 0)
    with pytest.raises(NotImplementedError, match="sparse tensors do not exist"):
        flambeau.ones(1).to_sparse()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_rrelu_draws_for_what_is_not_positive(dtype):
    found = []
    for module in (flambeau, torch):
        module.manual_seed(3)
        x = module.randn(4, 5).to(getattr(module, dtype)).requires_grad_()
        y = module.nn.functional.rrelu(x, training=True)
        z = module.nn.functional.rrelu(x, 0.1, 0.9, training=True)
        (y.sum() + (z * 2).sum()).backward()
        w = module.nn.functional.rrelu(x.detach().clone().t(), training=True, inplace=True)
        found.append([t.detach().double().numpy() for t in (y, z, module.rand(3), x.grad, w)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_rrelu_in_a_loop():
    losses = []
    for module in (flambeau, torch):
        module.manual_seed(0)
        net = module.nn.Sequential(module.nn.Linear(8, 8), module.nn.RReLU(),
                                   module.nn.Linear(8, 1))
        optimizer = module.optim.SGD(net.parameters(), 0.1)
        x = module.randn(16, 8)
        for _ in range(10):
            optimizer.zero_grad()
            loss = (net(x) ** 2).mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], 1e-5)
