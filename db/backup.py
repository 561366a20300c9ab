"""Backup and restore of a database: of SQLite here, of PostgreSQL by its client programs."""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from db import backup_postgresql, sqlite
from db.driver_errors import translate
from db.engine import Database, check_known, read_revision
from db.errors import Conflict, DbError, NotADatabase, StorageError, Unsupported
from db.tables import utc_now


def backup(database: Database, target: Path) -> Path:
    """Write a consistent copy to `target`, while the database may be in use, and return its path.

    Raises:
        NotADatabase: there is no database to copy.
        Conflict: the target exists.
        StorageError: the target cannot be written.
        Unsupported: PostgreSQL's programs are not installed.
    """
    database.revision()
    if target.exists():
        raise Conflict(f"{target} exists: name another file for the backup")
    partial = _partial(target)
    try:
        if database.is_sqlite:
            _copy(_sqlite_path(database), partial)
        else:
            backup_postgresql.dump(database, partial)
            _flush(partial)
        partial.replace(target)
        _flush(target.parent)
    finally:
        partial.unlink(missing_ok=True)
    return target


def restore(database: Database, source: Path) -> Path | None:
    """Replace the database by a backup; return where the former content was moved (None: there was none).

    The backup is checked before anything moves. One with an older schema is taken; `labeler db upgrade` upgrades it.

    Raises:
        NotADatabase: the backup is missing, damaged, or another program's.
        UnknownSchema: the backup was written by a version with another schema.
        Busy: the database is in use.
        Unsupported: PostgreSQL's programs are not installed.
    """
    _existing(source)
    if not database.is_sqlite:
        return backup_postgresql.restore(database, source)
    path = _sqlite_path(database)
    partial = _partial(path)
    _copy(source, partial)
    _check_whole(partial, named=source)
    database.close()
    aside = _put_aside(path) if path.exists() else None
    partial.replace(path)
    _flush(path.parent)
    return aside


def _partial(target: Path) -> Path:
    """The name of a new file beside the target: no file of that name exists, so none is replaced or removed."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")


def _sqlite_path(database: Database) -> Path:
    if database.path is None:
        raise Unsupported(f"{database} is no file: name an SQLite database by its path")
    return database.path


def _existing(source: Path) -> None:
    if not source.is_file():
        raise NotADatabase(f"{source}: no such file: name a backup made by `labeler db backup`")


def _copy(source: Path, partial: Path) -> None:
    partial.unlink(missing_ok=True)
    try:
        with closing(sqlite.connect(source, wal=False)) as reader, closing(sqlite3.connect(partial)) as writer:
            reader.backup(writer)
            writer.execute("PRAGMA journal_mode = DELETE")  # one file, without -wal and -shm beside it
        _flush(partial)
    except sqlite3.Error as error:
        partial.unlink(missing_ok=True)
        raise _named(error, source=source, target=partial) from error


def _named(error: sqlite3.Error, *, source: Path, target: Path) -> DbError:
    """The named error about the source, or about the target if that cannot be written."""
    named = translate(error, where=str(source))
    if isinstance(named, StorageError):
        return translate(error, where=str(target)) or named
    return named or NotADatabase(f"{source} cannot be copied ({error}): name another file")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_whole(copy: Path, *, named: Path) -> None:
    """Raise NotADatabase or UnknownSchema, and remove the copy, unless it may replace the database."""
    try:
        checked = Database(copy)
        with checked.named_errors(where=str(named)), checked.engine.connect() as connection:
            revision = read_revision(connection, where=str(named))
            found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
            dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        checked.close()
        if found != "ok" or dangling is not None:
            raise NotADatabase(f"{named} is damaged ({found}): name another backup")
        if revision is None:
            raise NotADatabase(f"{named} has no tables: name another backup")
        check_known(revision, where=str(named))
    except DbError:
        copy.unlink(missing_ok=True)
        raise


def _put_aside(path: Path) -> Path:
    """Link the file under a second name, once nobody uses it, and return that; `path` itself stays."""
    _close_log(path)
    aside = path.with_name(f"{path.name}.before-restore-{utc_now():%Y%m%dT%H%M%S%f}")
    os.link(path, aside)
    return aside


def _close_log(path: Path) -> None:
    """Write the log into the file, which works only while no other process has it open. Raises Busy."""
    try:
        with closing(sqlite3.connect(path, timeout=1.0)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        named = translate(error, where=str(path))
        if not isinstance(named, NotADatabase):  # a broken file has no log worth keeping
            raise (named or error) from error
