"""The folder of an index: data folders of which one counts, and the checksums of their files."""

from __future__ import annotations

import itertools
import re
import shutil
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from mrc.errors import DataError

REMEDY = "run `labeler index`"
_DATA_FOLDER = re.compile(r"[0-9a-f]{32}\.\d+")


def verify(data: Path, checksums: Mapping[str, int], names: Iterable[str]) -> None:
    """Nothing, where these files are as they were written. Raises DataError, naming the first that is not."""
    for name in names:
        if crc32(data / name) != checksums.get(name):
            raise DataError(f"{data / name}: truncated or altered since it was written; {REMEDY}")


def crc32(path: Path) -> int:
    """The CRC-32 of a file's bytes."""
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def new_folder(parent: Path, fingerprint: str) -> Path:
    """A new data folder, named by the fingerprint and a number."""
    names = (f"{fingerprint}.{number}" for number in itertools.count())
    folder = next(parent / name for name in names if not (parent / name).exists())
    folder.mkdir()
    return folder


def remove_others(folder: Path, kept: str) -> None:
    """Nothing; of the data folders only the one kept is left. Other things are left alone."""
    for entry in folder.iterdir():
        if entry.name != kept and _DATA_FOLDER.fullmatch(entry.name):
            shutil.rmtree(entry, ignore_errors=True)
