"""PyTorch with rounding errors drawn at random, to learn how much a program magnifies them."""

from __future__ import annotations

from functools import cache

#: one unit in the last place, relative to the value
SIZE = {"float32": 2.0**-23, "float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7}
#: operations whose results are exact
EXACT = frozenset("""
    _local_scalar_dense _to_copy abs alias amax amin arange argmax argmin as_strided_ bernoulli
    bernoulli_ cat clamp clamp_ clamp_max clamp_min clone constant_pad_nd copy_ detach embedding
    empty empty_like empty_strided eq fill_ flip full full_like gather ge gt hardtanh index
    index_put index_put_ index_select item le leaky_relu lift_fresh lt masked_fill masked_fill_
    max max_pool2d_with_indices maximum min minimum ne neg new_empty new_full new_ones new_zeros
    ones ones_like rand randint random_ randperm relu relu_ repeat round scalar_tensor scatter
    scatter_ select_backward select_scatter sign slice_backward slice_scatter sort stack
    threshold_backward topk uniform_ where zero_ zeros zeros_like
""".split())
#: operations of several steps, which PyTorch computes in one way and flambeau in another: each step
#: has errors of its own (a mean that is taken from what it is the mean of leaves nothing but these)
FUSED = frozenset("""
    native_batch_norm native_batch_norm_backward native_group_norm native_group_norm_backward
    native_layer_norm native_layer_norm_backward
""".split())


def _argument(argument, n: int, args, kwargs):
    return args[n] if n < len(args) else kwargs.get(argument.name)


@cache
def noise_mode():
    """The class of the mode; made when PyTorch is needed."""
    import torch
    from torch._decomp import decomposition_table
    from torch.utils._python_dispatch import TorchDispatchMode

    sizes = {getattr(torch, name): size for name, size in SIZE.items()}

    class Noise(TorchDispatchMode):
        """While active, operands and results of inexact operations are off by rounding errors: at
        most one to three units in the last place, as the seed says. With every fourth seed they
        are not, and the steps of FUSED alone differ: where these cancel, nothing at all is left."""

        def __init__(self, seed: int):
            super().__init__()
            self.source = torch.Generator().manual_seed(seed)
            self.times = float((seed + 1) % 4)

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            schema, kwargs = function._schema, kwargs or {}
            name = schema.name.partition("::")[2]
            if name in EXACT or function.is_view:
                return function(*args, **kwargs)
            if name in FUSED and function in decomposition_table:
                with self:
                    return decomposition_table[function](*args, **kwargs)
            written = []
            args = list(args)
            for n, a in enumerate(schema.arguments):
                if a.alias_info is not None and a.alias_info.is_write:
                    written.append(_argument(a, n, args, kwargs))
                    self.change(written[-1])
                elif n < len(args):
                    args[n] = self.off(args[n])
                elif a.name in kwargs:
                    kwargs[a.name] = self.off(kwargs[a.name])
            out = function(*args, **kwargs)
            for x in written or [out]:
                self.change(x)
            return out

        def factor(self, x):
            noise = torch.rand(x.shape, generator=self.source, dtype=torch.float32)
            return (1 + self.times * sizes[x.dtype] * (2 * noise.double() - 1)).to(
                torch.promote_types(x.dtype, torch.float32))

        def off(self, x):
            """A changed copy of an operand."""
            if isinstance(x, (list, tuple)):
                return type(x)(self.off(y) for y in x)
            if not isinstance(x, torch.Tensor) or x.dtype not in sizes:
                return x
            return (x * self.factor(x)).to(x.dtype)

        def change(self, x) -> None:
            """Change a result where it is."""
            if isinstance(x, (list, tuple)):
                for y in x:
                    self.change(y)
            elif isinstance(x, torch.Tensor) and x.dtype in sizes:
                x.copy_(x * self.factor(x))

    return Noise
