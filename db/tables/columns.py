"""Building blocks of table definitions: column types, required and optional columns, recurring constraints."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine

from db.errors import NotADatabase

# Every constraint has a name, so that migrations can alter it in any database.
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

QUESTION_ID = String(255)
HASH = String(64)  # SHA-256, in hexadecimal
UID = String(32)  # random, in hexadecimal
WORD = String(16)  # one of a fixed vocabulary
PERSON = String(255)
JSON_VALUE = JSON(none_as_null=True)


def utc_now() -> datetime:
    """The present moment, timezone-aware, in UTC."""
    return datetime.now(UTC)


class _SqliteMoment(sqlite.DATETIME):
    """A moment in an SQLite file, in which a column may hold anything."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        parsed = super().result_processor(dialect, coltype)

        def read(value: Any) -> datetime | None:
            try:
                return parsed(value) if parsed else value
            except (ValueError, TypeError):
                problem = f"the database holds {value!r:.40} for a date: `labeler db restore` a backup"
                raise NotADatabase(problem) from None

        return read


class Moment(TypeDecorator[datetime]):
    """A timezone-aware moment, stored in UTC without its zone: SQLite would drop the zone anyway."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(_SqliteMoment() if dialect.name == "sqlite" else DateTime())  # type: ignore[no-untyped-call]

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored moment needs a timezone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class JsonTuple(TypeDecorator[tuple[Any, ...]]):
    """A JSON list, read as a tuple."""

    impl = JSON_VALUE
    cache_ok = True

    def process_result_value(self, value: list[Any] | None, dialect: Dialect) -> tuple[Any, ...] | None:
        return None if value is None else tuple(value)


def key(name: str, *arguments: Any, **options: Any) -> Column[Any]:
    """A column of the primary key."""
    return Column(name, *arguments, primary_key=True, **options)


def required(name: str, *arguments: Any, **options: Any) -> Column[Any]:
    """A column that is never null."""
    return Column(name, *arguments, nullable=False, **options)


def optional(name: str, *arguments: Any, **options: Any) -> Column[Any]:
    """A column that may be null."""
    return Column(name, *arguments, nullable=True, **options)


def created_at() -> Column[Any]:
    """The moment at which the row was inserted."""
    return required("created_at", Moment, default=utc_now)


def span_columns(*, index_passage: bool = False) -> tuple[Column[Any], ...]:
    """Columns of an answer: `text == passage[start:end]`, in code points, end exclusive."""
    return (
        required("text", Text),
        required("passage_id", ForeignKey("passages.id"), index=index_passage or None),
        required("start", Integer),
        required("end", Integer),
    )


def span_check() -> CheckConstraint:
    """A stored span is as long as its text."""
    return CheckConstraint('0 <= start AND start < "end" AND length(text) = "end" - start', name="span")


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    """The column holds one of these words, or null."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def rate(column: str) -> CheckConstraint:
    """The column holds a number from 0 to 1, or null."""
    return CheckConstraint(f"{column} BETWEEN 0 AND 1", name=f"{column}_is_a_rate")


def unique_where(name: str, *columns: str, condition: str) -> Index:
    """A unique index over the rows that fulfil the condition; see `for_postgresql`."""
    return Index(name, *columns, unique=True, sqlite_where=text(condition))


def index_where(name: str, *columns: str, condition: str) -> Index:
    """An index over the rows that fulfil the condition; see `for_postgresql`."""
    return Index(name, *columns, sqlite_where=text(condition))


def for_postgresql() -> None:
    """Give partial indexes their condition in PostgreSQL too: its dialect takes a while to load."""
    for table in METADATA.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
