"""Tasks as Label Studio imports them, and its annotations as reviews. JSON is read and written here alone.

Offsets there are ours: Python code points, end exclusive. The text of a region is not trusted (line ends come back
changed): an answer is always sliced from the stored passage.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from db.rows import AnswerRow, NewReview, PassageRow, PulledAnnotation, SpanRow, TaskRow
from labeler.review.studio.labeling_config import (
    ANSWER_LABEL,
    CANDIDATE_LABEL,
    COMMENT,
    MAX_PLACES,
    VERDICT,
    VERDICTS,
    labels_name,
    text_name,
    title_name,
)

MODEL_VERSION = "labeler"  # of every prediction: a project shows those of one version alone, of whatever round they are
MAX_CANDIDATES = 5  # regions of a suggestion: the answer and four others
_LONGEST_NAME = 255  # of a reviewer, as stored
_PLACES = {labels_name(place): place for place in range(1, MAX_PLACES + 1)}


# --- tasks out -----------------------------------------------------------------------------------


def task_key(round_uid: str, question_id: str, attempt: int) -> str:
    """How a task is known again on a server or in a file; tells a reviewer nothing, not even that it is asked again."""
    return _hash(f"{attempt} {round_uid} {question_id}")[:24]


def page_order(task: TaskRow) -> tuple[str, ...]:
    """The passages as the page shows them: as retrieved, or on a blind page in an order that says nothing."""
    if not task.blind:
        return task.passages
    return tuple(sorted(task.passages, key=lambda passage: _hash(task.question_id + passage)))


def task_json(
    task: TaskRow,
    *,
    round_uid: str,
    push_id: str,
    question: str,
    passages: Mapping[str, PassageRow],
    places: int,
    answers: Sequence[AnswerRow] = (),
) -> dict[str, Any]:
    """The task as Label Studio imports it, with one prediction unless it is blind or no answer stands on the page.

    Raises:
        ValueError: the task shows more passages than the page has places.
    """
    order = page_order(task)
    if len(order) > places:
        raise ValueError(f"task {task.id}: {len(order)} passages do not go on a page of {places}")
    shown = [passages[key] for key in order]
    data = {
        "question": question,
        **_texts(shown, places),
        "question_id": task.question_id,
        "task": task_key(round_uid, task.question_id, task.attempt),
        "push_id": push_id,
    }
    suggested = [] if task.blind else on_page(answers, order)
    if not suggested:
        return {"data": data}
    prediction = {
        "model_version": MODEL_VERSION,
        "score": suggested[0].score,
        "result": [*_regions(suggested, order), _choice(VERDICT, VERDICTS[0])],
    }
    return {"data": data, "predictions": [prediction]}


def _texts(shown: Sequence[PassageRow], places: int) -> dict[str, str]:
    padded = [(row.text, row.title) for row in shown] + [("", "")] * (places - len(shown))
    texts = {text_name(place): text for place, (text, _) in enumerate(padded, start=1)}
    titles = {title_name(place): title for place, (_, title) in enumerate(padded, start=1)}
    return {**texts, **titles}


def on_page(answers: Sequence[AnswerRow], order: Sequence[str]) -> list[AnswerRow]:
    """The best answers that stand in the passages shown, each span once."""
    distinct = {(each.passage_id, each.start, each.end): each for each in reversed(answers)}
    shown = [each for each in reversed(distinct.values()) if each.passage_id in order]
    return shown[:MAX_CANDIDATES]


def _regions(answers: Sequence[AnswerRow], order: Sequence[str]) -> Iterator[dict[str, Any]]:
    for rank, answer in enumerate(answers):
        place = order.index(answer.passage_id) + 1
        label = CANDIDATE_LABEL if rank else ANSWER_LABEL
        yield {
            "id": f"candidate{rank + 1}",
            "from_name": labels_name(place),
            "to_name": text_name(place),
            "type": "labels",
            "score": answer.score,
            "value": {"start": answer.start, "end": answer.end, "text": answer.text, "labels": [label]},
        }


def _choice(name: str, value: str) -> dict[str, Any]:
    return {
        "id": name,
        "from_name": name,
        "to_name": text_name(1),
        "type": "choices",
        "value": {"choices": [value]},
    }


# --- annotations in ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mark:
    """A region that is labelled as the answer."""

    place: int  # of its passage, from 1
    start: int
    end: int
    origin: str  # prediction, prediction-changed, manual

    @property
    def where(self) -> tuple[int, int, int]:
        return self.place, self.start, self.end


class _Unreadable(Exception):
    """Why an annotation is no review; caught where it is read."""


_ORIGINS = {"prediction": "accepted", "prediction-changed": "changed"}


def read_annotation(
    annotation: Mapping[str, Any],
    *,
    task: TaskRow,
    data: Mapping[str, Any],
    passages: Mapping[str, str],
    reviewer: str,
    source: str = "studio",
) -> PulledAnnotation:
    """The review that an annotation is, or the problem why it is none. What no database can hold is replaced.

    Args:
        annotation: as the server sends it with its task, or as it stands in an export.
        task: ours.
        data: the data of the server's task.
        passages: id -> stored text, at least of the task's passages.
        reviewer: who made the annotation (`reviewer_name`).
        source: of the review, as `NewReview.source`.
    """
    result = storable(annotation.get("result") or [])
    review, problem = None, None
    try:
        review = _review(annotation, _entries(result), task, data, passages, reviewer, source)
    except _Unreadable as error:
        problem = str(error)
    return PulledAnnotation(
        remote_id=annotation["id"],
        updated_at=annotation["updated_at"],
        reviewer=reviewer,
        result=tuple(result) if isinstance(result, list) else (result,),
        review=review,
        problem=problem,
    )


def reviewer_name(completed_by: Any, users: Mapping[int, str]) -> str:
    """Who made an annotation: the e-mail address, of `users` where only the id is given; else "user 7"."""
    said = completed_by if isinstance(completed_by, Mapping) else {"id": completed_by}
    user = said.get("id")
    known = users.get(user) if isinstance(user, int) else None
    name = said.get("email") or known or ("unknown user" if user is None else f"user {user}")
    return str(storable(str(name)))[:_LONGEST_NAME]


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
    data: Mapping[str, Any],
    passages: Mapping[str, str],
    reviewer: str,
    source: str,
) -> NewReview:
    verdict = "skipped" if annotation.get("was_cancelled") else _verdict(entries)
    mark = _answer(entries, verdict)
    if verdict in ("answerable", "no_answer"):
        _check_unedited(task, data, passages)
    return NewReview(
        task_id=task.id,
        reviewer=reviewer,
        verdict=verdict,
        answer=None if mark is None else _span(mark, page_order(task), passages),
        origin=None if mark is None else _ORIGINS.get(mark.origin, "written"),
        seconds=_seconds(annotation.get("lead_time")),
        comment=_comment(entries),
        source=source,
    )


def _entries(result: Any) -> list[Mapping[str, Any]]:
    if not isinstance(result, list) or not all(isinstance(each, Mapping) for each in result):
        raise _Unreadable("its result is not a list of regions")
    return result


def _verdict(entries: Sequence[Mapping[str, Any]]) -> str:
    said = {choice for value in _said(entries, VERDICT) for choice in _listed(value.get("choices"))}
    if not said:
        raise _Unreadable("no verdict")
    if len(said) > 1:
        raise _Unreadable(f"several verdicts ({', '.join(sorted(said))})")
    verdict = said.pop()
    if verdict not in VERDICTS:
        raise _Unreadable(f"unknown verdict {verdict!r:.40}")
    return verdict


def _answer(entries: Sequence[Mapping[str, Any]], verdict: str) -> _Mark | None:
    """The mark that is the answer; None for a verdict without one. What a bad question or a skip leaves is ignored."""
    if verdict not in ("answerable", "no_answer"):
        return None
    marks = _chosen(list(_marks(entries)))
    if verdict == "no_answer":
        if marks:
            raise _Unreadable("no_answer but an answer is marked")
        return None
    if not marks:
        raise _Unreadable("answerable without an answer marked")
    if len(marks) > 1:
        raise _Unreadable("two answers marked" if len(marks) == 2 else f"{len(marks)} answers marked")
    return marks[0]


def _marks(entries: Sequence[Mapping[str, Any]]) -> Iterator[_Mark]:
    for each in entries:
        value = _value(each)
        if ANSWER_LABEL not in _listed(value.get("labels")):
            continue
        name = str(each.get("from_name"))
        place = _PLACES.get(name)
        if place is None or each.get("to_name") != text_name(place):
            raise _Unreadable(f"an answer is marked by {name!r:.40}, which is not on our page")
        start, end = value.get("start"), value.get("end")
        if type(start) is not int or type(end) is not int:
            raise _Unreadable(f"answer outside the text ({text_name(place)}: marked is {start!r:.20}-{end!r:.20})")
        yield _Mark(place, start, end, str(each.get("origin") or "manual"))


def _chosen(marks: Sequence[_Mark]) -> list[_Mark]:
    """The marks that count: a span marked twice is one, and a relabelled candidate replaces the suggested answer.

    Only a reviewer turns a candidate into the answer, by two keys; so the suggestion beside it may stay. A mark that
    was drawn beside a standing suggestion is a second answer.
    """
    distinct = {mark.where: mark for mark in marks}
    distinct |= {mark.where: mark for mark in marks if mark.origin == "prediction"}  # accepted, though drawn again
    kept = list(distinct.values())
    relabelled = [mark for mark in kept if mark.origin == "prediction-changed"]
    others = [mark for mark in kept if mark.origin != "prediction-changed"]
    replaced = len(relabelled) == 1 and all(mark.origin == "prediction" for mark in others)
    return relabelled if replaced else kept


def _check_unedited(task: TaskRow, data: Mapping[str, Any], passages: Mapping[str, str]) -> None:
    for place, passage in enumerate(page_order(task), start=1):
        if data.get(text_name(place)) != passages[passage]:
            raise _Unreadable(f"the passage was edited in Label Studio ({text_name(place)})")


def _span(mark: _Mark, order: Sequence[str], passages: Mapping[str, str]) -> SpanRow:
    """The span in the stored passage."""
    name, start, end = text_name(mark.place), mark.start, mark.end
    if mark.place > len(order):
        raise _Unreadable(f"answer outside the text ({name} is empty)")
    passage = order[mark.place - 1]
    text = passages[passage]
    if not 0 <= start < end <= len(text):
        raise _Unreadable(f"answer outside the text ({name} has {len(text)} characters, marked is {start}-{end})")
    if not text[start:end].strip():
        raise _Unreadable(f"only white space is marked ({name}: {start}-{end})")
    return SpanRow(text[start:end], passage, start, end)


def _seconds(lead_time: Any) -> float | None:
    known = isinstance(lead_time, (int, float)) and 0 <= lead_time <= sys.float_info.max
    return float(lead_time) if known else None


def _comment(entries: Sequence[Mapping[str, Any]]) -> str | None:
    said = [text for value in _said(entries, COMMENT) for text in _listed(value.get("text"))]
    return "\n".join(said).strip() or None


def _said(entries: Sequence[Mapping[str, Any]], name: str) -> Iterator[Mapping[str, Any]]:
    """What a control says, each time that it says something."""
    yield from (_value(each) for each in entries if each.get("from_name") == name)


def _value(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    value = entry.get("value")
    return value if isinstance(value, Mapping) else {}


def _listed(value: Any) -> list[str]:
    """The texts of a value that should be a list of texts."""
    if isinstance(value, str):
        return [value]
    return [str(each) for each in value] if isinstance(value, list) else []


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
