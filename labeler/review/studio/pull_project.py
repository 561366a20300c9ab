"""Fetch what changed in one project.

Changes are found by the server's clock alone, with an overlap; deletions by comparing ids.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from db import queries, store
from db.engine import Session
from db.rows import PulledAnnotation, StudioProjectRow, StudioTaskRow, TaskRow
from labeler.core.errors import ServerDown
from labeler.core.progress import Bar
from labeler.core.runtime import Runtime
from labeler.review.statistics import project_url
from labeler.review.studio.annotations import (
    annotation_fault,
    read_annotation,
    reviewer_name,
    unreadable_annotation,
)
from labeler.review.studio.payloads import task_key
from labeler.review.studio.projects import remote_id
from labeler.review.studio.reconcile import reconcile_project
from labeler.review.studio.stored_texts import StoredTexts, stored_texts

if TYPE_CHECKING:
    from labeler.review.studio.api.client import Client, ProjectState, RemoteTask

FAILING_SECONDS = 3600.0  # after which a server that fails at tasks is given up
CHUNK = 200  # tasks requested by id together, where the server fails at a whole page

log = logging.getLogger("labeler")


@dataclass(frozen=True, slots=True)
class ProjectPull:
    """Fetches the reviews of one project."""

    runtime: Runtime
    client: Client
    project: StudioProjectRow
    users: Mapping[int, str]  # user id -> e-mail address
    shown: Bar

    def run(self, *, everything: bool) -> Counter[str]:
        """Fetch what changed, and return the counts of it.

        The newest change is asked for first: changes made meanwhile are left to the next pull. The server's clock may
        be set back, or a change be written late; so annotations are counted, and all tasks are read if some are
        missing.
        """
        newest, state = self.client.newest_change(remote_id(self.project)), self.client.project(remote_id(self.project))
        if not everything and self._unchanged(newest, state):
            return Counter()
        found = reconcile_project(self.runtime, self.client, self.project)
        counts = Counter(gone=found.gone, foreign=found.foreign)
        since = None if everything else _since(self.project.cursor, self.runtime.config.studio.overlap_seconds)
        with self.runtime.database.read() as session:
            duplicates = queries.repeated_studio_tasks(session, self.project.id)
            known_tasks = _KnownTasks(session, self.project)
        counts.update(self._read(known_tasks, since, duplicates))
        if since is not None and not found.foreign and self._known_annotations() < state.annotation_count:
            counts.update(self._read(known_tasks, None, duplicates))
        if newest is not None:
            with self.runtime.database.write() as session:
                store.set_project_cursor(session, self.project.id, newest)
        return counts

    def _unchanged(self, newest: str | None, state: ProjectState) -> bool:
        """Whether nothing happened since the last pull: same newest change, same counts, nothing left to do.

        Polling therefore costs the server nothing, however many tasks were just sent.
        """
        project = self.project
        with self.runtime.database.read() as session:
            rows = queries.studio_tasks(session, project.id)
            unfinished = queries.unfinished_pushes(session, url=project.url)
            to_delete = queries.withdrawn_studio_tasks(session, project.id)
            annotations = queries.annotation_count(session, project.id)
        without_duplicates = len({row.task_id for row in rows}) == len(rows)
        return (
            newest == project.cursor
            and (len(rows), annotations) == (state.task_count, state.annotation_count)
            and without_duplicates
            and all(push.project_id != project.id for push in unfinished)
            and not to_delete
        )

    def _known_annotations(self) -> int:
        with self.runtime.database.read() as session:
            return queries.annotation_count(session, self.project.id)

    def _read(self, known_tasks: _KnownTasks, since: str | None, duplicates: Sequence[StudioTaskRow]) -> Counter[str]:
        """Store the tasks changed after a moment (None: all); duplicates of a task are read together."""
        counts = Counter[str]()
        duplicate_ids = {row.remote_id for row in duplicates}
        for page in self._changed(since):
            counts.update(self._store(known_tasks, [task for task in page if task.id not in duplicate_ids]))
            self.shown.update(len(page))
        for _, rows in groupby(duplicates, key=lambda row: row.task_id):
            ids = [row.remote_id for row in rows if row.remote_id is not None]
            counts.update(self._store(known_tasks, self.client.get_tasks(remote_id(self.project), ids)))
        return counts

    def _changed(self, since: str | None) -> Iterator[list[RemoteTask]]:
        """The changed tasks in pages. Where the server fails at a page, all tasks are read in small chunks.

        One task that the server cannot send must not keep the others from being read.
        """
        try:
            yield from self.client.changed_since(remote_id(self.project), since)
            return
        except ServerDown as error:
            if not error.unsure:
                raise
        self.client.check()  # raises where it is really down
        ids = sorted(self.client.ids(remote_id(self.project)))
        until = time.monotonic() + FAILING_SECONDS
        for start in range(0, len(ids), CHUNK):
            yield from self._chunk(ids[start : start + CHUNK], until)

    def _chunk(self, ids: Sequence[int], until: float) -> Iterator[list[RemoteTask]]:
        """The tasks of these ids, by halving without the one at which the server fails.

        Raises ServerDown where the server still fails at the moment `until`.
        """
        try:
            yield self.client.get_tasks(remote_id(self.project), ids)
            return
        except ServerDown as error:
            if not error.unsure or time.monotonic() > until:
                raise
            if len(ids) == 1:
                url = project_url(self.project)
                log.warning("%s?task=%d cannot be read, delete its annotation there: %s", url, ids[0], error)
                return
        yield from self._chunk(ids[: len(ids) // 2], until)
        yield from self._chunk(ids[len(ids) // 2 :], until)

    def _store(self, known_tasks: _KnownTasks, page: Sequence[RemoteTask]) -> Mapping[str, int]:
        """Store the annotations of a page of tasks, and return the counts of what changed."""
        if not page:
            return {}
        rows, tasks, texts = self._rows(page)
        pulled: dict[int, list[PulledAnnotation]] = {}
        reused = []
        for remote in page:
            row = rows.get(remote.id) or known_tasks.without_id(remote)
            if row is None:
                continue  # a task of others, or one that came a moment ago: the next pull looks
            task = tasks.get(row.task_id)
            if remote.fault is not None:
                pulled[row.id] = [unreadable_annotation(0, remote.fault)]
            elif task is not None and known_tasks.is_same(remote, row, task):
                pulled[row.id] = self._annotations(remote, task, texts)
            else:
                reused.append(row.id)
        with self.runtime.database.write() as session:
            gone = store.mark_studio_tasks_deleted(session, reused)
            settled = store.record_annotations(session, pulled)
        return {**asdict(settled), "gone": gone}

    def _rows(
        self, page: Sequence[RemoteTask]
    ) -> tuple[dict[int | None, StudioTaskRow], Mapping[int, TaskRow], StoredTexts]:
        """Rows by server id, tasks by id, and the texts of those with annotations."""
        with self.runtime.database.read() as session:
            found = queries.studio_tasks(session, self.project.id, remote_ids=[task.id for task in page])
            rows = {row.remote_id: row for row in found}
            tasks = queries.tasks_by_id(session, {row.task_id for row in found})
            annotated = {rows[each.id].task_id for each in page if each.id in rows and each.annotations}
            texts = stored_texts(session, [tasks[task_id] for task_id in annotated])
        return rows, tasks, texts

    def _annotations(self, remote: RemoteTask, task: TaskRow, texts: StoredTexts) -> list[PulledAnnotation]:
        return [
            self._annotation(position, each, remote, task, texts)
            for position, each in enumerate(remote.annotations, start=1)
        ]

    def _annotation(
        self, position: int, annotation: Any, remote: RemoteTask, task: TaskRow, texts: StoredTexts
    ) -> PulledAnnotation:
        fault = annotation_fault(annotation)
        if fault is not None:
            return unreadable_annotation(position, fault)
        return read_annotation(
            annotation,
            task=task,
            data=remote.data,
            question=texts.questions[task.question_id],
            passages=texts.passages,
            reviewer=reviewer_name(annotation.get("completed_by"), self.users),
        )


class _KnownTasks:
    """Recognises a project's tasks on the server."""

    def __init__(self, session: Session, project: StudioProjectRow) -> None:
        self._uids = {row.number: row.uid for row in queries.rounds(session)}
        self._push_ids = queries.push_ids(session, project.id)
        rows = queries.studio_tasks(session, project.id)
        tasks = queries.tasks_by_id(session, {row.task_id for row in rows})
        self._rows = {self._key(tasks[row.task_id]): row for row in rows}

    def _key(self, task: TaskRow) -> str:
        return task_key(self._uids[task.round_number], task.question_id, task.attempt)

    def without_id(self, remote: RemoteTask) -> StudioTaskRow | None:
        """The row of a task of ours that the server sends without a readable id."""
        return None if remote.id else self._rows.get(remote.key)

    def is_same(self, remote: RemoteTask, row: StudioTaskRow, task: TaskRow) -> bool:
        """Whether a task on the server is the one that had this id. People may have edited one of its keys."""
        carried = remote.push_id, remote.data.get("question_id")
        return remote.key == self._key(task) or carried == (self._push_ids.get(row.push_id), task.question_id)


def _since(cursor: str | None, overlap: float) -> str | None:
    """The server's moment from which on changes are read; None: from the beginning."""
    if cursor is None:
        return None
    return (datetime.fromisoformat(cursor) - timedelta(seconds=overlap)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
