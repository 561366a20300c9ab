"""Writes of the Label Studio ledger: projects, pushes, tasks on the server, annotations pulled."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from db.chunks import in_chunks, table
from db.models import Review, StudioAnnotation, StudioProject, StudioPush, StudioTask, utc_now
from db.queries import studio as studio_queries
from db.rows import PulledAnnotation, Settled, StudioAnnotationRow, StudioProjectRow, StudioPushRow
from db.store.review import delete_review, record_review, settle_state


def add_project(
    session: Session, *, url: str, blind: bool, places: int, reviewers: int, page_sha256: str
) -> StudioProjectRow:
    """A project that is about to be made on the server; its `uid` goes into the description there."""
    values = {
        "url": url,
        "uid": secrets.token_hex(16),
        "blind": blind,
        "places": places,
        "reviewers": reviewers,
        "page_sha256": page_sha256,
    }
    statement = insert(table(StudioProject)).values(values).returning(StudioProject.id)
    return studio_queries.project(session, session.execute(statement).scalar_one())


def project_made(session: Session, project_id: int, *, remote_id: int) -> None:
    """Stores the server's id of a project."""
    _update_project(session, project_id, remote_id=remote_id)


def page_set(session: Session, project_id: int, *, page_sha256: str) -> None:
    """Stores which page configuration a project has now."""
    _update_project(session, project_id, page_sha256=page_sha256)


def move_cursor(session: Session, project_id: int, cursor: str) -> None:
    """Stores up to which moment of the server's clock a project was pulled."""
    _update_project(session, project_id, cursor=cursor)


def project_gone(session: Session, project_id: int) -> int:
    """How many tasks stand nowhere now, for their project was deleted on the server; what was reviewed stays."""
    _update_project(session, project_id, gone_at=utc_now())
    live = (StudioTask.project_id == project_id, StudioTask.gone_at.is_(None))
    ids = session.execute(select(StudioTask.id).where(*live)).scalars().all()
    return tasks_gone(session, ids)


def _update_project(session: Session, project_id: int, **values: Any) -> None:
    session.execute(update(table(StudioProject)).where(StudioProject.id == project_id).values(**values))


def begin_push(session: Session, project_id: int, round_number: int, task_ids: Sequence[int]) -> StudioPushRow:
    """A new push of these tasks, before anything is sent; whoever finds it unfinished goes on with it."""
    values = {"push_id": secrets.token_hex(16), "project_id": project_id, "round_number": round_number}
    statement = insert(table(StudioPush)).values(values).returning(StudioPush.id)
    push_id = session.execute(statement).scalar_one()
    session.execute(
        insert(table(StudioTask)),
        [{"task_id": task_id, "project_id": project_id, "push_id": push_id} for task_id in task_ids],
    )
    return studio_queries.push(session, push_id)


def import_begun(session: Session, push_id: int) -> None:
    """Counts an import that is about to be sent for a push."""
    more = {"imports_begun": StudioPush.imports_begun + 1}
    session.execute(update(table(StudioPush)).where(StudioPush.id == push_id).values(more))


def finish_push(session: Session, push_id: int, remote_ids: Mapping[int, int]) -> None:
    """Stores the server's id of each task (task id -> server id) of a push, which is finished then.

    The server gives ids of deleted tasks again: another live row of the project with such an id stands for a task that
    is gone there, and is marked so.
    """
    rows = studio_queries.tasks_of_push(session, push_id)
    for row in rows:
        remote_id = remote_ids[row.task_id]
        _take_over(session, row.project_id, remote_id, keep=row.id)
        session.execute(update(table(StudioTask)).where(StudioTask.id == row.id).values(remote_id=remote_id))
    session.execute(update(table(StudioPush)).where(StudioPush.id == push_id).values(finished_at=utc_now()))


def adopt_task(session: Session, push_id: int, task_id: int, *, remote_id: int) -> None:
    """Stores that a task stands on the server under this id too: an import that was made twice."""
    push = studio_queries.push(session, push_id)
    _take_over(session, push.project_id, remote_id, keep=None)
    values = {"task_id": task_id, "project_id": push.project_id, "push_id": push_id, "remote_id": remote_id}
    session.execute(insert(table(StudioTask)).values(values))


def _take_over(session: Session, project_id: int, remote_id: int, *, keep: int | None) -> None:
    holders = (
        StudioTask.project_id == project_id,
        StudioTask.remote_id == remote_id,
        StudioTask.gone_at.is_(None),
    )
    found = session.execute(select(StudioTask.id).where(*holders)).scalars().all()
    tasks_gone(session, [key for key in found if key != keep])


def tasks_gone(session: Session, studio_task_ids: Iterable[int]) -> int:
    """How many rows were marked as gone from the server. Reviews that came from them stay."""
    count = 0
    for ids in in_chunks(studio_task_ids):
        live = (StudioTask.id.in_(ids), StudioTask.gone_at.is_(None))
        found = session.execute(
            update(table(StudioTask)).where(*live).values(gone_at=utc_now()).returning(StudioTask.id)
        )
        count += len(found.all())
    return count


def settle_annotations(session: Session, studio_task_id: int, pulled: Sequence[PulledAnnotation]) -> Settled:
    """What changed by making the database say of one task what the server says of it: all its annotations, in `pulled`.

    A new or edited annotation becomes a review; one that cannot be read, or is not there any more, takes its former
    review away. Of several by one reviewer the newest counts. The same again changes nothing.

    Raises SpanConflict for an answer that does not stand at its offset.
    """
    task_id = studio_queries.studio_task(session, studio_task_id).task_id
    known = {row.remote_id: row for row in studio_queries.annotations_of(session, studio_task_id)}
    counting = {each.reviewer: each for each in sorted(pulled, key=_age)}  # the newest of each reviewer
    counts: Counter[str] = Counter()
    for each in sorted(pulled, key=_age):
        row = known.get(each.remote_id)
        counted = counting[each.reviewer] is each
        if row is not None and _unchanged(row, each, counted=counted):
            continue
        review_id = _record(session, task_id, each, known, counts) if counted and each.review is not None else None
        problem = each.problem if counted else None
        counts["problems"] += problem is not None
        _put(session, studio_task_id, each, problem=problem, review_id=review_id, row=row)
    _mark_deleted(session, [row for key, row in known.items() if key not in {each.remote_id for each in pulled}])
    counts["deleted"] = _take_back(session, known.values(), studio_queries.annotations_of(session, studio_task_id))
    settle_state(session, task_id)
    return Settled(**counts)


def _age(each: PulledAnnotation) -> tuple[str, int]:
    return each.updated_at, each.remote_id


def _unchanged(row: StudioAnnotationRow, each: PulledAnnotation, *, counted: bool) -> bool:
    """Whether the ledger says of an annotation what was pulled, also whether it counts."""
    if row.deleted_at is not None or row.updated_at != each.updated_at:
        return False
    if not counted:
        return row.review_id is None and row.problem is None
    return row.problem == each.problem and (row.review_id is None) == (each.review is None)


def _record(
    session: Session,
    task_id: int,
    each: PulledAnnotation,
    known: Mapping[int, StudioAnnotationRow],
    counts: Counter[str],
) -> int:
    """The id of the review that the annotation now is; counts what changed."""
    assert each.review is not None
    before = {row.review_id for row in known.values() if row.reviewer == each.reviewer and row.review_id is not None}
    if record_review(session, each.review):
        counts["edited" if before else "new"] += 1
        counts["skipped"] += each.review.verdict == "skipped"
    current = (Review.task_id == task_id, Review.reviewer == each.reviewer, Review.superseded_at.is_(None))
    return session.execute(select(Review.id).where(*current)).scalar_one()


def _put(
    session: Session,
    studio_task_id: int,
    each: PulledAnnotation,
    *,
    problem: str | None,
    review_id: int | None,
    row: StudioAnnotationRow | None,
) -> None:
    """Writes an annotation into the ledger."""
    values = {
        "studio_task_id": studio_task_id,
        "remote_id": each.remote_id,
        "updated_at": each.updated_at,
        "reviewer": each.reviewer,
        "review_id": review_id,
        "problem": problem,
        "result": list(each.result),
        "deleted_at": None,
    }
    if row is None:
        session.execute(insert(table(StudioAnnotation)), [values])
    else:
        session.execute(update(table(StudioAnnotation)).where(StudioAnnotation.id == row.id).values(values))


def _mark_deleted(session: Session, rows: Iterable[StudioAnnotationRow]) -> None:
    ids = [row.id for row in rows if row.deleted_at is None]
    gone = {"deleted_at": utc_now(), "review_id": None, "problem": None}
    session.execute(update(table(StudioAnnotation)).where(StudioAnnotation.id.in_(ids)).values(gone))


def _take_back(session: Session, before: Iterable[StudioAnnotationRow], after: Iterable[StudioAnnotationRow]) -> int:
    """How many reviews no annotation stands for any more: they are taken back unless something came in their place."""
    held = {row.review_id for row in after}
    lost = sorted({row.review_id for row in before if row.review_id is not None} - held)
    current = (Review.id.in_(lost), Review.superseded_at.is_(None))
    ids = session.execute(select(Review.id).where(*current)).scalars().all()
    for review_id in ids:
        delete_review(session, review_id)
    return len(ids)
