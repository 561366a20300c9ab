"""Reads of the Label Studio ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from db.errors import NotFound
from db.models import StudioAnnotation, StudioProject, StudioPush, StudioTask, Task
from db.rows import StudioAnnotationRow, StudioProjectRow, StudioPushRow, StudioTaskRow, TaskRow
from db.sql import AnySelect, in_chunks, table


def projects(session: Session, *, url: str | None = None, gone: bool = False) -> list[StudioProjectRow]:
    """Projects, oldest first: of one server if `url` is given; also those deleted there if `gone`."""
    statement = select(table(StudioProject)).order_by(StudioProject.id)
    if url is not None:
        statement = statement.where(StudioProject.url == url)
    if not gone:
        statement = statement.where(StudioProject.deleted_at.is_(None))
    return [StudioProjectRow(**row._mapping) for row in session.execute(statement)]


def project(session: Session, project_id: int) -> StudioProjectRow:
    """One project. Raises NotFound."""
    row = session.execute(select(table(StudioProject)).where(StudioProject.id == project_id)).first()
    if row is None:
        raise NotFound(f"there is no Label Studio project {project_id}: `labeler status` names them")
    return StudioProjectRow(**row._mapping)


def push(session: Session, push_id: int) -> StudioPushRow:
    """One push, by its local id."""
    return StudioPushRow(**session.execute(select(table(StudioPush)).where(StudioPush.id == push_id)).one()._mapping)


def unfinished_pushes(session: Session, *, url: str) -> list[StudioPushRow]:
    """Pushes to a server's live projects that were begun and not finished, oldest first."""
    statement = (
        select(table(StudioPush))
        .join(StudioProject, StudioProject.id == StudioPush.project_id)
        .where(StudioPush.finished_at.is_(None), StudioProject.url == url, StudioProject.deleted_at.is_(None))
        .order_by(StudioPush.id)
    )
    return [StudioPushRow(**row._mapping) for row in session.execute(statement)]


def pushes(session: Session, push_ids: Iterable[str]) -> dict[str, StudioPushRow]:
    """push_id as tasks carry it -> its push, of those that this workspace knows."""
    found: dict[str, StudioPushRow] = {}
    for ids in in_chunks(push_ids):
        for row in session.execute(select(table(StudioPush)).where(StudioPush.push_id.in_(ids))):
            found[row.push_id] = StudioPushRow(**row._mapping)
    return found


def push_ids(session: Session, project_id: int) -> dict[int, str]:
    """Local id of each push to a project -> its id as tasks carry it."""
    statement = select(StudioPush.id, StudioPush.push_id).where(StudioPush.project_id == project_id)
    return {row.id: row.push_id for row in session.execute(statement)}


def studio_tasks_by_id(session: Session, ids: Iterable[int]) -> dict[int, StudioTaskRow]:
    """The tasks on servers of these local ids."""
    found: dict[int, StudioTaskRow] = {}
    for some in in_chunks(ids):
        for row in session.execute(select(table(StudioTask)).where(StudioTask.id.in_(some))):
            found[row.id] = StudioTaskRow(**row._mapping)
    return found


def tasks_of_push(session: Session, push_id: int) -> list[StudioTaskRow]:
    """The live tasks of a push (its local id), in the order they are sent."""
    where = (StudioTask.push_id == push_id, StudioTask.deleted_at.is_(None))
    statement = select(table(StudioTask)).where(*where).order_by(StudioTask.id)
    return [StudioTaskRow(**row._mapping) for row in session.execute(statement)]


def live_tasks(session: Session, project_id: int, *, remote_ids: Iterable[int] | None = None) -> list[StudioTaskRow]:
    """The live tasks of a project whose server ids are known: all, or those of these ids."""
    live = (
        StudioTask.project_id == project_id,
        StudioTask.deleted_at.is_(None),
        StudioTask.remote_id.is_not(None),
    )
    statement = select(table(StudioTask)).where(*live).order_by(StudioTask.id)
    if remote_ids is None:
        return [StudioTaskRow(**row._mapping) for row in session.execute(statement)]
    chunks = (statement.where(StudioTask.remote_id.in_(some)) for some in in_chunks(remote_ids))
    return [StudioTaskRow(**row._mapping) for chunk in chunks for row in session.execute(chunk)]


def placements(session: Session, task_ids: Iterable[int]) -> list[StudioTaskRow]:
    """The live rows of these tasks whose server ids are known, of all projects."""
    found: list[StudioTaskRow] = []
    for ids in in_chunks(task_ids):
        live = (StudioTask.task_id.in_(ids), StudioTask.deleted_at.is_(None), StudioTask.remote_id.is_not(None))
        statement = select(table(StudioTask)).where(*live).order_by(StudioTask.id)
        found += [StudioTaskRow(**row._mapping) for row in session.execute(statement)]
    return found


def repeated_placements(session: Session, project_id: int) -> list[StudioTaskRow]:
    """The live rows of those tasks that stand in a project more than once, by task."""
    rows = live_tasks(session, project_id)
    places = Counter(row.task_id for row in rows)
    return sorted((row for row in rows if places[row.task_id] > 1), key=lambda row: (row.task_id, row.id))


def servers_of_open_tasks(session: Session) -> set[str]:
    """The addresses of the servers on which open tasks stand."""
    statement = (
        select(StudioProject.url)
        .join(StudioTask, StudioTask.project_id == StudioProject.id)
        .join(Task, Task.id == StudioTask.task_id)
        .where(Task.state == "open", StudioTask.deleted_at.is_(None), StudioProject.deleted_at.is_(None))
    )
    return set(session.execute(statement.distinct()).scalars())


def withdrawn_tasks(session: Session, project_id: int) -> list[StudioTaskRow]:
    """The live rows of those tasks of a project that nobody is to answer any more."""
    withdrawn = (StudioTask.project_id == project_id, StudioTask.remote_id.is_not(None), Task.state == "withdrawn")
    statement = (
        select(table(StudioTask))
        .join(Task, Task.id == StudioTask.task_id)
        .where(*withdrawn, StudioTask.deleted_at.is_(None))
        .order_by(StudioTask.id)
    )
    return [StudioTaskRow(**row._mapping) for row in session.execute(statement)]


def unsent_tasks(session: Session, round_number: int) -> list[TaskRow]:
    """Open tasks of a round that neither stand on a server nor are on the way there, in order of presentation."""
    statement = select(table(Task)).where(*_unsent(round_number)).order_by(Task.position, Task.id)
    return [_task(dict(row._mapping)) for row in session.execute(statement)]


def has_unsent_tasks(session: Session, round_number: int) -> bool:
    """Whether there are any."""
    return session.execute(select(Task.id).where(*_unsent(round_number)).limit(1)).first() is not None


def _unsent(round_number: int) -> tuple[ColumnElement[bool], ...]:
    live = select(StudioTask.task_id).where(StudioTask.deleted_at.is_(None))
    return Task.round_number == round_number, Task.state == "open", Task.id.not_in(live)


def tasks_by_id(session: Session, ids: Iterable[int]) -> dict[int, TaskRow]:
    """The tasks of these ids."""
    found: dict[int, TaskRow] = {}
    for some in in_chunks(ids):
        for row in session.execute(select(table(Task)).where(Task.id.in_(some))):
            found[row.id] = _task(dict(row._mapping))
    return found


def annotation_count(session: Session, project_id: int) -> int:
    """How many annotations are known to stand in a project, on tasks that are there."""
    statement = (
        select(func.count())
        .select_from(StudioAnnotation)
        .join(StudioTask, StudioTask.id == StudioAnnotation.studio_task_id)
        .where(
            StudioTask.project_id == project_id, StudioTask.deleted_at.is_(None), StudioAnnotation.deleted_at.is_(None)
        )
    )
    return session.execute(statement).scalar_one()


def annotations_of(session: Session, studio_task_ids: Iterable[int]) -> list[StudioAnnotationRow]:
    """The ledger of these tasks on a server, deleted annotations too."""
    found: list[StudioAnnotationRow] = []
    for ids in in_chunks(studio_task_ids):
        rows = session.execute(_annotations().where(StudioAnnotation.studio_task_id.in_(ids)))
        found += [StudioAnnotationRow(**row._mapping) for row in rows]
    return found


def conflicts(session: Session, *, round_number: int | None = None) -> list[StudioAnnotationRow]:
    """Annotations that cannot be read as a review and still stand on their server, of one round's tasks or of all."""
    where = (
        StudioAnnotation.problem.is_not(None),
        StudioAnnotation.deleted_at.is_(None),
        StudioTask.deleted_at.is_(None),
    )
    statement = _annotations().where(*where)
    if round_number is not None:
        statement = statement.join(Task, Task.id == StudioTask.task_id).where(Task.round_number == round_number)
    return [StudioAnnotationRow(**row._mapping) for row in session.execute(statement)]


def _annotations() -> AnySelect:
    source = StudioAnnotation
    return (
        select(
            source.id,
            source.studio_task_id,
            StudioTask.task_id,
            source.remote_id,
            source.updated_at,
            source.reviewer,
            source.review_id,
            source.problem,
            source.deleted_at,
        )
        .join(StudioTask, StudioTask.id == source.studio_task_id)
        .order_by(source.id)
    )


def _task(fields: dict[str, Any]) -> TaskRow:
    return TaskRow(**{**fields, "passages": tuple(fields["passages"])})
