"""torch.multiprocessing: Python's multiprocessing; tensors travel by copy.

Differs from PyTorch: a tensor sent to another process is a copy there, ``share_memory_()`` does not
make later writes visible to other processes.
"""

from __future__ import annotations

import multiprocessing as _mp
from multiprocessing import *  # noqa: F403

from .spawn import ProcessContext as ProcessContext
from .spawn import ProcessException as ProcessException
from .spawn import ProcessExitedException as ProcessExitedException
from .spawn import ProcessRaisedException as ProcessRaisedException
from .spawn import spawn as spawn
from .spawn import start_processes as start_processes

__all__ = [*_mp.__all__, "set_sharing_strategy", "get_sharing_strategy",  # noqa: PLE0604
           "get_all_sharing_strategies", "spawn"]
_strategy = ["file_descriptor"]


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted: tensors travel by copy.

    Raises:
        AssertionError: the name is not one of PyTorch's.
    """
    if new_strategy not in get_all_sharing_strategies():
        raise AssertionError(f"invalid sharing strategy {new_strategy}")
    _strategy[0] = new_strategy


def get_sharing_strategy() -> str:
    """What set_sharing_strategy was given."""
    return _strategy[0]


def get_all_sharing_strategies() -> set[str]:
    """PyTorch's names of strategies."""
    return {"file_descriptor", "file_system"}
