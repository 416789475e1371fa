"""Where in the user's program an operation was asked for.

A location is a code object and an instruction offset; file and line are looked up only when
a message needs them, so taking one costs about as much as two attribute reads.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
from threading import get_ident

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

    def quote(self) -> str:
        """Place and text, as messages show them: file.py:12 (`y = x + 1`)."""
        text = self.source()
        return f"{self} (`{text}`)" if text else str(self)


def of_frame(frame) -> SourceLoc:
    """Where a frame is now."""
    return SourceLoc(frame.f_code, frame.f_lasti)


def is_ours(code) -> bool:
    """Whether code belongs to this package."""
    ours = _is_ours.get(code)
    if ours is None:
        ours = _is_ours[code] = code.co_filename.startswith(_PACKAGE)
    return ours


_is_ours: dict[object, bool] = {}
#: (thread, location) while calls of an earlier line are made again
_pinned: tuple[int, SourceLoc] | None = None


@contextlib.contextmanager
def pinned(loc: SourceLoc | None):
    """A block whose operations were asked for at ``loc``, in this thread."""
    global _pinned
    before = _pinned
    _pinned = (get_ident(), loc) if loc is not None else None
    try:
        yield
    finally:
        _pinned = before


def user_location() -> SourceLoc | None:
    """The innermost frame outside this package."""
    if _pinned is not None and _pinned[0] == get_ident():
        return _pinned[1]
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
