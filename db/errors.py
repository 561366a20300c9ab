"""Named errors of storage: each message is one line that says what is wrong, where, and how to mend it.

DbError
├── NotADatabase    the file or URL holds something else
├── SchemaTooOld    the database has no tables yet, or those of an older version
├── UnknownSchema   the database was written by a version with another schema
├── Unreachable     the database server does not answer, or refuses the user
├── StorageError    the disk is full, or the folder cannot be read or written
├── Busy            another process writes or locks the database
├── Unsupported     a program that the command needs is not installed
├── NotFound        no such question, label, round, import ...
└── Conflict        the write contradicts what is stored
    └── SpanConflict   a stored passage does not contain an answer at its offset
"""


class DbError(Exception):
    """An error that a user can mend. The message is one line."""


class NotADatabase(DbError):
    """The file or URL does not hold a database of this tool."""


class SchemaTooOld(DbError):
    """The database has no tables yet, or those of an older version: `labeler db upgrade` makes them."""


class UnknownSchema(DbError):
    """The database was written by a version of this tool with another schema."""


class StorageError(DbError):
    """The disk is full, or the database's file or folder cannot be read or written."""


class Unreachable(DbError):
    """The database server does not answer, refuses the user, or broke off."""


class Busy(DbError):
    """Another process writes the database, or has locked it."""


class Unsupported(DbError):
    """A program that the command needs is not installed; the message names it."""


class NotFound(DbError):
    """No row with this id is stored."""


class Conflict(DbError):
    """The write contradicts what is stored; nothing of it was kept."""


class SpanConflict(Conflict):
    """A stored passage does not contain an answer's text at its offset."""
