"""Writes of tasks and reviews."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, insert, select, update
from sqlalchemy.orm import Session

from db.errors import NotFound
from db.models import Review, Round, StudioAnnotation, StudioTask, Task, utc_now
from db.rows import NewReview, NewTask
from db.spans import check_spans
from db.sql import AnyRow, in_chunks, table

_ASKING = ("open", "predicted", "in_review")  # stages up to the end of the asking


def add_tasks(session: Session, round_number: int, rows: Sequence[NewTask]) -> int:
    """How many tasks were added; a question that has a task of this attempt in this round keeps it."""
    statement = select(Task.question_id, Task.attempt).where(Task.round_number == round_number)
    known = set(session.execute(statement))
    new = [_task(row, round_number) for row in rows if (row.question_id, row.attempt) not in known]
    if new:
        session.execute(insert(table(Task)), new)
    return len(new)


def withdraw_tasks(session: Session, round_number: int, *, ids: Sequence[int] | None = None) -> int:
    """How many open tasks of the round (of these, if `ids` are given) were withdrawn. Where one of two people has
    answered, that answer counts: such a task is done."""
    still = (Task.round_number == round_number, Task.state == "open")
    found = session.execute(select(Task.id).where(*still)).scalars().all()
    given_up = found if ids is None else set(found) & set(ids)
    for some in in_chunks(given_up):
        gone = {"state": "withdrawn", "withdrawn_at": utc_now()}
        session.execute(update(table(Task)).where(Task.id.in_(some)).values(gone))
    update_task_states(session, given_up)
    return len(given_up)


def reopen_tasks(session: Session, ids: Sequence[int]) -> None:
    """Takes back the withdrawal of tasks that are needed after all."""
    for some in in_chunks(ids):
        session.execute(update(table(Task)).where(Task.id.in_(some)).values(withdrawn_at=None))
    update_task_states(session, ids)


def set_task_states(session: Session, ids: Sequence[int], state: str) -> None:
    """Sets the state of tasks, for those who know more of their reviews than the store: conflict, done."""
    for some in in_chunks(ids):
        session.execute(update(table(Task)).where(Task.id.in_(some)).values(state=state))


def record_review(session: Session, new: NewReview) -> bool:
    """Whether the review is new. It is stored and its task's state set together.

    A task is done (or skipped) once as many people as it wants have answered. The same review again changes nothing.
    Another one of the same reviewer and task is an edit: it supersedes the stored one and is considered by the next
    labelling. A late review of a withdrawn task counts too.

    Raises:
        NotFound: no such task.
        SpanConflict: the answer does not stand at its offset.
    """
    [(_, is_new)] = record_reviews(session, [new])
    if is_new:
        update_task_states(session, [new.task_id])
    return is_new


def record_reviews(session: Session, rows: Sequence[NewReview]) -> list[tuple[int, bool]]:
    """The id of each review as it is now stored, and whether it is new; see `record_review`. States are left alone.

    No two of them by one reviewer of one task.
    """
    _check_tasks(session, {row.task_id for row in rows})
    for row in rows:
        _check_answer(row)
    check_spans(session, [(f"task {row.task_id}", row.answer) for row in rows if row.answer is not None])
    current = _current_reviews(session, {row.task_id for row in rows})
    stored = [current.get((row.task_id, row.reviewer)) for row in rows]
    values = [_review(row) for row in rows]
    new = [before is None or not _says(before, value) for before, value in zip(stored, values, strict=True)]
    outdated = [before.id for before, is_new in zip(stored, new, strict=True) if before is not None and is_new]
    for ids in in_chunks(outdated):
        session.execute(update(table(Review)).where(Review.id.in_(ids)).values(superseded_at=utc_now()))
    added = [value for value, is_new in zip(values, new, strict=True) if is_new]
    if added:
        session.execute(insert(table(Review)), added)
        current = _current_reviews(session, {row.task_id for row in rows})
    return [(current[row.task_id, row.reviewer].id, is_new) for row, is_new in zip(rows, new, strict=True)]


def _check_tasks(session: Session, ids: set[int]) -> None:
    for some in in_chunks(ids):
        missing = set(some) - set(session.execute(select(Task.id).where(Task.id.in_(some))).scalars())
        if missing:
            raise NotFound(f"task {min(missing)} is not stored: `labeler status` counts the open ones")


def _current_reviews(session: Session, task_ids: Iterable[int]) -> dict[tuple[int, str], AnyRow]:
    """(task, reviewer) -> the row of the current review."""
    found: dict[tuple[int, str], AnyRow] = {}
    for ids in in_chunks(task_ids):
        where = (Review.task_id.in_(ids), Review.superseded_at.is_(None))
        for row in session.execute(select(table(Review)).where(*where)):
            found[row.task_id, row.reviewer] = row
    return found


def delete_review(session: Session, review_id: int) -> None:
    """Takes a review back; its task is open again where reviews are now missing. The next labelling follows."""
    now = utc_now()
    mine = (Review.id == review_id, Review.superseded_at.is_(None))
    session.execute(update(table(Review)).where(*mine).values(superseded_at=now, deleted_at=now))
    task_id = session.execute(select(Review.task_id).where(Review.id == review_id)).scalar_one()
    update_task_states(session, [task_id])


def update_task_states(session: Session, task_ids: Iterable[int]) -> None:
    """Sets each task's state by its current reviews and unreadable annotations.

    conflict: an annotation that cannot be read, of a task that still stands on its server. Else, with reviews missing:
    open while its round asks, withdrawn once it went on (one answer of two counts then). Else skipped where all
    skipped, else done. That two reviews disagree is for those to say who can compare them (`set_task_states`).
    """
    for ids in in_chunks(task_ids):
        verdicts: dict[int, list[str]] = defaultdict(list)
        for (task_id, _), row in _current_reviews(session, ids).items():
            verdicts[task_id].append(row.verdict)
        unreadable = _unreadable(session, ids)
        asking = and_(Round.is_open, Round.stage.in_(_ASKING), Task.withdrawn_at.is_(None))
        tasks = (
            select(Task.id, Task.reviewers, Task.state, asking)
            .join(Round, Round.number == Task.round_number)
            .where(Task.id.in_(ids))
        )
        moved: dict[str, list[int]] = defaultdict(list)
        for task_id, wanted, before, is_asking in session.execute(tasks):
            after = _state(verdicts[task_id], wanted=wanted, asking=is_asking)
            after = "conflict" if task_id in unreadable else after
            if after != before:
                moved[after].append(task_id)
        for state, some in moved.items():
            set_task_states(session, some, state)


def _state(verdicts: Sequence[str], *, wanted: int, asking: bool) -> str:
    if len(verdicts) < wanted and (asking or not verdicts):
        return "open" if asking else "withdrawn"
    return "skipped" if set(verdicts) == {"skipped"} else "done"


def _unreadable(session: Session, task_ids: Sequence[int]) -> set[int]:
    """Those of the tasks that stand on a server with an annotation that cannot be read."""
    statement = (
        select(StudioTask.task_id)
        .join(StudioAnnotation, StudioTask.id == StudioAnnotation.studio_task_id)
        .where(
            StudioTask.task_id.in_(task_ids),
            StudioTask.deleted_at.is_(None),
            StudioAnnotation.problem.is_not(None),
            StudioAnnotation.deleted_at.is_(None),
        )
    )
    return set(session.execute(statement).scalars())


def _check_answer(new: NewReview) -> None:
    if (new.verdict == "answerable") != (new.answer is not None):
        raise ValueError(f"task {new.task_id}: an answer goes with the verdict answerable and with no other")


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
