"""Sending open tasks to Label Studio: nothing is lost, nothing is there twice, whatever dies in between.

A push is a batch of tasks that is sent once. It is stored before the call, with an id that every task carries there;
the server takes all of a batch or none. Whose answer is lost is looked for before anything is sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from db import queries, store
from db.rows import RoundRow, StudioProjectRow, StudioPushRow, TaskRow
from labeler.core.errors import ServerDown, StudioError
from labeler.core.progress import Bar, bar
from labeler.core.runtime import Runtime
from labeler.review.studio.payloads import task_payloads
from labeler.review.studio.projects import (
    Form,
    check_not_elsewhere,
    form_for,
    made,
    places_of,
    remote,
    reset_pages,
    url_of,
)
from labeler.review.studio.reconcile import align, batched, look_for

if TYPE_CHECKING:
    from labeler.review.studio.client import Client

MOST_IMPORTS = 3  # of one task in one call


@dataclass(frozen=True, slots=True)
class ProjectPushed:
    """What was sent to one project; a dry run knows no address."""

    title: str
    url: str | None
    tasks: int


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did, or would do."""

    pushed: int  # sent now
    adopted: int  # found there already: sent before, and the answer was lost
    projects: tuple[ProjectPushed, ...]
    dry_run: bool


def push(runtime: Runtime, client: Client, row: RoundRow, *, reset_page: bool = False) -> Pushed:
    """What was sent of a round's open tasks, in order of presentation. Again, it sends only what is not there.

    Raises:
        ServerDown, BadKey, Refused: what was sent before stays known; the next call goes on.
        PageChanged: a project's page was changed by hand, and `reset_page` is not given.
        NotReady: the open tasks stand on another server, and nothing is known of them here.
    """
    if reset_page:
        reset_pages(runtime, client)
    with runtime.database.read() as session:
        idle = not queries.has_unsent_tasks(session, row.number)
        if idle and not queries.unfinished_pushes(session, url=client.url):
            check_not_elsewhere(runtime, client)
            return Pushed(0, 0, (), dry_run=False)
    adopted = sum(found.adopted for _, found in align(runtime, client))
    projects, pushed = [], 0
    forms = _unsent(runtime, row)
    with bar("push", total=sum(map(len, forms.values())), unit="tasks") as shown:
        for form, tasks in forms.items():
            project = made(runtime, client, form, reset_page=reset_page)
            found = _send(runtime, client, row, project, tasks, shown)
            projects.append(
                ProjectPushed(form.title(runtime.workspace.folder.name), url_of(client, project), len(tasks))
            )
            adopted += found
            pushed += len(tasks) - found
    return Pushed(pushed, adopted, tuple(projects), dry_run=False)


def plan(runtime: Runtime, row: RoundRow) -> Pushed:
    """What a push would send; no server is asked."""
    name = runtime.workspace.folder.name
    listed = [ProjectPushed(form.title(name), None, len(tasks)) for form, tasks in _unsent(runtime, row).items()]
    return Pushed(sum(each.tasks for each in listed), 0, tuple(listed), dry_run=True)


def _unsent(runtime: Runtime, row: RoundRow) -> dict[Form, list[TaskRow]]:
    """The tasks to send, by the project that they go into."""
    found: dict[Form, list[TaskRow]] = {}
    places = places_of(row)
    with runtime.database.read() as session:
        for task in queries.unsent_tasks(session, row.number):
            found.setdefault(form_for(task, places=places), []).append(task)
    return found


def _send(
    runtime: Runtime, client: Client, row: RoundRow, project: StudioProjectRow, tasks: Sequence[TaskRow], shown: Bar
) -> int:
    """How many of the tasks were found there after their answer was lost; the others were sent and answered for."""
    adopted = 0
    for some in batched(tasks, runtime.config.studio.batch_size):
        adopted += _deliver(runtime, client, row, project, some)
        shown.update(len(some))
    return adopted


def _deliver(
    runtime: Runtime, client: Client, row: RoundRow, project: StudioProjectRow, tasks: Sequence[TaskRow]
) -> int:
    """The same for one batch: as a new push each time, until one arrives."""
    fault: ServerDown | None = None
    for _ in range(MOST_IMPORTS):
        with runtime.database.write() as session:
            push = store.begin_push(session, project.id, row.number, [task.id for task in tasks])
        try:
            _import(runtime, client, row, project, push, tasks)
            return 0
        except ServerDown as error:
            if not error.unsure:
                raise
            fault = error
        found = look_for(runtime, client, project, push)
        if found:
            return found
    assert fault is not None, "there is no other way out of the loop"
    raise fault


def _import(
    runtime: Runtime,
    client: Client,
    row: RoundRow,
    project: StudioProjectRow,
    push: StudioPushRow,
    tasks: Sequence[TaskRow],
) -> None:
    """Sends a push and stores where its tasks stand. What surely did not arrive is free to be sent again."""
    payload = list(task_payloads(runtime, row, tasks, push_id=push.push_id, places=project.passage_slots))
    try:
        ids = client.import_tasks(remote(project), payload)
    except StudioError as error:
        if not (isinstance(error, ServerDown) and error.unsure):
            with runtime.database.write() as session:
                store.finish_push(session, push)
        raise
    with runtime.database.write() as session:
        store.record_placements(session, push, zip((task.id for task in tasks), ids, strict=True))
        store.finish_push(session, push)
