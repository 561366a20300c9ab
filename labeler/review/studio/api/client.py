"""The projects and tasks of a Label Studio server, in the requests that this tool needs.

Every method raises an error of the tree under StudioError.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeler.core.errors import ServerDown
from labeler.review.studio.api.connection import Connection
from labeler.review.studio.api.transport import TIMEOUT, Transport

PAGE_SIZE = 500  # tasks with their annotations in one answer
IDS_PAGE = 5000  # ids in one answer
IN_LIST = 200  # ids in one address: servers take addresses of about 4,000 characters
PROJECTS_PAGE = 100  # projects in one answer
_MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"  # the only form that the server's filter takes; any other is answered with 500
# One list names the fields of tasks and of their annotations. Predictions are left out: nothing reads them.
_FIELDS = (
    "id,updated_at,data,annotations,drafts,"
    "result,was_cancelled,completed_by,lead_time,parent_prediction,parent_annotation,created_at,ground_truth"
)

_Filter = tuple[str, str, str, Any]  # field, operator, type, value
_UNTOUCHED: tuple[_Filter, ...] = (
    ("total_annotations", "equal", "Number", 0),
    ("cancelled_annotations", "equal", "Number", 0),
    ("draft_exists", "equal", "Boolean", False),
)


@dataclass(frozen=True, slots=True)
class ProjectState:
    """A project on the server."""

    remote_id: int
    description: str
    label_config: str
    model_version: str
    task_count: int
    annotation_count: int  # skips too


@dataclass(frozen=True, slots=True)
class RemoteTask:
    """A task on the server. `annotations` include skips; `drafts` counts the unfinished ones."""

    id: int
    updated_at: str  # by the server's clock; sorts as text
    data: Mapping[str, Any]
    annotations: tuple[Mapping[str, Any], ...] = ()
    drafts: int = 0


class Client:
    """A server's projects and tasks."""

    def __init__(self, connection: Connection, *, timeout: float = TIMEOUT) -> None:
        self.url = connection.url
        self._transport = Transport(connection, timeout=timeout)

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    # --- the server -------------------------------------------------------------------------------

    def check(self) -> str:
        """The server's version, after a check that it answers, is a Label Studio, and accepts the key."""
        return self._transport.check()

    def users(self) -> dict[int, str]:
        """User id -> e-mail address."""
        return {user.id: user.email for user in self._transport.call(lambda sdk: sdk.users.list())}

    # --- projects ---------------------------------------------------------------------------------

    def find_project(self, uid: str) -> int | None:
        """The id of the project whose description contains our `uid`; the oldest, if there are several."""
        marker = _marker(uid)
        found = [each.id for each in self._projects() if marker in (each.description or "")]
        return min(found, default=None)

    def _projects(self, page: int = 1) -> Iterator[Any]:
        fields = "id,description"
        listed = self._transport.call(lambda sdk: sdk.projects.list(include=fields, page=page, page_size=PROJECTS_PAGE))
        yield from listed.items or ()
        if page * PROJECTS_PAGE < listed.response.count:  # a page after the last one is answered as not found
            yield from self._projects(page + 1)

    def make_project(
        self,
        title: str,
        uid: str,
        label_config: str,
        *,
        summary: str,
        instruction: str,
        reviewers: int,
        blind: bool,
        model_version: str = "",
    ) -> int:
        """The id of a new project, which shows the predictions of this version only. `summary`: what to do there.

        Not repeated by itself: after ServerDown ask `find_project`.
        """
        made = self._transport.call(
            lambda sdk: sdk.projects.create(
                title=title,
                description=f"{summary} ({_marker(uid)})",
                label_config=label_config,
                expert_instruction=instruction,
                show_instruction=bool(instruction),
                maximum_annotations=reviewers,
                show_collab_predictions=not blind,
                model_version=model_version,
            )
        )
        remote_id: int | None = made.id
        assert remote_id is not None, "the server names what it makes"
        return remote_id

    def project(self, remote_id: int) -> ProjectState:
        """A project's state. Raises ProjectGone."""
        found = self._transport.call(lambda sdk: sdk.projects.get(remote_id), project=remote_id)
        return ProjectState(
            remote_id=remote_id,
            description=found.description or "",
            label_config=found.label_config or "",
            model_version=found.model_version or "",
            task_count=found.task_number or 0,
            annotation_count=(found.total_annotations_number or 0) + (found.skipped_annotations_number or 0),
        )

    def set_label_config(self, remote_id: int, label_config: str) -> None:
        """Replace a project's labeling configuration. Raises Refused where existing annotations do not fit it."""
        self._transport.call(lambda sdk: sdk.projects.update(remote_id, label_config=label_config), project=remote_id)

    # --- tasks ------------------------------------------------------------------------------------

    def import_tasks(self, remote_id: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """The ids of new tasks, in order: all are imported, or none. Never repeated by itself.

        Raises ServerDown with `unsure` also where the server took the tasks and does not name their ids.
        """
        done = self._transport.call(
            lambda sdk: sdk.projects.import_tasks(remote_id, request=tasks, return_task_ids=True),
            project=remote_id,
        )
        ids = list(getattr(done, "task_ids", None) or ())  # an Enterprise server imports in the background
        if len(ids) != len(tasks):
            raise ServerDown(f"{self.url} took {len(tasks)} tasks and names {len(ids)}; look again later", unsure=True)
        return ids

    def find_by_push(self, remote_id: int, push_id: str) -> list[RemoteTask]:
        """The tasks of one push, by id; without annotations."""
        where = (("data.push_id", "equal", "String", push_id),)
        pages = self._pages(remote_id, where, fields="task_only", include="id,data,updated_at", size=1000)
        return [task for page in pages for task in page]

    def newest_change(self, remote_id: int) -> str | None:
        """When a task of the project last changed, by the server's clock; None where there are no tasks."""
        listed = self._tasks(remote_id, (), order="-tasks:updated_at", size=1, include="id,updated_at")
        return _moment(listed[0].updated_at) if listed else None

    def changed_since(
        self, remote_id: int, cursor: str | None, *, page_size: int = PAGE_SIZE
    ) -> Iterator[list[RemoteTask]]:
        """The tasks changed after `cursor` (None: all), by id, in pages, with annotations and drafts.

        A task that changes while the pages are read may or may not be among them.
        """
        where = () if cursor is None else (("updated_at", "greater", "Datetime", cursor),)
        yield from self._pages(remote_id, where, fields="all", include=_FIELDS, size=page_size)

    def ids(self, remote_id: int) -> set[int]:
        """The ids of all tasks of the project."""
        pages = self._pages(remote_id, (), fields="task_only", include="id", size=IDS_PAGE)
        return {task.id for page in pages for task in page}

    def get_tasks(self, remote_id: int, ids: Sequence[int]) -> list[RemoteTask]:
        """Those of these tasks that exist, by id, with annotations and drafts."""
        return list(self._by_id(remote_id, ids, fields="all", include=_FIELDS))

    def delete_untouched(self, remote_id: int, ids: Sequence[int]) -> set[int]:
        """Delete the tasks without annotation, skip or draft, and return the ids that do not exist afterwards.

        The server itself leaves the others out, so that nothing is lost that was just submitted.
        """
        for some in _chunks(sorted(ids), PAGE_SIZE):
            self._delete_untouched(remote_id, some)
        return set(ids) - {task.id for task in self._by_id(remote_id, ids, fields="task_only", include="id")}

    def _delete_untouched(self, remote_id: int, ids: list[int]) -> None:
        assert ids, "an empty list would mean every task"
        chosen: Any = {"all": False, "included": ids}
        filters: Any = _filters(_UNTOUCHED)
        self._transport.call(
            lambda sdk: sdk.actions.create(
                id="delete_tasks", project=remote_id, selected_items=chosen, filters=filters
            ),
            project=remote_id,
        )

    def _by_id(self, remote_id: int, ids: Sequence[int], *, fields: str, include: str) -> Iterator[RemoteTask]:
        for some in _chunks(sorted(ids), IN_LIST):
            where = (("id", "in_list", "List", some),)
            for page in self._pages(remote_id, where, fields=fields, include=include, size=IN_LIST):
                yield from page

    def _pages(
        self, remote_id: int, where: Sequence[_Filter], *, fields: str, include: str, size: int
    ) -> Iterator[list[RemoteTask]]:
        """Tasks by id in pages. Each page starts after the last id seen, so that deletions in between skip nothing."""
        last = 0
        while True:
            after = (*where, ("id", "greater", "Number", last))
            listed = self._tasks(remote_id, after, order="tasks:id", size=size, include=include, fields=fields)
            if listed:
                last = listed[-1].id
                yield [_remote_task(task) for task in listed]
            if len(listed) < size:
                return

    def _tasks(
        self,
        remote_id: int,
        where: Sequence[_Filter],
        *,
        order: str,
        size: int,
        include: str,
        fields: str = "task_only",
    ) -> list[Any]:
        query: dict[str, Any] = {"ordering": [order]}
        if where:
            query["filters"] = _filters(where)
        listed = self._transport.call(
            lambda sdk: sdk.tasks.list(
                project=remote_id,
                query=json.dumps(query, separators=(",", ":")),
                fields=fields,
                include=include,
                page_size=size,
                resolve_uri=False,  # texts as they are, also those that look like the address of a file
            ),
            project=remote_id,
        )
        return listed.items or []


def _marker(uid: str) -> str:
    """The part of a project's description by which it is found again."""
    return f"labeler:{uid}"


def _remote_task(task: Any) -> RemoteTask:
    return RemoteTask(
        id=task.id,
        updated_at=_moment(task.updated_at),
        data=task.data or {},
        annotations=tuple(task.annotations or ()),
        drafts=len(task.drafts or ()),
    )


def _moment(at: Any) -> str:
    """A moment in the form that the server's filters take; always UTC, of one length."""
    return "" if at is None else at.strftime(_MOMENT)


def _filters(items: Sequence[_Filter]) -> dict[str, Any]:
    listed = [
        {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}
        for field, operator, kind, value in items
    ]
    return {"conjunction": "and", "items": listed}


def _chunks(ids: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
