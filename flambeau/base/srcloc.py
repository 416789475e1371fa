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
    return _is_ours[code]


class _Ours(dict):
    """Whether code belongs to this package, by code object."""

    def __missing__(self, code) -> bool:
        found = self[code] = code.co_filename.startswith(_PACKAGE)
        return found


_is_ours = _Ours()
#: (thread, location) while calls of an earlier line are made again
pinned_here: tuple[int, SourceLoc] | None = None


@contextlib.contextmanager
def pinned(loc: SourceLoc | None):
    """A block whose operations were asked for at ``loc``, in this thread."""
    before = pin(loc)
    try:
        yield
    finally:
        unpin(before)


def pin(loc: SourceLoc | None):
    """Let this thread's operations be asked for at ``loc`` (None: where they are) until
    :func:`unpin` is given the result."""
    global pinned_here
    before, me = pinned_here, get_ident()
    pinned_here = (me, loc) if loc is not None else None
    return before if before is not None and before[0] == me else None


def pin_here() -> bool:
    """Pin the line that is running, so that it is looked for once for many operations; False where
    this thread has pinned one already. ``unpin(None)`` ends it."""
    global pinned_here
    me = get_ident()
    if pinned_here is not None and pinned_here[0] == me:
        return False
    frame = sys._getframe(2)
    while frame is not None:
        if not _is_ours[frame.f_code]:
            pinned_here = me, SourceLoc(frame.f_code, frame.f_lasti)
            return True
        frame = frame.f_back
    return False


def unpin(before) -> None:
    """Undo :func:`pin`."""
    global pinned_here
    pinned_here = before


def user_location() -> SourceLoc | None:
    """The innermost frame outside this package."""
    if pinned_here is not None and pinned_here[0] == get_ident():
        return pinned_here[1]
    frame = sys._getframe(2)
    while frame is not None:
        if not _is_ours[frame.f_code]:
            return SourceLoc(frame.f_code, frame.f_lasti)
        frame = frame.f_back
    return None
