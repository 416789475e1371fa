"""torch.accelerator where there is none: questions answer no, requests raise RuntimeError."""

from .base.nodevice import functions as _functions

globals().update(_functions("accelerator",
                            "Cannot access accelerator device when none is available."))


def current_accelerator(check_available: bool = False):
    """The accelerator's device: None."""


def is_multi_capable() -> bool:
    """Accepted for compatibility: False."""
    return False
