"""Pooling: the maximum, mean or norm of windows, in one to three dimensions."""

from __future__ import annotations

from .. import functional as F
from ..core import Tensor
from ..module import Module
from .utils import _pair, _single, _triple


class _MaxPoolNd(Module):
    """What the maximum pools share.

    Args:
        kernel_size: the window, a number or one per dimension.
        stride: from window to window; ``kernel_size`` by default.
        padding: added on both sides, with minus infinity.
        dilation: from element to element of a window.
        return_indices: also return where the maxima are, for MaxUnpool.
        ceil_mode: let a last, incomplete window count.
    """

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1,
                 return_indices: bool = False, ceil_mode: bool = False):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor):
        """(N, C, *) -> (N, C, *out), or that and the indices; the N may be missing."""
        return self._pool(input, self.kernel_size, self.stride, self.padding, self.dilation,
                          ceil_mode=self.ceil_mode, return_indices=self.return_indices)

    def extra_repr(self) -> str:
        """The arguments."""
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
                f"dilation={self.dilation}, ceil_mode={self.ceil_mode}")


class MaxPool1d(_MaxPoolNd):
    """The maximum of windows of (N, C, L); L_out as of a convolution."""

    _pool = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPoolNd):
    """The maximum of windows of (N, C, H, W); sizes as of a convolution."""

    _pool = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPoolNd):
    """The maximum of windows of (N, C, D, H, W); sizes as of a convolution."""

    _pool = staticmethod(F.max_pool3d)


class _MaxUnpoolNd(Module):
    """What the inverses of the maximum pools share: maxima at their places, zeros elsewhere."""

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        self.kernel_size = self._each(kernel_size)
        self.stride = self._each(stride if stride is not None else kernel_size)
        self.padding = self._each(padding)

    def forward(self, input: Tensor, indices: Tensor, output_size=None) -> Tensor:
        """(N, C, *) and the indices that a MaxPool returned -> (N, C, *out)."""
        return self._unpool(input, indices, self.kernel_size, self.stride, self.padding,
                            output_size)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """Undoes a MaxPool1d as far as possible."""

    _each, _unpool = staticmethod(_single), staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpoolNd):
    """Undoes a MaxPool2d as far as possible."""

    _each, _unpool = staticmethod(_pair), staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpoolNd):
    """Undoes a MaxPool3d as far as possible."""

    _each, _unpool = staticmethod(_triple), staticmethod(F.max_unpool3d)


class _AvgPoolNd(Module):
    """What the mean pools share."""

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
    """The mean of windows of (N, C, L).

    Args:
        kernel_size, stride, padding, ceil_mode: as in MaxPool1d; padding is with zeros.
        count_include_pad: padded zeros count in the mean.
    """

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode: bool = False,
                 count_include_pad: bool = True):
        super().__init__()
        self.kernel_size = _single(kernel_size)
        self.stride = _single(stride if stride is not None else kernel_size)
        self.padding = _single(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, L_out)."""
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                            self.count_include_pad)


class AvgPool2d(_AvgPoolNd):
    """The mean of windows of (N, C, H, W).

    Args:
        kernel_size, stride, padding, ceil_mode: as in MaxPool2d; padding is with zeros.
        count_include_pad: padded zeros count in the mean.
        divisor_override: divide by this instead of the window's size.
    """

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode: bool = False,
                 count_include_pad: bool = True, divisor_override: int | None = None):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) -> (N, C, *out)."""
        return self._pool(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                          self.count_include_pad, self.divisor_override)

    _pool = staticmethod(F.avg_pool2d)


class AvgPool3d(AvgPool2d):
    """The mean of windows of (N, C, D, H, W); arguments as in AvgPool2d."""

    _pool = staticmethod(F.avg_pool3d)


class _FractionalMaxPoolNd(Module):
    """Maxima of windows at random, nearly even steps (Graham, 2014).

    Args:
        kernel_size: the window.
        output_size, output_ratio: one of the two: the result's size, or its part of the input's.
        return_indices: also return where the maxima are.
    """

    _n = 0

    def __init__(self, kernel_size, output_size=None, output_ratio=None,
                 return_indices: bool = False, _random_samples=None):
        super().__init__()
        self.kernel_size = self._each(kernel_size)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = self._each(output_size) if output_size is not None else None
        self.output_ratio = self._each(output_ratio) if output_ratio is not None else None
        name = f"FractionalMaxPool{self._n}d"
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling "
                             "ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor):
        """(N, C, *) -> (N, C, *output_size)."""
        return self._pool(input, self.kernel_size, self.output_size, self.output_ratio,
                          self.return_indices, _random_samples=self._random_samples)


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    __doc__ = _FractionalMaxPoolNd.__doc__
    _n, _each, _pool = 2, staticmethod(_pair), staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    __doc__ = _FractionalMaxPoolNd.__doc__
    _n, _each, _pool = 3, staticmethod(_triple), staticmethod(F.fractional_max_pool3d)


class _LPPoolNd(Module):
    """The p-norm of windows: (sum x^p)^(1/p).

    Args:
        norm_type: p; 1 is the sum, large p approach the maximum.
        kernel_size, stride, ceil_mode: as in the other pools.
    """

    def __init__(self, norm_type: float, kernel_size, stride=None, ceil_mode: bool = False):
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) -> (N, C, *out)."""
        return self._pool(input, float(self.norm_type), self.kernel_size, self.stride,
                          self.ceil_mode)

    def extra_repr(self) -> str:
        """The arguments."""
        return (f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, "
                f"stride={self.stride}, ceil_mode={self.ceil_mode}")


class LPPool1d(_LPPoolNd):
    __doc__ = _LPPoolNd.__doc__
    _pool = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPoolNd):
    __doc__ = _LPPoolNd.__doc__
    _pool = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPoolNd):
    __doc__ = _LPPoolNd.__doc__
    _pool = staticmethod(F.lp_pool3d)


class _AdaptiveMaxPoolNd(Module):
    """Maxima of windows that are chosen to give ``output_size`` (None: the input's size)."""

    def __init__(self, output_size, return_indices: bool = False):
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor):
        """(N, C, *) -> (N, C, *output_size)."""
        return self._pool(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        """The result's size."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    __doc__ = _AdaptiveMaxPoolNd.__doc__
    _pool = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    __doc__ = _AdaptiveMaxPoolNd.__doc__
    _pool = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    __doc__ = _AdaptiveMaxPoolNd.__doc__
    _pool = staticmethod(F.adaptive_max_pool3d)


class _AdaptiveAvgPoolNd(Module):
    """Means of windows that are chosen to give ``output_size`` (None: the input's size)."""

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) -> (N, C, *output_size)."""
        return self._pool(input, self.output_size)

    def extra_repr(self) -> str:
        """The result's size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    __doc__ = _AdaptiveAvgPoolNd.__doc__
    _pool = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    __doc__ = _AdaptiveAvgPoolNd.__doc__
    _pool = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    __doc__ = _AdaptiveAvgPoolNd.__doc__
    _pool = staticmethod(F.adaptive_avg_pool3d)
