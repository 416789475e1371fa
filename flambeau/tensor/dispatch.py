"""How an operation runs on tensors: values to nodes, results to tensors, the tape in between.

Three shapes of operation: ordinary ones compute a new value; views share their operand's storage;
in-place ones compute a new value from a snapshot of the tensor and then write it (:func:`assign`),
so that each needs one rule only.
"""

from __future__ import annotations

from ..autograd import modes
from ..autograd.tape import Ctx, GradFn, Saved, grad_class
from ..base import device as dv
from ..base import dtype as dt
from ..base import shape as sh
from ..base import srcloc
from ..base.errors import ShapeError
from ..base.flags import values as flags
from ..ir import node as ir
from ..ir.node import Node, batcher
from ..ir.op import Op
from ..ir.view import VIEW_SET
from ..ops import where
from ..ops.core import cast_node
from ..ops.lib.shape import AS_STRIDED_VIEW
from ..ops.prim.shape import as_strided_geometry, embed
from ..runtime import execute
from . import layouts
from .batching import check_write, lifted
from .follow import recorder
from .storage import zeros_node
from .tensor import Tensor


def apply_op(op: Op, operands, params):
    """Run ``op`` on tensors (numbers, None and lists of tensors among them)."""
    if batcher:
        operands = lifted(op, operands)
    if op.geometry is not None:
        return _apply_view(op, operands[0], params)
    if op.geometries is not None:
        return _apply_views(op, operands[0], params)
    nodes = []
    device = None
    needs = shared = False
    turned = op.asks_layout
    cut = None
    for x in operands:
        if isinstance(x, Tensor):
            if x._row_major and not x._run:
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
                needs = needs or t.requires_grad
                cut = cut or t._cut
                shared = shared or t.storage.shared
                device = _common_device(device, t, op, operands)
        else:
            nodes.append(x)
    layout = layouts.arrange(op, operands, nodes, params) if turned else None
    pinned = srcloc.pin_here()
    try:
        out = op.lower(*nodes, **params)
    finally:
        if pinned:
            srcloc.unpin(None)
    if device is not dv.CPU and device.type == "meta":
        out = _meta(out)
    single = type(out) is Node
    if turned:
        results = layouts.wrapped((out,) if single else out, layout, op, operands, params, device)
    else:
        results = (_wrap(out, device),) if single else tuple(
            [_wrap(n, device) if n is not None else None for n in out])
    if needs and op.vjp is not None and modes.state.grad:
        record(op, operands, params, results)
    elif needs or cut is not None:
        _note_cut(op, results, cut, needs)
    if shared or flags.eager:
        _realize_all(results)
    elif len(ir.pending) > execute.CAP:
        execute.maybe_cut()
    return results[0] if single else results


def _realize_all(results) -> None:
    for t in results:
        if t is not None:
            execute.realize(t.storage.node)


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
    at = fn.layout[what]
    for k in (at if isinstance(at, range) else (at,)):
        if k is not None:
            t = flat[k]
            if t._inference and modes.state.grad:
                raise _inference_error()
            fn.saved[k] = _packed(Saved(t, t.node(), t._counter), t)


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
    return outs


def _link(out: Tensor, x: Tensor) -> None:
    """Remember whose memory a view looks at."""
    out._base = x if x._base is None else x._base
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


AS_STRIDED = Op(
    "as_strided", geometry=lambda shape, strides, offset, size, stride, storage_offset:
    as_strided_geometry(shape, strides, offset, size, stride, storage_offset),
    vjp=lambda ctx, g: (embed(g, ctx.shape(0), AS_STRIDED, size=ctx.size, stride=ctx.stride,
                              storage_offset=ctx.storage_offset),))


def regenerate(view_tensor: Tensor) -> None:
    """A view whose memory was written anew starts its history at its base's present one."""
    base = view_tensor._base
    view_tensor._view_version = view_tensor._counter.version
    if base is view_tensor or not (base._requires or base.grad_fn is not None):
        return
    fn = view_tensor._fn
    if fn is not None and fn.op is not None and fn.op.geometries is not None:
        raise RuntimeError(
            f"Output {view_tensor._nr} of {fn.name().removesuffix('Backward0')} is a view and its "
            "base or another view of its base has been modified inplace. This view is the output "
            "of a function that returns multiple views. Such functions do not allow the output "
            "views to be modified inplace. You should replace the inplace operation by an "
            "out-of-place one.")
    params = {"size": tuple(view_tensor.shape), "stride": view_tensor.strides,
              "storage_offset": view_tensor.offset}
    op = AS_STRIDED
    if sh.overlaps(view_tensor.shape, view_tensor.strides):  # gradients of one place add up
        op, params["own"] = AS_STRIDED_VIEW, (tuple(base.strides), base.offset)
    record_view(op, base, params, view_tensor)


# --- in place -------------------------------------------------------------------------------------


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
            raise RuntimeError(
                "A view was created in no_grad mode and is being modified inplace with grad mode "
                "enabled. Given that this use case is ambiguous and error-prone, it is forbidden. "
                "You can clarify your code by moving both the view and the inplace either both "
                "inside the no_grad block (if you don't want the inplace to be tracked) or both "
                "outside (if you want the inplace to be tracked).")
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
    s = _wrap(t.node(), t.storage.device)
    if t._requires or (t._fn if t._base is None else t.grad_fn) is not None:
        s._fn, s._nr, s._requires = t._fn, t._nr, t._requires
    return s


def assign(t: Tensor, result: Tensor, name: str = "in-place operation") -> Tensor:
    """Write ``result`` into ``t``: the second half of every in-place operation."""
    if result.shape != t.shape:
        raise RuntimeError(f"output with shape {list(t.shape)} doesn't match the broadcast shape "
                           f"{list(result.shape)}")
    if result.dtype is not t.dtype:
        if not dt.can_cast(result.dtype, t.dtype):
            raise RuntimeError(f"result type {dt.scalar_name(result.dtype)} can't be cast to the "
                               f"desired output type {dt.scalar_name(t.dtype)}")
    write(t, result.node())
    fn = result._fn
    if fn is not None and modes.state.grad:
        for saved in fn.results.values():  # results are now found in t's memory
            if saved.counter is result._counter:
                saved.counter, saved.version = t._counter, t._counter.version
        rebase(t, fn, result._nr)
    elif result._cut is not None and not t._requires:
        t._cut = result._cut
    return t


def write(t: Tensor, node: Node) -> None:
    """Replace the tensor's content; its version goes up. The tape is not touched."""
    counter, storage = t._own_counter or t.storage, t.storage
    if storage.device is not dv.CPU and storage.device.type == "meta":
        counter.version += 1
        return
    counter.written_at = node.loc if ir.pending and ir.pending[-1] is node \
        else srcloc.user_location()
    if node.dtype is not t.dtype:
        node = cast_node(node, t.dtype)
    if batcher:
        check_write(t, node)
    t._node = None  # what was read before must not keep the old content alive
    storage.write(node, t.shape, t.strides, t.offset)
    counter.version += 1
    recorder.wrote(t)
    if flags.eager:
        execute.realize(t.node())
    elif len(ir.pending) > execute.CAP:
        execute.maybe_cut()


def rebase(t: Tensor, fn: GradFn, nr: int) -> None:
    """After an in-place write: ``t`` (and the tensor it is a view of) came from ``fn``."""
    base = t._base
    if base is None:
        t._fn, t._nr = fn, nr
        return
    old = snapshot_of_history(base)
    new = Tensor._wrap(t.node(), t.device)
    new._fn, new._nr = fn, nr
    params = {"size": tuple(t.shape), "stride": t.strides, "storage_offset": t.offset}
    holder = Tensor._wrap(base.node(), base.device)
    record(COPY_SLICES, (old, new), params, (holder,), "CopySlices")
    base._fn, base._nr, base._requires = holder._fn, 0, base._requires
    regenerate(t)
    t._view_version = t._counter.version


def snapshot_of_history(base: Tensor) -> Tensor:
    """A stand-in for the base before the write: its shape and its place on the tape."""
    old = Tensor._wrap(zeros_node(tuple(base.shape), base.dtype), base.device)
    if base._base is None:
        old._fn, old._nr, old._requires = base._fn, base._nr, base._requires
    return old


def _copy_slices_lower(old, new, size, stride, storage_offset):
    return ir.make(VIEW_SET, (old, new), (tuple(stride), storage_offset))


def _copy_slices_vjp(ctx: Ctx, g):
    geometry = {"size": ctx.size, "stride": ctx.stride, "storage_offset": ctx.storage_offset}
    old = ZERO_REGION(g, **geometry) if ctx.needs(0) else None
    return old, AS_STRIDED(g, **geometry)


def _zero_region_lower(g, size, stride, storage_offset):
    return ir.make(VIEW_SET, (g, zeros_node(size, g.dtype)), (tuple(stride), storage_offset))


ZERO_REGION = Op("zero_region", _zero_region_lower,
                 lambda ctx, g: (ZERO_REGION(g, **ctx.params),))
COPY_SLICES = Op("copy_slices", _copy_slices_lower, _copy_slices_vjp, grad_name="CopySlices")


Tensor._apply_op = staticmethod(apply_op)
Tensor._regenerate = regenerate
