"""torch.cuda where there is no GPU: questions answer no, requests raise PyTorch's errors."""

from __future__ import annotations

import importlib as _importlib

from ..base.device import device as _device
from ..tensor.legacy import CUDA_TYPES as _CUDA_TYPES

globals().update(_CUDA_TYPES)


def __getattr__(name: str):
    if name == "amp":
        return _importlib.import_module(f"{__name__}.amp")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


_MESSAGE = ("Torch not compiled with CUDA enabled: tensors live on 'cpu' here; write "
            "device = 'cuda' if torch.cuda.is_available() else 'cpu'")


def is_available() -> bool:
    """Whether a GPU can be used: no."""
    return False


def is_initialized() -> bool:
    """Whether the GPU runtime was started: no."""
    return False


def device_count() -> int:
    """Number of GPUs: 0."""
    return 0


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the GPU computes bfloat16: there is none."""
    return False


def init() -> None:
    """Start the GPU runtime.

    Raises:
        AssertionError: there is no GPU.
    """
    raise AssertionError(_MESSAGE)


def manual_seed(seed: int) -> None:
    """Seed the GPU's generator; nothing to do without one."""
    int(seed)


def manual_seed_all(seed: int) -> None:
    """Seed all GPUs' generators; nothing to do without one."""
    int(seed)


def seed() -> None:
    """Seed the GPU's generator from the system; nothing to do without one."""


def seed_all() -> None:
    """Seed all GPUs' generators from the system; nothing to do without one."""


def empty_cache() -> None:
    """Return cached GPU memory; nothing to do without a GPU."""


def ipc_collect() -> None:
    """Collect GPU memory shared between processes; nothing to do without a GPU."""


def memory_allocated(device=None) -> int:
    """Bytes of GPU memory in use: 0."""
    return 0


def memory_reserved(device=None) -> int:
    """Bytes of GPU memory held: 0."""
    return 0


def max_memory_allocated(device=None) -> int:
    """Most bytes of GPU memory in use so far: 0."""
    return 0


def max_memory_reserved(device=None) -> int:
    """Most bytes of GPU memory held so far: 0."""
    return 0


def reset_peak_memory_stats(device=None) -> None:
    """Forget the peak; nothing to do without a GPU."""


def _refuse(name: str):
    def request(*args, **kwargs):
        raise AssertionError(_MESSAGE)

    request.__name__ = name
    request.__doc__ = f"torch.cuda.{name}; raises AssertionError: there is no GPU."
    return request


synchronize, current_device, set_device, get_device_name, get_device_properties, \
    get_device_capability, current_stream, get_rng_state, set_rng_state, mem_get_info = map(
        _refuse, ("synchronize", "current_device", "set_device", "get_device_name",
                  "get_device_properties", "get_device_capability", "current_stream",
                  "get_rng_state", "set_rng_state", "mem_get_info"))


def get_rng_state_all() -> list:
    """States of all GPUs' generators: an empty list."""
    return []


def set_rng_state_all(new_states) -> None:
    """Restore the states of all GPUs' generators; nothing to do without one."""


class device:  # noqa: N801
    """Context manager that chooses a GPU; without one it does nothing for index -1 or None."""

    def __init__(self, device):
        self.idx = -1 if device is None else (
            device if isinstance(device, int) else _device(device).index or 0)

    def __enter__(self):
        if self.idx >= 0:
            raise AssertionError(_MESSAGE)

    def __exit__(self, *exc):
        return False


class Stream:
    """A GPU's work queue.

    Raises:
        AssertionError: there is no GPU.
    """

    def __init__(self, *args, **kwargs):
        raise AssertionError(_MESSAGE)


class Event(Stream):
    """A point in a GPU's work queue; raises AssertionError: there is no GPU."""


class nvtx:  # noqa: N801
    """Marks for NVIDIA's profiler; nothing happens without a GPU."""

    @staticmethod
    def range_push(msg) -> int:
        """Open a range."""
        return 0

    @staticmethod
    def range_pop() -> int:
        """Close a range."""
        return 0

    @staticmethod
    def mark(msg) -> None:
        """Mark a point."""


def memory_stats(device=None) -> dict:
    """Numbers about GPU memory: none."""
    return {}


def memory_summary(device=None, abbreviated: bool = False) -> str:
    """Text about GPU memory."""
    return "no GPU: no memory in use"


def max_memory_cached(device=None) -> int:
    """The older name of max_memory_reserved()."""
    return 0


def memory_cached(device=None) -> int:
    """The older name of memory_reserved()."""
    return 0


def reset_max_memory_allocated(device=None) -> None:
    """Forget the peak; nothing to do without a GPU."""


def get_arch_list() -> list:
    """Architectures that GPU code was built for: none."""
    return []


def is_current_stream_capturing() -> bool:
    """Whether a GPU graph is being captured: no."""
    return False


def stream(stream):
    """Context manager that chooses a GPU's work queue; None chooses nothing."""
    return device(None)


class OutOfMemoryError(RuntimeError):
    """A GPU's memory is used up."""
