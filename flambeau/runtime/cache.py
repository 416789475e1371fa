"""Object files of compiled kernels on disk.

An entry is named by a hash of everything the machine code depends on, so it never needs to be
invalidated: another CPU, LLVM or package version is another entry. Writers make a temporary file
and rename it, so readers see whole files only; a checksum catches what a broken disk leaves. A
folder that cannot be read or written is no error: the kernel is compiled again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from flambeau.base import flags

#: the folder is trimmed to this many bytes, oldest use first
MAX_BYTES = 256 << 20
_TRIM_EVERY = 64  # entries a process writes between two thoughts of it
_TRIM_SECONDS = 3600  # between two looks at the size, of all processes
_MAGIC = b"flambeau-object-1\n"
_SUFFIX = ".o"
#: how files of links begin; one that was not written to for so many seconds is removed
_LINKS, _LINKS_AGE = "links-", 30 * 86400
#: rooms that have a part in what machine code is made
_WRITERS = ("base", "ir", "ops", "ops/prim", "kernel", "codegen", "runtime")


def default_folder() -> Path:
    """The user's cache folder for this package."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "flambeau" / "kernels"


def folder() -> Path | None:
    """The folder in use by ``flags.values.cache``; None if the cache is off."""
    setting = flags.values.cache
    if setting == "off":
        return None
    if setting:
        return Path(setting)
    try:
        return default_folder()
    except RuntimeError:  # no home directory
        return None


def key(*parts: str) -> str:
    """The name of an entry: a hash of all texts the machine code depends on."""
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


@functools.cache
def stamp() -> str | None:
    """Names, sizes and times of the package's files: while it is the same, the same machine code
    is written for the same kernel. None where there are no such files."""
    root = Path(__file__).resolve().parents[1]
    found = []
    try:
        version = (root / "version.py").read_text()
        for room in _WRITERS:
            with os.scandir(root / room) as entries:
                for e in entries:
                    if e.name.endswith((".py", ".pyc")):
                        info = e.stat()
                        found.append((room, e.name, info.st_size, info.st_mtime_ns))
    except OSError:
        return None
    return key(version, *(repr(x) for x in sorted(found)))


def _path(root: Path, name: str) -> Path:
    return root / name[:2] / (name + _SUFFIX)


def read(name: str) -> bytes | None:
    """The entry's bytes; None if it is missing, damaged or unreadable."""
    root = folder()
    if root is None:
        return None
    path = _path(root, name)
    try:
        data = path.read_bytes()
    except OSError:
        return None
    head = len(_MAGIC) + 20
    body = data[head:]
    if not data.startswith(_MAGIC) or data[len(_MAGIC):head] != _checksum(body):
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > 86400:
            os.utime(path)  # eviction goes by last use, a day's resolution is enough
    return body


def write(name: str, body: bytes) -> bool:
    """Store an entry; False if it could not be stored (the caller goes on without)."""
    root = folder()
    if root is None:
        return False
    path = _path(root, name)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + _checksum(body) + body)
        os.replace(temporary, path)
    except OSError:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        return False
    _count_write(root)
    return True


# -- what descriptions led to ----------------------------------------------------------------------

_links: dict[Path, bytes] = {}  # the lines of files that were read


def _link_file() -> Path | None:
    root, now = folder(), stamp()
    return None if root is None or now is None else root / f"{_LINKS}{now}"


def linked(description: str) -> str | None:
    """The name that :func:`link` was given for a description (itself a :func:`key`), by this
    process or an earlier one that ran the same files of the package."""
    path = _link_file()
    if path is None:
        return None
    if path not in _links:
        try:
            _links[path] = path.read_bytes()
        except OSError:
            _links[path] = b""
    lines, size = _links[path], len(description)
    at = lines.find(description.encode() + b" ")
    line = lines[at:at + 2 * size + 2]
    return line[size + 1:-1].decode() if at >= 0 and line.endswith(b"\n") else None


def link(description: str, name: str) -> None:
    """Let :func:`linked` find ``name`` from now on."""
    path = _link_file()
    if path is None:
        return
    line = f"{description} {name}\n".encode()
    _links[path] = line + _links.get(path, b"")
    with contextlib.suppress(OSError), open(path, "ab", buffering=0) as file:
        file.write(line)


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=20).digest()


_lock = threading.Lock()
_written = 0


def _count_write(root: Path) -> None:
    global _written
    with _lock:
        _written += 1
        due = _written % _TRIM_EVERY == 1
    if due and _is_older(root / "trimmed", _TRIM_SECONDS):
        with contextlib.suppress(OSError):
            (root / "trimmed").touch()
        trim(root, MAX_BYTES)


def _is_older(path: Path, seconds: float) -> bool:
    """Whether a file was changed longer ago, or is not there."""
    try:
        return time.time() - path.stat().st_mtime > seconds
    except OSError:
        return True


def trim(root: Path, max_bytes: int) -> int:
    """Remove entries, least recently used first, until they take at most ``max_bytes``.

    Temporary files older than an hour (of writers that died) go too. Returns the bytes left.
    """
    entries = []
    now = time.time()
    with contextlib.suppress(OSError):
        for path in root.glob("??/*"):
            with contextlib.suppress(OSError):
                info = path.stat()
                if path.suffix == _SUFFIX:
                    entries.append((info.st_mtime, info.st_size, path))
                elif path.name.startswith(".new-") and now - info.st_mtime > 3600:
                    path.unlink()
        for path in root.glob(_LINKS + "*"):
            if _is_older(path, _LINKS_AGE):
                path.unlink()
    total = sum(size for _, size, _ in entries)
    if total <= max_bytes:
        return total
    for _, size, path in sorted(entries):
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
        if total <= max_bytes * 3 // 4:  # leave room, so that not each writer has to trim
            break
    return total
