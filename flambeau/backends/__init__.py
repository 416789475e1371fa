"""torch.backends: which engines there are, and their switches."""

from __future__ import annotations

import types as _types


class _Backend(_types.ModuleType):
    """One engine: ``is_available()`` and settings that are accepted."""

    def __init__(self, name: str, available: bool = False, **settings):
        super().__init__(f"{__name__}.{name}", f"Settings of {name}.")
        self._available = available
        for key, value in settings.items():
            setattr(self, key, value)

    def is_available(self) -> bool:
        """Whether the engine can be used."""
        return self._available

    def is_built(self) -> bool:
        """Whether the engine is part of this build."""
        return self._available


cudnn = _Backend("cudnn", enabled=True, benchmark=False, deterministic=False, allow_tf32=True)
cudnn.version = lambda: None
mps, mkl, mkldnn, openmp = (_Backend(n) for n in ("mps", "mkl", "mkldnn", "openmp"))
cuda = _Backend("cuda", matmul=_types.SimpleNamespace(
    allow_tf32=False, allow_fp16_reduced_precision_reduction=True))
cpu = _Backend("cpu", True)
cpu.get_cpu_capability = lambda: "DEFAULT"
quantized = _Backend("quantized", engine="none", supported_engines=["none"])
