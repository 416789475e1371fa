"""What ``import torch`` makes reachable beside the functions of tensors."""

from __future__ import annotations

import importlib

from . import cuda, nn
from .amp import GradScaler, autocast, autocast_mode
from .autograd import modes
from .base import dtype as dt
from .base.absent import AbsentError
from .distributed.data_parallel import DistributedDataParallel
from .standin import near
from .tensor import blocks, gamma, legacy
from .tensor.options import set_default_device

#: modules that are imported when they are first used
LAZY = ("amp", "array_api", "compiler", "distributed", "distributions", "export", "func", "hub",
        "jit", "multiprocessing", "onnx", "overrides", "profiler", "return_types", "storage",
        "torch_version", "types", "version", "cpu", "mps", "accelerator", "xpu", "futures",
        "testing", "_C", "_tensor_str", "library", "fx", "sparse", "nested", "masked", "signal")


#: parts that programs ask for and that will not come
ABSENT = {
    "_dynamo": "there is no tracing compiler; programs are compiled while they run",
    "_inductor": "there is no tracing compiler; programs are compiled while they run",
    "quantization": "quantized tensors do not exist here",
    "ao": "quantized tensors do not exist here",
    "qint8": "quantized tensors do not exist here", "quint8": "quantized tensors do not exist here",
    "qint32": "quantized tensors do not exist here",
    "quantize_per_tensor": "quantized tensors do not exist here",
    "sparse_coo_tensor": "sparse tensors do not exist here; use dense ones",
    "sparse_csr_tensor": "sparse tensors do not exist here; use dense ones",
    "package": "save weights with torch.save(model.state_dict(), path)",
}


def set_default_tensor_type(t) -> None:
    """The dtype of new floating tensors, by a tensor class: ``set_default_tensor_type(
    torch.DoubleTensor)`` or its name as text. Prefer set_default_dtype().

    Raises:
        TypeError: the class is not one of floating tensors on the CPU.
    """
    name = t.rpartition(".")[2] if isinstance(t, str) else getattr(t, "__name__", str(t))
    if ".cuda." in str(t):
        raise TypeError(f"type {t} not available. Torch not compiled with CUDA enabled.")
    cls = legacy.TYPES.get(name)
    if cls is None:
        raise TypeError(f"invalid type object: {t!r} is no tensor class")
    if not cls.dtype.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    dt.set_default_dtype(cls.dtype)
    set_default_device("cpu")


class _Switches:
    warn_always = False


def set_warn_always(b: bool, /) -> None:
    """Whether warnings that are usually shown once are shown each time."""
    _Switches.warn_always = bool(b)


def is_warn_always_enabled() -> bool:
    """What set_warn_always was given."""
    return _Switches.warn_always


def set_flush_denormal(mode: bool) -> bool:
    """Flush denormal numbers to zero: not supported, returns False."""
    return False


def compiled_with_cxx11_abi() -> bool:
    """Accepted for compatibility: there is no C++ here."""
    return True


def get_device_module(device=None):
    """The module of a device type: ``torch.cuda`` for "cuda"."""
    kind = str(device or "cpu").partition(":")[0]
    return importlib.import_module(f"{__package__}.{kind}")


def is_distributed(input) -> bool:  # noqa: A002
    """Accepted for compatibility: False."""
    return False


def is_signed(input) -> bool:  # noqa: A002
    """Whether the tensor's dtype has negative numbers."""
    return input.is_signed()


def is_same_size(input, other) -> bool:  # noqa: A002
    """Whether both tensors have the same shape."""
    return input.shape == other.shape


def get_device(input) -> int:  # noqa: A002
    """The number of the tensor's device; -1 on the CPU."""
    return input.get_device()


def fill(torch: dict) -> None:
    """Add the names to the package's dictionary."""
    for f in (set_default_tensor_type, set_warn_always, is_warn_always_enabled, set_flush_denormal,
              compiled_with_cxx11_abi, get_device_module, is_distributed, is_signed, is_same_size,
              get_device):
        torch.setdefault(f.__name__, f)
    torch.update(autocast_mode.NAMESPACE)
    torch.update(blocks.STORAGES)
    torch["_standard_gamma"] = gamma.standard_gamma
    torch.update(
        autocast=autocast, GradScaler=GradScaler, is_storage=blocks.is_storage,
        UntypedStorage=blocks.UntypedStorage, TypedStorage=blocks.TypedStorage,
        Storage=blocks.STORAGES["FloatStorage"],
        is_anomaly_enabled=modes.is_anomaly_enabled, newaxis=None,
        is_anomaly_check_nan_enabled=modes.is_anomaly_check_nan_enabled,
        set_anomaly_enabled=modes.set_anomaly_enabled)
    nn.parallel.DistributedDataParallel = DistributedDataParallel
    vars(cuda).update(legacy.CUDA_TYPES)
    cuda.amp = importlib.import_module(f"{__package__}.cuda.amp")


def getter(torch: dict):
    """The package's ``__getattr__``: late modules, then an error that names what is nearest."""
    package = torch["__name__"]

    def __getattr__(name: str):
        if name in LAZY:
            try:
                return importlib.import_module(f"{package}.{name}")
            except ModuleNotFoundError as error:
                if error.name != f"{package}.{name}":
                    raise
        if name in ABSENT:
            raise AbsentError(f"torch.{name} is not part of flambeau: {ABSENT[name]}")
        if name == "vmap":
            return importlib.import_module(f"{package}.func").vmap
        raise AttributeError(f"module 'torch' has no attribute '{name}': flambeau does not have it."
                             f"{near(name, torch)}")

    return __getattr__
