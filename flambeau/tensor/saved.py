"""torch.autograd.graph: what the tape keeps, seen and changed from outside."""

from __future__ import annotations

import contextlib
import functools

from ..autograd.tape import GradFn
from ..runtime import execute
from .dispatch import SavedHooks
from .follow import Unfollowed, recorder
from .tensor import Tensor


class saved_tensors_hooks:  # noqa: N801
    """Inside the block, every tensor kept for backward goes through ``pack_hook``; backward gives
    what that returned to ``unpack_hook`` and uses the tensor it gets."""

    def __init__(self, pack_hook, unpack_hook):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self):
        if SavedHooks.disabled is not None:
            raise RuntimeError(SavedHooks.disabled)
        if execute.outstanding:
            recorder.settle()  # calls that were only matched so far keep what they keep without us
        self._block = Unfollowed()
        self._block.__enter__()
        SavedHooks.stack.append((self.pack_hook, self.unpack_hook))

    def __exit__(self, *exc):
        SavedHooks.stack.pop()
        self._block.__exit__()


class save_on_cpu(saved_tensors_hooks):  # noqa: N801
    """Tensors kept for backward wait in the CPU's memory (where they are anyway)."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda t: (t.device, t.cpu()), lambda packed: packed[1].to(packed[0]))


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str):
    """Inside the block, entering saved_tensors_hooks raises RuntimeError(error_message)."""
    before, SavedHooks.disabled = SavedHooks.disabled, error_message
    try:
        yield
    finally:
        SavedHooks.disabled = before


class _NodeMeta(type):
    def __instancecheck__(cls, x) -> bool:
        return isinstance(x, GradFn)

    def __subclasscheck__(cls, sub) -> bool:
        return issubclass(sub, GradFn)


class Node(metaclass=_NodeMeta):
    """What ``tensor.grad_fn`` is: ``isinstance(t.grad_fn, Node)`` holds."""


class GradientEdge(tuple):
    """A place on the tape: (node, output number)."""

    __slots__ = ()

    def __new__(cls, node, output_nr: int = 0, ownership_token=None):
        return super().__new__(cls, (node, output_nr))

    node = property(lambda self: self[0], doc="The function.")
    output_nr = property(lambda self: self[1], doc="Which of its results.")


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge by which gradients reach ``tensor``.

    Raises:
        RuntimeError: the tensor does not require a gradient.
    """
    edge = tensor._edge()
    if edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not "
                           "require gradients")
    return GradientEdge(*edge)


def increment_version(tensor) -> None:
    """Count an in-place write to a tensor (or several) that was made outside the library."""
    for t in (tensor,) if isinstance(tensor, Tensor) else tensor:
        t._counter.version += 1


class _Handle:
    def __init__(self, handles):
        self.handles = handles

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self.handles:
            handle.remove()


def register_multi_grad_hook(tensors, fn, *, mode: str = "all"):
    """``fn`` after the gradients of all tensors are known (list of gradients), or of any of them
    (mode="any": the first one)."""
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    grads: list = [None] * len(tensors)
    seen: list[int] = []

    def hook(i, grad):
        if mode == "any":
            if not seen:
                seen.append(i)
                fn(grad)
            return
        grads[i] = grad
        seen.append(i)
        if len(seen) == len(tensors):
            fn(list(grads))
            seen.clear()
            grads[:] = [None] * len(tensors)

    return _Handle([t.register_hook(functools.partial(hook, i)) for i, t in enumerate(tensors)])


@contextlib.contextmanager
def allow_mutation_on_saved_tensors():
    """Inside the block, tensors kept for backward are copies, so that they may be written over."""
    with saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
        yield
