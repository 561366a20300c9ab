"""An SQLite file: how it is opened, also where it may only be read, and whether it is still the same file.

A database in WAL mode needs two files beside it. Where the folder cannot be written, they cannot be made, and the file
is opened as immutable: that is right unless somebody else writes it at the same time.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from db.errors import NotADatabase, StorageError
from db.tables import METADATA

_SIDECARS = ("-wal", "-shm", "-journal")
_NOT_OURS = (
    "SELECT CASE type WHEN 'table' THEN 'virtual table' ELSE type END, name FROM sqlite_master "
    "WHERE type IN ('trigger', 'view') OR sql LIKE 'CREATE VIRTUAL%' ORDER BY name"
)
_TRIGGERS = (
    "SELECT 'trigger', trigger_name FROM information_schema.triggers WHERE trigger_schema = current_schema() LIMIT 1"
)
_COLUMNS = "SELECT m.name, p.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS p WHERE m.type = 'table'"


def connect(path: Path, *, wal: bool = True) -> sqlite3.Connection:
    """Open a file; for reading alone where it, or its folder, cannot be written.

    Args:
        wal: switch a file that can be written to write-ahead logging.

    Raises: StorageError where its log cannot be read, or is a link; sqlite3.Error.
    """
    real = path.resolve()
    for suffix in _SIDECARS:
        if (side := real.with_name(real.name + suffix)).is_symlink():
            raise StorageError(f"{side} is a link, which SQLite would write through: remove it")
    mode = _mode(real)
    address = f"{real.as_uri()}?{mode}" if mode else str(path)
    connection = sqlite3.connect(address, uri=bool(mode), check_same_thread=False)
    connection.isolation_level = None
    connection.execute("PRAGMA trusted_schema = OFF")
    if wal and not mode:
        connection.execute("PRAGMA journal_mode = WAL")
    return connection


def _mode(path: Path) -> str:
    """How a file is opened that may only be read; empty for one that may be written."""
    if not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return ""
    if os.access(path.parent, os.W_OK):
        return "mode=ro"
    log, shared = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if not log.exists() or not log.stat().st_size:
        return "mode=ro&immutable=1"
    if not shared.exists():
        raise StorageError(f"{log} cannot be read in a read-only folder: copy the workspace to a folder of yours")
    return "mode=ro"


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a file from another one at the same path: its place on the disk, and the number in its header."""

    device: int
    inode: int
    number: int

    def may_be(self, other: Identity) -> bool:
        """Whether both can be one file; a file without a number yet has number 0."""
        same = self.number == other.number or 0 in (self.number, other.number)
        return same and (self.device, self.inode) == (other.device, other.inode)

    @classmethod
    def of(cls, path: Path) -> Identity | None:
        """The identity of the file at the path; None where there is none."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(found.st_dev, found.st_ino, _number(path))


def _number(path: Path) -> int:
    """The number in the header of a file. Opened by SQLite, as closing a file of ours would drop SQLite's locks."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error:
        return 0


def give_number(connection: Connection) -> None:
    """Write a random number into the header of a database that has none, so that it can be recognised."""
    if not connection.exec_driver_sql("PRAGMA user_version").scalar():
        connection.exec_driver_sql(f"PRAGMA user_version = {1 + secrets.randbelow(2**31 - 1)}")


def check_schema_objects(connection: Connection, *, where: str) -> None:
    """Raise NotADatabase for triggers, views and virtual tables: this tool makes none, and they run on any statement.

    On PostgreSQL, for triggers on the tables of this schema.
    """
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql(_NOT_OURS).first()
    else:
        found = connection.execute(text(_TRIGGERS)).first()
    if found is not None:
        kind, name = found
        raise NotADatabase(f"{where} holds the {kind} {name}, which labeler never makes: drop it, or name another file")


def check_tables(connection: Connection, tables: set[str], *, where: str) -> None:
    """Raise NotADatabase unless all tables of the newest schema are there, in SQLite with all their columns."""
    missing = sorted(set(METADATA.tables) - tables)
    if not missing and connection.dialect.name == "sqlite":
        columns = {(table, column) for table, column in connection.exec_driver_sql(_COLUMNS)}
        wanted = ((table.name, column.name) for table in METADATA.sorted_tables for column in table.columns)
        missing = [f"{table}.{column}" for table, column in wanted if (table, column) not in columns]
    if missing:
        raise NotADatabase(f"{where} lacks {missing[0]}: it is damaged, or no database of labeler: restore a backup")
