"""Which of our tasks stand on a server, and where: what both pushing and pulling see to before anything else.

A task there is known by what it carries, never by the server's id alone: ids of deleted tasks are given again.
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
from labeler.review.studio.convert import task_key
from labeler.review.studio.projects import live, remote

if TYPE_CHECKING:
    from labeler.review.studio.client import Client, RemoteTask

LOST_SECONDS = 20.0  # an import whose answer was lost may still be at work on the server for so long
FIRST_WAIT = 0.25  # seconds before the second look, doubled each time
AT_ONCE = 500  # tasks removed together

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Aligned:
    """What was found out about a project's tasks."""

    adopted: int  # places on the server that were not known here
    gone: int  # tasks that people deleted there
    foreign: int  # tasks that are none of ours: left alone


def align(runtime: Runtime, client: Client) -> list[tuple[StudioProjectRow, Aligned]]:
    """The projects that are there, and what was found out: after it the database says where each task stands.

    Interrupted pushes are looked after, tasks that a restored backup does not know are taken in, deleted ones are
    marked, second copies that nobody has touched and withdrawn tasks that nobody has touched are removed there.
    """
    return [(project, align_project(runtime, client, project)) for project in live(runtime, client)]


def align_project(runtime: Runtime, client: Client, project: StudioProjectRow) -> Aligned:
    """The same for one project that is there."""
    with runtime.database.read() as session:
        pushes = queries.unfinished_pushes(session, url=client.url)
    adopted = sum(look_for(runtime, client, project, push) for push in pushes if push.project_id == project.id)
    there = client.ids(remote(project))
    with runtime.database.read() as session:
        known = dict(_by_remote_id(session, project))
    gone = _mark_gone(runtime, client, project, [row for key, row in known.items() if key not in there])
    strays = client.get_tasks(remote(project), sorted(there - known.keys()))
    taken = take_in(runtime, project, strays)
    remove_withdrawn(runtime, client, project)
    _remove_copies(runtime, client, project)
    return Aligned(adopted=adopted + taken, gone=gone, foreign=len(strays) - taken)


def _by_remote_id(session: Session, project: StudioProjectRow) -> Iterator[tuple[int, StudioTaskRow]]:
    for row in queries.live_tasks(session, project.id):
        assert row.remote_id is not None, "live tasks are those with a known id"
        yield row.remote_id, row


def look_for(runtime: Runtime, client: Client, project: StudioProjectRow, push: StudioPushRow) -> int:
    """How many tasks of a push whose answer was lost are on the server; the others are free to be sent again.

    All came in or none, but the server may still be at it: it is looked for until `LOST_SECONDS` are over. Should they
    come later still, they are known by what they carry, and removed as second copies.

    Raises ServerDown where the server does not answer; the push stays unfinished.
    """
    found = _found(client, project, push)
    with runtime.database.write() as session:
        tasks = tasks_by_key(session)
        ours = [(tasks[key].id, each.id) for each in found if (key := each.data.get("task")) in tasks]
        placed = store.record_placements(session, push, ours)
        store.finish_push(session, push)
    return placed


def _found(client: Client, project: StudioProjectRow, push: StudioPushRow) -> list[RemoteTask]:
    """What a push brought to the server, as soon as it is there."""
    began, wait = time.monotonic(), FIRST_WAIT
    while True:
        left = LOST_SECONDS - (time.monotonic() - began)
        try:
            found = client.find_by_push(remote(project), push.push_id)
        except ServerDown as error:
            if not error.unsure or left <= 0:
                raise
            found = []
        if found or left <= 0:
            return found
        time.sleep(min(wait, left))
        wait *= 2


def take_in(runtime: Runtime, project: StudioProjectRow, found: Sequence[RemoteTask]) -> int:
    """How many of these tasks are ours; where they stand is stored. The others are people's own, and left alone."""
    if not found:
        return 0
    with runtime.database.write() as session:
        tasks = tasks_by_key(session)
        ours = [(each, tasks[each.data["task"]]) for each in found if each.data.get("task") in tasks]
        taken = 0
        for push_id, listed in _by_push(ours).items():
            push = _push(session, project, push_id, listed)
            if push is not None:
                store.record_placements(session, push, [(task.id, each.id) for each, task in listed])
                taken += len(listed)
    return taken


def _by_push(ours: Iterable[tuple[RemoteTask, TaskRow]]) -> dict[str, list[tuple[RemoteTask, TaskRow]]]:
    found: dict[str, list[tuple[RemoteTask, TaskRow]]] = {}
    for each, task in ours:
        found.setdefault(str(each.data.get("push_id")), []).append((each, task))
    return found


def _push(
    session: Session, project: StudioProjectRow, push_id: str, listed: Sequence[tuple[RemoteTask, TaskRow]]
) -> StudioPushRow | None:
    """The push that brought these tasks; known from them alone where the database is a backup from before it.

    None for what came here another way: copied by people from another project, or with a push id that is none.
    """
    known = queries.pushes(session, [push_id]).get(push_id)
    if known is not None:
        return known if known.project_id == project.id else None
    if not re.fullmatch("[0-9a-f]{32}", push_id):
        return None
    return store.adopt_push(session, push_id, project.id, listed[0][1].round_number)


def tasks_by_key(session: Session) -> dict[str, TaskRow]:
    """All tasks by the key that they carry on a server."""
    uids = {row.number: row.uid for row in queries.rounds(session)}
    tasks = queries.tasks(session)
    return {task_key(uids[task.round_number], task.question_id, task.attempt): task for task in tasks}


def _mark_gone(runtime: Runtime, client: Client, project: StudioProjectRow, missing: Sequence[StudioTaskRow]) -> int:
    """How many of these tasks are really not there any more; they are marked so."""
    if not missing:
        return 0
    there = {task.id for task in client.get_tasks(remote(project), _remote_ids(missing))}
    with runtime.database.write() as session:
        return store.mark_tasks_deleted(session, [row.id for row in missing if row.remote_id not in there])


def _remote_ids(rows: Iterable[StudioTaskRow]) -> list[int]:
    return sorted(row.remote_id for row in rows if row.remote_id is not None)


def remove_withdrawn(runtime: Runtime, client: Client, project: StudioProjectRow) -> int:
    """How many tasks that nobody is to answer any more were removed from the server: those nobody has touched.

    The others stay, so that a late review can come.
    """
    with runtime.database.read() as session:
        rows = queries.withdrawn_tasks(session, project.id)
    return _remove(runtime, client, project, rows)


def _remove_copies(runtime: Runtime, client: Client, project: StudioProjectRow) -> int:
    """How many copies of tasks that stand in a project twice were removed: those nobody has touched, one is left."""
    with runtime.database.read() as session:
        rows = queries.repeated_placements(session, project.id)
    there = {task.id: task for task in client.get_tasks(remote(project), _remote_ids(rows))}
    surplus: list[StudioTaskRow] = []
    for _, listed in groupby(rows, key=lambda row: row.task_id):
        placed = [(row, there[row.remote_id]) for row in listed if row.remote_id in there]
        idle = [row for row, task in placed if not task.annotations and not task.drafts]
        surplus += idle if len(idle) < len(placed) else idle[1:]
    return _remove(runtime, client, project, surplus)


def _remove(runtime: Runtime, client: Client, project: StudioProjectRow, rows: Sequence[StudioTaskRow]) -> int:
    """How many of these tasks the server removed: it leaves those that somebody touched by now."""
    if not rows:
        return 0
    removed = 0
    with bar("remove", total=len(rows), unit="tasks") as shown:
        for some in batched(rows, AT_ONCE):
            gone = client.delete_untouched(remote(project), _remote_ids(some))
            with runtime.database.write() as session:
                removed += store.mark_tasks_deleted(session, [row.id for row in some if row.remote_id in gone])
            shown.update(len(some))
    return removed


def batched(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The rows in order, `size` at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
