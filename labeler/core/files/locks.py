"""Locks on files: held by a process, and released by the operating system if it is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from labeler.core.errors import FileError

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe does not block either


@contextlib.contextmanager
def file_lock(
    path: Path, *, refusal: Callable[[], Exception] | None = None, waiting: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold the lock file at `path`, which is made if missing and keeps its content.

    Args:
        refusal: makes the error where another process holds it; None: wait for it.
        waiting: called before the wait.

    Raises: the refusal; FileError where the path is a link or no regular file; OSError naming the path.
    """
    descriptor = _opened(path)
    try:
        if not _taken(descriptor):
            if refusal is not None:
                raise refusal()
            if waiting is not None:
                waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # which releases the lock


def _taken(descriptor: int) -> bool:
    """Whether the lock was free, and is held now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened(path: Path) -> int:
    """A descriptor of the lock file, never of what a link leads to."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise FileError(f"{path} is a link or no file, so it cannot serve as a lock: remove it")
    descriptor = os.open(path, _FLAGS, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # swapped in since
        os.close(descriptor)
        raise FileError(f"{path} is no file, so it cannot serve as a lock: remove it")
    return descriptor
