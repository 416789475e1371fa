"""torch.version: what this build is.

``release`` is flambeau's own version. ``__version__`` begins with the version of PyTorch whose
behaviour is followed, because that is what programs compare with.
"""

from __future__ import annotations

from .base.version import TorchVersion as _TorchVersion

release = "0.1.0"
__version__ = _TorchVersion("2.13.0+flambeau.0.1.0")
debug = False
cuda: str | None = None
hip: str | None = None
xpu: str | None = None
git_version = "unknown"
