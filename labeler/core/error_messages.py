"""One line for every error that a user can fix; a bug has none and keeps its traceback."""

from __future__ import annotations

import errno
from pathlib import Path

from db.errors import DbError
from labeler.core.errors import LabelerError
from mrc.errors import MrcError

_DISK = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again, no file is incomplete",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose a folder that you may write to",
    errno.EACCES: "permission denied; choose a folder that you may write to, or change its permissions",
    errno.EPERM: "not permitted; choose a folder that you may write to, or change its permissions",
    errno.ENOENT: "no such file or folder",
    errno.EISDIR: "is a folder, not a file",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EEXIST: "exists already; remove it or choose another path",
    errno.ENAMETOOLONG: "the name is too long",
}

_SQLITE = (
    ("disk is full", _DISK[errno.ENOSPC]),
    ("readonly database", "the database cannot be written; check the permissions of its file and folder"),
    (
        "unable to open database file",
        "the database file cannot be opened or created; check the permissions of its folder",
    ),
    ("database is locked", "another program uses the database; wait for it or stop it, then run the command again"),
    ("malformed", "the database file is damaged; restore a backup: labeler db restore FILE"),
    ("disk I/O error", "the disk gives errors (is it full?); no file is incomplete"),
)


def explain(error: BaseException) -> str | None:
    """What is wrong, where, and how to fix it, in one line; None for an error that a user cannot fix."""
    if isinstance(error, LabelerError | MrcError | DbError):
        return " ".join(str(error).split())
    if isinstance(error, OSError):
        return _explain_os(error)
    return _explain_database(error)


def _explain_os(error: OSError) -> str | None:
    remedy = _DISK.get(error.errno or 0)
    if remedy is None:
        return None
    if error.errno == errno.ENOENT and error.filename and not (folder := Path(error.filename).parent).exists():
        return f"folder {folder} does not exist"
    return f"{error.filename}: {remedy}" if error.filename else remedy


def _explain_database(error: BaseException) -> str | None:
    from sqlalchemy.exc import DBAPIError

    if not isinstance(error, DBAPIError):
        return None
    message = str(error.orig)
    for words, remedy in _SQLITE:
        if words in message:
            return remedy
    if "connect" in message.lower():
        return f"the database server does not answer: {' '.join(message.split())[:200]}"
    return None
