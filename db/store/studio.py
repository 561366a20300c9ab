"""Writes of what is known of Label Studio servers: projects, pushes, tasks."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import bindparam, select, update

from db.engine import Session
from db.queries import studio as studio_queries
from db.rows import StudioProjectRow, StudioPushRow, StudioTaskRow
from db.sql import in_chunks, insert_one, update_in
from db.sql.bulk import insert_all
from db.store.task import update_task_states
from db.tables import STUDIO_PROJECTS, STUDIO_PUSHES, STUDIO_TASKS, utc_now


def add_project(
    session: Session, *, url: str, blind: bool, passage_slots: int, reviewers: int, page_sha256: str
) -> StudioProjectRow:
    """Store a project that is about to be made on the server; its `uid` goes into the description there."""
    project_id = insert_one(
        session,
        STUDIO_PROJECTS,
        url=url,
        uid=secrets.token_hex(16),
        blind=blind,
        passage_slots=passage_slots,
        reviewers=reviewers,
        page_sha256=page_sha256,
    )
    return studio_queries.project(session, project_id)


def set_project_remote_id(session: Session, project_id: int, *, remote_id: int) -> None:
    """Store the server's id of a project."""
    update_in(session, STUDIO_PROJECTS.c.id, [project_id], remote_id=remote_id)


def set_project_page(session: Session, project_id: int, *, page_sha256: str) -> None:
    """Store which labeling configuration a project has now."""
    update_in(session, STUDIO_PROJECTS.c.id, [project_id], page_sha256=page_sha256)


def set_project_cursor(session: Session, project_id: int, cursor: str) -> None:
    """Store up to which moment of the server's clock a project was pulled."""
    update_in(session, STUDIO_PROJECTS.c.id, [project_id], cursor=cursor)


def set_project_url(session: Session, project_id: int, *, url: str) -> None:
    """Store that the server of a project has another URL now."""
    update_in(session, STUDIO_PROJECTS.c.id, [project_id], url=url)


def move_projects(session: Session, urls: Iterable[str], url: str) -> int:
    """Move the projects of the server that was at one of `urls` to `url`, and return how many.

    A project stays if one of the same layout is at `url` already: the next push finds out which of them exists there.
    """
    known, former = studio_queries.projects(session), set(urls) - {url}
    taken = {_layout(row) for row in known if row.url == url}
    moved = {_layout(row): row.id for row in reversed(known) if row.url in former and _layout(row) not in taken}
    for project_id in moved.values():
        set_project_url(session, project_id, url=url)
    return len(moved)


def _layout(row: StudioProjectRow) -> tuple[bool, int, int]:
    """What distinguishes the projects of one server."""
    return row.blind, row.passage_slots, row.reviewers


def mark_project_deleted(session: Session, project_id: int) -> int:
    """Mark a project as deleted on its server, and return how many studio tasks it held. Reviews stay."""
    update_in(session, STUDIO_PROJECTS.c.id, [project_id], deleted_at=utc_now())
    live = (STUDIO_TASKS.c.project_id == project_id, STUDIO_TASKS.c.deleted_at.is_(None))
    return mark_studio_tasks_deleted(session, session.execute(select(STUDIO_TASKS.c.id).where(*live)).scalars().all())


def begin_push(session: Session, project_id: int, round_number: int, task_ids: Sequence[int]) -> StudioPushRow:
    """Store a push of these tasks before anything is sent; a later run finds out what became of an unfinished one."""
    push = _add_push(session, secrets.token_hex(16), project_id, round_number, finished_at=None)
    rows = [{"task_id": task_id, "project_id": project_id, "push_id": push.id} for task_id in task_ids]
    insert_all(session, STUDIO_TASKS, rows)
    return push


def adopt_push(session: Session, push_id: str, project_id: int, round_number: int) -> StudioPushRow:
    """Store a finished push that was found on the server only: the database is a backup from before it."""
    return _add_push(session, push_id, project_id, round_number, finished_at=utc_now())


def _add_push(
    session: Session, push_id: str, project_id: int, round_number: int, *, finished_at: datetime | None
) -> StudioPushRow:
    key = insert_one(
        session,
        STUDIO_PUSHES,
        push_id=push_id,
        project_id=project_id,
        round_number=round_number,
        finished_at=finished_at,
    )
    return studio_queries.push(session, key)


def record_studio_tasks(session: Session, push: StudioPushRow, placed: Iterable[tuple[int, int]]) -> int:
    """Store the (task id, server id) pairs of a push and return how many are new; the same again changes nothing.

    A task found twice on the server gets a second row. Servers reuse ids of deleted tasks: another live row of the
    project with the same server id is marked as deleted.
    """
    pairs = list(dict.fromkeys(placed))
    rows = studio_queries.studio_tasks(session, push.project_id, remote_ids=[remote_id for _, remote_id in pairs])
    holders = {row.remote_id: row for row in rows}
    known = {(task_id, remote_id) for task_id, remote_id in pairs if _holds(holders.get(remote_id), push, task_id)}
    new = [pair for pair in pairs if pair not in known]
    mark_studio_tasks_deleted(session, [holders[remote_id].id for _, remote_id in new if remote_id in holders])
    waiting = {
        row.task_id: row.id for row in studio_queries.studio_tasks_of_push(session, push.id) if row.remote_id is None
    }
    sent, added = [], []
    for task_id, remote_id in new:
        if (key := waiting.pop(task_id, None)) is not None:
            sent.append({"key": key, "given": remote_id})
        else:
            row = {"task_id": task_id, "project_id": push.project_id, "push_id": push.id, "remote_id": remote_id}
            added.append(row)
    if sent:
        mine = STUDIO_TASKS.c.id == bindparam("key")
        session.execute(update(STUDIO_TASKS).where(mine).values(remote_id=bindparam("given")), sent)
    insert_all(session, STUDIO_TASKS, added)
    return len(new)


def _holds(row: StudioTaskRow | None, push: StudioPushRow, task_id: int) -> bool:
    return row is not None and (row.push_id, row.task_id) == (push.id, task_id)


def set_suggested_by(session: Session, studio_task_ids: Iterable[int], *, reader_id: int) -> None:
    """Store which reader made the suggestions that these studio tasks show now."""
    update_in(session, STUDIO_TASKS.c.id, studio_task_ids, suggested_by=reader_id)


def finish_push(session: Session, push: StudioPushRow) -> int:
    """Finish a push and return how many of its tasks did not arrive: these may be sent again."""
    rows = studio_queries.studio_tasks_of_push(session, push.id)
    update_in(session, STUDIO_PUSHES.c.id, [push.id], finished_at=utc_now())
    return mark_studio_tasks_deleted(session, [row.id for row in rows if row.remote_id is None])


def mark_studio_tasks_deleted(session: Session, studio_task_ids: Iterable[int]) -> int:
    """Mark live studio tasks as deleted on their server, and return how many.

    Reviews that came from them stay; their unreadable annotations are no conflict any more.
    """
    task_ids: list[int] = []
    for ids in in_chunks(studio_task_ids):
        live = (STUDIO_TASKS.c.id.in_(ids), STUDIO_TASKS.c.deleted_at.is_(None))
        deleted = update(STUDIO_TASKS).where(*live).values(deleted_at=utc_now()).returning(STUDIO_TASKS.c.task_id)
        task_ids += session.execute(deleted).scalars()
    update_task_states(session, task_ids)
    return len(task_ids)
