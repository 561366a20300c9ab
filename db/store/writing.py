"""What the writes of labels share: inserting with answers, withdrawing, finding what is live."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from db.models import ImportLabel, Label, LabelAnswer, Question, utc_now
from db.rows import LabelRow, NewLabel, SpanRow
from db.sql import in_chunks, table
from db.vocabulary import HELD_OUT

_KEPT = (  # of a copied label
    "question_id",
    "kind",
    "no_answer",
    "train_weight",
    "released",
    "import_id",
    "round_number",
    "review_id",
    "model_id",
    "index_fingerprint",
    "calibrator_id",
    "confidence",
    "threshold",
    "reviewer",
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where new labels come from: what the store knows and the caller of a write need not say."""

    kind: str
    origin: str
    import_id: int | None = None
    round_number: int | None = None
    written_by: int | None = None
    withdrawal_reason: str | None = None  # set: they are stored as withdrawn from the start


def insert_labels(
    session: Session, labels: Sequence[NewLabel], origin: Origin, *, parents: Mapping[str, int]
) -> list[int]:
    """The ids of the stored labels, in the order given. Labels of held-out questions get weight 0."""
    roles = question_roles(session, [label.question_id for label in labels])
    now = utc_now()
    rows = [
        {
            "question_id": label.question_id,
            "question_role": roles[label.question_id],
            "kind": origin.kind,
            "no_answer": label.no_answer,
            "passages": None if label.passages is None else list(label.passages),
            "train_weight": 0.0 if roles[label.question_id] in HELD_OUT else label.train_weight,
            "released": label.released,
            "origin": origin.origin,
            "import_id": origin.import_id,
            "round_number": origin.round_number,
            "written_by": origin.written_by,
            "review_id": label.review_id,
            "model_id": label.model_id,
            "index_fingerprint": label.index_fingerprint,
            "calibrator_id": label.calibrator_id,
            "confidence": label.confidence,
            "threshold": label.threshold,
            "reviewer": label.reviewer,
            "parent_id": parents.get(label.question_id),
            "created_at": now,
            "withdrawn_at": None if origin.withdrawal_reason is None else now,
            "withdrawal_reason": origin.withdrawal_reason,
        }
        for label in labels
    ]
    return _insert(session, rows, [label.answers for label in labels])


def insert_copies(session: Session, labels: Sequence[LabelRow], *, written_by: int | None) -> list[int]:
    """The ids of live copies of withdrawn labels: origin "restored", parent the copied one, provenance kept."""
    roles = question_roles(session, [label.question_id for label in labels])
    now = utc_now()
    rows = [
        {name: getattr(label, name) for name in _KEPT}
        | {
            "question_role": roles[label.question_id],
            "train_weight": 0.0 if roles[label.question_id] in HELD_OUT else label.train_weight,
            "passages": None if label.passages is None else list(label.passages),
            "origin": "restored",
            "written_by": written_by,
            "parent_id": label.id,
            "created_at": now,
        }
        for label in labels
    ]
    ids = _insert(session, rows, [label.answers for label in labels])
    _copy_links(session, dict(zip((label.id for label in labels), ids, strict=True)))
    return ids


def withdraw(session: Session, label_ids: Iterable[int], *, reason: str, by: int | None) -> int:
    """How many labels were withdrawn; `by` is the round, None when by hand or by undoing an import."""
    gone = {"withdrawn_at": utc_now(), "withdrawal_reason": reason, "withdrawn_by": by}
    count = 0
    for ids in in_chunks(label_ids):
        session.execute(update(table(Label)).where(Label.id.in_(ids)).values(gone))
        count += len(ids)
    return count


def live_ids(session: Session, question_ids: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Id and kind of the live label, by question; questions without one are absent."""
    found: dict[str, tuple[int, str]] = {}
    statement = select(Label.question_id, Label.id, Label.kind).where(Label.withdrawn_at.is_(None))
    for ids in in_chunks(question_ids):
        for question_id, label_id, kind in session.execute(statement.where(Label.question_id.in_(ids))):
            found[question_id] = (label_id, kind)
    return found


def question_roles(session: Session, question_ids: Iterable[str]) -> dict[str, str]:
    """The role of each stored question."""
    found: dict[str, str] = {}
    for ids in in_chunks(question_ids):
        found.update(session.execute(select(Question.id, Question.role).where(Question.id.in_(ids))).all())
    return found


def _copy_links(session: Session, copies: Mapping[int, int]) -> None:
    """What an import brought, it brought as the copy too."""
    for ids in in_chunks(copies):
        links = session.execute(select(table(ImportLabel)).where(ImportLabel.label_id.in_(ids))).all()
        rows = [{"import_id": import_id, "label_id": copies[label_id]} for import_id, label_id in links]
        if rows:
            session.execute(insert(table(ImportLabel)), rows)


def _insert(session: Session, rows: list[dict[str, Any]], answers: Sequence[Sequence[SpanRow]]) -> list[int]:
    if not rows:
        return []
    statement = insert(table(Label)).returning(Label.id, sort_by_parameter_order=True)
    ids = list(session.execute(statement, rows).scalars())
    spans = [
        {"label_id": label_id, "ordinal": ordinal, **span_values(span)}
        for label_id, some in zip(ids, answers, strict=True)
        for ordinal, span in enumerate(some)
    ]
    if spans:
        session.execute(insert(table(LabelAnswer)), spans)
    return ids


def span_values(span: SpanRow) -> dict[str, Any]:
    """The columns of a stored span."""
    return {"text": span.text, "passage_id": span.passage_id, "start": span.start, "end": span.end}
