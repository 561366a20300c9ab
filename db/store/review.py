"""Writes of reviews."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from db.engine import Session
from db.errors import NotFound
from db.rows import NewReview
from db.spans import check_spans
from db.sql import AnyRow, select_in, update_in, values
from db.sql.bulk import insert_all
from db.store.task import update_task_states
from db.tables import REVIEWS, TASKS, utc_now


def record_review(session: Session, new: NewReview) -> bool:
    """Store a review, update its task's state, and return whether the review is new.

    The same review again changes nothing. Another one of the same reviewer and task is an edit: it supersedes the
    stored one, and the next labelling considers it. A late review of a withdrawn task counts too.

    Raises:
        NotFound: no such task.
        SpanConflict: the stored passage does not contain the answer at its offset.
    """
    [(_, is_new)] = record_reviews(session, [new])
    if is_new:
        update_task_states(session, [new.task_id])
    return is_new


def record_reviews(session: Session, rows: Sequence[NewReview]) -> list[tuple[int, bool]]:
    """Store reviews as `record_review` does, without task states; return the id of each and whether it is new.

    No two of them may be by one reviewer of one task.
    """
    task_ids = {row.task_id for row in rows}
    _check_tasks(session, task_ids)
    for row in rows:
        _check_answer(row)
    check_spans(session, [(f"task {row.task_id}", row.answer) for row in rows if row.answer is not None])
    current = current_reviews(session, task_ids)
    stored = [current.get((row.task_id, row.reviewer)) for row in rows]
    given = [_review(row) for row in rows]
    new = [before is None or not _equal(before, each) for before, each in zip(stored, given, strict=True)]
    outdated = [before.id for before, is_new in zip(stored, new, strict=True) if before is not None and is_new]
    update_in(session, REVIEWS.c.id, outdated, superseded_at=utc_now())
    added = [each for each, is_new in zip(given, new, strict=True) if is_new]
    if added:
        insert_all(session, REVIEWS, added)
        current = current_reviews(session, task_ids)
    return [(current[row.task_id, row.reviewer].id, is_new) for row, is_new in zip(rows, new, strict=True)]


def delete_review(session: Session, review_id: int) -> None:
    """Take a review back. Its task is open again where reviews are now missing; the next labelling follows."""
    take_back(session, [review_id])
    task_id = session.execute(select(REVIEWS.c.task_id).where(REVIEWS.c.id == review_id)).scalar_one()
    update_task_states(session, [task_id])


def take_back(session: Session, review_ids: Iterable[int]) -> int:
    """Mark current reviews as taken back and return how many; superseded ones stay as they are. States stay too."""
    current = select(REVIEWS.c.id).where(REVIEWS.c.superseded_at.is_(None))
    ids = [row.id for row in select_in(session, current, REVIEWS.c.id, review_ids)]
    now = utc_now()
    update_in(session, REVIEWS.c.id, ids, superseded_at=now, deleted_at=now)
    return len(ids)


def current_reviews(session: Session, task_ids: Iterable[int]) -> dict[tuple[int, str], AnyRow]:
    """The current reviews of these tasks by (task id, reviewer)."""
    current = select(REVIEWS).where(REVIEWS.c.superseded_at.is_(None))
    return {(row.task_id, row.reviewer): row for row in select_in(session, current, REVIEWS.c.task_id, task_ids)}


def _check_tasks(session: Session, ids: set[int]) -> None:
    missing = ids - {row.id for row in select_in(session, select(TASKS.c.id), TASKS.c.id, ids)}
    if missing:
        raise NotFound(f"task {min(missing)} is not stored: `labeler status` counts the open ones")


def _check_answer(new: NewReview) -> None:
    if (new.verdict == "answerable") != (new.answer is not None):
        raise ValueError(f"task {new.task_id}: an answer goes with the verdict answerable and with no other")


def _equal(stored: AnyRow, given: Mapping[str, Any]) -> bool:
    """Whether the stored review is the same, apart from the time it took and where it was given."""
    return all(stored._mapping[name] == value for name, value in given.items() if name not in ("seconds", "source"))


def _review(new: NewReview) -> dict[str, Any]:
    answer = {"text": None, "passage_id": None, "start": None, "end": None}
    return values(new, REVIEWS) | (answer if new.answer is None else values(new.answer, REVIEWS))
