"""Folders of arrays that are replaced as a whole: `meta.json` names one data folder and the CRC-32 of its files.

Saving writes a new data folder and then replaces `meta.json`, so a process killed at any moment leaves the old content
or the new one.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from mrc.errors import DataError, writing
from mrc.files import crc32, sync, sync_folder
from mrc.removal import remove_folder

META: Final = "meta.json"
_DATA_FOLDER = re.compile(r"[0-9a-f]{32}\.\d+")
_LARGE: Final = 1 << 24  # bytes from which a file that was not touched since it was written is not read again


def save_folder(folder: Path, fingerprint: str, write: Callable[[Path], Mapping[str, Any]]) -> None:
    """Replace the content of `folder`; unchanged if `write` fails.

    Args:
        fingerprint: 32 hexadecimal digits that name the data folder.
        write: writes files into the data folder it is given; returns what `meta.json` holds beside `data` and `crc32`.
    """
    with writing(folder), ExitStack() as undo:
        folder.mkdir(parents=True, exist_ok=True)
        data = _new_data_folder(folder, fingerprint)
        undo.callback(remove_folder, data, root=folder)
        values = dict(write(data))
        checksums = {path.name: crc32(path) for path in sorted(data.iterdir())}
        stamps = {path.name: _stamp(path) for path in sorted(data.iterdir())}
        described = {**values, "data": data.name, "crc32": checksums, "stamps": stamps}
        partial = folder / f"{META}.partial"
        partial.write_text(json.dumps(described, indent=2), encoding="ascii")
        sync_folder(data)
        sync(partial)
        partial.replace(folder / META)
        undo.pop_all()
        sync(folder)
        sync(folder.parent)
    _remove_others(folder, data.name)


def check_entries(data: object, checksums: object) -> None:
    """Raise ValueError unless a `meta.json` names a data folder as we name them, and checksums of its files."""
    if not isinstance(data, str) or not _DATA_FOLDER.fullmatch(data):
        raise ValueError(f"{data!r} is no name of a data folder")
    if not isinstance(checksums, dict) or not all(Path(name).name == name for name in checksums):
        raise ValueError("crc32 is not a checksum for each file")


def verify(
    data: Path,
    checksums: Mapping[str, int],
    names: Iterable[str],
    *,
    remedy: str,
    stamps: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Raise DataError, naming the first of these files that is missing or not as it was written.

    Of a large file with a stamp the size and the moment of its last change are compared, and its content only where
    they differ, as in a copy.
    """
    for name in names:
        try:
            path = data / name
            intact = _untouched(path, (stamps or {}).get(name)) or crc32(path) == checksums.get(name)
        except OSError as error:
            raise DataError(f"{data}: cannot be read ({error}); {remedy}") from None
        if not intact:
            raise DataError(f"{data / name}: truncated or altered since it was written; {remedy}")


def _stamp(path: Path) -> list[int]:
    """What changes whenever somebody writes the file: its size, inode, and last changes of content and inode."""
    found = path.stat()
    return [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]


def _untouched(path: Path, stamp: Sequence[int] | None) -> bool:
    return stamp is not None and stamp[0] >= _LARGE and list(stamp) == _stamp(path)


def _new_data_folder(parent: Path, fingerprint: str) -> Path:
    names = (f"{fingerprint}.{number}" for number in itertools.count())
    folder = next(parent / name for name in names if not (parent / name).exists())
    folder.mkdir()
    return folder


def _remove_others(folder: Path, kept: str) -> None:
    """Remove all data folders except one; other entries stay."""
    for entry in folder.iterdir():
        if entry.name != kept and _DATA_FOLDER.fullmatch(entry.name):
            remove_folder(entry, root=entry.parent)
