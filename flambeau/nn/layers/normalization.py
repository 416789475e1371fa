"""Normalisation of each sample: layer, group, root-mean-square and local response."""

from __future__ import annotations

import numbers

from .. import functional as F
from .. import init
from ..core import Function, Tensor, empty
from ..module import Module
from ..parameter import Parameter


class LocalResponseNorm(Module):
    """x / (k + alpha / size * sum of x^2 over ``size`` neighbouring channels)^beta."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *), same shape."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _channel_windows(x: Tensor, before: int, size: int) -> Tensor:
    """For each channel c the sum of the channels c - before ... c - before + size - 1."""
    padded = F.pad(x, (0, 0, 0, 0, before, size - 1 - before))
    return padded.unfold(1, size, 1).sum(-1)


class _CrossMapLRN(Function):
    """Local response normalisation with the windows of PyTorch's older implementation.

    They are kept as they are: the running sum of the forward pass never drops the first channel,
    and the window of the backward pass lies to the left.
    """

    @staticmethod
    def forward(ctx, x, size, alpha, beta, k):
        """x / (k + alpha / size * windows of x^2)^beta."""
        reach = (size - 1) // 2
        square = x * x
        total = _channel_windows(square, reach, 2 * reach + 1)
        late = x.size(1) - reach - 1
        if late > 0:
            first = square[:, :1].expand(-1, late, -1, -1)
            total = total + F.pad(first, (0, 0, 0, 0, reach + 1, 0))
        scale = k + alpha / size * total
        result = x * scale.pow(-beta)
        ctx.save_for_backward(x, result, scale)
        ctx.numbers = size, alpha, beta
        return result

    @staticmethod
    def backward(ctx, grad):
        """The gradient of x."""
        x, result, scale = ctx.saved_tensors
        size, alpha, beta = ctx.numbers
        around = _channel_windows(grad * result / scale, size - (size - 1) // 2, size)
        grad = grad * scale.pow(-beta) - 2 * alpha * beta / size * x * around
        return grad, None, None, None, None


class CrossMapLRN2d(LocalResponseNorm):
    """The older local response normalisation of (N, C, H, W); its windows are of odd size."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1):
        super().__init__(size, alpha, beta, k)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W), same shape.

        Raises:
            ValueError: the input has other dimensions.
        """
        if input.dim() != 4:
            raise ValueError("CrossMapLRN2d: Expected input to be 4D, got "
                             f"{input.dim()}D instead.")
        return _CrossMapLRN.apply(input, self.size, self.alpha, self.beta, self.k)


class LayerNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last dimensions.

    Args:
        normalized_shape: the sizes of the dimensions taken together, the shape of weight and bias.
        elementwise_affine: whether there are weight and bias.
        bias: whether there is a bias.
    """

    def __init__(self, normalized_shape, eps: float = 1e-5, elementwise_affine: bool = True,
                 bias: bool = True, device=None, dtype=None):
        super().__init__()
        made = {"device": device, "dtype": dtype}
        if isinstance(normalized_shape, numbers.Integral):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        shape = self.normalized_shape
        affine = elementwise_affine
        self.register_parameter("weight", Parameter(empty(shape, **made)) if affine else None)
        self.register_parameter("bias",
                                Parameter(empty(shape, **made)) if affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.elementwise_affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(*, *normalized_shape), same shape."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return (f"{self.normalized_shape}, eps={self.eps}, "
                f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}")


class GroupNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over groups of channels of (N, C, *).

    Args:
        num_groups: how many groups; divides num_channels.
        affine: whether there are weight and bias, one number per channel.

    Raises:
        ValueError: the channels cannot be divided into the groups.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True,
                 device=None, dtype=None, *, bias: bool = True):
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups "
                             f"({num_groups})")
        made = {"device": device, "dtype": dtype}
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.register_parameter(
            "weight", Parameter(empty(num_channels, **made)) if affine else None)
        self.register_parameter(
            "bias", Parameter(empty(num_channels, **made)) if affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *), same shape."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return (f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
                f"bias={self.bias is not None}")


class RMSNorm(Module):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last dimensions.

    Args:
        normalized_shape: the sizes of the dimensions taken together, the shape of weight.
        eps: the dtype's machine epsilon when None.
    """

    def __init__(self, normalized_shape, eps: float | None = None, elementwise_affine: bool = True,
                 device=None, dtype=None):
        super().__init__()
        if isinstance(normalized_shape, numbers.Integral):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = Parameter(empty(self.normalized_shape, device=device, dtype=dtype)) \
            if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.elementwise_affine:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(*, *normalized_shape), same shape."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return (f"{self.normalized_shape}, eps={self.eps}, "
                f"elementwise_affine={self.elementwise_affine}")
