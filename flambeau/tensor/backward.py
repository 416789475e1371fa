"""backward() and autograd.grad(): the engine applied to tensors."""

from __future__ import annotations

import weakref

import numpy as np

from ..autograd import engine, modes
from ..autograd.tape import COPY, GradFn, Guard, Saved
from ..base import dtype as dt
from ..base import srcloc
from ..ir import batch
from ..ir import node as ir
from ..ir.node import Node, const
from ..ir.view import broadcast
from ..ops.prim.elementwise import add
from ..runtime import execute
from . import history, layouts
from .batching import to_batch, unbatch
from .follow import Unfollowed, entry_point, recorder
from .inplace import assign, snapshot
from .record import walks_history
from .storage import zeros_node
from .tensor import Tensor

_wrap = Tensor._wrap


def _unpacked(fn: GradFn, saved: Saved) -> Tensor:
    recorder.callback()
    with srcloc.pinned(None):
        value = saved.unpack(saved.packed[0])
    if not isinstance(value, Tensor):
        raise TypeError("saved_tensors_hooks: unpack_hook must return a tensor, got "
                        f"{type(value).__name__}")
    return value


def _shared(t: Tensor) -> bool:
    """Whether NumPy shares the memory: nothing that reads it may stay pending."""
    return t.storage.memory is not None and t.storage.shared


class NodeContext(engine.Context):
    """Gradients as graph nodes: backward that is not itself recorded."""

    def __init__(self, roots, where):
        self.roots, self.where = roots, where
        self.shares = False  # whether NumPy, or a write, may change what is read here

    def unpack(self, fn: GradFn, saved: Saved):
        """A saved operand."""
        if saved.packed is not None:
            return _unpacked(fn, saved).node()
        if saved.counter.version != saved.version:
            raise history.overwritten(fn, saved)
        if saved.tensor is not None and _shared(saved.tensor):
            self.shares = True
        return saved.node

    def unpack_result(self, fn: GradFn, saved: Saved, i: int):
        """A saved result."""
        if saved.packed is not None:
            return _unpacked(fn, saved).node()
        if saved.counter.version != saved.version:
            raise history.overwritten(fn, saved)
        return saved.node

    def to_tensor(self, value: Node) -> Tensor:
        """For hooks and custom functions."""
        recorder.callback()
        return _wrap(value)

    def from_tensor(self, tensor: Tensor) -> Node:
        """What a hook returned."""
        return tensor.node()

    def zeros(self, shape, dtype) -> Node:
        """A gradient that did not arrive."""
        return zeros_node(shape, dtype)

    def accumulate(self, variable: Tensor, value: Node) -> None:
        """Add to ``.grad`` of a leaf, in place where it exists."""
        hold = variable._grad
        recorder.accumulated(variable, hold)
        if hold is None:
            variable._grad = layouts.gradient(variable, value)
        elif hold.requires_grad:
            variable._grad = add(hold, _wrap(value))
        else:
            with modes.no_grad():
                assign(hold, add(snapshot(hold), _wrap(value)))

    def retain(self, tensor: Tensor, value: Node) -> None:
        """``.grad`` of a non-leaf that asked for it."""
        held = tensor._grad
        tensor._grad = layouts.gradient(tensor, value if held is None
                                        else add(held.node(), value))

    def callback(self) -> None:
        """Code of the program is about to run."""
        recorder.callback()

    def has_nan(self, value: Node) -> bool:
        """For anomaly mode."""
        return _has_nan(execute.realize(value))

    def nan_report(self, fn: GradFn, i: int) -> str:
        """For anomaly mode: what gave NaN."""
        return history.nan_report(fn, i, modes.Anomaly.steps)

    def overwritten(self, fn: GradFn, guard: Guard) -> RuntimeError:
        """What PyTorch keeps was written."""
        return history.overwritten(fn, guard)

    def freed(self, fn: GradFn) -> RuntimeError:
        """The graph was walked before."""
        return history.freed(fn, self.roots, self.where)


class TensorContext(NodeContext):
    """Gradients as tensors on the tape: ``create_graph=True``."""

    def unpack(self, fn: GradFn, saved: Saved):
        if saved.packed is not None:
            return history.placed(fn, saved, _unpacked(fn, saved).detach())
        if saved.counter.version != saved.version:
            raise history.overwritten(fn, saved)
        if saved.counter is COPY and saved.tensor.node() is not saved.node:
            return history.past(fn, saved)
        return saved.tensor

    def unpack_result(self, fn: GradFn, saved: Saved, i: int):
        if saved.packed is not None:
            out = _unpacked(fn, saved)
        else:
            if saved.counter.version != saved.version:
                raise history.overwritten(fn, saved)
            out = _wrap(saved.node)
        out._fn, out._nr = fn, i
        return out

    def to_tensor(self, value: Tensor) -> Tensor:
        recorder.callback()
        return value

    def from_tensor(self, tensor: Tensor) -> Tensor:
        return tensor

    def zeros(self, shape, dtype) -> Tensor:
        return _wrap(zeros_node(shape, dtype))

    def accumulate(self, variable: Tensor, value: Tensor) -> None:
        hold = variable._grad
        recorder.accumulated(variable, hold)
        variable._grad = layouts.recorded_gradient(variable, value) if hold is None \
            else add(hold, value)

    def retain(self, tensor: Tensor, value: Tensor) -> None:
        held = tensor._grad
        tensor._grad = value if held is None else add(held, value)

    def has_nan(self, value: Tensor) -> bool:
        return _has_nan(execute.realize(value.node()))


def _has_nan(array: np.ndarray) -> bool:
    return array.dtype.kind in "fcV" and bool(np.isnan(array).any())


def _roots(tensors, grads, what: str):
    """Edges and starting gradients."""
    edges, starts = [], []
    for t, g in zip(tensors, grads, strict=True):
        edge = t._edge()
        if edge is None:
            raise RuntimeError(history.no_history(t))
        if g is None:
            if t.node().numel() != 1:
                raise RuntimeError(
                    "grad can be implicitly created only for scalar outputs: this tensor has shape "
                    f"{tuple(t.shape)}; reduce it (.mean() or .sum()), or pass "
                    f"{'gradient' if what == 'backward' else 'grad_outputs'}=")
            if t.dtype.category < dt.dtype.FLOAT:
                raise RuntimeError("grad can be implicitly created only for real scalar outputs "
                                   f"but got {t.dtype}")
            starts.append(_wrap(ones_like_node(t), t.device))
        else:
            if not isinstance(g, Tensor):
                raise TypeError(f"gradients can be either Tensors or None, but got "
                                f"{type(g).__name__}")
            if tuple(g.shape) != tuple(t.shape):
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[0] has a shape of {g.shape} and output[0] has "
                    f"a shape of {t.shape}.")
            starts.append(g)
        edges.append(edge)
    return edges, starts


def ones_like_node(t: Tensor) -> Node:
    """Ones in a tensor's shape."""
    return broadcast(const(1, t.dtype), tuple(t.shape))


def _as_tuple(x):
    return (x,) if isinstance(x, Tensor) or x is None else tuple(x)


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False,
             grad_variables=None, inputs=None) -> None:
    """Gradients of ``tensors`` with respect to leaves, added to their ``.grad``.

    Args:
        tensors: one tensor or several; those without ``grad_tensors`` must hold one element.
        retain_graph: keep what backward needs, so that it can run again (default: create_graph).
        create_graph: record the backward pass itself, for higher derivatives.
        inputs: only these leaves (or retained tensors) receive gradients.

    Raises:
        RuntimeError: no gradient can be computed, or the graph was freed already.
    """
    tensors = _as_tuple(tensors)
    grads = _as_tuple(grad_tensors) if grad_tensors is not None else (None,) * len(tensors)
    if inputs is not None:
        inputs = _as_tuple(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    edges, starts = _roots(tensors, grads, "backward")
    keep = create_graph if retain_graph is None else retain_graph
    capture = None
    if inputs is not None:
        capture = [_input_edge(t) for t in inputs]
    got = _run(edges, starts, keep, create_graph, capture, True, inputs)
    if inputs is not None:
        for t, g in zip(inputs, got, strict=True):
            if t._fn is not None and not t._retains and g is not None:
                t._grad = g if t._grad is None else add(t._grad, g)
    if execute.steps_vary() and not recorder.inside:  # else the recorder does it
        execute.flush()


def _input_edge(t: Tensor):
    edge = t._edge()
    if edge is None:
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    return edge


def _run(edges, starts, keep, create_graph, capture, accumulate, inputs=None):
    where = srcloc.user_location()
    if modes.Anomaly.enabled:
        modes.Anomaly.steps += 1
    if create_graph:
        with modes.enable_grad():
            got = engine.run(edges, starts, TensorContext(edges, where), keep_graph=keep,
                             capture=capture, accumulate=accumulate, where=where)
        return got
    context = NodeContext(edges, where)
    with modes.no_grad():
        got = engine.run(edges, [s.node() for s in starts], context,
                         keep_graph=keep, capture=capture, accumulate=accumulate, where=where)
    if context.shares or any(map(_shared, starts)):
        execute.flush()
    if ir.pending:
        execute.seam = weakref.ref(ir.pending[-1])
    return [None if g is None else layouts.gradient(t, g)
            for t, g in zip(inputs or (), got, strict=True)]


def _grads_of_batch(outputs, inputs, grads, options: dict) -> tuple:
    """Gradients for a batch of grad_outputs (along their first axis) at once."""
    given = [g for g in grads if g is not None]
    if not given or any(not g.shape or g.shape[0] != given[0].shape[0] for g in given):
        raise RuntimeError("is_grads_batched=True: grad_outputs must have a first axis of one size")
    with Unfollowed():
        level = batch.enter(given[0].shape[0], "error")
        try:
            each = [None if g is None else to_batch(g, level, 0) for g in grads]
            found = grad(outputs, inputs, each, **options)
            return tuple(None if g is None else unbatch(g, level.number, level.size, 0)
                         for g in found)
        finally:
            batch.leave(level)


@entry_point
@walks_history("some")
def grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False,
         only_inputs=True, allow_unused=None, is_grads_batched=False, materialize_grads=False):
    """Gradients of ``outputs`` with respect to ``inputs``, returned; ``.grad`` stays as it is.

    Args:
        is_grads_batched: ``grad_outputs`` have one more axis in front, and so have the results:
            one gradient for each of them, computed together (see torch.func.vmap).

    Raises:
        RuntimeError: an input was not used and ``allow_unused`` is not set.
    """
    outputs, inputs = _as_tuple(outputs), _as_tuple(inputs)
    if not inputs:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    if is_grads_batched:
        return _grads_of_batch(outputs, inputs, _as_tuple(grad_outputs), dict(
            retain_graph=retain_graph, create_graph=create_graph, allow_unused=allow_unused,
            materialize_grads=materialize_grads))
    grads = _as_tuple(grad_outputs) if grad_outputs is not None else (None,) * len(outputs)
    if allow_unused is None:
        allow_unused = materialize_grads
    edges, starts = _roots(outputs, grads, "grad")
    keep = create_graph if retain_graph is None else retain_graph
    got = _run(edges, starts, keep, create_graph, [_input_edge(t) for t in inputs], False,
               inputs)
    for i, (t, g) in enumerate(zip(inputs, got, strict=True)):
        if g is None and not allow_unused:
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph: "
                f"inputs[{i}] of shape {tuple(t.shape)}. Set allow_unused=True if this is the "
                "desired behavior.")
        if g is None and materialize_grads:
            got[i] = _wrap(zeros_node(tuple(t.shape), t.dtype), t.device)
    return tuple(got)
