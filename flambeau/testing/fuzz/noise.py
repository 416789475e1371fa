"""PyTorch with rounding errors drawn at random, to learn how much a program magnifies them."""

from __future__ import annotations

from functools import cache

#: a few units in the last place
SIZE = {"float32": 4e-7, "float64": 8e-16, "float16": 2e-3, "bfloat16": 1.6e-2}
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
#: operations that add up many operands: their operands are changed too
SUMS = frozenset("""
    _log_softmax _softmax addmm baddbmm bmm convolution convolution_backward cumsum dot
    linalg_vector_norm logsumexp mean mm mv native_layer_norm native_group_norm norm std sum var
    var_mean avg_pool2d _adaptive_avg_pool2d
""".split())


def _argument(argument, n: int, args, kwargs):
    return args[n] if n < len(args) else kwargs.get(argument.name)


@cache
def noise_mode():
    """The class of the mode; made when PyTorch is needed."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    sizes = {getattr(torch, name): size for name, size in SIZE.items()}

    class Noise(TorchDispatchMode):
        """While active, results of inexact operations are off by about a rounding error."""

        def __init__(self, seed: int):
            super().__init__()
            self.source = torch.Generator().manual_seed(seed)
            self.times = 1.0 + seed % 3

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            schema, kwargs = function._schema, kwargs or {}
            name = schema.name.partition("::")[2]
            if name in EXACT or function.is_view:
                return function(*args, **kwargs)
            written = [_argument(a, n, args, kwargs) for n, a in enumerate(schema.arguments)
                       if a.alias_info is not None and a.alias_info.is_write]
            if "batch_norm" in name:  # its running statistics are written
                args = [self.off(args[0]), *args[1:]]
            elif name in SUMS:
                args = [self.off(a) for a in args]
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
