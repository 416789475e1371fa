"""Convolutions and poolings: the first, interpreted run and compiled ones agree to the last bit."""

import pytest

import flambeau as torch
from flambeau.base.flags import values as flags
from flambeau.nn import functional as F
from flambeau.runtime import execute

#: input, weight, what conv gets
CONVOLUTIONS = [
    ((2, 3, 8, 8), (4, 3, 3, 3), {"padding": 1}),
    ((2, 3, 8, 8), (4, 3, 3, 3), {"padding": 1, "stride": 2}),
    ((3, 4, 7, 9), (6, 2, 3, 3), {"padding": 1, "stride": 2, "groups": 2}),
    ((5, 4, 2, 2), (4, 4, 3, 3), {"padding": 1}),
    ((2, 6, 12, 12), (6, 1, 3, 3), {"padding": 1, "groups": 6}),
    ((9, 2, 5, 5), (3, 2, 2, 2), {"dilation": 2}),
    ((2, 3, 11, 11), (4, 3, 3, 3), {"padding": 2, "stride": 3, "dilation": 2}),
    ((4, 8, 6, 6), (8, 8, 1, 1), {"stride": 2}),
    ((2, 3, 40), (5, 3, 5), {"padding": 2, "stride": 2}),
    ((1, 2, 6, 5, 4), (3, 2, 3, 2, 2), {"padding": 1, "stride": (2, 1, 2)}),
]

POOLS = [
    lambda x: F.max_pool2d(x, 2),
    lambda x: F.max_pool2d(x, 3, 2, 1),
    lambda x: F.max_pool2d(x, 3, 1, 1, 1),
    lambda x: F.max_pool2d(x, 2, 3, 1, 2, ceil_mode=True),
    lambda x: F.avg_pool2d(x, 2),
    lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    lambda x: F.avg_pool2d(x, (3, 2), (1, 2), (1, 0), ceil_mode=True),
    lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
    lambda x: F.max_pool2d(x, (4, 5)),
    lambda x: F.max_pool2d(x, 5, ceil_mode=True),
    lambda x: F.avg_pool2d(x, (5, 4), ceil_mode=True),
    lambda x: F.adaptive_max_pool2d(x, 1),
    lambda x: F.adaptive_max_pool2d(x, (3, 2)),
    lambda x: F.fold(F.unfold(x, 3, 1, 1, 2), x.shape[2:], 3, 1, 1, 2),
]


def runs(step, *leaves):
    """The bytes of what a step and its gradients give, run by run; the first is interpreted."""
    out = []
    for _ in range(5):
        for leaf in leaves:
            leaf.grad = None
        y = step()
        (y * y).sum().backward()
        out.append([t.detach().double().numpy().tobytes()
                    for t in (y, *[leaf.grad for leaf in leaves])])
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("size", "weight", "how"), CONVOLUTIONS)
@pytest.mark.parametrize("after", [lambda y: y, F.relu], ids=["plain", "relu"])
def test_convolutions_agree(size, weight, how, after, dtype):
    torch.manual_seed(0)
    x, w = (torch.randn(*s).to(dtype).requires_grad_() for s in (size, weight))
    b = torch.randn(weight[0]).to(dtype).requires_grad_()
    conv = (F.conv1d, F.conv2d, F.conv3d)[len(size) - 3]
    first, *others = runs(lambda: after(conv(x, w, b, **how)), x, w, b)
    assert all(other == first for other in others)


@pytest.mark.parametrize("transposed", [F.conv_transpose2d])
@pytest.mark.parametrize("how", [{}, {"stride": 2, "padding": 1, "output_padding": 1},
                                 {"stride": 3, "dilation": 2}, {"groups": 2, "stride": 2}])
def test_transposed_convolutions_agree(transposed, how):
    torch.manual_seed(0)
    x, w = torch.randn(3, 4, 5, 6, requires_grad=True), torch.randn(4, 2, 3, 3, requires_grad=True)
    first, *others = runs(lambda: transposed(x, w, **how), x, w)
    assert all(other == first for other in others)


@pytest.mark.parametrize("pool", range(len(POOLS)))
def test_pools_agree(pool):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 9, 8, requires_grad=True)
    first, *others = runs(lambda: POOLS[pool](x), x)
    assert all(other == first for other in others)


def test_no_host_steps():
    """A convolutional network's step is native code from its first to its last kernel."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 4, 3, groups=4, padding=1), torch.nn.AvgPool2d(2))
    x = torch.randn(2, 3, 16, 16, requires_grad=True)
    before = {id(p) for p in execute._plans.values()}
    for _ in range(4):
        x.grad = None
        net.zero_grad()
        loss = net(x).square().sum()
        loss.backward()
        assert loss.item() > 0 and x.grad.isfinite().all()
    new = [p for p in execute._plans.values() if id(p) not in before and hasattr(p, "schedule")]
    assert new and not any(p.has_host_steps for p in new)


def test_max_pool_of_special_values():
    """The first of equal values, the last NaN, a window of nothing but -inf."""
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([[[1.0, 1.0, nan, nan, -inf, -inf, 0.0, -0.0]]])
    for _ in range(3):
        values, index = F.max_pool1d(x, 2, return_indices=True)
        assert index.tolist() == [[[0, 3, 4, 6]]]
        assert values.isnan().tolist() == [[[False, True, False, False]]]
    x = torch.full((1, 1, 3), -inf)
    for _ in range(3):
        _, index = F.max_pool1d(x, 3, 1, 1, return_indices=True)
        assert index.tolist() == [[[0, 0, 1]]]


def test_strided_operands():
    """Operands that are views are read where they lie, or copied."""
    torch.manual_seed(0)
    x = torch.randn(8, 8, 3, 2).permute(3, 2, 0, 1)
    w = torch.randn(3, 3, 3, 4).permute(3, 2, 0, 1)
    wanted = F.conv2d(x.contiguous(), w.contiguous(), padding=1)
    for _ in range(4):
        assert torch.equal(F.conv2d(x, w, padding=1), wanted)


def test_every_vector_width_gives_the_same_within_rounding():
    if flags.vector:
        pytest.skip("a width is forced already")
    x, w = torch.randn(2, 3, 9, 9), torch.randn(4, 3, 3, 3)
    assert torch.allclose(F.conv2d(x, w), F.conv2d(x.double(), w.double()).float(), atol=1e-5)
