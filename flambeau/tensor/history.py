"""What messages about gradients need to know, found out when one is raised.

Tensors remember at most a line or two (``_cut``, ``_required_at``, ``GradFn.loc``); everything else
is looked up here, on the way to an exception: the pending graph, the tape, the program's frames.
"""

from __future__ import annotations

import gc
import re
import sys

import numpy as np

from ..autograd.tape import AccumulateGrad, GradFn, Guard, Saved
from ..base import srcloc
from ..ops.where import location, reached
from ..runtime import execute
from .tensor import Tensor


class ReadOut:
    """The last place where a tensor with a gradient history became an array or a number."""

    how = ""
    loc: srcloc.SourceLoc | None = None


def read_out(t: Tensor, how: str) -> None:
    """Note that a tensor was turned into an array or a number, if that cuts a history."""
    if t._requires or t._fn is not None or t._cut is not None:
        ReadOut.how, ReadOut.loc = how, srcloc.user_location()


def _at(loc: srcloc.SourceLoc | None) -> str:
    return f" at {loc.quote()}" if loc is not None else ""


def _parameters() -> list[Tensor]:
    """Every live parameter of the program (of any module)."""
    return [x for x in gc.get_objects() if issubclass(type(x), Tensor) and type(x) is not Tensor
            and any(c.__name__ == "Parameter" for c in type(x).__mro__)]


def no_history(t: Tensor) -> str:
    """Why backward() cannot start at ``t``."""
    text = (f"element 0 of tensors does not require grad and does not have a grad_fn: the tensor "
            f"of shape {tuple(t.shape)}")
    loc = location(t)
    made = f" made{_at(loc)}" if loc is not None else ""
    return f"{text}{made} {_why_no_history(t)}"


def _why_no_history(t: Tensor) -> str:
    if t._cut is not None:
        what, loc, opened = t._cut
        if what == "no_grad":
            return f"was computed{_at(loc)} {_block(opened)}, where nothing is recorded"
        return (f"does not lead to any parameter: the path was cut by {what}{_at(loc)}, which "
                "passes no gradient on" + ("" if "detach" in what else
                                           "; a loss must be made of differentiable operations"))
    frozen = _frozen(t)
    if frozen:
        return frozen
    if ReadOut.loc is not None:
        return (f"was made from plain data; a value that had a history left it by {ReadOut.how}"
                f"{_at(ReadOut.loc)}: compute the loss from the tensor itself")
    return ("was computed from tensors of which none requires a gradient: is the model part of the "
            "computation?")


def _block(opened) -> str:
    """ "inside no_grad() opened at ..." """
    if opened is None or srcloc.is_ours(opened[0]):
        return "inside no_grad() (a decorated function, or set_grad_enabled(False))"
    return f"inside no_grad() opened at {srcloc.SourceLoc(*opened).quote()}"


def _frozen(t: Tensor) -> str:
    """Whether it was computed from parameters all of which are frozen (requires_grad=False)."""
    parameters = _parameters()
    nodes: list = []
    reached(t.node(), lambda n: bool(nodes.append(n)))
    used = [p for p in parameters if "storage" in p.__dict__ and _reads(nodes, p)]
    if not used:  # computed already: what it was made of is forgotten
        used = parameters if t.node().value is not None else []
    if not used or any(p._requires for p in used):
        return ""
    one = used[0]
    return (f"was computed from frozen parameters only: all {len(used)} parameters have "
            f"requires_grad=False (the first has shape {tuple(one.shape)}); "
            "parameter.requires_grad_(True) unfreezes one")


def _reads(nodes: list, t: Tensor) -> bool:
    """Whether a computation reads a tensor's memory (through any view)."""
    content = t.storage.node
    return any(n is content or n.value is not None and content.value is not None
               and np.may_share_memory(n.value, content.value) for n in nodes)


# --- overwritten values ---------------------------------------------------------------------------


def overwritten(fn: GradFn, kept: Saved | Guard) -> RuntimeError:
    """What backward needs was written over: who made it, who needs it, who wrote."""
    if isinstance(kept, Guard):
        metas = fn.out_metas if kept.is_result else fn.metas
        (shape, dtype), counter, loc = metas[kept.at], kept.counter(), kept.loc
        edge = (fn, kept.at) if kept.is_result else fn.edges[kept.at]
    else:
        shape, dtype, loc = kept.node.shape, kept.node.dtype, kept.node.loc
        counter, edge = kept.counter, _maker(fn, kept)
    maker = edge[0] if edge is not None else None
    if maker is None or isinstance(maker, AccumulateGrad):
        what, produced = "a tensor of the program", loc
    else:
        what, produced = f"output {edge[1]} of {maker.name()}", maker.loc
    lines = [f"one of the variables needed for gradient computation has been modified by an "
             f"inplace operation: [{_type_of(dtype)} {list(shape)}], which is {what}, is at "
             f"version {counter.version}; expected version {kept.version} instead."]
    if produced is not None:
        lines.append(f"  produced{_at(produced)}")
    if fn.loc is not None:
        lines.append(f"  needed by {fn.name()} of the operation{_at(fn.loc)}")
    written = counter.written_at
    if written is not None:
        lines.append(f"  overwritten{_at(written)}")
    lines.append("Use the out-of-place form of the operation that overwrote it (x = x + 1 instead "
                 "of x += 1, relu(x) instead of relu_(x)), or clone() the tensor before.")
    return RuntimeError("\n".join(lines))


def past(fn: GradFn, saved: Saved) -> Tensor:
    """An operand as it was, on the tape where it was."""
    return placed(fn, saved, Tensor._wrap(saved.node))


def placed(fn: GradFn, saved: Saved, t: Tensor) -> Tensor:
    """A stand-in for an operand, put where that was on the tape."""
    edge = _maker(fn, saved)
    if edge is not None:
        t._fn, t._nr = edge
    return t


def _maker(fn: GradFn, saved: Saved):
    """The operation that produced a saved value, with the result's number."""
    for k, s in fn.saved.items():
        if s is saved:
            return fn.edges[k]
    for nr, s in fn.results.items():
        if s is saved:
            return fn, nr
    return None  # kept by a custom function: the value knows its line


_TYPES = {"float32": "torch.FloatTensor", "float64": "torch.DoubleTensor",
          "float16": "torch.HalfTensor", "bfloat16": "torch.BFloat16Tensor",
          "int64": "torch.LongTensor", "int32": "torch.IntTensor", "bool": "torch.BoolTensor"}


def _type_of(dtype) -> str:
    return _TYPES.get(dtype.name, str(dtype))


# --- backward twice -------------------------------------------------------------------------------


def freed(fn: GradFn, roots, here) -> RuntimeError:
    """backward() came to an operation whose saved values an earlier backward has freed."""
    text = ("Trying to backward through the graph a second time (or directly access saved tensors "
            f"after they have already been freed): the values of {fn.name()}{_made(fn)} were freed "
            f"by the backward pass{_freed_at(fn)}. ")
    old, user = _border(roots, here)
    if old is None:
        return RuntimeError(
            text + "It is the same graph: specify retain_graph=True there if you need to backward "
            "through it a second time, or add up the losses and call backward() once")
    name = _name_of(old)
    carried = f"`{name}`" if name else "a tensor"
    return RuntimeError(
        text + f"{carried}, the result of {old.name()}{_made(old)}, carries that graph over from "
        f"the earlier step: it is used again{_at(user.loc) if user is not None else ''}. "
        f"Cut it there: {name or 'h'} = {name or 'h'}.detach() (specify retain_graph=True only to "
        "backward through the graph a second time on purpose)")


def _made(fn: GradFn) -> str:
    return f" (made{_at(fn.loc)})" if fn.loc is not None else ""


def _freed_at(fn: GradFn) -> str:
    loc = fn.freed_at
    return _at(loc) if isinstance(loc, srcloc.SourceLoc) else ""


def _border(roots, here):
    """The freed operation nearest to the roots and the new one that uses it; None when the roots
    themselves are freed. What the pass ``here`` has freed on its way does not count."""
    stack = [fn for fn, _ in roots]
    if any(fn.released and fn.released is not here for fn in stack):
        return None, None
    seen = set(stack)
    found = []
    while stack:
        fn = stack.pop()
        for edge in fn.edges:
            if edge is None or edge[0] in seen:
                continue
            target = edge[0]
            if target.released and target.released is not here:
                found.append((target.seq, target, fn))
                seen.add(target)
            elif not isinstance(target, AccumulateGrad):
                seen.add(target)
                stack.append(target)
    if not found:
        return None, None
    _, old, user = max(found, key=lambda item: item[0])
    return old, user


def _name_of(fn: GradFn) -> str:
    """The program's name for a result of ``fn``: a variable that holds it, else what its line
    assigns to."""
    frame = sys._getframe(1)
    while frame is not None:
        if not srcloc.is_ours(frame.f_code):
            for name, value in frame.f_locals.items():
                if isinstance(value, Tensor) and value._fn is fn:
                    return name
        frame = frame.f_back
    if fn.loc is None:
        return ""
    match = re.match(r"([A-Za-z_][\w.]*)\s*=(?!=)", fn.loc.source())
    return match.group(1) if match else ""


# --- numpy() --------------------------------------------------------------------------------------


def requirement(t: Tensor) -> str:
    """Where a tensor's requirement for a gradient came from."""
    if t._fn is None:
        kind = "a parameter" if type(t).__name__ == "Parameter" else "a leaf"
        return f"this is {kind} of shape {tuple(t.shape)} with requires_grad=True" + (
            f", asked for{_at(t._required_at)}" if t._required_at is not None else "")
    text = f"the tensor of shape {tuple(t.shape)} is a result of {t._fn.name()}{_at(t._fn.loc)}"
    leaf = _first_leaf(t._fn)
    if leaf is not None:
        kind = "parameter" if type(leaf).__name__ == "Parameter" else "tensor"
        text += f"; the requirement comes from a {kind} of shape {tuple(leaf.shape)}"
        if leaf._required_at is not None:
            text += f", asked for{_at(leaf._required_at)}"
    return text


def _first_leaf(fn: GradFn) -> Tensor | None:
    seen = {fn}
    stack = [fn]
    while stack:
        fn = stack.pop(0)
        if isinstance(fn, AccumulateGrad):
            return fn.variable
        for edge in fn.edges:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return None


# --- NaN ------------------------------------------------------------------------------------------


def nan_report(fn: GradFn, i: int, step: int) -> str:
    """Anomaly mode met NaN in a gradient: the first operation on the way that is at fault."""
    where = f" made{_at(fn.loc)}" if fn.loc is not None else ""
    text = (f"Function '{fn.name()}' returned nan values in its {i}th output. It is the gradient "
            f"of the operation{where}")
    inputs = _ranges(fn)
    if inputs:
        text += f"; {inputs}"
    first = _first_bad(fn)
    if first is not None:
        culprit, kind = first
        text += (f". The forward pass had {kind} already: first in the operation "
                 f"{culprit.op.name}{_at(culprit.loc)}")
        ranges = _ranges(culprit)
        if ranges:
            text += f"; {ranges}"
    else:
        text += ". The forward values before it are finite"
    return f"{text}. This was backward pass {step} under anomaly detection"


def _values(fn: GradFn):
    """(label, array) of what an operation kept for backward."""
    for label, table in (("operand", fn.saved), ("result", fn.results)):
        for k, saved in table.items():
            if saved.node is not None:
                yield f"{label} {k}", execute.realize(saved.node)


def _ranges(fn: GradFn) -> str:
    found = []
    for label, array in _values(fn):
        if array.dtype.kind not in "fiuV" or not array.size:
            continue
        numbers = array.astype(np.float64)
        finite = numbers[np.isfinite(numbers)]
        bad = numbers.size - finite.size
        span = f"[{finite.min():.4g}, {finite.max():.4g}]" if finite.size else "no finite value"
        found.append(f"{label} {tuple(array.shape)} in {span}"
                     + (f" with {bad} NaN or Inf" if bad else ""))
    return "its values: " + ", ".join(found) if found else ""


def _bad_kind(array: np.ndarray) -> str:
    if array.dtype.kind not in "fV":
        return ""
    numbers = array.astype(np.float32)
    return "NaN" if np.isnan(numbers).any() else "Inf" if np.isinf(numbers).any() else ""


def _first_bad(fn: GradFn):
    """The earliest operation before ``fn`` that gave NaN or Inf, with which of them."""
    seen = {fn}
    stack = [fn]
    best = None
    while stack:
        f = stack.pop()
        for label, saved_k, array in _kept(f):
            kind = _bad_kind(array)
            edge = f.edges[saved_k] if label == "operand" and saved_k < len(f.edges) else None
            maker = f if label == "result" else edge[0] if edge is not None else None
            if kind and maker is not None and maker.op is not None \
                    and (best is None or maker.seq < best[0].seq):
                best = (maker, kind)
        for edge in f.edges:
            if edge is not None and edge[0] not in seen \
                    and not isinstance(edge[0], AccumulateGrad):
                seen.add(edge[0])
                stack.append(edge[0])
    return best


def _kept(fn: GradFn):
    for label, table in (("operand", fn.saved), ("result", fn.results)):
        for k, saved in table.items():
            if saved.node is not None:
                yield label, k, execute.realize(saved.node)
