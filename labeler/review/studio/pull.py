"""Fetching what people did in Label Studio: after a pull the database says of each task what the server says of it.

What changed is asked for by the server's own clock, with an overlap; ours is never looked at. What was deleted there
is found by comparing ids.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from db import queries, store
from db.engine import Session
from db.rows import PulledAnnotation, RoundRow, StudioProjectRow, StudioTaskRow, TaskRow
from labeler.core.errors import ServerDown
from labeler.core.progress import Bar, bar
from labeler.core.runtime import Runtime
from labeler.review.follow_up import resolve
from labeler.review.studio.conflicts import Conflict, conflicts
from labeler.review.studio.convert import read_annotation, reviewer_name, task_key
from labeler.review.studio.projects import check_not_elsewhere, live, remote, url_of
from labeler.review.studio.push import Pushed, push
from labeler.review.studio.reconcile import align_project, remove_withdrawn

if TYPE_CHECKING:
    from labeler.review.studio.client import Client, ProjectState, RemoteTask

PIECE = 200  # tasks asked for by their ids together, where the server fails at a whole page

log = logging.getLogger("labeler")


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull changed here, and what is left."""

    reviews: int  # new or edited, of every verdict
    labels: int  # of these: an answer, or that there is none; the round's labelling makes labels of them
    skipped: int  # of these
    deleted: int  # reviews taken back there
    conflicts: tuple[Conflict, ...]  # all that stand
    gone: int  # tasks deleted there by people: their reviews stay, open ones are sent again
    foreign: int  # tasks there that are none of ours
    open: int  # tasks that still wait for people

    def then(self, later: Pulled) -> Pulled:
        """This pull and a later one together: what changed is added up, what stands is as it stands then."""
        return Pulled(
            reviews=self.reviews + later.reviews,
            labels=self.labels + later.labels,
            skipped=self.skipped + later.skipped,
            deleted=self.deleted + later.deleted,
            conflicts=later.conflicts,
            gone=self.gone + later.gone,
            foreign=later.foreign,
            open=later.open,
        )

    @property
    def changed(self) -> bool:
        """Whether anything came in."""
        return bool(self.reviews or self.deleted or self.gone)


def pull(runtime: Runtime, client: Client, *, everything: bool = False) -> Pulled:
    """What people did since the last pull; `everything`: of all tasks, whatever the server's clock says of when.

    The same again changes nothing.

    Raises:
        ServerDown, BadKey: what was read before is kept; the next call goes on.
        NotReady: the open tasks stand on another server, and nothing is known of them here.
    """
    counts: Counter[str] = Counter()
    projects = live(runtime, client)
    check_not_elsewhere(runtime, client)
    users = client.users() if projects else {}
    with bar("pull", total=0, unit="tasks") as shown:
        for project in projects:
            counts.update(_pull(runtime, client, project, users, shown, everything=everything))
    with runtime.database.read() as session:
        waiting = len(queries.tasks(session, states=["open"]))
        status = tuple(conflicts(session, client))
    return Pulled(
        reviews=counts["new"] + counts["edited"],
        labels=counts["labels"],
        skipped=counts["skipped"],
        deleted=counts["deleted"],
        conflicts=status,
        gone=counts["gone"],
        foreign=counts["foreign"],
        open=waiting,
    )


def sync(runtime: Runtime, client: Client, row: RoundRow) -> tuple[Pulled, Pushed]:
    """What was fetched and what was sent: pulls, has asked again what makes no label, pushes what is not there."""
    pulled = pull(runtime, client)
    resolve(runtime, row.number)
    pushed = push(runtime, client, row)
    return standing_now(runtime, client, pulled), pushed


def standing_now(runtime: Runtime, client: Client, pulled: Pulled) -> Pulled:
    """The same with the conflicts and open tasks as they stand after `resolve`."""
    with runtime.database.read() as session:
        waiting = len(queries.tasks(session, states=["open"]))
        return replace(pulled, conflicts=tuple(conflicts(session, client)), open=waiting)


def withdraw(runtime: Runtime, client: Client, row: RoundRow) -> int:
    """How many open tasks of a round were given up: pulls first, then removes from the server what nobody touched.

    Tasks that somebody began stay there, so that a late review can come. The database goes first: a call that is
    interrupted in between is finished by the next pull or push.
    """
    pull(runtime, client, everything=True)
    with runtime.database.write() as session:
        count = store.withdraw_tasks(session, row.number)
    for project in live(runtime, client):
        remove_withdrawn(runtime, client, project)
    return count


# --- one project ---------------------------------------------------------------------------------


def _pull(
    runtime: Runtime,
    client: Client,
    project: StudioProjectRow,
    users: Mapping[int, str],
    shown: Bar,
    *,
    everything: bool,
) -> Counter[str]:
    """What changed in a project. Up to when is asked first: what happens meanwhile is left to the next pull.

    The server's clock may be set back, or a change be written late. So what is known is counted against what is there,
    and everything is read where something is missing.
    """
    newest, state = client.newest_change(remote(project)), client.project(remote(project))
    if not everything and _is_quiet(runtime, project, newest, state):
        return Counter()
    aligned = align_project(runtime, client, project)
    counts = Counter(gone=aligned.gone, foreign=aligned.foreign)
    since = None if everything else _since(project.cursor, runtime.config.studio.overlap_seconds)
    with runtime.database.read() as session:
        copies = queries.repeated_placements(session, project.id)
        reading = _Reading(session, project, users)
    counts.update(_read(runtime, client, reading, since, copies, shown))
    if since is not None and not aligned.foreign and _known(runtime, project) < state.annotation_count:
        counts.update(_read(runtime, client, reading, None, copies, shown))
    if newest is not None:
        with runtime.database.write() as session:
            store.set_project_cursor(session, project.id, newest)
    return counts


def _is_quiet(runtime: Runtime, project: StudioProjectRow, newest: str | None, state: ProjectState) -> bool:
    """Whether nothing happened since the last pull: the same newest change, and all that is known is what is there.

    So looking again and again costs the server nothing, however many tasks were just sent.
    """
    with runtime.database.read() as session:
        places = queries.live_tasks(session, project.id)
        begun = [push for push in queries.unfinished_pushes(session, url=project.url) if push.project_id == project.id]
        to_remove = queries.withdrawn_tasks(session, project.id)
        known = queries.annotation_count(session, project.id)
    once = len({row.task_id for row in places}) == len(places)
    return (
        newest == project.cursor
        and (len(places), known) == (state.task_count, state.annotation_count)
        and once
        and not begun
        and not to_remove
    )


def _read(
    runtime: Runtime, client: Client, reading: _Reading, since: str | None, copies: Sequence[StudioTaskRow], shown: Bar
) -> Counter[str]:
    """What changed by reading the tasks changed after a moment (None: all), and those that stand there twice."""
    project, counts = reading.project, Counter[str]()
    double = {row.remote_id for row in copies}
    for page in _changed(client, project, since):
        counts.update(_settle(runtime, reading, [task for task in page if task.id not in double]))
        shown.update(len(page))
    for some in _together(copies):
        counts.update(_settle(runtime, reading, client.get_tasks(remote(project), some)))
    return counts


def _known(runtime: Runtime, project: StudioProjectRow) -> int:
    """How many annotations of a project the database knows."""
    with runtime.database.read() as session:
        return queries.annotation_count(session, project.id)


def _since(cursor: str | None, overlap: float) -> str | None:
    """The server's moment from which on changes are read; None: from the beginning."""
    if cursor is None:
        return None
    return (datetime.fromisoformat(cursor) - timedelta(seconds=overlap)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _together(copies: Sequence[StudioTaskRow]) -> Iterator[list[int]]:
    """The server ids of each task that stands there more than once: its annotations are weighed together."""
    for _, rows in groupby(copies, key=lambda row: row.task_id):
        yield [row.remote_id for row in rows if row.remote_id is not None]


def _changed(client: Client, project: StudioProjectRow, since: str | None) -> Iterator[list[RemoteTask]]:
    """The changed tasks in pages. Where the server lives and still fails at one, all tasks are read in small pieces:
    one that holds what the server cannot send must not keep the others from being read."""
    try:
        yield from client.changed_since(remote(project), since)
        return
    except ServerDown as error:
        if not error.unsure:
            raise
    client.check()  # raises where it is really down
    ids = sorted(client.ids(remote(project)))
    for start in range(0, len(ids), PIECE):
        yield from _piece(client, project, ids[start : start + PIECE])


def _piece(client: Client, project: StudioProjectRow, ids: Sequence[int]) -> Iterator[list[RemoteTask]]:
    try:
        yield client.get_tasks(remote(project), ids)
        return
    except ServerDown as error:
        if not error.unsure:
            raise
        if len(ids) == 1:
            log.warning(
                "%s?task=%d cannot be read, delete its annotation there: %s", url_of(client, project), ids[0], error
            )
            return
    yield from _piece(client, project, ids[: len(ids) // 2])
    yield from _piece(client, project, ids[len(ids) // 2 :])


class _Reading:
    """What is needed to know a project's tasks again and to name their reviewers."""

    def __init__(self, session: Session, project: StudioProjectRow, users: Mapping[int, str]) -> None:
        self.project = project
        self.users = users
        self._uids = {row.number: row.uid for row in queries.rounds(session)}
        self._push_ids = queries.push_ids(session, project.id)

    def knows(self, task: RemoteTask, row: StudioTaskRow, ours: TaskRow) -> bool:
        """Whether a task on the server is the one that had this id; people may have edited a thing that it carries."""
        carried = task.data.get("push_id"), task.data.get("question_id")
        key = task_key(self._uids[ours.round_number], ours.question_id, ours.attempt)
        return task.data.get("task") == key or carried == (self._push_ids.get(row.push_id), ours.question_id)

    def annotations(self, task: RemoteTask, ours: TaskRow, passages: Mapping[str, str]) -> list[PulledAnnotation]:
        return [
            read_annotation(
                each,
                task=ours,
                data=task.data,
                passages=passages,
                reviewer=reviewer_name(each.get("completed_by"), self.users),
            )
            for each in task.annotations
        ]


def _settle(runtime: Runtime, reading: _Reading, page: Sequence[RemoteTask]) -> Mapping[str, int]:
    """What bringing a page of tasks into the database changed."""
    if not page:
        return {}
    with runtime.database.read() as session:
        rows = queries.live_tasks(session, reading.project.id, remote_ids=[task.id for task in page])
        placed = {row.remote_id: row for row in rows}
        ours = queries.tasks_by_id(session, {row.task_id for row in rows})
        said = {ours[placed[task.id].task_id].id for task in page if task.id in placed and task.annotations}
        needed = queries.passages(session, {key for task_id in said for key in ours[task_id].passages})
    texts = {key: passage.text for key, passage in needed.items()}
    pulled: dict[int, list[PulledAnnotation]] = {}
    strangers = []
    for task in page:
        row = placed.get(task.id)
        if row is None:
            continue  # people's own, or it came a moment ago: the next pull looks
        if reading.knows(task, row, ours[row.task_id]):
            pulled[row.id] = reading.annotations(task, ours[row.task_id], texts)
        else:
            strangers.append(row.id)  # the id was given again
    with runtime.database.write() as session:
        gone = store.mark_tasks_deleted(session, strangers)
        settled = store.record_annotations(session, pulled)
    return {**asdict(settled), "gone": gone}
