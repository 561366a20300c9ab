"""Folders that workers read: models and indexes. A machine that sees the path uses it; to others the files travel once,
through Ray's object store, in pieces that fit a small one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from labeler.core.errors import FileError
from labeler.core.files import atomic_folder
from labeler.core.files.locks import file_lock

PIECE: Final = 16 << 20  # bytes of a file that are one object of the store
UNUSED: Final = 7 * 86400  # seconds after which a copy is removed
Pieces = Mapping[str, list[tuple[str, list[Any]]]]  # key of a folder -> its files, each as references to its pieces


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of files that do not change. `files`: name, size and time of change (ns) of each."""

    path: str
    files: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, path: Path) -> Folder:
        """The folder at a path of this machine; links are followed."""
        return cls(str(path.resolve()), tuple(_listed(path)))

    @property
    def key(self) -> str:
        """32 hexadecimal digits of the path and its files."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:32]

    def is_seen(self) -> bool:
        """Whether this machine has the same files at the path."""
        path = Path(self.path)
        return path.is_dir() and tuple(_listed(path)) == self.files


def _listed(path: Path) -> Iterator[tuple[str, int, int]]:
    for file in sorted(path.rglob("*")):
        if file.is_file():
            status = file.stat()
            yield file.relative_to(path).as_posix(), status.st_size, status.st_mtime_ns


def shipped(ray: Any, folders: Iterable[Folder]) -> Pieces:
    """Put the files of these folders into the object store, for machines that do not see them."""
    return {
        folder.key: [(name, _put(ray, Path(folder.path) / name)) for name, *_ in folder.files] for folder in folders
    }


def _put(ray: Any, path: Path) -> list[Any]:
    pieces = []
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            pieces.append(ray.put(piece))
    return pieces


def place(ray: Any, folder: Folder, pieces: Pieces) -> Path | None:
    """The folder on this machine: where it is seen, else a copy that all workers of the machine share.

    None where the machine neither sees it nor has been sent its pieces. Raises: FileError, OSError.
    """
    if folder.is_seen():
        return Path(folder.path)
    home = _home()
    copy = home / folder.key
    if folder.key in pieces and not copy.is_dir():
        with file_lock(home / f"{folder.key}.lock"):
            if not copy.is_dir():
                _forget_old(home)
                _unpack(ray, pieces[folder.key], copy)
    if not copy.is_dir():
        return None
    os.utime(copy)
    return copy


def _home() -> Path:
    """The folder of this user's copies. Raises FileError where it is another's."""
    home = Path(tempfile.gettempdir()) / f"labeler-cluster-{os.getuid()}"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if home.is_symlink() or home.stat().st_uid != os.getuid():
        raise FileError(f"{home} belongs to another user: remove it")
    return home


def _unpack(ray: Any, files: Iterable[tuple[str, list[Any]]], copy: Path) -> None:
    with atomic_folder(copy) as making:
        for name, pieces in files:
            path = making / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for piece in pieces:
                    file.write(ray.get(piece))


def _forget_old(home: Path) -> None:
    """Remove the copies that no worker has asked for in days."""
    for entry in home.iterdir():
        if entry.is_dir() and time.time() - entry.stat().st_mtime > UNUSED:
            shutil.rmtree(entry, ignore_errors=True)
