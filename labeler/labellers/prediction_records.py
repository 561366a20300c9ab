"""A record of a file of predictions as answers: which fields hold what, and which values are refused."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from labeler.core.files import text_fault
from labeler.importing.fields.names import NAMES, plain
from labeler.importing.fields.values import FieldError, as_flag, as_id, as_offset, as_structure, kind_name, shown
from mrc.squad import Rejected

MAX_TEXT: Final = 10_000  # characters of an answer
IDS: Final = NAMES["id"]
TEXTS: Final = (
    "answer",
    "answer_text",
    "text",
    "prediction_text",
    "prediction",
    "predicted_answer",
    "prediction_string",
)
LISTS: Final = ("answers", "predictions", "nbest", "n_best")
SCORES: Final = ("score", "probability", "confidence", "prob")
NULL_SCORES: Final = ("no_answer_probability", "null_score", "no_answer_score")
STARTS: Final = NAMES["answer_start"]
PASSAGE_IDS: Final = ("passage_id", "context_id", "paragraph_id")
CONTEXTS: Final = ("context", "passage", "passage_text", "paragraph")
NO_ANSWER: Final = ("no_answer", "is_impossible", "unanswerable", "abstains")


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """An answer of a file with its place there. An empty text means "no answer"."""

    where: str
    question_id: str
    text: str
    score: float | None = None  # 0-1
    start: int | None = None  # of the text in its passage, in code points
    passage_id: str | None = None
    context: str | None = None  # the text of its passage


Part = FileAnswer | Rejected


def record_answers(where: str, record: Mapping[str, Any], question_id: str | None = None) -> Iterator[Part]:
    """Yield the answers of a record, or why it has none. `question_id`: that of the record, where it lacks one."""
    fields = {plain(key): value for key, value in record.items()}
    try:
        key = _identifier("id", question_id if question_id is not None else _first(fields, IDS)).strip()
        if not key:
            raise FieldError(f"the question's id is missing; name it in a field such as {', '.join(IDS[:4])}")
        yield from _answers(where, key, fields)
    except FieldError as error:
        yield Rejected(where, str(error))


def _answers(where: str, key: str, fields: Mapping[str, Any]) -> Iterator[Part]:
    listed = _first(fields, LISTS)
    if isinstance(listed, str):
        listed = as_structure("answers", listed, strict=False)
    if isinstance(listed, Mapping):
        listed = _rows(listed)
    if isinstance(listed, str) and fields.keys().isdisjoint(TEXTS):
        listed = [listed]
    if isinstance(listed, list):
        yield from nbest_answers(where, key, listed, shared=fields)
        return
    yield _answer(where, key, fields)


def _rows(columns: Mapping[str, Any]) -> list[Any]:
    """The answers of an object: one, or columns of texts and offsets. Raises FieldError."""
    lists = {name: value for name, value in columns.items() if isinstance(value, list)}
    if not any(plain(name) in TEXTS for name in lists):
        return [columns]
    if len({len(value) for value in lists.values()}) > 1:
        raise FieldError(f"the lists of an answer must be of equal length ({', '.join(lists)})")
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def nbest_answers(where: str, key: str, listed: list[Any], shared: Mapping[str, Any] | None = None) -> Iterator[Part]:
    """Yield the answers of an n-best list. `shared`: fields that hold for those that lack them."""
    if not listed:
        yield Rejected(where, "the list of answers is empty")
    for number, item in enumerate(listed, 1):
        place = f"{where}, answer {number}"
        if isinstance(item, str):
            item = {"text": item}
        if not isinstance(item, Mapping):
            yield Rejected(place, f"an answer must be a text or an object with a text, not {kind_name(item)}")
            continue
        own = {plain(name): value for name, value in item.items()}
        common = {name: value for name, value in (shared or {}).items() if name in (*PASSAGE_IDS, *CONTEXTS)}
        try:
            yield _answer(place, key, {**common, **own})
        except FieldError as error:
            yield Rejected(place, str(error))


def _answer(where: str, key: str, fields: Mapping[str, Any]) -> FileAnswer:
    """Raises FieldError."""
    text = _text(fields)
    return FileAnswer(
        where,
        key,
        text,
        score=_score(fields) if text else _null_score(fields),
        start=as_offset("answer_start", _first(fields, STARTS)),
        passage_id=_identifier("passage_id", _first(fields, PASSAGE_IDS)) or None,
        context=_context(fields),
    )


def _identifier(name: str, value: Any) -> str:
    """The id, empty where it is missing. Raises FieldError, also for one that no database can look for."""
    found = as_id(name, value)
    why = text_fault(found)
    if why is not None:
        raise FieldError(f"{name} holds {why}")
    return found


def _text(fields: Mapping[str, Any]) -> str:
    """The answer's text; empty for "no answer"."""
    flag = next((name for name in NO_ANSWER if name in fields), None)
    if flag is not None and as_flag(flag, fields[flag]):
        return ""
    name = next((name for name in TEXTS if name in fields), None)
    if name is None:
        raise FieldError(f"the answer is missing; name it in a field such as {', '.join(TEXTS[:3])}")
    value = fields[name]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise FieldError(f"{name} must be text, not {kind_name(value)}")
    why = text_fault(value)
    if why is not None or len(value) > MAX_TEXT:
        raise FieldError(f"the answer holds {why}" if why else f"the answer has {len(value):,} characters")
    return value if value.strip() else ""


def _score(fields: Mapping[str, Any]) -> float | None:
    """The score, 0-1. An n-best list of transformers has sums of logits as `score`, so its probability counts."""
    names = ("probability", *SCORES) if "start_logit" in fields else SCORES
    return _rate(fields, names)


def _null_score(fields: Mapping[str, Any]) -> float | None:
    own = _rate(fields, NULL_SCORES)
    return own if own is not None else _score(fields)


def _rate(fields: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    for name in names:
        value = fields.get(name)
        if value is None or value == "":
            continue
        number = _number(value)
        if number is None or not 0 <= number <= 1:
            raise FieldError(f"{name} must be a number from 0 to 1, not {shown(value)}")
        return number
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _context(fields: Mapping[str, Any]) -> str | None:
    value = _first(fields, CONTEXTS)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise FieldError(f"the passage must be text, not {kind_name(value)}")
    return value


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The first of these fields that holds something, else None."""
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)
