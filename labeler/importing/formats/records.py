"""Read flat records (a JSON line, a CSV row, a row of a Hugging Face dataset) as questions and passages.

| field           | meaning                                                                                    |
|-----------------|--------------------------------------------------------------------------------------------|
| `question`      | the question; a record without one is a passage                                            |
| `context`       | the passage that the question was asked on; optional                                       |
| `text`          | the passage, in a record without a question                                                |
| `title`         | title of the document that the passage belongs to                                          |
| `id`            | id of the question (or `guid`); default: a hash of question and context                    |
| `answers`       | `[{"text", "answer_start"}]`, `{"text": […], "answer_start": […]}`, or a list of texts      |
| `answer`        | instead of `answers`: one text, with its offset `answer_start` in code points              |
| `is_impossible` | the context does not answer the question                                                   |
| `role`, `split` | the split of the question, for `--split file`                                              |
| `kind`          | how its label was made; pseudo: by a model                                                 |

Other fields are ignored. In CSV a cell of `answers` is JSON, and an empty cell is a missing field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from labeler.importing.formats.content import FileQuestion, Part, make_passage, make_question, with_origin
from mrc.squad import Rejected
from mrc.types import Passage

ORIGIN = frozenset({"role", "split", "kind"})
FIELDS = ORIGIN | frozenset(
    {"question", "context", "text", "title", "id", "guid", "answers", "answer", "answer_start", "is_impossible"}
)


class FieldError(Exception):
    """A field of the wrong type; the message says which and what it must be."""


def parts(where: str, record: Mapping[str, Any]) -> Iterator[tuple[str, Part]]:
    """Yield the passage or question of one record and its rejected parts, each with its place."""
    try:
        id_ = _text(record, "id" if record.get("id") not in (None, "") else "guid")
        where = f"{where} (id {id_})" if id_ else where
        found = _question(where, id_, record) if _text(record, "question") else iter([_passage(record)])
        yield from ((where, with_origin(part, record)) for part in found)
    except FieldError as error:
        yield where, Rejected(where, str(error))


def _passage(record: Mapping[str, Any]) -> Passage:
    text = _text(record, "text") or _text(record, "context")
    if not text:
        raise FieldError("neither a question nor a text; see the documented field names")
    return make_passage(text, _text(record, "title"))


def _question(where: str, id_: str, record: Mapping[str, Any]) -> Iterator[FileQuestion | Rejected]:
    context = _text(record, "context")
    return make_question(
        where,
        id=id_,
        text=_text(record, "question"),
        context=make_passage(context, _text(record, "title")) if context else None,
        answers=list(_answers(record)),
        is_impossible=_flag(record, "is_impossible"),
    )


def _answers(record: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    value = record.get("answers")
    if isinstance(value, str) and value:
        value = _json("answers", value)
    if value is None or value == "":
        if _text(record, "answer"):
            yield _text(record, "answer"), _offset(record.get("answer_start"))
    elif isinstance(value, Mapping):
        yield from _columns(value)
    elif isinstance(value, list):
        for item in value:
            yield _answer(item)
    else:
        raise FieldError(f"answers must be a list or an object, not {_kind(value)}")


def _columns(value: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    texts, starts = value.get("text"), value.get("answer_start")
    if not isinstance(texts, list):
        raise FieldError(f"answers.text must be a list, not {_kind(texts)}")
    if starts is None:
        starts = [None] * len(texts)
    if not isinstance(starts, list) or len(starts) != len(texts):
        raise FieldError("answers.text and answers.answer_start must be lists of equal length")
    for text, start in zip(texts, starts, strict=True):
        yield _answer({"text": text, "answer_start": start})


def _answer(item: Any) -> tuple[str, int | None]:
    if isinstance(item, str):
        return item, None
    if isinstance(item, Mapping) and isinstance(item.get("text"), str):
        return item["text"], _offset(item.get("answer_start"))
    raise FieldError('an answer must be a text or {"text": …, "answer_start": …}')


def _offset(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise FieldError(f"answer_start must be a whole number, not {value!r}")


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if name in ("id", "guid") and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or isinstance(value, str):
        return value or ""
    raise FieldError(f"{name} must be text, not {_kind(value)}")


def _flag(record: Mapping[str, Any], name: str) -> bool | None:
    value = record.get(name)
    if isinstance(value, str):
        value = {"": None, "true": True, "1": True, "false": False, "0": False}.get(value.strip().lower(), value)
    if value is None or isinstance(value, bool):
        return value
    raise FieldError(f"{name} must be true or false, not {value!r}")


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise FieldError(f"{name} is not JSON: {error}") from error


def _kind(value: Any) -> str:
    known = {type(None): "null", dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return known.get(type(value), "a number")
