"""Writes of annotations pulled from Label Studio, and of the reviews made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, update

from db.engine import Session
from db.queries import studio as studio_queries
from db.rows import AnnotationChanges, PulledAnnotation, StudioAnnotationRow
from db.sql import update_in
from db.sql.bulk import insert_all
from db.store.review import record_reviews, take_back
from db.store.task import update_task_states
from db.tables import STUDIO_ANNOTATIONS, utc_now

_Key = tuple[int, int]  # studio task, the server's id of the annotation


@dataclass(frozen=True, slots=True)
class _Change:
    """An annotation that differs from what is stored of it."""

    studio_task_id: int
    task_id: int
    pulled: PulledAnnotation
    counts: bool  # it is its reviewer's newest one of the task
    row: StudioAnnotationRow | None


def record_annotations(session: Session, pulled: Mapping[int, Sequence[PulledAnnotation]]) -> AnnotationChanges:
    """Store annotations, make reviews of them, and return what changed. The same again changes nothing.

    A new or edited annotation becomes a review; the review of an annotation that was deleted, or can no longer be read,
    is taken back. Of several by one reviewer of one task the newest counts.

    Args:
        pulled: studio task (local id) -> all annotations it has on the server now. A task that is on the server more
            than once must come with all its studio tasks.

    Raises SpanConflict where a stored passage does not contain an answer at its offset.
    """
    task_of = {key: row.task_id for key, row in studio_queries.studio_tasks_by_id(session, pulled).items()}
    stored = {(row.studio_task_id, row.remote_id): row for row in studio_queries.annotations_of(session, pulled)}
    there = {(key, each.remote_id): each for key, listed in pulled.items() for each in listed}
    changes = _changes(there, stored, task_of)
    vanished = [row for key, row in stored.items() if key not in there and row.deleted_at is None]
    if not changes and not vanished:
        return AnnotationChanges()
    counts: Counter[str] = Counter()
    reviews = _record(session, changes, stored.values(), counts)
    _write(session, changes, reviews)
    _mark_deleted(session, vanished)
    counts["deleted"] = _take_back(session, stored.values(), studio_queries.annotations_of(session, pulled))
    update_task_states(session, {each.task_id for each in changes} | {row.task_id for row in vanished})
    return AnnotationChanges(**counts)


def _changes(
    there: Mapping[_Key, PulledAnnotation], stored: Mapping[_Key, StudioAnnotationRow], task_of: Mapping[int, int]
) -> list[_Change]:
    """The annotations that differ from what is stored, oldest first."""
    ordered = sorted(there.items(), key=lambda item: _age(item[1]))
    newest = {(task_of[key[0]], each.reviewer): key for key, each in ordered}
    found = []
    for key, each in ordered:
        task_id = task_of[key[0]]
        change = _Change(key[0], task_id, each, newest[task_id, each.reviewer] == key, stored.get(key))
        if change.row is None or not _unchanged(change.row, each, counts=change.counts):
            found.append(change)
    return found


def _age(each: PulledAnnotation) -> tuple[datetime, int]:
    return datetime.fromisoformat(each.updated_at), each.remote_id


def _unchanged(row: StudioAnnotationRow, each: PulledAnnotation, *, counts: bool) -> bool:
    """Whether the stored annotation equals the pulled one, and counts or not as it does."""
    if row.deleted_at is not None or (row.updated_at, row.reviewer) != (each.updated_at, each.reviewer):
        return False
    if not counts:
        return row.review_id is None and row.problem is None
    return row.problem == each.problem and (row.review_id is None) == (each.review is None)


def _record(
    session: Session, changes: Sequence[_Change], before: Iterable[StudioAnnotationRow], counts: Counter[str]
) -> dict[_Key, int]:
    """Record the reviews of changed annotations, count what changed, and return review ids by annotation."""
    reviewed = {(row.task_id, row.reviewer) for row in before if row.review_id is not None}
    readable = [each for each in changes if each.counts and each.pulled.review is not None]
    reviews = [each.pulled.review for each in readable if each.pulled.review is not None]
    found: dict[_Key, int] = {}
    for change, review, (review_id, is_new) in zip(readable, reviews, record_reviews(session, reviews), strict=True):
        found[change.studio_task_id, change.pulled.remote_id] = review_id
        if is_new:
            counts["edited" if (review.task_id, review.reviewer) in reviewed else "new"] += 1
            counts["skipped"] += review.verdict == "skipped"
            counts["labels"] += review.verdict in ("answerable", "no_answer")
    counts["problems"] = sum(each.counts and each.pulled.problem is not None for each in changes)
    return found


def _write(session: Session, changes: Sequence[_Change], reviews: Mapping[_Key, int]) -> None:
    """Store the changed annotations."""
    added: list[dict[str, Any]] = []
    edited: list[dict[str, Any]] = []
    for each in changes:
        stored = {
            "updated_at": each.pulled.updated_at,
            "reviewer": each.pulled.reviewer,
            "review_id": reviews.get((each.studio_task_id, each.pulled.remote_id)),
            "problem": each.pulled.problem if each.counts else None,
            "result": each.pulled.result,
            "deleted_at": None,
        }
        if each.row is None:
            added.append({**stored, "studio_task_id": each.studio_task_id, "remote_id": each.pulled.remote_id})
        else:
            edited.append({**stored, "key": each.row.id})
    insert_all(session, STUDIO_ANNOTATIONS, added)
    if edited:
        session.execute(update(STUDIO_ANNOTATIONS).where(STUDIO_ANNOTATIONS.c.id == bindparam("key")), edited)


def _mark_deleted(session: Session, rows: Iterable[StudioAnnotationRow]) -> None:
    ids = [row.id for row in rows]
    update_in(session, STUDIO_ANNOTATIONS.c.id, ids, deleted_at=utc_now(), review_id=None, problem=None)


def _take_back(session: Session, before: Iterable[StudioAnnotationRow], after: Iterable[StudioAnnotationRow]) -> int:
    """Take back reviews that no annotation supports any more and nothing superseded; return how many."""
    supported = {row.review_id for row in after}
    return take_back(session, {row.review_id for row in before if row.review_id is not None} - supported)
