"""Version numbers that compare as versions: ``torch.__version__ >= "2.1"``, ``>= (2, 1)``."""

from __future__ import annotations

import re
from typing import Any


def parse(text: str) -> tuple[tuple[int, ...], bool]:
    """The numbers of a version (trailing zeros dropped) and whether it is a final one.

    Raises:
        ValueError: it does not begin with a number.
    """
    match = re.match(r"\s*v?(\d+(?:\.\d+)*)(.*)$", text)
    if match is None:
        raise ValueError(f"Invalid version: {text!r}")
    numbers = [int(n) for n in match[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers), not re.match(r"[._-]?(a|b|c|rc|dev|alpha|beta)", match[2])


class TorchVersion(str):
    """A version string; comparisons with version strings and tuples are by number."""

    __slots__ = ()

    def _against(self, other: Any):
        if isinstance(other, (tuple, list)):
            other = ".".join(map(str, other))
        if not isinstance(other, str):
            return None
        try:
            return parse(str(self)), parse(str(other))
        except ValueError:
            return None

    def __lt__(self, other):
        pair = self._against(other)
        return str.__lt__(self, str(other)) if pair is None else pair[0] < pair[1]

    def __le__(self, other):
        pair = self._against(other)
        return str.__le__(self, str(other)) if pair is None else pair[0] <= pair[1]

    def __gt__(self, other):
        pair = self._against(other)
        return str.__gt__(self, str(other)) if pair is None else pair[0] > pair[1]

    def __ge__(self, other):
        pair = self._against(other)
        return str.__ge__(self, str(other)) if pair is None else pair[0] >= pair[1]

    def __eq__(self, other):
        if str.__eq__(self, other) is True:
            return True
        pair = self._against(other)
        return False if pair is None else pair[0] == pair[1] and "+" not in str(other)

    def __ne__(self, other):
        return not self == other

    __hash__ = str.__hash__
