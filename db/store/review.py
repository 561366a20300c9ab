"""Writes of tasks and reviews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from db.chunks import AnyRow, table
from db.errors import NotFound
from db.models import Review, Task, utc_now
from db.rows import NewReview, NewTask
from db.spans import check_spans


def add_tasks(session: Session, round_number: int, rows: Sequence[NewTask]) -> int:
    """How many tasks were added; a question that has a task of this attempt in this round keeps it."""
    statement = select(Task.question_id, Task.attempt).where(Task.round_number == round_number)
    known = set(session.execute(statement))
    new = [_task(row, round_number) for row in rows if (row.question_id, row.attempt) not in known]
    if new:
        session.execute(insert(table(Task)), new)
    return len(new)


def withdraw_tasks(session: Session, round_number: int) -> int:
    """How many open tasks of the round were withdrawn."""
    mine = (Task.round_number == round_number, Task.state == "open")
    count = session.execute(select(func.count()).select_from(Task).where(*mine)).scalar_one()
    session.execute(update(table(Task)).where(*mine).values(state="withdrawn"))
    return count


def record_review(session: Session, new: NewReview) -> bool:
    """Whether the review is new. It is stored and its task set to done (or skipped) together.

    The same review again changes nothing. Another one of the same reviewer and task is an edit: it supersedes the
    stored one and is considered by the next labelling. A late review of a withdrawn task counts too.

    Raises:
        NotFound: no such task.
        SpanConflict: the answer does not stand at its offset.
    """
    if session.execute(select(Task.id).where(Task.id == new.task_id)).first() is None:
        raise NotFound(f"task {new.task_id} is not stored: `labeler status` counts the open ones")
    _check_answer(session, new)
    current = (Review.task_id == new.task_id, Review.reviewer == new.reviewer, Review.superseded_at.is_(None))
    stored = session.execute(select(table(Review)).where(*current)).first()
    values = _review(new)
    if stored is not None and _says(stored, values):
        return False
    session.execute(update(table(Review)).where(*current).values(superseded_at=utc_now()))
    session.execute(insert(table(Review)), [values])
    state = "skipped" if new.verdict == "skipped" else "done"
    session.execute(update(table(Task)).where(Task.id == new.task_id).values(state=state))
    return True


def _check_answer(session: Session, new: NewReview) -> None:
    if (new.verdict == "answerable") != (new.answer is not None):
        raise ValueError(f"task {new.task_id}: an answer goes with the verdict answerable and with no other")
    if new.answer is None:
        return
    check_spans(session, [(f"task {new.task_id}", new.answer)])


def _says(stored: AnyRow, values: Mapping[str, Any]) -> bool:
    """Whether the stored review says the same; the time it took does not count."""
    return all(stored._mapping[name] == value for name, value in values.items() if name != "seconds")


def _review(new: NewReview) -> dict[str, Any]:
    answer = new.answer
    return {
        "task_id": new.task_id,
        "reviewer": new.reviewer,
        "verdict": new.verdict,
        "origin": new.origin,
        "text": None if answer is None else answer.text,
        "passage_id": None if answer is None else answer.passage_id,
        "start": None if answer is None else answer.start,
        "end": None if answer is None else answer.end,
        "seconds": new.seconds,
        "comment": new.comment,
    }


def _task(row: NewTask, round_number: int) -> dict[str, Any]:
    return {
        "round_number": round_number,
        "question_id": row.question_id,
        "attempt": row.attempt,
        "kind": row.kind,
        "blind": row.blind,
        "position": row.position,
        "passages": list(row.passages),
        "state": "open",
    }
