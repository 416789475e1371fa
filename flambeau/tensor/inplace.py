"""In-place operations: a new value is computed from a :func:`snapshot` of the tensor, then written
(:func:`assign`), so that each needs one rule only.
"""

from __future__ import annotations

from ..autograd import modes
from ..autograd.tape import GradFn, grad_class
from ..base import device as dv
from ..base import dtype as dt
from ..base import srcloc
from ..base.flags import values as flags
from ..base.layout import Turned
from ..ir import node as ir
from ..ir.batch import Count
from ..ir.node import Node
from ..ir.op import Op
from ..ops.core import cast_node
from ..ops.lib.assignment import fill
from ..runtime import execute
from . import layouts
from .batching import check_write
from .follow import recorder
from .rebase import rebase
from .tensor import Tensor


_AMBIGUOUS = (
    "A view was created in no_grad mode and is being modified inplace with grad mode enabled. "
    "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your "
    "code by moving both the view and the inplace either both inside the no_grad block (if you "
    "don't want the inplace to be tracked) or both outside (if you want the inplace to be "
    "tracked).")


def check_writable(t: Tensor, *, uniform: bool = False) -> None:
    """Raise where PyTorch refuses an in-place write.

    Args:
        uniform: all elements get the same value, so that several may share one place.
    """
    if modes.state.grad:
        if t._requires and t._fn is None:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation. Write "
                "inside torch.no_grad() if the change is not part of the model, or work on a copy")
        base = t._base
        if base is not None and base.requires_grad and t.grad_fn is None:
            raise RuntimeError(_AMBIGUOUS)
        if base is not None and base._requires and base._fn is None:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an "
                               "in-place operation.")
    if t._inference and not modes.state.inference:
        raise RuntimeError("Inplace update to inference tensor outside InferenceMode is not "
                           "allowed.")
    if not uniform and 0 in t.strides and any(
            s == 0 and n > 1 for n, s in zip(t.shape, t.strides, strict=True)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation.")


def snapshot(t: Tensor) -> Tensor:
    """The tensor as it is now, on the tape where ``t`` is, in memory of its own."""
    layout = layouts.whole(t)
    s = Tensor._wrap(t.node(), t.storage.device) if layout is None \
        else Tensor._of_layout(t._in_order(layout), layout, t.storage.device)
    if t._requires or (t._fn if t._base is None else t.grad_fn) is not None:
        s._fn, s._nr, s._requires = t._fn, t._nr, t._requires
    return s


#: PyTorch's names of the in-place forms of operations whose number is another one
_IN_PLACE = {
    **{f"{name}Backward0": f"{name}Backward1" for name in (
        "AsStrided", "Celu", "Elu", "LeakyRelu", "Polygamma", "RreluWithNoise", "T", "Threshold",
        "Transpose", "Unsqueeze")},
    **{f"SqueezeBackward{i}": f"SqueezeBackward{i + 3}" for i in range(3)},
    "FillBackward0": "FillBackward2", "FillBackward1": "FillBackward3"}


def rename(fn: GradFn) -> None:
    """Give the function that an in-place form was recorded as its name."""
    name = _IN_PLACE.get(type(fn).__name__)
    if name is not None:
        fn.__class__ = grad_class(name)


def without_gradient(name: str, number: int = 0) -> Op:
    """The op that replaces its operand by values that do not depend on it: zeros flow back."""
    grad_name = f"{''.join(w.title() for w in name.split('_'))}Backward{number}"
    op = _replacing.get(grad_name)
    if op is None:
        op = _replacing[grad_name] = Op(
            f"replaced_by_{name}_{number}", lambda x, values: cast_node(values, x.dtype),
            lambda ctx, g: (fill(g, 0), None), grad_name=grad_name)
    return op


_replacing: dict[str, Op] = {}


def assign(t: Tensor, result: Tensor, name: str = "in-place operation") -> Tensor:
    """Write ``result`` into ``t``: the second half of every in-place operation."""
    if result.shape != t.shape:
        raise RuntimeError(f"output with shape {list(t.shape)} doesn't match the broadcast shape "
                           f"{list(result.shape)}")
    if result.dtype is not t.dtype:
        if not dt.can_cast(result.dtype, t.dtype):
            raise RuntimeError(f"result type {dt.scalar_name(result.dtype)} can't be cast to the "
                               f"desired output type {dt.scalar_name(t.dtype)}")
    if t._unrecorded and modes.state.grad and result._fn is not None:
        raise RuntimeError(_AMBIGUOUS)
    layout = layouts.whole(t)
    write(t, result.node() if layout is None else result._in_order(layout), layout)
    fn = result._fn
    if fn is not None and modes.state.grad:
        if fn is not t._fn:
            rename(fn)
        for saved in fn.results.values():  # results are now found in t's memory
            if saved.counter is result._counter:
                saved.counter, saved.version = t._counter, t._counter.version
        for guard in fn.guards:
            if guard.is_result and guard.counter() is result._counter:
                guard.watch(t._counter)
        rebase(t, fn, result._nr)
    elif result._cut is not None and not t._requires:
        t._cut = result._cut
    return t


def write(t: Tensor, node: Node, layout: Turned | None = None) -> None:
    """Replace the tensor's content; its version goes up. The tape is not touched.

    Args:
        layout: in whose order ``node`` is all of the tensor's memory.
    """
    counter, storage = t._own_counter or t.storage, t.storage
    if storage.device is not dv.CPU and storage.device.type == "meta":
        counter.version += 1
        return
    counter.written_at = node.loc if ir.pending and ir.pending[-1] is node \
        else srcloc.user_location()
    if node.dtype is not t.dtype:
        node = cast_node(node, t.dtype)
    if Count.current:
        check_write(t, node)
    t._node = None  # what was read before must not keep the old content alive
    if layout is None:
        storage.write(node, t.shape, t.strides, t.offset)
    else:
        storage.write(node, layout.memory, node.strides, 0)
    counter.version += 1
    recorder.wrote(t)
    if flags.eager:
        execute.realize(t.node())
    elif len(ir.pending) > execute.CAP:
        execute.maybe_cut()
