"""What ``import flambeau as torch`` makes reachable, and what it says about the rest."""

import pytest

import flambeau as torch


@pytest.mark.parametrize("dotted", [
    "amp.autocast", "cuda.amp.GradScaler", "cpu.amp.autocast", "utils.checkpoint.checkpoint",
    "distributed.is_available", "nn.parallel.DistributedDataParallel", "func.vmap", "vmap",
    "autograd.functional.jacobian", "autograd.graph.saved_tensors_hooks", "autograd.Function",
    "jit.script", "profiler.profile", "distributions.Normal", "multiprocessing.spawn",
    "backends.mps.is_available", "mps.is_available", "xpu.is_available", "types.Number",
    "overrides.TorchFunctionMode", "hub.load", "set_default_tensor_type", "is_anomaly_enabled",
    "FloatTensor", "FloatStorage", "UntypedStorage", "autograd.Variable", "compiler.is_compiling"])
def test_reachable_and_documented(dotted):
    value = torch
    for part in dotted.split("."):
        value = getattr(value, part)
    assert value is torch.types.Number or callable(value) and value.__doc__


def test_versions_compare_as_versions():
    assert torch.__version__ >= "2.1" and torch.__version__ > (1, 13) and torch.__version__ < "10"
    assert torch.__version__ == torch.version.__version__ and torch.version.cuda is None
    assert torch.torch_version.TorchVersion("1.10.0") > "1.9"


def test_absent_names():
    with pytest.raises(AttributeError, match="Did you mean 'torch.relu'"):
        _ = torch.relux
    with pytest.raises(NotImplementedError, match="no exporter"):
        torch.onnx.export(None)
    with pytest.raises(NotImplementedError, match="sparse"):
        torch.sparse_coo_tensor([[0]], [1.0])
    with pytest.raises(NotImplementedError, match="TorchScript"):
        torch.jit.load("x.pt")
    assert not hasattr(torch, "no_such_name") and not hasattr(torch, "_dynamo")


def test_storages():
    x = torch.arange(6.0)
    assert x.untyped_storage() is x[2:].view(2, 2).untyped_storage()
    assert x.untyped_storage().nbytes() == 24
    assert x.untyped_storage().data_ptr() == x[1:].untyped_storage().data_ptr()
    assert x.data_ptr() == x.untyped_storage().data_ptr()
    assert x.clone().untyped_storage() != x.untyped_storage()
    with pytest.warns(UserWarning, match="TypedStorage is deprecated"):
        assert x.storage().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert torch.is_storage(x.untyped_storage()) and not torch.is_storage(x)


def test_legacy_constructors():
    assert torch.LongTensor([1, 2]).dtype is torch.int64
    assert torch.FloatTensor(2, 3).shape == (2, 3)
    v = torch.autograd.Variable(torch.ones(2), requires_grad=True)
    assert v.requires_grad and isinstance(torch.ones(1), torch.autograd.Variable)
    with pytest.raises(TypeError, match="not available"):
        torch.cuda.FloatTensor(2)
    torch.set_default_tensor_type(torch.DoubleTensor)
    try:
        assert torch.ones(1).dtype is torch.float64
    finally:
        torch.set_default_tensor_type("torch.FloatTensor")
    with pytest.raises(TypeError, match="floating-point"):
        torch.set_default_tensor_type(torch.LongTensor)


def test_saved_tensors_hooks_are_not_skipped_by_following():
    layer = torch.nn.Linear(4, 4)
    counts = []
    for i in range(8):
        packed = []
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda t, packed=packed: packed.append(t.shape) or t, lambda t: t)
        x = torch.ones(2, 4)
        if i % 2:
            with hooks:
                y = layer(x).tanh().sum()
        else:
            y = layer(x).tanh().sum()
        y.backward()
        layer.zero_grad()
        counts.append(len(packed))
    assert counts[0::2] == [0] * 4 and min(counts[1::2]) > 0


def test_default_device():
    with torch.device("meta"):
        assert torch.ones(2).device.type == "meta"
    assert torch.get_default_device().type == "cpu"


def test_small_names():
    x = torch.tensor([1.0, 2.0, 3.0])
    assert x.apply_(lambda v: v * 2) is x and x.tolist() == [2.0, 4.0, 6.0]
    assert x.map_(torch.ones(3), lambda a, b: a + b).tolist() == [3.0, 5.0, 7.0]
    assert x.map2_(x, x, lambda a, b, c: a + b + c).tolist() == [9.0, 15.0, 21.0]
    with pytest.raises(RuntimeError, match="requires grad"):
        torch.ones(2, requires_grad=True).apply_(abs)
    assert torch.ones(1).is_nonzero() and x.to_dense() is x
    assert not isinstance(x.shape[0], torch.SymInt)
    assert issubclass(torch.OutOfMemoryError, RuntimeError)
    torch.set_deterministic_debug_mode("warn")
    assert torch.get_deterministic_debug_mode() == 1
    torch.set_deterministic_debug_mode(0)
    assert torch.get_deterministic_debug_mode() == 0
    with pytest.raises(RuntimeError, match="debug_mode"):
        torch.set_deterministic_debug_mode("x")


def test_batch_norm_under_vmap():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    assert torch.func.replace_all_batch_norm_modules_(net) is net
    assert net[1].running_mean is None and not net[1].track_running_stats
    x = torch.randn(5, 6, 3)
    got = torch.func.vmap(net)(x)
    torch.testing.assert_close(got, torch.stack([net(v) for v in x]), rtol=1e-4, atol=1e-5)
    shapes = []
    torch.func.vmap(lambda v: (shapes.append(torch.func.debug_unwrap(v).shape), v.sum())[1])(x)
    assert shapes == [(5, 6, 3)]


def test_what_every_tensor_has_of_its_own_is_described():
    assert "size" in torch.Tensor.shape.__doc__ and "type" in torch.Tensor.dtype.__doc__
    assert torch.ones(2, 3).shape == (2, 3) and torch.ones(2).dtype is torch.float32
