"""Files: JSON that is parsed without trust, checksums, and folders that survive a power failure."""

from __future__ import annotations

import errno
import json
import os
import zlib
from pathlib import Path
from typing import Any, Final

_MAX_DIGITS: Final = 20  # of an integer; a longer one is read as float: no id, offset or count is that long
_BLOCK: Final = 1 << 20  # bytes read at a time


def parse_json(text: str) -> Any:
    """The value of a JSON text; an integer of more than 20 digits becomes a float.

    Raises: json.JSONDecodeError; ValueError for a text that is nested too deeply.
    """
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, UTF-8. Raises ValueError for anything else; OSError."""
    value = parse_json(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def crc32(path: Path) -> int:
    """The CRC-32 of a file's bytes."""
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_BLOCK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def publish_folder(ready: Path, final: Path) -> None:
    """Rename a folder so that it is on the disk under its new name, with all its files, when this returns."""
    sync_folder(ready)
    ready.rename(final)
    sync(final.parent)
    sync(final.parent.parent)


def sync_folder(folder: Path) -> None:
    """Flush all files of a folder to the disk, then the folders that name them, innermost first."""
    for home, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(home) / name)
        sync(Path(home))


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk, where this user and the file system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder that may be written but not listed
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system without it
            raise
    finally:
        os.close(descriptor)
