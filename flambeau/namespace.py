"""What ``import torch`` makes reachable beside the functions of tensors.

Most of it is imported when it is first used, so that ``import torch`` is quick.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types

from .autograd import modes
from .base import dtype as dt
from .base.absent import MODULES, AbsentError
from .standin import near
from .tensor import blocks, gamma, legacy
from .tensor.options import set_default_device
from .tensor.queries import (are_deterministic_algorithms_enabled,
                             is_deterministic_algorithms_warn_only_enabled,
                             use_deterministic_algorithms)

#: modules that are imported when they are first used
LAZY = ("nn", "optim", "utils", "backends", "cuda", "serialization", "debug", "testing", "amp",
        "array_api", "compiler", "distributed", "distributions", "export", "func", "hub", "jit",
        "multiprocessing", "onnx", "overrides", "profiler", "return_types", "signal", "storage",
        "torch_version", "types", "version", "cpu", "mps", "accelerator", "xpu", "futures", "_C",
        "_tensor_str", "functional")

#: names that stand in such a module as well
LATE = {
    **dict.fromkeys(("save", "load"), "serialization"),
    **dict.fromkeys(("bartlett_window", "blackman_window", "hamming_window", "hann_window",
                     "kaiser_window"), "signal.windows"),
    **dict.fromkeys(("autocast", "GradScaler"), "amp"),
    **dict.fromkeys(("OutOfMemoryError", "Stream", "Event"), "cuda"),
    **dict.fromkeys((
        "is_autocast_enabled", "set_autocast_enabled", "get_autocast_dtype", "set_autocast_dtype",
        "is_autocast_cpu_enabled", "set_autocast_cpu_enabled", "get_autocast_cpu_dtype",
        "set_autocast_cpu_dtype", "get_autocast_gpu_dtype", "set_autocast_gpu_dtype",
        "is_autocast_cache_enabled", "set_autocast_cache_enabled", "clear_autocast_cache"),
        "amp.autocast_mode"),
    "vmap": "func"}
#: the same for modules that exist from the start
LATE_IN = {"autograd": dict.fromkeys(("gradcheck", "gradgradcheck"), "testing"),
           "fft": dict.fromkeys(("fftfreq", "rfftfreq"), "signal.frequencies")}

#: names that programs ask for and that will not come, beside absent modules
ABSENT = {
    **{n: why for n, why in MODULES.items() if "." not in n},
    **dict.fromkeys(("qint8", "quint8", "qint32", "quantize_per_tensor", "quantize_per_channel",
                     "quantize_per_tensor_dynamic"), MODULES["quantization"]),
    **dict.fromkeys(("sparse_coo_tensor", "sparse_csr_tensor", "sparse_csc_tensor",
                     "sparse_bsr_tensor", "sparse_compressed_tensor"), MODULES["sparse"]),
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


class SymInt:
    """A size that is not known while a graph is traced: sizes are always ints here, so nothing is
    one (``isinstance(x, torch.SymInt)`` is False)."""


class SymFloat:
    """A float that is not known while a graph is traced: there are none."""


class SymBool:
    """A truth value that is not known while a graph is traced: there are none."""


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """``use_deterministic_algorithms`` by "default", "warn", "error" or 0, 1, 2.

    Raises:
        RuntimeError: another value.
    """
    modes_ = ("default", "warn", "error")
    if debug_mode not in (*modes_, 0, 1, 2):
        raise RuntimeError("invalid value of debug_mode, expected one of `default`, `warn`, "
                           f"`error`, but got {debug_mode}")
    number = modes_.index(debug_mode) if isinstance(debug_mode, str) else debug_mode
    use_deterministic_algorithms(number > 0, warn_only=number == 1)


def get_deterministic_debug_mode() -> int:
    """0, 1 (warn) or 2 (error)."""
    if not are_deterministic_algorithms_enabled():
        return 0
    return 1 if is_deterministic_algorithms_warn_only_enabled() else 2


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
              get_device, SymInt, SymFloat, SymBool, set_deterministic_debug_mode,
              get_deterministic_debug_mode):
        torch.setdefault(f.__name__, f)
    torch.update(blocks.STORAGES)
    torch["_standard_gamma"] = gamma.standard_gamma
    torch.update(
        is_storage=blocks.is_storage,
        UntypedStorage=blocks.UntypedStorage, TypedStorage=blocks.TypedStorage,
        Storage=blocks.STORAGES["FloatStorage"],
        is_anomaly_enabled=modes.is_anomaly_enabled, newaxis=None,
        is_anomaly_check_nan_enabled=modes.is_anomaly_check_nan_enabled,
        set_anomaly_enabled=modes.set_anomaly_enabled)
    late(sys.modules[torch["__name__"]], LATE, LAZY, _missing)
    for name, names in LATE_IN.items():
        late(torch[name], names)


def late(module: types.ModuleType, names: dict[str, str], submodules: tuple[str, ...] = (),
         otherwise=None) -> None:
    """Let a module import what it offers when that is first asked for.

    Args:
        names: which module of the package each name is taken from.
        submodules: modules of its own.
        otherwise: ``otherwise(name, known)`` raises for other names.
    """
    known = {*names, *submodules}

    def __getattr__(name: str):
        if name in names:
            found = getattr(importlib.import_module(f"{__package__}.{names[name]}"), name)
            setattr(module, name, found)
            return found
        full = f"{module.__name__}.{name}"
        if name in submodules:
            try:
                return importlib.import_module(full)
            except ModuleNotFoundError as error:
                if error.name != full:
                    raise
        if otherwise is not None:
            otherwise(name, [*vars(module), *known])
        raise AttributeError(f"module '{module.__name__}' has no attribute '{name}'")

    module.__getattr__ = __getattr__
    module.__dir__ = lambda: sorted({*vars(module), *names, *(
        name for name in submodules if importlib.util.find_spec(f"{module.__name__}.{name}"))})


def _missing(name: str, known: list[str]) -> None:
    if name in ABSENT:
        raise AbsentError(f"torch.{name} is not part of flambeau: {ABSENT[name]}")
    raise AttributeError(f"module 'torch' has no attribute '{name}': flambeau does not have it."
                         f"{near(name, known)}")
