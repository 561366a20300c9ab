"""Records in a temporary file, by number: in memory is only where each begins."""

from __future__ import annotations

import marshal
import tempfile
import weakref
from array import array
from typing import Any

IN_MEMORY = 1 << 22  # bytes up to which no file is made
BLOCK = 1 << 20  # bytes written at a time


class Spool:
    """Records of plain values. The file has no name and goes with this object, or with the process.

    Raises OSError where the disk of temporary files is full.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # as long as this object
        weakref.finalize(self, self._file.close)
        self._starts = array("Q")
        self._waiting: list[bytes] = []
        self._size = self._written = 0

    def append(self, record: tuple[Any, ...]) -> int:
        """Store a record and return its number."""
        data = marshal.dumps(record)
        self._starts.append(self._size)
        self._waiting.append(data)
        self._size += len(data)
        if self._size - self._written > BLOCK:
            self._flush()
        return len(self._starts) - 1

    def _flush(self) -> None:
        self._file.seek(self._written)
        self._file.write(b"".join(self._waiting))
        self._waiting.clear()
        self._written = self._size

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> Any:
        if self._waiting:
            self._flush()
        end = self._starts[number + 1] if number + 1 < len(self._starts) else self._size
        self._file.seek(self._starts[number])
        return marshal.loads(self._file.read(end - self._starts[number]))
