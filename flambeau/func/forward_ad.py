"""torch.autograd.forward_ad: tensors that carry a direction (dual numbers).

A direction is pushed forward by two backward passes when it is asked for: the derivative of the
gradients by their weights. So what happens between :func:`make_dual` and :func:`unpack_dual` must
be recorded, and a result of duals requires a gradient.
"""

from __future__ import annotations

from collections import namedtuple

from ..tensor import Tensor
from ..tensor.creation import zeros_like
from .transforms import _fresh, _gradients, _Level

UnpackedDualTensor = namedtuple("UnpackedDualTensor", "primal tangent")
UnpackedDualTensor.__doc__ = "A value and its direction (None where it has none)."


class _Stack:
    #: for each open level its duals: (value on the tape, direction, whether the tape goes on)
    levels: list[list] = []


def enter_dual_level() -> int:
    """Open a level and give its number.

    Raises:
        RuntimeError: one is open already; nested directions are those of torch.func.jvp.
    """
    if _Stack.levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _Stack.levels.append([])
    return len(_Stack.levels) - 1


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the level: its directions are gone.

    Raises:
        RuntimeError: it is not the one that is open.
    """
    open_level = len(_Stack.levels) - 1
    if open_level < 0 or (level is not None and level != open_level):
        raise RuntimeError("Trying to exit a forward AD level that was not the last one that was "
                           "created. This is not supported.")
    _Stack.levels.pop()


class dual_level:  # noqa: N801
    """``with dual_level():`` opens a level for duals and closes it."""

    def __enter__(self):
        return enter_dual_level()

    def __exit__(self, *exc):
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """``tensor`` with a direction; a copy, which later changes of ``tensor`` do not reach.

    Raises:
        RuntimeError: no level is open, or the two do not fit.
        ValueError: one of them is not floating.
    """
    if not _Stack.levels:
        raise RuntimeError("Trying to create a dual Tensor for forward AD but no level exists, "
                           "make sure to enter_dual_level() first.")
    for x, name in ((tensor, "tensor"), (tangent, "tangent")):
        if not (x.is_floating_point() or x.is_complex()):
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {x.dtype}")
    if tensor.shape != tangent.shape:
        raise RuntimeError(f"Expected the tangent to have the primal's shape {tuple(tensor.shape)},"
                           f" got {tuple(tangent.shape)}")
    value = _fresh(tensor)
    _Stack.levels[-1].append((value, tangent))
    return value.clone()


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The value of a tensor and its direction; None when it comes from no dual of the level."""
    duals = _Stack.levels[-1] if _Stack.levels else []
    if not duals or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    values = [v for v, _ in duals]
    with _Level() as here:
        weight = _fresh(zeros_like(tensor))
        back = _gradients([tensor], values, [weight], True)
        found = [(g, t) for g, (_, t) in zip(back, duals, strict=True) if g.requires_grad]
        if not found:
            return UnpackedDualTensor(tensor, None)
        own, steps = [*values, weight], [t for _, t in found]
        (along,) = _gradients([g for g, _ in found], [weight], steps,
                              here.outside([tensor, *steps], own))
        return UnpackedDualTensor(here.settle(tensor, own), here.settle(along, own))
