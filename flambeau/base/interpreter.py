"""Which interpreters flambeau runs on: looked at when this is imported, before anything else."""

from __future__ import annotations

import sys

#: the first version of CPython that counts references in another way (a local variable that is
#: passed on is not counted), which would make what others hold look free
TOO_NEW = 3, 14


def check() -> None:
    """Refuse an interpreter whose reference counts mean something else.

    Raises:
        ImportError: this is not CPython 3.11 to 3.13, or it runs without the interpreter lock.
    """
    locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    if sys.implementation.name == "cpython" and sys.version_info[:2] < TOO_NEW and locked:
        return
    version = ".".join(map(str, sys.version_info[:3]))
    kind = "" if locked else " without the global interpreter lock"
    raise ImportError(
        "flambeau decides by reference counts which values are still wanted and which memory may "
        "be written over, as CPython 3.11 to 3.13 keep them; this is "
        f"{sys.implementation.name} {version}{kind}. Use CPython 3.13, for example: "
        "python3.13 -m venv .venv")


check()
