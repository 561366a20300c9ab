"""Reads of the hidden answers of a labelled pool.

Only the simulated reviewer, pseudo_precision and replay may import this module.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select

from db.engine import Session
from db.rows import HiddenRow, SpanRow
from db.sql import columns, select_in
from db.tables import HIDDEN_ANSWERS, HIDDEN_QUESTIONS, QUESTIONS


def answers(session: Session, question_ids: Iterable[str]) -> dict[str, HiddenRow]:
    """The hidden answers of these questions in file order; questions without any are absent."""
    ids = set(question_ids)
    flags = select(HIDDEN_QUESTIONS.c.question_id, HIDDEN_QUESTIONS.c.is_impossible)
    spans = _spans(session, ids)
    return {
        row.question_id: HiddenRow(row.question_id, row.is_impossible, tuple(spans.get(row.question_id, ())))
        for row in select_in(session, flags, HIDDEN_QUESTIONS.c.question_id, ids)
    }


def are_there(session: Session) -> bool:
    """Whether any question has hidden answers."""
    return session.execute(select(HIDDEN_QUESTIONS.c.question_id).limit(1)).first() is not None


def count(session: Session) -> int:
    """How many active pool questions have hidden answers."""
    statement = (
        select(func.count())
        .select_from(HIDDEN_QUESTIONS)
        .join(QUESTIONS, QUESTIONS.c.id == HIDDEN_QUESTIONS.c.question_id)
        .where(QUESTIONS.c.active, QUESTIONS.c.role == "pool")
    )
    return int(session.execute(statement).scalar_one())


def _spans(session: Session, question_ids: Iterable[str]) -> dict[str, list[SpanRow]]:
    statement = select(HIDDEN_ANSWERS.c.question_id, *columns(HIDDEN_ANSWERS, SpanRow)).order_by(HIDDEN_ANSWERS.c.id)
    spans: dict[str, list[SpanRow]] = {}
    for question_id, *span in select_in(session, statement, HIDDEN_ANSWERS.c.question_id, question_ids):
        spans.setdefault(question_id, []).append(SpanRow(*span))
    return spans
