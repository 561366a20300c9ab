"""Reads of tasks and reviews."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from db.models import Label, Question, Review, Task
from db.rows import ReviewRow, SpanRow, TaskRow
from db.sql import AnyRow, in_chunks, table
from db.vocabulary import BAD_QUESTION


def tasks(session: Session, *, round_number: int | None = None, states: Sequence[str] | None = None) -> list[TaskRow]:
    """Tasks by round, then in order of presentation."""
    statement = select(table(Task)).order_by(Task.round_number, Task.position, Task.id)
    if round_number is not None:
        statement = statement.where(Task.round_number == round_number)
    if states is not None:
        statement = statement.where(Task.state.in_(states))
    found = [dict(row._mapping) for row in session.execute(statement)]
    return [TaskRow(**{**fields, "passages": tuple(fields["passages"])}) for fields in found]


def reviews(session: Session, *, round_number: int | None = None, superseded: bool = False) -> list[ReviewRow]:
    """Reviews, oldest first; of one round's tasks, or all; with those that an edit replaced if `superseded`."""
    where: list[ColumnElement[bool]] = []
    if round_number is not None:
        where.append(Task.round_number == round_number)
    if not superseded:
        where.append(Review.superseded_at.is_(None))
    return _fetch(session, *where)


def unrecorded_reviews(session: Session) -> list[ReviewRow]:
    """Reviews of every verdict that no round's labelling has considered yet, oldest first: also late ones."""
    return _fetch(session, Review.superseded_at.is_(None), Review.recorded_in.is_(None))


def outdated_reviews(session: Session) -> list[ReviewRow]:
    """Reviews that were edited or taken back since something was recorded of them that still stands: a live label, or
    the exclusion of a bad question. The next labelling follows."""
    labelled = select(Label.review_id).where(Label.withdrawn_at.is_(None), Label.review_id.is_not(None))
    excluded = select(Question.id).where(Question.exclusion_reason.startswith(BAD_QUESTION))
    bad = (Review.verdict == "bad_question") & Review.recorded_in.is_not(None) & Task.question_id.in_(excluded)
    return _fetch(session, Review.superseded_at.is_not(None), Review.id.in_(labelled) | bad)


def reviews_of(session: Session, question_ids: Iterable[str]) -> list[ReviewRow]:
    """All current reviews of these questions, oldest first."""
    found: list[ReviewRow] = []
    for ids in in_chunks(question_ids):
        found += _fetch(session, Review.superseded_at.is_(None), Task.question_id.in_(ids))
    return sorted(found, key=lambda row: row.id)


def _fetch(session: Session, *where: ColumnElement[bool]) -> list[ReviewRow]:
    statement = (
        select(table(Review), Task.round_number, Task.question_id, Task.passages)
        .join(Task, Task.id == Review.task_id)
        .where(*where)
        .order_by(Review.id)
    )
    return [_review(row) for row in session.execute(statement)]


def _review(row: AnyRow) -> ReviewRow:
    fields = dict(row._mapping)
    text, passage_id, start, end = (fields.pop(name) for name in ("text", "passage_id", "start", "end"))
    answer = None if text is None else SpanRow(text, passage_id, start, end)
    return ReviewRow(**{**fields, "passages": tuple(fields["passages"])}, answer=answer)
