"""TOML values, and texts of variables and options, in the types of the settings."""

from __future__ import annotations

import tomllib
import types
import typing
from typing import Any

from labeler.core.console import clipped

_LARGEST = (1 << 63) - 1  # of a whole number
_TYPE_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", types.NoneType: "none"}


def value_in(given: Any, wanted: Any, *, raw: bool) -> Any:
    """The value in the type that a setting is annotated with.

    `raw`: `given` is the text of a variable or of --set; it is read as TOML, but needs no quotes where text is wanted.
    Raises: TypeError, "must be ..., not ...".
    """
    choices = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    value = _parsed(given, choices) if raw else given
    if value == "none" and types.NoneType in choices:  # TOML has no null
        return None
    for choice in choices:
        fits, converted = _fit(value, choice)
        if fits:
            return converted
    raise TypeError(f"must be {' or '.join(map(type_name, choices))}, not {_shown(value)}")


def _parsed(text: str, choices: tuple[Any, ...]) -> Any:
    """The value that TOML would read; the plain text where text is wanted or TOML cannot read it."""
    if str in choices:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, KeyError, RecursionError):  # ValueError: a number of thousands of digits
        return text


def _shown(value: Any) -> str:
    """The value as it is written, cut where it is long."""
    try:
        return clipped(repr(value))
    except ValueError:  # an integer of thousands of digits
        return "one this long"


def _fit(value: Any, wanted: Any) -> tuple[bool, Any]:
    """Whether a TOML value has the type, and the value in it: whole numbers serve as float, lists as tuples."""
    if typing.get_origin(wanted) is tuple:
        part = typing.get_args(wanted)[0]
        if not isinstance(value, list) or not all(_fit(item, part)[0] for item in value):
            return False, None
        return True, tuple(_fit(item, part)[1] for item in value)
    if typing.get_origin(wanted) is typing.Literal:
        return value in typing.get_args(wanted), value
    if isinstance(value, bool) and wanted is not bool:  # a bool is an int to Python, not to people
        return False, None
    if isinstance(value, int) and abs(value) > _LARGEST:
        return False, None
    if wanted is float and isinstance(value, int):
        return True, float(value)
    return isinstance(value, wanted), value


def type_name(wanted: Any) -> str:
    """The type of a setting in words."""
    if typing.get_origin(wanted) is tuple:
        return f"a list of {type_name(typing.get_args(wanted)[0])}"
    if typing.get_origin(wanted) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(wanted)))
    return _TYPE_NAMES.get(wanted, str(wanted))
