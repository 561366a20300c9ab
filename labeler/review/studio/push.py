"""Send open tasks to Label Studio, so that none is lost and none is there twice, whatever is interrupted.

A push is a batch of tasks that is sent once. It is stored before the request, with an id that every task carries; the
server imports all of a batch or none. A push whose answer was lost is looked for before anything is sent again.
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
from labeler.review.statistics import project_url
from labeler.review.studio.payloads import task_payloads
from labeler.review.studio.projects import (
    ProjectSpec,
    check_server,
    ensure_project,
    page_language,
    passage_slots_of,
    remote_id,
    reset_pages,
    spec_for,
)
from labeler.review.studio.reconcile import batched, reconcile, recover_push

if TYPE_CHECKING:
    from labeler.review.studio.api.client import Client

MAX_IMPORTS = 3  # of one batch in one call


@dataclass(frozen=True, slots=True)
class ProjectPushed:
    """The tasks sent to one project; a dry run knows no address."""

    title: str
    url: str | None
    tasks: int


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result of a push, or of its dry run."""

    pushed: int  # sent now
    adopted: int  # found there already: sent before, and the answer was lost
    projects: tuple[ProjectPushed, ...]
    dry_run: bool


def push(runtime: Runtime, client: Client, row: RoundRow, *, reset_page: bool = False) -> Pushed:
    """Send a round's open tasks in order of presentation, and return what was sent. Tasks that are there are not sent.

    Raises:
        ServerDown, BadKey, Refused: what was sent before stays known; the next call continues.
        PageChanged: a project's review page was changed by hand, and `reset_page` is not given.
        NotReady: the open tasks are on another server, and this one knows none of our projects.
    """
    if reset_page:
        reset_pages(runtime, client)
    with runtime.database.read() as session:
        nothing_to_send = not queries.has_unsent_tasks(session, row.number)
        if nothing_to_send and not queries.unfinished_pushes(session, url=client.url):
            check_server(runtime, client)
            return Pushed(0, 0, (), dry_run=False)
    adopted = sum(found.adopted for _, found in reconcile(runtime, client))
    sender = _Sender(runtime, client, row)
    by_spec = _unsent(runtime, row)
    projects, total = [], sum(map(len, by_spec.values()))
    with bar("push", total=total, unit="tasks") as shown:
        for spec, tasks in by_spec.items():
            project = ensure_project(runtime, client, spec, reset_page=reset_page)
            found = sender.send(project, tasks, shown)
            title = spec.title(runtime.workspace.folder.name)
            projects.append(ProjectPushed(title, project_url(project), len(tasks)))
            adopted, total = adopted + found, total - found
    return Pushed(total, adopted, tuple(projects), dry_run=False)


def plan(runtime: Runtime, row: RoundRow) -> Pushed:
    """What a push would send; no request is made."""
    name = runtime.workspace.folder.name
    listed = [ProjectPushed(spec.title(name), None, len(tasks)) for spec, tasks in _unsent(runtime, row).items()]
    return Pushed(sum(each.tasks for each in listed), 0, tuple(listed), dry_run=True)


def _unsent(runtime: Runtime, row: RoundRow) -> dict[ProjectSpec, list[TaskRow]]:
    """The tasks to send, by the spec of their project."""
    found: dict[ProjectSpec, list[TaskRow]] = {}
    passage_slots, language = passage_slots_of(row), page_language(runtime)
    with runtime.database.read() as session:
        for task in queries.unsent_tasks(session, row.number):
            found.setdefault(spec_for(task, passage_slots=passage_slots, language=language), []).append(task)
    return found


@dataclass(frozen=True, slots=True)
class _Sender:
    """Sends tasks of one round to one server."""

    runtime: Runtime
    client: Client
    row: RoundRow

    def send(self, project: StudioProjectRow, tasks: Sequence[TaskRow], shown: Bar) -> int:
        """Send the tasks in batches, and return how many were there already after a lost answer."""
        found = 0
        for batch in batched(tasks, self.runtime.config.studio.batch_size):
            found += self._send_batch(project, batch)
            shown.update(len(batch))
        return found

    def _send_batch(self, project: StudioProjectRow, tasks: Sequence[TaskRow]) -> int:
        """Send one batch, as a new push each time until one arrives; the same return value."""
        failure: ServerDown | None = None
        for _ in range(MAX_IMPORTS):
            with self.runtime.database.write() as session:
                push = store.begin_push(session, project.id, self.row.number, [task.id for task in tasks])
            try:
                self._import(project, push, tasks)
                return 0
            except ServerDown as error:
                if not error.unsure:
                    raise
                failure = error
            found = recover_push(self.runtime, self.client, project, push)
            if found:
                return found
        assert failure is not None, "the loop returns unless an import failed"
        raise failure

    def _import(self, project: StudioProjectRow, push: StudioPushRow, tasks: Sequence[TaskRow]) -> None:
        """Send a push and store the server ids of its tasks. If it certainly failed, its tasks can be sent again."""
        payloads = task_payloads(
            self.runtime,
            self.row,
            tasks,
            push_id=push.push_id,
            passage_slots=project.passage_slots,
            language=page_language(self.runtime),
        )
        try:
            ids = self.client.import_tasks(remote_id(project), list(payloads))
        except StudioError as error:
            if not (isinstance(error, ServerDown) and error.unsure):
                with self.runtime.database.write() as session:
                    store.finish_push(session, push)
            raise
        with self.runtime.database.write() as session:
            store.record_studio_tasks(session, push, zip((task.id for task in tasks), ids, strict=True))
            store.finish_push(session, push)
