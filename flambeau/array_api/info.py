"""What the Array API namespace has: devices, dtypes, capabilities."""

from __future__ import annotations

import importlib

from ..base import device as dv
from ..base import dtype as dt
from .functions import isdtype

_torch = importlib.import_module(__package__.rpartition(".")[0])
_DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
           "float32", "float64", "complex64", "complex128")


class __array_namespace_info__:  # noqa: N801
    """The inspection API of the standard."""

    def capabilities(self) -> dict:
        """Boolean indexing and shapes that depend on data are there."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> dv.device:
        """The CPU."""
        return dv.CPU

    def devices(self) -> list:
        """The CPU."""
        return [dv.CPU]

    def default_dtypes(self, *, device=None) -> dict:
        """The dtypes of arrays that are made without one."""
        real = dt.get_default_dtype()
        wide = dt.complex128 if real is dt.float64 else dt.complex64
        return {"real floating": real, "complex floating": wide, "integral": dt.int64,
                "indexing": dt.int64}

    def dtypes(self, *, device=None, kind=None) -> dict:
        """The dtypes by name: all, or those of a kind (see ``isdtype``)."""
        found = {name: getattr(_torch, name) for name in _DTYPES}
        return {n: d for n, d in found.items() if kind is None or isdtype(d, kind)}
