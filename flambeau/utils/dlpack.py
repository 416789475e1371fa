"""torch.utils.dlpack: exchange of memory with other array libraries."""

from __future__ import annotations

from ..tensor.interop import from_dlpack as from_dlpack
from ..tensor.interop import to_dlpack as to_dlpack
