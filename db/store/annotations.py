"""Annotations pulled from Label Studio: the database is made to say of tasks what the server says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from db.models import Review, StudioAnnotation, utc_now
from db.queries import studio as studio_queries
from db.rows import AnnotationChanges, PulledAnnotation, StudioAnnotationRow
from db.sql import in_chunks, table
from db.store.review import record_reviews, update_task_states

_Key = tuple[int, int]  # studio task, the server's id of the annotation


@dataclass(frozen=True, slots=True)
class _Change:
    """An annotation of which the ledger says something else. `counts`: it is its reviewer's newest one of the task."""

    studio_task_id: int
    task_id: int
    pulled: PulledAnnotation
    counts: bool
    row: StudioAnnotationRow | None


def record_annotations(session: Session, pulled: Mapping[int, Sequence[PulledAnnotation]]) -> AnnotationChanges:
    """What changed. `pulled`: a task on a server (local id) -> all annotations that it has there now.

    A new or edited annotation becomes a review; one that cannot be read, or is not there any more, takes its former
    review away. Of several by one reviewer of one task the newest counts: so a task that stands on the server more
    than once must come with all its places together. The same again changes nothing.

    Raises SpanConflict for an answer that does not stand at its offset.
    """
    places = studio_queries.studio_tasks_by_id(session, pulled)
    task_of = {key: row.task_id for key, row in places.items()}
    ledger = {(row.studio_task_id, row.remote_id): row for row in studio_queries.annotations_of(session, pulled)}
    there = {(key, each.remote_id): each for key, listed in pulled.items() for each in listed}
    changes = _changes(there, ledger, task_of)
    vanished = [row for key, row in ledger.items() if key not in there and row.deleted_at is None]
    if not changes and not vanished:
        return AnnotationChanges()
    counts: Counter[str] = Counter()
    reviews = _record(session, changes, ledger.values(), counts)
    _write(session, changes, reviews)
    _mark_deleted(session, vanished)
    counts["deleted"] = _take_back(session, ledger.values(), studio_queries.annotations_of(session, pulled))
    update_task_states(session, {each.task_id for each in changes} | {row.task_id for row in vanished})
    return AnnotationChanges(**counts)


def _changes(
    there: Mapping[_Key, PulledAnnotation], ledger: Mapping[_Key, StudioAnnotationRow], task_of: Mapping[int, int]
) -> list[_Change]:
    """What differs from the ledger, oldest first."""
    ordered = sorted(there.items(), key=lambda item: _age(item[1]))
    newest = {(task_of[key[0]], each.reviewer): key for key, each in ordered}
    found = []
    for key, each in ordered:
        task_id = task_of[key[0]]
        change = _Change(key[0], task_id, each, newest[task_id, each.reviewer] == key, ledger.get(key))
        if change.row is None or not _unchanged(change.row, each, counts=change.counts):
            found.append(change)
    return found


def _age(each: PulledAnnotation) -> tuple[datetime, int]:
    return datetime.fromisoformat(each.updated_at), each.remote_id


def _unchanged(row: StudioAnnotationRow, each: PulledAnnotation, *, counts: bool) -> bool:
    """Whether the ledger says of an annotation what was pulled, also whether it counts."""
    if row.deleted_at is not None or (row.updated_at, row.reviewer) != (each.updated_at, each.reviewer):
        return False
    if not counts:
        return row.review_id is None and row.problem is None
    return row.problem == each.problem and (row.review_id is None) == (each.review is None)


def _record(
    session: Session, changes: Sequence[_Change], before: Iterable[StudioAnnotationRow], counts: Counter[str]
) -> dict[_Key, int]:
    """Annotation -> the review that it is now; counts what changed."""
    held = {(row.task_id, row.reviewer) for row in before if row.review_id is not None}
    saying = [each for each in changes if each.counts and each.pulled.review is not None]
    reviews = [each.pulled.review for each in saying if each.pulled.review is not None]
    found: dict[_Key, int] = {}
    for change, review, (review_id, is_new) in zip(saying, reviews, record_reviews(session, reviews), strict=True):
        found[change.studio_task_id, change.pulled.remote_id] = review_id
        if is_new:
            counts["edited" if (review.task_id, review.reviewer) in held else "new"] += 1
            counts["skipped"] += review.verdict == "skipped"
            counts["labels"] += review.verdict in ("answerable", "no_answer")
    counts["problems"] = sum(each.counts and each.pulled.problem is not None for each in changes)
    return found


def _write(session: Session, changes: Sequence[_Change], reviews: Mapping[_Key, int]) -> None:
    """Writes the changes into the ledger."""
    added: list[dict[str, Any]] = []
    edited: list[dict[str, Any]] = []
    for each in changes:
        values = {
            "updated_at": each.pulled.updated_at,
            "reviewer": each.pulled.reviewer,
            "review_id": reviews.get((each.studio_task_id, each.pulled.remote_id)),
            "problem": each.pulled.problem if each.counts else None,
            "result": list(each.pulled.result),
            "deleted_at": None,
        }
        if each.row is None:
            added.append({**values, "studio_task_id": each.studio_task_id, "remote_id": each.pulled.remote_id})
        else:
            edited.append({**values, "key": each.row.id})
    if added:
        session.execute(insert(table(StudioAnnotation)), added)
    if edited:
        session.execute(update(table(StudioAnnotation)).where(StudioAnnotation.id == bindparam("key")), edited)


def _mark_deleted(session: Session, rows: Iterable[StudioAnnotationRow]) -> None:
    gone = {"deleted_at": utc_now(), "review_id": None, "problem": None}
    for ids in in_chunks(row.id for row in rows):
        session.execute(update(table(StudioAnnotation)).where(StudioAnnotation.id.in_(ids)).values(gone))


def _take_back(session: Session, before: Iterable[StudioAnnotationRow], after: Iterable[StudioAnnotationRow]) -> int:
    """How many reviews no annotation stands for any more: they are taken back unless something came in their place."""
    held = {row.review_id for row in after}
    lost = {row.review_id for row in before if row.review_id is not None} - held
    now = utc_now()
    count = 0
    for ids in in_chunks(lost):
        current = (Review.id.in_(ids), Review.superseded_at.is_(None))
        count += len(session.execute(select(Review.id).where(*current)).all())
        session.execute(update(table(Review)).where(*current).values(superseded_at=now, deleted_at=now))
    return count
