"""What is PostgreSQL's alone: its URL, one writer at a time, and holding the database for one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from db.errors import Busy, NotADatabase

DRIVER = "postgresql+psycopg"
# Advisory locks are two numbers within a database: ours ("labl"), and what it is taken for.
_OURS = 0x6C61626C
_WRITING, _HOLDING = 1, 2
_NOTE = 63  # bytes that the server keeps of an application's name

_HOLDER = f"""
    SELECT activity.application_name, activity.backend_start AT TIME ZONE 'UTC'
    FROM pg_locks AS held JOIN pg_stat_activity AS activity ON activity.pid = held.pid
    WHERE held.locktype = 'advisory' AND held.granted AND held.classid = {_OURS} AND held.objid = {_HOLDING}
    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def understood(url: URL) -> URL:
    """The same URL for our driver, psycopg. Raises NotADatabase for another driver, or an address that cannot be."""
    if url.drivername not in ("postgresql", "postgres", DRIVER):
        raise NotADatabase(f"{url.drivername} is not supported: write {DRIVER}://USER@HOST/NAME")
    if "@" in (url.host or ""):
        raise NotADatabase("this database URL has several @: one that belongs to the password is written %40")
    if not url.database:
        raise NotADatabase(f"this database URL names no database: write {DRIVER}://USER@HOST/NAME")
    return url.set(drivername=DRIVER)


def make_engine(url: URL, *, json_serializer: Callable[[Any], str], busy_seconds: float) -> Engine:
    """An engine whose writers (`immediate`) wait for each other, as SQLite's BEGIN IMMEDIATE does.

    A statement of theirs sees all that is committed (READ COMMITTED), so the next writer sees what the last one wrote.
    """
    engine = create_engine(
        url,
        json_serializer=json_serializer,
        isolation_level="READ COMMITTED",
        connect_args=_arguments(url),
        pool_pre_ping=True,  # a connection that the server dropped meanwhile is opened anew
    )

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("immediate", False):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, round(busy_seconds * 1000))}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_OURS}, {_WRITING})")

    return engine


def _arguments(url: URL) -> dict[str, Any]:
    """What every connection is opened with, unless the URL says otherwise."""
    wanted = {"client_encoding": "utf8", "connect_timeout": 10, "application_name": "labeler"}
    return {name: value for name, value in wanted.items() if name not in url.query}


def check_encoding(connection: Connection, *, where: str) -> None:
    """Raises NotADatabase unless text is stored as UTF-8: in no other encoding does every character have a place."""
    found = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if found != "UTF8":
        raise NotADatabase(
            f"{where} stores text as {found}: make another one (createdb --encoding=UTF8 --template=template0 NAME)"
        )


@contextmanager
def held(url: URL, *, note: str, where: str) -> Iterator[None]:
    """Holds the database for this process, against those of other machines too, by a connection of its own.

    The server lets go of it when the connection ends; should the machine vanish, after about two minutes.
    Raises Busy, naming the holder by the `note` it gave.
    """
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args=_arguments(url), poolclass=NullPool)
    with engine.connect() as connection:
        _keep_alive(connection)
        connection.exec_driver_sql("SELECT set_config('application_name', %s, false)", (note[:_NOTE],))
        if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_OURS}, {_HOLDING})").scalar():
            raise Busy(f"{where} is in use by {_holder(connection)}; wait for it or stop it")
        try:
            yield
        finally:
            with suppress(DBAPIError):  # a connection that broke holds nothing any more
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_OURS}, {_HOLDING})")


def _keep_alive(connection: Connection) -> None:
    """Silent for hours while a model trains: nothing on the way may take the connection for dead."""
    for setting in ("tcp_keepalives_idle = 60", "tcp_keepalives_interval = 15", "tcp_keepalives_count = 4"):
        connection.exec_driver_sql(f"SET {setting}")
    if connection.dialect.server_version_info >= (14,):  # type: ignore[operator]
        connection.exec_driver_sql("SET idle_session_timeout = 0")


def _holder(connection: Connection) -> str:
    row = connection.exec_driver_sql(_HOLDER).first()
    if row is None or row[1] is None:  # let go an instant ago, or of a user whose sessions we may not see
        return "another process"
    return f"{row[0]} since {row[1]:%Y-%m-%d %H:%M:%S} UTC"
