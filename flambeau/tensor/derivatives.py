"""torch.autograd.functional: Jacobians, Hessians and products with them, of functions of tensors.

Each computes with copies of the inputs that require gradients, row by row (one backward pass per
element of the output), or with ``vectorize`` all rows at once.
"""

from __future__ import annotations

from ..autograd import modes
from ..ops.lib.joining import stack
from .backward import grad
from .creation import eye, zeros, zeros_like
from .tensor import Tensor


def _tuple(x, name: str, function: str) -> tuple[bool, tuple]:
    """(whether it was a tuple, the tensors)."""
    many = isinstance(x, (tuple, list))
    items = tuple(x) if many else (x,)
    for i, t in enumerate(items):
        if not isinstance(t, Tensor):
            where = f"value at index {i}" if many else "value"
            raise TypeError(f"The {name} given to {function} must be either a Tensor or a tuple of "
                            f"Tensors but the {where} has type {type(t)}.")
    return many, items


def _fresh(inputs: tuple, create_graph: bool) -> tuple:
    """Inputs whose gradients can be asked for."""
    out = []
    for t in inputs:
        if create_graph:
            out.append(t.view_as(t) if t.requires_grad else t.detach().requires_grad_())
        else:
            out.append(t.detach().requires_grad_())
    return tuple(out)


def _call(func, inputs: tuple, function: str):
    many, outputs = _tuple(func(*inputs), "outputs of the user-provided function", function)
    return many, outputs


def _check_strict(g, i: int, strict: bool, what: str) -> None:
    if strict and g is None:
        raise RuntimeError(f"The output of the user-provided function is independent of input {i}. "
                           f"This is not allowed in strict mode ({what}).")


def _grads(outputs, inputs, weights, create_graph: bool, strict: bool, what: str) -> tuple:
    """Gradients with zeros for what does not depend."""
    live = [(o, w) for o, w in zip(outputs, weights, strict=True) if o.requires_grad]
    if not live:
        if strict:
            raise RuntimeError("The output of the user-provided function does not require "
                               "gradients. The outputs must be computed in a differentiable manner "
                               "from the input when running in strict mode.")
        return tuple(zeros_like(t) for t in inputs)
    got = grad([o for o, _ in live], inputs, [w for _, w in live], create_graph=create_graph,
               retain_graph=True, allow_unused=True)
    for i, g in enumerate(got):
        _check_strict(g, i, strict, what)
    return tuple(zeros_like(t) if g is None else g for g, t in zip(got, inputs, strict=True))


def _result(many: bool, items, create_graph: bool):
    items = tuple(items) if create_graph else tuple(t.detach() for t in items)
    return items if many else items[0]


def _vector(v, like: tuple, name: str, function: str) -> tuple:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"The vector {name} can only be None if the {function} has a single "
                               "Tensor with a single element.")
        return tuple(zeros_like(t) + 1 for t in like)
    _, vs = _tuple(v, name, function)
    if len(vs) != len(like):
        raise RuntimeError(f"{name} is a tuple of invalid length: should be {len(like)} but got "
                           f"{len(vs)}.")
    for i, (a, b) in enumerate(zip(vs, like, strict=True)):
        if a.shape != b.shape:
            raise RuntimeError(f"Entry {i} in {name} has invalid size: should be {b.shape} but got "
                               f"{a.shape}.")
    return vs


def _units(t: Tensor):
    """One tensor of t's shape per element, 1 at that element."""
    for k in range(t.numel()):
        unit = zeros(t.numel(), dtype=t.dtype)
        unit[k] = 1
        yield unit.reshape(t.shape)


def _jacobian_rows(output: Tensor, inputs: tuple, create_graph: bool, strict: bool,
                   together: bool) -> tuple:
    if together and output.numel() and output.requires_grad:
        units = eye(output.numel(), dtype=output.dtype).reshape((-1, *output.shape))
        found = grad(output, inputs, units, create_graph=create_graph, retain_graph=True,
                     allow_unused=True, is_grads_batched=True)
        return tuple(zeros((*output.shape, *t.shape), dtype=t.dtype) if g is None
                     else g.reshape((*output.shape, *t.shape))
                     for g, t in zip(found, inputs, strict=True))
    rows = [_grads((output,), inputs, (u,), create_graph, strict, "jacobian")
            for u in _units(output)]
    if not rows:
        return tuple(zeros(*output.shape, *t.shape, dtype=t.dtype) for t in inputs)
    return tuple(stack([row[i] for row in rows]).reshape((*output.shape, *t.shape))
                 for i, t in enumerate(inputs))


def jacobian(func, inputs, create_graph: bool = False, strict: bool = False,
             vectorize: bool = False, strategy: str = "reverse-mode"):
    """The derivative of every output element by every input element.

    Args:
        vectorize: compute all rows together (torch.func.vmap) instead of one after the other.

    Returns:
        A tensor of shape (*output, *input); a tuple over inputs and over outputs where these are
        tuples (outputs outside).

    Raises:
        RuntimeError: ``strict`` and an output does not depend on an input.
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')
    with modes.enable_grad():
        many_in, inputs = _tuple(inputs, "inputs", "jacobian")
        inputs = _fresh(inputs, create_graph)
        many_out, outputs = _call(func, inputs, "jacobian")
        result = []
        for out in outputs:
            if strict and not out.requires_grad:
                _grads((out,), inputs, (out,), False, True, "jacobian")
            row = _jacobian_rows(out, inputs, create_graph, strict, vectorize and not strict)
            result.append(_result(many_in, row, create_graph))
    return tuple(result) if many_out else result[0]


def _scalar(outputs, many: bool, function: str) -> Tensor:
    if many or outputs[0].numel() != 1:
        raise RuntimeError(f"The {'tuple of Tensors' if many else 'Tensor'} returned by the "
                           f"function given to {function} should contain a single element")
    if len(outputs[0].shape):
        return outputs[0].squeeze()
    return outputs[0]


def hessian(func, inputs, create_graph: bool = False, strict: bool = False,
            vectorize: bool = False, outer_jacobian_strategy: str = "reverse-mode"):
    """Second derivatives of a function with one output element: the Jacobian of its gradient.

    Returns:
        A tensor of shape (*input, *input), or a tuple of tuples of them.
    """
    many_in, items = _tuple(inputs, "inputs", "hessian")

    def gradient(*xs):
        many, outputs = _call(func, xs, "hessian")
        out = _scalar(outputs, many, "hessian")
        got = _grads((out,), xs, (zeros_like(out) + 1,), True, strict, "hessian")
        return got if many_in else got[0]

    return jacobian(gradient, items if many_in else items[0], create_graph, strict, vectorize)


def vjp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(outputs, ``v`` times the Jacobian)."""
    with modes.enable_grad():
        many_in, inputs = _tuple(inputs, "inputs", "vjp")
        inputs = _fresh(inputs, create_graph)
        many_out, outputs = _call(func, inputs, "vjp")
        v = _vector(v, outputs, "v", "user-provided function")
        got = _grads(outputs, inputs, v, create_graph, strict, "vjp")
    return _result(many_out, outputs, create_graph), _result(many_in, got, create_graph)


def _forward_product(outputs, inputs, v, create_graph: bool, strict: bool, what: str) -> tuple:
    """The Jacobian times ``v``, by differentiating the vjp with respect to its weights."""
    weights = tuple(zeros_like(o).requires_grad_() for o in outputs)
    back = _grads(outputs, inputs, weights, True, strict, what)
    if not any(g.requires_grad for g in back):
        return tuple(zeros_like(o) for o in outputs)
    return _grads(back, weights, v, create_graph, False, what)


def jvp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(outputs, the Jacobian times ``v``)."""
    with modes.enable_grad():
        many_in, inputs = _tuple(inputs, "inputs", "jvp")
        inputs = _fresh(inputs, create_graph)
        v = _vector(v, inputs, "v", "input to the user-provided function")
        many_out, outputs = _call(func, inputs, "jvp")
        got = _forward_product(outputs, inputs, v, create_graph, strict, "jvp")
    return _result(many_out, outputs, create_graph), _result(many_out, got, create_graph)


def vhp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(output, ``v`` times the Hessian) of a function with one output element."""
    return _hessian_product(func, inputs, v, create_graph, strict, "vhp")


def hvp(func, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(output, the Hessian times ``v``) of a function with one output element; vhp is the same
    number for smooth functions and costs less."""
    return _hessian_product(func, inputs, v, create_graph, strict, "hvp")


def _hessian_product(func, inputs, v, create_graph: bool, strict: bool, name: str):
    with modes.enable_grad():
        many_in, inputs = _tuple(inputs, "inputs", name)
        inputs = _fresh(inputs, create_graph)
        v = _vector(v, inputs, "v", "input to the user-provided function")
        many, outputs = _call(func, inputs, name)
        out = _scalar(outputs, many, name)
        first = _grads((out,), inputs, (zeros_like(out) + 1,), True, strict, name)
        got = _grads(first, inputs, v, create_graph, strict, name)
    return _result(False, outputs, create_graph), _result(many_in, got, create_graph)
