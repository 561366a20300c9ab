"""Renew the suggestions of open tasks on a server once another reader is current."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from db import queries, store
from db.rows import StudioTaskRow, TaskRow
from labeler.core.runtime import Runtime
from labeler.review.studio.payloads import MODEL_VERSION, suggestion, task_key
from labeler.review.studio.projects import remote_id
from labeler.review.studio.reconcile import batched

if TYPE_CHECKING:
    from labeler.review.studio.api.live import LiveClient
    from labeler.serving.suggestions import Suggester

BATCH = 32  # tasks that are read, sent and stored as renewed together
BATCH_SECONDS = 600.0  # for reading them


def is_needed(runtime: Runtime, url: str) -> bool:
    """Whether a suggestion on the server at `url` is that of another reader than the current one."""
    with runtime.database.read() as session:
        reader = queries.best_model(session)
        return reader is not None and bool(queries.outdated_suggestions(session, url=url, reader_id=reader.id))


def renew(
    runtime: Runtime, client: LiveClient, suggester: Suggester, *, stopped: Callable[[], bool] = lambda: False
) -> int:
    """Replace the outdated suggestions on the server, the next tasks first, and return their number.

    Blind tasks and judgements are never touched. Interrupted, the next call continues.

    Raises: NotReady without a reader; the errors of the client.
    """
    reader, renewed = suggester.current(), 0
    with runtime.database.read() as session:
        rows = queries.outdated_suggestions(session, url=client.url, reader_id=reader.id)
    for some in batched(rows, BATCH):
        if stopped():
            break
        with runtime.database.read() as session:
            tasks = queries.tasks_by_id(session, {row.task_id for row in some})
        answers = suggester.answers(list(tasks.values()), until=time.monotonic() + BATCH_SECONDS)
        done = [row for row in some if row.task_id in answers]
        shown = {key: suggestion(task, answers[key]) for key, task in tasks.items() if key in answers}
        renewed += _send(runtime, client, done, tasks, shown)
        with runtime.database.write() as session:
            store.set_suggested_by(session, [row.id for row in done], reader_id=reader.id)
    return renewed


def renew_alone(runtime: Runtime, client: LiveClient) -> int:
    """As `renew`, for a command that needs the reader for nothing else."""
    from labeler.serving.suggestions import Suggester

    suggester = Suggester(runtime)
    try:
        return renew(runtime, client, suggester)
    finally:
        suggester.close()


def _send(
    runtime: Runtime,
    client: LiveClient,
    rows: Sequence[StudioTaskRow],
    tasks: Mapping[int, TaskRow],
    shown: Mapping[int, Mapping[str, Any] | None],
) -> int:
    """Set the predictions of tasks on the server, and return how many of the tasks are there still."""
    sent = 0
    for project_id, group in groupby(sorted(rows, key=lambda row: row.project_id), key=lambda row: row.project_id):
        for row in _there(runtime, client, project_id, list(group), tasks):
            assert row.remote_id is not None, "outdated suggestions are of tasks with a known id"
            _set_prediction(client, row.remote_id, shown[row.task_id])
            sent += 1
    return sent


def _there(
    runtime: Runtime,
    client: LiveClient,
    project_id: int,
    rows: Sequence[StudioTaskRow],
    tasks: Mapping[int, TaskRow],
) -> list[StudioTaskRow]:
    """Those of these tasks that are on the server under their ids: servers reuse the ids of deleted tasks."""
    with runtime.database.read() as session:
        project = queries.project(session, project_id)
        uids = {row.number: row.uid for row in queries.rounds(session)}
    found = client.get_tasks(remote_id(project), [row.remote_id for row in rows if row.remote_id is not None])
    keys = {each.id: each.key for each in found}

    def key(task: TaskRow) -> str:
        return task_key(uids[task.round_number], task.question_id, task.attempt)

    return [row for row in rows if keys.get(row.remote_id or 0) == key(tasks[row.task_id])]


def _set_prediction(client: LiveClient, task_id: int, prediction: Mapping[str, Any] | None) -> None:
    """Let a task have this prediction alone, or none."""
    existing = client.predictions(task_id, model_version=MODEL_VERSION)
    kept = existing[:1] if prediction is not None else []
    for number in existing[len(kept) :]:
        client.delete_prediction(number)
    if prediction is None:
        return
    if kept:
        client.set_prediction(kept[0], prediction)
    else:
        client.add_prediction(task_id, prediction)
