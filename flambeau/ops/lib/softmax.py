"""Softmax and its logarithm: one step on the tape, a row-wise expression that fuses."""

from __future__ import annotations

import warnings

from ...base import dtype as dt
from ...base import shape as sh
from ...ir.api import api
from ...ir.node import Node, make
from ...ir.op import Op, apply
from ..core import cast_node, elementwise
from ..prim import extremes
from ..prim.elementwise import COPY, SUB, add, cast, div, exp, log, mul, neg, sub
from ..prim.pointwise import in_float32, not_implemented, widened, zeros_of
from ..prim.reduce import AMAX, PLAIN_SUM, plain_sum, reduce


def _shifted(x: Node, dim: int) -> Node:
    """``x`` minus its maximum along ``dim``."""
    return elementwise(SUB, x.dtype, x, reduce(AMAX, x, (dim,) if x.shape else (), True))


def _total(x: Node, dim: int) -> Node:
    return reduce(PLAIN_SUM, x, (dim,) if x.shape else (), True)


def _softmax_lower(x, dim):
    if x.dtype.category != dt.dtype.FLOAT:
        raise not_implemented("softmax_lastdim_kernel_impl", x.dtype)
    if not x.numel():
        return make(COPY, (x,))
    part = exp(_shifted(widened(x), dim))
    return cast_node(div(part, _total(part, dim)), x.dtype)


@in_float32
def _softmax_vjp(ctx, g):
    out = ctx.result()
    weighted = mul(g, out)
    if not out.shape:
        return (sub(weighted, mul(out, weighted)),)
    return (sub(weighted, mul(out, plain_sum(weighted, ctx.dim, True))),)


def _log_softmax_lower(x, dim):
    if x.dtype.category != dt.dtype.FLOAT:
        raise not_implemented("log_softmax_lastdim_kernel_impl", x.dtype)
    if not x.numel():
        return make(COPY, (x,))
    shifted = _shifted(widened(x), dim)
    total = _total(exp(shifted), dim)
    if dim == len(x.shape) - 1:  # PyTorch rounds a row's sum and its logarithm to 16 bits
        total = widened(log(cast_node(total, x.dtype)))
    else:
        total = log(total)
    return cast_node(sub(shifted, total), x.dtype)


@in_float32
def _log_softmax_vjp(ctx, g):
    out = ctx.result()
    total = plain_sum(g, ctx.dim, True) if out.shape else g
    return (sub(g, mul(exp(out), total)),)


_softmax = Op("softmax", _softmax_lower, _softmax_vjp, saves=("result",))
_log_softmax = Op("log_softmax", _log_softmax_lower, _log_softmax_vjp, saves=("result",))


def softmax_dim(name: str, rank: int, stacklevel: int) -> int:
    """The axis nn.functional's functions take when none is given."""
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to "
                  "include dim=X as an argument.", UserWarning, stacklevel=stacklevel)
    return 0 if rank in (0, 1, 3) else 1


def _run(op: Op, input, dim, dtype):
    dim = sh.wrap_dim(dim, len(input.shape))
    return apply(op, input if dtype is None else cast(input, dtype), dim=dim)


def _cases(t):
    return [t.call(t.f(2, 3), 1), t.call(t.f(2, 3, 4), 0), t.call(t.f(2, 3), -1)]


def _forms(name: str, op: Op, doc: str) -> None:
    """torch.name, Tensor.name, special.name and nn.functional.name."""

    def function(input, dim, dtype=None):
        return _run(op, input, dim, dtype)

    def functional(input, dim=None, _stacklevel=3, dtype=None):
        if dim is None:
            dim = softmax_dim(name, len(input.shape), _stacklevel)
        return _run(op, input, dim, dtype)

    for f in (function, functional):
        f.__name__ = f.__qualname__ = name
        f.__doc__ = doc
    api(name, method=True, out=1, namespaces=("special",), cases=_cases)(function)
    api(name, torch=False, functional=True, cases=_cases)(functional)


_forms("softmax", _softmax, "``exp(x) / sum(exp(x))`` along ``dim``, computed without overflow; "
       "``dtype``: converted to it first.")
_forms("log_softmax", _log_softmax, "``log(softmax(x))`` along ``dim``; ``dtype``: converted to it "
       "first.")


def softmax(x, dim: int):
    """``softmax`` for other operations."""
    return _run(_softmax, x, dim, None)


def log_softmax(x, dim: int, dtype=None):
    """``log_softmax`` for other operations."""
    return _run(_log_softmax, x, dim, dtype)


@api(torch=False, functional=True, cases=_cases)
def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """``softmax(-x)`` along ``dim``."""
    if dim is None:
        dim = softmax_dim("softmin", len(input.shape), _stacklevel)
    return _run(_softmax, neg(input), dim, dtype)


@api(torch=False, functional=True)
def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """Samples of the Gumbel-softmax distribution (Jang et al., 2017); with ``hard`` one-hot, whose
    gradient is that of the soft sample."""
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", UserWarning, stacklevel=2)
    noise = neg(log(logits.detach().clone().exponential_()))
    soft = softmax(div(add(logits, noise), tau), dim)
    if not hard:
        return soft
    dim = sh.wrap_dim(dim, len(soft.shape))
    top, place = extremes.max(soft.detach(), dim)
    ones = add(zeros_of(top), 1)
    chosen = apply(extremes.PLACE, ones, place, shape=tuple(soft.shape), dim=dim)
    return add(sub(chosen, soft.detach()), soft)
