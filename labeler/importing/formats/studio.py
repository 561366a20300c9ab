"""Annotations made in Label Studio: its question-answering template, and other pages with a text and labels.

A task is `{"data": {…}, "annotations": [{"result": [{"to_name", "value": {"start", "end", "text", "labels"}}]}]}`; a
row of a JSON-MIN export is the data with the regions beside them. Offsets are code points, the end exclusive; the text
of a region is not trusted, as newlines come back escaped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from labeler.importing.fields.names import Fields
from labeler.importing.fields.values import FieldError, as_id, as_offset, as_text
from labeler.importing.formats.reading import Reading, StudioMap

Record = Mapping[str, Any]
_ANSWER = frozenset(("answer", "answers", "정답", "답"))
_NO_ANSWER = frozenset(["no_answer", "no answer", "unanswerable", "impossible", "답 없음", "정답 없음"])
_LABELS = ("labels", "hypertextlabels", "paragraphlabels")  # by the tag that made the region
_SKIPPED = "{n} tasks were skipped by their annotators and have no answer"
_OTHERS = "regions with other labels than those of the answer were left out: {n}"


def is_task(record: Record) -> bool:
    """Whether a record is a task of Label Studio."""
    listed = any(isinstance(record.get(name), list) for name in ("annotations", "completions", "predictions"))
    return isinstance(record.get("data"), Mapping) and (listed or set(record) <= {"id", "data"})


def is_min(record: Record) -> bool:
    """Whether a record is a row of a JSON-MIN export."""
    return "annotation_id" in record and ("annotator" in record or "lead_time" in record)


def answer_labels(found: set[str], given: StudioMap) -> set[str]:
    """Return the labels that mark answers: those named, else those called Answer, else all."""
    if given.labels:
        return found & set(given.labels)
    return {label for label in found if label.casefold() in _ANSWER} or found


def span_answer(context: str, start: int | None, end: int | None, text: str | None) -> Record:
    """Return the answer at a span of a context; where the text says otherwise, the text. Raises FieldError."""
    if start is None or end is None or not 0 <= start < end <= len(context):
        raise FieldError(f"the region {start}-{end} is outside of the text, which has {len(context)} characters")
    inside = context[start:end]
    if text and _flat(text) != _flat(inside):
        return {"text": text, "answer_start": start}
    left = len(inside) - len(inside.lstrip())
    return {"text": inside.strip() or inside, "answer_start": start + left if inside.strip() else start}


def _flat(text: str) -> str:
    return "".join(text.replace("\\n", "").replace("\\r", "").replace("\\t", "").split())


def from_task(record: Record, reading: Reading) -> Record:
    """Return the flat record of a task. Raises FieldError."""
    listed = record.get("annotations") or record.get("completions") or []
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise FieldError("annotations must be a list of objects")
    done = [each for each in listed if not each.get("was_cancelled")]
    if listed and not done:
        reading.counts[_SKIPPED] += 1
    trusted = [each for each in done if each.get("ground_truth")] or done
    results = [result for each in trusted for result in _results(each)]
    data = record["data"]
    if {"task", "push_id", "question_id"} <= set(data):
        raise FieldError("a task that this tool wrote; import the reviews in it with --as reviews")
    return _record(data, results, reading, task_id=record.get("id"), annotated=bool(trusted))


def _results(annotation: Record) -> Iterator[Record]:
    results = annotation.get("result")
    if not isinstance(results, list) or not all(isinstance(each, Mapping) for each in results):
        raise FieldError("the result of an annotation must be a list of objects")
    yield from results


def from_min(record: Record, reading: Reading) -> Record:
    """Return the flat record of a JSON-MIN row. Raises FieldError."""
    results: list[Record] = []
    data = {}
    for key, value in record.items():
        if isinstance(value, list) and all(isinstance(each, Mapping) and "start" in each for each in value):
            results += [{"from_name": key, "value": each} for each in value]
        elif isinstance(value, str) and value.casefold() in _NO_ANSWER:
            results.append({"from_name": key, "value": {"choices": [value]}})
        elif key not in ("id", "annotation_id", "annotator", "created_at", "updated_at", "lead_time"):
            data[key] = value
    return _record(data, results, reading, task_id=record.get("id"), annotated=True)


def _record(data: Record, results: list[Record], reading: Reading, *, task_id: Any, annotated: bool) -> dict[str, Any]:
    given = reading.options.studio
    values = [(each.get("to_name"), each["value"]) for each in results if isinstance(each.get("value"), Mapping)]
    regions = [(to, value) for to, value in values if _labels(value) and value.get("start") is not None]
    question, field = _question(data, results, given)
    chosen = answer_labels({label for _, value in regions for label in _labels(value)}, given)
    marked = [(to, value) for to, value in regions if chosen & set(_labels(value))]
    if len(marked) < len(regions):
        reading.counts[_OTHERS] += len(regions) - len(marked)
    name = _context_field(data, marked, without=field, given=given)
    context = as_text(name or "context", data.get(name)) if name else ""
    fields = Fields(data)
    flat: dict[str, Any] = {
        "id": as_id("id", data.get(given.id) if given.id else fields.get("id") or task_id),
        "question": question,
        "context": context,
        "title": data.get(given.title) if given.title else fields.get("title"),
    }
    if annotated:
        here = [value for to, value in marked if to == name or to not in data or to is None]
        flat["answers"] = [_answer(context, value) for value in here]
        flat["is_impossible"] = True if not here and _says_none(values) else None
    return flat


def _answer(context: str, value: Record) -> Record:
    text = value.get("text")
    if isinstance(value.get("start"), str) and isinstance(text, str):
        return {"text": text}  # of an HTML page: the place is a path in it
    start, end = as_offset("start", value.get("start")), as_offset("end", value.get("end"))
    return span_answer(context, start, end, text if isinstance(text, str) else None)


def _labels(value: Record) -> list[str]:
    labels: Any = next((value[name] for name in _LABELS if value.get(name)), [])
    return [str(label) for label in labels] if isinstance(labels, list) else [str(labels)]


def _says_none(values: Iterable[tuple[Any, Record]]) -> bool:
    choices = [value.get("choices") for _, value in values]
    return any(str(each).casefold() in _NO_ANSWER for listed in choices if isinstance(listed, list) for each in listed)


def _question(data: Record, results: Iterable[Record], given: StudioMap) -> tuple[str, str]:
    """The question and the field of the data that has it; an annotator may also have typed it."""
    name, value = (given.question, data.get(given.question)) if given.question else Fields(data).find("question")
    if isinstance(value, str) and value.strip():
        return value, name
    for result in results:
        typed = result["value"].get("text") if isinstance(result.get("value"), Mapping) else None
        if isinstance(typed, list) and typed and (result.get("from_name") == given.question or _is_question(result)):
            return as_text("question", typed[0]), ""
    raise FieldError(
        "no question in the data of the task; name its field with --label-studio-map question=FIELD, which is one of "
        + ", ".join(sorted(map(str, data))[:8])
    )


def _is_question(result: Record) -> bool:
    return bool(Fields({str(result.get("from_name")): 1}).has("question"))


def _context_field(data: Record, regions: list[tuple[Any, Record]], *, without: str, given: StudioMap) -> str:
    """The field of the data that the regions mark: the one with their texts, else the one they name, else by name."""
    if given.context:
        if not isinstance(data.get(given.context), str):
            raise FieldError(f"no text {given.context!r} in the data of the task (--label-studio-map context=FIELD)")
        return given.context
    texts = [key for key, value in data.items() if isinstance(value, str) and key != without and value]
    if not texts:
        return ""
    matches: Counter[str] = Counter()
    for to, value in regions:
        for key in texts:
            matches[key] += _marks(data[key], value) + (to == key)
    usual = [Fields(data).find(role)[0] for role in ("context", "text")]
    return max(texts, key=lambda key: (matches[key], key in usual, len(data[key]), key))


def _marks(text: str, value: Record) -> bool:
    start, end, said = value.get("start"), value.get("end"), value.get("text")
    if not isinstance(said, str) or type(start) is not int or type(end) is not int or not 0 <= start < end:
        return False
    return _flat(text[start:end]) == _flat(said)
