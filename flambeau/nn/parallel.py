"""nn.parallel: data parallelism in one process, which has one device."""

from __future__ import annotations

import importlib

from .module import Module


def __getattr__(name: str):
    if name == "DistributedDataParallel":  # stands in a layer above
        package = __package__.rpartition(".")[0]
        return importlib.import_module(f"{package}.distributed.data_parallel").__dict__[name]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*globals(), "DistributedDataParallel"]


class DataParallel(Module):
    """Calls ``module``; its parameters' names begin with ``module.``, as in PyTorch.

    There is one device, so the batch is not divided.
    """

    def __init__(self, module: Module, device_ids=None, output_device=None, dim: int = 0):
        super().__init__()
        self.module = module
        self.device_ids = list(device_ids or [])
        self.output_device = output_device
        self.dim = dim

    def forward(self, *inputs, **kwargs):
        """The module's result."""
        return self.module(*inputs, **kwargs)


def data_parallel(module: Module, inputs, device_ids=None, output_device=None, dim: int = 0,
                  module_kwargs: dict | None = None):
    """``module(*inputs)``."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    return module(*inputs, **(module_kwargs or {}))
