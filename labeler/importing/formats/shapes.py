"""Records of other tools and data sets, rewritten as the flat records of records.py.

| shape               | recognised by                                                                |
|---------------------|------------------------------------------------------------------------------|
| DPR                 | `positive_ctxs`; retriever output: `ctxs`                                    |
| BEIR queries        | `_id` and `text` without a title                                             |
| Haystack labels     | `query` with the objects `document` and `answer`                             |
| doccano             | `text` with spans in `label`, `labels`, `entities` or `annotations`          |
| Label Studio        | a task with `data`, or a JSON-MIN row with `annotation_id`; see studio.py    |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labeler.importing.fields.names import Fields
from labeler.importing.fields.values import FieldError, answers_of, as_id, as_offset, as_text
from labeler.importing.formats import studio
from labeler.importing.formats.reading import Reading

Record = Mapping[str, Any]
_CTXS = ("positive_ctxs", "hard_negative_ctxs", "negative_ctxs", "ctxs")


def expand(record: Record, reading: Reading) -> Iterator[Record]:
    """Yield the flat records that one of a known shape stands for; any other record as it is. Raises FieldError."""
    if studio.is_task(record):
        yield studio.from_task(record, reading)
    elif studio.is_min(record):
        yield studio.from_min(record, reading)
    elif isinstance(record.get("positive_ctxs"), list) or isinstance(record.get("ctxs"), list):
        yield from _dpr(record)
    elif isinstance(record.get("query"), str) and isinstance(record.get("document"), Mapping):
        yield _haystack(record)
    elif "text" in record and any(_is_spans(record.get(name)) for name in _SPANS):
        yield _doccano(record, reading)
    elif _is_query(record) and not reading.options.texts_are_passages:
        yield {"_id": record["_id"], "question": record["text"]}
    else:
        yield record


def _is_query(record: Record) -> bool:
    return "_id" in record and "text" in record and not {"title", "question", "context"} & set(record)


def _dpr(record: Record) -> Iterator[Record]:
    """All passages, then the question on the first passage in which an answer stands once."""
    fields = Fields(record)
    passages = [ctx for name in _CTXS for ctx in _contexts(name, record.get(name))]
    yield from passages
    key, value = fields.find("answers")
    texts = [text for text, _ in answers_of("answers", value if key else fields.get("answer") or []) if text]
    positives = [*_contexts("positive_ctxs", record.get("positive_ctxs")), *_contexts("ctxs", record.get("ctxs"))]
    found = anchored(texts, positives)
    flat = {"id": as_id("id", fields.get("id")), "question": as_text("question", fields.get("question"))}
    yield {**flat, **found[0], "answers": found[1]} if found else {**flat, "answers": texts}


def _contexts(name: str, value: Any) -> Iterator[dict[str, str]]:
    for ctx in value or () if isinstance(value, list) or value is None else (value,):
        if not isinstance(ctx, Mapping):
            raise FieldError(f"{name} must be a list of objects with title and text")
        text = as_text(f"{name}.text", ctx.get("text"))
        if text.strip():
            yield {"context": text, "title": as_id(f"{name}.title", ctx.get("title"))}


def anchored(texts: Sequence[str], passages: Sequence[Mapping[str, str]]) -> tuple[Record, list[Record]] | None:
    """Return the first passage in which an answer stands exactly once, and its answers there; case is ignored."""
    for passage in passages:
        found = [place for text in dict.fromkeys(texts) if (place := _only(text, passage["context"]))]
        if found:
            return passage, found
    return None


def _only(text: str, context: str) -> Record | None:
    """The only place of an answer in a text as whole words, with the spelling there."""
    pattern = re.compile(rf"(?<!\w){re.escape(text.strip())}(?!\w)", re.IGNORECASE)
    places = [match for _, match in zip(range(2), pattern.finditer(context), strict=False)]
    return {"text": places[0][0], "answer_start": places[0].start()} if len(places) == 1 and text.strip() else None


def _haystack(record: Record) -> Record:
    """A label of Haystack 1: a query, the document, and the answer with its offsets in the document."""
    document, answer = record["document"], record.get("answer")
    if record.get("is_correct_answer") is False:
        raise FieldError("a label marked as not correct; it is no gold answer")
    flat: dict[str, Any] = {"id": record.get("id"), "question": record["query"], "context": document.get("content")}
    flat |= {"title": document.get("title"), "meta": document.get("meta"), "is_impossible": record.get("no_answer")}
    if isinstance(answer, Mapping):
        spans = answer.get("offsets_in_document") or [{}]
        start = spans[0].get("start") if isinstance(spans, list) and isinstance(spans[0], Mapping) else None
        flat["answers"] = [{"text": as_text("answer.answer", answer.get("answer")), "answer_start": start}]
    elif isinstance(answer, str):
        flat["answers"] = [answer]
    return flat


_SPANS = ("label", "labels", "entities", "annotations")


def _is_spans(value: Any) -> bool:
    return isinstance(value, list) and all(_span(each) is not None for each in value)


def _span(value: Any) -> tuple[Any, Any, str] | None:
    """Start, end and label of one of doccano's spans."""
    if isinstance(value, list) and len(value) == 3 and not isinstance(value[0], str | list | Mapping):
        return value[0], value[1], str(value[2])
    if isinstance(value, Mapping) and {"start_offset", "end_offset"} <= set(value):
        return value["start_offset"], value["end_offset"], str(value.get("label"))
    return None


def _doccano(record: Record, reading: Reading) -> Record:
    """A text with labelled spans; its question is one of the fields that were uploaded with it."""
    text = as_text("text", record.get("text"))
    spans = [span for name in _SPANS if _is_spans(record.get(name)) for each in record[name] if (span := _span(each))]
    meta = record.get("meta") if isinstance(record.get("meta"), Mapping) else record.get("metadata")
    fields = Fields({**(meta if isinstance(meta, Mapping) else {}), **record})
    question = as_text("question", fields.get("question"))
    if spans and not question:
        raise FieldError("its spans have no question; upload the text to doccano with a field named question")
    chosen = studio.answer_labels({span[2] for span in spans}, reading.options.studio)
    answers = [
        studio.span_answer(text, as_offset("start", start), as_offset("end", end), None)
        for start, end, label in spans
        if label in chosen
    ]
    flat = {key: value for key, value in record.items() if key not in (*_SPANS, "text", "meta", "metadata")}
    return {**flat, "question": question, "context": text, "title": fields.get("title"), "answers": answers}
