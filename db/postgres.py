"""PostgreSQL: its URL, one writer at a time, and the lock that one process holds on a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from db.errors import Busy, NotADatabase
from db.tables.columns import for_postgresql

DRIVER = "postgresql+psycopg"
# Advisory locks are named by two numbers within a database: this tool's ("labl"), and the purpose.
_LABELER = 0x6C61626C
_WRITING, _EXCLUSIVE = 1, 2
_NOTE_BYTES = 63  # that the server keeps of an application's name

_HOLDER = f"""
    SELECT activity.application_name, activity.backend_start AT TIME ZONE 'UTC'
    FROM pg_locks AS held JOIN pg_stat_activity AS activity ON activity.pid = held.pid
    WHERE held.locktype = 'advisory' AND held.granted AND held.classid = {_LABELER} AND held.objid = {_EXCLUSIVE}
    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def normalize(url: URL) -> URL:
    """The URL for the driver psycopg. Raises NotADatabase for another driver or a malformed address."""
    if url.drivername not in ("postgresql", "postgres", DRIVER):
        raise NotADatabase(f"{url.drivername} is not supported: write {DRIVER}://USER@HOST/NAME")
    if "@" in (url.host or ""):
        raise NotADatabase("this database URL has several @: write one that belongs to the password as %40")
    if not url.database:
        raise NotADatabase(f"this database URL names no database: write {DRIVER}://USER@HOST/NAME")
    return url.set(drivername=DRIVER)


def make_engine(url: URL, *, json_serializer: Callable[[Any], str], busy_seconds: float) -> Engine:
    """An engine whose writers (option `immediate`) queue as with SQLite's BEGIN IMMEDIATE.

    Writers run in READ COMMITTED, so that each sees what the previous one committed.
    """
    for_postgresql()
    engine = create_engine(
        url,
        json_serializer=json_serializer,
        isolation_level="READ COMMITTED",
        connect_args=_arguments(url),
        pool_pre_ping=True,  # reopens connections that the server dropped
    )

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("immediate", False):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, round(busy_seconds * 1000))}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LABELER}, {_WRITING})")

    return engine


def _arguments(url: URL) -> dict[str, Any]:
    """Default options of a connection; those of the URL have precedence."""
    wanted = {"client_encoding": "utf8", "connect_timeout": 10, "application_name": "labeler"}
    return {name: value for name, value in wanted.items() if name not in url.query}


def check_encoding(connection: Connection, *, where: str) -> None:
    """Raise NotADatabase unless text is stored as UTF-8: other encodings cannot hold every character."""
    found = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if found != "UTF8":
        raise NotADatabase(
            f"{where} stores text as {found}: make another one (createdb --encoding=UTF8 --template=template0 NAME)"
        )


@contextmanager
def exclusive_lock(url: URL, *, note: str, where: str) -> Iterator[None]:
    """Lock the database for this process, also against other machines, through a separate connection.

    The server releases the lock when the connection ends; if the machine vanishes, after about two minutes.
    Raises Busy, naming the holder by its `note`.
    """
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args=_arguments(url), poolclass=NullPool)
    with engine.connect() as connection:
        _keep_alive(connection)
        connection.exec_driver_sql("SELECT set_config('application_name', %s, false)", (note[:_NOTE_BYTES],))
        if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LABELER}, {_EXCLUSIVE})").scalar():
            raise Busy(f"{where} is in use by {_holder(connection)}; wait for it or stop it")
        try:
            yield
        finally:
            with suppress(DBAPIError):  # a broken connection holds no lock
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LABELER}, {_EXCLUSIVE})")


def _keep_alive(connection: Connection) -> None:
    """Keep the connection alive while a model trains for hours: routers drop idle ones."""
    for setting in ("tcp_keepalives_idle = 60", "tcp_keepalives_interval = 15", "tcp_keepalives_count = 4"):
        connection.exec_driver_sql(f"SET {setting}")
    if connection.dialect.server_version_info >= (14,):  # type: ignore[operator]
        connection.exec_driver_sql("SET idle_session_timeout = 0")


def _holder(connection: Connection) -> str:
    row = connection.exec_driver_sql(_HOLDER).first()
    if row is None or row[1] is None:  # released a moment ago, or of a user whose sessions are hidden from this one
        return "another process"
    return f"{row[0]} since {row[1]:%Y-%m-%d %H:%M:%S} UTC"
