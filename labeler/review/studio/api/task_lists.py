"""The task lists (tabs) of a project on the server: the columns they show, and one list for each person's queue."""

from __future__ import annotations

from typing import Any

from labeler.review.studio.api.tasks import Filter, filters
from labeler.review.studio.api.transport import Transport
from labeler.review.studio.untrusted import as_mapping, as_text

TITLE = "Tasks"
_BUILT_IN = """
id inner_id completed_at total_annotations cancelled_annotations total_predictions annotators annotations_results
annotations_ids predictions_score predictions_model_versions predictions_results file_upload storage_filename
created_at updated_at updated_by avg_lead_time draft_exists
"""  # columns that the server would show before the question
_OURS = ("question_id", "task", "push_id", *(f"{text}{number}" for text in "pt" for number in range(1, 6)))
_COLUMNS = [*_BUILT_IN.split(), *(f"data.{name}" for name in _OURS)]
QUESTION_WIDTH = 640  # pixels
HIDDEN = {view: [f"tasks:{name}" for name in _COLUMNS] for view in ("explore", "labeling")}


def queue_title(email: str) -> str:
    """The title of the list of what a person has still to answer."""
    return f"{email}: open"


class TaskLists:
    """The task lists of one project."""

    def __init__(self, transport: Transport, remote_id: int) -> None:
        self._transport = transport
        self._remote_id = remote_id

    def titles(self) -> set[str]:
        """The titles of the lists that exist."""
        listed = self._transport.get("api/dm/views/", project=self._remote_id)
        if not isinstance(listed, list):
            raise self._transport.failures.unexpected()
        data = [as_mapping(as_mapping(each).get("data")) for each in listed]
        return {title for each in data if (title := as_text(each.get("title")))}

    def show_questions_first(self) -> None:
        """Add a list whose first column is the question, then why it is asked again."""
        self._add(TITLE)

    def add_queue(self, email: str, user: int, *, reviewers: int) -> None:
        """Add the list of tasks that a person has not answered and that still wait for somebody."""
        self._add(
            queue_title(email),
            ("annotators", "not_contains", "List", user),
            ("total_annotations", "less", "Number", reviewers),
        )

    def _add(self, title: str, *where: Filter) -> None:
        data: dict[str, Any] = {"title": title, "type": "list", "target": "tasks", "hiddenColumns": HIDDEN}
        data["columnsWidth"] = {"tasks:data.question": QUESTION_WIDTH}
        data |= {"filters": filters(where)} if where else {}
        body = {"project": self._remote_id, "data": data}
        self._transport.request("POST", "api/dm/views/", params={"project": self._remote_id}, body=body)
