"""Gamma and Dirichlet numbers, with gradients by implicit reparametrisation.

Sampling: Marsaglia and Tsang (2000), with their boost for shapes below 1, in float64 and in
PyTorch's order of draws. Gradient of a sample x by the shape a: -(dF/da) / p(x; a), where F is the
regularised incomplete gamma function; dF/da by a central difference in float64.
"""

from __future__ import annotations

import math

import numpy as np

from ..autograd import modes
from ..ir.node import OpClass, Prim, make
from ..ir.op import Op, apply
from ..ops.core import same_dtype
from ..ops.prim.elementwise import mul
from ..ops.prim.special_gamma import igamma64, lgamma64
from .batching import drawing, drawn, values_of
from .generator import Generator
from .options import generator_of, type_name
from .random import _few_pairs, unit
from .tensor import Tensor


def gamma_numbers(generator: Generator, shapes: np.ndarray) -> np.ndarray:
    """One standard gamma number per shape parameter."""
    flat = np.ascontiguousarray(shapes).reshape(-1).astype(np.float64)
    out = np.array([_one(generator, a) for a in flat.tolist()], np.float64)
    out = out.reshape(shapes.shape).astype(shapes.dtype)
    tiny = np.finfo(np.float32 if shapes.dtype.itemsize < 8 else np.float64).tiny
    return np.maximum(out, out.dtype.type(tiny))


def _one(generator: Generator, shape: float) -> float:
    scale = 1.0
    if shape == 0.0:
        return 0.0
    if shape < 1.0:
        scale = (1.0 - float(unit(generator, 1)[0])) ** (1.0 / shape)
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        y = 0.0
        while y <= 0.0:
            x = _few_pairs(generator, 1)[0]
            y = 1.0 + c * x
        v = y * y * y
        u = 1.0 - float(unit(generator, 1)[0])
        square = x * x
        if u < 1.0 - 0.0331 * square * square \
                or math.log(u) < 0.5 * square + d * (1.0 - v + math.log(v)):
            return scale * d * v


def _slope(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """d sample / d shape."""
    a64, x64 = np.asarray(a, np.float64), np.asarray(x, np.float64)
    h = 1e-5 * np.maximum(a64, 1e-3)
    change = (igamma64(a64 + h, x64) - igamma64(a64 - h, x64)) / (2 * h)
    density = np.exp((a64 - 1) * np.log(x64) - x64 - lgamma64(a64))
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = -change / density
    # far in the lower tail F is x**a / gamma(a + 1), there the quotient loses its digits
    return np.where(np.isfinite(slope), slope, x64 / a64).astype(a.dtype)


SLOPE = Prim("gamma_slope", OpClass.ELEMENTWISE, same_dtype, _slope,
             doc="Derivative of a gamma number by its shape parameter.")
_slope_op = Op("_standard_gamma_grad", lambda a, x: make(SLOPE, (a, x)),
               nondiff="the second derivative of a random number")
_gamma_op = Op("_standard_gamma", lambda a, x: x,
               lambda ctx, g: (mul(g, apply(_slope_op, ctx.operand(0), ctx.operand(1))), None),
               saves=(0, 1), grad_name="StandardGammaBackward0")


def standard_gamma(input: Tensor, generator=None) -> Tensor:  # noqa: A002
    """Gamma numbers of rate 1 with the shape parameters ``input``; differentiable.

    Raises:
        NotImplementedError: ``input`` is not floating.
    """
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"gamma_cpu\" not implemented for '{type_name(input.dtype)}'")
    stack = drawing()
    sample = Tensor._wrap(drawn(gamma_numbers(generator_of(generator, "_standard_gamma"),
                                              values_of(input, stack)), stack))
    if input.requires_grad and modes.state.grad:
        return apply(_gamma_op, input, sample)
    return sample
