"""Remove folders that this tool made: real directories below a given root, never through a link.

A folder is first moved into the trash of the root, by one rename, and deleted there. What a link swapped in between
check and deletion could redirect is therefore the link itself, never what it points to: every step names its entry
relative to an open directory (CWE-59, CWE-367).
"""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

TRASH: Final = ".labeler-trash"  # in the root; emptied after every removal, and of what a killed one left
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class NotRemovable(OSError):
    """A folder that is no real directory below its root; nothing was removed."""


def remove_folder(folder: Path, *, root: Path) -> bool:
    """Remove a folder below `root` and return whether there was one.

    `root` may be a link, since its owner named it; below it neither `..` nor a link is followed.

    Raises: NotRemovable for a path outside `root`, through a link, or that is no directory; OSError.
    """
    parts = _parts(folder, root)
    with _opened(root, parts[:-1]) as parent:
        if parent is None or not _exists(parts[-1], parent):
            return False
        _check_directory(parts[-1], parent, folder)
        with _trash(root) as trash:
            name = uuid.uuid4().hex
            os.rename(parts[-1], name, src_dir_fd=parent, dst_dir_fd=trash)
            _check_directory(name, trash, folder)  # a link that was swapped in is kept in the trash, and not followed
            shutil.rmtree(name, dir_fd=trash)
    return True


def empty_trash(root: Path) -> None:
    """Delete what removals that were killed left in the trash of `root`. Raises OSError."""
    if not (root / TRASH).is_dir() or (root / TRASH).is_symlink():
        return
    with _trash(root) as trash:
        for name in _names(trash):
            if stat.S_ISDIR(os.lstat(name, dir_fd=trash).st_mode):
                shutil.rmtree(name, dir_fd=trash)
            else:
                os.unlink(name, dir_fd=trash)


def is_real_folder(folder: Path, *, root: Path) -> bool:
    """Whether `folder` is a directory below `root` that no link leads to."""
    try:
        with _opened(root, _parts(folder, root)) as found:
            return found is not None
    except NotRemovable:
        return False


def folder_size(folder: Path) -> int:
    """The bytes of all files in a folder; links count as links."""
    return sum(
        os.lstat(Path(home) / name).st_size for home, _, names in os.walk(folder, followlinks=False) for name in names
    )


def _parts(folder: Path, root: Path) -> tuple[str, ...]:
    """The names that lead from root to folder. Raises NotRemovable where they are none, or leave the root."""
    try:
        parts = folder.relative_to(root).parts
    except ValueError:
        parts = ()
    if not parts or ".." in parts:
        raise NotRemovable(f"{folder} is not below {root}; nothing was removed")
    return parts


@contextmanager
def _opened(root: Path, parts: tuple[str, ...]) -> Iterator[int | None]:
    """A descriptor of the directory that `parts` lead to from root; None where root or one of them does not exist.

    Raises: NotRemovable where one of them is a link or no directory.
    """
    if not root.exists():
        yield None
        return
    descriptor: int | None = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for place, name in enumerate(parts):
            assert descriptor is not None
            if not _exists(name, descriptor):
                os.close(descriptor)
                descriptor = None
                break
            where = root.joinpath(*parts[: place + 1])
            _check_directory(name, descriptor, where)
            try:
                inner = os.open(name, _DIRECTORY, dir_fd=descriptor)
            except OSError as error:  # a link now
                raise NotRemovable(f"{where} is a link or no folder; nothing was removed") from error
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _names(directory: int) -> list[str]:
    return os.listdir(directory)


def _exists(name: str, parent: int) -> bool:
    try:
        os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return False
    return True


def _check_directory(name: str, parent: int, shown: Path) -> None:
    mode = os.lstat(name, dir_fd=parent).st_mode
    if not stat.S_ISDIR(mode):
        what = "a link" if stat.S_ISLNK(mode) else "no folder"
        raise NotRemovable(
            f"{shown} is {what}; nothing was removed: replace it by a real folder, or delete it yourself"
        )


@contextmanager
def _trash(root: Path) -> Iterator[int]:
    """A descriptor of the trash of root, which is made if missing and removed again when it is empty."""
    home = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            os.mkdir(TRASH, mode=0o700, dir_fd=home)
        except FileExistsError:
            _check_directory(TRASH, home, root / TRASH)
        trash = os.open(TRASH, _DIRECTORY, dir_fd=home)
        try:
            yield trash
        finally:
            if not _names(trash):
                os.rmdir(TRASH, dir_fd=home)
            os.close(trash)
    finally:
        os.close(home)
