"""Writes of tasks and reviews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from db.chunks import AnyRow, table
from db.errors import NotFound
from db.models import Review, StudioAnnotation, StudioTask, Task, utc_now
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


def withdraw_tasks(session: Session, round_number: int, *, ids: Sequence[int] | None = None) -> int:
    """How many open tasks of the round (of these, if `ids` are given) were withdrawn."""
    where = [Task.round_number == round_number, Task.state == "open"]
    if ids is not None:
        where.append(Task.id.in_(ids))
    count = session.execute(select(func.count()).select_from(Task).where(*where)).scalar_one()
    session.execute(update(table(Task)).where(*where).values(state="withdrawn", withdrawn_at=utc_now()))
    return count


def mark_tasks(session: Session, ids: Sequence[int], state: str) -> None:
    """Sets the state of tasks, for those who know more of their reviews than the store: conflict, done."""
    session.execute(update(table(Task)).where(Task.id.in_(ids)).values(state=state))


def record_review(session: Session, new: NewReview) -> bool:
    """Whether the review is new. It is stored and its task's state set together.

    A task is done (or skipped) once as many people as it wants have answered. The same review again changes nothing.
    Another one of the same reviewer and task is an edit: it supersedes the stored one and is considered by the next
    labelling. A late review of a withdrawn task counts too.

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
    settle_state(session, new.task_id)
    return True


def delete_review(session: Session, review_id: int) -> None:
    """Takes a review back; its task is open again where reviews are now missing. The next labelling follows."""
    now = utc_now()
    mine = (Review.id == review_id, Review.superseded_at.is_(None))
    session.execute(update(table(Review)).where(*mine).values(superseded_at=now, deleted_at=now))
    task_id = session.execute(select(Review.task_id).where(Review.id == review_id)).scalar_one()
    settle_state(session, task_id)


def settle_state(session: Session, task_id: int) -> None:
    """Sets a task's state by its current reviews and unreadable annotations.

    conflict: an annotation that cannot be read. Else, with reviews missing: withdrawn if the round went on without it
    and nobody answered, else open. Else skipped where all skipped, else done. That two reviews disagree is for those
    to say who can compare them (`mark_tasks`).
    """
    wanted, withdrawn = session.execute(select(Task.reviewers, Task.withdrawn_at).where(Task.id == task_id)).one()
    current = (Review.task_id == task_id, Review.superseded_at.is_(None))
    verdicts = session.execute(select(Review.verdict).where(*current)).scalars().all()
    unreadable = (
        select(StudioAnnotation.id)
        .join(StudioTask, StudioTask.id == StudioAnnotation.studio_task_id)
        .where(
            StudioTask.task_id == task_id,
            StudioAnnotation.problem.is_not(None),
            StudioAnnotation.deleted_at.is_(None),
        )
    )
    if session.execute(unreadable).first() is not None:
        state = "conflict"
    elif len(verdicts) < wanted and (withdrawn is None or not verdicts):
        state = "open" if withdrawn is None else "withdrawn"
    else:
        state = "skipped" if set(verdicts) == {"skipped"} else "done"
    session.execute(update(table(Task)).where(Task.id == task_id).values(state=state))


def _check_answer(session: Session, new: NewReview) -> None:
    if (new.verdict == "answerable") != (new.answer is not None):
        raise ValueError(f"task {new.task_id}: an answer goes with the verdict answerable and with no other")
    if new.answer is None:
        return
    check_spans(session, [(f"task {new.task_id}", new.answer)])


def _says(stored: AnyRow, values: Mapping[str, Any]) -> bool:
    """Whether the stored review says the same; the time it took and where it was given do not count."""
    return all(stored._mapping[name] == value for name, value in values.items() if name not in ("seconds", "source"))


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
        "source": new.source,
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
        "reviewers": row.reviewers,
        "state": "open",
    }
