"""grad, vjp, jvp and the Jacobians, as functions of functions; they nest."""

from __future__ import annotations

import functools

from ..autograd.modes import enable_grad, is_grad_enabled
from ..autograd.tape import AccumulateGrad
from ..ops.lib.shape import movedim
from ..tensor import Tensor
from ..tensor.backward import grad as autograd_grad
from ..tensor.batching import lift_to_active
from ..tensor.creation import eye, ones_like, zeros, zeros_like
from .batching import vmap
from .tree import flatten, tree_map, unflatten


def _fresh(tree):
    """The tree with tensors that require gradients; those on the tape stay connected to it."""
    def make(t):
        if not isinstance(t, Tensor):
            return t
        if not t.is_floating_point() and not t.is_complex():
            raise RuntimeError(f"only Tensors of floating point dtype can be differentiated, got "
                               f"{t.dtype}")
        t = lift_to_active(t)
        return t.view_as(t) if t.requires_grad else t.detach().requires_grad_()

    return tree_map(make, tree)


def _choose(args: tuple, argnums) -> tuple:
    nums = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for n in nums:
        if not -len(args) <= n < len(args):
            raise RuntimeError(f"Got argnum={n}, but only {len(args)} positional inputs")
    return tuple(n % len(args) for n in nums)


def _reaches_outside(values: list, own: list) -> bool:
    """Whether the tape behind ``values`` ends at leaves other than our own: someone outside
    differentiates too, and the derivatives must stay on the tape."""
    mine = {id(t) for t in own}
    seen: set = set()
    stack_ = [edge[0] for t in values if isinstance(t, Tensor) and (edge := t._edge())]
    while stack_:
        fn = stack_.pop()
        if fn in seen:
            continue
        seen.add(fn)
        if isinstance(fn, AccumulateGrad) and id(fn.variable) not in mine:
            return True
        stack_.extend(e[0] for e in fn.edges if e is not None)
    return False


class _Level:
    """One transform at work, with gradients on whatever the mode outside is."""

    def __enter__(self):
        self._wanted = is_grad_enabled()
        self._mode = enable_grad()
        self._mode.__enter__()
        return self

    def __exit__(self, *exc):
        self._mode.__exit__()

    def outside(self, values: list, own: list) -> bool:
        """Whether someone outside differentiates what was computed, so that derivatives must be
        recorded themselves."""
        return self._wanted and _reaches_outside(values, own)

    def settle(self, tree, own: list):
        """Results as the caller gets them: off the tape unless someone outside needs it."""
        leaves, spec = flatten(tree)
        if self.outside(leaves, own):
            return tree
        return unflatten(spec, [t.detach() if isinstance(t, Tensor) else t for t in leaves])


def _gradients(outputs: list, leaves: list, weights: list, record: bool) -> list:
    """Gradients, on the tape where they are to be differentiated; zeros for what does not
    depend."""
    pairs = [(o, w) for o, w in zip(outputs, weights, strict=True) if o.requires_grad]
    tensors = [t for t in leaves if isinstance(t, Tensor)]
    if not pairs:
        return [zeros_like(t) if isinstance(t, Tensor) else None for t in leaves]
    got = iter(autograd_grad([o for o, _ in pairs], tensors, [w for _, w in pairs],
                             retain_graph=True, create_graph=record, allow_unused=True))
    out = []
    for t in leaves:
        g = next(got) if isinstance(t, Tensor) else None
        out.append(zeros_like(t) if g is None and isinstance(t, Tensor) else g)
    return out


def grad_and_value(func, argnums=0, has_aux: bool = False):
    """A function that gives (gradient by the arguments ``argnums``, value).

    With ``has_aux`` the value is ``(value, aux)``.
    """

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        with _Level() as level:
            nums = _choose(args, argnums)
            chosen = [_fresh(args[n]) for n in nums]
            full = list(args)
            for n, a in zip(nums, chosen, strict=True):
                full[n] = a
            out = func(*full, **kwargs)
            aux = None
            if has_aux:
                if not (isinstance(out, tuple) and len(out) == 2):
                    raise RuntimeError("grad_and_value(f)(*args): output of function f should be a "
                                       "tuple: (output, aux) if has_aux is True")
                out, aux = out
            if not isinstance(out, Tensor):
                raise RuntimeError("grad_and_value(f)(*args): Expected f(*args) to return a Tensor,"
                                   f" got {type(out)}")
            if out.dim() != 0:
                raise RuntimeError("grad_and_value(f)(*args): Expected f(*args) to return a scalar "
                                   f"tensor, got tensor with {out.dim()} dims. Maybe you wanted to "
                                   "use the vjp or jacrev APIs instead?")
            leaves, spec = flatten(chosen)
            got = unflatten(spec, _gradients([out], leaves, [ones_like(out)],
                                             level.outside([out], leaves)))
            got = got[0] if isinstance(argnums, int) else tuple(got)
            got, out, aux = (level.settle(x, leaves) for x in (got, out, aux))
        return (got, (out, aux)) if has_aux else (got, out)

    return wrapper


def grad(func, argnums=0, has_aux: bool = False):
    """A function that gives the gradient of ``func`` (which returns a tensor of no dimensions) by
    the arguments ``argnums``; ``(gradient, aux)`` with ``has_aux``."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        got, value = both(*args, **kwargs)
        return (got, value[1]) if has_aux else got

    return wrapper


def vjp(func, *primals, has_aux: bool = False):
    """(outputs, a function from weights of the outputs to gradients of ``primals``); with
    ``has_aux`` also the auxiliary output."""
    level = _Level()
    with level:
        chosen = _fresh(tuple(primals))
        out = func(*chosen)
        aux = None
        if has_aux:
            out, aux = out
    leaves, spec = flatten(chosen)
    outputs, out_spec = flatten(out)

    def pull(*cotangents, retain_graph: bool = True, create_graph: bool | None = None):
        value = cotangents[0] if len(cotangents) == 1 else cotangents
        weights, weight_spec = flatten(value)
        if weight_spec != out_spec:
            raise RuntimeError("Expected pytree structure of cotangents to be the same as pytree "
                               "structure of outputs to the function.")
        with _Level() as inner:
            record = inner.outside([*outputs, *weights], leaves)
            got = unflatten(spec, _gradients(outputs, leaves, weights, record))
            got = inner.settle(got, leaves)
        return got if len(primals) > 1 else (got[0],)

    if has_aux:
        return level.settle(out, leaves), pull, level.settle(aux, leaves)
    return level.settle(out, leaves), pull


def jvp(func, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False):
    """(outputs, derivative of the outputs along ``tangents``), by two backward passes."""
    if not isinstance(primals, tuple):
        raise RuntimeError(f"jvp(f, primals, tangents): Expected primals to be a tuple. E.g. it "
                           f"should be valid to call f(*primals), got {type(primals)}")
    for x in flatten(primals)[0]:
        if isinstance(x, Tensor) and not (x.is_floating_point() or x.is_complex()):
            raise ValueError(f"Expected primal to be floating point or complex, but got: {x.dtype}")
    with _Level() as level:
        chosen = _fresh(primals)
        leaves, spec = flatten(chosen)
        steps, step_spec = flatten(tangents)
        if step_spec != spec:
            raise RuntimeError("jvp(f, primals, tangents): Expected primals and tangents to have "
                               "the same python structure.")
        for x, v in zip(leaves, steps, strict=True):
            if isinstance(x, Tensor) and tuple(x.shape) != tuple(v.shape):
                raise RuntimeError("jvp(f, primals, tangents): a tangent of shape "
                                   f"{tuple(v.shape)} for a primal of shape {tuple(x.shape)}")
        out = func(*chosen)
        aux = None
        if has_aux:
            out, aux = out
        outputs, out_spec = flatten(out)
        for o in outputs:
            if not isinstance(o, Tensor):
                raise RuntimeError("jvp(f, primals, tangents): Expected f(*primals) to return only "
                                   f"tensors, got {type(o)}")
        smooth = [o for o in outputs if o.is_floating_point() or o.is_complex()]
        weights = [_fresh(zeros_like(o)) for o in smooth]
        back = _gradients(smooth, leaves, weights, True)
        record = level.outside([*outputs, *steps], leaves + weights)
        found = iter(_gradients(back, weights, steps, record))
        along = [next(found) if o.is_floating_point() or o.is_complex() else zeros_like(o)
                 for o in outputs]
        own = leaves + weights
        result = (level.settle(out, own), level.settle(unflatten(out_spec, along), own))
        return (*result, level.settle(aux, own)) if has_aux else result


def _units(t: Tensor) -> Tensor:
    """One tensor of t's shape per element along a first axis, 1 at that element."""
    return eye(t.numel(), dtype=t.dtype).reshape(t.numel(), *t.shape)


def _rows(output: Tensor, leaves: list, chunk_size: int | None, record: bool) -> list:
    """The derivatives of an output's elements by the leaves: (*output, *leaf) each."""
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    tensors = [leaves[i] for i in places]
    out: list = [None] * len(leaves)
    if not output.numel():
        rows: tuple = tuple(zeros(0, *t.shape, dtype=t.dtype) for t in tensors)
    else:
        rows = vmap(lambda u: tuple(_gradients([output], tensors, [u], record)),
                    chunk_size=chunk_size)(_units(output))
    for i, t, r in zip(places, tensors, rows, strict=True):
        out[i] = r.reshape((*output.shape, *t.shape))
    return out


def jacrev(func, argnums=0, *, has_aux: bool = False, chunk_size: int | None = None,
           _preallocate_and_copy: bool = False):
    """A function that gives the Jacobian of ``func``: for each output, one tensor of shape
    (*output, *argument) per argument in ``argnums``; rows are computed together, at most
    ``chunk_size`` at once."""

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        with _Level() as level:
            nums = _choose(args, argnums)
            chosen = [_fresh(args[n]) for n in nums]
            full = list(args)
            for n, a in zip(nums, chosen, strict=True):
                full[n] = a
            out = func(*full, **kwargs)
            aux = None
            if has_aux:
                out, aux = out
            leaves, spec = flatten(chosen)
            outputs, out_spec = flatten(out)
            for o in outputs:
                if not isinstance(o, Tensor):
                    raise RuntimeError("jacrev: Expected all outputs of the function to be "
                                       f"tensors, got {type(o)}")
            record = level.outside(outputs, leaves)
            trees = [unflatten(spec, _rows(o, leaves, chunk_size, record)) for o in outputs]
            per_output = [t[0] if isinstance(argnums, int) else tuple(t) for t in trees]
            result = level.settle(unflatten(out_spec, per_output), leaves)
            return (result, level.settle(aux, leaves)) if has_aux else result

    return wrapper


def jacfwd(func, argnums=0, has_aux: bool = False, *, randomness: str = "error"):
    """The same as :func:`jacrev`, column by column: for functions of few numbers with many
    results."""

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        nums = _choose(args, argnums)
        leaves, spec = flatten([args[n] for n in nums])
        for x in leaves:
            if not isinstance(x, Tensor):
                raise RuntimeError("jacfwd: Expected all inputs to be Tensors, got "
                                   f"{type(x)}")

        def chosen(*values):
            full = list(args)
            for n, a in zip(nums, unflatten(spec, values), strict=True):
                full[n] = a
            return func(*full, **kwargs)

        def push(*steps):
            return jvp(chosen, tuple(leaves), steps, has_aux=has_aux)[1:]

        columns = []
        aux = out_spec = None
        for k, leaf in enumerate(leaves):
            steps = [zeros_like(x) for x in leaves]
            steps[k] = _units(leaf)
            axes = tuple(0 if i == k else None for i in range(len(leaves)))
            out, *rest = vmap(push, axes, randomness=randomness)(*steps)
            if rest:  # the same for all columns
                aux = tree_map(lambda t: t[0] if isinstance(t, Tensor) else t, rest[0])
            flat, out_spec = flatten(out)
            columns.append([movedim(o, 0, -1).reshape((*o.shape[1:], *leaf.shape)) for o in flat])
        per_output = []
        for parts in zip(*columns, strict=True):
            tree = unflatten(spec, parts)
            per_output.append(tree[0] if isinstance(argnums, int) else tuple(tree))
        result = unflatten(out_spec, per_output)
        return (result, aux) if has_aux else result

    return wrapper


def hessian(func, argnums=0):
    """A function that gives second derivatives: the Jacobian of the Jacobian."""
    return jacfwd(jacrev(func, argnums), argnums)
