"""Writes of reviews that export files bring."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sqlalchemy import bindparam, select, update

from db.engine import Session
from db.rows import FileReview, NewReview
from db.sql import AnyRow, in_chunks, values
from db.sql.bulk import insert_all
from db.store.review import current_reviews, record_reviews, take_back
from db.store.task import update_task_states
from db.tables import FILE_ANNOTATIONS, STUDIO_ANNOTATIONS, STUDIO_TASKS

FileOutcome = Literal["new", "edited", "known", "older", "pulled"]


def record_file_reviews(session: Session, rows: Sequence[FileReview]) -> list[FileOutcome]:
    """Store the newest annotation of each reviewer and task in a file, and return what became of each.

    new: a first review. edited: it replaced a review of an earlier file, or took it back because it is unreadable now.
    known: it was stored before. older: a later one was. pulled: this annotation, or another review of this person,
    came from a server, which has precedence. The same annotation under two names is one person's; a name replaces a
    number.

    Raises SpanConflict where a stored passage does not contain an answer at its offset.
    """
    batches: dict[int, list[int]] = defaultdict(list)  # several annotations of one task go into different batches
    seen: dict[int, int] = defaultdict(int)
    for index, row in enumerate(rows):
        batches[seen[row.task_id]].append(index)
        seen[row.task_id] += 1
    found: dict[int, FileOutcome] = {}
    for batch in batches.values():
        for some in in_chunks(batch):
            found.update(zip(some, _record_batch(session, [rows[index] for index in some]), strict=True))
    return [found[index] for index in range(len(rows))]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is stored of some tasks."""

    annotations: Mapping[int, Sequence[AnyRow]]  # from files, by task id
    current: Mapping[tuple[int, str], AnyRow]  # (task id, reviewer) -> the current review
    pulled: frozenset[tuple[int, int]]  # (task id, the server's id of an annotation)


@dataclass(slots=True)
class _Plan:
    """What is to be written."""

    new: list[dict[str, Any]] = field(default_factory=list)  # annotations
    renewed: list[dict[str, Any]] = field(default_factory=list)  # annotations
    taken_back: list[int] = field(default_factory=list)  # review ids
    reviews: list[NewReview] = field(default_factory=list)


def _record_batch(session: Session, rows: Sequence[FileReview]) -> list[FileOutcome]:
    """Store annotations of different tasks."""
    known, plan = _known(session, {row.task_id for row in rows}), _Plan()
    planned = [_plan(row, known, plan) for row in rows]
    _write_annotations(session, plan)
    take_back(session, plan.taken_back)
    recorded = record_reviews(session, plan.reviews)
    new = {row.task_id: row.reviewer for row, (_, is_new) in zip(plan.reviews, recorded, strict=True) if is_new}
    update_task_states(session, {row.task_id for row in rows})
    return [_outcome(row, known, new) if early is None else early for row, early in zip(rows, planned, strict=True)]


def _plan(row: FileReview, known: _Known, plan: _Plan) -> FileOutcome | None:
    """Add what is to be written for an annotation; its outcome, or None if that depends on the review's recording."""
    annotations = known.annotations.get(row.task_id, ())
    stored = next((each for each in annotations if each.unique_id == row.unique_id), None)
    former = row.reviewer if stored is None else stored.reviewer
    row = _under_its_first_name(row, stored)
    early = _already_stored(row, former, known)
    if early is not None:
        return early
    (plan.new if stored is None else plan.renewed).append(values(row, FILE_ANNOTATIONS))
    replaced = known.current.get((row.task_id, former)) if former != row.reviewer or row.review is None else None
    taken_back = replaced is not None and replaced.source == "file"
    if replaced is not None and taken_back:
        plan.taken_back.append(replaced.id)
    if row.review is not None:
        plan.reviews.append(row.review)
        return "edited" if taken_back else None
    return "edited" if taken_back else "known"


def _under_its_first_name(row: FileReview, stored: AnyRow | None) -> FileReview:
    """The annotation under the reviewer it was first stored with, unless that was a number and this is a name."""
    if stored is None or stored.reviewer == row.reviewer or (stored.numbered and not row.numbered):
        return row
    review = row.review and replace(row.review, reviewer=stored.reviewer)
    return replace(row, reviewer=stored.reviewer, numbered=stored.numbered, review=review)


def _already_stored(row: FileReview, former: str, known: _Known) -> FileOutcome | None:
    """Why an annotation changes nothing, or None if it does."""
    annotations = known.annotations.get(row.task_id, ())
    moments = [each.updated_at for each in annotations if each.reviewer in (former, row.reviewer)]
    if moments and row.updated_at < max(moments):
        return "older"
    if moments and row.updated_at == max(moments) and former == row.reviewer:
        return "known"
    current = known.current.get((row.task_id, row.reviewer))
    if (row.task_id, row.remote_id) in known.pulled or (current is not None and current.source == "studio"):
        return "pulled"
    return None


def _outcome(row: FileReview, known: _Known, new: Mapping[int, str]) -> FileOutcome:
    """The outcome once reviews are recorded; `new`: task id -> reviewer of those that were not stored."""
    if row.task_id not in new:
        return "known"
    return "edited" if (row.task_id, new[row.task_id]) in known.current else "new"


def _known(session: Session, task_ids: Iterable[int]) -> _Known:
    ids = list(task_ids)
    annotations: dict[int, list[AnyRow]] = defaultdict(list)
    for row in session.execute(select(FILE_ANNOTATIONS).where(FILE_ANNOTATIONS.c.task_id.in_(ids))):
        annotations[row.task_id].append(row)
    pulled = (
        select(STUDIO_TASKS.c.task_id, STUDIO_ANNOTATIONS.c.remote_id)
        .join(STUDIO_ANNOTATIONS, STUDIO_TASKS.c.id == STUDIO_ANNOTATIONS.c.studio_task_id)
        .where(STUDIO_TASKS.c.task_id.in_(ids))
    )
    pairs = frozenset((task_id, remote_id) for task_id, remote_id in session.execute(pulled))
    return _Known(annotations, current_reviews(session, ids), pairs)


def _write_annotations(session: Session, plan: _Plan) -> None:
    insert_all(session, FILE_ANNOTATIONS, plan.new)
    if plan.renewed:
        columns = FILE_ANNOTATIONS.c
        same = (columns.task_id == bindparam("b_task"), columns.unique_id == bindparam("b_unique"))
        changed = [{**each, "b_task": each["task_id"], "b_unique": each["unique_id"]} for each in plan.renewed]
        session.execute(update(FILE_ANNOTATIONS).where(*same), changed)
