"""torch.nn.modules: PyTorch's module paths, such as ``torch.nn.modules.conv``.

Every name stands for one file of nn; importing ``nn.modules.conv`` gives ``nn.layers.conv`` itself.
"""

from __future__ import annotations

import sys

from .. import module
from ..layers import (activation, adaptive, attention, batchnorm, container, conv, distance,
                      dropout, flatten, instancenorm, lazy, linear, loss, normalization, padding,
                      pooling, rearrange, rnn, sparse, transformer, utils)
from ..module import Module as Module

_PATHS = {"module": module, "activation": activation, "adaptive": adaptive, "batchnorm": batchnorm,
          "channelshuffle": rearrange, "container": container, "conv": conv, "distance": distance,
          "dropout": dropout, "flatten": flatten, "fold": rearrange,
          "instancenorm": instancenorm, "lazy": lazy, "linear": linear, "loss": loss,
          "normalization": normalization, "padding": padding, "pixelshuffle": rearrange,
          "pooling": pooling, "rnn": rnn, "sparse": sparse, "transformer": transformer,
          "upsampling": rearrange, "utils": utils}

for _name, _file in _PATHS.items():
    sys.modules[f"{__name__}.{_name}"] = _file
    globals()[_name] = _file

for _file in (*_PATHS.values(), attention):
    for _name, _value in vars(_file).items():
        if isinstance(_value, type) and issubclass(_value, Module) and not _name.startswith("_"):
            globals().setdefault(_name, _value)

__all__ = [_name for _name, _value in globals().items()
           if isinstance(_value, type) and issubclass(_value, Module)]
