"""Writes of the Label Studio ledger: projects, pushes, tasks on the server. Annotations: see `settling`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from db.models import StudioProject, StudioPush, StudioTask, utc_now
from db.queries import studio as studio_queries
from db.rows import StudioProjectRow, StudioPushRow, StudioTaskRow
from db.sql import in_chunks, table
from db.store.review import update_task_states


def add_project(
    session: Session, *, url: str, blind: bool, passage_slots: int, reviewers: int, page_sha256: str
) -> StudioProjectRow:
    """A project that is about to be made on the server; its `uid` goes into the description there."""
    values = {
        "url": url,
        "uid": secrets.token_hex(16),
        "blind": blind,
        "passage_slots": passage_slots,
        "reviewers": reviewers,
        "page_sha256": page_sha256,
    }
    statement = insert(table(StudioProject)).values(values).returning(StudioProject.id)
    return studio_queries.project(session, session.execute(statement).scalar_one())


def set_project_remote_id(session: Session, project_id: int, *, remote_id: int) -> None:
    """Stores the server's id of a project."""
    _update_project(session, project_id, remote_id=remote_id)


def set_project_page(session: Session, project_id: int, *, page_sha256: str) -> None:
    """Stores which page configuration a project has now."""
    _update_project(session, project_id, page_sha256=page_sha256)


def set_project_cursor(session: Session, project_id: int, cursor: str) -> None:
    """Stores up to which moment of the server's clock a project was pulled."""
    _update_project(session, project_id, cursor=cursor)


def set_project_url(session: Session, project_id: int, *, url: str) -> None:
    """Stores that the server of a project answers at another address now."""
    _update_project(session, project_id, url=url)


def move_projects(session: Session, urls: Iterable[str], url: str) -> int:
    """How many projects were moved to `url`: the server that was at one of `urls` is there now.

    One whose place there is taken, by a project of a server that was at `url` before, stays: whoever asks the server
    finds out which of the two it has.
    """
    known, former = studio_queries.projects(session), set(urls) - {url}
    taken = {_place(row) for row in known if row.url == url}
    moved = {_place(row): row.id for row in reversed(known) if row.url in former and _place(row) not in taken}
    for project_id in moved.values():
        set_project_url(session, project_id, url=url)
    return len(moved)


def _place(row: StudioProjectRow) -> tuple[bool, int, int]:
    """What a server has one project of ours for."""
    return row.blind, row.passage_slots, row.reviewers


def mark_project_deleted(session: Session, project_id: int) -> int:
    """How many tasks stand nowhere now, for their project was deleted on the server; what was reviewed stays."""
    _update_project(session, project_id, deleted_at=utc_now())
    live = (StudioTask.project_id == project_id, StudioTask.deleted_at.is_(None))
    ids = session.execute(select(StudioTask.id).where(*live)).scalars().all()
    return mark_tasks_deleted(session, ids)


def _update_project(session: Session, project_id: int, **values: Any) -> None:
    session.execute(update(table(StudioProject)).where(StudioProject.id == project_id).values(**values))


def begin_push(session: Session, project_id: int, round_number: int, task_ids: Sequence[int]) -> StudioPushRow:
    """A new push of these tasks, before anything is sent; whoever finds it unfinished looks what became of it."""
    push = _add_push(session, secrets.token_hex(16), project_id, round_number, finished_at=None)
    session.execute(
        insert(table(StudioTask)),
        [{"task_id": task_id, "project_id": project_id, "push_id": push.id} for task_id in task_ids],
    )
    return push


def adopt_push(session: Session, push_id: str, project_id: int, round_number: int) -> StudioPushRow:
    """A finished push known from the server alone: the database is a backup from before it."""
    return _add_push(session, push_id, project_id, round_number, finished_at=utc_now())


def _add_push(
    session: Session, push_id: str, project_id: int, round_number: int, *, finished_at: datetime | None
) -> StudioPushRow:
    values = {
        "push_id": push_id,
        "project_id": project_id,
        "round_number": round_number,
        "finished_at": finished_at,
    }
    statement = insert(table(StudioPush)).values(values).returning(StudioPush.id)
    return studio_queries.push(session, session.execute(statement).scalar_one())


def record_placements(session: Session, push: StudioPushRow, placed: Iterable[tuple[int, int]]) -> int:
    """How many places of a push's tasks are new of the (task, server id) pairs given; the same again changes nothing.

    A task found twice gets a second row. The server gives ids of deleted tasks again: another live row of the project
    with such an id stands for a task that is gone there, and is marked so.
    """
    pairs = list(dict.fromkeys(placed))
    rows = studio_queries.live_tasks(session, push.project_id, remote_ids=[remote_id for _, remote_id in pairs])
    holders = {row.remote_id: row for row in rows}
    known = [(task_id, remote_id) for task_id, remote_id in pairs if _holds(holders.get(remote_id), push, task_id)]
    new = [pair for pair in pairs if pair not in set(known)]
    mark_tasks_deleted(session, [holders[remote_id].id for _, remote_id in new if remote_id in holders])
    waiting = {row.task_id: row.id for row in studio_queries.tasks_of_push(session, push.id) if row.remote_id is None}
    filled, added = [], []
    for task_id, remote_id in new:
        if (key := waiting.pop(task_id, None)) is not None:
            filled.append({"key": key, "given": remote_id})
        else:
            place = {"task_id": task_id, "project_id": push.project_id, "push_id": push.id, "remote_id": remote_id}
            added.append(place)
    if filled:
        given = update(table(StudioTask)).where(StudioTask.id == bindparam("key")).values(remote_id=bindparam("given"))
        session.execute(given, filled)
    if added:
        session.execute(insert(table(StudioTask)), added)
    return len(new)


def _holds(row: StudioTaskRow | None, push: StudioPushRow, task_id: int) -> bool:
    return row is not None and (row.push_id, row.task_id) == (push.id, task_id)


def finish_push(session: Session, push: StudioPushRow) -> int:
    """How many tasks of a push do not stand on the server after all: they are free to be sent again."""
    rows = studio_queries.tasks_of_push(session, push.id)
    session.execute(update(table(StudioPush)).where(StudioPush.id == push.id).values(finished_at=utc_now()))
    return mark_tasks_deleted(session, [row.id for row in rows if row.remote_id is None])


def mark_tasks_deleted(session: Session, studio_task_ids: Iterable[int]) -> int:
    """How many rows were marked as gone from the server. Reviews that came from them stay; what could not be read of
    them bothers nobody any more."""
    task_ids: list[int] = []
    for ids in in_chunks(studio_task_ids):
        live = (StudioTask.id.in_(ids), StudioTask.deleted_at.is_(None))
        gone = update(table(StudioTask)).where(*live).values(deleted_at=utc_now()).returning(StudioTask.task_id)
        task_ids += session.execute(gone).scalars()
    update_task_states(session, task_ids)
    return len(task_ids)
