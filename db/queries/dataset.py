"""Counts that describe the data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import func, select

from db.engine import Session
from db.sql import select_in
from db.tables import LABEL_ANSWERS, LABELS, QUESTIONS


def answer_lengths(
    session: Session, *, kinds: Sequence[str], question_ids: Iterable[str] | None = None
) -> dict[int, int]:
    """Characters -> number of live labels of active questions whose first answer is so long, shortest first.

    `question_ids`: of these questions alone.
    """
    length = LABEL_ANSWERS.c.end - LABEL_ANSWERS.c.start
    statement = (
        select(LABELS.c.kind, length, func.count())
        .join(LABELS, LABELS.c.id == LABEL_ANSWERS.c.label_id)
        .join(QUESTIONS, QUESTIONS.c.id == LABELS.c.question_id)
        .where(LABELS.c.withdrawn_at.is_(None), QUESTIONS.c.active.is_(True), LABEL_ANSWERS.c.ordinal == 0)
        .group_by(LABELS.c.kind, length)
    )
    some = LABELS.c.question_id  # and no condition on the kind, whose index SQLite would take for the better one
    rows = session.execute(statement) if question_ids is None else select_in(session, statement, some, question_ids)
    counts: Counter[int] = Counter()
    for kind, characters, count in rows:
        counts[characters] += count if kind in kinds else 0
    return {characters: count for characters, count in sorted(counts.items()) if count}


def duplicate_questions(session: Session) -> int:
    """The number of active questions that repeat another one."""
    duplicates = (QUESTIONS.c.active, QUESTIONS.c.duplicate_of.is_not(None))
    return session.execute(select(func.count()).select_from(QUESTIONS).where(*duplicates)).scalar_one()


def question_texts(session: Session) -> Iterator[str]:
    """The texts of all active questions, in no particular order."""
    yield from session.execute(select(QUESTIONS.c.text).where(QUESTIONS.c.active.is_(True))).scalars()


def sample_by_hash(session: Session, share: float) -> dict[str, str]:
    """The texts of about this share (0-1) of the active questions, by id: those with the lowest hashes.

    A hash knows nothing of its text, so that they are a random sample, the same in each run; an index finds them.
    """
    below = f"{min(int(share * 2**64), 2**64 - 1):016x}"
    statement = select(QUESTIONS.c.id, QUESTIONS.c.text).where(QUESTIONS.c.active, QUESTIONS.c.normalized < below)
    return dict(session.execute(statement).all())
