"""Inserts of many rows: COPY in PostgreSQL, one prepared statement in SQLite, with SQLAlchemy's types and defaults.

SQLAlchemy itself compiles and checks the parameters of every row, which takes several times as long as storing it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Column, Table, func, insert, select
from sqlalchemy.exc import DBAPIError

from db.engine import Session

CACHE_KIB: Final = 128 << 10  # of pages that a large import keeps in memory
FEW: Final = 20  # rows up to which the ordinary way costs nothing

Row = Mapping[str, Any]
Encode = Callable[[Any], Any]


def insert_all(session: Session, table: Table, rows: Sequence[Row]) -> None:
    """Insert the rows, or nothing if there are none. All have the same columns."""
    if len(rows) > FEW:
        names = list(rows[0])
        if any(len(row) != len(names) for row in rows):
            raise ValueError(f"the rows of {table} have different columns")
        get = itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
        insert_rows(session, table, names, list(map(get, rows)))
    elif rows:
        session.execute(insert(table), rows)


def insert_rows(session: Session, table: Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows given as the values of these columns, or nothing if there are none."""
    if len(rows) <= FEW:
        insert_all(session, table, [dict(zip(names, row, strict=True)) for row in rows])
        return
    columns = [table.c[name] for name in names]
    rest = [column for column in table.c if column.name not in names and column.default is not None]
    encoders = [_encoder(session, column) for column in columns]
    same = tuple(_default(column, _encoder(session, column)) for column in rest)
    special = [(place, encode) for place, encode in enumerate(encoders) if encode is not None]
    store = _copy if session.dialect.name == "postgresql" else _execute
    store(session, table, [*columns, *rest], _encoded_rows(rows, special, same))


def keep_in_memory(session: Session) -> None:
    """Let SQLite keep more pages than usual, until the connection ends: rows of many tables go to many places."""
    if session.dialect.name == "sqlite":
        session.exec_driver_sql(f"PRAGMA cache_size = -{CACHE_KIB}")


def _encoded_rows(
    rows: Iterable[tuple[Any, ...]], special: Sequence[tuple[int, Encode]], same: tuple[Any, ...]
) -> Iterator[tuple[Any, ...]]:
    if not special:
        yield from (row + same for row in rows) if same else rows
        return
    for row in rows:
        values = list(row)
        for place, encode in special:
            values[place] = encode(values[place])
        yield (*values, *same)


def insert_numbered(session: Session, table: Table, rows: Sequence[Row]) -> list[int]:
    """Insert rows without ids and return the ids that they got, in order. The session holds the write lock."""
    ids = _next_ids(session, table, len(rows))
    insert_all(session, table, [{"id": key, **row} for key, row in zip(ids, rows, strict=True)])
    return ids


def _next_ids(session: Session, table: Table, count: int) -> list[int]:
    if not count:
        return []
    if session.dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(table.name, "id")
        numbers = func.generate_series(1, count).table_valued("number")
        return list(session.execute(select(func.nextval(sequence)).select_from(numbers)).scalars())
    last = session.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()
    return list(range(last + 1, last + 1 + count))


def _encoder(session: Session, column: Column[Any]) -> Encode | None:
    """What turns a value of the column into one of the driver; None where nothing is to be done."""
    found: Encode | None = column.type.dialect_impl(session.dialect).bind_processor(session.dialect)
    return found


def _default(column: Column[Any], encode: Encode | None) -> Any:
    default: Any = column.default
    if default is None:
        return None
    value = default.arg(None) if default.is_callable else default.arg
    return value if encode is None else encode(value)


def _execute(session: Session, table: Table, columns: Sequence[Column[Any]], rows: Iterator[tuple[Any, ...]]) -> None:
    places = ", ".join("?" * len(columns))
    session.exec_driver_sql(f"INSERT INTO {_into(session, table, columns)} VALUES ({places})", list(rows))


def _copy(session: Session, table: Table, columns: Sequence[Column[Any]], rows: Iterator[tuple[Any, ...]]) -> None:
    statement = f"COPY {_into(session, table, columns)} FROM STDIN"
    connection: Any = session.connection.driver_connection
    failure: Any = session.dialect.loaded_dbapi.Error
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except failure as error:
        raise DBAPIError.instance(statement, None, error, failure, dialect=session.dialect) from error


def _into(session: Session, table: Table, columns: Sequence[Column[Any]]) -> str:
    names = session.dialect.identifier_preparer
    return f"{names.format_table(table)} ({', '.join(names.quote(column.name) for column in columns)})"
