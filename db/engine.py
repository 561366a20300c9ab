"""One database: connecting, transactions, whether its schema fits."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, orm, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from db import postgres
from db.errors import NotADatabase, SchemaTooNew, SchemaTooOld
from db.faults import named_fault
from db.urls import without_password

REVISIONS = ("0001", "0002", "0003")  # of db/migrations/versions, oldest first; a test holds that they are all
HEAD = REVISIONS[-1]

Session: TypeAlias = orm.Session  # what every read and write takes first


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class Database:
    """A database by SQLite file path, or by the URL of an SQLite or PostgreSQL one. Nothing is opened until it is used.

    SQLite: foreign keys on, WAL, real BEGIN (IMMEDIATE for writes, so two writers queue instead of failing midway).
    PostgreSQL: reads see one snapshot (REPEATABLE READ), writers queue for a lock of ours and then see all that is
    committed.

    Raises:
        NotADatabase: the URL cannot be understood, or its driver is not installed.
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
        """Where it is, with the password if there is one: not to be shown."""
        return self._url

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reads: one consistent snapshot, rolled back at the end."""
        with self.named_errors(), Session(self._readers, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session for one short write transaction, committed at the end, rolled back on any exception.

        Raises:
            Busy: another process holds the write lock for longer than `busy_seconds`.
            StorageError: the disk is full, or the file or its folder cannot be written.
        """
        with self.named_errors(), Session(self._writers, autoflush=False) as session, session.begin():
            session.connection()  # takes the lock now, not at the first statement
            yield session

    def check_schema(self) -> None:
        """Raises NotADatabase, SchemaTooOld or SchemaTooNew unless this version can use the database."""
        found = self.revision()
        if found is None:
            raise SchemaTooOld(f"{self} has no tables yet: run `labeler db upgrade`")
        check_known(found, where=str(self))
        if found != HEAD:
            raise SchemaTooOld(f"{self} has schema {found}, this version needs {HEAD}: run `labeler db upgrade`")

    def revision(self) -> str | None:
        """The schema's revision, or None for a database without tables.

        Raises NotADatabase for no file, a file that is no database, and one with the tables of something else.
        """
        if self.path is not None and not self.path.is_file():
            raise NotADatabase(f"{self}: no such file: run `labeler init` or `labeler db restore` a backup")
        with self.named_errors(), self._readers.connect() as connection:
            return read_revision(connection, where=str(self))

    @contextmanager
    def lock(self, note: str) -> Iterator[None]:
        """Holds a PostgreSQL database for this process alone, until the block ends or the process does.

        `note` tells others who. An SQLite file has no such lock: a file beside it serves.
        Raises Busy, naming the holder; Unreachable.
        """
        with self.named_errors(), postgres.held(self._url, note=note, where=str(self)):
            yield

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()

    @contextmanager
    def named_errors(self, *, where: str | None = None) -> Iterator[None]:
        """Turns the driver's messages that a user can mend into errors that name `where`; others pass unchanged."""
        try:
            yield
        except DBAPIError as error:
            named = named_fault(error.orig, where=where or str(self))
            if named is None:
                raise
            raise named from error

    def connect_engine(self, *, foreign_keys: bool) -> Engine:
        """A new engine for this database; migrations that rebuild tables need one without foreign keys."""
        if self.is_sqlite:
            engine = create_engine(self._url, json_serializer=_dumps)
            _use_real_transactions(engine, foreign_keys=foreign_keys, busy_seconds=self._busy_seconds)
            return engine
        return postgres.make_engine(self._url, json_serializer=_dumps, busy_seconds=self._busy_seconds)


def _parse(url: str | Path) -> URL:
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number. What they say may hold a password
        raise NotADatabase(f"this is not a database URL: write a path or {postgres.DRIVER}://USER@HOST/NAME") from None
    if parsed.drivername == "sqlite":
        return parsed
    return postgres.understood(parsed)


def _use_real_transactions(engine: Engine, *, foreign_keys: bool, busy_seconds: float) -> None:
    """The driver's own BEGIN comes too late (DDL survives a rollback), so it is switched off and we say BEGIN."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {round(busy_seconds * 1000)}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def read_revision(connection: Connection, *, where: str) -> str | None:
    """The revision that the tables carry, None without tables. Raises NotADatabase for other tables, and for a
    PostgreSQL database whose text is not UTF-8."""
    if connection.dialect.name == "postgresql":
        postgres.check_encoding(connection, where=where)
    tables = inspect(connection).get_table_names()
    if "alembic_version" in tables:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if tables:
        raise NotADatabase(f"{where} holds the tables of another program ({tables[0]} ...): name another database")
    return None


def check_known(revision: str, *, where: str) -> None:
    """Raises SchemaTooNew for a revision that this version does not know."""
    if revision not in REVISIONS:
        raise SchemaTooNew(f"{where} has schema {revision}, newer than {HEAD}: install the newer version of labeler")
