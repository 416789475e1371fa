"""Where in the user's program an operation was asked for.

A location is a code object and an instruction offset; file and line are looked up only when
a message needs them, so taking one costs about as much as two attribute reads.
"""

from __future__ import annotations

import linecache
import os
import sys

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class SourceLoc:
    """A place in Python code."""

    __slots__ = ("code", "lasti")

    def __init__(self, code, lasti):
        self.code = code
        self.lasti = lasti

    @property
    def filename(self) -> str:
        return self.code.co_filename

    @property
    def lineno(self) -> int:
        for start, end, line in self.code.co_lines():
            if start <= self.lasti < end and line is not None:
                return line
        return self.code.co_firstlineno

    def __str__(self) -> str:
        return f"{os.path.basename(self.filename)}:{self.lineno}"

    def source(self) -> str:
        """The text of the line, stripped; empty when the file cannot be read."""
        return linecache.getline(self.filename, self.lineno).strip()


_is_ours: dict[object, bool] = {}


def user_location() -> SourceLoc | None:
    """The innermost frame outside this package."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        ours = _is_ours.get(code)
        if ours is None:
            ours = _is_ours[code] = code.co_filename.startswith(_PACKAGE)
        if not ours:
            return SourceLoc(code, frame.f_lasti)
        frame = frame.f_back
    return None
