"""The tape: one GradFn per recorded operation, pointing back to where its operands came from.

An edge is ``(grad_fn, output number)``; leaves that require a gradient are reached through an
AccumulateGrad. The tape holds values (nodes), versions and hooks, never the pending graph: running
the graph does not touch it.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterable, Sequence

from ..base import srcloc
from ..ir.op import Op

_sequence = itertools.count()
_classes: dict[str, type] = {}


def reserve(count: int) -> int:
    """Keep ``count`` sequence numbers free for a tape that may be built later; the first of them
    (with 0: the number that the next function gets)."""
    global _sequence
    first = next(_sequence)
    _sequence = itertools.count(first + count)
    return first


class RemovableHandle:
    """What register_*hook returns: ``remove()`` takes the hook away; usable in ``with``."""

    _ids = itertools.count()

    def __init__(self, hooks: dict, extra_dict=None):
        self.hooks = hooks
        self.id = next(RemovableHandle._ids)

    def remove(self) -> None:
        """Take the hook away (again: nothing happens)."""
        self.hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def add_hook(hooks: dict, hook) -> RemovableHandle:
    """Append a hook to an ordered table."""
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


class Saved:
    """A value kept for backward, with the version it had."""

    __slots__ = ("tensor", "node", "counter", "version", "packed", "unpack")

    def __init__(self, tensor, node, counter):
        self.tensor, self.node = tensor, node
        self.counter, self.version = counter, counter.version
        self.packed = self.unpack = None


class _Copy:
    """The version of what PyTorch copies for backward: no write counts."""

    version = 0


COPY = _Copy()


class Guard:
    """What must not be written before backward, although its value is not kept.

    Args:
        at: the number of the edge, or of the result.
        loc: the line that made it, where that is known.
    """

    __slots__ = ("at", "is_result", "loc", "counter", "version")

    def __init__(self, at: int, is_result: bool, counter, loc):
        self.at, self.is_result, self.loc = at, is_result, loc
        self.watch(counter)

    def watch(self, counter) -> None:
        """Compare with this counter from now on; who else can write is alive."""
        self.counter, self.version = weakref.ref(counter), counter.version

    def written(self) -> bool:
        """Whether it was written since."""
        counter = self.counter()
        return counter is not None and counter.version != self.version


class GradFn:
    """One recorded operation; ``type(fn).__name__`` is PyTorch's, such as AddBackward0."""

    __slots__ = ("op", "params", "layout", "edges", "metas", "out_metas", "saved", "results",
                 "numbers", "seq", "loc", "__weakref__", "__dict__")

    op: Op
    params: dict
    layout: list  # for each operand its place among the edges: a number, a range (list) or None
    edges: tuple  # (grad_fn, output number) or None
    metas: list  # (shape, dtype) of the edges' tensors
    out_metas: list  # (shape, dtype) of the results
    numbers: dict  # operands that are no tensors, by place
    # what few operations ever have has a default here, so that making one stores little
    guards: Sequence[Guard] = ()
    pre_hooks: dict | None = None
    post_hooks: dict | None = None
    out_hooks: dict | None = None
    retained: dict | None = None
    freed_at: object = None
    released: object = False  # then the place of the backward pass that has been here

    def __init__(self):
        self.seq = next(_sequence)
        self.loc = None
        self.saved = {}
        self.results = {}

    def name(self) -> str:
        """PyTorch's name of the operation's backward."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at 0x{id(self):x}>"

    @property
    def next_functions(self) -> tuple:
        """Where the operands came from: ``((grad_fn, output number), ...)``."""
        return tuple((e if e is not None else (None, 0)) for e in self.edges)

    def register_hook(self, hook) -> RemovableHandle:
        """``hook(grad_inputs, grad_outputs)`` after this function has run."""
        if self.post_hooks is None:
            self.post_hooks = {}
        return add_hook(self.post_hooks, hook)

    def register_prehook(self, hook) -> RemovableHandle:
        """``hook(grad_outputs)`` before this function runs."""
        if self.pre_hooks is None:
            self.pre_hooks = {}
        return add_hook(self.pre_hooks, hook)

    def release(self, where) -> None:
        """Forget what was kept for backward."""
        if not self.released:
            self.released = where or True
        if self.saved or self.results or self.guards:
            self.freed_at = where or "backward()"
            self.saved, self.results, self.guards = {}, {}, ()

    def apply(self, grads, context):
        """Gradients of the operands, one per edge. ``context`` decides nodes or tensors."""
        for guard in self.guards:
            if guard.written():
                raise context.overwritten(self, guard)
        ctx = Ctx(self, context)
        before = srcloc.pin(context.where)
        try:
            out = self.op.vjp(ctx, *grads)
        finally:
            srcloc.unpin(before)
        return self.flatten(out)

    def flatten(self, out) -> list:
        """The vjp's results (one per operand, lists for lists) as one per edge."""
        if not isinstance(out, (tuple, list)):
            out = (out,)
        flat: list = []
        for at, g in zip(self.layout, out, strict=False):
            if at is None:
                continue
            if isinstance(at, range):
                flat.extend(g if g is not None else [None] * len(at))
            else:
                flat.append(g)
        flat.extend([None] * (len(self.edges) - len(flat)))
        return flat


def grad_class(name: str, base: type = GradFn) -> type:
    """The class whose name PyTorch's users see."""
    found = _classes.get(name)
    if found is None:
        found = _classes[name] = type(name, (base,), {"__slots__": ()})
    return found


class AccumulateGrad(GradFn):
    """Adds what arrives to a leaf's ``.grad``."""

    __slots__ = ("variable",)

    def __init__(self, variable):
        super().__init__()
        self.variable = variable
        self.edges = ()
        self.op = None

    def name(self) -> str:
        """PyTorch's name, with the namespace that it writes here only."""
        return "torch::autograd::AccumulateGrad"

    def release(self, where) -> None:
        """A leaf can be reached again."""


class _LooseAccumulateGrad(AccumulateGrad):
    """The same, without keeping its leaf alive."""

    __slots__ = ("_ref",)

    @property
    def variable(self):
        """The leaf, None when it is gone."""
        return self._ref()

    @variable.setter
    def variable(self, leaf):
        self._ref = weakref.ref(leaf)


_LooseAccumulateGrad.__name__ = "AccumulateGrad"


def spent(fn: GradFn) -> bool:
    """Whether backward() has been at ``fn``, or at all that ``fn`` leads to: a second time there
    is an error."""
    seen = {fn}
    stack = [fn]
    while stack:
        fn = stack.pop()
        if fn.released:
            continue
        if not any(fn.edges):  # a leaf, or nothing to free
            return False
        for edge in fn.edges:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return True


def loosen(functions: Iterable[GradFn]) -> None:
    """Let tapes that backward has walked keep no leaf alive (whoever remembers them for long, such
    as a recorded trace, must not hold a model)."""
    seen = set(functions)
    stack = list(seen)
    loose: dict[AccumulateGrad, AccumulateGrad] = {}  # one each: it waits for all that leads there
    while stack:
        fn = stack.pop()
        if fn.released and any(e is not None and type(e[0]) is AccumulateGrad for e in fn.edges):
            fn.edges = tuple([e if e is None else (_loose(e[0], loose), e[1]) for e in fn.edges])
        for edge in fn.edges:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])


def _loose(fn: GradFn, known: dict[AccumulateGrad, AccumulateGrad]) -> GradFn:
    if type(fn) is not AccumulateGrad:
        return fn
    found = known.get(fn)
    if found is None:
        found = known[fn] = _LooseAccumulateGrad(fn.variable)
    return found


class Ctx:
    """What a vjp may ask of the recorded operation."""

    __slots__ = ("fn", "context", "params")

    def __init__(self, fn: GradFn, context):
        self.fn, self.context, self.params = fn, context, fn.params

    def __getattr__(self, name):
        try:
            return self.fn.params[name]
        except KeyError:
            raise AttributeError(f"{self.fn.op.name} has no parameter {name!r}") from None

    @property
    def operands(self) -> int:
        """How many operands the operation has."""
        return len(self.fn.layout)

    def operand(self, i: int):
        """Saved operand ``i``: node, tensor, number, or a tuple of them for a list."""
        at = self.fn.layout[i]
        if at is None:
            return self.fn.numbers[i]
        if isinstance(at, range):
            return tuple(self._saved(self.fn.saved[k]) for k in at)
        return self._saved(self.fn.saved[at])

    def _saved(self, saved: Saved):
        return self.context.unpack(self.fn, saved)

    def result(self, i: int = 0):
        """Saved result ``i``."""
        return self.context.unpack_result(self.fn, self.fn.results[i], i)

    def shape(self, i: int):
        """Shape of operand ``i`` (list of shapes for a list)."""
        at = self.fn.layout[i]
        if isinstance(at, range):
            return [self.fn.metas[k][0] for k in at]
        return () if at is None else self.fn.metas[at][0]

    def dtype(self, i: int):
        """Dtype of operand ``i``."""
        at = self.fn.layout[i]
        at = at[0] if isinstance(at, range) else at
        return self.fn.metas[at][1]

    dtype_of = dtype

    def needs(self, i: int):
        """Whether operand ``i`` needs a gradient (any of a list)."""
        at = self.fn.layout[i]
        if at is None:
            return False
        if isinstance(at, range):
            return any(self.fn.edges[k] is not None for k in at)
        return self.fn.edges[at] is not None

    def needs_each(self, i: int):
        """For a list operand: which of its tensors need a gradient."""
        return [self.fn.edges[k] is not None for k in self.fn.layout[i]]

    def out_shape(self, i: int = 0):
        """Shape of result ``i``."""
        return self.fn.out_metas[i][0]

    def out_dtype(self, i: int = 0):
        """Dtype of result ``i``."""
        return self.fn.out_metas[i][1]
