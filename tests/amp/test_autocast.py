"""autocast: dtypes as PyTorch gives them, settings, following, custom functions."""

import threading
import warnings

import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.cuda import amp as cuda_amp

LOW, FULL, KEPT = "lower", "float32", "kept"


def _rand(dtype, *shape):
    return torch.rand(*shape).to(dtype)


CASES = {
    "matmul": (LOW, lambda d: _rand(d, 3, 3) @ _rand(d, 3, 3)),
    "mv": (LOW, lambda d: _rand(d, 3, 3) @ _rand(d, 3)),
    "linear": (LOW, lambda d: F.linear(_rand(d, 2, 3), torch.rand(4, 3), torch.rand(4))),
    "bmm": (LOW, lambda d: torch.bmm(_rand(d, 2, 3, 3), _rand(d, 2, 3, 3))),
    "einsum": (LOW, lambda d: torch.einsum("ij,jk", _rand(d, 3, 3), _rand(d, 3, 3))),
    "conv2d": (LOW, lambda d: F.conv2d(_rand(d, 1, 1, 4, 4), torch.rand(2, 1, 3, 3))),
    "convT": (LOW, lambda d: F.conv_transpose2d(_rand(d, 1, 1, 4, 4), torch.rand(1, 2, 3, 3))),
    "attention": (LOW, lambda d: F.scaled_dot_product_attention(*[_rand(d, 1, 1, 3, 4)] * 3)),
    "module": (LOW, lambda d: torch.nn.MultiheadAttention(4, 2)(*[_rand(d, 3, 1, 4)] * 3)[0]),
    "add": (KEPT, lambda d: _rand(d, 3) + 1),
    "softmax": (KEPT, lambda d: _rand(d, 3).softmax(0)),
    "exp": (KEPT, lambda d: _rand(d, 3).exp()),
    "sum": (KEPT, lambda d: _rand(d, 3).sum()),
    "layer_norm": (KEPT, lambda d: F.layer_norm(_rand(d, 3, 4), (4,))),
    "stack": (KEPT, lambda d: torch.stack([_rand(d, 2), _rand(d, 2)])),
    "prod": (FULL, lambda d: _rand(d, 3).prod()),
    "trace": (FULL, lambda d: _rand(d, 3, 3).trace()),
    "cdist": (FULL, lambda d: torch.cdist(_rand(d, 3, 2), _rand(d, 3, 2))),
    "mse": (FULL, lambda d: F.mse_loss(_rand(d, 3), torch.rand(3))),
    "cross_entropy": (FULL, lambda d: F.cross_entropy(_rand(d, 2, 3), torch.tensor([0, 1]))),
    "bce": (FULL, lambda d: F.binary_cross_entropy(_rand(d, 3), _rand(d, 3))),
    "max_pool3d": (FULL, lambda d: F.max_pool3d(_rand(d, 1, 1, 4, 4, 4), 2)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("operand", ["float32", "bfloat16"])
def test_result_dtypes(name, operand):
    policy, call = CASES[name]
    operand = getattr(torch, operand)
    with torch.autocast("cpu"):
        got = call(operand).dtype
    assert got is {LOW: torch.bfloat16, FULL: torch.float32, KEPT: operand}[policy]


def test_promotion_and_double():
    with torch.autocast("cpu"):
        assert torch.cat([torch.rand(2), torch.rand(2).bfloat16()]).dtype is torch.float32
        assert (torch.eye(2).double() @ torch.eye(2).double()).dtype is torch.float64
        with pytest.raises(RuntimeError, match="prioritize"):
            torch.stack([torch.rand(2).half(), torch.rand(2).half()])


def test_nesting_decorator_and_threads():
    eye = torch.eye(2)
    seen = []

    @torch.autocast("cpu", dtype=torch.float16)
    def product():
        return eye @ eye

    with torch.autocast("cpu"):
        assert torch.is_autocast_enabled("cpu") and torch.is_autocast_cpu_enabled()
        assert not torch.is_autocast_enabled()
        with torch.autocast("cpu", enabled=False):
            assert (eye @ eye).dtype is torch.float32
        assert product().dtype is torch.float16
        assert (eye @ eye).dtype is torch.bfloat16
        thread = threading.Thread(target=lambda: seen.append((eye @ eye).dtype))
        thread.start()
        thread.join()
    assert seen == [torch.float32]
    assert not torch.is_autocast_enabled("cpu")


def test_other_devices_switch_off():
    with pytest.warns(UserWarning, match="CUDA is not available"), torch.autocast("cuda"):
        assert (torch.eye(2) @ torch.eye(2)).dtype is torch.float32
    with pytest.warns(FutureWarning, match="torch.cuda.amp.autocast"), \
            warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        cuda_amp.autocast()
    with pytest.warns(UserWarning, match="only supports dtypes"):
        torch.autocast("cpu", dtype=torch.float32)
    with pytest.raises(ValueError, match="device_type"):
        torch.autocast(torch.device("cpu"))


def test_steps_with_and_without_are_told_apart():
    torch.manual_seed(0)
    layer = torch.nn.Linear(8, 8)
    x = torch.randn(4, 8)
    dtypes = []
    for i in range(12):
        with torch.autocast("cpu", enabled=i % 6 >= 3):
            y = layer(x)
        dtypes.append(y.dtype)
        y.float().pow(2).mean().backward()
        layer.zero_grad()
    assert dtypes == ([torch.float32] * 3 + [torch.bfloat16] * 3) * 2
    assert layer.weight.dtype is torch.float32


def test_gradients_reach_float32_weights():
    layer = torch.nn.Linear(3, 2)
    with torch.autocast("cpu"):
        loss = F.mse_loss(layer(torch.ones(2, 3)), torch.zeros(2, 2))
    loss.backward()
    assert layer.weight.grad.dtype is torch.float32
    assert layer.weight.grad.abs().sum().item() > 0


def test_custom_functions():
    seen = []

    class Double(torch.autograd.Function):
        @staticmethod
        @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
        def forward(ctx, x):
            seen.append((x.dtype, torch.is_autocast_enabled("cpu")))
            return x * 2

        @staticmethod
        @torch.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            seen.append(torch.is_autocast_enabled("cpu"))
            return g * 2

    x = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu"):
        Double.apply(x).sum().backward()
    assert seen == [(torch.float32, False), False]
