"""torch.backends: which engines there are, and their switches."""

from __future__ import annotations

import contextlib as _contextlib
import sys as _sys
import types as _types


class _Backend(_types.ModuleType):
    """One engine: ``is_available()`` and settings that are accepted."""

    def __init__(self, name: str, available: bool = False, **settings):
        super().__init__(f"{__name__}.{name}", f"Settings of {name}.")
        _sys.modules[self.__name__] = self
        self._available = available
        for key, value in settings.items():
            setattr(self, key, value)

    def is_available(self) -> bool:
        """Whether the engine can be used."""
        return self._available

    @_contextlib.contextmanager
    def flags(self, **settings):
        """Other settings inside a ``with`` block."""
        before = {k: getattr(self, k) for k in settings if hasattr(self, k)}
        vars(self).update(settings)
        try:
            yield
        finally:
            vars(self).update(before)

    def is_built(self) -> bool:
        """Whether the engine is part of this build."""
        return self._available


cudnn = _Backend("cudnn", enabled=True, benchmark=False, deterministic=False, allow_tf32=True)
cudnn.version = lambda: None
mps, mkl, openmp = (_Backend(n) for n in ("mps", "mkl", "openmp"))
mkldnn = _Backend("mkldnn", enabled=True, deterministic=False, allow_tf32=True)
cuda = _Backend("cuda", matmul=_types.SimpleNamespace(
    allow_tf32=False, allow_fp16_reduced_precision_reduction=True,
    allow_bf16_reduced_precision_reduction=True), cufft_plan_cache=_types.SimpleNamespace(
    max_size=0, size=0, clear=lambda: None))


def _switch(name: str, on: bool) -> None:
    """A kernel family of attention: ``enable_<name>_sdp`` and ``<name>_sdp_enabled``."""
    held = [on]

    def enable(enabled: bool) -> None:
        held[0] = bool(enabled)

    enable.__doc__ = f"Accepted: there is one implementation of attention ({name})."
    setattr(cuda, f"enable_{name}_sdp", enable)
    setattr(cuda, f"{name}_sdp_enabled", lambda: held[0])


for _name in ("flash", "mem_efficient", "math", "cudnn"):
    _switch(_name, True)
opt_einsum = _Backend("opt_einsum", enabled=False, strategy=None)
cusparselt, miopen, xeon, nnpack = (_Backend(n) for n in ("cusparselt", "miopen", "xeon",
                                                          "nnpack"))
cpu = _Backend("cpu", True)
cpu.get_cpu_capability = lambda: "DEFAULT"
quantized = _Backend("quantized", engine="none", supported_engines=["none"])
