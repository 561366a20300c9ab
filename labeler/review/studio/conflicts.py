"""Which tasks make no label, and why: what people are told after a pull."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from db import queries
from db.engine import Session
from labeler.review.agreement import by_question
from labeler.review.studio.convert import task_key
from labeler.review.studio.projects import url_of

if TYPE_CHECKING:
    from labeler.review.studio.client import Client


@dataclass(frozen=True, slots=True)
class Conflict:
    """A task whose reviews make no label: an annotation cannot be read, or people disagree."""

    question_id: str
    task: str  # its key on the server
    reviewer: str
    why: str
    url: str | None  # of the task there; None where it stands on no server


def conflicts(session: Session, client: Client) -> Iterator[Conflict]:
    """Tasks that are in conflict, of questions that no other task has settled, by round and position."""
    uids = {row.number: row.uid for row in queries.rounds(session, reverted=False)}
    unreadable: dict[int, list[tuple[str, str]]] = {}
    for each in queries.conflicts(session):
        unreadable.setdefault(each.task_id, []).append((each.reviewer, each.problem or ""))
    for number, uid in uids.items():
        tasks = queries.tasks(session, round_number=number)
        settled = {key for key, listed in by_question(tasks).items() if any(task.state == "done" for task in listed)}
        status = [task for task in tasks if task.state == "conflict" and task.question_id not in settled]
        if not status:
            continue
        said: dict[int, set[str]] = {}
        for review in queries.reviews(session, round_number=number):
            said.setdefault(review.task_id, set()).add(review.reviewer)
        urls = _urls(session, client, [task.id for task in status])
        for task in status:
            disagree = [(", ".join(sorted(said.get(task.id, ()))), "people disagree")]
            for reviewer, why in unreadable.get(task.id, disagree):
                key = task_key(uid, task.question_id, task.attempt)
                yield Conflict(task.question_id, key, reviewer, why, urls.get(task.id))


def _urls(session: Session, client: Client, task_ids: Iterable[int]) -> dict[int, str]:
    """Task id -> where people open it on this server."""
    projects = {row.id: row for row in queries.projects(session, url=client.url)}
    return {
        row.task_id: f"{url_of(client, projects[row.project_id])}?task={row.remote_id}"
        for row in queries.placements(session, task_ids)
        if row.project_id in projects
    }
