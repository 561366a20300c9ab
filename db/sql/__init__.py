"""Statements that reads and writes share: rows made of results, ids cut for IN lists, updates in bulk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Column, ColumnElement, Row, Select, Table, insert, update

from db.engine import Session

Id = TypeVar("Id", int, str)
RowType = TypeVar("RowType")

# A statement, or a row, of any columns.
AnySelect: TypeAlias = "Select[*tuple[Any, ...]]"
AnyRow: TypeAlias = "Row[*tuple[Any, ...]]"


def columns(table: Table, row_type: type[Any]) -> list[Column[Any]]:
    """The table's columns that the dataclass has fields for."""
    return [table.c[field.name] for field in fields(row_type) if field.name in table.c]


def values(row: Any, table: Table) -> dict[str, Any]:
    """The fields of a dataclass row that the table has columns for."""
    names, get = _shared(row.__class__, table)
    return dict(zip(names, get(row), strict=True))


@cache
def _shared(row_type: type[Any], table: Table) -> tuple[list[str], attrgetter[tuple[Any, ...]]]:
    names = [column.key for column in columns(table, row_type)]
    return names, attrgetter(*names)


def fetch_all(session: Session, statement: AnySelect, row_type: type[RowType]) -> list[RowType]:
    """All rows of a statement whose columns are named as the fields of `row_type`."""
    return [row_type(**row._mapping) for row in session.execute(statement)]


def fetch_first(session: Session, statement: AnySelect, row_type: type[RowType]) -> RowType | None:
    """The first row of a statement whose columns are named as the fields of `row_type`, or None."""
    row = session.execute(statement.limit(1)).first()
    return None if row is None else row_type(**row._mapping)


def in_chunks(ids: Iterable[Id], size: int = 500) -> Iterator[list[Id]]:
    """Distinct ids in order, cut so that an IN list stays below every database's limit of parameters."""
    ordered = sorted(set(ids))
    for first in range(0, len(ordered), size):
        yield ordered[first : first + size]


def select_in(
    session: Session, statement: AnySelect, column: ColumnElement[Any], ids: Iterable[Id]
) -> Iterator[AnyRow]:
    """The statement's rows whose column is one of the ids."""
    for chunk in in_chunks(ids):
        yield from session.execute(statement.where(column.in_(chunk)))


def update_in(session: Session, column: Column[Any], ids: Iterable[Id], **changes: Any) -> None:
    """Set the values in the rows of the column's table whose column is one of the ids."""
    for chunk in in_chunks(ids):
        session.execute(update(column.table).where(column.in_(chunk)).values(**changes))


def insert_one(session: Session, table: Table, **row: Any) -> int:
    """Insert one row and return its id."""
    return int(session.execute(insert(table).values(**row).returning(table.c.id)).scalar_one())
