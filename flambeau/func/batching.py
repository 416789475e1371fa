"""vmap: a function of one example as a function of a batch.

The function is called once per example and the results are stacked. The calls are recorded, not
computed one by one: what they have in common becomes kernels shared by all examples.
"""

from __future__ import annotations

import functools

from ..ops.lib.joining import stack
from ..tensor import Tensor
from ..tensor.generator import default_generator
from .tree import broadcast_prefix, flatten, unflatten


def _batch_size(leaves: list, dims: list, function) -> int:
    sizes = []
    for x, d in zip(leaves, dims, strict=True):
        if d is None:
            continue
        if not isinstance(d, int):
            raise ValueError(f"vmap({_name(function)}, in_dims=...): in_dims must hold integers or "
                             f"None, got {d!r}")
        if not isinstance(x, Tensor):
            raise ValueError(f"vmap({_name(function)}, in_dims=...): Got in_dim={d} for an input "
                             f"but the input is of type {type(x)}. We cannot vmap over non-Tensor "
                             "arguments, please use None as the respective in_dim")
        if not -len(x.shape) <= d < len(x.shape):
            raise ValueError(f"vmap({_name(function)}, in_dims=...): Got in_dim={d} for some "
                             f"input, but that input is a Tensor of dimensionality {len(x.shape)}")
        sizes.append(x.shape[d])
    if not sizes:
        raise ValueError("vmap() must have at least one mapped Tensor argument: all in_dims are "
                         "None")
    if any(s != sizes[0] for s in sizes):
        raise ValueError("vmap: Expected all tensors to have the same size in the mapped dimension,"
                         f" got sizes {sizes} for the mapped dimension")
    return sizes[0]


def _name(function) -> str:
    return getattr(function, "__name__", repr(function))


def _join(values: list, dim) -> Tensor:
    if dim is None:
        return values[0]
    if not isinstance(values[0], Tensor):
        raise ValueError("vmap: the function must only return Tensors, got type "
                         f"{type(values[0])}. Did you mean to set out_dims= to None for output?")
    return stack(values, dim)


def vmap(func, in_dims=0, out_dims=0, randomness: str = "error", *, chunk_size: int | None = None):
    """``func`` over the axis ``in_dims`` of its arguments, results stacked at ``out_dims``.

    Args:
        in_dims: an axis for all arguments, or one per argument (nested like it; None: the argument
            is the same for all examples).
        randomness: "different" draws anew for every example, "same" gives all the same numbers,
            "error" forbids random functions in PyTorch (here they draw as "different").
        chunk_size: accepted.

    Raises:
        ValueError: sizes or structures do not fit.

    Differs from PyTorch: the function runs once per example, so that it may branch on values; a
    large batch costs recording time in proportion.
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
        dims = broadcast_prefix(prefix, args, f"vmap({_name(func)}, in_dims={in_dims})")
        named, named_spec = flatten(kwargs)
        dims += [0 if isinstance(x, Tensor) else None for x in named]
        leaves += named
        size = _batch_size(leaves, dims, func)
        columns = [x.unbind(d) if d is not None else None
                   for x, d in zip(leaves, dims, strict=True)]
        start = default_generator.get_state() if randomness == "same" else None
        results, out_spec = [], None
        for i in range(size):
            if start is not None and i:
                default_generator.set_state(start)
            picked = [x if c is None else c[i] for x, c in zip(leaves, columns, strict=True)]
            count = len(picked) - len(named)
            out = func(*unflatten(spec, picked[:count]), **unflatten(named_spec, picked[count:]))
            flat, out_spec = flatten(out)
            results.append(flat)
        if not results:
            raise RuntimeError("vmap: the mapped dimension has size 0: there is no example to call "
                               "the function with")
        outs = broadcast_prefix(out_dims, unflatten(out_spec, results[0]),
                                f"vmap({_name(func)}, ..., out_dims={out_dims})")
        return unflatten(out_spec, [_join([r[k] for r in results], d)
                                    for k, d in enumerate(outs)])

    return mapped
