"""Counts, events and the schema's revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from db.rows.values import Json


@dataclass(frozen=True, slots=True)
class Counts:
    """How many active rows there are. Every kind, role and state is a key, also with 0."""

    documents: int
    passages: int
    questions: Mapping[str, int]  # by role
    labels: Mapping[str, int]  # live, by kind
    labels_by_role: Mapping[str, int]  # live, by the question's role
    tasks: Mapping[str, int]  # by state, over rounds that are not reverted
    rounds: int  # not reverted
    models: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event in the history of a question or round; `detail` holds its provenance."""

    at: datetime
    kind: str
    round_number: int | None
    question_id: str | None
    detail: Json


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The schema revision of a database (None: no tables yet) and that of this version."""

    revision: str | None
    head: str
