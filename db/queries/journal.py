"""What happened, and where everything stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, aliased

from db.models import (
    Calibrator,
    Event,
    Import,
    ImportQuestion,
    Label,
    Model,
    Passage,
    Prediction,
    PredictionAnswer,
    Question,
    Review,
    Round,
    Task,
)
from db.queries import corpus
from db.queries import label as label_queries
from db.rows import Counts, EventRow, LabelRow
from db.sql import AnyRow, AnySelect, table
from db.vocabulary import LABEL_KINDS, ROLES, TASK_STATES

# The order of events that carry the same moment.
_ORDER = ("import", "import_undone", "prediction", "task", "review", "label_withdrawn", "label")


def counts(session: Session) -> Counts:
    """Where everything stands, for `status`."""
    live = (Label.withdrawn_at.is_(None), Question.active)
    by_kind = select(Label.kind, func.count()).join(Question, Question.id == Label.question_id).where(*live)
    by_role = select(Question.role, func.count()).join(Label, Label.question_id == Question.id).where(*live)
    by_state = select(Task.state, func.count()).join(Round, Round.number == Task.round_number)
    by_state = by_state.where(Round.reverted_at.is_(None))
    questions = select(Question.role, func.count()).where(Question.active)
    documents = select(func.count(func.distinct(Passage.document_id))).where(Passage.active)
    return Counts(
        documents=_number(session, documents),
        passages=_number(session, select(func.count()).select_from(Passage).where(Passage.active)),
        questions=_tally(session, questions.group_by(Question.role), ROLES),
        labels=_tally(session, by_kind.group_by(Label.kind), LABEL_KINDS),
        labels_by_role=_tally(session, by_role.group_by(Question.role), ROLES),
        tasks=_tally(session, by_state.group_by(Task.state), TASK_STATES),
        rounds=_number(session, select(func.count()).select_from(Round).where(Round.reverted_at.is_(None))),
        models=_number(session, select(func.count()).select_from(Model).where(Model.pruned_at.is_(None))),
    )


def events(session: Session, *, round_number: int | None = None) -> list[EventRow]:
    """The journal, oldest first."""
    statement = select(table(Event)).order_by(Event.id)
    if round_number is not None:
        statement = statement.where(Event.round_number == round_number)
    return [_journal(row) for row in session.execute(statement)]


def history(session: Session, question_id: str) -> list[EventRow]:
    """All that happened to one question in time order: imports, predictions, tasks, reviews, labels made and
    withdrawn, journal entries; each with round, model hash, index, calibrator hash, threshold, reviewer, parent.

    Raises NotFound.
    """
    corpus.question(session, question_id)
    journal = session.execute(select(table(Event)).where(Event.question_id == question_id).order_by(Event.id))
    found = [
        *_imports(session, question_id),
        *_predictions(session, question_id),
        *_tasks(session, question_id),
        *_reviews(session, question_id),
        *_labels(session, question_id),
        *(_journal(row) for row in journal),
    ]
    order = {kind: position for position, kind in enumerate(_ORDER)}
    return sorted(found, key=lambda event: (event.at, order.get(event.kind, len(order))))


def _imports(session: Session, question_id: str) -> list[EventRow]:
    statement = (
        select(Import.id, Import.path, Import.role, Import.format, Import.created_at, Import.undone_at)
        .join(ImportQuestion, ImportQuestion.import_id == Import.id)
        .where(ImportQuestion.question_id == question_id)
        .order_by(Import.id)
    )
    found = []
    for id_, path, role, format_, created_at, undone_at in session.execute(statement):
        detail = {"import_id": id_, "path": path, "role": role, "format": format_}
        found.append(EventRow(created_at, "import", None, question_id, detail))
        if undone_at is not None:
            found.append(EventRow(undone_at, "import_undone", None, question_id, detail))
    return found


def _predictions(session: Session, question_id: str) -> list[EventRow]:
    best = aliased(PredictionAnswer)
    statement = (
        select(
            Prediction.created_at,
            Prediction.round_number,
            Model.hash.label("model_hash"),
            Prediction.index_fingerprint,
            Calibrator.hash.label("calibrator_hash"),
            best.text,
            best.passage_id,
            best.start,
            best.end,
            Prediction.score,
            Prediction.null_score,
            Prediction.confidence,
            Prediction.decision,
            Prediction.train_weight,
        )
        .join(Model, Model.id == Prediction.model_id)
        .join(Round, Round.number == Prediction.round_number)
        .outerjoin(Calibrator, Calibrator.id == Round.calibrator_id)
        .outerjoin(best, (best.prediction_id == Prediction.id) & (best.rank == 0))
        .where(Prediction.question_id == question_id)
        .order_by(Prediction.id)
    )
    return [_event(row, "prediction", question_id) for row in session.execute(statement)]


def _tasks(session: Session, question_id: str) -> list[EventRow]:
    statement = select(
        Task.created_at, Task.round_number, Task.id, Task.kind, Task.blind, Task.attempt, Task.state, Task.passages
    )
    rows = session.execute(statement.where(Task.question_id == question_id).order_by(Task.id))
    return [_event(row, "task", question_id) for row in rows]


def _reviews(session: Session, question_id: str) -> list[EventRow]:
    statement = (
        select(table(Review), Task.round_number)
        .join(Task, Task.id == Review.task_id)
        .where(Task.question_id == question_id)
        .order_by(Review.id)
    )
    return [_event(row, "review", question_id) for row in session.execute(statement)]


def _labels(session: Session, question_id: str) -> list[EventRow]:
    hashes = _hashes(session, question_id)
    found = []
    for label in label_queries.labels(session, question_id=question_id):
        model_hash, calibrator_hash = hashes[label.id]
        detail = _label_detail(label) | {"model_hash": model_hash, "calibrator_hash": calibrator_hash}
        found.append(EventRow(label.created_at, "label", label.round_number, question_id, detail))
        if label.withdrawn_at is not None:
            left = {"label_id": label.id, "label_kind": label.kind, "reason": label.withdrawal_reason}
            found.append(EventRow(label.withdrawn_at, "label_withdrawn", label.withdrawn_by, question_id, left))
    return found


def _hashes(session: Session, question_id: str) -> dict[int, tuple[str | None, str | None]]:
    """Model hash and calibrator hash by label id."""
    statement = (
        select(Label.id, Model.hash, Calibrator.hash)
        .outerjoin(Model, Model.id == Label.model_id)
        .outerjoin(Calibrator, Calibrator.id == Label.calibrator_id)
        .where(Label.question_id == question_id)
    )
    return {
        label_id: (model_hash, calibrator_hash) for label_id, model_hash, calibrator_hash in session.execute(statement)
    }


def _label_detail(label: LabelRow) -> dict[str, Any]:
    return {
        "label_id": label.id,
        "label_kind": label.kind,
        "origin": label.origin,
        "live": label.live,
        "no_answer": label.no_answer,
        "answers": [[span.text, span.passage_id, span.start, span.end] for span in label.answers],
        "train_weight": label.train_weight,
        "released": label.released,
        "index_fingerprint": label.index_fingerprint,
        "confidence": label.confidence,
        "threshold": label.threshold,
        "reviewer": label.reviewer,
        "import_id": label.import_id,
        "written_by": label.written_by,
        "review_id": label.review_id,
        "parent_id": label.parent_id,
    }


def _event(row: AnyRow, kind: str, question_id: str) -> EventRow:
    """An event of a row that has created_at and round_number; all its other columns are the detail."""
    detail = {name: value for name, value in row._mapping.items() if name not in ("created_at", "round_number")}
    if detail.get("superseded_at") is not None:
        detail["superseded_at"] = detail["superseded_at"].isoformat()
    return EventRow(row.created_at, kind, row.round_number, question_id, detail)


def _journal(row: AnyRow) -> EventRow:
    detail = row.detail if row.label_id is None else {**row.detail, "label_id": row.label_id}
    return EventRow(row.at, row.kind, row.round_number, row.question_id, detail)


def _number(session: Session, statement: Select[int]) -> int:
    return session.execute(statement).scalar_one()


def _tally(session: Session, statement: AnySelect, names: Sequence[str]) -> Mapping[str, int]:
    return dict.fromkeys(names, 0) | dict(session.execute(statement).all())
