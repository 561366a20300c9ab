"""A database: connections, transactions, the revision of its schema."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from db import postgres, sqlite
from db.driver_errors import translate
from db.errors import Conflict, DbError, NotADatabase, NotFound, SchemaTooOld, UnknownSchema
from db.urls import without_password

REVISIONS = ("0001",)  # of db/migrations/versions, oldest first
HEAD = REVISIONS[-1]

# What every read and write takes first: a connection inside one transaction.
Session: TypeAlias = Connection


def _dumps(value: Any) -> str:
    """JSON text; other mappings than dicts are stored as objects too."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=dict)


class Database:
    """An SQLite or PostgreSQL database, by file path or URL. No connection is opened before the first use.

    SQLite: foreign keys on, WAL, explicit BEGIN (IMMEDIATE for writes, so that two writers queue instead of failing
    midway). PostgreSQL: reads see one snapshot (REPEATABLE READ); writers queue for an advisory lock and then see
    everything that is committed.

    Raises:
        NotADatabase: the URL cannot be parsed, or its driver is not installed.
    """

    def __init__(self, url: str | Path, *, busy_seconds: float = 30.0) -> None:
        self._url = _parse(url)
        self._busy_seconds = busy_seconds
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        plain = self.is_sqlite and self._url.database is not None and self._url.host is None
        self.path = Path(str(self._url.database)) if plain else None
        try:
            self.engine = self.connect_engine(foreign_keys=True)
        except ImportError as error:
            raise NotADatabase(f'{self}: its driver is missing: pip install "labeler[postgres]" ({error})') from error
        except ArgumentError as error:
            raise NotADatabase(f"{self}: SQLite cannot use this URL: write sqlite:///FILE") from error
        self._identity: sqlite.Identity | None = None  # of the file at its first use
        snapshot = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        self._readers = self.engine.execution_options(**snapshot)
        self._writers = self.engine.execution_options(immediate=True)

    def __str__(self) -> str:
        """The path or URL, without a password."""
        if self.path is not None:
            return str(self.path)
        return without_password(self._url.render_as_string(hide_password=False))

    @property
    def url(self) -> URL:
        """The URL, with its password: not to be shown."""
        return self._url

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reads: it sees one consistent snapshot and is rolled back at the end."""
        with self.named_errors(), self._readers.connect() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session for one short write transaction: committed at the end, rolled back on any exception.

        Raises:
            Busy: another process holds the write lock for longer than `busy_seconds`.
            StorageError: the disk is full, or the file or its folder cannot be written.
            NotADatabase: the file was deleted, or replaced by another one, since its first use.
        """
        with self.named_errors(), self._writers.begin() as session:  # locks now, not at the first statement
            self._check_same()
            yield session

    def check_schema(self) -> None:
        """Raise NotADatabase, SchemaTooOld or UnknownSchema unless this version can use the database."""
        found = self.revision()
        if found is None:
            raise SchemaTooOld(f"{self} has no tables yet: run `labeler db upgrade`")
        check_known(found, where=str(self))
        if found != HEAD:
            raise SchemaTooOld(f"{self} has schema {found}, this version needs {HEAD}: run `labeler db upgrade`")

    def revision(self) -> str | None:
        """The schema's revision, or None for a database without tables.

        Raises NotADatabase: no such file, a file that is no database, or one with another program's tables.
        """
        if self.path is not None and not self.path.is_file():
            raise NotADatabase(f"{self}: no such file: run `labeler init` or `labeler db restore` a backup")
        with self.named_errors(), self._readers.connect() as connection:
            return read_revision(connection, where=str(self))

    @contextmanager
    def lock(self, note: str) -> Iterator[None]:
        """Lock a PostgreSQL database for this process until the block, or the process, ends.

        Not for SQLite, where the workspace's lock file serves.

        Args:
            note: names this process to others.

        Raises:
            Busy: another process holds the lock; the message names it.
            Unreachable: the server does not answer.
        """
        with self.named_errors(), postgres.exclusive_lock(self._url, note=note, where=str(self)):
            yield

    def close(self) -> None:
        """Close all connections; the next use may be of another file."""
        self.engine.dispose()
        self._identity = None

    def _check_same(self) -> None:
        """Raise NotADatabase where the file is not the one that was opened: what is written would be lost."""
        if self.path is None or self._identity is None:
            return
        now = sqlite.Identity.of(self.path)
        if now is None:
            raise NotADatabase(f"{self} was deleted while this command ran: restore a backup, then run again")
        if not self._identity.may_be(now):
            raise NotADatabase(f"{self} was replaced by another file while this command ran; it was not written")

    @contextmanager
    def named_errors(self, *, where: str | None = None) -> Iterator[None]:
        """Turn driver errors that a user can mend into named errors about `where`; others pass unchanged."""
        try:
            yield
        except DBAPIError as error:
            named = translate(error.orig, where=where or str(self))
            if named is None:
                raise
            raise named from error
        except (OverflowError, UnicodeEncodeError) as error:
            raise _unstorable(error, where=where or str(self)) from error

    def connect_engine(self, *, foreign_keys: bool) -> Engine:
        """A new engine for this database; migrations that rebuild SQLite tables need one without foreign keys."""
        if self.is_sqlite:
            opened = {} if self.path is None else {"creator": self._connect}
            engine = create_engine(self._url, json_serializer=_dumps, json_deserializer=_loads, **opened)
            _use_real_transactions(engine, foreign_keys=foreign_keys, busy_seconds=self._busy_seconds)
            return engine
        return postgres.make_engine(self._url, json_serializer=_dumps, busy_seconds=self._busy_seconds)

    def _connect(self) -> sqlite3.Connection:
        assert self.path is not None
        self._check_same()  # a new file would be made in place of a deleted one
        connection = sqlite.connect(self.path)
        self._identity = self._identity or sqlite.Identity.of(self.path)
        return connection


def _loads(text: str) -> Any:
    """The value of a stored JSON text. Raises NotADatabase for one that this tool did not write."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise NotADatabase(f"the database holds broken JSON ({error}): `labeler db restore` a backup") from None


def _unstorable(error: Exception, *, where: str) -> DbError:
    """The named error for a value that no database takes. Other errors of these kinds are bugs and raised again."""
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        return Conflict(f"{where} cannot hold {ascii(error.object)[:80]}: it is not UTF-8; write it in UTF-8")
    if isinstance(error, OverflowError) and "SQLite" in str(error):
        return NotFound(f"{where} has no number as large as the one that was given; correct it")
    raise error


def _parse(url: str | Path) -> URL:
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number. Their messages may contain a password
        raise NotADatabase(f"this is not a database URL: write a path or {postgres.DRIVER}://USER@HOST/NAME") from None
    if parsed.drivername == "sqlite":
        return parsed
    return postgres.normalize(parsed)


def _use_real_transactions(engine: Engine, *, foreign_keys: bool, busy_seconds: float) -> None:
    """Emit BEGIN explicitly: the driver's own comes too late, so that DDL would survive a rollback."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {round(busy_seconds * 1000)}")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def read_revision(connection: Connection, *, where: str) -> str | None:
    """The schema's revision, or None without tables.

    Raises NotADatabase: another program's tables, triggers or views; tables that are missing; or a PostgreSQL database
    that does not store text as UTF-8.
    """
    if connection.dialect.name == "postgresql":
        postgres.check_encoding(connection, where=where)
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" in tables:
        found = connection.execute(text("SELECT * FROM alembic_version")).scalar()
        if found == HEAD:
            sqlite.check_tables(connection, tables, where=where)
        sqlite.check_schema_objects(connection, where=where)
        return str(found)
    if tables:
        raise NotADatabase(f"{where} holds the tables of another program ({min(tables)} ...): name another database")
    return None


def check_known(revision: str, *, where: str) -> None:
    """Raise UnknownSchema for a revision that this version does not know."""
    if revision not in REVISIONS:
        raise UnknownSchema(
            f"{where} has schema {revision}, unknown to this version of labeler (its own is {HEAD}): "
            "use the version that wrote it, or import the data into a new workspace (`labeler init`)"
        )
