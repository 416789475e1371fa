"""torch.compiler: marks for tracing compilers, all accepted.

flambeau records and compiles what runs by itself, so that no function needs to be marked, excluded
or reset; ``torch.compile(f)`` is ``f``.
"""

from __future__ import annotations


def is_compiling() -> bool:
    """Whether a tracing compiler runs the function: never."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def allow_in_graph(fn):
    """The function itself."""
    return fn


assume_constant_result = allow_in_graph


def disable(fn=None, recursive: bool = True, *, reason=None):
    """The function itself; also as ``@disable()``."""
    return allow_in_graph if fn is None else fn


def reset() -> None:
    """Accepted: compiled code is kept, it depends on nothing that could change."""


def cudagraph_mark_step_begin() -> None:
    """Accepted: there are no CUDA graphs."""


def list_backends(exclude_tags=()) -> list[str]:
    """The names that ``torch.compile(backend=...)`` offers: none to choose from."""
    return []
