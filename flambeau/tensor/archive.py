"""The zip archives of saved files: stored entries only, each aligned to 64 bytes.

Writing is strictly front to back, so any file object will do. Reading trusts nothing: every entry
must lie inside the file, and what it says about its size is never the reason for an allocation.
"""

from __future__ import annotations

import io
import mmap
import os
import struct
import zipfile
import zlib

import numpy as np

ALIGN = 64
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_UTF8 = 0x800
_DATE = (1 << 5) | 1  # 1980-01-01
_MAX32 = 0xFFFFFFFF
_PAD_ID = b"FB"  # PyTorch's extra field for padding


class Writer:
    """Writes an archive to a file object.

    Args:
        file: has ``write``.
        folder: every name in the archive starts with it.
    """

    def __init__(self, file, folder: str):
        self.file, self.folder = file, folder
        self.at = 0
        self.entries: list[tuple[bytes, int, int, int]] = []

    def _write(self, data) -> None:
        view = memoryview(data).cast("B")
        while len(view):
            written = self.file.write(view)
            if written is None or written == len(view):
                break
            view = view[written:]
        self.at += memoryview(data).nbytes

    def add(self, name: str, data) -> None:
        """One entry; ``data`` is anything with a contiguous buffer."""
        view = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
        size, crc = view.nbytes, zlib.crc32(view)
        path = f"{self.folder}/{name}".encode()
        large = size >= _MAX32
        extra = struct.pack("<HHQQ", 1, 16, size, size) if large else b""
        start = self.at + _LOCAL.size + len(path) + len(extra) + 4
        padding = -start % ALIGN
        extra += struct.pack("<2sH", _PAD_ID, padding) + b"Z" * padding
        self.entries.append((path, size, crc, self.at))
        short = _MAX32 if large else size
        self._write(_LOCAL.pack(b"PK\3\4", 45 if large else 20, _UTF8, 0, 0, _DATE, crc, short,
                                short, len(path), len(extra)) + path + extra)
        if size:
            self._write(view)

    def finish(self) -> None:
        """Write the directory."""
        start = self.at
        for path, size, crc, offset in self.entries:
            large = size >= _MAX32 or offset >= _MAX32
            extra = struct.pack("<HHQQQ", 1, 24, size, size, offset) if large else b""
            short, at = (_MAX32, _MAX32) if large else (size, offset)
            self._write(_CENTRAL.pack(
                b"PK\1\2", 45, 45 if large else 20, _UTF8, 0, 0, _DATE, crc, short, short,
                len(path), len(extra), 0, 0, 0, 0, at) + path + extra)
        size, count = self.at - start, len(self.entries)
        if start + size >= _MAX32 or count >= 0xFFFF:
            end = self.at
            self._write(_END64.pack(b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start))
            self._write(_LOCATOR.pack(b"PK\6\7", 0, end, 1))
        self._write(_END.pack(b"PK\5\6", 0, 0, min(count, 0xFFFF), min(count, 0xFFFF),
                              min(size, _MAX32), min(start, _MAX32), 0))


class Reader:
    """Reads an archive from a seekable file object.

    Args:
        file: opened for reading in binary mode.
        mapped: entries are windows of the mapped file (copied when written to) instead of copies.

    Raises:
        RuntimeError: not a whole archive.
    """

    def __init__(self, file, mapped: bool = False):
        self.file = file
        self.size = file.seek(0, io.SEEK_END)
        self.memory = None
        if mapped:
            self.memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, struct.error, ValueError, EOFError, NotImplementedError,
                UnicodeDecodeError, OverflowError) as error:
            raise RuntimeError(
                "PytorchStreamReader failed reading zip archive: failed finding central directory "
                f"({error}). The file ({self.size} bytes) is damaged or was cut off, for example "
                "by an unfinished download or a full disk: get it again") from None
        if not entries:
            raise RuntimeError("PytorchStreamReader failed reading zip archive: it holds no files")
        self.folder = entries[0].filename.partition("/")[0]
        self.entries = {e.filename.partition("/")[2]: e for e in entries}

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def _span(self, name: str) -> tuple[int, int]:
        """Where an entry's bytes stand, and how many there are."""
        entry = self.entries.get(name)
        if entry is None:
            raise RuntimeError(f"PytorchStreamReader failed locating file {name}: file not found")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise RuntimeError(f"PytorchStreamReader failed reading file {name}: it is compressed; "
                               "saved files hold plain entries, so this one was packed again by "
                               "another program: unpack and zip it without compression (zip -0)")
        if not 0 <= entry.header_offset < self.size:
            raise self._damaged(name)
        self.file.seek(entry.header_offset)
        head = self.file.read(_LOCAL.size)
        if len(head) != _LOCAL.size or head[:4] != b"PK\3\4":
            raise self._damaged(name)
        fields = _LOCAL.unpack(head)
        start = entry.header_offset + _LOCAL.size + fields[-2] + fields[-1]
        if start + entry.file_size > self.size:
            raise self._damaged(name)
        return start, entry.file_size

    @staticmethod
    def _damaged(name: str) -> RuntimeError:
        return RuntimeError(f"PytorchStreamReader failed reading file {name}: the archive is "
                            "damaged; get the file again")

    def length(self, name: str) -> int:
        """Number of bytes of an entry."""
        return self._span(name)[1]

    def read(self, name: str) -> np.ndarray:
        """An entry's bytes (uint8), writable."""
        start, size = self._span(name)
        if self.memory is not None:
            return np.frombuffer(self.memory, np.uint8, size, start)
        data = np.empty(size, np.uint8)
        self.file.seek(start)
        done = 0
        view = memoryview(data)
        while done < size:
            n = self._read_into(view[done:])
            if not n:
                raise self._damaged(name)
            done += n
        if zlib.crc32(data) != self.entries[name].CRC:
            raise RuntimeError(f"PytorchStreamReader failed reading file {name}: its checksum is "
                               "wrong, so bytes have changed since it was saved; get the file "
                               "again")
        return data

    def _read_into(self, view: memoryview) -> int:
        readinto = getattr(self.file, "readinto", None)
        if readinto is not None:
            return readinto(view)
        data = self.file.read(len(view))
        view[:len(data)] = data
        return len(data)


def replace_file(path: str, write) -> None:
    """Write a file so that at any moment there is either the old one or the whole new one.

    Args:
        path: where it is to be; a link is followed.
        write: called with a file object.
    """
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):  # a device or a pipe
        with open(path, "wb") as file:
            write(file)
        return
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name[:200]}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0),
                     0o666)
    except PermissionError:
        if not os.access(path, os.W_OK):
            raise
        with open(path, "wb") as file:  # the folder takes no new files: only this way is left
            write(file)
        return
    try:
        with open(fd, "wb") as file:
            if os.path.exists(path):
                os.chmod(temporary, os.stat(path).st_mode & 0o7777)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Make the new name last through a power cut, where the system can."""
    try:
        fd = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError:
        pass  # not every file system can
    finally:
        os.close(fd)
