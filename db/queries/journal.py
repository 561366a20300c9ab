"""Reads of the journal, of a question's history, and counts for `labeler status`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, exists, func, select, text

from db.engine import Session
from db.queries import corpus
from db.queries import label as label_queries
from db.rows import Counts, EventRow, LabelRow
from db.sql import AnyRow, AnySelect
from db.tables import (
    CALIBRATORS,
    DOCUMENTS,
    EVENTS,
    IMPORT_QUESTIONS,
    IMPORTS,
    LABELLER_ANSWERS,
    LABELLER_PREDICTIONS,
    LABELLERS,
    LABELS,
    MODELS,
    PASSAGES,
    PREDICTION_ANSWERS,
    PREDICTIONS,
    REVIEWS,
    ROUNDS,
    TASKS,
)
from db.vocabulary import LABEL_KINDS, ROLES, TASK_STATES

# The order of events of the same moment.
_ORDER = ("import", "import_undone", "labeller_prediction", "prediction", "task", "review", "label_withdrawn", "label")


def counts(session: Session) -> Counts:
    """Counts of active rows, as `labeler status` shows them."""
    labels = label_queries.live_counts(session)
    by_state = select(TASKS.c.state, func.count()).join(ROUNDS, ROUNDS.c.number == TASKS.c.round_number)
    by_state = by_state.where(ROUNDS.c.reverted_at.is_(None))
    return Counts(
        documents=_documents(session),
        passages=corpus.corpus_state(session).passages,
        questions=dict.fromkeys(ROLES, 0) | corpus.active_by_role(session),
        labels=_sums(LABEL_KINDS, ((kind, count) for (kind, _), count in labels.items())),
        labels_by_role=_sums(ROLES, ((role, count) for (_, role), count in labels.items())),
        tasks=_tally(session, by_state.group_by(TASKS.c.state), TASK_STATES),
        rounds=_number(session, select(func.count()).select_from(ROUNDS).where(ROUNDS.c.reverted_at.is_(None))),
        models=_number(session, select(func.count()).select_from(MODELS).where(MODELS.c.pruned_at.is_(None))),
    )


def _documents(session: Session) -> int:
    """How many documents have an active passage: all but those of inactive passages alone."""
    active = exists().where(PASSAGES.c.document_id == DOCUMENTS.c.id, PASSAGES.c.active)
    inactive = select(PASSAGES.c.document_id).where(text("NOT passages.active"))
    without = select(func.count()).select_from(DOCUMENTS).where(DOCUMENTS.c.id.in_(inactive), ~active)
    return _number(session, select(func.count()).select_from(DOCUMENTS)) - _number(session, without)


def _sums(names: Sequence[str], counts: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    found = dict.fromkeys(names, 0)
    for name, count in counts:
        found[name] += count
    return found


def events(session: Session, *, round_number: int | None = None) -> list[EventRow]:
    """The journal, oldest first."""
    statement = select(EVENTS).order_by(EVENTS.c.id)
    if round_number is not None:
        statement = statement.where(EVENTS.c.round_number == round_number)
    return [_journal(row) for row in session.execute(statement)]


def history(session: Session, question_id: str) -> list[EventRow]:
    """The audit trail of one question, oldest first.

    Imports, predictions, tasks, reviews, labels written and withdrawn, and journal entries; each with its round, model
    hash, index, calibrator hash, threshold, reviewer and parent label. Raises NotFound.
    """
    corpus.question(session, question_id)
    journal = session.execute(select(EVENTS).where(EVENTS.c.question_id == question_id).order_by(EVENTS.c.id))
    found = [
        *_imports(session, question_id),
        *_labeller_predictions(session, question_id),
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
        select(
            IMPORTS.c.id, IMPORTS.c.path, IMPORTS.c.role, IMPORTS.c.format, IMPORTS.c.created_at, IMPORTS.c.undone_at
        )
        .join(IMPORT_QUESTIONS, IMPORT_QUESTIONS.c.import_id == IMPORTS.c.id)
        .where(IMPORT_QUESTIONS.c.question_id == question_id)
        .order_by(IMPORTS.c.id)
    )
    found = []
    for id_, path, role, format_, created_at, undone_at in session.execute(statement):
        detail = {"import_id": id_, "path": path, "role": role, "format": format_}
        found.append(EventRow(created_at, "import", None, question_id, detail))
        if undone_at is not None:
            found.append(EventRow(undone_at, "import_undone", None, question_id, detail))
    return found


def _labeller_predictions(session: Session, question_id: str) -> list[EventRow]:
    table, best = LABELLER_PREDICTIONS, LABELLER_ANSWERS.c
    statement = (
        select(
            table.c.created_at,
            LABELLERS.c.name.label("labeller"),
            best.text,
            best.passage_id,
            best.start,
            best.end,
            best.score,
            best.fault,
            table.c.abstains,
            table.c.null_score,
            table.c.import_id,
            table.c.withdrawn_at,
        )
        .join(LABELLERS, LABELLERS.c.id == table.c.labeller_id)
        .outerjoin(LABELLER_ANSWERS, (best.prediction_id == table.c.id) & (best.rank == 0))
        .where(table.c.question_id == question_id)
        .order_by(table.c.id)
    )
    return [_event(row, "labeller_prediction", question_id) for row in session.execute(statement)]


def _predictions(session: Session, question_id: str) -> list[EventRow]:
    best = PREDICTION_ANSWERS.c
    statement = (
        select(
            PREDICTIONS.c.created_at,
            PREDICTIONS.c.round_number,
            MODELS.c.hash.label("model_hash"),
            LABELLERS.c.name.label("labeller"),
            PREDICTIONS.c.index_fingerprint,
            CALIBRATORS.c.hash.label("calibrator_hash"),
            best.text,
            best.passage_id,
            best.start,
            best.end,
            PREDICTIONS.c.score,
            PREDICTIONS.c.null_score,
            PREDICTIONS.c.confidence,
            PREDICTIONS.c.decision,
            PREDICTIONS.c.train_weight,
        )
        .outerjoin(MODELS, MODELS.c.id == PREDICTIONS.c.model_id)
        .outerjoin(LABELLERS, LABELLERS.c.id == PREDICTIONS.c.labeller_id)
        .join(ROUNDS, ROUNDS.c.number == PREDICTIONS.c.round_number)
        .outerjoin(CALIBRATORS, CALIBRATORS.c.id == ROUNDS.c.calibrator_id)
        .outerjoin(PREDICTION_ANSWERS, (best.prediction_id == PREDICTIONS.c.id) & (best.rank == 0))
        .where(PREDICTIONS.c.question_id == question_id)
        .order_by(PREDICTIONS.c.id)
    )
    return [_event(row, "prediction", question_id) for row in session.execute(statement)]


def _tasks(session: Session, question_id: str) -> list[EventRow]:
    statement = select(
        TASKS.c.created_at,
        TASKS.c.round_number,
        TASKS.c.id,
        TASKS.c.kind,
        TASKS.c.blind,
        TASKS.c.attempt,
        TASKS.c.state,
        TASKS.c.passages,
    )
    rows = session.execute(statement.where(TASKS.c.question_id == question_id).order_by(TASKS.c.id))
    return [_event(row, "task", question_id) for row in rows]


def _reviews(session: Session, question_id: str) -> list[EventRow]:
    statement = (
        select(REVIEWS, TASKS.c.round_number)
        .join(TASKS, TASKS.c.id == REVIEWS.c.task_id)
        .where(TASKS.c.question_id == question_id)
        .order_by(REVIEWS.c.id)
    )
    return [_event(row, "review", question_id) for row in session.execute(statement)]


def _labels(session: Session, question_id: str) -> list[EventRow]:
    made_by = _made_by(session, question_id)
    found = []
    for label in label_queries.labels(session, question_id=question_id):
        detail = _label_detail(label) | made_by[label.id]
        found.append(EventRow(label.created_at, "label", label.round_number, question_id, detail))
        if label.withdrawn_at is not None:
            left = {"label_id": label.id, "label_kind": label.kind, "reason": label.withdrawal_reason}
            found.append(EventRow(label.withdrawn_at, "label_withdrawn", label.withdrawn_by, question_id, left))
    return found


def _made_by(session: Session, question_id: str) -> dict[int, dict[str, str | None]]:
    """Model hash, labeller and calibrator hash by label id."""
    statement = (
        select(LABELS.c.id, MODELS.c.hash, LABELLERS.c.name, CALIBRATORS.c.hash)
        .outerjoin(MODELS, MODELS.c.id == LABELS.c.model_id)
        .outerjoin(LABELLERS, LABELLERS.c.id == LABELS.c.labeller_id)
        .outerjoin(CALIBRATORS, CALIBRATORS.c.id == LABELS.c.calibrator_id)
        .where(LABELS.c.question_id == question_id)
    )
    names = ("model_hash", "labeller", "calibrator_hash")
    return {label_id: dict(zip(names, found, strict=True)) for label_id, *found in session.execute(statement)}


def _label_detail(label: LabelRow) -> dict[str, Any]:
    return {
        "label_id": label.id,
        "label_kind": label.kind,
        "origin": label.origin,
        "live": label.live,
        "no_answer": label.no_answer,
        "answers": [[span.text, span.passage_id, span.start, span.end] for span in label.answers],
        "texts": label.texts,
        "train_weight": label.train_weight,
        "released": label.released,
        "index_fingerprint": label.index_fingerprint,
        "certificate_id": label.certificate_id,
        "confidence": label.confidence,
        "threshold": label.threshold,
        "reviewer": label.reviewer,
        "import_id": label.import_id,
        "written_by": label.written_by,
        "review_id": label.review_id,
        "parent_id": label.parent_id,
    }


def _event(row: AnyRow, kind: str, question_id: str) -> EventRow:
    """The event of a row with created_at and, it may be, round_number; all other columns are its detail."""
    found = dict(row._mapping)
    at, round_number = found.pop("created_at"), found.pop("round_number", None)
    detail = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()}
    return EventRow(at, kind, round_number, question_id, detail)


def _journal(row: AnyRow) -> EventRow:
    detail = row.detail if row.label_id is None else {**row.detail, "label_id": row.label_id}
    return EventRow(row.at, row.kind, row.round_number, row.question_id, detail)


def _number(session: Session, statement: Select[int]) -> int:
    return int(session.execute(statement).scalar_one())


def _tally(session: Session, statement: AnySelect, names: Sequence[str]) -> Mapping[str, int]:
    return dict.fromkeys(names, 0) | dict(session.execute(statement).all())
