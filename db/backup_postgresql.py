"""Backup and restore of a PostgreSQL database by pg_dump, pg_restore and psql."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import inspect

from db.driver_errors import error_of_sqlstate
from db.engine import Database, check_known
from db.errors import DbError, NotADatabase, StorageError, Unsupported
from db.tables import utc_now
from db.urls import without_password

_LOCK_SECONDS = 5  # that a restore waits for others to release the tables
_REVISION = re.compile(r"^COPY \S*alembic_version \(version_num\) FROM stdin;\n(\S+)$", re.MULTILINE)
_STATE = re.compile(r"ERROR:\s+([0-9A-Z]{5}):")


def dump(database: Database, target: Path) -> None:
    """Write a consistent, compressed copy for pg_restore to `target`; the database may be in use.

    Raises:
        NotADatabase: there are no tables to copy.
        StorageError: pg_dump failed, e.g. because the target cannot be written.
        Unsupported: pg_dump is not installed.
    """
    if database.revision() is None:
        raise NotADatabase(f"{database} has no tables yet: run `labeler db upgrade`")
    with database.read() as session:
        schema = inspect(session).default_schema_name
    _run(
        database,
        "pg_dump",
        "--format=custom",
        "--no-owner",
        "--no-privileges",
        f"--table={schema}.*",
        f"--file={target}",
    )


def restore(database: Database, source: Path) -> Path | None:
    """Replace the database by a backup, whole or not at all; return the copy of the former content beside `source`.

    Raises:
        NotADatabase: the copy is damaged or another program's, or the database holds another program's tables.
        UnknownSchema: the copy was written by a version with another schema.
        Busy: the database is in use.
        StorageError: psql failed; the database is unchanged.
        Unsupported: the programs are not installed.
    """
    filled = database.revision() is not None
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "restore.sql"
        _unpack(source, script)
        aside = _put_aside(database, source.parent) if filled else None
        _replace(database, script)
    return aside


def _unpack(source: Path, script: Path) -> None:
    """Write the copy as SQL statements, read to its end. Raises NotADatabase, UnknownSchema."""
    done = _program("pg_restore", "--no-owner", "--no-privileges", f"--file={script}", str(source))
    if done.returncode != 0:
        raise NotADatabase(f"{source} is no backup of a PostgreSQL database, or damaged: name another")
    found = _REVISION.search(script.read_text("utf-8"))
    if found is None:
        raise NotADatabase(f"{source} holds the tables of another program: name another backup")
    check_known(found[1], where=str(source))


def _put_aside(database: Database, folder: Path) -> Path:
    aside = folder / f"{database.url.database}.before-restore-{utc_now():%Y%m%dT%H%M%S%f}"
    dump(database, aside)
    return aside


def _replace(database: Database, script: Path) -> None:
    """Replace all tables by running the statements, in one transaction."""
    with database.read() as session:
        names = [f'"{name}"' for name in inspect(session).get_table_names()]
    database.close()
    first = f"SET lock_timeout = '{_LOCK_SECONDS}s';"
    if names:
        first += f" DROP TABLE {', '.join(names)} CASCADE;"
    options = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose")
    _run(database, "psql", *options, f"--command={first}", f"--file={script}")


def _run(database: Database, name: str, *arguments: str) -> None:
    """Run a program on the database; it gets the password by its environment, which other users cannot see.

    Raises Unsupported, or the named error for the program's message.
    """
    url = database.url.set(drivername="postgresql")
    where = without_password(url.render_as_string(hide_password=False))
    secret = url.password or url.query.get("password")
    done = _program(
        name,
        f"--dbname={where}",
        "--no-password",
        *arguments,
        secret={} if secret is None else {"PGPASSWORD": str(secret)},
    )
    if done.returncode != 0:
        raise _named(name, done.stderr, where=str(database))


def _program(
    name: str, *arguments: str, secret: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    if shutil.which(name) is None:
        raise Unsupported(f"{name} is not installed: install PostgreSQL's client programs (Debian: postgresql-client)")
    environment = os.environ | {"LC_ALL": "C.UTF-8", "PGCLIENTENCODING": "UTF8"} | dict(secret)
    command = [name, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)


def _named(program: str, output: str, *, where: str) -> DbError:
    state = _STATE.search(output)
    named = error_of_sqlstate(state[1], where=where) if state else None
    lines = [line for line in output.splitlines() if "error" in line.lower()] or output.splitlines() or ["no message"]
    return named or StorageError(f"{where}: {program} failed: {' '.join(lines[0].split())[:300]}")
