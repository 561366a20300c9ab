"""Named errors of storage: each is one line that says what, where and how to mend it.

DbError
├── NotADatabase    the file or URL holds something else
├── SchemaTooOld    the database was written by an older version
├── SchemaTooNew    the database was written by a newer version
├── Unreachable     the database server does not answer, or refuses the user
├── StorageError    the disk is full, or the folder cannot be read or written
├── Busy            another process is writing
├── Unsupported     a program that the command needs is not installed
├── NotFound        no such question, label, round, import ...
└── Conflict        the write contradicts what is stored
    └── SpanConflict   an answer does not stand at its offset in the stored passage
"""


class DbError(Exception):
    """Something a user can mend. The message is one line for people."""


class NotADatabase(DbError):
    """The file or URL does not hold a database of this tool."""


class SchemaTooOld(DbError):
    """The database was written by an older version; `labeler db upgrade` mends it."""


class SchemaTooNew(DbError):
    """The database was written by a newer version of this tool."""


class StorageError(DbError):
    """The disk is full, or the database's file or folder cannot be read or written."""


class Unreachable(DbError):
    """The database server does not answer, refuses the user, or broke off."""


class Busy(DbError):
    """Another process writes the database, or holds it for itself."""


class Unsupported(DbError):
    """A program that the command needs is not installed; the message names it."""


class NotFound(DbError):
    """What was asked for by id is not stored."""


class Conflict(DbError):
    """The write contradicts what is stored; nothing of it was kept."""


class SpanConflict(Conflict):
    """An answer whose text does not stand at its offset in the stored passage."""
