"""The schema's revision: read it, upgrade it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from db.engine import HEAD, Database, check_known, read_revision
from db.errors import NotADatabase
from db.rows import SchemaStatus
from db.sqlite import give_number

_MIGRATIONS = Path(__file__).parent / "migrations"


def status(database: Database) -> SchemaStatus:
    """The revision of the database and that of this version. Raises NotADatabase."""
    return SchemaStatus(revision=database.revision(), head=HEAD)


def upgrade(database: Database) -> SchemaStatus:
    """Run all migrations in one transaction and return the new status; in an empty database, make the tables.

    Raises:
        NotADatabase: the file is no database, or another program's.
        UnknownSchema: the database was written by a version with another schema.
    """
    engine = database.connect_engine(foreign_keys=False)  # SQLite rebuilds tables to alter them
    try:
        with database.named_errors(), engine.execution_options(immediate=True).begin() as connection:
            found = read_revision(connection, where=str(database))
            if found is not None:
                check_known(found, where=str(database))
            command.upgrade(_config(connection), "head")
            if database.is_sqlite:
                give_number(connection)
                _check_foreign_keys(connection, where=str(database))
    finally:
        engine.dispose()
    return status(database)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _check_foreign_keys(connection: Connection, *, where: str) -> None:
    with closing(connection.exec_driver_sql("PRAGMA foreign_key_check")) as broken:
        row = broken.first()
    if row is not None:
        raise NotADatabase(f"{where}: a row of table {row[0]} refers to nothing: `labeler db restore` a backup")
