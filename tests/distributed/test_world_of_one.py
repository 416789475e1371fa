"""torch.distributed and DistributedDataParallel in a world of one process."""

import pytest

import flambeau as torch
import flambeau.distributed as dist
from flambeau.nn.parallel import DistributedDataParallel


@pytest.fixture
def world():
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    yield
    dist.destroy_process_group()


def test_before_the_world():
    assert dist.is_available() and not dist.is_initialized()
    for call in (dist.get_rank, dist.get_world_size, dist.barrier):
        with pytest.raises(ValueError, match="has not been initialized"):
            call()
    with pytest.raises(ValueError, match="RANK expected"):
        dist.init_process_group("gloo")
    with pytest.raises(NotImplementedError, match="world_size=2"):
        dist.init_process_group("gloo", rank=0, world_size=2, store=dist.HashStore())
    with pytest.raises(RuntimeError, match="NCCL"):
        dist.init_process_group("nccl", rank=0, world_size=1, store=dist.HashStore())


def test_collectives(world):
    x, out = torch.tensor([1.0, 2.0]), torch.zeros(2)
    assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "gloo")
    dist.all_reduce(x)
    dist.broadcast(x, src=0)
    dist.all_gather([out], x)
    assert out.tolist() == [1.0, 2.0]
    assert dist.all_reduce(x, op=dist.ReduceOp.MAX, async_op=True).wait()
    out.zero_()
    dist.reduce_scatter(out, [x])
    assert out.tolist() == [1.0, 2.0]
    objects = [None]
    dist.all_gather_object(objects, {"a": 1})
    assert objects == [{"a": 1}]
    with pytest.raises(ValueError, match="no other rank"):
        dist.send(x, 1)
    with pytest.raises(TypeError, match="torch.Tensor"):
        dist.all_reduce([1])
    with pytest.raises(ValueError, match="twice"):
        dist.init_process_group("gloo", rank=0, world_size=1)


def test_data_parallel_module(world):
    net = torch.nn.Linear(2, 1)
    model = DistributedDataParallel(net)
    assert list(model.state_dict()) == ["module.weight", "module.bias"]
    with model.no_sync():
        assert not model.require_backward_grad_sync
        model(torch.ones(1, 2)).sum().backward()
    assert net.weight.grad is not None
    with pytest.raises(RuntimeError, match="not needed"):
        DistributedDataParallel(torch.nn.ReLU())
