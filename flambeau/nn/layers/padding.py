"""Padding layers: values added around the last one to three dimensions."""

from __future__ import annotations

from .. import functional as F
from ..core import Tensor
from ..module import Module
from .utils import _ntuple

_DOC = """{what} around the last {n} dimension{s}.

    Args:
        padding: a number for all sides, or (left, right{more}), last dimension first.{extra}
    """
_MORE = {1: "", 2: ", top, bottom", 3: ", top, bottom, front, back"}


def _doc(what: str, n: int, extra: str = "") -> str:
    return _DOC.format(what=what, n=n, s="" if n == 1 else "s", more=_MORE[n], extra=extra)


class _PadNd(Module):
    """Pads with ``_mode`` on ``_n`` dimensions."""

    _n = 0
    _mode = "constant"

    def __init__(self, padding):
        super().__init__()
        self.padding = _ntuple(2 * self._n)(padding)

    def forward(self, input: Tensor) -> Tensor:
        """(*, *sizes) -> (*, *sizes + padding)."""
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        """The amounts."""
        return f"{self.padding}"


class _CircularPadNd(_PadNd):
    """Repeats the input around."""

    _mode = "circular"

    def _check_input_dim(self, input) -> None:
        if input.dim() not in (self._n + 1, self._n + 2):
            raise ValueError(f"expected {self._n + 1}D or {self._n + 2}D input (got {input.dim()}D "
                             "input)")

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *sizes) -> (N, C, *sizes + padding)."""
        self._check_input_dim(input)
        return super().forward(input)


class CircularPad1d(_CircularPadNd):
    __doc__ = _doc("The input repeated", 1)
    _n = 1


class CircularPad2d(_CircularPadNd):
    __doc__ = _doc("The input repeated", 2)
    _n = 2


class CircularPad3d(_CircularPadNd):
    __doc__ = _doc("The input repeated", 3)
    _n = 3


class _ConstantPadNd(_PadNd):
    """Pads with ``value``."""

    def __init__(self, padding, value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """(*, *sizes) -> (*, *sizes + padding)."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """The amounts and the value."""
        return f"padding={self.padding}, value={self.value}"


_VALUE = "\n        value: what is put there."


class ConstantPad1d(_ConstantPadNd):
    __doc__ = _doc("A constant", 1, _VALUE)
    _n = 1


class ConstantPad2d(_ConstantPadNd):
    __doc__ = _doc("A constant", 2, _VALUE)
    _n = 2


class ConstantPad3d(_ConstantPadNd):
    __doc__ = _doc("A constant", 3, _VALUE)
    _n = 3


class _ReflectionPadNd(_PadNd):
    """Reflects the input at its border."""

    _mode = "reflect"


class ReflectionPad1d(_ReflectionPadNd):
    __doc__ = _doc("The input reflected", 1)
    _n = 1


class ReflectionPad2d(_ReflectionPadNd):
    __doc__ = _doc("The input reflected", 2)
    _n = 2


class ReflectionPad3d(_ReflectionPadNd):
    __doc__ = _doc("The input reflected", 3)
    _n = 3


class _ReplicationPadNd(_PadNd):
    """Repeats the border."""

    _mode = "replicate"


class ReplicationPad1d(_ReplicationPadNd):
    __doc__ = _doc("The border repeated", 1)
    _n = 1


class ReplicationPad2d(_ReplicationPadNd):
    __doc__ = _doc("The border repeated", 2)
    _n = 2


class ReplicationPad3d(_ReplicationPadNd):
    __doc__ = _doc("The border repeated", 3)
    _n = 3


class _ZeroPad:
    """Printing and arguments of the zero pads."""

    def __init__(self, padding):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The amounts."""
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad, ConstantPad1d):
    __doc__ = _doc("Zeros", 1)


class ZeroPad2d(_ZeroPad, ConstantPad2d):
    __doc__ = _doc("Zeros", 2)


class ZeroPad3d(_ZeroPad, ConstantPad3d):
    __doc__ = _doc("Zeros", 3)
