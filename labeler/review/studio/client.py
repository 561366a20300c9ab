"""Label Studio as we use it: the only module that imports its SDK, and the only one that sees its errors.

Every method raises the errors of the tree under StudioError, each one line. Neither the key nor what is derived from
it stands in a message, and the SDK's own exceptions are not chained: they would bring bodies and headers along.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from labeler.core.errors import BadKey, ProjectGone, ServerDown, StudioError
from labeler.review.studio.connection import Connection
from labeler.review.studio.faults import Faults

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio

TIMEOUT = 300.0  # seconds for an answer: an import of 1,000 tasks takes 1-4 s, more while the server is busy
CONNECT_TIMEOUT = 10.0  # seconds until a server that is there takes a connection
PAGE_SIZE = 500  # tasks with their annotations in one answer
IDS_PAGE = 5000  # ids in one answer
IN_LIST = 200  # ids in one address: servers take addresses of about 4,000 characters
PROJECTS_PAGE = 100  # projects in one answer
_MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"  # the only form that its filter takes; any other is answered with 500
# The list names the fields of tasks and those of their annotations alike; predictions are left out: nobody reads them.
_FIELDS = (
    "id,updated_at,data,annotations,drafts,"
    "result,was_cancelled,completed_by,lead_time,parent_prediction,parent_annotation,created_at,ground_truth"
)

T = TypeVar("T")
_Filter = tuple[str, str, str, Any]  # field, operator, type, value
_UNTOUCHED: tuple[_Filter, ...] = (
    ("total_annotations", "equal", "Number", 0),
    ("cancelled_annotations", "equal", "Number", 0),
    ("draft_exists", "equal", "Boolean", False),
)


@dataclass(frozen=True, slots=True)
class ProjectState:
    """A project as it stands on the server."""

    remote_id: int
    description: str
    page: str
    model_version: str
    task_count: int
    annotation_count: int  # skips too


@dataclass(frozen=True, slots=True)
class RemoteTask:
    """A task as it stands on the server. `annotations` hold skips too; `drafts` counts the unfinished ones."""

    id: int
    updated_at: str  # of the server's clock: comparable as text
    data: Mapping[str, Any]
    annotations: tuple[Mapping[str, Any], ...] = ()
    drafts: int = 0


class Client:
    """A server's projects and tasks. The SDK (1-6 s to import) is loaded with the first request."""

    def __init__(self, connection: Connection, *, timeout: float = TIMEOUT) -> None:
        self.url = connection.url
        self._key = connection.key
        self._faults = Faults(connection, timeout)
        self._timeout = timeout
        self._opened: LabelStudio | None = None

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    # --- the server -------------------------------------------------------------------------------

    def check(self) -> str:
        """The server's version; known then: it answers, is a Label Studio, and takes the key."""
        release = self._call(lambda sdk: sdk.versions.get()).release
        if not isinstance(release, str):
            raise self._faults.stranger()
        self._call(lambda sdk: sdk.users.whoami())
        return release

    def users(self) -> dict[int, str]:
        """User id -> e-mail address."""
        return {user.id: user.email for user in self._call(lambda sdk: sdk.users.list())}

    # --- projects ---------------------------------------------------------------------------------

    def find_project(self, uid: str) -> int | None:
        """The id of the project whose description holds our `uid`; the oldest, if there are several."""
        mark = _mark(uid)
        found = [each.id for each in self._projects() if mark in (each.description or "")]
        return min(found, default=None)

    def _projects(self, page: int = 1) -> Iterator[Any]:
        fields = "id,description"
        listed = self._call(lambda sdk: sdk.projects.list(include=fields, page=page, page_size=PROJECTS_PAGE))
        yield from listed.items or ()
        if page * PROJECTS_PAGE < listed.response.count:  # a page behind the last is answered as not found
            yield from self._projects(page + 1)

    def make_project(
        self,
        title: str,
        uid: str,
        page: str,
        *,
        instruction: str,
        reviewers: int,
        blind: bool,
        model_version: str = "",
    ) -> int:
        """The id of a new project with our page, which shows the suggestions of this version alone.

        Not repeated by itself: after ServerDown ask `find_project`.
        """
        made = self._call(
            lambda sdk: sdk.projects.create(
                title=title,
                description=_mark(uid),
                label_config=page,
                expert_instruction=instruction,
                show_instruction=bool(instruction),
                maximum_annotations=reviewers,
                show_collab_predictions=not blind,
                model_version=model_version,
            )
        )
        return _known(made.id)

    def project(self, remote_id: int) -> ProjectState:
        """A project's state. Raises ProjectGone."""
        found = self._call(lambda sdk: sdk.projects.get(remote_id), project=remote_id)
        return ProjectState(
            remote_id=remote_id,
            description=found.description or "",
            page=found.label_config or "",
            model_version=found.model_version or "",
            task_count=found.task_number or 0,
            annotation_count=(found.total_annotations_number or 0) + (found.skipped_annotations_number or 0),
        )

    def set_page(self, remote_id: int, page: str) -> None:
        """Puts our page in place of the project's. Raises Refused where annotations stand against it."""
        self._call(lambda sdk: sdk.projects.update(remote_id, label_config=page), project=remote_id)

    # --- tasks ------------------------------------------------------------------------------------

    def import_tasks(self, remote_id: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """The ids of new tasks, in order: all are there, or none. Never repeated by itself.

        Raises ServerDown with `unsure` also where the server took them and does not say their ids.
        """
        done = self._call(
            lambda sdk: sdk.projects.import_tasks(remote_id, request=tasks, return_task_ids=True),
            project=remote_id,
        )
        ids = list(getattr(done, "task_ids", None) or ())  # an Enterprise server imports in the background
        if len(ids) != len(tasks):
            raise ServerDown(f"{self.url} took {len(tasks)} tasks and names {len(ids)}; look again later", unsure=True)
        return ids

    def find_by_push(self, remote_id: int, push_id: str) -> list[RemoteTask]:
        """The tasks that one push brought, by id; without annotations."""
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
        """Those of these tasks that are there now, by id, with annotations and drafts."""
        found: list[RemoteTask] = []
        for where in _in_list(ids):
            for page in self._pages(remote_id, (where,), fields="all", include=_FIELDS, size=IN_LIST):
                found += page
        return found

    def delete_untouched(self, remote_id: int, ids: Sequence[int]) -> set[int]:
        """Those of these tasks that are not there any more, after deleting each that nobody has touched.

        Touched is a task with an annotation, a skip or a draft: the server itself leaves these out, so that nothing
        is lost that came in an instant before.
        """
        for some in _chunks(sorted(ids), PAGE_SIZE):
            self._delete_untouched(remote_id, some)
        return set(ids) - self._still_there(remote_id, ids)

    def _delete_untouched(self, remote_id: int, ids: list[int]) -> None:
        assert ids, "an empty list would mean every task"
        chosen: Any = {"all": False, "included": ids}
        filters: Any = _filters(_UNTOUCHED)
        self._call(
            lambda sdk: sdk.actions.create(
                id="delete_tasks", project=remote_id, selected_items=chosen, filters=filters
            ),
            project=remote_id,
        )

    def _still_there(self, remote_id: int, ids: Sequence[int]) -> set[int]:
        found: set[int] = set()
        for where in _in_list(ids):
            for page in self._pages(remote_id, (where,), fields="task_only", include="id", size=IN_LIST):
                found |= {task.id for task in page}
        return found

    def _pages(
        self, remote_id: int, where: Sequence[_Filter], *, fields: str, include: str, size: int
    ) -> Iterator[list[RemoteTask]]:
        """Tasks by id in pages. Each page starts after the last id seen: deletions in between skip nothing."""
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
        listed = self._call(
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

    # --- calling, and what may go wrong -----------------------------------------------------------

    def _call(self, call: Callable[[LabelStudio], T], *, project: int | None = None) -> T:
        """What a request gives. Errors are raised outside of the `except`: nothing of the SDK's is chained to them."""
        for last in (False, True):
            try:
                return call(self._sdk())
            except _failures() as error:
                fault = self._named(error, project)
            if last or not isinstance(fault, BadKey) or not self._renewable():
                break
            self._opened = None  # by this machine's clock the access token was still good: get a new one
        if isinstance(fault, ProjectGone):
            self.check()  # is it really the project that is gone, and not the whole server?
        raise fault

    def _sdk(self) -> LabelStudio:
        if self._opened is None:
            import httpx
            from label_studio_sdk import LabelStudio

            http = httpx.Client(
                timeout=httpx.Timeout(self._timeout, connect=min(CONNECT_TIMEOUT, self._timeout)),
                follow_redirects=False,  # a POST would become a GET, and the key would travel on
                limits=httpx.Limits(max_keepalive_connections=0),  # an old connection may have died: did it arrive?
                trust_env=not _is_loopback(self.url),  # no proxy to this very machine
            )
            self._opened = LabelStudio(base_url=f"{self.url}/", api_key=self._key, max_retries=0, httpx_client=http)
        return self._opened

    def _renewable(self) -> bool:
        """Whether the key is a personal access token (three parts), from which access tokens are made."""
        return self._key.count(".") == 2 and self._opened is not None

    def _named(self, error: Exception, project: int | None) -> StudioError:
        """Our error for one of `_failures`."""
        import httpx
        from label_studio_sdk.core.api_error import ApiError

        if isinstance(error, ApiError):
            return self._faults.answered(error.status_code or 0, error.body, error.headers or {}, project=project)
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
            return self._faults.unanswered(error)
        return self._faults.stranger()  # an answer that is not JSON, or not what was asked for


def _failures() -> tuple[type[Exception], ...]:
    """What a call of the SDK may raise that is not a mistake of ours."""
    import httpx
    import pydantic
    from label_studio_sdk.core.api_error import ApiError
    from label_studio_sdk.core.parse_error import ParsingError

    return ApiError, ParsingError, httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError, pydantic.ValidationError


def _mark(uid: str) -> str:
    """What the description of a project of ours holds."""
    return f"labeler:{uid}"


def _known(remote_id: int | None) -> int:
    assert remote_id is not None, "the server names what it makes"
    return remote_id


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


def _in_list(ids: Sequence[int]) -> Iterator[_Filter]:
    for some in _chunks(sorted(ids), IN_LIST):
        yield "id", "in_list", "List", some


def _chunks(ids: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
