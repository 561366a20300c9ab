"""Which of our tasks are on a server: brought up to date before every push and pull.

A task there is recognised by the key that it carries, never by the server's id alone: servers reuse ids of deleted
tasks.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from db import queries, store
from db.engine import Session
from db.rows import StudioProjectRow, StudioPushRow, StudioTaskRow, TaskRow
from labeler.core.errors import ServerDown
from labeler.core.progress import bar
from labeler.core.runtime import Runtime
from labeler.review.studio.payloads import task_key
from labeler.review.studio.projects import existing_projects, remote_id

if TYPE_CHECKING:
    from labeler.review.studio.api.client import Client, RemoteTask

LOST_SECONDS = 20.0  # an import whose answer was lost may still be running on the server for so long
FIRST_WAIT = 0.25  # seconds before the second look, doubled each time
DELETE_BATCH = 500  # tasks deleted in one request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Differences that were found between a project on the server and the database."""

    adopted: int  # tasks on the server whose ids were not known here
    gone: int  # tasks that people deleted there
    foreign: int  # tasks of others: left alone


def reconcile(runtime: Runtime, client: Client) -> list[tuple[StudioProjectRow, Reconciled]]:
    """Bring the stored server ids of all tasks up to date, and return the projects with what was found."""
    return [(project, reconcile_project(runtime, client, project)) for project in existing_projects(runtime, client)]


def reconcile_project(runtime: Runtime, client: Client, project: StudioProjectRow) -> Reconciled:
    """Bring the stored server ids of a project's tasks up to date, and return what was found.

    Interrupted pushes are recovered, tasks that a restored backup does not know are adopted, and deleted tasks are
    marked. Untouched duplicates and untouched withdrawn tasks are deleted on the server.
    """
    with runtime.database.read() as session:
        pushes = queries.unfinished_pushes(session, url=client.url)
    adopted = sum(recover_push(runtime, client, project, push) for push in pushes if push.project_id == project.id)
    existing = client.ids(remote_id(project))
    with runtime.database.read() as session:
        known = dict(_by_remote_id(session, project))
    gone = _mark_gone(runtime, client, project, [row for key, row in known.items() if key not in existing])
    unknown = ours = 0
    for page in client.pages_of(remote_id(project), sorted(existing - known.keys())):
        unknown += len(page)
        ours += adopt(runtime, project, page)
    delete_withdrawn(runtime, client, project)
    _delete_duplicates(runtime, client, project)
    return Reconciled(adopted=adopted + ours, gone=gone, foreign=unknown - ours)


def _by_remote_id(session: Session, project: StudioProjectRow) -> Iterator[tuple[int, StudioTaskRow]]:
    for row in queries.studio_tasks(session, project.id):
        assert row.remote_id is not None, "live tasks are those with a known id"
        yield row.remote_id, row


def recover_push(runtime: Runtime, client: Client, project: StudioProjectRow, push: StudioPushRow) -> int:
    """Store the server ids of a push whose answer was lost, and return their number; the others can be sent again.

    An import brings all tasks or none, but the server may still be running it: the tasks are looked for until
    `LOST_SECONDS` are over. If they arrive later still, they are recognised by their keys and deleted as duplicates.

    Raises ServerDown where the server does not answer; the push stays unfinished.
    """
    found = _find_push(client, project, push)
    with runtime.database.write() as session:
        tasks = tasks_by_key(session)
        ours = [(tasks[key].id, each.id) for each in found if (key := each.key) in tasks]
        placed = store.record_studio_tasks(session, push, ours)
        store.finish_push(session, push)
    return placed


def _find_push(client: Client, project: StudioProjectRow, push: StudioPushRow) -> list[RemoteTask]:
    """The tasks that a push brought to the server; empty where there are none after `LOST_SECONDS`."""
    began, wait = time.monotonic(), FIRST_WAIT
    while True:
        left = LOST_SECONDS - (time.monotonic() - began)
        try:
            found = client.find_by_push(remote_id(project), push.push_id)
        except ServerDown as error:
            if not error.unsure or left <= 0:
                raise
            found = []
        if found or left <= 0:
            return found
        time.sleep(min(wait, left))
        wait *= 2


def adopt(runtime: Runtime, project: StudioProjectRow, found: Sequence[RemoteTask]) -> int:
    """Store the server ids of those of these tasks that are ours, and return their number."""
    if not found:
        return 0
    with runtime.database.write() as session:
        tasks = tasks_by_key(session)
        ours = [(each, tasks[each.key]) for each in found if each.fault is None and each.key in tasks]
        adopted = 0
        for push_id, group in _by_push(ours).items():
            push = _push(session, project, push_id, round_number=group[0][1].round_number)
            if push is not None:
                store.record_studio_tasks(session, push, [(task.id, each.id) for each, task in group])
                adopted += len(group)
    return adopted


def _by_push(ours: Iterable[tuple[RemoteTask, TaskRow]]) -> dict[str, list[tuple[RemoteTask, TaskRow]]]:
    found: dict[str, list[tuple[RemoteTask, TaskRow]]] = {}
    for each, task in ours:
        found.setdefault(each.push_id, []).append((each, task))
    return found


def _push(session: Session, project: StudioProjectRow, push_id: str, *, round_number: int) -> StudioPushRow | None:
    """The push with this id; a new row where the database is a backup from before the push.

    None for tasks that arrived another way: copied by people from another project, or with an invalid push id.
    """
    known = queries.pushes(session, [push_id]).get(push_id)
    if known is not None:
        return known if known.project_id == project.id else None
    if not re.fullmatch("[0-9a-f]{32}", push_id):
        return None
    return store.adopt_push(session, push_id, project.id, round_number)


def tasks_by_key(session: Session) -> dict[str, TaskRow]:
    """All tasks by the key that they carry on a server."""
    uids = {row.number: row.uid for row in queries.rounds(session)}
    tasks = queries.tasks(session)
    return {task_key(uids[task.round_number], task.question_id, task.attempt): task for task in tasks}


def _mark_gone(runtime: Runtime, client: Client, project: StudioProjectRow, missing: Sequence[StudioTaskRow]) -> int:
    """Mark those of these tasks that do not exist any more, and return their number.

    None is marked where the server sends a task without a readable id: it may be any of them.
    """
    if not missing:
        return 0
    existing = {task.id for task in client.get_tasks(remote_id(project), _remote_ids(missing))}
    if 0 in existing:
        return 0
    with runtime.database.write() as session:
        return store.mark_studio_tasks_deleted(session, [row.id for row in missing if row.remote_id not in existing])


def _remote_ids(rows: Iterable[StudioTaskRow]) -> list[int]:
    return sorted(row.remote_id for row in rows if row.remote_id is not None)


def delete_withdrawn(runtime: Runtime, client: Client, project: StudioProjectRow) -> int:
    """Delete withdrawn tasks that are untouched from the server, and return their number.

    The others stay, so that a late review can arrive.
    """
    with runtime.database.read() as session:
        rows = queries.withdrawn_studio_tasks(session, project.id)
    return _delete(runtime, client, project, rows)


def _delete_duplicates(runtime: Runtime, client: Client, project: StudioProjectRow) -> int:
    """Delete untouched duplicates of tasks that a project has twice, and return their number; one of each stays."""
    with runtime.database.read() as session:
        rows = queries.repeated_studio_tasks(session, project.id)
    existing = {task.id: task for task in client.get_tasks(remote_id(project), _remote_ids(rows))}
    surplus: list[StudioTaskRow] = []
    for _, group in groupby(rows, key=lambda row: row.task_id):
        placed = [(row, existing[row.remote_id]) for row in group if row.remote_id in existing]
        untouched = [row for row, task in placed if not (task.annotations or task.drafts or task.fault)]
        surplus += untouched if len(untouched) < len(placed) else untouched[1:]
    return _delete(runtime, client, project, surplus)


def _delete(runtime: Runtime, client: Client, project: StudioProjectRow, rows: Sequence[StudioTaskRow]) -> int:
    """Delete these tasks on the server, and return the number deleted: it keeps those that were touched by now."""
    if not rows:
        return 0
    deleted = 0
    with bar("delete", total=len(rows), unit="tasks") as shown:
        for some in batched(rows, DELETE_BATCH):
            gone = client.delete_untouched(remote_id(project), _remote_ids(some))
            with runtime.database.write() as session:
                deleted += store.mark_studio_tasks_deleted(session, [row.id for row in some if row.remote_id in gone])
            shown.update(len(some))
    return deleted


def batched(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The rows in order, `size` at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
