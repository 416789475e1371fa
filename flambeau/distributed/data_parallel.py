"""DistributedDataParallel: a module whose gradients are averaged over the group."""

from __future__ import annotations

import contextlib

from ..nn.module import Module
from .group import ProcessGroup, resolve


class DistributedDataParallel(Module):
    """``module`` with gradients averaged over all processes after each backward.

    Its parameters' names begin with ``module.``. In a world of one, gradients are already the
    average, so that nothing is exchanged.

    Raises:
        ValueError: init_process_group() was not called.
        RuntimeError: no parameter requires a gradient.
    """

    def __init__(self, module: Module, device_ids=None, output_device=None, dim: int = 0,
                 broadcast_buffers: bool | None = None, init_sync: bool = True,
                 process_group: ProcessGroup | None = None, bucket_cap_mb=None,
                 find_unused_parameters: bool = False, check_reduction: bool = False,
                 gradient_as_bucket_view: bool = False, static_graph: bool = False, **options):
        super().__init__()
        self.process_group = resolve(process_group)
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError("DistributedDataParallel is not needed when a module doesn't have "
                               "any parameter that requires a gradient.")
        if device_ids:
            raise ValueError(
                "DistributedDataParallel device_ids and output_device arguments only work with "
                f"single-device/multiple-device GPU modules or CPU modules, but got device_ids "
                f"{device_ids}, output_device {output_device}, and module parameters on cpu.")
        self.module = module
        self.device_ids = self.output_device = None
        self.dim = dim
        self.device = next(module.parameters()).device
        self.broadcast_buffers = broadcast_buffers is not False
        self.find_unused_parameters = find_unused_parameters
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.static_graph = static_graph
        self.require_backward_grad_sync = True

    def forward(self, *inputs, **kwargs):
        """The module's result."""
        return self.module(*inputs, **kwargs)

    @contextlib.contextmanager
    def no_sync(self):
        """Inside the block, gradients are not exchanged (for accumulation)."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    @contextlib.contextmanager
    def join(self, divide_by_initial_world_size: bool = True, enable: bool = True,
             throw_on_early_termination: bool = False):
        """For inputs of uneven length; the only process has them all."""
        yield

    def register_comm_hook(self, state, hook) -> None:
        """Accepted: nothing is communicated."""
        if not callable(hook):
            raise TypeError("Communication hook must be callable.")

    def _set_static_graph(self) -> None:
        self.static_graph = True
