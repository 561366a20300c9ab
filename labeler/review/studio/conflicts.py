"""Conflicts: tasks that give no label because an annotation cannot be read or reviewers disagree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from db import queries
from db.engine import Session
from db.rows import TaskRow
from labeler.review.agreement import by_question
from labeler.review.statistics import project_url
from labeler.review.studio.payloads import task_key

if TYPE_CHECKING:
    from labeler.review.studio.api.client import Client


@dataclass(frozen=True, slots=True)
class Conflict:
    """A task that gives no label."""

    question_id: str
    task: str  # its key on the server
    reviewer: str
    why: str
    url: str | None  # of the task on this server; None where it is not there


def conflicts(session: Session, client: Client) -> Iterator[Conflict]:
    """The conflicts of questions that no other task of their round has settled, by round and position."""
    unreadable: dict[int, list[tuple[str, str]]] = {}
    for each in queries.conflicts(session):
        unreadable.setdefault(each.task_id, []).append((each.reviewer, each.problem or ""))
    for row in queries.rounds(session, reverted=False):
        tasks = _in_conflict(queries.tasks(session, round_number=row.number))
        if not tasks:
            continue
        reviewers: dict[int, set[str]] = {}
        for review in queries.reviews(session, round_number=row.number):
            reviewers.setdefault(review.task_id, set()).add(review.reviewer)
        urls = _urls(session, client, [task.id for task in tasks])
        for task in tasks:
            disagreement = [(", ".join(sorted(reviewers.get(task.id, ()))), "reviewers disagree")]
            for reviewer, why in unreadable.get(task.id, disagreement):
                key = task_key(row.uid, task.question_id, task.attempt)
                yield Conflict(task.question_id, key, reviewer, why, urls.get(task.id))


def _in_conflict(tasks: Sequence[TaskRow]) -> list[TaskRow]:
    """The tasks of a round that are in conflict, of questions without a task that is done."""
    settled = {key for key, attempts in by_question(tasks).items() if any(task.state == "done" for task in attempts)}
    return [task for task in tasks if task.state == "conflict" and task.question_id not in settled]


def _urls(session: Session, client: Client, task_ids: Iterable[int]) -> dict[int, str]:
    """Task id -> where people open it on this server."""
    projects = {row.id: row for row in queries.projects(session, url=client.url)}
    return {
        row.task_id: f"{project_url(projects[row.project_id])}?task={row.remote_id}"
        for row in queries.studio_tasks_of(session, task_ids)
        if row.project_id in projects
    }
