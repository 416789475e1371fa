"""The backward engine: walks the tape from results to leaves, latest operation first.

Values travel as nodes, or as tensors when the backward pass itself is recorded
(``create_graph=True``); the context object given by the tensor layer converts between the two, so
that this file never sees the Tensor class.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

from ..ops.lib.complex import real
from ..ops.prim.elementwise import add, cast
from ..ops.prim.reduce import sum_to
from .modes import Anomaly
from .tape import AccumulateGrad, GradFn

Edge = tuple[GradFn, int]


class Context:
    """How values are represented; see NodeContext and TensorContext in the tensor layer.

    ``unpack(fn, saved)`` and ``unpack_result(fn, saved, i)`` give saved values after checking
    versions; ``to_tensor(value)`` and ``from_tensor(tensor)`` convert for hooks;
    ``zeros(shape, dtype)`` makes a gradient of zeros; ``accumulate(variable, value)`` adds to
    ``.grad``; ``has_nan(value)`` and ``nan_report(fn, i)`` serve anomaly mode; ``freed(fn)`` is
    the error of an operation whose saved values are gone, ``overwritten(fn, guard)`` of one whose
    operand or result was written since.
    """


def _dependencies(roots: Sequence[GradFn]) -> dict[GradFn, int]:
    """How many reachable functions feed each reachable function."""
    counts: dict[GradFn, int] = {}
    seen = set(roots)
    stack = list(seen)
    while stack:
        fn = stack.pop()
        for edge in fn.edges:
            if edge is not None:
                target = edge[0]
                counts[target] = counts.get(target, 0) + 1
                if target not in seen:
                    seen.add(target)
                    stack.append(target)
    return counts


def _leads_to(roots: Sequence[GradFn], targets: set) -> set:
    """The functions from which a target can be reached (targets included); the ends of a tape that
    was walked are known by their leaves (see ``tape.loosen``)."""
    leaves = {id(fn.variable) for fn in targets if isinstance(fn, AccumulateGrad)}
    good: dict[GradFn, bool] = {}
    stack = [(fn, False) for fn in roots]
    while stack:
        fn, done = stack.pop()
        if done:
            good[fn] = (fn in targets or isinstance(fn, AccumulateGrad)
                        and id(fn.variable) in leaves or any(
                            e is not None and good.get(e[0], False) for e in fn.edges))
        elif fn not in good:
            good[fn] = False
            stack.append((fn, True))
            stack.extend((e[0], False) for e in fn.edges if e is not None and e[0] not in good)
    return {fn for fn, yes in good.items() if yes}


def run(roots: Sequence[Edge], grads: Sequence, context, *, keep_graph: bool,
        capture: Sequence[Edge] | None = None, accumulate: bool = True, where=None) -> list:
    """Propagate ``grads`` from ``roots``.

    Args:
        capture: edges whose gradients are returned (autograd.grad); only functions that lead there
            run, and no ``.grad`` is touched unless ``accumulate``.

    Returns:
        The captured gradients in order; None where nothing arrived.
    """
    starts = [fn for fn, _ in roots]
    counts = _dependencies(starts)
    wanted: dict[Edge, int] = {}
    useful = None
    captured: list = []
    if capture is not None:
        captured = [None] * len(capture)
        for i, edge in enumerate(capture):
            wanted.setdefault(edge, i)
        useful = _leads_to(starts, {fn for fn, _ in capture})
    buffers: dict[GradFn, list] = {}
    for (fn, nr), g in zip(roots, grads, strict=True):
        _add_to(buffers, fn, nr, g)
    # equal places in the order are visited as they come: the same program, the same order
    turn = itertools.count()
    ready = [(_order(fn), next(turn), fn) for fn in dict.fromkeys(starts) if not counts.get(fn)]
    heapq.heapify(ready)
    while ready:
        fn = heapq.heappop(ready)[2]
        arrived = buffers.pop(fn, None)
        outs = _visit(fn, arrived, context, wanted, captured, useful, accumulate, capture)
        for i, edge in enumerate(fn.edges):
            if edge is None:
                continue
            target, nr = edge
            g = outs[i] if outs is not None else None
            if g is not None:
                _add_to(buffers, target, nr, g)
            counts[target] -= 1
            if counts[target] == 0:
                heapq.heappush(ready, (_order(target), next(turn), target))
        if not keep_graph and arrived is not None:
            fn.release(where)
    if capture is not None:
        for i, edge in enumerate(capture):
            captured[i] = captured[wanted[edge]]
    return captured


def _order(fn: GradFn) -> int:
    """Latest recorded first; leaves at once."""
    return -(1 << 62) if isinstance(fn, AccumulateGrad) else -fn.seq


def _add_to(buffers: dict, fn: GradFn, nr: int, g) -> None:
    slots = buffers.get(fn)
    if slots is None:
        slots = buffers[fn] = [None] * max(_result_count(fn), nr + 1)
    slots[nr] = g if slots[nr] is None else add(slots[nr], g)


def _result_count(fn: GradFn) -> int:
    return 1 if isinstance(fn, AccumulateGrad) else len(fn.out_metas)


def _visit(fn, arrived, context, wanted, captured, useful, accumulate, capture):
    """Run one function: hooks, capture, the vjp. None when there is nothing to send on."""
    if arrived is None or all(g is None for g in arrived):
        return None
    if fn.out_hooks:
        for nr, hooks in fn.out_hooks.items():
            if arrived[nr] is not None:
                arrived[nr] = _call_hooks(hooks, arrived[nr], context)
    if fn.retained and accumulate:
        for nr, tensor_ref in fn.retained.items():
            tensor = tensor_ref()
            if tensor is not None and arrived[nr] is not None:
                context.retain(tensor, arrived[nr])
    for nr, g in enumerate(arrived):
        at = wanted.get((fn, nr))
        if at is not None:
            captured[at] = g
    if isinstance(fn, AccumulateGrad):
        if capture is None or (accumulate and wanted and (fn, 0) in wanted):
            if fn.variable is not None and not fn.variable._requires:
                return None  # frozen since the forward pass
            if fn.variable is not None:
                context.accumulate(fn.variable, arrived[0])
            if fn.post_hooks:
                context.callback()
                _leaf_hooks(fn)
        return None
    if useful is not None and not any(e is not None and e[0] in useful for e in fn.edges):
        return None
    return _run_vjp(fn, arrived, context)


def _leaf_hooks(fn: AccumulateGrad) -> None:
    for hook in list(fn.post_hooks.values()):
        given = hook(fn.variable)
        if given is None:
            continue
        if not hasattr(given, "grad_fn"):
            raise TypeError(f"expected Variable, but hook returned '{type(given).__name__}': a "
                            "post accumulate grad hook changes param.grad and returns None")
        raise RuntimeError("Tensor post accumulate grad hooks should return None. (A lambda "
                           "returns the value of its expression: write a def)")


def _call_hooks(hooks: dict, g, context):
    tensor = context.to_tensor(g)
    for hook in list(hooks.values()):
        changed = hook(tensor)
        if changed is not None:
            if tuple(changed.shape) != tuple(tensor.shape):
                raise RuntimeError(
                    f"hook '{getattr(hook, '__name__', hook)}' has changed the size of value: a "
                    f"gradient of shape {tuple(tensor.shape)} became {tuple(changed.shape)}")
            tensor = changed
    return context.from_tensor(tensor)


def _run_vjp(fn: GradFn, arrived: list, context) -> list:
    if fn.freed_at is not None:
        raise context.freed(fn)
    if fn.pre_hooks:
        tensors = tuple(None if g is None else context.to_tensor(g) for g in arrived)
        for hook in list(fn.pre_hooks.values()):
            changed = hook(tensors)
            if changed is not None:
                tensors = changed if isinstance(changed, tuple) else (changed,)
        arrived = [None if t is None else context.from_tensor(t) for t in tensors]
    grads = [context.zeros(*meta) if g is None else g
             for g, meta in zip(arrived, fn.out_metas, strict=True)] \
        if len(arrived) == 1 or not getattr(fn.op, "none_grads", False) else arrived
    outs = fn.apply(grads, context)
    for i, (g, edge) in enumerate(zip(outs, fn.edges, strict=True)):
        if g is not None:
            outs[i] = None if edge is None else _validate(g, fn, i)
    if Anomaly.enabled and Anomaly.check_nan:
        _check_nan(fn, outs, context)
    if fn.post_hooks:
        outs = _post_hooks(fn, outs, arrived, context)
    return outs


def _post_hooks(fn, outs, arrived, context):
    inputs = tuple(None if g is None else context.to_tensor(g) for g in outs)
    outputs = tuple(None if g is None else context.to_tensor(g) for g in arrived)
    for hook in list(fn.post_hooks.values()):
        changed = hook(inputs, outputs)
        if changed is not None:
            inputs = changed if isinstance(changed, tuple) else (changed,)
    return [None if t is None else context.from_tensor(t) for t in inputs]


def _validate(g, fn: GradFn, i: int):
    """A gradient in the operand's shape and dtype: broadcasting undone, promotion undone."""
    shape, dtype = fn.metas[i]
    if tuple(g.shape) != shape:
        if len(g.shape) < len(shape) or any(
                have != n and n != 1
                for have, n in zip(g.shape[len(g.shape) - len(shape):], shape, strict=True)):
            raise RuntimeError(
                f"Function {fn.name()} returned an invalid gradient at index {i} - got "
                f"{list(g.shape)} but expected shape compatible with {list(shape)}")
        g = sum_to(g, shape)
    if g.dtype is not dtype:
        if g.dtype.is_complex and not dtype.is_complex:
            g = real(g)
        g = cast(g, dtype)
    return g


def _check_nan(fn, outs, context) -> None:
    for i, g in enumerate(outs):
        if g is not None and context.has_nan(g):
            raise RuntimeError(context.nan_report(fn, i))
