"""Reference counts of many objects at once: who else holds the arrays and tensors of a step.

The references of the lists themselves count. The first call loads the machine code.
"""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING

from ..base.late import late

if TYPE_CHECKING:
    from . import counts_native as native
else:
    native = late(".counts_native", __package__)


def of(objects: list) -> list[int]:
    """The references to each object."""
    return [n - 1 for n in map(getrefcount, objects)]


def are(objects: list, expected: list[int]) -> bool:
    """Whether the objects have just so many references."""
    _load()
    return are(objects, expected)


def below(objects: list, most: int) -> bool:
    """Whether all objects have fewer references than ``most``."""
    _load()
    return below(objects, most)


def _load() -> None:
    """Put machine code in the place of these functions."""
    global are, below
    are, below = native.functions()
