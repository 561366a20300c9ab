"""Label Studio's annotations as reviews: the only place that reads their JSON.

Offsets are Python code points, end exclusive. The text of a region is not used, because Label Studio changes line ends
in it: an answer is always sliced from the stored passage.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from db.rows import NewReview, PulledAnnotation, SpanRow, TaskRow
from labeler.review.presentation import passage_order
from labeler.review.studio.labeling_config import (
    ANSWER_LABEL,
    COMMENT,
    MAX_PASSAGES,
    VERDICT,
    VERDICTS,
    labels_name,
    text_name,
)
from labeler.review.studio.untrusted import MAX_DEPTH, as_id, as_moment, as_text, is_deep
from mrc.text.graphemes import whole_graphemes

_MAX_NAME = 255  # characters of a reviewer's name, as stored
_PASSAGE_OF = {labels_name(number): number for number in range(1, MAX_PASSAGES + 1)}
_NEVER = "1970-01-01T00:00:00+00:00"  # the date of an annotation that cannot be read
_ORIGINS = {"prediction": "accepted", "prediction-changed": "changed"}


@dataclass(frozen=True, slots=True)
class _Region:
    """A region that is labelled as the answer."""

    passage: int  # its number on the page, from 1
    start: int
    end: int
    origin: str  # prediction, prediction-changed, manual

    @property
    def span(self) -> tuple[int, int, int]:
        return self.passage, self.start, self.end


class _Unreadable(Exception):
    """The reason why an annotation is no review."""


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
        review = _review(annotation, _entries(result), task, reviewer, source, passages)
        if review.verdict != "skipped":
            _check_unedited(review, task, data, question, passages)
    except _Unreadable as error:
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
    entries: Sequence[Mapping[str, Any]],
    task: TaskRow,
    reviewer: str,
    source: str,
    passages: Mapping[str, str],
) -> NewReview:
    verdict = "skipped" if _is_skip(annotation) else _verdict(entries)
    region = _answer(entries, verdict)
    return NewReview(
        task_id=task.id,
        reviewer=reviewer,
        verdict=verdict,
        answer=None if region is None else _span(region, passage_order(task), passages),
        origin=None if region is None else _ORIGINS.get(region.origin, "written"),
        seconds=_seconds(annotation.get("lead_time")),
        comment=_comment(entries),
        source=source,
    )


def _is_skip(annotation: Mapping[str, Any]) -> bool:
    cancelled = annotation.get("was_cancelled")
    if cancelled not in (None, False, True):
        raise _Unreadable("was_cancelled is neither true nor false")
    return bool(cancelled)


def _entries(result: Any) -> list[Mapping[str, Any]]:
    if not isinstance(result, list) or not all(isinstance(each, Mapping) for each in result):
        raise _Unreadable("its result is not a list of regions")
    return result


def _verdict(entries: Sequence[Mapping[str, Any]]) -> str:
    chosen = {choice for value in _values_of(entries, VERDICT) for choice in _strings(value.get("choices"))}
    if not chosen:
        raise _Unreadable("no verdict")
    if len(chosen) > 1:
        raise _Unreadable(f"several verdicts ({', '.join(sorted(chosen))})")
    verdict = chosen.pop()
    if verdict not in VERDICTS:
        raise _Unreadable(f"unknown verdict {verdict!r:.40}")
    return verdict


def _answer(entries: Sequence[Mapping[str, Any]], verdict: str) -> _Region | None:
    """The region of the answer; None for a verdict without one. Regions of bad questions and skips are ignored."""
    if verdict not in ("answerable", "no_answer"):
        return None
    regions = _final(list(_answer_regions(entries)))
    if verdict == "no_answer":
        if regions:
            raise _Unreadable("no_answer but an answer is marked")
        return None
    if not regions:
        raise _Unreadable("answerable without an answer marked")
    if len(regions) > 1:
        raise _Unreadable("two answers marked" if len(regions) == 2 else f"{len(regions)} answers marked")
    return regions[0]


def _answer_regions(entries: Sequence[Mapping[str, Any]]) -> Iterator[_Region]:
    for each in entries:
        value = _value(each)
        if ANSWER_LABEL not in _strings(value.get("labels")):
            continue
        control = as_text(each.get("from_name")) or ""
        number = _PASSAGE_OF.get(control)
        if number is None or each.get("to_name") != text_name(number):
            raise _Unreadable(f"an answer is marked by {control!r:.40}, which is not on our page")
        start, end = value.get("start"), value.get("end")
        if type(start) is not int or type(end) is not int:
            raise _Unreadable(f"answer outside the text ({text_name(number)}: marked is {start!r:.20}-{end!r:.20})")
        yield _Region(number, start, end, as_text(each.get("origin")) or "manual")


def _final(regions: Sequence[_Region]) -> list[_Region]:
    """The regions that count: a span marked twice is one, and a relabelled candidate replaces the suggestion.

    Only a reviewer turns a candidate into the answer, with two keys, so the suggestion beside it may stay. A region
    drawn beside the suggestion is a second answer.
    """
    distinct = {region.span: region for region in regions}
    distinct |= {region.span: region for region in regions if region.origin == "prediction"}  # accepted, though redrawn
    kept = list(distinct.values())
    relabelled = [region for region in kept if region.origin == "prediction-changed"]
    others = [region for region in kept if region.origin != "prediction-changed"]
    replaced = len(relabelled) == 1 and all(region.origin == "prediction" for region in others)
    return relabelled if replaced else kept


def _check_unedited(
    review: NewReview, task: TaskRow, data: Mapping[str, Any], question: str, passages: Mapping[str, str]
) -> None:
    """Refuse a review of other texts than the stored ones."""
    if data.get("question") != question:
        raise _Unreadable("the question was edited in Label Studio")
    if review.verdict == "bad_question":
        return
    for number, passage in enumerate(passage_order(task), start=1):
        if data.get(text_name(number)) != passages[passage]:
            raise _Unreadable(f"the passage was edited in Label Studio ({text_name(number)})")


def _span(region: _Region, order: Sequence[str], passages: Mapping[str, str]) -> SpanRow:
    """The span in the stored passage, widened to whole graphemes: people mark what they see."""
    name, start, end = text_name(region.passage), region.start, region.end
    if region.passage > len(order):
        raise _Unreadable(f"answer outside the text ({name} is empty)")
    passage = order[region.passage - 1]
    text = passages[passage]
    if not 0 <= start < end <= len(text):
        raise _Unreadable(f"answer outside the text ({name} has {len(text)} characters, marked is {start}-{end})")
    if not text[start:end].strip():
        raise _Unreadable(f"only white space is marked ({name}: {start}-{end})")
    start, end = whole_graphemes(text, start, end)
    return SpanRow(text[start:end], passage, start, end)


def _seconds(lead_time: Any) -> float | None:
    known = type(lead_time) in (int, float) and 0 <= lead_time <= sys.float_info.max
    return float(lead_time) if known else None


def _comment(entries: Sequence[Mapping[str, Any]]) -> str | None:
    texts = [text for value in _values_of(entries, COMMENT) for text in _strings(value.get("text"))]
    return "\n".join(texts).strip() or None


def _values_of(entries: Sequence[Mapping[str, Any]], control: str) -> Iterator[Mapping[str, Any]]:
    """The values that a control has in an annotation; one, unless somebody wrote the annotation by hand."""
    yield from (_value(each) for each in entries if each.get("from_name") == control)


def _value(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    value = entry.get("value")
    return value if isinstance(value, Mapping) else {}


def _strings(value: Any) -> list[str]:
    """The strings of a value that should be a list of strings."""
    listed = [value] if isinstance(value, str) else value or []
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise _Unreadable("a value is not a list of texts")
    return listed
