"""JSON that a server or a file brings: parsed and checked without trust in its types, sizes and depth."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from mrc.text import valid_text

MAX_DEPTH = 100  # of lists and objects in an annotation
MAX_ID = (1 << 31) - 1  # of a task, an annotation, a project: the database stores 32 bits
MAX_MOMENT = 40  # characters of a date, as stored
_MAX_DIGITS = 20  # of an integer; a longer one stays text
_YEARS = range(1970, 9999)  # of a date with which one can calculate in any time zone
_TOKEN = re.compile(r'\\.|["\[\]{}]', re.DOTALL)
_PRUNED = '"(nested too deeply)"'


def load_json(text: str) -> Any:
    """The value of a JSON text. NaN, Infinity and integers of over 20 digits become text: no id, offset or time is one.

    Where a value is nested so deeply that it cannot be parsed, its innermost part becomes text.

    Raises ValueError for a text that is no JSON.
    """
    try:
        return _loads(text)
    except RecursionError:
        return _loads(_prune(text, 2 * MAX_DEPTH))


def _loads(text: str) -> Any:
    return json.loads(text, parse_int=_integer, parse_float=_real, parse_constant=str)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _real(digits: str) -> float | str:
    value = float(digits)
    return value if math.isfinite(value) else digits


def _prune(text: str, limit: int) -> str:
    """The JSON text in which values below the depth `limit` are replaced. Linear in the text's length."""
    parts, kept, depth, quoted = [], 0, 0, False
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == '"':
            quoted = not quoted
        elif quoted or token[0] == "\\":
            continue
        elif token in "[{":
            depth += 1
            if depth == limit + 1:
                parts += [text[kept : match.start()], _PRUNED]
                kept = len(text)
        else:
            if depth == limit + 1:
                kept = match.end()
            depth -= 1
    return "".join([*parts, text[kept:]])


def is_deep(value: Any, limit: int = MAX_DEPTH) -> bool:
    """Whether lists and objects are nested in each other more than `limit` times."""
    level = [value]
    for _ in range(limit + 1):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterator[Any]:
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    yield from values


def as_id(value: Any) -> int | None:
    """The id that a value is, 1 to MAX_ID; None for any other value."""
    return value if type(value) is int and 0 < value <= MAX_ID else None


def as_text(value: Any) -> str | None:
    """The text that a value is, halves of surrogate pairs as U+FFFD; None for any other value."""
    return valid_text(value) if isinstance(value, str) else None


def as_count(value: Any) -> int:
    """The number that a value is, at least 0; 0 for any other value."""
    return value if type(value) is int and value >= 0 else 0


def as_mapping(value: Any) -> Mapping[str, Any]:
    """The object that a value is; an empty one for any other value."""
    return value if isinstance(value, Mapping) else {}


def as_moment(value: Any) -> datetime | None:
    """The moment in UTC that a value is; None for any other value, and for a date without a time zone."""
    if not isinstance(value, str) or len(value) > MAX_MOMENT:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None and found.year in _YEARS else None
