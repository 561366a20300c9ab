"""Open a file that may be packed by gzip; a small file that unpacks to a very large one is refused."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO

from labeler.core.errors import FileError

FLOOR = 1 << 24  # bytes that any file may unpack to
RATIO = 100  # larger ones: times the packed size; text is packed to about a fifth, deflate reaches 1,032
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, unpacked if it starts as gzip does. Raises FileError for a zip archive, OSError."""
    with path.open("rb") as file:
        head = file.read(4)
    if head == _ZIP:
        raise FileError(f"{path}: a zip archive; unpack it and name the files in it")
    return io.BufferedReader(_Unpacked(path)) if head[:2] == _GZIP else path.open("rb")


class _Unpacked(io.RawIOBase):
    """The content of a gzip file. Reading raises FileError where it is broken or unpacks to too much."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = gzip.GzipFile(path)
        self._room = max(FLOOR, RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # the stubs want any buffer
        try:
            found = self._file.read(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FileError(f"{self._path}: broken or cut off gzip data ({error}); get the file again") from error
        self._room -= len(found)
        if self._room < 0:
            raise FileError(f"{self._path}: unpacks to over {RATIO} times its size; unpack it first if that is right")
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        self._file.close()
        super().close()
