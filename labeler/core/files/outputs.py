"""Where commands may write: never over a file of a workspace, an input, a device, or a file that is not ours.

A file counts as ours if its content is what this tool wrote last to this path; a note of that (path and SHA-256) is
kept in the user's state folder (XDG_STATE_HOME). Without the note, an existing file is overwritten only with --force.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from labeler.core.config import FILE_NAME
from labeler.core.errors import FileError
from labeler.core.files import atomic_write, is_leftover

STDOUT = Path("-")
_WORKSPACE_FOLDERS = ("index", "models", ".studio")
_WORKSPACE_FILES = (FILE_NAME, ".lock", ".lock.json")
_SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal")


@contextlib.contextmanager
def output_file(
    path: Path, *, force: bool = False, inputs: Iterable[Path] = (), databases: Iterable[Path] = ()
) -> Iterator[TextIO]:
    """Yield the file to write, UTF-8; it takes its place when the block ends. `-` is standard output.

    Raises: FileError as `check_output`; OSError.
    """
    if path == STDOUT:
        yield sys.stdout
        sys.stdout.flush()
        return
    check_output(path, force=force, inputs=inputs, databases=databases)
    with atomic_write(path) as file:
        yield file
    note_output(path)


def check_output(
    path: Path, *, force: bool = False, inputs: Iterable[Path] = (), databases: Iterable[Path] = ()
) -> None:
    """Return if a command may write this file.

    Args:
        path: the file to write; its folder must exist.
        force: overwrite a file that this tool did not write; no other refusal is lifted.
        inputs: files that the same command reads.
        databases: SQLite files of open workspaces, wherever they are.

    Raises: FileError, saying why not.
    """
    if not path.parent.is_dir():
        raise FileError(f"folder {path.parent} does not exist")
    _check_kind(path)
    for given in inputs:
        if _same(path, given):
            raise FileError(f"{path} is an input of this command; name another output")
    owned = [database.with_name(database.name + suffix) for database in databases for suffix in _SQLITE_SUFFIXES]
    if _workspace_of(path) or any(_same(path, file) for file in owned):
        raise FileError(f"{path} belongs to a workspace; name another output")
    if path.exists() and not force and not is_ours(path):
        raise FileError(f"{path} exists and was not written by labeler; name another output, or add --force")


def check_output_folder(path: Path, *, force: bool = False, inputs: Iterable[Path] = ()) -> None:
    """Return if a command may write files into this folder: it is new, empty, or holds only files of ours.

    Raises: FileError, saying why not.
    """
    if path.exists() and not path.is_dir():
        raise FileError(f"{path} is a file; name a folder")
    if _workspace_of(path / "file") or (path / FILE_NAME).exists():
        raise FileError(f"{path} belongs to a workspace; name another folder")
    for given in inputs:
        if path.is_dir() and given.resolve().is_relative_to(path.resolve()) and not force:
            raise FileError(f"{path} holds {given.name}, an input of this command; name another folder")
    held = sorted(path.iterdir()) if path.is_dir() else []
    foreign = [entry for entry in held if not (entry.is_file() and is_ours(entry)) and not is_leftover(entry)]
    if foreign and not force:
        raise FileError(
            f"{path} is not empty ({foreign[0].name} was not written by labeler); name a new folder, or add --force"
        )


def note_output(path: Path) -> None:
    """Remember what was written to this path, so that the next run may overwrite it. Failing to is no error."""
    with contextlib.suppress(OSError):
        note = _note(path)
        note.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(note) as file:
            file.write(_sha256(path))


def is_ours(path: Path) -> bool:
    """Whether a regular file holds what this tool wrote to this path last."""
    try:
        return path.is_file() and _note(path).read_text(encoding="utf-8") == _sha256(path)
    except OSError:
        return False


def _note(path: Path) -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return state / "labeler" / "outputs" / name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_kind(path: Path) -> None:
    """Raise FileError for what is no regular file: a device, a pipe, a socket, a folder, an open file by /dev/fd."""
    if path.absolute().is_relative_to("/dev") or path.absolute().is_relative_to("/proc"):
        raise FileError(f"{path} is no regular file; write to standard output with -o -")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise FileError(f"{path} is a link to nothing; name a file") from None
        return
    except OSError:
        return  # named when it is written
    if stat.S_ISDIR(mode):
        raise FileError(f"{path} is a folder; name a file in it")
    if not stat.S_ISREG(mode):
        raise FileError(f"{path} is no regular file; write to standard output with -o -")


def _same(path: Path, other: Path) -> bool:
    """Whether both are one file, by links of either kind too."""
    try:
        return path.samefile(other)
    except OSError:
        return path.resolve() == other.resolve()


def _workspace_of(path: Path) -> Path | None:
    """The workspace whose file this would be: its settings, lock or database, or a file in its folders."""
    home = path.resolve().parent
    for folder in (home, *home.parents):
        if not (folder / FILE_NAME).is_file():
            continue
        owned = [folder / name for name in _WORKSPACE_FILES] + [
            file for suffix in _SQLITE_SUFFIXES for file in folder.glob(f"*.db{suffix}")
        ]
        inside = path.resolve().relative_to(folder).parts
        if inside[0] in _WORKSPACE_FOLDERS or any(_same(path, file) for file in owned):
            return folder
    return None
