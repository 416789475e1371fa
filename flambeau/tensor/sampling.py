"""Random tensors and random fills: the recipes of ``random.py`` as PyTorch's functions.

Numbers are drawn when a function is called, in the order of the program, so that a seed gives the
same stream as under PyTorch. A tensor whose dimensions are permuted is filled in the order of its
memory, as PyTorch does.
"""

from __future__ import annotations

import math
import operator
import warnings

import numpy as np

from ..autograd import modes
from ..base import device as dv
from ..base import dtype as dt
from ..base import shape as sh
from ..base.layout import of_copy, stride_order
from ..ir.node import leaf
from ..ir.op import apply
from ..ops.prim.index import host
from . import options as opt
from . import random as R
from .batching import drawing, drawn, values_of
from .creation import like
from .follow import draw
from .host import from_array
from .inplace import assign, check_writable, snapshot, without_gradient, write
from .options import (
    device_of,
    dtype_of,
    fill_out,
    finish,
    float_dtype,
    generator_of,
    size_of,
    type_name,
    want_grad,
)
from .storage import zeros_node
from .tensor import Tensor

# --- recipes with PyTorch's checks of dtype and parameters ----------------------------------------


def _real(dtype: dt.dtype, n: int) -> tuple[dt.dtype, int]:
    """What to draw for a complex dtype: twice as many real numbers."""
    return (dtype.to_real(), 2 * n) if dtype.is_complex else (dtype, n)


def _uniform(g, n: int, dtype: dt.dtype, low=0.0, high=1.0, *, contiguous=True) -> np.ndarray:
    if dtype.category < dt.dtype.FLOAT:
        raise NotImplementedError(
            f"\"check_uniform_bounds\" not implemented for '{type_name(dtype)}'")
    if low > high:
        raise RuntimeError("uniform_ expects to return a [from, to) range, but found "
                           f"from={low:g} > to={high:g}")
    real, n = _real(dtype, n)
    for bound, name in ((low, "from"), (high, "to")):
        if abs(bound) > _largest(real):
            raise RuntimeError(f"{name} is out of bounds for {real}")
    return R.uniform(g, n, real, low, high).view(dtype.np)


def _largest(dtype: dt.dtype) -> float:
    if dtype is dt.bfloat16:
        return 3.3895313892515355e38
    return float(np.finfo(dtype.np).max)


def _normal(g, n: int, dtype: dt.dtype, mean=0.0, std=1.0, *, contiguous=True) -> np.ndarray:
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    if dtype.category < dt.dtype.FLOAT:
        raise NotImplementedError(f"\"normal_kernel_cpu\" not implemented for '{type_name(dtype)}'")
    if dtype.is_complex:
        std = std / math.sqrt(2.0)
    real, n = _real(dtype, n)
    return R.normal(g, n, real, mean, std, contiguous=contiguous).view(dtype.np)


def _in_bounds(value: int, name: str, dtype: dt.dtype) -> None:
    """Raise (warn, for floats) when a bound of random_/randint is nothing the dtype can hold."""
    if dtype.is_floating_point:
        digits = {dt.float16: 11, dt.bfloat16: 8, dt.float32: 24, dt.float64: 53}[dtype]
        if abs(value) > _largest(dtype):
            raise RuntimeError(f"{name} is out of bounds for {dtype}")
        if abs(value) > 2**digits:
            warnings.warn(
                f"{name} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision "
                f"limitations {dtype} can support discrete uniform distribution only within this "
                "range. This warning will become an error in version 1.7 release, please fix the "
                "code in advance", UserWarning, stacklevel=4)
        return
    info = (0, 1) if dtype is dt.bool_ else (np.iinfo(dtype.np).min, np.iinfo(dtype.np).max)
    if not info[0] <= value <= info[1]:
        names = {"uint8": "unsigned char", "int8": "signed char", "int16": "short", "int32": "int",
                 "int64": "int64_t"}
        raise RuntimeError(f"{name} is out of bounds for {names.get(dtype.name, dtype.name)}")


def _integers(g, n: int, dtype: dt.dtype, low: int, high: int, *, contiguous=True) -> np.ndarray:
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= "
                           f"to={high}")
    _in_bounds(low, "from", dtype)
    _in_bounds(high - 1, "to - 1", dtype)
    return R.integers(g, n, dtype, low, high)


# --- new tensors ----------------------------------------------------------------------------------


def _make(draw, name: str, shape, dtype: dt.dtype, generator, out, layout, device, pin_memory,
          requires_grad) -> Tensor:
    """A tensor of ``shape`` with ``draw(generator, n, dtype)``'s numbers."""
    stack = drawing()
    if layout is not None or pin_memory:
        opt.check_extras(layout, pin_memory)
    generator = generator_of(generator, name)
    if out is not None:
        if dtype is not out.dtype:
            raise RuntimeError(f"Expected out tensor to have dtype {dtype}, but got {out.dtype} "
                               "instead")
        return fill_out(out, draw(generator, sh.numel(shape), dtype).reshape(shape))
    device = device_of(device)
    if device is not dv.CPU:
        t = Tensor._wrap(zeros_node(shape, dtype), device)
        return want_grad(t) if requires_grad else t
    full = (*(level.size for level in stack), *shape)
    array = draw(generator, sh.numel(full), dtype).reshape(full)
    return finish(drawn(array, stack, dtype), device, requires_grad)


def _out_dtype(dtype, out, name: str) -> dt.dtype:
    return out.dtype if out is not None and dtype is None else float_dtype(dtype, name)


def rand(*args, size=None, generator=None, out=None, dtype=None, layout=None, device=None,
         pin_memory=False, requires_grad=False) -> Tensor:
    """Uniform numbers in [0, 1)."""
    return _make(_uniform, "rand", size_of(args, size, "rand"), _out_dtype(dtype, out, "rand"),
                 generator, out, layout, device, pin_memory, requires_grad)


def randn(*args, size=None, generator=None, out=None, dtype=None, layout=None, device=None,
          pin_memory=False, requires_grad=False) -> Tensor:
    """Normal numbers with mean 0 and variance 1."""
    return _make(_normal, "randn", size_of(args, size, "randn"), _out_dtype(dtype, out, "randn"),
                 generator, out, layout, device, pin_memory, requires_grad)


def _whole(x, what: str) -> int:
    if isinstance(x, (bool, float)) or not hasattr(type(x), "__index__"):
        raise TypeError(f"randint() received an invalid combination of arguments: '{what}' must be "
                        f"int, not {type(x).__name__}")
    return operator.index(x)


def randint(*args, low=None, high=None, size=None, generator=None, out=None, dtype=None,
            layout=None, device=None, pin_memory=False, requires_grad=False) -> Tensor:
    """Whole numbers in [low, high): ``randint(high, size)`` or ``randint(low, high, size)``."""
    args = list(args)
    if args and isinstance(args[-1], (tuple, list)):
        size = args.pop()
    if len(args) == 2 and high is None:
        low, high = args
    elif len(args) == 1 and high is None:
        (high,) = args
    elif len(args) == 1 and low is None:
        (low,) = args
    elif args:
        raise TypeError("randint() received an invalid combination of arguments: give "
                        "(high, size) or (low, high, size)")
    if high is None or not isinstance(size, (tuple, list)):
        raise TypeError("randint() received an invalid combination of arguments: 'high' and a "
                        "tuple 'size' are needed")
    low, high = _whole(0 if low is None else low, "low"), _whole(high, "high")
    if dtype is None:
        dtype = out.dtype if out is not None else dt.int64
    return _make(lambda g, n, d: _integers(g, n, d, low, high), "randint",
                 size_of((size,), None, "randint"), dtype_of(dtype, "randint"), generator, out,
                 layout, device, pin_memory, requires_grad)


def randperm(n, *, generator=None, out=None, dtype=dt.int64, layout=None, device=None,
             pin_memory=False, requires_grad=False) -> Tensor:
    """A random order of 0 ... n - 1."""
    if isinstance(n, (bool, float)) or not hasattr(type(n), "__index__"):
        raise TypeError(f"randperm(): argument 'n' (position 1) must be int, "
                        f"not {type(n).__name__}")
    n = operator.index(n)
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    dtype = dtype_of(dtype, "randperm") if out is None else out.dtype
    if dtype.category == dt.dtype.INT and n - 1 > np.iinfo(dtype.np).max:
        raise RuntimeError(f"value cannot be converted to type {dtype.name}_t without overflow")
    def draw(g, count, d):  # several orders, one after another, for the examples of vmap
        orders = [R.permutation(g, n) for _ in range(count // n if n else 1)]
        return np.concatenate(orders).astype(d.np, copy=False)

    return _make(draw, "randperm", (n,), dtype, generator, out, layout, device, pin_memory,
                 requires_grad)


def _like(draw, name: str):
    def call(input, *, dtype=None, layout=None, device=None, pin_memory=False,  # noqa: A002
             requires_grad=False, memory_format=None, generator=None):
        if type(input) is Tensor and memory_format is None and input.is_contiguous():
            dtype = input.dtype if dtype is None else dtype_of(dtype, name)
            t = _make(draw, name, tuple(input.shape), dtype, generator, None, layout,
                      input.device if device is None else device, pin_memory, requires_grad)
            if t.strides != input.strides:  # those of dimensions of size 1 may be any
                t._lay(t.shape, input.strides)
            return t
        opt.check_extras(layout, pin_memory)
        from_like = like(input, 0, name, dtype=dtype, device=device, memory_format=memory_format)
        _fill(from_like, name, draw, generator)
        return want_grad(from_like) if requires_grad else from_like

    call.__name__ = call.__qualname__ = name
    return call


rand_like = _like(_uniform, "rand_like")
rand_like.__doc__ = "Uniform numbers in [0, 1) with the size, dtype and device of ``input``."
randn_like = _like(_normal, "randn_like")
randn_like.__doc__ = "Normal numbers with the size, dtype and device of ``input``."


def randint_like(input, *args, low=None, high=None, **options) -> Tensor:  # noqa: A002
    """Whole numbers in [low, high) with the size, dtype and device of ``input``."""
    if len(args) == 2:
        low, high = args
    elif args:
        (high,) = args
    low = _whole(0 if low is None else low, "low")
    high = _whole(high, "high")
    draw = _like(lambda g, n, d, contiguous=True: _integers(g, n, d, low, high), "randint_like")
    return draw(input, **options)


def normal(mean, std=1.0, size=None, *, generator=None, out=None, dtype=None, layout=None,
           device=None, pin_memory=False, requires_grad=False) -> Tensor:
    """Normal numbers; mean and deviation are numbers (then ``size`` is needed) or tensors."""
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal() received an invalid combination of arguments: two numbers "
                            "need a size")
        return _make(lambda g, n, d: _normal(g, n, d, float(mean), float(std)), "normal",
                     size_of((size,), None, "normal"), _out_dtype(dtype, out, "normal"), generator,
                     out, layout, device, pin_memory, requires_grad)
    stack = drawing()
    given = mean if isinstance(mean, Tensor) else std
    shape = (*(level.size for level in stack), *sh.broadcast_shapes(
        *[tuple(x.shape) for x in (mean, std) if isinstance(x, Tensor)]))
    if isinstance(std, Tensor):
        deviation = values_of(std, stack)
        if bool((deviation < 0).any()):
            raise RuntimeError("normal expects all elements of std >= 0.0")
        values = _normal(generator_of(generator, "normal"), sh.numel(shape), given.dtype)
        values = np.asarray(values.reshape(shape) * deviation, given.dtype.np)
    else:
        values = _normal(generator_of(generator, "normal"), sh.numel(shape), given.dtype, 0.0,
                         float(std)).reshape(shape)
    centre = values_of(mean, stack) if isinstance(mean, Tensor) else \
        np.asarray(mean, given.dtype.np)
    values = np.asarray(values + centre, given.dtype.np)  # a sum of 0-d arrays is no array
    return Tensor._wrap(drawn(values, stack, given.dtype)) if out is None \
        else fill_out(out, values)


# --- draws that depend on a tensor ----------------------------------------------------------------

def _drawn_from(input: Tensor, name: str, values: np.ndarray, stack) -> Tensor:  # noqa: A002
    result = Tensor._wrap(drawn(values, stack))
    if input.requires_grad and modes.state.grad:
        return apply(without_gradient(name), input, result)
    return result


def drawn_for(kind: str, shape: tuple[int, ...], value, x: Tensor) -> Tensor:
    """What an operation on ``x`` draws; see ops/lib/dropout.py."""
    dtype = dt.bool_ if kind == "keep" else dt.promote_types(x.dtype, dt.float32) \
        if kind == "slopes" else value
    if x.device.type == "meta":
        return Tensor._wrap(zeros_node(shape, dtype), x.device)
    stack = drawing()
    if kind == "slopes":
        return Tensor._wrap(drawn(_slopes(x, *map(dtype.np.type, value), stack), stack))
    if stack:
        full = (*(level.size for level in stack), *shape)
        return Tensor._wrap(drawn(draw(kind, full, value), stack))
    layout = of_copy((shape, x.strides)) if shape == x.shape and not x._row_major else None
    if layout is None:
        return Tensor._wrap(leaf(draw(kind, shape, value), dtype))
    return Tensor._of_layout(leaf(draw(kind, layout.memory, value), dtype), layout)


def _slopes(x: Tensor, low, high, stack) -> np.ndarray:
    """1 where ``x`` is positive (or NaN), else a number in [low, high); only these are drawn."""
    flat = (values_of(x, stack) if stack else host(x)) <= 0
    slopes = np.ones(flat.shape, type(low))
    u = draw("uniform", (int(np.count_nonzero(flat)),), dt.float64)
    slopes[flat] = u * (float(high) - float(low)) + float(low)
    return slopes


def bernoulli(input, p=None, *, generator=None, out=None) -> Tensor:  # noqa: A002
    """1 with the probability that stands in ``input`` (or with probability ``p``), else 0."""
    g, stack = generator_of(generator, "bernoulli"), drawing()
    if p is not None:
        full = (*(level.size for level in stack), *input.shape)
        bits = R.bernoulli(g, sh.numel(full), float(p)).reshape(full)
    else:
        bits = R.bernoulli_each(g, _probabilities(input, stack))
    values = bits.astype(input.dtype.np)
    return fill_out(out, values) if out is not None \
        else _drawn_from(input, "bernoulli", values, stack)


def _probabilities(p: Tensor, stack=()) -> np.ndarray:
    if p.dtype.category != dt.dtype.FLOAT:
        raise NotImplementedError(
            f"\"bernoulli_tensor_cpu_p_\" not implemented for '{type_name(p.dtype)}'")
    return values_of(p, stack)


def multinomial(input, num_samples: int, replacement: bool = False, *,  # noqa: A002
                generator=None, out=None) -> Tensor:
    """Category numbers drawn in proportion to the weights in each row of ``input``."""
    if input.dtype.category != dt.dtype.FLOAT:
        raise RuntimeError("multinomial only supports floating-point dtypes for input, got: "
                           f"{type_name(input.dtype)}")
    if len(input.shape) not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > input.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without "
                           f"replacement: {num_samples} > {input.shape[-1]}")
    stack = drawing()
    weights = values_of(input, stack)
    lead = weights.shape[:-1]
    weights = weights.reshape(-1, input.shape[-1])
    values = R.multinomial(generator_of(generator, "multinomial"), weights, int(num_samples),
                           bool(replacement))
    values = values.reshape(*lead, int(num_samples))
    if out is not None and out.dtype is not dt.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {type_name(out.dtype)}")
    return Tensor._wrap(drawn(values, stack)) if out is None else fill_out(out, values)


def poisson(input, generator=None) -> Tensor:  # noqa: A002
    """Poisson numbers with the rates that stand in ``input``."""
    if input.dtype.category != dt.dtype.FLOAT:
        raise NotImplementedError(f"\"poisson_cpu\" not implemented for '{type_name(input.dtype)}'")
    stack = drawing()
    values = R.poisson(generator_of(generator, "poisson"), values_of(input, stack))
    return _drawn_from(input, "poisson", values, stack)


# --- in place -------------------------------------------------------------------------------------


def _fill(t: Tensor, name: str, draw, generator) -> Tensor:
    """Fill ``t`` with ``draw(generator, n, dtype, contiguous=...)``'s numbers."""
    check_writable(t)
    g = generator_of(generator, name)
    if t.device.type == "meta":
        t._counter.version += 1
        return t
    stack = drawing()
    shape = (*(level.size for level in stack), *t.shape)
    if stack:
        values = draw(g, sh.numel(shape), t.dtype, contiguous=True).reshape(shape)
        return assign(t, Tensor._wrap(drawn(values, stack, t.dtype)))
    contiguous = sh.is_contiguous(shape, t.strides)
    values = draw(g, sh.numel(shape), t.dtype, contiguous=contiguous)
    return _store(t, name, values if contiguous else _memory_order(values, shape, t.strides))


def _store(t: Tensor, name: str, values: np.ndarray) -> Tensor:
    values = values.reshape(tuple(t.shape))
    if modes.state.grad and t.requires_grad:
        return assign(t, apply(without_gradient(name), snapshot(t), from_array(values, t.dtype)))
    write(t, leaf(values, t.dtype))
    return t


def _memory_order(values: np.ndarray, shape, strides) -> np.ndarray:
    """Values laid out so that the first ones come first in the tensor's memory."""
    order = stride_order(shape, strides)[::-1]
    block = values.reshape([shape[d] for d in order])
    return np.ascontiguousarray(block.transpose(np.argsort(order)))


def uniform_(self, *args, generator=None, **bounds):
    """Fill with uniform numbers in [from, to): ``uniform_(from=0, to=1)``."""
    low, high = _two(args, bounds, "uniform_", ("from", 0.0), ("to", 1.0))
    return _fill(self, "uniform", lambda g, n, d, contiguous: _uniform(g, n, d, low, high),
                 generator)


def _two(args, named: dict, name: str, *defaults):
    """Two numbers, by position or name (``from`` is a keyword of Python)."""
    if len(args) > 2:
        raise TypeError(f"{name}() takes at most 2 numbers but {len(args)} were given")
    out = []
    for i, (key, default) in enumerate(defaults):
        value = args[i] if i < len(args) else named.pop(key, default)
        out.append(value.item() if isinstance(value, Tensor) else value)
    if named:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")
    return out


def normal_(self, mean=0.0, std=1.0, *, generator=None):
    """Fill with normal numbers."""
    mean, std = float(mean), float(std)
    return _fill(self, "normal", lambda g, n, d, contiguous: _normal(
        g, n, d, mean, std, contiguous=contiguous), generator)


def _floating_fill(name: str, recipe, label: str, defaults, doc: str):
    """The in-place form of a distribution over floats."""
    keys = [key for key, _ in defaults]

    def method(self, *args, generator=None, **named):
        values = []
        for i, (key, default) in enumerate(defaults):
            value = args[i] if i < len(args) else named.pop(key, default)
            if value is None:
                raise TypeError(f"{name}_() missing 1 required positional argument: \"{key}\"")
            values.append(float(value))
        if named or len(args) > len(defaults):
            raise TypeError(f"{name}_() takes {', '.join(keys) or 'no numbers'} and generator")
        if self.dtype.category < dt.dtype.FLOAT and label:
            raise RuntimeError(f"{label} distribution is a continuous probability distribution. "
                               "dtype must be a floating point but you specified "
                               f"{type_name(self.dtype)}")
        return _fill(self, name, lambda g, n, d, contiguous: recipe(g, n, d, *values), generator)

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = doc
    return method


exponential_ = _floating_fill("exponential", R.exponential, "Exponential", (("lambd", 1.0),),
                              "Fill with exponential numbers of rate ``lambd``.")
cauchy_ = _floating_fill("cauchy", R.cauchy, "Cauchy", (("median", 0.0), ("sigma", 1.0)),
                         "Fill with Cauchy numbers.")
log_normal_ = _floating_fill("log_normal", R.log_normal, "LogNormal",
                             (("mean", 1.0), ("std", 2.0)),
                             "Fill with numbers whose logarithms are normal.")
geometric_ = _floating_fill("geometric", R.geometric, "", (("p", None),),
                            "Fill with the numbers of trials up to the first success.")


def bernoulli_(self, p=0.5, *, generator=None):
    """Fill with 1 (probability ``p``, a number or a tensor) and 0."""
    if isinstance(p, Tensor):
        check_writable(self)
        stack, shape = drawing(), tuple(self.shape)
        if stack:
            full = (*(level.size for level in stack), *shape)
            chances = np.broadcast_to(_probabilities(p, stack), full)
            bits = R.bernoulli_each(generator_of(generator, "bernoulli_"), chances)
            return assign(self, Tensor._wrap(drawn(bits.astype(self.dtype.np), stack)))
        chances = np.broadcast_to(_probabilities(p), shape)
        order = stride_order(shape, self.strides)[::-1]  # the order of the memory
        values = R.bernoulli_each(generator_of(generator, "bernoulli_"), chances.transpose(order))
        values = values.transpose(np.argsort(order)).astype(self.dtype.np, order="C")
        return _store(self, "bernoulli", values)
    return _fill(self, "bernoulli", lambda g, n, d, contiguous: R.bernoulli(
        g, n, float(p)).astype(d.np), generator)


def random_(self, *args, generator=None, **bounds):
    """Fill with whole numbers: all that the dtype holds (from 0 on), or [from, to), or [0, to)."""
    low, high = bounds.pop("from", None), bounds.pop("to", None)
    if bounds or len(args) > 2:
        raise TypeError("random_() takes from, to and generator")
    if len(args) == 2:
        low, high = args
    elif args:
        low, high = (args[0], high) if high is not None else (low, args[0])
    if low is None and high is None:
        def draw(g, n, d, contiguous):
            return R.full_range(g, n, d)
    elif high is None and low == -2**63:
        def draw(g, n, d, contiguous):
            return R.full_range_64(g, n, d)
    else:
        low, high = int(low or 0), (_beyond(self.dtype) if high is None else int(high))

        def draw(g, n, d, contiguous):
            return _integers(g, n, d, low, high)
    return _fill(self, "random", draw, generator)


def _beyond(dtype: dt.dtype) -> int:
    """One more than the largest whole number that random_ draws for a dtype."""
    if dtype.is_floating_point:
        return 2**{dt.float16: 11, dt.bfloat16: 8, dt.float32: 24, dt.float64: 53}[dtype] + 1
    return 2 if dtype is dt.bool_ else int(np.iinfo(dtype.np).max) + 1
