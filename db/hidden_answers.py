"""Answers of a labelled pool, kept aside. Only the simulated reviewer, pseudo_precision and replay may import this."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import HiddenAnswer, HiddenQuestion, Question
from db.rows import HiddenRow, SpanRow
from db.sql import in_chunks


def answers(session: Session, question_ids: Iterable[str]) -> dict[str, HiddenRow]:
    """The hidden golds of these questions, in file order; questions that none were kept of are absent."""
    found: dict[str, HiddenRow] = {}
    for ids in in_chunks(question_ids):
        flags = select(HiddenQuestion.question_id, HiddenQuestion.is_impossible)
        spans = _spans(session, ids)
        for question_id, is_impossible in session.execute(flags.where(HiddenQuestion.question_id.in_(ids))):
            found[question_id] = HiddenRow(question_id, is_impossible, tuple(spans.get(question_id, ())))
    return found


def count(session: Session) -> int:
    """How many active pool questions have hidden answers."""
    statement = (
        select(func.count())
        .select_from(HiddenQuestion)
        .join(Question, Question.id == HiddenQuestion.question_id)
        .where(Question.active, Question.role == "pool")
    )
    return session.execute(statement).scalar_one()


def _spans(session: Session, question_ids: list[str]) -> dict[str, list[SpanRow]]:
    statement = (
        select(
            HiddenAnswer.question_id, HiddenAnswer.text, HiddenAnswer.passage_id, HiddenAnswer.start, HiddenAnswer.end
        )
        .where(HiddenAnswer.question_id.in_(question_ids))
        .order_by(HiddenAnswer.id)
    )
    spans: dict[str, list[SpanRow]] = {}
    for row in session.execute(statement):
        spans.setdefault(row.question_id, []).append(SpanRow(row.text, row.passage_id, row.start, row.end))
    return spans
