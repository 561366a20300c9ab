"""Small helpers that reads and writes share: bounded IN lists, and the bare tables for bulk work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, TypeVar, cast

from sqlalchemy import Row, Select, Table

from db.models import Base

Id = TypeVar("Id", int, str)


def in_chunks(ids: Iterable[Id], size: int = 500) -> Iterator[list[Id]]:
    """Distinct ids in order, cut so that an IN list stays within every database's limit of parameters."""
    ordered = sorted(set(ids))
    for first in range(0, len(ordered), size):
        yield ordered[first : first + size]


def table(model: type[Base]) -> Table:
    """The table of a mapped class: bulk statements on it skip the ORM."""
    return cast("Table", model.__table__)


# A statement, or a row, of any columns.
AnySelect: TypeAlias = "Select[*tuple[Any, ...]]"
AnyRow: TypeAlias = "Row[*tuple[Any, ...]]"
