"""Reads of tasks and reviews."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, select

from db.engine import Session
from db.rows import ReviewRow, SpanRow, TaskRow
from db.sql import AnyRow, fetch_all, in_chunks
from db.tables import LABELS, QUESTIONS, REVIEWS, TASKS
from db.vocabulary import BAD_QUESTION


def tasks(session: Session, *, round_number: int | None = None, states: Sequence[str] | None = None) -> list[TaskRow]:
    """Tasks by round, then in order of presentation."""
    statement = select(TASKS).order_by(TASKS.c.round_number, TASKS.c.position, TASKS.c.id)
    if round_number is not None:
        statement = statement.where(TASKS.c.round_number == round_number)
    if states is not None:
        statement = statement.where(TASKS.c.state.in_(states))
    return fetch_all(session, statement, TaskRow)


def tasks_by_id(session: Session, ids: Iterable[int]) -> dict[int, TaskRow]:
    """Tasks by id; ids that are not stored are absent."""
    chunks = (select(TASKS).where(TASKS.c.id.in_(some)) for some in in_chunks(ids))
    return {row.id: row for chunk in chunks for row in fetch_all(session, chunk, TaskRow)}


def tasks_of_questions(session: Session, question_ids: Iterable[str]) -> list[TaskRow]:
    """All tasks of these questions, oldest first."""
    chunks = (select(TASKS).where(TASKS.c.question_id.in_(some)) for some in in_chunks(question_ids))
    return sorted((row for chunk in chunks for row in fetch_all(session, chunk, TaskRow)), key=lambda row: row.id)


def has_reviews(session: Session) -> bool:
    """Whether there is a review."""
    return session.execute(select(REVIEWS.c.id).limit(1)).first() is not None


def reviews(session: Session, *, round_number: int | None = None, superseded: bool = False) -> list[ReviewRow]:
    """Reviews of all tasks or of one round, oldest first; with `superseded`, also those edited or taken back since."""
    where: list[ColumnElement[bool]] = []
    if round_number is not None:
        where.append(TASKS.c.round_number == round_number)
    if not superseded:
        where.append(REVIEWS.c.superseded_at.is_(None))
    return _fetch(session, *where)


def unrecorded_reviews(session: Session) -> list[ReviewRow]:
    """Current reviews of every verdict that no round's labelling has considered yet, late ones too, oldest first."""
    return _fetch(session, REVIEWS.c.superseded_at.is_(None), REVIEWS.c.recorded_in.is_(None))


def outdated_reviews(session: Session) -> list[ReviewRow]:
    """Reviews that were edited or taken back after something was recorded of them that is still in force.

    That is a live label, or the exclusion of a bad question. The next labelling corrects it.
    """
    labelled = select(LABELS.c.review_id).where(LABELS.c.withdrawn_at.is_(None), LABELS.c.review_id.is_not(None))
    excluded = select(QUESTIONS.c.id).where(QUESTIONS.c.exclusion_reason.startswith(BAD_QUESTION))
    bad = REVIEWS.c.recorded_in.is_not(None) & TASKS.c.question_id.in_(excluded)
    return _fetch(
        session,
        REVIEWS.c.superseded_at.is_not(None),
        REVIEWS.c.id.in_(labelled) | ((REVIEWS.c.verdict == "bad_question") & bad),
    )


def reviews_by_id(session: Session, ids: Iterable[int]) -> dict[int, ReviewRow]:
    """Reviews by id, superseded ones too; ids that are not stored are absent."""
    return {row.id: row for some in in_chunks(ids) for row in _fetch(session, REVIEWS.c.id.in_(some))}


def reviews_of(session: Session, question_ids: Iterable[str]) -> list[ReviewRow]:
    """All current reviews of these questions, oldest first."""
    found: list[ReviewRow] = []
    for ids in in_chunks(question_ids):
        found += _fetch(session, REVIEWS.c.superseded_at.is_(None), TASKS.c.question_id.in_(ids))
    return sorted(found, key=lambda row: row.id)


def _fetch(session: Session, *where: ColumnElement[bool]) -> list[ReviewRow]:
    statement = (
        select(REVIEWS, TASKS.c.round_number, TASKS.c.question_id, TASKS.c.passages)
        .join(TASKS, TASKS.c.id == REVIEWS.c.task_id)
        .where(*where)
        .order_by(REVIEWS.c.id)
    )
    return [_review(row) for row in session.execute(statement)]


def _review(row: AnyRow) -> ReviewRow:
    values = dict(row._mapping)
    text, passage_id, start, end = (values.pop(name) for name in ("text", "passage_id", "start", "end"))
    return ReviewRow(**values, answer=None if text is None else SpanRow(text, passage_id, start, end))
