"""torch.autograd.Function: operations whose forward and backward the program writes."""

from __future__ import annotations

from ..autograd import modes
from ..autograd.tape import GradFn, Saved, grad_class
from ..base import srcloc
from . import history
from .tensor import Tensor


class FunctionCtx:
    """What ``forward`` leaves for ``backward``; any attribute may be set on it."""

    materialize_grads = True
    _fn = None

    def __init__(self):
        self._to_save: tuple = ()
        self._dirty: tuple = ()
        self._non_diff: tuple = ()
        self.needs_input_grad: tuple = ()

    def save_for_backward(self, *tensors) -> None:
        """Keep tensors for backward; versions are checked when they are read."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError("save_for_backward can only save variables, but argument is of "
                                f"type {type(t).__name__}")
        self._to_save = tensors

    def save_for_forward(self, *tensors) -> None:
        """Accepted; forward mode reads the same tensors."""
        self._to_forward = tensors

    def mark_dirty(self, *tensors) -> None:
        """These inputs were changed in place."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors) -> None:
        """These results carry no gradient."""
        self._non_diff = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether absent gradients arrive as zeros (default) or None."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple:
        """What was saved.

        Raises:
            RuntimeError: a saved tensor was changed in place, or the graph was freed.
        """
        fn = self._fn
        if fn is None:
            return self._to_save
        if fn.freed_at is not None:
            raise RuntimeError("Trying to backward through the graph a second time (or directly "
                               "access saved tensors after they have already been freed). Specify "
                               "retain_graph=True if you need to backward through the graph a "
                               "second time")
        return tuple(fn.unpack(self, saved) for saved in fn.kept)

    saved_variables = saved_tensors


class CustomFn(GradFn):
    """The tape entry of a custom function; it is the ``ctx`` that users see as grad_fn."""

    __slots__ = ("ctx", "cls", "kept", "count", "tensor_at", "expect")

    def release(self, where) -> None:
        self.released = self.released or where or True
        if self.kept:
            self.freed_at = where or "backward()"
        self.kept = ()

    def unpack(self, ctx, saved):
        """A saved tensor; results are given back with their place on the tape."""
        if saved is None or isinstance(saved, Tensor):
            return saved
        nr, value = saved
        if value.counter.version != value.version:
            raise history.overwritten(self, value)
        if nr is None:
            return value.tensor
        out = Tensor._wrap(value.node)
        out._fn, out._nr = self, nr
        return out

    def apply(self, grads, context):
        """Call the user's backward with tensors."""
        recording = modes.state.grad
        tensors = tuple(None if g is None else context.to_tensor(g) for g in grads)
        if not self.ctx.materialize_grads:
            tensors = tuple(None if g is None else t
                            for g, t in zip(self.expect or grads, tensors, strict=True))
        with modes.set_grad_enabled(recording):
            out = self.cls.backward(self.ctx, *tensors)
        if not isinstance(out, tuple):
            out = (out,)
        if len(out) > self.count and all(g is None for g in out[self.count:]):
            out = out[:self.count]
        if len(out) != self.count:
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected "
                f"{self.count}, got {len(out)})")
        flat = []
        for i in self.tensor_at:
            g = out[i]
            if g is not None and not isinstance(g, Tensor):
                raise RuntimeError(f"function {self.name()} returned a {type(g).__name__} as the "
                                   f"gradient of argument {i}; expected a Tensor or None")
            flat.append(None if g is None else context.from_tensor(g))
        return flat


class _Meta(type):
    def __init__(cls, name, bases, namespace):
        super().__init__(name, bases, namespace)
        cls._tape_class = grad_class(name + "Backward", CustomFn)


class Function(metaclass=_Meta):
    """Base of custom operations: static ``forward(ctx, ...)`` and ``backward(ctx, *grads)``."""

    @staticmethod
    def forward(*args, **kwargs):
        """Compute the results; override."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Save for backward when ``forward`` takes no ctx; override."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        """Gradients of the inputs; override."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD.")

    vjp = backward

    def __call__(self, *args, **kwargs):
        raise RuntimeError("Legacy autograd function with non-static forward method is deprecated. "
                           "Please use new-style autograd function with static forward method.")

    @classmethod
    def apply(cls, *args, **kwargs):
        """Run forward and put the operation on the tape."""
        ctx = FunctionCtx()
        recording = modes.state.grad
        at = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        edges = tuple(args[i]._edge() for i in at)
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        separate = cls.setup_context is not Function.setup_context
        with modes.no_grad():
            if separate:
                out = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, out)
            else:
                out = cls.forward(ctx, *args, **kwargs)
        if not (recording and any(e is not None for e in edges)):
            return out
        single = not isinstance(out, tuple)
        results = (out,) if single else out
        fn = cls._tape_class()
        fn.op, fn.params, fn.layout, fn.numbers = None, {}, [], {}
        fn.cls, fn.ctx, fn.count, fn.tensor_at = cls, ctx, len(args), at
        fn.edges, fn.expect = edges, None
        fn.metas = [(tuple(args[i].shape), args[i].dtype) for i in at]
        fn.loc = srcloc.user_location()
        results = tuple(_attach(fn, ctx, r, nr, args) for nr, r in enumerate(results))
        fn.out_metas = [(tuple(r.shape), r.dtype) if isinstance(r, Tensor) else ((), None)
                        for r in results]
        fn.kept = tuple(_keep(t, out if single else None, results, args, single, nr_of=out)
                        for t in ctx._to_save)
        ctx._fn = fn
        ctx._to_save = ()
        return results[0] if single else results


def _attach(fn, ctx, r, nr, args):
    """Make a result point to the tape; an input returned as it is becomes a view of itself."""
    if not isinstance(r, Tensor):
        return r
    if any(r is d for d in ctx._dirty):
        r._fn, r._nr = fn, nr
        r._requires = False
        return r
    if any(r is t for t in ctx._non_diff) or not r.dtype.is_floating_point \
            and not r.dtype.is_complex:
        return r
    if any(r is a for a in args) or r._fn is not None:
        r = r.detach()
    r._fn, r._nr = fn, nr
    return r


def _keep(t, single_out, results, args, single, nr_of):
    if t is None:
        return None
    outs = (nr_of,) if single else nr_of
    for nr, o in enumerate(outs):
        if t is o:
            return nr, Saved(None, results[nr].node(), results[nr]._counter)
    return None, Saved(t, t.node(), t._counter)


def once_differentiable(backward):
    """Decorator: this backward cannot be differentiated again."""

    def run(ctx, *grads):
        with modes.no_grad():
            return backward(ctx, *grads)

    return run
