"""Values of fields as people's files have them: integer ids, offsets such as 46.0, NaN, "True", and lists in a cell."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from labeler.importing.fields.literals import parse_literal

Answer = tuple[str, int | None]  # text and offset in code points
_FLAGS = {"true": True, "1": True, "1.0": True, "yes": True, "false": False, "0": False, "0.0": False, "no": False}
_SHOWN = 40  # characters of a value in a message


class FieldError(Exception):
    """A field of the wrong type; the message says which and what it must be."""


def is_missing(value: Any) -> bool:
    """Whether a field holds nothing: null, NaN or an empty text."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def as_text(name: str, value: Any) -> str:
    """Return the text of a field, empty where it is missing. Raises FieldError."""
    if isinstance(value, str):
        return value
    if is_missing(value):
        return ""
    raise FieldError(f"{name} must be text, not {kind_name(value)}")


def as_id(name: str, value: Any) -> str:
    """Return the text of an id, which may be a whole number. Raises FieldError."""
    if isinstance(value, str):
        return value
    number = _whole(value)
    return str(number) if number is not None else as_text(name, value)


def as_offset(name: str, value: Any) -> int | None:
    """Return a whole number, also of 46.0 and "46.0"; None where it is missing. Raises FieldError."""
    if is_missing(value):
        return None
    if isinstance(value, str):
        text = value.strip()
        digits = text.removeprefix("-").removesuffix(".0")
        if digits.isascii() and digits.isdigit() and len(digits) < 16:
            return -int(digits) if text.startswith("-") else int(digits)
    number = _whole(value)
    if number is None:
        raise FieldError(f"{name} must be a whole number, not {shown(value)}")
    return number


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_flag(name: str, value: Any) -> bool | None:
    """Return true or false, also of "True", 1 and 1.0; None where it is missing. Raises FieldError."""
    if is_missing(value):
        return None
    found = value if isinstance(value, bool) else _FLAGS.get(str(value).strip().lower())
    if found is None or isinstance(value, list | Mapping):
        raise FieldError(f"{name} must be true or false, not {shown(value)}")
    return found


def as_structure(name: str, text: str, *, strict: bool) -> Any:
    """Return the list or object in a text, JSON or as Python prints it; any other text as it is.

    Raises FieldError for a text that starts like one and is none; without `strict`, that is a text too.
    """
    head = text.lstrip()[:6]
    if not head.startswith(("[", "{", "array(")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        why = f"{name} is not JSON: {error}"
    try:
        return parse_literal(text)
    except ValueError as error:
        if strict:
            raise FieldError(f"{why}, nor a list as Python prints it: {error}") from error
        return text


def answers_of(name: str, value: Any, start: Any = None, *, strict: bool = True) -> list[Answer]:
    """Return the answers of a field: one text, an object, a list of either, or lists of texts and offsets.

    Args:
        start: the offset beside a single answer.
        strict: a text that starts like a list must be one.

    Raises: FieldError.
    """
    if isinstance(value, str):
        value = as_structure(name, value, strict=strict)
    if is_missing(value):
        return [] if value is None or isinstance(value, float) else [("", None)]
    if isinstance(value, str):
        return [(value, _first_offset(start))]
    if isinstance(value, Mapping):
        return list(_object(name, value, start))
    if isinstance(value, list):
        starts = start if isinstance(start, list) and len(start) == len(value) else [None] * len(value)
        return [pair for item, at in zip(value, starts, strict=True) for pair in _item(name, item, at)]
    wanted = "text" if name == "answer" else "a list or an object"
    raise FieldError(f"{name} must be {wanted}, not {kind_name(value)}")


def _first_offset(start: Any) -> int | None:
    return as_offset("answer_start", start[0] if isinstance(start, list) and start else None if start == [] else start)


def _object(name: str, value: Mapping[str, Any], start: Any) -> Iterator[Answer]:
    """One answer, or columns of texts and offsets; TriviaQA's value and aliases; Haystack's start and end."""
    value = {str(key).lower(): inner for key, inner in value.items()}
    texts = value.get("text", value.get("answer_text", value.get("answer", value.get("value"))))
    starts = value.get("answer_start", value.get("start", start))
    if "char_spans" in value:
        starts = _mrqa_starts(value["char_spans"])
    if isinstance(texts, list):
        yield from _columns(name, texts, starts)
    elif texts is None and not {"text", "answer_text", "answer", "value"} & set(value):
        raise FieldError(f"{name} has no text; {{'text': …, 'answer_start': …}} is needed")
    else:
        yield as_text(f"{name}.text", texts), _first_offset(starts)
        aliases = value.get("aliases")
        for alias in aliases if isinstance(aliases, list) else ():
            yield as_text(f"{name}.aliases", alias), None


def _columns(name: str, texts: list[Any], starts: Any) -> Iterator[Answer]:
    if starts is None:
        starts = [None] * len(texts)
    elif not isinstance(starts, list) and len(texts) == 1:
        starts = [starts]
    if not isinstance(starts, list) or len(starts) != len(texts):
        raise FieldError(f"{name}.text and {name}.answer_start must be lists of equal length")
    for text, at in zip(texts, starts, strict=True):
        yield as_text(f"{name}.text", text), as_offset("answer_start", at)


def _mrqa_starts(spans: Any) -> Any:
    """The first start of each answer: [[[46, 53]], …], or rows of a dataset, [{"start": [46], "end": [53]}, …]."""
    if not isinstance(spans, list) or not spans:
        return None
    if all(isinstance(each, list) and len(each) == 2 and _whole(each[0]) is not None for each in spans):
        return spans[0][0]
    firsts = [each.get("start") if isinstance(each, Mapping) else each for each in spans]
    return [_innermost(each) for each in firsts]


def _innermost(value: Any) -> Any:
    for _ in range(3):
        if not isinstance(value, list) or not value:
            return value if not isinstance(value, list) else None
        value = value[0]
    return None


def _item(name: str, item: Any, start: Any) -> Iterator[Answer]:
    if isinstance(item, str):
        yield item, as_offset("answer_start", start)
    elif isinstance(item, Mapping):
        yield from _object(name, item, start)
    else:
        raise FieldError('an answer must be a text or {"text": …, "answer_start": …}')


def kind_name(value: Any) -> str:
    """Return what a value is, as JSON calls it."""
    known = {type(None): "null", dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return known.get(type(value), "a number")


def shown(value: Any) -> str:
    """Return the beginning of a value for a message."""
    try:
        text = repr(value)
    except RecursionError:
        text = kind_name(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
