"""Imports: what a file brings, what it added, what undoing it took away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from db.rows.corpus import DocumentRow, HiddenRow, PassageRow, QuestionRow
from db.rows.labels import NewLabel
from db.rows.values import Json


@dataclass(frozen=True, slots=True)
class ImportRows:
    """Some rows that a file brings. What they name is among them, in rows before them or stored."""

    documents: tuple[DocumentRow, ...] = ()
    passages: tuple[PassageRow, ...] = ()
    questions: tuple[QuestionRow, ...] = ()
    labels: tuple[NewLabel, ...] = ()  # gold, of questions among these
    hidden: tuple[HiddenRow, ...] = ()  # of pool questions among these, kept aside


@dataclass(frozen=True, slots=True)
class NewImport:
    """Everything that one file or folder brings: rows at hand, then `parts`, which are made as they are stored."""

    path: str
    sha256: str  # of the content read and of the options
    role: str  # corpus, a question role, or "split"
    format: str
    options: Json
    counts: Json  # passages, questions, labels, duplicates, rejected: as reported to the user
    documents: tuple[DocumentRow, ...] = ()
    passages: tuple[PassageRow, ...] = ()
    questions: tuple[QuestionRow, ...] = ()
    labels: tuple[NewLabel, ...] = ()  # gold
    hidden: tuple[HiddenRow, ...] = ()  # of pool questions, kept aside
    parts: Iterable[ImportRows] = ()  # read once


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A stored import."""

    id: int
    path: str
    sha256: str
    role: str
    format: str
    options: Json
    counts: Json
    created_at: datetime
    undone_at: datetime | None


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows an import added: they were not stored, or were inactive."""

    import_id: int
    passages: int
    questions: int
    labels: int  # live; a question that already has a live label keeps it


@dataclass(frozen=True, slots=True)
class Undone:
    """How many rows undoing an import took away."""

    import_id: int
    passages: int  # now inactive
    questions: int  # now inactive
    labels: int  # gold labels withdrawn
    restored: int  # gold labels of other imports that are live instead
    hidden: int  # questions whose hidden answers were removed
    predictions: int = 0  # questions whose answers by a labeller were withdrawn
