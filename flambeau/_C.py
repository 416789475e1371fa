"""torch._C: the few names of PyTorch's compiled core that libraries written in Python use."""

from __future__ import annotations


def _log_api_usage_once(event: str) -> None:
    """Accepted: nothing is logged."""
