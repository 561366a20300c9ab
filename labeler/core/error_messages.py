"""One clear line for every error that a user can mend; None for a bug, which keeps its traceback."""

from __future__ import annotations

import errno

from db.errors import DbError
from labeler.core.errors import LabelerError
from mrc.errors import MrcError

_DISK = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again, nothing is half written",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose a folder that can be written",
    errno.EACCES: "permission denied; choose a folder that you may write, or change its rights",
    errno.EPERM: "not permitted; choose a folder that you may write, or change its rights",
    errno.ENOENT: "no such file or folder",
    errno.EISDIR: "is a folder, a file is needed",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EEXIST: "exists already",
    errno.ENAMETOOLONG: "the name is too long",
}

_SQLITE = (
    ("disk is full", _DISK[errno.ENOSPC]),
    ("readonly database", "the database cannot be written; check the rights of its file and folder"),
    ("unable to open database file", "the database file cannot be opened or made; check the rights of its folder"),
    ("database is locked", "another program holds the database; wait for it or stop it, then run the command again"),
    ("malformed", "the database file is damaged; `labeler db restore FILE` brings a backup back"),
    ("disk I/O error", "the disk gives errors (is it full?); nothing is half written"),
)


def explain(error: BaseException) -> str | None:
    """What was wrong, where, and how to mend it, in one line; None where it is not the user's to mend."""
    if isinstance(error, LabelerError | MrcError | DbError):
        return " ".join(str(error).split())
    if isinstance(error, OSError):
        return _explain_os(error)
    return _explain_database(error)


def _explain_os(error: OSError) -> str | None:
    remedy = _DISK.get(error.errno or 0)
    if remedy is None:
        return None
    return f"{error.filename}: {remedy}" if error.filename else remedy


def _explain_database(error: BaseException) -> str | None:
    from sqlalchemy.exc import DBAPIError

    if not isinstance(error, DBAPIError):
        return None
    said = str(error.orig)
    for sign, remedy in _SQLITE:
        if sign in said:
            return remedy
    if "connect" in said.lower():
        return f"the database server does not answer: {' '.join(said.split())[:200]}"
    return None
