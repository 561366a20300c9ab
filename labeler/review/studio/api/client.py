"""The projects and tasks of a Label Studio server, in the requests that this tool needs.

Every method raises an error of the tree under StudioError.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeler.core.errors import AnswerTooLarge, ServerDown, StudioError
from labeler.review.studio.api.connection import Connection
from labeler.review.studio.api.task_lists import TaskLists, queue_title
from labeler.review.studio.api.tasks import LISTING_SECONDS, Filter, RemoteTask, TaskListing, filters
from labeler.review.studio.api.transport import TIMEOUT, Transport
from labeler.review.studio.untrusted import as_count, as_id, as_mapping, as_text

__all__ = ["Client", "ProjectState", "RemoteTask"]

log = logging.getLogger("labeler")

PAGE_SIZE = 500  # tasks with their annotations in one answer
IDS_PAGE = 5000  # ids in one answer
IN_LIST = 200  # ids in one address: servers take addresses of about 4,000 characters
PUSH_SIZE = 1000  # tasks of one push, at most
PROJECTS_PAGE = 100  # projects in one answer
MAX_PROJECT_PAGES = 1000
# One list names the fields of tasks and of their annotations. Predictions are left out: nothing reads them.
_FIELDS = (
    "id,updated_at,data,annotations,drafts,"
    "result,was_cancelled,completed_by,lead_time,parent_prediction,parent_annotation,created_at,ground_truth"
)

_UNTOUCHED: tuple[Filter, ...] = (
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
        """User id -> e-mail address, of the users that have both."""
        listed = self._transport.get("api/users/")
        if not isinstance(listed, list):
            raise self._transport.failures.unexpected()
        found = {as_id(each.get("id")): as_text(each.get("email")) for each in map(as_mapping, listed)}
        return {number: email for number, email in found.items() if number and email}

    # --- projects ---------------------------------------------------------------------------------

    def find_project(self, uid: str) -> int | None:
        """The id of the project whose description contains our `uid`; the oldest, if there are several."""
        marker = _marker(uid)
        return min((number for number, description in self._projects() if marker in description), default=None)

    def _projects(self) -> Iterator[tuple[int, str]]:
        """Ids and descriptions of the projects. A page after the last one is answered as not found: none is asked for.

        Raises AnswerTooLarge where the list does not end.
        """
        until = time.monotonic() + LISTING_SECONDS
        for page in range(1, MAX_PROJECT_PAGES + 1):
            fields = {"include": "id,description", "page": page, "page_size": PROJECTS_PAGE}
            answer = as_mapping(self._transport.get("api/projects/", **fields))
            listed = answer.get("results")
            if not isinstance(listed, list):
                raise self._transport.failures.unexpected()
            for each in map(as_mapping, listed):
                number = as_id(each.get("id"))
                if number is not None:
                    yield number, as_text(each.get("description")) or ""
            if not listed or page * PROJECTS_PAGE >= as_count(answer.get("count")):
                return
            if time.monotonic() > until:
                break
        raise AnswerTooLarge(f"the list of projects of {self.url} does not end")

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
        wanted = {
            "title": title,
            "description": f"{summary} ({_marker(uid)})",
            "label_config": label_config,
            "expert_instruction": instruction,
            "show_instruction": False,  # it would open again with every visit; the page has a panel with it
            "maximum_annotations": reviewers,
            "show_collab_predictions": not blind,
            "model_version": model_version,
        }
        made = as_id(as_mapping(self._transport.request("POST", "api/projects/", body=wanted)).get("id"))
        if made is None:
            raise ServerDown(f"{self.url} made a project and does not name its id; try again", unsure=True)
        self._arrange(made, reviewers=reviewers)
        return made

    def _arrange(self, remote_id: int, *, reviewers: int) -> None:
        """Make the task lists of a new project. Without them, people find their tasks in the server's own list."""
        try:
            TaskLists(self._transport, remote_id).show_questions_first()
            if reviewers > 1:
                self.ensure_queues(remote_id, self.users(), reviewers=reviewers)
        except StudioError as error:
            log.warning("the task lists of project %d are incomplete: %s", remote_id, error)

    def ensure_queues(self, remote_id: int, people: Mapping[int, str], *, reviewers: int) -> list[str]:
        """Make the task list of each of these people (user id -> e-mail) in a project, and return who got one now."""
        lists = TaskLists(self._transport, remote_id)
        known = lists.titles()
        missing = [(user, email) for user, email in sorted(people.items()) if queue_title(email) not in known]
        for user, email in missing:
            lists.add_queue(email, user, reviewers=reviewers)
        return [email for _, email in missing]

    def project(self, remote_id: int) -> ProjectState:
        """A project's state. Raises ProjectGone."""
        found = self._transport.request("GET", f"api/projects/{remote_id}/", project=remote_id)
        if not isinstance(found, Mapping):
            raise self._transport.failures.unexpected()
        skipped = as_count(found.get("skipped_annotations_number"))
        return ProjectState(
            remote_id=remote_id,
            description=as_text(found.get("description")) or "",
            label_config=as_text(found.get("label_config")) or "",
            model_version=as_text(found.get("model_version")) or "",
            task_count=as_count(found.get("task_number")),
            annotation_count=as_count(found.get("total_annotations_number")) + skipped,
        )

    def set_label_config(self, remote_id: int, label_config: str) -> None:
        """Replace a project's labeling configuration. Raises Refused where existing annotations do not fit it."""
        path, body = f"api/projects/{remote_id}/", {"label_config": label_config}
        self._transport.request("PATCH", path, body=body, project=remote_id)

    # --- tasks ------------------------------------------------------------------------------------

    def import_tasks(self, remote_id: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """The ids of new tasks, in order: all are imported, or none. Never repeated by itself.

        Raises ServerDown with `unsure` also where the server took the tasks and does not name their ids.
        """
        path, params = f"api/projects/{remote_id}/import", {"return_task_ids": True}
        done = self._transport.request("POST", path, params=params, body=tasks, project=remote_id)
        listed = as_mapping(done).get("task_ids")  # an Enterprise server imports in the background
        ids = [as_id(each) for each in listed] if isinstance(listed, list) else []
        known = [each for each in ids if each is not None]
        if len(set(known)) != len(tasks) or len(ids) != len(tasks):
            raise ServerDown(
                f"{self.url} took {len(tasks)} tasks and names {len(set(known))}; look again later", unsure=True
            )
        return known

    def find_by_push(self, remote_id: int, push_id: str) -> list[RemoteTask]:
        """The tasks of one push, by id; without annotations."""
        where = (("data.push_id", "equal", "String", push_id),)
        listing = TaskListing(self._transport, remote_id, where, include="id,data,updated_at")
        pages = listing.pages(PUSH_SIZE, most=2 * PUSH_SIZE)
        return [task for page in pages for task in page if task.push_id == push_id and task.fault is None]

    def newest_change(self, remote_id: int) -> str | None:
        """When a task of the project last changed, by the server's clock; None where there are no tasks."""
        listed = TaskListing(self._transport, remote_id, (), include="id,updated_at")
        newest = listed.first(order="-tasks:updated_at", size=1)
        return newest[0].updated_at or None if newest else None

    def changed_since(
        self, remote_id: int, cursor: str | None, *, page_size: int = PAGE_SIZE
    ) -> Iterator[list[RemoteTask]]:
        """The tasks changed after `cursor` (None: all), by id, in pages, with annotations and drafts.

        A task that changes while the pages are read may or may not be among them.
        """
        where = () if cursor is None else (("updated_at", "greater", "Datetime", cursor),)
        yield from TaskListing(self._transport, remote_id, where, _FIELDS, fields="all").pages(page_size)

    def ids(self, remote_id: int) -> set[int]:
        """The ids of all tasks of the project."""
        pages = TaskListing(self._transport, remote_id, (), include="id").pages(IDS_PAGE)
        return {task.id for page in pages for task in page if task.id}

    def get_tasks(self, remote_id: int, ids: Sequence[int]) -> list[RemoteTask]:
        """Those of these tasks that exist, by id, with annotations and drafts."""
        return [task for page in self.pages_of(remote_id, ids) for task in page]

    def pages_of(self, remote_id: int, ids: Sequence[int]) -> Iterator[list[RemoteTask]]:
        """As `get_tasks`, in pages."""
        return self._by_id(remote_id, ids, fields="all", include=_FIELDS)

    def delete_untouched(self, remote_id: int, ids: Sequence[int]) -> set[int]:
        """Delete the tasks without annotation, skip or draft, and return the ids that do not exist afterwards.

        The server itself leaves the others out, so that nothing is lost that was just submitted.
        """
        for some in _chunks(sorted(ids), PAGE_SIZE):
            self._delete_untouched(remote_id, some)
        left = [task.id for page in self._by_id(remote_id, ids, fields="task_only", include="id") for task in page]
        return set() if 0 in left else set(ids).difference(left)

    def _delete_untouched(self, remote_id: int, ids: list[int]) -> None:
        assert ids, "an empty list would mean every task"
        body = {"selectedItems": {"all": False, "included": ids}, "filters": filters(_UNTOUCHED)}
        params = {"id": "delete_tasks", "project": remote_id}
        self._transport.request("POST", "api/dm/actions/", params=params, body=body, project=remote_id)

    def _by_id(self, remote_id: int, ids: Sequence[int], *, fields: str, include: str) -> Iterator[list[RemoteTask]]:
        """The tasks of these ids; others that the server sends are left out, except those without a readable id."""
        for some in _chunks(sorted(ids), IN_LIST):
            asked = {0, *some}
            listing = TaskListing(self._transport, remote_id, (("id", "in_list", "List", some),), include, fields)
            for page in listing.pages(IN_LIST, most=2 * IN_LIST):
                yield [task for task in page if task.id in asked]


def _marker(uid: str) -> str:
    """The part of a project's description by which it is found again."""
    return f"labeler:{uid}"


def _chunks(ids: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
