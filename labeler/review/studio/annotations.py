"""Label Studio's annotations as reviews: the only place that reads their JSON.

Offsets are Python code points, end exclusive. The text of a region is not used, because Label Studio changes line ends
in it: an answer is always sliced from the stored passage.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from db.rows import NewReview, PulledAnnotation, SpanRow, TaskRow
from labeler.review.presentation import passage_order
from labeler.review.studio.labeling_config import COMMENT, SEARCH, text_name
from labeler.review.studio.page.marks import CHANGED, SUGGESTED, Place, Said, Unreadable, read_marks, strings, values_of
from labeler.review.studio.untrusted import MAX_DEPTH, as_id, as_moment, as_text, is_deep
from mrc.text.graphemes import whole_graphemes

_MAX_NAME = 255  # characters of a reviewer's name, as stored
_NEVER = "1970-01-01T00:00:00+00:00"  # the date of an annotation that cannot be read
_ORIGINS = {SUGGESTED: "accepted", CHANGED: "changed"}


def read_annotation(
    annotation: Mapping[str, Any],
    *,
    task: TaskRow,
    data: Mapping[str, Any],
    question: str,
    passages: Mapping[str, str],
    reviewer: str,
    source: str = "studio",
) -> PulledAnnotation:
    """The review that an annotation contains, or the problem why it contains none.

    Args:
        annotation: as the server sends it with its task, or as in an export, without an `annotation_fault`.
        task: the stored task.
        data: the data of the task on the server.
        question: the stored question's text.
        passages: id -> stored text, at least of the task's passages.
        reviewer: who made the annotation (`reviewer_name`).
        source: of the review, as `NewReview.source`.
    """
    result = storable(annotation.get("result") or [])
    review, problem = None, None
    try:
        review = _review(annotation, result, task, reviewer, source, passages)
        if review.verdict != "skipped":
            _check_unedited(review, task, data, question, passages)
    except Unreadable as error:
        review, problem = None, str(error)
    return PulledAnnotation(
        remote_id=annotation["id"],
        updated_at=annotation["updated_at"],
        reviewer=reviewer,
        result=tuple(result) if isinstance(result, list) else (result,),
        review=review,
        problem=problem,
    )


def annotation_fault(annotation: Any) -> str | None:
    """Why a value cannot be an annotation, whatever it says; None where it can."""
    number = annotation.get("id") if isinstance(annotation, Mapping) else None
    if not isinstance(annotation, Mapping) or as_id(number) is None:
        return "an annotation without an id"
    by = annotation.get("completed_by")
    person = by.get("id") if isinstance(by, Mapping) else by
    if person is not None and type(person) is not int:
        return f"annotation {number}: completed_by is not a user"
    if as_moment(annotation.get("updated_at")) is None:
        return f"annotation {number}: updated_at is not a time with a time zone"
    if is_deep(annotation):
        return f"annotation {number}: is nested deeper than {MAX_DEPTH}"
    return None


def unreadable_annotation(position: int, why: str) -> PulledAnnotation:
    """The problem of a task's annotation at this position (from 1), of which neither id nor person is known.

    Position 0 is the task itself. The ids are negative: no server gives such ones.
    """
    who = f"annotation {position}" if position else "the task"
    return PulledAnnotation(-1 - position, _NEVER, who, (), None, why)


def reviewer_name(completed_by: Any, users: Mapping[int, str]) -> str:
    """The reviewer's e-mail address, from `users` where only an id is given; "user 7" for an unknown one."""
    person = completed_by if isinstance(completed_by, Mapping) else {"id": completed_by}
    user = person.get("id")
    known = as_text(person.get("email")) or (users.get(user) if type(user) is int else None)
    name = known or (f"user {user}" if type(user) is int else "unknown user")
    return str(storable(name))[:_MAX_NAME]


def storable(value: Any) -> Any:
    """The same JSON value without what a database refuses: NUL and halves of surrogate pairs become U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
    if isinstance(value, Mapping):
        return {storable(key): storable(each) for key, each in value.items()}
    return [storable(each) for each in value] if isinstance(value, (list, tuple)) else value


def _review(
    annotation: Mapping[str, Any],
    result: Any,
    task: TaskRow,
    reviewer: str,
    source: str,
    passages: Mapping[str, str],
) -> NewReview:
    order = passage_order(task)
    said = Said("skipped", None)
    if not _is_skip(annotation):
        said = read_marks(result, {number: passages[key] for number, key in enumerate(order, start=1)})
    return NewReview(
        task_id=task.id,
        reviewer=reviewer,
        verdict=said.verdict,
        answer=None if said.mark is None else _span(said.mark.place, order, passages),
        origin=None if said.mark is None else _ORIGINS.get(said.mark.origin, "written"),
        seconds=_seconds(annotation.get("lead_time")),
        comment=_typed(result, COMMENT),
        source=source,
        search_again=_typed(result, SEARCH) if said.verdict == "no_answer" else None,
    )


def _is_skip(annotation: Mapping[str, Any]) -> bool:
    cancelled = annotation.get("was_cancelled")
    if cancelled not in (None, False, True):
        raise Unreadable("was_cancelled is neither true nor false")
    return bool(cancelled)


def _check_unedited(
    review: NewReview, task: TaskRow, data: Mapping[str, Any], question: str, passages: Mapping[str, str]
) -> None:
    """Refuse a review of other texts than the stored ones."""
    if data.get("question") != question:
        raise Unreadable("the question was edited in Label Studio")
    if review.verdict == "bad_question":
        return
    for number, passage in enumerate(passage_order(task), start=1):
        if data.get(text_name(number)) != passages[passage]:
            raise Unreadable(f"the passage was edited in Label Studio ({text_name(number)})")


def _span(place: Place, order: Sequence[str], passages: Mapping[str, str]) -> SpanRow:
    """The span in the stored passage, widened to whole graphemes: people mark what they see."""
    number, start, end = place
    name = text_name(number)
    if number > len(order):
        raise Unreadable(f"answer outside the text ({name} is empty)")
    passage = order[number - 1]
    text = passages[passage]
    if not 0 <= start < end <= len(text):
        raise Unreadable(f"answer outside the text ({name} has {len(text)} characters, marked is {start}-{end})")
    if not text[start:end].strip():
        raise Unreadable(f"only white space is marked ({name}: {start}-{end})")
    start, end = whole_graphemes(text, start, end)
    return SpanRow(text[start:end], passage, start, end)


def _seconds(lead_time: Any) -> float | None:
    known = type(lead_time) in (int, float) and 0 <= lead_time <= sys.float_info.max
    return float(lead_time) if known else None


def _typed(result: Any, control: str) -> str | None:
    """What the reviewer typed into a field; None where nothing."""
    texts = [text for value in values_of(result, control) for text in strings(value.get("text"))]
    return "\n".join(texts).strip() or None
