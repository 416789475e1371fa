"""vmap: a function of one example as a function of a batch.

The function is called once. Its tensors look like one example and stand for all of them: each
primitive is made with one more axis (ir/batch.py).
"""

from __future__ import annotations

import functools

from ..ir import batch
from ..ops.lib.joining import cat
from ..ops.lib.shape import narrow
from ..tensor import Tensor
from ..tensor.batching import is_batched, to_batch, unbatch
from ..tensor.follow import Unfollowed
from ..tensor.generator import default_generator
from .tree import broadcast_prefix, flatten, unflatten


def _name(function) -> str:
    return getattr(function, "__name__", repr(function))


def _batch_size(leaves: list, dims: list, in_dims, function) -> int:
    """The number of examples; every axis checked and made non-negative in ``dims``."""
    what = f"vmap({_name(function)}, in_dims={in_dims}, ...)(<inputs>)"
    sizes = []
    for i, (x, d) in enumerate(zip(leaves, dims, strict=True)):
        if d is None:
            continue
        if not isinstance(d, int):
            raise ValueError(f"{what}: Got in_dim={d} for an input but in_dim must be either an "
                             "integer dimension or None.")
        if not isinstance(x, Tensor):
            raise ValueError(f"{what}: Got in_dim={d} for an input but the input is of type "
                             f"{type(x)}. We cannot vmap over non-Tensor arguments, please use "
                             "None as the respective in_dim")
        rank = len(x.shape)
        if not -rank <= d < rank:
            raise ValueError(f"{what}: Got in_dim={d} for some input, but that input is a Tensor "
                             f"of dimensionality {rank} so expected in_dim to satisfy "
                             f"-{rank} <= in_dim < {rank}.")
        dims[i] = d % rank
        sizes.append(x.shape[d])
    if not leaves:
        raise ValueError(f"vmap({_name(function)})(<inputs>): got no inputs. Maybe you forgot to "
                         "add inputs, or you are trying to vmap over a function with no inputs. "
                         "The latter is unsupported.")
    if not sizes:
        raise ValueError(f"{what}: at least one argument must be mapped, but in_dims is None for "
                         "all of them")
    if any(s != sizes[0] for s in sizes):
        raise ValueError("vmap: Expected all tensors to have the same size in the mapped dimension,"
                         f" got sizes {sizes} for the mapped dimension")
    return sizes[0]


def _result(x, dim, level: batch.Level, out_dims, function):
    """A result with its examples along ``dim``."""
    what = f"vmap({_name(function)}, ..., out_dims={out_dims})"
    if not isinstance(x, Tensor):
        if dim is None:
            return x
        raise ValueError(f"vmap({_name(function)}, ...): `{_name(function)}` must only return "
                         f"Tensors, got type {type(x)}. Did you mean to set out_dims= to None for "
                         "output?")
    if dim is None:
        if is_batched(x, level):
            raise ValueError(f"{what}: `{_name(function)}` can not return a BatchedTensor when "
                             "out_dim is None")
        return x
    rank = len(x.shape) + 1
    if not -rank <= dim < rank:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-rank}, "
                         f"{rank - 1}], but got {dim})")
    return unbatch(x, level.number, level.size, dim % rank)


def _call(function, leaves: list, dims: list, call, size: int, out_dims, randomness: str):
    """(results with their axis, their structure, the axis of each) of one call."""
    level = batch.enter(size, randomness)
    try:
        given = [x if d is None else to_batch(x, level, d)
                 for x, d in zip(leaves, dims, strict=True)]
        flat, spec = flatten(call(given))
        axes = broadcast_prefix(
            out_dims, unflatten(spec, flat),
            f"vmap({_name(function)}, ..., out_dims={out_dims})(<inputs>): out_dims")
        for d in axes:
            if d is not None and not isinstance(d, int):
                raise ValueError(f"vmap({_name(function)}, ..., out_dims={out_dims}): out_dims "
                                 "must be an int or a structure of ints or None")
        return [_result(x, d, level, out_dims, function)
                for x, d in zip(flat, axes, strict=True)], spec, axes
    finally:
        batch.leave(level)


def _joined(pieces: list[list], axes: list) -> list:
    """Results of several calls as one."""
    return [parts[0] if d is None else cat(parts, d)
            for parts, d in zip(zip(*pieces, strict=True), axes, strict=True)]


def vmap(func, in_dims=0, out_dims=0, randomness: str = "error", *, chunk_size: int | None = None):
    """``func`` over the axis ``in_dims`` of its arguments, results stacked at ``out_dims``.

    Args:
        in_dims: an axis for all arguments, or one per argument (nested like it; None: the argument
            is the same for all examples).
        randomness: "different" draws anew for every example, "same" gives all the same numbers,
            "error" forbids random functions.
        chunk_size: at most so many examples at once; None: all.

    Raises:
        ValueError: sizes or structures do not fit.
        RuntimeError: the function asks for the value of a tensor (``item``, ``if x > 0``), writes
            examples into memory from outside, or draws random numbers where they are forbidden.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError("Only allowed values for randomness are 'error', 'different', or 'same'."
                           f" Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def mapped(*args, **kwargs):
        leaves, spec = flatten(args)
        prefix = in_dims if not isinstance(in_dims, list) else tuple(in_dims)
        dims = broadcast_prefix(prefix, args, f"vmap({_name(func)}, in_dims={in_dims}, ...)"
                                              "(<inputs>): in_dims")
        count = len(leaves)
        named, named_spec = flatten(kwargs)
        leaves += named
        dims += [0 if isinstance(x, Tensor) else None for x in named]
        size = _batch_size(leaves, dims, in_dims, func)

        def call(given):
            return func(*unflatten(spec, given[:count]), **unflatten(named_spec, given[count:]))

        step = chunk_size or max(size, 1)
        start = default_generator.get_state() if randomness == "same" and step < size else None
        pieces = []
        with Unfollowed():
            for low in range(0, max(size, 1), step):
                if start is not None and low:
                    default_generator.set_state(start)
                part = leaves if step >= size else [
                    x if d is None else narrow(x, d, low, min(step, size - low))
                    for x, d in zip(leaves, dims, strict=True)]
                out, out_spec, axes = _call(func, part, dims, call, min(step, size - low), out_dims,
                                            randomness)
                pieces.append(out)
        return unflatten(out_spec, pieces[0] if len(pieces) == 1 else _joined(pieces, axes))

    return mapped
