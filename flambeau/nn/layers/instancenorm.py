"""Instance normalisation: each channel of each sample on its own."""

from __future__ import annotations

import warnings

from .. import functional as F
from ..core import Tensor
from .batchnorm import _LazyNormBase, _NormBase


class _InstanceNorm(_NormBase):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last ``_n`` dimensions.

    Args:
        num_features: C, the number of channels; only checked when there is a weight.
        affine: whether there are weight and bias (no).
        track_running_stats: use running statistics in evaluation (no).

    Raises:
        ValueError: the input has other dimensions or channels.
    """

    _n = 0

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1,
                 affine: bool = False, track_running_stats: bool = False, device=None, dtype=None,
                 *, bias: bool = True):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype,
                         bias=bias)

    def _check_input_dim(self, input) -> None:
        n = self._n
        if input.dim() not in (n + 1, n + 2):
            raise ValueError(f"expected {n + 1}D or {n + 2}D input (got {input.dim()}D input)")

    def _normalised(self, input: Tensor) -> Tensor:
        return F.instance_norm(input, self.running_mean, self.running_var, self.weight, self.bias,
                               self.training or not self.track_running_stats,
                               self.momentum if self.momentum is not None else 0.0, self.eps)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) or (C, *), same shape."""
        self._check_input_dim(input)
        channels = input.dim() - self._n - 1
        if input.size(channels) != self.num_features:
            if self.affine:
                raise ValueError(f"expected input's size at dim={channels} to match num_features "
                                 f"({self.num_features}), but got: {input.size(channels)}.")
            warnings.warn(f"input's size at dim={channels} does not match num_features. You can "
                          "silence this warning by not passing in num_features, which is not used "
                          "because affine=False", stacklevel=2)
        if channels == 0:
            return self._normalised(input.unsqueeze(0)).squeeze(0)
        return self._normalised(input)

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys,
                              unexpected_keys, error_msgs) -> None:
        if local_metadata.get("version") is None and not self.track_running_stats:
            old = [prefix + name for name in ("running_mean", "running_var")
                   if prefix + name in state_dict]
            if old:
                names = " and ".join(f'"{key}"' for key in old)
                error_msgs.append(
                    f"Unexpected running stats buffer(s) {names} for {type(self).__name__} with "
                    "track_running_stats=False: the file is older than PyTorch 0.4.0. Remove these "
                    "keys, or give track_running_stats=True.")
                for key in old:
                    state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys,
                                      unexpected_keys, error_msgs)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L); see the arguments of BatchNorm1d."""

    _n = 1


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (N, C, H, W) or (C, H, W); see the arguments of BatchNorm2d."""

    _n = 2


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W); see BatchNorm3d's arguments."""

    _n = 3


class _LazyInstanceNorm(_LazyNormBase, _InstanceNorm):
    """Takes ``num_features`` from the first input."""


class LazyInstanceNorm1d(_LazyInstanceNorm):
    """An InstanceNorm1d that takes ``num_features`` from its first input."""

    cls_to_become, _n = InstanceNorm1d, 1


class LazyInstanceNorm2d(_LazyInstanceNorm):
    """An InstanceNorm2d that takes ``num_features`` from its first input."""

    cls_to_become, _n = InstanceNorm2d, 2


class LazyInstanceNorm3d(_LazyInstanceNorm):
    """An InstanceNorm3d that takes ``num_features`` from its first input."""

    cls_to_become, _n = InstanceNorm3d, 3
