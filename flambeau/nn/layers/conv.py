"""Convolutions and transposed convolutions in one, two and three dimensions."""

from __future__ import annotations

import math

from .. import functional as F
from .. import init
from ..core import Tensor, empty
from ..module import Module
from ..parameter import Parameter, UninitializedParameter
from .lazy import LazyModuleMixin
from .utils import _pair, _reverse_repeat_tuple, _single, _triple

_PADDING_MODES = {"zeros", "reflect", "replicate", "circular"}


class _ConvNd(Module):
    """What all convolutions share: arguments, parameters, printing."""

    def __init__(self, in_channels, out_channels, kernel_size, stride, padding, dilation,
                 transposed, output_padding, groups, bias, padding_mode, device=None, dtype=None):
        super().__init__()
        _check_arguments(in_channels, out_channels, stride, padding, groups, padding_mode)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = _padding_list(padding, dilation, kernel_size)
        first, second = ((in_channels, out_channels) if transposed
                         else (out_channels, in_channels))
        made = {"device": device, "dtype": dtype}
        self.weight = Parameter(empty((first, second // groups, *kernel_size), **made))
        if bias:
            self.bias = Parameter(empty(out_channels, **made))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values from U(-k, k), k = 1 / sqrt(in_channels / groups * kernel)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """The arguments that differ from their defaults."""
        zeros, ones = (0,) * len(self.padding), (1,) * len(self.dilation)
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
                 f"stride={self.stride}"]
        if self.padding != zeros:
            parts.append(f"padding={self.padding}")
        if self.dilation != ones:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0,) * len(self.output_padding):
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)

    def __setstate__(self, state):
        super().__setstate__(state)
        if not hasattr(self, "padding_mode"):
            self.padding_mode = "zeros"

    def _padded(self, input: Tensor) -> Tensor:
        return F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)


def _check_arguments(in_channels, out_channels, stride, padding, groups, padding_mode) -> None:
    if groups <= 0:
        raise ValueError("groups must be a positive integer")
    if in_channels % groups != 0:
        raise ValueError("in_channels must be divisible by groups")
    if out_channels % groups != 0:
        raise ValueError("out_channels must be divisible by groups")
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"Invalid padding string {padding!r}, should be one of "
                             "{'same', 'valid'}")
        if padding == "same" and any(s != 1 for s in stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
    if padding_mode not in _PADDING_MODES:
        raise ValueError(f"padding_mode must be one of {_PADDING_MODES}, but got "
                         f"padding_mode='{padding_mode}'")


def _padding_list(padding, dilation, kernel_size) -> list | tuple:
    """How much F.pad adds on each side, last dimension first."""
    if not isinstance(padding, str):
        return _reverse_repeat_tuple(padding, 2)
    amounts = [0, 0] * len(kernel_size)
    if padding == "same":
        for i, (d, k) in enumerate(zip(dilation, kernel_size, strict=True)):
            total = d * (k - 1)
            at = 2 * (len(kernel_size) - 1 - i)
            amounts[at], amounts[at + 1] = total // 2, total - total // 2
    return amounts


class _Conv(_ConvNd):
    """A convolution in ``_n`` dimensions."""

    _n = 0

    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0,
                 dilation=1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
                 device=None, dtype=None):
        each = _TUPLES[self._n]
        super().__init__(in_channels, out_channels, each(kernel_size), each(stride),
                         padding if isinstance(padding, str) else each(padding), each(dilation),
                         False, each(0), groups, bias, padding_mode, device, dtype)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding_mode != "zeros":
            return self._convolve(self._padded(input), weight, bias, self.stride,
                                  _TUPLES[self._n](0), self.dilation, self.groups)
        return self._convolve(input, weight, bias, self.stride, self.padding, self.dilation,
                              self.groups)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, *) -> (N, out_channels, *); the N may be missing."""
        return self._conv_forward(input, self.weight, self.bias)


_TUPLES = {1: _single, 2: _pair, 3: _triple}
_CONV_DOC = """A convolution in {n} dimension{s}.

    out = bias + sum over in_channels and kernel of weight * input (cross-correlation). Shapes:
    input (N, in_channels, {dims}), output (N, out_channels, {outs}) with
    L_out = floor((L + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1; weight
    (out_channels, in_channels / groups, *kernel_size).

    Args:
        in_channels, out_channels: numbers of channels, both divisible by ``groups``.
        kernel_size, stride, padding, dilation: a number, or one per dimension; ``padding`` may be
            "same" or "valid".
        groups: channels are convolved in this many separate groups.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
    """


class Conv1d(_Conv):
    __doc__ = _CONV_DOC.format(n="one", s="", dims="L", outs="L_out")
    _n = 1
    _convolve = staticmethod(F.conv1d)


class Conv2d(_Conv):
    __doc__ = _CONV_DOC.format(n="two", s="s", dims="H, W", outs="H_out, W_out")
    _n = 2
    _convolve = staticmethod(F.conv2d)


class Conv3d(_Conv):
    __doc__ = _CONV_DOC.format(n="three", s="s", dims="D, H, W", outs="D_out, H_out, W_out")
    _n = 3
    _convolve = staticmethod(F.conv3d)


class _ConvTransposeNd(_ConvNd):
    """What the transposed convolutions share."""

    _n = 0

    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0,
                 output_padding=0, groups: int = 1, bias: bool = True, dilation=1,
                 padding_mode: str = "zeros", device=None, dtype=None):
        if padding_mode != "zeros":
            raise ValueError("Only \"zeros\" padding mode is supported for "
                             f"{type(self).__name__}")
        each = _TUPLES[self._n]
        super().__init__(in_channels, out_channels, each(kernel_size), each(stride), each(padding),
                         each(dilation), True, each(output_padding), groups, bias, padding_mode,
                         device, dtype)

    def _output_padding(self, input: Tensor, output_size) -> list:
        """What must be added to reach ``output_size``.

        Raises:
            ValueError: the size cannot be reached, or has a wrong number of dimensions.
        """
        if output_size is None:
            return list(self.output_padding)
        n = self._n
        batched = input.dim() == n + 2
        head = 2 if batched else 1
        if len(output_size) == head + n:
            output_size = output_size[head:]
        if len(output_size) != n:
            raise ValueError(f"ConvTranspose{n}D: for {input.dim()}D input, output_size must have "
                             f"{n} or {head + n} elements (got {len(output_size)})")
        least = [(input.size(d + head) - 1) * self.stride[d] - 2 * self.padding[d]
                 + self.dilation[d] * (self.kernel_size[d] - 1) + 1 for d in range(n)]
        most = [low + s - 1 for low, s in zip(least, self.stride, strict=True)]
        for size, low, high in zip(output_size, least, most, strict=True):
            if not low <= size <= high:
                raise ValueError(f"requested an output size of {output_size}, but valid sizes "
                                 f"range from {least} to {most} (for an input of "
                                 f"{input.size()[2:]})")
        return [size - low for size, low in zip(output_size, least, strict=True)]

    def forward(self, input: Tensor, output_size=None) -> Tensor:
        """(N, in_channels, *) -> (N, out_channels, *); the N may be missing."""
        return self._convolve(input, self.weight, self.bias, self.stride, self.padding,
                              self._output_padding(input, output_size), self.groups, self.dilation)


_TRANSPOSE_DOC = """A transposed convolution in {n} dimension{s}: the gradient of a convolution.

    Shapes: input (N, in_channels, {dims}), output (N, out_channels, {outs}) with
    L_out = (L - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1; weight
    (in_channels, out_channels / groups, *kernel_size). ``forward`` takes an ``output_size``.
    """


class ConvTranspose1d(_ConvTransposeNd):
    __doc__ = _TRANSPOSE_DOC.format(n="one", s="", dims="L", outs="L_out")
    _n = 1
    _convolve = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTransposeNd):
    __doc__ = _TRANSPOSE_DOC.format(n="two", s="s", dims="H, W", outs="H_out, W_out")
    _n = 2
    _convolve = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTransposeNd):
    __doc__ = _TRANSPOSE_DOC.format(n="three", s="s", dims="D, H, W", outs="D_out, H_out, W_out")
    _n = 3
    _convolve = staticmethod(F.conv_transpose3d)


class _LazyConvXdMixin(LazyModuleMixin):
    """Takes ``in_channels`` from the first input."""

    def __init__(self, out_channels: int, kernel_size, *args, bias: bool = True, device=None,
                 dtype=None, **kwargs):
        args, bias = _bias_among(args, bias)
        super().__init__(0, 0, kernel_size, *args, bias=False, **kwargs)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_channels = out_channels
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw new initial values, once there are sizes."""
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()

    def initialize_parameters(self, input, *args, **kwargs) -> None:
        """Make the parameters for the channels of ``input``."""
        if not self.has_uninitialized_params():
            return
        spatial = len(self.kernel_size)
        if input.dim() not in (spatial + 1, spatial + 2):
            raise RuntimeError(f"Expected {spatial + 1}D (unbatched) or {spatial + 2}D (batched) "
                               f"input to {type(self).__name__}, but got input of size: "
                               f"{input.shape}")
        self.in_channels = input.shape[-spatial - 1]
        if self.in_channels % self.groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        first, second = ((self.in_channels, self.out_channels) if self.transposed
                         else (self.out_channels, self.in_channels))
        self.weight.materialize((first, second // self.groups, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


def _bias_among(args: tuple, bias: bool) -> tuple[tuple, bool]:
    """Positional arguments after kernel_size, without the bias that may stand among them.

    Both orders (stride, padding, dilation, groups, bias) and (stride, padding, output_padding,
    groups, bias) have it fifth.
    """
    if len(args) <= 4:
        return args, bias
    if len(args) > 5:
        raise TypeError("lazy convolution: give what comes after bias by name")
    return args[:4], args[4]


class LazyConv1d(_LazyConvXdMixin, Conv1d):
    """A Conv1d that takes ``in_channels`` from its first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConvXdMixin, Conv2d):
    """A Conv2d that takes ``in_channels`` from its first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConvXdMixin, Conv3d):
    """A Conv3d that takes ``in_channels`` from its first input."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvXdMixin, ConvTranspose1d):
    """A ConvTranspose1d that takes ``in_channels`` from its first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvXdMixin, ConvTranspose2d):
    """A ConvTranspose2d that takes ``in_channels`` from its first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvXdMixin, ConvTranspose3d):
    """A ConvTranspose3d that takes ``in_channels`` from its first input."""

    cls_to_become = ConvTranspose3d
