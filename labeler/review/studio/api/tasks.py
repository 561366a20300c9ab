"""Tasks on a server, read page by page. A task that cannot be read has a fault, and the others are read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from labeler.core.errors import AnswerTooLarge
from labeler.review.studio.api.transport import Transport
from labeler.review.studio.untrusted import as_id, as_mapping, as_moment, as_text

MAX_TASKS = 500_000  # of a project
LISTING_SECONDS = 3600.0  # for all pages of one listing together
_MAX_KEY = 64  # characters; ours have 24 and 32
_MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"  # the only form that the server's filter takes; any other is answered with 500
_SMALLER = 8  # by which the page is smaller after one that is too large

Filter = tuple[str, str, str, Any]  # field, operator, type, value


@dataclass(frozen=True, slots=True)
class RemoteTask:
    """A task on the server. `annotations` include skips; `drafts` counts the unfinished ones.

    Neither data nor annotations of a task with a `fault` can be read; the id is 0 where it has none.
    """

    id: int
    updated_at: str  # by the server's clock; sorts as text; empty where it is no date
    data: Mapping[str, Any]
    annotations: tuple[Any, ...] = ()  # not checked: see `annotation_fault`
    drafts: int = 0
    fault: str | None = None

    @property
    def key(self) -> str:
        """The key by which we recognise the task, if it is ours; else empty."""
        return self.short("task")

    @property
    def push_id(self) -> str:
        """The push that brought the task, if it is ours; else empty."""
        return self.short("push_id")

    def short(self, name: str) -> str:
        """A short text in the data; empty where there is none."""
        found = as_text(self.data.get(name)) or ""
        return found if len(found) <= _MAX_KEY else ""


def read_task(task: Any) -> RemoteTask:
    """A task as the server sends it, with its fault if it has one."""
    found = as_mapping(task)
    number, data, annotations = as_id(found.get("id")), found.get("data"), found.get("annotations")
    drafts = found.get("drafts")
    fault = None
    if number is None:
        fault = "the task's id on the server is not a number"
    elif not isinstance(data, Mapping | None):
        fault = "the task's data on the server is not an object"
    elif not isinstance(annotations, list | None):
        fault = "the task's annotations on the server are not a list"
    return RemoteTask(
        id=number or 0,
        updated_at=moment_text(as_moment(found.get("updated_at"))) or "",
        data=as_mapping(data),
        annotations=tuple(annotations or ()) if isinstance(annotations, list) else (),
        drafts=len(drafts) if isinstance(drafts, list) else int(bool(drafts)),
        fault=fault,
    )


def moment_text(at: datetime | None) -> str | None:
    """A moment in the form that the server's filters take; always UTC, of one length."""
    return None if at is None else at.strftime(_MOMENT)


def filters(items: Sequence[Filter]) -> dict[str, Any]:
    """Conditions as the server takes them; all must hold."""
    listed = [
        {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}
        for field, operator, kind, value in items
    ]
    return {"conjunction": "and", "items": listed}


@dataclass(frozen=True, slots=True)
class TaskListing:
    """The tasks of a project that meet conditions, with some of their fields."""

    transport: Transport
    project: int
    where: Sequence[Filter]
    include: str
    fields: str = "task_only"

    def first(self, *, order: str, size: int, after: int | None = None) -> list[RemoteTask]:
        """At most `size` tasks in an order. Raises NotLabelStudio for an answer that is no list of tasks."""
        query: dict[str, Any] = {"ordering": [order]}
        where = (*self.where, *([] if after is None else [("id", "greater", "Number", after)]))
        if where:
            query["filters"] = filters(where)
        params = {
            "project": self.project,
            "fields": self.fields,
            "include": self.include,
            "page": 1,
            "page_size": size,
            "query": json.dumps(query, separators=(",", ":")),
            "resolve_uri": False,  # texts as they are, also those that look like the address of a file
        }
        answer = self.transport.request("GET", "api/tasks/", params=params, project=self.project)
        listed = as_mapping(answer).get("tasks")
        if not isinstance(listed, list):
            raise self.transport.failures.unexpected()
        return [read_task(task) for task in listed]

    def pages(self, size: int, *, most: int = MAX_TASKS) -> Iterator[list[RemoteTask]]:
        """The tasks by id in pages. Each page starts after the last id seen, so that deletions in between skip nothing.

        A page that is too large is read in smaller ones, down to the one task that is too large by itself.

        Raises:
            NotLabelStudio: a page brings no task that comes after the last one.
            AnswerTooLarge: there are more than `most` tasks, or they take longer than `LISTING_SECONDS`.
        """
        last, now, seen, until = 0, size, 0, time.monotonic() + LISTING_SECONDS
        while True:
            try:
                listed, asked = self.first(order="tasks:id", size=now, after=last), now
            except AnswerTooLarge:
                if now > 1:
                    now = max(now // _SMALLER, 1)
                    continue
                listed, asked, now = self._too_large(last), 1, size
            new = [task for task in listed if task.id > last or not task.id]
            seen += len(new)
            if seen > most or time.monotonic() > until:
                raise AnswerTooLarge(f"{self.transport.url} sends more than {most:,} tasks, or sends them for too long")
            if new:
                yield new
            if len(listed) < asked:
                return
            before, last = last, max([last, *(task.id for task in new)])
            if last == before:
                raise self.transport.failures.unexpected()

    def _too_large(self, after: int) -> list[RemoteTask]:
        """The next task, which cannot be read."""
        ids = TaskListing(self.transport, self.project, self.where, include="id")
        found = ids.first(order="tasks:id", size=1, after=after)[:1]
        return [RemoteTask(task.id, "", {}, fault="the task on the server is too large") for task in found]
