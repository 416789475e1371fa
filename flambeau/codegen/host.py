"""The machine code is made for: CPU name, features and the vector width kernels are written with.

:func:`host` returns the current :class:`HostTarget`; all that depends on the machine asks it.
``FLAMBEAU_VECTOR`` (``flags.values.vector``) may force a narrower width than the best one, so that
the code paths of smaller machines can be tested on a bigger one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm

from flambeau.base import flags
from flambeau.base.processor import AVX2, AVX512, FUSING, VECTOR_BYTES



@dataclass(frozen=True)
class HostTarget:
    """What the code generator may use.

    Attributes:
        kind: ``avx512``, ``avx2``, ``sse2``, ``neon`` or ``generic`` (any other CPU).
        triple: LLVM's target triple.
        cpu: LLVM's CPU name.
        features: LLVM's feature string; may be empty.
        vector_bytes: bytes of one vector register (64, 32 or 16).
        has_fma: a fused multiply-add is one instruction. Without it ``llvm.fma`` would call the C
            library, so the emitter writes a multiplication and an addition.
        has_masked: masked loads and stores of 4 and 8 byte elements are instructions. Elsewhere
            LLVM expands them into a branch per lane: correct, but slow and long.
        has_f16: conversions between float16 and float32 are instructions.
    """

    kind: str
    triple: str
    cpu: str
    features: str
    vector_bytes: int
    has_fma: bool
    has_masked: bool
    has_f16: bool

    @property
    def registers(self) -> int:
        """Vector registers."""
        return 32 if self.kind in ("avx512", "neon") else 16

    def lanes(self, itemsize: int) -> int:
        """Lanes of one vector register for elements of ``itemsize`` bytes."""
        return max(1, self.vector_bytes // itemsize)

    def can_mask(self, itemsize: int) -> bool:
        """Whether masked loads and stores of such elements are instructions."""
        return self.kind == "avx512" or (self.has_masked and itemsize >= 4)

    @property
    def key(self) -> str:
        """Identifies the code this target gets (part of the object cache's key)."""
        return f"{self.triple}|{self.cpu}|{self.features}|{self.kind}"


@cache
def _features() -> dict[str, bool]:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return dict(llvm.get_host_cpu_features())


def _native_kind() -> str:
    triple, has = llvm.get_default_triple(), _features()
    if triple.startswith(("aarch64", "arm64")):
        return "neon"
    if triple.startswith("x86_64"):
        if all(has.get(f) for f in AVX512):
            return "avx512"
        return "avx2" if all(has.get(f) for f in AVX2) else "sse2"
    return "generic"


@cache
def available_kinds() -> tuple[str, ...]:
    """The vector kinds this machine can run, best first."""
    order = ("avx512", "avx2", "sse2")
    native = _native_kind()
    return order[order.index(native):] if native in order else (native,)


@cache
def target(kind: str) -> HostTarget:
    """The target for one vector kind of this machine.

    The best kind is compiled for exactly this CPU; a narrower one for the generic CPU of its level
    (so that nothing of the wider instruction set is used).

    Raises:
        ValueError: the machine cannot run ``kind``.
    """
    kinds = available_kinds()
    if kind not in kinds:
        raise ValueError(f"vector width {kind!r} cannot run on this machine, which has "
                         f"{', '.join(kinds)}; set FLAMBEAU_VECTOR to one of these or to nothing")
    triple = llvm.get_default_triple()
    if kind == kinds[0]:
        has = _features()
        cpu = llvm.get_host_cpu_name()
        features = llvm.get_host_cpu_features().flatten()
        if kind == "avx512":  # some Intel CPUs default to half-width vectors
            features += ",-prefer-256-bit"
        f16 = kind == "neon" or bool(has.get("f16c"))
    else:
        cpu = {"avx2": "x86-64-v3", "sse2": "x86-64"}[kind]
        features = ""
        f16 = kind == "avx2"
    return HostTarget(kind, triple, cpu, features, VECTOR_BYTES[kind], kind in FUSING,
                      kind in ("avx512", "avx2"), f16)


def host() -> HostTarget:
    """The target in use: ``flags.values.vector`` if set, else the best of this machine."""
    return target(flags.values.vector or available_kinds()[0])
