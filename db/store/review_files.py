"""Writes of reviews that files bring."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from db.models import FileAnnotation, Review, StudioAnnotation, StudioTask, utc_now
from db.rows import FileReview, NewReview
from db.sql import AnyRow, in_chunks, table
from db.store.review import record_reviews, update_task_states

Filed = Literal["new", "edited", "known", "older", "pulled"]


def record_file_reviews(session: Session, rows: Sequence[FileReview]) -> list[Filed]:
    """What became of each person's newest annotation of a task in a file.

    new, or edited: it took the place of another (an unreadable one takes a review of an earlier file away). known: it
    was filed before. older: a later one was. pulled: it, or another word of this person, came from a server, which
    counts. The same annotation under two names is one person's; a name takes the place of a number.

    Raises SpanConflict for an answer that does not stand at its offset.
    """
    waves: dict[int, list[int]] = defaultdict(list)  # several annotations of one task: one after the other
    seen: dict[int, int] = defaultdict(int)
    for place, row in enumerate(rows):
        waves[seen[row.task_id]].append(place)
        seen[row.task_id] += 1
    found: dict[int, Filed] = {}
    for wave in waves.values():
        for places in in_chunks(wave):
            found.update(zip(places, _file(session, [rows[place] for place in places]), strict=True))
    return [found[place] for place in range(len(rows))]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is stored of some tasks."""

    ledger: Mapping[int, Sequence[AnyRow]]  # by task id
    current: Mapping[tuple[int, str], AnyRow]  # (task id, reviewer) -> the current review
    pulled: frozenset[tuple[int, int]]  # (task id, the server's id of an annotation)


@dataclass(slots=True)
class _Plan:
    """What is to be written."""

    ledger: list[dict[str, Any]] = field(default_factory=list)
    renewed: list[dict[str, Any]] = field(default_factory=list)  # of the ledger
    taken_back: list[int] = field(default_factory=list)  # review ids
    reviews: list[NewReview] = field(default_factory=list)


def _file(session: Session, rows: Sequence[FileReview]) -> list[Filed]:
    """The same for rows of different tasks."""
    known, plan = _known(session, {row.task_id for row in rows}), _Plan()
    planned = [_plan(row, known, plan) for row in rows]
    _write_ledger(session, plan)
    for ids in in_chunks(plan.taken_back):
        now = utc_now()
        session.execute(update(table(Review)).where(Review.id.in_(ids)).values(superseded_at=now, deleted_at=now))
    recorded = record_reviews(session, plan.reviews)
    new = {row.task_id: row.reviewer for row, (_, is_new) in zip(plan.reviews, recorded, strict=True) if is_new}
    update_task_states(session, {row.task_id for row in rows})
    return [each if each is not None else _outcome(row, known, new) for row, each in zip(rows, planned, strict=True)]


def _plan(row: FileReview, known: _Known, plan: _Plan) -> Filed | None:
    """What becomes of an annotation, where that is clear before its review is recorded; adds what is to be written."""
    ledger = known.ledger.get(row.task_id, ())
    stored = next((each for each in ledger if each.unique_id == row.unique_id), None)
    former = row.reviewer if stored is None else stored.reviewer
    if stored is not None and former != row.reviewer and (row.numbered or not stored.numbered):
        review = row.review and replace(row.review, reviewer=former)  # the name that it was first filed under stays
        row = replace(row, reviewer=former, numbered=stored.numbered, review=review)
    moments = [each.updated_at for each in ledger if each.reviewer in (former, row.reviewer)]
    if moments and row.updated_at < max(moments):
        return "older"
    if moments and row.updated_at == max(moments) and former == row.reviewer:
        return "known"
    current = known.current.get((row.task_id, row.reviewer))
    if (row.task_id, row.remote_id) in known.pulled or (current is not None and current.source == "studio"):
        return "pulled"
    (plan.ledger if stored is None else plan.renewed).append(_values(row))
    given = known.current.get((row.task_id, former)) if former != row.reviewer or row.review is None else None
    taken = given is not None and given.source == "file"
    if given is not None and taken:
        plan.taken_back.append(given.id)
    if row.review is None:
        return "edited" if taken else "known"
    plan.reviews.append(row.review)
    return "edited" if taken else None


def _outcome(row: FileReview, known: _Known, new: Mapping[int, str]) -> Filed:
    """The same once its review is recorded; `new`: task id -> reviewer of those that were not stored so."""
    if row.task_id not in new:
        return "known"
    return "edited" if (row.task_id, new[row.task_id]) in known.current else "new"


def _known(session: Session, task_ids: Iterable[int]) -> _Known:
    ids = list(task_ids)
    ledger: dict[int, list[AnyRow]] = defaultdict(list)
    for row in session.execute(select(table(FileAnnotation)).where(FileAnnotation.task_id.in_(ids))):
        ledger[row.task_id].append(row)
    columns = select(Review.id, Review.task_id, Review.reviewer, Review.source)
    reviews = columns.where(Review.task_id.in_(ids), Review.superseded_at.is_(None))
    pulled = (
        select(StudioTask.task_id, StudioAnnotation.remote_id)
        .join(StudioAnnotation, StudioTask.id == StudioAnnotation.studio_task_id)
        .where(StudioTask.task_id.in_(ids))
    )
    return _Known(
        ledger,
        {(row.task_id, row.reviewer): row for row in session.execute(reviews)},
        frozenset((task_id, remote_id) for task_id, remote_id in session.execute(pulled)),
    )


def _values(row: FileReview) -> dict[str, Any]:
    return {
        "task_id": row.task_id,
        "unique_id": row.unique_id,
        "reviewer": row.reviewer,
        "numbered": row.numbered,
        "updated_at": row.updated_at,
    }


def _write_ledger(session: Session, plan: _Plan) -> None:
    if plan.ledger:
        session.execute(insert(table(FileAnnotation)), plan.ledger)
    if plan.renewed:
        same = (FileAnnotation.task_id == bindparam("b_task"), FileAnnotation.unique_id == bindparam("b_unique"))
        changed = [{**each, "b_task": each["task_id"], "b_unique": each["unique_id"]} for each in plan.renewed]
        session.connection().execute(update(table(FileAnnotation)).where(*same), changed)
