"""Collective operations in a world of one: each gives what a group of one member would get."""

from __future__ import annotations

from ..autograd.modes import no_grad
from ..tensor import Tensor
from .group import ProcessGroup, resolve


class _RedOpType(int):
    """One way to reduce."""

    def __new__(cls, value: int, name: str):
        self = super().__new__(cls, value)
        self.name = name
        return self

    def __repr__(self) -> str:
        return f"<RedOpType.{self.name}: {int(self)}>"

    def __str__(self) -> str:
        return f"RedOpType.{self.name}"


class ReduceOp:
    """Ways to reduce: SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR = (
        _RedOpType(i, n) for i, n in enumerate(
            ("SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR")))
    RedOpType = _RedOpType


class reduce_op:  # noqa: N801
    """The older name of :class:`ReduceOp`."""

    SUM, PRODUCT, MIN, MAX = ReduceOp.SUM, ReduceOp.PRODUCT, ReduceOp.MIN, ReduceOp.MAX


class Work:
    """What a collective with ``async_op=True`` returns; it is done already."""

    def __init__(self, result=None):
        self._result = result

    def wait(self, timeout=None) -> bool:
        """Return when the operation is done."""
        return True

    def is_completed(self) -> bool:
        """Whether the operation is done."""
        return True

    def is_success(self) -> bool:
        """Whether it succeeded."""
        return True

    def exception(self):
        """Why it failed: it did not."""

    def result(self):
        """What it gave."""
        return self._result

    def get_future(self):
        """The operation as a future: itself."""
        return self

    def then(self, callback):
        """Call ``callback`` with this future."""
        return Work(callback(self))

    def value(self):
        """What it gave."""
        return self._result


def _tensor(value, name: str) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"Invalid function argument. Expected parameter `{name}` of type "
                        f"torch.Tensor\n             but got {type(value)} instead.")


def _tensors(value, name: str) -> None:
    if not isinstance(value, list) or not all(isinstance(t, Tensor) for t in value):
        raise TypeError(f"Invalid function argument. Expected parameter `{name}` of type "
                        f"List[torch.Tensor]\n             but got {type(value)} instead.")


def _done(async_op: bool, result=None) -> Work | None:
    return Work(result) if async_op else None


def _root(group: ProcessGroup | None, rank: int | None, name: str) -> None:
    resolve(group)
    if rank not in (None, 0):
        raise ValueError(f"{name}={rank} is not part of the group, whose only member is rank 0")


@no_grad()
def _copy(to: Tensor, source: Tensor) -> None:
    to.copy_(source.reshape(to.shape) if to.numel() == source.numel() else source)


def all_reduce(tensor, op=ReduceOp.SUM, group=None, async_op=False):
    """Reduce over the group, in place: nothing changes with one member."""
    _tensor(tensor, "tensor")
    resolve(group)
    return _done(async_op, [tensor])


def all_reduce_coalesced(tensors, op=ReduceOp.SUM, group=None, async_op=False):
    """:func:`all_reduce` of several tensors."""
    _tensors(tensors, "tensors")
    resolve(group)
    return _done(async_op, tensors)


def reduce(tensor, dst=None, op=ReduceOp.SUM, group=None, async_op=False, group_dst=None):
    """Reduce over the group, to rank ``dst``."""
    _tensor(tensor, "tensor")
    _root(group, dst, "dst")
    return _done(async_op, [tensor])


def broadcast(tensor, src=None, group=None, async_op=False, group_src=None):
    """Rank ``src``'s values to everybody, in place."""
    _tensor(tensor, "tensor")
    _root(group, src, "src")
    return _done(async_op, [tensor])


def all_gather(tensor_list, tensor, group=None, async_op=False):
    """Everybody's tensor into the list."""
    _tensors(tensor_list, "tensor_list")
    _tensor(tensor, "tensor")
    _one(tensor_list, resolve(group), "output tensor list")
    _copy(tensor_list[0], tensor)
    return _done(async_op, tensor_list)


def _one(items, group, what: str) -> None:
    if len(items) != group.size():
        raise ValueError(f"ProcessGroup: invalid {what} of length {len(items)}, expected length "
                         f"{group.size()}, same as size of the process group")


def all_gather_into_tensor(output_tensor, input_tensor, group=None, async_op=False):
    """Everybody's tensor, joined, into one."""
    _tensor(output_tensor, "output_tensor")
    _tensor(input_tensor, "input_tensor")
    resolve(group)
    if output_tensor.numel() != input_tensor.numel():
        raise ValueError("output tensor size must be equal to world_size times input tensor size")
    _copy(output_tensor, input_tensor)
    return _done(async_op, output_tensor)


def all_gather_coalesced(output_tensor_lists, input_tensor_list, group=None, async_op=False):
    """:func:`all_gather` of several tensors."""
    for out, tensor in zip(output_tensor_lists[0], input_tensor_list, strict=True):
        _copy(out, tensor)
    resolve(group)
    return _done(async_op, output_tensor_lists)


def gather(tensor, gather_list=None, dst=None, group=None, async_op=False, group_dst=None):
    """Everybody's tensor into the list, at rank ``dst``."""
    _tensor(tensor, "tensor")
    _root(group, dst, "dst")
    if not gather_list:
        raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
    _one(gather_list, resolve(group), "output tensor list")
    _copy(gather_list[0], tensor)
    return _done(async_op, gather_list)


def scatter(tensor, scatter_list=None, src=None, group=None, async_op=False, group_src=None):
    """Rank ``src``'s list, one tensor to each."""
    _tensor(tensor, "tensor")
    _root(group, src, "src")
    if not scatter_list:
        raise ValueError("Argument ``scatter_list`` must be specified on source rank.")
    _one(scatter_list, resolve(group), "input tensor list")
    _copy(tensor, scatter_list[0])
    return _done(async_op, [tensor])


def reduce_scatter(output, input_list, op=ReduceOp.SUM, group=None, async_op=False):
    """Reduce lists over the group, one tensor to each."""
    _tensor(output, "output")
    _tensors(input_list, "input_list")
    _one(input_list, resolve(group), "input tensor list")
    _copy(output, input_list[0])
    return _done(async_op, output)


def reduce_scatter_tensor(output, input, op=ReduceOp.SUM, group=None,  # noqa: A002
                          async_op=False):
    """Reduce over the group, a part to each."""
    _tensor(output, "output")
    _tensor(input, "input")
    resolve(group)
    _copy(output, input)
    return _done(async_op, output)


def all_to_all(output_tensor_list, input_tensor_list, group=None, async_op=False):
    """Each sends one tensor to each."""
    _tensors(output_tensor_list, "output_tensor_list")
    _tensors(input_tensor_list, "input_tensor_list")
    _one(input_tensor_list, resolve(group), "input tensor list")
    _copy(output_tensor_list[0], input_tensor_list[0])
    return _done(async_op, output_tensor_list)


def all_to_all_single(output, input, output_split_sizes=None, input_split_sizes=None,  # noqa: A002
                      group=None, async_op=False):
    """Each sends a part to each."""
    _tensor(output, "output")
    _tensor(input, "input")
    resolve(group)
    _copy(output, input)
    return _done(async_op, output)


def barrier(group=None, async_op=False, device_ids=None):
    """Wait until everybody is here."""
    resolve(group)
    return _done(async_op)


def monitored_barrier(group=None, timeout=None, wait_all_ranks=False) -> None:
    """:func:`barrier` that names who is missing: nobody."""
    resolve(group)


# --- any Python object ----------------------------------------------------------------------------


def all_gather_object(object_list: list, obj, group=None) -> None:
    """Everybody's object into the list."""
    _one(object_list, resolve(group), "object list")
    object_list[0] = obj


def gather_object(obj, object_gather_list=None, dst=None, group=None, group_dst=None) -> None:
    """Everybody's object into the list, at rank ``dst``."""
    _root(group, dst, "dst")
    if object_gather_list is not None:
        object_gather_list[0] = obj


def broadcast_object_list(object_list: list, src=None, group=None, device=None,
                          group_src=None) -> None:
    """Rank ``src``'s objects to everybody, in place."""
    _root(group, src, "src")


def scatter_object_list(scatter_object_output_list: list, scatter_object_input_list=None,
                        src=None, group=None, group_src=None) -> None:
    """Rank ``src``'s list, one object to each."""
    _root(group, src, "src")
    scatter_object_output_list[0] = scatter_object_input_list[0]


# --- between two processes: there is no second one ------------------------------------------------


def _peer(name: str):
    def call(tensor=None, *args, group=None, **kwargs):
        resolve(group)
        raise ValueError(f"{name}: invalid rank: a world of one process has no other rank")

    call.__name__ = name
    call.__doc__ = f"torch.distributed.{name}: raises ValueError, there is no other process."
    return call


send, recv, isend, irecv = map(_peer, ("send", "recv", "isend", "irecv"))
