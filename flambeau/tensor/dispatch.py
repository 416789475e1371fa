"""How an operation runs on tensors: values to nodes, results to tensors, the tape in between.

Three shapes of operation: ordinary ones compute a new value; views share their operand's storage;
in-place ones (inplace.py) compute a new value and then write it.
"""

from __future__ import annotations

import numpy as np

from ..autograd import modes
from ..autograd.tape import COPY, GradFn, Guard, Saved, grad_class
from ..base import device as dv
from ..base import dtype as dt
from ..base import srcloc
from ..base.errors import ShapeError
from ..base.flags import values as flags
from ..ir import node as ir
from ..ir.batch import Count
from ..ir.node import Node, leaf
from ..ir.op import Op
from ..ops import where
from ..runtime import execute
from . import layouts
from .alias import read_as
from .batching import lifted
from .storage import zeros_node
from .tensor import Tensor


def apply_op(op: Op, operands, params):
    """Run ``op`` on tensors (numbers, None and lists of tensors among them)."""
    if Count.current:
        operands = lifted(op, operands)
    if op.geometry is not None:
        return _apply_view(op, operands[0], params)
    if op.geometries is not None:
        return _apply_views(op, operands[0], params)
    nodes, device, rule = [], None, op.layout
    needs, shared, turned, cut = False, False, op.asks_layout, None
    for x in operands:
        if isinstance(x, Tensor):
            if rule is None or x._row_major and not x._run:
                nodes.append(x.node())
            else:
                storage, turned = x.storage, True  # bare tensors know their strides from here on
                nodes.append(x)
            if x._requires or (x._fn is not None if x._base is None else x.requires_grad):
                needs = True
            elif x._cut is not None:
                cut = x._cut
            storage = x.storage
            if storage.memory is not None and storage.shared:
                shared = True
            if device is None:
                device = storage.device
            elif storage.device is not device and x.shape:
                device = _common_device(device, x, op, operands)
        elif isinstance(x, (tuple, list)):
            nodes.append(tuple(t.node() if isinstance(t, Tensor) else t for t in x))
            for t in (t for t in x if isinstance(t, Tensor)):
                needs, cut = needs or t.requires_grad, cut or t._cut
                shared, turned = shared or t.storage.shared, turned or (rule and not t._row_major)
                device = _common_device(device, t, op, operands)
        else:
            nodes.append(x)
    given = params
    if turned:
        layout, given = layouts.arrange(op, operands, nodes, params)
    pinned = srcloc.pin_here()
    try:
        out = op.lower(*nodes, **given)
    finally:
        if pinned:
            srcloc.unpin(None)
    if device is not dv.CPU and device.type == "meta":
        out = _meta(out)
    single = type(out) is Node
    if turned:
        results = layouts.wrapped((out,) if single else out, layout, op, operands, params, device)
    else:
        results = (_wrap(out, device),) if single else _wrap_all(out, device)
    if needs and op.vjp is not None and modes.state.grad:
        record(op, operands, params, results)
    elif needs or cut is not None:
        _note_cut(op, results, cut, needs)
    if shared:
        _keep_apart(results, operands)
    elif flags.eager:
        _compute(results)
    elif len(ir.pending) > execute.CAP:
        execute.maybe_cut()
    return results[0] if single else results


def _wrap_all(nodes, device) -> tuple[Tensor | None, ...]:
    return tuple([_wrap(n, device) if n is not None else None for n in nodes])


def _compute(results) -> None:
    for t in results:
        if t is not None:
            execute.realize(t.storage.node)


def _keep_apart(results, operands) -> None:
    """Results of operands whose memory NumPy shares are computed now; none is part of it."""
    memories = [x.storage.memory for x in _flat(operands) if x.storage.memory is not None]
    for t in results:
        if t is None:
            continue
        value = execute.realize(t.storage.node)
        if any(np.may_share_memory(value, memory) for memory in memories):
            t.storage.node = leaf(np.array(value, order="C"), t.dtype)
            t._node = None


_wrap = Tensor._wrap


def _note_cut(op: Op, results, cut, needs: bool) -> None:
    """Let results say why they have no history although an operand had one."""
    if needs:
        loc = next((t.storage.node.loc for t in results if t is not None), None)
        cut = ("no_grad", loc, modes.state.opened) if not modes.state.grad else (op.name, loc, None)
    for t in results:
        if t is not None:
            t._cut = cut


def _meta(out):
    """Results on the meta device: shape and dtype with one element of memory, never computed."""
    if type(out) is not Node:
        return tuple(None if n is None else _meta(n) for n in out)
    return zeros_node(out.shape, out.dtype)


def _common_device(device, x: Tensor, op: Op, operands):
    have = x.storage.device
    if device is None or device == have:
        return have
    if not x.shape and have.type == "cpu":
        return device
    if device.type == "cpu" and all(not t.shape for t in operands
                                    if isinstance(t, Tensor) and t.device == device):
        return have
    other = next(t for t in _flat(operands) if t.device == device)
    raise RuntimeError(
        f"{op.name}: Expected all tensors to be on the same device, but found at least two "
        f"devices, {device} and {have}! One of shape {tuple(other.shape)} is on {device}"
        f"{where.made(other, 'put there')}; one of shape {tuple(x.shape)} is on {have}"
        f"{where.made(x, 'put there')}. Move one with .to({str(device)!r})")


def _flat(operands):
    for x in operands:
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, (tuple, list)):
            yield from (t for t in x if isinstance(t, Tensor))


def record(op: Op, operands, params: dict, results, cls_name: str | None = None) -> GradFn:
    """Put an operation on the tape and make its results point to it."""
    fn = grad_class(cls_name or op.grad_name)()
    fn.op, fn.params = op, params
    layout: list = []
    edges: list = []
    metas: list = []
    flat: list[Tensor] = []
    numbers: dict = {}
    needs: list = []
    for i, x in enumerate(operands):
        if isinstance(x, Tensor):
            layout.append(len(edges))
            flat.append(x)
            node = x._node
            metas.append((tuple(x.shape) if node is None else node.shape, x.dtype))
            if x._base is None:
                if x._fn is not None:
                    edge = x._fn, x._nr
                else:
                    edge = x._edge() if x._requires else None
            else:
                edge = x._edge() if x.dtype.category >= dt.dtype.FLOAT else None
            edges.append(edge)
            needs.append(edge is not None)
            if edge is not None and x._inference:
                raise _inference_error()
        elif isinstance(x, (tuple, list)) and any(isinstance(t, Tensor) for t in x):
            start = len(edges)
            for t in x:
                edges.append(t._edge() if isinstance(t, Tensor) else None)
                metas.append((tuple(t.shape), t.dtype) if isinstance(t, Tensor) else ((), None))
                flat.append(t)
            layout.append(range(start, len(edges)))
            needs.append([e is not None for e in edges[start:]])
        else:
            layout.append(None)
            numbers[i] = x
            needs.append(False)
    fn.layout, fn.edges, fn.metas, fn.numbers = layout, tuple(edges), metas, numbers
    first = results[0]
    if len(results) == 1:
        node = first._node
        fn.out_metas = [(tuple(first.shape) if node is None else node.shape, first.dtype)]
    else:
        fn.out_metas = [None if t is None else (tuple(t.shape), t.dtype) for t in results]
    loc = first.storage.node.loc if first is not None else None
    fn.loc = loc or srcloc.user_location()
    saves = op.saves
    if saves:
        for what in saves(needs, params) if callable(saves) else saves:
            _save(fn, what, flat, results)
    if op.guards is not None:
        _guard(fn, op.guards(needs, params) if callable(op.guards) else op.guards, flat, results)
    skip = op.nondiff_results
    if len(results) == 1 and not skip and first.dtype.category >= dt.dtype.FLOAT:
        first._fn = fn  # its number is 0
        return fn
    for nr, t in enumerate(results):
        if t is not None and nr not in skip and t.dtype.category >= dt.dtype.FLOAT:
            t._fn, t._nr = fn, nr
        elif t is not None:
            t._cut = (op.name, fn.loc, None)
    return fn


def _inference_error():
    return RuntimeError(
        "Inference tensors cannot be saved for backward. To work around you can make a clone to "
        "get a normal tensor and use it in autograd.")


def _save(fn: GradFn, what, flat, results) -> None:
    if isinstance(what, str):
        nr = int(what[6:] or 0)
        t = results[nr]
        fn.results[nr] = _packed(Saved(None, t.node(), t._counter), t)
        return
    for k, t in _edges_of(fn, what, flat):
        fn.saved[k] = _packed(Saved(t, t.node(), t._counter), t)


def _edges_of(fn: GradFn, operand: int, flat) -> list[tuple[int, Tensor]]:
    """The tensors of an operand that is kept for backward, with the numbers of their edges."""
    at = fn.layout[operand]
    found = [(k, flat[k]) for k in (at if isinstance(at, range) else (at,)) if k is not None]
    if modes.state.grad and any(t._inference for _, t in found):
        raise _inference_error()
    return found


def _guard(fn: GradFn, guards, flat, results) -> None:
    """Let what ``guards`` lists be refused when it was written before backward, and nothing else;
    hooks for what is kept see it too."""
    for saved in (*fn.saved.values(), *fn.results.values()):
        saved.counter, saved.version = COPY, COPY.version
    found = []
    for what in guards:
        if isinstance(what, str):
            nr = int(what[6:] or 0)
            found.append((nr, results[nr], fn.results))
        else:
            found.extend((k, t, fn.saved) for k, t in _edges_of(fn, what, flat))
    if SavedHooks.stack:
        for k, t, kept in found:
            if k not in kept:
                kept[k] = _packed(Saved(t, None, COPY), t)
    else:
        fn.guards = [Guard(k, kept is fn.results, t._counter, t._node and t._node.loc)
                     for k, t, kept in found]


class SavedHooks:
    """The stack of saved_tensors_hooks in force."""

    stack: list = []
    disabled: str | None = None  # why none may be entered


def _packed(saved: Saved, t: Tensor) -> Saved:
    if SavedHooks.stack:
        pack, saved.unpack = SavedHooks.stack[-1]
        with modes.no_grad():
            saved.packed = (pack(t if saved.tensor is not None else t.detach()),)
        saved.tensor = saved.node = None
    return saved


# --- views ----------------------------------------------------------------------------------------


def _apply_view(op: Op, x: Tensor, params: dict) -> Tensor:
    try:
        shape, strides, offset = op.geometry(tuple(x.shape), x.strides, x.offset, **params)
    except ShapeError as error:
        if x._viewed_at is not None and "contiguous" in str(error):
            raise ShapeError(f"{error} It is not contiguous since "
                             f"{x._viewed_at.quote()}.") from None
        raise
    out = Tensor._view_of(x, shape, strides, offset)
    if op.retypes is not None:
        _retype(out, x, op)
    if modes.state.grad:
        if x._requires or x.grad_fn is not None:
            record_view(op, x, params, out)
            if out.strides != x.strides:
                _note_view(out, x)
            return out
    elif x._requires or x._fn is not None:
        out._cut = ("no_grad", None, modes.state.opened)
    if x._cut is not None:
        out._cut = x._cut
    if out.strides != x.strides:
        _note_view(out, x)
    _link(out, x)
    return out


def _retype(out: Tensor, x: Tensor, op: Op) -> None:
    """Let a view read its memory as another dtype."""
    out.dtype = op.retypes(x.dtype)
    out.storage = read_as(x.storage, out.dtype)
    # as long as nobody writes, the value is that of the operand's elements, and not of all memory
    out._node, out._stamp = op.lower(x.node()), out.storage.stamp


def _note_view(out: Tensor, x: Tensor) -> None:
    """The line by which a view stopped being contiguous."""
    if x._viewed_at is not None and not x.is_contiguous():
        out._viewed_at = x._viewed_at
    else:
        out._viewed_at = out._fn.loc if out._fn is not None else srcloc.user_location()


def _apply_views(op: Op, x: Tensor, params: dict) -> tuple[Tensor, ...]:
    """A view operation with several results, such as unbind."""
    parts = op.geometries(tuple(x.shape), x.strides, x.offset, **params)
    outs = tuple(Tensor._view_of(x, *part) for part in parts)
    for out in outs:
        _link(out, x)
    if outs and modes.state.grad and (x._requires or x.grad_fn is not None):
        record_view(op, x, params, outs[0])
        fn = outs[0]._fn
        fn.out_metas = [(tuple(out.shape), out.dtype) for out in outs]
        for nr, out in enumerate(outs):
            out._fn, out._nr = fn, nr
    else:
        for out in outs:  # PyTorch lets one of several views take no history on
            out._unrecorded = True
    return outs


def _link(out: Tensor, x: Tensor) -> None:
    """Remember whose memory a view looks at."""
    out._base = x if x._base is None else x._base
    if not modes.state.grad or x._unrecorded:
        out._unrecorded = True
    out._view_version = out._counter.version


def record_view(op: Op, x: Tensor, params: dict, out: Tensor) -> None:
    """Put a view on the tape."""
    fn = grad_class(op.grad_name)()
    fn.op, fn.params = op, params
    fn.layout, fn.edges, fn.numbers = [0], (x._edge(),), {}
    fn.metas = [(tuple(x.shape), x.dtype)]
    fn.out_metas = [(tuple(out.shape), out.dtype)]
    fn.loc = srcloc.user_location()
    out._fn, out._nr = fn, 0
    _link(out, x)


Tensor._apply_op = staticmethod(apply_op)
