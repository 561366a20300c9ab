"""A Label Studio in memory, for rounds: server and client (`labeler.review.studio.api.client`) in one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from labeler.core.errors import ServerDown
from labeler.review.studio.api.client import ProjectState, RemoteTask
from labeler.review.studio.labeling_config import ANSWER_LABEL, VERDICT, labels_name, text_name


@dataclass
class FakeStudio:
    """The server and the client in one. People act by `answer`, `skip`, `edit` and `take_back`."""

    url: str = "http://studio.test"
    down: bool = False
    people: int = 2
    projects: dict[int, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[int, dict[int, RemoteTask]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)
        self._seconds = itertools.count()

    # --- what the client asks ---------------------------------------------------------------------

    def check(self) -> str:
        self._up()
        return "1.23.2"

    def users(self) -> dict[int, str]:
        self._up()
        return {number: f"p{number}@test" for number in range(1, self.people + 1)}

    def find_project(self, uid: str) -> int | None:
        self._up()
        return next((key for key, each in self.projects.items() if uid in each["description"]), None)

    def make_project(self, title: str, uid: str, label_config: str, **more: Any) -> int:
        self._up()
        key = next(self._ids)
        self.projects[key] = {
            "title": title,
            "description": uid,
            "label_config": label_config,
            "model_version": "",
        } | more
        self.tasks[key] = {}
        return key

    def project(self, remote_id: int) -> ProjectState:
        self._up()
        found = self.projects[remote_id]
        return ProjectState(
            remote_id,
            found["description"],
            found["label_config"],
            found["model_version"],
            len(self.tasks[remote_id]),
            sum(len(task.annotations) for task in self.tasks[remote_id].values()),
        )

    def set_label_config(self, remote_id: int, label_config: str) -> None:
        self.projects[remote_id]["label_config"] = label_config

    def import_tasks(self, remote_id: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        self._up()
        made = [RemoteTask(next(self._ids), self._now(), task["data"]) for task in tasks]
        self.tasks[remote_id] |= {task.id: task for task in made}
        return [task.id for task in made]

    def find_by_push(self, remote_id: int, push_id: str) -> list[RemoteTask]:
        self._up()
        return [task for task in self.tasks[remote_id].values() if task.data["push_id"] == push_id]

    def newest_change(self, remote_id: int) -> str | None:
        self._up()
        return max((task.updated_at for task in self.tasks[remote_id].values()), default=None)

    def changed_since(self, remote_id: int, cursor: str | None) -> Iterator[list[RemoteTask]]:
        self._up()
        yield [task for task in self.tasks[remote_id].values() if cursor is None or task.updated_at > cursor]

    def ids(self, remote_id: int) -> set[int]:
        self._up()
        return set(self.tasks[remote_id])

    def get_tasks(self, remote_id: int, ids: Sequence[int]) -> list[RemoteTask]:
        self._up()
        return [self.tasks[remote_id][key] for key in sorted(ids) if key in self.tasks[remote_id]]

    def pages_of(self, remote_id: int, ids: Sequence[int]) -> Iterator[list[RemoteTask]]:
        yield self.get_tasks(remote_id, ids)

    def delete_untouched(self, remote_id: int, ids: Sequence[int]) -> set[int]:
        self._up()
        for key in ids:
            if key in self.tasks[remote_id] and not self.tasks[remote_id][key].annotations:
                del self.tasks[remote_id][key]
        return {key for key in ids if key not in self.tasks[remote_id]}

    # --- what people do ---------------------------------------------------------------------------

    def open(self, person: int | None = None) -> list[tuple[int, RemoteTask]]:
        """(project, task) of what this person, or anybody, has not answered yet, in the order that it was sent."""
        return [
            (project, task)
            for project, tasks in self.tasks.items()
            for task in tasks.values()
            if not any(person in (None, each["completed_by"]) for each in task.annotations)
        ]

    def answer(self, where: tuple[int, RemoteTask], verdict: str, marked: str = "", *, person: int = 1) -> int:
        """The id of a new annotation. `marked`: the first place where these words stand on the page."""
        project, task = where
        key = next(self._ids)
        made: dict[str, Any] = {"id": key, "completed_by": person, "lead_time": 12.5, "was_cancelled": False}
        made |= {"updated_at": self._now(), "result": list(_result(task, verdict, marked))}
        self._put(project, task.id, (*self.tasks[project][task.id].annotations, made))
        return key

    def skip(self, where: tuple[int, RemoteTask], *, person: int = 1) -> None:
        project, task = where
        made: dict[str, Any] = {
            "id": next(self._ids),
            "completed_by": person,
            "lead_time": 3.0,
            "was_cancelled": True,
            "result": [],
        }
        self._put(project, task.id, (*self.tasks[project][task.id].annotations, made | {"updated_at": self._now()}))

    def edit(self, where: tuple[int, RemoteTask], key: int, verdict: str, marked: str = "") -> None:
        project, task = where
        changed: dict[str, Any] = {"updated_at": self._now(), "result": list(_result(task, verdict, marked))}
        annotations = self.tasks[project][task.id].annotations
        self._put(project, task.id, tuple({**each, **changed} if each["id"] == key else each for each in annotations))

    def take_back(self, where: tuple[int, RemoteTask], key: int) -> None:
        project, task = where
        annotations = self.tasks[project][task.id].annotations
        self._put(project, task.id, tuple(each for each in annotations if each["id"] != key))

    def _put(self, project: int, task_id: int, annotations: tuple[Mapping[str, Any], ...]) -> None:
        task = self.tasks[project][task_id]
        self.tasks[project][task_id] = replace(task, annotations=annotations, updated_at=self._now())

    def _now(self) -> str:
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=next(self._seconds))
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _up(self) -> None:
        if self.down:
            raise ServerDown(f"{self.url} does not answer", unsure=False)


def _result(task: RemoteTask, verdict: str, marked: str) -> Iterator[dict[str, Any]]:
    yield {"from_name": VERDICT, "to_name": text_name(1), "type": "choices", "value": {"choices": [verdict]}}
    for place in range(1, 6):
        text = task.data.get(text_name(place)) or ""
        if marked and marked in text:
            start = text.index(marked)
            value = {"start": start, "end": start + len(marked), "text": marked, "labels": [ANSWER_LABEL]}
            yield {"from_name": labels_name(place), "to_name": text_name(place), "type": "labels", "value": value}
            return
