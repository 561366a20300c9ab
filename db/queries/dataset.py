"""Counts that describe the data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import func, select

from db.engine import Session
from db.tables import LABEL_ANSWERS, LABELS, QUESTIONS


def answer_lengths(session: Session, *, kinds: Sequence[str]) -> dict[int, int]:
    """Characters -> number of live labels of active questions whose first answer is so long, shortest first."""
    length = LABEL_ANSWERS.c.end - LABEL_ANSWERS.c.start
    statement = (
        select(length, func.count())
        .join(LABELS, LABELS.c.id == LABEL_ANSWERS.c.label_id)
        .join(QUESTIONS, QUESTIONS.c.id == LABELS.c.question_id)
        .where(LABELS.c.withdrawn_at.is_(None), QUESTIONS.c.active.is_(True), LABELS.c.kind.in_(kinds))
        .where(LABEL_ANSWERS.c.ordinal == 0)
        .group_by(length)
        .order_by(length)
    )
    return dict(session.execute(statement).all())


def duplicate_questions(session: Session) -> int:
    """The number of active questions that repeat another one."""
    duplicates = (QUESTIONS.c.active.is_(True), QUESTIONS.c.duplicate_of.is_not(None))
    return session.execute(select(func.count()).select_from(QUESTIONS).where(*duplicates)).scalar_one()


def question_texts(session: Session) -> Iterator[str]:
    """The texts of all active questions, in no particular order."""
    yield from session.execute(select(QUESTIONS.c.text).where(QUESTIONS.c.active.is_(True))).scalars()
