"""Reads of what is known of Label Studio servers: projects, pushes, tasks, annotations.

A *studio task* is a task on a server; the same task may be on several, or twice on one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sqlalchemy import ColumnElement, func, select

from db.engine import Session
from db.errors import NotFound
from db.rows import StudioAnnotationRow, StudioProjectRow, StudioPushRow, StudioTaskRow, TaskRow
from db.sql import AnySelect, columns, fetch_all, fetch_first, in_chunks
from db.tables import ROUNDS, STUDIO_ANNOTATIONS, STUDIO_PROJECTS, STUDIO_PUSHES, STUDIO_TASKS, TASKS

_LIVE_PROJECT = STUDIO_PROJECTS.c.deleted_at.is_(None)
_LIVE_TASK = STUDIO_TASKS.c.deleted_at.is_(None)
_PLACED = (_LIVE_TASK, STUDIO_TASKS.c.remote_id.is_not(None))  # on a server, under an id that is known
_IN_ORDER = select(STUDIO_TASKS).order_by(STUDIO_TASKS.c.id)


def projects(session: Session, *, url: str | None = None) -> list[StudioProjectRow]:
    """Live projects of all servers, or of the one at `url`, oldest first."""
    statement = select(STUDIO_PROJECTS).where(_LIVE_PROJECT).order_by(STUDIO_PROJECTS.c.id)
    if url is not None:
        statement = statement.where(STUDIO_PROJECTS.c.url == url)
    return fetch_all(session, statement, StudioProjectRow)


def project(session: Session, project_id: int) -> StudioProjectRow:
    """One project. Raises NotFound."""
    statement = select(STUDIO_PROJECTS).where(STUDIO_PROJECTS.c.id == project_id)
    found = fetch_first(session, statement, StudioProjectRow)
    if found is None:
        raise NotFound(f"there is no Label Studio project {project_id}: `labeler status` names them")
    return found


def push(session: Session, push_id: int) -> StudioPushRow:
    """One push, by its local id."""
    return StudioPushRow(**session.execute(select(STUDIO_PUSHES).where(STUDIO_PUSHES.c.id == push_id)).one()._mapping)


def unfinished_pushes(session: Session, *, url: str) -> list[StudioPushRow]:
    """Pushes to a server's live projects that were begun and not finished, oldest first."""
    statement = (
        select(STUDIO_PUSHES)
        .join(STUDIO_PROJECTS, STUDIO_PROJECTS.c.id == STUDIO_PUSHES.c.project_id)
        .where(STUDIO_PUSHES.c.finished_at.is_(None), STUDIO_PROJECTS.c.url == url, _LIVE_PROJECT)
        .order_by(STUDIO_PUSHES.c.id)
    )
    return fetch_all(session, statement, StudioPushRow)


def pushes(session: Session, push_ids: Iterable[str]) -> dict[str, StudioPushRow]:
    """Pushes of this workspace by the `push_id` that tasks carry; unknown ids are absent."""
    chunks = (select(STUDIO_PUSHES).where(STUDIO_PUSHES.c.push_id.in_(ids)) for ids in in_chunks(push_ids))
    return {row.push_id: row for chunk in chunks for row in fetch_all(session, chunk, StudioPushRow)}


def push_ids(session: Session, project_id: int) -> dict[int, str]:
    """The `push_id` that tasks carry of each push to a project, by local id."""
    statement = select(STUDIO_PUSHES.c.id, STUDIO_PUSHES.c.push_id).where(STUDIO_PUSHES.c.project_id == project_id)
    return {row.id: row.push_id for row in session.execute(statement)}


def studio_tasks_by_id(session: Session, ids: Iterable[int]) -> dict[int, StudioTaskRow]:
    """Studio tasks by their local id, deleted ones too."""
    return {row.id: row for row in _studio_tasks_in(session, STUDIO_TASKS.c.id, ids)}


def studio_tasks_of_push(session: Session, push_id: int) -> list[StudioTaskRow]:
    """The live studio tasks of a push (its local id), in the order in which tasks are sent."""
    return fetch_all(session, _IN_ORDER.where(STUDIO_TASKS.c.push_id == push_id, _LIVE_TASK), StudioTaskRow)


def studio_tasks(session: Session, project_id: int, *, remote_ids: Iterable[int] | None = None) -> list[StudioTaskRow]:
    """The live studio tasks of a project whose server ids are known: all, or those of these ids."""
    mine = (STUDIO_TASKS.c.project_id == project_id, *_PLACED)
    if remote_ids is None:
        return fetch_all(session, _IN_ORDER.where(*mine), StudioTaskRow)
    return _studio_tasks_in(session, STUDIO_TASKS.c.remote_id, remote_ids, *mine)


def studio_tasks_of(session: Session, task_ids: Iterable[int]) -> list[StudioTaskRow]:
    """The live studio tasks of these tasks whose server ids are known, in all projects."""
    return _studio_tasks_in(session, STUDIO_TASKS.c.task_id, task_ids, *_PLACED)


def repeated_studio_tasks(session: Session, project_id: int) -> list[StudioTaskRow]:
    """The live tasks that a project holds more than once, by task."""
    rows = studio_tasks(session, project_id)
    times = Counter(row.task_id for row in rows)
    return sorted((row for row in rows if times[row.task_id] > 1), key=lambda row: (row.task_id, row.id))


def servers_of_open_tasks(session: Session) -> set[str]:
    """URLs of the servers that hold open tasks."""
    statement = (
        select(STUDIO_PROJECTS.c.url)
        .join(STUDIO_TASKS, STUDIO_TASKS.c.project_id == STUDIO_PROJECTS.c.id)
        .join(TASKS, TASKS.c.id == STUDIO_TASKS.c.task_id)
        .where(TASKS.c.state == "open", _LIVE_TASK, _LIVE_PROJECT)
    )
    return set(session.execute(statement.distinct()).scalars())


def withdrawn_studio_tasks(session: Session, project_id: int) -> list[StudioTaskRow]:
    """The live studio tasks of a project whose task was withdrawn."""
    withdrawn = (STUDIO_TASKS.c.project_id == project_id, TASKS.c.state == "withdrawn", *_PLACED)
    statement = _IN_ORDER.join(TASKS, TASKS.c.id == STUDIO_TASKS.c.task_id).where(*withdrawn)
    return fetch_all(session, statement, StudioTaskRow)


def outdated_suggestions(session: Session, *, url: str, reader_id: int) -> list[StudioTaskRow]:
    """Open tasks on a server whose suggestion another reader made than this one, in order of presentation.

    Blind tasks have none, nor have those of a round that was opened without a reader. A judgement asks about the answer
    that is audited, whatever reader is current.
    """
    maker = func.coalesce(STUDIO_TASKS.c.suggested_by, ROUNDS.c.teacher_id)
    statement = (
        select(STUDIO_TASKS)
        .join(TASKS, TASKS.c.id == STUDIO_TASKS.c.task_id)
        .join(ROUNDS, ROUNDS.c.number == TASKS.c.round_number)
        .join(STUDIO_PROJECTS, STUDIO_PROJECTS.c.id == STUDIO_TASKS.c.project_id)
        .where(STUDIO_PROJECTS.c.url == url, _LIVE_PROJECT, STUDIO_PROJECTS.c.blind.is_(False), *_PLACED)
        .where(TASKS.c.state == "open", TASKS.c.blind.is_(False), TASKS.c.kind != "judgement", maker != reader_id)
        .order_by(TASKS.c.position, STUDIO_TASKS.c.id)
    )
    return fetch_all(session, statement, StudioTaskRow)


def unsent_tasks(session: Session, round_number: int) -> list[TaskRow]:
    """Open tasks of a round that are neither on a server nor on the way there, in order of presentation."""
    statement = select(TASKS).where(*_unsent(round_number)).order_by(TASKS.c.position, TASKS.c.id)
    return fetch_all(session, statement, TaskRow)


def has_unsent_tasks(session: Session, round_number: int) -> bool:
    """Whether the round has such tasks."""
    return session.execute(select(TASKS.c.id).where(*_unsent(round_number)).limit(1)).first() is not None


def annotation_count(session: Session, project_id: int) -> int:
    """How many annotations are known of a project's live tasks."""
    statement = (
        select(func.count())
        .select_from(STUDIO_ANNOTATIONS)
        .join(STUDIO_TASKS, STUDIO_TASKS.c.id == STUDIO_ANNOTATIONS.c.studio_task_id)
        .where(STUDIO_TASKS.c.project_id == project_id, _LIVE_TASK, STUDIO_ANNOTATIONS.c.deleted_at.is_(None))
    )
    return int(session.execute(statement).scalar_one())


def annotations_of(session: Session, studio_task_ids: Iterable[int]) -> list[StudioAnnotationRow]:
    """The annotations known of these studio tasks, deleted ones too."""
    chunks = in_chunks(studio_task_ids)
    statements = (_annotations().where(STUDIO_ANNOTATIONS.c.studio_task_id.in_(ids)) for ids in chunks)
    return [row for statement in statements for row in fetch_all(session, statement, StudioAnnotationRow)]


def conflicts(session: Session, *, round_number: int | None = None) -> list[StudioAnnotationRow]:
    """Annotations on a server that cannot be read as a review, of one round's tasks or of all."""
    unreadable = (STUDIO_ANNOTATIONS.c.problem.is_not(None), STUDIO_ANNOTATIONS.c.deleted_at.is_(None), _LIVE_TASK)
    statement = _annotations().where(*unreadable)
    if round_number is not None:
        statement = statement.join(TASKS, TASKS.c.id == STUDIO_TASKS.c.task_id)
        statement = statement.where(TASKS.c.round_number == round_number)
    return fetch_all(session, statement, StudioAnnotationRow)


def _studio_tasks_in(
    session: Session, column: ColumnElement[int], ids: Iterable[int], *where: ColumnElement[bool]
) -> list[StudioTaskRow]:
    statements = (_IN_ORDER.where(column.in_(some), *where) for some in in_chunks(ids))
    return [row for statement in statements for row in fetch_all(session, statement, StudioTaskRow)]


def _unsent(round_number: int) -> tuple[ColumnElement[bool], ...]:
    sent = select(STUDIO_TASKS.c.task_id).where(_LIVE_TASK)
    return TASKS.c.round_number == round_number, TASKS.c.state == "open", TASKS.c.id.not_in(sent)


def _annotations() -> AnySelect:
    return (
        select(*columns(STUDIO_ANNOTATIONS, StudioAnnotationRow), STUDIO_TASKS.c.task_id)
        .join(STUDIO_TASKS, STUDIO_TASKS.c.id == STUDIO_ANNOTATIONS.c.studio_task_id)
        .order_by(STUDIO_ANNOTATIONS.c.id)
    )
